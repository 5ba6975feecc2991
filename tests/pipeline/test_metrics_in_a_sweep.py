"""select.metric in real sweeps: metrics of the task or of a user's package rank trials, and searches follow them."""

import csv
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from interrupted import count_slices, run_and_kill
from running import FEW, compose, read_journal, run_command, run_here, run_sweep
from sklearn.metrics import mean_absolute_error, roc_auc_score, root_mean_squared_error

from nncore.components import allow
from nncore.inference import model_file
from pipeline.components.errors import SettingError
from pipeline.components.scores import ranking_metric
from pipeline.runs.replay import RunHistory, replayed

CANCER = ("data=breast_cancer", "reduce=none", "network.hidden=[8]", "select.publish=champion", *FEW)
STOPPING = ("+regularizer@training.regularizers.early_stopping=early_stopping", "training.epochs=40")
COST = '''
"""A user's package with a metric."""

import numpy as np

from nncore.metrics import Metric


def cost_of_errors(missed: float = 10.0, every_epoch: bool = False) -> Metric:
    """Mean cost of a row: missing the second class costs `missed`, a false alarm 1."""

    def value(y, t, weights):
        is_predicted, is_true = y[:, :, 0] > 0.5, t[:, :, 0] > 0.5  # (networks, rows)
        cost = missed * (is_true & ~is_predicted) + (is_predicted & ~is_true)
        return np.array([np.average(row, weights=None if weights is None else weights[0]) for row in cost])

    return Metric(value, ("classes",), greater_is_better=False, label="cost of errors", every_epoch=every_epoch)


def failing() -> Metric:
    """A mistake of the user's."""
    return Metric(lambda y, t, weights: 1 / 0, ("classes",), greater_is_better=True)


def of_rows() -> Metric:
    """Another one: a number for each row."""
    return Metric(lambda y, t, weights: (y - t)[:, :, 0], ("classes",), greater_is_better=True)


def undefined() -> Metric:
    """A score that no rows have."""
    return Metric(lambda y, t, weights: np.full(len(y), np.nan), ("classes", "values"), greater_is_better=True)
'''


def run_folder(summary, runs):
    (folder,) = runs.glob(f"*/{summary['run_id']}")
    return folder


