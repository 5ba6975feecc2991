"""plan=true: what a sweep would do, and about how long it would take on this machine."""

import heapq
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from nncore.stack.training import Report
from pipeline.backends.base import Executor
from pipeline.components.errors import SettingError
from pipeline.components.types import DataCard, DataWarning, Task
from pipeline.config.schema import Configuration, Settings, StageName
from pipeline.config.variants import Variants
from pipeline.console.output import Output
from pipeline.driver.context import run_request, say_preset
from pipeline.driver.data_pipeline import DataPipeline
from pipeline.driver.networks import NetworkBuilder, network_factory, sweep_records
from pipeline.driver.summary import costly_message, repeated_message
from pipeline.engine.loop import NetworkFactory, Rungs, arithmetic_of, check_trained, enter_networks
from pipeline.engine.packing.memory import MemoryNeeds
from pipeline.engine.packing.planner import NetworkOrigin, PlannedStack, TrialNetwork, epoch_flops, plan
from pipeline.engine.packing.scheduler import Scheduler, Slice
from pipeline.engine.records import SweepRecords
from pipeline.engine.selection import TrainingMetrics
from pipeline.engine.slices.probe import Probed, probe
from pipeline.runs.records import CheckpointRef, NetworkRecord
from pipeline.runs.replay import salvaged
from pipeline.runs.resume import earlier_run, known_networks
from pipeline.search.trial import Trial

SLICE_SECONDS = 0.03  # of each slice: to start the task, to write the checkpoint, to record the reports
MEGABYTE, TERA = 1e6, 1e12
MOST_EPOCHS = 20_000_000  # of all networks of a rung; their scores are numbers in memory


def show_plan(configuration: Configuration, output: Output, began: float) -> dict[str, Any]:
    """Run the stages before the sweep, time a few training steps, and print what the sweep would do.

    No run is created, and an earlier one that would be resumed is only read. Results of the stages are cached.

    Parameters
    ----------
    configuration : Configuration
    output : Output
    began : float
        When the command was given, on the monotonic clock.

    Returns
    -------
    dict
        What was printed: counts, bytes, floating point operations and seconds.
    """
    settings = configuration.settings
    earlier = earlier_run(run_request(configuration)).folder
    known = known_networks(earlier, salvaged(earlier)) if earlier else {}
    variants = Variants(configuration)
    stages = StageTimer(output, began)
    with settings.execution.start() as executor:
        stages.stage_finished("startup")
        say_preset(configuration, output)
        data = DataPipeline(settings, executor, stages)
        data.load_and_split()
        variants.check(data.task)
        metrics = variants.metrics(data.task, len(data.card["targets"]), data.n_outputs)
        training = settings.training
        records = sweep_records(training, data, metrics, known)
        sweep = SweepPlan(metrics)
        builder = NetworkBuilder(variants, data.task, training.loss_limit, metrics)
        build_networks = network_factory(builder, data, records.replicates_of)
        for networks in planned_rungs(settings, variants, data.task, records, build_networks, sweep):
            sweep.add(networks, settings, executor)
        workers = executor.workers
    probes = sweep.probes.values()
    figures = {
        "trials": len(records.trials),
        "networks": len(records.networks),
        "networks_known": records.n_resumed,
        "network_epochs": sweep.network_epochs,
        "rungs": sweep.rungs,
        "stacks": sweep.stacks,
        "slices": sweep.slices,
        "upstream_computed": data.n_computed,
        "upstream_cached": data.n_cached,
        "upstream_seconds": stages.upstream_seconds,
        "worker_bytes": sweep.worker_bytes,
        "view_bytes": max((probed.view_bytes for probed in probes), default=0),
        "flops": sweep.flops,
        "workers": workers,
        "sweep_seconds": sweep.seconds,
        "budget_seconds": settings.budget.seconds,
    }
    for message in filter(None, (repeated_message(variants.sampler), costly_message(sweep.n_costly))):
        output.say(message)
    output.plan(figures, _lines(figures))
    return figures


