"""Answers: what the networks of the best trials predict for rows that they were not trained on, with the truth."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
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
        (float32; with two classes O = 1, the probability of the second), or values in the target's unit (float64).
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
    """

    trials: tuple[str, ...]
    y: Array
    loss: Array
    t: Array
    weights: Array | None
    rows: Array
    folds: Array


class NetworkPlace(NamedTuple):
    """Whose predictions they are: the position of the trial among the trials and of its seed, and the fold, from 0."""

    trial: int
    seed: int
    fold: int


class Predictions(NamedTuple):
    """What n networks predict for N rows: y (n, N, O) and the loss of each row (n, N); see `Answers`."""

    y: Array
    loss: Array


def validation_predictions(
    view: PreparedView, architecture: Architecture, selectors: list[NetworkSelector], stack: Any
) -> Predictions:
    """Predict the validation rows of a fold with n networks of a stack."""
    stack, rows = load_stack(stack), view.data.validation
    weights = np.concatenate([selector.weights(stack) for selector in selectors])
    loss, y = value_and_prediction(architecture.functions.loss, predict(weights, architecture, rows.x), rows.t[None])
    decoder = view.target_decoder
    return Predictions(decoder.predicted(y) if isinstance(decoder, ValueDecoder) else y, loss)


def collect_answers(
    development: Development, trials: tuple[str, ...], places: Sequence[NetworkPlace], *predictions: Predictions
) -> Answers:
    """Collect the predictions of all networks.

    Parameters
    ----------
    development : Development
    trials : tuple of str (T,)
    places : sequence of NetworkPlace
        Of each network, in the order of the predictions. Every trial has a network for each seed and fold.
    *predictions : Predictions
    """
    parts = [fold.validation for fold in development.folds]
    starts = np.cumsum([0, *map(len, parts)])
    rows = np.concatenate(parts)
    n_seeds = 1 + max(place.seed for place in places)
    n_outputs, dtype = predictions[0].y.shape[2], predictions[0].y.dtype
    y = np.empty((len(trials), n_seeds, len(rows), n_outputs), dtype)
    loss = np.empty(y.shape[:3], np.float32)
    networks = chain.from_iterable(zip(part.y, part.loss, strict=True) for part in predictions)
    for place, (y_of_network, loss_of_network) in zip(places, networks, strict=True):
        part = slice(starts[place.fold], starts[place.fold + 1])
        y[place.trial, place.seed, part], loss[place.trial, place.seed, part] = y_of_network, loss_of_network
    raw = development.rows
    t = raw.y[rows]
    if development.labels is not None:
        t = ClassDecoder(development.labels).targets(t)
    weights = None if raw.weights is None else raw.weights[rows]
    folds = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    return Answers(trials, y, loss, t, weights, rows, folds)
