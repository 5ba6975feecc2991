"""What a sweep would do, and about how long it would take here: some steps of its networks are timed for that."""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from nncore.training import Report
from pipeline.artefacts import Task
from pipeline.execution.base import Executor, Handle, TaskOptions
from pipeline.history import earlier_run, known_networks
from pipeline.journal import events
from pipeline.record import Record
from pipeline.reports.output import Output
from pipeline.settings.run_settings import Settings
from pipeline.settings.variants import Variants
from pipeline.sweep.engine import Engine
from pipeline.sweep.planner import Job, Origin, PlannedStack, Stacks, plan, step_flops, steps_per_epoch
from pipeline.sweep.probe import Probed, probe
from pipeline.sweep.result import Place, Result, repeats_of
from pipeline.sweep.results import Results
from pipeline.sweep.scheduler import Scheduler
from pipeline.tracking.none import NoTracking
from pipeline.upstream import Means, upstream

SLICE_SECONDS = 0.03  # to start it, to keep its state, to note what it reports
MEGABYTE, TERA = 1e6, 1e12


def show_plan(settings: Settings, config: dict[str, Any], output: Output, began: float) -> dict[str, Any]:
    """Do the stages before the sweep, time some steps, print what the sweep would be, or what is left of one.

    No run is made; what the stages came to is in the cache.

    Returns  what was printed: counts, bytes, floating point operations and seconds
    """
    found = earlier_run(settings, config)
    known = known_networks(found.folder, events(found.folder / "journal.jsonl")) if found.folder else {}
    with TemporaryDirectory() as folder:
        nowhere = replace(settings, runs=Path(folder), tracking=NoTracking(), resume="never", run=None)
        record = Record(nowhere, config, "", began)
        try:
            with record.ending(), settings.execution.start() as executor:
                means = Means(nowhere, executor, record, output, Variants(settings, config))
                return _plan(means, known)
        finally:
            record.close(output.say)


def _plan(means: Means, known: dict[str, Result]) -> dict[str, Any]:
    settings, executor = means.settings, means.executor
    means.show("startup")
    before = upstream(means)
    means.variants.check(before.task)
    results = Results(
        repeats_of(before.n_folds, settings.training.seed, settings.training.seeds), settings.select.metric, known
    )
    options, limit = settings.stages["sweep"], settings.training.loss_limit
    rehearsal = Rehearsal(executor, options, settings.stacks, results, before.task, limit)
    Engine(means, before, results, rehearsal).run(lambda: None)
    upstream_seconds = sum(
        means.record.summary["timings"][f"{stage}_s"] or 0 for stage in ("load", "split", "prepare", "reduce")
    )
    found = {
        "trials": len(results.trials),
        "networks": len(results.networks),
        "networks_known": results.n_resumed,
        "network_epochs": rehearsal.network_epochs,
        "rungs": rehearsal.rungs,
        "stacks": rehearsal.n_stacks,
        "slices": rehearsal.slices,
        "upstream_computed": before.n_computed,
        "upstream_cached": before.n_cached,
        "upstream_seconds": upstream_seconds,
        "worker_bytes": max((probed.stack_bytes for probed in rehearsal.probed.values()), default=0),
        "view_bytes": max((probed.view_bytes for probed in rehearsal.probed.values()), default=0),
        "flops": rehearsal.flops,
        "workers": executor.workers,
        "sweep_seconds": rehearsal.seconds,
    }
    means.output.plan(found, _lines(found))
    return found


def _lines(found: dict[str, Any]) -> list[str]:
    return [
        f"plan       {found['trials']} trials, {found['networks']} networks, {found['network_epochs']} network-epochs, "
        f"{found['rungs']} rungs, {found['stacks']} stacks, {found['slices']} slices"
        + (f"; {found['networks_known']} networks have begun before" if found["networks_known"] else ""),
        f"upstream   {found['upstream_computed']} stage results computed just now, {found['upstream_cached']} found in "
        f"the cache, {found['upstream_seconds']:.1f} s",
        f"memory     about {found['worker_bytes'] / MEGABYTE:.0f} MB per worker for the widest stack, beside "
        f"{found['view_bytes'] / MEGABYTE:.0f} MB of data shared by all",
        f"arithmetic {found['flops'] / TERA:.3g} TFLOP in matrix products",
        f"sweep      about {found['sweep_seconds']:.1f} s on {found['workers']} workers, if nothing stops early",
    ]


