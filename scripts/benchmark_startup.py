"""How long the default sweep takes from the command to its first slice, its last one, and the end.

.venv/bin/python scripts/benchmark_startup.py [--repeats 5] [--json FILE]

Medians. The first run of each kind, which fills caches on disk, is shown apart.
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
WHAT = ("first slice", "last slice", "end")


def timed(folder: Path, overrides: tuple[str, ...]) -> dict[str, float]:
    """Seconds from the command until the first slice began, the last one ended, and the process ended."""
    before = set(folder.glob("runs/*/*/journal.jsonl"))
    began = time.time()
    command = [sys.executable, "-m", "pipeline", "resume=never", *overrides]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    ended = time.time()
    (journal,) = set(folder.glob("runs/*/*/journal.jsonl")) - before
    slices = [line for line in map(json.loads, journal.read_text().splitlines()) if line["event"] == "slice"]
    first, last = min(line["started"] for line in slices), max(line["time"] for line in slices)
    return dict(zip(WHAT, (first / 1000 - began, last / 1000 - began, ended - began), strict=True))


def main() -> None:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[1])
    found: dict[str, dict[str, float]] = {}
    for name, overrides in KINDS.items():
        with TemporaryDirectory() as folder:
            first, *rest = [timed(Path(folder), overrides) for _ in range(1 + arguments.repeats)]
        found[f"{name}, first run"] = first
        found[name] = {what: median(seconds[what] for seconds in rest) for what in WHAT}
    print(f"{'seconds from the command to':30}" + "".join(f"{what:>14}" for what in WHAT))
    for name, seconds in found.items():
        print(f"{name:30}" + "".join(f"{seconds[what]:14.2f}" for what in WHAT))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
