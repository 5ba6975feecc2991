"""Compare the digests of one sweep that is executed in several ways, and of runs that were killed and resumed.

    .venv/bin/python scripts/compare_digests.py [setting=value ...]

Runs it undisturbed on one and two Ray workers and without Ray. Then kills a run with SIGKILL at five random moments of
its sweep, and resumes it by the same command each time until it has finished. All digests must be equal.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

ALEXECUTIONS = ["tracking=none", "stacks.slice_seconds=0.1"]
EXECUTIONS = {
    "2 workers": ["execution.cpus=2"],
    "1 worker": ["execution.cpus=1"],
    "local": ["execution=local"],
    "local, stacks of 7": ["execution=local", "stacks.width=7"],
}


def start_run(folder: Path, settings: list[str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "pipeline", *ALEXECUTIONS, *settings]
    root = Path(__file__).parents[1]
    return subprocess.Popen(
        command,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(root)},
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )


def n_slices(folder: Path) -> int:
    return sum(path.read_text().count('"event": "slice"') for path in folder.glob("runs/*/*/journal.jsonl"))


def digest(folder: Path) -> tuple[str, dict[str, int]]:
    (path,) = folder.glob("runs/*/*/summary.json")
    summary = json.loads(path.read_text())
    return summary["digest"], summary["work"]


def run_and_kill(folder: Path, settings: list[str], n_total: int, times: int) -> str:
    """Kill the run several times, each after a random number of further slices; return a description."""
    moments = sorted(random.sample(range(max(1, n_total - 1)), min(times, max(1, n_total - 1))))
    counts = []
    for moment in moments:
        process = start_run(folder, settings)
        while process.poll() is None and n_slices(folder) <= moment:
            time.sleep(0.01)
        time.sleep(random.uniform(0, 0.2))
        if process.poll() is not None:
            return f"killed after {', '.join(counts)} slices, finished before the next"
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        time.sleep(4)  # until the processes of Ray have ended
        counts.append(str(n_slices(folder)))
    assert start_run(folder, settings).wait() == 0
    return f"killed after {', '.join(counts)} of {n_slices(folder)} slices"


def main() -> None:
    settings = sys.argv[1:]
    digests = {}
    for name, execution in EXECUTIONS.items():
        with TemporaryDirectory() as folder:
            assert start_run(Path(folder), [*settings, *execution]).wait() == 0
            digests[name], work = digest(Path(folder))
            print(f"{digests[name][:32]}  {name}, {work['slices']} slices", flush=True)
    for name in ("2 workers", "local"):
        with TemporaryDirectory() as folder:
            description = run_and_kill(Path(folder), [*settings, *EXECUTIONS[name]], work["slices"], 5)
            digests[f"{name}, killed"], last = digest(Path(folder))
            resumed = f"{last['resumed_networks']} networks resumed"
            print(
                f"{digests[f'{name}, killed'][:32]}  {name}, {description}; {resumed} in the last session", flush=True
            )
    assert len(set(digests.values())) == 1, "the digests differ"
    print("all digests are equal")


if __name__ == "__main__":
    main()
