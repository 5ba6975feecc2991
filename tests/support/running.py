"""Run the pipeline from the command line or in this process, and read what it wrote."""

import gc
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import redirect_stderr, redirect_stdout, suppress
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli.dispatch import dispatch
from pipeline.components import code_version
from pipeline.components.interrupts import NUMBERS
from pipeline.config.compose import configuration
from pipeline.config.schema import Configuration, Settings
from pipeline.console.output import output_of
from pipeline.driver.run import run
from pipeline.search.trial import Trial

FEW = (  # 7 trials instead of 112
    *(f"~space.optimizer.{name}" for name in ("sgd", "momentum", "rmsprop")),
    "space.optimizer.adam.learning_rate=[0.003]",
    "baselines=none",
    "~space.network",
)
MARK = "NNSWEEP_TESTS"  # environment variable of all processes that the tests start: the id of the pytest process
os.environ[MARK] = str(os.getpid())
QUICK = ("training.epochs=3", "tracking=none", "report=none", "execution=local", "baselines=none")


def slow_after_first(values: Iterable[Any]) -> list[Any]:
    """Mark all values but the first as slow, for parametrize."""
    return _marked_after_first(values, pytest.mark.slow)


def nightly_after_first(values: Iterable[Any]) -> list[Any]:
    """Mark all values but the first as nightly, for parametrize."""
    return _marked_after_first(values, pytest.mark.nightly)


def _marked_after_first(values: Iterable[Any], mark: pytest.MarkDecorator) -> list[Any]:
    first, *rest = values
    return [first, *(pytest.param(*value if isinstance(value, tuple) else [value], marks=mark) for value in rest)]


def compose(*overrides: str) -> tuple[Settings, dict[str, Any]]:
    """Return the settings of a command line and the configuration that they were made of."""
    config = configuration(*overrides)
    return config.settings, config.plain


def clear_code_version_caches() -> None:
    """Clear the caches of code_version, which reads the sources once per process; installed libraries stay known."""
    for cached in vars(code_version).values():
        if hasattr(cached, "cache_clear") and cached is not code_version._library:
            cached.cache_clear()


def requested_trials(settings: Settings) -> list[Trial]:
    """The trials of the first request of the search; a grid requests all trials at once."""
    n_objectives = 1 + len(settings.select.tradeoffs)
    sampler = settings.search.begin(settings.space, settings.training.epochs, n_objectives)
    return [request.trial for request in sampler.ask()]


def run_pipeline(settings: Settings, config: dict[str, Any]) -> dict[str, Any]:
    """Run the pipeline in this process and return its summary."""
    return run(Configuration(settings, config, ""), output_of(settings.output), time.monotonic())


def run_sweep(folder: Path, *overrides: str) -> dict[str, Any]:
    """Run a short local sweep in this process and return its summary."""
    return run_pipeline(*compose(*QUICK, "output=quiet", f"runs={folder}", *overrides))


def run_command(folder: Path, *overrides: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run `python -m pipeline` in a folder."""
    completed = subprocess.run(
        [sys.executable, "-m", "pipeline", *overrides], cwd=folder, capture_output=True, text=True, timeout=300
    )
    assert not check or completed.returncode == 0, completed.stdout + completed.stderr
    return completed


def run_here(folder: Path, *overrides: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Do as `run_command` does, in this process: without the seconds in which a new one imports its modules."""
    printed, errors, code, before = StringIO(), StringIO(), 0, {n: signal.getsignal(n) for n in NUMBERS}
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(printed), redirect_stderr(errors):
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["nnsweep", *overrides])
        try:
            dispatch(list(overrides), time.monotonic())
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
    assert not check or code == 0, printed.getvalue() + errors.getvalue()
    return subprocess.CompletedProcess(list(overrides), code, printed.getvalue(), errors.getvalue())


def read_summary(folder: Path) -> dict[str, Any]:
    """Read the summary of the only run in a folder."""
    (path,) = folder.glob("runs/*/*/summary.json")
    return json.loads(path.read_text())


def read_journal(folder: Path) -> list[dict[str, Any]]:
    """Read the journal of the only run in a folder; the run may be writing its last line."""
    (path,) = folder.glob("runs/*/*/journal.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]


def processes(*words: str) -> dict[int, str]:
    """By process id, the command lines that contain all these words, of processes started by the tests."""
    command_lines, mark = {}, f"{MARK}={os.getpid()}\0".encode()
    for path in Path("/proc").glob("[0-9]*"):
        line = _content(path / "cmdline").replace(b"\0", b" ").decode()
        if line and all(word in line for word in words) and int(path.name) != os.getpid():
            parent = (
                _content(path / "stat").rpartition(b")")[2].split()[1:2]
            )  # Ray's workers overwrite their own environment
            if any(
                mark in _content(process_path / "environ")
                for process_path in (path, Path("/proc", *map(bytes.decode, parent)))
            ):
                command_lines[int(path.name)] = line
    return command_lines


def end_processes(since: float) -> None:
    """Kill the processes that the tests have started since a time, in seconds since boot."""
    ticks = os.sysconf("SC_CLK_TCK")
    for process in processes():
        fields = _content(Path("/proc", str(process), "stat")).rpartition(b")")[2].split()
        if len(fields) > 19 and int(fields[19]) / ticks >= since - 1 / ticks:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)


def close_children() -> None:
    """Wait for killed children and close their pipes: Python would warn of them in the middle of a later test."""
    for child in gc.get_objects():
        if type(child) is subprocess.Popen and child.returncode is None:
            with suppress(subprocess.TimeoutExpired):
                child.wait(timeout=10)
            for pipe in filter(None, (child.stdin, child.stdout, child.stderr)):
                with suppress(OSError):
                    pipe.close()


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes() + b"\0"
    except OSError:  # the process has ended, or belongs to another user
        return b""


def wait_until(condition: Callable[[], Any], seconds: float = 180) -> None:
    """Wait until the condition holds; fail after `seconds`."""
    start_time = time.monotonic()
    while True:
        asked_time = time.monotonic()
        if condition():
            return
        assert asked_time < start_time + seconds
        time.sleep(max(0.01, 4 * (time.monotonic() - asked_time)))  # else what it waits for has less of the machine
