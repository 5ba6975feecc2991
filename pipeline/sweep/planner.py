"""From trials to stacks: which networks are trained together, and how many epochs make a slice."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Annotated, Literal, NamedTuple

import pydantic.dataclasses
from pydantic import Field, Strict

from nncore.shape import Shape
from nncore.stack import Network
from pipeline.settings.strict import STRICT, PositiveInt

# One network's step costs about its products at this rate, some passes over its parameters and
# activations, and its share of what Python spends on a step of the whole stack. Measured on one core.
FLOPS_PER_S = 30e9
S_PER_PARAMETER = 4e-9
S_PER_ACTIVATION = 2e-9
PYTHON_S_PER_STEP = 60e-6


@pydantic.dataclasses.dataclass(frozen=True, config=STRICT)
class Stacks:
    """How networks are packed. Results do not depend on it, only speed and memory do.

    width           networks per stack; auto: wide enough that Python's share of a step is small
    slice_seconds   about how long one task trains before it reports
    """

    width: PositiveInt | Literal["auto", "unlimited"]
    slice_seconds: Annotated[float, Strict(), Field(gt=0, le=3600)]


class FoldWork(NamedTuple):
    """What is to be trained on one fold: its networks, their shape, and how many rows they learn from."""

    networks: list[Network]
    shape: Shape
    n_rows: int

    @property
    def steps_per_epoch(self) -> int:
        """Batches in which the rows are seen once."""
        return ceil(self.n_rows / self.shape.batch_size)


class PlannedStack(NamedTuple):
    """Networks that are trained together, and the fold that they learn from."""

    fold: int
    networks: tuple[Network, ...]


@dataclass(frozen=True)
class Plan:
    """The stacks, how long they are trained, in what portions, and by fold how many steps an epoch has."""

    stacks: tuple[PlannedStack, ...]
    epochs: int
    steps_per_epoch: tuple[int, ...]
    epochs_per_slice: int

    def stack_of(self, key: str) -> int:
        """The number of the stack in which the network with this key is."""
        keys = [{network.key for network in stack.networks} for stack in self.stacks]
        return next(number for number, known in enumerate(keys) if key in known)


def plan(folds: Sequence[FoldWork], epochs: int, workers: int, stacks: Stacks) -> Plan:
    """Deal each fold's networks out to stacks of about equal width and mixed content.

    Within a stack networks with one optimizer stand together, so that they step in one operation. The stacks of
    different folds take turns, so that trials come to their end one after the other, and not all of them at last.
    """
    hands = [
        (first, PlannedStack(fold, _in_order(work.networks[first::n_stacks])))
        for fold, (work, n_stacks) in enumerate(zip(folds, _n_stacks(folds, workers, stacks), strict=True))
        for first in range(n_stacks)
    ]
    planned = tuple(stack for _, stack in sorted(hands, key=lambda hand: hand[0]))
    steps_per_epoch = tuple(work.steps_per_epoch for work in folds)
    longest = max(_epoch_seconds(folds[stack.fold], len(stack.networks)) for stack in planned)
    epochs_per_slice = min(epochs, max(1, int(stacks.slice_seconds / longest)))
    return Plan(planned, epochs, steps_per_epoch, epochs_per_slice)


def _in_order(networks: list[Network]) -> tuple[Network, ...]:
    return tuple(sorted(networks, key=lambda network: network.kinds))


def _epoch_seconds(work: FoldWork, width: int) -> float:
    return work.steps_per_epoch * (PYTHON_S_PER_STEP + width * network_step_seconds(work.shape))


def _n_stacks(folds: Sequence[FoldWork], workers: int, stacks: Stacks) -> list[int]:
    """How many stacks each fold's networks make; for auto together a multiple of the workers, to leave none idle."""
    if stacks.width != "auto":
        return [1 if stacks.width == "unlimited" else ceil(len(work.networks) / stacks.width) for work in folds]
    n_networks = sum(len(work.networks) for work in folds)
    wide_enough = ceil(10 * PYTHON_S_PER_STEP / network_step_seconds(folds[0].shape))
    n_stacks = max(len(folds), ceil(n_networks / min(wide_enough, ceil(n_networks / workers))))
    each, more = divmod(min(ceil(n_stacks / workers) * workers, n_networks), len(folds))
    return [each + (fold < more) for fold in range(len(folds))]


def network_step_seconds(shape: Shape) -> float:
    """About what one step of one network costs on one core, without Python's part."""
    flops = 6 * shape.batch_size * shape.n_weights  # forward, and twice as much backward
    activations = shape.batch_size * sum(shape.sizes)
    return flops / FLOPS_PER_S + S_PER_PARAMETER * shape.n_parameters + S_PER_ACTIVATION * activations
