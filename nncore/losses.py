"""Losses as negative log-likelihoods: what the network's output z says of the target t.

A member returns a `Loss`: which targets it takes, and functions of the output z (K, N, outputs) and the target
t (K or 1, N, O):

    value(z, t)      -log p(t | z) of each row, summed over its targets, shape (K, N)
    gradient(z, t)   (value, dz), dz the derivative of each row's value by its z, shape (K, N, outputs)
    predict(z)       what the output means: probabilities or expected values, shape (K, N, O)
    value_and_prediction(z, t)  (value, answer), for those that find both at once; see `value_and_prediction`
    to_logits(y, d)     the other way: a z that means the answer y, and predicts the deviation d if the loss has one

z is the last layer's x W + b, before any squashing: each loss owns the function that turns it into a
probability, so value and gradient stay exact where that function saturates. What training minimises is the
mean over the rows: `mean_value` and `mean_gradient`.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from nncore.activations import sigmoid
from nncore.kernels.backend import Array
from nncore.kernels.elementwise import elementwise
from nncore.kernels.hyperparameters import checked, column

Targets = Literal["one-hot", "binary", "real", "count"]


class Loss(NamedTuple):
    """Value, gradient and meaning of the output under one distribution.

    targets              what t holds: "one-hot" (over the O classes), "binary" (0 or 1 in each), "real" values,
                         or "count" (0, 1, 2, ...)
    outputs_per_target   how many outputs speak of one target
    deviation            the standard deviation that the output predicts, where it predicts one, (K, N, O)
    """

    targets: Targets
    value: Callable[[Array, Array], Array]
    gradient: Callable[[Array, Array], tuple[Array, Array]]
    predict: Callable[[Array], Array]
    to_logits: Callable[[Array, Array | None], Array]
    outputs_per_target: int = 1
    deviation: Callable[[Array], Array] | None = None
    value_and_prediction: Callable[[Array, Array], tuple[Array, Array]] | None = None


def value_and_prediction(loss: Loss, z: Array, t: Array) -> tuple[Array, Array]:
    """(value, answer), to the last bit what they are by themselves."""
    return loss.value_and_prediction(z, t) if loss.value_and_prediction else (loss.value(z, t), loss.predict(z))


def mean_value(loss: Loss, z: Array, t: Array, weights: Array | None = None) -> Array:
    """The mean over the rows (K,); weights (K or 1, N) have mean 1 over all rows of the data."""
    return mean_of(loss.value(z, t), weights)


def mean_gradient(loss: Loss, z: Array, t: Array, weights: Array | None = None) -> tuple[Array, Array]:
    """(mean_value, its derivative by z): dz = weight dL / N of each row."""
    value, dz = loss.gradient(z, t)
    dz /= z.shape[1]
    if weights is not None:
        dz *= weights[:, :, None]
    return mean_of(value, weights), dz


def mean_of(value: Array, weights: Array | None) -> Array:
    """The mean of a value (K, N) over the rows; see mean_value."""
    return (value if weights is None else value * weights).mean(axis=1)


def softmax_cross_entropy() -> Loss:
    """Categorical distribution: t is one-hot, or a distribution over the O classes.

    p = softmax(z),  -log p(t | z) = -sum_o t_o log p_o,  dz = p - t (for sum t = 1)
    """

    def value(z: Array, t: Array) -> Array:
        return gradient(z, t)[0]

    def parts(z: Array) -> tuple[Array, Array, Array]:
        """z, as far below its largest as it is, p before its division, and its sum (K, 1, N)."""
        z = _turned(z)
        largest, total = z[:, :1].copy(), np.zeros_like(z[:, :1])
        largest_z(z, largest)
        less(z, largest)  # exp of at most 0 cannot overflow
        p = np.exp(z)
        sum_p(p, total)
        return z, p, total

    def gradient(z: Array, t: Array) -> tuple[Array, Array]:
        z, p, total = parts(z)
        cost = np.zeros_like(total)
        softmax_dz(p, z, _turned(t), total, np.log(total), cost)
        return cost[:, 0], np.swapaxes(p, 1, 2)

    def value_and_prediction(z: Array, t: Array) -> tuple[Array, Array]:
        z, p, total = parts(z)
        cost = np.zeros_like(total)
        add_cost(z, _turned(t), np.log(total), cost)
        return cost[:, 0], _turned(np.divide(p, total, out=p))

    def predict(z: Array) -> Array:
        z = _turned(z)
        p = np.exp(z - z.max(axis=1, keepdims=True))
        return _turned(p / p.sum(axis=1, keepdims=True))

    def to_logits(y: Array, deviation: Array | None) -> Array:
        return np.log(_above_zero(y))

    return Loss("one-hot", value, gradient, predict, to_logits, value_and_prediction=value_and_prediction)


@elementwise("largest")
def largest_z(z: Array, largest: Array) -> Array:
    """The largest z of all classes."""
    return np.maximum(largest, z)


@elementwise("z")
def less(z: Array, largest: Array) -> Array:
    """One class's z, as far below the largest as it is."""
    return z - largest


@elementwise("total")
def sum_p(p: Array, total: Array) -> Array:
    """The sum over all classes."""
    return total + p


@elementwise("p", "cost")
def softmax_dz(p: Array, z: Array, t: Array, total: Array, log_total: Array, cost: Array) -> tuple[Array, Array]:
    """One class's dz, in the place of p = exp(z), and what it adds to -log p(t | z)."""
    return p / total - t, cost - t * (z - log_total)


@elementwise("cost")
def add_cost(z: Array, t: Array, log_total: Array, cost: Array) -> Array:
    """What one class adds to -log p(t | z)."""
    return cost - t * (z - log_total)


