"""Raw rows: columns of different kinds, as they come from a file, a data frame or a plain matrix.

A `Table` holds them in two blocks: numbers, and integer codes of texts. `Column.read` turns raw values into numbers or
codes; a model uses it for every prediction, in the same way as when it was fitted.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import Any, Literal, Protocol

import numpy as np

from nncore.inference.spelling import DAY_SECONDS, MISSING_WORDS, PLAIN, Spelling, day_share, is_missing
from nncore.kernels.backend import Array

ColumnKind = Literal["numeric", "boolean", "date", "time", "categorical", "ordinal"]
ColumnType = Literal["double", "long", "boolean", "string", "date", "datetime"]
CODED: tuple[ColumnKind, ...] = ("categorical", "ordinal")
MISSING = -1  # the code of a missing text
TRUE, FALSE = ("true", "yes", "t", "y", "1"), ("false", "no", "f", "n", "0")
LARGEST = 1e30  # larger numbers are refused: they are no measurements
LAST_MOMENT = 86_399_999  # of a day, in milliseconds
LAST_SECOND = 253_402_300_799  # of the year 9999
PLAIN_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?")
STEP = re.compile(r"_(?P<place>[0-9]+)|\.")  # from a list or a struct to one of its values


@dataclass(frozen=True)
class Column:
    """One raw column.

    Parameters
    ----------
    name : str
    kind : {"numeric", "boolean", "date", "time", "categorical", "ordinal"}, default "numeric"
        The meaning of its values: numbers, 0 or 1, days since 1970-01-01 (with fractions), times of day as shares of
        the day, categories, or ordered categories.
    type : {"double", "long", "boolean", "string", "date", "datetime"}, default "double"
        The type of its values in the source: numbers, integers, truth values, texts, dates, or dates with a time.
    levels : tuple of str (L,)
        The texts of a categorical or ordinal column that have a code, in the order of their codes.
    spelling : Spelling
        How texts spell the numbers or dates of the column. Columns with the same values are equal, however they were
        spelled.
    """

    name: str
    kind: ColumnKind = "numeric"
    type: ColumnType = "double"
    levels: tuple[str, ...] = ()
    spelling: Spelling = field(default=PLAIN, compare=False, repr=False)

    def read(self, values: Array) -> Array:
        """Convert raw values.

        Parameters
        ----------
        values : array (N,) of any type

        Returns
        -------
        float64 or int32 array (N,)
            Numbers, NaN where missing; or codes: MISSING where missing, L for a text that is not one of the levels.

        Raises
        ------
        ValueError
            Naming the column, the row (from 0), the value and the rule.
        """
        if values.dtype.kind == "m":
            values = values.astype("m8[us]").astype(object)  # nanoseconds would become integers
        if values.dtype.kind == "M" and self.kind != "date":
            if self.kind not in CODED:
                raise ValueError(f"column {self.name!r} is {self.kind}, but holds dates")
            values = values.astype("M8[us]").astype(object)
        if self.kind in CODED:
            code_of = {level: code for code, level in enumerate(self.levels)} | {"": MISSING}
            return np.array([self.code(as_text(value), code_of) for value in values.tolist()], np.int32)
        if self.kind == "date" and values.dtype.kind == "M":
            days: Array = (values - np.datetime64(0, "D")) / np.timedelta64(1, "D")  # NaT becomes NaN
            return days
        if self.kind == "numeric" and values.dtype.kind in "fiub":
            return self._check_range(values.astype(np.float64))
        numbers, convert = np.empty(len(values)), self.convert
        for row, value in enumerate(values.tolist()):
            try:
                numbers[row] = convert(value)
            except (ValueError, TypeError, OverflowError):
                raise ValueError(f"column {self.name!r} is {self.kind}, but row {row} has {value!r}") from None
        return self._check_range(numbers)

    @property
    def convert(self) -> Callable[[Any], float]:
        """The function that reads one value of a column that is not coded; it raises ValueError."""
        readers: dict[str, Callable[[Any], float]] = {
            "numeric": self.spelling.number,
            "boolean": as_truth,
            "date": self.spelling.days,
            "time": day_share,
        }
        return readers[self.kind]

    def code(self, text: str, code_of: Mapping[str, int]) -> int:
        """The code of a text, as `as_text` returns it: the number of levels if it is none of them."""
        known = code_of.get(text)
        if known is None and self.kind == "ordinal" and text.lower() in MISSING_WORDS:
            return MISSING
        return len(self.levels) if known is None else known

    def _check_range(self, numbers: Array) -> Array:
        too_large = np.flatnonzero(np.abs(numbers) > LARGEST)
        if len(too_large):
            row, rule = too_large[0], f"from {-LARGEST:g} to {LARGEST:g}"
            raise ValueError(f"column {self.name!r} must be {rule}, but row {row} has {numbers[row]}")
        return numbers

    def show(self, values: Array) -> list[Any]:
        """Convert numbers or codes (N,), as `read` returns them, to plain values of the column's type or None."""
        return [self._show(value) for value in values.tolist()]

    def _show(self, value: float) -> Any:
        if self.kind in CODED:
            level = self.levels[int(value)] if 0 <= value < len(self.levels) else None
            parsers: dict[str, Callable[[str], Any]] = {"long": int, "double": float, "boolean": "true".__eq__}
            return level if level is None else parsers.get(self.type, str)(level)
        if np.isnan(value):
            return None
        if self.kind == "date":
            shown = str(np.datetime64(min(round(value * 86_400), LAST_SECOND), "s"))
            return shown.partition("T")[0] if self.type == "date" else shown
        if self.kind == "time":
            return str(np.datetime64(min(round(value * DAY_SECONDS * 1000), LAST_MOMENT), "ms"))[11:].removesuffix(
                ".000"
            )
        if self.type == "string":
            return ("false", "true")[int(value)] if self.kind == "boolean" else self.spelling.write(value)
        return {"long": int, "boolean": bool}.get(self.type, float)(value)


