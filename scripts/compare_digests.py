"""One sweep, done in many ways, and killed on the way: the digests must be the same.

    .venv/bin/python scripts/compare_digests.py [setting=value ...]

Runs it undisturbed on one and on two workers of Ray and without Ray, then kills a run with SIGKILL at five random
moments of its sweep and gives the same command again each time, until it comes to its end.
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

ALWAYS = ["tracking=none", "stacks.slice_seconds=0.1"]
WAYS = {
    "2 workers": ["execution.cpus=2"],
    "1 worker": ["execution.cpus=1"],
    "local": ["execution=local"],
    "local, stacks of 7": ["execution=local", "stacks.width=7"],
}


def started(folder: Path, settings: list[str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "pipeline", *ALWAYS, *settings]
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


def killed(folder: Path, settings: list[str], n_total: int, times: int) -> str:
    """Kill the run so many times, each after a random number of further slices; what happened."""
    moments = sorted(random.sample(range(max(1, n_total - 1)), min(times, max(1, n_total - 1))))
    told = []
    for moment in moments:
        process = started(folder, settings)
        while process.poll() is None and n_slices(folder) <= moment:
            time.sleep(0.01)
        time.sleep(random.uniform(0, 0.2))
        if process.poll() is not None:
            return f"killed after {', '.join(told)} slices, and came to its end before the next"
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        time.sleep(4)  # what Ray leaves behind ends by itself
        told.append(str(n_slices(folder)))
    assert started(folder, settings).wait() == 0
    return f"killed after {', '.join(told)} of {n_slices(folder)} slices"


def main() -> None:
    settings = sys.argv[1:]
    found = {}
    for name, way in WAYS.items():
        with TemporaryDirectory() as folder:
            assert started(Path(folder), [*settings, *way]).wait() == 0
            found[name], work = digest(Path(folder))
            print(f"{found[name][:32]}  {name}, {work['slices']} slices", flush=True)
    for name in ("2 workers", "local"):
        with TemporaryDirectory() as folder:
            told = killed(Path(folder), [*settings, *WAYS[name]], work["slices"], 5)
            found[f"{name}, killed"], last = digest(Path(folder))
            resumed = f"{last['resumed_networks']} networks resumed"
            print(f"{found[f'{name}, killed'][:32]}  {name}, {told}; {resumed} in the last session", flush=True)
    assert len(set(found.values())) == 1, "the digests differ"
    print("all digests are equal")


if __name__ == "__main__":
    main()
