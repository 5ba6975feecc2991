"""From networks to stacks: which of them are trained together, and about how long that takes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import ceil, sqrt
from typing import Annotated, Literal, NamedTuple

import numpy as np
import pydantic.dataclasses
from pydantic import Field, Strict

from nncore.architecture import Architecture
from nncore.stack.device import network_bytes
from nncore.stack.state import Network
from pipeline.components.fields import STRICT, PositiveInt
from pipeline.components.types import ViewShape

# One network's step costs about its products at this rate, some passes over its parameters and
# activations, and its share of what Python spends on a step of the whole stack. Measured on one core.
FLOPS_PER_S = 100e9
S_PER_PARAMETER = 0.4e-9
S_PER_ACTIVATION = 0.5e-9
PYTHON_S_PER_STEP = 120e-6

# What the driver does for a task, to start it, to note it, to show it, and the part of its time that it may spend on
# tasks: with many workers tasks become longer, or workers stay idle that it could not feed. Measured.
TASK_S = 4e-3
BUSY = 0.5

# Of a GPU: not measured here, only good enough for the length of a stack's first slice; then its own time counts.
GPU_S_PER_STEP = 3e-3  # some 200 small kernels, one after the other
GPU_FLOPS_PER_S = 3e12
GPU_SHARE = 0.8  # of its memory that is planned for: libraries and gaps between arrays take some, too


@pydantic.dataclasses.dataclass(frozen=True, config=STRICT)
class PackingSettings:
    """How networks are packed. Results do not depend on it, only speed and memory do.

    width            networks per stack; auto: wide enough that Python's share of a step is small
    slice_seconds    about how long one task trains before it reports
    keep_gigabytes   states of finished networks are kept, to train them longer one day, if they take no more
    """

    width: PositiveInt | Literal["auto", "unlimited"]
    slice_seconds: Annotated[float, Strict(), Field(gt=0, le=3600)]
    keep_gigabytes: Annotated[float, Strict(), Field(ge=0)]


class NetworkOrigin(NamedTuple):
    """Where a network's state is: in the stack with this number, under this key."""

    stack: int
    key: str


class Job(NamedTuple):
    """One network that is to be trained from the epoch `start` to the epoch `until`.

    view     number of the fold's view that it learns from, and what that is like
    origin   where its state is; None for a network that has not begun
    """

    network: Network
    architecture: Architecture
    view: int
    view_shape: ViewShape
    start: int
    until: int
    origin: NetworkOrigin | None = None


@dataclass(frozen=True)
class PlannedStack:
    """Networks that are trained together.

    networks        sorted by their members' kinds; `view` counts in `views`
    views           numbers of the views they learn from, all of one size
    origins         by network; none if they have not begun
    epoch_seconds   about how long one epoch takes
    """

    architecture: Architecture
    view_shape: ViewShape
    networks: tuple[Network, ...]
    views: tuple[int, ...]
    start: int
    until: int
    origins: tuple[NetworkOrigin, ...]
    epoch_seconds: float

    @property
    def seconds(self) -> float:
        """About how long it takes on one worker."""
        return self.epoch_seconds * (self.until - self.start)

    @property
    def like(self) -> object:
        """Networks of equal shape and data take equal time and memory."""
        return self.architecture, self.view_shape

    @property
    def jobs(self) -> list[Job]:
        """Its networks, each by itself."""
        origins = self.origins or (None,) * len(self.networks)
        return [
            Job(network, self.architecture, self.views[network.view], self.view_shape, self.start, self.until, origin)
            for network, origin in zip(self.networks, origins, strict=True)
        ]

    def part(self, keys: Sequence[str]) -> "PlannedStack":
        """Some of its networks, which begin where it begins."""
        wanted = set(keys)
        at = [index for index, network in enumerate(self.networks) if network.key in wanted]
        networks, origins = tuple(self.networks[i] for i in at), tuple(self.origins[i] for i in at if self.origins)
        share = len(networks) / len(self.networks)
        return replace(self, networks=networks, origins=origins, epoch_seconds=self.epoch_seconds * share)

    def rest(self, keys: Sequence[str], number: int, epoch: int) -> "PlannedStack":
        """Some of its networks, which go on from this epoch, out of the stack with this number."""
        part = self.part(keys)
        return replace(
            part, origins=tuple(NetworkOrigin(number, network.key) for network in part.networks), start=epoch
        )


def plan(jobs: Sequence[Job], workers: int, stacks: PackingSettings) -> list[PlannedStack]:
    """Group the networks by shape, size of their view and epochs; divide each group among stacks of about equal width.

    Within a stack networks with members of the same kinds stand together, so that they step in one operation. The fewer
    operations, the less of a step is Python's: where workers have several stacks each, networks of the same kinds come
    to the stacks of one round. The stacks of a round get as many of each kind, so that all take about equally long.
    """
    groups: dict[tuple[object, ...], list[Job]] = {}
    for job in sorted(jobs, key=order):
        groups.setdefault((job.architecture, job.view_shape, job.start, job.until, job.origin is None), []).append(job)
    numbers = _n_stacks(list(groups.values()), workers, stacks.width)
    parts = [part for group, n in zip(groups.values(), numbers, strict=True) for part in _divided(group, n, workers)]
    return [stack_of(part) for part in parts]


