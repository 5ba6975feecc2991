"""Ensemble of the sweep: which finished networks answer best together, chosen by the validation rows."""

from typing import Any

import numpy as np

from nncore.backend import Array
from nncore.ensemble import Ensemble, greedy_selection, mixed_value, moments
from nncore.model import Model
from nncore.network import predict
from nncore.shape import Shape
from pipeline.artefacts import View
from pipeline.sweep.training import Answering


def validation_moments(view: View, shape: Shape, answering: Answering, stack: Any) -> Array:
    """What a network says about its validation rows, (N, .): see nncore.ensemble.moments."""
    z = predict(answering.weights(stack), shape, view.data.validation.x)
    return moments(shape.functions.loss, z)[0]


def chosen(view: View, shape: Shape, size: int, *said: Array) -> tuple[list[int], float]:
    """How often each network is taken, and the validation loss of the mean; the view says what was right.

    said   by network, its `validation_moments`; all on the same rows
    """
    rows, value = view.data.validation, mixed_value(shape.functions.loss)
    y = np.stack(said)
    counts = greedy_selection(y, rows.t, rows.weights, value, size)
    mean = np.average(y, axis=0, weights=counts)[None]
    loss = np.average(value(mean, rows.t.astype(np.float64)[None])[0], weights=rows.weights)
    return [int(count) for count in counts], float(loss)


def together(counts: list[int], *models: Model) -> Ensemble:
    """The models as one, each as often as it was taken."""
    return Ensemble(models, tuple(counts))
