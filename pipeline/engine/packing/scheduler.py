"""Which slice runs next, and where: a pure core, events in and decisions out. It knows neither Ray nor the clock."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.engine.packing.parts import StackTable, equal
from pipeline.engine.packing.planner import PlannedStack, task_seconds
from pipeline.engine.packing.queue import Queue


@dataclass(frozen=True)
class Slice:
    """Train stack number `stack` from the epoch `start` to the epoch `until`, on a GPU or on a core."""

    stack: int
    start: int
    until: int
    gpu: bool = False


class Scheduler:
    """Hands out slices of one rung and takes note of what came of them.

    A stack that is on its way goes before one that has not begun: fewer stacks are in memory at a time. Long ones begin
    first. When workers would be idle, a stack is divided among them. A GPU gets several stacks as one, but leaves one
    for each idle core. A slice that is lost is tried again, epoch by epoch, and its stack is halved until who takes the
    workers along is alone.

    stacks          by their numbers; those that were divided or joined, too
    workers, gpus   how many cores, and how many GPUs beside them, train; they may become more or fewer
    slice_seconds   about how long a slice should take, at least
    retries         how often an epoch of a network that is alone is tried again before it is given up
    fits            how many networks like those of a stack find room on a GPU
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
        self._parts = StackTable(planned, first)
        self.stacks = self._parts.stacks
        self._queue = Queue(self._parts, fits)
        self.workers, self.gpus, self._slice_seconds, self._retries = workers, 0, slice_seconds, retries
        self._losses: Counter[int] = Counter()  # in a row, by stack
        self._running: set[Slice] = set()
        self._n_on_gpus = 0

    def next(self, gpu: bool = False) -> Slice | None:
        """The next slice to start, on a GPU or a core, or None if there is none for it."""
        chosen = self._queue.for_a_gpu(*self._idle) if gpu else self._queue.for_a_core()
        if chosen is None:
            return None
        number, epoch = chosen
        epochs = 1 if self._queue.is_doubted(chosen) else self._epochs(number, epoch, gpu)
        started = Slice(number, epoch, epoch + epochs, gpu)
        self._running.add(started)
        self._n_on_gpus += gpu
        return started

    def finished(self, done: Slice, going_on: Sequence[str], seconds: float) -> None:
        """A slice came to its end after so many seconds, and the networks with these keys go on."""
        number, parts = done.stack, self._parts
        self._ended(done)
        self._losses.pop(number, None)
        parts.measured(number, done.gpu, max(seconds, 1e-6) / (done.until - done.start))
        parts.going_on[number] = going_on
        if not going_on or done.until == self.stacks[number].until:
            del parts.going_on[number]
            return
        left = (self.stacks[number].until - done.until) * parts.seconds(number, done.gpu)
        sizes = [] if self._queue or left <= self._slice_seconds else self._shares(number, len(going_on))
        several = self._queue.divide(number, done.until, sizes) if sizes[1:] else [(number, done.until)]
        self._queue.put_first(several)

    def lost(self, gone: Slice, narrower: bool = False) -> str | None:
        """A slice did not come to its end: it is to be tried again; the key of a network that is given up instead.

        narrower   each half of its networks may come to its end
        """
        number, keys, queue = gone.stack, self._parts.keys(gone.stack), self._queue
        again = [(number, gone.start)]
        self._ended(gone)
        self._losses[number] += 1
        queue.doubted[number] = max(gone.until, queue.doubted.get(number, 0))
        if narrower and gone.gpu:
            queue.too_wide(*again)
        elif len(keys) == 1 and self._losses[number] > self._retries and gone.until == gone.start + 1:
            return keys[0]
        if len(keys) > 1 and (narrower or self._losses[number] > 1):
            again = queue.divide(*again[0], equal(len(keys), 2))
            self._losses.update({part: self._losses[number] for part, _ in again})
        queue.put_first(again)
        return None

    @property
    def done(self) -> bool:
        """Nothing is left to start or to wait for."""
        return not self._queue and not self._running

    def _epochs(self, number: int, epoch: int, gpu: bool) -> int:
        """How many a stack's next slice has; a rest of less than half a slice is worth no slice of its own."""
        left = self.stacks[number].until - epoch
        seconds = max(self._slice_seconds, task_seconds(self.workers))
        epochs = max(1, int(seconds / self._parts.seconds(number, gpu)))
        return epochs if left >= 1.5 * epochs else left

    @property
    def _idle(self) -> tuple[int, int]:
        """Cores and GPUs with nothing to do."""
        return max(0, self.workers - len(self._running) + self._n_on_gpus), max(0, self.gpus - self._n_on_gpus)

    def _ended(self, one: Slice) -> None:
        self._running.remove(one)
        self._n_on_gpus -= one.gpu

    def _shares(self, number: int, n: int) -> list[int]:
        """How many of a stack's n networks each idle GPU and core gets, so that all come to their ends together."""
        cores, gpus = self._idle
        gpus = min(gpus, n)
        if not gpus:
            return equal(n, min(cores, n)) if cores else []
        core, gpu = (1 / self._parts.seconds(number, of) for of in (False, True))  # speeds
        own = min(int(n * core / (cores * core + gpus * gpu)), (n - gpus) // max(1, cores))
        return equal(n - cores * own, gpus) + [own] * (cores if own else 0)
