"""Parts of a stack whose gradients are computed one after the other, so that their numbers stay in a core's cache."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from nncore.architecture import NUMBERS_IN_CACHE, Architecture, LayerView, layer_views
from nncore.kernels.backend import Array
from nncore.kernels.workspace import Workspace
from nncore.random_streams import RandomStreams
from nncore.regularizers.base import ActivityRegularizer, Dropout
from nncore.stack.data import Rows
from nncore.stack.hooks import DropoutHooks
from nncore.stack.state import Stack

MOST_NETWORKS = 16  # of a part; networks so small that more would fit are faster all at once


class StackPart(NamedTuple):
    """Adjacent networks of a stack.

    Parameters
    ----------
    networks : slice
        Their positions.
    layers, gradients : list of LayerView
        Views of their parameters and of their gradient.
    dropouts : list of (slice, Dropout)
    activities : list of (slice, ActivityRegularizer)
        Each with the networks that it applies to, counted from the part's first.
    """

    networks: slice
    layers: list[LayerView]
    gradients: list[LayerView]
    dropouts: list[tuple[slice, Dropout]]
    activities: list[tuple[slice, ActivityRegularizer]]

    def rows(self, batch: Rows) -> Rows:
        """Return the rows of these networks, of a batch that may be the same for all networks."""
        x, t, weights = batch
        own_weights = None if weights is None else self._own(weights)
        return Rows(self._own(x), self._own(t), own_weights)

    def _own(self, array: Array) -> Array:
        return array if len(array) == 1 else array[self.networks]

    def hooks(
        self, architecture: Architecture, workspace: Workspace, streams: RandomStreams, sums_activity: bool
    ) -> DropoutHooks | None:
        """Return the hooks of an epoch; None if these networks have no dropout and no activity regularizer."""
        if not self.dropouts and not self.activities:
            return None
        n_networks, own_streams = self.networks.stop - self.networks.start, streams.of(self.networks)
        return DropoutHooks(
            n_networks, architecture, workspace, self.dropouts, self.activities, own_streams, sums_activity
        )


def parts_in_cache(stack: Stack, g: Array) -> Sequence[StackPart]:
    """Divide a stack into parts; the result of a network does not depend on them.

    Parameters
    ----------
    stack : Stack
    g : array (K, P)
        The gradient.

    Returns
    -------
    sequence of StackPart
        A single one on a GPU, and where networks are few or small.
    """
    n_networks, n_numbers = len(stack.networks), _numbers_of_network(stack.architecture)
    size = max(1, NUMBERS_IN_CACHE // n_numbers)
    is_small = size > MOST_NETWORKS or n_networks * n_numbers <= 2 * NUMBERS_IN_CACHE
    if is_small or type(stack.parameters) is not np.ndarray:
        size = max(1, n_networks)
    parts = []
    for start in range(0, n_networks, size):
        networks = slice(start, min(start + size, n_networks))
        parameters = stack.parameters[networks]
        groups = replace(stack, networks=stack.networks[networks], parameters=parameters, state={}).groups()
        dropouts = [(group.rows, group.built) for group in groups if isinstance(group.built, Dropout)]
        activities = [(group.rows, group.built) for group in groups if isinstance(group.built, ActivityRegularizer)]
        layers, gradients = (layer_views(array, stack.architecture) for array in (parameters, g[networks]))
        parts.append(StackPart(networks, layers, gradients, dropouts, activities))
    return parts


def _numbers_of_network(architecture: Architecture) -> int:
    """The most numbers that a layer or an embedding of one network computes in a batch."""
    n_inner = architecture.n_embedded * architecture.functions.embedding.n_inner
    return architecture.batch_size * max(architecture.members * max(architecture.sizes[1:]), n_inner)
