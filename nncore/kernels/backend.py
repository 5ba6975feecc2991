"""The seam between NumPy and CuPy: the same source runs on both.

NumPy's functions accept CuPy's arrays and return CuPy's (its ufunc and function protocols), so the mathematics is
written with `np.` alone. Only code that makes arrays from numbers must know where they are to be, on the host or on a
GPU.
"""

import sys
from collections.abc import Callable
from math import prod
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

CACHE_LINE = 64  # bytes
Array = NDArray[Any]
State = dict[str, Array]  # what a component remembers between steps, by name: arrays (K, ...)
WorkResult = TypeVar("WorkResult")


def array_module(array: Array) -> Any:
    """Return the module of an array: cupy on a GPU, otherwise numpy, also for objects that only behave like arrays."""
    module = sys.modules[type(array).__module__.partition(".")[0]]
    return module if hasattr(module, "asarray") else np


def as_array_like(values: ArrayLike, like: Array) -> Array:
    """Return the values as an array on the device of `like`, in their own dtype."""
    return array_module(like).asarray(values)


def empty_like_aligned(like: Array, shape: tuple[int, ...]) -> Array:
    """Return an empty array with the dtype and on the device of `like`; on the host it begins at a cache line."""
    if type(like) is not np.ndarray:
        return np.empty_like(like, shape=shape, order="C")
    padding = CACHE_LINE // like.itemsize
    padded = np.empty(prod(shape) + padding, like.dtype)
    start = -padded.ctypes.data % CACHE_LINE // like.itemsize
    return padded[start : start + prod(shape)].reshape(shape)


def to_host(array: Array) -> Array:
    """Return the array in the host's memory."""
    return array.get() if hasattr(array, "get") else array


def to_gpu(array: Array) -> Array:
    """Return a copy in the memory of the current GPU.

    Raises
    ------
    ImportError
        Where CuPy is not installed.
    """
    import cupy  # not installed on a worker without a GPU

    copy: Array = cupy.asarray(array)
    return copy


def select_gpu(number: int) -> None:
    """Make this process compute on the GPU of this number.

    Raises
    ------
    ImportError
        Where CuPy is not installed; CuPy's own error where there is no such GPU.
    """
    import cupy

    cupy.cuda.Device(number).use()


def probe_gpu() -> tuple[int, int]:
    """Check that the GPU computes; return its free bytes and the number of GPUs.

    Raises
    ------
    RuntimeError
        If it does not compute.
    """
    import cupy

    try:
        product = np.maximum(to_gpu(np.full((4, 4), 0.5)) @ to_gpu(np.eye(4)), 0)
        if float(to_host(product).sum()) != 8:
            raise RuntimeError("it computes wrong results")
        return int(cupy.cuda.runtime.memGetInfo()[0]), int(cupy.cuda.runtime.getDeviceCount())
    except Exception as error:
        raise RuntimeError(f"{type(error).__name__}: {error}") from None


def with_gpu_memory_limit(limit: int, work: Callable[..., WorkResult], *arguments: Any) -> WorkResult:
    """Call work(*arguments) with a limit on the GPU memory of this process, and free that memory afterwards.

    Parameters
    ----------
    limit : int
        In bytes.
    work : callable
        Its result must be on the host.

    Raises
    ------
    MemoryError
        If the limit is not enough. CuPy's own error could not be unpickled where CuPy is not installed.
    """
    import cupy

    pool = cupy.get_default_memory_pool()
    pool.set_limit(size=limit)
    try:
        return work(*arguments)
    except MemoryError as error:
        message = str(error)
    finally:  # no frame of the work and no traceback holds an array any longer
        pool.free_all_blocks()
    raise MemoryError(f"the {limit / 1e6:.0f} MB of a GPU were not enough: {message}")


def gather_rows(rows: Array, index: Array, out: Array) -> Array:
    """Write rows[index], along the first axis, into `out`, and return it."""
    if type(rows) is np.ndarray:
        return np.take(rows, index, axis=0, out=out, mode="clip")  # otherwise NumPy makes a copy first
    out[...] = rows[as_array_like(index, rows)]
    return out
