"""Which slice runs next: a pure core, events in and decisions out. It knows neither Ray nor time."""

from collections import deque
from dataclasses import dataclass

from pipeline.sweep.planner import Plan


@dataclass(frozen=True)
class Slice:
    """Train stack number `stack` from its epoch `start` to the epoch `until`."""

    stack: int
    start: int
    until: int


class Scheduler:
    """Hands out slices and takes note of what came of them.

    A stack that is on its way goes before one that has not begun: fewer stacks are in memory at a time.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._ready = deque(self._slice(stack, 0) for stack in range(len(plan.stacks)))
        self._running: set[Slice] = set()

    def next(self) -> Slice | None:
        """The next slice to start, or None if all there is is running or done."""
        if not self._ready:
            return None
        chosen = self._ready.popleft()
        self._running.add(chosen)
        return chosen

    def finished(self, done: Slice, networks_left: int) -> None:
        """A slice came to its end, and this many networks of its stack go on."""
        self._running.remove(done)
        if networks_left and done.until < self._plan.epochs:
            self._ready.appendleft(self._slice(done.stack, done.until))

    @property
    def done(self) -> bool:
        """Nothing is left to start or to wait for."""
        return not self._ready and not self._running

    def _slice(self, stack: int, start: int) -> Slice:
        return Slice(stack, start, min(start + self._plan.epochs_per_slice, self._plan.epochs))
