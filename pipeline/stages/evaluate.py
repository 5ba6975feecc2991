"""Evaluate: assemble models, and score them on the test rows."""

from typing import Any

import numpy as np

from nncore.architecture import Architecture
from nncore.inference.ensemble import Ensemble
from nncore.inference.model import Model, ValueDecoder
from nncore.kernels.backend import Array
from nncore.losses import mean_value
from pipeline.components.types import PreparedView, RawRows, Task
from pipeline.engine.slices.task import METRICS, NetworkSelector


def assemble(view: PreparedView, architecture: Architecture, selector: NetworkSelector, stack: Any) -> Model:
    """Assemble the model of one network, from raw row to prediction.

    Parameters
    ----------
    view : PreparedView
        What the network was trained on.
    architecture : Architecture
    selector : NetworkSelector
    stack : Stack or Checkpoint
        Holds the network.
    """
    return Model(view.preprocessing, view.transforms, architecture, selector.weights(stack), view.target_decoder)


def evaluate(model: Model | Ensemble, test: RawRows, task: Task) -> dict[str, float]:
    """Return loss and metrics on the test rows; of a regression also the RMSE in the target's unit."""
    return scores_of(model, model.logits(test.x), test, task)


def scores_of(model: Model | Ensemble, logits: Array, test: RawRows, task: Task) -> dict[str, float]:
    """Return the scores of the model's outputs (N, O) for these rows; see `evaluate`."""
    z = logits[None]  # (1, N, O)
    t = model.target_decoder.targets(test.y)[None]
    weights = None if test.weights is None else (test.weights / test.weights.mean()).astype(z.dtype)[None]
    loss = model.loss
    y = loss.predict(z)
    scores = {"loss": mean_value(loss, z, t, weights)}
    scores |= {name: metric.value(y, t, weights) for name, metric in METRICS[task].items()}
    final = {name: float(value[0]) for name, value in scores.items()}
    if isinstance(model.target_decoder, ValueDecoder):
        squared = (model.target_decoder.scaling.undo(y[0]) - test.y) ** 2  # (N, T)
        errors = np.sqrt(np.average(squared, axis=0, weights=test.weights))
        suffixes = [f"_{name}" for name in model.target_decoder.names] if len(errors) > 1 else [""]
        final |= {
            f"root_mean_squared_error{suffix}": float(error) for suffix, error in zip(suffixes, errors, strict=True)
        }
    return final
