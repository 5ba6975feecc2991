"""The members of a network (TabM): k predictors that share what precedes the first layer, and most weights.

Within the layers a network has k rows for each row of the data, member after member: x is (K, k N, I). Where members
share W, a layer is one product with all of these rows. Where each member has its own bias, normalisation and
activation, these are computed as for K k networks, in the same memory: (K k, N, O).

A member's factors r and s multiply rows or weights, ((x r) W) s = x (r W s), whichever are fewer numbers in a batch
(Architecture.multiplies_weights). Training computes large members that share no hidden bias a few at a time
(Architecture.parts_of_members).
"""

import numpy as np

from nncore.architecture import NUMBERS_IN_CACHE, Architecture, LayerView
from nncore.kernels import dense
from nncore.kernels.backend import Array
from nncore.kernels.workspace import Workspace
from nncore.losses import Loss, mixture_logits, moments

VECTORS = ("b", "scale", "shift", "mean", "variance", "alpha")  # what each member may have of its own, beside W, r, s


def inputs_and_weights(
    architecture: Architecture,
    index: int,
    view: LayerView,
    x: Array,
    spread: bool,
    multiplies_weights: bool,
    workspace: Workspace,
) -> tuple[Array, Array]:
    """Compute the operands of a layer's product, with r applied to one of them.

    Parameters
    ----------
    architecture : Architecture
    index : int
        Index of the layer.
    view : LayerView
    x : array (K or 1, N, I) for the first layer, else (K, k N, I)
    spread : bool
        Whether the first layer's inputs must differ from member to member, because they are dropped at random.
    multiplies_weights : bool
        Whether the factors multiply W. In inference they do not, as few rows are computed at a time.
    workspace : Workspace

    Returns
    -------
    x_in : array (K, k N, I)
        If all members have the same, (K or 1, 1, N, I).
    W : array (K, I, O), or (K, k, I, O) if each member has its own
    """
    W, r = view.W, np.ones_like(view.W, shape=(1, architecture.members, 1, 1))
    if multiplies_weights:
        W = workspace(("member weights", index), W, (len(W), architecture.members, *W.shape[1:]))
        np.multiply(view.W[:, None], view.r.swapaxes(2, 3), out=W)
        if view.s.size:
            np.multiply(W, view.s, out=W)
    elif view.r.size:
        r = view.r
    if r is not view.r and (index > 0 or (W.ndim == 4 and not spread)):
        return (x if index > 0 else x[:, None]), W
    of_members = by_member(architecture, index, x)
    out = workspace(("inputs", index), W, (len(W), architecture.members, *of_members.shape[2:]))
    return np.multiply(of_members, r, out=out).reshape(len(W), -1, x.shape[-1]), W


