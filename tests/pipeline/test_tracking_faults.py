"""The tracking store is missing, dies, is slow, full or locked: the sweep continues, and MLflow is updated later."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import mlflow
import pytest
from mlflow import MlflowClient
from running import FEW, nightly_after_first, read_summary, run_command, run_here, wait_until
from servers import Server, delayed
from venom import settings as venomous

from pipeline.components.errors import SettingError
from pipeline.tracking.process import bring_level
from pipeline.tracking.write_log import read

pytestmark = pytest.mark.slow
QUICK = (*FEW, "execution=local", "training.epochs=2", "report=none")
LONG = (  # 28 trials, of which 4 are finished at a time
    *("execution=local", "training.epochs=8", "training.batch_size=256", "stacks.width=4", "tracking.curves=none"),
    "report=none",
)
WARNING = "warning: MLflow was not written to the end ("


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    mlflow_server = Server(tmp_path_factory.mktemp("server"))
    yield mlflow_server
    mlflow_server.kill()


def start_run(folder, *overrides):
    """Start the command as a process."""
    arguments = [sys.executable, "-m", "pipeline", *overrides]
    return subprocess.Popen(arguments, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def start_long_run(folder, *overrides):
    """Start a sweep of 28 trials as a process."""
    return start_run(folder, *venomous(folder), *LONG, *overrides)


def run_folder(folder):
    (path,) = folder.glob("runs/digits/*/journal.jsonl")
    return path.parent


def count_acknowledged(folder, event):
    """Count the acknowledgements of the writer of one kind."""
    return sum(line["event"] == event for path in folder.glob("runs/digits/*/tracking.jsonl") for line in read(path))


def assert_complete(uri, folder, n_trials):
    """Assert that MLflow has the finished parent and each finished trial once."""
    mlflow.set_tracking_uri(uri)
    client = MlflowClient(uri)
    run = run_folder(folder).name
    experiment = client.get_experiment_by_name("digits").experiment_id
    runs = client.search_runs([experiment], f"tags.pipeline_run = '{run}'", max_results=1000)
    trials = [tracked_run.data.tags["trial_key"] for tracked_run in runs if tracked_run.data.tags["kind"] == "trial"]
    assert sorted(trials) == [f"{number:04d}" for number in range(n_trials)]
    assert {tracked_run.info.status for tracked_run in runs} == {"FINISHED"}
    assert len(runs) == n_trials + 1
    return client


def test_a_server_that_starts_after_the_run(server, slow, tmp_path):
    server.kill()
    process = start_long_run(tmp_path, f"tracking.uri={server.uri}")
    wait_until(lambda: list(tmp_path.glob("runs/digits/*/journal.jsonl")))
    server.start()
    slow.unlink()
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0
    assert WARNING not in output
    assert_complete(server.uri, tmp_path, 28)


def test_a_server_that_dies_during_the_sweep_and_restarts_after_it(server, slow, tmp_path):
    server.start()
    process = start_long_run(tmp_path, f"tracking.uri={server.uri}")
    wait_until(lambda: count_acknowledged(tmp_path, "trial") > 3)
    server.kill()
    slow.unlink()
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0
    assert output.count(WARNING) == 1
    folder = run_folder(tmp_path)
    assert f"nnsweep track run={folder.name}" in output
    assert read_summary(tmp_path)["trials"]["finished"] == 28
    server.start()
    messages = []
    assert bring_level(folder, messages.append)["model"]["version"]
    assert not [line for line in messages if "warning" in line]
    assert_complete(server.uri, tmp_path, 28)
    bring_level(folder, messages.append)  # a second time: nothing is written twice
    assert_complete(server.uri, tmp_path, 28)


@pytest.mark.nightly
def test_a_slow_server_does_not_slow_down_training(server, tmp_path):
    server.start()
    with delayed(server.port, 0.05) as uri:
        completed = run_here(tmp_path, *QUICK, f"tracking.uri={uri}", "tracking.curves=none")
    assert WARNING not in completed.stdout
    timings = read_summary(tmp_path)["timings"]
    assert timings["tracking_s"] > 21 * 0.05 > timings["sweep_s"] / 10  # three calls per trial
    assert_complete(server.uri, tmp_path, 7)


def test_a_store_that_is_locked_for_a_while(tmp_path):
    (tmp_path / "runs").mkdir()
    MlflowClient(f"sqlite:///{tmp_path}/runs/mlflow.db").create_experiment("first")
    with closing(sqlite3.connect(tmp_path / "runs" / "mlflow.db", isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        process = start_run(tmp_path, *QUICK, "name=digits")
        wait_until(lambda: list(tmp_path.glob("runs/digits/*/summary.json")))
        time.sleep(2)
        connection.execute("ROLLBACK")
        output, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert WARNING not in output
    uri = f"sqlite:///{tmp_path}/runs/mlflow.db"
    (folder,) = tmp_path.glob("runs/digits/*/")
    client = MlflowClient(uri)
    runs = client.search_runs(
        [client.get_experiment_by_name("digits").experiment_id], f"tags.pipeline_run = '{folder.name}'"
    )
    assert sorted(run.info.status for run in runs) == ["FINISHED"] * 8


@pytest.mark.skipif(os.geteuid() != 0, reason="a file system of a known size can only be made by root")
@pytest.mark.nightly
def test_a_full_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    uri = f"sqlite:///{disk}/mlflow.db"
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1600k", "none", str(disk)], check=True)
    try:
        completed = run_command(tmp_path, "execution=local", "report=none", "training.epochs=60", f"tracking.uri={uri}")
        assert completed.stdout.count(WARNING) == 1
        assert read_summary(tmp_path)["trials"]["finished"] == 112
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        messages = []
        bring_level(run_folder(tmp_path), messages.append)
        assert not [line for line in messages if "warning" in line]
        assert_complete(uri, tmp_path, 112)
        with closing(sqlite3.connect(disk / "mlflow.db")) as database:
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_the_next_run_writes_what_the_previous_run_could_not(tmp_path):
    uri = f"sqlite:///{tmp_path}/store/mlflow.db"
    (tmp_path / "store").write_text("a file where the store's folder should be")
    assert WARNING in run_here(tmp_path, *QUICK, f"tracking.uri={uri}").stdout
    first = run_folder(tmp_path)
    (tmp_path / "store").unlink()
    completed = run_here(tmp_path, *QUICK, f"tracking.uri={uri}", "seed=1")
    assert WARNING not in completed.stdout
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("digits").experiment_id
    runs = client.search_runs([experiment], f"tags.pipeline_run = '{first.name}'")
    assert sorted(run.info.status for run in runs) == ["FINISHED"] * 8


def test_a_run_whose_processes_were_killed_has_status_killed_once_it_is_written(slow, tmp_path):
    process = start_long_run(tmp_path)
    wait_until(lambda: count_acknowledged(tmp_path, "trial") or list(tmp_path.glob("runs/digits/*/journal.jsonl")))
    with pytest.raises(SettingError, match=r"^run=[\w-]+ is in use by process \d+;"):
        bring_level(run_folder(tmp_path), print)
    wait_until(lambda: count_acknowledged(tmp_path, "run"))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    wait_until(lambda: count_acknowledged(tmp_path, "end"))
    bring_level(run_folder(tmp_path), print)
    client = MlflowClient(f"sqlite:///{tmp_path}/runs/mlflow.db")
    experiment = client.get_experiment_by_name("digits").experiment_id
    (parent,) = client.search_runs([experiment], "tags.kind = 'sweep'")
    assert parent.info.status == "KILLED"
    assert count_acknowledged(tmp_path, "end") == 2


def test_an_untracked_run_is_written_to_the_given_store(tmp_path):
    run_here(tmp_path, *QUICK, "tracking=none")
    with pytest.raises(SettingError, match="was not tracked; name a store with uri="):
        bring_level(run_folder(tmp_path), print)
    uri = f"sqlite:///{tmp_path}/elsewhere.db"
    assert bring_level(run_folder(tmp_path), print, uri)["model"]["version"] == "1"
    assert_complete(uri, tmp_path, 7)


@pytest.mark.parametrize("event", nightly_after_first(["model", "run", "trial"]))
def test_a_writer_that_died_before_its_acknowledgement_leaves_one_model(event, tmp_path):
    """The acknowledgements after the last one of this kind are lost, although MLflow has their content."""
    run_here(tmp_path, *QUICK)
    path = run_folder(tmp_path) / "tracking.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    last = max(number for number, line in enumerate(read(path)) if line["event"] == event)
    path.write_text("".join(lines[: last + 1]))
    model = bring_level(run_folder(tmp_path), print)["model"]
    assert (model["version"], model["alias"], model["alias_note"]) == ("1", "champion", "")
    client = assert_complete(f"sqlite:///{tmp_path}/runs/mlflow.db", tmp_path, 7)
    (version,) = client.search_model_versions("name = 'digits'")
    assert client.get_model_version_by_alias("digits", "champion").version == version.version == 1
