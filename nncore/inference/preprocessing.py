"""From raw rows to numbers that a network learns well from; fitted elsewhere, applied here."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from nncore.inference.scaling import Affine, Quantiles
from nncore.inference.table import CODED, Column, Table
from nncore.kernels.backend import Array

NUMBERS_AT_A_TIME = 1 << 18  # 2 MB in float64, of which there are several
DAYS_PER_YEAR = 365.2425


@dataclass(frozen=True)
class Preprocessing:
    """Missing numbers filled in and marked, numbers scaled, categories as one-hot columns.

    columns      the raw columns
    fill         (M,), what stands for a missing number in each of the `features`
    indicators   (J,), the features that get one more column, 1 where they were missing and else 0
    scaling      of the M filled features
    ranks        for each ordinal column (L + 2,), by code: its rank among the values that were there to fit to
    slots        for each categorical column (L + 2,), by code: which of its one-hot columns is 1, or -1 for none;
                 in both, the entry before the last is for unknown texts, the last for missing ones
    """

    columns: tuple[Column, ...]
    fill: Array
    indicators: Array
    scaling: Affine | Quantiles
    ranks: tuple[Array, ...]
    slots: tuple[Array, ...]

    @property
    def n_outputs(self) -> int:
        """How many columns come out."""
        return len(self.fill) + len(self.indicators) + sum(_width(slots) for slots in self.slots)

    def __call__(self, table: Table, rows: Array | None = None) -> Array:
        """Rows (N, n_outputs) in float32, C-contiguous: features, indicators, one-hot columns; computed in float64.

        rows   (N,), which of the table's; None: all of them
        """
        rows = np.arange(len(table)) if rows is None else rows
        prepared = np.empty((len(rows), self.n_outputs), np.float32)
        some = NUMBERS_AT_A_TIME // max(1, self.n_outputs, len(self.columns)) + 1
        for first in range(0, len(rows), some):
            part = slice(first, first + some)
            np.concatenate(list(self.blocks(table[rows[part]])), axis=1, out=prepared[part])
        return prepared

    def blocks(self, table: Table) -> Iterator[Array]:
        """What comes out, block after block of columns: features, indicators, and the one-hot columns of each."""
        x = features(table, self.ranks)  # (n, M)
        missing = np.isnan(x)
        yield self.scaling(np.where(missing, self.fill, x))
        yield missing[:, self.indicators]
        codes = [values for column, values in table.places if column.kind == "categorical"] if self.slots else []
        for values, slots in zip(codes, self.slots, strict=True):
            yield np.take_along_axis(slots, values, axis=0)[:, None] == np.arange(_width(slots))


def features(table: Table, ranks: tuple[Array, ...]) -> Array:
    """All columns but the categorical ones as numbers (N, M) in float64, NaN where missing; a date gives several."""
    if not any(column.kind in (*CODED, "date") for column in table.columns):
        return table.numbers.astype(np.float64)
    of_ordinal = iter(ranks)
    found: list[Array] = []
    for column, values in table.places:
        if column.kind == "ordinal":
            found.append(np.take_along_axis(next(of_ordinal), values, axis=0))
        elif column.kind == "date":
            found += [values, *_seasons(values)]
        elif column.kind != "categorical":
            found.append(values)
    return np.stack(found, axis=1).astype(np.float64) if found else np.empty((len(table), 0))


def _seasons(days: Array) -> Iterator[Array]:
    """Where in the year, the week and the day a date lies, as points on circles."""
    for period in (DAYS_PER_YEAR, 7, 1):
        angle = 2 * np.pi * (days / period % 1)
        yield np.sin(angle)
        yield np.cos(angle)


def _width(slots: Array) -> int:
    return int(slots.max()) + 1
