"""Raw rows: columns of different kinds, as they come from a file, a data frame or a plain matrix.

A `Table` holds them in two blocks: numbers, and codes of texts. `Column.read` is how a raw value becomes a number or a
code, when a model answers as when it was fitted.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Any, Literal

import numpy as np

from nncore.kernels.backend import Array

ColumnKind = Literal["numeric", "boolean", "date", "categorical", "ordinal"]
ColumnType = Literal["double", "long", "boolean", "string", "date", "datetime"]
CODED: tuple[ColumnKind, ...] = ("categorical", "ordinal")
MISSING = -1  # the code of a missing text
TRUE, FALSE = ("true", "yes", "t", "y", "1"), ("false", "no", "f", "n", "0")
LARGEST = 1e30  # what is larger is no measurement
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LAST_SECOND = 253_402_300_799  # of the year 9999
PLAIN_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?")


@dataclass(frozen=True)
class Column:
    """One raw column.

    kind     what it means: numeric, boolean (0 or 1), date (days since 1970-01-01, with fractions), categorical, or
             ordinal (categories in an order)
    type     what its source holds: texts, numbers, all of them whole ("long") or not, dates without or with a time, ...
    levels   of a categorical or ordinal column, the texts that have a code, in the order of their codes
    """

    name: str
    kind: ColumnKind = "numeric"
    type: ColumnType = "double"
    levels: tuple[str, ...] = ()

    def read(self, values: Array) -> Array:
        """Raw values (N,) of any type as numbers (N,) in float64, NaN where missing, or as codes (N,) in int32.

        A text that is no level gets the code len(levels).

        Raises   ValueError naming the column, the row (from 0), the value and the rule
        """
        if values.dtype.kind == "M" and self.kind != "date":
            if self.kind not in CODED:
                raise ValueError(f"column {self.name!r} is {self.kind}, but holds dates")
            values = values.astype("M8[us]").astype(object)
        if self.kind in CODED:
            index = {level: code for code, level in enumerate(self.levels)} | {"": MISSING}
            return np.array([index.get(text(value), len(self.levels)) for value in values.tolist()], np.int32)
        if self.kind == "date" and values.dtype.kind == "M":
            days: Array = (values - np.datetime64(0, "D")) / np.timedelta64(1, "D")  # NaT becomes NaN
            return days
        if self.kind == "numeric" and values.dtype.kind in "fiub":
            return self._finite(values.astype(np.float64))
        return self._finite(self._each(values, {"numeric": number, "boolean": truth, "date": day}[self.kind]))

    def show(self, values: Array) -> list[Any]:
        """What `read` has made of raw values, as plain values of the column's type again; None where missing."""
        return [self._shown(value) for value in values.tolist()]

    def _shown(self, value: float) -> Any:
        if self.kind in CODED:
            level = self.levels[int(value)] if 0 <= value < len(self.levels) else None
            kinds: dict[str, Callable[[str], Any]] = {"long": int, "double": float, "boolean": "true".__eq__}
            return level if level is None else kinds.get(self.type, str)(level)
        if value != value:
            return None
        if self.kind == "date":
            shown = str(np.datetime64(min(round(value * 86_400), LAST_SECOND), "s"))
            return shown.partition("T")[0] if self.type == "date" else shown
        if self.type == "string":
            return ("false", "true")[int(value)] if self.kind == "boolean" else repr(value)
        return {"long": int, "boolean": bool}.get(self.type, float)(value)

    def _each(self, values: Array, convert: Callable[[Any], float]) -> Array:
        numbers = np.empty(len(values))
        for row, value in enumerate(values.tolist()):
            try:
                numbers[row] = convert(value)
            except (ValueError, TypeError, OverflowError):
                raise ValueError(f"column {self.name!r} is {self.kind}, but row {row} has {value!r}") from None
        return numbers

    def _finite(self, numbers: Array) -> Array:
        beyond = np.flatnonzero(np.abs(numbers) > LARGEST)
        if len(beyond):
            row, rule = beyond[0], f"from {-LARGEST:g} to {LARGEST:g}"
            raise ValueError(f"column {self.name!r} must be {rule}, but row {row} has {numbers[row]}")
        return numbers


