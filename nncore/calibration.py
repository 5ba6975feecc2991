"""Calibration: how well predicted probabilities agree with observed frequencies, and how to make them agree better.

p (K, N, O) are probabilities that sum to 1 over O, z (K, N, O) outputs before the softmax, t (K or 1, N, O) targets:
one-hot, or a distribution. With O = 1, p and t are the probability of class 1, and p = sigmoid(z).
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import Any, NamedTuple

import numpy as np

from nncore.information import both_classes, require_match
from nncore.kernels.backend import Array
from nncore.random_streams import generator

LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 1e-2, 1e2
CROSS_FITTING_PARTS = 5


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


def fit_temperature(z: Array, t: Array, weights: Array | None = None) -> Array:
    """Fit the temperature T at which softmax(z / T), or sigmoid(z / T) if O = 1, has the best likelihood.

    Parameters
    ----------
    z : array (K, N, O)
        Outputs before the softmax.
    t : array (K or 1, N, O)
    weights : array (K or 1, N), >= 0, optional
        Weights of the rows; only their ratios matter.

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
    z = _softmax_inputs(np.where(finite[:, None, None], z, 0))
    shares = None if weights is None else weights / weights.sum(axis=1, keepdims=True)

    def mean(of_row: Array) -> Array:
        return of_row.mean(axis=1) if shares is None else (of_row * shares).sum(axis=1)

    observed = (both_classes(t.astype(np.float64)) * z).sum(axis=2)  # (K, N)

    def derivatives(inverse: Array) -> tuple[Array, Array]:
        p = np.exp(inverse[:, None, None] * z)
        p = p / p.sum(axis=2, keepdims=True)
        expected = (p * z).sum(axis=2)
        variance = (p * (z - expected[:, :, None]) ** 2).sum(axis=2)
        return mean(expected - observed), mean(variance)

    start = np.ones_like(observed[:, 0])
    inverse = _zero_of_increasing(derivatives, start, start / HIGHEST_TEMPERATURE, start / LOWEST_TEMPERATURE)
    return np.where(finite, 1 / inverse, np.nan)


def fit_platt(z: Array, t: Array, weights: Array | None = None) -> tuple[float, float]:
    """Fit Platt scaling: the line through the logits of two classes with the best likelihood of smoothed targets.

    Parameters
    ----------
    z : array (N,)
        The logit of the second class.
    t : array (N,)
        1 for the second class, otherwise 0.
    weights : array (N,), >= 0, optional
        Weights of the rows, of which the smoothing takes the sums: they should have mean 1.

    Returns
    -------
    slope, intercept : float
        p = sigmoid(slope z + intercept). The slope is negative if z is worse than no information about t.

    Notes
    -----
    With the total weights n_1 and n_0 of the classes, t is (n_1 + 1) / (n_1 + 2) for the second class, otherwise
    1 / (n_0 + 2), so that classes which z separates have a finite slope. Newton's method with backtracking.

    References
    ----------
    Platt (1999), "Probabilistic outputs for support vector machines and comparisons to regularized likelihood methods";
    Lin, Lin & Weng (2007), "A note on Platt's probabilistic outputs for support vector machines", algorithm 1.
    """
    z, weights = z.astype(np.float64), np.ones(len(z)) if weights is None else weights.astype(np.float64)
    n_second = float(weights[t > 0].sum())
    n_first = float(weights.sum()) - n_second
    target = np.where(t > 0, (n_second + 1) / (n_second + 2), 1 / (n_first + 2))
    inputs = np.stack([z, np.ones_like(z)])  # (2, N)

    def loss(line: Array) -> float:
        logits = line @ inputs
        return float((weights * (np.logaddexp(0, logits) - target * logits)).sum())

    line = np.array([0.0, np.log((n_second + 1) / (n_first + 1))])
    value = loss(line)
    for _ in range(100):
        p = 1 / (1 + np.exp(-np.clip(line @ inputs, -700, 700)))
        gradient = inputs @ (weights * (p - target))
        hessian = (inputs * weights * p * (1 - p)) @ inputs.T + 1e-12 * np.eye(2)
        direction = -np.linalg.solve(hessian, gradient)
        step = 1.0
        while step > 1e-10 and loss(line + step * direction) > value + 1e-4 * step * float(gradient @ direction):
            step /= 2
        following = line + step * direction
        if step <= 1e-10 or np.abs(following - line).max() <= 1e-12 * np.abs(line).max():
            break
        line, value = following, loss(following)
    return float(line[0]), float(line[1])


