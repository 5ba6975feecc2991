"""The members of a network (TabM): k predictors that share what precedes the first layer, and most weights.

Within the layers a network has k rows for each row of the data, member after member: x is (K, k N, I). Where members
share W, a layer is one product with all of these rows. Where each member has its own bias, normalisation and
activation, these are computed as for K k networks, in the same memory: (K k, N, O). With k = 1 both are the same.
"""

import numpy as np

from nncore.architecture import Architecture, LayerView
from nncore.kernels import dense
from nncore.kernels.backend import Array
from nncore.kernels.workspace import Workspace
from nncore.losses import Loss, mixture_logits, moments

VECTORS = ("b", "scale", "shift", "mean", "variance", "alpha")  # what each member may have of its own, beside W, r, s


def own_vectors(architecture: Architecture, index: int, view: LayerView) -> LayerView:
    """Return a layer's view in which bias, normalisation and activation are those of K k networks if members have own.

    They are copies then, unless K = 1; `write_back` writes them into the view.
    """
    if not architecture.has_own_vectors(index):
        return view
    arrays = {name: getattr(view, name) for name in VECTORS}
    return view._replace(
        **{name: array.reshape(-1, *array.shape[2:]) for name, array in arrays.items() if array.ndim == 4}
    )


def write_back(view: LayerView, vectors: LayerView) -> None:
    """Write what `own_vectors` returned into the view that it was taken from."""
    if view is not vectors:
        for name in VECTORS:
            array, changed = getattr(view, name), getattr(vectors, name)
            if array.shape != changed.shape:
                array[...] = changed.reshape(array.shape)


def rows_of_networks(architecture: Architecture, index: int, K: int, rows: Array) -> Array:
    """Return rows (K, k N, O) or (K k, N, O) in the form in which a layer's bias and the like are computed."""
    n = K * architecture.members if architecture.has_own_vectors(index) else K
    return rows if len(rows) == n else rows.reshape(n, -1, rows.shape[-1])


def adapt(architecture: Architecture, index: int, view: LayerView, x: Array, workspace: Workspace) -> Array:
    """Compute each member's input of a layer, x r.

    Parameters
    ----------
    architecture : Architecture
    index : int
        Index of the layer.
    view : LayerView
    x : array (K or 1, N, I) for the first layer, else (K, k N, I)
    workspace : Workspace

    Returns
    -------
    array (K, k N, I)
        x itself if there is nothing to do.
    """
    if architecture.members == 1 or (index > 0 and not view.r.size):
        return x
    by_member = _by_member(architecture, index, x)
    r = view.r if view.r.size else np.ones_like(view.W, shape=(1, architecture.members, 1, 1))
    out = workspace(("adapted", index), view.W, (len(view.W), architecture.members, *by_member.shape[2:]))
    return np.multiply(by_member, r, out=out).reshape(len(view.W), -1, x.shape[-1])


def adapt_backward(
    architecture: Architecture,
    index: int,
    view: LayerView,
    gradients: LayerView,
    x: Array,
    dx: Array,
    workspace: Workspace,
) -> None:
    """Write dr, and turn the derivative dx by x r into that by x, in place.

    Parameters
    ----------
    architecture, index, view, x, workspace
        As in `adapt`.
    gradients : LayerView
    dx : array (K, k N, I)

    Notes
    -----
    dr = sum over the rows of d(x r) x;  dx = d(x r) r.
    """
    if view.r.size:
        by_member = dx.reshape(len(dx), architecture.members, -1, dx.shape[-1])
        x = _by_member(architecture, index, x)
        terms = np.multiply(by_member, x, out=workspace(("member terms", index), by_member))
        dense.sum_rows(terms, np.ones_like(terms, shape=(1, 1, terms.shape[2])), gradients.r)
        np.multiply(by_member, view.r, out=by_member)


def scale(index: int, view: LayerView, z: Array, workspace: Workspace) -> Array:
    """Return each member's scaled product z s, a new array (K, k N, O); z itself if the layer has no s."""
    if not view.s.size:
        return z
    by_member = z.reshape(*view.s.shape[:2], -1, z.shape[-1])
    return np.multiply(by_member, view.s, out=workspace(("scaled", index), by_member)).reshape(len(z), -1, z.shape[-1])


def scale_backward(
    index: int, view: LayerView, gradients: LayerView, z: Array, dz: Array, ones: Array, workspace: Workspace
) -> None:
    """Write ds, and turn the derivative dz by z s into that by z, in place.

    Parameters
    ----------
    index, view, z, workspace
        As in `scale`.
    gradients : LayerView
    dz : array (K k, N, O)
    ones : array (1, 1, N)

    Notes
    -----
    ds = sum over the rows of d(z s) z;  dz = d(z s) s.
    """
    if view.s.size:
        by_member = dz.reshape(*view.s.shape[:2], *dz.shape[1:])
        terms = np.multiply(by_member, z.reshape(by_member.shape), out=workspace(("member terms", index), by_member))
        dense.sum_rows(terms, ones, gradients.s)
        np.multiply(by_member, view.s, out=by_member)


def add_input(architecture: Architecture, index: int, K: int, x: Array, y: Array, workspace: Workspace) -> Array:
    """Return y + x (K, k, N, O) of a residual layer, with its input x as in `adapt`."""
    y = y.reshape(K, architecture.members, -1, y.shape[-1])
    return np.add(y, _by_member(architecture, index, x), out=workspace(("sum", index), y))


def sum_over_members(architecture: Architecture, dx: Array) -> Array:
    """Return the derivative by the first layer's input (K, N, I), which all members share, from that of each member."""
    if architecture.members == 1:
        return dx
    return dx.reshape(len(dx), architecture.members, -1, dx.shape[-1]).sum(axis=1)


def of_each_member(
    architecture: Architecture, z: Array, t: Array, weights: Array | None
) -> tuple[Array, Array, Array | None]:
    """Return outputs z (K k, N, .), and the rows' targets and weights (K k or 1, N, .), for the loss of each member.

    z is given as (K, k N, .), t and weights as for networks without members.
    """
    k = architecture.members
    if k == 1:
        return z, t, weights
    z = z.reshape(len(z) * k, -1, z.shape[2])
    return z, _repeated(t, k), None if weights is None else _repeated(weights, k)


def mean_of_members(architecture: Architecture, values: Array) -> Array:
    """Return the mean over the members (K k,) -> (K,)."""
    return values if architecture.members == 1 else values.reshape(-1, architecture.members).mean(axis=1)


def mean_logits(loss: Loss, z: Array, members: int) -> Array:
    """Return outputs that predict the mean of what the members predict: (K k, N, outputs) -> (K, N, outputs)."""
    predicted = moments(loss, z)
    mean = predicted.reshape(len(z) // members, members, -1, predicted.shape[2]).mean(axis=1)
    return mixture_logits(loss, mean).astype(z.dtype)


def _by_member(architecture: Architecture, index: int, x: Array) -> Array:
    """A layer's input as one of each member: (K or 1, 1, N, I) for the first layer, else (K, k, N, I)."""
    return x[:, None] if index == 0 else x.reshape(len(x), architecture.members, -1, x.shape[-1])


def _repeated(rows: Array, k: int) -> Array:
    """(K, N, .) -> (K k, N, .); (1, N, .) stands for all networks already."""
    return rows if len(rows) == 1 else np.repeat(rows, k, axis=0)
