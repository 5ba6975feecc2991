"""The thin shell around planner and scheduler: runs slices on an executor, and notes what they report."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipeline.artefacts import Task
from pipeline.execution.base import Executor, Handle, TaskLostError, TaskMemoryError, TaskOptions
from pipeline.journal import Journal
from pipeline.sweep.books import Books, Running
from pipeline.sweep.planner import Job, PlannedStack, Stacks, plan
from pipeline.sweep.results import Results, RungWork
from pipeline.sweep.scheduler import Scheduler, Slice
from pipeline.sweep.states import States
from pipeline.sweep.training import SliceOrder, StoredStack, kept, opened, train_slice


@dataclass(frozen=True)
class Terms:
    """What all slices of a sweep have in common.

    deadline   when no further slice may begin, on the monotonic clock; or None
    say        prints a line for people
    """

    executor: Executor
    options: TaskOptions
    stacks: Stacks
    task: Task
    loss_limit: float
    deadline: float | None
    say: Callable[[str], None]


class Trainer:
    """Trains networks as a rung asks for them.

    states                    what they have come to
    n_stacks, widest_stack    stacks that were planned, and the networks in the widest
    busy                      slices that are on their way
    n_retried                 slices that were lost on their way and tried again
    """

    def __init__(self, terms: Terms, states: States, results: Results, journal: Journal) -> None:
        self._terms, self.states, self._results = terms, states, results
        self._once = replace(terms.options, retries=0)  # what is lost is tried again here, from the states' files
        self._books = Books(states, results, journal)
        self.n_stacks = self.widest_stack = self.busy = self.n_retried = 0
        self._n_kept = 0  # of the slices on their way, those whose stack is on its way to this host

    @property
    def n_steps(self) -> int:
        """Steps of all networks together."""
        return self._books.n_steps

    @property
    def late(self) -> bool:
        """The budget of seconds is used up."""
        return self._terms.deadline is not None and time.monotonic() >= self._terms.deadline

    def train(
        self, jobs: Sequence[Job], views: Sequence[Handle], epochs: int, show: Callable[[list[str]], None]
    ) -> None:
        """Train the networks; `show` gets the keys of those that each slice reported. Views by their numbers."""
        executor, stacks = self._terms.executor, self._terms.stacks
        planned = plan(jobs, executor.workers, stacks)
        if planned:
            self._terms.say(_described(planned, executor.workers))
        scheduler = Scheduler(
            planned, executor.workers, stacks.slice_seconds, self._terms.options.retries, self.states.next_stack
        )
        n_epochs = sum(job.until - job.start for job in jobs)
        self._results.rungs.append(RungWork(_goals(jobs), len(jobs), n_epochs, n_epochs))
        running: dict[Handle, Running] = {}
        reported: list[str] = []
        while True:
            scheduler.workers = executor.workers
            while len(running) - self._n_kept < scheduler.workers and not self.late and (chosen := scheduler.next()):
                stack = scheduler.stacks[chosen.stack]
                done, begun = self._submit(chosen, stack, views, epochs)
                running[done] = begun
            self.busy = len(running) - self._n_kept
            if reported:
                show(reported)  # while the workers are at work again
            if not running:
                break  # all is done, or it is late
            ended = executor.wait(list(running))
            reported = [key for one in ended for key in self._ended(running, one, scheduler)]
        self.states.next_stack += len(scheduler.stacks)
        self.n_stacks += len(planned)
        self.widest_stack = max([self.widest_stack, *(len(stack.networks) for stack in planned)])

    def _ended(self, running: dict[Handle, Running], ended: Handle, scheduler: Scheduler) -> list[str]:
        """Take note of what a task came to; the keys of the networks that have news."""
        one = running.pop(ended)
        self._n_kept -= one.trained is not None
        try:
            found = self._terms.executor.fetch(ended)
        except (TaskLostError, MemoryError) as error:
            return self._lost(one, scheduler, error)
        trained = one.trained._replace(sha256=found) if one.trained else found
        if not trained.sha256:
            running[self._here(kept, one.goes_on, self.states.path(one.file))] = one._replace(trained=trained)
            self._n_kept += 1
            return []
        going_on = self._books.note(one, trained)
        scheduler.finished(one.slice, going_on, trained.seconds)
        return list(trained.reports)

    def _lost(self, one: Running, scheduler: Scheduler, error: Exception) -> list[str]:
        """A slice did not come to its end; the key of the network, if any, that is given up for it."""
        self.n_retried += 1
        self.states.fall_back()
        key = scheduler.lost(one.slice, isinstance(error, TaskMemoryError | MemoryError))
        if key is None:
            return []
        self._books.give_up(one, key, str(error) or "out of memory")
        return [key]

    def _here(self, function: Callable[..., Any], *arguments: Any) -> Handle:
        """Start a task on the host where the run's folder is."""
        return self._terms.executor.submit(function, *arguments, options=self._terms.options)[0]

    def _stack(self, number: int) -> Handle:
        """The stack as it goes on."""
        stack = self.states.stack(number)
        return self._here(opened, stack) if isinstance(stack, StoredStack) else stack

    def _submit(
        self, chosen: Slice, stack: PlannedStack, views: Sequence[Handle], epochs: int
    ) -> tuple[Handle, Running]:
        """Start one slice; the handle of what it reports."""
        begins = chosen.start == stack.start
        sources = sorted({origin.stack for origin in stack.origins}) if begins else [chosen.stack]
        file, last = f"{chosen.stack:05d}-{chosen.until}", chosen.until == epochs
        order = SliceOrder(
            stack.shape,
            stack.networks if begins else (),
            tuple((sources.index(origin.stack), origin.key) for origin in stack.origins) if begins else (),
            chosen.until,
            last,
            self._terms.task,
            self._terms.loss_limit,
            self.states.path(file),
            self.states.beside,
        )
        given = [*map(self._stack, sources), *(views[number] for number in stack.views)]
        goes_on, done = self._terms.executor.submit(
            train_slice, order, len(sources), *given, options=self._once, returns=2, here=False
        )
        return done, Running(chosen, stack, last, int(time.time() * 1000), file, goes_on)


def _described(planned: Sequence[PlannedStack], workers: int) -> str:
    n_networks, widest = sum(len(stack.networks) for stack in planned), max(len(stack.networks) for stack in planned)
    stacks = f"stacks: {len(planned)} of up to {widest} networks"
    return f"{n_networks} networks to epoch {_goals(planned)}, {stacks}, workers: {workers}"


def _goals(of: Sequence[Job] | Sequence[PlannedStack]) -> str:
    """The last epochs: one, or from which to which."""
    goals = sorted({one.until for one in of}) or [0]
    return " to ".join(map(str, dict.fromkeys([goals[0], goals[-1]])))
