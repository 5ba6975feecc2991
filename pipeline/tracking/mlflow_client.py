"""Opening a store of MLflow, and writing to it by the calls of MLflow's client."""

import fcntl
import os
import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from weakref import WeakSet

import mlflow
from mlflow import MlflowClient
from mlflow.db import upgrade
from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine

from nncore.kernels.compiled import user_cache
from pipeline.tracking.content import RunContent
from pipeline.tracking.reachability import why_unusable

PARAMETERS_PER_BATCH = 100  # MLflow's limits for one request
METRICS_PER_BATCH = 1000
SQLITE = "sqlite:///"
SQLITE_TIMEOUT = 20.0  # seconds to wait for another process that writes to the file
ENGINES: WeakSet[Engine] = WeakSet()  # which MLflow has opened in this process
PROBE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "5"}
REQUESTS = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "30"}


def open_store(uri: str) -> MlflowClient:
    """Return a client of a store that answers; the file of a local SQLite store is created if necessary.

    Raises
    ------
    MlflowException or sqlite3.Error
        If the store does not answer.
    """
    if not uri.startswith(SQLITE):
        if problem := why_unusable(uri):  # MLflow itself tries for a minute to reach a database
            raise MlflowException(problem)
        requests = {name: os.environ.get(name, value) for name, value in REQUESTS.items()}
        os.environ |= PROBE  # a server that is down is noticed within seconds
        client = MlflowClient(uri)
        client.search_experiments(max_results=1)
        os.environ |= requests  # a server that is up may be restarted later
        return client
    path = Path(uri.removeprefix(SQLITE))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(path.name + ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # MLflow fails if two processes create the tables of one store
        if not path.exists():
            copy_template(path)
        with closing(sqlite3.connect(path, timeout=SQLITE_TIMEOUT)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")  # kept in the file: readers do not block the writer
        if not event.contains(Engine, "connect", _commit_without_fsync):
            event.listen(Engine, "connect", _commit_without_fsync)
            event.listen(Engine, "engine_connect", _note_engine)
        client = MlflowClient(uri)
        client.search_experiments(max_results=1)  # opens the store; MLflow migrates the tables of an older version
    return client


def close_stores() -> None:
    """Close all connections to local stores: SQLite then moves its log (mlflow.db-wal) into the file."""
    for engine in [*ENGINES]:
        engine.dispose()


def _note_engine(connection: Connection) -> None:
    ENGINES.add(connection.engine)


def _commit_without_fsync(connection: Any, _: object) -> None:
    """Do not wait for the disk: in WAL mode a power failure may undo the last commits, but damages nothing."""
    connection.execute("PRAGMA synchronous=NORMAL")


def copy_template(path: Path) -> None:
    """Create a database with MLflow's empty tables as a copy of a template.

    MLflow creates its tables by 68 migrations, which take 1.8 s. The result is therefore kept in the user's cache
    folder, one file per version of MLflow, and copied for each new store. Where the cache cannot be written, or MLflow
    cannot create the template, nothing is done: MLflow then creates the tables as the store is opened.
    """
    cache = user_cache()
    template = cache / f"mlflow-{mlflow.__version__}.db"
    with suppress(Exception), TemporaryDirectory(dir=path.parent, prefix=f"{path.name}.") as folder:
        new = Path(folder) / path.name
        if template.exists():
            shutil.copyfile(template, new)
        else:
            upgrade.main([f"{SQLITE}{new}"], standalone_mode=False)
            cache.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(new, template.with_name(f"{template.name}.{os.getpid()}"))
            template.with_name(f"{template.name}.{os.getpid()}").replace(template)
        new.replace(path)


def experiment_id(client: MlflowClient, name: str, artifacts: str | None) -> str:
    """Return the id of an experiment, which is created if there is none of this name.

    Parameters
    ----------
    client : MlflowClient
    name : str
    artifacts : str or None
        Where a new experiment stores the files of its runs; None: where the server decides.

    Raises
    ------
    MlflowException
        If the experiment was deleted.
    """
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        with suppress(MlflowException):  # another run creates it at this moment
            return str(client.create_experiment(name, artifacts))
        experiment = client.get_experiment_by_name(name)
    if experiment is None or experiment.lifecycle_stage != "active":
        raise MlflowException(f"experiment {name} was deleted: restore it, or choose another name=...")
    return str(experiment.experiment_id)


def create_run(client: MlflowClient, experiment: str, run: RunContent) -> str:
    """Write one finished run by MLflow's own calls, three unless it is large; its id."""
    created = client.create_run(experiment, start_time=run.started, tags=run.tags, run_name=run.name)
    run_id = str(created.info.run_id)
    log(client, run_id, run)
    client.set_terminated(run_id, run.status, run.ended)
    return run_id


def log(client: MlflowClient, run_id: str, run: RunContent) -> None:
    """Add a run's parameters and metrics to it, in as few calls as MLflow allows."""
    parameters = [Param(name, value) for name, value in run.parameters.items()]
    metrics = [Metric(*point) for point in run.metrics]
    client.log_batch(run_id, metrics[:METRICS_PER_BATCH], parameters[:PARAMETERS_PER_BATCH])
    for first in range(METRICS_PER_BATCH, len(metrics), METRICS_PER_BATCH):
        client.log_batch(run_id, metrics[first : first + METRICS_PER_BATCH])
    for first in range(PARAMETERS_PER_BATCH, len(parameters), PARAMETERS_PER_BATCH):
        client.log_batch(run_id, params=parameters[first : first + PARAMETERS_PER_BATCH])
