"""The short road into a local SQLite store of MLflow: finished runs as rows of its five tables, in one transaction.

MLflow offers nothing of the kind, and its own calls take some twenty times as long. So this road is taken only into a
store whose schema is one of VERIFIED, with which tests have compared what MLflow reads back after either road.
"""

import math
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from uuid import uuid4

from pipeline.tracking.content import Point, RunContent

VERIFIED = {  # MLflow's names for a schema's last migration, and the versions that have it
    "1b5f0d9ad7c1": "3.10",
    "c3d6457b6d8a": "3.11",
    "7d34483879f0": "3.12",
    "da6fb0208061": "3.13",
    "b7e4c1a90f23": "3.14",
    "6f8d9c3b2a1e": "3.15",
    "b7e2c1a4d9f3": "3.16",
    "dc11669786a5": "3.17",
}
SECONDS_TO_WAIT = 20.0  # for another process that writes to the store
TABLES = {
    "runs": "run_uuid name source_type source_name entry_point_name user_id status start_time end_time source_version "
    "lifecycle_stage artifact_uri experiment_id deleted_time",
    "tags": "key value run_uuid",
    "params": "key value run_uuid",
    "metrics": "key value timestamp run_uuid step is_nan",
    "latest_metrics": "key value timestamp step is_nan run_uuid",
}


def is_open_to(uri: str) -> bool:
    """Whether the store is a local file whose schema was verified."""
    if not uri.startswith("sqlite:///"):
        return False
    with suppress(sqlite3.Error), closing(_connected(uri)) as connection:
        revisions = connection.execute("SELECT version_num FROM alembic_version").fetchall()
        return {revision for (revision,) in revisions} <= set(VERIFIED) and all(
            {row[1] for row in connection.execute(f"PRAGMA table_info({table})")} == set(columns.split())
            for table, columns in TABLES.items()
        )
    return False


def write(uri: str, experiment: str, artifacts: str, runs: Sequence[RunContent]) -> list[str]:
    """Write the runs, all of them or none; their ids.

    experiment   its id
    artifacts    where the experiment keeps its runs' files

    Raises   sqlite3.Error
    """
    rows: dict[str, list[tuple[object, ...]]] = {table: [] for table in TABLES}
    ids = [uuid4().hex for _ in runs]
    for run_id, run in zip(ids, runs, strict=True):
        folder = f"{artifacts.rstrip('/')}/{run_id}/artifacts"
        said = ("UNKNOWN", "", "", "unknown", run.status, run.started, run.ended, "", "active", folder, int(experiment))
        rows["runs"].append((run_id, run.name, *said, None))
        rows["tags"] += [(name, value, run_id) for name, value in {**run.tags, "mlflow.runName": run.name}.items()]
        rows["params"] += [(name, value, run_id) for name, value in run.parameters.items()]
        points = list(dict.fromkeys(map(_stored, run.metrics)))
        rows["metrics"] += [(name, value, time, run_id, step, nan) for name, value, time, step, nan in points]
        rows["latest_metrics"] += [(*point, run_id) for point in _latest(points)]
    with closing(_connected(uri)) as connection, connection:
        for table, columns in TABLES.items():
            names = columns.replace(" ", ", ")
            values = ", ".join("?" * len(columns.split()))
            connection.executemany(f"INSERT INTO {table} ({names}) VALUES ({values})", rows[table])  # noqa: S608
    return ids


def _connected(uri: str) -> sqlite3.Connection:
    path = Path(uri.removeprefix("sqlite:///")).absolute()
    connection = sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=SECONDS_TO_WAIT)
    connection.execute("PRAGMA synchronous=NORMAL")  # a commit in the log of changes is enough
    return connection


Stored = tuple[str, float, int, int, bool]  # name, value, time, step, is NaN


def _stored(point: Point) -> Stored:
    """A metric as MLflow stores it: NaN as 0 with a mark."""
    is_nan = math.isnan(point.value)
    return point.name, 0.0 if is_nan else point.value, point.time, point.step, is_nan


def _latest(points: list[Stored]) -> Iterator[Stored]:
    """Of each metric the value that MLflow calls the latest: of the last step, then of the last time, the largest."""
    latest: dict[str, Stored] = {}
    for point in points:
        name, value, time, step, _ = point
        if name not in latest or (step, time, value) > (latest[name][3], latest[name][2], latest[name][1]):
            latest[name] = point
    yield from latest.values()
