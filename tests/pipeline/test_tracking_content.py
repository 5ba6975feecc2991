"""What is written to MLflow: valid names, numbers and texts, thinned curves, in bulk and by its client."""

import json
import math
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy
from hypothesis import given, settings
from hypothesis import strategies as st
from running import nightly_after_first

from pipeline.runs.records import thinned
from pipeline.tracking import mlflow_bulk
from pipeline.tracking.content import Point, fitting_name, run_content
from pipeline.tracking.mlflow_client import copy_template, create_run
from pipeline.tracking.mlflow_store import MlflowStore


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    return MlflowStore({"uri": f"sqlite:///{folder}/m.db", "experiment": "it", "artifacts": folder.as_uri()})


def content(number=0, tags=None, parameters=None, metrics=None, status="FINISHED"):
    curve = [Point("train/loss", 1 / epoch, 1_700_000_000_000 + epoch, epoch) for epoch in range(1, 8)]
    return run_content(
        f"adam {number}",
        {"kind": "trial", "trial_key": str(number)} if tags is None else tags,
        {"optimizer": "adam", "optimizer.learning_rate": 0.1} if parameters is None else parameters,
        curve if metrics is None else metrics,
        status,
        1_700_000_000_000,
        1_700_000_001_000,
    )


def read_back(store, run_id):
    """Everything that MLflow has of a run, except its id."""
    run = store.client.get_run(run_id).to_dictionary()
    run["history"] = {
        name: [
            (repr(metric.value), metric.timestamp, metric.step)
            for metric in store.client.get_metric_history(run_id, name)
        ]
        for name in run["data"]["metrics"]
    }
    run["data"]["metrics"] = {name: repr(value) for name, value in run["data"]["metrics"].items()}
    return re.sub(run_id, "ID", repr(run))


CONTENTS = {
    "plain": content(),
    "failed": content(status="FAILED"),
    "killed without metrics": content(status="KILLED", metrics=[], parameters={}),
    "not finite": content(metrics=[Point("a", math.nan, 5, 0), Point("b", -math.inf, 5, 0), Point("b", 2.0, 5, 1)]),
    "steps in disorder": content(
        metrics=[Point("a", v, t, s) for v, t, s in [(1, 5, 3), (2, 9, 1), (7, 5, 3), (3, 5, 3)]]
    ),
    "points twice": content(metrics=[Point("a", 1.0, 5, 1)] * 2),
    "odd names": content(tags={"größe": "ü", "a=b%": "[]@"}, parameters={"../x//y": "é", "a,b": True}),
    "long": content(tags={"t" * 300: "x" * 9000}, parameters={"p" * 300: "y" * 9000}),
}


@pytest.mark.parametrize("which", CONTENTS)
def test_mlflow_reads_the_same_after_either_road(store, which):
    assert mlflow_bulk.is_open_to(store.uri), (
        f"MLflow stores runs otherwise than mlflow_bulk.write: {mlflow_bulk.compare_roads()}"
    )
    (by_rows,) = store.write([CONTENTS[which]])
    by_calls = create_run(store.client, store.experiment, CONTENTS[which])
    assert read_back(store, by_rows) == read_back(store, by_calls)


def test_runs_written_in_bulk_are_found_sorted_changed_deleted_and_restored(store, tmp_path):
    runs = [content(n, {"kind": "short"}, metrics=[Point("score", float(n % 7), 5, 0)]) for n in range(20)]
    ids = list(store.write(runs))
    client, where = store.client, [store.experiment]
    runs_above_4 = client.search_runs(
        where, "tags.kind = 'short' and metrics.score > 4", order_by=["metrics.score DESC"]
    )
    assert [run.data.metrics["score"] for run in runs_above_4] == [6, 6, 5, 5, 5]
    client.set_tag(ids[0], "more", "said")
    client.log_metric(ids[0], "score", 9.0, step=2)
    client.delete_run(ids[1])
    client.restore_run(ids[1])
    (tmp_path / "note.txt").write_text("kept")
    client.log_artifact(ids[0], str(tmp_path / "note.txt"))
    run = client.get_run(ids[0])
    assert (run.data.tags["more"], run.data.metrics["score"], run.info.lifecycle_stage) == ("said", 9.0, "active")
    assert [file.path for file in client.list_artifacts(ids[0])] == ["note.txt"]


def test_the_bulk_insert_writes_all_runs_or_none(store):
    before = len(store.client.search_runs([store.experiment], max_results=1000))
    broken = content(1, {"kind": "x"}, {"kind": None})
    broken.parameters["kind"] = None  # which the store refuses
    with pytest.raises(sqlalchemy.exc.IntegrityError):
        list(store.write([content(0), broken]))
    assert len(store.client.search_runs([store.experiment], max_results=1000)) == before


DIFFERENCES = {
    "another status": ("status", "SCHEDULED"),
    "another place of files": ("artifact_uri", "file:///elsewhere"),
    "an exception": ("run_uuid", "the same for all"),
}


