"""What the writer has written, line by line in tracking.jsonl: so no later one writes it again."""

import fcntl
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.components.secrets import masked
from pipeline.runs.journal import last_event, worker
from pipeline.tracking.trial_run import Written


class WriteLog:
    """The file, held by one writer: opening it waits until the writer of an earlier session has ended.

    resumed   an earlier writer of the same run had it
    parent    the run in the store at `uri` that this one began, or ""
    trials    by trial and its networks' addresses, the nested runs that it wrote there
    """

    def __init__(self, path: Path, uri: str) -> None:
        self.resumed = path.exists()
        self._file = path.open("ab")
        fcntl.flock(self._file, fcntl.LOCK_EX)
        content = path.read_bytes()
        self._file.truncate(content.rfind(b"\n") + 1)  # a crash may have cut the last line short
        begun = read(path)
        at = max((n for n, line in enumerate(begun) if line["event"] == "run"), default=None)
        there = begun[at:] if at is not None and begun[at]["tracking_uri"] == masked(uri) else []
        self.parent = str(there[0]["run_id"]) if there else ""
        trials = (line for line in there if line["event"] == "trial")
        self.trials = {
            (line["trial"], *line["networks"]): Written(line["run_id"], line["epochs"], line["status"])
            for line in trials
        }

    def close(self) -> None:
        """Let another writer have it."""
        self._file.close()

    def add(self, what: str, **content: Any) -> None:
        """Acknowledge, with the time in milliseconds since 1970."""
        self._file.write(json.dumps({"event": what, "at": int(time.time() * 1000), **content}).encode() + b"\n")
        self._file.flush()


def read(path: Path) -> list[dict[str, Any]]:
    """All of them so far; a last line that is not yet whole is left out."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def runs_behind(journal: Path) -> Iterator[Path]:
    """The journals of other runs of the same name that nobody works on, and of which MLflow does not know all."""
    for other in sorted(journal.parent.parent.glob("*/journal.jsonl")):
        acknowledged = other.with_name("tracking.jsonl")
        if other != journal and acknowledged.exists() and not worker(other.parent):
            lines = read(acknowledged)
            if not lines or lines[-1]["event"] != "end" or lines[-1].get("time", 0) < last_event(other)["time"]:
                yield other
