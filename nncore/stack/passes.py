"""Forward and backward pass of a chain of layers y = f(norm(x W + b)) (+ x).

In the neural tangent parametrization x W is divided by sqrt(I) before all else.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from nncore.activations import Activation, parametric_dz, parametric_y
from nncore.architecture import Architecture, Layer, LayerView, layer_views
from nncore.kernels import dense
from nncore.kernels.backend import Array
from nncore.kernels.workspace import Workspace
from nncore.losses import mean_gradient
from nncore.stack import input_layer
from nncore.stack.hooks import DropoutHooks

ROWS_AT_ONCE = 512  # in inference; fixed, because the number of rows affects how a matrix product is rounded


class ForwardCache(NamedTuple):
    """What the backward pass needs from the forward pass of one layer.

    Parameters
    ----------
    x : array (K or 1, N, I)
        Input of the layer, after dropout.
    n : array (K, N, O)
        Input of the activation, norm(x W + b); or f(n), if the activation was computed in place.
    f : array (K, N, O)
        f(n), before the learned factor of a parametric activation.
    out : array (K, N, O)
        Output of the layer: y, or y + x if the layer is residual.
    norm_cache
        What the normalisation needs in its backward pass.
    """

    x: Array
    n: Array
    f: Array
    out: Array
    norm_cache: Any


def infer(layers: Sequence[LayerView], architecture: Architecture, x: Array, workspace: Workspace) -> Array:
    """Compute the outputs of K networks in inference mode: running statistics, no dropout.

    Parameters
    ----------
    layers : sequence of LayerView
        The first layers of `architecture`, or all of them.
    architecture : Architecture
    x : array (K or 1, N, I)
    workspace : Workspace

    Returns
    -------
    array (K, N, O)
        Output of the last given layer, in memory of the workspace. No row depends on another row.
    """
    normalisations, activations = architecture.functions.normalisations, architecture.functions.activations
    x, _ = input_layer.forward(layers[0], architecture, x, workspace)
    for index, (layer, view) in enumerate(zip(architecture.layers, layers, strict=False)):
        n, shift = normalisations[index].infer(_product(architecture, index, x, view, workspace), view)
        _, _, y = _activate(activations[index], n, shift, view, index, workspace)
        x = np.add(y, x, out=workspace(("sum", index), y)) if layer.residual else y
    return x


def forward(
    layers: Sequence[LayerView],
    architecture: Architecture,
    x: Array,
    workspace: Workspace,
    hooks: DropoutHooks | None = None,
) -> tuple[Array, list[ForwardCache], input_layer.InputCache]:
    """Compute the outputs of K networks in training mode.

    Parameters
    ----------
    layers : sequence of LayerView
        All layers. Batch normalisation updates its running statistics in them.
    architecture : Architecture
    x : array (K or 1, N, I)
    workspace : Workspace
    hooks : DropoutHooks, optional
        Dropout of the stack.

    Returns
    -------
    z : array (K, N, O)
        Output of the last layer.
    caches : list of ForwardCache
        One per layer, for the backward pass.
    input_cache : InputCache
        Of the input layer, for the backward pass.
    """
    normalisations, activations = architecture.functions.normalisations, architecture.functions.activations
    caches = []
    x, input_cache = input_layer.forward(layers[0], architecture, x, workspace)
    for index, (layer, view) in enumerate(zip(architecture.layers, layers, strict=True)):
        x_in = hooks.dropout(index, x) if hooks else x
        z = _product(architecture, index, x_in, view, workspace)
        n, shift, norm_cache = normalisations[index].train(z, view, workspace.part(index))
        n, f, y = _activate(activations[index], n, shift, view, index, workspace)
        x = np.add(y, x, out=workspace(("sum", index), y)) if layer.residual else y
        caches.append(ForwardCache(x_in, n, f, x, norm_cache))
    return x, caches, input_cache


def backward(
    layers: Sequence[LayerView],
    gradients: Sequence[LayerView],
    architecture: Architecture,
    caches: list[ForwardCache],
    input_cache: input_layer.InputCache,
    dy: Array,
    workspace: Workspace,
    hooks: DropoutHooks | None = None,
) -> None:
    """Write the gradient of every parameter into the views `gradients`.

    Parameters
    ----------
    layers, gradients : sequence of LayerView
        Views of the parameters and of the gradient.
    architecture : Architecture
    caches : list of ForwardCache
    input_cache : InputCache
        Both from `forward`.
    dy : array (K, N, O)
        Derivative of the loss by the output of the last layer.
    workspace : Workspace
        The one that `forward` used.
    hooks : DropoutHooks, optional
        The ones that `forward` used.

    Notes
    -----
    The chain rule, from the last layer to the first: dn = dy f'(n); dz follows from dn by the normalisation; then
    dW = x^T dz, db = sum dz, and dy = dz W^T for the layer before (+ dy past a residual layer).
    """
    ones = np.ones_like(dy, shape=(1, 1, dy.shape[1]))
    tied_dW: dict[int, Array] = {}  # by layer, the gradient by its W from the layers that are tied to it
    for index in reversed(range(len(caches))):
        layer, view, cache = architecture.layers[index], layers[index], caches[index]
        if hooks:
            hooks.add_activity_gradient(index, cache.out, dy)
        if layer.residual:  # the activation's backward pass may overwrite dy
            np.copyto(skip_dy := workspace(("dy", index), dy), dy)
        normalisation = architecture.functions.normalisations[index]
        dn = _activation_backward(
            architecture.functions.activations[index], dy, cache, view, gradients[index], index, workspace
        )
        dz = normalisation.backward(dn, cache.norm_cache, view, gradients[index], workspace.part(index))
        if normalisation.has_bias:
            dense.sum_rows(dz, ones, gradients[index].b)
        if architecture.parametrization == "ntk":  # from here on dz is the derivative by the product x W
            dz *= architecture.product_factor(index)
        _write_weight_gradient(index, layer, cache.x, dz, gradients[index].W, tied_dW)
        if index > 0 or architecture.has_input_layer:  # the derivative by the data is not needed
            dx = dense.backward_input(view.W, dz, workspace(("dx", index), dz, (*dz.shape[:2], view.W.shape[1])))
            if hooks:
                hooks.dropout_backward(index, dx)
            dy = np.add(dx, skip_dy, out=dx) if layer.residual else dx
    if architecture.has_input_layer:
        input_layer.backward(layers[0], gradients[0], architecture, input_cache, dy, workspace)


def gradient(
    layers: Sequence[LayerView],
    gradients: Sequence[LayerView],
    architecture: Architecture,
    x: Array,
    t: Array,
    workspace: Workspace,
    weights: Array | None = None,
    hooks: DropoutHooks | None = None,
) -> Array:
    """Compute loss and gradient of K networks on one batch.

    Parameters
    ----------
    layers : sequence of LayerView
        Views of the parameters.
    gradients : sequence of LayerView
        Views of an array (K, P), which is overwritten with dLoss/dParameters.
    architecture : Architecture
    x : array (K or 1, N, I)
    t : array (K or 1, N, O)
    workspace : Workspace
    weights : array (K or 1, N), optional
        Weights of the rows; their mean over all rows of the data is 1.
    hooks : DropoutHooks, optional

    Returns
    -------
    array (K,)
        The loss, a mean over the rows, without penalties.
    """
    z, caches, input_cache = forward(layers, architecture, x, workspace, hooks)
    loss, dz = mean_gradient(architecture.functions.loss, z, t, weights)
    backward(layers, gradients, architecture, caches, input_cache, dz, workspace, hooks)
    return loss


def predict(parameters: Array, architecture: Architecture, x: Array, workspace: Workspace | None = None) -> Array:
    """Compute the outputs of K networks for the same rows, in inference mode.

    Parameters
    ----------
    parameters : array (K, buffer_size)
    architecture : Architecture
    x : array (N, I)
    workspace : Workspace, optional
        Working memory to reuse from call to call.

    Returns
    -------
    array (K, N, outputs)
        Outputs z of the last layer (logits), a new array.
    """
    return infer_layers(layer_views(parameters, architecture), architecture, x[None], workspace or Workspace())


def infer_layers(layers: Sequence[LayerView], architecture: Architecture, x: Array, workspace: Workspace) -> Array:
    """Compute `infer` for any number of rows, ROWS_AT_ONCE at a time; the result (K, N, O) is a new array."""
    outputs = [
        infer(layers, architecture, x[:, start : start + ROWS_AT_ONCE], workspace).copy()
        for start in range(0, max(x.shape[1], 1), ROWS_AT_ONCE)
    ]
    return np.concatenate(outputs, axis=1) if outputs[1:] else outputs[0]


def _product(architecture: Architecture, index: int, x: Array, view: LayerView, workspace: Workspace) -> Array:
    """x W (K, N, O), in the neural tangent parametrization divided by sqrt(I)."""
    z = dense.forward(x, view.W, workspace(("z", index), view.W, (len(view.W), x.shape[1], view.W.shape[2])))
    if architecture.parametrization == "ntk":
        np.multiply(z, architecture.product_factor(index), out=z)
    return z


def _write_weight_gradient(
    index: int, layer: Layer, x: Array, dz: Array, out: Array, tied_dW: dict[int, Array]
) -> None:
    """dW = x^T dz, in `out`; that of a tied layer in `tied_dW`, for the layer that it is tied to."""
    if layer.tied_to is not None:
        dW = np.matmul(dz.swapaxes(1, 2), x)  # (K, O, I): the W that the layer is tied to is its transpose
        tied_dW[layer.tied_to] = tied_dW[layer.tied_to] + dW if layer.tied_to in tied_dW else dW
        return
    dense.backward_weights(x, dz, out)
    if index in tied_dW:
        out += tied_dW[index]


def _activate(
    activation: Activation, n: Array, shift: Array, view: LayerView, index: int, workspace: Workspace
) -> tuple[Array, Array, Array]:
    """n + shift (or f, if it was computed in place), f = f(n + shift), and the output y of the activation."""
    out = workspace(("y", index), n)
    if activation.is_parametric:
        z = given = dense.add(n, shift)
        if not activation.keeps_inputs:
            np.copyto(given := workspace(("given z", index), z), z)
        f = activation.forward(given, workspace(("f", index), z))
        return z, f, parametric_y(z, f, view.alpha, out)
    f = activation.biased(n, shift) if activation.biased else activation.forward(dense.add(n, shift), out)
    return n, f, f


def _activation_backward(
    activation: Activation,
    dy: Array,
    cache: ForwardCache,
    view: LayerView,
    gradients: LayerView,
    index: int,
    workspace: Workspace,
) -> Array:
    """dn from dy; writes the gradient of a parametric activation's factors."""
    out = workspace(("dn", index), cache.n)
    if not activation.is_parametric:
        return activation.backward(dy, cache.n, cache.f, out)
    given, z = dy, cache.n
    if not activation.keeps_inputs:
        np.copyto(given := workspace(("given dy", index), dy), dy)
        np.copyto(z := workspace(("backward z", index), cache.n), cache.n)
    dn = activation.backward(given, z, cache.f, out)
    terms = parametric_dz(dn, dy, cache.n, cache.f, view.alpha, workspace(("terms", index), dy))
    dense.sum_rows(terms, np.ones_like(dy, shape=(1, 1, dy.shape[1])), gradients.alpha)
    return dn
