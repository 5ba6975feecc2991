"""Do probabilities keep their promise? How far they are from the truth, and one number that mends it.

p (K, N, O) are probabilities that sum to 1 over O, z (K, N, O) outputs before the softmax, t (K or 1, N, O)
targets: one-hot, or a distribution. With O = 1, p and t are the probability of class 1, and p = sigmoid(z).
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from nncore.information import both_classes, require_match
from nncore.kernels.backend import Array

LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 1e-2, 1e2


class Reliability(NamedTuple):
    """What a reliability diagram shows of each bin, all (K, n_bins); an empty bin has NaN, and 0 rows.

    confidence   mean probability of the most probable class
    accuracy     share of the rows whose most probable class is the target's
    counts       number of rows
    """

    confidence: Array
    accuracy: Array
    counts: Array


def expected_calibration_error(p: Array, t: Array, n_bins: int = 15) -> Array:
    """Mean over the bins, weighted by their rows, of |accuracy - confidence|: from 0 to 1, best 0.

    The bins are those of `reliability`. A network with a NaN in p has NaN.

    Shapes   p: (K, N, O); t: (K or 1, N, O); returns (K,), in the dtype of p
    Raises   ValueError naming argument, value and rule
    Source   Guo et al. (2017), "On calibration of modern neural networks", equation 3
    """
    confidence, right, _ = _sums_by_bin(p, t, n_bins)
    return np.abs(right - confidence).sum(axis=1) / p.dtype.type(p.shape[1])


def reliability(p: Array, t: Array, n_bins: int = 15) -> Reliability:
    """Accuracy against confidence in bins of equal width: bin m holds (m - 1) / n_bins < confidence <= m / n_bins.

    Confidence is the probability of the most probable class, so the bins below 1 / O stay empty. What
    rounding put above 1 falls in the last bin, and a NaN, which makes that bin NaN, in the first.

    Shapes   p: (K, N, O); t: (K or 1, N, O)
    Raises   ValueError naming argument, value and rule
    Source   Guo et al. (2017), "On calibration of modern neural networks", section 2
    """
    confidence, right, counts = _sums_by_bin(p, t, n_bins)
    some = np.maximum(counts, 1).astype(p.dtype)
    return Reliability(
        np.where(counts > 0, confidence / some, np.nan), np.where(counts > 0, right / some, np.nan), counts
    )


def fit_temperature(z: Array, t: Array) -> Array:
    """The T at which softmax(z / T), or sigmoid(z / T) if O = 1, has the smallest negative log-likelihood.

    In B = 1 / T that loss is convex, with

        d/dB   = mean over rows of  sum_o (p_o - t_o) z_o
        d2/dB2 = mean over rows of  the variance of z_o under p

    so T is where the first is zero, found by Newton steps inside a bracket.

    Shapes   z: (K, N, O); t: (K or 1, N, O); returns (K,), float64
    Returns  T from 1e-2 to 1e2, and the nearer end where the best T lies beyond: 1e-2 if every row is
             classified correctly, 1e2 if z says less than nothing about t. It is 1 where T changes nothing (a z that
             is the same for all classes), and NaN for a network whose z or t is not finite.
    Raises   ValueError if the shapes do not match
    Source   Guo et al. (2017), "On calibration of modern neural networks", section 4.2
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

    one = np.ones_like(observed[:, 0])
    inverse = _zero_of_increasing(derivatives, one, one / HIGHEST_TEMPERATURE, one / LOWEST_TEMPERATURE)
    return np.where(finite, 1 / inverse, np.nan)


def with_temperature(z: Array, temperature: ArrayLike) -> Array:
    """z / T, in the dtype of z: softer probabilities for T > 1, sharper ones for T < 1.

    No two outputs change their order, so the most probable class stays (two outputs that differ in the last
    bit alone may become equal). A network with T = NaN, as `fit_temperature` gives for one that diverged, gets NaN.

    Shapes   z: (K, N, O); temperature: scalar or (K,)
    Raises   ValueError naming argument, value, rule and network
    """
    given = np.shape(temperature)
    if given not in ((), (len(z),)):
        raise ValueError(
            f"temperature must be one number, or one for each of {len(z)} networks, but its shape is {given}"
        )
    divisor = np.empty_like(z[:, 0, 0])
    divisor[...] = temperature
    illegal = (divisor <= 0) | np.isinf(divisor)
    if illegal.any():
        k = int(illegal.argmax())
        raise ValueError(f"temperature must be > 0 and finite, but network {k} of {len(z)} has {divisor[k]}")
    return z / divisor[:, None, None]


def _sums_by_bin(p: Array, t: Array, n_bins: int) -> tuple[Array, Array, Array]:
    """Of each bin the sum of the confidences, the rows that are right, and the rows: each (K, n_bins)."""
    require_match("p", p, "t", t)
    if not isinstance(n_bins, int | np.integer) or n_bins < 1:
        raise ValueError(f"n_bins must be a whole number >= 1, but is {n_bins!r}")
    p, t = both_classes(p), both_classes(t)
    confidence, right = p.max(axis=2), p.argmax(axis=2) == t.argmax(axis=2)  # (K, N)
    _require_probabilities(confidence)
    number = np.zeros_like(confidence, dtype=np.int64)  # of the bin, from 0
    for edge in range(1, n_bins):
        number += confidence > edge / n_bins
    masks = [number == index for index in range(n_bins)]
    return (
        np.stack([np.where(mask, confidence, 0).sum(axis=1) for mask in masks], axis=1),
        np.stack([(mask & right).sum(axis=1) for mask in masks], axis=1).astype(p.dtype),
        np.stack([mask.sum(axis=1) for mask in masks], axis=1),
    )


def _require_probabilities(confidence: Array) -> None:
    """Raise ValueError if outputs were given for probabilities; it looks at the largest of each row only."""
    illegal = np.any((confidence <= 0) | (confidence > 1.001), axis=1)  # rounding may lead a little above 1
    if illegal.any():
        k = int(illegal.argmax())
        raise ValueError(
            f"p must hold probabilities from 0 to 1, but the largest of each row of network {k} of {len(illegal)}"
            f" go from {confidence[k].min()} to {confidence[k].max()}"
        )


def _zero_of_increasing(
    derivatives: Callable[[Array], tuple[Array, Array]], start: Array, low: Array, high: Array
) -> Array:
    """Where an increasing function is zero between low > 0 and high, for each network; else the nearer end.

    `derivatives` gives the function and its slope. A Newton step is taken if it stays in the bracket and is at most
    half the step before; otherwise the bracket is halved, in the logarithm. A network that has arrived
    stays where it is, so that its result does not depend on how long its neighbours take.
    """
    at_low, at_high = derivatives(low)[0], derivatives(high)[0]
    x = np.where(at_high <= 0, high, np.where(at_low >= 0, low, start))
    x = np.where((at_low == 0) & (at_high == 0), start, x)
    arrived = ~((at_low < 0) & (at_high > 0))
    last_step = high - low
    for _ in range(100):
        if arrived.all():
            break
        value, slope = derivatives(x)
        low, high = np.where(value < 0, x, low), np.where(value > 0, x, high)
        usable = (slope > 0) & (np.abs(value) <= last_step / 2 * slope)
        newton = x - value / np.where(usable, slope, 1)
        following = np.where(usable & (low <= newton) & (newton <= high), newton, np.sqrt(low * high))
        following = np.where(arrived | (value == 0), x, following)
        last_step = np.abs(following - x)
        x = following
        arrived = arrived | (last_step <= 1e-10 * x)
    return x
