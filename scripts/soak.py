"""A long sweep whose workers are killed again and again, beside the same one left alone: equal digests, flat memory.

    python scripts/soak.py [trials=20000] [seconds_between_kills=3]

Prints, over time, the memory of the driver and what Ray's object store holds, and at the end what is left running.
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
EVERY_S = 10.0  # a line of figures


def main() -> None:
    given = dict(argument.split("=") for argument in sys.argv[1:])
    trials, between = int(given.get("trials", 20000)), float(given.get("seconds_between_kills", 3))
    with TemporaryDirectory() as folder:
        disturbed = sweep(Path(folder) / "disturbed", trials, between)
        alone = sweep(Path(folder) / "alone", trials, None)
    for name in ("digest", "trials"):
        print(f"{name}: {'equal' if disturbed[name] == alone[name] else 'DIFFERENT'} ({disturbed[name]})")
    sys.exit(disturbed["digest"] != alone["digest"])


def sweep(folder: Path, trials: int, between: float | None) -> dict:
    """Run it; kill a worker now and then if there is a time between; its summary."""
    folder.mkdir()
    before, shared = set(processes()), set(Path("/dev/shm").iterdir())
    command = [sys.executable, "-m", "pipeline", *SETTINGS, f"budget.trials={trials}", f"search.trials={trials}"]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    began = shown = killed_at = time.monotonic()
    n_killed, chance = 0, random.Random(0)
    print(f"\n{'killed every ' + str(between) + ' s' if between else 'left alone'}")
    print("seconds  trials over  kills  driver MB  object store MB  open files of the driver")
    while process.poll() is None:
        time.sleep(0.1)
        now = time.monotonic()
        workers = [one for one, line in processes().items() if "ray::train_slice" in line and one not in before]
        if between and now - killed_at > between and workers:
            os.kill(chance.choice(workers), signal.SIGKILL)
            n_killed, killed_at = n_killed + 1, now
        if now - shown > EVERY_S:
            shown = now
            figures(folder, process.pid, now - began, n_killed)
    found = json.loads(next(folder.glob("runs/*/*/summary.json")).read_text())
    time.sleep(5)  # for Ray's agents to end
    left = [line for one, line in processes().items() if one not in before and "ray" in line]
    segments = set(Path("/dev/shm").iterdir()) - shared
    rate = found["throughput"]["trials_per_s"]
    print(
        f"status {found['status']}, sweep {found['timings']['sweep_s']} s, {rate} trials/s, "
        f"workers killed: {n_killed}, slices tried again: {found['work']['retried_slices']}, "
        f"left over: {len(left)} processes, {len(segments)} shared memory segments"
    )
    return found


def figures(folder: Path, driver: int, seconds: float, n_killed: int) -> None:
    """One line."""
    journal = next(folder.glob("runs/*/*/journal.jsonl"), None)
    over = 0
    for line in journal.open() if journal else ():
        if line.startswith('{"event": "finished"') and line.endswith("\n"):
            over += len(json.loads(line)["trials"])
    status = Path(f"/proc/{driver}/status").read_text()
    resident = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1000
    store = shutil.disk_usage("/dev/shm").used / 1e6  # Ray's file there has no name
    files = len(list(Path(f"/proc/{driver}/fd").iterdir()))
    print(f"{seconds:7.0f}  {over:11,}  {n_killed:5}  {resident:9.0f}  {store:15.0f}  {files:6}", flush=True)


def processes() -> dict[int, str]:
    """Command lines by process id."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            found[int(path.name)] = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
    return found


if __name__ == "__main__":
    main()
