"""Which networks are trained together, as one stack."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import ceil, sqrt
from operator import attrgetter
from typing import Annotated, Literal, NamedTuple

import pydantic.dataclasses
from pydantic import Field, Strict

from nncore.architecture import Architecture
from nncore.stack.state import Network
from pipeline.components.fields import STRICT, PositiveInt
from pipeline.components.types import PreparedFold, ViewShape
from pipeline.engine.packing.cost_model import (
    TASK_S,
    efficient_width,
    epoch_seconds,
    min_task_seconds,
    step_flops,
    steps_per_epoch,
)


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


class TrialNetwork(NamedTuple):
    """A network of a trial, what it learns from, and the epochs for which it is to be trained next.

    Parameters
    ----------
    network : Network
    architecture : Architecture
    fold : PreparedFold
    content_hash : str
        Of everything that its result depends on when it is trained from its initial weights.
    start, until : int, default 0
        It has completed epoch `start` and is to be trained to epoch `until`.
    origin : NetworkOrigin or None, default None
        Where its state is; None for a network that has not begun.
    """

    network: Network
    architecture: Architecture
    fold: PreparedFold
    content_hash: str
    start: int = 0
    until: int = 0
    origin: NetworkOrigin | None = None

    @property
    def key(self) -> str:
        """Its name in the records and in the journal."""
        return self.network.key

    @property
    def packing_order(self) -> tuple[tuple[str, ...], str]:
        """Sort key within a stack: the kinds of its components, then the data that it learns from."""
        return self.network.kinds, self.fold.content_hash


def epoch_flops(networks: Sequence[TrialNetwork]) -> int:
    """Floating point operations in the matrix products of one epoch of these networks."""
    return sum(
        steps_per_epoch(network.architecture, network.fold.view_shape) * step_flops(network.architecture)
        for network in networks
    )


@dataclass(frozen=True)
class PlannedStack:
    """Networks that are trained together: they agree in architecture, sizes of their data, and epochs.

    Parameters
    ----------
    networks : tuple of TrialNetwork
        In packing order.
    epoch_seconds : float
        Estimated seconds of an epoch on one core.
    """

    networks: tuple[TrialNetwork, ...]
    epoch_seconds: float

    @property
    def architecture(self) -> Architecture:
        """Of each network."""
        return self.networks[0].architecture

    @property
    def view_shape(self) -> ViewShape:
        """The sizes of each network's data."""
        return self.networks[0].fold.view_shape

    @property
    def start(self) -> int:
        """The epoch that each network has completed."""
        return self.networks[0].start

    @property
    def until(self) -> int:
        """The epoch to which each network is to be trained."""
        return self.networks[0].until

    @property
    def seconds(self) -> float:
        """Estimated seconds of its training on one core."""
        return self.epoch_seconds * (self.until - self.start)

    @property
    def keys(self) -> list[str]:
        """Of its networks."""
        return [network.key for network in self.networks]

    @property
    def cost_key(self) -> object:
        """Equal for networks that take equal time and memory."""
        return self.architecture, self.view_shape

    @property
    def origins(self) -> tuple[NetworkOrigin, ...]:
        """Where the states of its networks are; () if they have not begun."""
        return tuple(network.origin for network in self.networks if network.origin)

    def with_views(self) -> tuple[tuple[Network, ...], list[PreparedFold]]:
        """What its networks learn from, each fold once, and the networks with their `view` among these."""
        folds = {network.fold.content_hash: network.fold for network in self.networks}
        views = sorted(folds)
        networks = tuple(replace(net.network, view=views.index(net.fold.content_hash)) for net in self.networks)
        return networks, [folds[view] for view in views]

    def subset(self, keys: Sequence[str]) -> "PlannedStack":
        """The stack of some of its networks, which start where it starts."""
        wanted = set(keys)
        networks = tuple(network for network in self.networks if network.key in wanted)
        return PlannedStack(networks, self.epoch_seconds * (len(networks) / len(self.networks)))

    def continued(self, keys: Sequence[str], number: int, epoch: int) -> "PlannedStack":
        """The stack of some of its networks, which continue after this epoch from the stack with this number."""
        subset = self.subset(keys)
        networks = tuple(
            network._replace(start=epoch, origin=NetworkOrigin(number, network.key)) for network in subset.networks
        )
        return replace(subset, networks=networks)


def plan(networks: Sequence[TrialNetwork], workers: int, settings: PackingSettings) -> list[PlannedStack]:
    """Divide networks among stacks.

    Networks can be trained together if they agree in architecture, sizes of their data and epochs. Each such group is
    divided among stacks of about equal width.

    Within a stack, networks with components of the same kinds stand side by side, so that they step in one operation.
    The fewer operations, the smaller is Python's share of a step. Where workers have several stacks each, networks of
    the same kinds are put into the stacks of one round; each stack of a round gets equally many of each kind, so that
    all of them take about equally long.

    Parameters
    ----------
    networks : sequence of TrialNetwork
    workers : int, > 0
        Cores and GPUs that train.
    settings : PackingSettings
    """
    groups: dict[tuple[object, ...], list[TrialNetwork]] = {}
    for network in sorted(networks, key=attrgetter("packing_order")):
        key = (network.architecture, network.fold.view_shape, network.start, network.until, network.origin is None)
        groups.setdefault(key, []).append(network)
    counts = _stack_counts(list(groups.values()), workers, settings.width)
    return [
        stack_of(group[part])
        for group, n_parts in zip(groups.values(), counts, strict=True)
        for part in _divided(len(group), n_parts, workers)
    ]


def stack_of(networks: Sequence[TrialNetwork]) -> PlannedStack:
    """The stack of networks that can be trained together and are in packing order."""
    first = networks[0]
    return PlannedStack(tuple(networks), epoch_seconds(first.architecture, first.fold.view_shape, len(networks)))


def _divided(n_networks: int, n_parts: int, workers: int) -> list[slice]:
    """Parts of about equal size; those of one round, as many as there are workers, have networks of the same kinds."""
    n_rounds = max(1, n_parts // workers)
    firsts = [ceil(n_parts * number / n_rounds) for number in range(n_rounds + 1)]  # parts of each round
    ends = [ceil(n_networks * first / n_parts) for first in firsts]
    return [
        slice(begin + part, end, n)
        for (begin, end), n in zip(pairwise(ends), (b - a for a, b in pairwise(firsts)), strict=True)
        for part in range(n)
    ]


def _stack_counts(groups: list[list[TrialNetwork]], workers: int, width: int | str) -> list[int]:
    """The number of stacks of each group; for auto a multiple of the workers in all, so that none is idle.

    There are not so many that the driver takes longer with them than the workers; in that case stacks are wider, or
    fewer than there are workers. With n tasks a sweep takes at least n TASK_S + seconds / n, which is least for
    n = sqrt(seconds / TASK_S).
    """
    if width != "auto":
        return [1 if isinstance(width, str) else ceil(len(group) / width) for group in groups]
    seconds = [stack_of(group).seconds for group in groups]
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
