"""The seam between NumPy and CuPy: the same source runs on both.

NumPy's functions accept CuPy's arrays and answer with CuPy's (its ufunc and function protocols), so the
mathematics is written with `np.` alone. Only what makes arrays from numbers must know where they are to lie.
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
Result_ = TypeVar("Result_")


def array_module(array: Array) -> Any:
    """The module an array comes from: cupy for one on a GPU, else numpy, also for what only behaves like an array."""
    module = sys.modules[type(array).__module__.partition(".")[0]]
    return module if hasattr(module, "asarray") else np


def as_array_like(values: ArrayLike, like: Array) -> Array:
    """The values as an array that lies where `like` lies, in the dtype they have."""
    return array_module(like).asarray(values)


def empty_like_aligned(like: Array, shape: tuple[int, ...]) -> Array:
    """An array to be written, of the dtype of `like` and where that lies; on a core it begins with a cache line."""
    if type(like) is not np.ndarray:
        return np.empty_like(like, shape=shape, order="C")
    spare = CACHE_LINE // like.itemsize
    whole = np.empty(prod(shape) + spare, like.dtype)
    start = -whole.ctypes.data % CACHE_LINE // like.itemsize
    return whole[start : start + prod(shape)].reshape(shape)


def to_host(array: Array) -> Array:
    """The array in the computer's own memory."""
    return array.get() if hasattr(array, "get") else array


def to_gpu(array: Array) -> Array:
    """A copy in the memory of the current GPU. Raises ImportError where CuPy is not installed."""
    import cupy  # a worker without a GPU has none

    copy: Array = cupy.asarray(array)
    return copy


def select_gpu(number: int) -> None:
    """From now on this process computes on this GPU. Raises ImportError without CuPy, CuPy's error without the GPU."""
    import cupy

    cupy.cuda.Device(number).use()


def probe_gpu() -> tuple[int, int]:
    """Free bytes of the GPU, once it has shown that it computes, and how many GPUs there are.

    Raises   RuntimeError if it does not compute
    """
    import cupy

    try:
        product = np.maximum(to_gpu(np.full((4, 4), 0.5)) @ to_gpu(np.eye(4)), 0)
        if float(to_host(product).sum()) != 8:
            raise RuntimeError("it computes wrong results")
        return int(cupy.cuda.runtime.memGetInfo()[0]), int(cupy.cuda.runtime.getDeviceCount())
    except Exception as error:
        raise RuntimeError(f"{type(error).__name__}: {error}") from None


def with_gpu_memory_limit(limit: int, work: Callable[..., Result_], *arguments: Any) -> Result_:
    """What the work comes to, for which this process may take so many bytes of the GPU; then all is given back.

    The work must bring its result to the host.

    Raises   MemoryError if that is not enough; CuPy's own could not be read where CuPy is not installed
    """
    import cupy

    pool = cupy.get_default_memory_pool()
    pool.set_limit(size=limit)
    try:
        return work(*arguments)
    except MemoryError as error:
        said = str(error)
    finally:  # when no frame of the work, and no traceback, holds an array any longer
        pool.free_all_blocks()
    raise MemoryError(f"the {limit / 1e6:.0f} MB of a GPU were not enough: {said}")


def gather_rows(rows: Array, index: Array, out: Array) -> Array:
    """rows[index] along the first axis, written into `out`."""
    if type(rows) is np.ndarray:
        return np.take(rows, index, axis=0, out=out, mode="clip")  # else it would go by way of a copy
    out[...] = rows[as_array_like(index, rows)]
    return out
