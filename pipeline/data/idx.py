"""IDX files, the format of MNIST: a header with the dimensions, then one byte per value.

00 00 08 d | d dimensions, 4 bytes each, big-endian | the values, the last index changing fastest
"""

import gzip
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import numpy as np
from pydantic.dataclasses import dataclass

from nncore.inference.table import Table, matrix_table
from nncore.kernels.backend import Array
from pipeline.components.errors import Problems, SettingError
from pipeline.components.fields import STRICT, Name
from pipeline.components.types import Dataset, RawRows, Task
from pipeline.data.files import FileAddress, content_of, one_line, opened

IMAGES, LABELS = "{}-images-idx3-ubyte", "{}-labels-idx1-ubyte"
PARTS = "train", "t10k"
GZIP = b"\x1f\x8b"
MAX_GZIP_RATIO = 1032
CHUNK_BYTES = 1 << 20
CURES = {
    "fashion_mnist": "the Debian package dataset-fashion-mnist installs it in /usr/share/datasets/fashion-mnist, or "
    "give the folder of the four files with data.path=..."
}
Stream = IO[bytes] | gzip.GzipFile


@dataclass(frozen=True, config=STRICT)
class Idx:
    """Images with labels, and an official test part, from four files as MNIST has them, gzipped or not.

    Parameters
    ----------
    name : str
        Name of the data set.
    path : str
        The folder of the files: local, relative to the current directory, or any address that fsspec knows.
    classes : tuple of str
        The names of the labels 0, 1, ...; () keeps the numbers.
    """

    name: Name
    path: FileAddress
    classes: tuple[str, ...]

    @property
    def task(self) -> Task:
        """What there is to predict."""
        return "classification"

    @property
    def address(self) -> str:
        """Where the files are."""
        return self.path

    @property
    def n_columns(self) -> None:
        """Not known before the files are read."""
        return

    def check(self) -> None:
        """See Source; reads the headers, and the values if the headers are wrong: to say at once what is wrong."""
        problems, lengths = Problems(), {}
        for part in PARTS:
            for name, n_lengths in ((IMAGES.format(part), 3), (LABELS.format(part), 1)):
                with problems.collected():
                    lengths[name] = self._lengths(name, n_lengths)
        with problems.collected():
            self._compare_sizes(lengths)
        for part in PARTS:
            with problems.collected():
                self._compare_numbers(part, lengths)
        if problems:
            for part in PARTS:
                if IMAGES.format(part) in lengths:
                    problems.result_of(self._values, IMAGES.format(part), 3)
                if LABELS.format(part) in lengths:
                    problems.result_of(self._labels, part)
        problems.raise_all()

    def content(self) -> str | None:
        """See Source."""
        names = (name.format(part) for part in PARTS for name in (IMAGES, LABELS))
        return content_of("data.path", *map(self._find, names))

    def __call__(self) -> Dataset:
        """Read all rows: pixels (N, rows x columns) as uint8, and the classes by their names.

        Raises
        ------
        SettingError
            Naming the file, what is wrong and the cure.
        """
        self.check()
        problems = Problems()
        x = [problems.result_of(self._images, part) for part in PARTS]
        y = [problems.result_of(self._labels, part) for part in PARTS]
        problems.raise_all()
        rows, test = map(RawRows, x, y)
        return Dataset("classification", ("label",), rows, test=test)

    def _images(self, part: str) -> Table:
        images = self._values(IMAGES.format(part), 3)
        names = tuple(f"pixel_{row}_{column}" for row, column in np.ndindex(images.shape[1:]))
        return matrix_table(images.reshape(len(images), -1), names)

    def _labels(self, part: str) -> Array:
        labels = self._values(LABELS.format(part), 1)
        return _named(labels, self.classes, f"{self.path}/{LABELS.format(part)}")

    def _compare_numbers(self, part: str, lengths: dict[str, tuple[int, ...]]) -> None:
        """Refuse a part without images, or with another number of labels, as far as the lengths are known."""
        images, labels = IMAGES.format(part), LABELS.format(part)
        if images not in lengths:
            return
        if 0 in lengths[images]:
            raise self._error(images, f"holds no images; its lengths are {_times(*lengths[images])}")
        if labels in lengths and lengths[images][0] != lengths[labels][0]:
            raise self._error(images, f"holds {lengths[images][0]} images, but {labels} {lengths[labels][0]} labels")

    def _compare_sizes(self, lengths: dict[str, tuple[int, ...]]) -> None:
        """Refuse test images of another size, as far as the lengths are known."""
        train, test = (lengths.get(IMAGES.format(part), ())[1:] for part in PARTS)
        if train and test and train != test and 0 not in (*train, *test):
            what = f"holds images of {_times(*test)} pixels, but those to learn from {_times(*train)}"
            raise self._error(IMAGES.format("t10k"), what)

    def _lengths(self, name: str, n_lengths: int) -> tuple[int, ...]:
        """The dimensions in a file's header."""
        with self._unpacked(name) as (stream, _):
            return self._header(name, stream, n_lengths)

    def _values(self, name: str, n_lengths: int) -> Array:
        """The values of a file, decompressed directly into their array, so that they are in memory only once."""
        with self._unpacked(name) as (stream, most):
            lengths = self._header(name, stream, n_lengths)
            n, got = math.prod(lengths), 0
            values = np.empty(min(n, most), np.uint8)  # a damaged header may give any size
            while got < len(values) and (chunk := stream.read(min(CHUNK_BYTES, len(values) - got))):
                values[got : got + len(chunk)] = np.frombuffer(chunk, np.uint8)
                got += len(chunk)
            if got < n or stream.read(1):
                how_many = got if got < n else f"more than {n}"
                raise self._error(name, f"holds {how_many} values, but its header says {_times(*lengths)}")
        return values.reshape(lengths)

    def _header(self, name: str, stream: Stream, n_lengths: int) -> tuple[int, ...]:
        magic = bytes([0, 0, 8, n_lengths])
        head = stream.read(4 + 4 * n_lengths)
        if head[:4] != magic:
            what = f"an IDX file of bytes with {n_lengths} lengths: its magic number must be {magic.hex(' ')}"
            raise self._error(name, f"is not {what}, but is {head[:4].hex(' ') or 'missing'}")
        if len(head) < 4 + 4 * n_lengths:
            raise self._error(name, f"ends within its header, after {len(head)} bytes")
        return tuple(np.frombuffer(head, ">u4", offset=4).tolist())

    @contextmanager
    def _unpacked(self, name: str) -> Iterator[tuple[Stream, int]]:
        """The decompressed bytes of a file, and an upper bound of their number."""
        with opened("data.path", self._find(name)) as file:
            packed = file.read(2) == GZIP
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            yield (gzip.GzipFile(fileobj=file), size * MAX_GZIP_RATIO) if packed else (file, size)

    def _find(self, name: str) -> str:
        """The path of a file, which may also be called name.gz."""
        from fsspec.core import url_to_fs  # not at the top: the driver only needs the settings

        try:
            system, root = url_to_fs(self.path)
            if not system.isdir(root):
                raise SettingError(f"data.path={self.path}: there is no such folder; {self._cure}")
            found = [ending for ending in ("", ".gz") if system.exists(f"{root}/{name}{ending}")]
        except (OSError, ValueError, ImportError) as error:
            raise SettingError(f"data.path={self.path} cannot be read: {one_line(error)}") from None
        if not found:
            raise self._error(name, "is missing, with and without .gz")
        return f"{self.path}/{name}{found[0]}"

    @property
    def _cure(self) -> str:
        return CURES.get(self.name, "give the folder of the four files with data.path=...")

    def _error(self, name: str, wrong: str) -> SettingError:
        return SettingError(f"data.path={self.path}: {name} {wrong}; {self._cure}")


def _named(labels: Array, classes: tuple[str, ...], path: str) -> Array:
    """The labels by their names, if names are given."""
    if not classes:
        return labels.astype(np.int64)
    unknown = np.flatnonzero(labels >= len(classes))
    if len(unknown):
        raise SettingError(
            f"data.classes must name every label, but has {len(classes)} names, for 0 to {len(classes) - 1}, and row "
            f"{unknown[0] + 1} of {path} has the label {labels[unknown[0]]}; add names, or keep the numbers with "
            "data.classes=[]"
        )
    return np.array(classes)[labels]


def _times(*lengths: int) -> str:
    return " x ".join(map(str, lengths))
