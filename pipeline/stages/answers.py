"""Answers: what the networks of the best trials predict for rows that they were not trained on, with the truth."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from nncore.architecture import Architecture
from nncore.inference.model import ClassDecoder, ValueDecoder
from nncore.kernels.backend import Array
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
    t: Array
    weights: Array | None
    rows: Array
    folds: Array


class NetworkPlace(NamedTuple):
    """Whose predictions they are: the position of the trial among the trials and of its seed, and the fold, from 0."""

    trial: int
    seed: int
    fold: int


def validation_predictions(
    view: PreparedView, architecture: Architecture, selectors: list[NetworkSelector], stack: Any
) -> Array:
    """Predict the validation rows of a fold with n networks of a stack.

    Returns
    -------
    array (n, N, O)
        See `Answers.y`.
    """
    stack = load_stack(stack)
    weights = np.concatenate([selector.weights(stack) for selector in selectors])
    y = architecture.functions.loss.predict(predict(weights, architecture, view.data.validation.x))
    decoder = view.target_decoder
    return decoder.scaling.undo(y) if isinstance(decoder, ValueDecoder) else y


def collect_answers(
    development: Development, trials: tuple[str, ...], places: Sequence[NetworkPlace], *predictions: Array
) -> Answers:
    """Collect the predictions of all networks.

    Parameters
    ----------
    development : Development
    trials : tuple of str (T,)
    places : sequence of NetworkPlace
        Of each network, in the order of the predictions. Every trial has a network for each seed and fold.
    *predictions : array (n, N, O)
        See `validation_predictions`.
    """
    parts = [fold.validation for fold in development.folds]
    starts = np.cumsum([0, *map(len, parts)])
    rows = np.concatenate(parts)
    n_seeds = 1 + max(place.seed for place in places)
    y = np.empty((len(trials), n_seeds, len(rows), predictions[0].shape[2]), predictions[0].dtype)
    networks = (network for networks in predictions for network in networks)
    for place, network in zip(places, networks, strict=True):
        y[place.trial, place.seed, starts[place.fold] : starts[place.fold + 1]] = network
    raw = development.rows
    t = raw.y[rows]
    if development.labels is not None:
        t = ClassDecoder(development.labels).targets(t)
    weights = None if raw.weights is None else raw.weights[rows]
    folds = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    return Answers(trials, y, t, weights, rows, folds)
