"""Conformal intervals: how far around a prediction the true value is expected, from errors on rows held out."""

import numpy as np

from nncore.kernels.backend import Array


def conformal_half_width(errors: Array, coverage: float, weights: Array | None = None) -> Array:
    """Return the distance within which the value of a new row is, with the probability `coverage`.

    Parameters
    ----------
    errors : array (N, T), >= 0
        |y - t| of rows that the predictions y were not fitted to, by target, or another measure of the distance.
    coverage : float, in (0, 1)
    weights : array (N,), >= 0, optional
        Weights of the rows; only their ratios matter.

    Returns
    -------
    float64 array (T,)
        Infinite where the rows are too few; see `fewest_rows`.

    Notes
    -----
    The k-th smallest error with k = ceil((N + 1) coverage), so that the probability is at least `coverage` in the mean
    over the rows held out, if these and the new row are exchangeable. With weights w, the new row has the weight
    sum w^2 / sum w, the expected one of a row that is drawn in proportion to w, and the smallest error is taken that
    has a share of at least `coverage` of all weights up to it.

    References
    ----------
    Lei, G'Sell, Rinaldo, Tibshirani & Wasserman (2018), "Distribution-free predictive inference for regression",
    algorithm 2; Tibshirani, Barber, Candes & Ramdas (2019), "Conformal prediction under covariate shift", lemma 1.
    """
    if not len(errors):
        return np.full(errors.shape[1], np.inf)
    weights = np.ones(len(errors)) if weights is None else weights.astype(np.float64)
    total = weights.sum() + (weights**2).sum() / weights.sum()
    order = np.argsort(errors, axis=0, kind="stable")
    shares = np.cumsum(weights[order], axis=0) / total  # (N, T)
    is_enough = shares >= coverage - 1e-12  # rounding
    ordered = np.take_along_axis(errors, order, axis=0).astype(np.float64)
    first = np.take_along_axis(ordered, is_enough.argmax(axis=0)[None], axis=0)[0]
    return np.where(is_enough.any(axis=0), first, np.inf)


def fewest_rows(coverage: float) -> int:
    """Return how many rows of equal weight an interval with this coverage needs: 1 / (1 - coverage) - 1, rounded up."""
    return int(np.ceil(1 / (1 - coverage) - 1 - 1e-9))
