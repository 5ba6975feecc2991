"""The one process that writes to MLflow: it follows a run's journal and acknowledges what is written.

python -m pipeline.tracking.mlflow runs/<name>/<id>/journal.jsonl
"""

import fcntl
import os
import sqlite3
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.entities import DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT, MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NAME
from sqlalchemy import event
from sqlalchemy.engine import Engine

from pipeline.journal import Reader, events
from pipeline.tracking.acknowledgements import Acknowledgements
from pipeline.tracking.mlflow_model import data_set, log_model
from pipeline.tracking.trial_run import TrialRun, Trials, Written, flat

PARAMETERS_PER_BATCH = 100  # MLflow's limits for one request
METRICS_PER_BATCH = 1000
LONGEST_PARAMETER = 6000
SECONDS_TO_FINISH = 30  # after the driver is gone
HASTE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "5"}
PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "4", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30"}
DRIVER_GONE = threading.Event()


class Writer:
    """Turns the journal's events into MLflow runs."""

    def __init__(self, journal: Path) -> None:
        self._folder = journal.parent
        session = [event for event in events(journal) if event["event"] == "run"][-1]
        self._tracking, self._began = session["tracking"], session["time"]
        self._acknowledgements = Acknowledgements(self._folder / "tracking.jsonl", self._tracking["uri"])
        self._written = self._acknowledgements.trials
        self._confirmed: set[str] = set()  # runs of trials that belong to this session, too
        self._trials = Trials()
        self._parent = ""

    def handle(self, happened: dict[str, Any]) -> None:
        """Write one event of the journal. What an earlier session came to only counts as this one comes to it, too."""
        if happened["time"] < self._began and happened["event"] not in ("run", "data", "rung", "slice"):
            return
        self._trials.handle(happened)
        getattr(self, f"_on_{happened['event']}", lambda happened: None)(happened)

    def give_up(self) -> None:
        """Something went wrong: do not leave a run behind that seems to go on."""
        if self._parent:
            with suppress(MlflowException):
                self._client.set_terminated(self._parent, "FAILED")

    def _on_run(self, happened: dict[str, Any]) -> None:
        if self._parent:  # a session of the run before this one was followed already
            return
        self._client = open_store(self._tracking["uri"])
        self._experiment_id = experiment_id(self._client, self._tracking)
        self._parent = self._acknowledgements.parent
        if self._acknowledgements.resumed:
            kept = {self._parent, *(written.run_id for written in self._written.values())}
            delete_others(self._client, self._experiment_id, happened["run_id"], kept)
        if self._parent:
            self._client.update_run(self._parent, status="RUNNING")
            return
        run = self._client.create_run(
            self._experiment_id,
            start_time=happened["time"],
            run_name=happened["run_id"],
            tags={"kind": "sweep", "pipeline_run": happened["run_id"], "code_version": happened["version"]},
        )
        self._parent = run.info.run_id
        parameters = [Param(name, value[:LONGEST_PARAMETER]) for name, value in flat(happened["settings"])]
        for at in range(0, len(parameters), PARAMETERS_PER_BATCH):
            self._client.log_batch(self._parent, params=parameters[at : at + PARAMETERS_PER_BATCH])
        self._client.log_artifact(self._parent, str(self._folder / "config.yaml"))
        where = {"tracking_uri": self._tracking["uri"], "experiment_id": self._experiment_id, "run_id": self._parent}
        self._acknowledgements.add("run", **where)

    def _on_data(self, happened: dict[str, Any]) -> None:
        card = happened["card"]
        inputs = DatasetInput(data_set(card), [InputTag(MLFLOW_DATASET_CONTEXT, "training")])
        self._client.log_inputs(self._parent, [inputs])
        self._client.set_tag(self._parent, "data_hash", card["digest"])
        self._client.log_artifact(self._parent, str(self._folder / "data_card.json"))

    def _on_over(self, happened: dict[str, Any]) -> None:
        for key in happened["trials"]:
            self._write(self._trials.runs[key], self._trials.runs[key].status)

    def _on_champion(self, happened: dict[str, Any]) -> None:
        scores = {f"{part}_{name}": value for part in ("validation", "test") for name, value in happened[part].items()}
        metrics = [Metric(name, value, happened["time"], 0) for name, value in scores.items()]
        self._client.log_batch(self._parent, metrics=metrics, tags=[RunTag("champion", happened["label"])])
        self._client.log_artifact(self._parent, str(self._folder / "leaderboard.csv"))
        name = self._tracking["model"]
        model_version = log_model(self._folder / "model", self._parent, name)
        self._client.set_registered_model_alias(name, "champion", model_version)
        self._acknowledgements.add("model", name=name, version=model_version, alias="champion")

    def _on_end(self, happened: dict[str, Any]) -> None:
        for trial in self._trials.runs.values():
            if not trial.over and trial.epochs:
                self._write(trial, "KILLED")
        if happened["status"] == "FINISHED":
            # of other trials, or of fewer or other networks
            for run_id in {written.run_id for written in self._written.values()} - self._confirmed:
                self._client.delete_run(run_id)
        self._client.set_terminated(self._parent, happened["status"], happened["time"])
        self._acknowledgements.add("end", status=happened["status"])

    def _write(self, trial: "TrialRun", status: str) -> None:
        """One nested run, unless it is there already; in place of one that knew less."""
        self._confirmed.discard(trial.run_id)
        networks = (trial.key, *trial.addresses.values())
        before = self._written.get(networks)
        if before and (before.epochs, before.status) == (trial.epochs, status):
            trial.run_id = before.run_id
            self._confirmed.add(before.run_id)
            return
        tags = {MLFLOW_PARENT_RUN_ID: self._parent, "pipeline_run": self._folder.name}
        run_id = create_trial(self._client, self._experiment_id, tags, trial, status)
        self._written[networks] = written = Written(run_id, trial.epochs, status)
        trial.run_id = run_id
        self._confirmed.add(run_id)
        self._acknowledgements.add("trial", trial=trial.key, networks=networks[1:], **written._asdict())
        if before:
            self._client.delete_run(before.run_id)


