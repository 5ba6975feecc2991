"""What is done with the rows before the first layer: the scaling layer, which learns a factor for each number."""

from typing import NamedTuple

import numpy as np

from nncore.architecture import Architecture, LayerView
from nncore.kernels import dense
from nncore.kernels.backend import Array
from nncore.kernels.elementwise import elementwise
from nncore.kernels.workspace import Workspace


class InputCache(NamedTuple):
    """What the backward pass needs.

    Parameters
    ----------
    unscaled : array (K or 1, N, I)
        What the scaling layer got.
    """

    unscaled: Array


def forward(view: LayerView, architecture: Architecture, x: Array, workspace: Workspace) -> tuple[Array, InputCache]:
    """Compute what enters the first layer.

    Parameters
    ----------
    view : LayerView
        Of the first layer.
    architecture : Architecture
    x : array (K or 1, N, inputs)
    workspace : Workspace

    Returns
    -------
    scaled : array (K or 1, N, I)
        x itself if there is nothing to do.
    cache : InputCache
        For the backward pass.
    """
    if not architecture.scaling_layer:
        return x, InputCache(x)
    out = workspace("scaled inputs", x, (len(view.input_scale), *x.shape[1:]))
    return np.multiply(x, view.input_scale, out=out), InputCache(x)


def backward(
    view: LayerView,
    gradients: LayerView,
    architecture: Architecture,
    cache: InputCache,
    dy: Array,
    workspace: Workspace,
) -> None:
    """Write the gradients of the input layer's parameters.

    Parameters
    ----------
    view, gradients : LayerView
        Of the first layer.
    architecture : Architecture
        Has an input layer.
    cache : InputCache
        From `forward`.
    dy : array (K, N, I)
        Derivative of the loss by what entered the first layer; it may be overwritten.
    workspace : Workspace

    Notes
    -----
    With y = s x: ds = sum over the rows of dy x.
    """
    ones = np.ones_like(dy, shape=(1, 1, dy.shape[1]))
    dense.sum_rows(scale_terms(dy, cache.unscaled, workspace("scale terms", dy)), ones, gradients.input_scale)


@elementwise("terms")
def scale_terms(dy: Array, x: Array) -> Array:
    """Return one row's part of the derivative by the factor of one number."""
    return dy * x
