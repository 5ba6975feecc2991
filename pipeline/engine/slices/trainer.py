"""The thin shell around planner and scheduler: runs slices on an executor, and notes what they report."""

import time
from collections.abc import Callable, Sequence
from functools import partial

from pipeline.backends.base import Future, GpuCapacity, TaskLostError, TaskMemoryError
from pipeline.engine.packing.planner import Job, PlannedStack, plan
from pipeline.engine.packing.scheduler import Scheduler, Slice
from pipeline.engine.records import RungProgress, SweepRecords
from pipeline.engine.slices.checkpoints import CheckpointStore
from pipeline.engine.slices.dispatcher import Dispatcher, SweepContext
from pipeline.engine.slices.ledger import RunningSlice, SliceLedger
from pipeline.runs.journal import Journal


class RungTrainer:
    """Trains networks as a rung asks for them.

    states                    what they have come to
    n_stacks, widest_stack    stacks that were planned, and the networks in the widest
    n_retried                 slices that were lost on their way and tried again
    """

    def __init__(self, terms: SweepContext, states: CheckpointStore, results: SweepRecords, journal: Journal) -> None:
        self._terms, self.states, self._results = terms, states, results
        self._dispatcher = Dispatcher(terms, states)
        self._books = SliceLedger(states, results, journal)
        self.n_stacks = self.widest_stack = self.n_retried = 0
        self._at_work = {False: 0, True: 0}  # slices on cores, and on GPUs

    @property
    def n_steps(self) -> int:
        """Steps of all networks together."""
        return self._books.n_steps

    @property
    def busy(self) -> int:
        """Slices that are on their way."""
        return sum(self._at_work.values())

    @property
    def late(self) -> bool:
        """The budget of seconds is used up."""
        return self._terms.deadline is not None and time.monotonic() >= self._terms.deadline

    def train(
        self, jobs: Sequence[Job], views: Sequence[Future], epochs: int, show: Callable[[list[str]], None]
    ) -> None:
        """Train the networks; `show` gets the keys of those that each slice reported. Views by their numbers."""
        executor, stacks = self._terms.executor, self._terms.stacks
        workers, gpus = executor.workers, executor.gpus
        planned = plan(jobs, workers + gpus.n, stacks)
        if planned:
            self._terms.say(_described(planned, workers, gpus))
        retries, first = self._terms.options.retries, self.states.next_stack
        scheduler = Scheduler(
            planned, workers, stacks.slice_seconds, retries, first, partial(self._dispatcher.fits, len(views))
        )
        n_epochs = sum(job.until - job.start for job in jobs)
        self._results.rungs.append(RungProgress(_goals(jobs), len(jobs), n_epochs, n_epochs))
        running: dict[Future, RunningSlice] = {}
        reported: list[str] = []
        while True:
            scheduler.resize(executor.workers, executor.gpus.n)
            while not self.late and (chosen := self._next(scheduler)):
                done, begun = self._dispatcher.start(chosen, scheduler.stacks[chosen.stack], views, epochs)
                running[done] = begun
                self._at_work[chosen.gpu] += 1
            if reported:
                show(reported)  # while the workers are at work again
            if not running:
                break
            ended = executor.wait(list(running))
            reported = [key for one in ended for key in self._ended(running, one, scheduler)]
        assert scheduler.done or self.late, "stacks are left that no worker takes"
        self.states.next_stack += len(scheduler.stacks)
        self.n_stacks += len(planned)
        self.widest_stack = max([self.widest_stack, *(len(stack.networks) for stack in scheduler.stacks.values())])

    def _next(self, scheduler: Scheduler) -> Slice | None:
        """What is to be started now, on a GPU first; None if all are at work, or there is no more."""
        idle = {True: self._terms.executor.gpus.n, False: self._terms.executor.workers}
        some = (scheduler.next(gpu) for gpu, n in idle.items() if self._at_work[gpu] < n)
        return next((chosen for chosen in some if chosen), None)

    def _ended(self, running: dict[Future, RunningSlice], ended: Future, scheduler: Scheduler) -> list[str]:
        """Take note of what a task came to; the keys of the networks that have news."""
        one = running.pop(ended)
        if one.trained is None:
            self._at_work[one.slice.gpu] -= 1
        try:
            found = self._terms.executor.fetch(ended)
        except (TaskLostError, MemoryError) as error:
            return self._lost(one, scheduler, error)
        trained = one.trained._replace(sha256=found) if one.trained else found
        if not trained.sha256:
            running[self._dispatcher.keep(one)] = one._replace(trained=trained)
            return []
        going_on = self._books.note(one, trained)
        scheduler.finished(one.slice, going_on, trained.seconds)
        return list(trained.reports)

    def _lost(self, one: RunningSlice, scheduler: Scheduler, error: Exception) -> list[str]:
        """A slice did not come to its end; the key of the network, if any, that is given up for it."""
        self.n_retried += 1
        self.states.fall_back()
        key = scheduler.lost(one.slice, isinstance(error, TaskMemoryError | MemoryError))
        if key is None:
            return []
        self._books.give_up(one, key, str(error) or "out of memory")
        return [key]


def _described(planned: Sequence[PlannedStack], workers: int, gpus: GpuCapacity) -> str:
    n_networks, widest = sum(len(stack.networks) for stack in planned), max(len(stack.networks) for stack in planned)
    stacks = f"stacks: {len(planned)} of up to {widest} networks"
    beside = f" and {gpus.n} on GPUs" if gpus.n else f"; {gpus.said}" if gpus.said else ""
    return f"{n_networks} networks to epoch {_goals(planned)}, {stacks}, workers: {workers}{beside}"


def _goals(of: Sequence[Job] | Sequence[PlannedStack]) -> str:
    """The last epochs: one, or from which to which."""
    goals = sorted({one.until for one in of}) or [0]
    return " to ".join(map(str, dict.fromkeys([goals[0], goals[-1]])))
