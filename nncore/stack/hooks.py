"""What regularizers do inside the network while it trains: dropout, and penalties on the outputs of hidden layers."""

from collections.abc import Sequence

import numpy as np

from nncore.architecture import Architecture
from nncore.kernels.backend import Array
from nncore.kernels.workspace import Workspace
from nncore.random_streams import RandomStreams
from nncore.regularizers.base import ActivityRegularizer, Dropout
from nncore.regularizers.dropout import CHANCES, keep


class DropoutHooks:
    """Brings the dropouts and activity penalties of a stack into its passes; see network.Hooks.

    dropouts, activities   with the rows of the stack (a slice) that each is for
    """

    def __init__(
        self,
        n_networks: int,
        architecture: Architecture,
        workspace: Workspace,
        dropouts: Sequence[tuple[slice, Dropout]],
        activities: Sequence[tuple[slice, ActivityRegularizer]],
        draws: RandomStreams,
    ) -> None:
        self._n_networks = n_networks
        self._sparse = [layer.sparse for layer in architecture.layers[:-1]]
        self._workspace = workspace
        self._dropouts = dropouts
        self._activities = activities
        self._draws = draws
        self._masks: dict[int, Array] = {}

    def drop(self, layer: int, x: Array) -> Array:
        """x (K or 1, N, I) with the left out numbers 0 and the others larger, (K, N, I)."""
        rates = [(rows, d.rate if layer else d.input_rate) for rows, d in self._dropouts]
        if not any(rate.any() for _, rate in rates):
            return x
        mask = self._workspace(("mask", layer), x, (self._n_networks, *x.shape[1:]))
        seen = self._workspace(("seen", layer), mask)
        if sum(len(mask[rows]) for rows, _ in rates) < self._n_networks:  # the others see everything
            mask[...] = 1
            seen[...] = x
        for rows, rate in rates:
            np.copyto(mask[rows], self._draws.of(rows).chances("dropout", mask[rows], layer))
            left_out = np.minimum(np.round(rate * CHANCES), CHANCES - 1)
            x_there = x if len(x) == 1 else x[rows]
            keep([mask[rows], x_there, seen[rows]], [left_out, CHANCES / (CHANCES - left_out)])
        self._masks[layer] = mask
        return seen

    def backward_drop(self, layer: int, dx: Array) -> None:
        """dx becomes 0 where the number was left out, larger where it was not."""
        if layer in self._masks:
            dx *= self._masks[layer]

    def add_activity(self, layer: int, y: Array, dy: Array) -> None:
        """Add the penalties' derivative by a hidden layer's y."""
        if layer < len(self._sparse) and self._sparse[layer]:
            for rows, activity in self._activities:
                activity.add_gradient(y[rows], dy[rows])