class CalibrationChoice(NamedTuple):
    """Which calibration lowers the log loss of rows that it was not fitted to.

    Parameters
    ----------
    method : {"none", "temperature", "Platt"}
    calibration : Calibration or None
        Fitted to all rows; None for "none".
    logits : float64 array (N, O)
        Cross-fitted: those of each part by the calibration that was fitted to the other parts.
    """

    method: str
    calibration: Calibration | None
    logits: Array


def choose_calibration(
    z: Array, t: Array, parts: Array, weights: Array | None = None, *, always: bool = False
) -> CalibrationChoice:
    """Choose between no calibration, temperature scaling and, for two classes, Platt scaling.

    Parameters
    ----------
    z : array (N, O)
        Outputs before the softmax of rows that the network was not trained on, or with O = 1 before the sigmoid.
    t : array (N, O)
        One-hot, or with O = 1 0 and 1.
    parts : int array (N,)
        The part of each row, for cross-fitting; see `cross_fitting_parts`.
    weights : array (N,), >= 0, optional
    always : bool, default False
        Calibrate, by the method with the lower loss, even if it does not lower the loss clearly.

    Returns
    -------
    CalibrationChoice
        None where a fit is not determined, such as when every row is classified correctly.

    Notes
    -----
    The methods are tried in this order, and the next one is taken if it lowers the cross-fitted log loss clearly: the
    mean of the differences by row exceeds its standard error, and would also if there was one more row, the average one
    with another class. Without that row, classes that z separates would make every probability nearly 0 or 1.
    """
    z, weights = z.astype(np.float64), np.ones(len(z)) if weights is None else weights / weights.mean()
    fits = {"temperature": _temperature_line} | ({"Platt": _platt_line} if z.shape[1] == 1 else {})
    unchanged = chosen = CalibrationChoice("none", None, z)
    if not np.isfinite(z).all() or len(np.unique(parts)) < 2:
        return unchanged
    for method, fit in fits.items():
        whole, logits = fit(z, t, weights), np.empty_like(z)
        for part in np.unique(parts):
            is_in = parts == part
            line = fit(z[~is_in], t[~is_in], weights[~is_in])
            logits[is_in] = np.nan if line is None else line(z[is_in])
        if whole is None or np.isnan(logits).any():
            continue
        if (always and chosen is unchanged) or _is_clearly_better(logits, chosen.logits, t, weights):
            chosen = CalibrationChoice(method, whole, logits)
    return chosen


def cross_fitting_parts(n_rows: int, folds: Array | None = None) -> Array:
    """Return the part of each row for cross-fitting (N,): its fold if there are several, else one of five at random."""
    if folds is not None and len(np.unique(folds)) > 1:
        return folds
    return generator(0, "cross-fitting").permutation(n_rows) % CROSS_FITTING_PARTS


def log_losses(z: Array, t: Array) -> Array:
    """Return -log p (N,) of the true class, in float64, for logits z and targets t (N, O)."""
    z = _softmax_inputs(z[None])[0]
    return np.asarray(np.log(np.exp(z).sum(axis=1)) - (both_classes(t.astype(np.float64)[None])[0] * z).sum(axis=1))


