"""Normalisations: z is brought to mean 0 and variance 1, then to a scale and a shift that are learned.

    n = (z - mean) / sqrt(variance + epsilon)
    y = scale n + shift

Each public function returns a `Normalisation`. Its functions take x W (K, N, O), to which b has not been added, and a
view of one layer's parameters: b, scale, shift and, for batch normalisation, the running mean and variance but no b,
each (K, 1, O):

    train(xW, layer, workspace) -> (y, shift, cache)     in training; may update the running statistics
    infer(xW, layer) -> (y, shift)                       in inference: no row depends on another
    backward(dy, cache, layer, d, workspace) -> dz       writes d.scale and d.shift

The shift is still to be added to y: the activation does that. The functions may write over xW and dy. The workspace is
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
    """A normalisation, and which parameters a layer must have for it; see the module's docstring.

    Parameters
    ----------
    has_scale_and_shift : bool
        Whether the layer learns a scale and a shift.
    has_running_statistics : bool
        Whether the layer keeps a running mean and variance.
    train, infer, backward : callable
    has_bias : bool, default True
        Whether the layer learns a bias b. It must not where the normalisation subtracts b again: its derivative would
        be a rounding error, which some optimizers turn into steps of full length.
    """

    has_scale_and_shift: bool
    has_running_statistics: bool
    train: Callable[[Array, NormalisationParameters, Workspace], tuple[Array, Array, Any]]
    infer: Callable[[Array, NormalisationParameters], tuple[Array, Array]]
    backward: Callable[[Array, Any, NormalisationParameters, NormalisationParameters, Workspace], Array]
    has_bias: bool = True


def none() -> Normalisation:
    """No normalisation: y = z, where the shift is the bias."""
    return Normalisation(
        False,
        False,
        lambda xW, layer, workspace: (xW, layer.b, None),
        lambda xW, layer: (xW, layer.b),
        lambda dy, cache, layer, d, workspace: dy,
    )


def batch_norm(momentum: ArrayLike = 0.1, epsilon: ArrayLike = 1e-5) -> Normalisation:
    """Batch normalisation: mean and variance of each output over the rows of a batch; in inference, running means.

    Parameters
    ----------
    momentum : float or array (K,), in (0, 1], default 0.1
        How fast the running statistics follow those of the batches.
    epsilon : float or array (K,), > 0, default 1e-5
        Added to the variance.

    Raises
    ------
    ValueError
        Naming argument, value, rule and network.

    Notes
    -----
    running <- running + momentum (batch - running), with N - 1 in the denominator of the batch's variance. A batch of
    one row leaves the running statistics as they are. All rows count equally, whatever their weights. The layer has no
    bias, as the mean that is subtracted would contain it; the shift takes its place.

    References
    ----------
    Ioffe & Szegedy (2015), arXiv:1502.03167, algorithms 1 and 2.
    """
    momentum = checked("batch_norm", "momentum", momentum, above=0, at_most=1)
    epsilon = checked("batch_norm", "epsilon", epsilon, above=0)

    def train(xW: Array, layer: NormalisationParameters, workspace: Workspace) -> tuple[Array, Array, Any]:
        """With c = x W - mean, n = c / sqrt(variance + epsilon)."""
        n_rows, ones = xW.shape[1], np.ones_like(xW, shape=(1, 1, xW.shape[1]))
        mean = sum_rows(xW, ones) / n_rows
        square = centred(xW, mean, workspace("square", xW))
        variance = sum_rows(square, ones) / n_rows
        inverse = 1 / np.sqrt(variance + column(epsilon, xW))
        if n_rows > 1:  # one row has no variance
            running_mean(layer.mean, mean, momentum=momentum)
            running_mean(layer.variance, variance * (n_rows / (n_rows - 1)), momentum=momentum)
        return product(xW, layer.scale * inverse, square), layer.shift, (xW, inverse)

    def infer(xW: Array, layer: NormalisationParameters) -> tuple[Array, Array]:
        slope = layer.scale / np.sqrt(layer.variance + column(epsilon, xW))
        return (xW - layer.mean) * slope, layer.shift

    def backward(
        dy: Array, cache: Any, layer: NormalisationParameters, d: NormalisationParameters, workspace: Workspace
    ) -> Array:
        c, inverse = cache
        n_rows, ones = dy.shape[1], np.ones_like(dy, shape=(1, 1, dy.shape[1]))
        sum_rows(dy, ones, d.shift)
        sum_rows(product(c, dy, workspace("product", dy)), ones, d.scale)
        d.scale[...] *= inverse
        return batch_norm_dz(dy, c, d.shift / n_rows, d.scale * inverse / n_rows, layer.scale * inverse)

    return Normalisation(True, True, train, infer, backward, has_bias=False)


@elementwise("c", "square")
def centred(c: Array, mean: Array) -> tuple[Array, Array]:
    """Return one output minus its mean, and the square of that."""
    c = c - mean
    return c, c * c


@elementwise("running")
def running_mean(running: Array, batch: Array, *, momentum: Array) -> Array:
    """Return a running mean or variance, moved towards that of the batch."""
    return running + momentum * (batch - running)


@elementwise("product")
def product(c: Array, factor: Array) -> Array:
    """Return the scaled output, or a row's part of the derivative by the scale."""
    return c * factor


@elementwise("dy")
def batch_norm_dz(dy: Array, c: Array, mean_dy: Array, drift: Array, slope: Array) -> Array:
    """Return dz, written over dy, by the chain rule through mean and variance.

    drift = mean of dy n / sqrt(variance + epsilon);  slope = scale / sqrt(variance + epsilon)
    """
    return (dy - mean_dy - c * drift) * slope


def layer_norm(epsilon: ArrayLike = 1e-5) -> Normalisation:
    """Layer normalisation: mean and variance of each row over the outputs of the layer, also in inference.

    Parameters
    ----------
    epsilon : float or array (K,), > 0, default 1e-5
        Added to the variance.

    Raises
    ------
    ValueError
        Naming argument, value, rule and network.

    References
    ----------
    Ba, Kiros & Hinton (2016), arXiv:1607.06450, equation 4.
    """
    epsilon = checked("layer_norm", "epsilon", epsilon, above=0)

    def train(xW: Array, layer: NormalisationParameters, workspace: Workspace) -> tuple[Array, Array, Any]:
        z = add(xW, layer.b)
        n = z - z.mean(axis=2, keepdims=True)
        inverse = 1 / np.sqrt((n * n).mean(axis=2, keepdims=True) + column(epsilon, z))
        n *= inverse
        return n * layer.scale, layer.shift, (n, inverse)

    def infer(xW: Array, layer: NormalisationParameters) -> tuple[Array, Array]:
        return train(xW, layer, Workspace())[:2]

    def backward(
        dy: Array, cache: Any, layer: NormalisationParameters, d: NormalisationParameters, workspace: Workspace
    ) -> Array:
        """dz = (dn - mean(dn) - n mean(dn n)) / sqrt(variance + epsilon), with dn = dy scale."""
        n, inverse = cache
        np.sum(dy, axis=1, keepdims=True, out=d.shift)
        np.sum(dy * n, axis=1, keepdims=True, out=d.scale)
        dn = dy * layer.scale
        dz = dn - n * (dn * n).mean(axis=2, keepdims=True)
        dz -= dn.mean(axis=2, keepdims=True)
        dz *= inverse
        return dz

    return Normalisation(True, False, train, infer, backward)
