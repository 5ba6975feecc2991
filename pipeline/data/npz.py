"""Plain arrays in one .npz file."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from pydantic.dataclasses import dataclass

from nncore.inference.table import matrix_table
from nncore.kernels.backend import Array
from pipeline.components.errors import Problems, SettingError
from pipeline.components.fields import STRICT, Name, PositiveInt
from pipeline.components.types import Dataset, RawRows, Task, TaskSetting
from pipeline.data.files import FileAddress, content_of, one_line, opened
from pipeline.data.targets import check_learnable, encoded_targets, task_of

ARRAYS = ("x", "y", "weights", "groups", "x_test", "y_test")  # the settings that name arrays
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
        """See Source; if arrays are missing, all others are read, too: to say at once what is wrong."""
        with self._open() as arrays:
            complete = all(arrays.has(setting) for setting in ARRAYS)
        if not complete:
            self()

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
        problems = Problems()
        result_of = problems.result_of
        with self._open() as arrays:
            x, test_x = result_of(arrays.features, "x"), result_of(arrays.features, "x_test")
            y, test_y = result_of(arrays.values, "y", x, 2), result_of(arrays.values, "y_test", test_x, 2)
            weights, groups = result_of(arrays.weights, "weights", x), result_of(arrays.values, "groups", x)
            result_of(arrays.check_alike, "x_test", test_x, "x", x)
            result_of(arrays.check_alike, "y_test", test_y, "y", y)
        encoded: Any = None
        if y is not None and len(y):
            encoded = result_of(self._encoded, y, y[:0] if problems or test_y is None else test_y)
        problems.raise_all()
        task, y, test_y = encoded
        names = tuple(f"x_{column}" for column in range(x.shape[1]))
        return Dataset(
            task,
            tuple(self._columns(y)),
            RawRows(matrix_table(x, names), y, weights),
            groups=None if groups is None else np.unique(groups, return_inverse=True)[1],
            test=None if self.x_test is None else RawRows(matrix_table(test_x, names), test_y),
        )

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
        """The arrays by the settings that name them, each read on request."""
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
                yield _Arrays(self, archive)


class _Arrays(NamedTuple):
    """The arrays of an open file.

    Each method reads the one that a setting names (None if it names none), and raises SettingError if it does not fit.
    """

    source: Npz
    archive: Any

    def has(self, setting: str) -> bool:
        """Whether the file has the array, if the setting names one."""
        name = getattr(self.source, setting)
        return name is None or name in self.archive

    def features(self, setting: str) -> Array | None:
        """Numbers (N, I), NaN for what is missing."""
        x = self._array(setting)
        if x is None:
            return None
        if x.dtype.kind not in "iufb":
            cure = "write numbers, or use a table: data=csv"
            raise self._error(setting, f"must hold numbers, but holds {x.dtype}; {cure}")
        if x.size == 0:
            raise self._error(setting, f"has shape {x.shape}, but must have rows and columns; name another array")
        x = x.reshape(len(x), -1)  # (N, I)
        self._check(setting, np.isinf(x), x, f"{LEAVE_OUT}, or write NaN for what is missing")
        return x.astype(np.uint8) if x.dtype.kind == "b" else x

    def values(self, setting: str, x: Array | None, n_dims: int = 1) -> Array | None:
        """Numbers or texts, (N,) or in up to n_dims dimensions, one for every row of x, if that is known."""
        values = self._array(setting)
        if values is None:
            return None
        if values.dtype.kind not in "iufbU":
            what = f"must hold numbers or texts, but holds {values.dtype}"
            raise self._error(setting, f"{what}; write it as one of these")
        if values.ndim > n_dims or values.shape[1:] == (0,):
            what = f"must have {n_dims} dimension(s) at most, but has shape {values.shape}"
            raise self._error(setting, f"{what}; reshape it")
        problems = Problems()
        if x is not None and len(values) != len(x):
            what = f"has {len(values)} rows, but its x has {len(x)}"
            problems.add(*self._error(setting, f"{what}; name arrays of one length").problems)
        bad = values == "" if values.dtype.kind == "U" else ~np.isfinite(values)
        with problems.collected():
            self._check(setting, bad, values, f"every row needs a value: {LEAVE_OUT}")
        problems.raise_all()
        return values

    def weights(self, setting: str, x: Array | None) -> Array | None:
        """How much each row counts (N,), in float64."""
        weights = self.values(setting, x)
        if weights is None:
            return None
        if weights.dtype.kind == "U":
            raise self._error(setting, "must hold numbers, but holds texts; name another with data.weights=...")
        self._check(setting, weights < 0, weights, f"a weight is 0 or more: {LEAVE_OUT}")
        if not weights.any():
            cure = "some rows must count; name another with data.weights=..."
            raise self._error(setting, f"is 0 in every row, but {cure}")
        return weights.astype(np.float64)

    def check_alike(self, setting: str, array: Array | None, other_setting: str, other: Array | None) -> None:
        """Refuse a test part whose shape or type differs from the training part's, if both are known."""
        if array is None or other is None:
            return
        other_name = getattr(self.source, other_setting)
        if array.shape[1:] != other.shape[1:]:
            what = f"rows of shape {array.shape[1:]}, but {other_name!r} {other.shape[1:]}"
            raise self._error(setting, f"has {what}; name arrays of one kind")
        if (array.dtype.kind == "U") != (other.dtype.kind == "U"):
            what = f"holds {array.dtype}, but {other_name!r} {other.dtype}"
            raise self._error(setting, f"{what}; write both as one type")

    def _array(self, setting: str) -> Array | None:
        name = getattr(self.source, setting)
        if name is None:
            return None
        if name not in self.archive:
            has = f"has no array {name!r}, but has {', '.join(self.archive) or 'none'}"
            raise SettingError(f"data.path={self.source.path} {has}; name one with data.{setting}=...")
        try:
            array: Array = self.archive[name]
        except (ValueError, RuntimeError, MemoryError, zipfile.BadZipFile) as error:
            if "allow_pickle" in str(error):
                what = "holds Python objects, which only unpickling could read, and that can run any code"
                raise self._error(setting, f"{what}; write it as an array of numbers or texts") from None
            raise self._error(setting, f"cannot be read ({one_line(error)}); write the file again") from None
        if not isinstance(array, np.ndarray) or array.ndim == 0:
            raise self._error(setting, "is not an array with rows; name another")
        return array

    def _check(self, setting: str, bad: Array, values: Array, cure: str) -> None:
        """Refuse bad values, naming the first row (from 1) and column (from 0, as columns are named)."""
        places = np.argwhere(bad)
        if len(places):
            row, *column = places[0].tolist()
            value = "empty" if values.dtype.kind == "U" else values[row, *column]
            at = "".join(f", column {i}" for i in column)
            raise self._error(setting, f"is {value} in row {row + 1}{at}; {cure}")

    def _error(self, setting: str, wrong: str) -> SettingError:
        return SettingError(f"data.path={self.source.path}: the array {getattr(self.source, setting)!r} {wrong}")
