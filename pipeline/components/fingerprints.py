"""Content hashes: what a stage's result depends on, as one SHA-256.

Equal settings, equal data and equal code have equal hashes, in every run and on every machine. What is stored under a
hash is therefore what the stage would compute again.
"""

import json
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from hashlib import sha256
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np

from pipeline.components.code_version import code_version


def content_hash(stage: str, *parts: Any) -> str:
    """Hash a stage's name, what its result is made from, and the code that computes it.

    Parameters
    ----------
    stage : str
        Keeps different results of the same parts apart.
    *parts : functions, settings, plain values
        The function of the stage, its settings, and the content hashes of its inputs. See `code_version` for the code
        that they stand for.

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    TypeError
        Naming a part that has no description in plain values.

    """
    return settings_hash(stage, code_version(*parts), *parts)


def settings_hash(*parts: Any) -> str:
    """Hash settings and plain values; equal values have equal hashes, and the code does not count.

    Raises
    ------
    TypeError
        Naming a part that has no description in plain values.

    """
    return sha256(json.dumps(canonical(parts), sort_keys=True).encode()).hexdigest()


def canonical(value: Any) -> Any:
    """Describe settings as plain values for JSON: different settings have different descriptions.

    Raises
    ------
    TypeError
        Naming what has no such description.

    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Path):
        return {"path": str(value)}
    if isinstance(value, tuple | list):
        return [canonical(item) for item in value]
    if isinstance(value, dict):  # in its order, which may matter, as that of regularizers does
        return {"entries": [[canonical(key), canonical(item)] for key, item in value.items()]}
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        return {"array": [value.dtype.str, list(value.shape), sha256(value.tobytes()).hexdigest()]}
    if isinstance(value, FunctionType) and value.__qualname__.isidentifier():
        return {"function": f"{value.__module__}.{value.__qualname__}"}
    return _canonical_object(value)


def _canonical_object(value: Any) -> dict[str, Any]:
    if is_dataclass(value):
        names: Iterable[str] = [
            field.name
            for field in fields(value)
            if not (field.metadata.get("omit_default") and getattr(value, field.name) == field.default)
        ]
    elif hasattr(value, "__dict__") and not isinstance(value, type | FunctionType):
        names = vars(value)
    else:
        raise TypeError(f"a setting must be made of plain values, but one is a {type(value).__name__}: {value!r:.80}")
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    return {"class": kind, "fields": {name: canonical(getattr(value, name)) for name in names}}
