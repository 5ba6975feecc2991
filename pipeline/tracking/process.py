"""Starts and awaits the process that writes to MLflow. The driver itself never imports MLflow.

The writer (pipeline.tracking.mlflow_writer) follows the journal at low priority, so that its start and its work
cost the sweep little, and survives the Ctrl-C that ends the driver.
"""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator
from pydantic.dataclasses import dataclass

from pipeline.components.errors import SettingError
from pipeline.components.fields import STRICT, Name, PositiveInt
from pipeline.components.secrets import is_masked, masked
from pipeline.runs.journal import at_rest, last_session
from pipeline.tracking.base import Tracker
from pipeline.tracking.subprocess import start_beside
from pipeline.tracking.write_log import read

WRITER = {"MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true"}  # an address may hold a password
DATABASES = ("sqlite", "postgresql", "mysql", "mssql")


def _address(uri: str) -> str:
    """Check an address of a store; that of an SQLite file becomes absolute."""
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

    uri          a tracking server (http://...) or database (sqlite:///...); auto: a file in the folder of runs
    experiment   the experiment's name
    model        the name under which the champion is registered
    curves       which trials have their values by epoch there, and not only the final ones
    points       epochs that a curve shows at most, evenly spread
    most_trials  that have runs of their own, whatever they came to; of further ones only the best have
    promote      when the alias champion moves to a new model: if it is better by the same metric on the same data, or
                 always, or never
    """

    uri: Annotated[str, AfterValidator(_address)]
    experiment: Name
    model: Name
    curves: Literal["all", "top", "none"]
    points: PositiveInt
    most_trials: PositiveInt
    promote: Literal["better", "always", "never"]

    def describe(self, runs: Path) -> dict[str, Any]:
        """Where and under which names to write."""
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

    def start(self, journal: Path) -> Tracker:
        """Start the writer."""
        return WriterProcess(journal, self.describe(journal.parents[2]))

    def view_command(self, runs: Path) -> str | None:
        """See Tracking.view_command; a server that is there already needs none."""
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
    """What to give Python for a server of MLflow that starts fast and that only this machine can reach."""
    return ["-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]


def server_environment(uri: str) -> dict[str, str]:
    """Its environment: the store, whose password is nobody's business; no background jobs, which start slowly."""
    return os.environ | {"MLFLOW_BACKEND_STORE_URI": uri, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


class WriterProcess:
    """The running writer. It stops by itself after the journal's last event, or soon after this process dies.

    tracking   what it must know; it goes through a pipe, because a command line can be read by everybody
    """

    def __init__(self, journal: Path, tracking: dict[str, Any]) -> None:
        self._acknowledged = journal.with_name("tracking.jsonl")
        self._n_before = len(read(self._acknowledged))  # of earlier sessions
        self._log = journal.with_name("tracking.log")
        with self._log.open("wb") as log:
            self._process = start_beside(
                "pipeline.tracking.mlflow_writer", str(journal), environment=WRITER, stdout=log, stderr=log
            )
        assert self._process.stdin
        self._process.stdin.write(json.dumps(tracking).encode() + b"\n")
        self._process.stdin.flush()

    def finish(self, say: Callable[[str], None]) -> dict[str, Any] | None:
        """See Tracker.finish."""
        while self._process.poll() is None:
            try:
                self._process.wait(timeout=3)
            except subprocess.TimeoutExpired:
                written = sum(line["event"] == "trial" for line in read(self._acknowledged)[self._n_before :])
                say(f"MLflow: {written} trials written so far")
        self.let_alone()
        lines = read(self._acknowledged)
        now = {line["event"]: line for line in lines[self._n_before :]}
        if self._process.returncode != 0 or "end" not in now:
            said = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["no word"]
            say(
                f"warning: MLflow was not written to the end ({masked(said[-1])}; see {self._log}); "
                f"the run's folder has all: "
                f"nnsweep track run={self._log.parent.name} writes the rest"
            )
        runs = [line for line in lines if line["event"] == "run"]
        if not runs:
            return None
        view = next((line["tag"] for line in reversed(lines) if line["event"] == "view"), None)
        where = {key: runs[-1][key] for key in ("tracking_uri", "experiment_id", "run_id")}
        return where | {"view": view, "model": now.get("model")}

    def let_alone(self) -> None:
        """Let it know that nothing more is to come."""
        if self._process.stdin:
            self._process.stdin.close()


def bring_level(folder: Path, say: Callable[[str], None], uri: str | None = None) -> dict[str, Any] | None:
    """Write to MLflow what it lacks of a run; see Tracker.finish.

    uri   of a store, if it is not the one that the run was tracked in

    Raises   SettingError if a process is at work on the run, or it was not tracked and no store is named
    """
    session = last_session(at_rest(folder))
    tracking, name = session["tracking"], session["settings"].get("name", "")
    if uri is not None:
        how: dict[str, Any] = {"curves": "all", "points": 100, "most_trials": 20_000, "promote": "better"}
        new = MlflowTracking(uri=uri, experiment=name, model=name, **how).describe(folder.parents[1])
        tracking = {**(tracking or new), "uri": new["uri"], "artifacts": new["artifacts"]}
    elif tracking is None:
        raise SettingError(f"run={folder.name} was not tracked; say where to with uri=sqlite:///... or uri=http://...")
    elif is_masked(tracking["uri"]):
        raise SettingError(f"run={folder.name}: the password of {tracking['uri']} is not kept; give it with uri=...")
    writer = WriterProcess(folder / "journal.jsonl", tracking)
    writer.let_alone()
    return writer.finish(say)
