"""How fast a large grid is swept, what halving and Hyperband save, and how well a plan foresees the time.

    .venv/bin/python scripts/measure_sweeps.py [setting=value ...]        # digits; for others data=... and so on

Each sweep is a process of its own with 2 workers of Ray and without tracking; times are medians of REPEATS runs.
"""

import json
import os
import re
import subprocess
import sys
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


def main() -> None:
    settings = sys.argv[1:]
    with TemporaryDirectory() as folder:
        sweeps = [swept(folder, [*settings, *THOUSAND]) for _ in range(REPEATS)]
        seconds = median(one["timings"]["sweep_s"] for one in sweeps)
        print(
            f"grid of {sweeps[0]['trials']['planned']} trials: {seconds:.1f} s, {1000 / seconds:.1f} trials/s",
            flush=True,
        )
        for search in ("grid", "halving", "hyperband"):
            one = swept(folder, [*settings, f"search={search}"])
            best = one["best"]
            print(
                f"{search:<10} {network_epochs(folder):>6} network-epochs, {one['timings']['sweep_s']:6.1f} s, "
                f"trial {best['trial']}, validation loss {best['validation']['loss']['mean']:.4f}",
                flush=True,
            )
        foreseen, took = [], []
        for _ in range(REPEATS):
            told = command(folder, [*settings, "plan=true"])
            foreseen.append(float(re.search(r"^sweep\s+about ([\d.]+) s", told, re.MULTILINE)[1]))
            took.append(swept(folder, settings)["timings"]["sweep_s"])
        print(f"plan: {foreseen} s foreseen, {took} s taken, ratio {median(took) / median(foreseen):.2f}", flush=True)


if __name__ == "__main__":
    main()
