"""What MLflow has of a run: the parent's description and values, each trial's tags, values and curves."""

import csv
import json
import math

import pytest
from mlflow import MlflowClient
from running import nightly_after_first, run_command, run_here

from pipeline.cli.dispatch import dispatch

pytestmark = pytest.mark.slow
HALVING = ("data=wine", "search=halving", "split.folds=2", "execution=local", "training.epochs=9")
DIVERGING = ("space.optimizer.sgd.learning_rate=[0.01,1e30]", "select.metric=accuracy", "tracking.points=4")


class Tracked:
    """A run, its folder's files and its runs in MLflow."""

    def __init__(self, root):
        self.folder = next(root.glob("runs/*/*/journal.jsonl")).parent
        self.summary = json.loads((self.folder / "summary.json").read_text())
        with (self.folder / "leaderboard.csv").open(newline="") as file:
            self.leaderboard = {row["trial"]: row for row in csv.DictReader(file)}
        self.client = MlflowClient(self.summary["mlflow"]["tracking_uri"])
        runs = self.client.search_runs([self.summary["mlflow"]["experiment_id"]], max_results=1000)
        (self.parent,) = (run for run in runs if run.data.tags["kind"] == "sweep")
        self.trials = {run.data.tags["trial_key"]: run for run in runs if run.data.tags["kind"] == "trial"}


@pytest.fixture(scope="module")
def tracked(tmp_path_factory):
    root = tmp_path_factory.mktemp("tracked")
    run_command(root, *HALVING, *DIVERGING)
    return Tracked(root)


def test_the_parents_description_names_the_command_and_the_champion(tracked):
    text = tracked.parent.data.tags["mlflow.note.content"]
    best, published = tracked.summary["best"], tracked.summary["published"]
    assert text.replace("\\", "").startswith(tracked.summary["verdict"])
    for sentence in tracked.summary["advice"]:
        assert f"- {sentence}" in text.replace("\\", "")
    assert f"### Champion: trial {best['trial']}" in text
    test = published["test"]
    assert f"- test: log loss {test['log_loss']:#.4g}" in text
    assert f", accuracy {test['accuracy']:.3f}, ROC AUC" in text
    assert f"- {published['reason']}" in text.replace("\\", "")
    assert f"- model: `{tracked.summary['model']['uri']}`" in text
    assert tracked.summary["digest"] in text
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(lines) == 12  # with the headings and the line below them
    assert {line.count("|") for line in lines} == {lines[0].count("|")}


def test_the_registered_version_says_what_it_is(tracked):
    model, best = tracked.summary["model"], tracked.summary["best"]
    version = tracked.client.get_model_version(model["name"], model["version"])
    lines = version.description.splitlines()
    assert lines[0].replace("\\", "") == tracked.summary["verdict"]
    for expected in (
        "- data: `wine`, 178 rows, 13 columns, SHA-256 `",
        "- task: classification of `target`",
        f"- what: the {tracked.summary['published']['label']} of a sweep of ",
        f"- test: log loss {tracked.summary['published']['test']['log_loss']:#.4g}",
        "- baseline gradient boosting, test: log loss ",
        f"- run: `{tracked.folder.name}`",
        f"- for a server: `mlflow models serve -m {model['uri']}`",
    ):
        assert any(line.startswith(expected) for line in lines), expected
    assert len(version.tags["value"]) <= 12  # rounded for reading
    assert float(version.tags["value"]) == pytest.approx(best["validation"]["accuracy"]["mean"], rel=1e-5)


def test_the_parent_has_the_settings_the_scores_the_times_and_the_files(tracked):
    data, tags = tracked.parent.data, tracked.parent.data.tags
    assert data.params["training.epochs"] == "9"
    assert data.metrics["test_loss"] == pytest.approx(tracked.summary["published"]["test"]["loss"], rel=1e-4)
    for stage in ("load", "prepare", "sweep", "publish"):
        assert data.metrics[f"seconds/{stage}"] == tracked.summary["timings"][f"{stage}_s"]
    card = json.loads((tracked.folder / "data_card.json").read_text())
    assert (tags["status"], tags["digest"], tags["data_hash"]) == (
        "finished",
        tracked.summary["digest"],
        card["digest"],
    )
    files = {file.path for file in tracked.client.list_artifacts(tracked.parent.info.run_id)}
    assert {"config.yaml", "data_card.json", "importance.csv", "leaderboard.csv", "summary.json"} <= files
    (dataset_input,) = tracked.parent.inputs.dataset_inputs
    assert dataset_input.dataset.name == "wine"


