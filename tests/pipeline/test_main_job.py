"""The main job: `python -m pipeline` with no argument, its output and files."""

import csv
import json
import re

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from running import compose
from sklearn.datasets import load_digits
from sklearn.metrics import accuracy_score

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def client(main_job):
    mlflow.set_tracking_uri(f"sqlite:///{main_job.folder}/runs/mlflow.db")
    return MlflowClient()


@pytest.fixture(scope="module")
def parent(main_job, client):
    return client.get_run(main_job.summary["mlflow"]["run_id"])


@pytest.fixture(scope="module")
def children(client, parent):
    runs = client.search_runs(
        [parent.info.experiment_id], f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'", max_results=1000
    )
    return {run.data.tags["trial_key"]: run for run in runs}


@pytest.fixture(scope="module")
def slices(main_job):
    lines = (main_job.run_folder / "journal.jsonl").read_text().splitlines()
    return [event for event in map(json.loads, lines) if event["event"] == "slice"]


@pytest.fixture(scope="module")
def test_rows():
    settings, _ = compose()
    return settings.split(settings.data())[1]


def test_the_output_lists_stages_plan_and_results(main_job):
    output = main_job.output
    for stage in ("startup", "load", "split", "prepare", "reduce"):
        assert re.search(rf"^{stage} +\d+\.\d s$", output, re.MULTILINE)
    assert "1079 training and 359 validation rows, 64 columns, 32 after reduction" in output
    assert "data       1,797 rows, 64 columns: 64 numeric" in output
    assert "classification of target: 10 classes, 0 9.9%, 1 10.1%" in output
    last = [line for line in output.splitlines() if line.startswith("sweep: ")][-1]
    assert re.match(
        r"sweep: 112 of 112 trials, \d+ network-epochs/s, 0 s left, best validation loss 0\.\d+ \(.+\)", last
    )
    stacks = main_job.summary["work"]
    plan_line = (
        f"112 networks to epoch 30, stacks: {stacks['stacks']} of up to {stacks['widest_stack']} networks, workers: "
    )
    assert plan_line in output
    assert "The best 10 of 112 trials" in output
    assert f"folder     {main_job.run_folder}".rstrip("/") in output
    assert "\x1b" not in output  # plain lines where there is no terminal
    assert "Traceback" not in output
    assert "warning" not in output.lower()


def test_the_summary_has_the_documented_keys(main_job):
    summary = main_job.summary
    counts = {"planned": 112, "finished": 112, "stopped": 0, "diverged": 0, "failed": 0}
    assert summary["status"] == "finished"
    assert summary["trials"] == summary["networks"] == counts
    assert set(summary["best"]) == {
        "trial", "parameters", "validation", "test", "networks", "test_networks", "tied", "compared", "tied_sentence",
        "n_rows", "n_test_rows", "estimand", "corrected", "test_intervals",
    }  # fmt: skip
    assert set(summary["work"]) == {
        "slices",
        "stacks",
        "widest_stack",
        "cached_stages",
        "retried_slices",
        "driver_cpu_s",
        "resumed_networks",
    }
    assert set(summary["throughput"]) == {"trials_per_s", "network_epochs_per_s", "network_steps_per_s"}
    assert set(summary["mlflow"]) == {"tracking_uri", "experiment_id", "run_id", "view"}
    assert summary["model"] == {
        "name": "digits",
        "version": "1",
        "uri": "models:/digits/1",
        "alias": "champion",
        "alias_note": "",
        "onnx": None,
        "path": str(main_job.run_folder / "model"),
    }
    assert "models:/digits/1" in (main_job.run_folder / "report.html").read_text()
    assert re.fullmatch("[0-9a-f]{64}", summary["digest"])


def test_the_timings_add_up(main_job):
    timings = dict(main_job.summary["timings"])
    total = timings.pop("total_s")
    assert set(timings) == {
        f"{stage}_s"
        for stage in (
            "startup", "load", "split", "prepare", "reduce", "sweep", "baselines", "select", "evaluate",
            "publish", "report", "tracking",
        )
    }  # fmt: skip
    assert all(seconds >= 0 for seconds in timings.values())
    assert sum(timings.values()) <= total <= main_job.seconds
    assert main_job.summary["throughput"]["trials_per_s"] == pytest.approx(112 / timings["sweep_s"], rel=0.01)


def test_stacks_mix_optimizers_rates_and_penalties(main_job, slices):
    leaderboard = {row["trial"]: row for row in read_leaderboard(main_job)}
    for event in slices:
        rows = [leaderboard[key.partition("/")[0]] for key in event["networks"]]
        assert len({row["optimizer"] for row in rows}) == 4
        assert len({row["optimizer.learning_rate"] for row in rows}) > 2
        assert len({row["regularizer"] for row in rows}) > 2
    assert main_job.summary["work"]["slices"] == len(slices)


SWEPT = ("optimizer", "regularizer", "network")  # columns of settings


