"""What a worker does in the sweep. Imports nncore and NumPy only: a worker that trains starts fast."""

from dataclasses import dataclass

from nncore.metrics import Metric, accuracy, label_accuracy, r2, subset_accuracy
from nncore.shape import Shape
from nncore.stack import Network, Stack, start
from nncore.training import Report, train
from pipeline.artefacts import Task, View

METRICS: dict[Task, dict[str, Metric]] = {
    "classification": {"accuracy": accuracy},
    "regression": {"r2": r2},
    "multilabel": {"label_accuracy": label_accuracy, "subset_accuracy": subset_accuracy},
}


@dataclass(frozen=True)
class FreshStack:
    """A stack that has not begun; the worker makes its arrays."""

    shape: Shape
    networks: tuple[Network, ...]


def train_slice(
    stack: Stack | FreshStack, view: View, until: int, task: Task, loss_limit: float
) -> tuple[Stack, dict[str, Report]]:
    """Train a stack to the epoch `until`: a pure function, safe to run again."""
    begun = start(stack.shape, stack.networks) if isinstance(stack, FreshStack) else stack
    return train(begun, view.data, until, METRICS[task], loss_limit)
