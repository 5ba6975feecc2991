"""Ctrl-C, SIGTERM, SIGKILL and a failing writer: finished work is kept, and no process is left running."""

import json
import os
import signal
import subprocess
import sys
import time

import mlflow
import pytest
from interrupted import count_slices
from mlflow import MlflowClient
from running import FEW, nightly_after_first, processes, read_journal, read_summary, run_command, run_here, wait_until

LONG = (*FEW, "training.epochs=2000", "report=none", "stacks.slice_seconds=0.3")
LOCAL = (*FEW, "execution=local", "training.epochs=2", "report=none")


def start_run(folder, *overrides, **options):
    """Start the command in its own process group."""
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline", *LONG, *overrides],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **options,
    )


def wait_for_slices(folder, n=2):
    """Wait until some slices are in the journal."""
    wait_until(lambda: sum(map(count_slices, folder.glob("runs/*/*/journal.jsonl"))) >= n)


def tracked_runs(folder):
    """The parent run and the trials' runs in MLflow."""
    mlflow.set_tracking_uri(f"sqlite:///{folder}/runs/mlflow.db")
    client = MlflowClient()
    (experiment,) = (candidate for candidate in client.search_experiments() if candidate.name == "digits")
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    (parent,) = (run for run in runs if run.data.tags["kind"] == "sweep")
    return parent, [run for run in runs if run.data.tags["kind"] == "trial"]


