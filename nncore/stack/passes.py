"""A chain of layers y = f(norm(x W + b)) (+ x), and the chain rule that gives the gradient of its loss."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from nncore.activations import Activation
from nncore.architecture import Architecture, LayerView, layer_views
from nncore.kernels import dense
from nncore.kernels.backend import Array
from nncore.kernels.workspace import Workspace
from nncore.losses import mean_gradient


class Hooks(Protocol):
    """What regularizers do inside the network while it learns."""

    def drop(self, layer: int, x: Array) -> Array:
        """What the layer gets to see of its input x (K or 1, N, I)."""

    def backward_drop(self, layer: int, dx: Array) -> None:
        """The derivative by what the layer saw becomes, in place, that by its input."""

    def add_activity(self, layer: int, y: Array, dy: Array) -> None:
        """Add the derivative of a penalty on the layer's y to dy, in place."""


class NoHooks:
    """Nothing happens inside the network."""

    def drop(self, layer: int, x: Array) -> Array:
        """See Hooks."""
        return x

    def backward_drop(self, layer: int, dx: Array) -> None:
        """See Hooks."""

    def add_activity(self, layer: int, y: Array, dy: Array) -> None:
        """See Hooks."""


class ForwardCache(NamedTuple):
    """What one layer saw and said in the forward pass, kept for the backward pass.

    x      what it saw
    n      what its activation got, x W + b, normalised; or y, where that was written in its place
    y      what its activation said
    out    what the next layer saw: y, and + x if it is residual
    kept   what its normalisation needs on the way back
    """

    x: Array
    n: Array
    y: Array
    out: Array
    kept: Any


def infer(at: Sequence[LayerView], architecture: Architecture, x: Array, workspace: Workspace) -> Array:
    """The answer z (K, N, O) to x (K or 1, N, I): no row depends on another. It lies in scratch."""
    normalisations, activations = architecture.functions.normalisations, architecture.functions.activations
    for index, (layer, view) in enumerate(zip(architecture.layers, at, strict=False)):
        z = dense.forward(x, view.W, _room(workspace, "z", index, view, x))
        n, shift = normalisations[index].infer(z, view)
        y = _active(activations[index], n, shift, workspace(("y", index), n))
        x = np.add(y, x, out=workspace(("sum", index), z)) if layer.residual else y
    return x


def forward(
    at: Sequence[LayerView], architecture: Architecture, x: Array, workspace: Workspace, hooks: Hooks
) -> tuple[Array, list[ForwardCache]]:
    """The training pass: the output z (K, N, O), and what each layer must remember for the way back."""
    normalisations, activations = architecture.functions.normalisations, architecture.functions.activations
    passed = []
    for index, (layer, view) in enumerate(zip(architecture.layers, at, strict=True)):
        seen = hooks.drop(index, x)
        z = dense.forward(seen, view.W, _room(workspace, "z", index, view, seen))
        n, shift, kept = normalisations[index].train(z, view, workspace.part(index))
        y = _active(activations[index], n, shift, workspace(("y", index), n))
        x = np.add(y, x, out=workspace(("sum", index), z)) if layer.residual else y
        passed.append(ForwardCache(seen, n, y, x, kept))
    return x, passed


def backward(
    at: Sequence[LayerView],
    d: Sequence[LayerView],
    architecture: Architecture,
    passed: list[ForwardCache],
    dy: Array,
    workspace: Workspace,
    hooks: Hooks,
) -> None:
    """Write the gradient of every parameter into the views `d`; dy is the derivative by the output.

    The chain rule, from the last layer to the first: dn = dy f'(n), dz by the normalisation, then dW = x^T dz,
    db = sum dz and, for the layer before, dy = dz W^T (and + dy past a residual layer).
    """
    ones = np.ones_like(dy, shape=(1, 1, dy.shape[1]))
    tied: dict[int, Array] = {}  # what layers that share weights add to their owner's gradient
    for index in reversed(range(len(passed))):
        layer, view, (x, n, y, out, kept) = architecture.layers[index], at[index], passed[index]
        hooks.add_activity(index, out, dy)
        if layer.residual:  # backward may write in its place
            np.copyto(beside := workspace(("dy", index), dy), dy)
        dn = architecture.functions.activations[index].backward(dy, n, y, workspace(("dn", index), n))
        dz = architecture.functions.normalisations[index].backward(dn, kept, view, d[index], workspace.part(index))
        dense.sum_rows(dz, ones, d[index].b)
        if layer.tied_to is None:
            dense.backward_weights(x, dz, d[index].W)
            if index in tied:
                d[index].W[...] += tied[index]
        else:
            share = np.matmul(dz.swapaxes(1, 2), x)  # (K, O, I), as the owner's W is the other way round
            tied[layer.tied_to] = tied[layer.tied_to] + share if layer.tied_to in tied else share
        if index > 0:  # nobody asks for the derivative by the data
            dx = dense.backward_input(view.W, dz, workspace(("dx", index), dz, (*dz.shape[:2], view.W.shape[1])))
            hooks.backward_drop(index, dx)
            dy = np.add(dx, beside, out=dx) if layer.residual else dx


def gradient(
    at: Sequence[LayerView],
    d: Sequence[LayerView],
    architecture: Architecture,
    x: Array,
    t: Array,
    workspace: Workspace,
    weights: Array | None = None,
    hooks: Hooks | None = None,
) -> Array:
    """Write dLoss/dParameters into the views `d` and return the loss (K,), a mean over the rows.

    weights (K or 1, N) weigh the rows; their mean over the data is 1.
    """
    hooks = hooks or NoHooks()
    z, passed = forward(at, architecture, x, workspace, hooks)
    loss, dz = mean_gradient(architecture.functions.loss, z, t, weights)
    backward(at, d, architecture, passed, dz, workspace, hooks)
    return loss


ROWS_AT_ONCE = 512  # in evaluation; fixed, because the number of rows decides how a product is rounded


def predict(numbers: Array, architecture: Architecture, x: Array, workspace: Workspace | None = None) -> Array:
    """The outputs of the networks `numbers` (K, buffer_size) for the rows x (N, I): (K, N, outputs).

    scratch   of one who often asks
    """
    return infer_layers(layer_views(numbers, architecture), architecture, x[None], workspace or Workspace())


def infer_layers(at: Sequence[LayerView], architecture: Architecture, x: Array, workspace: Workspace) -> Array:
    """What the given layers, the first of `shape`, make of x (K or 1, N, I): (K, N, O), a new array."""
    pieces = [
        infer(at, architecture, x[:, start : start + ROWS_AT_ONCE], workspace).copy()
        for start in range(0, max(x.shape[1], 1), ROWS_AT_ONCE)
    ]
    return np.concatenate(pieces, axis=1) if pieces[1:] else pieces[0]


def _active(f: Activation, n: Array, shift: Array, out: Array) -> Array:
    """y = f(n + shift), in one go if it can."""
    return f.biased(n, shift) if f.biased else f.forward(dense.add([n, shift]), out)


def _room(workspace: Workspace, name: str, index: int, view: LayerView, x: Array) -> Array:
    """Where the layer's x W (K, N, O) goes."""
    return workspace((name, index), view.W, (len(view.W), x.shape[1], view.W.shape[2]))
