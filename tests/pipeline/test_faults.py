"""Faults of the machine: the driver is killed, the disk or the object store is full, the clock goes backwards."""

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

import clusters
import pytest
from interrupted import count_slices
from mlflow import MlflowClient
from running import FEW, nightly_after_first, processes, read_summary, run_command, run_here, run_sweep
from venom import settings as venomous

from pipeline.cli.arguments import find_run
from pipeline.runs.replay import salvaged

SETTINGS = ("tracking=none", "report=none")
N_KILLS = 20


def n_slices(folder):
    return sum(map(count_slices, folder.glob("runs/*/*/journal.jsonl")))


@pytest.mark.nightly
def test_law_5_a_driver_can_be_killed_at_20_random_moments(tmp_path):
    """Every other session is killed while it starts, the others soon after a slice."""
    settings = (*SETTINGS, "training.epochs=200", "stacks.slice_seconds=0.1", "execution=local")
    random_delays, deaths = random.Random(7), 0
    while deaths < N_KILLS:
        process = subprocess.Popen(
            [sys.executable, "-m", "pipeline", *settings], cwd=tmp_path, stdout=subprocess.DEVNULL
        )
        before, deadline = n_slices(tmp_path), time.monotonic() + 60
        while deaths % 2 and n_slices(tmp_path) == before and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(random_delays.uniform(0, 0.3 if deaths % 2 else 2.0))
        assert process.poll() is None, f"the run finished in session {deaths + 1}"
        process.send_signal(signal.SIGKILL)
        process.wait()
        deaths += 1
    run_command(tmp_path, *settings)
    summaries = [json.loads(path.read_text()) for path in tmp_path.glob("runs/*/*/summary.json")]
    (finished,) = (summary for summary in summaries if summary["status"] == "finished")
    assert finished["digest"] == run_sweep(tmp_path / "undisturbed", *settings)["digest"]
    assert finished["work"]["resumed_networks"] > 0


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a separate file system of 1 MB."""
    if os.geteuid() != 0:
        pytest.skip("a file system of its own needs root")
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("execution", nightly_after_first(["local", "ray"]))
def test_a_full_disk_stops_the_run_in_one_line_and_it_resumes_when_there_is_space(execution, small_disk, tmp_path):
    settings = (
        *SETTINGS,
        "training.epochs=12",
        "stacks.width=8",
        "stacks.slice_seconds=0.02",
        f"execution={execution}",
    )
    where = (f"runs={small_disk}/runs", f"cache.folder={tmp_path}/cache")
    run = run_here if execution == "local" else run_command
    completed = run(tmp_path, *settings, *where, check=False)
    assert completed.returncode == 2, completed.stderr
    (line,) = completed.stderr.splitlines()
    assert line.startswith(f"nnsweep: runs={small_disk}/runs: its disk must have free space, but is full")
    for path in small_disk.glob("runs/*/*/summary.json"):
        json.loads(path.read_text())  # complete JSON
    assert not list(small_disk.glob("runs/*/*/.*"))
    subprocess.run(["mount", "-o", "remount,size=50m", str(small_disk)], check=True)
    again = run(tmp_path, *settings, *where)
    assert " is resumed" in again.stdout
    summary = read_summary(small_disk)
    assert summary["digest"] == run_sweep(tmp_path / "undisturbed", *settings, "execution=local")["digest"]
    assert summary["work"]["resumed_networks"] > 0


@pytest.mark.nightly
def test_a_full_object_store_spills_to_disk_and_the_sweep_continues(tmp_path):
    """The data are three times as large as the store."""
    data = ("data=blobs", "data.n_rows=100000", "data.n_columns=400", "reduce=none", "split=k_fold", "split.folds=2")
    settings = (*SETTINGS, *data, *FEW, "training.epochs=1")
    settings = (
        *settings,
        "~space.regularizer.l1",
        "~space.regularizer.l2",
        "~space.regularizer.weight_decay",
        "cache=none",
    )
    cluster = clusters.start_cluster(num_cpus=2, megabytes=80)
    try:
        run_command(tmp_path, *settings, "execution=cluster", f"execution.address={cluster.address}")
    finally:
        cluster.shutdown()
    summary = read_summary(tmp_path)
    assert summary["digest"] == run_sweep(tmp_path / "undisturbed", *settings, "execution=local")["digest"]


def test_a_clock_that_runs_backwards_changes_no_result(tmp_path, monkeypatch):
    settings = (*FEW, "training.epochs=4", "stacks.slice_seconds=0.001", "budget.seconds=600", "seed=3")
    expected = run_sweep(tmp_path / "undisturbed", *settings)
    hours = itertools.count()
    monkeypatch.setattr(time, "time", lambda: 1.8e9 - 3600 * next(hours))
    summary = run_sweep(tmp_path / "backwards", *settings)
    assert summary["digest"] == expected["digest"]
    assert summary["status"] == "finished"
    (folder,) = tmp_path.glob("backwards/digits/*")
    more = run_sweep(tmp_path / "backwards", *settings, f"run={folder.name}", "training.epochs=6")
    assert more["work"]["resumed_networks"] == 7
    assert more["trials"]["finished"] == 7


def test_the_latest_run_is_the_last_that_began_also_if_the_clock_was_set_back(tmp_path):
    """Such as in autumn: a run of a year ahead seems to be later than those of today."""
    ahead = f"{datetime.now() + timedelta(days=365):%Y%m%d-%H%M%S}"
    later = f"{datetime.strptime(ahead, '%Y%m%d-%H%M%S') + timedelta(seconds=1):%Y%m%d-%H%M%S}"
    (tmp_path / "moons" / f"{ahead}-ffff").mkdir(parents=True)
    (tmp_path / "moons" / "no-run-at-all").mkdir()
    (tmp_path / "moons" / f"{ahead}-ffff" / "journal.jsonl").touch()
    summary = run_sweep(tmp_path, *FEW, "training.epochs=1")
    assert summary["run_id"].startswith(f"{later}-")
    assert find_run(tmp_path, "last").name == summary["run_id"]


@pytest.mark.parametrize("jump", [3600, -3600])
def test_a_clock_that_is_set_during_a_session_takes_nothing_from_the_budget(jump, tmp_path, monkeypatch):
    settings = (*FEW, "training.epochs=4", "stacks.slice_seconds=0.001", "budget.seconds=1800")
    began, calls = time.time(), itertools.count()
    monkeypatch.setattr(time, "time", lambda: began + jump * next(calls))
    summary = run_sweep(tmp_path, *settings)
    (folder,) = tmp_path.glob("digits/*")
    assert 0 < salvaged(folder).elapsed_seconds < 600
    more = run_sweep(tmp_path, *settings, f"run={summary['run_id']}", "training.epochs=6")
    assert more["trials"]["finished"] == 7


@pytest.mark.slow
def test_law_5_mlflow_has_all_of_a_run_whose_clock_was_set_back(tmp_path, monkeypatch):
    """Also of a later session that seems to be an hour earlier: its values are the latest."""
    backwards = iter(range(100_000))
    monkeypatch.setattr(time, "time", lambda: 1.8e9 - next(backwards))
    settings = (*FEW, "tracking=mlflow", "stacks.slice_seconds=0.001")
    summary = run_sweep(tmp_path, *settings)
    (folder,) = tmp_path.glob("digits/*")
    assert_mlflow_agrees(tmp_path, summary)
    monkeypatch.setattr(time, "time", lambda: 1.8e9 - 200_000 - next(backwards))
    more = run_sweep(tmp_path, *settings, f"run={folder.name}", "training.epochs=6")
    assert more["best"] != summary["best"]
    assert_mlflow_agrees(tmp_path, more)


def assert_mlflow_agrees(runs, summary):
    """MLflow has each of the 7 trials, the model, and the values of this summary."""
    client = MlflowClient(f"sqlite:///{runs}/mlflow.db")
    experiment = summary["mlflow"]["experiment_id"]
    tracked = client.search_runs([experiment], max_results=100)
    parent = client.get_run(summary["mlflow"]["run_id"])
    trials = [run for run in tracked if run.data.tags["kind"] == "trial"]
    assert sorted(run.data.tags["trial_key"] for run in trials) == [f"{number:04d}" for number in range(7)]
    assert {run.info.status for run in tracked} == {"FINISHED"}
    assert summary["model"]["version"]
    for name, value in summary["best"]["validation"].items():
        assert parent.data.metrics[f"validation_{name}"] == pytest.approx(value["mean"], rel=1e-4)
    assert parent.data.metrics["seconds/load"] == summary["timings"]["load_s"]
    best = next(run for run in trials if run.data.tags["trial_key"] == summary["best"]["trial"])
    assert best.data.metrics["validation_loss"] == pytest.approx(
        summary["best"]["validation"]["loss"]["mean"], rel=1e-4
    )


@pytest.mark.nightly
def test_a_slice_that_runs_out_of_memory_is_retried_with_fewer_networks(tmp_path, monkeypatch):
    """Ray's memory monitor kills the worker: each network needs 250 MB, and the limit is 2 GB for all."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    used = kilobytes["MemTotal"] - kilobytes["MemAvailable"]
    monkeypatch.setenv("RAY_memory_usage_threshold", f"{(used + 2.5e6) / kilobytes['MemTotal']:.4f}")
    monkeypatch.setenv("RAY_memory_monitor_refresh_ms", "50")
    overrides = venomous(tmp_path, megabytes="250")
    settings = (*SETTINGS, "training.epochs=2", "training.batch_size=512", "stacks.width=14", "execution.cpus=1")
    run_command(tmp_path, *overrides, *settings)
    summary = read_summary(tmp_path)
    assert summary["trials"]["finished"] == 28
    assert summary["work"]["retried_slices"] >= 1
    remaining = set(processes("ray::train_slice"))
    assert not remaining
