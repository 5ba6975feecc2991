"""Arrow's arrays as numbers, codes and plain values, in the way that `Column.read` takes raw values."""

from typing import Any

import numpy as np
import pyarrow as pa

from nncore.inference.table import LARGEST, MISSING, Column, ColumnKind, ColumnType, day, number, text, truth
from nncore.kernels.backend import Array

SMALL = (pa.int8(), pa.int16(), pa.uint8(), pa.uint16(), pa.float16(), pa.float32(), pa.bool_())


class BadValueError(ValueError):
    """A value that cannot be read.

    row   its row in the array, from 0
    """

    def __init__(self, row: int, value: Any) -> None:
        super().__init__(repr(value))
        self.row = row


def kind_of(kind: pa.DataType) -> tuple[ColumnKind, ColumnType] | None:
    """The kind of column that values of an Arrow type are, and their type; None for lists, bytes and the like."""
    if pa.types.is_dictionary(kind):
        return kind_of(kind.value_type)
    if pa.types.is_boolean(kind):
        return "boolean", "boolean"
    if pa.types.is_integer(kind):
        return "numeric", "long"
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind) or pa.types.is_null(kind):
        return "numeric", "double"
    if pa.types.is_date(kind) or pa.types.is_timestamp(kind):
        return "date", "datetime"
    return ("categorical", "string") if pa.types.is_string(kind) or pa.types.is_large_string(kind) else None


def is_text(kind: pa.DataType) -> bool:
    """Whether the values are texts."""
    known = kind_of(kind)
    return known is not None and known[1] == "string"


def is_date(kind: pa.DataType) -> bool:
    """Whether the values are dates, with or without a time of day."""
    return bool(pa.types.is_date(kind) or pa.types.is_timestamp(kind))


def numbers_of(values: pa.Array, column: Column, decimal: str = ".") -> Array:
    """(N,) numbers, NaN where missing; dates as days since 1970-01-01, whole numbers such as 20200131 among them.

    decimal   the point in numbers that are spelt as texts

    Raises   BadValueError for a text that is no such number, and for what is infinite or beyond LARGEST
    """
    if column.kind == "date" and not is_date(values.type):
        values = values.cast(pa.string())
    if is_text(values.type):
        plain = {"numeric": lambda word: spelt(word, decimal), "boolean": truth, "date": day}
        read = _each(values, plain[column.kind])
    elif is_date(values.type):
        moments = values.cast(pa.timestamp("us"), safe=False).to_numpy(zero_copy_only=False)
        read = (moments - np.datetime64(0, "D")) / np.timedelta64(1, "D")  # NaT becomes NaN
    else:
        if pa.types.is_boolean(values.type):  # Arrow makes no fractions of them
            values = values.cast(pa.int8())
        to = pa.float32() if values.type in SMALL else pa.float64()
        read = values.cast(to, safe=False).to_numpy(zero_copy_only=False)
    with np.errstate(invalid="ignore"):
        beyond = np.flatnonzero(np.abs(read) > LARGEST)
    if len(beyond):
        raise BadValueError(int(beyond[0]), float(read[beyond[0]]))
    if column.kind == "boolean":
        odd = np.flatnonzero(~(np.isnan(read) | (read == 0) | (read == 1)))
        if len(odd):
            raise BadValueError(int(odd[0]), float(read[odd[0]]))
    return read


def spelt(word: str, decimal: str) -> float:
    """The number that a text spells.

    Raises   ValueError if it spells none
    """
    if decimal != ".":
        if "." in word:  # it divides thousands there
            raise ValueError
        word = word.replace(decimal, ".")
    return number(word)


def codes_of(values: pa.Array, index: dict[str, int], grows: bool) -> Array:
    """(N,) int32: the numbers of the texts in `index`, which gets the new ones if it grows; -1 where missing.

    If it does not grow, a new text gets len(index).
    """
    encoded = values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
    unknown = len(index)
    of_text = np.empty(len(encoded.dictionary) + 1, np.int32)
    of_text[-1] = MISSING
    for at, value in enumerate(encoded.dictionary.to_pylist()):
        level = text(value)
        of_text[at] = (
            MISSING if not level else index.setdefault(level, len(index)) if grows else index.get(level, unknown)
        )
    return of_text[_places(encoded)]


def plain_of(values: pa.Array) -> Array:
    """(N,) values as NumPy's own types; whole numbers with missing ones in float64, texts as objects."""
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if pa.types.is_decimal(values.type):
        values = values.cast(pa.float64())
    return values.to_numpy(zero_copy_only=False)


def _each(values: pa.Array, convert: Any) -> Array:
    """Convert each different text once."""
    encoded = values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
    places = _places(encoded)
    converted = np.full(len(encoded.dictionary) + 1, np.nan)
    for at, value in enumerate(encoded.dictionary.to_pylist()):
        try:
            converted[at] = convert(value)
        except (ValueError, TypeError):
            rows = np.flatnonzero(places == at)
            if len(rows):  # a dictionary may hold texts that no row has
                raise BadValueError(int(rows[0]), value) from None
    return converted[places]


def _places(encoded: pa.DictionaryArray) -> Array:
    """Where in the dictionary each value stands; -1 where it is missing."""
    return encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.intp)
