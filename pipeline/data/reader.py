"""Read a table column by column, each once, into the blocks of a `Table`."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nncore.inference.spelling import MISSING_WORDS, Spelling
from nncore.inference.table import CODED, MISSING, Column, ColumnType, Table
from nncore.kernels.backend import Array
from pipeline.components.errors import ColumnError, Problems, SettingError
from pipeline.data.arrow_values import (
    FITS_FLOAT32,
    BadValueError,
    codes_of,
    is_text,
    kind_of,
    numbers_of,
    plain_values,
    stored_values,
)
from pipeline.data.identities import identity_text, ranks
from pipeline.data.roles import Roles, kinds_override
from pipeline.data.spellings import (
    AmbiguousError,
    Reading,
    begin_with_digits,
    differ_in_case,
    format_of_whole_dates,
    mistake_among,
    notes_on,
    reading_of,
    without_missing_words,
)
from pipeline.data.targets import MAX_AUTO_CLASSES

DECIDED_KINDS = ("numeric", "date", "time")  # the kinds whose texts have a spelling that has to be seen


class RawTable(NamedTuple):
    """A table that is read one column at a time, so that reading needs memory for a part of one column only.

    Attributes
    ----------
    label : str
        The setting and the path that it comes from, for error messages.
    schema : pyarrow.Schema
    n_rows : int
    chunks : callable
        The values of the column of this name, in parts.
    notes : tuple of str, default ()
        What was decided while the file was opened; see `Dataset`.
    exact : callable or None, default None
        The values as texts, of a column of numbers that may have lost digits in `chunks`.
    sources : mapping of str to str, default {}
        By column, the column of the file that contains it, where that has another name.
    decimal : str, default ""
        The decimal sign of the file's numbers, if it is known.
    has_points : bool, default False
        Whether texts of the file have decimal points.
    """

    label: str
    schema: pa.Schema
    n_rows: int
    chunks: Callable[[str], Iterable[pa.Array]]
    notes: tuple[str, ...] = ()
    exact: Callable[[str], Iterable[pa.Array]] | None = None
    sources: Mapping[str, str] = MappingProxyType({})
    decimal: str = ""
    has_points: bool = False


class TableReader:
    """The rows of a table that `data.where` selects, read into memory.

    Parameters
    ----------
    raw : RawTable
    columns : list of Column
        The features. Text columns get their levels as they are met.
    roles : Roles
    problems : Problems
        Gets what is wrong with the values.
    is_training_data : bool
        False for an official test part: its unknown texts do not become levels, and its groups and times are not read.
    spelled_columns : mapping of str to Column or None
        The attribute of the reader of the training data; None: their own texts decide.

    Attributes
    ----------
    table : Table
        The features.
    row_numbers : array, (N,)
        Number of each selected row in the source, counted from 1.
    targets : dict of str to array (N,)
        The targets as they are, by name, without those that cannot be read.
    spelled_columns : dict of str to Column
        The columns with other roles whose texts are read as numbers or dates.
    notes : list of str
        What was decided while reading; see `Dataset`.
    problems : Problems
        What is wrong with the values.
    is_training_data : bool

    Raises
    ------
    SettingError
        With all problems, if there is no row.
    """

    def __init__(
        self,
        raw: RawTable,
        columns: list[Column],
        roles: Roles,
        problems: Problems,
        is_training_data: bool = True,
        spelled_columns: Mapping[str, Column] | None = None,
    ) -> None:
        self.label, self.roles, self.notes, self.problems = raw.label, roles, list(raw.notes), problems
        self._raw, self.is_training_data = raw, is_training_data
        self._hints = roles.hints._replace(decimal=raw.decimal or roles.decimal_sign, has_points=raw.has_points)
        if not raw.n_rows:
            problems.add(f"{self.label}: it has no rows, only a header")
            problems.raise_all()
        self._selected = self._select_rows()
        self.row_numbers = np.flatnonzero(self._selected) + 1
        if not len(self.row_numbers):
            problems.add(f"{self.label}: data.where={roles.where} selects none of {raw.n_rows} rows; see its values")
            problems.raise_all()
        self._decides, self.spelled_columns = spelled_columns is None, dict(spelled_columns or {})
        self.table = self._read_features(self._with_readings(columns))
        others = (*roles.targets, *roles.special.values()) if is_training_data else roles.needed_for_scoring
        self._others: dict[str, Array] = {}
        for name in others:
            if raw.schema.names.count(name) == 1:  # else this is a problem already
                with problems.collected():
                    self._others[name] = self._read_other(name)
        self.targets = {name: self._others[name] for name in roles.targets if name in self._others}

    def keep_rows(self, keep: Array) -> None:
        """Leave out the rows for which `keep` (N,) is False, in place and column by column, to need little memory."""
        n_rows = np.count_nonzero(keep)
        for block in (self.table.numbers, self.table.codes):
            for values in block.T:
                values[:n_rows] = values[keep]
        self.table = replace(self.table, numbers=self.table.numbers[:n_rows], codes=self.table.codes[:n_rows])
        self.row_numbers = self.row_numbers[keep]
        self._others = {name: values[keep] for name, values in self._others.items()}
        self.targets = {name: self._others[name] for name in self.targets}

    def special_column(self, role: Literal["weight", "group", "time"]) -> Array | None:
        """The weights, or the numbers of the groups or times (N,), of which none may be missing; None without one."""
        name = self.roles.special.get(role)
        if name not in self._others:
            return None
        values = self._others[name]
        bad_rows = np.flatnonzero(np.isnan(values) | (values < 0))  # a missing group or time has the number -1
        label = f"{self.label}: column {name!r}, data.{role},"
        if len(bad_rows):
            rule = "must be a number >= 0" if role == "weight" else "must have a value"
            value = values[bad_rows[0]]
            has = f"has {value:g}" if role == "weight" and value < 0 else "has none"
            self.problems.add(f"{label} {rule} in every row, but row {self.row_numbers[bad_rows[0]]} {has}; correct it")
        elif role == "weight" and not values.sum() > 0:
            self.problems.add(f"{label} must be above 0 in some row; correct it, or leave data.weight out")
        return values

    def plain(self, name: str) -> list[Any]:
        """The values of any column of the file as plain Python values, None where missing."""
        return [value for _, values in self._selected_chunks(name) for value in values.to_pylist()]

    def _select_rows(self) -> Array:
        """(rows of the source,) whether data.where selects each."""
        selected = np.ones(self._raw.n_rows, bool)
        for name, values in self.roles.where.items():
            if self._raw.schema.names.count(name) != 1:  # a problem already
                continue
            levels = list(dict.fromkeys(map(identity_text, values if isinstance(values, tuple) else (values,))))
            index = {level: code for code, level in enumerate(level for level in levels if level)}
            chunks = self._raw.exact or self._raw.chunks
            codes = [codes_of(_decoded(part), index, grows=False, name_of=identity_text) for part in chunks(name)]
            wanted = [*index.values(), *([MISSING] if "" in levels else [])]
            selected &= np.isin(np.concatenate(codes), wanted)
        return selected

    def _selected_chunks(self, name: str) -> Iterator[tuple[slice, pa.Array]]:
        """The selected values of a column in parts, each with its rows."""
        all_selected, n_read, n_selected = self._selected.all(), 0, 0
        for part in self._raw.chunks(name):
            mask = self._selected[n_read : n_read + len(part)]
            decoded = _decoded(part)
            values = decoded if all_selected else decoded.filter(pa.array(mask))
            yield slice(n_selected, n_selected + len(values)), values
            n_read, n_selected = n_read + len(part), n_selected + len(values)

    def _read_features(self, columns: list[Column]) -> Table:
        n_coded = sum(column.kind in CODED for column in columns)
        numeric = [column.name for column in columns if column.kind not in CODED]
        fits_float32 = all(self._raw.schema.field(name).type in FITS_FLOAT32 for name in numeric)
        n_rows = len(self.row_numbers)
        table = Table(
            tuple(columns),
            np.empty((n_rows, len(numeric)), np.float32 if fits_float32 else np.float64),
            np.empty((n_rows, n_coded), np.int32),
        )
        filled, unreadable = [], []
        for column, values in table.column_values:
            filled.append(column)
            unreadable.append(column.name)
            with self.problems.collected():
                filled[-1] = self._fill(column, values)
                unreadable.pop()
        return without_columns(replace(table, columns=tuple(filled)), unreadable)

    def _with_readings(self, columns: list[Column]) -> list[Column]:
        """The columns with the kinds and the spellings that their texts show, without those that add a problem."""
        if not self.is_training_data:
            return columns
        readable = []
        for column in columns:
            with self.problems.collected():
                readable.append(self._with_reading(column))
        return readable

    def _with_reading(self, column: Column) -> Column:
        declared = self.roles.kinds.get(column.name)
        if not (declared is None or declared in DECIDED_KINDS):
            return column
        if column.type == "long" and declared is None and self._are_long(column.name):
            self.notes.append(
                f"column {column.name!r} holds whole numbers of more digits than numbers keep, which are read as "
                f"categories; {kinds_override(column.name, 'numeric')} reads numbers"
            )
            return replace(column, kind="categorical")
        if column.type == "long" and declared is None and (format_ := self._whole_dates(column.name)) is not None:
            return replace(column, kind="date", type="datetime", spelling=Spelling(format=format_))
        if column.type == "double" and self._hints.decimal:  # a model may get as texts what Arrow reads as numbers
            return replace(column, spelling=Spelling(self._hints.decimal))
        reading = self._reading(column.name, declared)
        if reading is None:
            return column
        column_type: ColumnType = "datetime" if reading.kind == "date" else "string"
        return replace(column, kind=reading.kind, type=column_type, spelling=reading.spelling)

    def _are_long(self, name: str) -> bool:
        """Whether all values are so large that float64 does not tell an integer from the next one."""
        if not pa.types.is_integer(self._raw.schema.field(name).type):
            return False
        bounds = [pc.min_max(values) for _, values in self._selected_chunks(name)]
        given = [pair for pair in bounds if pair["min"].is_valid]
        return bool(given) and all(pair["min"].as_py() >= 2**53 or pair["max"].as_py() <= -(2**53) for pair in given)

    def _whole_dates(self, name: str) -> str | None:
        """The format of dates that are whole numbers, such as 20200131 or 202001; None if these are numbers."""
        if not pa.types.is_integer(self._raw.schema.field(name).type):
            return None
        parts = [values.unique().drop_null() for _, values in self._selected_chunks(name)]
        numbers = np.unique(np.concatenate([part.to_numpy(zero_copy_only=False) for part in parts]))
        format_ = format_of_whole_dates(numbers)
        if format_ is not None:
            day = np.datetime64(int(Spelling(format=format_).days(int(numbers[0]))), "D")
            self.notes.append(
                f"column {name!r}: {numbers[0]} read as {day}; {kinds_override(name, 'numeric')} reads a number"
            )
        return format_

    def _spelled(self, name: str) -> Column | None:
        """A column with another role whose texts are read as numbers or dates; None for other columns."""
        if name in self.spelled_columns or not self._decides or name == self.roles.group:
            return self.spelled_columns.get(name)
        reading = self._reading(name, None if name == self.roles.time else "numeric")
        if reading is None or reading.kind == "ordinal":
            return None
        if name in self.roles.targets and self.roles.task != "regression" and self._has_classes(name, reading):
            return None
        self.spelled_columns[name] = Column(name, reading.kind, spelling=reading.spelling)
        return self.spelled_columns[name]

    def _has_classes(self, name: str, reading: Reading) -> bool:
        """Whether a target's texts are classes although they spell numbers: few, or plain ones that are texts."""
        texts = self._distinct_texts(name)[0]
        n_missing = len(texts) - len(without_missing_words(texts))
        return not n_missing and (reading.spelling.is_plain or len(texts) <= MAX_AUTO_CLASSES)

    def _reading(self, name: str, declared: Any = None) -> Reading | None:
        """How the texts of a column are read; None if they are no texts, or categories."""
        if not is_text(self._raw.schema.field(name).type):
            return None
        texts, counts = self._distinct_texts(name)
        try:
            reading = reading_of(texts, self._hints, declared)
        except AmbiguousError as error:
            raise SettingError(f"{self.label}: column {name!r} {error}") from None
        if reading is None:
            if declared is None and name not in (*self.roles.targets, *self.roles.special.values()):
                self._refuse_mistakes(name, texts, counts)
            elif name in self.roles.targets:
                self._refuse_mistaken_classes(name, texts, counts)
            return None
        self.notes += notes_on(name, texts, counts, reading)
        return reading

    def _distinct_texts(self, name: str) -> tuple[pa.Array, pa.Array]:
        """The different texts of a column (L,), and how many values each is."""
        counted = [values.cast(pa.string()).value_counts() for _, values in self._selected_chunks(name)]
        parts = [pa.table([part.field("values"), part.field("counts")], ["text", "count"]) for part in counted]
        total = pa.concat_tables(parts).group_by("text", use_threads=False).aggregate([("count", "sum")])
        total = total.filter(total["text"].is_valid()).combine_chunks()
        return total["text"].combine_chunks(), total["count_sum"].combine_chunks()

    def _refuse_mistaken_classes(self, name: str, texts: pa.Array, counts: pa.Array) -> None:
        """Refuse a target of many numbers with some other texts among them; note classes that differ in case."""
        mistake = mistake_among(texts, counts, self._hints) if len(texts) > MAX_AUTO_CLASSES else None
        if self.roles.task == "auto" and mistake is not None and mistake.noun == "numbers":
            raise SettingError(
                f"{self.label}: the target {name!r} holds numbers, but {mistake.text!r} in row "
                f"{self._row_of(name, mistake.text)}; correct it, leave it empty if it is missing, or set "
                "data.task=classification"
            )
        self._note_case(name, texts, "classes")

    def _note_case(self, name: str, texts: pa.Array, what: str) -> None:
        if pair := differ_in_case(texts):
            self.notes.append(
                f"column {name!r} holds texts that differ in capital letters only, such as {pair[0]!r} and "
                f"{pair[1]!r}, which are different {what}; write them alike if they are the same"
            )

    def _refuse_mistakes(self, name: str, texts: pa.Array, counts: pa.Array) -> None:
        """Refuse numbers or dates with some other texts among them; note digits that are read as categories."""
        mistake = mistake_among(texts, counts, self._hints)
        if mistake is not None and mistake.among_levels:
            self.notes.append(
                f"column {name!r} holds {len(texts)} different values, numbers and {mistake.text!r} in row "
                f"{self._row_of(name, mistake.text)}, which are read as categories; if it is a mistake, correct it"
            )
            return
        if mistake is not None:
            raise SettingError(
                f"{self.label}: column {name!r} holds {mistake.noun}, but {mistake.text!r} in row "
                f"{self._row_of(name, mistake.text)}; correct it, leave it empty if it is missing, or set "
                f"{kinds_override(name, 'categorical')}"
            )
        self._note_case(name, texts, "categories")
        if begin_with_digits(texts, counts):
            zeros = texts.filter(pc.match_substring_regex(texts, r"^\s*0[0-9]"))  # which make a number a code
            example = (zeros if len(zeros) else texts)[0].as_py()
            self.notes.append(f"column {name!r} holds texts such as {example!r}, which are read as categories")

    def _row_of(self, name: str, text: str) -> int:
        """Number of the first row with a text."""
        for rows, values in self._selected_chunks(name):
            position = values.cast(pa.string()).index(text).as_py()
            if position >= 0:
                return int(self.row_numbers[rows][position])
        raise ValueError(text)

    def _fill(self, column: Column, destination: Array) -> Column:
        """Read a column into its place in the table; returns it with the levels that were met."""
        index = {level: code for code, level in enumerate(column.levels)}
        for rows, values in self._selected_chunks(column.name):
            row_numbers = self.row_numbers[rows]
            if column.kind in CODED:
                destination[rows] = self._read_codes(values, column, index, row_numbers)
            else:
                destination[rows] = self._read_numbers(values, column, row_numbers)
        return replace(column, levels=tuple(index))

    def _read_codes(self, values: pa.Array, column: Column, index: dict[str, int], row_numbers: Array) -> Array:
        has_declared_levels = bool(column.levels) and self.is_training_data
        words = MISSING_WORDS if column.kind == "ordinal" else frozenset()
        codes = codes_of(values, index, self.is_training_data and not has_declared_levels, words)
        unknown = np.flatnonzero(codes == len(column.levels))
        if has_declared_levels and len(unknown):
            raise SettingError(
                f"{self.label}: column {column.name!r} has {str(values[int(unknown[0])])!r} in row "
                f"{row_numbers[unknown[0]]}, which its order in data.kinds, {', '.join(column.levels)}, lacks; add it "
                "there"
            )
        return codes

    def _read_numbers(self, values: pa.Array, column: Column, row_numbers: Array) -> Array:
        try:
            return numbers_of(values, column)
        except BadValueError as bad:
            problem = (
                f"{self.label}: column {column.name!r} is {column.kind}, but has {bad} in row {row_numbers[bad.row]}; "
                "correct it, leave it empty if it is missing"
            )
            if not self.is_training_data:
                raise SettingError(problem) from None
            if column.name in (*self.roles.targets, *self.roles.special.values()):
                raise SettingError(f"{problem}, or choose another column") from None
            raise ColumnError(column.name, f"{problem}, or leave the column out with", self.problems.dropped) from None

    def _read_other(self, name: str) -> Array:
        if name == self.roles.time:
            return self._read_times(name)
        self._spelled(name)
        groups: dict[str, int] = {}
        return np.concatenate(
            [
                self._other_values(values, name, groups, self.row_numbers[rows])
                for rows, values in self._selected_chunks(name)
            ]
        )

    def _other_values(self, values: pa.Array, name: str, groups: dict[str, int], row_numbers: Array) -> Array:
        if name == self.roles.group:
            return codes_of(values, groups, grows=True, name_of=identity_text)
        known = kind_of(values.type)
        if known is None or known[0] in ("date", "time"):
            raise SettingError(f"{self.label}: column {name!r} holds {values.type}; choose another for this role")
        if name in self.spelled_columns:
            return self._read_numbers(values, self.spelled_columns[name], row_numbers)
        if name in self.roles.targets:
            return plain_values(values)
        return self._read_numbers(values, Column(name, "numeric"), row_numbers).astype(np.float64)

    def _read_times(self, name: str) -> Array:
        """The position of each row's time among all times."""
        parts = [values for _, values in self._selected_chunks(name)]
        if kind_of(parts[0].type) is None:
            raise SettingError(f"{self.label}: column {name!r} holds {parts[0].type}; choose another for this role")
        try:
            return ranks(parts, (self._spelled(name) or Column(name, "date")).convert)
        except BadValueError as bad:
            raise SettingError(
                f"{self.label}: column {name!r}, data.time, has {bad} in row {self.row_numbers[bad.row]}, which is "
                "neither a number nor a date; correct it"
            ) from None


def without_columns(table: Table, names: Sequence[str]) -> Table:
    """The table without the columns of these names."""
    if not names:
        return table
    kept = tuple(column for column in table.columns if column.name not in names)
    keep_numbers = [column.name not in names for column in table.columns if column.kind not in CODED]
    keep_codes = [column.name not in names for column in table.columns if column.kind in CODED]
    return Table(kept, table.numbers[:, keep_numbers], table.codes[:, keep_codes])


def _decoded(values: Any) -> pa.Array:
    """The values in a form that Arrow's functions take, without a dictionary unless they are texts."""
    values = stored_values(values)
    if pa.types.is_dictionary(values.type) and kind_of(values.type) != ("categorical", "string"):
        return values.cast(values.type.value_type)
    return values