@dataclass(frozen=True)
class Table:
    """N raw rows.

    numbers   (N, n_numbers), of any number type: numeric, boolean and date columns, in their order; NaN is missing
    codes     (N, n_coded), int32: categorical and ordinal columns, in their order; -1 is missing
    """

    columns: tuple[Column, ...]
    numbers: Array
    codes: Array

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, rows: Array | slice) -> "Table":
        """Some of the rows."""
        return replace(self, numbers=self.numbers[rows], codes=self.codes[rows])

    def only(self, columns: slice) -> "Table":
        """Some of the columns, as views."""
        coded = np.array([column.kind in CODED for column in self.columns])
        before, until = (np.bincount(coded[:at], minlength=2) for at in (columns.start, columns.stop))
        numbers, codes = (slice(*ends) for ends in zip(before, until, strict=True))
        return Table(self.columns[columns], self.numbers[:, numbers], self.codes[:, codes])

    @cached_property
    def places(self) -> tuple[tuple[Column, Array], ...]:
        """Each column with its values (N,), numbers or codes."""
        numbers, codes = iter(self.numbers.T), iter(self.codes.T)
        return tuple((column, next(codes if column.kind in CODED else numbers)) for column in self.columns)


def matrix_table(x: Array, names: tuple[str, ...]) -> Table:
    """A plain matrix (N, I) of numbers as a table of numeric columns."""
    return Table(tuple(Column(name) for name in names), x, np.empty((len(x), 0), np.int32))


def read_table(columns: tuple[Column, ...], rows: Mapping[str, Array] | Array) -> Table:
    """Raw rows as a table: arrays (N,) by the column's name, in any order and with others among them, or (N, I).

    Raises   ValueError naming the column or the shape, and the rule
    """
    if not isinstance(rows, Mapping):
        if rows.ndim != 2 or rows.shape[1] != len(columns):
            raise ValueError(f"rows must have {len(columns)} columns, but have shape {rows.shape}")
        rows = {column.name: values for column, values in zip(columns, rows.T, strict=True)}
    for column in columns:
        if column.name not in rows:
            raise ValueError(f"column {column.name!r} is missing; there are {', '.join(map(repr, rows)) or 'none'}")
    n_rows = len(rows[columns[0].name])
    read = [(column.kind in CODED, column.read(rows[column.name])) for column in columns]
    blocks = [[values for coded, values in read if coded == which] for which in (False, True)]
    numbers, codes = (
        np.stack(block, axis=1) if block else np.empty((n_rows, 0), dtype)
        for block, dtype in zip(blocks, (np.float64, np.int32), strict=True)
    )
    return Table(columns, numbers, codes)


def text(value: Any) -> str:
    """A category's name, the same however a reader of files has taken it.

    A text is as it is, unless it spells a number or a truth value: 3, 3.0, "3.0" and "03" are "3", True and "TRUE" are
    "true". A date is "2020-01-31", with a time of day if it has one, in UTC. What is missing is "".
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return "" if value != value else str(int(value)) if value.is_integer() else repr(value)
    if is_missing(value):
        return ""
    if isinstance(value, datetime):
        value = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
        return str(value).removesuffix(" 00:00:00")
    word = str(value)
    if PLAIN_NUMBER.fullmatch(word):
        return text(float(word)) if "." in word else str(int(word))
    return word.lower() if word.lower() in ("true", "false") else word


def number(value: Any) -> float:
    """A number, or a text that spells one; NaN for what is missing."""
    if isinstance(value, str) and "_" in value:  # Python's own notation
        raise ValueError
    return np.nan if is_missing(value) else float(value)


def truth(value: Any) -> float:
    """1 for true, yes, t, y and 1, 0 for their opposites; NaN for what is missing."""
    word = text(value).strip().lower()
    if word not in ("", *TRUE, *FALSE):
        raise ValueError
    return np.nan if not word else float(word in TRUE)


def day(value: Any) -> float:
    """Days since 1970-01-01 of a date or a text in ISO 8601, in UTC if it has a time zone; NaN for what is missing."""
    if is_missing(value):
        return np.nan
    moment = value if isinstance(value, date) else datetime.fromisoformat(str(value))
    if not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day)
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return (moment - EPOCH) / timedelta(days=1)


def is_missing(value: Any) -> bool:
    """None, an empty text, NaN, NaT and what else is not equal to itself, or does not know (pandas' NA)."""
    try:
        return value is None or bool(value == "") or bool(value != value)
    except TypeError:
        return True
