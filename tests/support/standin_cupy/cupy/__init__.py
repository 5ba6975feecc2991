"""A replacement for CuPy, for tests of a sweep on declared GPUs; the arrays are those of standin_device.py.

STANDIN_GPU_BYTES   memory that the GPU reports
STANDIN_GPU_ROOM    a larger array raises OutOfMemoryError
"""

import os

from standin_device import DeviceArray
from standin_device import asarray as on_the_device


class OutOfMemoryError(MemoryError):
    """As CuPy's: it cannot be unpickled without CuPy."""


class CUDARuntimeError(RuntimeError):
    """As CuPy's."""


class _Runtime:
    @staticmethod
    def memGetInfo():  # noqa: N802
        total = int(os.environ.get("STANDIN_GPU_BYTES", 10**9))
        return total, total

    @staticmethod
    def getDeviceCount():  # noqa: N802
        return 2


class cuda:  # noqa: N801
    """The part of cupy.cuda that nncore uses."""

    runtime = _Runtime()

    @staticmethod
    def is_available():
        return True

    class Device:
        def __init__(self, number):
            self.number = number

        def use(self):
            if self.number > 1:
                raise CUDARuntimeError("invalid device ordinal")


class _Pool:
    limit = 10**12

    def set_limit(self, size):
        _Pool.limit = size

    def free_all_blocks(self):
        pass


def get_default_memory_pool():
    return _Pool()


def asarray(values, dtype=None):
    array = on_the_device(values, dtype)
    if array.nbytes > min(_Pool.limit, int(os.environ.get("STANDIN_GPU_ROOM", 10**12))):
        raise OutOfMemoryError(f"out of memory allocating {array.nbytes:,} bytes")
    return array


__all__ = ["DeviceArray", "OutOfMemoryError", "asarray", "cuda", "get_default_memory_pool"]
