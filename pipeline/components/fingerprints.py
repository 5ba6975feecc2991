"""Content addresses: what a stage's result depends on, as one SHA-256.

Same settings, same data, same code: same address, in every run and on every machine. What is found under an address
is therefore what the stage would compute again.
"""

import inspect
import json
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np

from nncore.components import allowed
from pipeline.components.errors import SettingError

ROOMS = ("data", "stages", "engine", "components", "search", "driver")  # of the pipeline: what computes results
LIBRARIES = ("numpy", "scikit-learn", "pyarrow")  # other versions of them may compute other results
OURS = ("nncore", "pipeline")


def content_hash(stage: str, *parts: Any) -> str:
    """SHA-256, in hexadecimal digits, of a stage's name, of what it is made from, and of the code's version.

    parts   settings, and the addresses of the stage's inputs

    Raises   TypeError naming what cannot be described
    """
    content = [stage, code_version(), [canonical(part) for part in parts]]
    return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def canonical(value: Any) -> Any:
    """Settings as plain values for JSON: different settings, different values.

    A class goes by its full name; one from elsewhere than nncore and pipeline by its source, too.

    Raises   TypeError naming what has no such description
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
    if is_dataclass(value):
        names: Iterable[str] = [field.name for field in fields(value)]
    elif hasattr(value, "__dict__") and not isinstance(value, type | FunctionType):
        names = vars(value)
    else:
        raise TypeError(f"a setting must be made of plain values, but one is a {type(value).__name__}: {value!r:.80}")
    return {**_kind(type(value)), "fields": {name: canonical(getattr(value, name)) for name in names}}


def _kind(cls: type) -> dict[str, str]:
    named = {"class": f"{cls.__module__}.{cls.__qualname__}"}
    source = None if cls.__module__.split(".")[0] in OURS else inspect.getsourcefile(cls)
    return named if source is None else {**named, "source": sha256(Path(source).read_bytes()).hexdigest()}


def package_folder(package: str) -> Path:
    """Where a package is that the user has allowed. Raises SettingError if it is not to be found, or is but a file."""
    found = find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise SettingError(f"allow: {package} must be a package (a folder with an __init__.py) that Python finds")
    return Path(found.submodule_search_locations[0])


def code_version() -> str:
    """A hash of the sources that compute, and the versions of the libraries that do.

    Those are the stages', the sweep's, nncore's, and those of the packages that the user has allowed.
    """
    return _code_version(*allowed())


@cache
def _code_version(*packages: str) -> str:
    root = Path(__file__).parents[2]
    paths = sorted(
        chain((root / "nncore").rglob("*.py"), *((root / "pipeline" / room).rglob("*.py") for room in ROOMS))
    )
    sources = [(path.relative_to(root), path) for path in paths]
    for folder in map(package_folder, packages):
        sources += [(path.relative_to(folder.parent), path) for path in sorted(folder.rglob("*.py"))]
    content = sha256()
    for name, path in sources:
        text = path.read_bytes()
        content.update(f"{name.as_posix()} {len(text)}\n".encode() + text)
    return " ".join([content.hexdigest()[:16], *(f"{name} {version(name)}" for name in LIBRARIES)])
