"""The threshold above which the second of two classes is predicted, tuned for a metric."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from nncore.kernels.backend import Array
from nncore.random_streams import generator

CANDIDATES = 200
DRAWS = 200  # of weights, for the standard error of the gain
DEFAULT = 0.5
AT_ONCE = 1 << 21  # numbers in one array

Score = Callable[[Array, Array, Array | None], Array]  # (y (K, N, 1), t (1, N, 1), weights (K or 1, N)) -> (K,)


class ThresholdChoice(NamedTuple):
    """Which threshold raises the score of rows that it was not chosen by.

    Parameters
    ----------
    value : float
        The threshold; 0.5 where no other one is clearly better.
    score_before, score_after : float
        The cross-fitted scores with 0.5 and with thresholds that were chosen in the same way by the other parts; equal
        where the threshold is 0.5.
    """

    value: float
    score_before: float
    score_after: float


def depends_on_threshold(score: Score) -> bool:
    """Return whether a score depends only on which probabilities of the second class are above 0.5."""
    random = generator(0, "which scores depend on the threshold")
    p, t = random.random((1, 64, 1)), (random.random((1, 64, 1)) < 0.5).astype(np.float64)
    with np.errstate(all="ignore"):
        of_p, of_decisions = (float(score(y, t, None)[0]) for y in (p, (p > DEFAULT).astype(np.float64)))
    return of_p == of_decisions


def choose_threshold(
    p: Array, t: Array, parts: Array, score: Score, greater_is_better: bool, weights: Array | None = None
) -> ThresholdChoice:
    """Choose the threshold with the best score, or 0.5.

    Parameters
    ----------
    p : array (N,)
        Probability of the second class, of rows that the network was not trained on.
    t : array (N,)
        1 for the second class, otherwise 0.
    parts : int array (N,)
        The part of each row, for cross-fitting; see `nncore.calibration.cross_fitting_parts`.
    score : callable
        The function `value` of a metric for which `depends_on_threshold` is true.
    greater_is_better : bool
    weights : array (N,), >= 0, optional

    Returns
    -------
    ThresholdChoice

    Notes
    -----
    Another threshold than 0.5 is chosen if the cross-fitted score gains more than a standard error: the deviation of
    the gain when the rows have random weights from a Poisson distribution (a bootstrap).
    """
    sign = 1.0 if greater_is_better else -1.0

    def scores(decisions: Array, rows: Array, of_rows: Array | None) -> Array:
        """The scores (K,) of decisions (K or 1, rows), greater ones being better, with weights (K or 1, rows)."""
        with np.errstate(all="ignore"):
            values = score(decisions.astype(np.float64)[:, :, None], t[rows][None, :, None], of_rows)
        return sign * np.asarray(values, np.float64)

    def best(rows: Array) -> float:
        candidates = _candidates(p[rows])
        of_rows = None if weights is None else weights[rows][None]
        size = max(1, AT_ONCE // len(rows))
        blocks = [
            scores(p[rows] > candidates[first : first + size, None], rows, of_rows)
            for first in range(0, len(candidates), size)
        ]
        values = np.concatenate(blocks)
        values = np.where(np.isnan(values), -np.inf, values)
        among = candidates[values == values.max()]
        return float(among[np.abs(among - DEFAULT).argmin()])

    everything, thresholds = np.arange(len(p)), np.full(len(p), DEFAULT)
    for part in np.unique(parts):
        if (parts != part).any():
            thresholds[parts == part] = best(np.flatnonzero(parts != part))
    default, tuned = (p > DEFAULT)[None], (p > thresholds)[None]
    given = None if weights is None else weights[None]
    before, after = (float(scores(decisions, everything, given)[0]) for decisions in (default, tuned))
    random, gains = generator(0, "threshold"), []
    for _ in range(DRAWS):
        drawn = random.poisson(1.0, (1, len(p))).astype(np.float64)
        drawn = drawn if weights is None else drawn * weights
        gains.append(float((scores(tuned, everything, drawn) - scores(default, everything, drawn))[0]))
    known = np.array([gain for gain in gains if not np.isnan(gain)])
    if len(known) and after - before > known.std():
        return ThresholdChoice(best(everything), sign * before, sign * after)
    return ThresholdChoice(DEFAULT, sign * before, sign * before)


def _candidates(p: Array) -> Array:
    """0.5 and at most CANDIDATES values between neighbouring probabilities."""
    values = np.unique(p)
    between = (values[:-1] + values[1:]) / 2
    if len(between) > CANDIDATES:
        between = between[np.linspace(0, len(between) - 1, CANDIDATES).astype(int)]
    return np.concatenate([[DEFAULT], between])
