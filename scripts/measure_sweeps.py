"""Measure the speed of a large grid, what halving and Hyperband save, and how well a plan estimates the time.

    .venv/bin/python scripts/measure_sweeps.py [setting=value ...]        # digits; for others data=... and so on
    .venv/bin/python scripts/measure_sweeps.py --only searches data=wine  # one part: thousand, searches or plan

Each sweep runs in a new process with 2 Ray workers and without tracking; times are medians of REPEATS runs.
"""

import json
import os
import re
import subprocess
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

REPEATS = 3
ALWAYS = ["tracking=none", "execution.cpus=2", "resume=never"]
RATES = "[0.0003,0.0006,0.001,0.002,0.003,0.006,0.01,0.02,0.03,0.06]"
STRENGTHS = "[0.00001,0.00003,0.0001,0.0003,0.001,0.002,0.003,0.01]"
THOUSAND = [
    "network.hidden=[64]",
    *(f"space.optimizer.{name}.learning_rate={RATES}" for name in ("sgd", "momentum", "rmsprop", "adam")),
    *("~space.regularizer.dropout", "~space.regularizer.weight_decay"),
    *("+regularizer@space.regularizer.elastic_net=elastic_net", "space.regularizer.elastic_net.l1_ratio=0.5"),
    *(f"++space.regularizer.{name}.strength={STRENGTHS}" for name in ("l1", "l2", "elastic_net")),
]


def run_command(folder: str, settings: list[str]) -> str:
    root = Path(__file__).parents[1]
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *ALWAYS, *settings],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(root)},
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def run_sweep(folder: str, settings: list[str]) -> dict[str, Any]:
    """Run a sweep and return its summary."""
    before = set(Path(folder).glob("runs/*/*/summary.json"))
    run_command(folder, settings)
    (path,) = set(Path(folder).glob("runs/*/*/summary.json")) - before
    return json.loads(path.read_text())


def network_epochs(folder: str) -> int:
    """Network-epochs of the last run."""
    path = max(Path(folder).glob("runs/*/*/journal.jsonl"), key=os.path.getmtime)
    slices = [json.loads(line) for line in path.read_text().splitlines() if '"event": "slice"' in line]
    return sum(len(event["networks"]) * (event["until"] - event["start"]) for event in slices)


def thousand(folder: str, settings: list[str]) -> None:
    """Print the speed of a grid of 1,000 trials."""
    sweeps = [run_sweep(folder, [*settings, *THOUSAND]) for _ in range(REPEATS)]
    seconds, n_trials = median(summary["timings"]["sweep_s"] for summary in sweeps), sweeps[0]["trials"]["planned"]
    steps = median(summary["throughput"]["network_steps_per_s"] for summary in sweeps)
    print(
        f"grid of {n_trials} trials: {seconds:.1f} s, {n_trials / seconds:.1f} trials/s, {steps:,.0f} network-steps/s",
        flush=True,
    )


def searches(folder: str, settings: list[str]) -> None:
    """Print the network-epochs, seconds and result of searches that prune."""
    for search in ("grid", "halving", "hyperband"):
        summary = run_sweep(folder, [*settings, f"search={search}"])
        best = summary["best"]
        print(
            f"{search:<10} {network_epochs(folder):>6} network-epochs, {summary['timings']['sweep_s']:6.1f} s, "
            f"trial {best['trial']}, validation loss {best['validation']['loss']['mean']:.4f}",
            flush=True,
        )


def plan(folder: str, settings: list[str]) -> None:
    """Compare the planned with the measured time."""
    planned, measured = [], []
    for _ in range(REPEATS):
        output = run_command(folder, [*settings, "plan=true"])
        planned.append(float(re.search(r"^sweep\s+about ([\d.]+) s", output, re.MULTILINE)[1]))
        measured.append(run_sweep(folder, settings)["timings"]["sweep_s"])
    print(
        f"plan: {planned} s planned, {measured} s measured, ratio {median(measured) / median(planned):.2f}", flush=True
    )


PARTS = {"thousand": thousand, "searches": searches, "plan": plan}


def main() -> None:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=PARTS)
    arguments, settings = parser.parse_known_args()
    with TemporaryDirectory() as folder:
        for name, part in PARTS.items():
            if arguments.only in (None, name):
                part(folder, settings)


if __name__ == "__main__":
    main()
