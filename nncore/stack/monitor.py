"""What happens after each epoch: validation, the selection of weights, and early stopping."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from nncore.kernels.backend import Array, to_host
from nncore.kernels.workspace import Workspace
from nncore.losses import mean_of, value_and_prediction
from nncore.metrics import Metric
from nncore.regularizers.base import OBJECTIVE, EarlyStopping
from nncore.schedules import Schedule
from nncore.stack.data import Rows, Unit
from nncore.stack.passes import predict, rows_at_once
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
    units : sequence of Unit, default ()
        For each view, the unit of the values for the metrics; without them, the metrics are of the targets as they are.

    Raises
    ------
    ValueError
        If early stopping watches a curve that there is not.
    """

    def __init__(
        self, stack: Stack, views: Sequence[Rows], metrics: Mapping[str, Metric], units: Sequence[Unit] = ()
    ) -> None:
        self._architecture = stack.architecture
        self._parameters = stack.parameters
        self._view_runs = stack.view_runs()
        self._groups = stack.groups()
        self._views = views
        self._metrics, self._units = metrics, units
        targets = [units[view].undo(rows.t) if units else rows.t for view, rows in enumerate(views)]
        self._targets = [values[None] for values in targets]  # for metrics, (1, N, O)
        self._workspace = Workspace()
        self._check_watched()

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
        scores: dict[str, list[Array]] = {}
        for view, networks in self._parts(range(len(weights))):
            rows = self._views[view]
            z = self._outputs(weights, networks, rows)
            loss, y = value_and_prediction(self._architecture.functions.loss, z, rows.t[None])
            scores.setdefault("validation/loss", []).append(to_host(mean_of(loss, rows.weights)))
            scored = self._predicted(y, view), self._targets[view], rows.weights
            for name, metric in self._metrics.items():
                given: Sequence[Any] = scored
                if not metric.every_epoch:  # nor is it made for a GPU
                    given = [None if array is None else to_host(array) for array in scored]
                score = metric.value(*given)
                scores.setdefault(f"validation/{name}", []).append(to_host(score))
        return {name: np.concatenate(parts) for name, parts in scores.items()}

    def scores(self, weights: Array, networks: Sequence[int], metrics: Mapping[str, Metric]) -> dict[str, Array]:
        """Compute metrics on the host, for some of the networks.

        Parameters
        ----------
        weights : array (K, buffer_size)
        networks : sequence of int (n,)
            Their positions, ascending.
        metrics : mapping of str to Metric

        Returns
        -------
        dict of array (n,)
            "validation/<metric>".
        """
        scores: dict[str, list[Array]] = {f"validation/{name}": [] for name in metrics}
        for view, part in self._parts(networks) if metrics else ():
            rows = self._views[view]
            y = to_host(self._architecture.functions.loss.predict(self._outputs(weights, part, rows)))
            t, row_weights = to_host(self._targets[view]), None if rows.weights is None else to_host(rows.weights)
            y = self._predicted(y, view)
            for name, metric in metrics.items():
                scores[f"validation/{name}"].append(metric.value(y, t, row_weights))
        return {name: np.concatenate(parts) for name, parts in scores.items() if parts}

    def _parts(self, networks: Sequence[int]) -> Iterator[tuple[int, list[int]]]:
        """The networks by their views; on a core so many at a time that their outputs stay in its cache."""
        n_at_once = len(self._parameters)
        if type(self._parameters) is np.ndarray:
            n_rows = min(len(self._views[0].x), rows_at_once(self._architecture)) * self._architecture.members
            n_at_once = max(1, OUTPUTS_IN_CACHE // (n_rows * max(self._architecture.sizes[1:])))
        for run, view in self._view_runs:
            of_view = [network for network in networks if run.start <= network < run.stop]
            for first in range(0, len(of_view), n_at_once):
                yield view, of_view[first : first + n_at_once]

    def _outputs(self, weights: Array, networks: list[int], rows: Rows) -> Array:
        """The outputs of some of the networks for a view's rows, (n, N, outputs)."""
        is_adjacent = networks[-1] - networks[0] == len(networks) - 1  # a slice takes no copy
        chosen = weights[networks[0] : networks[-1] + 1] if is_adjacent else weights[networks]
        return predict(chosen, self._architecture, rows.x, self._workspace)

    def _predicted(self, y: Array, view: int) -> Array:
        """The loss's prediction in the unit of the metrics."""
        return self._units[view].predicted(y) if self._units else y

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
                metric = self._metrics.get(built.curve.removeprefix("validation/"))
                sign = -1 if metric and metric.greater_is_better else 1  # early stopping looks for the lowest value
                stops = built.observe(weights[rows], state, sign * curves[built.curve][rows], epoch)
                for index in np.flatnonzero(stops):
                    best, best_epoch = sign * state["best"][index], int(state["epoch"][index])
                    extreme = "lowest" if sign > 0 else "highest"
                    causes[rows.start + index] = f"{built.curve} was {extreme}, {best:.6g}, in epoch {best_epoch}"
        return causes

    def _check_watched(self) -> None:
        known = ["train/loss", OBJECTIVE, "validation/loss", *(f"validation/{name}" for name in self._metrics)]
        for group in self._groups:
            if isinstance(group.built, EarlyStopping) and group.built.curve not in known:
                raise ValueError(f"watch must be {' or '.join(known)}, but is {group.built.watch!r} (early_stopping)")
