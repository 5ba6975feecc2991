"""Law 5, nothing lost: a run can be killed at any moment; the same command resumes it, with equal results."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import mlflow
import pytest
from interrupted import count_slices, count_trained_epochs, rewrite, run_and_kill, slices_by_session
from mlflow import MlflowClient
from running import FEW, nightly_after_first, processes, run_command, run_here, run_sweep, slow_after_first

from pipeline.components.errors import SettingError
from pipeline.runs.journal import events

pytestmark = pytest.mark.slow
EPOCHS = 24
SETTINGS = (*FEW, "report=none", f"training.epochs={EPOCHS}", "stacks.slice_seconds=0.02", "stacks.width=3")
LOCAL = ("tracking=none", "execution=local")
ONE_CPU = {"local": (), "ray": ("execution.cpus=1",)}


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


def nightly(*values):
    return pytest.param(*values, marks=pytest.mark.nightly)


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    return run_sweep(tmp_path_factory.mktemp("expected"), *SETTINGS)


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """The folder of a run that was killed after four slices."""
    return run_and_kill(tmp_path_factory.mktemp("cut"), *SETTINGS, *LOCAL, when=lambda path: count_slices(path) >= 4)


@pytest.fixture
def copied(interrupted, tmp_path):
    """A copy of the interrupted run: the folder of runs, and the run's folder."""
    shutil.copytree(interrupted.parents[1], tmp_path / "runs")
    return tmp_path / "runs", tmp_path / "runs" / interrupted.parent.name / interrupted.name


def assert_equals_uninterrupted(summary, expected, journal):
    """The results equal those of an uninterrupted run, and no epoch was trained twice."""
    assert summary["digest"] == expected["digest"]
    assert summary["best"] == expected["best"]
    assert (summary["trials"], summary["networks"]) == (expected["trials"], expected["networks"])
    assert summary["status"] == "finished"
    counts = count_trained_epochs(journal)
    assert len(counts) == 7 * EPOCHS
    assert set(counts.values()) == {1}


@pytest.mark.parametrize(
    ("execution", "slices"), [("local", 1), nightly("local", 3), nightly("local", 5), slow("ray", 2)]
)
def test_law_5_a_killed_run_continues_with_the_same_digest(execution, slices, expected, tmp_path):
    ours = set(processes("ray"))
    settings = (*SETTINGS, "tracking=none", f"execution={execution}", *ONE_CPU[execution])
    folder = run_and_kill(tmp_path, *settings, when=lambda path: count_slices(path) >= slices)
    deadline = time.monotonic() + 30
    while set(processes("ray")) - ours and time.monotonic() < deadline:
        time.sleep(0.1)
    completed = (run_here if execution == "local" else run_command)(tmp_path, *settings)
    assert f"run {folder.name} is resumed" in completed.stdout
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["work"]["cached_stages"] > 0
    assert_equals_uninterrupted(summary, expected, folder / "journal.jsonl")
    before, after = slices_by_session(folder / "journal.jsonl")
    assert len(before) >= slices
    assert summary["work"]["slices"] == len(after)
    assert summary["work"]["resumed_networks"] == len({key for event in before for key in event["networks"]})


@pytest.mark.nightly
def test_law_5_a_run_that_is_killed_repeatedly_finishes(expected, tmp_path):
    """Each session is killed one slice later than the previous one."""
    settings, n_sessions = (*SETTINGS, *LOCAL), 0
    while not list(tmp_path.glob("runs/digits/*/summary.json")) and n_sessions < 12:
        n_sessions += 1
        more = 1 + max([count_slices(path) for path in tmp_path.glob("runs/*/*/journal.jsonl")], default=0)
        try:
            run_and_kill(tmp_path, *settings, when=lambda path, more=more: count_slices(path) > more)
        except AssertionError:
            break
    (path,) = tmp_path.glob("runs/*/*/journal.jsonl")
    folder = path.parent
    if not (folder / "summary.json").exists():
        run_here(tmp_path, *settings)
    assert n_sessions > 2
    assert_equals_uninterrupted(json.loads((folder / "summary.json").read_text()), expected, folder / "journal.jsonl")


