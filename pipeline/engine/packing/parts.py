"""The stacks of a rung as they are divided and joined on the way, and how long an epoch of each takes."""

from collections.abc import Sequence
from itertools import accumulate, pairwise

from pipeline.engine.packing.planner import PlannedStack, gpu_epoch_seconds, order, stack_of

Ready = tuple[int, int]  # a stack, and the epoch from which it goes on


class StackTable:
    """Divides and joins stacks.

    stacks     by their numbers; those that were divided or joined, too
    going_on   keys of the networks that still go on, of stacks that have begun
    on_gpus    stacks that GPUs have trained, or that were made for them, and parts of those
    """

    def __init__(self, planned: Sequence[PlannedStack], first: int) -> None:
        self.stacks = dict(enumerate(planned, first))
        self._next_number = first + len(planned)
        self.going_on: dict[int, Sequence[str]] = {}
        self.on_gpus: set[int] = set()
        self._measured: dict[tuple[int, bool], float] = {}

    def keys(self, number: int) -> Sequence[str]:
        """Of the networks that a stack still trains."""
        return self.going_on.get(number) or [network.key for network in self.stacks[number].networks]

    def sort(self, one: Ready) -> object:
        """Stacks of one sort can be joined."""
        number, epoch = one
        stack = self.stacks[number]
        return stack.like, stack.until, epoch, epoch > stack.start or bool(stack.origins)

    def seconds(self, number: int, gpu: bool) -> float:
        """An epoch takes about so long on a GPU or a core: as it was measured, else as the cost model says."""
        if measured := self._measured.get((number, gpu)):
            return measured
        stack = self.stacks[number]
        return (
            gpu_epoch_seconds(stack.architecture, stack.view_shape, len(stack.networks)) if gpu else stack.epoch_seconds
        )

    def measured(self, number: int, gpu: bool, seconds: float) -> None:
        """An epoch took so long."""
        self._measured[number, gpu] = seconds

    def divide(self, number: int, epoch: int, sizes: Sequence[int]) -> list[Ready]:
        """Stacks of their own, of so many networks each, neighbours together."""
        keys, parts = self.keys(number), []
        for at, end in pairwise(accumulate(sizes, initial=0)):
            part = self._add(self._some(number, epoch, keys[at:end]))
            if number in self.on_gpus:
                self.on_gpus.add(part)
            if (number, False) in self._measured:
                self._measured[part, False] = self._measured[number, False] * (end - at) / len(keys)
            if (number, True) in self._measured:
                self._measured[part, True] = self._measured[number, True]  # it hardly depends on the width
            parts.append((part, epoch))
        self.going_on.pop(number, None)
        return parts

    def join(self, several: Sequence[Ready]) -> Ready:
        """One stack of several that are of one sort, for a GPU."""
        jobs = [job for number, epoch in several for job in self._some(number, epoch, self.keys(number)).jobs]
        for number, _ in several:
            self.going_on.pop(number, None)
        joined = self._add(stack_of(sorted(jobs, key=order)))
        self.on_gpus.add(joined)
        return joined, several[0][1]

    def _some(self, number: int, epoch: int, keys: Sequence[str]) -> PlannedStack:
        stack = self.stacks[number]
        return stack.rest(keys, number, epoch) if epoch > stack.start else stack.part(keys)

    def _add(self, stack: PlannedStack) -> int:
        self.stacks[self._next_number] = stack
        self._next_number += 1
        return self._next_number - 1


def equal(n: int, parts: int) -> list[int]:
    """The sizes of so many parts of n, or fewer, all but the last of one size."""
    size = -(-n // parts)
    return [min(size, n - at) for at in range(0, n, size)]
