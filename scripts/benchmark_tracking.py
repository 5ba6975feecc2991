"""How long MLflow takes for the trials of a sweep: by each road into its store, after a sweep, and beside a long one.

    .venv/bin/python scripts/benchmark_tracking.py [--trials 1000] [--pairs 5] [--json FILE]

Beside a long one: sweeps of over a minute, with MLflow and with tracking=none in turns.
"""

import argparse
import json
import math
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from pipeline.tracking import mlflow_bulk
from pipeline.tracking.content import Point, RunContent, run_content
from pipeline.tracking.mlflow_client import create_run
from pipeline.tracking.mlflow_store import MlflowStore

REPEATS = 5
BY_CALLS = 50  # trials of a repeat by MLflow's own calls, which are slow
SWEEP = ("space=ranges", "search=random", "training.epochs=30", "resume=never")
LONG = ("training.epochs=450", "report=none")


def trials(n: int, n_epochs: int) -> list[RunContent]:
    """Finished trials with four curves of so many epochs, and their final values."""
    names = ("train/loss", "validation/loss", "validation/accuracy", "validation/other")
    now = int(time.time() * 1000)
    found = []
    for number in range(n):
        curves = [Point(k, math.exp(-e / 9) + number, now + e, e) for k in names for e in range(1, n_epochs + 1)]
        finals = [Point(name.replace("/", "_"), 0.1 + number, now, 0) for name in names]
        parameters = {f"optimizer.parameter_{at}": at / 7 for at in range(12)}
        found.append(
            run_content(f"adam {number}", {"kind": "trial"}, parameters, curves + finals, "FINISHED", now, now)
        )
    return found


def roads(folder: Path, n: int) -> Iterator[dict[str, object]]:
    """Milliseconds per trial by MLflow's own calls and by the short road, medians."""
    uri = f"sqlite:///{folder / 'roads.db'}"
    store = MlflowStore({"uri": uri, "experiment": "roads", "artifacts": folder.as_uri()})
    for n_epochs in (30, 10, 0):
        calls, rows = [], []
        for _ in range(REPEATS):
            some, all_of_them = trials(BY_CALLS, n_epochs), trials(n, n_epochs)
            began = time.perf_counter()
            for one in some:
                create_run(store.client, store.experiment, one)
            between = time.perf_counter()
            mlflow_bulk.write(uri, store.experiment, folder.as_uri(), all_of_them)
            calls.append((between - began) / BY_CALLS * 1000)
            rows.append((time.perf_counter() - between) / n * 1000)
        ratio = median(a / b for a, b in zip(calls, rows, strict=True))
        yield {"epochs of 4 curves": n_epochs, "calls": median(calls), "short road": median(rows), "ratio": ratio}


def swept(folder: Path, n: int, *overrides: str) -> Path:
    """The journal of a real sweep."""
    command = [sys.executable, "-m", "pipeline", *SWEEP, f"search.trials={n}", f"runs={folder}", *overrides]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return max(folder.glob("*/*/journal.jsonl"), key=lambda path: path.stat().st_mtime)


def pair(folder: Path, n: int, first: int) -> dict[str, float]:
    """Seconds of a long sweep and of the whole run, with MLflow and without; which of them goes first."""
    found = {}
    for tracking in (("mlflow", "none"), ("none", "mlflow"))[first]:
        summary = swept(folder, n, *LONG, f"tracking={tracking}").with_name("summary.json")
        timings = json.loads(summary.read_text())["timings"]
        found |= {f"sweep, {tracking}": timings["sweep_s"], f"all, {tracking}": timings["total_s"]}
    more = {f"{what} longer": found[f"{what}, mlflow"] / found[f"{what}, none"] - 1 for what in ("sweep", "all")}
    return found | more


def sweep(folder: Path, n: int, *overrides: str) -> dict[str, object]:
    """Seconds from the last slice of a real sweep until its trials were in MLflow, and until the end."""
    journal = swept(folder, n, *overrides)
    happened = [json.loads(line) for line in journal.read_text().splitlines()]
    written = [json.loads(line) for line in journal.with_name("tracking.jsonl").read_text().splitlines()]
    last = max(event["time"] for event in happened if event["event"] == "slice")
    at = {what: max(line["at"] for line in written if line["event"] == what) for what in ("trial", "end")}
    summary = json.loads(journal.with_name("summary.json").read_text())
    return {
        "trials": sum(line["event"] == "trial" for line in written),
        "sweep": summary["timings"]["sweep_s"],
        "all trials in MLflow after": (at["trial"] - last) / 1000,
        "the model, too, after": (at["end"] - last) / 1000,
        "waited for": summary["timings"]["tracking_s"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with TemporaryDirectory() as name:
        folder = Path(name)
        by_road = list(roads(folder, arguments.trials))
        print("milliseconds per trial, medians")
        for row in by_road:
            print("  " + ", ".join(f"{key} {value:.4g}" for key, value in row.items()))
        print("seconds after the last slice")
        sweeps = []
        for overrides in ((), (), (), ("tracking.curves=none",)):
            sweeps.append(
                {"overrides": " ".join(overrides) or "defaults", **sweep(folder, arguments.trials, *overrides)}
            )
            print("  " + ", ".join(f"{key} {value}" for key, value in sweeps[-1].items()))
        print("seconds of long sweeps")
        pairs = []
        for number in range(arguments.pairs):
            pairs.append(pair(folder, arguments.trials, number % 2))
            print("  " + ", ".join(f"{key} {value:.4g}" for key, value in pairs[-1].items()), flush=True)
        if pairs:
            print("  medians: " + ", ".join(f"{key} {median(one[key] for one in pairs):.4g}" for key in pairs[0]))
    if arguments.json:
        arguments.json.write_text(json.dumps({"roads": by_road, "sweeps": sweeps, "pairs": pairs}, indent=1))


if __name__ == "__main__":
    main()