def read_leaderboard(main_job):
    with (main_job.run_folder / "leaderboard.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_leaderboard_is_ranked_by_validation_loss(main_job):
    rows = read_leaderboard(main_job)
    losses = [float(row["validation/loss"]) for row in rows]
    assert len(rows) == 112
    assert losses == sorted(losses)
    assert [int(row["rank"]) for row in rows] == list(range(1, 113))
    best = main_job.summary["best"]
    assert rows[0]["trial"] == best["trial"]
    assert losses[0] == best["validation"]["loss"]["mean"]
    assert float(rows[0]["validation/accuracy"]) == best["validation"]["accuracy"]["mean"]
    assert len({tuple(v for k, v in row.items() if k.startswith(SWEPT)) for row in rows}) == 112


def test_mlflow_has_one_parent_and_one_nested_run_per_trial(client, parent, children):
    assert parent.info.status == "FINISHED"
    all_runs = client.search_runs([parent.info.experiment_id], max_results=1000)
    assert len(all_runs) == 113
    assert sorted(children) == [f"{number:04d}" for number in range(112)]
    assert {run.info.status for run in children.values()} == {"FINISHED"}
    assert client.get_experiment(parent.info.experiment_id).name == "digits"


def test_mlflow_holds_each_trials_parameters_and_final_metrics(main_job, children):
    for row in read_leaderboard(main_job):
        run = children[row["trial"]]
        expected = {k: v for k, v in row.items() if k.startswith(SWEPT) and v}
        assert run.data.params == expected
        for name in ("train/loss", "validation/loss", "validation/accuracy"):
            assert run.data.metrics[name.replace("/", "_")] == pytest.approx(float(row[name]), rel=1e-4)
        assert run.data.tags["optimizer"] == row["optimizer"]
        assert run.info.end_time >= run.info.start_time


def test_mlflow_holds_the_curves_by_epoch(client, children, slices):
    curves = {}
    for event in slices:
        for key, report in event["networks"].items():
            curves.setdefault(key.partition("/")[0], []).extend(report["curves"]["validation/loss"])
    for key in ("0000", "0057", "0111"):
        history = client.get_metric_history(children[key].info.run_id, "validation/loss")
        history.sort(key=lambda metric: metric.step)
        assert [metric.step for metric in history] == list(range(1, 31))
        assert [metric.value for metric in history] == curves[key]


def test_mlflow_holds_the_parents_settings_scores_and_files(main_job, client, parent):
    assert parent.data.params["data.name"] == "digits"
    assert parent.data.params["training.epochs"] == "30"
    assert parent.data.params["reduce._target_"] == "pipeline.stages.reduce.PcaReduction"
    best = main_job.summary["best"]
    assert parent.data.metrics["test_accuracy"] == pytest.approx(
        main_job.summary["published"]["test"]["accuracy"], rel=1e-4
    )
    assert parent.data.metrics["validation_loss"] == pytest.approx(best["validation"]["loss"]["mean"], rel=1e-4)
    files = {artifact.path for artifact in client.list_artifacts(parent.info.run_id)}
    assert {"config.yaml", "leaderboard.csv"} <= files


def test_the_registered_champion_predicts_raw_rows(main_job, client, test_rows):
    version = client.get_model_version_by_alias("digits", "champion")
    assert version.version == 1 or version.version == "1"
    assert version.run_id == main_job.summary["mlflow"]["run_id"]
    model = mlflow.pyfunc.load_model("models:/digits@champion")
    columns = load_digits().feature_names
    predictions = model.predict(pd.DataFrame(test_rows.x.numbers, columns=columns))
    probabilities = predictions[[f"probability_{digit}" for digit in range(10)]].to_numpy()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    test = main_job.summary["published"]["test"]
    assert accuracy_score(test_rows.y, predictions["prediction"]) == test["accuracy"]
    of_the_right_class = probabilities.astype(float)[np.arange(len(probabilities)), test_rows.y]  # the digit
    assert -np.log(of_the_right_class).mean() == pytest.approx(test["loss"], rel=1e-4)
    assert test["accuracy"] > 0.96


def test_the_champion_names_its_inputs_and_outputs(main_job):
    info = mlflow.models.get_model_info("models:/digits@champion")
    assert [*info.metadata["columns"]] == load_digits().feature_names
    assert info.signature.outputs.input_names() == ["prediction", *(f"probability_{digit}" for digit in range(10))]
    model = mlflow.pyfunc.load_model("models:/digits@champion")
    rows = pd.DataFrame(load_digits().data[:2], columns=load_digits().feature_names)
    rows.index = [7, 3]
    assert list(model.predict(rows).index) == [7, 3]
    with pytest.raises(ValueError, match=r"column 'pixel_0_1' must be from .* but row 1 has inf"):
        model.predict(rows.assign(pixel_0_1=[0.0, float("inf")]))
    median = np.median([0.0, 0.0])  # of a column that is 0 in most rows
    pd.testing.assert_frame_equal(
        model.predict(rows.assign(pixel_0_1=[median, float("nan")])), model.predict(rows.assign(pixel_0_1=median))
    )
    reordered = rows[rows.columns[::-1]]
    pd.testing.assert_frame_equal(model.predict(reordered), model.predict(rows))
    with pytest.raises(mlflow.exceptions.MlflowException, match="pixel_0_0"):
        model.predict(rows.drop(columns="pixel_0_0"))


def test_the_default_sweep_reaches_the_expected_accuracy(main_job):
    """Networks of this size reach a test accuracy of 0.97 to 0.98 on this data."""
    assert main_job.summary["best"]["test"]["accuracy"] >= 0.97
    assert main_job.summary["best"]["validation"]["accuracy"]["mean"] >= 0.96
