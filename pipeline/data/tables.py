"""From a table to a data set: what its columns are, what is wrong with them, what there is to predict."""

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from nncore.inference.table import CODED, MISSING, PLAIN_NUMBER, Column, ColumnKind, ColumnType, Table, day
from nncore.kernels.backend import Array
from pipeline.components.errors import SettingError
from pipeline.components.types import Dataset, RawRows, Task
from pipeline.data.arrow_values import kind_of, spelt
from pipeline.data.reader import RawTable, TableReader
from pipeline.data.roles import Roles, drop_cure, kinds_cure, near
from pipeline.data.targets import check_learnable, encoded_targets, task_of

WHOLE: dict[ColumnType, ColumnType] = {"double": "long", "datetime": "date"}
MANY = 0.5  # if more than this share of a column's texts are numbers, the others are taken for mistakes


def dataset_of(rows: RawTable, roles: Roles, test: RawTable | None = None) -> Dataset:
    """Read a table, and another one with the same columns as the official test part if there is one.

    Raises   SettingError naming the table, the column or the row, and the cure
    """
    reader = TableReader(rows, feature_columns(rows, roles), roles)
    table = finished(reader.said, reader.table, roles, reader.row_numbers)
    task = task_of({name: reader.other(name) for name in roles.targets}, roles.task)
    groups, times = (_special(reader, name) for name in (roles.group, roles.time))
    dataset = Dataset(task, roles.targets, _rows(reader, table, task, learn=True), groups, times)
    if test is None:
        return dataset
    require_columns(table.columns, test, roles)
    other = TableReader(test, list(table.columns), roles, grows=False)
    return replace(dataset, test=_rows(other, other.table, task, learn=False))


def require_columns(columns: Iterable[Column], test: RawTable, roles: Roles) -> None:
    """Raise SettingError unless the official test part has all columns."""
    for name in (*(column.name for column in columns), *roles.judging, *roles.where):
        if name not in test.schema.names:
            raise SettingError(
                f"{test.said} has no column {name!r}, which data.path has{near(name, test.schema.names)}"
            )


def feature_columns(table: RawTable, roles: Roles) -> list[Column]:
    """The columns to learn from; the levels of those that are not declared are still unknown."""
    found = []
    for name in roles.features(table.said, table.schema.names):
        arrow = table.schema.field(name).type
        known = kind_of(arrow)
        if known is None:
            rule = f"column {name!r} holds {arrow}, but must hold numbers, texts, dates or truth values"
            raise SettingError(f"{table.said}: {rule}; leave it out with {drop_cure([name])}")
        found.append(roles.column(name, *known))
    return found


def finished(said: str, table: Table, roles: Roles, row_numbers: Array) -> Table:
    """The table without useless columns, levels in their order, types as the values show them."""
    columns, useless, codes = [], [], []
    for column, values in table.places:
        missing = values == MISSING if column.kind in CODED else np.isnan(values)
        if column.kind in CODED and column.name not in roles.kinds:
            _check_texts(said, column, values, roles.point, row_numbers)
        if missing.all() or not (missing.any() or (values != values[0]).any()):
            useless.append((column, "no value" if missing.all() else "the same value"))
        if column.kind in CODED and not isinstance(roles.kinds.get(column.name), tuple):
            column, values = _sorted_levels(column, values)
        if column.kind in CODED:
            _check_levels(said, column, roles.max_levels)
            codes.append(values)
        elif (missing | (values % 1 == 0)).all():  # whole numbers, or days without a time of day
            column = replace(column, type=WHOLE.get(column.type, column.type))
        columns.append(column)
    block = np.stack(codes, axis=1) if codes else table.codes
    return _without(said, Table(tuple(columns), table.numbers, block), useless, roles)


def _without(said: str, table: Table, useless: list[tuple[Column, str]], roles: Roles) -> Table:
    names = [column.name for column, _ in useless]
    surprising = [name for name in names if name not in roles.where]  # of the others one has wished for one value
    if (surprising and roles.constant == "refuse") or len(useless) == len(table.columns):
        every = "every column" if len(useless) == len(table.columns) else f"column {surprising[0]!r}"
        others = f" (and {len(surprising) - 1} more columns)" if 1 < len(surprising) < len(table.columns) else ""
        why = next(why for column, why in useless if column.name in (surprising or names))
        cure = f"data.constant=drop, or {drop_cure(surprising[:20] or names)}"
        raise SettingError(f"{said}: {every} has {why} in all {len(table)} rows{others}; leave out with {cure}")
    if not useless:
        return table
    kept = [(column, values) for column, values in table.places if column.name not in names]
    of_numbers = [column.name not in names for column in table.columns if column.kind not in CODED]
    of_codes = [column.name not in names for column in table.columns if column.kind in CODED]
    return Table(tuple(column for column, _ in kept), table.numbers[:, of_numbers], table.codes[:, of_codes])


