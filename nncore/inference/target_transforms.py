"""Monotone transforms of a regression's targets, which networks then learn instead of the values themselves.

Each is a callable from values to transformed values, with its inverse `undo`. Both take and return arrays (..., T), on
the host or on a GPU.
"""

from dataclasses import dataclass

import numpy as np

from nncore.inference.scaling import Affine
from nncore.kernels.backend import Array, as_array_like

SMALLEST = np.finfo(np.float64).tiny
LARGEST_LOGARITHM = 300.0  # of an answer: the squares of such numbers are finite, too


@dataclass(frozen=True)
class Logarithm:
    """The natural logarithm of values above 0.

    Notes
    -----
    u = log(y). A value that is not above 0 is treated as the smallest positive number, as test rows may have one.
    """

    def __call__(self, y: Array) -> Array:
        """Return log(y) for values y (..., T), float64."""
        return np.log(np.maximum(y, SMALLEST))

    def undo(self, u: Array) -> Array:
        """Return the values for transformed ones u (..., T), from exp(-300) to exp(300)."""
        return np.exp(np.minimum(np.maximum(u, -LARGEST_LOGARITHM), LARGEST_LOGARITHM))


@dataclass(frozen=True)
class YeoJohnson:
    """The power transform of Yeo and Johnson, which makes skewed values more symmetric.

    Parameters
    ----------
    scaling : Affine
        Applied to the values first, such as by median and interquartile range: the transform depends on their unit.
    power : float64 array (T,), in [0, 2]
        1 changes nothing, smaller ones shorten the tail of large values and larger ones that of small values.

    Raises
    ------
    ValueError
        If there is not one power for each column of the scaling, or one is outside its range.

    Notes
    -----
    With z = scaling(y) and p = power where z >= 0, else 2 - power:
    u = sign(z) ((1 + |z|)^p - 1) / p, or sign(z) log(1 + |z|) where p = 0.

    With other powers, too, u would be defined, but have a limit, so that not every number would stand for a value.

    References
    ----------
    Yeo & Johnson (2000), "A new family of power transformations to improve normality or symmetry", Biometrika 87(4).
    """

    scaling: Affine
    power: Array

    def __post_init__(self) -> None:
        if self.power.shape != self.scaling.centre.shape or not (abs(self.power - 1) <= 1).all():
            raise ValueError(
                f"power must have the shape {self.scaling.centre.shape} and be from 0 to 2, but is {self.power}"
            )

    def __call__(self, y: Array) -> Array:
        """Return transformed values u (..., T) for values y, float64."""
        z = self.scaling(y)
        size = np.log1p(abs(z))
        return np.where(z >= 0, _raised(size, self.power), -_raised(size, 2 - self.power))

    def undo(self, u: Array) -> Array:
        """Return the values for transformed ones u (..., T)."""
        size = abs(u)
        z = np.where(u >= 0, _root(size, self.power), -_root(size, 2 - self.power))
        return self.scaling.undo(z)


TargetTransform = Logarithm | YeoJohnson


def _raised(size: Array, power: Array) -> Array:
    """((1 + |z|)^p - 1) / p for size = log(1 + |z|)."""
    is_zero = power == 0
    divisor = as_array_like(np.where(is_zero, 1, power), size)
    return np.where(as_array_like(is_zero, size), size, np.expm1(divisor * size) / divisor)


def _root(u: Array, power: Array) -> Array:
    """|z| with ((1 + |z|)^p - 1) / p = u, its logarithm limited."""
    is_zero = power == 0
    divisor = as_array_like(np.where(is_zero, 1, power), u)
    size = np.where(as_array_like(is_zero, u), u, np.log1p(divisor * u) / divisor)
    return np.expm1(np.minimum(size, LARGEST_LOGARITHM))
