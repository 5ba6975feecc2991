"""Which trials cannot be told apart from the best of them."""

from typing import Literal, NamedTuple

import numpy as np

from nncore.kernels.backend import Array
from nncore.random_streams import generator
from pipeline.engine.uncertainty.retraining import retraining
from pipeline.engine.uncertainty.scores import Scores

N_DRAWS = 1000
MOST_COMPARED = 200  # trials that are compared pair by pair


class Comparison(NamedTuple):
    """How the trials compare with the best of them.

    Parameters
    ----------
    tied : bool array (T,)
        Whether a trial cannot be told apart from the best one; the best itself is tied, a diverged trial never.
    p_values : array (T,)
        Corrected for the number of trials and for the choice of the best; 1 for the best, NaN for diverged trials.
    kind : {"networks", "settings"}
        What is compared: these networks (one fold and one seed, where nothing is known of another network of the same
        setting), or settings, whose networks are trained anew.
    """

    tied: Array
    p_values: Array
    kind: Literal["networks", "settings"]


def compare(scores: Scores, level: float = 0.05) -> Comparison | None:
    """Compare all trials with the best.

    Parameters
    ----------
    scores : Scores
    level : float in (0, 1), default 0.05

    Returns
    -------
    Comparison or None
        None if no trial has a finite score.

    Notes
    -----
    For two trials with scores m, larger being worse, d = m_i - m_j is divided by its standard error: the rows are the
    same, so that their part is computed from the differences row by row; that of retraining is added (`retraining`).
    Trial i is worse than the best if max over j of d_ij / se_ij is large among

        v_i = max over j of (z_i - z_j) / se_ij,

    where z are joint normal draws with the covariance of the scores (the multiplier bootstrap): v_i less its median, by
    the distance from the median to its 95 % quantile, and of these numbers the largest over i, whose quantile is the
    limit. With a probability of at most `level` any of the settings that are truly as good as the best is called worse,
    whichever was the luckiest. Two networks are hardly ever equal, and of claims about networks that almost are, half
    are right: for them this probability is at most twice the level, and at most the level for each alone.

    Trials that are worse are set aside and the rest is tested again, with fewer pairs, until no more are worse: the
    model confidence set. Of more than 200 trials the worse ones are compared with the best alone, by Bonferroni's rule
    for all pairs. Tied means not proved worse; it does not mean equal.

    References
    ----------
    Hansen, Lunde, Nason (2011), "The model confidence set"; Hsu (1981), for the comparison with the best; Chernozhukov,
    Chetverikov, Kato (2013), "Gaussian approximations and multiplier bootstrap for maxima".
    """
    kind: Literal["networks", "settings"] = "networks" if scores.estimand == "networks" else "settings"
    scores = scores.finished()
    finite = np.flatnonzero(np.isfinite(scores.means).all(axis=(1, 2)))
    if not len(finite):
        return None
    values = scores.values[finite] * (-1 if scores.metric.greater_is_better else 1)
    order = finite[np.argsort(values, kind="stable")]
    values = np.sort(values, kind="stable")
    known = scores.take(order)
    u, moved = known.of_trials(), retraining(known)
    p_values = np.full(len(scores.means), np.nan)
    n_compared = min(len(order), MOST_COMPARED)
    p_values[order[:n_compared]] = step_down(
        values[:n_compared],
        u[:n_compared],
        moved.own[:n_compared],
        moved.own_freedom[:n_compared],
        level,
        simultaneous=kind == "settings",
    )
    if len(order) > n_compared:
        p_values[order[n_compared:]] = _against_best(values, u, moved.own, n_compared)
    p_values[order[0]] = 1
    return Comparison(p_values > level, p_values, kind)


def step_down(values: Array, u: Array, own: Array, freedom: Array, level: float, simultaneous: bool = True) -> Array:
    """Return the p-values of trials (T,), best first; see `compare` for the method.

    Parameters
    ----------
    values : array (T,)
        Scores, smaller is better, in ascending order.
    u : array (T, G)
        How much each group of rows moves them.
    own, freedom : array (T,)
        Their variance over retraining, and its degrees of freedom.
    level : float
    simultaneous : bool, default True
        Whether the level holds for all trials that are as good as the best together; otherwise it holds for each
        alone, and twice the level for all.
    """
    covariance = u @ u.T
    variances = np.diag(covariance)
    pairs = variances[:, None] + variances - 2 * covariance + own[:, None] + own
    noise = 1e-12 * (variances[:, None] + variances) + 1e-24 * (np.abs(values[:, None]) + np.abs(values)) ** 2
    errors = np.sqrt(np.maximum(pairs, noise))  # equal trials have no error but that of rounding
    np.fill_diagonal(errors, np.inf)
    draws = _draws(u, covariance, own, freedom).T.astype(np.float32, order="C")  # (T, B)
    p_values = np.zeros(len(values))
    remaining, p_value = np.arange(len(values)), 0.0
    while len(remaining) > 1:
        inverse = 1 / errors[np.ix_(remaining, remaining)]
        differences = values[remaining][:, None] - values[remaining]
        statistic = np.where(
            np.abs(differences) > 1e-12 * np.abs(values[remaining]).max(), differences * inverse, 0
        ).max(axis=1)
        chosen, weights = draws[remaining], inverse.astype(np.float32)[:, :, None]
        largest = np.stack([((row - chosen) * of_row).max(axis=0) for row, of_row in zip(chosen, weights, strict=True)])
        middle, high = np.quantile(largest, (0.5, 0.95), axis=1)
        scale = np.maximum(high - middle, 1e-6)
        joint = ((largest - middle[:, None]) / scale[:, None]).max(axis=0)  # (B,)
        exceeding = (1 + (joint >= ((statistic - middle) / scale)[:, None]).sum(axis=1)) / (1 + N_DRAWS)
        if not simultaneous:
            alone = 2 * (1 + (largest >= statistic[:, None]).sum(axis=1)) / (1 + N_DRAWS)  # two-sided
            exceeding = np.maximum(np.minimum(alone, 1), exceeding / 2)
        p_values[remaining] = np.maximum(exceeding, p_value)  # no smaller than that of a trial set aside before
        worse = p_values[remaining] <= level
        if not worse.any():
            break
        p_value = float(p_values[remaining][worse].max())
        remaining = remaining[~worse]
    return p_values


def _draws(u: Array, covariance: Array, own: Array, freedom: Array) -> Array:
    """Draws (B, T) of the scores' deviations from their expectation."""
    random = generator(0, "comparison with the best")
    n_trials = len(u)
    eigenvalues, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(eigenvalues, 0))
    draws = random.normal(size=(N_DRAWS, n_trials)) @ root.T
    if own.any():
        noise = random.normal(size=(N_DRAWS, n_trials)) * np.sqrt(own)
        chi_square = 2 * random.standard_gamma(np.maximum(freedom.min(), 1) / 2, size=(N_DRAWS, 1))
        draws += noise * np.sqrt(max(freedom.min(), 1) / chi_square)
    return draws


def _against_best(values: Array, u: Array, own: Array, start: int) -> Array:
    """The p-values of the trials from `start` on, best first, each against the best, by Bonferroni's rule."""
    from scipy.special import ndtr

    n = len(values)
    variance = ((u[start:] - u[0]) ** 2).sum(axis=1) + own[start:] + own[0]
    difference = values[start:] - values[0]
    t = np.divide(difference, np.sqrt(variance), out=np.where(difference > 0, np.inf, 0.0), where=variance > 0)
    adjusted: Array = np.minimum(1, n * (n - 1) * ndtr(-t))
    return adjusted
