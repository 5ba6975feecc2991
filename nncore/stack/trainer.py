"""Everyone who works on the arrays of a stack: its members in their groups, and what they do in each step."""

from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from nncore.architecture import layer_views
from nncore.kernels.backend import Array, State, empty_like_aligned, to_host
from nncore.kernels.workspace import Workspace
from nncore.losses import mean_value
from nncore.optimizers.base import Optimizer, Step
from nncore.random_streams import RandomStreams, generator
from nncore.regularizers.base import (
    ActivityRegularizer,
    Augmentation,
    Clipping,
    Constraint,
    Dropout,
    Penalty,
    WeightAverage,
)
from nncore.schedules import Schedule
from nncore.stack.batches import Batches, Examples
from nncore.stack.hooks import DropoutHooks
from nncore.stack.passes import NoHooks, forward, gradient
from nncore.stack.state import ComponentGroup, Stack

ComponentType = TypeVar("ComponentType")


class GroupViews(NamedTuple, Generic[ComponentType]):
    """Where a group works: its rows of the stack, and views of them in the arrays.

    whole   whether its networks step once per epoch
    """

    rows: slice
    whole: bool
    member: ComponentType
    state: State
    numbers: Array
    W: Array
    g: Array


class StackTrainer:
    """Trains the networks of a stack, in place; groups: the stack's."""

    def __init__(self, stack: Stack, groups: Sequence[tuple[ComponentGroup, State]]) -> None:
        self._architecture = stack.architecture
        self._seeds = [network.seed for network in stack.networks]
        self._runs = stack.view_runs()
        self._numbers = stack.parameters  # (K, buffer_size)
        self._W = stack.parameters[:, : stack.architecture.n_parameters]
        self._g = empty_like_aligned(self._W, self._W.shape)
        self._layers, self._d = layer_views(self._numbers, stack.architecture), layer_views(self._g, stack.architecture)
        self._workspace = Workspace()
        self._groups = groups
        self._optimizers = self._of(Optimizer)
        self._whole = [place.rows for place in self._optimizers if place.whole]
        self._schedules = self._of(Schedule)
        self._penalties = self._of(Penalty)
        self._clippings = self._of(Clipping)
        self._constraints = self._of(Constraint)
        self._disturbances = self._of(Augmentation)
        self._dropouts = [(place.rows, place.member) for place in self._of(Dropout)]
        self._activities = [(place.rows, place.member) for place in self._of(ActivityRegularizer)]
        self._averages = self._of(WeightAverage)

    def _of(self, kind: type[ComponentType]) -> list[GroupViews[ComponentType]]:
        return [
            GroupViews(
                group.rows,
                group.whole,
                group.member,
                state,
                *(a[group.rows] for a in (self._numbers, self._W, self._g)),
            )
            for group, state in self._groups
            if isinstance(group.member, kind)
        ]

    def epoch(self, views: Sequence[Examples], epoch: int) -> Array:
        """One pass of each network over the rows of its view; returns the mean loss (K,) of its batches."""
        n_rows = len(views[0][0])
        batches = Batches(views, self._runs, self._order(n_rows, epoch), self._architecture.batch_size, self._workspace)
        draws = RandomStreams(self._seeds, epoch)
        hooks = DropoutHooks(
            len(self._seeds), self._architecture, self._workspace, self._dropouts, self._activities, draws
        )
        kind, total = self._architecture.functions.loss.targets, np.zeros(len(self._seeds))
        for index in range(batches.n):
            draws.next_step()
            rows, targets, w = batches[index]
            for place in self._disturbances:
                place.member.augment(rows[place.rows], targets[place.rows], kind, draws.of(place.rows))
            loss = gradient(self._layers, self._d, self._architecture, rows, targets, self._workspace, w, hooks)
            total += to_host(loss) * rows.shape[1]
            self._gather(batches, index)
            self._step(self._moment(batches, index, epoch), epoch)
        return total / n_rows

    def _order(self, n_rows: int, epoch: int) -> Array:
        """The order in which each network sees the rows: (K, N), or (1, N) if all see the same."""
        drawn = {seed: generator(seed, "batches", epoch).permutation(n_rows) for seed in set(self._seeds)}
        if len(drawn) == len(self._runs) == 1 and not self._disturbances:
            return drawn[self._seeds[0]][None]
        return np.stack([drawn[seed] for seed in self._seeds])

    def _gather(self, batches: Batches, index: int) -> None:
        """Of networks that step once per epoch, add up the gradient; after the last batch it is that of all rows."""
        for rows in self._whole:
            g = self._g[rows]
            sum_ = self._workspace(("gathered", rows.start), g)
            g *= batches.share(index)
            np.copyto(sum_, g) if index == 0 else np.add(sum_, g, out=sum_)
            np.copyto(g, sum_)

    def _moment(self, batches: Batches, index: int, epoch: int) -> Step:
        """The step after this batch, for all networks."""
        factor = np.ones(len(self._seeds))
        for place in self._schedules:
            factor[place.rows] = place.member.factor(epoch if place.whole else epoch + index / batches.n, place.state)
        number = epoch * batches.n + index + 1
        return Step(
            number, self._architecture, self._workspace, factor, index == batches.n - 1, self._objective(batches)
        )

    def _step(self, step: Step, epoch: int) -> None:
        """From the gradient of the loss to new parameters."""
        for penalty in self._due(self._penalties, step):
            stop = None if penalty.member.biases else self._architecture.n_weights
            penalty.member.add_gradient(penalty.W[:, :stop], penalty.g[:, :stop])
        for clipping in self._due(self._clippings, step):
            clipping.member.clip(clipping.g)
        for constraint in self._due(self._constraints, step):
            constraint.member.before(constraint.W, _own(step, constraint, epoch))
        for optimizer in self._due(self._optimizers, step):
            optimizer.member.update(optimizer.W, optimizer.g, optimizer.state, _own(step, optimizer, epoch))
        for constraint in self._due(self._constraints, step):
            constraint.member.after(layer_views(constraint.numbers, self._architecture))
        for average in self._due(self._averages, step):
            average.member.observe(average.numbers, average.state, _own(step, average, epoch), epoch + 1)

    def _due(self, places: Sequence[GroupViews[ComponentType]], step: Step) -> Sequence[GroupViews[ComponentType]]:
        """Those whose networks take this step."""
        return places if step.last or not self._whole else [place for place in places if not place.whole]

    def _objective(self, batches: Batches) -> Callable[[Array, slice], Array]:
        """What the networks at some rows minimise, as a function of their parameters; see Step."""

        def objective(W: Array, networks: slice) -> Array:
            numbers = self._numbers.copy()
            numbers[networks, : W.shape[1]] = W
            layers, total, workspace = (
                layer_views(numbers[networks], self._architecture),
                np.zeros(len(numbers)),
                Workspace(),
            )
            for index in range(batches.n):
                x, t, w = batches[index]
                some = networks if len(x) > 1 else slice(None)  # else all share one order of the rows
                z, _ = forward(layers, self._architecture, x[some], workspace, NoHooks())
                loss = mean_value(self._architecture.functions.loss, z, t[some], w if w is None else w[some])
                total[networks] += to_host(loss) * batches.share(index)
            for place in self._penalties:
                if place.rows.stop <= networks.start or networks.stop <= place.rows.start:
                    continue
                stop = self._architecture.n_parameters if place.member.biases else self._architecture.n_weights
                total[place.rows] += to_host(place.member.value(numbers[place.rows, :stop]))
            return total[networks]

        return objective


def _own(step: Step, place: GroupViews[ComponentType], epoch: int) -> Step:
    """The step of these networks; those that step once per epoch count epochs."""
    own = step.of(place.rows)
    return own._replace(number=epoch + 1) if place.whole else own
