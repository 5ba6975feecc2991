"""Which slice runs next, and where: events in, decisions out. It knows neither the executor nor the clock."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, pairwise
from math import ceil
from operator import attrgetter

from pipeline.engine.packing.cost_model import efficient_width, gpu_epoch_seconds, min_task_seconds
from pipeline.engine.packing.planner import PlannedStack, TrialNetwork, stack_of


@dataclass(frozen=True)
class Slice:
    """Train a stack from the epoch `start` to the epoch `until`, on a GPU or on a core."""

    stack: int
    start: int
    until: int
    gpu: bool = False


@dataclass(slots=True)
class _StackProgress:
    """The progress of a stack that waits or is being trained.

    Parameters
    ----------
    epoch : int
        The last epoch that all its networks have completed.
    keys : sequence of str
        The networks that are still trained, in the stack's order.
    gpu_sized : bool
        A GPU has trained it, or it was joined for one: it may be too wide for a core.
    epoch_seconds : dict of bool to float
        Measured, by device (True for a GPU).
    suspect_until : int
        A slice that went to this epoch was lost: up to it, slices are one epoch long.
    losses : int
        Slices lost in a row.
    """

    epoch: int
    keys: Sequence[str]
    gpu_sized: bool = False
    epoch_seconds: dict[bool, float] = field(default_factory=dict)
    suspect_until: int = 0
    losses: int = 0

    @property
    def suspect(self) -> bool:
        """A slice that contained its next epoch was lost."""
        return self.epoch < self.suspect_until


class Scheduler:
    """Hands out the slices of one rung, and decides again after each event.

    Events are `finished`, `lost` and `resize`; the decision is `next`.

    Stacks wait in one queue, the longest first; a stack that has begun goes before those that have not, so that few
    are in memory at a time. A core takes the first stack. A GPU takes the first for which it has memory, together with
    others that can be trained with it, but leaves a stack for each idle core. When workers are idle at the end of a
    slice and no stack waits, the stack is divided among them. A lost slice is repeated one epoch at a time, and its
    stack is halved, until the network that causes the loss is alone and, after all retries, is given up.

    Parameters
    ----------
    planned : sequence of PlannedStack
    workers : int
        Cores that train.
    slice_seconds : float, > 0
        How long a slice should take at least.
    retries : int, default 0
        How often an epoch of a single network is repeated before the network is given up.
    first : int, default 0
        The number of the first stack; the others count on from it.
    fits : callable, default none
        From a stack, how many networks like its own fit into a GPU's memory.

    Attributes
    ----------
    stacks : dict of int to PlannedStack
        All stacks by number, those that were divided or joined included.
    """

    def __init__(
        self,
        planned: Sequence[PlannedStack],
        workers: int,
        slice_seconds: float,
        retries: int = 0,
        first: int = 0,
        fits: Callable[[PlannedStack], int] = lambda _: 0,
    ) -> None:
        self.stacks = dict(enumerate(planned, first))
        self._next_number = first + len(planned)
        self._progress = {number: _StackProgress(stack.start, stack.keys) for number, stack in self.stacks.items()}
        self._queue = deque(sorted(self.stacks, key=lambda number: -self.stacks[number].seconds))
        self._running: dict[bool, set[Slice]] = {False: set(), True: set()}  # on cores, and on GPUs
        self._workers, self._gpus = workers, 0
        self._slice_seconds, self._retries = slice_seconds, retries
        self._fits = fits
        self._gpu_width: dict[object, int] = {}  # by cost key, how many networks a GPU trains at a time

    @property
    def done(self) -> bool:
        """Whether no slice is left to start or to wait for."""
        return not self._queue and not any(self._running.values())

    def resize(self, workers: int, gpus: int = 0) -> None:
        """Event: from now on this many cores and, besides them, this many GPUs train."""
        self._workers, self._gpus = workers, gpus

    def next(self, gpu: bool = False) -> Slice | None:
        """Decision: the next slice to start on an idle GPU or an idle core; None if there is none for it."""
        number = self._next_for_gpu() if gpu else self._next_for_core()
        if number is None:
            return None
        progress = self._progress[number]
        epochs = 1 if progress.suspect else self._slice_epochs(number, gpu)
        started = Slice(number, progress.epoch, progress.epoch + epochs, gpu)
        self._running[gpu].add(started)
        return started

    def finished(self, ended: Slice, keys: Sequence[str], seconds: float) -> None:
        """Event: a slice came to its end.

        Parameters
        ----------
        ended : Slice
        keys : sequence of str
            The networks that continue: neither diverged nor stopped.
        seconds : float
            How long it took.
        """
        number, stack, progress = ended.stack, self.stacks[ended.stack], self._progress[ended.stack]
        self._running[ended.gpu].remove(ended)
        if not keys or ended.until == stack.until:
            del self._progress[number]
            return
        progress.epoch, progress.keys, progress.losses = ended.until, keys, 0
        progress.epoch_seconds[ended.gpu] = max(seconds, 1e-6) / (ended.until - ended.start)
        remaining = (stack.until - ended.until) * self._epoch_seconds(number, ended.gpu)
        sizes = [] if self._queue or remaining <= self._slice_seconds else self._sizes_for_idle(number)
        self._put_first(self._divide(number, sizes) if len(sizes) > 1 else [number])

    def lost(self, ended: Slice, out_of_memory: bool = False) -> str | None:
        """Event: a slice did not come to its end, and is to be repeated.

        Parameters
        ----------
        ended : Slice
        out_of_memory : bool, default False
            Half of its networks at a time may come to the end.

        Returns
        -------
        str or None
            The key of the network that is given up instead, if the loss was its fault and all retries are used up.
        """
        number, progress = ended.stack, self._progress[ended.stack]
        n_networks = len(progress.keys)
        self._running[ended.gpu].remove(ended)
        progress.losses += 1
        progress.suspect_until = max(ended.until, progress.suspect_until)
        if out_of_memory and ended.gpu:
            cost_key = self.stacks[number].cost_key
            self._gpu_width[cost_key] = min(n_networks // 2, self._width_on_gpu(number))
        elif n_networks == 1 and progress.losses > self._retries and ended.until == ended.start + 1:
            del self._progress[number]
            return progress.keys[0]
        if n_networks == 1 or (progress.losses == 1 and not out_of_memory):
            self._put_first([number])
            return None
        halves = self._divide(number, equal_sizes(n_networks, 2))
        for half in halves:
            self._progress[half].losses = progress.losses
        self._put_first(halves)
        return None

    def _next_for_core(self) -> int | None:
        """The first stack in the queue; one that is too wide for a core is divided before."""
        if not self._queue:
            return None
        number = self._queue.popleft()
        n_networks = len(self._progress[number].keys)
        width = efficient_width(self.stacks[number].architecture)
        if not self._progress[number].gpu_sized or n_networks <= width:
            return number
        first, *others = self._divide(number, equal_sizes(n_networks, ceil(n_networks / width)))
        self._put_first(others)
        return first

    def _next_for_gpu(self) -> int | None:
        """The first stack that a GPU has memory for, divided or joined with others so that it is as wide as can be.

        It leaves a stack for each idle core, and to each other idle GPU an equal share of what can be joined.
        """
        number = next((waiting for waiting in self._queue if self._width_on_gpu(waiting)), None)
        if number is None:
            return None
        idle_cores, idle_gpus = self._idle()
        join_key = self._join_key(number)
        n_joinable = sum(
            len(self._progress[waiting].keys) for waiting in self._queue if self._join_key(waiting) == join_key
        )
        self._queue.remove(number)
        width = min(self._width_on_gpu(number), ceil(n_joinable / max(1, idle_gpus)))
        progress = self._progress[number]
        progress.gpu_sized = True
        n_networks = len(progress.keys)
        if n_networks > width:
            first, *rest = self._divide(number, equal_sizes(n_networks, ceil(n_networks / width)))
            self._put_first(rest)
            return first
        others = self._joinable(number, width - n_networks, len(self._queue) - idle_cores)
        if not others:
            return number
        self._queue = deque(waiting for waiting in self._queue if waiting not in others)
        return self._join([number, *others])

    def _joinable(self, number: int, room: int, at_most: int) -> dict[int, None]:
        """The stacks to train together with this one: in the order of the queue, as many as there is room for."""
        others: dict[int, None] = {}
        if self._progress[number].suspect:
            return others
        for waiting in self._queue:
            if len(others) >= at_most or not room:
                break
            n_networks = len(self._progress[waiting].keys)
            joinable = self._join_key(waiting) == self._join_key(number) and not self._progress[waiting].suspect
            if joinable and n_networks <= room:
                others[waiting] = None
                room -= n_networks
        return others

    def _join_key(self, number: int) -> object:
        """Equal for stacks that can be joined."""
        stack, epoch = self.stacks[number], self._progress[number].epoch
        return stack.cost_key, stack.until, epoch, epoch > stack.start or stack.networks[0].origin is not None

    def _divide(self, number: int, sizes: Sequence[int]) -> list[int]:
        """Replace a stack by stacks of these sizes, neighbours together."""
        progress = self._progress.pop(number)
        parts = []
        for begin, end in pairwise(accumulate(sizes, initial=0)):
            stack = self._remainder(number, progress, progress.keys[begin:end])
            part = self._add(stack, replace(progress, keys=stack.keys, losses=0))
            measured = dict(progress.epoch_seconds)  # on a GPU it hardly depends on the width
            if False in measured:
                measured[False] *= (end - begin) / len(progress.keys)
            self._progress[part].epoch_seconds = measured
            parts.append(part)
        return parts

    def _join(self, numbers: Sequence[int]) -> int:
        """Replace stacks that can be joined by one, for a GPU."""
        networks: list[TrialNetwork] = []
        epoch = self._progress[numbers[0]].epoch
        for number in numbers:
            progress = self._progress.pop(number)
            networks += self._remainder(number, progress, progress.keys).networks
        stack = stack_of(sorted(networks, key=attrgetter("packing_order")))
        return self._add(stack, _StackProgress(epoch, stack.keys, gpu_sized=True))

    def _remainder(self, number: int, progress: _StackProgress, keys: Sequence[str]) -> PlannedStack:
        """What is left to do for some networks of a stack."""
        stack = self.stacks[number]
        return stack.continued(keys, number, progress.epoch) if progress.epoch > stack.start else stack.subset(keys)

    def _add(self, stack: PlannedStack, progress: _StackProgress) -> int:
        number, self._next_number = self._next_number, self._next_number + 1
        self.stacks[number], self._progress[number] = stack, progress
        return number

    def _put_first(self, numbers: Sequence[int]) -> None:
        self._queue.extendleft(reversed(numbers))

    def _epoch_seconds(self, number: int, gpu: bool) -> float:
        """Seconds of an epoch of a stack, measured or else estimated."""
        if measured := self._progress[number].epoch_seconds.get(gpu):
            return measured
        stack = self.stacks[number]
        if gpu:
            return gpu_epoch_seconds(stack.architecture, stack.view_shape, len(stack.networks))
        return stack.epoch_seconds

    def _slice_epochs(self, number: int, gpu: bool) -> int:
        """Epochs of a stack's next slice; a rest shorter than half a slice is trained with it."""
        remaining = self.stacks[number].until - self._progress[number].epoch
        seconds = max(self._slice_seconds, min_task_seconds(self._workers))
        epochs = max(1, int(seconds / self._epoch_seconds(number, gpu)))
        return epochs if remaining >= 1.5 * epochs else remaining

    def _idle(self) -> tuple[int, int]:
        """Numbers of idle cores and of idle GPUs."""
        return max(0, self._workers - len(self._running[False])), max(0, self._gpus - len(self._running[True]))

    def _sizes_for_idle(self, number: int) -> list[int]:
        """How many of a stack's networks each idle GPU and core gets, so that all of them end at about one time."""
        n_networks = len(self._progress[number].keys)
        cores, gpus = self._idle()
        gpus = min(gpus, n_networks)
        if not gpus:
            return equal_sizes(n_networks, min(cores, n_networks)) if cores else []
        core_speed, gpu_speed = (1 / self._epoch_seconds(number, gpu) for gpu in (False, True))
        fair_share = int(n_networks * core_speed / (cores * core_speed + gpus * gpu_speed))
        per_core = min(fair_share, (n_networks - gpus) // max(1, cores))
        return equal_sizes(n_networks - cores * per_core, gpus) + [per_core] * (cores if per_core else 0)

    def _width_on_gpu(self, number: int) -> int:
        """How many networks like those of a stack a GPU trains at a time; 0 if it has no memory for one."""
        stack = self.stacks[number]
        if stack.cost_key not in self._gpu_width:
            self._gpu_width[stack.cost_key] = self._fits(stack)
        return self._gpu_width[stack.cost_key]


def equal_sizes(n: int, parts: int) -> list[int]:
    """The sizes of this many parts of n or of fewer, all but the last one equal."""
    size = -(-n // parts)
    return [min(size, n - begin) for begin in range(0, n, size)]
