"""What a run leaves behind: its folder, its journal, its summary, and the tracker that follows along."""

import json
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import Any

from pipeline.components.errors import SettingError
from pipeline.components.secrets import masked
from pipeline.components.version import __version__
from pipeline.config.schema import Settings
from pipeline.runs.journal import Journal, events
from pipeline.runs.resume import earlier_run
from pipeline.runs.summary import empty_summary


class RunFolder:
    """Opens the run's folder, journal and tracker; `summary` is filled in as the run goes.

    said      what there is to say of an earlier run
    earlier   the events of earlier sessions of this run
    code      the version of the code that computes the sweep: a run is resumed by equal code only
    """

    def __init__(self, settings: Settings, config: dict[str, Any], config_text: str, code: str, began: float) -> None:
        self._began = self._mark = began
        runs = settings.runs.absolute()
        found, self.said = earlier_run(settings, config, code)
        self.folder = found or _new_folder(runs / settings.name)
        self.journal = Journal(self.folder / "journal.jsonl")
        self.earlier = events(self.journal.path)
        (self.folder / "config.yaml").write_text(masked(config_text), encoding="utf-8")
        self.summary = empty_summary(self.folder.name)
        self._status = ""
        names = {"run_id": self.folder.name, "version": __version__, "code": code, "command": _command()}
        self.journal.append("run", **names, settings=masked(config), tracking=masked(settings.tracking.describe(runs)))
        self._tracker = settings.tracking.start(self.journal.path)

    def time(self, stage: str) -> float:
        """Note the seconds since the last noted stage under this one's name, with those that are there already."""
        now = time.monotonic()
        seconds = now - self._mark
        before = self.summary["timings"][f"{stage}_s"] or 0
        self.summary["timings"][f"{stage}_s"] = round(before + seconds, 3)
        self._mark = now
        return seconds

    @contextmanager
    def ending(self) -> Iterator[None]:
        """Write the journal's last event as the block is left."""
        with self.failing():
            yield
        self._end("FINISHED")

    @contextmanager
    def failing(self) -> Iterator[None]:
        """Write the journal's last event if the block does not come to its end."""
        try:
            yield
        except (KeyboardInterrupt, SystemExit):
            self._end("KILLED")
            raise
        except BaseException:
            self._end("FAILED")
            raise

    def close(self, say: Callable[[str], None]) -> None:
        """Write summary.json, wait for the tracker, and add to it what the tracker did."""
        self.journal.close()
        self.write_summary()  # already now: waiting for a server may be cut short
        self._mark = time.monotonic()
        tracked = self._tracker.finish(say)
        self.time("tracking")
        if tracked:
            model = tracked.pop("model")
            self.summary["mlflow"] = tracked
            if model:
                self.summary["model"] |= {key: model[key] for key in ("name", "version", "alias", "said")}
        self.write_summary()

    def write_summary(self) -> None:
        """Write summary.json, with what is known by now."""
        self.summary["timings"]["total_s"] = round(time.monotonic() - self._began, 3)
        write_whole(self.folder / "summary.json", json.dumps(self.summary, indent=1) + "\n")

    def _end(self, status: str) -> None:
        if not self._status:
            self._status = status
            self.summary["status"] = status.lower()
            self.write_summary()  # before: a run that has ended is not gone on with
            self.journal.append("end", status=status)


def write_whole(path: Path, text: str) -> None:
    """Write a text file in place of what is there: as a whole, or, if the disk is full, not at all."""
    beside = path.with_name(f".{path.name}.{token_hex(4)}")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _command() -> str:
    """What was typed."""
    return str(masked(shlex.join(["nnsweep", *sys.argv[1:]])))


def _new_folder(parent: Path) -> Path:
    folder = parent / f"{time.strftime('%Y%m%d-%H%M%S')}-{token_hex(2)}"
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise SettingError(
            f"runs: must be a folder that can be written to, but {folder} cannot be made ({error.strerror}); "
            "choose another with runs=..."
        ) from None
    return folder
