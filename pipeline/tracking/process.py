"""Starts and awaits the process that writes to MLflow. The driver itself never imports MLflow.

The writer (pipeline.tracking.mlflow_writer) follows the journal while the sweep trains, and survives the Ctrl-C that
ends the driver.
"""

import json
import os
import re
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from math import inf
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator
from pydantic.dataclasses import dataclass

from pipeline.components.errors import SettingError
from pipeline.components.fields import STRICT, Name, PositiveInt
from pipeline.components.secrets import is_masked, masked
from pipeline.runs.journal import last_event, last_session, not_in_use
from pipeline.runs.replay import salvaged
from pipeline.tracking.base import Tracker
from pipeline.tracking.reachability import why_unusable
from pipeline.tracking.write_log import read

WRITER = {
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # an address may hold a password
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
SECONDS_SILENT, SECONDS_BETWEEN_MESSAGES = 2.0, 5.0  # while the driver waits for the writer
SECONDS_WITHOUT_PROGRESS = 60.0  # after which it no longer waits
SECONDS_AFTER_INTERRUPT = 3.0  # the longest wait; the writer goes on by itself
DATABASES = ("sqlite", "postgresql", "mysql", "mssql")


def _address(uri: str) -> str:
    """Check the URI of a store; the path of an SQLite file becomes absolute."""
    scheme, _, rest = uri.partition("://")
    if uri == "auto" or (scheme in ("http", "https") and rest):
        return uri
    if scheme == "sqlite" and len(rest) > 1:
        return f"sqlite:///{Path(rest[1:]).absolute()}"
    if scheme != "sqlite" and scheme.partition("+")[0] in DATABASES and rest:
        return uri
    raise ValueError(f"must be auto, http://host:port, or a database such as sqlite:///file.db, but is {uri}")


@dataclass(frozen=True, config=STRICT)
class MlflowTracking:
    """Track in MLflow.

    Parameters
    ----------
    uri : str
        A tracking server (http://...) or a database (sqlite:///...); auto is a file in the folder of runs.
    required : bool
        Whether a store that cannot be used before the run is an error; if not, it is a warning.
    experiment : str
        The experiment's name.
    model : str
        The name under which the champion is registered.
    curves : {"all", "top", "none"}
        Which trials have their values by epoch in MLflow, in addition to the final ones.
    points : int, >= 1
        Epochs that a curve has at most, evenly spread.
    most_trials : int, >= 1
        The first trials that get a run of their own; of later ones only those among the best do.
    promote : {"better", "always", "never"}
        When the alias champion moves to a new model; better: if it is better by the same metric on the same data.
    """

    uri: Annotated[str, AfterValidator(_address)]
    required: bool
    experiment: Name
    model: Name
    curves: Literal["all", "top", "none"]
    points: PositiveInt
    most_trials: PositiveInt
    promote: Literal["better", "always", "never"]

    def describe(self, runs: Path) -> dict[str, Any]:
        """Return where to write, and under which names."""
        artifacts = None if self._uri(runs).startswith("http") else (runs / "artifacts" / self.experiment).as_uri()
        return {
            "uri": self._uri(runs),
            "experiment": self.experiment,
            "artifacts": artifacts,
            "model": self.model,
            "curves": self.curves,
            "points": self.points,
            "most_trials": self.most_trials,
            "promote": self.promote,
        }

    def check(self, runs: Path) -> str:
        """See Tracking."""
        problem = why_unusable(self._uri(runs))
        if not problem:
            return ""
        text = f"tracking.uri={masked(self.uri)} cannot be used: {problem}"
        if self.required:
            raise SettingError(f"{text}; or set tracking.required=false to write to MLflow later")
        return f"{text}. The sweep goes on without MLflow; nnsweep track writes the run to it later"

    def start(self, journal: Path) -> Tracker:
        """Start the writer."""
        return WriterProcess(journal, self.describe(journal.parents[2]))

    def view_command(self, runs: Path) -> str | None:
        """See Tracking; a tracking server has its own UI."""
        uri = self._uri(runs)
        if uri.startswith("http"):
            return None
        ours = "nnsweep" if Path(sys.argv[0]).name == "nnsweep" else f"{shlex.quote(sys.executable)} -m pipeline"
        return f"{ours} ui runs={shlex.quote(str(runs))}" + (
            "" if self.uri == "auto" else f" uri={shlex.quote(masked(uri))}"
        )

    def _uri(self, runs: Path) -> str:
        return f"sqlite:///{runs / 'mlflow.db'}" if self.uri == "auto" else self.uri


def server_command(port: int) -> list[str]:
    """Python's arguments for an MLflow server that only this machine can reach."""
    module = "pipeline.tracking.mlflow_server"
    return ["-P", "-m", module, "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]


def server_environment(uri: str) -> dict[str, str]:
    """The server's environment: the store, whose URI may contain a password; no background jobs, which start slowly."""
    jobs = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    return os.environ | jobs | {"MLFLOW_BACKEND_STORE_URI": uri, "PYTHONPATH": _python_path()}


class WriterProcess:
    """The process that writes one run to MLflow: ``python -m pipeline.tracking.mlflow_writer JOURNAL``.

    It runs in a session of its own, so that Ctrl-C in the terminal does not reach it. Its standard input is a pipe from
    this process: the writer notices when it closes, and then ends by itself. It ends as well after the journal's last
    event.

    Parameters
    ----------
    journal : Path
        The journal to follow; its first event has been written already.
    tracking : dict
        What `MlflowTracking.describe` returns. It goes through the pipe, because a command line, which may contain a
        password, can be read by every user of the machine.
    """

    def __init__(self, journal: Path, tracking: dict[str, Any]) -> None:
        self._journal, self._most_trials = journal, tracking["most_trials"]
        self._write_log = journal.with_name("tracking.jsonl")
        self._n_before = len(read(self._write_log))  # lines of earlier sessions
        self._log = journal.with_name("tracking.log")
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "pipeline.tracking.mlflow_writer", str(journal)],
                env=os.environ | WRITER | {"PYTHONPATH": _python_path()},
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        assert self._process.stdin
        self._process.stdin.write(json.dumps(tracking).encode() + b"\n")
        self._process.stdin.flush()

    def finish(self, say: Callable[[str], None], interrupted: bool = False) -> dict[str, Any] | None:
        """See Tracker.finish."""
        problem = self._wait(say, SECONDS_AFTER_INTERRUPT if interrupted else inf)
        self.close_input()
        threading.Thread(target=self._process.wait, daemon=True).start()  # Python takes a second to unload MLflow
        lines = read(self._write_log)
        if problem:
            say(
                f"warning: MLflow was not written to the end ({masked(problem)}; see {self._log}); the run's folder is "
                f"complete: nnsweep track run={self._log.parent.name} writes the rest"
            )
        runs = [line for line in lines if line["event"] == "run"]
        if not runs:
            return None
        model = next((line for line in reversed(lines[self._n_before :]) if line["event"] == "model"), None)
        view = next((line["tag"] for line in reversed(lines) if line["event"] == "view"), None)
        where = {key: runs[-1][key] for key in ("tracking_uri", "experiment_id", "run_id")}
        return where | {"view": view, "model": model}

    def close_input(self) -> None:
        """Tell the writer that nothing is added to the journal any more."""
        if self._process.stdin:
            self._process.stdin.close()

    def _wait(self, say: Callable[[str], None], longest: float) -> str:
        """Wait until the journal's last event is acknowledged; why it is not, or ""."""
        start = progress = time.monotonic()
        last_line = last_event(self._journal)["line"]  # the writer of an earlier session may still acknowledge its own
        next_message, size, n_written, said = progress + SECONDS_SILENT, -1, 0, (-1, "")
        while True:
            has_ended = self._process.poll() is not None  # asked first: its last line is in the file by then
            if (now := self._size_of_write_logs()) != size:
                size, lines = now, read(self._write_log)[self._n_before :]
                cause = lines[-1]["reason"] if lines and lines[-1]["event"] == "failure" else ""
                if lines and lines[-1]["event"] == "end" and lines[-1]["line"] >= last_line:
                    return ""
                if not cause:
                    progress = time.monotonic()
                n_written = sum(line["event"] == "trial" for line in lines)
            if has_ended:
                return cause or self._last_error()
            if time.monotonic() > progress + SECONDS_WITHOUT_PROGRESS:
                self._process.terminate()
                return cause or f"no progress for {SECONDS_WITHOUT_PROGRESS:g} s"
            if time.monotonic() > start + longest:
                return "interrupted; the writer goes on for some seconds"
            if time.monotonic() > next_message:
                next_message, before, said = time.monotonic() + SECONDS_BETWEEN_MESSAGES, said, (n_written, cause)
                if said != before:
                    reason = f"; {cause}" if cause else ""
                    say(
                        f"waiting for MLflow: {n_written} of {self._n_trials()} trials written{reason} "
                        f"(given up after {SECONDS_WITHOUT_PROGRESS:g} s without progress)"
                    )
            time.sleep(0.1)

    def _last_error(self) -> str:
        """The last exception in the writer's output, which holds other lines, too, such as progress bars."""
        log = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        errors = [line for line in log if re.match(r"[A-Za-z_][\w.]*(Error|Exception|Interrupt)\b", line)]
        return errors[-1] if errors else f"the writer ended with exit code {self._process.returncode}"

    def _size_of_write_logs(self) -> int:
        """Bytes of all acknowledgements, also of earlier runs, which the writer completes first."""
        return sum(path.stat().st_size for path in self._journal.parent.parent.glob("*/tracking.jsonl"))

    def _n_trials(self) -> int:
        """Trials that have a run of their own in MLflow, unless later ones are among the best."""
        return min(len(salvaged(self._journal.parent).trials), self._most_trials)


def _python_path() -> str:
    """PYTHONPATH of the writer: this package first, whatever the current folder contains."""
    root = str(Path(__file__).parents[2])
    return os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))