@dataclass(frozen=True)
class Table:
    """N raw rows.

    Parameters
    ----------
    columns : tuple of Column
    numbers : array (N, n_numbers) of any number type
        The numeric, boolean and date columns, in their order; NaN is missing.
    codes : int32 array (N, n_coded)
        The categorical and ordinal columns, in their order; MISSING is missing.
    """

    columns: tuple[Column, ...]
    numbers: Array
    codes: Array

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, rows: Array | slice) -> "Table":
        """Return the table of some of the rows."""
        return replace(self, numbers=self.numbers[rows], codes=self.codes[rows])

    def select_columns(self, columns: slice) -> "Table":
        """Return the table of consecutive columns, as views."""
        coded = np.array([column.kind in CODED for column in self.columns])
        # The numbers of plain and of coded columns before the first column and before the end.
        starts, stops = (np.bincount(coded[:index], minlength=2) for index in (columns.start, columns.stop))
        numbers, codes = (slice(*bounds) for bounds in zip(starts, stops, strict=True))
        return Table(self.columns[columns], self.numbers[:, numbers], self.codes[:, codes])

    @cached_property
    def column_values(self) -> tuple[tuple[Column, Array], ...]:
        """Each column with its numbers or codes (N,)."""
        numbers, codes = iter(self.numbers.T), iter(self.codes.T)
        return tuple((column, next(codes if column.kind in CODED else numbers)) for column in self.columns)


def matrix_table(x: Array, names: tuple[str, ...]) -> Table:
    """Return a plain matrix x (N, I) of numbers as a table of numeric columns with these names."""
    return Table(tuple(Column(name) for name in names), x, np.empty((len(x), 0), np.int32))


class Frame(Protocol):
    """A data frame of pandas, Polars or Arrow: `frame[name]` has a method `to_numpy`."""

    @property
    def columns(self) -> Any:
        """The names of its columns; an Arrow table has them as `column_names`."""

    def __getitem__(self, name: Any) -> Any:
        """The column of this name."""


RowsLike = Mapping[str, Any] | Frame | Array
MOST_NAMES = 20  # in a message


def read_table(columns: tuple[Column, ...], rows: RowsLike) -> Table:
    """Convert raw rows to a table.

    Parameters
    ----------
    columns : tuple of Column
    rows : data frame, mapping of str to array (N,), or array (N, I)
        A data frame (of pandas, Polars or Arrow) or arrays by the name of their column, in any order and possibly with
        others; a named index counts as a column. The values of a column v of lists are the columns v_0, v_1, ..., and
        the field a of a column s of structs is s.a. Or a matrix with all columns in their order.

    Returns
    -------
    Table

    Raises
    ------
    ValueError
        Naming the shape, all columns that are missing, or in each column the first value that cannot be read.
    """
    arrays = raw_arrays(columns, rows)
    lengths = {column.name: len(arrays[column.name]) for column in columns}
    n_rows = lengths[columns[0].name]
    for name, length in lengths.items():
        if length != n_rows:
            raise ValueError(
                f"columns must have one length, but {columns[0].name!r} has {n_rows} rows and {name!r} {length}"
            )
    numbers: list[Array] = []
    codes: list[Array] = []
    mistakes = []
    for column in columns:
        try:
            (codes if column.kind in CODED else numbers).append(column.read(arrays[column.name]))
        except ValueError as error:
            mistakes.append(str(error))
    if mistakes:
        raise ValueError("; ".join(mistakes[:MOST_NAMES]))
    return Table(
        columns,
        np.stack(numbers, axis=1) if numbers else np.empty((n_rows, 0), np.float64),
        np.stack(codes, axis=1) if codes else np.empty((n_rows, 0), np.int32),
    )


