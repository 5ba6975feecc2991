"""Who draws the report of a run: a process of its own, beside the driver.

Its libraries take half a second to load, and its plots one or two to draw. Meanwhile the driver waits for workers: to
prepare the data, then to judge the champion, and in the end for Ray to stop. What the sweep alone shows is drawn by a
copy of the process.
"""

import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from pipeline.tracking.subprocess import start_beside

NICER = 15  # than the writer to MLflow, too, which has more to do before the run can end


class Drawer(Protocol):
    """Draws a report once."""

    def load(self) -> None:
        """Get ready."""

    def go_on(self) -> None:
        """What there is to draw next is in the run's folder now: first what the sweep alone shows, then all."""

    def finish(self) -> Path | None:
        """Wait for the report; its path. Raises RuntimeError saying why there is none."""


class NoDrawer:
    """Draws nothing."""

    def load(self) -> None:
        """See Drawer."""

    def go_on(self) -> None:
        """See Drawer."""

    def finish(self) -> None:
        """See Drawer."""


class DrawingProcess:
    """The process pipeline.reports.draw, which ends when the block does."""

    def __init__(self, folder: Path, n_leaderboard: int) -> None:
        self.folder, self._n_leaderboard = folder, n_leaderboard
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "DrawingProcess":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process and self.process.poll() is None:
            self.process.communicate()

    def load(self) -> None:
        """See Drawer."""
        arguments, pipe = (str(self.folder), str(self._n_leaderboard)), subprocess.PIPE
        self.process = start_beside("pipeline.reports.draw", *arguments, nicer=NICER, stdout=pipe, stderr=pipe)

    def go_on(self) -> None:
        """See Drawer."""
        assert self.process
        assert self.process.stdin
        with suppress(BrokenPipeError):  # it has ended already; `finish` says why
            self.process.stdin.write(b"\n")
            self.process.stdin.flush()

    def finish(self) -> Path:
        """See Drawer."""
        assert self.process
        said, errors = (text.decode(errors="replace").split("\n") for text in self.process.communicate())
        if self.process.returncode:
            lines = list(filter(None, said + errors)) or [
                f"the process that draws it ended with {self.process.returncode}"
            ]
            raise RuntimeError(lines[-1])
        return Path(said[0])