def _check_texts(said: str, column: Column, codes: Array, point: str, row_numbers: Array) -> None:
    """Refuse texts that are for the most part numbers or dates: all of them, or but for mistakes, or spelt oddly."""
    counts = np.bincount(codes[codes >= 0], minlength=len(column.levels))
    meanings: tuple[tuple[ColumnKind, str, Callable[[str], Any]], ...] = (
        ("numeric", "numbers", lambda level: spelt(level, point)),
        ("date", "dates", day),
        ("categorical", "numbers or dates with other signs in them", _digits),
    )
    for kind, what, convert in meanings:
        reads = np.array([_reads(convert, level) for level in column.levels], bool)
        if not len(counts) or counts[reads].sum() <= MANY * counts.sum():
            continue
        if kind == "categorical":
            row = int(np.flatnonzero((codes >= 0) & reads[codes])[0])
            cure = f"write them plainly, see data.decimal, or set {kinds_cure(column.name, kind)}"
        elif reads.all():
            raise SettingError(
                f"{said}: column {column.name!r} holds texts that all are {what}; say what they are, "
                f"{kinds_cure(column.name, kind)} or {kinds_cure(column.name, 'categorical')}"
            )
        else:
            row = int(np.flatnonzero((codes >= 0) & ~reads[codes])[0])
            cure = f"mend it, leave it empty if it is missing, or set {kinds_cure(column.name, 'categorical')}"
        but = "such as" if kind == "categorical" else "but"
        level, at = column.levels[codes[row]], row_numbers[row]
        raise SettingError(f"{said}: column {column.name!r} holds {what}, {but} {level!r} in row {at}; {cure}")


def _reads(convert: Callable[[str], Any], level: str) -> bool:
    try:
        return bool(np.isfinite(convert(level)))
    except (ValueError, OverflowError):
        return False


def _digits(level: str) -> float:
    """The digits of "1.234,56", "$12.50" or "31.12.2020" as one number; ValueError if there is more to it."""
    return float(re.sub(r"[.,:/'$€£% -]", "", level) if any(map(str.isdigit, level)) else "none")


def _check_levels(said: str, column: Column, most: int) -> None:
    if len(column.levels) > most:
        raise SettingError(
            f"{said}: column {column.name!r} has {len(column.levels)} different texts, but data.max_levels={most}; "
            f"leave it out with {drop_cure([column.name])}, or raise data.max_levels"
        )


def _sorted_levels(column: Column, codes: Array) -> tuple[Column, Array]:
    """Numbers in their order, then texts in theirs: where a level stands depends on no other."""

    def place(at: int) -> tuple[int, float, str]:
        level = column.levels[at]
        return (0, float(level), level) if PLAIN_NUMBER.fullmatch(level) else (1, 0.0, level)

    order = sorted(range(len(column.levels)), key=place)
    rank = np.empty(len(order) + 1, np.int32)
    rank[order], rank[-1] = np.arange(len(order)), MISSING
    return replace(column, levels=tuple(column.levels[at] for at in order)), rank[codes]


def _rows(reader: TableReader, table: Table, task: Task, learn: bool) -> RawRows:
    """The table with its targets and weights; rows to learn from must show what there is to learn."""
    targets = {name: reader.other(name) for name in reader.roles.targets}
    y = encoded_targets(reader.said, targets, task, reader.row_numbers)
    if learn:
        check_learnable(reader.said, targets, y, task, reader.roles.max_classes)
    return RawRows(table, y, _special(reader, reader.roles.weight))


def _special(reader: TableReader, name: str | None) -> Array | None:
    """A column of weights, groups or times, which must never be missing."""
    if name is None:
        return None
    values, roles = reader.other(name), reader.roles
    (role,) = (role for role, column in roles.special.items() if column == name)
    missing = np.isnan(values) | (values < 0) if role in ("weight", "group") else np.isnan(values)  # a group's -1
    bad = np.flatnonzero(missing)
    said = f"{reader.said}: column {name!r}, data.{role},"
    if len(bad):
        rule = "must be a number >= 0" if role == "weight" else "must have a value"
        has = f"has {values[bad[0]]:g}" if role == "weight" and values[bad[0]] < 0 else "has none"
        raise SettingError(f"{said} {rule} in every row, but row {reader.row_numbers[bad[0]]} {has}; mend it")
    if role == "weight" and not values.sum() > 0:
        raise SettingError(f"{said} must be above 0 in some row; mend it, or leave data.weight out")
    return values
