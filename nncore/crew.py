"""Everyone who works on the arrays of a stack: its members in their groups, and what they do in each step."""

from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from nncore.backend import Array, empty_beside, on_host
from nncore.batches import Batches, Examples
from nncore.losses import mean_value
from nncore.network import NoHooks, forward, gradient
from nncore.optimizers.base import Optimizer, Step
from nncore.randomness import generator
from nncore.regularizers.base import (
    Activity,
    Average,
    Clipping,
    Constraint,
    Disturbance,
    Dropout,
    Penalty,
)
from nncore.regularizers.draws import Draws
from nncore.regularizers.inside import Inside
from nncore.schedules import Schedule
from nncore.scratch import Scratch
from nncore.shape import views
from nncore.stack import Group, Stack

Kind = TypeVar("Kind")
State = dict[str, Array]


class Place(NamedTuple, Generic[Kind]):
    """Where a group works: its rows of the stack, and views of them in the arrays.

    whole   whether its networks step once per epoch
    """

    rows: slice
    whole: bool
    member: Kind
    state: State
    numbers: Array
    W: Array
    g: Array


class Crew:
    """Trains the networks of a stack, in place; groups: the stack's."""

    def __init__(self, stack: Stack, groups: Sequence[tuple[Group, State]]) -> None:
        self._shape = stack.shape
        self._seeds = [network.seed for network in stack.networks]
        self._runs = stack.runs()
        self._numbers = stack.parameters  # (K, n_numbers)
        self._W = stack.parameters[:, : stack.shape.n_parameters]
        self._g = empty_beside(self._W, self._W.shape)
        self._layers, self._d = views(self._numbers, stack.shape), views(self._g, stack.shape)
        self._scratch = Scratch()
        self._groups = groups
        self._optimizers = self._of(Optimizer)
        self._whole = [place.rows for place in self._optimizers if place.whole]
        self._schedules = self._of(Schedule)
        self._penalties = self._of(Penalty)
        self._clippings = self._of(Clipping)
        self._constraints = self._of(Constraint)
        self._disturbances = self._of(Disturbance)
        self._dropouts = [(place.rows, place.member) for place in self._of(Dropout)]
        self._activities = [(place.rows, place.member) for place in self._of(Activity)]
        self._averages = self._of(Average)

    def _of(self, kind: type[Kind]) -> list[Place[Kind]]:
        return [
            Place(
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
        batches = Batches(views, self._runs, self._order(n_rows, epoch), self._shape.batch_size, self._scratch)
        draws = Draws(self._seeds, epoch)
        hooks = Inside(len(self._seeds), self._shape, self._scratch, self._dropouts, self._activities, draws)
        kind, total = self._shape.functions.loss.targets, np.zeros(len(self._seeds))
        for index in range(batches.n):
            draws.next_step()
            rows, targets, w = batches[index]
            for place in self._disturbances:
                place.member.disturb(rows[place.rows], targets[place.rows], kind, draws.of(place.rows))
            loss = gradient(self._layers, self._d, self._shape, rows, targets, self._scratch, w, hooks)
            total += on_host(loss) * rows.shape[1]
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
            sum_ = self._scratch(("gathered", rows.start), g)
            g *= batches.share(index)
            np.copyto(sum_, g) if index == 0 else np.add(sum_, g, out=sum_)
            np.copyto(g, sum_)

    def _moment(self, batches: Batches, index: int, epoch: int) -> Step:
        """The step after this batch, for all networks."""
        factor = np.ones(len(self._seeds))
        for place in self._schedules:
            factor[place.rows] = place.member.factor(epoch if place.whole else epoch + index / batches.n, place.state)
        number = epoch * batches.n + index + 1
        return Step(number, self._shape, self._scratch, factor, index == batches.n - 1, self._objective(batches))

    def _step(self, step: Step, epoch: int) -> None:
        """From the gradient of the loss to new parameters."""
        for penalty in self._due(self._penalties, step):
            stop = None if penalty.member.biases else self._shape.n_weights
            penalty.member.add_gradient(penalty.W[:, :stop], penalty.g[:, :stop])
        for clipping in self._due(self._clippings, step):
            clipping.member.clip(clipping.g)
        for constraint in self._due(self._constraints, step):
            constraint.member.before(constraint.W, _own(step, constraint, epoch))
        for optimizer in self._due(self._optimizers, step):
            optimizer.member.update(optimizer.W, optimizer.g, optimizer.state, _own(step, optimizer, epoch))
        for constraint in self._due(self._constraints, step):
            constraint.member.after(views(constraint.numbers, self._shape))
        for average in self._due(self._averages, step):
            average.member.observe(average.numbers, average.state, _own(step, average, epoch), epoch + 1)

    def _due(self, places: Sequence[Place[Kind]], step: Step) -> Sequence[Place[Kind]]:
        """Those whose networks take this step."""
        return places if step.last or not self._whole else [place for place in places if not place.whole]

    def _objective(self, batches: Batches) -> Callable[[Array, slice], Array]:
        """What the networks at some rows minimise, as a function of their parameters; see Step."""

        def objective(W: Array, networks: slice) -> Array:
            numbers = self._numbers.copy()
            numbers[networks, : W.shape[1]] = W
            layers, total, scratch = views(numbers[networks], self._shape), np.zeros(len(numbers)), Scratch()
            for index in range(batches.n):
                x, t, w = batches[index]
                some = networks if len(x) > 1 else slice(None)  # else all share one order of the rows
                z, _ = forward(layers, self._shape, x[some], scratch, NoHooks())
                loss = mean_value(self._shape.functions.loss, z, t[some], w if w is None else w[some])
                total[networks] += on_host(loss) * batches.share(index)
            for place in self._penalties:
                if place.rows.stop <= networks.start or networks.stop <= place.rows.start:
                    continue
                stop = self._shape.n_parameters if place.member.biases else self._shape.n_weights
                total[place.rows] += on_host(place.member.value(numbers[place.rows, :stop]))
            return total[networks]

        return objective


def _own(step: Step, place: Place[Kind], epoch: int) -> Step:
    """The step of these networks; those that step once per epoch count epochs."""
    own = step.of(place.rows)
    return own._replace(number=epoch + 1) if place.whole else own