def bring_level(folder: Path, say: Callable[[str], None], uri: str | None = None) -> dict[str, Any] | None:
    """Write to MLflow what is missing of a run.

    Parameters
    ----------
    folder : Path
        The run's folder.
    say : callable
        See Tracker.finish.
    uri : str, optional
        A store other than the one that the run was tracked in.

    Returns
    -------
    dict or None
        See Tracker.finish.

    Raises
    ------
    SettingError
        If a process works on the run, the run was not tracked and `uri` is missing, or the store cannot be used.
    """
    session = last_session(not_in_use(folder))
    tracking, name = session["tracking"], session["settings"].get("name", "")
    if uri is not None:
        how: dict[str, Any] = {
            "required": True,
            "curves": "all",
            "points": 100,
            "most_trials": 20_000,
            "promote": "better",
        }
        new = MlflowTracking(uri=uri, experiment=name, model=name, **how).describe(folder.parents[1])
        tracking = {**(tracking or new), "uri": new["uri"], "artifacts": new["artifacts"]}
    elif tracking is None:
        raise SettingError(f"run={folder.name} was not tracked; name a store with uri=sqlite:///... or uri=http://...")
    elif is_masked(tracking["uri"]):
        raise SettingError(f"run={folder.name}: the password of {tracking['uri']} is not kept; give it with uri=...")
    if problem := why_unusable(tracking["uri"]):
        raise SettingError(f"run={folder.name}: uri={masked(tracking['uri'])} cannot be used: {problem}")
    writer = WriterProcess(folder / "journal.jsonl", tracking)
    writer.close_input()
    return writer.finish(say)


