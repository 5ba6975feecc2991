"""Measure the resources of a sweep: memory, several workers and nodes, and how time and memory grow.

    .venv/bin/python scripts/measure_resources.py [--only memory|workers|nodes|growth] [--repeats 3] [--json FILE]

memory    60,000 rows x 784 columns (188 MB in float32) without reduction, 2 Ray workers: the peak of the private memory
          (in MB, without shared memory) of the driver and of each task
workers   1,000 trials: seconds of the sweep on 1 and on 2 workers, and the driver's CPU seconds as a share of the
          workers'; also on 1 worker with all processes (driver, Ray, worker) on one core, as 2 workers have two cores;
          and the speedup of two independent training processes over one, which is the upper bound
nodes     the same on one node with 4 workers and on 4 nodes with one worker each, all on this machine
growth    seconds and peak memory by trials, rows, columns and hidden units; exponents between successive sizes
"""

import json
import os
import subprocess
import sys
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import pairwise
from math import log
from pathlib import Path
from secrets import token_hex
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from benchmark_sweep import CASES, settings, write_data
from steps import seconds_per_step

ROOT = Path(__file__).parents[1]
BARE = ["tracking=none", "report=none", "resume=never", "cache=none"]
MB = 1e6
ADDRESS = "127.0.0.1:6399"


def start_run(folder: Path, overrides: list[str]) -> subprocess.Popen[bytes]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "pipeline", *BARE, *overrides]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, env=environment)


def run_sweep(folder: Path, overrides: list[str]) -> dict[str, float]:
    """Seconds of the sweep and of the whole run; the driver's CPU seconds and peak memory in MB."""
    start = time.perf_counter()
    _, status, usage = os.wait4(start_run(folder, overrides).pid, 0)
    if status:
        raise SystemExit(f"the run failed: {' '.join(overrides)}")
    path = max(folder.glob("runs/*/*/summary.json"), key=os.path.getmtime)
    summary = json.loads(path.read_text())
    driver = {"driver cpu": summary["work"]["driver_cpu_s"], "MB": usage.ru_maxrss * 1024 / MB}
    return {"sweep": summary["timings"]["sweep_s"], "all": time.perf_counter() - start} | driver


def median_run(folder: Path, overrides: list[str], repeats: int) -> dict[str, float]:
    return medians([run_sweep(folder, overrides) for _ in range(repeats)])


def medians(rounds: list[dict[str, float]]) -> dict[str, float]:
    return {quantity: median(row[quantity] for row in rounds) for quantity in rounds[0]}


def private_mb(pid: int) -> float:
    """Resident memory of a process in MB, without files and shared memory (such as Ray's object store)."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) * 1024 / MB


def running_tasks() -> dict[int, str]:
    """The tasks that Ray's workers run, by process id."""
    tasks = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            title = path.read_bytes().partition(b"\0")[0].decode()
            if title.startswith("ray::") and "IDLE" not in title:
                tasks[int(path.parent.name)] = title.removeprefix("ray::")
    return tasks


def memory(folder: Path, repeats: int) -> dict[str, Any]:
    case = CASES["large"]
    path = folder / "large.npz"
    write_data("large", path)
    overrides = [override for override in settings(case, path) if not override.startswith("reduce.")]
    process = start_run(folder, [*overrides, "reduce=none", "execution.cpus=2"])
    peaks: dict[str, float] = {}
    while process.poll() is None:
        peaks["driver"] = max(peaks.get("driver", 0), private_mb(process.pid))
        for pid, task in running_tasks().items():
            peaks[task] = max(peaks.get(task, 0), private_mb(pid))
        time.sleep(0.05)
    return peaks


def thousand(folder: Path) -> list[str]:
    path = folder / "digits.npz"
    write_data("digits", path)
    return settings(CASES["digits"] | {"trials": 1000}, path)


def workers(folder: Path, repeats: int) -> dict[str, Any]:
    overrides = thousand(folder)
    table: dict[str, Any] = {}
    rounds: dict[str, list[dict[str, float]]] = {"1 worker": [], "1 worker, 1 core": [], "2 workers": []}
    for _ in range(repeats):
        for name, runs in rounds.items():
            with cores(1 if "core" in name else None):
                runs.append(run_sweep(folder, [*overrides, f"execution.cpus={name[0]}"]))
    for name, runs in rounds.items():
        row = table[name] = medians(runs)
        row["driver's share"] = row["driver cpu"] / (int(name[0]) * row["sweep"])
    one_worker, one_core, two_workers = (table[name]["sweep"] for name in rounds)
    step_on_one, step_on_two = (median(seconds_per_step(n) for _ in range(repeats)) for n in (1, 2))
    return table | {
        "speedup": one_worker / two_workers,
        "speedup over one core for all processes": one_core / two_workers,
        "speedup of two independent processes": 2 * step_on_one / step_on_two,
    }


