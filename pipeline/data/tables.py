"""From a table to a data set: what its columns are, what is wrong with them, and what there is to predict."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from nncore.inference.table import CODED, MISSING, PLAIN_NUMBER, Column, ColumnType, Table
from nncore.kernels.backend import Array
from pipeline.components.errors import Problems, SettingError
from pipeline.components.types import Dataset, RawRows, Task
from pipeline.data.arrow_values import kind_of
from pipeline.data.csv_layout import UNNAMED_COLUMN
from pipeline.data.reader import RawTable, TableReader, without_columns
from pipeline.data.roles import Roles, did_you_mean, listed, listed_columns
from pipeline.data.spellings import bounds_of
from pipeline.data.targets import (
    JOINED_CLASS,
    MIN_ROWS_PER_CLASS,
    are_counts,
    check_learnable,
    encoded_targets,
    missing_rows,
    task_of,
)

WHOLE_TYPES: dict[ColumnType, ColumnType] = {"double": "long", "datetime": "date"}
MANY_LEVELS = "too many different texts"
INDEX_NAMES = ("index", "level_0", "rownames", "row.names", "row_names")


def dataset_of(raw: RawTable, roles: Roles, test: RawTable | None = None) -> Dataset:
    """Read a table, and another one with the same columns as the official test part if there is one.

    Raises
    ------
    SettingError
        Naming the table, the column or the row, and the cure: all that is wrong, in one error.
    """
    problems = Problems()
    reader = TableReader(raw, feature_columns(raw, roles, problems), roles, problems)
    _leave_out_rows_without_target(reader)
    task, y, rare_classes = _read_targets(reader)
    table = finish_columns(reader)
    groups, times = reader.special_column("group"), reader.special_column("time")
    rows = RawRows(table, y, reader.special_column("weight"))
    dataset = Dataset(task, roles.targets, rows, groups, times, notes=tuple(reader.notes))
    if test is None:
        problems.raise_all()
        return dataset
    require_columns(table.columns, test, roles, problems)
    columns = [column for column in table.columns if column.name in test.schema.names]
    reader = TableReader(test, columns, roles, problems, False, reader.spelled_columns)
    _leave_out_rows_without_target(reader)
    test_y = np.empty(0)
    with problems.collected():
        if len(reader.targets) < len(roles.targets):  # a problem already
            problems.raise_all()
        test_y = encoded_targets(reader.label, reader.targets, task, reader.row_numbers)
        test_y = _treat_rare_classes(reader, test_y, rare_classes)
    test_rows = RawRows(reader.table, test_y, reader.special_column("weight"))
    problems.raise_all()
    return replace(dataset, test=test_rows, notes=(*dataset.notes, *reader.notes))


def _leave_out_rows_without_target(reader: TableReader) -> None:
    """Leave out the rows in which a target is missing, and note it."""
    if reader.roles.missing_target == "refuse" or not reader.targets:
        return
    missing = missing_rows(reader.targets.values())
    if missing.all():
        names = ", ".join(map(repr, reader.targets))
        reader.problems.add(f"{reader.label}: the target {names} has no value in any row; choose another target")
        reader.targets = {}  # there is nothing more to say about them
    elif missing.any():
        first, n_missing = reader.row_numbers[missing][0], np.count_nonzero(missing)
        reader.keep_rows(~missing)
        reader.targets = {
            name: values if values.dtype.kind != "O" or any(isinstance(value, str) for value in values)
            else np.array(values.tolist())
            for name, values in reader.targets.items()
        }  # fmt: skip
        which = "" if reader.is_training_data else " of the test file"
        such = "1 row" if n_missing == 1 else f"{n_missing:,} rows"
        reader.notes.append(
            f"{such}{which} without a target left out, the first is row {first}; data.missing_target=refuse makes it "
            "an error"
        )


def _read_targets(reader: TableReader) -> tuple[Task, Array, Array]:
    """The task, the targets in its form, without rows if something is wrong with them, and the rare classes."""
    roles = reader.roles
    task: Task = roles.task if roles.task != "auto" else "classification"
    if reader.targets and len(reader.targets) == len(roles.targets):
        with reader.problems.collected():
            task = task_of(reader.targets, roles.task)
            y = encoded_targets(reader.label, reader.targets, task, reader.row_numbers)
            _note_counts(reader)
            rare = _rare_classes(y, roles) if task == "classification" else np.empty(0)
            y = _treat_rare_classes(reader, y, rare)
            min_rows = roles.min_class_rows if roles.rare_classes == "refuse" else 1
            check_learnable(reader.label, reader.targets, y, task, roles.max_classes, min_rows)
            return task, y, rare
    return task, np.empty(0), np.empty(0)


def _note_counts(reader: TableReader) -> None:
    name, *others = reader.targets
    if reader.roles.task == "auto" and not others and are_counts(reader.targets[name]):
        reader.notes.append(
            f"the target {name!r} holds whole numbers of which many are rare, so they are counts, not classes: a "
            "regression; data.task=classification makes them classes"
        )


def _rare_classes(y: Array, roles: Roles) -> Array:
    """The classes that have too few rows for the split; none if that is an error, or if there is nothing else."""
    classes, n_rows = np.unique(y, return_counts=True)
    rare = classes[n_rows < roles.min_class_rows]
    is_error = roles.rare_classes == "refuse" or len(classes) > roles.max_classes or len(classes) - len(rare) < 2
    return rare[:0] if is_error else rare


def _treat_rare_classes(reader: TableReader, y: Array, rare: Array) -> Array:
    """Leave out the rows of rare classes, or join the classes if together they are not rare, and note it."""
    roles, is_rare = reader.roles, np.isin(y, rare) if len(rare) else np.zeros(len(y), bool)
    n_rows = np.count_nonzero(is_rare)
    if not n_rows:
        return y
    which = "" if reader.is_training_data else " of the test file"
    what = f"{n_rows:,} {'row' if n_rows == 1 else 'rows'}{which} of {listed(list(map(str, rare)), 'rare class')}"
    reason = f"fewer than {roles.min_class_rows} rows each"
    is_number = y.dtype.kind in "iuf" and roles.task == "auto"
    other_task = "; data.task=regression if it is a number to predict" if is_number else ""
    if roles.rare_classes == "join" and (n_rows >= roles.min_class_rows or not reader.is_training_data):
        reader.notes.append(f"{what} joined into the class {JOINED_CLASS!r}: {reason}{other_task}")
        return np.where(is_rare, JOINED_CLASS, y.astype(str))
    reader.keep_rows(~is_rare)
    fewer_folds = ", or fewer folds, such as split.folds=2" if roles.min_class_rows > MIN_ROWS_PER_CLASS else ""
    reader.notes.append(f"{what} left out: {reason}; data.rare_classes=join or refuse{fewer_folds}{other_task}")
    return y[~is_rare]


def require_columns(columns: Iterable[Column], test: RawTable, roles: Roles, problems: Problems) -> None:
    """Add a problem for each column that the official test part lacks."""
    for name in (*(column.name for column in columns), *roles.needed_for_scoring, *roles.where):
        if name not in test.schema.names:
            hint = did_you_mean(name, test.schema.names)
            problems.add(f"{test.label}: there is no column {name!r}, which data.path has{hint}")


def feature_columns(raw: RawTable, roles: Roles, problems: Problems) -> list[Column]:
    """The columns to learn from, without those that add a problem. Levels that are not declared are still unknown."""
    problems.dropped = [name for name in roles.drop if name in raw.schema.names]
    columns = []
    for name in roles.features(raw.label, raw.schema.names, problems, raw.sources):
        arrow_type = raw.schema.field(name).type
        known = kind_of(arrow_type)
        if known is None:
            rule = f"column {name!r} holds {arrow_type}, but must hold numbers, texts, dates or truth values"
            problems.add(f"{raw.label}: {rule}; leave it out with {problems.leave_out([name])}")
            continue
        with problems.collected():
            columns.append(roles.column(name, *known))
    return columns


def finish_columns(reader: TableReader) -> Table:
    """The table without useless columns, with sorted levels, and with the types that the values show."""
    roles = reader.roles
    table = _drop_row_numbers(reader)
    columns, useless, codes = [], [], []
    for column, values in table.column_values:
        is_missing = values == MISSING if column.kind in CODED else np.isnan(values)
        has_many_levels = len(column.levels) > roles.max_levels
        if has_many_levels and roles.many_levels == "refuse":
            reader.problems.add(_many_levels(reader, column))
        if is_missing.all() or not (is_missing.any() or (values != values[0]).any()):
            useless.append((column, "no value" if is_missing.all() else "the same value"))
        elif has_many_levels and roles.many_levels == "drop":
            useless.append((column, MANY_LEVELS))
        if column.kind in CODED and not isinstance(roles.kinds.get(column.name), tuple):
            column, values = _sort_levels(column, values)
        if column.kind in CODED:
            codes.append(values)
        elif (is_missing | (values % 1 == 0)).all():  # integers, or days without a time of day
            column = replace(column, type=WHOLE_TYPES.get(column.type, column.type))
        columns.append(column)
    block = np.stack(codes, axis=1) if codes else table.codes
    table = Table(tuple(columns), table.numbers, block)
    with reader.problems.collected():
        return _drop_useless(reader, table, useless)
    return table


def _drop_row_numbers(reader: TableReader) -> Table:
    """Leave out columns that number or name the rows, as the index of pandas and the row names of R do, and note it."""
    roles, table = reader.roles, reader.table
    if roles.index == "keep":
        return table
    asked_for = {*roles.kinds, *(roles.keep or ())}
    columns = [
        column
        for column, values in table.column_values
        if column.name not in asked_for and _numbers_rows(column, values, reader.row_numbers)
    ]
    names = [column.name for column in columns]
    if names and len(names) == len(table.columns):
        reader.problems.add(f"{reader.label} has no column left to learn from besides row numbers; see data.index=keep")
        return table
    for what, are_texts in (("numbers", False), ("names", True)):
        if alike := [column.name for column in columns if (column.kind in CODED) == are_texts]:
            reader.notes.append(f"{listed_columns(alike)} left out: it {what} the rows; data.index=keep learns from it")
    return without_columns(table, names)


def _numbers_rows(column: Column, values: Array, row_numbers: Array) -> bool:
    """Whether a column has no name, or the name of an index, and its values only tell rows apart."""
    has_no_name = UNNAMED_COLUMN.fullmatch(column.name)
    if not has_no_name and column.name.lower() not in INDEX_NAMES:
        return False
    if column.kind in CODED:
        return len(values) > 1 and MISSING not in values and len(np.unique(values)) == len(values)
    if has_no_name:
        return bool((values % 1 == 0).all()) and len(np.unique(values)) == len(values)
    return np.array_equal(values, row_numbers) or np.array_equal(values, row_numbers - 1)


def _drop_useless(reader: TableReader, table: Table, useless: list[tuple[Column, str]]) -> Table:
    """Leave out columns that hold nothing, or the same value in every row, and note it; or refuse them."""
    if not useless:
        return table
    many = [column for column, reason in useless if reason == MANY_LEVELS]
    if many and len(useless) == len(table.columns):
        raise SettingError(*(_many_levels(reader, column) for column in many))
    table, useless = _drop_many_levels(reader, table, many), [pair for pair in useless if pair[1] != MANY_LEVELS]
    if not useless:
        return table
    label, roles, names = reader.label, reader.roles, [column.name for column, _ in useless]
    surprising = [name for name in names if name not in roles.where]  # data.where asks for columns with one value
    all_useless = len(useless) == len(table.columns)
    if (surprising and roles.constant == "refuse") or all_useless:
        which = "every column" if all_useless else f"column {surprising[0]!r}"
        others = f" (and {len(surprising) - 1} more columns)" if 1 < len(surprising) < len(table.columns) else ""
        reason = next(reason for column, reason in useless if column.name in (surprising or names))
        cure = f"leave out with data.constant=drop, or {reader.problems.leave_out(surprising)}"
        cure = "there is nothing to learn from" if all_useless else cure
        raise SettingError(f"{label}: {which} has {reason} in all {len(table)} rows{others}; {cure}")
    for reason in ("no value", "the same value"):
        left_out = [column.name for column, why in useless if why == reason and column.name in surprising]
        if left_out:
            reader.notes.append(
                f"{listed_columns(left_out)} left out: {reason} in all rows; data.constant=refuse makes it an error"
            )
    return without_columns(table, names)


def _drop_many_levels(reader: TableReader, table: Table, columns: Sequence[Column]) -> Table:
    """Leave out columns with more different texts than data.max_levels, and note it."""
    if not columns:
        return table
    names = [column.name for column in columns]
    reader.notes.append(
        f"{listed_columns(names)} left out: more than data.max_levels={reader.roles.max_levels} different texts; "
        f"data.max_levels={max(len(column.levels) for column in columns)} learns from it, data.many_levels=refuse "
        "makes it an error"
    )
    return without_columns(table, names)


def _many_levels(reader: TableReader, column: Column) -> str:
    """What is wrong with a column of too many different texts."""
    n_levels = len(column.levels)
    return (
        f"{reader.label}: column {column.name!r} has {n_levels} different texts, but data.max_levels is "
        f"{reader.roles.max_levels}; leave it out with {reader.problems.leave_out([column.name])}, or set "
        f"data.max_levels={n_levels}"
    )


def _sort_levels(column: Column, codes: Array) -> tuple[Column, Array]:
    """Sort levels: numbers and ranges by value, then texts. So the position of a level depends on no row order."""

    def sort_key(code: int) -> tuple[int, float, float, str]:
        level = column.levels[code]
        bounds = bounds_of(level) if column.kind == "ordinal" or PLAIN_NUMBER.fullmatch(level) else None
        return (0, *bounds, level) if bounds else (1, 0.0, 0.0, level)

    order = sorted(range(len(column.levels)), key=sort_key)
    rank = np.empty(len(order) + 1, np.int32)
    rank[order], rank[-1] = np.arange(len(order)), MISSING
    return replace(column, levels=tuple(column.levels[code] for code in order)), rank[codes]
