"""Ensemble of the sweep: which finished networks answer best together, chosen by the validation rows."""

from typing import Any

import numpy as np

from nncore.architecture import Architecture
from nncore.inference.ensemble import Ensemble, greedy_selection, mixture_loss, moments
from nncore.inference.model import Model
from nncore.kernels.backend import Array
from nncore.stack.passes import predict
from pipeline.components.types import PreparedView
from pipeline.engine.slices.task import NetworkSelector, load_stack


def validation_moments(
    view: PreparedView, architecture: Architecture, answering: list[NetworkSelector], stack: Any
) -> Array:
    """What n networks of a stack say about their validation rows, (n, N, .): see nncore.inference.ensemble.moments."""
    stack = load_stack(stack)
    weights = np.concatenate([one.weights(stack) for one in answering])
    return moments(architecture.functions.loss, predict(weights, architecture, view.data.validation.x))


def chosen(
    view: PreparedView, architecture: Architecture, size: int, places: list[int], *said: Array
) -> tuple[list[int], float]:
    """How often each network is taken, and the validation loss of the mean; the view says what was right.

    places   where the first, the second, ... network is in `said`
    said     the `validation_moments` of all; on the same rows
    """
    rows, value = view.data.validation, mixture_loss(architecture.functions.loss)
    y = np.concatenate(said)[places]
    counts = greedy_selection(y, rows.t, rows.weights, value, size)
    mean = np.average(y, axis=0, weights=counts)[None]
    loss = np.average(value(mean, rows.t.astype(np.float64)[None])[0], weights=rows.weights)
    return [int(count) for count in counts], float(loss)


def together(counts: list[int], *models: Model) -> Ensemble:
    """The models as one, each as often as it was taken."""
    return Ensemble(models, tuple(counts))
