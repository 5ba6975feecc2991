"""Which slice runs next: a pure core, events in and decisions out. It knows neither Ray nor the clock."""

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.sweep.planner import PlannedStack

NOTED_S = 0.004  # the driver's work for a slice: to start it, to note it, to show it; measured
BUSY = 0.5  # the part of its time that the driver may spend on that: with many workers slices become longer


@dataclass(frozen=True)
class Slice:
    """Train stack number `stack` from the epoch `start` to the epoch `until`."""

    stack: int
    start: int
    until: int


class Scheduler:
    """Hands out slices of one rung and takes note of what came of them.

    A stack that is on its way goes before one that has not begun: fewer stacks are in memory at a time. Long ones begin
    first. When workers would be idle, a stack is divided among them. A slice that is lost is tried again, epoch by
    epoch, and its stack is halved until who takes the workers along is alone.

    stacks          by their numbers; those that were divided, too
    workers         how many there are; they may become more or fewer
    slice_seconds   about how long a slice should take, at least
    retries         how often an epoch of a network that is alone is tried again before it is given up
    """

    def __init__(
        self, planned: Sequence[PlannedStack], workers: int, slice_seconds: float, retries: int = 0, first: int = 0
    ) -> None:
        self.stacks = dict(enumerate(planned, first))
        self.workers, self._slice_seconds, self._retries = workers, slice_seconds, retries
        self._next_number = first + len(planned)
        self._epoch_seconds = {number: stack.epoch_seconds for number, stack in self.stacks.items()}
        self._going_on: dict[int, Sequence[str]] = {}  # keys, of stacks that have begun
        self._losses: Counter[int] = Counter()  # in a row, by stack
        self._doubted: dict[int, int] = {}  # by stack, the epoch to which a slice was lost
        longest_first = sorted(self.stacks, key=lambda number: -self.stacks[number].seconds)
        self._ready = deque(self._slice(number, self.stacks[number].start) for number in longest_first)
        self._running: set[Slice] = set()

    def next(self) -> Slice | None:
        """The next slice to start, or None if all there is is running or done."""
        if not self._ready:
            return None
        chosen = self._ready.popleft()
        self._running.add(chosen)
        return chosen

    def finished(self, done: Slice, going_on: Sequence[str], seconds: float) -> None:
        """A slice came to its end after so many seconds, and the networks with these keys go on."""
        number = done.stack
        self._running.remove(done)
        self._losses.pop(number, None)
        self._epoch_seconds[number] = max(seconds, 1e-6) / (done.until - done.start)
        if not going_on or done.until == self.stacks[number].until:
            self._going_on.pop(number, None)
            return
        self._going_on[number] = going_on
        left = (self.stacks[number].until - done.until) * self._epoch_seconds[number]
        idle = 0 if self._ready else self.workers - len(self._running)
        n = min(idle, len(going_on)) if left > self._slice_seconds else 1
        if n < 2:
            self._ready.appendleft(self._slice(number, done.until))
        else:
            self._ready.extend(self._divide(number, done.until, n))

    def lost(self, gone: Slice, narrower: bool = False) -> str | None:
        """A slice did not come to its end: it is to be tried again; the key of a network that is given up instead.

        narrower   each half of its networks may come to its end
        """
        number = gone.stack
        self._running.remove(gone)
        self._losses[number] += 1
        self._doubted[number] = max(gone.until, self._doubted.get(number, 0))
        keys = self._keys(number)
        if len(keys) > 1 and (narrower or self._losses[number] > 1):
            self._ready.extendleft(reversed(self._divide(number, gone.start, 2)))
        elif len(keys) == 1 and self._losses[number] > self._retries and gone.until == gone.start + 1:
            return keys[0]
        else:
            self._ready.appendleft(self._slice(number, gone.start))
        return None

    @property
    def done(self) -> bool:
        """Nothing is left to start or to wait for."""
        return not self._ready and not self._running

    def _keys(self, number: int) -> Sequence[str]:
        """Of the networks that a stack still trains."""
        return self._going_on.get(number) or [network.key for network in self.stacks[number].networks]

    def _divide(self, number: int, epoch: int, n: int) -> list[Slice]:
        """Stacks of their own for equal parts of the networks, neighbours together; the first slice of each."""
        stack, going_on = self.stacks[number], self._keys(number)
        self._going_on.pop(number, None)
        size, slices = -(-len(going_on) // n), []
        for at in range(0, len(going_on), size):
            keys, part = going_on[at : at + size], self._next_number
            self._next_number += 1
            self.stacks[part] = stack.rest(keys, number, epoch) if epoch > stack.start else stack.part(keys)
            self._epoch_seconds[part] = self._epoch_seconds[number] * len(keys) / len(going_on)
            if number in self._doubted:
                self._doubted[part], self._losses[part] = self._doubted[number], self._losses[number]
            slices.append(self._slice(part, epoch))
        return slices

    def _slice(self, number: int, start: int) -> Slice:
        seconds = max(self._slice_seconds, self.workers * NOTED_S / BUSY)
        epochs = max(1, int(seconds / self._epoch_seconds[number]))
        if start < self._doubted.get(number, 0):
            epochs = 1
        return Slice(number, start, min(start + epochs, self.stacks[number].until))
