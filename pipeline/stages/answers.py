"""Answers: what the networks of the best trials predict for rows that they were not trained on, with the truth."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from nncore.architecture import Architecture
from nncore.inference.model import ClassDecoder, ValueDecoder
from nncore.kernels.backend import Array
from nncore.losses import value_and_prediction
from nncore.stack.passes import predict
from pipeline.components.types import Development, PreparedView
from pipeline.engine.slices.task import NetworkSelector, load_stack


@dataclass(frozen=True)
class Answers:
    """Predictions for the validation rows of one fold, or of all folds one after the other.

    Parameters
    ----------
    trials : tuple of str (T,)
        Keys of the trials, best first.
    y : array (T, S, R, O)
        What the network of a trial with a seed predicts for a row, the network of the row's fold: probabilities
        (float32; with two classes O = 1, the probability of the second, in float64, as 1 - y is a probability too), or
        values in the target's unit (float64).
    loss : float32 array (T, S, R)
        The loss of each row that the trial's networks minimise.
    t : array (R, O)
        The truth: one-hot, or for two classes 0 or 1; 0 or 1 for each label; values in the target's unit.
    weights : float64 array (R,), or None
        Weights of the rows; None if all are equal.
    rows : int array (R,)
        Positions of the rows within the development rows.
    folds : int array (R,)
        The fold (from 0) of whose validation part a row is.
    deviation : float64 array (T, S, R, O), optional
        The standard deviations of the values in their unit, NaN of networks whose loss predicts none; None if no loss
        does.
    """

    trials: tuple[str, ...]
    y: Array
    loss: Array
    t: Array
    weights: Array | None
    rows: Array
    folds: Array
    deviation: Array | None = None

    def moments(self, trial: int, seed: int, has_deviation: bool) -> Array:
        """Return what can be averaged over networks: float64 (R, O), or with the mean squares (R, 2 O).

        See `nncore.inference.ensemble.moments`; values are in the target's unit.
        """
        y: Array = self.y[trial, seed].astype(np.float64)
        if not has_deviation or self.deviation is None:
            return y
        return np.concatenate([y, self.deviation[trial, seed] ** 2 + y**2], axis=1)


class NetworkPlace(NamedTuple):
    """Whose predictions they are: the position of the trial among the trials and of its seed, and the fold, from 0."""

    trial: int
    seed: int
    fold: int


class Predictions(NamedTuple):
    """What n networks predict for N rows: y and deviation (n, N, O), the loss of each row (n, N); see `Answers`."""

    y: Array
    loss: Array
    deviation: Array | None = None


def validation_predictions(
    view: PreparedView, architecture: Architecture, selectors: list[NetworkSelector], stack: Any
) -> Predictions:
    """Predict the validation rows of a fold with n networks of a stack."""
    stack, rows = load_stack(stack), view.data.validation
    weights = np.concatenate([selector.weights(stack) for selector in selectors])
    function, decoder, z = architecture.functions.loss, view.target_decoder, predict(weights, architecture, rows.x)
    loss, y = value_and_prediction(function, z, rows.t[None])
    if isinstance(decoder, ValueDecoder):
        z = z.astype(np.float64)
        deviation = function.deviation(z) * decoder.scaling.scale if function.deviation else None
        return Predictions(decoder.predicted(function.predict(z)), loss, deviation)
    return Predictions(function.predict(z.astype(np.float64)) if y.shape[2] == 1 else y, loss)


def collect_answers(
    development: Development, trials: tuple[str, ...], places: Sequence[NetworkPlace], *predictions: Predictions
) -> Answers:
    """Collect the predictions of all networks.

    Parameters
    ----------
    development : Development
    trials : tuple of str (T,)
    places : sequence of NetworkPlace
        Of each network, in the order of the predictions. Every trial has a network for each seed and each of the first
        folds.
    *predictions : Predictions
    """
    n_folds = 1 + max(place.fold for place in places)
    parts = [fold.validation for fold in development.folds[:n_folds]]
    starts = np.cumsum([0, *map(len, parts)])
    rows = np.concatenate(parts)
    n_seeds = 1 + max(place.seed for place in places)
    n_outputs, dtype = predictions[0].y.shape[2], predictions[0].y.dtype
    y = np.empty((len(trials), n_seeds, len(rows), n_outputs), dtype)
    loss = np.empty(y.shape[:3], np.float32)
    deviation = None
    if any(part.deviation is not None for part in predictions):
        deviation = np.full(y.shape, np.nan)
    networks = ((part, number) for part in predictions for number in range(len(part.y)))
    for place, (part, number) in zip(places, networks, strict=True):
        at = (place.trial, place.seed, slice(starts[place.fold], starts[place.fold + 1]))
        y[at], loss[at] = part.y[number], part.loss[number]
        if deviation is not None and part.deviation is not None:
            deviation[at] = part.deviation[number]
    raw = development.rows
    t = raw.y[rows]
    if development.labels is not None:
        t = ClassDecoder(development.labels).targets(t)
    weights = None if raw.weights is None else raw.weights[rows]
    folds = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    return Answers(trials, y, loss, t, weights, rows, folds, deviation)