def leaderboard(folder):
    with (folder / "leaderboard.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def validation_answers(summary, *overrides):
    """The targets of the first fold's validation rows, and the champion's prediction (N, O) before decoding."""
    settings, _ = compose(*overrides)
    development, _ = settings.split(settings.data())
    _, validation = development.part(0)
    model = model_file.load(Path(summary["model"]["path"]))
    return validation, model, model.loss.predict(model.logits(validation.x))


@pytest.fixture(scope="module")
def by_area(tmp_path_factory):
    """A sweep that ranks by a metric that has no curve, with networks that stop at different epochs."""
    runs = tmp_path_factory.mktemp("runs")
    summary = run_sweep(runs, *CANCER, *STOPPING, "select.metric=roc_auc", "stacks.slice_seconds=0.01")
    return summary, run_folder(summary, runs)


def test_law_1_a_costly_metric_ranks_trials_by_the_selected_weights(by_area, tmp_path):
    summary, folder = by_area
    validation, _, y = validation_answers(summary, *CANCER)
    expected = roc_auc_score(validation.y == np.unique(validation.y)[1], y[:, 0])
    assert summary["best"]["validation"]["roc_auc"]["mean"] == pytest.approx(expected, rel=1e-6)
    scores = [float(row["validation/roc_auc"]) for row in leaderboard(folder) if row["rank"]]
    assert scores == sorted(scores, reverse=True)
    assert len({*scores}) > 2
    assert summary["metric"] == {"name": "roc_auc", "label": "ROC AUC", "greater_is_better": True, "unit": ""}
    assert summary["headline"] == ["log_loss", "accuracy", "roc_auc"]
    others = ("stacks.width=1", "stacks.slice_seconds=0.5")
    again = run_sweep(tmp_path, *CANCER, *STOPPING, "select.metric=roc_auc", *others)
    assert summary["work"]["slices"] != again["work"]["slices"]
    assert (again["digest"], again["best"]) == (summary["digest"], summary["best"])


def test_law_5_the_journal_has_the_scores_and_the_direction(by_area):
    summary, folder = by_area
    history = replayed(folder)
    assert history.metric == ranking_metric("roc_auc")
    best = history.trials[summary["best"]["trial"]]
    assert best.mean["validation/roc_auc"] == summary["best"]["validation"]["roc_auc"]["mean"]
    by_trial = {row["trial"]: float(row["validation/roc_auc"]) for row in leaderboard(folder) if row["rank"]}
    assert {key: history.trials[key].mean["validation/roc_auc"] for key in by_trial} == by_trial


@pytest.mark.slow
def test_law_5_a_run_that_is_extended_by_a_costly_metric_equals_one_that_had_it_from_the_start(by_area, tmp_path):
    """Its networks lack the scores, so they are trained again."""
    expected, _ = by_area
    before = run_sweep(tmp_path, *CANCER, *STOPPING)
    summary = run_sweep(tmp_path, *CANCER, *STOPPING, "select.metric=roc_auc", f"run={before['run_id']}")
    assert summary["run_id"] == before["run_id"]
    assert (summary["digest"], summary["best"]) == (expected["digest"], expected["best"])
    by_accuracy = run_sweep(tmp_path, *CANCER, *STOPPING, "select.metric=accuracy", f"run={before['run_id']}")
    assert by_accuracy["work"]["slices"] == 0  # the accuracy of every epoch is known
    assert by_accuracy["digest"] == before["digest"]
    assert by_accuracy["metric"]["name"] == "accuracy"


@pytest.mark.slow
def test_law_5_a_killed_run_has_the_scores_of_an_undisturbed_one(tmp_path):
    settings = ("data=breast_cancer", *FEW, "training.epochs=24", "stacks.slice_seconds=0.02", "stacks.width=3")
    settings = (*settings, "select.metric=roc_auc", "tracking=none", "report=none", "execution=local")
    expected = run_sweep(tmp_path / "expected", *settings)
    folder = run_and_kill(tmp_path, *settings, when=lambda path: count_slices(path) >= 3)
    run_here(tmp_path, *settings)
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["work"]["resumed_networks"] > 0
    assert (summary["digest"], summary["best"]) == (expected["digest"], expected["best"])


def test_halving_keeps_the_trials_of_the_greatest_scores(tmp_path):
    space = ("space=learning_rates", *(f"~space.optimizer.{name}" for name in ("sgd", "momentum", "rmsprop")))
    settings = (
        "data=breast_cancer",
        "reduce=none",
        "network.hidden=[8]",
        *space,
        "search=halving",
        "training.epochs=9",
    )
    summary = run_sweep(tmp_path, *settings, "select.metric=roc_auc")
    events = [json.loads(line) for line in (run_folder(summary, tmp_path) / "journal.jsonl").read_text().splitlines()]
    rungs = [event for event in events if event["event"] == "rung"]
    assert len(rungs) > 1
    for rung, following in pairwise(rungs):
        scores = {
            key[:4]: report["scores"]["validation/roc_auc"]
            for event in events
            if event["event"] == "slice" and event["until"] == max(rung["until"].values())
            for key, report in event["networks"].items()
        }
        kept = {*following["until"]}
        assert min(scores[key] for key in kept) >= max(score for key, score in scores.items() if key not in kept)


def test_regression_is_ranked_by_the_error_in_the_targets_unit_and_each_fold_has_its_own_scale(tmp_path):
    data = ("data=diabetes", "reduce=none", "network.hidden=[8]", *FEW, "split=k_fold", "split.folds=2")
    data = (*data, "select.publish=champion")
    summary = run_sweep(tmp_path, *data, "training.epochs=10")
    assert summary["metric"] == {
        "name": "root_mean_squared_error", "label": "RMSE", "greater_is_better": False, "unit": "target"
    }  # fmt: skip
    validation, model, y = validation_answers(summary, *data)
    predicted = model.target_decoder.predicted(y)
    folder = run_folder(summary, tmp_path)
    scores = replayed(folder).networks[f"{summary['best']['trial']}/1/0"].final_metrics
    expected = root_mean_squared_error(validation.y, predicted), mean_absolute_error(validation.y, predicted)
    assert scores["validation/root_mean_squared_error"] == pytest.approx(expected[0], rel=1e-5)
    assert scores["validation/mean_absolute_error"] == pytest.approx(expected[1], rel=1e-5)
    assert 40 < expected[0] < 90  # the target's standard deviation is 77
    rows = [row for row in leaderboard(folder) if row["rank"]]
    ranks = [float(row["validation/root_mean_squared_error"]) for row in rows]
    assert ranks == sorted(ranks)
    scores = [name for name in rows[0] if "/" in name and " " not in name]
    assert scores[:3] == [f"validation/{name}" for name in summary["headline"]]  # before the loss
    assert {"validation/loss", "train/loss"} <= {*scores[3:]}


@pytest.mark.parametrize("metric", ["f1", "roc_auc"])
def test_early_stopping_watches_another_metric(metric, tmp_path):
    """Also one that is else computed only when training pauses."""
    watch = f"+training.regularizers.early_stopping.watch=validation/{metric}"
    summary = run_sweep(tmp_path, *CANCER, *STOPPING, watch, "+training.regularizers.early_stopping.patience=2")
    history = replayed(run_folder(summary, tmp_path))
    stopped = [network for network in history.networks.values() if network.stopped]
    assert stopped
    for network in stopped:
        curve = network.curves[f"validation/{metric}"].tolist()
        assert network.selected_epoch == 1 + curve.index(max(curve)) == len(curve) - 2
        assert network.stopped[1].startswith(f"validation/{metric} was highest, ")


@pytest.mark.parametrize("metric", ["accuracy", "roc_auc"])
def test_the_epoch_that_is_kept_is_the_best_by_the_metric_of_the_selection(metric, tmp_path):
    """The last of equals; by the loss, where the metric has no curve."""
    keep = "+regularizer@training.regularizers.keep_best=keep_best"
    summary = run_sweep(tmp_path, *CANCER, keep, f"select.metric={metric}", "training.epochs=9")
    networks = list(replayed(run_folder(summary, tmp_path)).networks.values())
    last_of_equals = 0
    for network in networks:
        curves = {name: network.curves[f"validation/{name}"].tolist() for name in ("accuracy", "loss")}
        curve = curves["accuracy"] if metric == "accuracy" else [-value for value in curves["loss"]]
        assert len(curve) == 9
        assert network.selected_epoch == 9 - curve[::-1].index(max(curve))
        last_of_equals += curve.count(max(curve)) > 1
    assert last_of_equals or metric == "roc_auc"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A folder with a package of the user's, from which Python imports."""
    (tmp_path / "ledger").mkdir()
    (tmp_path / "ledger" / "__init__.py").write_text(COST)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    allow([])


@pytest.mark.parametrize("every_epoch", [True, False])
def test_a_metric_of_a_users_package_ranks_the_trials(every_epoch, package):
    metric = f"select.metric={{_target_: ledger.cost_of_errors, missed: 5, every_epoch: {str(every_epoch).lower()}}}"
    summary = run_sweep(package / "runs", *CANCER, "allow=[ledger]", metric, "training.epochs=4")
    assert summary["metric"] == {
        "name": "cost_of_errors", "label": "cost of errors", "greater_is_better": False, "unit": ""
    }  # fmt: skip
    folder = run_folder(summary, package / "runs")
    (network, *_) = replayed(folder).networks.values()
    assert ("validation/cost_of_errors" in network.curves) == every_epoch
    validation, model, y = validation_answers(summary, *CANCER)
    is_true, is_predicted = validation.y == model.target_decoder.labels[1], y[:, 0] > 0.5
    expected = np.mean(5 * (is_true & ~is_predicted) + (~is_true & is_predicted))
    assert summary["best"]["validation"]["cost_of_errors"]["mean"] == pytest.approx(expected, rel=1e-6)
    scores = [float(row["validation/cost_of_errors"]) for row in leaderboard(folder) if row["rank"]]
    assert scores == sorted(scores)


@pytest.mark.slow
def test_workers_of_ray_import_the_metric_of_a_users_package(package):
    metric = "select.metric={_target_: ledger.cost_of_errors, missed: 5}"
    ray = ("execution=ray", "execution.cpus=2", "tracking=none", "report=none", "training.epochs=3")
    run_command(package, *CANCER, *ray, "allow=[ledger]", metric)
    journal = read_journal(package)
    slices = [event for event in journal if event["event"] == "slice"]
    scores = [
        report["scores"]["validation/cost_of_errors"] for event in slices for report in event["networks"].values()
    ]
    assert len(scores) >= 7
    assert all(0 <= score < 5 for score in scores)
    (event,) = (event for event in journal if event["event"] == "metric")
    assert (event["name"], event["greater_is_better"]) == ("cost_of_errors", False)


def test_a_metric_that_no_trial_has_is_an_error(package):
    with pytest.raises(SettingError, match=r"select.metric=undefined: it is not defined for .* choose another"):
        run_sweep(package / "runs", *CANCER, "allow=[ledger]", "select.metric={_target_: ledger.undefined}")


@pytest.mark.parametrize(
    ("name", "words"),
    [("failing", "but raises ZeroDivisionError: division by zero"), ("of_rows", r"but returns the shape \(2, 12\)")],
)
def test_law_7_a_mistake_in_a_users_metric_is_found_before_training(name, words, package):
    with pytest.raises(SettingError, match=rf"select.metric={name} .*{words}; correct ledger.{name}"):
        run_sweep(package / "runs", *CANCER, "allow=[ledger]", f"select.metric={{_target_: ledger.{name}}}")


def test_law_7_a_metric_that_does_not_fit_the_values_of_a_file_is_refused_after_loading(tmp_path):
    (tmp_path / "t.csv").write_text("x,y\n" + "".join(f"{n},{n / 7}\n" for n in range(80)))
    with pytest.raises(
        SettingError, match=r"select.metric must be a metric for regression, but is accuracy; there are"
    ):
        run_sweep(tmp_path, "data=csv", f"data.path={tmp_path}/t.csv", "data.target=y", "select.metric=accuracy")


@pytest.mark.parametrize(("metric", "greater"), [("loss", False), ("accuracy", True), ("r2", True)])
def test_an_old_journal_names_the_metric_in_its_settings(metric, greater):
    history = RunHistory()
    history.apply({"event": "run", "time": 0, "settings": {"select": {"metric": metric}}})
    assert (history.metric.curve, history.metric.greater_is_better) == (f"validation/{metric}", greater)


def test_short_names_are_those_of_the_metrics():
    settings, _ = compose("data=diabetes", "select.metric=rmse")
    assert settings.select.metric.name == "nncore.metrics.root_mean_squared_error"
