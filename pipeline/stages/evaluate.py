"""Evaluate: assemble the champion, and judge it once by the test rows."""

from typing import Any

import numpy as np

from nncore.architecture import Architecture
from nncore.inference.ensemble import Ensemble
from nncore.inference.model import Model, ValueDecoder
from nncore.losses import mean_value
from pipeline.components.types import PreparedView, RawRows, Task
from pipeline.engine.slices.task import METRICS, NetworkSelector


def assemble(view: PreparedView, architecture: Architecture, answering: NetworkSelector, stack: Any) -> Model:
    """The model of one network, from raw row to answer; the view is that which it learnt from."""
    return Model(view.preprocessing, view.transforms, architecture, answering.weights(stack), view.target_decoder)


def evaluate(model: Model | Ensemble, test: RawRows, task: Task) -> dict[str, float]:
    """Loss and metrics on the test rows; for regression also the error in the target's own unit."""
    z = model.logits(test.x)[None]  # (1, N, O)
    t = model.target_decoder.targets(test.y)[None]
    weights = None if test.weights is None else (test.weights / test.weights.mean()).astype(z.dtype)[None]
    loss = model.loss
    y = loss.predict(z)
    scores = {"loss": mean_value(loss, z, t, weights)}
    scores |= {name: metric(y, t, weights) for name, metric in METRICS[task].items()}
    final = {name: float(value[0]) for name, value in scores.items()}
    if isinstance(model.target_decoder, ValueDecoder):
        squared = (model.target_decoder.scaling.undo(y[0]) - test.y) ** 2  # (N, T)
        errors = np.sqrt(np.average(squared, axis=0, weights=test.weights))
        several = [f"_{name}" for name in model.target_decoder.names] if len(errors) > 1 else [""]
        final |= {f"root_mean_squared_error{name}": float(e) for name, e in zip(several, errors, strict=True)}
    return final
