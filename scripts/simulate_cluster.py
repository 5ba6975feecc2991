"""The scheduler's core with simulated workers: how well 1 to 10,000 of them are used, and what the driver is busy with.

    python scripts/simulate_cluster.py [most_trials=1000000]

The decisions are those of a sweep (pipeline.sweep.planner and .scheduler); how long slices take comes from the cost
model of the planner, give or take a fifth. What the driver spends on a slice, and the tracker on a trial, is measured
here or in benchmark_tracking.py. Prints for each size the utilisation of the workers, the load of the driver and of
the tracker, and what is in the way; then the core's own speed and memory.
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

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # for the small jobs that sweeps are made of

from samples import shape
from sweeps import job

from pipeline.artefacts import Facts
from pipeline.journal import Journal
from pipeline.sweep.planner import PlannedStack, Stacks, plan
from pipeline.sweep.scheduler import Scheduler, Slice

WORKERS = (1, 10, 100, 1_000, 10_000)
EPOCHS = 30
FACTS = Facts(32, 10, 1079, 359)  # digits after PCA
SHAPE = shape((32, 64, 10), batch_size=32)
RAY_S = 1.2e-3  # to start a task and to get what it returns; measured with 1,000 that do nothing
START_S = 5e-3  # on the worker, before and after a slice: arguments, the state's file
TRACKED_S = 1.3e-3  # of the tracker's process per trial; measured, see benchmark_tracking.py


class Found(NamedTuple):
    """What a sweep came to: seconds, and for how many of them workers, driver and core were busy."""

    seconds: float
    worked: float
    driver: float
    core: float
    decisions: int


def main() -> None:
    given = dict(argument.split("=") for argument in sys.argv[1:])
    most = int(float(given.get("most_trials", 1e6)))
    note = measured_note()
    print(f"The driver spends {1e3 * (RAY_S + note):.1f} ms on a slice ({1e3 * note:.1f} of them on the journal).")
    print(
        f"The tracker spends {1e3 * TRACKED_S:.1f} ms on a trial. Digits, {EPOCHS} epochs, PCA 32, one layer of 64.\n"
    )
    print("   trials  workers  networks/stack    sweep s  workers busy  driver busy  tracker behind  in the way")
    n_trials = 1_000
    while n_trials <= most:
        for workers in WORKERS:
            if workers <= n_trials:
                line(n_trials, workers, note)
        n_trials *= 10
    speed(most)


def line(n_trials: int, workers: int, note: float) -> None:
    """Simulate one sweep and print what it came to."""
    planned = stacks(n_trials, workers)
    found = simulate(planned, workers, note)
    widest = max(len(stack.networks) for stack in planned)
    used, load = found.worked / found.seconds / workers, found.driver / found.seconds
    behind = max(0.0, n_trials * TRACKED_S - found.seconds)
    reasons = {"driver": load > 0.9, "tracker": behind > 15, "too little work": used < 0.8}
    way = ", ".join(name for name, there in reasons.items() if there) or "-"
    sizes = f"{n_trials:9,}  {workers:7,}  {widest:14}  {found.seconds:9.1f}"
    print(f"{sizes}  {used:12.0%}  {load:11.0%}  {behind:12.0f} s  {way}", flush=True)


def stacks(n_trials: int, workers: int) -> list[PlannedStack]:
    """As a grid of so many trials would be planned."""
    shape = SHAPE
    return plan(
        [job(number, shape, 0, FACTS, (0, EPOCHS)) for number in range(n_trials)], workers, Stacks("auto", 1.0, 0.0)
    )


def simulate(planned: list[PlannedStack], workers: int, note: float) -> Found:
    """Workers that take as long as the model says, and a driver that does one thing at a time."""
    scheduler, chance = Scheduler(planned, workers, 1.0), random.Random(0)
    keys = {number: [network.key for network in stack.networks] for number, stack in scheduler.stacks.items()}
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
        driver_free = max(driver_free, ends) + RAY_S / 2 + note
        busy, worked = busy + RAY_S / 2 + note, worked + seconds
        if done.stack not in keys:
            keys[done.stack] = [network.key for network in scheduler.stacks[done.stack].networks]
        scheduler.finished(done, keys[done.stack], seconds)
        core += time.perf_counter() - began
    return Found(driver_free, worked, busy, core, n)


def measured_note() -> float:
    """Seconds for one line of the journal with the reports of 16 networks, on disk."""
    report = {"curves": {name: [0.123456789] * 5 for name in "abc"}, "diverged": None, "stopped": None, "epoch": 5}
    content = {f"{number:04d}/1/0": report | {"fingerprint": "f" * 64} for number in range(16)}
    with TemporaryDirectory() as folder:
        journal, began = Journal(Path(folder) / "journal.jsonl"), time.perf_counter()
        for number in range(200):
            journal.append("slice", stack=number, networks=content)
        seconds = time.perf_counter() - began
        journal.close()
    return seconds / 200


def speed(n_trials: int) -> None:
    """The core alone: decisions per second, and its memory."""
    planned = stacks(n_trials, 1_000)
    found = simulate(planned, 1_000, 0.0)
    print(f"\n{n_trials:,} trials in {len(planned):,} stacks: {found.decisions:,} decisions, ", end="")
    print(f"{found.decisions / found.core:,.0f} per second on one core (those of the simulated workers included)")
    for trials in (n_trials // 10, n_trials):
        planned = stacks(trials, 1_000)
        gc.collect()
        tracemalloc.start()
        scheduler = Scheduler(planned, 1_000, 1.0)
        size, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        n_stacks = len(scheduler.stacks)
        print(f"the scheduler of {trials:,} trials: {size / 1e6:.1f} MB, {size / n_stacks:.0f} bytes per stack")


if __name__ == "__main__":
    main()
