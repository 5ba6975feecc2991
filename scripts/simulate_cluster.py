"""Simulate the scheduler with 1 to 10,000 workers: their utilisation, the driver's load, and the bottleneck.

    python scripts/simulate_cluster.py [most_trials=1000000]

The decisions are those of a sweep (pipeline.engine.packing). The duration of a slice is the cost model's, plus or minus
20 %. The driver's time per slice and the tracker's time per trial are measured here or in benchmark_tracking.py. Prints
for each size the utilisation of the workers, the load of the driver and of the tracker, and the bottleneck; then the
scheduler's own speed and memory.
"""

import gc
import heapq
import random
import sys
import time
import tracemalloc
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))  # for small networks

from samples import make_architecture
from sweeps import add_slice, open_records, trial_network

from nncore.architecture import Architecture
from nncore.stack.training import Report
from pipeline.components.types import ViewShape
from pipeline.engine.packing.cost_model import efficient_width, epoch_seconds, min_task_seconds
from pipeline.engine.packing.planner import PackingSettings, PlannedStack, TrialNetwork, plan
from pipeline.engine.packing.scheduler import Scheduler, Slice
from pipeline.runs.journal import Journal, JournalReader
from pipeline.runs.replay import RunHistory

WORKERS = (1, 10, 100, 1_000, 10_000)
MOST_RUNS = 20_000  # tracking.most_trials
RAY_S = 1.2e-3  # seconds to start a task and to fetch its result; measured with 1,000 empty tasks
START_S = 5e-3  # seconds on the worker before and after a slice: arguments, the checkpoint file
TRACKED_S = 1.3e-3  # seconds of the tracker's process per trial; measured, see benchmark_tracking.py

# Architecture, data and epochs of a trial
SIZES = {
    "digits, 30 epochs, 64 hidden": (make_architecture((32, 64, 10), batch_size=32), ViewShape(32, 10, 1079, 359), 30),
    "Fashion-MNIST, 5 epochs, 128-64 hidden": (
        make_architecture((64, 128, 64, 10), batch_size=128),
        ViewShape(64, 10, 48_000, 12_000),
        5,
    ),
}


class Costs(NamedTuple):
    """Measured seconds: to write a line of the journal, per network in it, and for the tracker to read a network."""

    line: float
    network: float
    read: float


class Simulated(NamedTuple):
    """Seconds of a sweep, busy seconds of workers, driver and scheduler, and the number of decisions."""

    seconds: float
    workers: float
    driver: float
    scheduler: float
    decisions: int


def main() -> None:
    arguments = dict(argument.split("=") for argument in sys.argv[1:])
    most = int(float(arguments.get("most_trials", 1e6)))
    for name, (architecture, view_shape, epochs) in SIZES.items():
        costs = measured_costs(epochs)
        trial_seconds = epochs * network_epoch_seconds(architecture, view_shape)
        print(f"{name}: {trial_seconds:.3g} s of one core per trial. The driver spends {1e3 * RAY_S:.1f} ms on a task,")
        print(f"{1e3 * costs.line:.1f} ms on its line in the journal and {1e3 * costs.network:.2f} ms on each network;")
        print(
            f"the tracker {1e3 * TRACKED_S:.1f} ms on each of the first {MOST_RUNS:,} trials,",
            end="",
        )
        print(f" {1e3 * costs.read:.2f} ms on each to read its results.\n")
        print("   trials  workers    tasks  networks/stack    sweep s  at best s  workers busy  driver busy", end="")
        print("  tracker behind  bottleneck")
        n_trials = 1_000
        while n_trials <= most:
            networks = [trial_network(number, architecture, 0, view_shape, (0, epochs)) for number in range(n_trials)]
            for workers in WORKERS:
                if workers <= n_trials:
                    print_sweep(networks, workers, costs, trial_seconds)
            n_trials *= 10
        print()
    print_speed(most)


def network_epoch_seconds(architecture: Architecture, view_shape: ViewShape) -> float:
    """Seconds of one epoch of one network in a stack of an efficient width."""
    width = efficient_width(architecture)
    return epoch_seconds(architecture, view_shape, width) / width


def print_sweep(networks: list[TrialNetwork], workers: int, costs: Costs, trial_seconds: float) -> None:
    """Simulate one sweep and print a line; "at best" is the time of workers that only train."""
    planned = plan(networks, workers, PackingSettings("auto", 1.0, 0.0))
    sweep, n_trials = simulate(planned, workers, costs), len(networks)
    widest = max(len(stack.networks) for stack in planned)
    utilisation, load = sweep.workers / sweep.seconds / workers, sweep.driver / sweep.seconds
    best = n_trials * trial_seconds / workers
    behind = max(0.0, min(n_trials, MOST_RUNS) * TRACKED_S + n_trials * costs.read - sweep.seconds)
    limits = {"driver": load > 0.9, "tracker": behind > 15, "too little work": best < min_task_seconds(workers)}
    bottleneck = ", ".join(name for name, is_reached in limits.items() if is_reached) or "-"
    sizes = f"{n_trials:9,}  {workers:7,}  {sweep.decisions:7,}  {widest:14}  {sweep.seconds:9.1f}  {best:9.1f}"
    print(f"{sizes}  {utilisation:12.0%}  {load:11.0%}  {behind:12.0f} s  {bottleneck}", flush=True)


