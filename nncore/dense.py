"""The dense layer z = x W + b and its derivatives, for K networks at once."""

import numpy as np

from nncore.backend import Array
from nncore.formula import formula


def forward(x: Array, W: Array, b: Array, out: Array) -> Array:
    """z = x W + b, written into `out`: (K or 1, N, I), (K, I, O), (K, 1, O) -> (K, N, O)."""
    np.matmul(x, W, out=out)
    add([out, b])
    return out


@formula("z")
def add(z: Array, b: Array) -> Array:
    """One output, with its bias."""
    return z + b


def backward_weights(x: Array, dz: Array, out: Array) -> None:
    """dW = x^T dz, written into `out`: (K or 1, N, I), (K, N, O) -> (K, I, O)."""
    np.matmul(x.swapaxes(1, 2), dz, out=out)


def sum_rows(array: Array, ones: Array, out: Array | None = None) -> Array:
    """The sum over the rows, such as db = sum of dz: (K, N, O) -> (K, 1, O), written into `out` if there is one.

    As a product with ones (1, 1, N): 3 times faster.
    """
    return np.matmul(ones, array, out=out)


def backward_input(W: Array, dz: Array, out: Array) -> Array:
    """dx = dz W^T, written into `out`: (K, I, O), (K, N, O) -> (K, N, I)."""
    return np.matmul(dz, W.swapaxes(1, 2), out=out)
