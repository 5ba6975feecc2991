"""Select, by the validation rows, which trained networks predict best together."""

from typing import Any

import numpy as np

from nncore.architecture import Architecture
from nncore.inference.ensemble import Ensemble, greedy_selection
from nncore.inference.model import Model, TargetDecoder, ValueDecoder
from nncore.kernels.backend import Array
from nncore.losses import Loss, mixture_logits, moments
from nncore.stack.passes import predict
from pipeline.components.types import PreparedView
from pipeline.engine.slices.task import NetworkSelector, load_stack


def validation_moments(
    view: PreparedView, architecture: Architecture, selectors: list[NetworkSelector], stack: Any
) -> Array:
    """Predict the validation rows with n networks of a stack.

    Returns
    -------
    array, shape (n, N, .)
        What can be averaged: values in their own unit; see nncore.losses.moments for probabilities, and for values with
        deviations, which are in the view's scale.
    """
    stack, loss, decoder = load_stack(stack), architecture.functions.loss, view.target_decoder
    weights = np.concatenate([selector.weights(stack) for selector in selectors])
    z = predict(weights, architecture, view.data.validation.x).astype(np.float64)
    if isinstance(decoder, ValueDecoder):
        y = decoder.predicted(loss.predict(z))
        if not loss.deviation:
            return y
        z = loss.to_logits(decoder.scaling(y), loss.deviation(z))
    return moments(loss, z)


def mean_logits(decoder: TargetDecoder, loss: Loss, mean: Array) -> Array:
    """Return the outputs (K, N, outputs) in the decoder's scale that predict a mean of `validation_moments`."""
    if isinstance(decoder, ValueDecoder) and not loss.deviation:
        return loss.to_logits(decoder.scaled(mean), None)
    return mixture_logits(loss, mean)


def select_networks(
    view: PreparedView, architecture: Architecture, size: int, positions: list[int], *predictions: Array
) -> tuple[list[int], float]:
    """Select an ensemble greedily, with replacement.

    Parameters
    ----------
    view : PreparedView
        Holds the targets of the validation rows.
    architecture : Architecture
    size : int
    positions : list of int
        Where the first, the second, ... network is in `predictions`.
    *predictions : array, shape (n, N, .)
        The `validation_moments` of all networks, on the same rows.

    Returns
    -------
    counts : list of int
        How often each network is selected.
    loss : float
        Validation loss of the mean prediction.

    Notes
    -----
    Networks are selected by the loss; if targets are transformed, by that of the values in their own unit, divided by
    their standard deviation.
    """
    rows, function, decoder = view.data.validation, architecture.functions.loss, view.target_decoder
    y, t = np.concatenate(predictions)[positions], rows.t.astype(np.float64)

    def value(mean: Array, t: Array) -> Array:
        return function.value(mean_logits(decoder, function, mean), t)

    if isinstance(decoder, ValueDecoder) and decoder.transform:
        values = decoder.undo(t)
        scale = values.std(axis=0)
        counts = greedy_selection(y / scale, values / scale, rows.weights, function.value, size)
    else:
        counts = greedy_selection(y, t, rows.weights, value, size)
    mean = np.average(y, axis=0, weights=counts)[None]
    loss = np.average(value(mean, t[None])[0], weights=rows.weights)
    return [int(count) for count in counts], float(loss)


def build_ensemble(counts: list[int], *models: Model) -> Ensemble:
    """Combine models into one, each as often as it was selected."""
    return Ensemble(models, tuple(counts))
