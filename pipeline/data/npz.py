"""Plain arrays in one .npz file."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from pydantic.dataclasses import dataclass

from nncore.inference.table import matrix_table
from nncore.kernels.backend import Array
from pipeline.components.errors import SettingError
from pipeline.components.fields import STRICT, Name, PositiveInt
from pipeline.components.types import Dataset, RawRows, Task, TaskSetting
from pipeline.data.files import FileAddress, content_of, one_line, opened
from pipeline.data.targets import check_learnable, encoded_targets, task_of

LEAVE_OUT = "leave such rows out"


@dataclass(frozen=True, config=STRICT)
class Npz:
    """Rows from the arrays of a file that numpy.savez wrote.

    Parameters
    ----------
    name : str
        Name of the data set.
    path : str
        A local path, relative to the current directory, or any address that fsspec knows.
    x, x_test : str
        Names of the arrays of numbers (N, ...), flattened to (N, I); NaN is missing. `x_test` may be None.
    y, y_test : str
        Names of the targets (N,) or (N, T). `y_test` may be None.
    weights, groups : str or None
        Names of arrays (N,) over the rows of x.
    task : {"classification", "regression", "multilabel", "auto"}
    max_classes : int, > 0
        More classes are taken for a mistake.
    """

    name: Name
    path: FileAddress
    x: str
    y: str
    weights: str | None
    groups: str | None
    x_test: str | None
    y_test: str | None
    task: TaskSetting
    max_classes: PositiveInt

    def __post_init__(self) -> None:
        if (self.x_test is None) != (self.y_test is None):
            raise ValueError(f"x_test and y_test go together, but are {self.x_test} and {self.y_test}")

    @property
    def address(self) -> str:
        """Where the file is."""
        return self.path

    @property
    def n_columns(self) -> None:
        """Not known before the file is read."""
        return

    def check(self) -> None:
        """Raise SettingError if the file cannot be opened or has no arrays of these names."""
        with self._open():
            pass

    def content(self) -> str | None:
        """See Source."""
        return content_of("data.path", self.path)

    def __call__(self) -> Dataset:
        """Read all rows.

        Raises
        ------
        SettingError
            Naming the file, the array, what is wrong and the cure.
        """
        with self._open() as arrays:
            x, y = self._part(arrays, self.x, self.y)
            test_x, test_y = x[:0], y[:0]
            if self.x_test is not None and self.y_test is not None:
                test_x, test_y = self._part(arrays, self.x_test, self.y_test)
                arrays.check_alike(self.x_test, test_x, self.x, x)
                arrays.check_alike(self.y_test, test_y, self.y, y)
            weights = None if self.weights is None else arrays.weights(self.weights, len(x))
            groups = None if self.groups is None else arrays.values(self.groups, len(x))
        task, y, test_y = self._encoded(y, test_y)
        names = tuple(f"x_{column}" for column in range(x.shape[1]))
        return Dataset(
            task,
            tuple(self._columns(y)),
            RawRows(matrix_table(x, names), y, weights),
            groups=None if groups is None else np.unique(groups, return_inverse=True)[1],
            test=None if self.x_test is None else RawRows(matrix_table(test_x, names), test_y),
        )

    def _part(self, arrays: "_Arrays", x: str, y: str) -> tuple[Array, Array]:
        rows = arrays.features(x)
        return rows, arrays.values(y, len(rows), n_dims=2)

    def _encoded(self, y: Array, test_y: Array) -> tuple[Task, Array, Array]:
        """The task, and the targets of both parts in one form. The training part alone must show what to learn."""
        label, task = f"data.path={self.path}", task_of(self._columns(y), self.task)
        both = self._columns(np.concatenate([y, test_y]))
        encoded = encoded_targets(label, both, task)
        check_learnable(label, list(both), encoded[: len(y)], task, self.max_classes)
        return task, encoded[: len(y)], encoded[len(y) :]

    def _columns(self, y: Array) -> dict[str, Array]:
        """The targets by name."""
        if y.ndim == 1 or y.shape[1] == 1:
            return {self.y: y.reshape(len(y))}
        return {f"{self.y}_{column}": values for column, values in enumerate(y.T)}

    @contextmanager
    def _open(self) -> Iterator["_Arrays"]:
        """The arrays by name, each read on request; all arrays that the settings name exist."""
        with opened("data.path", self.path) as file:
            if file.read(2) != b"PK":
                raise SettingError(f"data.path={self.path} is not an .npz file; write one with numpy.savez")
            file.seek(0)
            try:
                archive = np.load(file, allow_pickle=False)
            except zipfile.BadZipFile as error:
                why = one_line(error)
                raise SettingError(f"data.path={self.path} is damaged or cut short ({why}); copy it again") from None
            with archive:
                self._check_names(list(archive))
                yield _Arrays(self.path, archive)

    def _check_names(self, existing: list[str]) -> None:
        for setting in ("x", "y", "weights", "groups", "x_test", "y_test"):
            name = getattr(self, setting)
            if name is not None and name not in existing:
                has = ", ".join(existing) or "none"
                raise SettingError(
                    f"data.path={self.path} has no array {name!r}, but has {has}; name one with data.{setting}=..."
                )


class _Arrays(NamedTuple):
    """The arrays of an open file. Each method reads one by name and raises SettingError if it is not suitable."""

    path: str
    archive: Any

    def features(self, name: str) -> Array:
        """Numbers (N, I), NaN for what is missing."""
        x = self._array(name)
        if x.dtype.kind not in "iufb":
            raise self._error(name, f"must hold numbers, but holds {x.dtype}; write numbers, or use a table: data=csv")
        if x.size == 0:
            raise self._error(name, f"has shape {x.shape}, but must have rows and columns; name another array")
        x = x.reshape(len(x), -1)  # (N, I)
        self._check(name, np.isinf(x), x, f"{LEAVE_OUT}, or write NaN for what is missing")
        return x.astype(np.uint8) if x.dtype.kind == "b" else x

    def values(self, name: str, n_rows: int, n_dims: int = 1) -> Array:
        """Numbers or texts, (N,) or in up to n_dims dimensions, one for every row."""
        values = self._array(name)
        if values.dtype.kind not in "iufbU":
            raise self._error(name, f"must hold numbers or texts, but holds {values.dtype}; write it as one of these")
        if values.ndim > n_dims or values.shape[1:] == (0,):
            raise self._error(
                name, f"must have {n_dims} dimension(s) at most, but has shape {values.shape}; reshape it"
            )
        if len(values) != n_rows:
            raise self._error(name, f"has {len(values)} rows, but its x has {n_rows}; name arrays of one length")
        bad = values == "" if values.dtype.kind == "U" else ~np.isfinite(values)
        self._check(name, bad, values, f"every row needs a value: {LEAVE_OUT}")
        return values

    def weights(self, name: str, n_rows: int) -> Array:
        """How much each row counts (N,), in float64."""
        weights = self.values(name, n_rows)
        if weights.dtype.kind == "U":
            raise self._error(name, "must hold numbers, but holds texts; name another with data.weights=...")
        self._check(name, weights < 0, weights, f"a weight is 0 or more: {LEAVE_OUT}")
        if not weights.any():
            raise self._error(name, "is 0 in every row, but some rows must count; name another with data.weights=...")
        return weights.astype(np.float64)

    def check_alike(self, name: str, array: Array, other_name: str, other: Array) -> None:
        """Refuse a test part whose shape or type differs from the training part's."""
        if array.shape[1:] != other.shape[1:]:
            what = f"rows of shape {array.shape[1:]}, but {other_name!r} {other.shape[1:]}"
            raise self._error(name, f"has {what}; name arrays of one kind")
        if (array.dtype.kind == "U") != (other.dtype.kind == "U"):
            raise self._error(name, f"holds {array.dtype}, but {other_name!r} {other.dtype}; write both as one type")

    def _array(self, name: str) -> Array:
        try:
            array = self.archive[name]
        except (ValueError, RuntimeError, MemoryError, zipfile.BadZipFile) as error:
            if "allow_pickle" in str(error):
                what = "holds Python objects, which only unpickling could read, and that can run any code"
                raise self._error(name, f"{what}; write it as an array of numbers or texts") from None
            raise self._error(name, f"cannot be read ({one_line(error)}); write the file again") from None
        if not isinstance(array, np.ndarray) or array.ndim == 0:
            raise self._error(name, "is not an array with rows; name another")
        return array

    def _check(self, name: str, bad: Array, values: Array, cure: str) -> None:
        """Refuse bad values, naming the first row (from 1) and column (from 0, as columns are named)."""
        places = np.argwhere(bad)
        if len(places):
            row, *column = places[0].tolist()
            value = "empty" if values.dtype.kind == "U" else values[row, *column]
            at = "".join(f", column {i}" for i in column)
            raise self._error(name, f"is {value} in row {row + 1}{at}; {cure}")

    def _error(self, name: str, wrong: str) -> SettingError:
        return SettingError(f"data.path={self.path}: the array {name!r} {wrong}")
