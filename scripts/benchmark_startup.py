"""Measure the default sweep: seconds from the command to its first slice, to its last slice, and to the end.

.venv/bin/python scripts/benchmark_startup.py [--repeats 5] [--json FILE]

Prints medians. The first run of each kind, which fills the caches on disk, is shown separately.
"""

import json
import os
import subprocess
import sys
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

KINDS = {"Ray": ("execution.cpus=2",), "local": ("execution=local",)}
MOMENTS = ("first slice", "last slice", "end")


def timed(folder: Path, overrides: tuple[str, ...]) -> dict[str, float]:
    """Seconds from the command until the first slice began, the last one ended, and the process ended."""
    before = set(folder.glob("runs/*/*/journal.jsonl"))
    start = time.time()
    command = [sys.executable, "-m", "pipeline", "resume=never", *overrides]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    end = time.time()
    (journal,) = set(folder.glob("runs/*/*/journal.jsonl")) - before
    slices = [line for line in map(json.loads, journal.read_text().splitlines()) if line["event"] == "slice"]
    first, last = min(line["started"] for line in slices), max(line["time"] for line in slices)
    return dict(zip(MOMENTS, (first / 1000 - start, last / 1000 - start, end - start), strict=True))


def main() -> None:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[1])
    seconds_of: dict[str, dict[str, float]] = {}
    for name, overrides in KINDS.items():
        with TemporaryDirectory() as folder:
            first, *rest = [timed(Path(folder), overrides) for _ in range(1 + arguments.repeats)]
        seconds_of[f"{name}, first run"] = first
        seconds_of[name] = {moment: median(seconds[moment] for seconds in rest) for moment in MOMENTS}
    print(f"{'seconds from the command to':30}" + "".join(f"{moment:>14}" for moment in MOMENTS))
    for name, seconds in seconds_of.items():
        print(f"{name:30}" + "".join(f"{seconds[moment]:14.2f}" for moment in MOMENTS))
    if arguments.json:
        arguments.json.write_text(json.dumps(seconds_of, indent=1))


if __name__ == "__main__":
    main()
