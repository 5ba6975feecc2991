"""Who draws the report: a process that ends with the run, whatever becomes of either."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
from running import FEW, composed

from pipeline.reports.drawer import DrawingProcess


class WithoutInk(DrawingProcess):
    """Cannot make its folder of plots."""

    def go_on(self):
        (self.folder / "plots").touch()
        super().go_on()


class Killed(DrawingProcess):
    """Dies before it is told to draw."""

    def load(self):
        super().load()
        self.process.kill()
        self.process.wait()


class KilledAtWork(DrawingProcess):
    """Dies when its copy draws."""

    def go_on(self):
        super().go_on()
        if self.process.poll() is None:
            copies(self.process)
            self.process.kill()
            self.process.wait()


class WithoutCopy(DrawingProcess):
    """Its copy dies."""

    def go_on(self):
        super().go_on()
        for copy in copies(self.process):
            os.kill(copy, signal.SIGKILL)


def copies(process):
    """Those that a process has made of itself, as soon as there are some."""
    deadline = time.monotonic() + 60
    while not (found := of_session(process.pid) - {process.pid}):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found


def of_session(number):
    """The processes of a session."""
    found = set()
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if os.getsid(int(path.name)) == number:
                found.add(int(path.name))
    return found


KILLED = "the process that draws it ended with -9"
DIED = "RuntimeError: the process that draws the sweep died"


@pytest.mark.parametrize(
    ("kind", "why"),
    [(WithoutInk, "NotADirectoryError: "), (Killed, KILLED), (KilledAtWork, KILLED), (WithoutCopy, DIED)],
)
def test_a_report_that_fails_warns_and_the_run_goes_on(kind, why, tmp_path, capsys):
    from rich.console import Console

    from pipeline.reports.output import Lines
    from pipeline.run import run

    settings, config = composed(*FEW, "tracking=none", "execution=local", "training.epochs=1", f"runs={tmp_path}")
    drawers = []
    drawer = lambda folder: drawers.append(kind(folder, 50)) or drawers[-1]  # noqa: E731
    object.__setattr__(settings, "report", SimpleNamespace(drawer=drawer))
    found = run(settings, config, "", Lines(Console(), live=False), time.monotonic())
    assert found["status"] == "finished"
    assert f"warning: there is no report ({why}" in capsys.readouterr().out.replace("\n", " ")
    deadline = time.monotonic() + 30
    while of_session(drawers[0].process.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not of_session(drawers[0].process.pid)


def test_who_draws_ends_when_nothing_is_to_be_drawn(tmp_path):
    with DrawingProcess(tmp_path, 50) as drawer:
        drawer.load()
        process = drawer.process
        assert process.poll() is None
    assert process.returncode == 0
    assert not list(tmp_path.iterdir())