@contextmanager
def cores(n: int | None) -> Iterator[None]:
    """Restrict this process and those that it starts to n cores; None: no restriction."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:n])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def cluster(n_nodes: int, cpus: int) -> Iterator[None]:
    """A cluster of nodes on this machine, started by `ray start`."""
    host, _, port = ADDRESS.partition(":")
    start = [Path(sys.executable).parent / "ray", "start", "--block", "--num-cpus", str(cpus), "--disable-usage-stats"]
    started: list[subprocess.Popen[bytes]] = []
    try:
        for node in range(n_nodes):
            where = ["--address", ADDRESS] if node else ["--head", "--port", port, "--node-ip-address", host]
            command = [*start, *where, "--object-store-memory", "200000000"]
            started.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))
            time.sleep(8)  # until the node has started
            if status := started[-1].poll():
                raise SystemExit(f"node {node} ended with {status}")
        yield
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait()


def nodes(folder: Path, repeats: int) -> dict[str, Any]:
    overrides, table = thousand(folder), {}
    os.environ |= {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": token_hex(32),
    }  # without a token the head accepts no other node
    for n_nodes, cpus in ((1, 4), (4, 1)):
        with cluster(n_nodes, cpus):
            execution = ["execution=cluster", f"execution.address={ADDRESS}"]
            table[f"{n_nodes} nodes of {cpus}"] = median_run(folder, [*overrides, *execution], repeats)
    one_node, four_nodes = (row["sweep"] for row in table.values())
    return table | {"slowdown": four_nodes / one_node - 1}


GROWTH: dict[str, tuple[tuple[int, ...], dict[str, int]]] = {
    "trials": ((100, 1000, 10_000), {}),
    "rows": ((1000, 10_000, 100_000, 1_000_000), {"trials": 4, "epochs": 2}),
    "columns": ((10, 100, 1000, 10_000), {"trials": 4, "epochs": 2}),
    "hidden": ((16, 64, 256, 1024), {"trials": 4, "epochs": 5}),
}


def growth(folder: Path, repeats: int) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for quantity, (sizes, fixed) in GROWTH.items():
        rows = []
        for size in sizes:
            n = {"trials": 100, "rows": 1000, "columns": 20, "hidden": 32, "epochs": 5} | fixed | {quantity: size}
            random, path = np.random.default_rng(0), folder / "growth.npz"
            x = random.standard_normal((n["rows"], n["columns"])).astype(np.float32)
            np.savez(path, x=x, y=random.integers(0, 5, len(x)))
            space = ["space=ranges", "search=random", f"search.trials={n['trials']}", "reduce=none"]
            overrides = [f"network.hidden=[{n['hidden']}]", f"training.epochs={n['epochs']}", *space]
            source = ["data=npz", f"data.path={path}", "execution=local"]
            rows.append({"size": size} | median_run(folder, [*source, *overrides], 1))
        for before, row in pairwise(rows):
            step = log(row["size"] / before["size"])
            row |= {f"exponent of {name}": log(row[name] / before[name]) / step for name in ("sweep", "all", "MB")}
        table[quantity] = rows
    return table


PARTS = {"memory": memory, "workers": workers, "nodes": nodes, "growth": growth}


def show(name: str, table: Any, indent: str = "") -> None:
    """Print a nested table, one row of numbers per line."""
    rows = dict(enumerate(table)) if isinstance(table, list) else table
    if all(isinstance(value, int | float) for value in rows.values()):
        print(f"{indent}{name:14}" + "".join(f"  {key} {number:.4g}" for key, number in rows.items()))
        return
    print(f"{indent}{name}")
    for key, value in rows.items():
        show(str(key), value if isinstance(value, dict | list) else {"": value}, f"{indent}  ")


def main() -> None:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    tables = {}
    for name, part in PARTS.items():
        if arguments.only in (None, name):
            with TemporaryDirectory() as folder:
                tables[name] = part(Path(folder), arguments.repeats)
            show(name, tables[name])
            sys.stdout.flush()
    if arguments.json:
        arguments.json.write_text(json.dumps(tables, indent=1) + "\n")


if __name__ == "__main__":
    main()
