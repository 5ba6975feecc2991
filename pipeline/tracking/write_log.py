"""What the writer has written to MLflow, line by line in tracking.jsonl, so that no later writer writes it again.

A line that is damaged is left out: what it says was written is deleted from the store, and written again.
"""

import fcntl
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.components.secrets import masked
from pipeline.runs.journal import JOURNAL, last_event, process_at_work
from pipeline.runs.names import is_ours
from pipeline.runs.sealed_lines import sealed, unsealed

LONGEST_REASON = 300  # characters


class WrittenTrial(NamedTuple):
    """The nested run of a trial: its id, the epochs of all the trial's networks together, and MLflow's status."""

    run_id: str
    epochs: int
    status: str


class WriteLog:
    """The file, held by one writer: opening it waits until the writer of an earlier session has ended.

    Parameters
    ----------
    path : Path
    uri : str
        The store; what was written to another one does not count.

    Attributes
    ----------
    resumed : bool
        Whether an earlier writer of the same run had it.
    parent : str
        The id of the run that stands for the pipeline's run, or "".
    trials : dict
        The nested runs by trial and the content hashes of its networks.
    """

    def __init__(self, path: Path, uri: str) -> None:
        self.resumed = path.exists()
        self._file = path.open("ab")
        fcntl.flock(self._file, fcntl.LOCK_EX)
        content = path.read_bytes()
        self._file.truncate(content.rfind(b"\n") + 1)  # a crash may have left the last line incomplete
        lines = read(path)
        begin = max((index for index, line in enumerate(lines) if line["event"] == "run"), default=None)
        same_store = begin is not None and lines[begin]["tracking_uri"] == masked(uri)
        written = lines[begin:] if same_store else []
        self.parent = str(written[0]["run_id"]) if written else ""
        self.trials = {
            (line["trial"], *line["networks"]): WrittenTrial(line["run_id"], line["epochs"], line["status"])
            for line in written
            if line["event"] == "trial"
        }

    def close(self) -> None:
        """Let another writer open it."""
        self._file.close()

    def add(self, kind: str, **content: Any) -> None:
        """Record that something is written, with the time in milliseconds since 1970."""
        self._file.write(sealed({"event": kind, "at": int(time.time() * 1000), **content}))
        self._file.flush()


def add_failure(path: Path, uri: str, error: Exception) -> None:
    """Record that the store failed, for the process that waits; unless the last line says the same."""
    reason = " ".join(masked(f"{error}" or type(error).__name__).split())[:LONGEST_REASON]
    lines = read(path)
    if not lines or lines[-1].get("reason") != reason:
        with closing(WriteLog(path, uri)) as log:
            log.add("failure", reason=reason)


def read(path: Path) -> list[dict[str, Any]]:
    """All lines that are not damaged, without a last one that is incomplete."""
    records = []
    for line in path.read_bytes().split(b"\n")[:-1] if path.exists() else []:
        with suppress(ValueError):
            records.append(unsealed(line))
    return records


def runs_behind(journal: Path) -> Iterator[Path]:
    """The journals of other runs of the same name on which no process works, and which MLflow does not know wholly."""
    for other in sorted(journal.parent.parent.glob(f"*/{JOURNAL}")):
        path = other.with_name("tracking.jsonl")
        if other == journal or not path.exists() or not is_ours(other.parent):
            continue
        if not process_at_work(other.parent):
            lines = read(path)
            if not lines or lines[-1]["event"] != "end" or lines[-1]["line"] < last_event(other)["line"]:
                yield other
