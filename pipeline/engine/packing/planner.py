"""Which networks are trained together, as one stack."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import ceil, sqrt
from typing import Annotated, Literal, NamedTuple

import pydantic.dataclasses
from pydantic import Field, Strict

from nncore.architecture import Architecture
from nncore.stack.state import Network
from pipeline.components.fields import STRICT, PositiveInt
from pipeline.components.types import ViewShape
from pipeline.engine.packing.cost_model import TASK_S, efficient_width, epoch_seconds, min_task_seconds


@pydantic.dataclasses.dataclass(frozen=True, config=STRICT)
class PackingSettings:
    """How networks are packed. Only speed and memory depend on it, never results.

    Parameters
    ----------
    width : int > 0, "auto" or "unlimited"
        The most networks in a stack. auto: wide enough that Python's share of a step is small.
    slice_seconds : float in (0, 3600]
        About how long one task trains before it reports.
    keep_gigabytes : float, >= 0
        The checkpoints of a finished run are kept, so that it can be extended later, unless they take more than this.
    """

    width: PositiveInt | Literal["auto", "unlimited"]
    slice_seconds: Annotated[float, Strict(), Field(gt=0, le=3600)]
    keep_gigabytes: Annotated[float, Strict(), Field(ge=0)]


class NetworkOrigin(NamedTuple):
    """Where the state of a network is: the number of a stack, and the network's key in it."""

    stack: int
    key: str


class Job(NamedTuple):
    """Train one network from the epoch `start` to the epoch `until`.

    Parameters
    ----------
    network : Network
    architecture : Architecture
    view : int
        Number of the view that it learns from.
    view_shape : ViewShape
        The sizes of this view.
    start, until : int
    origin : NetworkOrigin or None, default None
        Where its state is; None for a network that has not begun.
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

    Parameters
    ----------
    architecture : Architecture
    view_shape : ViewShape
    networks : tuple of Network
        In packing order; `Network.view` is a place in `views`.
    views : tuple of int
        Numbers of the views that they learn from, all of one size.
    start, until : int
        The epochs between which they are trained.
    origins : tuple of NetworkOrigin
        One for each network; empty if they have not begun.
    epoch_seconds : float
        Estimated seconds of an epoch on one core.
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
        """Estimated seconds of its training on one core."""
        return self.epoch_seconds * (self.until - self.start)

    @property
    def like(self) -> object:
        """Equal for networks that take equal time and memory."""
        return self.architecture, self.view_shape

    @property
    def jobs(self) -> list[Job]:
        """Its networks as single jobs."""
        origins = self.origins or (None,) * len(self.networks)
        return [
            Job(network, self.architecture, self.views[network.view], self.view_shape, self.start, self.until, origin)
            for network, origin in zip(self.networks, origins, strict=True)
        ]

    def part(self, keys: Sequence[str]) -> "PlannedStack":
        """The stack of some of its networks, which start where it starts."""
        wanted = set(keys)
        indices = [index for index, network in enumerate(self.networks) if network.key in wanted]
        networks = tuple(self.networks[index] for index in indices)
        origins = tuple(self.origins[index] for index in indices if self.origins)
        share = len(networks) / len(self.networks)
        return replace(self, networks=networks, origins=origins, epoch_seconds=self.epoch_seconds * share)

    def rest(self, keys: Sequence[str], number: int, epoch: int) -> "PlannedStack":
        """The stack of some of its networks, which continue after this epoch from the stack with this number."""
        part = self.part(keys)
        origins = tuple(NetworkOrigin(number, network.key) for network in part.networks)
        return replace(part, origins=origins, start=epoch)


def plan(jobs: Sequence[Job], workers: int, settings: PackingSettings) -> list[PlannedStack]:
    """Divide networks among stacks.

    Networks can be trained together if they agree in architecture, sizes of their views and epochs. Each such group is
    divided among stacks of about equal width.

    Within a stack, networks with components of the same kinds stand side by side, so that they step in one operation.
    The fewer operations, the smaller is Python's share of a step. Where workers have several stacks each, networks of
    the same kinds are put into the stacks of one round; each stack of a round gets equally many of each kind, so that
    all of them take about equally long.

    Parameters
    ----------
    jobs : sequence of Job
    workers : int, > 0
        Cores and GPUs that train.
    settings : PackingSettings
    """
    groups: dict[tuple[object, ...], list[Job]] = {}
    for job in sorted(jobs, key=packing_order):
        groups.setdefault((job.architecture, job.view_shape, job.start, job.until, job.origin is None), []).append(job)
    numbers = _stack_counts(list(groups.values()), workers, settings.width)
    parts = [part for group, n in zip(groups.values(), numbers, strict=True) for part in _divided(group, n, workers)]
    return [stack_of(part) for part in parts]


def stack_of(jobs: Sequence[Job]) -> PlannedStack:
    """The stack of jobs that agree in all that a stack's networks share, and are in packing order."""
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


def packing_order(job: Job) -> tuple[tuple[str, ...], int]:
    """Sort key of networks in a stack: by the kinds of their components, then by view."""
    return job.network.kinds, job.view


def _divided(jobs: Sequence[Job], n_parts: int, workers: int) -> list[Sequence[Job]]:
    """Parts of about equal size; those of one round, as many as there are workers, have networks of the same kinds."""
    n_rounds = max(1, n_parts // workers)
    firsts = [ceil(n_parts * number / n_rounds) for number in range(n_rounds + 1)]  # parts of each round
    ends = [ceil(len(jobs) * first / n_parts) for first in firsts]
    return [
        jobs[begin:end][part::n]
        for (begin, end), n in zip(pairwise(ends), (b - a for a, b in pairwise(firsts)), strict=True)
        for part in range(n)
    ]


def _stack_counts(groups: list[list[Job]], workers: int, width: int | str) -> list[int]:
    """The number of stacks of each group; for auto a multiple of the workers in all, so that none is idle.

    There are not so many that the driver takes longer with them than the workers; in that case stacks are wider, or
    fewer than there are workers. With n tasks a sweep takes at least n TASK_S + seconds / n, which is least for
    n = sqrt(seconds / TASK_S).
    """
    if width != "auto":
        return [1 if isinstance(width, str) else ceil(len(group) / width) for group in groups]
    seconds = [
        (group[0].until - group[0].start) * epoch_seconds(group[0].architecture, group[0].view_shape, len(group))
        for group in groups
    ]
    workers = max(1, min(workers, ceil(sqrt(sum(seconds) / TASK_S))))
    counts = [
        ceil(min(len(group) / efficient_width(group[0].architecture), total / min_task_seconds(workers)))
        for group, total in zip(groups, seconds, strict=True)
    ]
    while sum(counts) % workers:
        divisible = [index for index, group in enumerate(groups) if counts[index] < len(group)]
        if not divisible:
            break
        longest = max(divisible, key=lambda index: seconds[index] / counts[index])
        counts[longest] += 1
    return counts
