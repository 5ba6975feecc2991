"""Values as JSON and arrays: no code, no pickle. What a file describes is made of classes that its reader names.

    None, bool, int, float, text    themselves
    a tuple                         [...]
    a list, a dict with text keys   {"list": [...]}, {"dict": {...}}
    an array                        {"array": its number}; one that occurs twice has one number
    a dataclass, a NamedTuple       {"class": its name, and each field by its own name}

A NumPy number or text becomes Python's own. A class is known by its name alone, so moving it keeps old files readable.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from nncore.kernels.backend import Array

DAMAGES = (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, RecursionError)  # of decoding


def by_name(kinds: Iterable[type]) -> dict[str, type]:
    """The classes by their names. Raises ValueError if two have one name."""
    listed = list(kinds)
    named = {kind.__name__: kind for kind in listed}
    if len(named) < len(set(listed)):
        raise ValueError(f"classes must have names that differ, but are {', '.join(k.__name__ for k in listed)}")
    return named


class Encoder:
    """Turns values into plain JSON, and collects their arrays.

    arrays   what the content's numbers refer to, in this order
    """

    def __init__(self, kinds: Mapping[str, type]) -> None:
        self._kinds = kinds
        self._numbers: dict[int, int] = {}
        self.arrays: list[Array] = []

    def encode(self, value: Any) -> Any:
        """Plain JSON for a value. Raises ValueError naming what it has no words for."""
        if value is None or isinstance(value, bool | int | float | str):
            return value.item() if isinstance(value, np.generic) else value
        if isinstance(value, np.generic):
            return self.encode(_plain(value))
        if isinstance(value, np.ndarray):
            return {"array": self._number(value)}
        if self._kinds.get(type(value).__name__) is type(value):
            own = {name: self.encode(getattr(value, name)) for name in _fields_of(type(value))}
            return {"class": type(value).__name__} | own
        if type(value) is tuple:
            return [self.encode(item) for item in value]
        if type(value) is list:
            return {"list": [self.encode(item) for item in value]}
        if type(value) is dict and all(isinstance(key, str) for key in value):
            return {"dict": {key: self.encode(item) for key, item in value.items()}}
        raise ValueError(f"a file can hold no {type(value).__name__}: {value!r:.80}")

    def _number(self, array: Array) -> int:
        if array.dtype.kind not in "biufcUSMm":
            raise ValueError(f"a file can hold no array of {array.dtype}")
        if id(array) not in self._numbers:
            self._numbers[id(array)] = len(self.arrays)
            self.arrays.append(array)
        return self._numbers[id(array)]


def decode(content: Any, arrays: Sequence[Array], kinds: Mapping[str, type]) -> Any:
    """The value that `Encoder.encode` turned into this content.

    Raises   ValueError for an unknown class, and one of DAMAGES for other content than that
    """
    if isinstance(content, list):
        return tuple(decode(item, arrays, kinds) for item in content)
    if not isinstance(content, dict):
        return content
    if "class" in content:
        if content["class"] not in kinds:
            raise ValueError(f"unknown class {content['class']!r}")
        items = {name: decode(item, arrays, kinds) for name, item in content.items() if name != "class"}
        return kinds[content["class"]](**items)
    ((kind, inner),) = content.items()
    if kind == "array":
        return arrays[inner]
    if kind == "list":
        return [decode(item, arrays, kinds) for item in inner]
    if kind == "dict":
        return {key: decode(item, arrays, kinds) for key, item in inner.items()}
    raise ValueError(f"unknown content {kind!r}")


def _fields_of(kind: Any) -> Iterable[str]:
    """The names of what a dataclass or a NamedTuple is made from."""
    return [field.name for field in fields(kind) if field.init] if is_dataclass(kind) else kind._fields


def _plain(scalar: Any) -> Any:
    """A NumPy number as Python's own."""
    plain = scalar.item()
    if not isinstance(plain, bool | int | float | str) or scalar.dtype.kind in "Mm":  # a date in nanoseconds is an int
        raise ValueError(f"a file can hold no {type(scalar).__name__}: {scalar!r:.80}; an array of it, it can")
    return plain
