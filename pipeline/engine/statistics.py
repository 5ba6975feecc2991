"""Statistics of a sweep: confidence intervals of means, ties with the best trial, and which tied trial to prefer.

    T trials;  F folds, S seeds per fold;  J repeats, which count as independent measurements

Validation scores vary with the fold and with the seed. Folds share training rows, so their scores are correlated, and
a plain t statistic overstates the evidence: the variance of a mean is s^2 (1/J + correction), where correction =
n_validation / n_train with several folds, and 0 with one (Nadeau & Bengio 2003).
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

    Parameters
    ----------
    tied : bool array (T,)
        Whether a trial cannot be distinguished from the best; the best itself is tied.
    p_values : array (T,)
        After Holm's correction: tied where above the level; 1 for the best, NaN for diverged trials.
    """

    tied: Array
    p_values: Array


def repeats(scores: ArrayLike, n_folds: int) -> Array:
    """The scores that count as repeats.

    Parameters
    ----------
    scores : array (..., F S)
        Of the networks of a trial, the seeds of a fold side by side.
    n_folds : int, > 0
        F.

    Returns
    -------
    array (..., J)
        With several folds the mean over the seeds of each, J = F: the networks of one fold share all their rows, and
        tell less about other rows than as many folds would. With one fold the scores themselves, J = S: they show how
        much the random start matters, not how much the choice of the rows does.
    """
    values = np.asarray(scores, np.float64)
    return values if n_folds == 1 else values.reshape(*values.shape[:-1], n_folds, -1).mean(axis=-1)


def interval(values: Sequence[float], correction: float, confidence: float = 0.95) -> float | None:
    """Half the width of the confidence interval of the mean of J repeats.

    Parameters
    ----------
    values : sequence of float, J of them
    correction : float, >= 0
    confidence : float in (0, 1), default 0.95

    Returns
    -------
    float or None
        None if there are fewer than two values, or one is not finite: then nothing can be said.

    Notes
    -----
    t_(J-1) s sqrt(1/J + correction), where s is the sample standard deviation.

    References
    ----------
    Nadeau & Bengio (2003), "Inference for the generalization error", section 3.
    """
    if len(values) < 2 or not np.isfinite(values).all():
        return None
    from scipy.special import stdtrit  # takes a while to load, and most sweeps have one network per trial

    quantile = stdtrit(len(values) - 1, (1 + confidence) / 2)
    return float(quantile * np.std(values, ddof=1) * math.sqrt(1 / len(values) + correction))


def tied(scores: ArrayLike, best: int, correction: float, level: float = 0.05) -> Ties | None:
    """Which trials the test `TEST` cannot distinguish from the best.

    Parameters
    ----------
    scores : array (T, J)
        A column per repeat.
    best : int
        The row of the best trial.
    correction : float, >= 0
        0 for the paired t-test.
    level : float in (0, 1), default 0.05

    Returns
    -------
    Ties or None
        None if there is one repeat: then nothing can be told.

    Raises
    ------
    ValueError
        If the best has a score that is not finite.

    Notes
    -----
    t = mean(d) / (s sqrt(1/J + correction)) with J - 1 degrees of freedom, where d are the differences from the best,
    repeat by repeat, and s is their sample standard deviation. Equal scores are tied. A difference that is the same in
    all repeats, but not 0, is not. A trial with a score that is not finite has diverged and is never tied.

    Holm's correction is needed because the best of many equal trials is the luckiest: one by one, a sweep of 100 of
    them would declare about 5 worse by chance alone, and more because the best was picked by the same scores. With it,
    a trial named beforehand as `best` is wrongly distinguished from any other with a probability of at most the level;
    for the luckiest of 20 it is about 3 times the level. The price is power: with 112 trials and 5 folds, t must exceed
    10.6 where 2.8 is enough for a single comparison. Tied means not proved worse; it does not mean equal.

    References
    ----------
    Nadeau & Bengio (2003), "Inference for the generalization error"; Bouckaert & Frank (2004), for folds.
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
    """Adjust p-values of N tests so that they can be compared with one level.

    Parameters
    ----------
    p_values : array (N,)

    Returns
    -------
    array (N,)
        The smallest is multiplied by N, the next by N - 1 and so on; none becomes smaller than one before it, or
        larger than 1.

    References
    ----------
    Holm (1979), "A simple sequentially rejective multiple test procedure".

    Examples
    --------
    >>> holm(np.array([0.01, 0.5, 0.02])).tolist()
    [0.03, 0.5, 0.04]
    """
    order = np.argsort(p_values)
    factors = np.arange(len(order), 0, -1)
    corrected = np.empty(len(order))
    corrected[order] = np.minimum(np.maximum.accumulate(factors * p_values[order]), 1)
    return corrected


def pareto_front(objectives: ArrayLike) -> Array:
    """Which trials no other trial dominates.

    Parameters
    ----------
    objectives : array (T, M), M >= 1
        Smaller is better.

    Returns
    -------
    bool array (T,)

    Notes
    -----
    A trial dominates another if it is nowhere worse and somewhere better; equal trials are in or out together. A trial
    with an objective that is not finite is never in.

    Examples
    --------
    >>> pareto_front([[0.1, 500], [0.2, 100], [0.3, 300]]).tolist()
    [True, True, False]
    """
    values = np.asarray(objectives, np.float64)
    on_front = np.all(np.isfinite(values), axis=1)
    distinct, indices = np.unique(values[on_front], axis=0, return_inverse=True)
    front, size = np.empty_like(distinct.T), 0  # (M, trials on the front so far)
    good = np.zeros(len(distinct), bool)
    for index, point in enumerate(distinct):  # by the first objective, then the next: only earlier ones can dominate
        if not (front[1:, :size] <= point[1:, None]).all(axis=0).any():
            front[:, size], good[index] = point, True
            size += 1
    on_front[on_front] = good[indices.reshape(-1)]
    return on_front


def simplest(candidates: Sequence[tuple[int, ...]]) -> int:
    """The place of the candidate to prefer among tied trials.

    Parameters
    ----------
    candidates : sequence of tuple of int
        For each, counts of which fewer are better, the most important first, such as (parameters of its network, its
        hyperparameters, its rank): the smallest network, of equals the one with the fewest settings, of equals the
        best.

    Raises
    ------
    ValueError
        If there is no candidate.
    """
    return min(range(len(candidates)), key=candidates.__getitem__)
