"""The fast road into a local SQLite store of MLflow: finished runs in one transaction, by SQLAlchemy's bulk insert.

This is the one place where the project writes another program's tables. MLflow has no bulk call, and the calls of its
client take about fourteen times as long. The rows go through MLflow's own table definitions
(mlflow.store.tracking.dbmodels.models), which MLflow may change in any version. Therefore, once per version of MLflow
and of this module, runs are written by either road into a throwaway store and read back through MLflow's client (see
`is_verified`). On any difference or exception the client's calls are used.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory
from uuid import uuid4

import mlflow
import sqlalchemy
from mlflow import MlflowClient
from mlflow.store.tracking.dbmodels import models
from sqlalchemy.pool import NullPool

from nncore.kernels.compiled import user_cache
from pipeline.tracking.content import Point, RunContent, run_content
from pipeline.tracking.mlflow_client import SQLITE, SQLITE_TIMEOUT, create_run, experiment_id, open_store

TABLES = (models.SqlRun, models.SqlTag, models.SqlParam, models.SqlMetric, models.SqlLatestMetric)  # parents first
RUN_DEFAULTS = {  # what MLflow's client fills in
    "source_type": "UNKNOWN",
    "source_name": "",
    "entry_point_name": "",
    "user_id": "unknown",
    "source_version": "",
    "lifecycle_stage": "active",
}
Row = dict[str, object]


def write(uri: str, experiment: str, artifacts: str, runs: Sequence[RunContent]) -> list[str]:
    """Write finished runs, all of them or none.

    Parameters
    ----------
    uri : str
        sqlite:///..., a store that exists.
    experiment : str
        The experiment's id.
    artifacts : str
        Where the experiment keeps the files of its runs.
    runs : sequence of RunContent

    Returns
    -------
    list of str
        The runs' ids.

    Raises
    ------
    sqlalchemy.exc.SQLAlchemyError
        If the store refuses the rows.
    """
    ids = [uuid4().hex for _ in runs]
    rows: dict[type, list[Row]] = {table: [] for table in TABLES}
    for run_id, run in zip(ids, runs, strict=True):
        rows[models.SqlRun].append(
            {
                "run_uuid": run_id,
                "name": run.name,
                "status": run.status,
                "start_time": run.started,
                "end_time": run.ended,
                "artifact_uri": f"{artifacts.rstrip('/')}/{run_id}/artifacts",
                "experiment_id": int(experiment),
                **RUN_DEFAULTS,
            }
        )
        rows[models.SqlTag] += _named_values(run_id, {**run.tags, "mlflow.runName": run.name})
        rows[models.SqlParam] += _named_values(run_id, run.parameters)
        metrics, latest = _metric_rows(run_id, run.metrics)
        rows[models.SqlMetric] += metrics
        rows[models.SqlLatestMetric] += latest
    engine = sqlalchemy.create_engine(uri, poolclass=NullPool, connect_args={"timeout": SQLITE_TIMEOUT})
    with engine.begin() as connection:
        for table in TABLES:
            if rows[table]:
                connection.execute(sqlalchemy.insert(table), rows[table])
    return ids


def _named_values(run_id: str, values: Mapping[str, str]) -> Iterator[Row]:
    for name, value in values.items():
        yield {"key": name, "value": value, "run_uuid": run_id}


def _metric_rows(run_id: str, points: Sequence[Point]) -> tuple[list[Row], list[Row]]:
    """The rows of all different points, and the row of each metric's latest: of the highest step, time, then value.

    MLflow stores NaN as 0 with a mark.
    """
    stored = [
        (name, 0.0 if math.isnan(value) else value, time, step, math.isnan(value)) for name, value, time, step in points
    ]
    rows: list[Row] = []
    latest: dict[str, tuple[tuple[int, int, float], Row]] = {}
    for name, value, time, step, is_nan in dict.fromkeys(stored):
        row: Row = {"key": name, "value": value, "timestamp": time, "step": step, "is_nan": is_nan, "run_uuid": run_id}
        rows.append(row)
        order = step, time, value
        if name not in latest or order > latest[name][0]:
            latest[name] = order, row
    return rows, [row for _, row in latest.values()]


def is_open_to(uri: str) -> bool:
    """Whether runs may be written to this store by `write`: it is a local file, and the road is verified."""
    return uri.startswith(SQLITE) and is_verified()


def is_verified() -> bool:
    """Whether `write` stores the same as MLflow's client, by a comparison that is made once per version of MLflow.

    The result is kept in the user's cache folder, beside the template of an empty store.
    """
    name = f"mlflow-{mlflow.__version__}-sqlalchemy-{sqlalchemy.__version__}"
    code = sha256(Path(__file__).read_bytes()).hexdigest()[:8]
    path = user_cache() / f"{name}-bulk-{code}.json"
    with suppress(OSError, ValueError, KeyError):
        return json.loads(path.read_text(encoding="utf-8"))["verified"] is True
    difference = compare_roads()
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(f"{path.name}.{token_hex(4)}")
        new.write_text(json.dumps({"verified": not difference, "difference": difference}), encoding="utf-8")
        new.replace(path)
    return not difference


def compare_roads() -> str:
    """Write runs by either road into a throwaway store, and read both back through MLflow's client.

    Returns
    -------
    str
        The first difference, or the exception; empty if there is none.
    """
    try:
        with TemporaryDirectory() as folder:
            uri = f"{SQLITE}{folder}/store.db"
            client = open_store(uri)
            fast, public = (experiment_id(client, name, Path(folder).as_uri()) for name in ("fast", "public"))
            runs = _sample_runs()
            write(uri, fast, Path(folder).as_uri(), runs)
            for run in runs:
                create_run(client, public, run)
            for one, other in zip(_read_back(client, fast), _read_back(client, public), strict=True):
                if one != other:
                    return f"{one} by bulk insert, {other} by MLflow's client"
    except Exception as error:  # whatever MLflow has changed, its own calls are still there
        return f"{type(error).__name__}: {error}"
    return ""


def _sample_runs() -> list[RunContent]:
    """Runs with several steps, also in disorder and twice, with NaN, infinities and every status."""
    now = 1_700_000_000_000
    curve = [Point("train/loss", 1 / epoch, now + epoch, epoch) for epoch in range(1, 8)]
    disorder = [Point("score", value, now, step) for value, step in ((1, 3), (2, 1), (7, 3), (3, 3), (3, 3))]
    contents = {
        "FINISHED": [*curve, *disorder],
        "FAILED": [*curve[:2], Point("score", math.nan, now, 1), Point("train/loss", math.inf, now, 9)],
        "KILLED": [Point("score", -math.inf, now, 0), Point("score", -2.5, now, 1)],
        "FAILED, no metrics": [],
    }
    return [
        run_content(f"run {number}", {"kind": "trial", "größe": "ü"}, {"a": number, "b": "é"} if metrics else {},
                    metrics, status.split(",")[0], now + number, now + 1000)
        for number, (status, metrics) in enumerate(contents.items())
    ]  # fmt: skip


def _read_back(client: MlflowClient, experiment: str) -> Iterator[str]:
    """All that MLflow's client says of an experiment's runs, but for ids: each run, its curves, and searches."""
    found = client.search_runs([experiment], order_by=["attributes.start_time ASC"])
    for run in found:
        run_id = run.info.run_id
        history = {
            name: sorted(repr((m.value, m.timestamp, m.step)) for m in client.get_metric_history(run_id, name))
            for name in sorted(run.data.metrics)
        }
        content = client.get_run(run_id).to_dictionary()
        content["info"]["experiment_id"] = ""
        yield re.sub(run_id, "ID", repr((content, history, run.to_dictionary()["data"])))
    for order in ("metrics.score ASC", "metrics.score DESC", "params.a DESC", "metrics.`train/loss` ASC"):
        yield repr([run.info.run_name for run in client.search_runs([experiment], order_by=[order])])
    for query in ("metrics.score > 0", "params.a = '1'", "tags.kind = 'trial'", "attributes.status = 'FAILED'"):
        yield repr(sorted(run.info.run_name for run in client.search_runs([experiment], query)))
