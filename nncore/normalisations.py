"""Normalisations: z brought to mean 0 and variance 1, then to a scale and a shift that are learnt.

    n = (z - mean) / sqrt(variance + epsilon)
    y = scale n + shift

A member returns a `Normalisation`. Its functions take z (K, N, O) and a view `at` of one layer's parameters,
which holds scale, shift and, for batch normalisation, the running mean and variance, each (K, 1, O):

    train(z, at) -> (y, kept)             in training; may bring the running statistics up to date
    infer(z, at) -> y                     when the network answers: no row depends on another
    backward(dy, kept, at, d) -> dz       writes d.scale and d.shift
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike

from nncore.backend import Array
from nncore.dense import sum_rows
from nncore.formula import formula
from nncore.hyperparameters import checked, column


class Affine(Protocol):
    """The part of a layer's parameters, or of their gradient, that belongs to its normalisation."""

    @property
    def scale(self) -> Array: ...  # noqa: D102
    @property
    def shift(self) -> Array: ...  # noqa: D102
    @property
    def mean(self) -> Array: ...  # noqa: D102
    @property
    def variance(self) -> Array: ...  # noqa: D102


class Normalisation(NamedTuple):
    """The three functions, and what a layer must hold for them.

    learns     whether it has scale and shift
    remembers  whether it has a running mean and variance
    """

    learns: bool
    remembers: bool
    train: Callable[[Array, Affine], tuple[Array, Any]]
    infer: Callable[[Array, Affine], Array]
    backward: Callable[[Array, Any, Affine, Affine], Array]


def none() -> Normalisation:
    """y = z."""
    return Normalisation(False, False, lambda z, at: (z, None), lambda z, at: z, lambda dy, kept, at, d: dy)


def batch_norm(momentum: ArrayLike = 0.1, epsilon: ArrayLike = 1e-5) -> Normalisation:
    """Mean and variance of each output over the rows of the batch; answers use their running means.

    running <- running + momentum (batch's - running), the batch's variance with N - 1 in the denominator. A last
    batch of one row leaves them. All rows count alike, whatever their weights.

    Range    0 < momentum <= 1;  epsilon > 0
    Source   Ioffe & Szegedy (2015), arXiv:1502.03167, algorithms 1 and 2
    """
    momentum = checked("batch_norm", "momentum", momentum, above=0, at_most=1)
    epsilon = checked("batch_norm", "epsilon", epsilon, above=0)

    def train(z: Array, at: Affine) -> tuple[Array, Any]:
        n_rows, ones = z.shape[1], np.ones_like(z, shape=(1, 1, z.shape[1]))
        mean = sum_rows(z, ones) / n_rows
        n, square = np.empty_like(z), np.empty_like(z)
        centred([z, mean, n, square])
        variance = sum_rows(square, ones) / n_rows
        inverse = 1 / np.sqrt(variance + column(epsilon, z))
        if n_rows > 1:  # one row has no variance
            at.mean[...] += column(momentum, z) * (mean - at.mean)
            at.variance[...] += column(momentum, z) * (variance * (n_rows / (n_rows - 1)) - at.variance)
        return scaled([n, inverse, at.scale, at.shift, square]), (n, inverse)

    def infer(z: Array, at: Affine) -> Array:
        return (z - at.mean) * (at.scale / np.sqrt(at.variance + column(epsilon, z))) + at.shift

    def backward(dy: Array, kept: Any, at: Affine, d: Affine) -> Array:
        n, inverse = kept
        dz = times([dy, n, np.empty_like(dy)])
        ones = np.ones_like(dy, shape=(1, 1, dy.shape[1]))
        sum_rows(dy, ones, d.shift)
        sum_rows(dz, ones, d.scale)
        return batch_dz([dy, n, d.shift / dy.shape[1], d.scale / dy.shape[1], at.scale * inverse, dz])

    return Normalisation(True, True, train, infer, backward)


@formula("n", "square")
def centred(z: Array, mean: Array) -> tuple[Array, Array]:
    """One output, less its mean, and the square of that."""
    n = z - mean
    return n, n * n


@formula("n", "y")
def scaled(n: Array, inverse: Array, scale: Array, shift: Array) -> tuple[Array, Array]:
    """One output, normalised, and what is made of that."""
    n = n * inverse
    return n, n * scale + shift


@formula("product")
def times(dy: Array, n: Array) -> Array:
    """Whose sum is the derivative by the scale."""
    return dy * n


@formula("dz")
def batch_dz(dy: Array, n: Array, mean_dy: Array, mean_dy_n: Array, slope: Array) -> Array:
    """By the chain rule: mean and variance move with z; slope = scale / sqrt(variance + epsilon)."""
    return (dy - mean_dy - n * mean_dy_n) * slope


def layer_norm(epsilon: ArrayLike = 1e-5) -> Normalisation:
    """Mean and variance of each row over the outputs of the layer: the same in training and in answers.

    Range    epsilon > 0
    Source   Ba, Kiros & Hinton (2016), arXiv:1607.06450, equation 4
    """
    epsilon = checked("layer_norm", "epsilon", epsilon, above=0)

    def train(z: Array, at: Affine) -> tuple[Array, Any]:
        n = z - z.mean(axis=2, keepdims=True)
        inverse = 1 / np.sqrt((n * n).mean(axis=2, keepdims=True) + column(epsilon, z))
        n *= inverse
        return n * at.scale + at.shift, (n, inverse)

    def infer(z: Array, at: Affine) -> Array:
        return train(z, at)[0]

    def backward(dy: Array, kept: Any, at: Affine, d: Affine) -> Array:
        """dz = (dn - mean(dn) - n mean(dn n)) / sqrt(variance + epsilon), with dn = dy scale."""
        n, inverse = kept
        np.sum(dy, axis=1, keepdims=True, out=d.shift)
        np.sum(dy * n, axis=1, keepdims=True, out=d.scale)
        dn = dy * at.scale
        dz = dn - n * (dn * n).mean(axis=2, keepdims=True)
        dz -= dn.mean(axis=2, keepdims=True)
        dz *= inverse
        return dz

    return Normalisation(True, False, train, infer, backward)
