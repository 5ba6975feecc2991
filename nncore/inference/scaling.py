"""Bringing columns to a common scale."""

from dataclasses import dataclass

import numpy as np

from nncore.kernels.backend import Array


@dataclass(frozen=True)
class Affine:
    """y = (x - centre) / scale, column by column: mean and deviation, minimum and range, median and quartiles.

    centre, scale   (I,), float64; scale > 0
    """

    centre: Array
    scale: Array

    def __call__(self, x: Array) -> Array:
        """Rows (N, I) of any number type, in float64."""
        return (x - self.centre) / self.scale

    def undo(self, y: Array) -> Array:
        """Back to x, in float64."""
        return y * self.scale + self.centre


@dataclass(frozen=True)
class Quantiles:
    """The share of the rows that lie below x, column by column, as a number of mean 0 and deviation 1.

        y = (F(x) - 1/2) sqrt(12),  F the distribution function, from 0 to 1

    What is farther out than any row that F was fitted to is as far out as the farthest of them.

    levels       (Q,), rising from 0 to 1
    boundaries   (Q, I), float64: below boundaries[q] lies the share levels[q] of the rows
    """

    levels: Array
    boundaries: Array

    def __call__(self, x: Array) -> Array:
        """Rows (N, I), in float64. Where inner boundaries are equal, x there is in the middle of their levels."""
        shares = [self._share(x[:, column], bounds) for column, bounds in enumerate(self.boundaries.T)]
        return (np.stack(shares, axis=1) - 0.5) * np.sqrt(12) if shares else np.empty(x.shape)

    def _share(self, x: Array, bounds: Array) -> Array:
        below = np.interp(x, bounds, self.levels)
        above = -np.interp(-x, -bounds[::-1], -self.levels[::-1])
        return np.where(x > bounds[0], np.where(x < bounds[-1], (below + above) / 2, 1), 0)