def sigmoid_cross_entropy() -> Loss:
    """Bernoulli distribution: t is 0 or 1 (or a probability), independently for each output (multi-label).

    p = sigmoid(z),  -log p(t | z) = log(1 + exp(z)) - t z,  dz = p - t
    """

    def softplus(z: Array) -> Array:
        return np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))  # log(1 + exp(z)) without overflow

    def value(z: Array, t: Array) -> Array:
        return (softplus(z) - t * z).sum(axis=2)

    def gradient(z: Array, t: Array) -> tuple[Array, Array]:
        return value(z, t), predict(z) - t

    def predict(z: Array) -> Array:
        return sigmoid().forward(z, np.empty_like(z))

    def to_logits(y: Array, deviation: Array | None) -> Array:
        y = np.minimum(_above_zero(y), 1 - np.finfo(y.dtype).epsneg)  # the last number below 1
        return np.log(y) - np.log1p(-y)

    return Loss("binary", value, gradient, predict, to_logits)


def squared_error() -> Loss:
    """Gaussian distribution with variance 1, without its constant: t is a value.

    -log p(t | z) = (z - t)^2 / 2,  dz = z - t
    """

    def value(z: Array, t: Array) -> Array:
        return ((z - t) ** 2).sum(axis=2) / 2

    def gradient(z: Array, t: Array) -> tuple[Array, Array]:
        return value(z, t), z - t

    return Loss("real", value, gradient, _as_it_is, _as_it_is)


def gaussian() -> Loss:
    """Gaussian distribution with predicted variance, without its constant: z holds O means, then O log-variances.

    m, s = z;  -log p(t | z) = (s + (t - m)^2 / exp(s)) / 2,  dm = (m - t) / exp(s),  ds = (1 - (t - m)^2 / exp(s)) / 2

    Source   Nix & Weigend (1994), "Estimating the mean and variance of the target probability distribution"
    """

    def parts(z: Array, t: Array) -> tuple[Array, Array, Array]:
        mean, log_variance = np.split(z, 2, axis=2)
        return mean - t, log_variance, np.exp(-log_variance)

    def value(z: Array, t: Array) -> Array:
        error, log_variance, precision = parts(z, t)
        return (log_variance + error * error * precision).sum(axis=2) / 2

    def gradient(z: Array, t: Array) -> tuple[Array, Array]:
        error, _, precision = parts(z, t)
        d_mean = error * precision
        return value(z, t), np.concatenate([d_mean, (1 - error * d_mean) / 2], axis=2)

    def predict(z: Array) -> Array:
        return np.split(z, 2, axis=2)[0]

    def deviation(z: Array) -> Array:
        return np.exp(np.split(z, 2, axis=2)[1] / 2)

    def to_logits(y: Array, deviation: Array | None) -> Array:
        assert deviation is not None, "a mean alone has no output here"
        return np.concatenate([y, 2 * np.log(_above_zero(deviation))], axis=2)

    return Loss("real", value, gradient, predict, to_logits, 2, deviation)


def absolute_error() -> Loss:
    """Laplace distribution with scale 1, without its constant: t is a value; z tends to the median.

    -log p(t | z) = |z - t|,  dz = sign(z - t), 0 at the kink
    """

    def value(z: Array, t: Array) -> Array:
        return np.abs(z - t).sum(axis=2)

    def gradient(z: Array, t: Array) -> tuple[Array, Array]:
        return value(z, t), np.sign(z - t)

    return Loss("real", value, gradient, _as_it_is, _as_it_is)


def huber(delta: ArrayLike = 1.0) -> Loss:
    """Gaussian in the middle, Laplace in the tails, without its constant: t is a value; outliers pull less.

    e = z - t;  e^2 / 2 where |e| <= delta, else delta (|e| - delta / 2);  dz = e, cut to +-delta

    Range    delta > 0, in units of the target
    Source   Huber (1964), "Robust estimation of a location parameter"
    """
    delta = checked("huber", "delta", delta, above=0)

    def gradient(z: Array, t: Array) -> tuple[Array, Array]:
        limit = column(delta, z)
        error = z - t
        cut = np.clip(error, -limit, limit)
        return (cut * (error - cut / 2)).sum(axis=2), cut

    def value(z: Array, t: Array) -> Array:
        return gradient(z, t)[0]

    return Loss("real", value, gradient, _as_it_is, _as_it_is)


def poisson() -> Loss:
    """Poisson distribution, without its constant log t!: t is a count, z the logarithm of the expected count.

    -log p(t | z) = exp(z) - t z,  dz = exp(z) - t
    """

    def value(z: Array, t: Array) -> Array:
        return (np.exp(z) - t * z).sum(axis=2)

    def gradient(z: Array, t: Array) -> tuple[Array, Array]:
        return value(z, t), np.exp(z) - t

    def predict(z: Array) -> Array:
        return np.exp(z)

    def to_logits(y: Array, deviation: Array | None) -> Array:
        return np.log(_above_zero(y))

    return Loss("count", value, gradient, predict, to_logits)


def _turned(array: Array) -> Array:
    """(K, N, O) -> (K, O, N) or back, a copy: sums over the few outputs run along the many rows, 5 times as fast."""
    return np.swapaxes(array, 1, 2).copy()


def _as_it_is(z: Array, deviation: Array | None = None) -> Array:
    return z


def _above_zero(y: Array) -> Array:
    """What rounding made zero as the least number above it that is exact, so that it has a logarithm."""
    return np.maximum(y, np.finfo(y.dtype).tiny)
