"""Information measures of probabilities p (K or 1, N, O), alone or against others: one number per network, (K,).

A row of p holds the probabilities of the O classes, which sum to 1. Every measure is in nats (natural logarithm) and is
a mean over the rows. With O = 1, p is the probability of class 1 and the row stands for the two probabilities
(1 - p, p), so that every sum over classes has two terms; see `both_classes`.
"""

import numpy as np

from nncore.kernels.backend import Array


def entropy(p: Array) -> Array:
    """Entropy, the uncertainty of p: from 0 (one class is certain) to log O (all are equally probable).

    Parameters
    ----------
    p : array (K, N, O), or (K, N, 1) for the probability of class 1

    Returns
    -------
    array (K,)

    Raises
    ------
    ValueError
        If p has another number of axes, or no rows.

    Notes
    -----
    -sum_o p_o log p_o

    References
    ----------
    Shannon (1948), "A mathematical theory of communication", section 6.
    """
    require_match("p", p, "p", p)
    p = both_classes(p)
    return _mean_over_rows(_expected_surprisal(p, p))


def cross_entropy(p: Array, q: Array) -> Array:
    """Cross-entropy, the mean surprisal under q of draws from p; at least the entropy of p.

    Parameters
    ----------
    p, q : array (K or 1, N, O), or (K or 1, N, 1) for the probability of class 1

    Returns
    -------
    array (K,)
        Infinite where q excludes what p allows (q_o = 0 < p_o).

    Raises
    ------
    ValueError
        If the shapes do not match.

    Notes
    -----
    -sum_o p_o log q_o
    """
    require_match("p", p, "q", q)
    return _mean_over_rows(_expected_surprisal(both_classes(p), both_classes(q)))


def kl_divergence(p: Array, q: Array) -> Array:
    """Kullback-Leibler divergence from q to p: 0 if p = q, infinite if q_o = 0 < p_o.

    Parameters
    ----------
    p, q : array (K or 1, N, O), or (K or 1, N, 1) for the probability of class 1

    Returns
    -------
    array (K,)

    Raises
    ------
    ValueError
        If the shapes do not match.

    Notes
    -----
    sum_o p_o log(p_o / q_o), the cross-entropy minus the entropy of p; it is not symmetric. Its rounding error is that
    of the cross-entropy, about 1e-16 in float64 but 1e-7 in float32: pass distributions that nearly agree in float64.

    References
    ----------
    Kullback & Leibler (1951), "On information and sufficiency".
    """
    require_match("p", p, "q", q)
    p, q = both_classes(p), both_classes(q)
    rows = _expected_surprisal(p, q) - _expected_surprisal(p, p)
    return _mean_over_rows(np.maximum(rows, 0))  # rounding can make a zero negative


def negative_log_likelihood(p: Array, t: Array, *, weights: Array | None = None) -> Array:
    """Negative log-likelihood of t under p: infinite where p excludes the class that was observed.

    Parameters
    ----------
    p : array (K or 1, N, O), or (K or 1, N, 1) for the probability of class 1
    t : array of the shape of p
        One-hot or a distribution; cast to the dtype of p.
    weights : array (N,) or (K or 1, N), >= 0 and not all 0, optional
        Each row counts by its share of their sum, and a row of weight 0 not at all; cast to the dtype of p.

    Returns
    -------
    array (K,)
        In the dtype of p.

    Raises
    ------
    ValueError
        Naming argument, value and rule.

    Notes
    -----
    -sum_o t_o log p_o
    """
    require_match("p", p, "t", t)
    rows = _expected_surprisal(both_classes(t.astype(p.dtype)), both_classes(p))
    return _mean_over_rows(rows, weights)


def brier_score(p: Array, t: Array, *, weights: Array | None = None) -> Array:
    """Brier score, the squared distance of p from t: from 0 to 2.

    Parameters
    ----------
    p : array (K or 1, N, O), or (K or 1, N, 1) for the probability of class 1
    t : array of the shape of p
        One-hot or a distribution; cast to the dtype of p.
    weights : array (N,) or (K or 1, N), >= 0 and not all 0, optional
        Each row counts by its share of their sum, and a row of weight 0 not at all; cast to the dtype of p.

    Returns
    -------
    array (K,)
        In the dtype of p.

    Raises
    ------
    ValueError
        Naming argument, value and rule.

    Notes
    -----
    sum_o (p_o - t_o)^2. With O = 1 it is twice the form that is often used for two classes, (p - t)^2 of class 1 alone.

    References
    ----------
    Brier (1950), "Verification of forecasts expressed in terms of probability".
    """
    require_match("p", p, "t", t)
    rows = ((both_classes(p) - both_classes(t.astype(p.dtype))) ** 2).sum(axis=2)
    return _mean_over_rows(rows, weights)


def both_classes(p: Array) -> Array:
    """Return the probability of class 1 (K, N, 1) as the probabilities of classes 0 and 1 (K, N, 2); others unchanged.

    The result is C-contiguous: the order of a sum, and so its last bit, must not depend on the memory layout of p.
    """
    p = np.concatenate([1 - p, p], axis=2) if p.shape[2] == 1 else p
    return p.ravel().reshape(p.shape)


def require_match(name: str, p: Array, other_name: str, q: Array) -> None:
    """Check that both are (K or 1, N, O), with the same N >= 1 and O >= 1.

    Raises
    ------
    ValueError
        Naming the argument that does not fit, by the given names.
    """
    if p.ndim != 3 or 0 in p.shape:
        raise ValueError(f"{name} must have the shape (K or 1, N, O) with no axis empty, but has {p.shape}")
    if q.ndim != 3 or p.shape[1:] != q.shape[1:] or (len(q) != len(p) and 1 not in (len(p), len(q))):
        raise ValueError(
            f"{other_name} must have the shape of {name}, {p.shape} (or 1 as the first axis), but has {q.shape}"
        )


def _expected_surprisal(p: Array, q: Array) -> Array:
    """-sum_o p_o log q_o of each row, (K, N), with 0 log 0 = 0 and -log 0 = inf, without a warning."""
    surprisal = np.where(q == 0, np.inf, -np.log(np.where(q == 0, 1, q)))
    return (p * np.where(p == 0, 0, surprisal)).sum(axis=2)


def _mean_over_rows(rows: Array, weights: Array | None = None) -> Array:
    """The weighted mean over the rows, (K, N) -> (K,)."""
    if weights is None:
        return rows.mean(axis=1)
    share = _shares(weights, rows).astype(rows.dtype)
    return (np.where(share == 0, 0, rows) * share).sum(
        axis=1
    )  # a row of weight 0 counts as 0, also if its loss is infinite


def _shares(weights: Array, rows: Array) -> Array:
    """The weights divided by their sum: (N,), or (K or 1, N)."""
    if weights.shape not in (rows.shape[1:], (1, *rows.shape[1:]), rows.shape):
        raise ValueError(f"weights must have the shape {rows.shape[1:]} or {rows.shape}, but has {weights.shape}")
    total = weights.sum(axis=-1, keepdims=True)
    if not ((weights >= 0).all() and (total > 0).all() and np.isfinite(total).all()):
        raise ValueError(
            f"weights must be >= 0 and finite, with a sum > 0, but go from {weights.min()} to {weights.max()}"
        )
    return weights / total
