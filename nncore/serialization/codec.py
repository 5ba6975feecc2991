"""Values as JSON and arrays: no code, no pickle. A file can only describe classes that its reader names.

    None, bool, int, float, str     themselves
    a tuple                         [...]
    a list, a dict with str keys    {"list": [...]}, {"dict": {...}}
    an array                        {"array": its index}; arrays of equal type, shape and bytes have one index
    a dataclass, a NamedTuple       {"class": its name, and each field by its own name}

A NumPy scalar becomes a plain Python value. A class is identified by its name alone, so files stay readable when the
class moves to another module.
"""

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from nncore.kernels.backend import Array

ARRAY_KINDS = "biufcUSMm"  # dtype kinds without Python objects
SAMPLE = 64  # bytes that are compared first
# What decoding a damaged file can raise.
DECODING_ERRORS = (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, RecursionError)


def by_name(classes: Iterable[type]) -> dict[str, type]:
    """Return the classes by their names. Raises ValueError if two classes have the same name."""
    listed = list(classes)
    named = {cls.__name__: cls for cls in listed}
    if len(named) < len(set(listed)):
        raise ValueError(f"classes must have unique names, but are {', '.join(cls.__name__ for cls in listed)}")
    return named


class Encoder:
    """Encodes values as plain JSON and collects their arrays.

    Equal values have equal encodings, whether their equal arrays are one object or several, and whatever the order of
    their elements in memory.

    Parameters
    ----------
    classes : mapping of str to type
        The classes that may occur, by name.

    Attributes
    ----------
    arrays : list of array
        The distinct arrays of all values encoded so far, in C order; the JSON refers to them by their index.
    """

    def __init__(self, classes: Mapping[str, type]) -> None:
        self._classes = classes
        self._alike: dict[tuple[object, ...], int] = {}  # by type, shape and a sample; -1: see _equal instead
        self._equal: dict[tuple[object, ...], int] = {}  # by the same and a checksum
        self.arrays: list[Array] = []

    def encode(self, value: Any) -> Any:
        """Encode a value.

        Parameters
        ----------
        value : object
            Made of what the module's documentation lists.

        Returns
        -------
        object
            Plain JSON: None, bool, int, float, str, list and dict.

        Raises
        ------
        ValueError
            Naming the value that cannot be stored.
        """
        if value is None or isinstance(value, bool | int | float | str):
            return value.item() if isinstance(value, np.generic) else value
        if isinstance(value, np.generic):
            return self.encode(_plain(value))
        if isinstance(value, np.ndarray):
            return {"array": self._add(value)}
        if self._classes.get(type(value).__name__) is type(value):
            encoded = {name: self.encode(getattr(value, name)) for name in _field_names(type(value))}
            return {"class": type(value).__name__} | encoded
        if type(value) is tuple:
            return [self.encode(item) for item in value]
        if type(value) is list:
            return {"list": [self.encode(item) for item in value]}
        if type(value) is dict and all(isinstance(key, str) for key in value):
            return {"dict": {key: self.encode(item) for key, item in value.items()}}
        raise ValueError(f"a file cannot store a {type(value).__name__}: {value!r:.80}")

    def _add(self, array: Array) -> int:
        """The index of the array, which is added unless an equal one occurred before."""
        if array.dtype.kind not in ARRAY_KINDS:
            raise ValueError(f"a file cannot store an array of {array.dtype}")
        array = np.asarray(array, order="C")
        content = _bytes_of(array)
        key = array.dtype.str, array.shape, content[:: max(1, len(content) // SAMPLE)].tobytes()
        first = self._alike.setdefault(key, len(self.arrays))
        if first == len(self.arrays):  # most arrays differ in the sample already
            self.arrays.append(array)
            return first
        if first >= 0:
            self._equal[*key, zlib.crc32(_bytes_of(self.arrays[first]))] = first
            self._alike[key] = -1
        index = self._equal.setdefault((*key, zlib.crc32(content)), len(self.arrays))
        if index < len(self.arrays) and _bytes_of(self.arrays[index]) == content:
            return index
        self.arrays.append(array)
        return len(self.arrays) - 1


def _bytes_of(array: Array) -> memoryview:
    """The bytes of an array in C order."""
    return array.reshape(-1).view(np.uint8).data


def decode(content: Any, arrays: Sequence[Array], classes: Mapping[str, type]) -> Any:
    """Decode what `Encoder.encode` returned.

    Parameters
    ----------
    content : object
        Plain JSON.
    arrays : sequence of array
        The arrays that it refers to.
    classes : mapping of str to type
        The classes that may occur, by name.

    Returns
    -------
    object

    Raises
    ------
    ValueError
        If the content names an unknown class. Other invalid content raises one of DECODING_ERRORS.
    """
    if isinstance(content, list):
        return tuple(decode(item, arrays, classes) for item in content)
    if not isinstance(content, dict):
        return content
    if "class" in content:
        if content["class"] not in classes:
            raise ValueError(f"unknown class {content['class']!r}")
        values = {name: decode(item, arrays, classes) for name, item in content.items() if name != "class"}
        return classes[content["class"]](**values)
    ((tag, inner),) = content.items()
    if tag == "array":
        return arrays[inner]
    if tag == "list":
        return [decode(item, arrays, classes) for item in inner]
    if tag == "dict":
        return {key: decode(item, arrays, classes) for key, item in inner.items()}
    raise ValueError(f"unknown content {tag!r}")


def _field_names(cls: Any) -> Iterable[str]:
    """The names of the arguments of a dataclass or a NamedTuple."""
    return [field.name for field in fields(cls) if field.init] if is_dataclass(cls) else cls._fields


def _plain(scalar: Any) -> Any:
    """A NumPy scalar as a plain Python value."""
    plain = scalar.item()
    if not isinstance(plain, bool | int | float | str) or scalar.dtype.kind in "Mm":  # nanoseconds would become int
        raise ValueError(f"a file cannot store a {type(scalar).__name__}: {scalar!r:.80}; store an array of it")
    return plain
