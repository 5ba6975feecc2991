"""How fast a large grid is swept, what halving and Hyperband save, and how well a plan foresees the time.

    .venv/bin/python scripts/measure_sweeps.py [setting=value ...]        # digits; for others data=... and so on
    .venv/bin/python scripts/measure_sweeps.py --only searches data=wine  # a part of it: thousand, searches or plan

Each sweep is a process of its own with 2 workers of Ray and without tracking; times are medians of REPEATS runs.
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
    *(f"space.optimizer.{name}.learning_rate={RATES}" for name in ("sgd", "momentum", "rmsprop", "adam")),
    *(f"space.regularizer.{name}.strength={STRENGTHS}" for name in ("l1", "l2", "elastic_net")),
]


def command(folder: str, settings: list[str]) -> str:
    root = Path(__file__).parents[1]
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *ALWAYS, *settings],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(root)},
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def swept(folder: str, settings: list[str]) -> dict[str, Any]:
    """The summary of a sweep."""
    before = set(Path(folder).glob("runs/*/*/summary.json"))
    command(folder, settings)
    (path,) = set(Path(folder).glob("runs/*/*/summary.json")) - before
    return json.loads(path.read_text())


def network_epochs(folder: str) -> int:
    """Those of the last run."""
    path = max(Path(folder).glob("runs/*/*/journal.jsonl"), key=os.path.getmtime)
    slices = [json.loads(line) for line in path.read_text().splitlines() if '"event": "slice"' in line]
    return sum(len(one["networks"]) * (one["until"] - one["start"]) for one in slices)


def thousand(folder: str, settings: list[str]) -> None:
    """How fast a grid of 1,000 trials is."""
    sweeps = [swept(folder, [*settings, *THOUSAND]) for _ in range(REPEATS)]
    seconds, n_trials = median(one["timings"]["sweep_s"] for one in sweeps), sweeps[0]["trials"]["planned"]
    steps = median(one["throughput"]["network_steps_per_s"] for one in sweeps)
    print(
        f"grid of {n_trials} trials: {seconds:.1f} s, {n_trials / seconds:.1f} trials/s, {steps:,.0f} network-steps/s",
        flush=True,
    )


def searches(folder: str, settings: list[str]) -> None:
    """What searches over epochs save."""
    for search in ("grid", "halving", "hyperband"):
        one = swept(folder, [*settings, f"search={search}"])
        best = one["best"]
        print(
            f"{search:<10} {network_epochs(folder):>6} network-epochs, {one['timings']['sweep_s']:6.1f} s, "
            f"trial {best['trial']}, validation loss {best['validation']['loss']['mean']:.4f}",
            flush=True,
        )


def plan(folder: str, settings: list[str]) -> None:
    """How well the time is foreseen."""
    foreseen, took = [], []
    for _ in range(REPEATS):
        told = command(folder, [*settings, "plan=true"])
        foreseen.append(float(re.search(r"^sweep\s+about ([\d.]+) s", told, re.MULTILINE)[1]))
        took.append(swept(folder, settings)["timings"]["sweep_s"])
    print(f"plan: {foreseen} s foreseen, {took} s taken, ratio {median(took) / median(foreseen):.2f}", flush=True)


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