def raw_arrays(columns: tuple[Column, ...], rows: RowsLike) -> dict[str, Array]:
    """Return the raw values (N,) of each of these columns; see `read_table`, which raises the same errors."""
    if not isinstance(rows, Mapping) and not hasattr(rows, "columns"):
        matrix = rows if isinstance(rows, np.ndarray) else np.array(rows, object)
        if matrix.ndim != 2 or matrix.shape[1] != len(columns):
            raise ValueError(f"rows must have {len(columns)} columns, but have shape {matrix.shape}")
        return {column.name: values for column, values in zip(columns, matrix.T, strict=True)}
    index: Any = getattr(rows, "index", None)  # of pandas
    names = rows if isinstance(rows, Mapping) else getattr(rows, "column_names", rows.columns)
    levels = (name for name in getattr(index, "names", ()) if name is not None)
    values_of: dict[str, Callable[[], Any]] = {str(name): partial(index.get_level_values, name) for name in levels}
    values_of |= {str(name): partial(rows.__getitem__, name) for name in names}
    values_of = {name.strip(): values for name, values in values_of.items()} | values_of
    found = {column.name: _values_in(values_of, column.name) for column in columns}
    arrays = {name: values for name, values in found.items() if values is not None}
    missing = [name for name in found if name not in arrays]
    if missing:
        verb = "column {} is missing" if len(missing) == 1 else "columns {} are missing"
        raise ValueError(f"{verb.format(_listed(missing))}; there are {_listed(values_of) or 'none'}")
    for name, values in arrays.items():
        if values.ndim != 1:
            raise ValueError(f"column {name!r} must be one column of one value per row, but has shape {values.shape}")
    return arrays


def _values_in(values_of: Mapping[str, Callable[[], Any]], name: str) -> Array | None:
    """The values (N,) of a column, possibly within lists or structs of another one; None if there are none."""
    if name in values_of:
        return _as_array(values_of[name]())
    for outer in sorted((outer for outer in values_of if outer and name.startswith(outer)), key=len, reverse=True):
        steps = name[len(outer) :]
        values = _as_array(values_of[outer]()) if STEP.match(steps) else np.empty(0)
        if values.ndim == 2 or any(isinstance(value, list | tuple | np.ndarray | Mapping) for value in values):
            parts = np.empty(len(values), object)
            for row, value in enumerate(values):
                try:
                    parts[row] = _part_of(value, steps)
                except (LookupError, ValueError):
                    raise ValueError(f"column {outer!r} has no value {name!r} in row {row}, but {value!r}") from None
            return parts
    return None


def _part_of(value: Any, steps: str) -> Any:
    """The part of a value that a name such as "", "_0", ".a" or "_0.a" leads to; None if a list on the way is None."""
    if isinstance(value, Mapping):
        fields = [name for name in value if re.match(re.escape(f".{name}") + r"(_[0-9]|\.|$)", steps)]
        name = max(fields, key=len)  # ValueError if there is none
        return _part_of(value[name], steps[len(name) + 1 :])
    step = STEP.match(steps)
    if isinstance(value, list | tuple | np.ndarray) and step and step["place"]:
        return _part_of(value[int(step["place"])], steps[step.end() :])
    if not steps or is_missing(value):
        return None if steps else value
    raise ValueError


def _listed(names: Iterable[str]) -> str:
    quoted = [repr(name) for name in names]
    return ", ".join(quoted[:MOST_NAMES]) + (f" and {len(quoted) - MOST_NAMES} more" if quoted[MOST_NAMES:] else "")


def _as_array(values: Any) -> Array:
    """The values of a column of a data frame, an array, or a list, whose values keep their types."""
    if hasattr(values, "to_pylist"):  # of Arrow, whose to_numpy gives missing texts of a dictionary a value
        values = values.to_pylist()
    values = values.to_numpy() if hasattr(values, "to_numpy") else values
    return values if isinstance(values, np.ndarray) else np.array(values, object)


def as_text(value: Any) -> str:
    """Return the name of a category, the same for every reader of files.

    Parameters
    ----------
    value : object

    Returns
    -------
    str
        A text without blanks around it, unless it spells a number or a truth value: 3, 3.0, "3.0" and "03" are "3",
        True and "TRUE" are "true". A date is "2020-01-31", with a time of day if it has one, in UTC. A missing value
        is "".
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return "" if np.isnan(value) else str(int(value)) if value.is_integer() else repr(value)
    if is_missing(value):
        return ""
    if isinstance(value, datetime):
        value = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
        return str(value).removesuffix(" 00:00:00")
    text = str(value).strip()
    if PLAIN_NUMBER.fullmatch(text):
        return as_text(float(text)) if "." in text else str(int(text))
    return text.lower() if text.lower() in ("true", "false") else text


def as_truth(value: Any) -> float:
    """Return 1 for true, yes, t, y and 1, 0 for their opposites, NaN for a missing value; else raise ValueError."""
    text = as_text(value).strip().lower()
    if text not in ("", *TRUE, *FALSE):
        raise ValueError
    return np.nan if not text else float(text in TRUE)