def weights_backward(
    architecture: Architecture,
    index: int,
    view: LayerView,
    gradients: LayerView,
    x_in: Array,
    dz: Array,
    workspace: Workspace,
) -> None:
    """Write dW, and dr and ds where these factors multiply W.

    Parameters
    ----------
    architecture, index, view, workspace
        As in `inputs_and_weights`.
    gradients : LayerView
    x_in : array
        From `inputs_and_weights`, after dropout.
    dz : array (K, k N, O) or (K k, N, O)
        Derivative by the product.

    Notes
    -----
    With G = x^T dz of each member: dW = sum over the members of r G s, dr = sum over the outputs of G W s, and
    ds = sum over the inputs of r G W.
    """
    if not architecture.multiplies_weights[index]:
        dense.backward_weights(rows_like(view.W, x_in), rows_like(view.W, dz), gradients.W)
        return
    k, (K, inputs, outputs) = architecture.members, view.W.shape
    x_in, dz = (rows if rows.ndim == 4 else rows.reshape(K, k, -1, rows.shape[-1]) for rows in (x_in, dz))
    W, r = view.W[:, None], view.r.swapaxes(2, 3)  # (K, 1, I, O), (K, k, I, 1)
    size = max(1, NUMBERS_IN_CACHE // (inputs * outputs))
    gradients.W[...] = 0
    for start in range(0, k, size):
        some = (slice(None), slice(start, start + size))
        G = workspace(("member dW", index), W, (K, len(range(k)[some[1]]), inputs, outputs))
        dense.backward_weights(x_in if x_in.shape[1] == 1 else x_in[some], dz[some], G)
        GW = np.multiply(G, W, out=workspace(("G W", index), G))
        if view.s.size:
            np.matmul(view.r[some], GW, out=gradients.s[some])
            np.matmul(GW, view.s[some].swapaxes(2, 3), out=gradients.r[some].swapaxes(2, 3))
            np.multiply(G, view.s[some], out=G)
        else:
            gradients.r[some][:, :, 0] = GW.sum(axis=3)
        np.multiply(G, r[some], out=G)
        gradients.W[...] += G[:, 0] if size == 1 else G.sum(axis=1)


def inputs_backward(
    architecture: Architecture,
    index: int,
    view: LayerView,
    gradients: LayerView,
    x: Array,
    dx: Array,
    workspace: Workspace,
) -> None:
    """Write dr, and turn the derivative by x r into that by x, where the layer's inputs are multiplied by r.

    Parameters
    ----------
    architecture, index, view, x, workspace
        As in `inputs_and_weights`.
    gradients : LayerView
    dx : array (K, k N, I)
        Changed in place.

    Notes
    -----
    dr = sum over the rows of d(x r) x;  dx = d(x r) r.
    """
    if view.r.size and not architecture.multiplies_weights[index]:
        dx = dx.reshape(len(dx), architecture.members, -1, dx.shape[-1])
        terms = np.multiply(dx, by_member(architecture, index, x), out=workspace(("member terms", index), dx))
        dense.sum_rows(terms, np.ones_like(terms, shape=(1, 1, terms.shape[2])), gradients.r)
        np.multiply(dx, view.r, out=dx)


def outputs_and_vectors(
    architecture: Architecture, index: int, view: LayerView, z: Array, multiplies_weights: bool, workspace: Workspace
) -> tuple[Array, LayerView]:
    """Compute what normalisation and activation work on.

    Parameters
    ----------
    architecture, index, view, multiplies_weights, workspace
        As in `inputs_and_weights`.
    z : array (K, k N, O)
        The product.

    Returns
    -------
    z : array (K, k N, O), or (K k, N, O) where each member has its own bias and normalisation
        The product, in new memory if it is multiplied by s.
    vectors : LayerView
        The view, or `own_vectors` of it.
    """
    if view.s.size and not multiplies_weights:
        z = z.reshape(*view.s.shape[:2], -1, z.shape[-1])
        z = np.multiply(z, view.s, out=workspace(("scaled", index), z))
    return rows_of_networks(architecture, index, len(view.W), z), own_vectors(architecture, index, view)


def outputs_backward(
    architecture: Architecture,
    index: int,
    view: LayerView,
    gradients: LayerView,
    z: Array,
    dz: Array,
    workspace: Workspace,
) -> None:
    """Write ds, and turn the derivative by z s into that by z, where the product z is multiplied by s.

    Parameters
    ----------
    architecture, index, view, z, workspace
        As in `outputs_and_vectors`.
    gradients : LayerView
    dz : array (K k, N, O)
        Changed in place.

    Notes
    -----
    ds = sum over the rows of d(z s) z;  dz = d(z s) s.
    """
    if view.s.size and not architecture.multiplies_weights[index]:
        dz = dz.reshape(*view.s.shape[:2], *dz.shape[1:])
        terms = np.multiply(dz, z.reshape(dz.shape), out=workspace(("member terms", index), dz))
        dense.sum_rows(terms, np.ones_like(terms, shape=(1, 1, terms.shape[2])), gradients.s)
        np.multiply(dz, view.s, out=dz)


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
    """Return rows in the form in which a layer's bias and the like are computed: (K k, N, .), or (K, k N, .)."""
    n = K * architecture.members if architecture.has_own_vectors(index) else K
    return rows if rows.ndim == 3 and len(rows) == n else rows.reshape(n, -1, rows.shape[-1])


def rows_like(W: Array, rows: Array) -> Array:
    """Return rows with the leading axes of W: (K, k N, .), or (K, k, N, .) if each member has its own W."""
    if rows.ndim == W.ndim and (W.ndim == 4 or len(rows) == len(W)):
        return rows
    return rows.reshape(*W.shape[:-2], -1, rows.shape[-1])


def of_part(view: LayerView, part: slice) -> LayerView:
    """Return a layer's view of some members: a part of what each member has of its own, and all that they share."""
    arrays = {name: getattr(view, name) for name in ("W", "r", "s", *VECTORS)}
    return view._replace(**{name: array[:, part] for name, array in arrays.items() if array.ndim == 4})


def by_member(architecture: Architecture, index: int, x: Array) -> Array:
    """Return a layer's input as one of each member: (K or 1, 1, N, I) for the first layer, else (K, k, N, I)."""
    return x[:, None] if index == 0 else x.reshape(len(x), architecture.members, -1, x.shape[-1])


def sum_over_members(architecture: Architecture, dx: Array) -> Array:
    """Return the derivative by the first layer's input (K, N, I), which all members share, from that of each member."""
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


def _repeated(rows: Array, k: int) -> Array:
    """(K, N, .) -> (K k, N, .); (1, N, .) stands for all networks already."""
    return rows if len(rows) == 1 else np.repeat(rows, k, axis=0)
