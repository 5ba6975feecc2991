"""Arrow arrays as numbers, codes and plain values, by the same rules as `Column.read` applies to raw values."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nncore.inference.spelling import DASHES, DAY_SECONDS, GROUP_SIGNS, MINUS, Spelling, date_pattern, month_number
from nncore.inference.table import LARGEST, MISSING, Column, ColumnKind, ColumnType, as_text
from nncore.kernels.backend import Array

MANY_TEXTS = 10_000  # that are read in bulk
FITS_FLOAT32 = (pa.int8(), pa.int16(), pa.uint8(), pa.uint16(), pa.float16(), pa.float32(), pa.bool_())


class BadValueError(ValueError):
    """A value that cannot be read.

    Attributes
    ----------
    row : int
        Its row in the array, counted from 0.
    """

    def __init__(self, row: int, value: Any) -> None:
        super().__init__(repr(value))
        self.row = row


def kind_of(arrow_type: pa.DataType) -> tuple[ColumnKind, ColumnType] | None:
    """Kind and type of the column that values of an Arrow type make; None for lists, bytes and the like."""
    arrow_type = storage_type(arrow_type)
    if pa.types.is_dictionary(arrow_type):
        return kind_of(arrow_type.value_type)
    if pa.types.is_boolean(arrow_type):
        return "boolean", "boolean"
    if pa.types.is_integer(arrow_type):
        return "numeric", "long"
    if pa.types.is_floating(arrow_type) or pa.types.is_decimal(arrow_type) or pa.types.is_null(arrow_type):
        return "numeric", "double"
    if pa.types.is_date(arrow_type) or pa.types.is_timestamp(arrow_type):
        return "date", "datetime"
    if pa.types.is_time(arrow_type):
        return "time", "string"
    if pa.types.is_duration(arrow_type):
        return "numeric", "double"
    is_string = pa.types.is_string(arrow_type) or pa.types.is_large_string(arrow_type)
    return ("categorical", "string") if is_string else None


def storage_type(arrow_type: pa.DataType) -> pa.DataType:
    """The type in which `stored_values` returns values of a type."""
    if isinstance(arrow_type, pa.BaseExtensionType):
        return storage_type(arrow_type.storage_type)
    if pa.types.is_run_end_encoded(arrow_type):
        return storage_type(arrow_type.value_type)
    if pa.types.is_dictionary(arrow_type):
        return pa.dictionary(pa.int64(), storage_type(arrow_type.value_type))
    return pa.large_string() if pa.types.is_string_view(arrow_type) else arrow_type


def stored_values(values: pa.Array) -> pa.Array:
    """The values in a form that all of Arrow's functions take.

    Extension types and run-length encoding are removed, string views become strings, and the indices of dictionaries
    are signed integers, whatever the writer has chosen.
    """
    if isinstance(values, pa.ExtensionArray):
        return stored_values(values.storage)
    if pa.types.is_run_end_encoded(values.type):
        return stored_values(pc.run_end_decode(values))
    if pa.types.is_dictionary(values.type):
        return pa.DictionaryArray.from_arrays(values.indices.cast(pa.int64()), stored_values(values.dictionary))
    return values.cast(pa.large_string()) if pa.types.is_string_view(values.type) else values


def is_text(arrow_type: pa.DataType) -> bool:
    """Whether the values are texts."""
    known = kind_of(arrow_type)
    return known is not None and known[1] == "string"


def is_date(arrow_type: pa.DataType) -> bool:
    """Whether the values are dates, with or without a time of day."""
    return bool(pa.types.is_date(arrow_type) or pa.types.is_timestamp(arrow_type))


def numbers_of(values: pa.Array, column: Column) -> Array:
    """Read values as numbers.

    Parameters
    ----------
    values : pyarrow.Array, (N,)
    column : Column
        Its kind and its spelling say how they are read.

    Returns
    -------
    array, (N,), float32 or float64
        NaN where missing; dates as days since 1970-01-01, whole numbers such as 20200131 among them; times of day as
        shares of the day; lengths of time in seconds.

    Raises
    ------
    BadValueError
        For a text that spells no such number, and for a number that is infinite or beyond LARGEST.
    """
    if column.kind == "date" and not is_date(values.type):
        values = values.cast(pa.string())
    if is_text(values.type):
        numbers = _convert_distinct(values, column)
    elif pa.types.is_time(values.type):
        numbers = _in_64_bits(values.cast(pa.time64("us"), safe=False)) / (DAY_SECONDS * 1e6)
    elif pa.types.is_duration(values.type):
        numbers = _in_64_bits(values.cast(pa.duration("us"), safe=False)) / 1e6
    elif is_date(values.type):
        moments = values.cast(pa.timestamp("us"), safe=False).to_numpy(zero_copy_only=False)
        numbers = (moments - np.datetime64(0, "D")) / np.timedelta64(1, "D")  # NaT becomes NaN
    else:
        if pa.types.is_boolean(values.type):  # Arrow does not cast them to floating point
            values = values.cast(pa.int8())
        if pa.types.is_decimal(values.type):  # a cast to floating point is not to the nearest number
            values = values.cast(pa.string())
        target_type = pa.float32() if values.type in FITS_FLOAT32 else pa.float64()
        numbers = values.cast(target_type, safe=False).to_numpy(zero_copy_only=False)
    with np.errstate(invalid="ignore"):
        _refuse_first(numbers, np.abs(numbers) > LARGEST)
    if column.kind == "boolean":
        _refuse_first(numbers, ~(np.isnan(numbers) | (numbers == 0) | (numbers == 1)))
    return numbers


def numbers_in_bulk(texts: pa.Array, spelling: Spelling) -> Array:
    """Read many texts as `spelling.number` reads one.

    Parameters
    ----------
    texts : pyarrow.Array of strings, (L,)
    spelling : Spelling

    Returns
    -------
    float64 array (L,)
        NaN for texts without a number, and for those that only `spelling.number` reads.
    """
    parts = pc.extract_regex(texts, spelling.number_pattern)
    group = {field.name: pc.struct_field(parts, field.name) for field in parts.type}
    powers = dict(spelling.units)
    exponents = pc.replace_substring_regex(group["exponent"], "^[eE][+]?", "")
    power = pc.if_else(pc.equal(exponents, ""), "0", exponents).cast(pa.int64()).fill_null(0).to_numpy()
    for name in (name for name in group if name.startswith("unit")):
        units = group[name].fill_null("").dictionary_encode()
        power = (
            power + np.array([powers.get(unit, 0) for unit in units.dictionary.to_pylist()])[units.indices.to_numpy()]
        )
    digits = group["digits"]
    if spelling.thousands:
        digits = pc.replace_substring_regex(digits, GROUP_SIGNS[spelling.thousands], "")
    digits = pc.replace_substring_regex(pc.replace_substring(digits, spelling.decimal, "."), f"[{DASHES}]", "")
    sizes = pc.binary_join_element_wise(digits, pa.array(power).cast(pa.string()), "e").cast(pa.float64())
    signs = pc.binary_join_element_wise(group["sign0"], group["sign1"], group["sign2"], "")
    brackets = pc.binary_join_element_wise(group["open"], group["close"], "")
    is_negative = pc.or_(pc.equal(brackets, "()"), pc.is_in(signs, pa.array(list(MINUS))))
    is_clear = pc.or_(
        pc.and_(pc.equal(brackets, ""), pc.less_equal(pc.utf8_length(signs), 1)),
        pc.and_(pc.equal(brackets, "()"), pc.equal(signs, "")),
    )
    numbers = pc.if_else(is_clear, pc.if_else(is_negative, pc.negate(sizes), sizes), None)
    return numbers.to_numpy(zero_copy_only=False)


def days_in_bulk(texts: pa.Array, spelling: Spelling) -> Array:
    """Read many texts as `spelling.days` reads one.

    Parameters
    ----------
    texts : pyarrow.Array of strings, (L,)
    spelling : Spelling
        With a format.

    Returns
    -------
    float64 array (L,)
        NaN for texts without a date, and for those that only `spelling.days` reads: with fractions of seconds, time
        zones or quarters.
    """
    parts = pc.extract_regex(pc.utf8_trim_whitespace(texts), f"(?i)^(?:{date_pattern(spelling.format)})$")
    group = {field.name: pc.struct_field(parts, field.name) for field in parts.type}
    known = np.array(parts.is_valid())
    for name in {"z", "q"} & group.keys():
        known &= np.array(pc.equal(group[name], "").fill_null(True))

    def numbers(name: str, default: int) -> Array:
        """The numbers of a group (L,), `default` where it is empty."""
        if name not in group:
            return np.full(len(texts), default)
        whole = pc.match_substring_regex(group[name], "^[0-9]+$").fill_null(False)
        known[~np.array(pc.or_(whole, pc.equal(group[name], "")).fill_null(True))] = False
        return pc.if_else(whole, group[name], None).cast(pa.int64()).fill_null(default).to_numpy()

    year, month, day = numbers("Y", 0), numbers("m", 1), numbers("d", 1)
    if "y" in group:
        year = numbers("y", 0)
        year = year + np.where(year >= 69, 1900, 2000)
    if "b" in group:
        month = _months(group["b"])
    hour, minute, second = numbers("H", 0), numbers("M", 0), numbers("S", 0)
    if "p" in group:
        half = pc.utf8_lower(pc.utf8_slice_codeunits(group["p"], 0, 1)).fill_null("")
        has_half, is_afternoon = np.array(pc.not_equal(half, "")), np.array(pc.equal(half, "p"))
        known &= ~has_half | ((hour >= 1) & (hour <= 12))
        hour = np.where(has_half, hour % 12 + 12 * is_afternoon, hour)
    seconds = 3600 * hour + 60 * minute + second
    known &= (minute <= 59) & (second <= 59) & (seconds <= DAY_SECONDS)
    known &= (year >= 1) & (year < 9999) & (month >= 1) & (month <= 12) & (day >= 1)
    first = np.where(known, (year - 1970) * 12 + month - 1, 0).astype("M8[M]")  # of the month
    days = first.astype("M8[D]").astype(np.int64) + day - 1
    known &= days < (first + 1).astype("M8[D]").astype(np.int64)
    return np.where(known, (days * DAY_SECONDS + seconds) / DAY_SECONDS, np.nan)


def _months(names: pa.Array) -> Array:
    """The numbers of months by their names (L,); 0 for other texts."""
    encoded = names.dictionary_encode()
    numbers = np.zeros(len(encoded.dictionary) + 1, np.int64)
    for position, name in enumerate(encoded.dictionary.to_pylist()):
        with suppress(ValueError):
            numbers[position] = month_number(name)
    return numbers[dictionary_positions(encoded)]


def codes_of(
    values: pa.Array,
    index: dict[str, int],
    grows: bool,
    missing: frozenset[str] = frozenset(),
    name_of: Callable[[Any], str] = as_text,
) -> Array:
    """Encode values as integers by their names.

    Parameters
    ----------
    values : pyarrow.Array, (N,)
    index : dict
        The code of each known name.
    grows : bool
        Whether new names are added to `index`. If not, a new name gets the code len(index).
    missing : frozenset of str
        Names, in lower case, that are missing values unless they are in `index`.
    name_of : callable, default as_text
        The name of a value, equal for equal values; empty if it is missing.

    Returns
    -------
    array, (N,), int32
        -1 where missing.
    """
    encoded = values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
    unknown = len(index)
    codes = np.empty(len(encoded.dictionary) + 1, np.int32)  # by position in Arrow's dictionary
    codes[-1] = MISSING
    for position, value in enumerate(encoded.dictionary.to_pylist()):
        level = name_of(value)
        if not level or (missing and level not in index and level.lower() in missing):
            codes[position] = MISSING
        elif grows:
            codes[position] = index.setdefault(level, len(index))
        else:
            codes[position] = index.get(level, unknown)
    return codes[dictionary_positions(encoded)]


def plain_values(values: pa.Array) -> Array:
    """Values (N,) as NumPy's own types: integers with missing values in float64 or as objects, texts as objects."""
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if pa.types.is_decimal(values.type):
        values = values.cast(pa.string()).cast(pa.float64())  # by way of texts to the nearest number, as float() does
    if pa.types.is_integer(values.type) and values.null_count and not _fits_float64(values):
        return np.array(values.to_pylist(), dtype=object)
    return values.to_numpy(zero_copy_only=False)


