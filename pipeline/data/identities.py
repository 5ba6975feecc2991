"""Values that tell rows apart or put them in order: exact, never through floating point.

Ids of 17 digits and more, or times with nanoseconds, are different values that may be equal as float64.
"""

import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute

from nncore.inference.table import MISSING, PLAIN_NUMBER, as_text
from nncore.kernels.backend import Array
from pipeline.data.arrow_values import BadValueError, dictionary_positions, is_text

# with the point or the sign that programs write; 12e4 without them may be an id
WITH_EXPONENT = re.compile(r"[+-]?[0-9]+(\.[0-9]*[eE][+-]?|[eE][+-])[0-9]{1,3}")
SECOND_FRACTION = re.compile(r"[0-9]:[0-9]{2}[.,][0-9]{6}([0-9]+)")  # what follows the microseconds


def identity_text(value: Any) -> str:
    """The name of a value, equal for equal values: as `as_text` gives it, but with all digits of a number.

    Examples
    --------
    >>> identity_text("0089014103211118510001.50"), identity_text("1.5e+02"), identity_text(7.0), identity_text("A7")
    ('89014103211118510001.5', '150', '7', 'A7')
    """
    if isinstance(value, bytes):
        return value.hex()
    text = str(value).strip() if isinstance(value, str | Decimal) else ""
    if WITH_EXPONENT.fullmatch(text):
        text = f"{Decimal(text):f}"
    elif not PLAIN_NUMBER.fullmatch(text):
        return as_text(value)
    whole, _, fraction = text.partition(".")
    sign, digits, fraction = "-" * whole.startswith("-"), whole.lstrip("+-0") or "0", fraction.rstrip("0")
    if not fraction:
        return f"{sign if digits != '0' else ''}{digits}"
    exact = f"{sign}{digits}.{fraction}"
    short = repr(float(exact))
    return short if Decimal(short) == Decimal(exact) else exact


def ranks(parts: Sequence[pa.Array], days: Callable[[str], float]) -> Array:
    """Number values in their order; equal values have equal numbers.

    Parameters
    ----------
    parts : sequence of pyarrow.Array, together (N,)
        Numbers, dates, times, or texts that spell them.
    days : callable
        Reads a text that spells no plain number, such as a date, as a number in whose order it is. Raises ValueError.

    Returns
    -------
    array, (N,), int64
        From 0; -1 where missing.

    Raises
    ------
    BadValueError
        For the first text that cannot be read.
    """
    types = list(dict.fromkeys(part.type for part in parts))
    if len(types) > 1:  # of several files
        schemas = [pa.schema([("x", type_)]) for type_ in types]
        common = pa.unify_schemas(schemas, promote_options="permissive").field(0).type
        parts = [part.cast(common) for part in parts]
    values = pa.chunked_array(parts)
    if is_text(values.type):
        return _ranks_of_texts(values.cast(pa.large_string()).combine_chunks(), days)
    if pa.types.is_decimal(values.type) or pa.types.is_boolean(values.type):
        values = pa.chunked_array([pa.array(_dense_ranks(values.to_pylist()), pa.int64())])
    missing = pyarrow.compute.is_null(values, nan_is_null=True).to_numpy()
    order = pyarrow.compute.rank(values, tiebreaker="dense").to_numpy().astype(np.int64) - 1
    return np.where(missing, MISSING, order)


def _ranks_of_texts(values: pa.Array, days: Callable[[str], float]) -> Array:
    encoded = values.dictionary_encode()
    positions = dictionary_positions(encoded)
    texts = [text.strip() for text in encoded.dictionary.to_pylist()]
    are_numbers = all(PLAIN_NUMBER.fullmatch(text) or WITH_EXPONENT.fullmatch(text) for text in texts if text)
    keys: list[Any] = []
    for position, text in enumerate(texts):
        try:
            keys.append(None if not text else Decimal(text) if are_numbers else _moment(text, days))
        except (ValueError, TypeError, OverflowError):
            raise BadValueError(int(np.flatnonzero(positions == position)[0]), text) from None
    return np.array([*(MISSING if rank is None else rank for rank in _dense_ranks(keys)), MISSING], np.int64)[positions]


def _moment(text: str, days: Callable[[str], float]) -> tuple[float, str]:
    """The microsecond, and the digits after it."""
    number, finer = days(text), SECOND_FRACTION.search(text)
    if np.isnan(number):
        raise ValueError
    return number, finer[1].rstrip("0") if finer else ""


def _dense_ranks(keys: list[Any]) -> list[int | None]:
    """The position of each key among the distinct ones in order; None for None."""
    rank_of = {key: rank for rank, key in enumerate(sorted({key for key in keys if key is not None}))}
    return [None if key is None else rank_of[key] for key in keys]
