"""What a sweep would do, and about how long it would take here: some steps of its networks are timed for that."""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from nncore.stack.training import Report
from pipeline.backends.base import Executor, TaskOptions
from pipeline.components.types import Task
from pipeline.config.schema import Configuration
from pipeline.config.variants import Variants
from pipeline.console.output import Output
from pipeline.driver.data_pipeline import RunContext, data_pipeline, sweep_code
from pipeline.driver.networks import sweep_engine
from pipeline.engine.packing.cost_model import step_flops, steps_per_epoch
from pipeline.engine.packing.planner import NetworkOrigin, PackingSettings, PlannedStack, TrialNetwork, plan
from pipeline.engine.packing.scheduler import Scheduler
from pipeline.engine.records import SweepRecords
from pipeline.engine.slices.probe import Probed, probe
from pipeline.runs.folder import RunFolder
from pipeline.runs.journal import events
from pipeline.runs.network_record import CheckpointRef, NetworkRecord, replicates
from pipeline.runs.resume import earlier_run, known_networks
from pipeline.tracking.none import NoTracking

SLICE_SECONDS = 0.03  # to start it, to keep its state, to note what it reports
MEGABYTE, TERA = 1e6, 1e12


def show_plan(configuration: Configuration, output: Output, began: float) -> dict[str, Any]:
    """Do the stages before the sweep, time some steps, print what the sweep would be, or what is left of one.

    No run is made; what the stages came to is in the cache.

    Returns  what was printed: counts, bytes, floating point operations and seconds
    """
    settings, plain, text = configuration
    code = sweep_code(plain)
    found = earlier_run(settings, plain, code)
    known = known_networks(found.folder, events(found.folder / "journal.jsonl")) if found.folder else {}
    with TemporaryDirectory() as folder:
        nowhere = replace(settings, runs=Path(folder), tracking=NoTracking(), resume="never", run=None)
        record = RunFolder(nowhere, plain, text, code, began)
        try:
            with record.ending(), settings.execution.start() as executor:
                context = RunContext(nowhere, executor, record, output, Variants(configuration))
                return _plan(context, known)
        finally:
            record.close(output.say)


def _plan(context: RunContext, known: dict[str, NetworkRecord]) -> dict[str, Any]:
    settings, executor = context.settings, context.executor
    context.show("startup")
    before = data_pipeline(context)
    context.variants.check(before.task)
    results = SweepRecords(
        replicates(before.n_folds, settings.training.seed, settings.training.seeds), settings.select.metric, known
    )
    rehearsal = DryRunTrainer(
        executor,
        settings.stages["sweep"],
        settings.stacks,
        results,
        before.task,
        settings.training.epochs,
        settings.training.loss_limit,
    )
    sweep_engine(context, before, results, rehearsal).run(lambda: None)
    upstream_seconds = sum(
        context.record.summary["timings"][f"{stage}_s"] or 0 for stage in ("load", "split", "prepare", "reduce")
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
    context.output.plan(found, _lines(found))
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


class DryRunTrainer:
    """Stands where a Trainer does: plans and times, but does not train. All trials score alike."""

    def __init__(
        self,
        executor: Executor,
        options: TaskOptions,
        stacks: PackingSettings,
        results: SweepRecords,
        task: Task,
        epochs: int,
        loss_limit: float,
    ) -> None:
        self._executor, self._options, self._stacks, self._results = executor, options, stacks, results
        self._task, self._epochs, self._loss_limit = task, epochs, loss_limit
        self.probed: dict[object, Probed] = {}
        self.rungs = self.n_stacks = self.slices = self.network_epochs = self.flops = 0
        self.seconds = 0.0

    late = False

    @property
    def checkpoints(self) -> "DryRunTrainer":
        """Itself: there are none."""
        return self

    def origin(self, reference: CheckpointRef) -> NetworkOrigin:
        """See CheckpointIndex."""
        return NetworkOrigin(0, reference.key)

    def delete_unused(self) -> None:
        """See CheckpointIndex; nothing is kept."""

    def train(self, networks: Sequence[TrialNetwork], report: Callable[[list[str]], None]) -> None:
        """See RungTraining."""
        planned = [self._timed(stack) for stack in plan(networks, self._executor.workers, self._stacks)]
        self.rungs, self.n_stacks = self.rungs + 1, self.n_stacks + len(planned)
        seconds, slices = simulate(planned, self._executor.workers, self._stacks.slice_seconds)
        self.seconds, self.slices = self.seconds + seconds, self.slices + slices
        for network in networks:
            epochs = network.until - network.start
            self.network_epochs += epochs
            steps = epochs * steps_per_epoch(network.architecture, network.fold.view_shape)
            self.flops += steps * step_flops(network.architecture)
            self._pretend(network)

    def _timed(self, stack: PlannedStack) -> PlannedStack:
        """The stack with the seconds that one of its shape and width was measured to take."""
        kind = (stack.architecture, stack.view_shape, len(stack.networks))
        if kind not in self.probed:
            networks, folds = stack.with_views()
            measured = [
                self._executor.submit(
                    probe,
                    stack.architecture,
                    networks,
                    self._task,
                    self._loss_limit,
                    *(fold.data for fold in folds),
                    options=self._options,
                )[0]
                for _ in range(self._executor.workers)  # at once, as they share caches and memory in the sweep, too
            ]
            times = [self._executor.fetch(one) for one in measured]
            self.probed[kind] = times[0]._replace(epoch_seconds=sum(t.epoch_seconds for t in times) / len(times))
        return replace(stack, epoch_seconds=self.probed[kind].epoch_seconds)

    def _pretend(self, network: TrialNetwork) -> None:
        names = {"train/loss", "validation/loss", self._results.metric, *self._results.networks[network.key].curves}
        curves = {name: [0.0] * (network.until - network.start) for name in names}
        reports = {network.key: Report(curves, selected_epoch=network.until)}
        references = {network.key: CheckpointRef("", "", network.key)}
        self._results.add(reports, network.start, network.until, references, network.until == self._epochs)


def simulate(planned: Sequence[PlannedStack], workers: int, slice_seconds: float) -> tuple[float, int]:
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
        scheduler.finished(done, scheduler.stacks[done.stack].keys, taken)
    return now, n_slices
