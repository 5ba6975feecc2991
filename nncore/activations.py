"""Activation functions y = f(z), each with its derivative just below it.

A member returns an `Activation`, two pure functions: `forward(z) -> y` and, by the chain rule,
`backward(dy, z, y) -> dz = dy f'(z)`. All arrays have one shape and dtype.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from nncore.hyperparameters import Array


class Activation(NamedTuple):
    """f and the map from dLoss/dy to dLoss/dz."""

    forward: Callable[[Array], Array]
    backward: Callable[[Array, Array, Array], Array]


def identity() -> Activation:
    """y = z;  f'(z) = 1."""

    def forward(z: Array) -> Array:
        return z

    def backward(dy: Array, z: Array, y: Array) -> Array:
        return dy

    return Activation(forward, backward)


def relu() -> Activation:
    """y = max(z, 0);  f'(z) = 1 where z > 0, else 0 (also at the kink, z = 0)."""

    def forward(z: Array) -> Array:
        return np.maximum(z, 0)

    def backward(dy: Array, z: Array, y: Array) -> Array:
        return dy * (z > 0)

    return Activation(forward, backward)


def sigmoid() -> Activation:
    """y = 1 / (1 + exp(-z));  f'(z) = y (1 - y).

    Written with tanh, sigmoid(z) = (1 + tanh(z / 2)) / 2, which cannot overflow.
    """

    def forward(z: Array) -> Array:
        half = z.dtype.type(0.5)
        return half * (1 + np.tanh(half * z))

    def backward(dy: Array, z: Array, y: Array) -> Array:
        return dy * y * (1 - y)

    return Activation(forward, backward)


def tanh() -> Activation:
    """y = tanh(z);  f'(z) = 1 - y^2."""

    def forward(z: Array) -> Array:
        return np.tanh(z)

    def backward(dy: Array, z: Array, y: Array) -> Array:
        return dy * (1 - y * y)

    return Activation(forward, backward)
