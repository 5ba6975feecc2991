"""Which slice runs next: a pure core, events in and decisions out. It knows neither Ray nor the clock."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.sweep.planner import PlannedStack


@dataclass(frozen=True)
class Slice:
    """Train stack number `stack` from the epoch `start` to the epoch `until`."""

    stack: int
    start: int
    until: int


class Scheduler:
    """Hands out slices of one rung and takes note of what came of them.

    A stack that is on its way goes before one that has not begun: fewer stacks are in memory at a time. Long ones begin
    first. When workers would be idle, a stack is divided among them.

    stacks          by their numbers; those that were divided, too
    slice_seconds   about how long a slice should take
    """

    def __init__(self, planned: Sequence[PlannedStack], workers: int, slice_seconds: float, first: int = 0) -> None:
        self.stacks = dict(enumerate(planned, first))
        self._next_number = first + len(planned)
        self._workers, self._slice_seconds = workers, slice_seconds
        self._epoch_seconds = {number: stack.epoch_seconds for number, stack in self.stacks.items()}
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
        self._running.remove(done)
        self._epoch_seconds[done.stack] = max(seconds, 1e-6) / (done.until - done.start)
        if not going_on or done.until == self.stacks[done.stack].until:
            return
        left = (self.stacks[done.stack].until - done.until) * self._epoch_seconds[done.stack]
        idle = 0 if self._ready else self._workers - len(self._running)
        n = min(idle, len(going_on)) if left > self._slice_seconds else 1
        if n < 2:
            self._ready.appendleft(self._slice(done.stack, done.until))
        else:
            self._divide(done, going_on, n)

    @property
    def done(self) -> bool:
        """Nothing is left to start or to wait for."""
        return not self._ready and not self._running

    def _divide(self, done: Slice, going_on: Sequence[str], n: int) -> None:
        """Stacks of their own for equal parts of the networks, neighbours together."""
        size = -(-len(going_on) // n)
        for at in range(0, len(going_on), size):
            keys, number = going_on[at : at + size], self._next_number
            self._next_number += 1
            self.stacks[number] = self.stacks[done.stack].rest(keys, done.stack, done.until)
            self._epoch_seconds[number] = self._epoch_seconds[done.stack] * len(keys) / len(going_on)
            self._ready.append(self._slice(number, done.until))

    def _slice(self, stack: int, start: int) -> Slice:
        epochs = max(1, int(self._slice_seconds / self._epoch_seconds[stack]))
        return Slice(stack, start, min(start + epochs, self.stacks[stack].until))
