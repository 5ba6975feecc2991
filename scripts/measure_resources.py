"""What a sweep asks of a machine: memory, several workers and nodes, and how time and memory grow.

    .venv/bin/python scripts/measure_resources.py [--only memory|workers|nodes|growth] [--repeats 3] [--json FILE]

memory    60,000 rows x 784 columns (188 MB in float32) as they are, 2 workers of Ray: the most megabytes that a process
          has for itself, what it shares with others not counted, by what it does
workers   1,000 trials: the sweep's seconds on 1 and on 2 workers, and the driver's CPU seconds meanwhile as a share of
          the workers'; also on 1 worker where all processes, with the driver's and Ray's, share one core, as with 2
          workers they share two; how many times as fast two cores are that only train: more cannot be had
nodes     the same on one node of 4 workers and on 4 nodes of one worker, all on this machine
growth    seconds and peak memory by trials, rows, columns and hidden units; the exponent is that of the last step
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
from benchmark_sweep import CASES, data, settings
from steps import alone

ROOT = Path(__file__).parents[1]
BARE = ["tracking=none", "report=none", "resume=never", "cache=none"]
MB = 1e6
ADDRESS = "127.0.0.1:6399"


def started(folder: Path, overrides: list[str]) -> subprocess.Popen[bytes]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "pipeline", *BARE, *overrides]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, env=environment)


def swept(folder: Path, overrides: list[str]) -> dict[str, float]:
    """Seconds of the sweep and in all, the process's own CPU seconds and most megabytes."""
    began = time.perf_counter()
    _, status, used = os.wait4(started(folder, overrides).pid, 0)
    if status:
        raise SystemExit(f"it failed: {' '.join(overrides)}")
    path = max(folder.glob("runs/*/*/summary.json"), key=os.path.getmtime)
    summary = json.loads(path.read_text())
    own = {"driver cpu": summary["work"]["driver_cpu_s"], "MB": used.ru_maxrss * 1024 / MB}
    return {"sweep": summary["timings"]["sweep_s"], "all": time.perf_counter() - began} | own


def middle(folder: Path, overrides: list[str], repeats: int) -> dict[str, float]:
    return medians([swept(folder, overrides) for _ in range(repeats)])


def medians(rounds: list[dict[str, float]]) -> dict[str, float]:
    return {what: median(one[what] for one in rounds) for what in rounds[0]}


def private_mb(pid: int) -> float:
    """What a process has in memory beyond files and what Ray's object store shares among all."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) * 1024 / MB


def at_work() -> dict[int, str]:
    """Ray's workers that run a task of ours, and which."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            title = path.read_bytes().partition(b"\0")[0].decode()
            if title.startswith("ray::") and "IDLE" not in title:
                found[int(path.parent.name)] = title.removeprefix("ray::")
    return found


def memory(folder: Path, repeats: int) -> dict[str, Any]:
    case = CASES["large"]
    path = folder / "large.npz"
    data("large", path)
    as_they_are = [one for one in settings(case, path) if not one.startswith("reduce.")]
    process = started(folder, [*as_they_are, "reduce=none", "execution.cpus=2"])
    most: dict[str, float] = {}
    while process.poll() is None:
        most["driver"] = max(most.get("driver", 0), private_mb(process.pid))
        for pid, task in at_work().items():
            most[task] = max(most.get(task, 0), private_mb(pid))
        time.sleep(0.05)
    return most


def thousand(folder: Path) -> list[str]:
    path = folder / "digits.npz"
    data("digits", path)
    return settings(CASES["digits"] | {"trials": 1000}, path)


def workers(folder: Path, repeats: int) -> dict[str, Any]:
    overrides = thousand(folder)
    found: dict[str, Any] = {}
    rounds: dict[str, list[dict[str, float]]] = {"1 worker": [], "1 worker, 1 core": [], "2 workers": []}
    for _ in range(repeats):
        for name, of_name in rounds.items():
            with cores(1 if "core" in name else None):
                of_name.append(swept(folder, [*overrides, f"execution.cpus={name[0]}"]))
    for name, of_name in rounds.items():
        row = found[name] = medians(of_name)
        row["driver's share"] = row["driver cpu"] / (int(name[0]) * row["sweep"])
    one, on_one_core, two = (found[name]["sweep"] for name in rounds)
    on_one, on_both = (median(alone(n) for _ in range(repeats)) for n in (1, 2))
    return found | {
        "times as fast": one / two,
        "times as fast, with twice the cores for all": on_one_core / two,
        "two cores by themselves": 2 * on_one / on_both,
    }


