"""Forward and backward pass of a chain of layers y = f(norm(x W + b)) (+ x).

In the neural tangent parametrization x W is divided by sqrt(I) before all else. With k members, N stands for their
k N rows, member after member; where each member has its own b, K stands for K k networks of N rows (see members.py).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from nncore.activations import Activation, parametric_dz, parametric_y, parametric_y_and_difference
from nncore.architecture import Architecture, Layer, LayerView, layer_views
from nncore.kernels import dense
from nncore.kernels.backend import Array
from nncore.kernels.workspace import Workspace
from nncore.losses import mean_gradient, mean_value
from nncore.stack import input_layer, members
from nncore.stack.hooks import DropoutHooks

ROWS_AT_ONCE = 512  # in inference, of all members; fixed, as the number of rows affects how a product is rounded
ROWS_OF_MEMBERS = 64  # at least so many of each member


class ForwardCache(NamedTuple):
    """What the backward pass needs from the forward pass of one layer.

    Parameters
    ----------
    x : array (K or 1, N, I)
        Input of the layer.
    x_in : array (K or 1, N, I)
        The left operand of the product x W: x after dropout and, of members, after their factors r.
    W : array (K, I, O)
        The right operand.
    z : array (K, N, O)
        The product. It is not kept but with members.
    n : array (K, N, O)
        Input of the activation, norm(x W + b); or f(n), if the activation was computed in place.
    f : array (K, N, O)
        f(n); of a parametric activation f(n) - n.
    slope : array (K, N, O), optional
        f'(n), if the activation computed it with f.
    out : array (K, N, O)
        Output of the layer: y, or y + x if the layer is residual.
    norm_cache
        What the normalisation needs in its backward pass.
    """

    x: Array
    x_in: Array
    W: Array
    z: Array
    n: Array
    f: Array
    slope: Array | None
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
        Output of the last given layer, in memory of the workspace; with members, of the mean of what they predict. No
        row depends on another row.
    """
    x, _ = input_layer.forward(layers[0], architecture, x, workspace)
    for index, view in enumerate(layers):
        x = infer_layer(view, architecture, index, x, product(view, architecture, index, x, workspace), workspace)
    if architecture.members == 1:
        return x
    of_members = members.rows_of_networks(architecture, len(layers) - 1, len(layers[0].W), x)  # (K k, N, O)
    return members.mean_logits(architecture.functions.loss, of_members, architecture.members)


def product(view: LayerView, architecture: Architecture, index: int, x: Array, workspace: Workspace) -> Array:
    """Compute a layer's product x W (K, N, O) in inference mode; with members (x r) W (K, k N, O)."""
    W = view.W
    if architecture.members > 1:
        x, W = members.inputs_and_weights(architecture, index, view, x, False, False, workspace)
    return _product(architecture, index, x, W, workspace)