@pytest.mark.parametrize("which", nightly_after_first(DIFFERENCES))
def test_on_any_difference_runs_are_written_by_mlflows_own_calls(which, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(mlflow_bulk, "RUN_DEFAULTS", mlflow_bulk.RUN_DEFAULTS | dict([DIFFERENCES[which]]))
    assert mlflow_bulk.compare_roads()
    tracking = {"uri": f"sqlite:///{tmp_path}/m.db", "experiment": "it", "artifacts": tmp_path.as_uri()}
    (run_id,) = MlflowStore(tracking).write([content()])
    (result,) = (tmp_path / "cache" / "nnsweep").glob("mlflow-*-bulk-*.json")
    assert json.loads(result.read_text())["verified"] is False
    run = MlflowStore(tracking).client.get_run(run_id)
    assert (run.data.params["optimizer"], run.info.status) == ("adam", "FINISHED")


def test_the_roads_are_compared_once_and_the_result_is_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    calls = []
    compare = mlflow_bulk.compare_roads
    monkeypatch.setattr(mlflow_bulk, "compare_roads", lambda: calls.append(1) or compare())
    assert mlflow_bulk.is_verified()
    assert mlflow_bulk.is_verified()
    assert calls == [1]
    (result,) = (tmp_path / "cache" / "nnsweep").glob("mlflow-*-bulk-*.json")
    result.write_text("{")  # truncated: compare again
    assert mlflow_bulk.is_verified()
    assert calls == [1, 1]


@pytest.mark.parametrize("uri", ["http://127.0.0.1:9", "postgresql://localhost/x"])
def test_only_a_local_file_is_written_in_bulk(uri):
    assert not mlflow_bulk.is_open_to(uri)


WRITE = """
import sys
from pipeline.tracking import mlflow_bulk
from pipeline.tracking.content import Point, run_content
for at in range(20):
    runs = [run_content("x", {"kind": sys.argv[3]}, {"a": at}, [Point("m", 0.5, 5, 0)], "FINISHED", 1, 2)] * 10
    mlflow_bulk.write(sys.argv[1], sys.argv[2], "file:///tmp", runs)
"""


@pytest.mark.slow
def test_several_processes_write_one_store_at_once(store):
    arguments = [[sys.executable, "-c", WRITE, store.uri, store.experiment, f"process {number}"] for number in range(2)]
    for process in [subprocess.Popen(command, cwd=Path(__file__).parents[2]) for command in arguments]:
        assert process.wait(timeout=60) == 0
    for number in range(2):
        query = f"tags.kind = 'process {number}'"
        assert len(store.client.search_runs([store.experiment], query, max_results=1000)) == 200


def test_a_template_database_avoids_creating_tables(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("first.db", "second.db"):
        copy_template(tmp_path / name)
    (template,) = (tmp_path / "cache" / "nnsweep").iterdir()
    assert (tmp_path / "second.db").read_bytes() == template.read_bytes()
    tables = [sqlite3.connect(tmp_path / name).execute("SELECT sql FROM sqlite_master").fetchall() for name in
              ("first.db", "second.db")]  # fmt: skip
    assert tables[0] == tables[1]
    assert len(tables[0]) > 60


@pytest.mark.slow
def test_a_cache_that_cannot_be_written_to_is_not_needed(tmp_path, monkeypatch):
    (tmp_path / "cache").write_text("a file where the cache should be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    store = MlflowStore({"uri": f"sqlite:///{tmp_path}/m.db", "experiment": "it", "artifacts": tmp_path.as_uri()})
    assert store.client.get_experiment_by_name("it")


@given(st.text(min_size=1, max_size=300), st.text(max_size=50), st.floats())
@settings(max_examples=40, deadline=None)
def test_mlflow_accepts_all_names_and_values(store, name, text, value):
    run_id = create_run(
        store.client, store.experiment, content(0, {name: text}, {name: text}, [Point(name, value, 5, 0)])
    )
    run = store.client.get_run(run_id).data
    fitted_name = fitting_name(name)
    assert run.params[fitted_name] == text
    assert math.isnan(run.metrics[fitted_name]) if not math.isfinite(value) else run.metrics[fitted_name] == value
    assert ("not_finite" in run.tags) == math.isinf(value)


def test_truncated_names_remain_different():
    long = "n" * 400
    assert len({fitting_name(long + "a"), fitting_name(long + "b")}) == 2
    assert fitting_name("optimizer.learning_rate") == "optimizer.learning_rate"
    assert fitting_name("a/../b") == "a/_/b"


@pytest.mark.parametrize(
    ("n_epochs", "n_points", "expected"),
    [(3, 100, [0, 1, 2]), (100, 3, [0, 50, 99]), (7, 1, [6]), (7, 0, []), (0, 5, []), (5, 5, [0, 1, 2, 3, 4])],
)
def test_curves_are_thinned_to_the_first_the_last_and_evenly_between(n_epochs, n_points, expected):
    assert thinned(n_epochs, n_points) == expected


@given(st.integers(1, 3000), st.integers(2, 200))
def test_a_thinned_curve_never_has_more_points_nor_one_twice(n_epochs, n_points):
    epochs = thinned(n_epochs, n_points)
    assert len(epochs) == len(set(epochs)) == min(n_epochs, n_points)
    assert (epochs[0], epochs[-1]) == (0, n_epochs - 1)
    assert epochs == sorted(epochs)
