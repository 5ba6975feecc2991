"""Values as JSON and arrays: no code, no pickle. A file can only describe classes that its reader names.

    None, bool, int, float, str     themselves
    a tuple                         [...]
    a list, a dict with str keys    {"list": [...]}, {"dict": {...}}
    an array                        {"array": its index}; an array that occurs twice has one index
    a dataclass, a NamedTuple       {"class": its name, and each field by its own name}

A NumPy scalar becomes a plain Python value. A class is identified by its name alone, so files stay readable when the
class moves to another module.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from nncore.kernels.backend import Array

ARRAY_KINDS = "biufcUSMm"  # dtype kinds without Python objects
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

    Parameters
    ----------
    classes : mapping of str to type
        The classes that may occur, by name.

    Attributes
    ----------
    arrays : list of array
        The arrays of all values encoded so far; the JSON refers to them by their index.
    """

    def __init__(self, classes: Mapping[str, type]) -> None:
        self._classes = classes
        self._index_of: dict[int, int] = {}  # by id; `arrays` keeps them alive
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
        """The index of the array, which is added unless it occurred before."""
        if array.dtype.kind not in ARRAY_KINDS:
            raise ValueError(f"a file cannot store an array of {array.dtype}")
        if id(array) not in self._index_of:
            self._index_of[id(array)] = len(self.arrays)
            self.arrays.append(array)
        return self._index_of[id(array)]


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
