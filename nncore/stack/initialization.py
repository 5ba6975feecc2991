"""The numbers that networks start with; some are taken from each network's own training rows."""

from collections.abc import Sequence

import numpy as np

from nncore.architecture import Architecture, initial_parameters, layer_views
from nncore.kernels.backend import Array
from nncore.stack.data import Data, Rows


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
        raise ValueError(
            f"data must be given, as {architecture.embedding.short_name} takes numbers from the training rows"
        )
    views = (data,) if isinstance(data, Data) else data
    bins = {view: _bins(architecture, views[view].train) for view in {view for _, view in seeds_and_views}}
    fitted: dict[tuple[int, int], Array] = {}
    for seed, view in seeds_and_views:
        if (seed, view) not in fitted:
            fitted[seed, view] = _fitted(architecture, seed, bins[view])
    return np.stack([fitted[pair] for pair in seeds_and_views])


def _bins(architecture: Architecture, rows: Rows) -> Array | None:
    """The bins of the embedding, if it has any."""
    embedding = architecture.functions.embedding
    if embedding.fit is None or not architecture.n_embedded:
        return None
    return embedding.fit(rows.x[:, : architecture.n_embedded], rows.t)


def _fitted(architecture: Architecture, seed: int, bins: Array | None) -> Array:
    """The numbers (buffer_size,) of one network."""
    buffer = initial_parameters(architecture, seed)[None]
    layers = layer_views(buffer, architecture)
    if bins is not None:
        layers[0].embedding["bins"][0] = bins
    return buffer[0]