def simulate(planned: list[PlannedStack], workers: int, costs: Costs) -> Simulated:
    """Simulate workers whose slices last as the cost model estimates, and a driver that does one thing at a time."""
    scheduler, generator = Scheduler(planned, workers, 1.0), random.Random(0)
    keys = {number: stack.keys for number, stack in scheduler.stacks.items()}
    running: list[tuple[float, int, Slice, float]] = []
    driver_free = worker_seconds = driver_seconds = scheduler_seconds = 0.0
    n = 0
    while not scheduler.done:
        start = time.perf_counter()
        while len(running) < workers and (chosen := scheduler.next()):
            stack = scheduler.stacks[chosen.stack]
            seconds = stack.epoch_seconds * (chosen.until - chosen.start) * generator.uniform(0.8, 1.2)
            driver_free += RAY_S / 2
            driver_seconds += RAY_S / 2
            n += 1
            heapq.heappush(running, (driver_free + START_S + seconds, n, chosen, seconds))
        end, _, finished, seconds = heapq.heappop(running)
        if finished.stack not in keys:
            keys[finished.stack] = scheduler.stacks[finished.stack].keys
        share = (finished.until - finished.start) / planned[0].until
        recording = RAY_S / 2 + costs.line + costs.network * share * len(keys[finished.stack])
        driver_free = max(driver_free, end) + recording
        driver_seconds, worker_seconds = driver_seconds + recording, worker_seconds + seconds
        scheduler.finished(finished, keys[finished.stack], seconds)
        scheduler_seconds += time.perf_counter() - start
    return Simulated(driver_free, worker_seconds, driver_seconds, scheduler_seconds, n)


def measured_costs(epochs: int) -> Costs:
    """Measure the journal and the records with real slices of this many epochs, on disk."""
    curves = {name: [0.1234567890123456] * epochs for name in ("train/loss", "validation/loss", "validation/accuracy")}
    times = {}
    for width in (1, 100):
        reports = {
            f"{number:04d}/1/0": Report(curves, selected_epoch=epochs, fingerprint="f" * 64) for number in range(width)
        }
        records, history = open_records(width), RunHistory()
        with TemporaryDirectory() as folder:
            journal = Journal(Path(folder) / "journal.jsonl")
            description = {"labels": ("", "", ""), "parameters": {}}
            opened = {key: (key, None) for key in reports}
            trials = {key[:4]: description for key in reports}
            journal.append("rung", number=1, trials=trials, until={}, networks=opened)
            start = time.perf_counter()
            for _ in range(50):
                networks = {key: {"content_hash": key, **vars(report)} for key, report in reports.items()}
                fields = {"stack": 0, "start": 0, "until": epochs, "gpu": False, "last": True, "started": 0}
                journal.append("slice", **fields, worker="", file="", sha256="", held={}, networks=networks)
                add_slice(records, reports, 0, epochs, last=True)
            times[width] = (time.perf_counter() - start) / 50
            journal.close()
            reader, start = JournalReader(journal.path), time.perf_counter()
            for event in reader.events():
                history.apply(event)
            read = (time.perf_counter() - start) / 50 / width
            reader.close()
    network = (times[100] - times[1]) / 99
    return Costs(times[1] - network, network, read)


def small_stacks(n_trials: int) -> list[PlannedStack]:
    """As many stacks as possible: two networks in each."""
    architecture, view_shape, epochs = next(iter(SIZES.values()))
    networks = [trial_network(number, architecture, 0, view_shape, (0, epochs)) for number in range(n_trials)]
    return plan(networks, 1_000, PackingSettings(2, 1.0, 0.0))


def print_speed(n_trials: int) -> None:
    """Print the scheduler's decisions per second, and its memory."""
    planned = small_stacks(n_trials)
    sweep = simulate(planned, 1_000, Costs(0.0, 0.0, 0.0))
    print(f"\n{n_trials:,} trials in {len(planned):,} stacks: {sweep.decisions:,} decisions, ", end="")
    print(f"{sweep.decisions / sweep.scheduler:,.0f} per second on one core (including the simulation of the workers)")
    for trials in (n_trials // 10, n_trials):
        planned = small_stacks(trials)
        gc.collect()
        tracemalloc.start()
        scheduler = Scheduler(planned, 1_000, 1.0)
        size, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        n_stacks = len(scheduler.stacks)
        print(f"the scheduler of {trials:,} trials: {size / 1e6:.1f} MB, {size / n_stacks:.0f} bytes per stack")


if __name__ == "__main__":
    main()
