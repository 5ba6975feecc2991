"""Losses as negative log-likelihoods of the target t, given the network's output z (the logits).

Each public function returns a `Loss`: the kind of targets, and functions of the output z (K, N, outputs) and the target
t (K or 1, N, O):

    value(z, t)                   -log p(t | z) of each row, summed over its targets, shape (K, N)
    gradient(z, t)                (value, dz), dz the derivative of each row's value by its z, shape (K, N, outputs)
    predict(z)                    probabilities or expected values, shape (K, N, O)
    value_and_prediction(z, t)    (value, prediction), for losses that compute both at once
    to_logits(y, deviation)       the inverse: a z whose prediction is y, and whose deviation is the given one, if the
                                  loss has one

z is the last layer's x W + b, before any squashing: each loss owns the function that turns it into a probability, so
that value and gradient are exact where that function saturates. Training minimises the mean over the rows, `mean_value`
and `mean_gradient`. Networks are averaged by their predictions, never by z: `moments` and `mixture_logits`.
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
    """Value, gradient and prediction of the output under one distribution; see the module's docstring.

    Parameters
    ----------
    targets : {"one-hot", "binary", "real", "count"}
        What t holds: one-hot over the O classes, 0 or 1 in each, real values, or counts 0, 1, 2, ...
    value, gradient, predict, to_logits : callable
    outputs_per_target : int, default 1
        Number of outputs for one target.
    deviation : callable, optional
        deviation(z) returns the predicted standard deviation (K, N, O), for losses that predict one.
    value_and_prediction : callable, optional
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
    """Return loss.value(z, t) and loss.predict(z), the same to the last bit, computed at once where the loss can."""
    return loss.value_and_prediction(z, t) if loss.value_and_prediction else (loss.value(z, t), loss.predict(z))


def mean_value(loss: Loss, z: Array, t: Array, weights: Array | None = None) -> Array:
    """Return the mean of the value over the rows (K,).

    Parameters
    ----------
    loss : Loss
    z : array (K, N, outputs)
    t : array (K or 1, N, O)
    weights : array (K or 1, N), optional
        With mean 1 over all rows of the data.
    """
    return mean_of(loss.value(z, t), weights)


def mean_gradient(loss: Loss, z: Array, t: Array, weights: Array | None = None) -> tuple[Array, Array]:
    """Return `mean_value` and its derivative by z: for each row, dz = weight dL / N."""
    value, dz = loss.gradient(z, t)
    dz /= z.shape[1]
    if weights is not None:
        dz *= weights[:, :, None]
    return mean_of(value, weights), dz


def mean_of(value: Array, weights: Array | None) -> Array:
    """Return the mean of a value (K, N) over the rows; see `mean_value`."""
    return (value if weights is None else value * weights).mean(axis=1)


def moments(loss: Loss, z: Array) -> Array:
    """Compute from outputs what can be averaged over networks.

    Parameters
    ----------
    loss : Loss
    z : array (K, N, outputs)
        Outputs of the networks.

    Returns
    -------
    float64 array (K, N, O) or (K, N, 2 O)
        The predictions y; if the loss predicts standard deviations d, followed by the mean squares d^2 + y^2.
    """
    z = z.astype(np.float64)
    y = loss.predict(z)
    return np.concatenate([y, loss.deviation(z) ** 2 + y**2], axis=2) if loss.deviation else y


def mixture_logits(loss: Loss, mean: Array) -> Array:
    """Return the outputs (K, N, outputs) that have these moments, averaged over networks; inverse of `moments`."""
    if not loss.deviation:
        return loss.to_logits(mean, None)
    y, square = np.split(mean, 2, axis=2)
    rounding = np.finfo(mean.dtype).eps * square  # lower bound where the models agree on a tiny deviation
    return loss.to_logits(y, np.sqrt(np.maximum(square - y**2, rounding)))


def mixture_loss(loss: Loss) -> Callable[[Array, Array], Array]:
    """Return the function (moments (K, N, .), t (1, N, O)) -> loss (K, N) of each row of an ensemble's prediction."""
    return lambda mean, t: loss.value(mixture_logits(loss, mean), t)


def softmax_cross_entropy() -> Loss:
    """Categorical distribution: t is one-hot, or a distribution over the O classes.

    Notes
    -----
    p = softmax(z);  -log p(t | z) = -sum_o t_o log p_o;  dz = p - t (for sum t = 1).
    """

    def value(z: Array, t: Array) -> Array:
        return gradient(z, t)[0]

    def parts(z: Array) -> tuple[Array, Array, Array]:
        """z minus its maximum (K, O, N), exp of that, and the sum over the classes (K, 1, N)."""
        z = _transposed(z)
        largest, total = z[:, :1].copy(), np.zeros_like(z[:, :1])
        accumulate_max(z, largest)
        subtract(z, largest)  # exp of at most 0 cannot overflow
        p = np.exp(z)
        accumulate_sum(p, total)
        return z, p, total

    def gradient(z: Array, t: Array) -> tuple[Array, Array]:
        z, p, total = parts(z)
        cost = np.zeros_like(total)
        softmax_dz(p, z, _transposed(t), total, np.log(total), cost)
        return cost[:, 0], np.swapaxes(p, 1, 2)

    def value_and_prediction(z: Array, t: Array) -> tuple[Array, Array]:
        z, p, total = parts(z)
        cost = np.zeros_like(total)
        accumulate_cost(z, _transposed(t), np.log(total), cost)
        return cost[:, 0], _transposed(np.divide(p, total, out=p))

    def predict(z: Array) -> Array:
        z = _transposed(z)
        p = np.exp(z - z.max(axis=1, keepdims=True))
        return _transposed(p / p.sum(axis=1, keepdims=True))

    def to_logits(y: Array, deviation: Array | None) -> Array:
        return np.log(_above_zero(y))

    return Loss("one-hot", value, gradient, predict, to_logits, value_and_prediction=value_and_prediction)


