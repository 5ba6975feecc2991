"""Simulate the scheduler with 1 to 10,000 workers: how well they are used, and what the driver is busy with.

    python scripts/simulate_cluster.py [most_trials=1000000]

The decisions are those of a sweep (pipeline.engine.packing); how long slices take comes from the cost model, plus or
minus a fifth. What the driver spends on a slice, and the tracker on a trial, is measured here or in
benchmark_tracking.py. Prints for each size the utilisation of the workers, the load of the driver and of the tracker,
and the bottleneck; then the scheduler's own speed and memory.
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

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))  # for its small networks

from samples import make_architecture
from sweeps import add, opened, trial_network

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
RAY_S = 1.2e-3  # to start a task and to fetch its result; measured with 1,000 empty tasks
START_S = 5e-3  # on the worker, before and after a slice: arguments, the state's file
TRACKED_S = 1.3e-3  # of the tracker's process for a trial; measured, see benchmark_tracking.py


# Architecture, data and epochs of a trial: small ones, and those of Fashion-MNIST with two layers
SIZES = {
    "digits, 30 epochs, 64 hidden": (make_architecture((32, 64, 10), batch_size=32), ViewShape(32, 10, 1079, 359), 30),
    "Fashion-MNIST, 5 epochs, 128-64 hidden": (
        make_architecture((64, 128, 64, 10), batch_size=128),
        ViewShape(64, 10, 48_000, 12_000),
        5,
    ),
}


class Costs(NamedTuple):
    """Seconds, measured: to write a line of the journal, and each network in it; for the tracker to read a network."""

    line: float
    network: float
    read: float


class Simulated(NamedTuple):
    """Seconds of a sweep and, of these, of busy workers, driver and scheduler; and the number of decisions."""

    seconds: float
    worked: float
    driver: float
    core: float
    decisions: int


def main() -> None:
    given = dict(argument.split("=") for argument in sys.argv[1:])
    most = int(float(given.get("most_trials", 1e6)))
    for name, (of, view_shape, epochs) in SIZES.items():
        costs = measured(epochs)
        alone = epochs * network_epoch_seconds(of, view_shape)
        print(f"{name}: {alone:.3g} s of one core for a trial. The driver spends {1e3 * RAY_S:.1f} ms on a task,")
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
            planned_networks = [trial_network(number, of, 0, view_shape, (0, epochs)) for number in range(n_trials)]
            for workers in WORKERS:
                if workers <= n_trials:
                    line(planned_networks, workers, costs, alone)
            n_trials *= 10
        print()
    speed(most)


def network_epoch_seconds(of: Architecture, view_shape: ViewShape) -> float:
    """Of one network in a stack of an efficient width."""
    wide = efficient_width(of)
    return epoch_seconds(of, view_shape, wide) / wide


def line(networks: list[TrialNetwork], workers: int, costs: Costs, alone: float) -> None:
    """Simulate one sweep and print a line; "at best" is with workers that only train."""
    planned = plan(networks, workers, PackingSettings("auto", 1.0, 0.0))
    found, n_trials = simulate(planned, workers, costs), len(networks)
    widest = max(len(stack.networks) for stack in planned)
    used, load, best = found.worked / found.seconds / workers, found.driver / found.seconds, n_trials * alone / workers
    behind = max(0.0, min(n_trials, MOST_RUNS) * TRACKED_S + n_trials * costs.read - found.seconds)
    reasons = {"driver": load > 0.9, "tracker": behind > 15, "too little work": best < min_task_seconds(workers)}
    way = ", ".join(name for name, there in reasons.items() if there) or "-"
    sizes = f"{n_trials:9,}  {workers:7,}  {found.decisions:7,}  {widest:14}  {found.seconds:9.1f}  {best:9.1f}"
    print(f"{sizes}  {used:12.0%}  {load:11.0%}  {behind:12.0f} s  {way}", flush=True)


def simulate(planned: list[PlannedStack], workers: int, costs: Costs) -> Simulated:
    """Simulate workers that take as long as the cost model says, and a driver that does one thing at a time."""
    scheduler, chance = Scheduler(planned, workers, 1.0), random.Random(0)
    keys = {number: stack.keys for number, stack in scheduler.stacks.items()}
    running: list[tuple[float, int, Slice, float]] = []
    driver_free = worked = busy = core = 0.0
    n = 0
    while not scheduler.done:
        began = time.perf_counter()
        while len(running) < workers and (chosen := scheduler.next()):
            stack = scheduler.stacks[chosen.stack]
            seconds = stack.epoch_seconds * (chosen.until - chosen.start) * chance.uniform(0.8, 1.2)
            driver_free += RAY_S / 2
            busy += RAY_S / 2
            n += 1
            heapq.heappush(running, (driver_free + START_S + seconds, n, chosen, seconds))
        ends, _, done, seconds = heapq.heappop(running)
        if done.stack not in keys:
            keys[done.stack] = scheduler.stacks[done.stack].keys
        share = (done.until - done.start) / planned[0].until
        noting = RAY_S / 2 + costs.line + costs.network * share * len(keys[done.stack])
        driver_free = max(driver_free, ends) + noting
        busy, worked = busy + noting, worked + seconds
        scheduler.finished(done, keys[done.stack], seconds)
        core += time.perf_counter() - began
    return Simulated(driver_free, worked, busy, core, n)


def measured(epochs: int) -> Costs:
    """Measure the journal and the records with real slices of this many epochs, on disk."""
    curves = {name: [0.1234567890123456] * epochs for name in ("train/loss", "validation/loss", "validation/accuracy")}
    times = {}
    for width in (1, 100):
        reports = {
            f"{number:04d}/1/0": Report(curves, selected_epoch=epochs, fingerprint="f" * 64) for number in range(width)
        }
        results, history = opened(width), RunHistory()
        with TemporaryDirectory() as folder:
            journal = Journal(Path(folder) / "journal.jsonl")
            description = {"labels": ("", "", ""), "parameters": {}}
            asked = {key: (key, None) for key in reports}
            journal.append("rung", number=1, trials={key[:4]: description for key in reports}, until={}, networks=asked)
            began = time.perf_counter()
            for _ in range(50):
                said = {key: vars(report) for key, report in reports.items()}
                how = {"stack": 0, "start": 0, "until": epochs, "gpu": False, "last": True, "started": 0}
                journal.append("slice", **how, worker="", file="", sha256="", held=[], networks=said)
                add(results, reports, 0, epochs, last=True)
            times[width] = (time.perf_counter() - began) / 50
            journal.close()
            reader, began = JournalReader(journal.path), time.perf_counter()
            for happened in reader.events():
                history.apply(happened)
            read = (time.perf_counter() - began) / 50 / width
            reader.close()
    network = (times[100] - times[1]) / 99
    return Costs(times[1] - network, network, read)


def stacks(n_trials: int) -> list[PlannedStack]:
    """As many stacks as possible: two networks in each."""
    of, view_shape, epochs = next(iter(SIZES.values()))
    networks = [trial_network(number, of, 0, view_shape, (0, epochs)) for number in range(n_trials)]
    return plan(networks, 1_000, PackingSettings(2, 1.0, 0.0))


def speed(n_trials: int) -> None:
    """Print the scheduler's own decisions per second, and its memory."""
    planned = stacks(n_trials)
    found = simulate(planned, 1_000, Costs(0.0, 0.0, 0.0))
    print(f"\n{n_trials:,} trials in {len(planned):,} stacks: {found.decisions:,} decisions, ", end="")
    print(f"{found.decisions / found.core:,.0f} per second on one core (those of the simulated workers included)")
    for trials in (n_trials // 10, n_trials):
        planned = stacks(trials)
        gc.collect()
        tracemalloc.start()
        scheduler = Scheduler(planned, 1_000, 1.0)
        size, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        n_stacks = len(scheduler.stacks)
        print(f"the scheduler of {trials:,} trials: {size / 1e6:.1f} MB, {size / n_stacks:.0f} bytes per stack")


if __name__ == "__main__":
    main()
