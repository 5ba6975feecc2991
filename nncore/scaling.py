"""Bringing columns to a common scale."""

from dataclasses import dataclass

import numpy as np

from nncore.backend import Array


@dataclass(frozen=True)
class Standardise:
    """y = (x - mean) / scale, column by column.

    mean, scale   (I,), float64; scale > 0
    """

    mean: Array
    scale: Array

    def __call__(self, x: Array) -> Array:
        """Rows (N, I) of any number type as float32, C-contiguous, computed in float64."""
        return np.ascontiguousarray((x - self.mean) / self.scale, dtype=np.float32)

    def undo(self, y: Array) -> Array:
        """Back to x, in float64."""
        return y * self.scale + self.mean
