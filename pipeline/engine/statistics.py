"""Statistics of a sweep: how sure a mean is, which trials tie with the best, and which of them to prefer.

    T trials;  F folds, S seeds per fold;  J repeats, what counts as measured independently of each other

Validation scores vary with the fold and with the seed. Folds share training rows, so that their scores rise and fall
together and a plain t statistic is too sure of itself: the variance of a mean is s^2 (1/J + correction), where
correction = n_validation / n_train with several folds, and 0 with one (Nadeau & Bengio 2003).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from nncore.kernels.backend import Array

TEST = "paired corrected resampled t-test (Nadeau & Bengio 2003), two-sided, Holm's correction over the trials"


class Ties(NamedTuple):
    """How the trials compare with the best of them.

    tied       (T,) bool, whether a trial cannot be told apart from the best; the best itself is tied
    p_values   (T,), corrected by Holm's rule: tied where above the level; 1 for the best, NaN for diverged trials
    """

    tied: Array
    p_values: Array


def repeats(scores: ArrayLike, n_folds: int) -> Array:
    """The columns that count as repeats: scores (..., F S), the seeds of a fold side by side -> (..., J).

    With several folds their means over the seeds, J = F: the networks of one fold share all their rows, so that
    they say less about other rows than as many folds would. With one fold its seeds, J = S: what is then measured
    is how much the random start matters, not the choice of the rows.
    """
    values = np.asarray(scores, np.float64)
    return values if n_folds == 1 else values.reshape(*values.shape[:-1], n_folds, -1).mean(axis=-1)


def interval(values: Sequence[float], correction: float, confidence: float = 0.95) -> float | None:
    """Half the width of the confidence interval of the mean of J repeats.

        t_(J-1) s sqrt(1/J + correction),  s the sample standard deviation

    Returns  None if there are fewer than two values or one is not finite: then nothing can be said
    Range    correction >= 0;  0 < confidence < 1
    Source   Nadeau & Bengio (2003), "Inference for the generalization error", section 3
    """
    if len(values) < 2 or not np.isfinite(values).all():
        return None
    from scipy.special import stdtrit  # takes a while to load, and most sweeps have one network per trial

    quantile = stdtrit(len(values) - 1, (1 + confidence) / 2)
    return float(quantile * np.std(values, ddof=1) * math.sqrt(1 / len(values) + correction))


def tied(scores: ArrayLike, best: int, correction: float, level: float = 0.05) -> Ties | None:
    """Which trials the test `TEST` cannot tell apart from trial `best`; scores (T, J), a column per repeat.

        t = mean(d) / (s sqrt(1/J + correction)) with J - 1 degrees of freedom, d = difference to the best, repeat by
        repeat, and s its sample standard deviation

    With correction 0 it is the paired t-test. Equal scores are tied. A difference that is the same in all repeats,
    but not 0, is not. A trial with a score that is not finite has diverged and is never tied.

    Holm's correction, because the best of many equal trials is the luckiest: one by one, a sweep of 100 of them
    would call about 5 worse by chance alone, and more as the best was picked by the same scores. With it, a trial
    named beforehand as `best` is wrongly told apart from any at all with at most the level's probability; for the
    luckiest of 20 it is about 3 times that. The price is power: with 112 trials and 5 folds, t must exceed 10.6 for
    what 2.8 is enough for alone. Tied means not proved worse; it does not mean equal.

    Returns  None if there is one repeat: then nothing can be told
    Range    correction >= 0;  0 < level < 1
    Raises   ValueError if the best has a score that is not finite
    Source   Nadeau & Bengio (2003), "Inference for the generalization error"; Bouckaert & Frank (2004), for folds
    """
    values = np.asarray(scores, np.float64)
    finite = np.all(np.isfinite(values), axis=1)
    if not finite[best]:
        raise ValueError(f"best must be a trial whose scores are finite, but trial {best} has {values[best].tolist()}")
    if values.shape[1] < 2:
        return None
    others = np.flatnonzero(finite & (np.arange(len(values)) != best))
    p_values = np.full(len(values), np.nan)
    p_values[best] = 1
    p_values[others] = holm(_paired(values[others], values[best], correction))
    return Ties(p_values > level, p_values)


def _paired(a: Array, b: Array, correction: float) -> Array:
    """The p-values of the rows of a (N, J) against b (J,)."""
    from scipy.special import stdtr

    n = len(b)
    d = np.where(np.isclose(a, b, rtol=1e-12, atol=0), 0, a - b)  # means of equal scores may differ in the last bit
    mean, error = np.abs(d.mean(axis=1)), d.std(axis=1, ddof=1) * math.sqrt(1 / n + correction)
    t = np.divide(mean, error, out=np.where(mean > 0, np.inf, 0), where=error > 0)
    return 2 * stdtr(n - 1, -t)


def holm(p_values: Array) -> Array:
    """p-values (N,) of N tests, made larger so that they can be judged together.

    The smallest is multiplied by N, the next by N - 1 and so on; none gets smaller than one before it, or above 1.

    Source   Holm (1979), "A simple sequentially rejective multiple test procedure"
    """
    order = np.argsort(p_values)
    factors = np.arange(len(order), 0, -1)
    corrected = np.empty(len(order))
    corrected[order] = np.minimum(np.maximum.accumulate(factors * p_values[order]), 1)
    return corrected


def pareto_front(objectives: ArrayLike) -> Array:
    """Which trials no other dominates, (T,) bool; objectives (T, M), M >= 1, smaller is better.

    One dominates another if it is nowhere worse and somewhere better, so that equal trials are in or out together.
    A trial with an objective that is not finite is never in.
    """
    values = np.asarray(objectives, np.float64)
    on_front = np.all(np.isfinite(values), axis=1)
    distinct, places = np.unique(values[on_front], axis=0, return_inverse=True)
    front, size = np.empty_like(distinct.T), 0  # (M, found so far)
    good = np.zeros(len(distinct), bool)
    for index, point in enumerate(distinct):  # by the first objective, then the next: only earlier ones can dominate
        if not (front[1:, :size] <= point[1:, None]).all(axis=0).any():
            front[:, size], good[index] = point, True
            size += 1
    on_front[on_front] = good[places.reshape(-1)]
    return on_front


def simplest(candidates: Sequence[tuple[int, ...]]) -> int:
    """The place of the candidate to prefer among tied trials, by counts that are better small, most important first.

    Such as (parameters of its network, its hyperparameters, its rank): the smallest network, of equals the one with
    the fewest settings to keep, of equals the best.

    Raises   ValueError if there is no candidate
    """
    return min(range(len(candidates)), key=candidates.__getitem__)
