"""From trials to stacks: which networks are trained together, and how many epochs make a slice."""

from dataclasses import dataclass
from math import ceil
from typing import Annotated, Literal

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


@dataclass(frozen=True)
class Plan:
    """The networks of each stack, how long they are trained, and in what portions."""

    stacks: tuple[tuple[Network, ...], ...]
    epochs: int
    steps_per_epoch: int
    epochs_per_slice: int


def plan(networks: list[Network], shape: Shape, epochs: int, n_rows: int, workers: int, stacks: Stacks) -> Plan:
    """Deal the networks out to stacks of about equal width and mixed content.

    Within a stack networks with one optimizer stand together, so that they step in one operation.
    """
    n_stacks = ceil(len(networks) / _width(stacks, shape, len(networks), workers))
    if stacks.width == "auto":
        n_stacks = min(ceil(n_stacks / workers) * workers, len(networks))  # no worker idle in the last round
    hands = [networks[first::n_stacks] for first in range(n_stacks)]
    ordered = tuple(tuple(sorted(hand, key=lambda network: network.kinds)) for hand in hands)
    steps_per_epoch = ceil(n_rows / shape.batch_size)
    epoch_seconds = steps_per_epoch * (PYTHON_S_PER_STEP + len(hands[0]) * network_step_seconds(shape))
    epochs_per_slice = min(epochs, max(1, int(stacks.slice_seconds / epoch_seconds)))
    return Plan(ordered, epochs, steps_per_epoch, epochs_per_slice)


def network_step_seconds(shape: Shape) -> float:
    """About what one step of one network costs on one core, without Python's part."""
    flops = 6 * shape.batch_size * shape.n_weights  # forward, and twice as much backward
    activations = shape.batch_size * sum(shape.sizes)
    return flops / FLOPS_PER_S + S_PER_PARAMETER * shape.n_parameters + S_PER_ACTIVATION * activations


def _width(stacks: Stacks, shape: Shape, n_networks: int, workers: int) -> int:
    if stacks.width == "unlimited":
        return n_networks
    if stacks.width == "auto":
        wide_enough = ceil(10 * PYTHON_S_PER_STEP / network_step_seconds(shape))
        return min(wide_enough, ceil(n_networks / workers))
    return stacks.width