class StageTimer:
    """Shows the stages before the sweep, and adds up their seconds; a StageObserver."""

    def __init__(self, output: Output, began: float) -> None:
        self._output, self._last = output, began
        self.upstream_seconds = 0.0

    def say(self, text: str) -> None:
        """Print a line."""
        self._output.say(text)

    def data_loaded(self, card: DataCard, content: str | None) -> None:
        """Show the data card."""
        self._output.data(card)

    def data_warned(self, card: DataCard, warnings: Sequence[DataWarning]) -> None:
        """Print them."""
        for warning in warnings:
            self._output.say(f"warning: {warning.text}")

    def stage_finished(self, stage: StageName | str) -> None:
        """Show the seconds since the stage before it finished."""
        now = time.monotonic()
        seconds, self._last = now - self._last, now
        self._output.stage(stage, seconds)
        if stage != "startup":
            self.upstream_seconds += seconds

    def views_added(self, n_views: int, seconds: float) -> None:
        """Add the seconds of views that a later rung needs."""
        self.upstream_seconds += seconds


def planned_rungs(
    settings: Settings,
    variants: Variants,
    task: Task,
    records: SweepRecords,
    build_networks: NetworkFactory,
    sweep: "SweepPlan",
) -> Iterator[list[TrialNetwork]]:
    """Ask the search for its rungs, and tell it equal scores; set `sweep.n_costly` at the end.

    Trials of an earlier session of the run keep the scores that they have.

    Yields
    ------
    list of TrialNetwork
        The networks that the rung trains; those that an earlier session has trained so far are left out.
    """
    epochs, objectives = settings.training.epochs, settings.select.objectives(records.ranking_metric)
    networks: dict[str, TrialNetwork] = {}

    def n_parameters(trial: str) -> int:
        return networks[records.trials[trial].networks[0].key].architecture.n_parameters

    def train(needed: Sequence[tuple[NetworkRecord, int]]) -> Iterator[list[TrialNetwork]]:
        n_epochs = sum(until - record.epochs_trained for record, until in needed)
        if n_epochs > MOST_EPOCHS:
            raise SettingError(
                f"training.epochs={epochs}: a plan can have at most {MOST_EPOCHS:,} network-epochs in a rung, but "
                f"has {n_epochs:,}; plan with fewer epochs: the time of the sweep is proportional to them"
            )
        rung = [_continued(networks[record.key], record, until) for record, until in needed]
        yield rung
        for network in rung:
            _add_equal_scores(network, records, epochs)

    def applies(trial: Trial) -> bool:
        return variants.applies(trial, task)

    flops_per_epoch = arithmetic_of(build_networks)
    rungs = Rungs(
        variants.sampler, settings.budget, epochs, records, objectives, n_parameters, flops_per_epoch, applies
    )
    while requests := rungs.next():
        if pruned := records.to_retrain():
            yield from train(pruned)
        built = build_networks(requests)
        enter_networks(records, requests, built, rungs.reached)
        networks |= {network.key: network for of_trial in built for network in of_trial}
        needed = [
            (record, request.until)
            for request in requests
            for record in records.trials[request.trial.key].networks
            if not record.available_at(request.until)
        ]
        yield from train(needed)
        rungs.trained(requests)
    if pruned := records.to_retrain():
        yield from train(pruned)
    sweep.n_costly = rungs.n_costly
    check_trained(records, rungs.used_up)


def _continued(network: TrialNetwork, record: NetworkRecord, until: int) -> TrialNetwork:
    """The network, to be trained from where its record ends."""
    if record.checkpoint is None or record.epochs_trained > until:
        return network._replace(until=until)
    return network._replace(start=record.epochs_trained, until=until, origin=NetworkOrigin(0, record.checkpoint.key))


def _add_equal_scores(network: TrialNetwork, records: SweepRecords, epochs: int) -> None:
    """Record that a network was trained, with 0 for every metric."""
    names = {"train/loss", "validation/loss", records.metric, *records.networks[network.key].curves}
    curves = {name: [0.0] * (network.until - network.start) for name in names}
    reports = {network.key: Report(curves, selected_epoch=network.until)}
    checkpoints = {network.key: CheckpointRef("", "", network.key)}
    records.add(reports, network.start, network.until, checkpoints, network.until == epochs)


