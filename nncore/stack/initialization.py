"""The numbers that networks start with; some are taken from each network's own training rows."""

from collections.abc import Sequence

import numpy as np

from nncore.architecture import Architecture, LayerView, initial_parameters, layer_views
from nncore.initializers import DataDrivenInitializer
from nncore.kernels.backend import Array
from nncore.kernels.workspace import Workspace
from nncore.random_streams import generator
from nncore.stack import input_layer
from nncore.stack.data import Data, Rows
from nncore.stack.passes import infer_layer, product

MAX_ROWS, MIN_ROWS = 8192, 1024  # whose products weights are fitted to: at most, of all members; and of each of them


def start_parameters(
    architecture: Architecture, seeds_and_views: Sequence[tuple[int, int]], data: Data | Sequence[Data] | None
) -> Array:
    """Draw the initial parameters of networks and fit what has to be fitted.

    Parameters
    ----------
    architecture : Architecture
    seeds_and_views : sequence of (int, int)
        Of each network; networks that agree in both get the same numbers.
    data : Data or sequence of Data, optional
        One data set, or one for each view. Only needed if `architecture.is_data_driven`.

    Returns
    -------
    array (K, buffer_size)

    Raises
    ------
    ValueError
        If data are needed, but not given.
    """
    if not architecture.is_data_driven:
        drawn = {seed: initial_parameters(architecture, seed) for seed in {seed for seed, _ in seeds_and_views}}
        return np.stack([drawn[seed] for seed, _ in seeds_and_views])
    if data is None:
        bins = architecture.functions.embedding.fit and architecture.n_embedded
        component = architecture.embedding if bins else architecture.initializer
        raise ValueError(f"data must be given, as {component.short_name} takes numbers from the training rows")
    views = (data,) if isinstance(data, Data) else data
    bins_of_view = {view: _bins(architecture, views[view].train) for view in {view for _, view in seeds_and_views}}
    fitted: dict[tuple[int, int], Array] = {}
    for seed, view in seeds_and_views:
        if (seed, view) not in fitted:
            fitted[seed, view] = _fitted(architecture, seed, bins_of_view[view], views[view].train.x)
    return np.stack([fitted[pair] for pair in seeds_and_views])


def _bins(architecture: Architecture, rows: Rows) -> Array | None:
    """The bins of the embedding, if it has any."""
    embedding = architecture.functions.embedding
    if embedding.fit is None or not architecture.n_embedded:
        return None
    return embedding.fit(rows.x[:, : architecture.n_embedded], rows.t)


def _fitted(architecture: Architecture, seed: int, bins: Array | None, x: Array) -> Array:
    """The numbers (buffer_size,) of one network."""
    buffer = initial_parameters(architecture, seed)[None]
    layers = layer_views(buffer, architecture)
    if bins is not None:
        layers[0].embedding["bins"][0] = bins
    initializer = architecture.initializer.build()
    if isinstance(initializer, DataDrivenInitializer):
        with np.errstate(all="ignore"):  # rows may be so large that a product overflows; training will say so
            _fit_layers(architecture, layers, initializer, seed, x)
    return buffer[0]


def _fit_layers(
    architecture: Architecture, layers: list[LayerView], initializer: DataDrivenInitializer, seed: int, x: Array
) -> None:
    """Fit weights and biases layer by layer, in the views of one network; see `data_driven`.

    The rows are a sample drawn from generator(seed, "rows of initial weights"), a layer's biases from
    generator(seed, "initial biases", layer).
    """
    n_rows = max(MIN_ROWS, MAX_ROWS // architecture.members)
    if len(x) > n_rows:
        x = x[generator(seed, "rows of initial weights").permutation(len(x))[:n_rows]]
    workspace = Workspace()
    inputs, _ = input_layer.forward(layers[0], architecture, x[None], workspace)
    for index, (layer, view) in enumerate(zip(architecture.layers, layers, strict=True)):
        z = product(view, architecture, index, inputs, workspace)  # (1, N, O), or (1, k N, O)
        z = z.reshape(*view.W.shape[1:-2], -1, z.shape[-1])  # (N, O), or (k, N, O) where each member has its own W
        if layer.tied_to is None:
            deviation = z.std(axis=-2, keepdims=True, dtype=np.float64)
            deviation = np.where(deviation > 0, deviation, 1).astype(z.dtype)  # 0: of a unit that is constant
            view.W[0] /= deviation
            z /= deviation
        if view.b.size:
            biases = view.b[0].reshape(-1, z.shape[-1])  # (1, O), or (k, O)
            random = generator(seed, "initial biases", index)
            for bias, of_member in zip(biases, z.reshape(len(biases), -1, z.shape[-1]), strict=True):
                bias[...] = initializer.bias(random, of_member)
        inputs = infer_layer(view, architecture, index, inputs, z.reshape(1, -1, z.shape[-1]), workspace)
