"""The dense layer z = x W + b and its derivatives, for K networks at once."""

import numpy as np

from nncore.kernels.backend import Array
from nncore.kernels.elementwise import elementwise

IN_CACHE = 1 << 13  # numbers of a W that lies in a core's first cache
AT_ONCE = 10**6  # multiplications of one product; OpenBLAS with AVX-512 takes one of more apart and copies it first


def forward(x: Array, W: Array, out: Array) -> Array:
    """z = x W, which lacks its bias, written into `out`: (K or 1, N, I), (K, I, O) -> (K, N, O)."""
    return _product(x, W, out, _is_small(W))


@elementwise("z")
def add(z: Array, b: Array) -> Array:
    """One output, with its bias."""
    return z + b


def backward_weights(x: Array, dz: Array, out: Array) -> None:
    """dW = x^T dz, written into `out`: (K or 1, N, I), (K, N, O) -> (K, I, O)."""
    _product(x.swapaxes(1, 2), dz, out, _is_small(out))


def sum_rows(array: Array, ones: Array, out: Array | None = None) -> Array:
    """The sum over the rows, such as db = sum of dz: (K, N, O) -> (K, 1, O), written into `out` if there is one.

    As a product with ones (1, 1, N): 3 times faster.
    """
    return np.matmul(ones, array, out=out)


def backward_input(W: Array, dz: Array, out: Array) -> Array:
    """dx = dz W^T, written into `out`: (K, I, O), (K, N, O) -> (K, N, I)."""
    turned, small = W.swapaxes(1, 2), _is_small(W)
    return _product(dz, np.ascontiguousarray(turned) if small else turned, out, small)


def _is_small(W: Array) -> bool:
    """Whether it pays to turn W, and to cut products with it: by how a core's caches are built, a GPU has none such."""
    return type(W) is np.ndarray and W[0].size <= IN_CACHE


def _product(a: Array, b: Array, out: Array, in_pieces: bool) -> Array:
    """a b of each network, written into `out`; if `in_pieces`, some of a's rows at a time.

    Which rows go together depends on the shapes of one network, never on K, and with it how sums are rounded.
    """
    n_rows = a.shape[1]
    n_pieces = max(1, -(-n_rows * b.shape[1] * b.shape[2] // AT_ONCE)) if in_pieces else 1
    if n_pieces == 1:
        return np.matmul(a, b, out=out)
    some = -(-n_rows // n_pieces)
    for start in range(0, n_rows, some):
        np.matmul(a[:, start : start + some], b, out=out[:, start : start + some])
    return out