@dataclass
class SweepPlan:
    """What the rungs of a sweep add up to.

    Parameters
    ----------
    metrics : TrainingMetrics

    Attributes
    ----------
    n_costly : int
        Trials that the search leaves out because they take too much arithmetic.
    worker_bytes : int
        The most memory that a worker needs to train one of the stacks, as the scheduler estimates it.
    probes : dict
        By architecture, sizes of the data and width of a stack, what a few training steps of it have taken.
    """

    metrics: TrainingMetrics
    rungs: int = 0
    stacks: int = 0
    slices: int = 0
    network_epochs: int = 0
    flops: int = 0
    seconds: float = 0.0
    n_costly: int = 0
    worker_bytes: int = 0
    probes: dict[object, Probed] = field(default_factory=dict)

    def add(self, networks: Sequence[TrialNetwork], settings: Settings, executor: Executor) -> None:
        """Plan the stacks of a rung, time an epoch of each kind of stack, and simulate how workers train them."""
        packing, needs = settings.stacks, MemoryNeeds(networks, executor.memory)
        workers = needs.workers(executor.workers)
        planned = needs.narrowed(plan(networks, executor.workers, packing))
        stacks = [self._timed(stack, settings, executor) for stack in planned]
        self.worker_bytes = max([self.worker_bytes, *map(needs.stack_bytes, planned)])
        seconds, n_slices = simulate(stacks, workers, packing.slice_seconds)
        self.rungs += 1
        self.stacks += len(stacks)
        self.slices += n_slices
        self.seconds += seconds
        for network in networks:
            epochs = network.until - network.start
            self.network_epochs += epochs
            self.flops += epochs * epoch_flops([network])

    def _timed(self, stack: PlannedStack, settings: Settings, executor: Executor) -> PlannedStack:
        """The stack with its measured seconds per epoch."""
        kind = (stack.architecture, stack.view_shape, len(stack.networks))
        if kind not in self.probes:
            networks, folds = stack.with_views()
            views = [fold.data for fold in folds]
            arguments = (stack.architecture, networks, self.metrics.every_epoch, settings.training.loss_limit, *views)
            futures = [  # at the same time on all workers, as these share caches and memory in the sweep, too
                executor.submit(probe, *arguments, options=settings.stages["sweep"])[0] for _ in range(executor.workers)
            ]
            probes = [executor.fetch(future) for future in futures]
            mean = sum(probed.epoch_seconds for probed in probes) / len(probes)
            self.probes[kind] = probes[0]._replace(epoch_seconds=mean)
        return replace(stack, epoch_seconds=self.probes[kind].epoch_seconds)


def simulate(stacks: Sequence[PlannedStack], workers: int, slice_seconds: float) -> tuple[float, int]:
    """Simulate the scheduler.

    Parameters
    ----------
    stacks : sequence of PlannedStack
        With their seconds per epoch.
    workers : int
    slice_seconds : float
        About how long one task trains before it reports.

    Returns
    -------
    seconds : float
        Until all stacks are trained.
    n_slices : int
    """
    scheduler = Scheduler(stacks, workers, slice_seconds)
    running: list[tuple[float, int, Slice, float]] = []  # end, number, slice, its training seconds
    now, n_slices = 0.0, 0
    while not scheduler.done:
        while len(running) < workers and (chosen := scheduler.next()):
            seconds = scheduler.stacks[chosen.stack].epoch_seconds * (chosen.until - chosen.start)
            n_slices += 1
            heapq.heappush(running, (now + seconds + SLICE_SECONDS, n_slices, chosen, seconds))
        now, _, ended, seconds = heapq.heappop(running)
        scheduler.finished(ended, scheduler.stacks[ended.stack].keys, seconds)
    return now, n_slices


def _lines(figures: dict[str, Any]) -> list[str]:
    known = f"; {figures['networks_known']} networks have begun before" if figures["networks_known"] else ""
    seconds, limit = figures["upstream_seconds"] + figures["sweep_seconds"], figures["budget_seconds"]
    is_late = limit is not None and seconds > limit
    clock = f"; budget.seconds={limit:g} ends it earlier, with fewer trials" if is_late else ""
    return [
        f"plan       {figures['trials']} trials, {figures['networks']} networks, {figures['network_epochs']} "
        f"network-epochs, {figures['rungs']} rungs, {figures['stacks']} stacks, {figures['slices']} slices{known}",
        f"upstream   {figures['upstream_computed']} stage results computed just now, {figures['upstream_cached']} "
        f"found in the cache, {figures['upstream_seconds']:.1f} s",
        f"memory     at most about {figures['worker_bytes'] / MEGABYTE:.0f} MB per worker for the widest stack, plus "
        f"{figures['view_bytes'] / MEGABYTE:.0f} MB of data shared by all",
        f"arithmetic {figures['flops'] / TERA:.3g} TFLOP in matrix products",
        f"sweep      about {figures['sweep_seconds']:.1f} s on {figures['workers']} workers, if nothing stops early"
        f"{clock}",
    ]
