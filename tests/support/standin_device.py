"""A stand-in for GPU memory: arrays that refuse to be mixed with host arrays, as CuPy's do.

They live in host memory, so that the boundary between host and device can be tested without a GPU: an operation
that mixes the two kinds, or converts between them implicitly, raises TypeError.
"""

from typing import Any

import numpy as np


class DeviceArray(np.ndarray):
    """An array "on the device"."""

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = None, **rest: Any) -> Any:
        refuse_mixed([*inputs, *(out or ()), *rest.values()])
        plain = {"out": tuple(to_host(array) for array in out)} if out else {}
        result = getattr(ufunc, method)(*map(to_host, inputs), **plain, **{k: to_host(v) for k, v in rest.items()})
        return out[0] if out else to_device(result)

    def __array_function__(self, function: Any, types: Any, arguments: Any, rest: Any) -> Any:
        inputs = list(flatten([arguments, list(rest.values())]))
        refuse_mixed(inputs)
        result = function(*map_nested(arguments, to_host), **{k: map_nested(v, to_host) for k, v in rest.items()})
        out = rest.get("out")
        return out if out is not None else map_nested(result, to_device)

    def __setitem__(self, key: Any, value: Any) -> None:
        refuse_mixed([self, value, *flatten(key)])
        super().__setitem__(map_nested(key, to_host), to_host(value))

    def __getitem__(self, key: Any) -> Any:
        refuse_mixed([self, *flatten(key)])
        return to_device(super().__getitem__(map_nested(key, to_host)))

    def __float__(self) -> float:
        raise TypeError("a number must be fetched from the device with get()")

    def __array__(self, *arguments: Any, **rest: Any) -> Any:
        raise TypeError("an array must be fetched from the device with get()")

    def get(self) -> np.ndarray:
        """A copy in host memory."""
        return self.view(np.ndarray).copy()

    def tobytes(self, *arguments: Any) -> bytes:
        """Refuse to read the device's memory."""
        raise TypeError("an array must be fetched from the device with get()")


def refuse_mixed(arrays: list[Any]) -> None:
    """Raise TypeError if these are arrays of both kinds. Scalars are compatible with both."""
    host_arrays = [array for array in arrays if type(array) is np.ndarray and array.ndim > 0]
    if host_arrays and any(isinstance(array, DeviceArray) for array in arrays):
        raise TypeError(f"an array of the host, of shape {host_arrays[0].shape}, meets one of the device")


def flatten(value: Any) -> Any:
    """Iterate over the items of nested tuples and lists."""
    if isinstance(value, tuple | list):
        for item in value:
            yield from flatten(item)
    else:
        yield value


def map_nested(value: Any, change: Any) -> Any:
    """Apply a function to every item of nested tuples and lists."""
    if isinstance(value, tuple | list):
        return type(value)(map_nested(item, change) for item in value)
    return change(value)


def to_host(value: Any) -> Any:
    """Return the host view of a device array."""
    return value.view(np.ndarray) if isinstance(value, DeviceArray) else value


def to_device(value: Any) -> Any:
    """Return the device view of a host array."""
    return value.view(DeviceArray) if type(value) is np.ndarray else value


def asarray(values: Any, dtype: Any = None) -> DeviceArray:
    """A copy on the device, as cupy.asarray makes one."""
    return np.array(to_host(values), dtype=dtype).view(DeviceArray)
