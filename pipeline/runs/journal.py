"""The journal of a run: one JSON object per line, on disk before anyone is told. See `pipeline.runs.events`."""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from pipeline.components.errors import SettingError
from pipeline.runs.events import Event, OtherFormatError, check

JOURNAL = "journal.jsonl"  # in a run's folder


class Journal:
    """Appends events to a file; the run's only writer to it.

    Parameters
    ----------
    path : Path
        An incomplete last line that a crash has left there is removed.

    Raises
    ------
    SettingError
        If another process writes to it.
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
                f"run={path.parent.name} is in use by process {process}; wait until it ends, or start a new run with "
                "resume=never"
            ) from None
        self._lock.truncate(0)
        self._lock.write(f"{os.getpid()}\n")
        self._lock.flush()
        heal(path)
        self._file = path.open("a", encoding="utf-8")

    def append(self, kind: str, **content: Any) -> Event:
        """Write one event and wait until it is on disk.

        Parameters
        ----------
        kind : str
            A key of `pipeline.runs.events.EVENTS`.
        **content
            The fields of the event's class.

        Returns
        -------
        dict
            The event with its kind and its time, in milliseconds since 1970.

        Raises
        ------
        ValueError
            If no reader would accept the event.
        """
        event = check({"event": kind, "time": int(time.time() * 1000), **content})
        self._file.write(json.dumps(event) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        return event

    def close(self) -> None:
        """Close the file, and let other processes write to it."""
        self._file.close()
        self._lock.close()


def heal(path: Path) -> None:
    """Remove a last line that a crash has left incomplete."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        content = file.read()
        end = content.rfind(b"\n") + 1
        last = content[:end].rstrip(b"\n").rpartition(b"\n")[2]
        try:
            json.loads(last or b"null")
        except ValueError:
            end -= len(last) + 1
        if end < len(content):
            file.truncate(end)
            os.fsync(file.fileno())


def events(path: Path) -> list[Event]:
    """All events of a journal, but for an incomplete last line.

    Raises
    ------
    SettingError
        Naming the first line that is damaged, or if another version of nnsweep has written the journal.
    """
    return list(_checked(path, 1, path.read_bytes().split(b"\n")[:-1]))


class JournalReader:
    """Follows a journal that another process writes."""

    def __init__(self, path: Path) -> None:
        self._path, self._file = path, path.open("rb")
        self._rest, self._n_lines = b"", 0

    def events(self) -> Iterator[Event]:
        """The events that were added since the last call.

        Raises
        ------
        SettingError
            See `events`.
        """
        *lines, self._rest = (self._rest + self._file.read()).split(b"\n")
        first, self._n_lines = self._n_lines + 1, self._n_lines + len(lines)
        yield from _checked(self._path, first, lines)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _checked(path: Path, first: int, lines: list[bytes]) -> Iterator[Event]:
    """The events that complete lines of a journal hold; `first` is the number of the first line."""
    for number, line in enumerate(lines, start=first):
        try:
            yield check(json.loads(line))
        except OtherFormatError as error:
            raise SettingError(f"run={path.parent.name}: {error}; start a new run with resume=never") from None
        except (ValueError, RecursionError) as error:
            raise damaged(path, number, error) from None


def damaged(path: Path, number: int, error: Exception) -> SettingError:
    """The error that names a line of a journal and what is wrong with it."""
    reason = " ".join(str(error).split())[:200]
    return SettingError(
        f"run={path.parent.name}: line {number} of {path} is damaged ({reason}); start a new run with resume=never"
    )


def last_event(path: Path) -> Event:
    """The last event of a journal, without reading the others; {"event": "", "time": 0} if it is damaged."""
    with path.open("rb") as file:
        size, length = file.seek(0, os.SEEK_END), 1024
        while True:
            file.seek(max(0, size - length))
            lines = file.read().split(b"\n")[:-1]  # what follows the last line's end is incomplete
            if len(lines) > 1 or length >= size:
                with suppress(ValueError, RecursionError):
                    return check(json.loads(lines[-1] if lines else b""))
                return {"event": "", "time": 0}
            length *= 4


def last_session(folder: Path) -> Event:
    """The event that began the last session of a run; one without settings if there is none."""
    session: Event = {"settings": {}, "code": "", "tracking": None}
    with (folder / JOURNAL).open(encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith('{"event": "run"') and line.endswith("\n"):
                with suppress(ValueError, RecursionError):  # reading the whole journal names the line that is damaged
                    session = check(json.loads(line))
    return session


def process_at_work(folder: Path) -> str | None:
    """The id of the process that works on a run, or None."""
    path = folder / "lock"
    if not path.exists():
        return None
    with path.open(encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return lock.read().strip() or "unknown"
    return None


def not_in_use(folder: Path) -> Path:
    """The folder of a run on which no process works.

    Raises
    ------
    SettingError
        If one does.
    """
    process = process_at_work(folder)
    if process:
        raise SettingError(f"run={folder.name} is in use by process {process}; wait until it ends")
    return folder
