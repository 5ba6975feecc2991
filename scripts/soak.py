"""Run a long sweep whose workers are killed repeatedly, and the same sweep undisturbed: equal digests, constant memory.

    python scripts/soak.py [trials=20000] [seconds_between_kills=3]

Prints, over time, the memory of the driver and of Ray's object store, and at the end the processes that are left.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

SETTINGS = (
    *("data=blobs", "data.n_rows=300", "reduce=none", "network.hidden=[8]"),
    *("training.epochs=60", "training.batch_size=64", "search=random", "space=ranges", "stacks.slice_seconds=0.5"),
    *("tracking=none", "report=none", "output=plain"),
)
INTERVAL_S = 10.0  # between two lines


def main() -> None:
    arguments = dict(argument.split("=") for argument in sys.argv[1:])
    trials, between = int(arguments.get("trials", 20000)), float(arguments.get("seconds_between_kills", 3))
    with TemporaryDirectory() as folder:
        disturbed = sweep(Path(folder) / "disturbed", trials, between)
        undisturbed = sweep(Path(folder) / "undisturbed", trials, None)
    for name in ("digest", "trials"):
        print(f"{name}: {'equal' if disturbed[name] == undisturbed[name] else 'DIFFERENT'} ({disturbed[name]})")
    sys.exit(disturbed["digest"] != undisturbed["digest"])


def sweep(folder: Path, trials: int, seconds_between_kills: float | None) -> dict:
    """Run a sweep, kill a worker at intervals unless they are None, and return the summary."""
    folder.mkdir()
    before, shared = set(processes()), set(Path("/dev/shm").iterdir())
    command = [sys.executable, "-m", "pipeline", *SETTINGS, f"budget.trials={trials}", f"search.trials={trials}"]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    start = shown = killed = time.monotonic()
    n_killed, generator = 0, random.Random(0)
    print(f"\na worker is killed every {seconds_between_kills} s" if seconds_between_kills else "\nundisturbed")
    print("seconds  finished trials  kills  driver MB  object store MB  open files of the driver")
    while process.poll() is None:
        time.sleep(0.1)
        now = time.monotonic()
        workers = [pid for pid, line in processes().items() if "ray::train_slice" in line and pid not in before]
        if seconds_between_kills and now - killed > seconds_between_kills and workers:
            os.kill(generator.choice(workers), signal.SIGKILL)
            n_killed, killed = n_killed + 1, now
        if now - shown > INTERVAL_S:
            shown = now
            print_figures(folder, process.pid, now - start, n_killed)
    summary = json.loads(next(folder.glob("runs/*/*/summary.json")).read_text())
    time.sleep(5)  # for Ray's agents to end
    left = [line for pid, line in processes().items() if pid not in before and "ray" in line]
    segments = set(Path("/dev/shm").iterdir()) - shared
    rate = summary["throughput"]["trials_per_s"]
    print(
        f"status {summary['status']}, sweep {summary['timings']['sweep_s']} s, {rate} trials/s, "
        f"workers killed: {n_killed}, retried slices: {summary['work']['retried_slices']}, "
        f"left: {len(left)} processes, {len(segments)} shared memory segments"
    )
    return summary


def print_figures(folder: Path, driver: int, seconds: float, n_killed: int) -> None:
    """Print one line."""
    journal = next(folder.glob("runs/*/*/journal.jsonl"), None)
    n_finished = 0
    for line in journal.open() if journal else ():
        if line.startswith('{"event": "finished"') and line.endswith("\n"):
            n_finished += len(json.loads(line)["trials"])
    status = Path(f"/proc/{driver}/status").read_text()
    resident = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1000
    store = shutil.disk_usage("/dev/shm").used / 1e6  # Ray has unlinked its file there
    files = len(list(Path(f"/proc/{driver}/fd").iterdir()))
    print(f"{seconds:7.0f}  {n_finished:15,}  {n_killed:5}  {resident:9.0f}  {store:15.0f}  {files:6}", flush=True)


def processes() -> dict[int, str]:
    """Command lines by process id."""
    commands = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            commands[int(path.name)] = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
    return commands


if __name__ == "__main__":
    main()
