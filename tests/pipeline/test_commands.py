"""The command line: choices, multirun, the console command, own configuration."""

import itertools
import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from running import FEW, nightly_after_first, processes, read_summary, run_command, run_pipeline, run_sweep

from pipeline.cli.dispatch import dispatch
from pipeline.config.compose import configurations

NNSWEEP = Path(sys.executable).with_name("nnsweep")
LOCAL = ("execution=local", "tracking=none", "report=none", "baselines=none", "training.epochs=2")


DATA_AND_REDUCTIONS = list(itertools.product(["digits", "breast_cancer", "diabetes"], ["pca", "autoencoder", "none"]))
DIAGONAL = DATA_AND_REDUCTIONS[::4]  # each set once, each reduction once


@pytest.mark.slow
@pytest.mark.parametrize(
    ("data", "reduce"),
    [
        *DIAGONAL,
        *(pytest.param(*pair, marks=pytest.mark.nightly) for pair in DATA_AND_REDUCTIONS if pair not in DIAGONAL),
    ],
)
def test_every_data_set_with_every_reduction(data, reduce, tmp_path):
    summary = run_sweep(tmp_path, f"data={data}", f"reduce={reduce}", "training.epochs=15", *FEW)
    assert summary["status"] == "finished"
    assert summary["trials"]["finished"] == 7
    assert summary["mlflow"] is None
    test = summary["published"]["test"]
    if data == "diabetes":
        assert {"loss", "r2", "root_mean_squared_error", "mean_absolute_error"} <= set(test)
        assert test["r2"] > 0.25
        assert 45 < test["root_mean_squared_error"] < 70  # the target's standard deviation is 77
    else:
        assert {"loss", "log_loss", "accuracy", "roc_auc"} <= set(test)
        assert test["accuracy"] > 0.9
    assert (tmp_path / data / summary["run_id"] / "model" / "model.json").exists()


@pytest.mark.nightly
def test_ray_with_the_autoencoder_and_two_classes(tmp_path):
    run_command(tmp_path, "data=breast_cancer", "reduce=autoencoder", "tracking=none", "training.epochs=2")
    summary = read_summary(tmp_path)
    assert summary["status"] == "finished"
    assert summary["digest"] == run_sweep(
        tmp_path / "here", "data=breast_cancer", "reduce=autoencoder", "training.epochs=2"
    )["digest"]  # fmt: skip
    assert processes("raylet", str(tmp_path)) == {}


@pytest.mark.slow
def test_select_by_another_metric(tmp_path):
    by_loss, by_accuracy = (run_sweep(tmp_path, f"select.metric={metric}") for metric in ("loss", "accuracy"))
    assert by_loss["digest"] == by_accuracy["digest"]
    scores = [summary["best"]["validation"] for summary in (by_loss, by_accuracy)]
    assert scores[0]["loss"]["mean"] <= scores[1]["loss"]["mean"]
    assert scores[0]["accuracy"]["mean"] <= scores[1]["accuracy"]["mean"]


@pytest.mark.slow
def test_multirun_runs_every_combination_each_with_its_own_timings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="2"):  # reduce=none has no n_components, which is refused before the first job
        dispatch(["-m", "reduce=none,pca,autoencoder", "seed=0,1", *LOCAL, "reduce.n_components=5"], time.monotonic())
    assert list(tmp_path.iterdir()) == []
    completed = run_command(tmp_path, "-m", "data=glob(d*)", "seed=0,1", *LOCAL, *FEW)
    assert completed.stdout.count("\nchampion ") == 4  # digits and diabetes
    assert completed.stderr == ""
    summaries = [json.loads(path.read_text()) for path in tmp_path.glob("runs/*/*/summary.json")]
    assert len({summary["digest"] for summary in summaries}) == len(summaries) == 4
    startups = sorted(summary["timings"]["startup_s"] for summary in summaries)
    assert startups[0] < 0.1  # libraries are not imported again
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["cache", "diabetes", "digits"]


