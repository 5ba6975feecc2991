"""What probabilities p (K or 1, N, O) say of other probabilities or of targets: one number per network, (K,).

A row of p holds the probabilities of the O classes, which sum to 1. All is in nats (natural logarithm) and is
a mean over the rows. With O = 1, p is the probability of class 1 and the row stands for the two
probabilities (1 - p, p), so every sum over classes has two terms; see `both_classes`.
"""

import numpy as np

from nncore.kernels.backend import Array


def entropy(p: Array) -> Array:
    """How uncertain p is: -sum_o p_o log p_o, from 0 (one class is sure) to log O (all are equal).

    Shapes   p: (K, N, O), or (K, N, 1) for the probability of class 1; returns (K,)
    Raises   ValueError if p has another number of axes, or no rows
    Source   Shannon (1948), "A mathematical theory of communication", section 6
    """
    require_match("p", p, "p", p)
    p = both_classes(p)
    return _mean_over_rows(_expected_surprise(p, p))


def cross_entropy(p: Array, q: Array) -> Array:
    """Surprise at draws from p for one who expects q: -sum_o p_o log q_o; at least the entropy of p.

    It is infinite where q rules out what p allows (q_o = 0 < p_o).

    Shapes   p, q: (K or 1, N, O), or (K or 1, N, 1) for the probability of class 1; returns (K,)
    Raises   ValueError if the shapes do not match
    """
    require_match("p", p, "q", q)
    return _mean_over_rows(_expected_surprise(both_classes(p), both_classes(q)))


def kl_divergence(p: Array, q: Array) -> Array:
    """Kullback-Leibler divergence from q to p: sum_o p_o log(p_o / q_o); 0 if p = q, infinite if q_o = 0 < p_o.

    It is the cross-entropy less the entropy of p, and is not symmetric. Its rounding error is that of the
    cross-entropy, about 1e-16 in float64 but 1e-7 in float32: give distributions that nearly agree in float64.

    Shapes   p, q: (K or 1, N, O), or (K or 1, N, 1) for the probability of class 1; returns (K,)
    Raises   ValueError if the shapes do not match
    Source   Kullback & Leibler (1951), "On information and sufficiency"
    """
    require_match("p", p, "q", q)
    p, q = both_classes(p), both_classes(q)
    rows = _expected_surprise(p, q) - _expected_surprise(p, p)
    return _mean_over_rows(np.maximum(rows, 0))  # rounding can make a zero negative


def negative_log_likelihood(p: Array, t: Array, *, weights: Array | None = None) -> Array:
    """How badly p foretold t: -sum_o t_o log p_o; infinite where p gave no chance to the class that came.

    Shapes   p, t: (K or 1, N, O), or (K or 1, N, 1) for the probability of class 1; weights: (N,), or
             (K or 1, N); returns (K,)
    Dtype    p's; t and weights are cast to it
    Range    t is one-hot or a distribution; weights >= 0, not all 0: each row counts by its share of their sum,
             and a row of weight 0 not at all
    Raises   ValueError naming argument, value and rule
    """
    require_match("p", p, "t", t)
    rows = _expected_surprise(both_classes(t.astype(p.dtype)), both_classes(p))
    return _mean_over_rows(rows, weights)


def brier_score(p: Array, t: Array, *, weights: Array | None = None) -> Array:
    """Squared distance of p from t: sum_o (p_o - t_o)^2, from 0 to 2.

    Shapes   p, t: (K or 1, N, O), or (K or 1, N, 1) for the probability of class 1; weights: (N,), or
             (K or 1, N); returns (K,)
    Dtype    p's; t and weights are cast to it
    Range    t is one-hot or a distribution; weights >= 0, not all 0: each row counts by its share of their sum,
             and a row of weight 0 not at all
    Raises   ValueError naming argument, value and rule
    Source   Brier (1950), "Verification of forecasts expressed in terms of probability"
    Differs  from the form often used for two classes, (p - t)^2 of class 1 alone: with O = 1 it is twice that
    """
    require_match("p", p, "t", t)
    rows = ((both_classes(p) - both_classes(t.astype(p.dtype))) ** 2).sum(axis=2)
    return _mean_over_rows(rows, weights)


def both_classes(p: Array) -> Array:
    """(K, N, 1), the probability of class 1, as (K, N, 2), that of class 0 and of class 1; else p as it is.

    The result is C-contiguous: the order of a sum, and so its last bit, must not follow from the layout of p.
    """
    p = np.concatenate([1 - p, p], axis=2) if p.shape[2] == 1 else p
    return p.ravel().reshape(p.shape)


def require_match(name: str, p: Array, other_name: str, q: Array) -> None:
    """Raise ValueError unless both are (K or 1, N, O), with the same N >= 1 and O >= 1."""
    if p.ndim != 3 or 0 in p.shape:
        raise ValueError(f"{name} must have the shape (K or 1, N, O) with no axis empty, but has {p.shape}")
    if q.ndim != 3 or p.shape[1:] != q.shape[1:] or (len(q) != len(p) and 1 not in (len(p), len(q))):
        raise ValueError(
            f"{other_name} must have the shape of {name}, {p.shape} (or 1 as the first axis), but has {q.shape}"
        )


def _expected_surprise(p: Array, q: Array) -> Array:
    """-sum_o p_o log q_o of each row, (K, N), with 0 log 0 = 0 and -log 0 = inf, without a warning."""
    surprise = np.where(q == 0, np.inf, -np.log(np.where(q == 0, 1, q)))
    return (p * np.where(p == 0, 0, surprise)).sum(axis=2)


def _mean_over_rows(rows: Array, weights: Array | None = None) -> Array:
    """(K, N) -> (K,)."""
    if weights is None:
        return rows.mean(axis=1)
    share = _shares(weights, rows).astype(rows.dtype)
    return (np.where(share == 0, 0, rows) * share).sum(axis=1)  # where: 0 times an infinite loss is 0 here


def _shares(weights: Array, rows: Array) -> Array:
    """The weights over their sum: (N,), or (K or 1, N)."""
    if weights.shape not in (rows.shape[1:], (1, *rows.shape[1:]), rows.shape):
        raise ValueError(f"weights must have the shape {rows.shape[1:]} or {rows.shape}, but has {weights.shape}")
    total = weights.sum(axis=-1, keepdims=True)
    if not ((weights >= 0).all() and (total > 0).all() and np.isfinite(total).all()):
        raise ValueError(
            f"weights must be >= 0 and finite, with a sum > 0, but go from {weights.min()} to {weights.max()}"
        )
    return weights / total
