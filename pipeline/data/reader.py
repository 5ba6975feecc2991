"""Reads a table column by column, each once, into the blocks of a `Table`."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from nncore.inference.table import CODED, MISSING, Column, Table, text
from nncore.kernels.backend import Array
from pipeline.components.errors import SettingError
from pipeline.data.arrow_values import SMALL, BadValueError, codes_of, kind_of, numbers_of, plain_of
from pipeline.data.roles import Roles


class RawTable(NamedTuple):
    """A table that can be read, a column at a time: so the memory for reading is that of a part of one column.

    said     the setting and the address that it comes from, for errors
    chunks   by a column's name, its values in parts
    """

    said: str
    schema: pa.Schema
    n_rows: int
    chunks: Callable[[str], Iterable[pa.Array]]


class TableReader:
    """A table that has been read: the rows that data.where takes of it.

    columns   to learn from; those of texts get their levels as they are met
    grows     whether these are the rows to learn from, and so texts that are no levels become some; of an official
              test part they remain unknown, and its groups and times are of no use
    """

    def __init__(self, raw: RawTable, columns: list[Column], roles: Roles, grows: bool = True) -> None:
        self.said, self.roles = raw.said, roles
        self._raw, self._grows = raw, grows
        if not raw.n_rows:
            raise SettingError(f"{self.said}: it has no rows, only a header")
        self._wanted = self._where()
        self.row_numbers = np.flatnonzero(self._wanted) + 1  # in the source, counted from 1
        if not len(self.row_numbers):
            raise SettingError(f"{self.said}: data.where={roles.where} leaves no row of {raw.n_rows}; see its values")
        self.table = self._read_table(columns)
        others = (*roles.targets, *roles.special.values()) if grows else roles.judging
        self._others = {name: self._read_other(name) for name in others}

    def other(self, name: str) -> Array:
        """A column that has a role: a target as it is, of the others numbers or the number of the group."""
        return self._others[name]

    def _where(self) -> Array:
        """(rows of the source,) whether data.where takes each."""
        wanted = np.ones(self._raw.n_rows, bool)
        for name, values in self.roles.where.items():
            levels = list(dict.fromkeys(map(text, values if isinstance(values, tuple) else (values,))))
            index = {level: at for at, level in enumerate(level for level in levels if level)}
            codes = [codes_of(_decoded(part), index, grows=False) for part in self._raw.chunks(name)]
            taken = [*index.values(), *([MISSING] if "" in levels else [])]
            wanted &= np.isin(np.concatenate(codes), taken)
        return wanted

    def _chunks(self, name: str) -> Iterator[tuple[slice, pa.Array]]:
        """A column's wanted values in parts, and which rows these are."""
        every, n_read, n_taken = self._wanted.all(), 0, 0
        for part in self._raw.chunks(name):
            values = part if every else part.filter(pa.array(self._wanted[n_read : n_read + len(part)]))
            yield slice(n_taken, n_taken + len(values)), _decoded(values)
            n_read, n_taken = n_read + len(part), n_taken + len(values)

    def _read_table(self, columns: list[Column]) -> Table:
        coded = [column for column in columns if column.kind in CODED]
        small = all(self._raw.schema.field(c.name).type in SMALL for c in columns if c.kind not in CODED)
        n_rows, n_numbers = len(self.row_numbers), len(columns) - len(coded)
        table = Table(
            tuple(columns),
            np.empty((n_rows, n_numbers), np.float32 if small else np.float64),
            np.empty((n_rows, len(coded)), np.int32),
        )
        return replace(table, columns=tuple(self._fill(column, place) for column, place in table.places))

    def _fill(self, column: Column, place: Array) -> Column:
        """Read a column into its place; with the levels that it turned out to have."""
        index = {level: at for at, level in enumerate(column.levels)}
        for rows, values in self._chunks(column.name):
            numbers = self.row_numbers[rows]
            if column.kind in CODED:
                place[rows] = self._coded(values, column, index, numbers)
            else:
                place[rows] = self._read(values, column, numbers)
        return replace(column, levels=tuple(index))

    def _read_other(self, name: str) -> Array:
        groups: dict[str, int] = {}
        return np.concatenate(
            [self._other(values, name, groups, self.row_numbers[rows]) for rows, values in self._chunks(name)]
        )

    def _coded(self, values: pa.Array, column: Column, index: dict[str, int], numbers: Array) -> Array:
        declared = bool(column.levels) and self._grows
        codes = codes_of(values, index, self._grows and not declared)
        odd = np.flatnonzero(codes == len(column.levels))
        if declared and len(odd):
            raise SettingError(
                f"{self.said}: column {column.name!r} has {str(values[int(odd[0])])!r} in row {numbers[odd[0]]}, which "
                f"its order in data.kinds, {', '.join(column.levels)}, lacks; add it there"
            )
        return codes

    def _read(self, values: pa.Array, column: Column, numbers: Array) -> Array:
        try:
            return numbers_of(values, column, self.roles.point)
        except BadValueError as bad:
            raise SettingError(
                f"{self.said}: column {column.name!r} is {column.kind}, but has {bad} in row {numbers[bad.row]}; mend "
                "it, leave it empty if it is missing, or see data.kinds and data.drop"
            ) from None

    def _other(self, values: pa.Array, name: str, groups: dict[str, int], numbers: Array) -> Array:
        known = kind_of(values.type)
        if known is None or (known[0] == "date" and name in (*self.roles.targets, self.roles.weight)):
            raise SettingError(f"{self.said}: column {name!r} holds {values.type}; choose another for this role")
        if name in self.roles.targets:
            return plain_of(values)
        if name == self.roles.group:
            return codes_of(values, groups, grows=True).astype(np.float64)
        is_date = name == self.roles.time and known[1] == "string"
        return self._read(values, Column(name, "date" if is_date else "numeric"), numbers)


def _decoded(values: Any) -> pa.Array:
    """Values that a dictionary stands for, if they are no texts."""
    if pa.types.is_dictionary(values.type) and kind_of(values.type) != ("categorical", "string"):
        return values.cast(values.type.value_type)
    return values