@pytest.mark.parametrize(
    ("content", "refused"),
    [
        (b"", "its journal does not say with which settings it began; leave run=... out"),
        (
            b'{"event": "run", damaged\n',
            r"line 1 of .*journal\.jsonl is damaged \(.+\); start a new run with resume=never",
        ),
        (
            b'{"event": "run", "time": 1}\n',
            "its journal was written by another version of nnsweep; start a new run with",
        ),
    ],
)
def test_law_5_a_run_without_a_readable_journal_is_ignored_unless_it_is_named(content, refused, tmp_path):
    folder = tmp_path / "digits" / "20990101-000000-0000"
    folder.mkdir(parents=True)
    (folder / "journal.jsonl").write_bytes(content)
    assert run_sweep(tmp_path, *FEW, "training.epochs=1")["run_id"] != folder.name
    with pytest.raises(SettingError, match=f"^run={folder.name}: {refused}"):
        run_sweep(tmp_path, *FEW, "training.epochs=1", f"run={folder.name}")


KILLED_SEARCHES = {
    "population": ("space=ranges", "search=population", "search.size=8", "search.every=8", "training.epochs=32"),
    "halving": (
        *("space=ranges", "search=halving", "search@search.candidates=random", "training.epochs=30", "stacks.width=8"),
    ),
    "tpe": ("space=ranges", "search=tpe", "search.trials=12", "search.batch_size=4", "training.epochs=20"),
    "portfolio": ("preset=quick", "split.folds=2", "training.epochs=4", "search.first_rows=9", "search.trials=4"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("search", "slices"), nightly_after_first(zip(KILLED_SEARCHES, (6, 20, 12, 30), strict=True)))
def test_law_5_a_killed_search_makes_the_same_decisions(search, slices, tmp_path):
    settings = ("data=digits", "stacks.slice_seconds=0.02", "select.ensemble=0", "tracking=none")
    settings = (*settings, *KILLED_SEARCHES[search], "execution=local", "report=none")
    folder = run_and_kill(tmp_path, *settings, when=lambda path: count_slices(path) >= slices)
    run_here(tmp_path, *settings)
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["work"]["resumed_networks"] > 0
    assert summary["digest"] == run_sweep(tmp_path / "undisturbed", *settings)["digest"]
    assert set(count_trained_epochs(folder / "journal.jsonl").values()) == {1}


@pytest.mark.slow
def test_law_5_the_latest_interrupted_run_is_resumed_by_default(copied, expected):
    runs, folder = copied
    summary = run_sweep(runs, *SETTINGS, "resume=required")
    assert summary["run_id"] == folder.name
    assert_equals_uninterrupted(summary, expected, folder / "journal.jsonl")
    assert run_sweep(runs, *SETTINGS)["run_id"] != folder.name  # the run is finished now


@pytest.mark.parametrize("n_bytes", slow_after_first([40, 1, 400]))
def test_law_5_a_torn_journal_is_repaired(n_bytes, copied, expected):
    """As if the driver had died while it wrote a slice."""
    runs, folder = copied
    path = folder / "journal.jsonl"
    content = path.read_bytes()
    last = content[content.rindex(b'{"event": "slice"') :]
    path.write_bytes(content + last.rstrip(b"\n")[:-n_bytes])
    assert_equals_uninterrupted(run_sweep(runs, *SETTINGS), expected, path)


@pytest.mark.parametrize("damage", slow_after_first(["changed", "cut", "gone"]))
def test_law_5_networks_of_a_damaged_checkpoint_are_trained_again(damage, copied, expected):
    runs, folder = copied
    for state in list((folder / "states").iterdir()):
        content = state.read_bytes()
        state.unlink()
        if damage != "gone":
            state.write_bytes(content[: len(content) // 2] if damage == "cut" else content[:-9] + bytes(9))
    summary = run_sweep(runs, *SETTINGS)
    assert (summary["run_id"], summary["digest"], summary["best"]) == (
        folder.name,
        expected["digest"],
        expected["best"],
    )
    assert len(count_trained_epochs(folder / "journal.jsonl")) == 7 * EPOCHS


def test_law_5_a_run_can_be_resumed_with_another_packing(copied, expected):
    runs, folder = copied
    summary = run_sweep(runs, *SETTINGS, "stacks.width=unlimited", "stacks.slice_seconds=1.0")
    assert_equals_uninterrupted(summary, expected, folder / "journal.jsonl")


def test_law_5_a_run_is_not_resumed_with_other_settings_or_code(copied):
    runs, folder = copied
    with pytest.raises(SettingError, match=r"training\.batch_size was 32, is 16"):
        run_sweep(runs, *SETTINGS, "training.batch_size=16", "resume=required")
    path = folder / "journal.jsonl"
    (first,) = (event for event in map(json.loads, path.read_text().splitlines()) if event["event"] == "run")
    rewrite(path, lambda event: event | {"code": "0" * 64} if event["event"] == "run" else event)
    for run in ("resume=required", f"run={folder.name}"):
        with pytest.raises(SettingError, match=f"code was 0+, is {first['code']}"):
            run_sweep(runs, *SETTINGS, run)
    assert run_sweep(runs, *SETTINGS)["run_id"] != folder.name


def test_law_5_resume_never_starts_a_new_run(copied, expected):
    runs, folder = copied
    summary = run_sweep(runs, *SETTINGS, "resume=never")
    assert summary["run_id"] != folder.name
    assert (summary["digest"], summary["work"]["resumed_networks"]) == (expected["digest"], 0)


def test_law_5_resume_required_needs_a_run(tmp_path):
    completed = run_here(tmp_path, *SETTINGS, *LOCAL, "resume=required", check=False)
    assert (completed.returncode, len(completed.stderr.splitlines())) == (2, 1)
    assert completed.stderr.startswith(
        f"nnsweep: resume=required: there is no interrupted run in {tmp_path}/runs/digits; start"
    )


@pytest.mark.slow
def test_law_5_a_second_process_cannot_resume_a_running_run(copied):
    runs, folder = copied
    long = (*SETTINGS, *LOCAL, f"runs={runs}", "training.epochs=2000", f"run={folder.name}")
    before = count_slices(folder / "journal.jsonl")
    first = subprocess.Popen(
        [sys.executable, "-m", "pipeline", *long], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 60
        while count_slices(folder / "journal.jsonl") == before and time.monotonic() < deadline:
            time.sleep(0.05)
        second = run_here(runs.parent, *long, check=False)
        assert second.returncode == 2
        assert f"run={folder.name} is in use by process {first.pid}" in second.stderr
        third = run_here(runs.parent, *long[:-2], "training.epochs=2000", "resume=required", check=False)
        assert third.returncode == 2
        assert f"run {folder.name} has the same settings and is in use by process {first.pid}" in third.stderr
    finally:
        os.kill(first.pid, signal.SIGKILL)
        first.wait()


@pytest.mark.slow
@pytest.mark.parametrize("slices", nightly_after_first([6, 1]))
def test_law_5_mlflow_has_each_trial_once(slices, expected, tmp_path):
    """The writer of the killed session may still be running when the next session starts."""
    settings = (*SETTINGS, "execution=local")
    folder = run_and_kill(tmp_path, *settings, when=lambda path: count_slices(path) >= slices)
    run_here(tmp_path, *settings)
    assert_mlflow_has_each_trial_once(tmp_path, folder, expected)


@pytest.mark.slow
def test_law_5_mlflow_has_each_trial_once_when_the_writer_was_killed_too(expected, tmp_path):
    settings = (*SETTINGS, "execution=local")
    folder = run_and_kill(tmp_path, *settings, when=lambda path: count_slices(path) >= 6)
    acknowledged, deadline = folder / "tracking.jsonl", time.monotonic() + 60
    while (not acknowledged.exists() or acknowledged.read_text().count("\n") < 4) and time.monotonic() < deadline:
        time.sleep(0.002)
    for process in processes("pipeline.tracking.mlflow_writer", str(tmp_path)):
        os.kill(process, signal.SIGKILL)
    lines = acknowledged.read_bytes().splitlines(keepends=True)
    acknowledged.write_bytes(b"".join(lines[:3]) + lines[3][:40])  # the writer did not acknowledge its last writes
    run_here(tmp_path, *settings)
    assert_mlflow_has_each_trial_once(tmp_path, folder, expected)


@pytest.mark.slow
def test_law_6_mlflow_has_each_trial_of_an_extended_run_once(tmp_path):
    """Also one model version per distinct champion of three extensions; the first session was not tracked."""
    settings = (*SETTINGS, "execution=local", "training.epochs=2", "select.publish=champion")
    run_here(tmp_path, *settings, "tracking=none")
    (folder,) = (tmp_path / "runs" / "digits").iterdir()
    for more in ((), ("training.seeds=2",), ("training.seeds=2", "training.epochs=3")):
        run_here(tmp_path, *settings, *more, f"run={folder.name}")
    client, parents, trials = tracked_runs(tmp_path, folder)
    assert [run.info.status for run in parents] == ["FINISHED"]
    assert sorted(run.data.tags["trial_key"] for run in trials) == [f"{number:04d}" for number in range(7)]
    assert {(run.data.tags["networks"], run.info.status) for run in trials} == {("2", "FINISHED")}
    assert len(client.search_model_versions("name = 'digits'")) == 2  # the second seed does not change the model
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["model"]["version"] == str(client.get_model_version_by_alias("digits", "champion").version) == "2"


@pytest.mark.slow
def test_law_6_mlflow_agrees_with_the_leaderboard_on_replaced_trials(tmp_path):
    """Diverged trials restart as copies of others; trials with equal settings have a run each."""
    search = ("search=population", "search.size=6", "search.every=2", "training.epochs=8", "training.loss_limit=1.7")
    run_here(tmp_path, "data=iris", "space=ranges", *search, "execution=local", "report=none")
    (folder,) = (tmp_path / "runs" / "iris").iterdir()
    journal = events(folder / "journal.jsonl")
    assert any(
        network["diverged"] for event in journal if event["event"] == "slice" for network in event["networks"].values()
    )
    _, _, trials = tracked_runs(tmp_path, folder)
    summary = json.loads((folder / "summary.json").read_text())
    assert len(trials) == 6
    assert sum(run.info.status == "FINISHED" for run in trials) == summary["trials"]["finished"] > 0


def tracked_runs(root, folder):
    """Return MLflow's client, the parent runs and the trials' runs."""
    summary = json.loads((folder / "summary.json").read_text())
    mlflow.set_tracking_uri(f"sqlite:///{root}/runs/mlflow.db")
    client = MlflowClient()
    runs = client.search_runs([summary["mlflow"]["experiment_id"]], max_results=1000)
    by_kind = ([run for run in runs if run.data.tags["kind"] == kind] for kind in ("sweep", "trial"))
    return client, *by_kind


def assert_mlflow_has_each_trial_once(root, folder, expected):
    """MLflow has the parent and each trial once, with one value per epoch."""
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["digest"] == expected["digest"]
    client, parents, trials = tracked_runs(root, folder)
    assert [run.info.status for run in parents] == ["FINISHED"]
    assert sorted(run.data.tags["trial_key"] for run in trials) == [f"{number:04d}" for number in range(7)]
    assert {run.info.status for run in trials} == {"FINISHED"}
    for run in trials:
        steps = [metric.step for metric in client.get_metric_history(run.info.run_id, "validation/loss")]
        assert sorted(steps) == list(range(1, EPOCHS + 1))


@pytest.mark.slow
def test_law_5_a_run_that_the_clock_has_ended_ends_there_again_when_it_is_resumed(tmp_path):
    """As if the driver had been killed while it evaluated the best trial; its time is over by then."""
    settings = ("data=digits", "space=ranges", "search=tpe", "search.batch_size=4", "search.trials=4000")
    settings = (*settings, "training.epochs=40", "budget.seconds=8", "stacks.slice_seconds=0.1")
    expected = run_sweep(tmp_path, *settings)
    assert (expected["ended_by"], expected["status"]) == ("budget.seconds=8", "finished")
    assert 1 < expected["trials"]["planned"] < 400
    assert expected["timings"]["sweep_s"] < 8
    (path,) = tmp_path.glob("*/*/journal.jsonl")
    lines = path.read_bytes().splitlines(keepends=True)
    (end,) = (number for number, line in enumerate(lines) if b'"event": "clock"' in line or b'"event":"clock"' in line)
    path.write_bytes(b"".join(lines[: end + 1]))
    again = run_sweep(tmp_path, *settings)
    assert again["run_id"] == expected["run_id"]
    assert (again["digest"], again["ended_by"]) == (expected["digest"], "budget.seconds=8")
    assert (again["trials"], again["best"]) == (expected["trials"], expected["best"])
    assert again["work"]["slices"] == 0
    n_trials = expected["trials"]["planned"] + 4
    more = (f"run={expected['run_id']}", "budget.seconds=600", f"budget.trials={n_trials}")
    longer = run_sweep(tmp_path, *settings, *more)
    assert (longer["trials"]["planned"], longer["ended_by"]) == (n_trials, f"budget.trials={n_trials}")
