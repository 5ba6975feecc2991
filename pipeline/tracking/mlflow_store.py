"""A store of MLflow: made ready quickly, and written to by the fastest road that it allows."""

import fcntl
import os
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.db import upgrade
from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException
from sqlalchemy import event
from sqlalchemy.engine import Engine

from nncore.kernels.compiled import user_cache
from pipeline.tracking import bulk
from pipeline.tracking.content import RunContent

PARAMETERS_PER_BATCH = 100  # MLflow's limits for one request
METRICS_PER_BATCH = 1000
HASTE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "5"}
PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30"}


class MlflowStore:
    """One experiment of a store, which is made if there is none.

    Raises   MlflowException or sqlite3.Error if the store does not answer
    """

    def __init__(self, tracking: dict[str, Any]) -> None:
        self.uri: str = tracking["uri"]
        self.client = open_store(self.uri)
        self.experiment = experiment_id(self.client, tracking)
        self._artifacts = self.client.get_experiment(self.experiment).artifact_location
        self._is_bulk = bulk.is_open_to(self.uri)

    def write(self, runs: Sequence[RunContent]) -> Iterator[str]:
        """Write finished runs; the id of each, as soon as it is there."""
        if self._is_bulk:
            yield from bulk.write(self.uri, self.experiment, self._artifacts, runs)
        else:
            for run in runs:
                yield create(self.client, self.experiment, run)

    def others(self, pipeline_run: str, kept: set[str]) -> list[str]:
        """Of all that is there of a pipeline's run, the ids of those that are not among the kept."""
        query = f"tags.pipeline_run = '{pipeline_run}'"
        found = self.client.search_runs([self.experiment], query, max_results=50_000)
        return [run.info.run_id for run in found if run.info.run_id not in kept]


def create(client: MlflowClient, experiment: str, run: RunContent) -> str:
    """Write one run by MLflow's own calls, three if it is not large; its id."""
    made = client.create_run(experiment, start_time=run.started, tags=run.tags, run_name=run.name)
    run_id = str(made.info.run_id)
    log(client, run_id, run)
    client.set_terminated(run_id, run.status, run.ended)
    return run_id


def log(client: MlflowClient, run_id: str, run: RunContent) -> None:
    """Write a run's parameters and metrics, in as few calls as MLflow allows."""
    parameters = [Param(name, value) for name, value in run.parameters.items()]
    metrics = [Metric(*point) for point in run.metrics]
    client.log_batch(run_id, metrics[:METRICS_PER_BATCH], parameters[:PARAMETERS_PER_BATCH])
    for at in range(METRICS_PER_BATCH, len(metrics), METRICS_PER_BATCH):
        client.log_batch(run_id, metrics[at : at + METRICS_PER_BATCH])
    for at in range(PARAMETERS_PER_BATCH, len(parameters), PARAMETERS_PER_BATCH):
        client.log_batch(run_id, params=parameters[at : at + PARAMETERS_PER_BATCH])


def experiment_id(client: MlflowClient, tracking: dict[str, Any]) -> str:
    """The experiment's; it is made if there is none."""
    name = tracking["experiment"]
    found = client.get_experiment_by_name(name)
    if found is None:
        with suppress(MlflowException):  # another run makes it just now
            return str(client.create_experiment(name, tracking["artifacts"]))
        found = client.get_experiment_by_name(name)
    if found is None or found.lifecycle_stage != "active":
        raise MlflowException(f"experiment {name} was deleted: restore it, or choose another name=...")
    return str(found.experiment_id)


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
        if not path.exists():
            copy_template(path)
        with closing(sqlite3.connect(path, timeout=bulk.SECONDS_TO_WAIT)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")  # readers do not wait for us, and commits are cheaper
        event.listen(Engine, "connect", lambda c, _: c.execute("PRAGMA synchronous=NORMAL"))
        client = MlflowClient(uri)
        client.search_experiments(max_results=1)  # opens it, and brings the tables of an old one to this version
    return client


def copy_template(path: Path) -> None:
    """Make a database with MLflow's empty tables: its own way to make them takes seconds, so it is kept for others.

    The template stands in the user's cache, one for each version of MLflow. Where that cannot be written to, or an
    older MLflow cannot make one, nothing is done: MLflow makes the tables as the store is opened.
    """
    cache = user_cache()
    template = cache / f"mlflow-{mlflow.__version__}.db"
    with suppress(Exception), TemporaryDirectory(dir=path.parent, prefix=f"{path.name}.") as folder:
        fresh = Path(folder) / path.name
        if template.exists():
            shutil.copyfile(template, fresh)
        else:
            upgrade.main([f"sqlite:///{fresh}"], standalone_mode=False)
            cache.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(fresh, template.with_name(f"{template.name}.{os.getpid()}"))
            template.with_name(f"{template.name}.{os.getpid()}").replace(template)
        fresh.replace(path)
