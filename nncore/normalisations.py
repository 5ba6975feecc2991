"""Normalisations: z brought to mean 0 and variance 1, then to a scale and a shift that are learnt.

    n = (z - mean) / sqrt(variance + epsilon)
    y = scale n + shift

A member returns a `Normalisation`. Its functions take x W (K, N, O), which still lack b, and a view `at` of
one layer's parameters: b, scale, shift and, for batch normalisation, the running mean and variance, each (K, 1, O):

    train(xW, at, scratch) -> (y, shift, kept)    in training; may bring the running statistics up to date
    infer(xW, at) -> (y, shift)                   when the network answers: no row depends on another
    backward(dy, kept, at, d, scratch) -> dz      writes d.scale and d.shift

The shift is still to be added to y: the activation does it. They may write in the place of xW and of dy. The scratch is
the layer's own.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike

from nncore.kernels.backend import Array
from nncore.kernels.dense import add, sum_rows
from nncore.kernels.elementwise import elementwise
from nncore.kernels.hyperparameters import checked, column
from nncore.kernels.workspace import Workspace


class NormalisationParameters(Protocol):
    """The part of a layer's parameters, or of their gradient, that belongs to its normalisation."""

    @property
    def b(self) -> Array: ...  # noqa: D102
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

    has_scale_and_shift      whether the layer learns a scale and a shift
    has_running_statistics   whether the layer keeps a running mean and variance
    """

    has_scale_and_shift: bool
    has_running_statistics: bool
    train: Callable[[Array, NormalisationParameters, Workspace], tuple[Array, Array, Any]]
    infer: Callable[[Array, NormalisationParameters], tuple[Array, Array]]
    backward: Callable[[Array, Any, NormalisationParameters, NormalisationParameters, Workspace], Array]


def none() -> Normalisation:
    """y = z, whose shift is the bias."""
    return Normalisation(
        False,
        False,
        lambda xW, at, scratch: (xW, at.b, None),
        lambda xW, at: (xW, at.b),
        lambda dy, kept, at, d, scratch: dy,
    )


def batch_norm(momentum: ArrayLike = 0.1, epsilon: ArrayLike = 1e-5) -> Normalisation:
    """Mean and variance of each output over the rows of the batch; answers use their running means.

    running <- running + momentum (batch's - running), the batch's variance with N - 1 in the denominator. A last
    batch of one row leaves them. All rows count alike, whatever their weights.

    Range    0 < momentum <= 1;  epsilon > 0
    Source   Ioffe & Szegedy (2015), arXiv:1502.03167, algorithms 1 and 2
    """
    momentum = checked("batch_norm", "momentum", momentum, above=0, at_most=1)
    epsilon = checked("batch_norm", "epsilon", epsilon, above=0)

    def train(xW: Array, at: NormalisationParameters, workspace: Workspace) -> tuple[Array, Array, Any]:
        """The bias moves the mean, and nothing else; c = z - mean, so n = c / sqrt(variance + epsilon)."""
        n_rows, ones = xW.shape[1], np.ones_like(xW, shape=(1, 1, xW.shape[1]))
        mean = sum_rows(xW, ones) / n_rows
        square = centred(xW, mean, workspace("square", xW))
        variance = sum_rows(square, ones) / n_rows
        inverse = 1 / np.sqrt(variance + column(epsilon, xW))
        if n_rows > 1:  # one row has no variance
            running_mean(at.mean, mean + at.b, momentum=momentum)
            running_mean(at.variance, variance * (n_rows / (n_rows - 1)), momentum=momentum)
        return product(xW, at.scale * inverse, square), at.shift, (xW, inverse)

    def infer(xW: Array, at: NormalisationParameters) -> tuple[Array, Array]:
        return (xW - (at.mean - at.b)) * (at.scale / np.sqrt(at.variance + column(epsilon, xW))), at.shift

    def backward(
        dy: Array, kept: Any, at: NormalisationParameters, d: NormalisationParameters, workspace: Workspace
    ) -> Array:
        c, inverse = kept
        n_rows, ones = dy.shape[1], np.ones_like(dy, shape=(1, 1, dy.shape[1]))
        sum_rows(dy, ones, d.shift)
        sum_rows(product(c, dy, workspace("product", dy)), ones, d.scale)
        d.scale[...] *= inverse
        return batch_norm_dz(dy, c, d.shift / n_rows, d.scale * inverse / n_rows, at.scale * inverse)

    return Normalisation(True, True, train, infer, backward)


@elementwise("c", "square")
def centred(c: Array, mean: Array) -> tuple[Array, Array]:
    """One output, less its mean, and the square of that."""
    c = c - mean
    return c, c * c


@elementwise("running")
def running_mean(running: Array, batch: Array, *, momentum: Array) -> Array:
    """A running mean or variance, some of the way to the batch's."""
    return running + momentum * (batch - running)


@elementwise("product")
def product(c: Array, factor: Array) -> Array:
    """The scaled output, or what adds up to the derivative by the scale."""
    return c * factor


@elementwise("dy")
def batch_norm_dz(dy: Array, c: Array, mean_dy: Array, drift: Array, slope: Array) -> Array:
    """By the chain rule, as mean and variance move with z.

    drift = mean of dy n / sqrt(variance + epsilon), slope = scale / sqrt(variance + epsilon)
    """
    return (dy - mean_dy - c * drift) * slope


def layer_norm(epsilon: ArrayLike = 1e-5) -> Normalisation:
    """Mean and variance of each row over the outputs of the layer: the same in training and in answers.

    Range    epsilon > 0
    Source   Ba, Kiros & Hinton (2016), arXiv:1607.06450, equation 4
    """
    epsilon = checked("layer_norm", "epsilon", epsilon, above=0)

    def train(xW: Array, at: NormalisationParameters, workspace: Workspace) -> tuple[Array, Array, Any]:
        z = add(xW, at.b)
        n = z - z.mean(axis=2, keepdims=True)
        inverse = 1 / np.sqrt((n * n).mean(axis=2, keepdims=True) + column(epsilon, z))
        n *= inverse
        return n * at.scale, at.shift, (n, inverse)

    def infer(xW: Array, at: NormalisationParameters) -> tuple[Array, Array]:
        return train(xW, at, Workspace())[:2]

    def backward(
        dy: Array, kept: Any, at: NormalisationParameters, d: NormalisationParameters, workspace: Workspace
    ) -> Array:
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