def create_trial(client: MlflowClient, experiment: str, tags: dict[str, str], trial: TrialRun, status: str) -> str:
    """Make the nested run of a trial, in three calls; its id."""
    tags = trial.tags() | tags | {MLFLOW_RUN_NAME: trial.description["label"]}
    run_id = str(client.create_run(experiment, start_time=trial.started, tags=tags).info.run_id)
    parameters = [Param(name, str(value)) for name, value in trial.description["parameters"].items()]
    metrics = [Metric(*point) for point in trial.metrics()]
    client.log_batch(run_id, metrics[:METRICS_PER_BATCH], parameters)
    for at in range(METRICS_PER_BATCH, len(metrics), METRICS_PER_BATCH):
        client.log_batch(run_id, metrics[at : at + METRICS_PER_BATCH])
    client.set_terminated(run_id, status, trial.ended)
    return run_id


def experiment_id(client: MlflowClient, tracking: dict[str, Any]) -> str:
    """The experiment's; it is made if there is none."""
    name = tracking["experiment"]
    try:
        return str(client.create_experiment(name, tracking["artifacts"]))
    except MlflowException:  # it is there, or another run made it just now
        found = client.get_experiment_by_name(name)
    if found is None or found.lifecycle_stage != "active":
        raise MlflowException(f"experiment {name} was deleted: restore it, or choose another name=...")
    return str(found.experiment_id)


def delete_others(client: MlflowClient, experiment: str, run: str, kept: set[str]) -> None:
    """Of all that is there of a pipeline's run: a writer was killed before it acknowledged it, or had replaced it."""
    for one in client.search_runs([experiment], f"tags.pipeline_run = '{run}'", max_results=50_000):
        if one.info.run_id not in kept:
            client.delete_run(one.info.run_id)


def open_store(uri: str) -> MlflowClient:
    """A client of a store that answers; a local SQLite file is made ready first, by one process at a time."""
    mlflow.set_tracking_uri(uri)
    if not uri.startswith("sqlite:///"):
        patience = {name: os.environ.get(name, value) for name, value in PATIENCE.items()}
        os.environ |= HASTE  # a server that is not there is noticed in seconds
        client = MlflowClient(uri)
        client.search_experiments(max_results=1)
        os.environ |= patience  # one that is there may be restarted meanwhile
        return client
    path = Path(uri.removeprefix("sqlite:///"))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(path.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA journal_mode=WAL")  # readers do not wait for us, and commits are cheaper
        connection.close()
        event.listen(Engine, "connect", lambda c, _: c.execute("PRAGMA synchronous=NORMAL"))
        client = MlflowClient(uri)
        client.search_experiments(max_results=1)  # makes the tables
    return client


def _wait_for_driver() -> None:
    """Standard input is a pipe from the driver: it ends when the driver does. What hangs then is given up."""
    sys.stdin.read()
    DRIVER_GONE.set()
    time.sleep(SECONDS_TO_FINISH)
    os._exit(1)


def follow(journal: Path) -> None:
    """Write what the journal says until its last event, or until the driver is gone."""
    driver = threading.Thread(target=_wait_for_driver, daemon=True)
    driver.start()
    writer, reader = Writer(journal), Reader(journal)
    try:
        _follow(writer, reader)
    except Exception:
        writer.give_up()
        raise


def _follow(writer: Writer, reader: Reader) -> None:
    while True:
        driver_gone = DRIVER_GONE.is_set()
        found = list(reader.events())
        for happened in found:
            if happened["event"] != "end":
                writer.handle(happened)
            elif happened is found[-1]:  # else a later session goes on
                writer.handle(happened)
                return
        if driver_gone:
            writer.handle({"event": "end", "status": "KILLED", "time": int(time.time() * 1000)})
            return
        time.sleep(0.1)


if __name__ == "__main__":
    os.nice(10)  # the cores are for training
    follow(Path(sys.argv[1]))