class Rehearsal:
    """Stands where a Trainer does: plans and times, but does not train. All trials score alike."""

    def __init__(
        self, executor: Executor, options: TaskOptions, stacks: Stacks, results: Results, task: Task, loss_limit: float
    ) -> None:
        self._executor, self._options, self._stacks, self._results = executor, options, stacks, results
        self._task, self._loss_limit = task, loss_limit
        self.probed: dict[object, Probed] = {}
        self.rungs = self.n_stacks = self.slices = self.network_epochs = self.flops = 0
        self.seconds = 0.0

    late = False

    @property
    def states(self) -> "Rehearsal":
        """Itself: there are none."""
        return self

    def origin(self, place: Place) -> Origin:
        """See States."""
        return Origin(0, place.key)

    def tidy(self) -> None:
        """See States; nothing is kept."""

    def train(
        self, jobs: Sequence[Job], views: Sequence[Handle], epochs: int, show: Callable[[list[str]], None]
    ) -> None:
        """See Trainer."""
        planned = [self._timed(stack, views) for stack in plan(jobs, self._executor.workers, self._stacks)]
        self.rungs, self.n_stacks = self.rungs + 1, self.n_stacks + len(planned)
        seconds, slices = rehearsed(planned, self._executor.workers, self._stacks.slice_seconds)
        self.seconds, self.slices = self.seconds + seconds, self.slices + slices
        for job in jobs:
            self.network_epochs += job.until - job.start
            self.flops += (job.until - job.start) * steps_per_epoch(job.shape, job.facts) * step_flops(job.shape)
            self._pretend(job, epochs)

    def _timed(self, stack: PlannedStack, views: Sequence[Handle]) -> PlannedStack:
        """The stack with the seconds that one of its shape and width was measured to take."""
        kind = (stack.shape, stack.facts, len(stack.networks))
        if kind not in self.probed:
            given = [views[number] for number in stack.views]
            measured = [
                self._executor.submit(
                    probe, stack.shape, stack.networks, self._task, self._loss_limit, *given, options=self._options
                )[0]
                for _ in range(self._executor.workers)  # at once, as they share caches and memory in the sweep, too
            ]
            times = [self._executor.fetch(one) for one in measured]
            self.probed[kind] = times[0]._replace(epoch_seconds=sum(t.epoch_seconds for t in times) / len(times))
        return replace(stack, epoch_seconds=self.probed[kind].epoch_seconds)

    def _pretend(self, job: Job, epochs: int) -> None:
        names = {"train/loss", "validation/loss", self._results.metric, *self._results.networks[job.network.key].curves}
        report = Report({name: [0.0] * (job.until - job.start) for name in names}, epoch=job.until)
        places = {job.network.key: Place("", "", job.network.key)}
        self._results.add({job.network.key: report}, job.start, job.until, places, job.until == epochs)


def rehearsed(planned: Sequence[PlannedStack], workers: int, slice_seconds: float) -> tuple[float, int]:
    """How many seconds the stacks would take on so many workers, and in how many slices."""
    scheduler = Scheduler(planned, workers, slice_seconds)
    running: list[tuple[float, int, Any, float]] = []
    now, n_slices = 0.0, 0
    while not scheduler.done:
        while len(running) < workers and (chosen := scheduler.next()):
            taken = scheduler.stacks[chosen.stack].epoch_seconds * (chosen.until - chosen.start)
            n_slices += 1
            heapq.heappush(running, (now + taken + SLICE_SECONDS, n_slices, chosen, taken))
        now, _, done, taken = heapq.heappop(running)
        scheduler.finished(done, [network.key for network in scheduler.stacks[done.stack].networks], taken)
    return now, n_slices
