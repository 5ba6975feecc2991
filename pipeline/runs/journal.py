"""The journal of a run: one JSON object per line, on disk before anyone is told. See `pipeline.runs.events`.

Each line has a checksum and a number. A line that is damaged, missing, doubled or out of place is left out by every
reader and noted. What was noted before a later session began does not count, as that session has trained it again.
"""

import fcntl
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.components.errors import SettingError
from pipeline.components.interrupts import deferred_signals
from pipeline.runs.events import FORMAT, Event, OtherFormatError, check
from pipeline.runs.sealed_lines import is_intact, sealed, unsealed

JOURNAL = "journal.jsonl"  # in a run's folder
NUMBERS = re.compile(rb'{"event": "\w+", "time": \d+, "session": (\d+), "line": (\d+), ')
SHOWN = 3  # damaged lines that a message names


class Damage(NamedTuple):
    """A line of a journal, by its place in the file from 1, and what is wrong with it."""

    line: int
    reason: str


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
        self._session, self._line = _last_numbers(path)
        self._opened = time.time() - time.monotonic()
        self._file = path.open("ab")

    def now(self) -> int:
        """The time in milliseconds since 1970; a clock that is set while the journal is open does not change it."""
        return int((self._opened + time.monotonic()) * 1000)

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
            The event with the fields that every event has; the event `run` begins the next session.

        Raises
        ------
        ValueError
            If no reader would accept the event.
        """
        session = self._session + (kind == "run")
        event = check({"event": kind, "time": self.now(), "session": session, "line": self._line + 1, **content})
        with deferred_signals():  # an interrupt after the line is written must not leave its number to the next one
            self._file.write(sealed(event))
            self._file.flush()
            os.fsync(self._file.fileno())
            self._session, self._line = session, self._line + 1
        return event

    def close(self) -> None:
        """Close the file, and let other processes write to it."""
        self._file.close()
        self._lock.close()


def heal(path: Path) -> None:
    """Remove a last line that a crash has left incomplete, or with a block of zeros, as some file systems do.

    Any other damaged line stays, so that it is noticed and named.
    """
    if not path.exists():
        return
    with path.open("rb+") as file:
        content = file.read()
        end = content.rfind(b"\n") + 1
        last = content[:end].rstrip(b"\n").rpartition(b"\n")[2]
        if b"\0" in last:
            end -= len(last) + 1
        if end < len(content):
            file.truncate(end)
            os.fsync(file.fileno())


def _last_numbers(path: Path) -> tuple[int, int]:
    """The largest number of a session, and that of a line, in the intact lines of a journal; 0 if there are none."""
    lines = path.read_bytes().split(b"\n") if path.exists() else []
    matches = [NUMBERS.match(line) for line in lines if is_intact(line)]
    numbers = [(int(match[1]), int(match[2])) for match in matches if match]
    return max((session for session, _ in numbers), default=0), max((line for _, line in numbers), default=0)


def events(path: Path) -> list[Event]:
    """All events of a journal, but for an incomplete last line.

    Raises
    ------
    SettingError
        Naming the first line of the last session that is damaged, or if another version of nnsweep has written the
        journal.
    """
    reader = JournalReader(path)
    try:
        recorded = list(reader.events())
        reader.check()
    finally:
        reader.close()
    return recorded


class JournalReader:
    """Reads a journal, which another process may be writing.

    Attributes
    ----------
    damage : list of Damage
        The lines that were left out since the last session began.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._file = path, path.open("rb")
        self._rest = b""
        self._place = 0  # lines that were read
        self._session = self._line = 0  # numbers of the last event
        self._unexplained = 0  # damaged lines since the last event
        self.damage: list[Damage] = []

    def events(self) -> Iterator[Event]:
        """The events that were added since the last call.

        Raises
        ------
        SettingError
            If another version of nnsweep has written the journal, or the line that began a session is damaged.
        """
        *lines, self._rest = (self._rest + self._file.read()).split(b"\n")
        for line in lines:
            self._place += 1
            event = self._checked(line)
            if event is not None:
                yield event

    def check(self) -> None:
        """Raise SettingError, naming the first line of the last session that is damaged, if there is one."""
        if self.damage:
            raise damaged(self._path, self.damage[0])

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _checked(self, line: bytes) -> Event | None:
        """The event of a line; None if it is damaged or out of place, which is noted."""
        try:
            event = _parsed(line)
        except OtherFormatError as error:
            raise SettingError(f"run={self._path.parent.name}: {error}; start a new run with resume=never") from None
        except (ValueError, RecursionError) as error:
            self._unexplained += 1
            self._note(" ".join(str(error).split())[:200])
            return None
        if event["line"] <= self._line or (event["event"] == "run" and event["session"] <= self._session):
            self._note("it is out of place")
            return None
        n_missing = event["line"] - self._line - 1 - self._unexplained
        self._line, self._unexplained = event["line"], 0
        if event["event"] == "run":
            self._session, self.damage = event["session"], []
        elif event["session"] != self._session:
            raise SettingError(
                f"run={self._path.parent.name}: the line of {self._path} that began session {event['session']} is "
                "damaged or missing, so that its settings are not known; start a new run with resume=never"
            )
        elif n_missing > 0:
            lines = "the line before it is" if n_missing == 1 else f"{n_missing} lines before it are"
            self._note(f"{lines} missing")
        return event

    def _note(self, reason: str) -> None:
        self.damage.append(Damage(self._place, reason))


