"""The thin shell around planner and scheduler: runs slices on an executor, and notes what they report."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

from pipeline.artefacts import Task
from pipeline.execution.base import Executor, Handle, TaskOptions
from pipeline.journal import Journal
from pipeline.sweep.planner import Job, PlannedStack, Stacks, plan, steps_per_epoch
from pipeline.sweep.result import Place
from pipeline.sweep.results import Results, RungWork
from pipeline.sweep.scheduler import Scheduler, Slice
from pipeline.sweep.states import States
from pipeline.sweep.training import SliceOrder, Trained, train_slice


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


class Running(NamedTuple):
    """A slice on its way: since when, in milliseconds since 1970, and the handles of what it makes."""

    slice: Slice
    stack: PlannedStack
    last: bool
    started: int
    file: str
    goes_on: Handle


class Trainer:
    """Trains networks as a rung asks for them.

    states                    what they have come to
    n_stacks, widest_stack    stacks that were planned, and the networks in the widest
    n_steps                   steps of all networks together
    busy                      slices that are on their way
    """

    def __init__(self, terms: Terms, states: States, results: Results, journal: Journal) -> None:
        self._terms, self.states, self._results, self._journal = terms, states, results, journal
        self.n_stacks = self.widest_stack = self.n_steps = self.busy = 0

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
        scheduler = Scheduler(planned, executor.workers, stacks.slice_seconds, self.states.next_stack)
        n_epochs = sum(job.until - job.start for job in jobs)
        self._results.rungs.append(RungWork(_goals(jobs), len(jobs), n_epochs, n_epochs))
        running: dict[Handle, Running] = {}
        reported: list[str] = []
        while True:
            while len(running) < executor.workers and not self.late and (chosen := scheduler.next()):
                stack = scheduler.stacks[chosen.stack]
                done, begun = self._submit(chosen, stack, views, epochs)
                running[done] = begun
            self.busy = len(running)
            if reported:
                show(reported)  # while the workers are at work again
            if not running:
                break  # all is done, or it is late
            ended = executor.wait(list(running))
            one, trained = running.pop(ended), executor.fetch(ended)
            going_on = self._note(one, trained)
            scheduler.finished(one.slice, going_on, trained.seconds)
            reported = list(trained.reports)
        self.states.next_stack += len(scheduler.stacks)
        self.n_stacks += len(planned)
        self.widest_stack = max([self.widest_stack, *(len(stack.networks) for stack in planned)])

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
        )
        given = [*map(self.states.stack, sources), *(views[number] for number in stack.views)]
        goes_on, done = self._terms.executor.submit(
            train_slice, order, len(sources), *given, options=self._terms.options, returns=2
        )
        return done, Running(chosen, stack, last, int(time.time() * 1000), file, goes_on)

    def _note(self, one: Running, trained: Trained) -> list[str]:
        """Into the journal, the results and our own books; the keys of the networks that go on."""
        number = one.slice.stack
        held = self.states.held(number, [network.key for network in one.stack.networks])
        places = {key: Place(one.file, trained.sha256, key) for key in {*held, *trained.reports}}
        self._journal.append(
            "slice",
            **asdict(one.slice),
            last=one.last,
            started=one.started,
            file=one.file,
            sha256=trained.sha256,
            held=[key for key in held if key not in trained.reports],
            networks={key: asdict(report) for key, report in trained.reports.items()},
        )
        going_on = self._results.add(trained.reports, one.slice.start, one.slice.until, places, one.last)
        self.states.note(number, one.file, one.goes_on)
        left = {key: self._results.networks[key].ended for key in trained.reports}
        until = {False: one.slice.until, True: one.stack.until}
        self._results.rungs[-1].left -= sum(until[ended] - one.slice.start for ended in left.values())
        steps = steps_per_epoch(one.stack.shape, one.stack.facts)
        self.n_steps += steps * sum(self._results.networks[key].trained - one.slice.start for key in trained.reports)
        return going_on


def _described(planned: Sequence[PlannedStack], workers: int) -> str:
    n_networks, widest = sum(len(stack.networks) for stack in planned), max(len(stack.networks) for stack in planned)
    stacks = f"stacks: {len(planned)} of up to {widest} networks"
    return f"{n_networks} networks to epoch {_goals(planned)}, {stacks}, workers: {workers}"


def _goals(of: Sequence[Job] | Sequence[PlannedStack]) -> str:
    """The last epochs: one, or from which to which."""
    goals = sorted({one.until for one in of}) or [0]
    return " to ".join(map(str, dict.fromkeys([goals[0], goals[-1]])))
