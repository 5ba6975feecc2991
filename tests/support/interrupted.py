"""Runs that are killed, and what the journal says about the work of all their sessions."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from pipeline.runs.journal import Event, events


def run_and_kill(folder: Path, *overrides: str, when: Callable[[Path], bool], seconds: float = 90) -> Path:
    """Kill the command and all its processes as soon as its journal is so; the run's folder."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", *overrides],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + seconds
    try:
        while process.poll() is None and time.monotonic() < deadline:
            paths: list[Path] = []
            with suppress(FileNotFoundError):  # a folder that was there only for a moment
                paths = list(folder.glob("runs/*/*/journal.jsonl"))
            if paths and when(paths[0]):
                return paths[0].parent
            time.sleep(0.002)
    finally:
        with suppress(ProcessLookupError):  # it has come to its end by itself
            os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
    raise AssertionError(f"it did not come so far: {output}")


def count_slices(path: Path) -> int:
    """Slices in the journal."""
    return path.read_bytes().count(b'{"event": "slice"')


def slices_by_session(path: Path) -> list[list[Event]]:
    """The slices of each session."""
    found: list[list[Event]] = []
    for event in events(path):
        if event["event"] == "run":
            found.append([])
        elif event["event"] == "slice":
            found[-1].append(event)
    return found


def count_trained_epochs(path: Path) -> Counter[tuple[str, int]]:
    """How often each epoch of each network, by its address, was trained in all sessions."""
    done: Counter[tuple[str, int]] = Counter()
    addresses: dict[str, str] = {}
    for event in events(path):
        if event["event"] == "rung":
            addresses |= {key: address for key, (address, _) in event["networks"].items()}
        elif event["event"] == "slice":
            for key, one in event["networks"].items():
                ended = one["diverged"] or one["stopped"]
                until = ended[0] if ended else event["until"]
                done.update((addresses[key], epoch) for epoch in range(event["start"] + 1, until + 1))
    return done
