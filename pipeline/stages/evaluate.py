"""Evaluate: assemble models, and score them on the test rows."""

from typing import Any

import numpy as np

from nncore.architecture import Architecture
from nncore.inference.ensemble import Ensemble
from nncore.inference.model import ClassDecoder, Model, ValueDecoder
from nncore.kernels.backend import Array
from nncore.losses import mean_value
from pipeline.components.scores import LOSS, metrics_of, scores_by_name
from pipeline.components.types import PreparedView, RawRows, Task
from pipeline.engine.slices.task import NetworkSelector
from pipeline.engine.uncertainty.intervals import predictions_interval


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
    """Return the loss and all scores of the task on the test rows.

    Of several targets, there are also some scores of each, under "<metric>_<target>". Scores of values are in the
    targets' own units. A score that is not defined for these rows is left out.
    """
    return scores_of(model, model.logits(test.x), test, task)


def scores_of(model: Model | Ensemble, logits: Array, test: RawRows, task: Task) -> dict[str, float]:
    """Return the scores of the model's outputs (N, O) for these rows; see `evaluate`."""
    z, decoder = logits[None], model.target_decoder  # (1, N, O)
    weights = None if test.weights is None else (test.weights / test.weights.mean()).astype(z.dtype)[None]
    mean_loss = mean_value(model.loss, z, decoder.targets(test.y)[None], weights)
    y, t, threshold = compared(model, logits, test)
    scores = scores_by_name(y[None], t[None], weights, task, decoder.names, threshold) | {LOSS: mean_loss}
    return {name: float(value[0]) for name, value in scores.items() if not np.isnan(value[0])}


def evaluate_intervals(model: Model | Ensemble, test: RawRows, task: Task) -> dict[str, list[float]]:
    """Return both ends of the 95 % intervals of the scores on the test rows, by metric, where there are enough rows."""
    y, t, threshold = compared(model, model.logits(test.x), test)
    with np.errstate(all="ignore"):
        intervals = {
            name: predictions_interval(metric, y, t, test.weights)
            for name, metric in metrics_of(task, threshold).items()
        }
    return {name: list(interval) for name, interval in intervals.items() if interval is not None}


def compared(model: Model | Ensemble, logits: Array, test: RawRows) -> tuple[Array, Array, float]:
    """Return predictions and truth (N, O) as metrics compare them, and above which probability a class is predicted."""
    decoder, y = model.target_decoder, model.loss.predict(logits[None])[0]
    if isinstance(decoder, ValueDecoder):
        return decoder.predicted(y), test.y, 0.5
    return y, decoder.targets(test.y), decoder.threshold if isinstance(decoder, ClassDecoder) else 0.5
