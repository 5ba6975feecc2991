"""The dense layer z = x W + b and its derivatives, for K networks at once."""

import numpy as np

from nncore.hyperparameters import Array


def forward(x: Array, W: Array, b: Array) -> Array:
    """z = x W + b: (K or 1, N, I), (K, I, O), (K, 1, O) -> (K, N, O)."""
    z: Array = np.matmul(x, W)
    z += b
    return z


def backward_parameters(x: Array, dz: Array, dW: Array, db: Array) -> None:
    """dW = x^T dz and db = sum of dz over the rows, written into dW (K, I, O) and db (K, 1, O)."""
    np.matmul(x.swapaxes(1, 2), dz, out=dW)
    np.matmul(np.ones((1, 1, dz.shape[1]), dz.dtype), dz, out=db)  # a sum as a product: 3 times faster


def backward_input(W: Array, dz: Array) -> Array:
    """dx = dz W^T: (K, N, O), (K, I, O) -> (K, N, I)."""
    return np.matmul(dz, W.swapaxes(1, 2))