@elementwise("largest")
def accumulate_max(z: Array, largest: Array) -> Array:
    """Return the maximum of z over the classes so far."""
    return np.maximum(largest, z)


@elementwise("z")
def subtract(z: Array, largest: Array) -> Array:
    """Return z of one class minus the maximum over the classes."""
    return z - largest


@elementwise("total")
def accumulate_sum(p: Array, total: Array) -> Array:
    """Return the sum over the classes so far."""
    return total + p


@elementwise("p", "cost")
def softmax_dz(p: Array, z: Array, t: Array, total: Array, log_total: Array, cost: Array) -> tuple[Array, Array]:
    """Return dz of one class, written over p = exp(z), and -log p(t | z) over the classes so far."""
    return p / total - t, cost - t * (z - log_total)


@elementwise("cost")
def accumulate_cost(z: Array, t: Array, log_total: Array, cost: Array) -> Array:
    """Return -log p(t | z) over the classes so far."""
    return cost - t * (z - log_total)


def sigmoid_cross_entropy() -> Loss:
    """Bernoulli distribution: t is 0 or 1 (or a probability), independently for each output (multi-label).

    Notes
    -----
    p = sigmoid(z);  -log p(t | z) = log(1 + exp(z)) - t z;  dz = p - t.
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
        y = np.minimum(_above_zero(y), 1 - np.finfo(y.dtype).epsneg)  # the largest number below 1
        return np.log(y) - np.log1p(-y)

    return Loss("binary", value, gradient, predict, to_logits)


def squared_error() -> Loss:
    """Gaussian distribution with variance 1, without its constant: t is a value.

    Notes
    -----
    -log p(t | z) = (z - t)^2 / 2;  dz = z - t.
    """

    def value(z: Array, t: Array) -> Array:
        return ((z - t) ** 2).sum(axis=2) / 2

    def gradient(z: Array, t: Array) -> tuple[Array, Array]:
        return value(z, t), z - t

    return Loss("real", value, gradient, _unchanged, _unchanged)


def gaussian() -> Loss:
    """Gaussian distribution with predicted variance, without its constant: z holds O means, then O log-variances.

    Notes
    -----
    With m, s = z:  -log p(t | z) = (s + (t - m)^2 / exp(s)) / 2;  dm = (m - t) / exp(s);
    ds = (1 - (t - m)^2 / exp(s)) / 2.

    References
    ----------
    Nix & Weigend (1994), "Estimating the mean and variance of the target probability distribution".
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
        assert deviation is not None, "the inverse needs the deviation, not only the mean"
        return np.concatenate([y, 2 * np.log(_above_zero(deviation))], axis=2)

    return Loss("real", value, gradient, predict, to_logits, 2, deviation)


def absolute_error() -> Loss:
    """Laplace distribution with scale 1, without its constant: t is a value; z tends to the median.

    Notes
    -----
    -log p(t | z) = |z - t|;  dz = sign(z - t), which is 0 at the kink.
    """

    def value(z: Array, t: Array) -> Array:
        return np.abs(z - t).sum(axis=2)

    def gradient(z: Array, t: Array) -> tuple[Array, Array]:
        return value(z, t), np.sign(z - t)

    return Loss("real", value, gradient, _unchanged, _unchanged)


def huber(delta: ArrayLike = 1.0) -> Loss:
    """Huber loss: Gaussian in the centre, Laplace in the tails, so that outliers have less weight; t is a value.

    Parameters
    ----------
    delta : float or array (K,), > 0, default 1
        In units of the target: where the tails begin.

    Raises
    ------
    ValueError
        Naming argument, value, rule and network.

    Notes
    -----
    With e = z - t, and without the constant:  e^2 / 2 where |e| <= delta, otherwise delta (|e| - delta / 2);
    dz = e, clipped to the range from -delta to delta.

    References
    ----------
    Huber (1964), "Robust estimation of a location parameter".
    """
    delta = checked("huber", "delta", delta, above=0)

    def gradient(z: Array, t: Array) -> tuple[Array, Array]:
        limit = column(delta, z)
        error = z - t
        clipped = np.clip(error, -limit, limit)
        return (clipped * (error - clipped / 2)).sum(axis=2), clipped

    def value(z: Array, t: Array) -> Array:
        return gradient(z, t)[0]

    return Loss("real", value, gradient, _unchanged, _unchanged)


def poisson() -> Loss:
    """Poisson distribution, without its constant log t!: t is a count, z the logarithm of the expected count.

    Notes
    -----
    -log p(t | z) = exp(z) - t z;  dz = exp(z) - t.
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


def _transposed(array: Array) -> Array:
    """(K, N, O) -> (K, O, N) or back, a copy: sums over few outputs, along many rows, are 5 times as fast."""
    return np.swapaxes(array, 1, 2).copy()


def _unchanged(z: Array, deviation: Array | None = None) -> Array:
    return z


def _above_zero(y: Array) -> Array:
    """y, with the smallest normal number in place of zeros that are due to rounding, so that it has a logarithm."""
    return np.maximum(y, np.finfo(y.dtype).tiny)
