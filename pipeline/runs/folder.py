"""The folder of a run: its configuration, its journal, its summary, and the tracker that follows the journal."""

import json
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from secrets import token_hex
from typing import Any, Protocol

from pipeline.components.errors import SettingError
from pipeline.components.secrets import masked
from pipeline.components.version import __version__
from pipeline.runs.events import FORMAT
from pipeline.runs.journal import JOURNAL, Journal, damage_message
from pipeline.runs.replay import salvaged
from pipeline.runs.resume import RunRequest, earlier_run
from pipeline.runs.summary import empty_summary

REGISTERED = ("name", "version", "uri", "alias", "alias_note")  # what the registry knows of a model
STAMP = "%Y%m%d-%H%M%S"  # of a run's id, in local time


class JournalFollower(Protocol):
    """Follows a run's journal until its last event."""

    def finish(self, say: Callable[[str], None], interrupted: bool = False) -> dict[str, Any] | None:
        """Wait until it has followed to the end, not long if interrupted; what it did, for summary.json, or None."""


class FollowerSettings(Protocol):
    """Settings that start a `JournalFollower`; see `pipeline.tracking.base.Tracking`."""

    def describe(self, runs: Path) -> dict[str, Any] | None:
        """Themselves as plain values, for the journal."""

    def start(self, journal: Path) -> JournalFollower:
        """Begin to follow the journal, whose first event is written already."""


class RunFolder:
    """Opens the folder of a new run or of one that is continued, its journal and its tracker.

    Parameters
    ----------
    request : RunRequest
    config_text : str
        The configuration as YAML, for config.yaml; passwords are masked.
    began : float
        When the command began, on the monotonic clock.
    tracking : FollowerSettings

    Attributes
    ----------
    folder : Path
    journal : Journal
    summary : dict
        What summary.json is to contain; filled in as the run proceeds.
    message : str
        What a person should know of an earlier run.
    history : RunHistory
        What earlier sessions of this run have left.
    resumed : bool
        Whether there were any.
    """

    def __init__(self, request: RunRequest, config_text: str, began: float, tracking: FollowerSettings) -> None:
        self._began = self._mark = began
        earlier, self.message = earlier_run(request)
        self.folder = earlier or _new_folder(request.parent)
        self.journal = Journal(self.folder / JOURNAL)
        try:
            self.history = salvaged(self.folder)
        except SettingError:
            self.journal.close()
            raise
        self.resumed = bool(self.history.session)
        self.message = self.message or damage_message(self.journal.path, self.history.damage)
        (self.folder / "config.yaml").write_text(masked(config_text), encoding="utf-8")
        self.summary = empty_summary(self.folder.name)
        self._status = ""
        self._keeps_summary = False
        self.journal.append(
            "run",
            format=FORMAT,
            run_id=self.folder.name,
            version=__version__,
            code=request.code,
            command=request.command,
            settings=masked(request.config),
            tracking=masked(tracking.describe(request.parent.parent)),
        )
        self._follower = tracking.start(self.journal.path)

    @property
    def elapsed_seconds(self) -> float:
        """How long ago the command began."""
        return time.monotonic() - self._began

    def time(self, stage: str) -> float:
        """Add the seconds since the last call to those of a stage, and return them."""
        now = time.monotonic()
        seconds = now - self._mark
        before = self.summary["timings"][f"{stage}_s"] or 0
        self.summary["timings"][f"{stage}_s"] = round(before + seconds, 3)
        self._mark = now
        return seconds

    @contextmanager
    def ending(self) -> Iterator[None]:
        """Write the journal's last event when the block is left."""
        with self.failing():
            yield
        self._end("FINISHED")

    @contextmanager
    def failing(self) -> Iterator[None]:
        """Write the journal's last event if the block is interrupted or raises an error."""
        try:
            yield
        except (KeyboardInterrupt, SystemExit):
            self._end("KILLED")
            raise
        except BaseException:
            self._end("FAILED")
            raise

    def close(self, say: Callable[[str], None]) -> None:
        """Write summary.json, wait for the tracker, and add what the tracker did."""
        self.journal.close()
        self.write_summary()  # before waiting for a server, as that may be interrupted
        self._mark = time.monotonic()
        tracked = self._follower.finish(say, interrupted=self._status == "KILLED")
        self.time("tracking")
        if tracked:
            model = tracked.pop("model")
            self.summary["mlflow"] = tracked
            if model:
                self.summary["model"] |= {key: model[key] for key in REGISTERED}
        self.write_summary()

    def keep_summary(self) -> None:
        """Leave summary.json as an earlier session has written it: this one does not continue the run."""
        self._keeps_summary = True

    def write_summary(self) -> None:
        """Write summary.json with what is known so far."""
        if self._keeps_summary:
            return
        self.summary["timings"]["total_s"] = round(self.elapsed_seconds, 3)
        replace_file(self.folder / "summary.json", json.dumps(self.summary, indent=1) + "\n")

    def _end(self, status: str) -> None:
        if not self._status:
            self._status = status
            self.summary["status"] = status.lower()
            self.write_summary()  # first: a run whose journal has this event is not resumed
            self.journal.append("end", status=status)


def replace_file(path: Path, text: str) -> None:
    """Replace a text file as a whole, or, if the disk is full, not at all."""
    temporary = path.with_name(f".{path.name}.{token_hex(4)}")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def record_model(folder: Path, model: Mapping[str, str | None]) -> None:
    """Write the name, version, address and alias of a run's model into its summary.json, if it has one."""
    path = folder / "summary.json"
    if path.exists():
        summary = json.loads(path.read_text(encoding="utf-8"))
        summary["model"] |= {key: model[key] for key in REGISTERED}
        replace_file(path, json.dumps(summary, indent=1) + "\n")


def command_line(arguments: Sequence[str] | None = None) -> str:
    """The command with these arguments, or else what was typed, without passwords."""
    return str(masked(shlex.join(["nnsweep", *(sys.argv[1:] if arguments is None else arguments)])))


def _new_folder(parent: Path) -> Path:
    """A folder whose name is later than those of all other runs, also if the clock was set back."""
    names = sorted((path.name for path in parent.parent.glob("*/*")), reverse=True)
    latest = next(filter(None, map(_moment, names)), datetime.min)
    moment = max(datetime.now(), latest + timedelta(seconds=1))
    folder = parent / f"{moment:{STAMP}}-{token_hex(2)}"
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise SettingError(
            f"runs must be a folder that can be written to, but {folder} cannot be made ({error.strerror}); "
            "choose another with runs=..."
        ) from None
    return folder


def _moment(name: str) -> datetime | None:
    """When a run began, by its id; None if a folder has another name."""
    try:
        return datetime.strptime(name.rpartition("-")[0], STAMP)
    except ValueError:
        return None