def error_if_perfect(p: Array, n_bins: int = 15, weights: Array | None = None, draws: int | None = None) -> float:
    """Return the mean `expected_calibration_error` that perfectly calibrated probabilities have on so many rows.

    Parameters
    ----------
    p : array (N, O)
        Probabilities.
    n_bins : int, >= 1, default 15
    weights : array (N,), optional
    draws : int, optional
        The classes are drawn from p this many times; default: 100, of many rows at least 10.

    Notes
    -----
    The error is not zero: in each bin, the share of rows that are correct scatters around the confidence.
    """
    random, weights_of_one = generator(0, "perfect calibration"), None if weights is None else weights[None]
    both = both_classes(p.astype(np.float64)[None])[0]
    below = both.cumsum(axis=1)[:, :-1]  # (N, C - 1)
    errors = []
    for _ in range(draws or min(100, max(10, 1_000_000 // len(p)))):
        classes = (random.random((len(p), 1)) > below).sum(axis=1)
        t = np.eye(both.shape[1])[classes]
        errors.append(expected_calibration_error(both[None], t[None], n_bins, weights_of_one)[0])
    return float(np.mean(errors))


def debiased_calibration_error(p: Array, t: Array, n_bins: int = 15, weights: Array | None = None) -> float:
    """Return the `expected_calibration_error` less what chance adds to it: about 0 for perfect calibration.

    Parameters
    ----------
    p, t : array (N, O)
        Probabilities and targets.
    n_bins : int, >= 1, default 15
    weights : array (N,), optional

    Returns
    -------
    float
        At least 0.

    Notes
    -----
    In each bin, d = (share of correct rows - mean confidence) has variance v = mean of c (1 - c) / n, with confidences
    c, even where it is 0 in the long run, so that the mean of |d| is too large. The excess is estimated by drawing
    correct and wrong rows anew, in a world in which the true d are those observed, shrunk by sqrt(1 - sum v / sum d^2),
    or 0 if chance explains sum d^2 at the level of 5 %.

    References
    ----------
    Kumar, Liang, Ma (2019), "Verified uncertainty calibration", for the debiased sum of squares; Roelofs et al. (2022),
    "Mitigating bias in calibration error estimation".
    """
    both, truth = both_classes(p.astype(np.float64)[None])[0], both_classes(t[None])[0]
    confidence, is_correct = both.max(axis=1), both.argmax(axis=1) == truth.argmax(axis=1)
    _require_probabilities(confidence[None])
    confidence = np.minimum(confidence, 1)
    share = np.full(len(p), 1 / len(p)) if weights is None else weights / weights.sum()
    bins = (confidence[:, None] > np.arange(1, n_bins) / n_bins).sum(axis=1)
    in_bin = np.eye(n_bins)[bins] * share[:, None]  # (N, n_bins)
    deviation = (is_correct - confidence) @ in_bin  # times the share of the bin's rows
    variance = (confidence * (1 - confidence)) @ in_bin**2
    squares, by_chance = float((deviation**2).sum()), float(variance.sum())
    is_larger = squares > by_chance + 1.64 * float(np.sqrt(2 * (variance**2).sum()))
    shrunk = deviation * (np.sqrt(1 - by_chance / squares) if is_larger else 0)
    chance = confidence + (shrunk / np.maximum(in_bin.sum(axis=0), 1e-300))[bins]  # of being correct
    random, draws = generator(0, "bias of the calibration error"), min(200, max(20, 2_000_000 // len(p)))
    total = 0.0
    for _ in range(draws):
        total += float(np.abs(((random.random(len(p)) < chance) - confidence) @ in_bin).sum())
    bias = total / draws - float(np.abs(shrunk).sum())
    return max(0.0, float(np.abs(deviation).sum()) - bias)


def _softmax_inputs(z: Array) -> Array:
    """Logits (K, N, O) as float64 inputs of a softmax, at most 0, so that exp cannot overflow; O = 1 becomes 2."""
    z = z.astype(np.float64)
    z = np.concatenate([np.zeros_like(z), z], axis=2) if z.shape[2] == 1 else z  # sigmoid(z) = softmax((0, z))_1
    return both_classes(z - z.max(axis=2, keepdims=True))  # C-contiguous


def _temperature_line(z: Array, t: Array, weights: Array) -> Calibration | None:
    """Temperature scaling; None where no temperature is the best."""
    temperature = float(fit_temperature(z[None], t[None], weights[None])[0])
    return Calibration(1 / temperature) if LOWEST_TEMPERATURE < temperature < HIGHEST_TEMPERATURE else None


def _platt_line(z: Array, t: Array, weights: Array) -> Calibration | None:
    """Platt scaling; None if it would reverse the order of the rows, or if all are of one class."""
    if not 0 < t.sum() < len(t):
        return None
    slope, intercept = fit_platt(z[:, 0], t[:, 0], weights)
    return Calibration(slope, intercept) if slope > 0 else None


def _is_clearly_better(logits: Array, before: Array, t: Array, weights: Array) -> bool:
    """Whether the log loss is lower than before by more than a standard error, also with one more row."""
    gain = log_losses(before, t) - log_losses(logits, t)
    mean = np.average(gain, weights=weights)
    error = np.sqrt(((weights * (gain - mean)) ** 2).sum()) / weights.sum()
    both_z, both_t = _softmax_inputs(before[None])[0], both_classes(t.astype(np.float64)[None])[0]
    other = np.eye(both_t.shape[1])[np.where(both_t > 0.5, -np.inf, both_z).argmax(axis=1)]
    other = other if t.shape[1] > 1 else other[:, 1:]
    gain_of_other = np.average(log_losses(before, other) - log_losses(logits, other), weights=weights)
    with_other = (mean * weights.sum() + gain_of_other) / (weights.sum() + 1)
    return bool(min(mean, with_other) > error)


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
