"""Calibration: how well predicted probabilities agree with observed frequencies, and temperature scaling.

p (K, N, O) are probabilities that sum to 1 over O, z (K, N, O) outputs before the softmax, t (K or 1, N, O) targets:
one-hot, or a distribution. With O = 1, p and t are the probability of class 1, and p = sigmoid(z).
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from nncore.information import both_classes, require_match
from nncore.kernels.backend import Array

LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 1e-2, 1e2


@dataclass(frozen=True)
class Calibration:
    """A line through the logits that turns them into those of calibrated probabilities.

    Parameters
    ----------
    slope : float, > 0
        1 / T for temperature scaling with the temperature T.
    intercept : float, default 0
        Of Platt scaling, for one output only: softmax does not change when all its inputs change by the same.

    Raises
    ------
    ValueError
        Naming argument, value and rule.
    """

    slope: float
    intercept: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.slope < np.inf:
            raise ValueError(f"slope must be > 0 and finite, but is {self.slope}")
        if not isfinite(self.intercept):
            raise ValueError(f"intercept must be finite, but is {self.intercept}")

    def __call__(self, z: Any) -> Any:
        """Return the calibrated logits for logits z of any shape, in their dtype."""
        return z * self.slope + self.intercept


class Reliability(NamedTuple):
    """The contents of a reliability diagram; an empty bin has NaN, and 0 rows.

    Parameters
    ----------
    confidence : array (K, n_bins)
        Mean probability of the most probable class.
    accuracy : array (K, n_bins)
        Share of rows whose most probable class is the target's.
    counts : array (K, n_bins)
        Number of rows.
    """

    confidence: Array
    accuracy: Array
    counts: Array


def expected_calibration_error(p: Array, t: Array, n_bins: int = 15, weights: Array | None = None) -> Array:
    """Mean of |accuracy - confidence| over the bins of `reliability`, weighted by their rows: from 0 to 1, best 0.

    Parameters
    ----------
    p : array (K, N, O)
        Probabilities.
    t : array (K or 1, N, O)
    n_bins : int, >= 1, default 15
    weights : array (K or 1, N), optional
        Of the rows, with any positive mean.

    Returns
    -------
    array (K,)
        In the dtype of p; NaN for a network with a NaN in p.

    Raises
    ------
    ValueError
        Naming argument, value and rule.

    References
    ----------
    Guo et al. (2017), "On calibration of modern neural networks", equation 3.
    """
    confidence, n_correct, _ = _sums_by_bin(p, t, n_bins, weights)
    total = p.dtype.type(p.shape[1]) if weights is None else weights.sum(axis=1)
    return np.abs(n_correct - confidence).sum(axis=1) / total


def reliability(p: Array, t: Array, n_bins: int = 15) -> Reliability:
    """Accuracy against confidence, in bins of equal width.

    Parameters
    ----------
    p : array (K, N, O)
        Probabilities.
    t : array (K or 1, N, O)
    n_bins : int, >= 1, default 15

    Returns
    -------
    Reliability

    Raises
    ------
    ValueError
        Naming argument, value and rule.

    Notes
    -----
    Bin m holds (m - 1) / n_bins < confidence <= m / n_bins. Confidence is the probability of the most probable class,
    so that the bins below 1 / O stay empty. A confidence that rounding has put above 1 falls into the last bin, and a
    NaN, which makes that bin NaN, into the first.

    References
    ----------
    Guo et al. (2017), "On calibration of modern neural networks", section 2.
    """
    confidence, n_correct, counts = _sums_by_bin(p, t, n_bins)
    divisor = np.maximum(counts, 1).astype(p.dtype)
    return Reliability(
        np.where(counts > 0, confidence / divisor, np.nan), np.where(counts > 0, n_correct / divisor, np.nan), counts
    )


def fit_temperature(z: Array, t: Array) -> Array:
    """Fit the temperature T at which softmax(z / T), or sigmoid(z / T) if O = 1, has the best likelihood.

    Parameters
    ----------
    z : array (K, N, O)
        Outputs before the softmax.
    t : array (K or 1, N, O)

    Returns
    -------
    array (K,), float64
        From 1e-2 to 1e2, and the nearer end where the best T lies beyond: 1e-2 if every row is classified correctly,
        1e2 if z is worse than no information about t. It is 1 where T changes nothing (a z that is the same for all
        classes), and NaN for a network whose z or t is not finite.

    Raises
    ------
    ValueError
        If the shapes do not match.

    Notes
    -----
    The negative log-likelihood is convex in B = 1 / T, with

        d/dB   = mean over rows of  sum_o (p_o - t_o) z_o
        d2/dB2 = mean over rows of  the variance of z_o under p

    so that T is where the first is zero. It is found by Newton steps inside a bracket.

    References
    ----------
    Guo et al. (2017), "On calibration of modern neural networks", section 4.2.
    """
    require_match("z", z, "t", t)
    finite = np.all(np.isfinite(z), axis=(1, 2)) & np.all(np.isfinite(t), axis=(1, 2))
    z = np.where(finite[:, None, None], z, 0).astype(np.float64)  # (K, N, O)
    z = np.concatenate([np.zeros_like(z), z], axis=2) if z.shape[2] == 1 else z  # sigmoid(z) = softmax((0, z))_1
    z = both_classes(z - z.max(axis=2, keepdims=True))  # at most 0: exp cannot overflow
    observed = (both_classes(t.astype(np.float64)) * z).sum(axis=2)  # (K, N)

    def derivatives(inverse: Array) -> tuple[Array, Array]:
        p = np.exp(inverse[:, None, None] * z)
        p = p / p.sum(axis=2, keepdims=True)
        expected = (p * z).sum(axis=2)
        variance = (p * (z - expected[:, :, None]) ** 2).sum(axis=2)
        return (expected - observed).mean(axis=1), variance.mean(axis=1)

    start = np.ones_like(observed[:, 0])
    inverse = _zero_of_increasing(derivatives, start, start / HIGHEST_TEMPERATURE, start / LOWEST_TEMPERATURE)
    return np.where(finite, 1 / inverse, np.nan)


def with_temperature(z: Array, temperature: ArrayLike) -> Array:
    """Return z / T, in the dtype of z: softer probabilities for T > 1, sharper ones for T < 1.

    Parameters
    ----------
    z : array (K, N, O)
        Outputs before the softmax.
    temperature : float or array (K,), > 0
        NaN, which `fit_temperature` returns for a network that has diverged, gives NaN.

    Raises
    ------
    ValueError
        Naming argument, value, rule and network.

    Notes
    -----
    No two outputs change their order, so that the most probable class stays the same (two outputs that differ in the
    last bit alone may become equal).
    """
    shape = np.shape(temperature)
    if shape not in ((), (len(z),)):
        raise ValueError(
            f"temperature must be one number, or one for each of {len(z)} networks, but its shape is {shape}"
        )
    divisor = np.empty_like(z[:, 0, 0])
    divisor[...] = temperature
    is_illegal = (divisor <= 0) | np.isinf(divisor)
    if is_illegal.any():
        k = int(is_illegal.argmax())
        raise ValueError(f"temperature must be > 0 and finite, but network {k} of {len(z)} has {divisor[k]}")
    return z / divisor[:, None, None]


def _sums_by_bin(p: Array, t: Array, n_bins: int, weights: Array | None = None) -> tuple[Array, Array, Array]:
    """For each bin, the sum of confidences, the number of correct rows and the number of rows: each (K, n_bins).

    With weights, the first two are weighted sums.
    """
    require_match("p", p, "t", t)
    if not isinstance(n_bins, int | np.integer) or n_bins < 1:
        raise ValueError(f"n_bins must be an integer >= 1, but is {n_bins!r}")
    p, t = both_classes(p), both_classes(t)
    confidence, is_correct = p.max(axis=2), p.argmax(axis=2) == t.argmax(axis=2)  # (K, N)
    _require_probabilities(confidence)
    bin_index = np.zeros_like(confidence, dtype=np.int64)
    for edge in range(1, n_bins):
        bin_index += confidence > edge / n_bins
    masks = [bin_index == index for index in range(n_bins)]
    if weights is not None:
        confidence, is_correct = confidence * weights, is_correct * weights
    return (
        np.stack([np.where(mask, confidence, 0).sum(axis=1) for mask in masks], axis=1),
        np.stack([np.where(mask, is_correct, 0).sum(axis=1) for mask in masks], axis=1).astype(p.dtype),
        np.stack([mask.sum(axis=1) for mask in masks], axis=1),
    )


def _require_probabilities(confidence: Array) -> None:
    """Raise ValueError if outputs were passed as probabilities; only the largest of each row is checked."""
    is_illegal = np.any((confidence <= 0) | (confidence > 1.001), axis=1)  # rounding may exceed 1 a little
    if is_illegal.any():
        k = int(is_illegal.argmax())
        raise ValueError(
            f"p must hold probabilities from 0 to 1, but the largest of each row of network {k} of {len(is_illegal)}"
            f" go from {confidence[k].min()} to {confidence[k].max()}"
        )


def _zero_of_increasing(
    derivatives: Callable[[Array], tuple[Array, Array]], start: Array, low: Array, high: Array
) -> Array:
    """The zero of an increasing function between low > 0 and high, for each network; without one, the nearer end.

    `derivatives` returns the function and its slope. A Newton step is taken if it stays in the bracket and is at most
    half the step before; otherwise the bracket is halved, in the logarithm. A network that has converged stays where it
    is, so that its result does not depend on how long the other networks take.
    """
    at_low, at_high = derivatives(low)[0], derivatives(high)[0]
    x = np.where(at_high <= 0, high, np.where(at_low >= 0, low, start))
    x = np.where((at_low == 0) & (at_high == 0), start, x)
    has_converged = ~((at_low < 0) & (at_high > 0))
    last_step = high - low
    for _ in range(100):
        if has_converged.all():
            break
        value, slope = derivatives(x)
        low, high = np.where(value < 0, x, low), np.where(value > 0, x, high)
        is_newton = (slope > 0) & (np.abs(value) <= last_step / 2 * slope)
        newton = x - value / np.where(is_newton, slope, 1)
        following = np.where(is_newton & (low <= newton) & (newton <= high), newton, np.sqrt(low * high))
        following = np.where(has_converged | (value == 0), x, following)
        last_step = np.abs(following - x)
        x = following
        has_converged = has_converged | (last_step <= 1e-10 * x)
    return x
