"""From raw rows to numbers that a network learns well from. Fitted by pipeline/stages/prepare.py, applied here."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from nncore.inference.scaling import Scaling
from nncore.inference.table import CODED, Column, ColumnKind, Table
from nncore.kernels.backend import Array

NUMBERS_AT_A_TIME = 1 << 18  # 2 MB in float64; several such arrays exist at a time
DAYS_PER_YEAR = 365.2425
PERIODS: dict[ColumnKind, tuple[float, ...]] = {"date": (DAYS_PER_YEAR, 7, 1), "time": (1,)}  # in days


@dataclass(frozen=True)
class Preprocessing:
    """Fills in and marks missing numbers, scales numbers, and encodes categories as one-hot columns.

    Parameters
    ----------
    columns : tuple of Column
        The raw columns.
    fill : array (M,)
        Replacement of a missing number in each of the M `features`.
    indicators : int array (J,)
        The features that get an additional column, 1 where they were missing and else 0.
    scaling : Affine, Quantiles, NormalQuantiles or SmoothClip
        Scaling of the M filled features.
    ranks : tuple of array (L + 2,)
        For each ordinal column with L levels: by code, its rank among the levels that occurred in the fitted rows.
    slots : tuple of int array (L + 2,)
        For each categorical column with L levels: by code, which of its one-hot columns is 1, or -1 for none. In both
        `ranks` and `slots`, the last entry but one is for unknown texts and the last one for missing texts.
    binary : array (2, J + H), optional
        What stands for 0 and for 1 in the indicators and in the H one-hot columns; default: 0 and 1.
    coded : tuple of int, default ()
        Positions among the categorical columns of those that become integer codes, for which networks learn vectors,
        and not one-hot columns: slot + 1, so that 0 stands for no slot.

    Raises
    ------
    ValueError
        If the scaling is not one of M features, `binary` is not for as many columns, or `coded` names other columns.
    """

    columns: tuple[Column, ...]
    fill: Array
    indicators: Array
    scaling: Scaling
    ranks: tuple[Array, ...]
    slots: tuple[Array, ...]
    binary: Array | None = None
    coded: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.fill.shape != (self.scaling.n_columns,):
            raise ValueError(
                f"the scaling must have a column for each of {self.fill.shape} features, but has "
                f"{self.scaling.n_columns}"
            )
        if not all(0 <= position < len(self.slots) for position in self.coded):
            raise ValueError(f"coded must be positions of {len(self.slots)} categorical columns, but is {self.coded}")
        if self.binary is not None and self.binary.shape != (2, self.n_binary):
            raise ValueError(f"binary must have the shape (2, {self.n_binary}), but has {self.binary.shape}")

    @property
    def n_outputs(self) -> int:
        """Number of columns of the result."""
        return len(self.fill) + self.n_binary + len(self.coded)

    @property
    def levels(self) -> tuple[int, ...]:
        """For each column of integer codes, which are the last ones of the result, the number of different codes."""
        return tuple(_n_one_hot(self.slots[position]) + 1 for position in self.coded)

    @property
    def _one_hot(self) -> list[Array]:
        """The slots of the categorical columns that become one-hot columns."""
        return [slots for position, slots in enumerate(self.slots) if position not in self.coded]

    @property
    def n_binary(self) -> int:
        """Number of indicators and one-hot columns."""
        return len(self.indicators) + sum(map(_n_one_hot, self._one_hot))

    @property
    def constant_columns(self) -> tuple[str, ...]:
        """The categorical columns that have one one-hot column, which is 1 in all rows of the fit."""
        categorical = [column.name for column in self.columns if column.kind == "categorical"]
        return tuple(name for name, slots in zip(categorical, self.slots, strict=True) if _n_one_hot(slots) == 1)

    @property
    def origins(self) -> Array:
        """For each column of the result, the position of the raw column that it depends on: int (n_outputs,)."""
        kinds = [column.kind for column in self.columns]
        n_features = [0 if kind == "categorical" else 1 + 2 * len(PERIODS.get(kind, ())) for kind in kinds]
        of_feature = np.repeat(np.arange(len(kinds)), n_features)
        categorical = np.array([position for position, kind in enumerate(kinds) if kind == "categorical"], np.intp)
        one_hot = np.repeat(np.delete(categorical, self.coded), [_n_one_hot(slots) for slots in self._one_hot])
        return np.concatenate([of_feature, of_feature[self.indicators], one_hot, categorical[[*self.coded]]])

    def __call__(self, table: Table, rows: Array | None = None) -> Array:
        """Preprocess rows of a table.

        Parameters
        ----------
        table : Table
        rows : int array (N,), optional
            Which rows of the table; by default all of them.

        Returns
        -------
        float32 array (N, n_outputs)
            C-contiguous, computed in float64: features, indicators, one-hot columns, integer codes.
        """
        rows = np.arange(len(table)) if rows is None else rows
        prepared = np.empty((len(rows), self.n_outputs), np.float32)
        n_at_a_time = NUMBERS_AT_A_TIME // max(1, self.n_outputs, len(self.columns)) + 1
        for first in range(0, len(rows), n_at_a_time):
            part = slice(first, first + n_at_a_time)
            np.concatenate(list(self.blocks(table[rows[part]])), axis=1, out=prepared[part])
        return prepared

    def blocks(self, table: Table) -> Iterator[Array]:
        """Yield the result in blocks of columns: features, indicators, one-hot columns of each category, and codes."""
        x = features(table, self.ranks)  # (N, M)
        missing = np.isnan(x)
        yield self.scaling(np.where(missing, self.fill, x))
        first = 0  # of the block's columns among those of 0 and 1
        for block in self._binary_blocks(table, missing):
            part = slice(first, first + block.shape[1])
            first = part.stop
            yield block if self.binary is None else np.where(block, self.binary[1, part], self.binary[0, part])
        for position, slot in enumerate(self._slots_of(table)):
            if position in self.coded:
                yield slot[:, None] + 1

    def _binary_blocks(self, table: Table, missing: Array) -> Iterator[Array]:
        """The indicators, and the one-hot columns of each category, as bool."""
        yield missing[:, self.indicators]
        for position, slot in enumerate(self._slots_of(table)):
            if position not in self.coded:
                yield slot[:, None] == np.arange(_n_one_hot(self.slots[position]))

    def _slots_of(self, table: Table) -> Iterator[Array]:
        """Of each categorical column, the slot of each row (N,)."""
        if self.slots:
            codes = [values for column, values in table.column_values if column.kind == "categorical"]
            for values, slots in zip(codes, self.slots, strict=True):
                yield np.take_along_axis(slots, values, axis=0)


def features(table: Table, ranks: tuple[Array, ...]) -> Array:
    """Return all columns except the categorical ones as numbers.

    Parameters
    ----------
    table : Table
    ranks : tuple of array (L + 2,)
        For each ordinal column; see Preprocessing.

    Returns
    -------
    float64 array (N, M)
        NaN where missing. A date gives seven features: the days since 1970, and its positions in the year, the week
        and the day as points on circles (sine and cosine). A time of day gives three: its share of the day, and its
        position in the day.
    """
    if not any(column.kind in (*CODED, *PERIODS) for column in table.columns):
        return table.numbers.astype(np.float64)
    ranks_of_column = iter(ranks)
    numbers: list[Array] = []
    for column, values in table.column_values:
        if column.kind == "ordinal":
            numbers.append(np.take_along_axis(next(ranks_of_column), values, axis=0))
        elif column.kind != "categorical":
            numbers.append(values)
        for period in PERIODS.get(column.kind, ()):
            angle = 2 * np.pi * (values / period % 1)
            numbers += [np.sin(angle), np.cos(angle)]
    return np.stack(numbers, axis=1).astype(np.float64) if numbers else np.empty((len(table), 0))


def _n_one_hot(slots: Array) -> int:
    return int(slots.max()) + 1