def store_of(folder: Path, uri: str | None = None) -> str:
    """The store in which a run is tracked.

    Parameters
    ----------
    folder : Path
        The run's folder.
    uri : str, optional
        The store, if it is not where the run was tracked, or if its address holds a password.

    Returns
    -------
    str
        Its URI; the store answers.

    Raises
    ------
    SettingError
        If the run was not tracked and `uri` is missing, or the store cannot be used.
    """
    run, own = f"run={folder.name}", folder.parents[1] / "mlflow.db"
    if uri is None:
        stores = [line["tracking_uri"] for line in read(folder / "tracking.jsonl") if line["event"] == "run"]
        if not stores:
            where = "" if last_session(folder)["tracking"] else f" uri=sqlite:///{shlex.quote(str(own))}"
            raise SettingError(
                f"{run} is not in MLflow, so that no registry has its model; to register it: "
                f"nnsweep track {run} runs={shlex.quote(str(folder.parents[1]))}{where}"
            )
        uri = str(stores[-1])
        if is_masked(uri):
            raise SettingError(f"{run}: the password of {uri} is not kept; give it with uri=...")
    file = Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None
    if file and not file.exists():
        elsewhere = f"sqlite:///{own}" if own.exists() else "..."
        raise SettingError(f"{run}: its store {uri} is not there; name it with uri={shlex.quote(elsewhere)}")
    if problem := why_unusable(uri):
        raise SettingError(f"{run}: uri={masked(uri)} cannot be used: {problem}")
    return uri