def test_each_trial_has_its_status(tracked):
    assert set(tracked.trials) == set(tracked.leaderboard)
    for key, run in tracked.trials.items():
        status, tags = tracked.leaderboard[key]["status"], run.data.tags
        if "diverged in" in status:
            assert (run.info.status, tags["status"]) == ("FAILED", "diverged")
            assert tags["stop_reason"].endswith(status.partition(": ")[2])
        elif "the search left it out" in status:
            assert (run.info.status, tags["status"]) == ("FINISHED", "pruned")
            epoch = status.partition("epoch ")[2].partition(":")[0]
            assert tags["stop_reason"] == f"pruned after epoch {epoch}: the search left it out"
        else:
            assert (run.info.status, tags["status"]) == ("FINISHED", "finished")
            assert "stop_reason" not in tags
    endings = {run.data.tags["status"] for run in tracked.trials.values()}
    assert endings == {"diverged", "pruned", "finished"}


def test_each_trial_has_tags_to_filter_and_group_by(tracked):
    for key, run in tracked.trials.items():
        tags, row = run.data.tags, tracked.leaderboard[key]
        assert (tags["optimizer"], tags["regularizer"], tags["reduction"]) == (
            row["optimizer"],
            row["regularizer"],
            "pca",
        )
        assert tags["pipeline_run"] == tracked.folder.name
        assert tags["mlflow.parentRunId"] == tracked.parent.info.run_id
        assert (tags["data_hash"], tags["code_version"]) == (
            tracked.parent.data.tags["data_hash"],
            tracked.parent.data.tags["code_version"],
        )
        rate = float(run.data.params["optimizer.learning_rate"])
        if "log10_learning_rate" in run.data.metrics or run.info.status == "FINISHED":
            assert math.isclose(10 ** run.data.metrics["log10_learning_rate"], rate)
    assert {run.data.tags["rung"] for run in tracked.trials.values()} == {"1", "2", "3"}


def test_values_are_those_of_the_leaderboard_and_of_each_network(tracked):
    finished = [run for run in tracked.trials.values() if run.info.status == "FINISHED"]
    assert finished
    for run in finished:
        row = tracked.leaderboard[run.data.tags["trial_key"]]
        metrics = run.data.metrics
        for name in ("loss", "loss_std", "accuracy", "roc_auc"):
            exact = float(row[f"validation/{name.replace('_std', ' std')}"])
            assert metrics[f"validation_{name}"] == float(f"{exact:.5g}")
        points = tracked.client.get_metric_history(run.info.run_id, "network/validation_loss")
        assert math.isclose(sum(point.value for point in points) / 2, float(row["validation/loss"]), rel_tol=1e-12)


def test_curves_have_at_most_the_configured_number_of_points(tracked):
    key = next(key for key, row in tracked.leaderboard.items() if row["status"] == "finished")
    run_id = tracked.trials[key].info.run_id
    steps = [point.step for point in tracked.client.get_metric_history(run_id, "validation/loss")]
    assert sorted(steps) == [1, 4, 6, 9]


@pytest.mark.parametrize(("curves", "with_curves"), nightly_after_first([("top", 20), ("none", 0)]))
def test_only_selected_trials_have_curves(curves, with_curves, tmp_path):
    run_here(tmp_path, "data=iris", "execution=local", "training.epochs=3", "report=none", f"tracking.curves={curves}")
    tracked = Tracked(tmp_path)
    drawn = {key for key, run in tracked.trials.items() if "validation/loss" in run.data.metrics}
    assert len(tracked.trials) == 112
    assert drawn == {key for key, row in tracked.leaderboard.items() if row["rank"] and int(row["rank"]) <= with_curves}
    assert all("validation_loss" in run.data.metrics for run in tracked.trials.values())


def test_of_many_trials_the_first_and_the_best_have_runs(tmp_path, capsys):
    run_here(tmp_path, "data=iris", "execution=local", "training.epochs=3", "report=none", "tracking.most_trials=30")
    tracked = Tracked(tmp_path)
    assert 30 <= len(tracked.trials) < 112
    assert set(tracked.trials) >= {*list(tracked.leaderboard)[:20]}
    assert int(tracked.parent.data.tags["trials_without_run"]) == 112 - len(tracked.trials)
    dispatch(["track", f"run={tracked.folder.name}", f"runs={tmp_path}/runs"], 0.0)
    assert "is in MLflow at " in capsys.readouterr().out
    assert set(Tracked(tmp_path).trials) == set(tracked.trials)
