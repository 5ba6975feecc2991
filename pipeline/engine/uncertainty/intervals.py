"""Confidence intervals of scores."""

import numpy as np

from nncore.kernels.backend import Array
from nncore.metrics import Metric
from pipeline.engine.uncertainty.retraining import retraining
from pipeline.engine.uncertainty.scores import Scores, measured

ROWS_OF_TRAINING = 25.0
CLASS_SHARES, SHARE_CORRECT = 1.6, 1.2
GROUPS_FREEDOM = 8.0  # of a score that is no mean over rows: the variance between groups of rows is rough
LEAST_FREEDOM = 10.0  # of the rows: their fourth moment is itself uncertain


def score_intervals(scores: Scores, confidence: float = 0.95) -> Array:
    """Confidence intervals of the scores of all trials.

    Parameters
    ----------
    scores : Scores
        With several networks per trial the intervals are those of the setting, with a single one those of the network;
        see `Scores.estimand`.
    confidence : float in (0, 1), default 0.95

    Returns
    -------
    array (T, 2)
        The lower and the upper end; NaN where nothing can be said: a score that is not finite, or that no row changes,
        or of a metric that has no interval.

    Notes
    -----
    The variance is that of the rows, sum of u^2, plus that of retraining, as far as the differences between folds or
    seeds show one (see `retraining`). Rows and loss are skewed: Hall's transformation of the studentized mean removes
    the skewness to second order. Degrees of freedom: those of the rows' variance from their kurtosis, combined with
    those of retraining by Satterthwaite's rule. For a root the interval is that of the mean under the root. For a share
    of rows it is Wilson's, with the number of rows that has the same variance.

    Out-of-fold losses are summed as if they were independent (Bayle et al.). But all networks of a sample were trained
    on most of its rows, and what depends on these in all of them alike cannot be seen in one sample. By simulation, the
    variance of the rows is multiplied by 1 + 25 / n, by 1.2 for shares of rows, and by 1.6 for scores that are no means
    over rows and depend on the shares of the classes, such as F1: a sample with more rows of a class also trains
    networks that predict it more.

    The interval of the trial that was chosen as the best of many is too optimistic; see `corrected`.

    References
    ----------
    Hall (1992), "On the removal of skewness by transformation"; Bayle, Bayle, Janson, Mackey (2020), "Cross-validation
    confidence intervals for test error"; Wilson (1927), "Probable inference"; Satterthwaite (1946).
    """
    finite = np.asarray(np.isfinite(scores.means).all(axis=(1, 2))) & scores.metric.has_interval
    result = np.full((len(finite), 2), np.nan)
    if not finite.any():
        return result
    known = scores.take(np.flatnonzero(finite))
    u, means = known.of_trials(), known.means.mean(axis=(1, 2))
    moved = retraining(known)
    rows, is_share = (u**2).sum(axis=1), _is_share(known)
    if known.means.shape[1] > 1:
        rows = rows * _out_of_fold_factor(known)
    variance = rows + moved.total
    with np.errstate(divide="ignore", invalid="ignore"):
        of_rows = 2 * rows**2 / np.maximum((u**4).sum(axis=1), 1e-300)
        of_rows = np.inf if is_share else np.maximum(of_rows, LEAST_FREEDOM)
        of_rows = of_rows if known.metric.rows else GROUPS_FREEDOM
        freedom = variance**2 / (rows**2 / of_rows + moved.total**2 / moved.total_freedom)
        skewness = (u**3).sum(axis=1) / variance**1.5
        freedom = np.where(variance > 0, np.maximum(freedom, 1), np.inf)
        quantile = t_quantile((1 + confidence) / 2, freedom)
        if is_share:
            ends = _wilson(means, variance, quantile, known.n_rows)
        else:
            root = np.sqrt(variance)
            ends = np.stack(
                [
                    means - root * _without_skewness(quantile, skewness),
                    means - root * _without_skewness(-quantile, skewness),
                ],
                axis=1,
            )
            ends[variance == 0] = np.nan
    ends = scores.metric.finish(np.maximum(ends, 0) if scores.metric.finish is np.sqrt else ends)
    result[finite] = np.clip(ends, *scores.metric.bounds)
    return result


def predictions_interval(
    metric: Metric, y: Array, t: Array, weights: Array | None = None, confidence: float = 0.95
) -> tuple[float, float] | None:
    """Confidence interval of the score of one model's or ensemble's predictions for rows that nothing was fitted to.

    Parameters
    ----------
    metric : Metric
    y : array (N, O)
    t : array (N, O)
    weights : array (N,), optional
    confidence : float in (0, 1), default 0.95

    Returns
    -------
    (float, float) or None
        None where there are too few rows; see `measured`.
    """
    scores = measured(metric, y[None, None], t, weights=weights)
    if scores is None:
        return None
    low, high = score_intervals(scores, confidence)[0].tolist()
    return (low, high) if np.isfinite([low, high]).all() else None


def t_quantile(level: float, freedom: Array) -> Array:
    """Quantile of Student's t distribution; the normal one for infinite degrees of freedom."""
    from scipy.special import stdtrit  # takes a while to load

    quantile: Array = stdtrit(np.minimum(freedom, 1e9), level)
    return quantile


def _without_skewness(quantile: Array, skewness: Array) -> Array:
    """The quantile of the studentized mean whose transformed value is `quantile`: Hall's (1992) cubic, inverted."""
    a = np.where(np.abs(skewness) < 1e-6, 1e-6, skewness)
    result: Array = 3 / a * (np.cbrt(1 + a * (quantile - a / 6)) - 1)
    return result


def _out_of_fold_factor(scores: Scores) -> float:
    """By how much out-of-fold rows vary a score more than new rows do, because other networks were trained on them."""
    factor = 1 + ROWS_OF_TRAINING / scores.n_rows
    if scores.metric.rows is None and "values" not in scores.metric.targets:
        return factor * CLASS_SHARES
    return factor * (SHARE_CORRECT if _is_share(scores) else 1)


def _is_share(scores: Scores) -> bool:
    """Whether each row counts 0 or 1: its influence has two values."""
    if scores.metric.rows is None or scores.metric.unit != "share" or not scores.metric.greater_is_better:
        return False
    return bool((scores.means >= 0).all() and (scores.means <= 1).all())


def _wilson(share: Array, variance: Array, quantile: Array, n_rows: int) -> Array:
    """Wilson's intervals of shares with these variances."""
    n = np.where(variance > 0, share * (1 - share) / np.where(variance > 0, variance, 1), n_rows)
    n = np.clip(n, 1, None)
    q2 = quantile**2
    centre = (share + q2 / (2 * n)) / (1 + q2 / n)
    half = quantile / (1 + q2 / n) * np.sqrt(share * (1 - share) / n + q2 / (4 * n**2))
    return np.stack([np.maximum(centre - half, 0), np.minimum(centre + half, 1)], axis=1)
