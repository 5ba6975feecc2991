"""The stacks of a rung that wait for a core or a GPU, and what each of those takes of them."""

from collections import deque
from collections.abc import Callable, Sequence
from math import ceil

from pipeline.engine.packing.parts import Ready, StackTable, equal
from pipeline.engine.packing.planner import PlannedStack, wide_enough


class Queue:
    """First in, first out, but that GPUs take several stacks as one, and that cores take what is wide in parts.

    fits      how many networks like those of a stack find room on a GPU
    doubted   by stack, the epoch to which a slice was lost
    """

    def __init__(self, parts: StackTable, fits: Callable[[PlannedStack], int]) -> None:
        self._parts, self._fits = parts, fits
        self._widest: dict[object, int] = {}  # how many networks of a like a GPU takes at a time
        self.doubted: dict[int, int] = {}
        longest_first = sorted(parts.stacks, key=lambda number: -parts.stacks[number].seconds)
        self._ready: deque[Ready] = deque((number, parts.stacks[number].start) for number in longest_first)

    def __len__(self) -> int:
        return len(self._ready)

    def put_first(self, several: Sequence[Ready]) -> None:
        """These go before all others."""
        self._ready.extendleft(reversed(several))

    def for_a_core(self) -> Ready | None:
        """The first; what is wide because a GPU has trained it is made narrow."""
        if not self._ready:
            return None
        number, epoch = self._ready.popleft()
        n, wide = len(self._parts.keys(number)), wide_enough(self._parts.stacks[number].architecture)
        if number not in self._parts.on_gpus or n <= wide:
            return number, epoch
        return self._first_of(self.divide(number, epoch, equal(n, ceil(n / wide))))

    def for_a_gpu(self, idle_cores: int, idle_gpus: int) -> Ready | None:
        """The first that has room on it, and others of its sort with it.

        As many stacks are left as cores are idle; and of the networks, for each other idle GPU as many as it gets.
        """
        first = next((one for one in self._ready if self._room(one)), None)
        if first is None:
            return None
        sort = self._parts.sort(first)
        waiting = sum(len(self._parts.keys(one[0])) for one in self._ready if self._parts.sort(one) == sort)
        self._ready.remove(first)
        room, n = min(self._room(first), ceil(waiting / max(1, idle_gpus))), len(self._parts.keys(first[0]))
        self._parts.on_gpus.add(first[0])
        if n > room:
            return self._first_of(self.divide(*first, equal(n, ceil(n / room))))
        others = self._others(first, room - n, len(self._ready) - idle_cores)
        if not others:
            return first
        self._ready = deque(one for one in self._ready if one not in others)
        return self._parts.join([first, *others])

    def too_wide(self, one: Ready) -> None:
        """A GPU had no room for it: from now on one takes half as many of its like; if that is none, cores do."""
        stack, half = self._parts.stacks[one[0]], len(self._parts.keys(one[0])) // 2
        self._widest[stack.like] = min(half, self._room(one))

    def is_doubted(self, one: Ready) -> bool:
        """A slice with this epoch was lost."""
        return one[1] < self.doubted.get(one[0], 0)

    def divide(self, number: int, epoch: int, sizes: Sequence[int]) -> list[Ready]:
        """See StackTable.divide; the parts are doubted as the whole was."""
        parts = self._parts.divide(number, epoch, sizes)
        if number in self.doubted:
            self.doubted |= {part: self.doubted[number] for part, _ in parts}
        return parts

    def _first_of(self, parts: Sequence[Ready]) -> Ready:
        self.put_first(parts[1:])
        return parts[0]

    def _others(self, first: Ready, room: int, at_most: int) -> dict[Ready, None]:
        """So many of its sort, that find room beside it."""
        found: dict[Ready, None] = {}
        sort, ready = self._parts.sort(first), () if self.is_doubted(first) else self._ready
        for one in ready:
            if len(found) >= at_most or not room:
                break
            n = len(self._parts.keys(one[0]))
            if n <= room and self._parts.sort(one) == sort and not self.is_doubted(one):
                found[one] = None
                room -= n
        return found

    def _room(self, one: Ready) -> int:
        """How many of its like a GPU takes at a time."""
        stack = self._parts.stacks[one[0]]
        if stack.like not in self._widest:
            self._widest[stack.like] = self._fits(stack)
        return self._widest[stack.like]
