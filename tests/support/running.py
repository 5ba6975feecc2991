"""Ways to run the pipeline for real: as a user does, or in this process."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from pipeline.components import code_version
from pipeline.config.compose import configuration
from pipeline.config.schema import Configuration, Settings
from pipeline.console.output import QuietOutput
from pipeline.driver.run import run
from pipeline.search.trial import Trial

FEW = (  # 7 trials instead of 112
    *(f"~space.optimizer.{name}" for name in ("sgd", "momentum", "rmsprop")),
    "space.optimizer.adam.learning_rate=[0.003]",
)
MARK = "NNSWEEP_TESTS"  # in the environment of whatever the tests start: the process that started it
os.environ[MARK] = str(os.getpid())
QUICK = ("training.epochs=3", "tracking=none", "report=none", "execution=local")


def slow_after_first(values: Iterable[Any]) -> list[Any]:
    """For parametrize: the first is tested each time, the others in the whole suite."""
    first, *rest = values
    return [first, *(pytest.param(*one if isinstance(one, tuple) else [one], marks=pytest.mark.slow) for one in rest)]


def compose(*overrides: str) -> tuple[Settings, dict[str, Any]]:
    """The settings of a command line, and the configuration they were made of."""
    composed = configuration(*overrides)
    return composed.settings, composed.plain


def clear_code_version_caches() -> None:
    """Let code_version read the sources again, which it does once per process."""
    for cached in vars(code_version).values():
        if hasattr(cached, "cache_clear"):
            cached.cache_clear()


def requested_trials(settings: Settings) -> list[Trial]:
    """The trials that the search asks for first; a grid asks for all."""
    return [request.trial for request in settings.sampler().ask()]


def run_pipeline(settings: Settings, config: dict[str, Any]) -> dict[str, Any]:
    """Run in this process; the summary."""
    return run(Configuration(settings, config, ""), QuietOutput(), time.monotonic())


def run_sweep(folder: Path, *overrides: str) -> dict[str, Any]:
    """Run a quick sweep in this process; the summary."""
    return run_pipeline(*compose(*QUICK, f"runs={folder}", *overrides))


def run_command(folder: Path, *overrides: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run `python -m pipeline` in a folder, as a user does."""
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", *overrides], cwd=folder, capture_output=True, text=True, timeout=300
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def read_summary(folder: Path) -> dict[str, Any]:
    """The summary of the only run in a folder."""
    (path,) = folder.glob("runs/*/*/summary.json")
    return json.loads(path.read_text())


def read_journal(folder: Path) -> list[dict[str, Any]]:
    """The journal of the only run in a folder."""
    (path,) = folder.glob("runs/*/*/journal.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


def processes(*words: str) -> dict[int, str]:
    """The command lines of running processes that contain all these words, by process id, of those started here."""
    found, begun_here = {}, f"{MARK}={os.getpid()}\0".encode()
    for path in Path("/proc").glob("[0-9]*"):
        line = _content(path / "cmdline").replace(b"\0", b" ").decode()
        if line and all(word in line for word in words) and int(path.name) != os.getpid():
            parent = _content(path / "stat").rpartition(b")")[2].split()[1:2]  # Ray's workers write over their own
            if any(
                begun_here in _content(one / "environ") for one in (path, Path("/proc", *map(bytes.decode, parent)))
            ):
                found[int(path.name)] = line
    return found


def end_processes(since: float) -> None:
    """Kill the processes that were started here since then, in seconds since the machine was started."""
    ticks = os.sysconf("SC_CLK_TCK")
    for process in processes():
        fields = _content(Path("/proc", str(process), "stat")).rpartition(b")")[2].split()
        if len(fields) > 19 and int(fields[19]) / ticks >= since - 1 / ticks:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes() + b"\0"
    except OSError:  # the process has ended meanwhile, or is not ours
        return b""


def wait_until(condition: Callable[[], Any], seconds: float = 90) -> None:
    """Until it is true; fails if that takes longer."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
