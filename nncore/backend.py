"""The seam between NumPy and CuPy: the same source runs on both.

NumPy's functions accept CuPy's arrays and answer with CuPy's (its ufunc and function protocols), so the
mathematics is written with `np.` alone. Only what makes arrays from numbers must know where they are to lie.
"""

import sys
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]


def module_of(array: Array) -> Any:
    """The module an array comes from: cupy for one on a GPU, else numpy, also for what only behaves like an array."""
    module = sys.modules[type(array).__module__.partition(".")[0]]
    return module if hasattr(module, "asarray") else np


def beside(values: ArrayLike, like: Array) -> Array:
    """The values as an array that lies where `like` lies, in the dtype they have."""
    return module_of(like).asarray(values)


def on_host(array: Array) -> Array:
    """The array in the computer's own memory."""
    return array.get() if hasattr(array, "get") else array


def on_gpu(array: Array) -> Array:
    """A copy in the memory of the current GPU. Raises ImportError where CuPy is not installed."""
    import cupy  # a worker without a GPU has none

    copy: Array = cupy.asarray(array)
    return copy


def gather_rows(rows: Array, index: Array, out: Array) -> Array:
    """rows[index] along the first axis, written into `out`."""
    if type(rows) is np.ndarray:
        return np.take(rows, index, axis=0, out=out, mode="clip")  # else it would go by way of a copy
    out[...] = rows[beside(index, rows)]
    return out
