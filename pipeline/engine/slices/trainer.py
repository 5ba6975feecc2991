"""Trains the networks of a rung: runs slices on an executor, and records what they report."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, NamedTuple

from nncore.stack.training import Report
from pipeline.backends.base import Executor, Future, GpuCapacity, TaskLostError, TaskOptions
from pipeline.engine.packing.cost_model import gpu_width, steps_per_epoch
from pipeline.engine.packing.memory import MemoryNeeds
from pipeline.engine.packing.planner import PackingSettings, PlannedStack, TrialNetwork, plan
from pipeline.engine.packing.scheduler import Scheduler, Slice
from pipeline.engine.records import RungProgress, SweepRecords
from pipeline.engine.selection import TrainingMetrics
from pipeline.engine.slices.checkpoints import CheckpointStore
from pipeline.engine.slices.task import (
    Checkpoint,
    CollectNetworks,
    ContinueStack,
    SliceOutcome,
    SliceTask,
    StartNetworks,
    load_stack,
    save_checkpoint,
    train_slice,
)
from pipeline.runs.journal import Journal
from pipeline.runs.records import CRASHED, CheckpointRef


@dataclass(frozen=True)
class SweepContext:
    """What all slices of a sweep have in common.

    Parameters
    ----------
    executor : Executor
    options : TaskOptions
        Of the tasks that train.
    packing : PackingSettings
    metrics : TrainingMetrics
    epochs : int
        The last epoch of a network that is not pruned.
    loss_limit : float
    deadline : float or None
        When to start no further slice, on the monotonic clock.
    say : callable
        Prints a line of text.
    """

    executor: Executor
    options: TaskOptions
    packing: PackingSettings
    metrics: TrainingMetrics
    epochs: int
    loss_limit: float
    deadline: float | None
    say: Callable[[str], None]


class RunningSlice(NamedTuple):
    """A slice that a worker trains, or whose checkpoint is being written.

    Parameters
    ----------
    slice : Slice
    stack : PlannedStack
    last : bool
        Its networks are not trained further.
    started : int
        Milliseconds since 1970.
    file : str
        Name of the checkpoint.
    trained : Future of a Stack
    outcome : SliceOutcome or None, default None
        What it reported, if only the checkpoint is missing.
    """

    slice: Slice
    stack: PlannedStack
    last: bool
    started: int
    file: str
    trained: Future
    outcome: SliceOutcome | None = None


class RungTrainer:
    """Trains networks, rung by rung.

    A slice that came to its end is written to the journal first, then to the records and the checkpoints.

    Parameters
    ----------
    context : SweepContext
    checkpoints : CheckpointStore
    records : SweepRecords
    journal : Journal

    Attributes
    ----------
    checkpoints : CheckpointStore
    n_stacks, widest_stack : int
        Stacks that were planned, and the networks in the widest.
    n_retried : int
        Slices that were lost and repeated.
    n_steps : int
        Training steps of all networks together.
    """

    def __init__(
        self, context: SweepContext, checkpoints: CheckpointStore, records: SweepRecords, journal: Journal
    ) -> None:
        self._context, self.checkpoints, self._records, self._journal = context, checkpoints, records, journal
        self.n_stacks = self.widest_stack = self.n_retried = self.n_steps = 0
        self._longest_slice = 0.0  # in seconds
        self._training = {False: 0, True: 0}  # slices that cores and GPUs train now

    @property
    def busy(self) -> int:
        """Slices that are being trained."""
        return sum(self._training.values())

    def without_deadline(self) -> "RungTrainer":
        """Return a trainer of the same networks for which time does not run out."""
        return RungTrainer(replace(self._context, deadline=None), self.checkpoints, self._records, self._journal)

    @property
    def late(self) -> bool:
        """Whether a slice that takes as long as the longest so far would end after the deadline."""
        deadline = self._context.deadline
        return deadline is not None and time.monotonic() + self._longest_slice >= deadline

    def train(self, networks: Sequence[TrialNetwork], report: Callable[[list[str]], None]) -> None:
        """Train networks, each to its epoch `until`, unless the budget of seconds ends before.

        Parameters
        ----------
        networks : sequence of TrialNetwork
        report : callable
            Called with the keys of the networks that slices have reported.

        Raises
        ------
        SettingError
            If a network does not fit into memory; no slice is started then.
        """
        executor, packing = self._context.executor, self._context.packing
        needs = MemoryNeeds(networks, executor.memory)
        planned = self._planned(networks, needs)
        epochs = sorted({network.until for network in networks}) or [0]
        goals = f"{epochs[0]} to {epochs[-1]}" if len(epochs) > 1 else str(epochs[0])
        if planned:
            widths = [len(stack.networks) for stack in planned]
            self._context.say(_description(widths, goals, executor.workers, executor.gpus))
        n_views = len({network.fold.content_hash for network in networks})
        first, fits = self.checkpoints.next_stack, partial(self._width_on_gpu, n_views)
        retries = self._context.options.retries
        scheduler = Scheduler(planned, needs.workers(executor.workers), packing.slice_seconds, retries, first, fits)
        n_epochs = sum(network.until - network.start for network in networks)
        self._records.rungs.append(RungProgress(goals, len(networks), n_epochs, n_epochs))
        running: dict[Future, RunningSlice] = {}
        reported: list[str] = []
        while True:
            n_cores = needs.workers(executor.workers)
            scheduler.resize(n_cores, executor.gpus.n)
            for gpu, n in ((True, executor.gpus.n), (False, n_cores)):
                while not self.late and self._training[gpu] < n and (chosen := scheduler.next(gpu)):
                    outcome, running_slice = self._start(chosen, scheduler.stacks[chosen.stack])
                    running[outcome] = running_slice
                    self._training[gpu] += 1
            if reported:
                report(reported)  # while the workers are training again
            if not running:
                break
            reported = [key for done in executor.wait(list(running)) for key in self._ended(running, done, scheduler)]
        assert scheduler.done or self.late, "stacks are left that no worker takes"
        self.checkpoints.reserve(len(scheduler.stacks))
        self.n_stacks += len(planned)
        self.widest_stack = max([self.widest_stack, *(len(stack.networks) for stack in scheduler.stacks.values())])

    def _planned(self, networks: Sequence[TrialNetwork], needs: MemoryNeeds) -> list[PlannedStack]:
        """The stacks, no wider than memory allows; says so if it makes a difference."""
        executor, say = self._context.executor, self._context.say
        wanted = plan(networks, executor.workers + executor.gpus.n, self._context.packing)
        planned = needs.narrowed(wanted)
        if len(planned) > len(wanted):
            before, now = (max(len(stack.networks) for stack in stacks) for stacks in (wanted, planned))
            say(f"stacks.width={self._context.packing.width}: {now} instead of {before} networks, for lack of memory")
        if (n_cores := needs.workers(executor.workers)) < executor.workers:
            say(f"warning: {n_cores} of {executor.workers} workers train at a time, for lack of memory")
        return planned

    def _width_on_gpu(self, n_views: int, stack: PlannedStack) -> int:
        """How many networks like those of the stack a GPU trains at a time."""
        memory, width = self._context.executor.gpus.memory, self._context.packing.width
        networks = [network.network for network in stack.networks]
        fits = gpu_width(stack.architecture, networks, stack.view_shape, n_views, memory)
        return fits if isinstance(width, str) else min(fits, width)

    def _start(self, chosen: Slice, stack: PlannedStack) -> tuple[Future, RunningSlice]:
        """Start a slice. Returns the future of its outcome, and what to remember until then."""
        context, executor = self._context, self._context.executor
        networks, folds = stack.with_views()
        begin: StartNetworks | CollectNetworks | ContinueStack
        if chosen.start > stack.start:
            sources, begin = [chosen.stack], ContinueStack()
        elif stack.origins:
            sources = sorted({origin.stack for origin in stack.origins})
            origins = tuple((sources.index(origin.stack), origin.key) for origin in stack.origins)
            begin = CollectNetworks(networks, origins)
        else:
            sources, begin = [], StartNetworks(stack.architecture, networks)
        file, last = f"{chosen.stack:05d}-{chosen.until}", chosen.until == context.epochs
        task = SliceTask(
            begin=begin,
            until=chosen.until,
            last=last,
            metrics=context.metrics.every_epoch,
            final_metrics=context.metrics.final,
            loss_limit=context.loss_limit,
            gpu_bytes=executor.gpus.memory if chosen.gpu else 0,
            file=self.checkpoints.path(file),
            session_file=self.checkpoints.session_file,
        )
        trained, outcome = executor.submit(
            train_slice,
            task,
            len(sources),
            *map(self._stack, sources),
            *(fold.data for fold in folds),
            options=replace(context.options, retries=0),  # a lost slice is repeated from the checkpoints instead
            returns=2,
            driver_only=False,
            gpu=chosen.gpu,
        )
        return outcome, RunningSlice(chosen, stack, last, self._journal.now(), file, trained)

    def _stack(self, number: int) -> Future:
        """A stack to continue with, loaded from its checkpoint if it is not in memory."""
        stack = self.checkpoints.stack(number)
        if isinstance(stack, Checkpoint):
            stack = self._on_driver(load_stack, stack)
            self.checkpoints.keep_in_memory(number, stack)
        return stack

    def _on_driver(self, function: Callable[..., Any], *arguments: Any) -> Future:
        """Start a task on the host where the run's folder is."""
        return self._context.executor.submit(function, *arguments, options=self._context.options)[0]

    def _ended(self, running: dict[Future, RunningSlice], done: Future, scheduler: Scheduler) -> list[str]:
        """Record what a task has returned; the keys of the networks with something to report."""
        ended = running.pop(done)
        if ended.outcome is None:
            self._training[ended.slice.gpu] -= 1
        try:
            result = self._context.executor.fetch(done)
        except (TaskLostError, MemoryError) as error:
            return self._lost(ended, scheduler, error)
        outcome = ended.outcome._replace(sha256=result) if ended.outcome else result
        if not outcome.sha256:
            path = self.checkpoints.path(ended.file)
            running[self._on_driver(save_checkpoint, ended.trained, path)] = ended._replace(outcome=outcome)
            return []
        self._longest_slice = max(self._longest_slice, outcome.seconds)
        active = self._record(ended, outcome)
        scheduler.finished(ended.slice, active, outcome.seconds)
        return list(outcome.reports)

    def _lost(self, lost: RunningSlice, scheduler: Scheduler, error: Exception) -> list[str]:
        """Let a slice be repeated; the key of the network, if any, that is given up instead."""
        self.n_retried += 1
        self.checkpoints.forget_memory()
        key = scheduler.lost(lost.slice, isinstance(error, MemoryError))
        if key is None:
            return []
        cause = f"{CRASHED} ({str(error) or 'out of memory'})"
        reports = {key: Report(diverged=(lost.slice.until, cause))}
        self._write_to_journal(lost, SliceOutcome(0.0, "", "", reports), [])
        self._add_to_records(lost, reports, {})
        return [key]

    def _record(self, ended: RunningSlice, outcome: SliceOutcome) -> list[str]:
        """Record a slice: in the journal first. Returns the keys of the networks that continue."""
        number = ended.slice.stack
        held = self.checkpoints.networks_in(number, ended.stack.keys)
        self._write_to_journal(ended, outcome, [key for key in held if key not in outcome.reports])
        references = {key: CheckpointRef(ended.file, outcome.sha256, key) for key in {*held, *outcome.reports}}
        active = self._add_to_records(ended, outcome.reports, references)
        self.checkpoints.replace(number, ended.file, outcome.sha256, None if ended.last else ended.trained)
        return active

    def _write_to_journal(self, ended: RunningSlice, outcome: SliceOutcome, held: Sequence[str]) -> None:
        """Append the event of a slice; `held` are further networks whose selected weights are in its checkpoint."""
        hashes = {key: self._records.networks[key].content_hash for key in (*outcome.reports, *held)}
        self._journal.append(
            "slice",
            **asdict(ended.slice),
            last=ended.last,
            started=ended.started,
            worker=outcome.worker,
            file=ended.file,
            sha256=outcome.sha256,
            held={key: hashes[key] for key in held},
            networks={key: {"content_hash": hashes[key], **vars(report)} for key, report in outcome.reports.items()},
        )

    def _add_to_records(
        self, ended: RunningSlice, reports: dict[str, Report], references: dict[str, CheckpointRef]
    ) -> list[str]:
        """Add reports to the records and to our counts. Returns the keys of the networks that continue."""
        chosen, stack = ended.slice, ended.stack
        active = self._records.add(reports, chosen.start, chosen.until, references, ended.last)
        networks = [self._records.networks[key] for key in reports]
        done = [(stack.until if network.ended else chosen.until) - chosen.start for network in networks]
        self._records.rungs[-1].epochs_left -= sum(done)
        steps = steps_per_epoch(stack.architecture, stack.view_shape)
        self.n_steps += steps * sum(network.epochs_trained - chosen.start for network in networks)
        return active


def _description(widths: Sequence[int], goals: str, workers: int, gpus: GpuCapacity) -> str:
    stacks = f"stacks: {len(widths)} of up to {max(widths)} networks"
    on_gpus = f" and {gpus.n} on GPUs" if gpus.n else f"; {gpus.problem}" if gpus.problem else ""
    return f"{sum(widths)} networks to epoch {goals}, {stacks}, workers: {workers}{on_gpus}"