@pytest.mark.parametrize(
    ("execution", "sent"),
    [
        pytest.param("ray", signal.SIGINT, marks=pytest.mark.slow),
        pytest.param("local", signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param("ray", signal.SIGTERM, marks=pytest.mark.nightly),
        pytest.param("local", signal.SIGINT, marks=pytest.mark.nightly),
        pytest.param("ray", signal.SIGHUP, marks=pytest.mark.nightly),
        pytest.param("local", signal.SIGHUP, marks=pytest.mark.nightly),
    ],
)
def test_ctrl_c_ends_cleanly(execution, sent, tmp_path):
    ours = set(processes("ray"))
    process = start_run(tmp_path, f"execution={execution}")
    wait_for_slices(tmp_path, 4)
    process.send_signal(sent)
    sent_time = time.monotonic()
    line = process.stderr.readline()
    assert time.monotonic() - sent_time < 2  # at once
    output, errors = process.communicate(timeout=20)
    errors = line + errors
    assert process.returncode == 130
    assert errors == "nnsweep: interrupted; what is finished is kept\n"
    assert "Traceback" not in output
    summary = read_summary(tmp_path)
    assert summary["status"] == "killed"
    assert summary["timings"]["sweep_s"] > 0
    wait_until(lambda: not processes("pipeline.tracking.mlflow_writer", str(tmp_path)), seconds=60)  # it ends by itself
    parent, trials = tracked_runs(tmp_path)
    assert parent.info.status == "KILLED"
    started_trials = {
        key[:4] for event in read_journal(tmp_path) if event["event"] == "slice" for key in event["networks"]
    }
    assert {run.data.tags["trial_key"] for run in trials} == started_trials
    assert {run.info.status for run in trials} <= {"KILLED", "FINISHED"}
    assert sum(run.info.status == "FINISHED" for run in trials) == summary["trials"]["finished"]
    assert "KILLED" in {run.info.status for run in trials}
    wait_until(lambda: not set(processes("ray")) - ours)  # Ray has stopped


BLOCKED = """
import subprocess, sys, time
from pipeline.components.interrupts import deferred_signals, handle_signals, hangup_blocked

handle_signals()
try:
    with deferred_signals(), hangup_blocked():
        print("blocked", flush=True)
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(9)"])
        time.sleep(3)
        print("the block ends", child.poll(), flush=True)
except KeyboardInterrupt:
    print("interrupted")
child.kill()
"""


@pytest.mark.slow
def test_a_hangup_that_is_blocked_is_announced_at_once_and_ends_the_command_afterwards():
    command = [sys.executable, "-c", BLOCKED]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "blocked\n"
    process.send_signal(signal.SIGHUP)
    began = time.monotonic()
    assert process.stderr.readline() == "nnsweep: interrupted; what is finished is kept\n"
    assert time.monotonic() - began < 2
    assert process.communicate() == ("the block ends None\ninterrupted\n", "")


@pytest.mark.slow
@pytest.mark.parametrize("seconds", nightly_after_first([0.5, 2.0]))
def test_ctrl_c_while_ray_starts_leaves_nothing_behind(seconds, tmp_path):
    ours = set(processes("ray"))
    process = start_run(tmp_path, "tracking=none", "execution.cpus=1")
    wait_until(lambda: any(tmp_path.glob("runs/*/*")))  # Ray starts next
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert errors == "nnsweep: interrupted; what is finished is kept\n"
    wait_until(lambda: not set(processes("ray")) - ours, seconds=8)


@pytest.mark.slow
@pytest.mark.parametrize("started", nightly_after_first([False, True]))
def test_a_closed_terminal_ends_the_run_and_all_its_processes(started, tmp_path):
    """The shell sends SIGHUP to every process of the job, also while Ray starts."""
    ours = set(processes("ray"))
    process = start_run(tmp_path)
    if started:
        wait_for_slices(tmp_path)
    else:
        wait_until(lambda: set(processes("gcs_server")) - ours)
    os.killpg(process.pid, signal.SIGHUP)
    process.stdout.close()
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert errors == "nnsweep: interrupted; what is finished is kept\n"
    assert read_summary(tmp_path)["status"] == "killed"
    wait_until(lambda: not set(processes("ray")) - ours, seconds=8)
    wait_until(lambda: not processes("pipeline.tracking.mlflow_writer", str(tmp_path)), seconds=20)


@pytest.mark.slow
def test_under_nohup_a_closed_terminal_does_not_matter(tmp_path):
    settings = ("execution=local", "tracking=none", "training.epochs=300")
    process = start_run(tmp_path, *settings, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    wait_for_slices(tmp_path, 1)
    process.send_signal(signal.SIGHUP)
    _, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (0, "")
    assert read_summary(tmp_path)["status"] == "finished"


@pytest.mark.slow
def test_an_interrupt_waits_for_a_silent_server_only_for_seconds(silent_server, tmp_path):
    process = start_run(tmp_path, "execution=local", f"tracking.uri={silent_server}")
    wait_for_slices(tmp_path)
    process.send_signal(signal.SIGTERM)
    sent_time = time.monotonic()
    output, _ = process.communicate(timeout=20)
    assert time.monotonic() - sent_time < 10
    assert "(interrupted; the writer goes on for some seconds; see " in output
    assert f"nnsweep track run={read_summary(tmp_path)['run_id']} writes the rest" in output
    wait_until(lambda: not processes("pipeline.tracking.mlflow_writer", str(tmp_path)), seconds=40)


@pytest.mark.slow
def test_a_second_ctrl_c_leaves_nothing_behind_either(tmp_path):
    ours = set(processes("ray"))
    process = start_run(tmp_path, "tracking=none", "execution.cpus=1")
    wait_for_slices(tmp_path, 1)
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert len(errors.splitlines()) == 1
    assert read_summary(tmp_path)["status"] == "killed"
    wait_until(lambda: not set(processes("ray")) - ours, seconds=8)


@pytest.mark.slow
def test_a_stage_that_failed_on_ray_is_not_recorded_as_finished(tmp_path):
    settings = ("split.validation=0.0001", "tracking=none", "execution.cpus=1")
    completed = run_command(tmp_path, *settings, check=False)
    assert completed.returncode == 2
    (line,) = completed.stderr.splitlines()
    assert "split.validation=0.0001 with split.test=0.2 does not fit the data" in line
    assert [event["stage"] for event in read_journal(tmp_path) if event["event"] == "stage"] == ["load"]


@pytest.mark.slow
def test_the_writer_of_a_killed_driver_ends(tmp_path):
    process = start_run(tmp_path, "execution=local")
    wait_for_slices(tmp_path, 1)
    process.kill()
    process.communicate()
    wait_until(lambda: not processes("pipeline.tracking.mlflow_writer", str(tmp_path)))
    parent, trials = tracked_runs(tmp_path)
    assert parent.info.status == "KILLED"
    assert {run.info.status for run in trials} <= {"KILLED", "FINISHED"}


@pytest.mark.slow
def test_a_trial_that_diverges_is_failed_in_mlflow_with_its_cause(tmp_path):
    overrides = ["~space.network", *(f"~space.optimizer.{name}" for name in ("momentum", "rmsprop", "adam"))]
    overrides += ["space.optimizer.sgd.learning_rate=[0.001,1e30]", "execution=local", "name=digits"]
    run_here(tmp_path, "data=diabetes", *overrides, "training.epochs=3", "report=none")
    _, trials = tracked_runs(tmp_path)
    failed = [run for run in trials if run.info.status == "FAILED"]
    assert len(failed) == 7
    assert len(trials) == 14
    assert {run.data.params["optimizer.learning_rate"] for run in failed} == {"1e+30"}
    assert all("diverged in epoch 1: train/loss was" in run.data.tags["stop_reason"] for run in failed)
    assert read_summary(tmp_path)["trials"] == {"planned": 14, "finished": 7, "stopped": 0, "diverged": 7, "failed": 0}


@pytest.mark.slow
@pytest.mark.parametrize("behaviour", nightly_after_first(["refused", "mute"]))
def test_an_unreachable_server_is_one_warning_after_some_seconds(behaviour, silent_server, tmp_path):
    uri = silent_server if behaviour == "mute" else "http://127.0.0.1:9"
    start_time = time.monotonic()
    completed = run_here(tmp_path, *LOCAL, f"tracking.uri={uri}")
    assert time.monotonic() - start_time < 40
    assert completed.stdout.count("warning: MLflow was not written to the end (") == 1
    summary = read_summary(tmp_path)
    assert (summary["status"], summary["mlflow"], summary["trials"]["finished"]) == ("finished", None, 7)


@pytest.mark.slow
def test_ctrl_c_while_mlflow_is_awaited_keeps_the_summary(silent_server, tmp_path):
    process = start_run(tmp_path, "execution=local", "training.epochs=2", f"tracking.uri={silent_server}")
    wait_until(
        lambda: any('"status": "finished"' in path.read_text() for path in tmp_path.glob("runs/*/*/summary.json"))
    )
    time.sleep(1)  # the message is printed just before waiting starts
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=10)
    assert process.returncode == 130
    assert "champion " in output
    assert len(errors.splitlines()) == 1
    assert read_summary(tmp_path)["status"] == "finished"
    wait_until(lambda: not processes("pipeline.tracking.mlflow_writer", str(tmp_path)), seconds=60)


@pytest.mark.slow
def test_a_deleted_experiment_is_named_in_the_warning(tmp_path):
    (tmp_path / "runs").mkdir()
    client = MlflowClient(f"sqlite:///{tmp_path}/runs/mlflow.db")
    client.delete_experiment(client.create_experiment("digits"))
    completed = run_here(tmp_path, *LOCAL)
    assert "experiment digits was deleted: restore it, or choose another" in completed.stdout


@pytest.mark.slow
def test_a_run_that_cannot_be_written_to_the_end_is_failed_in_mlflow(tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "artifacts").write_text("a file where the folder of artifacts should be")
    completed = run_here(tmp_path, *LOCAL)
    assert completed.stdout.count("warning: MLflow was not written to the end (") == 1
    parent, trials = tracked_runs(tmp_path)
    assert parent.info.status == "FAILED"
    assert trials == []
    assert read_summary(tmp_path)["status"] == "finished"


@pytest.mark.slow
def test_when_mlflow_fails_the_sweep_continues_and_one_line_warns(tmp_path):
    (tmp_path / "broken.db").write_text("this is no database" * 100)
    completed = run_here(tmp_path, *LOCAL, f"tracking.uri=sqlite:///{tmp_path}/broken.db")
    assert completed.stdout.count("warning: MLflow was not written to the end (") == 1
    summary = read_summary(tmp_path)
    assert summary["status"] == "finished"
    assert summary["trials"]["finished"] == 7
    assert summary["mlflow"] is None
    assert "not a database" in next(tmp_path.glob("runs/*/*/tracking.log")).read_text()


@pytest.mark.slow
def test_two_runs_can_begin_in_one_new_store_at_once(tmp_path):
    arguments = [sys.executable, "-m", "pipeline", *LOCAL]
    both = [subprocess.Popen(arguments, cwd=tmp_path, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in both:
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0
        assert "warning" not in output
    versions = [json.loads(path.read_text())["model"]["version"] for path in tmp_path.glob("runs/*/*/summary.json")]
    assert sorted(versions) == ["1", "2"]
