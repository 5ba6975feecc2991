"""The journal of a run: one JSON object per line, on disk before anyone is told."""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from pipeline.components.errors import SettingError
from pipeline.runs.events import check

Event = dict[str, Any]


class Journal:
    """Appends events to a file; the run's only writer to it.

    Raises   SettingError if another process writes to it
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = path.with_name("lock").open("a+", encoding="utf-8")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.seek(0)
            process = self._lock.read().strip() or "unknown"
            self._lock.close()
            raise SettingError(
                f"run={path.parent.name}: process {process} is at work on it; wait for it, or give resume=never"
            ) from None
        self._lock.truncate(0)
        self._lock.write(f"{os.getpid()}\n")
        self._lock.flush()
        heal(path)
        self._file = path.open("a", encoding="utf-8")

    def append(self, event: str, **content: Any) -> Event:
        """Write one event with its time (milliseconds since 1970), and wait until it is on disk."""
        happened = {"event": event, "time": int(time.time() * 1000), **content}
        self._file.write(json.dumps(happened) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        return happened

    def close(self) -> None:
        """Write no more, and let others."""
        self._file.close()
        self._lock.close()


def heal(path: Path) -> None:
    """Cut off what a crash left of a last line that was not written to its end."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        content = file.read()
        whole = content.rfind(b"\n") + 1
        last = content[:whole].rstrip(b"\n").rpartition(b"\n")[2]
        try:
            json.loads(last or b"null")
        except ValueError:
            whole -= len(last) + 1
        if whole < len(content):
            file.truncate(whole)
            os.fsync(file.fileno())


def events(path: Path) -> list[Event]:
    """All whole lines of a journal. Raises SettingError naming the first that is none of ours."""
    found = []
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], start=1):
        try:
            happened = _read(line)
        except (ValueError, RecursionError) as error:
            raise damaged(path, number, error) from None
        found.append(happened)
    return found


def _read(line: bytes | str) -> Event:
    """One event. Raises ValueError if it is none of ours."""
    happened = json.loads(line)
    check(happened)
    return happened


def damaged(path: Path, number: int, why: Exception) -> SettingError:
    """What to say of a journal in which a line cannot be."""
    said = " ".join(str(why).split())[:200]
    return SettingError(
        f"run={path.parent.name}: line {number} of {path} is damaged ({said}); give resume=never for a new run"
    )


def last_event(path: Path) -> Event:
    """The last whole line of a journal, without reading the others; an empty event if it is none of ours."""
    with path.open("rb") as file:
        size, length = file.seek(0, os.SEEK_END), 1024
        while True:
            file.seek(max(0, size - length))
            lines = file.read().split(b"\n")[:-1]  # what follows the last line's end is not whole
            if len(lines) > 1 or length >= size:
                with suppress(ValueError, RecursionError):
                    return _read(lines[-1] if lines else b"")
                return {"event": "", "time": 0}
            length *= 4


def last_session(folder: Path) -> Event:
    """The last event that began a session; an empty one if there is none."""
    found: Event = {"settings": {}, "code": "", "tracking": None}
    with (folder / "journal.jsonl").open(encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith('{"event": "run"') and line.endswith("\n"):
                with suppress(ValueError, RecursionError):  # opening the journal says which line is damaged
                    found = _read(line)
    return found


def worker(folder: Path) -> str | None:
    """The process that is at work on a run, or None."""
    path = folder / "lock"
    if not path.exists():
        return None
    with path.open(encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return lock.read().strip() or "unknown"
    return None


def at_rest(folder: Path) -> Path:
    """The folder, if nobody is at work on the run. Raises SettingError otherwise."""
    process = worker(folder)
    if process:
        raise SettingError(f"run={folder.name}: process {process} is at work on it; wait for its end")
    return folder


class JournalReader:
    """Follows a journal that somebody else writes."""

    def __init__(self, path: Path) -> None:
        self._file = path.open(encoding="utf-8")
        self._rest = ""

    def events(self) -> Iterator[Event]:
        """The whole lines that were added since the last call."""
        lines = (self._rest + self._file.read()).split("\n")
        self._rest = lines.pop()
        for line in lines:
            yield json.loads(line)

    def close(self) -> None:
        """Read no more."""
        self._file.close()
