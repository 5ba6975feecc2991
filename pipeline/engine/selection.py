"""Select: the champion, by a validation metric."""

from typing import Literal

from pydantic.dataclasses import dataclass

from pipeline.components.fields import STRICT, NonNegativeInt
from pipeline.components.types import Task
from pipeline.engine.slices.task import METRICS


@dataclass(frozen=True, config=STRICT)
class SelectionSettings:
    """The trial with the best validation metric of the weights it answers with; of equals, the first.

    tradeoffs   what else counts, smaller is better: how many numbers a network learns, or the loss
    simplest    of the trials that cannot be told apart from the best, take the simplest
    ensemble    networks in the ensemble, each counted as often as it is taken; 0: none
    publish     what becomes the model
    """

    metric: Literal["loss", "accuracy", "r2", "label_accuracy", "subset_accuracy"]
    tradeoffs: tuple[Literal["parameters", "loss"], ...]
    simplest: bool
    ensemble: NonNegativeInt
    publish: Literal["champion", "ensemble"]

    def __post_init__(self) -> None:
        if len({self.metric, *self.tradeoffs}) < 1 + len(self.tradeoffs):
            raise ValueError(f"tradeoffs must differ from each other and from metric={self.metric}")
        if self.publish == "ensemble" and not self.ensemble:
            raise ValueError("ensemble must be at least 1 for publish=ensemble, but is 0")

    def check(self, task: Task) -> None:
        """Raise ValueError if the task has no such metric."""
        names = ("loss", *METRICS[task])
        if self.metric not in names:
            raise ValueError(f"select.metric must be {' or '.join(names)} for {task}, but is {self.metric}")