def stack_of(jobs: Sequence[Job]) -> PlannedStack:
    """One stack of jobs that are alike, and in their `order`."""
    first, views = jobs[0], tuple(sorted({job.view for job in jobs}))
    return PlannedStack(
        first.architecture,
        first.view_shape,
        tuple(replace(job.network, view=views.index(job.view)) for job in jobs),
        views,
        first.start,
        first.until,
        tuple(job.origin for job in jobs if job.origin),
        epoch_seconds(first.architecture, first.view_shape, len(jobs)),
    )


def order(job: Job) -> tuple[tuple[str, ...], int]:
    """In which jobs stand in a stack."""
    return job.network.kinds, job.view


def _divided(jobs: Sequence[Job], n_parts: int, workers: int) -> list[Sequence[Job]]:
    """Parts of about equal size, of which so many as there are workers are alike."""
    n_rounds = max(1, n_parts // workers)
    firsts = [ceil(n_parts * number / n_rounds) for number in range(n_rounds + 1)]  # parts of each round
    ends = [ceil(len(jobs) * first / n_parts) for first in firsts]
    return [
        jobs[begin:end][part::n]
        for (begin, end), n in zip(pairwise(ends), (b - a for a, b in pairwise(firsts)), strict=True)
        for part in range(n)
    ]


def task_seconds(workers: int) -> float:
    """How long a task must last at least, for the driver to feed so many workers."""
    return workers * TASK_S / BUSY


def _n_stacks(groups: list[list[Job]], workers: int, width: int | str) -> list[int]:
    """How many stacks each group makes; for auto together a multiple of the workers, to leave none idle.

    Not so many that the driver would take longer with them than the workers: then stacks are wider, or fewer than
    workers. With n tasks a sweep takes n TASK_S + seconds / n at least: least of all for n = sqrt(seconds / TASK_S).
    """
    if width != "auto":
        return [1 if isinstance(width, str) else ceil(len(group) / width) for group in groups]
    seconds = [
        (group[0].until - group[0].start) * epoch_seconds(group[0].architecture, group[0].view_shape, len(group))
        for group in groups
    ]
    workers = max(1, min(workers, ceil(sqrt(sum(seconds) / TASK_S))))
    numbers = [
        ceil(min(len(group) / wide_enough(group[0].architecture), whole / task_seconds(workers)))
        for group, whole in zip(groups, seconds, strict=True)
    ]
    while sum(numbers) % workers:
        can = [at for at, group in enumerate(groups) if numbers[at] < len(group)]
        if not can:
            break
        longest = max(can, key=lambda at: seconds[at] / numbers[at])
        numbers[longest] += 1
    return numbers


def wide_enough(architecture: Architecture) -> int:
    """So many networks that Python's share of their step is a tenth: large networks stand in narrow stacks."""
    return ceil(10 * PYTHON_S_PER_STEP / network_step_seconds(architecture))


def gpu_width(stack: PlannedStack, n_views: int, memory: int) -> int:
    """How many networks like those of the stack, and so many views, find room in these bytes of a GPU; at least one."""
    n_rows, itemsize = (
        stack.view_shape.n_train + stack.view_shape.n_validation,
        np.dtype(stack.architecture.dtype).itemsize,
    )
    views = n_views * n_rows * (stack.view_shape.n_inputs + stack.view_shape.n_outputs + 1) * itemsize
    examples = {network.kinds: network for network in stack.networks}.values()
    each = max(network_bytes(stack.architecture, network, stack.view_shape.n_validation) for network in examples)
    return max(1, int(memory * GPU_SHARE - views) // each)


def gpu_epoch_seconds(architecture: Architecture, view_shape: ViewShape, width: int) -> float:
    """About what one epoch of so many networks costs on a GPU, until one was measured."""
    flops = steps_per_epoch(architecture, view_shape) * width * step_flops(architecture)
    return steps_per_epoch(architecture, view_shape) * GPU_S_PER_STEP + flops / GPU_FLOPS_PER_S


def steps_per_epoch(architecture: Architecture, view_shape: ViewShape) -> int:
    """Batches in which all training rows are seen once."""
    return ceil(view_shape.n_train / architecture.batch_size)


def epoch_seconds(architecture: Architecture, view_shape: ViewShape, width: int) -> float:
    """About what one epoch of so many networks costs on one core."""
    validation = width * view_shape.n_validation * 2 * architecture.n_weights / FLOPS_PER_S
    return validation + steps_per_epoch(architecture, view_shape) * (
        PYTHON_S_PER_STEP + width * network_step_seconds(architecture)
    )


def step_flops(architecture: Architecture) -> int:
    """Floating point operations in the matrix products of one network's step: forward, and twice as much backward."""
    return 6 * architecture.batch_size * architecture.n_weights


def network_step_seconds(architecture: Architecture) -> float:
    """About what one step of one network costs on one core, without Python's part."""
    activations = architecture.batch_size * sum(architecture.sizes)
    return (
        step_flops(architecture) / FLOPS_PER_S
        + S_PER_PARAMETER * architecture.n_parameters
        + S_PER_ACTIVATION * activations
    )
