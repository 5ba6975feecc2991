"""Who draws the report: a process that ends with the run, whatever becomes of either."""

import os
import signal
import time
from types import SimpleNamespace

import pytest
from running import composed, processes, wait_until

from pipeline.config.schema import Configuration
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
        if only_the_sweep_is_over(self.folder):
            wait_until(lambda: len(drawing(self.folder)) == 2)
            self.process.kill()
            self.process.wait()


class WithoutCopy(DrawingProcess):
    """Its copy dies."""

    def go_on(self):
        super().go_on()
        if only_the_sweep_is_over(self.folder):
            wait_until(lambda: len(drawing(self.folder)) == 2)
            (copy,) = drawing(self.folder) - {self.process.pid}
            os.kill(copy, signal.SIGKILL)


def drawing(folder):
    """The process that draws the run's report, and its copy."""
    return {*processes("pipeline.reports.draw", str(folder))}


def only_the_sweep_is_over(folder):
    return not (folder / "diagnosis.json").exists()


KILLED = "the process that draws it ended with -9"
DIED = "RuntimeError: the process that draws the sweep died"


@pytest.mark.parametrize(
    ("kind", "why"),
    [(WithoutInk, "NotADirectoryError: "), (Killed, KILLED), (KilledAtWork, KILLED), (WithoutCopy, DIED)],
)
def test_a_report_that_fails_warns_and_the_run_goes_on(kind, why, tmp_path, capsys):
    from rich.console import Console

    from pipeline.console.output import LineOutput
    from pipeline.driver.run import run

    settings, config = composed("tracking=none", "execution=local", "training.epochs=2", f"runs={tmp_path}")
    object.__setattr__(settings, "report", SimpleNamespace(drawer=lambda folder: kind(folder, 50)))
    found = run(Configuration(settings, config, ""), LineOutput(Console(), live=False), time.monotonic())
    assert found["status"] == "finished"
    assert f"warning: there is no report ({why}" in capsys.readouterr().out.replace("\n", " ")
    wait_until(lambda: not drawing(tmp_path), 30)


def test_who_draws_ends_when_nothing_is_to_be_drawn(tmp_path):
    with DrawingProcess(tmp_path, 50) as drawer:
        drawer.load()
        process = drawer.process
        assert process.poll() is None
    assert process.returncode == 0
    assert not list(tmp_path.iterdir())
