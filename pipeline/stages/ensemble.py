"""Ensemble of the sweep: which finished networks answer best together, chosen by the validation rows."""

from typing import Any

import numpy as np

from nncore.backend import Array
from nncore.ensemble import Ensemble, greedy_selection, mixed_value, moments
from nncore.model import Model
from nncore.network import predict
from nncore.shape import Shape
from pipeline.artefacts import View
from pipeline.sweep.training import Answering, opened


def validation_moments(view: View, shape: Shape, answering: list[Answering], stack: Any) -> Array:
    """What n networks of a stack say about their validation rows, (n, N, .): see nncore.ensemble.moments."""
    stack = opened(stack)
    weights = np.concatenate([one.weights(stack) for one in answering])
    return moments(shape.functions.loss, predict(weights, shape, view.data.validation.x))


def chosen(view: View, shape: Shape, size: int, places: list[int], *said: Array) -> tuple[list[int], float]:
    """How often each network is taken, and the validation loss of the mean; the view says what was right.

    places   where the first, the second, ... network is in `said`
    said     the `validation_moments` of all; on the same rows
    """
    rows, value = view.data.validation, mixed_value(shape.functions.loss)
    y = np.concatenate(said)[places]
    counts = greedy_selection(y, rows.t, rows.weights, value, size)
    mean = np.average(y, axis=0, weights=counts)[None]
    loss = np.average(value(mean, rows.t.astype(np.float64)[None])[0], weights=rows.weights)
    return [int(count) for count in counts], float(loss)


def together(counts: list[int], *models: Model) -> Ensemble:
    """The models as one, each as often as it was taken."""
    return Ensemble(models, tuple(counts))
