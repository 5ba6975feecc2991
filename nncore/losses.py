"""Losses as negative log-likelihoods: what the network's output z says of the target t.

A member returns a `Loss`: which targets it takes, and three pure functions of the output z (K, N, O) and the
target t (K or 1, N, O):

    value(z, t)      mean over the rows of -log p(t | z), shape (K,)
    gradient(z, t)   (value, dz) with dz = dValue/dz, shape (K, N, O)
    answer(z)        what the output means: probabilities or expected values, shape (K, N, O)

z is the last layer's x W + b, before any squashing: each loss owns the function that turns it into a
probability, so value and gradient stay exact where that function saturates.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np

from nncore.activations import sigmoid
from nncore.hyperparameters import Array


class Loss(NamedTuple):
    """Value, gradient and meaning of the output under one distribution.

    targets   what t holds: "one-hot" (over the O classes), "binary" (0 or 1 in each output), or "real"
    """

    targets: Literal["one-hot", "binary", "real"]
    value: Callable[[Array, Array], Array]
    gradient: Callable[[Array, Array], tuple[Array, Array]]
    answer: Callable[[Array], Array]


def _mean_over_rows(loss: Array) -> Array:
    """(K, N, O) -> (K,): sum over the outputs, mean over the rows."""
    return loss.sum(axis=2).mean(axis=1)


def softmax_cross_entropy() -> Loss:
    """Categorical distribution: t is one-hot, or a distribution over the O classes.

    p = softmax(z),  -log p(t | z) = -sum_o t_o log p_o,  dz = (p - t) / N
    """

    def log_softmax(z: Array) -> Array:
        shifted = z - z.max(axis=2, keepdims=True)  # exp of at most 0 cannot overflow
        return shifted - np.log(np.exp(shifted).sum(axis=2, keepdims=True))

    def value(z: Array, t: Array) -> Array:
        return -_mean_over_rows(t * log_softmax(z))

    def gradient(z: Array, t: Array) -> tuple[Array, Array]:
        log_p = log_softmax(z)
        return -_mean_over_rows(t * log_p), (np.exp(log_p) - t) / z.dtype.type(z.shape[1])

    def answer(z: Array) -> Array:
        return np.exp(log_softmax(z))

    return Loss("one-hot", value, gradient, answer)


def sigmoid_cross_entropy() -> Loss:
    """Bernoulli distribution: t is 0 or 1 (or a probability), independently for each output.

    p = sigmoid(z),  -log p(t | z) = log(1 + exp(z)) - t z,  dz = (p - t) / N
    """

    def softplus(z: Array) -> Array:
        return np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))  # log(1 + exp(z)) without overflow

    def value(z: Array, t: Array) -> Array:
        return _mean_over_rows(softplus(z) - t * z)

    def gradient(z: Array, t: Array) -> tuple[Array, Array]:
        return value(z, t), (answer(z) - t) / z.dtype.type(z.shape[1])

    def answer(z: Array) -> Array:
        return sigmoid().forward(z)

    return Loss("binary", value, gradient, answer)


def squared_error() -> Loss:
    """Gaussian distribution with variance 1, without its constant: t is a value.

    -log p(t | z) = sum_o (z_o - t_o)^2 / 2,  dz = (z - t) / N
    """

    def value(z: Array, t: Array) -> Array:
        return _mean_over_rows((z - t) ** 2) / 2

    def gradient(z: Array, t: Array) -> tuple[Array, Array]:
        return value(z, t), (z - t) / z.dtype.type(z.shape[1])

    def answer(z: Array) -> Array:
        return z

    return Loss("real", value, gradient, answer)
