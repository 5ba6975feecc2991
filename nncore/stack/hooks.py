"""Regularizers that act inside the network during training: dropout, and penalties on hidden layers' outputs."""

from collections.abc import Sequence

import numpy as np

from nncore.architecture import Architecture
from nncore.kernels.backend import Array, to_host
from nncore.kernels.workspace import Workspace
from nncore.random_streams import NetworkStreams, RandomStreams
from nncore.regularizers.base import ActivityRegularizer, Dropout
from nncore.regularizers.dropout import CHANCES, drop


class DropoutHooks:
    """The dropout and activity regularizers of a stack, as the forward and backward pass call them.

    Parameters
    ----------
    n_networks : int
        K, the number of networks in the stack.
    architecture : Architecture
    workspace : Workspace
    dropouts : sequence of (slice, Dropout)
        Each with the networks that it applies to.
    activities : sequence of (slice, ActivityRegularizer)
        Each with the networks that it applies to.
    streams : RandomStreams or NetworkStreams
        Source of the dropout masks.
    sums_activity : bool, default False
        Whether to sum the activity penalties over the rows of all batches, into `activity_sum` (K,).
    """

    def __init__(
        self,
        n_networks: int,
        architecture: Architecture,
        workspace: Workspace,
        dropouts: Sequence[tuple[slice, Dropout]],
        activities: Sequence[tuple[slice, ActivityRegularizer]],
        streams: RandomStreams | NetworkStreams,
        sums_activity: bool = False,
    ) -> None:
        self._n_networks, self._members = n_networks, architecture.members
        self._penalised = [layer.activity_penalty for layer in architecture.layers[:-1]]
        self._workspace = workspace
        self._dropouts = dropouts
        self._activities = activities
        self._streams = streams
        self._masks: dict[int, Array] = {}
        self._thresholds: dict[bool, list[Array]] = {}  # of this step, for columns and for hidden layers
        self._time = -1.0
        self._sums_activity, self.activity_sum = sums_activity, np.zeros(n_networks)

    def dropout(self, layer: int, x: Array) -> Array:
        """Apply dropout to the input of a layer.

        Parameters
        ----------
        layer : int
            Index of the layer. Index 0 uses the input rate.
        x : array (K or 1, N, I)
            Input of the layer.

        Returns
        -------
        array (K, N, I)
            The dropped numbers are 0, the others multiplied by 1 / (1 - rate). `x` itself if all rates are 0, whatever
            their schedules.
        """
        rates = [(rows, dropout.rate if layer else dropout.input_rate) for rows, dropout in self._dropouts]
        if not any(rate.any() for _, rate in rates):
            return x  # while a schedule's factor is 0, numbers are drawn as in other steps
        mask = self._workspace(("mask", layer), x, (self._n_networks, *x.shape[1:]))
        dropped = self._workspace(("dropped", layer), mask)
        if sum(len(mask[rows]) for rows, _ in rates) < self._n_networks:  # some networks have no dropout
            mask[...] = 1
            dropped[...] = x
        for (rows, _), threshold in zip(rates, self._thresholds_of(layer > 0), strict=True):
            np.copyto(mask[rows], self._streams.of(rows).chances("dropout", mask[rows], layer))
            x_of_rows = x if len(x) == 1 else x[rows]
            drop(mask[rows], x_of_rows, dropped[rows], threshold=threshold, scale=CHANCES / (CHANCES - threshold))
        self._masks[layer] = mask
        return dropped

    def _thresholds_of(self, is_hidden: bool) -> list[Array]:
        """For each dropout, the chances below which a number is dropped in this step, in columns or hidden layers."""
        if self._time != self._streams.time:
            self._time, self._thresholds = self._streams.time, {}
        if is_hidden not in self._thresholds:
            rates = [
                (dropout.rate if is_hidden else dropout.input_rate) * dropout.schedule.factor(self._time, {})
                for _, dropout in self._dropouts
            ]
            self._thresholds[is_hidden] = [np.minimum(np.round(rate * CHANCES), CHANCES - 1) for rate in rates]
        return self._thresholds[is_hidden]

    def dropout_backward(self, layer: int, dx: Array) -> None:
        """Turn the derivative by the layer's dropped input into that by its input x, in place; dx is (K, N, I)."""
        if layer in self._masks:
            dx *= self._masks[layer]

    def add_activity_gradient(self, layer: int, y: Array, dy: Array) -> None:
        """Add the derivative of the activity penalties by a hidden layer's output y (K, N, O) to dy, in place."""
        if layer < len(self._penalised) and self._penalised[layer]:
            for rows, activity in self._activities:
                activity.add_gradient(y[rows], dy[rows])
                if self._sums_activity:
                    self.activity_sum[rows] += to_host(activity.value(y[rows])) * (y.shape[1] / self._members)
