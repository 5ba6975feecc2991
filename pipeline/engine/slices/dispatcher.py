"""How slices of a sweep are started on an executor, and how what they come to is brought here."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipeline.backends.base import Executor, Future, TaskOptions
from pipeline.components.types import Task
from pipeline.engine.packing.cost_model import gpu_width
from pipeline.engine.packing.planner import PackingSettings, PlannedStack
from pipeline.engine.packing.scheduler import Slice
from pipeline.engine.slices.checkpoints import CheckpointStore
from pipeline.engine.slices.ledger import RunningSlice
from pipeline.engine.slices.task import Checkpoint, SliceTask, load_stack, save_checkpoint, train_slice


@dataclass(frozen=True)
class SweepContext:
    """What all slices of a sweep have in common.

    deadline   when no further slice may begin, on the monotonic clock; or None
    say        prints a line for people
    """

    executor: Executor
    options: TaskOptions
    stacks: PackingSettings
    task: Task
    loss_limit: float
    deadline: float | None
    say: Callable[[str], None]


class Dispatcher:
    """Starts slices."""

    def __init__(self, terms: SweepContext, states: CheckpointStore) -> None:
        self._terms, self._states = terms, states
        self._once = replace(terms.options, retries=0)  # what is lost is tried again from the states' files

    def keep(self, one: RunningSlice) -> Future:
        """Bring the stack here and write its state; the future of the SHA-256 of the file."""
        return self._here(save_checkpoint, one.goes_on, self._states.path(one.file))

    def fits(self, n_views: int, stack: PlannedStack) -> int:
        """How many networks like those of the stack a GPU trains at a time, which may learn from so many views."""
        memory, width = self._terms.executor.gpus.memory, self._terms.stacks.width
        room = gpu_width(stack.architecture, stack.networks, stack.view_shape, n_views, memory)
        return room if isinstance(width, str) else min(room, width)

    def _here(self, function: Callable[..., Any], *arguments: Any) -> Future:
        """Start a task on the host where the run's folder is."""
        return self._terms.executor.submit(function, *arguments, options=self._terms.options)[0]

    def _stack(self, number: int) -> Future:
        """The stack as it goes on."""
        stack = self._states.stack(number)
        if isinstance(stack, Checkpoint):
            stack = self._here(load_stack, stack)
            self._states.in_memory(number, stack)
        return stack

    def start(
        self, chosen: Slice, stack: PlannedStack, views: Sequence[Future], epochs: int
    ) -> tuple[Future, RunningSlice]:
        """Start one slice; the future of what it reports."""
        begins = chosen.start == stack.start
        sources = sorted({origin.stack for origin in stack.origins}) if begins else [chosen.stack]
        file, last = f"{chosen.stack:05d}-{chosen.until}", chosen.until == epochs
        order = SliceTask(
            stack.architecture,
            stack.networks if begins else (),
            tuple((sources.index(origin.stack), origin.key) for origin in stack.origins) if begins else (),
            chosen.until,
            last,
            self._terms.task,
            self._terms.loss_limit,
            self._terms.executor.gpus.memory if chosen.gpu else 0,
            self._states.path(file),
            self._states.beside,
        )
        given = [*map(self._stack, sources), *(views[number] for number in stack.views)]
        goes_on, done = self._terms.executor.submit(
            train_slice, order, len(sources), *given, options=self._once, returns=2, driver_only=False, gpu=chosen.gpu
        )
        return done, RunningSlice(chosen, stack, last, int(time.time() * 1000), file, goes_on)