def _fits_float64(integers: pa.Array) -> bool:
    bounds = pc.min_max(integers)
    return all(abs(bounds[end].as_py() or 0) <= 1 << 53 for end in ("min", "max"))


def _in_64_bits(values: pa.Array) -> Array:
    return values.cast(pa.int64()).to_numpy(zero_copy_only=False).astype(np.float64)


def _refuse_first(numbers: Array, bad: Array) -> None:
    rows = np.flatnonzero(bad)
    if len(rows):
        raise BadValueError(int(rows[0]), float(numbers[rows[0]]))


def _convert_distinct(values: pa.Array, column: Column) -> Array:
    """Convert each distinct text once."""
    encoded = values if pa.types.is_dictionary(values.type) else values.dictionary_encode()
    positions = dictionary_positions(encoded)
    converted = np.full(len(encoded.dictionary) + 1, np.nan)
    remaining = list(range(len(encoded.dictionary)))
    has_format = column.kind == "date" and column.spelling.format
    if (column.kind == "numeric" or has_format) and len(encoded.dictionary) > MANY_TEXTS:
        read = days_in_bulk if has_format else numbers_in_bulk
        converted[:-1] = read(encoded.dictionary.cast(pa.string()), column.spelling)
        remaining = np.flatnonzero(np.isnan(converted[:-1])).tolist()
    texts = encoded.dictionary.take(pa.array(remaining, pa.int64())).to_pylist()
    for position, value in zip(remaining, texts, strict=True):
        try:
            converted[position] = column.convert(value)
        except (ValueError, TypeError):
            rows = np.flatnonzero(positions == position)
            if len(rows):  # a dictionary may hold texts that no row has
                raise BadValueError(int(rows[0]), value) from None
    return converted[positions]


def dictionary_positions(encoded: pa.DictionaryArray) -> Array:
    """Position of each value in the dictionary; -1 where it is missing."""
    return encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.intp)