def infer_layer(
    view: LayerView, architecture: Architecture, index: int, x: Array, z: Array, workspace: Workspace
) -> Array:
    """Compute the output (K, N, O) of a layer in inference mode from its input x and its `product` z."""
    activations, normalisations, *_ = architecture.functions
    K, vectors = len(view.W), view
    if architecture.members > 1:
        z, vectors = members.outputs_and_vectors(architecture, index, view, z, False, workspace)
    n, shift = normalisations[index].infer(z, vectors)
    y = _activate(activations[index], n, shift, vectors, index, workspace)
    return _output(architecture, index, K, x, y, workspace)


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
        Output of the last layer; with members (K, k N, O).
    caches : list of ForwardCache
        One per layer, for the backward pass.
    input_cache : InputCache
        Of the input layer, for the backward pass.
    """
    x, input_cache = input_layer.forward(layers[0], architecture, x, workspace)
    z, caches = _forward_layers(layers, architecture, x, workspace, hooks)
    return z, caches, input_cache


def _forward_layers(
    layers: Sequence[LayerView],
    architecture: Architecture,
    x: Array,
    workspace: Workspace,
    hooks: DropoutHooks | None,
) -> tuple[Array, list[ForwardCache]]:
    """`forward` without the input layer: x enters the first layer."""
    activations, normalisations, *_ = architecture.functions
    caches = []
    for index, view in enumerate(layers):
        x_in, W = x, view.W
        if architecture.members > 1:
            multiplies, spread = architecture.multiplies_weights[index], hooks is not None
            x_in, W = members.inputs_and_weights(architecture, index, view, x, spread, multiplies, workspace)
        x_in = hooks.dropout(index, x_in) if hooks else x_in
        product = z = _product(architecture, index, x_in, W, workspace)
        vectors = view
        if architecture.members > 1:
            z, vectors = members.outputs_and_vectors(architecture, index, view, product, multiplies, workspace)
        n, shift, norm_cache = normalisations[index].train(z, vectors, workspace.part(index))
        members.write_back(view, vectors)  # running statistics
        f, slope, y = _activate_in_training(activations[index], n, shift, vectors, index, workspace)
        out = _output(architecture, index, len(W), x, y, workspace)
        caches.append(ForwardCache(x, x_in, W, product, n, f, slope, out, norm_cache))
        x = out
    return x, caches


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
    dx = _backward_layers(layers, gradients, architecture, caches, dy, workspace, hooks)
    if architecture.has_input_layer:
        dx = members.sum_over_members(architecture, dx) if architecture.members > 1 else dx
        input_layer.backward(layers[0], gradients[0], architecture, input_cache, dx, workspace)


def _backward_layers(
    layers: Sequence[LayerView],
    gradients: Sequence[LayerView],
    architecture: Architecture,
    caches: list[ForwardCache],
    dy: Array,
    workspace: Workspace,
    hooks: DropoutHooks | None,
) -> Array:
    """`backward` without the input layer; returns the derivative by what entered the first layer, if it is needed."""
    has_members = architecture.members > 1
    multiplies_rows = bool(layers[0].r.size) and not architecture.multiplies_weights[0]
    needs_first_dx = architecture.has_input_layer or multiplies_rows
    ones = np.ones_like(dy, shape=(1, 1, dy.shape[1]))
    tied_dW: dict[int, Array] = {}  # by layer, the gradient by its W from the layers that are tied to it
    for index in reversed(range(len(caches))):
        layer, cache = architecture.layers[index], caches[index]
        view, gradients_of_layer = layers[index], gradients[index]
        if hooks:
            hooks.add_activity_gradient(index, cache.out, dy)
        if layer.residual:  # the activation's backward pass may overwrite dy
            np.copyto(skip_dy := workspace(("dy", index), dy), dy)
        dz = _dz(architecture, index, view, gradients_of_layer, cache, dy, ones, workspace)
        if has_members:
            members.weights_backward(architecture, index, view, gradients_of_layer, cache.x_in, dz, workspace)
        else:
            _write_weight_gradient(index, layer, cache.x_in, dz, gradients_of_layer.W, tied_dW)
        if index > 0 or needs_first_dx:  # else the derivative by the data is not needed
            dx = _dx(cache.W, dz, index, workspace)
            if hooks:
                hooks.dropout_backward(index, dx)
            if has_members:
                members.inputs_backward(architecture, index, view, gradients_of_layer, cache.x, dx, workspace)
            dy = np.add(dx, skip_dy, out=dx) if layer.residual else dx
    return dy


def _dz(
    architecture: Architecture,
    index: int,
    view: LayerView,
    gradients: LayerView,
    cache: ForwardCache,
    dy: Array,
    ones: Array,
    workspace: Workspace,
) -> Array:
    """The derivative by the product x W from that by the output y; writes all gradients but those by W and r."""
    activation, normalisation = architecture.functions.activations[index], architecture.functions.normalisations[index]
    vectors, d = view, gradients
    if architecture.members > 1:
        vectors, d = (members.own_vectors(architecture, index, of_layer) for of_layer in (view, gradients))
        dy = members.rows_of_networks(architecture, index, len(view.W), dy)
        ones = np.ones_like(dy, shape=(1, 1, dy.shape[1]))
    dn = _activation_backward(activation, dy, cache, vectors, d, index, workspace)
    dz = normalisation.backward(dn, cache.norm_cache, vectors, d, workspace.part(index))
    if normalisation.has_bias:
        dense.sum_rows(dz, ones, d.b)
    if architecture.members > 1:
        members.write_back(gradients, d)
        members.outputs_backward(architecture, index, view, gradients, cache.z, dz, workspace)
    if architecture.parametrization == "ntk":
        dz *= architecture.product_factor(index)
    return dz


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
    if len(architecture.parts_of_members) > 1 and hooks is None and type(x) is np.ndarray:
        return _gradient_in_parts(layers, gradients, architecture, x, t, workspace, weights)
    z, caches, input_cache = forward(layers, architecture, x, workspace, hooks)
    loss, dz = mean_gradient(architecture.functions.loss, *members.of_each_member(architecture, z, t, weights))
    if architecture.members > 1:
        dz /= architecture.members
    backward(layers, gradients, architecture, caches, input_cache, dz, workspace, hooks)
    return members.mean_of_members(architecture, loss)


def _gradient_in_parts(
    layers: Sequence[LayerView],
    gradients: Sequence[LayerView],
    architecture: Architecture,
    x: Array,
    t: Array,
    workspace: Workspace,
    weights: Array | None,
) -> Array:
    """`gradient` of networks with members, for some members at a time; what all members share gets the sum."""
    x, input_cache = input_layer.forward(layers[0], architecture, x, workspace)
    loss, dx = [], np.zeros(1)
    for part, some in architecture.parts_of_members:
        own, d = ([members.of_part(view, part) for view in views] for views in (layers, gradients))
        if part.start > 0:
            d = [
                view._replace(W=workspace(("part of dW", index), view.W)) if view.W.ndim == 3 else view
                for index, view in enumerate(d)
            ]
        z, caches = _forward_layers(own, some, x, workspace, None)
        of_members, dz = mean_gradient(some.functions.loss, *members.of_each_member(some, z, t, weights))
        dz /= architecture.members
        dx_of_part = _backward_layers(own, d, some, caches, dz, workspace, None)
        loss.append(of_members.reshape(-1, some.members))
        if architecture.has_input_layer:
            summed = members.sum_over_members(some, dx_of_part)
            dx = summed if part.start == 0 else np.add(dx, summed, out=dx)
        for view, of_part in zip(gradients, d, strict=True):
            if part.start > 0 and view.W.ndim == 3:
                view.W[...] += of_part.W
    if architecture.has_input_layer:
        input_layer.backward(layers[0], gradients[0], architecture, input_cache, dx, workspace)
    return np.concatenate(loss, axis=1).mean(axis=1)


def mean_loss(
    layers: Sequence[LayerView],
    architecture: Architecture,
    x: Array,
    t: Array,
    workspace: Workspace,
    weights: Array | None = None,
) -> Array:
    """Compute the loss of K networks on one batch in training mode; parameters and returns as in `gradient`."""
    z, _, _ = forward(layers, architecture, x, workspace)
    loss = mean_value(architecture.functions.loss, *members.of_each_member(architecture, z, t, weights))
    return members.mean_of_members(architecture, loss)


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
    """Compute `infer` for any number of rows, `rows_at_once` at a time; the result (K, N, O) is a new array."""
    size = rows_at_once(architecture)
    outputs = [
        infer(layers, architecture, x[:, start : start + size], workspace).copy()
        for start in range(0, max(x.shape[1], 1), size)
    ]
    return np.concatenate(outputs, axis=1) if outputs[1:] else outputs[0]


def rows_at_once(architecture: Architecture) -> int:
    """Number of rows that `infer_layers` computes at a time."""
    k = architecture.members
    return ROWS_AT_ONCE if k == 1 else max(ROWS_OF_MEMBERS, ROWS_AT_ONCE // k)


def _product(architecture: Architecture, index: int, x: Array, W: Array, workspace: Workspace) -> Array:
    """x W (K, N, O), in the neural tangent parametrization divided by sqrt(I); with members (K, k N, O)."""
    x = members.rows_like(W, x) if W.ndim == 4 else x
    z = dense.forward(x, W, workspace(("z", index), W, (*W.shape[:-2], x.shape[-2], W.shape[-1])))
    if architecture.parametrization == "ntk":
        np.multiply(z, architecture.product_factor(index), out=z)
    return z if W.ndim == 3 else z.reshape(len(W), -1, W.shape[-1])


def _dx(W: Array, dz: Array, index: int, workspace: Workspace) -> Array:
    """dz W^T (K, N, I); with members (K, k N, I)."""
    dz = members.rows_like(W, dz)
    dx = dense.backward_input(W, dz, workspace(("dx", index), dz, (*dz.shape[:-1], W.shape[-2])))
    return dx if W.ndim == 3 else dx.reshape(len(W), -1, W.shape[-2])


def _output(architecture: Architecture, index: int, K: int, x: Array, y: Array, workspace: Workspace) -> Array:
    """y, plus the layer's input x if the layer is residual, (K, N, O); with members (K, k N, O)."""
    if architecture.layers[index].residual:
        by_member = y.reshape(K, architecture.members, -1, y.shape[-1])
        x = members.by_member(architecture, index, x)
        y = np.add(by_member, x, out=workspace(("sum", index), by_member))
    return y if y.ndim == 3 and len(y) == K else y.reshape(K, -1, y.shape[-1])


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
) -> Array:
    """The output y of the activation for its input n + shift."""
    out = workspace(("y", index), n)
    if activation.is_parametric:
        z = given = dense.add(n, shift)
        if not activation.keeps_inputs:
            np.copyto(given := workspace(("given z", index), z), z)
        return parametric_y(z, activation.forward(given, workspace(("f", index), z)), view.alpha, out)
    return activation.biased(n, shift) if activation.biased else activation.forward(dense.add(n, shift), out)


def _activate_in_training(
    activation: Activation, n: Array, shift: Array, view: LayerView, index: int, workspace: Workspace
) -> tuple[Array, Array | None, Array]:
    """f and the slope as in ForwardCache, and the output y; n becomes n + shift, if it is not overwritten."""
    if activation.biased or activation.with_slope is None:
        y = _activate(activation, n, shift, view, index, workspace)
        return y, None, y
    z, out, slope = dense.add(n, shift), workspace(("y", index), n), workspace(("slope", index), n)
    f = activation.with_slope(z, slope, out)
    return f, slope, parametric_y_and_difference(z, f, view.alpha) if activation.is_parametric else f


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
    if cache.slope is None:
        return activation.backward(dy, cache.n, cache.f, workspace(("dn", index), cache.n))
    if not activation.is_parametric:
        return np.multiply(dy, cache.slope, out=cache.slope)
    dn = parametric_dz(dy, cache.slope, cache.f, view.alpha)
    dense.sum_rows(cache.f, np.ones_like(dy, shape=(1, 1, dy.shape[1])), gradients.alpha)
    return dn
