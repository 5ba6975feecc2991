"""One epoch of gradient descent for all networks of a stack: batches, gradients, and the steps of their components."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from nncore.architecture import layer_views
from nncore.kernels.backend import Array, empty_like_aligned, to_host
from nncore.kernels.workspace import Workspace
from nncore.optimizers.base import Optimizer, Step
from nncore.random_streams import RandomStreams, generator
from nncore.regularizers.base import (
    OBJECTIVE,
    Augmentation,
    Clipping,
    Constraint,
    EarlyStopping,
    Penalty,
    WeightAverage,
)
from nncore.schedules import Schedule
from nncore.stack.data import Batches, Rows
from nncore.stack.parts import parts_in_cache
from nncore.stack.passes import gradient, mean_loss
from nncore.stack.state import ComponentGroup, Stack

Kind = TypeVar("Kind")


class StackTrainer:
    """Trains the networks of a stack; its parameters and state change in place.

    Parameters
    ----------
    stack : Stack
    objective : bool, default False
        Whether to compute the objective of each epoch, even if no network's early stopping watches it.
    """

    def __init__(self, stack: Stack, objective: bool = False) -> None:
        self._architecture = stack.architecture
        self._seeds = [network.seed for network in stack.networks]
        self._view_runs = stack.view_runs()
        self._parameters = stack.parameters  # (K, buffer_size)
        self._g = empty_like_aligned(self._parameters, (len(self._seeds), stack.architecture.n_parameters))  # (K, P)
        self._workspace = Workspace()
        groups = stack.groups()
        self._optimizers = _of_kind(Optimizer, groups)
        self._schedules = _of_kind(Schedule, groups)
        self._penalties = _of_kind(Penalty, groups)
        self._clippings = _of_kind(Clipping, groups)
        self._constraints = _of_kind(Constraint, groups)
        self._augmentations = _of_kind(Augmentation, groups)
        self._averages = _of_kind(WeightAverage, groups)
        self._full_batch_rows = [group.rows for group in self._optimizers if group.full_batch]
        watched = [group.built.watch for group in _of_kind(EarlyStopping, groups)]
        self._computes_objective = objective or OBJECTIVE in watched
        self._parts = parts_in_cache(stack, self._g)

    def train_epoch(self, views: Sequence[Rows], epoch: int) -> dict[str, Array]:
        """Train every network on all rows of its view once.

        Parameters
        ----------
        views : sequence of Rows
            Training rows of each view, as `check_views` returns them.
        epoch : int, >= 0
            Number of epochs that the stack was trained for before.

        Returns
        -------
        dict of array (K,)
            "train/loss": mean loss over the rows, each batch with the parameters before its step, without penalties;
            where it is needed, "train/objective": likewise, with all penalties.

        Notes
        -----
        The order of the rows is drawn from ``generator(seed, "batches", epoch)``.
        """
        architecture, n_rows = self._architecture, len(views[0].x)
        order = self._order_of_rows(n_rows, epoch)
        batches = Batches(views, self._view_runs, order, architecture.batch_size, self._workspace)
        streams = RandomStreams(self._seeds, epoch, batches.n)
        hooks = [part.hooks(architecture, self._workspace, streams, self._computes_objective) for part in self._parts]
        targets, n_numbers = architecture.functions.loss.targets, architecture.inputs - len(architecture.levels)
        total_loss, total_penalty = np.zeros((2, len(self._seeds)))
        for index in range(batches.n):
            streams.next_step()
            x, t, _ = batch = batches[index]
            for group in self._augmentations:
                group.built.augment(x[group.rows, :, :n_numbers], t[group.rows], targets, streams.of(group.rows))
            for part, part_hooks in zip(self._parts, hooks, strict=True):
                own, layers, gradients = part.rows(batch), part.layers, part.gradients
                loss = gradient(layers, gradients, architecture, own.x, own.t, self._workspace, own.weights, part_hooks)
                total_loss[part.networks] += to_host(loss) * x.shape[1]
            if self._computes_objective:
                penalty = np.zeros(len(self._seeds))
                self._add_penalties(penalty, self._parameters, slice(0, len(self._seeds)))
                total_penalty += penalty * x.shape[1]
            self._accumulate_full_batch(batches, index)
            self._take_step(batches, index, epoch)
        curves = {"train/loss": total_loss / n_rows}
        if self._computes_objective:
            for part, part_hooks in zip(self._parts, hooks, strict=True):
                total_penalty[part.networks] += part_hooks.activity_sum if part_hooks else 0
            curves[OBJECTIVE] = (total_loss + total_penalty) / n_rows
        return curves

    def _add_penalties(self, total: Array, parameters: Array, networks: slice) -> None:
        """Add the penalties of the parameters (K, buffer_size) to `total` (K,), at least for these networks."""
        for penalty in self._penalties:
            if penalty.rows.start < networks.stop and networks.start < penalty.rows.stop:
                stop = self._architecture.n_parameters if penalty.built.biases else self._architecture.n_weights
                total[penalty.rows] += to_host(penalty.built.value(parameters[penalty.rows, :stop]))

    def _order_of_rows(self, n_rows: int, epoch: int) -> Array:
        """The order of the rows for each network, (K, N), or (1, N) if all networks get the same batches."""
        orders = {seed: generator(seed, "batches", epoch).permutation(n_rows) for seed in set(self._seeds)}
        if len(orders) == len(self._view_runs) == 1 and not self._augmentations:
            return orders[self._seeds[0]][None]
        return np.stack([orders[seed] for seed in self._seeds])

    def _accumulate_full_batch(self, batches: Batches, index: int) -> None:
        """Replace the gradient of networks that step once per epoch by the sum so far; at the end the full gradient."""
        for rows in self._full_batch_rows:
            g = self._g[rows]
            total = self._workspace(("full batch", rows.start), g)
            g *= batches.fraction(index)
            np.copyto(total, g) if index == 0 else np.add(total, g, out=total)
            np.copyto(g, total)

    def _take_step(self, batches: Batches, index: int, epoch: int) -> None:
        """Update the parameters by the gradient of this batch."""
        architecture, last = self._architecture, index == batches.n - 1
        time = epoch + index / batches.n
        factor = np.ones(len(self._seeds))  # of the learning rate
        for schedule in self._schedules:
            factor[schedule.rows] = schedule.built.factor(epoch if schedule.full_batch else time, schedule.state)
        number = epoch * batches.n + index + 1
        step = Step(number, architecture, self._workspace, factor, last, self._objective(batches), time=time)

        def due(groups: Sequence[ComponentGroup[Kind]]) -> Sequence[ComponentGroup[Kind]]:
            """The groups whose networks take this step."""
            return groups if last or not self._full_batch_rows else [group for group in groups if not group.full_batch]

        def step_of(group: ComponentGroup[Kind]) -> Step:
            """The step of the group's networks; those that step once per epoch count epochs."""
            of_group = step.of(group.rows)
            return of_group._replace(number=epoch + 1, time=epoch) if group.full_batch else of_group

        P = architecture.n_parameters
        for penalty in due(self._penalties):
            stop = P if penalty.built.biases else architecture.n_weights
            penalty.built.add_gradient(penalty.parameters[:, :stop], self._g[penalty.rows, :stop])
        for clipping in due(self._clippings):
            clipping.built.clip(self._g[clipping.rows])
        for constraint in due(self._constraints):
            constraint.built.before(constraint.parameters[:, :P], step_of(constraint))
        for optimizer in due(self._optimizers):
            W, g = optimizer.parameters[:, :P], self._g[optimizer.rows]
            optimizer.built.update(W, g, optimizer.state, step_of(optimizer))
        for constraint in due(self._constraints):
            constraint.built.after(layer_views(constraint.parameters, architecture))
        for average in due(self._averages):
            average.built.observe(average.parameters, average.state, step_of(average), epoch + 1)

    def _objective(self, batches: Batches) -> Callable[[Array, slice], Array]:
        """What optimizers with a line search minimise: (W (K, P), networks) -> loss and penalties (K,); see Step."""
        architecture = self._architecture

        def objective(W: Array, networks: slice) -> Array:
            parameters = self._parameters.copy()
            parameters[networks, : W.shape[1]] = W
            layers = layer_views(parameters[networks], architecture)
            total, workspace = np.zeros(len(parameters)), Workspace()
            for index in range(batches.n):
                x, t, weights = batches[index]
                rows = networks if len(x) > 1 else slice(None)  # (1, N, I): the same batch for all networks
                weights = None if weights is None else weights[rows]
                loss = mean_loss(layers, architecture, x[rows], t[rows], workspace, weights)
                total[networks] += to_host(loss) * batches.fraction(index)
            self._add_penalties(total, parameters, networks)
            return total[networks]

        return objective


def _of_kind(kind: type[Kind], groups: Sequence[ComponentGroup[Any]]) -> list[ComponentGroup[Kind]]:
    return [group for group in groups if isinstance(group.built, kind)]
