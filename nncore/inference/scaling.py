"""Bringing columns to a common scale."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nncore.kernels.backend import Array, as_array_like

SMALLEST_SHARE = 1e-7  # NormalQuantiles: beyond it and 1 minus it, all values are mapped to the same number
LARGEST = 1e9  # SmoothClip: beyond it, the result is the limit to the last bit, and squares do not overflow
# Wichura's PPND16: numerators and denominators, highest power first, within 0.425 of the middle and outside
CENTRE = (
    (2509.0809287301226727, 33430.575583588128105, 67265.770927008700853, 45921.953931549871457,
     13731.693765509461125, 1971.5909503065514427, 133.14166789178437745, 3.3871328727963666080),
    (5226.4952788528545610, 28729.085735721942674, 39307.895800092710610, 21213.794301586595867,
     5394.1960214247511077, 687.18700749205790830, 42.313330701600911252, 1.0),
)  # fmt: skip
TAILS = (
    (7.7454501427834140764e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1, 1.27045825245236838258,
     3.64784832476320460504, 5.76949722146069140550, 4.63033784615654529590, 1.42343711074968357734),
    (1.05075007164441684324e-9, 5.475938084995344946e-4, 1.51986665636164571966e-2, 1.4810397642748007459e-1,
     6.8976733498510000455e-1, 1.67638483018380384940, 2.05319162663775882187, 1.0),
)  # fmt: skip


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
        """Return x for scaled rows y (..., I), in float64, wherever they are."""
        return y * as_array_like(self.scale, y) + as_array_like(self.centre, y)


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
        return (self.fractions(x) - 0.5) * np.sqrt(12)

    def fractions(self, x: Array) -> Array:
        """Return F(x), from 0 to 1, for rows x (N, I); float64."""
        fractions = [self._fraction_below(x[:, index], column) for index, column in enumerate(self.boundaries.T)]
        return np.stack(fractions, axis=1) if fractions else np.empty(x.shape)

    def _fraction_below(self, x: Array, boundaries: Array) -> Array:
        from_below = np.interp(x, boundaries, self.levels)
        from_above = -np.interp(-x, -boundaries[::-1], -self.levels[::-1])
        inside = np.where(x < boundaries[-1], (from_below + from_above) / 2, 1)
        return np.where(x > boundaries[0], inside, 0)


@dataclass(frozen=True)
class NormalQuantiles(Quantiles):
    """The rank of a value among the fitted rows, column by column, mapped to a normal distribution.

    Parameters
    ----------
    levels, boundaries : array
        See Quantiles.

    Notes
    -----
    y = Phi^-1(F(x)) with the distribution function F, limited to 1e-7 from 0 and 1, so that |y| is at most 5.2.
    """

    def __call__(self, x: Array) -> Array:
        """Scale rows x (N, I); returns float64."""
        return normal_quantile(np.minimum(np.maximum(self.fractions(x), SMALLEST_SHARE), 1 - SMALLEST_SHARE))


@dataclass(frozen=True)
class SmoothClip:
    """Affine scaling column by column, then a smooth limit to the range from -limit to limit.

    Parameters
    ----------
    centre, factor : float64 array (I,)
        Such as the median and the reciprocal of the interquartile range; a factor of 0 makes a column 0.
    limit : float, > 0, default 3

    Raises
    ------
    ValueError
        If there is not one factor for each centre, or the limit is not positive.

    Notes
    -----
    z = (x - centre) factor;  y = z / sqrt(1 + (z / limit)^2), which is close to z near 0 and tends to the limit.

    References
    ----------
    Holzmueller, Grinsztajn & Steinwart (2024), "Better by default: strong pre-tuned MLPs and boosted trees on tabular
    data", section 3.
    """

    centre: Array
    factor: Array
    limit: float = 3.0

    def __post_init__(self) -> None:
        if self.centre.ndim != 1 or self.factor.shape != self.centre.shape:
            raise ValueError(
                f"centre and factor must be of one shape (I,), but are {self.centre.shape} and {self.factor.shape}"
            )
        if not self.limit > 0:
            raise ValueError(f"limit must be above 0, but is {self.limit}")

    @property
    def n_columns(self) -> int:
        """Number of columns I."""
        return len(self.centre)

    def __call__(self, x: Array) -> Array:
        """Scale rows x (N, I) of any number type; returns float64."""
        z = (x - self.centre) * self.factor
        share = np.minimum(np.maximum(z / self.limit, -LARGEST), LARGEST)
        return self.limit * share / np.sqrt(1 + share * share)


Scaling = Affine | Quantiles | SmoothClip


def join(scalings: Sequence[Scaling]) -> Scaling:
    """Join scalings of consecutive columns, all of one kind, which have the same levels or the same limit.

    Those of no columns may be of another kind; if no scaling has a column, the result is affine.
    """
    kept = [scaling for scaling in scalings if scaling.n_columns]
    if not kept:
        return Affine(np.empty(0), np.empty(0))
    first = kept[0]
    if isinstance(first, Quantiles):
        ranks = [scaling.boundaries for scaling in kept if isinstance(scaling, Quantiles)]
        return type(first)(first.levels, np.concatenate(ranks, axis=1))
    centre = np.concatenate([scaling.centre for scaling in kept if not isinstance(scaling, Quantiles)])
    if isinstance(first, SmoothClip):
        factors = [scaling.factor for scaling in kept if isinstance(scaling, SmoothClip)]
        return SmoothClip(centre, np.concatenate(factors), first.limit)
    return Affine(centre, np.concatenate([scaling.scale for scaling in kept if isinstance(scaling, Affine)]))


def normal_quantile(p: Array) -> Array:
    """Return the quantile function of the standard normal distribution.

    Parameters
    ----------
    p : float64 array, from 1e-10 to 1 - 1e-10

    Returns
    -------
    float64 array
        With a relative error of about 1e-16.

    References
    ----------
    Wichura (1988), "Algorithm AS 241: the percentage points of the normal distribution", PPND16 for p from exp(-25).
    """
    q = p - 0.5
    r, s = 0.180625 - q * q, np.sqrt(-np.log(np.minimum(p, 1 - p))) - 1.6
    centre = q * _polynomial(CENTRE[0], r) / _polynomial(CENTRE[1], r)
    tail = _polynomial(TAILS[0], s) / _polynomial(TAILS[1], s)
    return np.where(abs(q) <= 0.425, centre, np.where(q < 0, -tail, tail))


def _polynomial(coefficients: tuple[float, ...], r: Array) -> Array:
    """The polynomial with these coefficients, highest power first, by Horner's rule."""
    value = coefficients[0] * r
    for coefficient in coefficients[1:-1]:
        value = (value + coefficient) * r
    return value + coefficients[-1]
