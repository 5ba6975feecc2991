"""A stand-in for a GPU's memory: arrays that refuse to meet those of the computer's own, as CuPy's do.

They live in the computer's memory all the same, so that the seam between the two can be tested without a GPU:
whatever would mix the two kinds, or turn one into the other unasked, raises TypeError.
"""

from typing import Any

import numpy as np


class DeviceArray(np.ndarray):
    """An array "on the device"."""

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = None, **rest: Any) -> Any:
        refuse_mixed([*inputs, *(out or ()), *rest.values()])
        plain = {"out": tuple(to_host(array) for array in out)} if out else {}
        found = getattr(ufunc, method)(*map(to_host, inputs), **plain, **{k: to_host(v) for k, v in rest.items()})
        return out[0] if out else to_device(found)

    def __array_function__(self, function: Any, types: Any, arguments: Any, rest: Any) -> Any:
        everything = list(flatten([arguments, list(rest.values())]))
        refuse_mixed(everything)
        found = function(*map_nested(arguments, to_host), **{k: map_nested(v, to_host) for k, v in rest.items()})
        given = rest.get("out")
        return given if given is not None else map_nested(found, to_device)

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
        """A copy in the computer's own memory."""
        return self.view(np.ndarray).copy()

    def tobytes(self, *arguments: Any) -> bytes:
        """What would read the device's memory."""
        raise TypeError("an array must be fetched from the device with get()")


def refuse_mixed(arrays: list[Any]) -> None:
    """Raise TypeError if arrays of both kinds are among these. Numbers may meet anything."""
    wrong = [one for one in arrays if type(one) is np.ndarray and one.ndim > 0]
    if wrong and any(isinstance(one, DeviceArray) for one in arrays):
        raise TypeError(f"an array of the host, of shape {wrong[0].shape}, meets one of the device")


def flatten(value: Any) -> Any:
    """What is inside of nested tuples and lists."""
    if isinstance(value, tuple | list):
        for item in value:
            yield from flatten(item)
    else:
        yield value


def map_nested(value: Any, change: Any) -> Any:
    """Nested tuples and lists with everything inside changed."""
    if isinstance(value, tuple | list):
        return type(value)(map_nested(item, change) for item in value)
    return change(value)


def to_host(value: Any) -> Any:
    """The plain array of one on the device."""
    return value.view(np.ndarray) if isinstance(value, DeviceArray) else value


def to_device(value: Any) -> Any:
    """The same numbers, on the device."""
    return value.view(DeviceArray) if type(value) is np.ndarray else value


def asarray(values: Any, dtype: Any = None) -> DeviceArray:
    """A copy on the device, as cupy.asarray makes one."""
    return np.array(to_host(values), dtype=dtype).view(DeviceArray)
