"""Evaluate: assemble the champion, and judge it once by the test rows."""

import numpy as np

from nncore.losses import mean_value
from nncore.model import Model, Values
from nncore.shape import Shape
from nncore.stack import Stack
from pipeline.artefacts import RawRows, Task, View
from pipeline.sweep.training import METRICS


def assemble(view: View, shape: Shape, stack: Stack, key: str) -> Model:
    """The model of one network, from raw row to answer."""
    return Model(view.columns, view.transforms, shape, stack.answer(key), view.meaning)


def evaluate(model: Model, test: RawRows) -> dict[str, float]:
    """Loss and metrics on the test rows; for regression also the error in the target's own unit."""
    z = model.outputs(test.x)[None]  # (1, N, O)
    t = model.meaning.targets(test.y)[None]
    task: Task = "regression" if isinstance(model.meaning, Values) else "classification"
    loss = model.shape.functions.loss
    y = loss.answer(z)
    scores = {"loss": mean_value(loss, z, t)} | {name: metric(y, t, None) for name, metric in METRICS[task].items()}
    final = {name: float(value[0]) for name, value in scores.items()}
    if task == "regression":
        error = model.answers(test.x)["prediction"] - test.y
        final["root_mean_squared_error"] = float(np.sqrt(np.mean(error**2)))
    return final
