"""Killed runs, and what their journals say about the work of each session."""

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
from pipeline.runs.sealed_lines import sealed, unsealed


def run_and_kill(folder: Path, *overrides: str, when: Callable[[Path], bool], seconds: float = 90) -> Path:
    """Start a run, kill all its processes as soon as `when(journal)` holds, and return the run's folder."""
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
            with suppress(FileNotFoundError):  # a temporary folder that was deleted meanwhile
                paths = list(folder.glob("runs/*/*/journal.jsonl"))
            if paths and when(paths[0]):
                return paths[0].parent
            time.sleep(0.002)
    finally:
        with suppress(ProcessLookupError):  # it finished before it was killed
            os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
    raise AssertionError(f"the run ended before the condition held: {output}")


def rewrite(path: Path, change: Callable[[Event], Event]) -> None:
    """Change the events of a journal; their checksums are those of the new content."""
    path.write_bytes(b"".join(sealed(change(unsealed(line))) for line in path.read_bytes().splitlines()))


def count_slices(path: Path) -> int:
    """Count the slices in a journal."""
    return path.read_bytes().count(b'{"event": "slice"')


def slices_by_session(path: Path) -> list[list[Event]]:
    """Return the slice events of each session."""
    slices: list[list[Event]] = []
    for event in events(path):
        if event["event"] == "run":
            slices.append([])
        elif event["event"] == "slice":
            slices[-1].append(event)
    return slices


def count_trained_epochs(path: Path) -> Counter[tuple[str, int]]:
    """Count how often each epoch of each network, identified by its content hash, was trained in all sessions."""
    counts: Counter[tuple[str, int]] = Counter()
    content_hashes: dict[str, str] = {}
    for event in events(path):
        if event["event"] == "rung":
            content_hashes |= {key: content_hash for key, (content_hash, _) in event["networks"].items()}
        elif event["event"] == "slice":
            for key, network in event["networks"].items():
                end = network["diverged"] or network["stopped"]
                until = end[0] if end else event["until"]
                counts.update((content_hashes[key], epoch) for epoch in range(event["start"] + 1, until + 1))
    return counts