def _parsed(line: bytes) -> Event:
    """The event of a line.

    Raises
    ------
    OtherFormatError
        If another version of nnsweep has written the line.
    ValueError
        If it is damaged.
    """
    if not is_intact(line):
        record: Any = None
        with suppress(ValueError, RecursionError):
            record = json.loads(line)
        began = isinstance(record, dict) and record.get("event") == "run" and "time" in record
        if began and record.get("format") != FORMAT:
            raise OtherFormatError("its journal was written by another version of nnsweep")
    return check(unsealed(line))


def damaged(path: Path, damage: Damage) -> SettingError:
    """The error that names a line of a journal and what is wrong with it."""
    run = path.parent.name
    return SettingError(
        f"run={run}: line {damage.line} of {path} is damaged ({damage.reason}); start a new run with resume=never, or "
        f"train again what is lost by the same command with run={run}"
    )


def damage_message(path: Path, damage: list[Damage]) -> str:
    """A warning that says which lines of a journal are damaged, for those who train again what is lost; "" for none."""
    if not damage:
        return ""
    shown = "; ".join(f"line {line}: {reason}" for line, reason in damage[:SHOWN])
    more = f"; and {len(damage) - SHOWN} more" if len(damage) > SHOWN else ""
    return f"warning: {path} is damaged ({shown}{more}); what was lost is trained again"


def last_event(path: Path) -> Event:
    """The last event of a journal, without reading the others; one of the kind "" if it is damaged."""
    with path.open("rb") as file:
        size, length = file.seek(0, os.SEEK_END), 1024
        while True:
            file.seek(max(0, size - length))
            lines = file.read().split(b"\n")[:-1]  # what follows the last line's end is incomplete
            if len(lines) > 1 or length >= size:
                with suppress(ValueError, RecursionError):
                    return _parsed(lines[-1] if lines else b"")
                return {"event": "", "time": 0, "session": 0, "line": 0}
            length *= 4


def last_session(folder: Path) -> Event:
    """The event that began the last session of a run; one without settings if there is none."""
    return _last_of_kind(folder / JOURNAL, b"run") or {"settings": {}, "code": "", "tracking": None, "session": 0}


def last_data(folder: Path) -> Event:
    """The event that says what data a run has read last; {} if there is none."""
    return _last_of_kind(folder / JOURNAL, b"data")


def _last_of_kind(path: Path, kind: bytes) -> Event:
    """The last event of a kind that is not damaged, without parsing the others; {} if there is none."""
    last: Event = {}
    with path.open("rb") as file:
        for line in file:
            if line.startswith(b'{"event": "%s"' % kind) and line.endswith(b"\n"):
                with suppress(ValueError, RecursionError):  # reading the whole journal names the line that is damaged
                    last = _parsed(line[:-1])
    return last


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