def test_a_run_can_be_repeated_from_its_own_configuration(tmp_path, monkeypatch):
    """config.yaml is complete: used as the configuration, it gives the same run."""
    monkeypatch.chdir(tmp_path)
    dispatch([*LOCAL, *FEW, "data=diabetes", "seed=3"], time.monotonic())
    (config,) = tmp_path.glob("runs/diabetes/*/config.yaml")
    shutil.copy(config, tmp_path / "again.yaml")
    expected = read_summary(tmp_path)["digest"]
    (again,) = configurations(["--config-dir", ".", "--config-name", "again"])
    assert run_pipeline(again.settings, again.plain)["digest"] == expected
    assert len(list(tmp_path.glob("runs/diabetes/*/summary.json"))) == 2


@pytest.mark.slow
def test_the_console_command_gives_the_same_digest_and_ignores_a_module_named_pipeline(tmp_path):
    (tmp_path / "pipeline.py").write_text("raise SystemExit('this is the wrong one')\n")
    settings = ("data=iris", "report=none", "execution=local", "training.epochs=1", *FEW)
    completed = subprocess.run([str(NNSWEEP), *settings], cwd=tmp_path, capture_output=True, text=True)
    assert completed.returncode == 0, completed.stderr
    assert "warning" not in completed.stdout
    summary = read_summary(tmp_path)
    assert summary["model"]["version"] == "1"
    assert summary["digest"] == run_sweep(tmp_path / "module", *settings)["digest"]


def test_a_space_in_a_users_configuration_folder(tmp_path, monkeypatch):
    folder = tmp_path / "my_conf" / "space"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text(
        "defaults:\n"
        "  - /optimizer@optimizer.adam: adam\n"
        "  - /regularizer@regularizer.l2: l2\n"
        "  - _self_\n"
        "_target_: pipeline.search.space.Space\n"
        "optimizer: {adam: {learning_rate: [0.001, 0.01], beta1: [0.8, 0.9]}}\n"
        "regularizer: {l2: {strength: [0, 0.001, 0.01]}}\n"
    )
    monkeypatch.chdir(tmp_path)
    dispatch(["--config-dir", "my_conf", "space=mine", *LOCAL], time.monotonic())
    summary = read_summary(tmp_path)
    assert summary["trials"]["planned"] == 2 * 2 * 3
    (path,) = tmp_path.glob("runs/*/*/leaderboard.csv")
    tried = {tuple(line.split(",")[3:5]) for line in path.read_text().splitlines()[1:]}
    assert tried == {(rate, beta1) for rate in ("0.001", "0.01") for beta1 in ("0.8", "0.9")}


def test_one_line_reports_that_all_trials_diverged(tmp_path, monkeypatch, capsys):
    spaces = ["~space.network", *(f"~space.optimizer.{name}" for name in ("momentum", "rmsprop", "adam"))]
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="2"):
        dispatch(["data=diabetes", *LOCAL, *spaces, "space.optimizer.sgd.learning_rate=[1e20,1e30]"], time.monotonic())
    assert "all 14 trials diverged" in capsys.readouterr().err.splitlines()[-1]
    summary = read_summary(tmp_path)
    assert summary["status"] == "failed"
    assert summary["trials"] == {"planned": 14, "finished": 0, "stopped": 0, "diverged": 14, "failed": 0}
    (leaderboard,) = tmp_path.glob("runs/*/*/leaderboard.csv")
    assert leaderboard.read_text().count("diverged in epoch 1: train/loss was nan") == 14


def test_one_line_reports_a_folder_that_cannot_be_written_to(tmp_path):
    (tmp_path / "runs").write_text("a file where the folder of runs should be")
    completed = run_command(tmp_path, *LOCAL, check=False)
    assert completed.returncode == 2
    (line,) = completed.stderr.splitlines()
    assert line.startswith("nnsweep: runs must be a folder that can be written to")


@pytest.mark.slow
@pytest.mark.parametrize("wish", nightly_after_first(["stages.sweep.cpus=1000", "stages.load.gpus=1000"]))
def test_resources_that_ray_does_not_have_are_refused(wish, tmp_path):
    completed = run_command(tmp_path, "tracking=none", wish, check=False)
    assert completed.returncode == 2
    setting = wish.partition("=")[0]
    (line,) = completed.stderr.splitlines()
    assert re.fullmatch(rf"nnsweep: {setting} must be at most \d+, the most that a host has, but is 1000", line)
    assert read_summary(tmp_path)["status"] == "failed"
