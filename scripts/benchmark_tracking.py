"""Measure writing the trials of a sweep to MLflow: by calls and in bulk, after a sweep, and during a long one.

    .venv/bin/python scripts/benchmark_tracking.py [--trials 1000] [--pairs 5] [--json FILE]

Long sweeps take over a minute and run in turns with MLflow and with tracking=none.
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
N_BY_CALLS = 50  # trials per repeat that are written by MLflow's client, which is slow
SWEEP = ("space=ranges", "search=random", "training.epochs=30", "resume=never")
LONG = ("training.epochs=450", "report=none")


def trials(n: int, n_epochs: int) -> list[RunContent]:
    """Finished trials with four curves of `n_epochs` epochs, and their final values."""
    names = ("train/loss", "validation/loss", "validation/accuracy", "validation/other")
    now = int(time.time() * 1000)
    contents = []
    for number in range(n):
        curves = [Point(k, math.exp(-e / 9) + number, now + e, e) for k in names for e in range(1, n_epochs + 1)]
        finals = [Point(name.replace("/", "_"), 0.1 + number, now, 0) for name in names]
        parameters = {f"optimizer.parameter_{index}": index / 7 for index in range(12)}
        contents.append(
            run_content(f"adam {number}", {"kind": "trial"}, parameters, curves + finals, "FINISHED", now, now)
        )
    return contents


def writers(folder: Path, n: int) -> Iterator[dict[str, object]]:
    """Milliseconds per trial by MLflow's client and by the bulk writer, medians."""
    uri = f"sqlite:///{folder / 'writers.db'}"
    store = MlflowStore({"uri": uri, "experiment": "writers", "artifacts": folder.as_uri()})
    for n_epochs in (30, 10, 0):
        calls, bulk = [], []
        for _ in range(REPEATS):
            few, many = trials(N_BY_CALLS, n_epochs), trials(n, n_epochs)
            start = time.perf_counter()
            for content in few:
                create_run(store.client, store.experiment, content)
            middle = time.perf_counter()
            mlflow_bulk.write(uri, store.experiment, folder.as_uri(), many)
            calls.append((middle - start) / N_BY_CALLS * 1000)
            bulk.append((time.perf_counter() - middle) / n * 1000)
        ratio = median(a / b for a, b in zip(calls, bulk, strict=True))
        yield {"epochs of 4 curves": n_epochs, "calls": median(calls), "bulk": median(bulk), "ratio": ratio}


def run_sweep(folder: Path, n: int, *overrides: str) -> Path:
    """Run a sweep and return the path of its journal."""
    command = [sys.executable, "-m", "pipeline", *SWEEP, f"search.trials={n}", f"runs={folder}", *overrides]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return max(folder.glob("*/*/journal.jsonl"), key=lambda path: path.stat().st_mtime)


def pair(folder: Path, n: int, first: int) -> dict[str, float]:
    """Seconds of a long sweep and of the whole run, with MLflow and without; `first` says which runs first."""
    seconds = {}
    for tracking in (("mlflow", "none"), ("none", "mlflow"))[first]:
        summary = run_sweep(folder, n, *LONG, f"tracking={tracking}").with_name("summary.json")
        timings = json.loads(summary.read_text())["timings"]
        seconds |= {f"sweep, {tracking}": timings["sweep_s"], f"all, {tracking}": timings["total_s"]}
    longer = {f"{part} longer": seconds[f"{part}, mlflow"] / seconds[f"{part}, none"] - 1 for part in ("sweep", "all")}
    return seconds | longer


def sweep(folder: Path, n: int, *overrides: str) -> dict[str, object]:
    """Seconds from the last slice of a sweep until its trials were in MLflow, and until the model was."""
    journal = run_sweep(folder, n, *overrides)
    events = [json.loads(line) for line in journal.read_text().splitlines()]
    written = [json.loads(line) for line in journal.with_name("tracking.jsonl").read_text().splitlines()]
    last = max(event["time"] for event in events if event["event"] == "slice")
    times = {kind: max(line["at"] for line in written if line["event"] == kind) for kind in ("trial", "end")}
    summary = json.loads(journal.with_name("summary.json").read_text())
    return {
        "trials": sum(line["event"] == "trial" for line in written),
        "sweep": summary["timings"]["sweep_s"],
        "all trials in MLflow after": (times["trial"] - last) / 1000,
        "model in MLflow after": (times["end"] - last) / 1000,
        "driver waited": summary["timings"]["tracking_s"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with TemporaryDirectory() as name:
        folder = Path(name)
        by_writer = list(writers(folder, arguments.trials))
        print("milliseconds per trial, medians")
        for row in by_writer:
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
            print("  medians: " + ", ".join(f"{key} {median(row[key] for row in pairs):.4g}" for key in pairs[0]))
    if arguments.json:
        arguments.json.write_text(json.dumps({"writers": by_writer, "sweeps": sweeps, "pairs": pairs}, indent=1))


if __name__ == "__main__":
    main()
