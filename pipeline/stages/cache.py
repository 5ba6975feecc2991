"""The stage cache: what the stages before the sweep have computed, found again by its content hash.

A result is one file of arrays and JSON with a checksum (nncore/serialization/array_file.py); nothing is unpickled. The
tasks read and write it where they run, so on a cluster the folder should be one that all nodes share.
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

from nncore.inference.model_file import KINDS as MODEL_KINDS
from nncore.inference.table import Table
from nncore.serialization import array_file
from nncore.serialization.codec import Encoder, by_name, decode
from nncore.stack.data import Data, Rows
from pipeline.components.fields import STRICT, PositiveFloat
from pipeline.components.types import Dataset, Development, Fold, PreparedView, RawRows

KINDS = (*MODEL_KINDS, Table, Rows, Data, RawRows, Dataset, Development, Fold, PreparedView)
ENDING = ".stage"
OURS = re.compile(r"\.?[0-9a-f]{64}\.stage(\.[0-9a-f]+)?")  # also what a writer that was killed leaves behind
GIGABYTE = 1e9


@runtime_checkable
class StageCache(Protocol):
    """Where the results of stages are kept between runs."""

    def begin(self) -> None:
        """Make ready for a run."""

    def may_have(self, content_hash: str) -> bool:
        """Whether it is worth a task to look for a result of this content hash."""

    def look(self, content_hash: str) -> tuple[bool, Any]:
        """Whether there is a result of this content hash, undamaged, and the result itself or None."""

    def keep(self, content_hash: str, value: Any) -> bool:
        """Keep a result if that is possible; whether it is there now."""


@dataclass(frozen=True, config=STRICT)
class NoCache:
    """Nothing is kept: every run computes everything."""

    def begin(self) -> None:
        """See StageCache."""

    def may_have(self, content_hash: str) -> bool:
        """See StageCache."""
        return False

    def look(self, content_hash: str) -> tuple[bool, Any]:
        """See StageCache."""
        return False, None

    def keep(self, content_hash: str, value: Any) -> bool:
        """See StageCache."""
        return False


@dataclass(frozen=True, config=STRICT)
class FolderCache:
    """A file per result; beyond a bound, those that were not used for longest leave.

    folder      made when it is needed; a relative one starts where the user stands
    gigabytes   how much the files may take together
    clear       whether to begin with an empty cache
    """

    folder: Annotated[Path, AfterValidator(lambda path: path.expanduser().absolute())]
    gigabytes: PositiveFloat
    clear: bool

    def begin(self) -> None:
        """See StageCache; other files than the cache's own stay."""
        for entry in self._entries() if self.clear else ():
            with suppress(OSError):
                entry.path.unlink(missing_ok=True)

    def may_have(self, content_hash: str) -> bool:
        """See StageCache."""
        return self._path(content_hash).exists()

    def look(self, content_hash: str) -> tuple[bool, Any]:
        """See StageCache; a damaged file is deleted."""
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

    def keep(self, content_hash: str, value: Any) -> bool:
        """See StageCache; a full disk, or a value that such a file cannot hold, is no error."""
        path = self._path(content_hash)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            array_file.write(path, value, KINDS)
        except (OSError, ValueError):
            return False
        self._make_room()
        return path.exists()

    def _path(self, content_hash: str) -> Path:
        return self.folder / f"{content_hash}{ENDING}"

    def _make_room(self) -> None:
        """Delete the files that were not used for longest, until the others are within the bound."""
        entries = sorted(self._entries(), key=lambda entry: entry.used)
        surplus = sum(entry.size for entry in entries) - self.gigabytes * GIGABYTE
        for entry in entries:
            if surplus <= 0:
                return
            with suppress(OSError):
                entry.path.unlink(missing_ok=True)
                surplus -= entry.size

    def _entries(self) -> Iterator["_Entry"]:
        """The cache's own files; another process may delete some at any moment."""
        with suppress(OSError), os.scandir(self.folder) as found:
            for file in found:
                with suppress(OSError):
                    if OURS.fullmatch(file.name) and file.is_file(follow_symlinks=False):
                        status = file.stat(follow_symlinks=False)
                        yield _Entry(status.st_mtime_ns, status.st_size, Path(file.path))


class _Entry(NamedTuple):
    used: int
    size: int
    path: Path


def run_and_cache(
    cache: StageCache, content_hashes: Sequence[str | None], function: Callable[..., Any], *arguments: Any
) -> tuple[Any, ...]:
    """Call the function, as a task, and keep what it returns: one value, or a tuple, one for each content hash.

    Returns the values, and last whether all of them are in the cache now. None is the hash of what must not be cached.
    """
    made = function(*arguments)
    values = [_as_read(value) for value in (made if len(content_hashes) > 1 else (made,))]
    kept = [at is not None and cache.keep(at, value) for at, value in zip(content_hashes, values, strict=True)]
    return *values, all(kept)


def _as_read(value: Any) -> Any:
    """The value as it is when it comes from a file, with its arrays in C order.

    NumPy adds and multiplies in an order that follows the memory's, so another one could change the last bits: a run
    that finds a result in the cache would not be the run that computed it.
    """
    kinds = by_name(KINDS)
    encoder = Encoder(kinds)
    try:
        content = encoder.encode(value)
    except ValueError:  # not a value for a file
        return value
    return decode(content, [np.asarray(array, order="C") for array in encoder.arrays], kinds)
