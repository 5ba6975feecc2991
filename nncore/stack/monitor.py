"""What happens after each epoch: validation, the selection of weights, and early stopping."""

from collections.abc import Mapping, Sequence

import numpy as np

from nncore.kernels.backend import Array, to_host
from nncore.kernels.workspace import Workspace
from nncore.losses import mean_of, value_and_prediction
from nncore.metrics import Metric
from nncore.regularizers.base import EarlyStopping
from nncore.schedules import Schedule
from nncore.stack.data import Rows
from nncore.stack.passes import ROWS_AT_ONCE, predict
from nncore.stack.state import Stack, averaged_weights, best_weights

OUTPUTS_IN_CACHE = 1 << 18  # numbers of a layer's outputs that stay in a core's cache


class EpochMonitor:
    """Validates the networks of a stack after each epoch, and updates schedules and early stopping in place.

    Parameters
    ----------
    stack : Stack
    views : sequence of Rows
        Validation rows of each view, as `check_views` returns them.
    metrics : mapping of str to Metric
        Metrics to compute in addition to the loss.
    """

    def __init__(self, stack: Stack, views: Sequence[Rows], metrics: Mapping[str, Metric]) -> None:
        self._architecture = stack.architecture
        self._parameters = stack.parameters
        self._view_runs = stack.view_runs()
        self._groups = stack.groups()
        self._views = views
        self._metrics = metrics
        self._workspace = Workspace()

    def selected_weights(self) -> Array:
        """Return the weights (K, buffer_size) to validate: averaged ones where a network averages, else the current."""
        return averaged_weights(self._groups, self._parameters)

    def final_weights(self) -> Array:
        """Return the weights (K, buffer_size) that are the result if training ends now: averaged or best ones."""
        return best_weights(self._groups, self.selected_weights())

    def final_epochs(self, epoch: int) -> list[int]:
        """Return the epoch that each network's `final_weights` are from, if `epoch` was the last."""
        epochs = np.full(len(self._parameters), epoch)
        for group in self._groups:
            if isinstance(group.built, EarlyStopping) and group.built.restore:
                epochs[group.rows] = group.state["epoch"]
        return [int(selected) for selected in epochs]

    def validate(self, weights: Array) -> dict[str, Array]:
        """Compute loss and metrics on the validation rows of each network's view.

        Parameters
        ----------
        weights : array (K, buffer_size)

        Returns
        -------
        dict of array (K,)
            "validation/loss" and "validation/<metric>".
        """
        architecture = self._architecture
        n_at_once = len(weights)
        if type(weights) is np.ndarray:  # on a core so many networks that their outputs stay in its cache
            n_rows = min(len(self._views[0].x), ROWS_AT_ONCE)
            n_at_once = max(1, OUTPUTS_IN_CACHE // (n_rows * max(architecture.sizes[1:])))
        scores: dict[str, list[Array]] = {}
        for run, view in self._view_runs:
            rows = self._views[view]
            t = rows.t[None]  # (1, N, O)
            for first in range(run.start, run.stop, n_at_once):
                some_weights = weights[first : min(first + n_at_once, run.stop)]
                z = predict(some_weights, architecture, rows.x, self._workspace)  # (K, N, outputs)
                loss, y = value_and_prediction(architecture.functions.loss, z, t)
                scores.setdefault("validation/loss", []).append(to_host(mean_of(loss, rows.weights)))
                for name, metric in self._metrics.items():
                    scores.setdefault(f"validation/{name}", []).append(to_host(metric.value(y, t, rows.weights)))
        return {name: np.concatenate(parts) for name, parts in scores.items()}

    def observe(self, weights: Array, curves: Mapping[str, Array], epoch: int) -> list[str]:
        """Tell schedules and early stopping how the epoch went.

        Parameters
        ----------
        weights : array (K, buffer_size)
            The weights that were validated.
        curves : mapping of str to array (K,)
            The epoch's values of "train/loss", "validation/loss", ...
        epoch : int, >= 1

        Returns
        -------
        list of str
            For each network, why it stops, or "" if it continues.
        """
        causes = [""] * len(self._parameters)
        for group in self._groups:
            built, rows, state = group.built, group.rows, group.state
            if isinstance(built, Schedule):
                built.observe(curves["validation/loss"][rows], state, epoch)
            elif isinstance(built, EarlyStopping):
                stops = built.observe(weights[rows], state, curves[built.watch][rows], epoch)
                for index in np.flatnonzero(stops):
                    best, best_epoch = state["best"][index], int(state["epoch"][index])
                    causes[rows.start + index] = f"{built.watch} was lowest, {best:.6g}, in epoch {best_epoch}"
        return causes
