"""Embeddings of numeric columns: each number becomes several, by functions that are learned for each column.

Each public function returns an `Embedding`. Its functions work on all M columns of K networks at once. The learned
arrays of a network are (M, ...), by name; in the notation of the formulas below they belong to one column:

    draw(random, M) -> arrays                             the initial arrays of one network, float64
    fit(x, t) -> bins                                     what is taken from training rows (N, M), where that is needed
    forward(x, arrays, workspace) -> (y, cache)           x (K or 1, M, N), y (K, M, size, N)
    backward(dy, cache, arrays, gradients, workspace)     writes the gradients of the learned arrays; once per forward

There is no gradient by x, as x is data. The arrays are no weights in the sense of penalties and weight decay: these do
not apply to them unless they apply to all parameters.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from nncore.kernels.backend import Array, as_array_like
from nncore.kernels.hyperparameters import checked
from nncore.kernels.workspace import Workspace

Arrays = Mapping[str, Array]  # of an embedding, by name
Dims = Mapping[str, tuple[int, ...]]
SMALLEST_WIDTH = 1e-30  # of a bin: float32 can hold its inverse


class Embedding(NamedTuple):
    """An embedding of numeric columns; see the module's docstring.

    Parameters
    ----------
    size : int
        Learned numbers for each column.
    keeps_x : bool
        Whether the number itself also enters the first layer.
    dims : mapping of str to tuple of int
        Dimensions of the learned arrays of a column.
    draw, forward, backward : callable
    n_inner : int, default 0
        Numbers for each column between x and y: a measure of time and memory.
    bin_dims : tuple of int, default ()
        Dimensions of a column's "bins", which are fitted and not learned; () if there are none.
    fit : callable, optional
        Needed if there are bins.
    """

    size: int
    keeps_x: bool
    dims: Dims
    draw: Callable[[np.random.Generator, int], dict[str, Array]]
    forward: Callable[[Array, Arrays, Workspace], tuple[Array, Any]]
    backward: Callable[[Array, Any, Arrays, Arrays, Workspace], None]
    n_inner: int = 0
    bin_dims: tuple[int, ...] = ()
    fit: Callable[[Array, Array], Array] | None = None


def none() -> Embedding:
    """No embedding: the numbers enter the first layer as they are."""
    return Embedding(
        0,
        True,
        MappingProxyType({}),
        lambda random, n_columns: {},
        lambda x, arrays, workspace: (np.empty_like(x, shape=(*x.shape[:2], 0, x.shape[2])), None),
        lambda dy, cache, arrays, gradients, workspace: None,
    )


def pbld(frequencies: int = 16, size: int = 3, deviation: ArrayLike = 0.1) -> Embedding:
    """PBLD (periodic, bias, linear, dense): the number itself, and linear functions of cosines of it.

    Parameters
    ----------
    frequencies : int, >= 1, default 16
        Cosines for each column.
    size : int, >= 1, default 3
        Learned numbers for each column, in addition to the number itself.
    deviation : float, > 0, default 0.1
        Standard deviation of the initial frequencies, for columns of about unit size.

    Raises
    ------
    ValueError
        Naming argument, value and rule.

    Notes
    -----
    y = V^T cos(2 pi f x + phi) + c, with initial f ~ Normal(0, deviation^2), phi ~ Uniform(-pi, pi), and V and c
    ~ Uniform(-a, a) with a = 1 / sqrt(frequencies).

    References
    ----------
    Holzmueller, Grinsztajn & Steinwart (2024), arXiv:2407.04491, section 3 and appendix A.1.
    """
    return _periodic("pbld", frequencies, size, deviation, has_phases=True)


def pl(frequencies: int = 8, size: int = 4, deviation: ArrayLike = 0.1) -> Embedding:
    """PL (periodic, linear): linear functions of cosines and sines of the number.

    Parameters
    ----------
    frequencies : int, >= 1, default 8
        Pairs of a cosine and a sine for each column.
    size : int, >= 1, default 4
        Learned numbers for each column.
    deviation : float, > 0, default 0.1
        Standard deviation of the initial frequencies, for columns of about unit size.

    Raises
    ------
    ValueError
        Naming argument, value and rule.

    Notes
    -----
    y = V^T [cos(2 pi f x), sin(2 pi f x)] + c, with initial f ~ Normal(0, deviation^2), and V and c ~ Uniform(-a, a)
    with a = 1 / sqrt(2 frequencies).

    References
    ----------
    Gorishniy, Rubachev & Babenko (2022), arXiv:2203.05556, section 3.3.
    """
    return _periodic("pl", frequencies, size, deviation)


def plr(frequencies: int = 48, size: int = 24, deviation: ArrayLike = 0.01) -> Embedding:
    """PLR (periodic, linear, ReLU): PL, then a ReLU.

    Parameters
    ----------
    frequencies : int, >= 1, default 48
        Pairs of a cosine and a sine for each column.
    size : int, >= 1, default 24
        Learned numbers for each column.
    deviation : float, > 0, default 0.01
        Standard deviation of the initial frequencies, for columns of about unit size.

    Raises
    ------
    ValueError
        Naming argument, value and rule.

    Notes
    -----
    y = max(0, V^T [cos(2 pi f x), sin(2 pi f x)] + c); initial arrays as in `pl`.

    References
    ----------
    Gorishniy, Rubachev & Babenko (2022), arXiv:2203.05556, section 3.3.
    """
    linear = _periodic("plr", frequencies, size, deviation)

    def forward(x: Array, arrays: Arrays, workspace: Workspace) -> tuple[Array, Any]:
        z, cache = linear.forward(x, arrays, workspace)
        y = np.maximum(z, 0, out=z)
        return y, (y, cache)

    def backward(dy: Array, cache: Any, arrays: Arrays, gradients: Arrays, workspace: Workspace) -> None:
        y, inner = cache
        dz = np.multiply(dy, y > 0, out=workspace("dz", y))
        linear.backward(dz, inner, arrays, gradients, workspace)

    return linear._replace(forward=forward, backward=backward)


def _periodic(name: str, frequencies: int, size: int, deviation: ArrayLike, has_phases: bool = False) -> Embedding:
    """Linear functions of cosines with phases, or of cosines and sines; a = 2 pi f x + phi is (K, M, F, N)."""
    F = int(checked(name, "frequencies", frequencies, at_least=1, integer=True).item())
    size = int(checked(name, "size", size, at_least=1, integer=True).item())
    spread = checked(name, "deviation", deviation, above=0)[0]
    n_inner = F if has_phases else 2 * F
    phases = {"phases": (F,)} if has_phases else {}

    def draw(random: np.random.Generator, n_columns: int) -> dict[str, Array]:
        arrays = {"frequencies": random.normal(0, spread, (n_columns, F))}
        if has_phases:
            arrays["phases"] = random.uniform(-np.pi, np.pi, (n_columns, F))
        bound = 1 / np.sqrt(n_inner)
        arrays["V"] = random.uniform(-bound, bound, (n_columns, n_inner, size))
        arrays["c"] = random.uniform(-bound, bound, (n_columns, 1, size))
        return arrays

    def forward(x: Array, arrays: Arrays, workspace: Workspace) -> tuple[Array, Any]:
        f, V = 2 * np.pi * arrays["frequencies"], arrays["V"]
        a = workspace("a", x, (*f.shape, x.shape[2]))
        if has_phases:  # f x + phi as one product, (K, M, F, 2) (K, M, 2, N)
            x = np.stack([x, x * 0 + 1], axis=2)
            np.matmul(np.stack([f, arrays["phases"]], axis=3), x, out=a)
        else:
            np.multiply(x[:, :, None, :], f[:, :, :, None], out=a)
        y = workspace("y", x, (*f.shape[:2], size, a.shape[3]))
        cosines = np.cos(a, out=workspace("cosines", a))
        np.matmul(np.swapaxes(V[:, :, :F], 2, 3), cosines, out=y)
        if not has_phases:
            sines = np.sin(a, out=workspace("sines", a))
            y += np.matmul(np.swapaxes(V[:, :, F:], 2, 3), sines, out=workspace("y of sines", y))
        y += np.swapaxes(arrays["c"], 2, 3)
        return y, (x, a, cosines)

    def backward(dy: Array, cache: Any, arrays: Arrays, gradients: Arrays, workspace: Workspace) -> None:
        """da = -sin(a) (V dy)_cos + cos(a) (V dy)_sin;  df = 2 pi sum da x, dphi = sum da."""
        x, a, cosines = cache
        V, dV, d_frequencies = arrays["V"], gradients["V"], gradients["frequencies"]
        sines = np.sin(a, out=a)
        np.matmul(cosines, np.swapaxes(dy, 2, 3), out=dV[:, :, :F])
        _sum_rows(dy, gradients["c"])
        da = np.matmul(V[:, :, :F], dy, out=workspace("da", a))
        da *= sines
        if has_phases:
            sums = np.matmul(da, np.swapaxes(x, 2, 3))  # (K, M, F, 2), of -da x and of -da
            np.multiply(sums[:, :, :, 0], -2 * np.pi, out=d_frequencies)
            np.negative(sums[:, :, :, 1], out=gradients["phases"])
            return
        np.matmul(sines, np.swapaxes(dy, 2, 3), out=dV[:, :, F:])
        of_sines = np.matmul(V[:, :, F:], dy, out=workspace("da of sines", a))
        of_sines *= cosines
        np.subtract(of_sines, da, out=da)
        np.matmul(da, x[:, :, :, None], out=d_frequencies[:, :, :, None])
        d_frequencies *= 2 * np.pi

    dims = {"frequencies": (F,), **phases, "V": (n_inner, size), "c": (1, size)}
    return Embedding(size, has_phases, MappingProxyType(dims), draw, forward, backward, n_inner)


def piecewise_linear(bins: int = 48, size: int = 16, edges: str = "quantile", min_rows: int = 64) -> Embedding:
    """Piecewise linear embedding: linear functions of the number whose slopes change at the edges of bins.

    Parameters
    ----------
    bins : int, >= 1, default 48
        The most bins for each column; there are fewer where edges coincide.
    size : int, >= 1, default 16
        Learned numbers for each column.
    edges : {"quantile", "tree"}, default "quantile"
        Where the bins end: at quantiles of the column in the training rows, or where a regression tree splits them to
        predict the targets from this column alone.
    min_rows : int, >= 1, default 64
        Training rows in each leaf of a tree.

    Raises
    ------
    ValueError
        Naming argument, value and rule.

    Notes
    -----
    y = w x + c + V^T e(x), where bin b from l to u has e_b = (x - l) / (u - l), which is limited to 0 below the bin
    (unless it is the first) and to 1 above it (unless it is the last). Initially V = 0, and w and c ~ Uniform(-a, a)
    with a = 1 / sqrt(size), so that y is linear. The edges are those of each network's own training rows; weights of
    the rows are ignored.

    References
    ----------
    Gorishniy, Rubachev & Babenko (2022), arXiv:2203.05556, section 3.2; Gorishniy, Kotelnikov & Babenko (2025),
    arXiv:2410.24210 (the linear part, and V = 0).
    """
    B = int(checked("piecewise_linear", "bins", bins, at_least=1, integer=True).item())
    size = int(checked("piecewise_linear", "size", size, at_least=1, integer=True).item())
    min_rows = int(checked("piecewise_linear", "min_rows", min_rows, at_least=1, integer=True).item())
    if edges not in ("quantile", "tree"):
        raise ValueError(f"edges must be quantile or tree, but is {edges!r} (piecewise_linear)")
    lowest, highest = np.zeros((B, 1), np.float32), np.ones((B, 1), np.float32)
    lowest[0], highest[-1] = -np.inf, np.inf

    def draw(random: np.random.Generator, n_columns: int) -> dict[str, Array]:
        bound = 1 / np.sqrt(size)
        linear = {name: random.uniform(-bound, bound, (n_columns, 1, size)) for name in ("w", "c")}
        return {**linear, "V": np.zeros((n_columns, B, size))}

    def fit(x: Array, t: Array) -> Array:
        fitted = np.zeros((x.shape[1], 2, B))
        for column, values in enumerate(x.T.astype(np.float64)):
            if edges == "tree":
                limits = tree_edges(values, t.astype(np.float64), B, min_rows)
            else:
                limits = np.unique(np.quantile(values, np.linspace(0, 1, B + 1)))
            fitted[column] = _bins_between(np.unique(limits.astype(x.dtype)), B)
        return fitted

    def forward(x: Array, arrays: Arrays, workspace: Workspace) -> tuple[Array, Any]:
        limits, w = arrays["bins"], arrays["w"]
        e = workspace("e", x, (len(limits), x.shape[1], B, x.shape[2]))
        np.subtract(x[:, :, None, :], limits[:, :, 0, :, None], out=e)
        e *= limits[:, :, 1, :, None]
        np.maximum(e, as_array_like(lowest, e).astype(e.dtype), out=e)
        np.minimum(e, as_array_like(highest, e).astype(e.dtype), out=e)
        y = workspace("y", x, (len(w), x.shape[1], size, x.shape[2]))
        np.matmul(np.swapaxes(arrays["V"], 2, 3), e, out=y)
        y += np.multiply(x[:, :, None, :], np.swapaxes(w, 2, 3), out=workspace("linear", y))
        y += np.swapaxes(arrays["c"], 2, 3)
        return y, (x, e)

    def backward(dy: Array, cache: Any, arrays: Arrays, gradients: Arrays, workspace: Workspace) -> None:
        x, e = cache
        np.matmul(e, np.swapaxes(dy, 2, 3), out=gradients["V"])
        np.matmul(x[:, :, None, :], np.swapaxes(dy, 2, 3), out=gradients["w"])
        _sum_rows(dy, gradients["c"])

    dims = {"w": (1, size), "c": (1, size), "V": (B, size)}
    return Embedding(size, False, MappingProxyType(dims), draw, forward, backward, B, (2, B), fit)


def _sum_rows(dy: Array, out: Array) -> None:
    """Write the sums over the rows of dy (K, M, size, N) into `out` (K, M, 1, size)."""
    np.matmul(np.ones_like(dy, shape=(1, 1, 1, dy.shape[3])), np.swapaxes(dy, 2, 3), out=out)


def _bins_between(edges: Array, n_bins: int) -> Array:
    """Lower edge and 1 / width (2, n_bins) of the bins between distinct edges.

    Bins that do not exist have 1 / width 0, so that they stay 0; they stand before the last bin, as only the first bin
    has no lower limit and only the last one no upper limit.
    """
    bins = np.zeros((2, n_bins))
    edges = edges[np.append(True, np.diff(edges) > SMALLEST_WIDTH)]
    n = len(edges) - 1
    positions = [*range(n - 1), n_bins - 1][:n]
    bins[0, positions], bins[1, positions] = edges[:-1], 1 / np.diff(edges.astype(np.float64))
    return bins


def tree_edges(x: Array, t: Array, n_leaves: int, min_rows: int) -> Array:
    """Return the edges between the leaves of a regression tree that predicts targets from one column.

    Parameters
    ----------
    x : float64 array (N,)
    t : float64 array (N, O)
    n_leaves : int
        The most leaves.
    min_rows : int
        The least rows in a leaf.

    Returns
    -------
    array
        Ascending and distinct: the smallest x, the places where the tree splits, the largest x.

    Notes
    -----
    The leaf whose best split lowers the sum of squared errors most is split first; a split is half way between two
    values of x.
    """
    order = np.argsort(x, kind="stable")
    x, t = x[order], t[order]
    sums = np.concatenate([np.zeros((1, t.shape[1])), np.cumsum(t - t.mean(axis=0), axis=0)])

    def best_split(first: int, stop: int) -> tuple[float, int, int, int]:
        """The decrease of the error, and the rows first to split and split to stop."""
        splits = np.arange(first + min_rows, stop - min_rows + 1)
        splits = splits[x[splits - 1] < x[splits]] if len(splits) else splits
        if not len(splits):
            return 0.0, first, first, stop
        left, right = sums[splits] - sums[first], sums[stop] - sums[splits]
        whole = sums[stop] - sums[first]
        gains = (left**2).sum(axis=1) / (splits - first) + (right**2).sum(axis=1) / (stop - splits)
        gains -= (whole**2).sum() / (stop - first)
        best = int(gains.argmax())
        return float(gains[best]), first, int(splits[best]), stop

    leaves, places = [best_split(0, len(x))], list[float]()
    while leaves and len(places) < n_leaves - 1:
        chosen = max(leaves)
        leaves.remove(chosen)
        gain, first, split, stop = chosen
        if not gain > 1e-12 * (1 + abs(sums).max()):
            break
        places.append((x[split - 1] + x[split]) / 2)
        leaves += [best_split(first, split), best_split(split, stop)]
    return np.unique([x[0], *places, x[-1]])
