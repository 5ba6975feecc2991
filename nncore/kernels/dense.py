"""The dense layer z = x W + b and its derivatives, for K networks at once.

The arrays of networks whose k members have their own W have one more axis: (K, k, N, I), (K, k, I, O) and so on.
"""

import numpy as np

from nncore.kernels.backend import Array
from nncore.kernels.elementwise import elementwise

SMALL_WEIGHTS = 1 << 13  # numbers of a W that fits into a core's first-level cache
MAX_MULTIPLICATIONS = 10**6  # of one product: OpenBLAS with AVX-512 splits a larger one and copies its operands first
MIN_PIECE = 16  # rows of a piece: with fewer, as of x^T in a product with thousands of rows, it would be slower


def forward(x: Array, W: Array, out: Array) -> Array:
    """Write z = x W, without the bias, into `out`: (K or 1, N, I), (K, I, O) -> (K, N, O)."""
    return _product(x, W, out, _is_small(W))


@elementwise("z")
def add(z: Array, b: Array) -> Array:
    """Return one output with its bias."""
    return z + b


def backward_weights(x: Array, dz: Array, out: Array) -> None:
    """Write dW = x^T dz into `out`: (K or 1, N, I), (K, N, O) -> (K, I, O)."""
    _product(x.swapaxes(-2, -1), dz, out, _is_small(out))


def sum_rows(array: Array, ones: Array, out: Array | None = None) -> Array:
    """Return the sum over the rows, such as db = sum of dz: (K, N, O) -> (K, 1, O), in `out` if it is given.

    It is computed as a product with ones (1, 1, N), which is 3 times faster.
    """
    return np.matmul(ones, array, out=out)


def backward_input(W: Array, dz: Array, out: Array) -> Array:
    """Write dx = dz W^T into `out`: (K, I, O), (K, N, O) -> (K, N, I)."""
    transposed, is_small = W.swapaxes(-2, -1), _is_small(W)
    if W.shape[-1] == 1:  # nothing to sum: 6 times faster than as a product
        return np.multiply(dz, transposed, out=out)
    return _product(dz, np.ascontiguousarray(transposed) if is_small else transposed, out, is_small)


def _is_small(W: Array) -> bool:
    """Whether it is faster to transpose W in memory and to split products with it; never so on a GPU."""
    return type(W) is np.ndarray and W.shape[-2] * W.shape[-1] <= SMALL_WEIGHTS


def _product(a: Array, b: Array, out: Array, in_pieces: bool) -> Array:
    """The product a b of each network, written into `out`; if `in_pieces`, for some of a's rows at a time.

    Which rows form a piece depends on the shapes of one network, never on K: it decides how sums are rounded.
    """
    n_rows, in_pieces = a.shape[-2], in_pieces and type(a) is np.ndarray
    n_pieces = max(1, -(-n_rows * b.shape[-2] * b.shape[-1] // MAX_MULTIPLICATIONS)) if in_pieces else 1
    size = -(-n_rows // n_pieces)
    if n_pieces == 1 or size < MIN_PIECE:
        return np.matmul(a, b, out=out)
    for start in range(0, n_rows, size):
        rows = (..., slice(start, start + size), slice(None))
        np.matmul(a[rows], b, out=out[rows])
    return out
