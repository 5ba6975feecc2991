"""The stage cache: results of the stages before the sweep, found again in later runs by their content hash.

A result is one file of arrays and JSON with a checksum (nncore/serialization/array_file.py); nothing is unpickled.
Tasks read and write the files where they run: on the driver's host, where all stages but the sweep run.
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from pydantic import AfterValidator
from pydantic.dataclasses import dataclass

from nncore.inference.model_file import CLASSES as MODEL_CLASSES
from nncore.inference.table import Table
from nncore.serialization import array_file
from nncore.serialization.codec import Encoder, by_name, decode
from nncore.stack.data import Data, Rows
from pipeline.components.fields import STRICT, PositiveFloat
from pipeline.components.types import Dataset, DataWarning, Development, Fold, PreparedView, RawRows, SplitReport

KINDS = (*MODEL_CLASSES, Table, Rows, Data, RawRows, Dataset, Development, Fold, PreparedView, DataWarning, SplitReport)
ENDING = ".stage"
OUR_FILES = re.compile(r"\.?[0-9a-f]{64}\.stage(\.[0-9a-f]+)?")  # temporary files of a killed writer included
GIGABYTE = 1e9


@runtime_checkable
class StageCache(Protocol):
    """Where the results of stages are kept between runs."""

    def begin(self) -> None:
        """Prepare for a run."""

    def may_contain(self, content_hash: str) -> bool:
        """Tell whether it is worth a task to look for this result."""

    def get(self, content_hash: str) -> tuple[bool, Any]:
        """Return whether there is an undamaged result, and the result itself or None."""

    def put(self, content_hash: str, value: Any) -> bool:
        """Store a result if that is possible; return whether it is in the cache now."""


@dataclass(frozen=True, config=STRICT)
class NoCache:
    """Nothing is kept: every run computes everything."""

    def begin(self) -> None:
        """Do nothing."""

    def may_contain(self, content_hash: str) -> bool:
        """Return False."""
        return False

    def get(self, content_hash: str) -> tuple[bool, Any]:
        """Return that there is no result."""
        return False, None

    def put(self, content_hash: str, value: Any) -> bool:
        """Return that the result is not stored."""
        return False


@dataclass(frozen=True, config=STRICT)
class FolderCache:
    """One file per result. Above the size limit the least recently used files are deleted.

    Parameters
    ----------
    folder : path
        Created when it is needed; a relative path starts at the current directory.
    gigabytes : float, > 0
        Size limit of all files together.
    clear : bool
        Start with an empty cache.
    """

    folder: Annotated[Path, AfterValidator(lambda path: path.expanduser().absolute())]
    gigabytes: PositiveFloat
    clear: bool

    def begin(self) -> None:
        """Delete the cache's own files if `clear` is set; other files in the folder stay."""
        for entry in self._entries() if self.clear else ():
            with suppress(OSError):
                entry.path.unlink(missing_ok=True)

    def may_contain(self, content_hash: str) -> bool:
        """Tell whether there is a file for the result."""
        return self._path(content_hash).exists()

    def get(self, content_hash: str) -> tuple[bool, Any]:
        """See StageCache.get; a damaged file is deleted."""
        path = self._path(content_hash)
        try:
            value = array_file.read(path, KINDS)
        except OSError:
            return False, None
        except ValueError:
            with suppress(OSError):
                path.unlink()
            return False, None
        with suppress(OSError):
            os.utime(path)
        return True, value

    def put(self, content_hash: str, value: Any) -> bool:
        """See StageCache.put; a full disk, or a value that such a file cannot hold, is not an error."""
        path = self._path(content_hash)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            array_file.write(path, value, KINDS)
        except (OSError, ValueError):
            return False
        self._limit_size()
        return path.exists()

    def _path(self, content_hash: str) -> Path:
        return self.folder / f"{content_hash}{ENDING}"

    def _limit_size(self) -> None:
        """Delete the least recently used files until the others are within the limit."""
        entries = sorted(self._entries(), key=lambda entry: entry.used)
        surplus = sum(entry.size for entry in entries) - self.gigabytes * GIGABYTE
        for entry in entries:
            if surplus <= 0:
                return
            with suppress(OSError):
                entry.path.unlink(missing_ok=True)
                surplus -= entry.size

    def _entries(self) -> Iterator["_Entry"]:
        """The cache's own files; another process may delete any of them at any moment."""
        with suppress(OSError), os.scandir(self.folder) as files:
            for file in files:
                with suppress(OSError):
                    if OUR_FILES.fullmatch(file.name) and file.is_file(follow_symlinks=False):
                        status = file.stat(follow_symlinks=False)
                        yield _Entry(status.st_mtime_ns, status.st_size, Path(file.path))


class _Entry(NamedTuple):
    used: int
    size: int
    path: Path


def run_and_cache(
    cache: StageCache, content_hashes: Sequence[str | None], function: Callable[..., Any], *arguments: Any
) -> tuple[Any, ...]:
    """Call a stage's function, as a task, and store what it returns.

    Parameters
    ----------
    cache : StageCache
    content_hashes : sequence of str or None
        One for each returned value; None for a value that must not be cached.
    function : callable
        Returns one value, or a tuple of as many values as there are content hashes.
    *arguments : Any

    Returns
    -------
    tuple
        The values, and last whether all of them are in the cache.
    """
    returned = function(*arguments)
    values = [_as_read(value) for value in (returned if len(content_hashes) > 1 else (returned,))]
    cached = [
        content_hash is not None and cache.put(content_hash, value)
        for content_hash, value in zip(content_hashes, values, strict=True)
    ]
    return *values, all(cached)


def _as_read(value: Any) -> Any:
    """The value as it would be read from a file, with its arrays in C order.

    The order of NumPy's additions follows the order in memory, and changes the last bits: without this, a run that
    finds a result in the cache could differ from the run that computed it.
    """
    kinds = by_name(KINDS)
    encoder = Encoder(kinds)
    try:
        content = encoder.encode(value)
    except ValueError:  # files cannot hold such a value
        return value
    return decode(content, [np.asarray(array, order="C") for array in encoder.arrays], kinds)
