"""Tables that lie in several files, and columns that hold lists or structs, as one table of plain columns."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute

from pipeline.components.errors import ColumnError, Problems, SettingError
from pipeline.data.arrow_values import kind_of, storage_type, stored_values
from pipeline.data.reader import RawTable
from pipeline.data.roles import listed_columns

Steps = tuple[str | int, ...]  # from a column to a part of its values: names of struct fields and places in lists


def stacked(
    label: str, parts: Sequence[RawTable], partitions: Mapping[str, pa.Array], dropped: Collection[str]
) -> RawTable:
    """The rows of several tables, one below the other.

    Parameters
    ----------
    label : str
        The setting and the path of all, for error messages.
    parts : sequence of RawTable, (P,)
        With the same columns, in any order.
    partitions : mapping of str to array (P,)
        Columns with one value for all rows of a part. A column of the parts with the same name takes precedence.
    dropped : collection of str
        Columns that nothing reads: their types may differ.

    Raises
    ------
    SettingError
        Naming the parts whose columns differ.
    """
    for part in parts:
        _check_names(parts[0], part)
    added = {name: values for name, values in partitions.items() if name not in parts[0].schema.names}
    problems, fields = Problems(dropped), []
    for name in dict.fromkeys(parts[0].schema.names):
        with problems.collected():
            fields.append(pa.field(name, _common_type(label, name, parts, dropped)))
    problems.raise_all()
    fields += [pa.field(name, _repeated(values[0], 0).type) for name, values in added.items()]
    schema = pa.schema(fields)

    def chunks(name: str) -> Iterator[pa.Array]:
        if name in added:
            yield from (_repeated(value, part.n_rows) for value, part in zip(added[name], parts, strict=True))
            return
        for part in parts:
            for values in part.chunks(name):
                yield values.cast(schema.field(name).type) if pa.types.is_null(values.type) else values

    def exact(name: str) -> Iterator[pa.Array]:
        if name in added:
            yield from chunks(name)
            return
        for part in parts:
            yield from (part.exact or part.chunks)(name)

    notes = dict.fromkeys(note for part in parts for note in part.notes)
    decimals = {part.decimal for part in parts}
    decimal = decimals.pop() if len(decimals) == 1 else ""
    n_rows = sum(part.n_rows for part in parts)
    has_points = any(part.has_points for part in parts)
    return RawTable(label, schema, n_rows, chunks, tuple(notes), exact, decimal=decimal, has_points=has_points)


def conflicting_columns(parts: Sequence[RawTable]) -> list[str]:
    """The columns whose values have different kinds in different parts, such as numbers and texts."""
    kinds: dict[str, set[Any]] = {}
    for column in (column for part in parts for column in part.schema if not pa.types.is_null(column.type)):
        known = kind_of(column.type)
        kinds.setdefault(column.name, set()).add(known and known[0])
    return [name for name, of_column in kinds.items() if len(of_column) > 1]


def flattened(raw: RawTable, whole: Collection[str]) -> RawTable:
    """A table whose columns of structs, and of lists that all have the same length, are several plain columns.

    A column v of lists becomes v_0, v_1, ...; the field a of a column s of structs becomes s.a.

    Parameters
    ----------
    raw : RawTable
    whole : collection of str
        Columns that stay as they are, because nothing reads them.

    Raises
    ------
    SettingError
        Naming a column whose lists have different lengths.
    """
    nested = [column.name for column in raw.schema if column.name not in whole and _is_nested(column.type)]
    if not nested or len(set(raw.schema.names)) < len(raw.schema.names):  # equal names are refused later
        return raw
    reader = _NestedReader(raw, whole)
    leaves: dict[str, tuple[str, pa.DataType, Steps]] = {}
    for column in raw.schema:
        is_nested = column.name in nested
        found = reader.leaves(column.name, column.type) if is_nested else [(column.name, column.type, ())]
        leaves |= {name: (column.name, type_, steps) for name, type_, steps in found}

    def chunks(name: str) -> Iterator[pa.Array]:
        column, _, steps = leaves[name]
        yield from reader.parts(column, steps) if steps else raw.chunks(column)

    return raw._replace(
        exact=lambda name: (raw.exact or raw.chunks)(name) if name in raw.schema.names else chunks(name),
        schema=pa.schema([pa.field(name, type_) for name, (_, type_, _) in leaves.items()]),
        chunks=chunks,
        sources={name: column for name, (column, _, steps) in leaves.items() if steps},
    )


class _NestedReader:
    """Reads parts of columns of lists and structs. The last column is kept, as its parts are read one by one."""

    def __init__(self, raw: RawTable, dropped: Collection[str]) -> None:
        self._raw, self._dropped, self._name = raw, dropped, ""
        self._chunks: list[pa.Array] = []
        self._lengths: dict[tuple[str, Steps], int] = {}  # of lists, by column and place

    def leaves(self, column: str, type_: pa.DataType) -> Iterator[tuple[str, pa.DataType, Steps]]:
        """Name, type and place of the plain columns that a column contains."""
        waiting: list[tuple[str, pa.DataType, Steps]] = [(column, type_, ())]
        while waiting:
            name, type_, steps = waiting.pop(0)
            type_ = storage_type(type_)
            if pa.types.is_struct(type_):
                inner = [(f"{name}.{child.name}", child.type, (*steps, child.name)) for child in type_]
            elif _is_list(type_):
                n_values = self._first_length(column, type_, steps)
                inner = [(f"{name}_{place}", type_.value_type, (*steps, place)) for place in range(n_values)]
            else:
                yield name, type_, steps
                continue
            waiting = inner + waiting

    def parts(self, column: str, steps: Steps) -> Iterator[pa.Array]:
        """The values at a place within a column."""
        if column != self._name:
            self._chunks = []  # before the next column is read
            self._name, self._chunks = column, list(self._raw.chunks(column))
        n_read = 0
        for values in self._chunks:
            part = stored_values(values)
            for depth, step in enumerate(steps):
                if isinstance(step, str):
                    part = pyarrow.compute.struct_field(part, step)
                else:
                    self._check_lengths(column, part, self._lengths[column, steps[:depth]], n_read)
                    part = pyarrow.compute.list_element(part, step)
                part = stored_values(part)
            yield part
            n_read += len(values)

    def _first_length(self, column: str, type_: pa.DataType, steps: Steps) -> int:
        length = type_.list_size if pa.types.is_fixed_size_list(type_) else 0
        chunks = iter(self._raw.chunks(column))
        while not length and (values := next(chunks, None)) is not None:
            part = stored_values(values)
            for step in steps:
                function = pyarrow.compute.struct_field if isinstance(step, str) else pyarrow.compute.list_element
                part = stored_values(function(part.drop_null(), step))
            lengths = pyarrow.compute.list_value_length(part).drop_null()
            length = int(lengths[0].as_py()) if len(lengths) else 0
        self._lengths[column, steps] = length
        return length

    def _check_lengths(self, column: str, lists: pa.Array, expected: int, n_read: int) -> None:
        if pa.types.is_fixed_size_list(lists.type):
            return
        lengths = pyarrow.compute.list_value_length(lists)
        differ = pyarrow.compute.not_equal(lengths, expected).fill_null(False)
        if differ.true_count:
            row = differ.index(True).as_py()
            problem = (
                f"{self._raw.label}: column {column!r} holds lists of different lengths, {lengths[row].as_py()} in row "
                f"{n_read + row + 1} and {expected} in others; leave it out with"
            )
            raise ColumnError(column, problem, self._dropped)


def _is_list(type_: pa.DataType) -> bool:
    return any(
        is_kind(type_)
        for is_kind in (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list, pa.types.is_list_view,
                        pa.types.is_large_list_view)
    )  # fmt: skip


def _is_nested(type_: pa.DataType) -> bool:
    stored = storage_type(type_)
    return _is_list(stored) or bool(pa.types.is_struct(stored))


def _check_names(first: RawTable, part: RawTable) -> None:
    """Raise SettingError unless two parts have the same columns."""
    lacking, added = ([name for name in ours if name not in theirs] for ours, theirs in (
        (first.schema.names, part.schema.names), (part.schema.names, first.schema.names)))  # fmt: skip
    if lacking or added:
        differs = f"lacks {listed_columns(lacking)}" if lacking else f"has also {listed_columns(added)}"
        raise SettingError(
            f"{part.label} {differs}, compared with {first.label}; name only files of one table, or write them alike"
        )


def _common_type(label: str, name: str, parts: Sequence[RawTable], dropped: Collection[str]) -> pa.DataType:
    """The type that holds the values of a column in all parts."""
    types = {part.label: part.schema.field(name).type for part in parts}
    distinct = list(dict.fromkeys(type_ for type_ in types.values() if not pa.types.is_null(type_)))
    if len(distinct) < 2:
        return distinct[0] if distinct else pa.null()
    plain = [storage_type(type_) for type_ in distinct]
    plain = [type_.value_type if pa.types.is_dictionary(type_) else type_ for type_ in plain]
    try:
        schemas = [pa.schema([pa.field(name, type_)]) for type_ in plain]
        return pa.unify_schemas(schemas, promote_options="permissive").field(0).type
    except pa.ArrowException:
        if name in dropped:
            return pa.null()
        pairs = [(place, type_) for place, type_ in types.items() if type_ in distinct[:2]]
        (place, type_), (other_place, other) = pairs[0], next(pair for pair in pairs if pair[1] != pairs[0][1])
        problem = f"{label}: column {name!r} holds {type_} in {place}, but {other} in {other_place}; write one type, or"
        raise ColumnError(name, f"{problem} leave it out with", dropped) from None


def _repeated(value: pa.Scalar, n_rows: int) -> pa.Array:
    """A column with one value; texts as a dictionary, which needs no memory for each row."""
    if not pa.types.is_string(value.type):
        return pa.repeat(value, n_rows)
    if not value.is_valid:
        return pa.nulls(n_rows, pa.string()).dictionary_encode()
    return pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, pa.int32()), n_rows), [value.as_py()])
