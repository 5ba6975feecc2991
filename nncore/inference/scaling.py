"""Bringing columns to a common scale."""

from dataclasses import dataclass

import numpy as np

from nncore.kernels.backend import Array


@dataclass(frozen=True)
class Affine:
    """Affine scaling column by column, y = (x - centre) / scale.

    Parameters
    ----------
    centre, scale : float64 array (I,)
        Such as mean and standard deviation, minimum and range, median and interquartile range; scale > 0.

    Raises
    ------
    ValueError
        If there is not one scale for each centre.
    """

    centre: Array
    scale: Array

    def __post_init__(self) -> None:
        if self.centre.ndim != 1 or self.scale.shape != self.centre.shape:
            raise ValueError(
                f"centre and scale must be of one shape (I,), but are {self.centre.shape} and {self.scale.shape}"
            )

    @property
    def n_columns(self) -> int:
        """Number of columns I."""
        return len(self.centre)

    def __call__(self, x: Array) -> Array:
        """Scale rows x (N, I) of any number type; returns float64."""
        return (x - self.centre) / self.scale

    def undo(self, y: Array) -> Array:
        """Return x for scaled rows y (N, I), in float64."""
        return y * self.scale + self.centre


@dataclass(frozen=True)
class Quantiles:
    """The rank of a value among the fitted rows, column by column, scaled to mean 0 and standard deviation 1.

    Parameters
    ----------
    levels : array (Q,)
        Increasing from 0 to 1.
    boundaries : float64 array (Q, I)
        The fraction levels[q] of the fitted rows lies below boundaries[q].

    Notes
    -----
    y = (F(x) - 1/2) sqrt(12) with the distribution function F, from 0 to 1. Values beyond the fitted rows are mapped to
    the same y as the most extreme of these.
    """

    levels: Array
    boundaries: Array

    @property
    def n_columns(self) -> int:
        """Number of columns I."""
        return self.boundaries.shape[1]

    def __call__(self, x: Array) -> Array:
        """Scale rows x (N, I); returns float64. Where inner boundaries are equal, F is the middle of their levels."""
        fractions = [self._fraction_below(x[:, index], column) for index, column in enumerate(self.boundaries.T)]
        return (np.stack(fractions, axis=1) - 0.5) * np.sqrt(12) if fractions else np.empty(x.shape)

    def _fraction_below(self, x: Array, boundaries: Array) -> Array:
        from_below = np.interp(x, boundaries, self.levels)
        from_above = -np.interp(-x, -boundaries[::-1], -self.levels[::-1])
        inside = np.where(x < boundaries[-1], (from_below + from_above) / 2, 1)
        return np.where(x > boundaries[0], inside, 0)
