"""Main effects: which optimizer, or which regularizer, is better, and by how much."""

from collections.abc import Hashable, Sequence
from math import comb
from typing import NamedTuple

import numpy as np

from nncore.kernels.backend import Array
from pipeline.engine.uncertainty.comparison import step_down
from pipeline.engine.uncertainty.intervals import t_quantile
from pipeline.engine.uncertainty.retraining import retraining
from pipeline.engine.uncertainty.scores import Scores


class Effect(NamedTuple):
    """How good the trials with one value of a hyperparameter are.

    Parameters
    ----------
    value : str
    mean : float
        Mean over the contexts of the score of the best of equally many trials with each value.
    low, high : float
        95 % confidence interval of the mean, for comparisons with the other values: without what all values share.
    n : int
        Trials.
    tied : bool
        Whether the value cannot be told apart from the best one.
    """

    value: str
    mean: float
    low: float
    high: float
    n: int
    tied: bool


def main_effects(
    scores: Scores, values: Sequence[str], contexts: Sequence[Hashable], level: float = 0.05
) -> list[Effect] | None:
    """Compare the values of one hyperparameter, like with like.

    Parameters
    ----------
    scores : Scores
    values : sequence of str (T,)
        The value that each trial has, such as the name of its optimizer.
    contexts : sequence of hashable (T,)
        What else must be equal for a comparison, such as the name of its regularizer; () if there is nothing. What is
        tuned for each value, such as the learning rate, is no part of it.
    level : float in (0, 1), default 0.05

    Returns
    -------
    list of Effect or None
        The best first. None if there are fewer than two values, or no context in which every value was tried. It is not
        for adaptive searches (TPE, halving): they try good values more often, and their trials cannot be compared so.

    Notes
    -----
    In each context in which all values occur, a value counts what the best of k of its trials scores, on the average
    over all choices of k of them, where k is how many trials all values have: the best of more trials would be better
    by chance alone. The mean over these contexts is the value's effect. Its variance is that of the rows, of
    differences to the mean of all values, and of retraining; or where more than that, of the differences between the
    contexts, which with one network per trial are all that is known about retraining. Values are compared as in
    `pipeline.engine.uncertainty.comparison`.
    """
    scores = scores.finished()
    finite = np.isfinite(scores.means).all(axis=(1, 2))
    sign = -1 if scores.metric.greater_is_better else 1
    losses = sign * scores.values
    names = list(dict.fromkeys(values))
    cells: dict[Hashable, dict[str, list[int]]] = {}
    for trial in np.flatnonzero(finite).tolist():
        cells.setdefault(contexts[trial], {}).setdefault(values[trial], []).append(trial)
    complete = [cell for cell in cells.values() if len(cell) == len(names)]
    if len(names) < 2 or not complete:
        return None
    moved, of_trials = retraining(scores), sign * scores.of_trials()  # (T, G)
    table, own = np.empty((len(names), len(complete))), np.empty((len(names), len(complete)))  # (V, C)
    u, freedom = np.empty((*table.shape, of_trials.shape[1])), np.empty(len(names))  # (V, C, G), (V,)
    for column, cell in enumerate(complete):
        tried = min(map(len, cell.values()))
        for row, name in enumerate(names):
            trials = np.array(sorted(cell[name], key=losses.__getitem__))
            shares = share_of_best(len(trials), tried)
            table[row, column], u[row, column] = shares @ losses[trials], shares @ of_trials[trials]
            own[row, column] = shares**2 @ moved.own[trials]
            freedom[row] = moved.own_freedom[trials].min()
    means = table.mean(axis=1)
    own, freedom = _variance(table, u, own.mean(axis=1) / len(complete), freedom)
    u = u.mean(axis=1)
    order = np.argsort(means, kind="stable")
    p_values = np.ones(len(names))
    p_values[order] = step_down(means[order], u[order], own[order], freedom[order], level)
    p_values[order[0]] = 1
    n_values = len(names)
    rows = ((u - u.mean(axis=0)) ** 2).sum(axis=1)
    shared = (own * (1 - 2 / n_values) + own.mean() / n_values) if n_values > 2 else np.full(2, own.mean() / 2)
    variance = rows + shared
    with np.errstate(divide="ignore", invalid="ignore"):
        of_all = np.where(shared > 0, variance**2 / (shared**2 / freedom), np.inf)
    half = t_quantile(1 - level / 2, np.maximum(of_all, 1)) * np.sqrt(variance)
    counts = [sum(value == name for value in values) for name in names]
    return [
        Effect(
            names[v],
            float(sign * means[v]),
            float(sign * means[v] - half[v]),
            float(sign * means[v] + half[v]),
            counts[v],
            bool(p_values[v] > level),
        )
        for v in order
    ]


def share_of_best(n: int, k: int) -> Array:
    """How often each of n trials, the best first, is the best of k of them, over all choices of k (n,)."""
    return np.array([comb(n - 1 - position, k - 1) / comb(n, k) for position in range(n)])


def _variance(table: Array, u: Array, own: Array, freedom: Array) -> tuple[Array, Array]:
    """Variance of the effects (V,) beyond that of the rows, and its degrees of freedom.

    It is that of retraining, `own` with its `freedom`, or what the differences between the contexts show if it is more.
    """
    n_values, n_contexts = table.shape
    if n_contexts < 2:
        return own, freedom
    residual = table - table.mean(axis=0) - table.mean(axis=1, keepdims=True) + table.mean()
    rows = u - u.mean(axis=0) - u.mean(axis=1, keepdims=True) + u.mean(axis=(0, 1))
    of_contexts = (n_values - 1) * (n_contexts - 1)
    excess = ((residual**2).sum() - (rows**2).sum()) / of_contexts / n_contexts
    larger = excess > own
    return np.where(larger, excess, own), np.where(larger, of_contexts, freedom)
