"""What is done with the rows before the first layer: embeddings of numbers and of categories, and the scaling layer.

The columns of the rows are, in this order, numbers that the embedding maps, other numbers, and integer codes of
categories. What enters the first layer are, in this order, the numbers as they are (those of the embedding only if it
keeps them), the embedding's numbers, and the vectors of the categories; each is multiplied by its learned factor.
"""

from typing import Any, NamedTuple

import numpy as np

from nncore.architecture import Architecture, LayerView
from nncore.kernels import dense
from nncore.kernels.backend import Array, as_array_like, gather_rows
from nncore.kernels.elementwise import elementwise
from nncore.kernels.workspace import Workspace


class InputCache(NamedTuple):
    """What the backward pass needs.

    Parameters
    ----------
    unscaled : array (K or 1, N, I)
        What the scaling layer got.
    embedding
        What the embedding needs.
    positions : int array (K, N, C), optional
        For each of C categories, its vector's position among those of all networks.
    """

    unscaled: Array
    embedding: Any = None
    positions: Array | None = None


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
    cache = InputCache(x)
    if architecture.n_embedded or architecture.levels:
        cache = _embedded(view, architecture, x, workspace)
    if not architecture.scaling_layer:
        return cache.unscaled, cache
    out = workspace("scaled inputs", x, (len(view.input_scale), *cache.unscaled.shape[1:]))
    return np.multiply(cache.unscaled, view.input_scale, out=out), cache


def _embedded(view: LayerView, architecture: Architecture, x: Array, workspace: Workspace) -> InputCache:
    """The plain numbers, those of the embedding and the vectors of categories side by side."""
    n_networks, n_rows, n_columns = len(view.W), x.shape[1], architecture.n_embedded
    embedding, first_code = architecture.functions.embedding, architecture.inputs - len(architecture.levels)
    first_kept = 0 if embedding.keeps_x else n_columns
    parts = [x[:, :, first_kept:first_code]] if first_kept < first_code else []
    embedding_cache, positions = None, None
    if n_columns:
        columns = workspace("columns", x, (len(x), n_columns, n_rows))
        np.copyto(columns, np.swapaxes(x[:, :, :n_columns], 1, 2))
        y, embedding_cache = embedding.forward(columns, view.embedding, _named(workspace))  # (K, M, size, N)
        parts.append(np.swapaxes(y.reshape(n_networks, n_columns * embedding.size, -1), 1, 2))
    if architecture.levels:
        n_vectors, size = view.category.shape[1:]
        first_of_column = np.cumsum((0, *architecture.levels[:-1]))
        first_of_network = np.arange(n_networks)[:, None, None] * n_vectors
        codes = x[:, :, first_code:].astype(np.int64)
        positions = codes + as_array_like(first_of_column + first_of_network, x)  # (K, N, C)
        vectors = workspace("vectors", x, (n_networks, n_rows, len(architecture.levels), size))
        gather_rows(view.category.reshape(n_networks * n_vectors, size), positions, vectors)
        parts.append(np.reshape(vectors, (n_networks, n_rows, len(architecture.levels) * size)))
    parts = [
        part if len(part) == n_networks else np.broadcast_to(part, (n_networks, *part.shape[1:])) for part in parts
    ]
    unscaled = workspace("inputs", x, (n_networks, n_rows, architecture.sizes[0]))
    np.concatenate(parts, axis=2, out=unscaled)
    return InputCache(unscaled, embedding_cache, positions)


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
        Derivative of the loss by what entered the first layer; it is overwritten.
    workspace : Workspace

    Notes
    -----
    With y = s x: ds = sum over the rows of dy x, and dx = s dy. The gradient of a category's vector is the sum over the
    rows with this category; it is summed in float64, row by row.
    """
    if architecture.scaling_layer:
        terms = scale_terms(dy, cache.unscaled, view.input_scale, workspace("scale terms", dy))
        dense.sum_rows(terms, np.ones_like(dy, shape=(1, 1, dy.shape[1])), gradients.input_scale)
    n_columns, size = architecture.n_embedded, architecture.functions.embedding.size
    first_vector = dy.shape[2] - len(architecture.levels) * architecture.category_size
    if n_columns:
        d_embedded = dy[:, :, first_vector - n_columns * size : first_vector]
        copy = workspace("d embedded", dy, (len(dy), n_columns, size, dy.shape[1]))
        np.copyto(copy.reshape(len(dy), n_columns * size, -1), np.swapaxes(d_embedded, 1, 2))
        architecture.functions.embedding.backward(
            copy, cache.embedding, view.embedding, gradients.embedding, _named(workspace)
        )
    if cache.positions is not None:
        n_vectors, size = view.category.shape[1:]
        positions = cache.positions[..., None] * size + as_array_like(np.arange(size), dy)  # (K, N, C, size)
        sums = np.bincount(positions.ravel(), dy[:, :, first_vector:].ravel(), len(dy) * n_vectors * size)
        gradients.category[...] = sums.reshape(len(dy), n_vectors, size)


def _named(workspace: Workspace) -> Any:
    """The embedding's part of a workspace."""
    return lambda name, like, shape=None: workspace(("embedding", name), like, shape)


@elementwise("dy", "terms")
def scale_terms(dy: Array, x: Array, scale: Array) -> tuple[Array, Array]:
    """Return the derivative by a number before it is scaled, and one row's part of that by its factor."""
    return dy * scale, dy * x