@contextmanager
def cores(n: int | None) -> Iterator[None]:
    """Only so many for this process and those that it starts; None: all."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:n])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def cluster(n_nodes: int, cpus: int) -> Iterator[None]:
    """Nodes of one machine, as `ray start` makes them."""
    host, _, port = ADDRESS.partition(":")
    start = [Path(sys.executable).parent / "ray", "start", "--block", "--num-cpus", str(cpus), "--disable-usage-stats"]
    started: list[subprocess.Popen[bytes]] = []
    try:
        for node in range(n_nodes):
            where = ["--address", ADDRESS] if node else ["--head", "--port", port, "--node-ip-address", host]
            command = [*start, *where, "--object-store-memory", "200000000"]
            started.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))
            time.sleep(8)  # until it is there
            if status := started[-1].poll():
                raise SystemExit(f"node {node} ended with {status}")
        yield
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait()


def nodes(folder: Path, repeats: int) -> dict[str, Any]:
    overrides, found = thousand(folder), {}
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token_hex(32)}  # else a head lets nobody join
    for n_nodes, cpus in ((1, 4), (4, 1)):
        with cluster(n_nodes, cpus):
            how = ["execution=cluster", f"execution.address={ADDRESS}"]
            found[f"{n_nodes} nodes of {cpus}"] = middle(folder, [*overrides, *how], repeats)
    first, other = (one["sweep"] for one in found.values())
    return found | {"lost": other / first - 1}


GROWTH: dict[str, tuple[tuple[int, ...], dict[str, int]]] = {
    "trials": ((100, 1000, 10_000), {}),
    "rows": ((1000, 10_000, 100_000, 1_000_000), {"trials": 4, "epochs": 2}),
    "columns": ((10, 100, 1000, 10_000), {"trials": 4, "epochs": 2}),
    "hidden": ((16, 64, 256, 1024), {"trials": 4, "epochs": 5}),
}


def growth(folder: Path, repeats: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for what, (sizes, settled) in GROWTH.items():
        rows = []
        for size in sizes:
            now = {"trials": 100, "rows": 1000, "columns": 20, "hidden": 32, "epochs": 5} | settled | {what: size}
            random, path = np.random.default_rng(0), folder / "growth.npz"
            x = random.standard_normal((now["rows"], now["columns"])).astype(np.float32)
            np.savez(path, x=x, y=random.integers(0, 5, len(x)))
            space = ["space=ranges", "search=random", f"search.trials={now['trials']}", "reduce=none"]
            overrides = [f"network.hidden=[{now['hidden']}]", f"training.epochs={now['epochs']}", *space]
            source = ["data=npz", f"data.path={path}", "execution=local"]
            rows.append({"size": size} | middle(folder, [*source, *overrides], 1))
        for before, row in pairwise(rows):
            step = log(row["size"] / before["size"])
            row |= {f"exponent of {one}": log(row[one] / before[one]) / step for one in ("sweep", "all", "MB")}
        found[what] = rows
    return found


PARTS = {"memory": memory, "workers": workers, "nodes": nodes, "growth": growth}


def show(name: str, found: Any, indent: str = "") -> None:
    """Numbers that belong together in one line."""
    rows = dict(enumerate(found)) if isinstance(found, list) else found
    if all(isinstance(one, int | float) for one in rows.values()):
        print(f"{indent}{name:14}" + "".join(f"  {what} {number:.4g}" for what, number in rows.items()))
        return
    print(f"{indent}{name}")
    for what, one in rows.items():
        show(str(what), one if isinstance(one, dict | list) else {"": one}, f"{indent}  ")


def main() -> None:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found = {}
    for name, part in PARTS.items():
        if arguments.only in (None, name):
            with TemporaryDirectory() as folder:
                found[name] = part(Path(folder), arguments.repeats)
            show(name, found[name])
            sys.stdout.flush()
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
