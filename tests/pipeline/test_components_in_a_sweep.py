"""Components of nncore in a sweep: mixed, nested, with schedules and early stopping."""

import csv
from pathlib import Path

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient
from running import FEW, compose, read_summary, requested_trials, run_here, run_sweep

from nncore.inference import model_file

STOP = "+regularizer@training.regularizers.stop=early_stopping"
EVERYTHING = (
    *(f"~space.optimizer.{name}" for name in ("sgd", "momentum", "rmsprop")),
    "space.optimizer.adam.learning_rate=[0.003,0.03,0.1]",
    "+optimizer@space.optimizer.muon=muon",
    "+optimizer@space.optimizer.lookahead=lookahead",
    "space.optimizer.lookahead.optimizer.learning_rate=[0.001,0.01]",
    "+optimizer@space.optimizer.nadam=nadam",
    *(f"~space.regularizer.{name}" for name in ("l2", "weight_decay")),
    "space.regularizer.l1.strength=[0.0001,0.001]",
    "space.regularizer.dropout.rate=0.5",
    "+regularizer@space.regularizer.mixup=mixup",
    STOP,
    "+training.regularizers.stop.patience=1",
    "+regularizer@training.regularizers.ema=ema",
    "+training.regularizers.ema.decay=0.9",
    "schedule@training.schedule=warm_up",
    "schedule@training.schedule.then=reduce_on_plateau",
    "normalisation@network.normalisation=batch_norm",
    "activation@network.activation=gelu",
    "network.hidden=[16,16]",
    "network.residual=true",
    "network.members=2",
    "network.adapters=full",
    "training.epochs=12",
)


@pytest.fixture(scope="module")
def mixed_sweep(tmp_path_factory):
    return run_sweep(tmp_path_factory.mktemp("sweep"), *EVERYTHING, "stacks.width=unlimited")


def leaderboard(summary):
    with (Path(summary["model"]["path"]).parent / "leaderboard.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_law_1_digest_of_a_sweep_of_all_components_does_not_depend_on_packing(mixed_sweep, tmp_path):
    narrow = run_sweep(tmp_path, *EVERYTHING, "stacks.width=3", "stacks.slice_seconds=0.01")
    assert narrow["digest"] == mixed_sweep["digest"]
    assert narrow["best"] == mixed_sweep["best"]
    assert narrow["work"]["slices"] > 2 * narrow["work"]["stacks"] > 20


@pytest.mark.slow
def test_trials_that_were_stopped_early_are_counted_and_ranked_by_their_best_epoch(mixed_sweep):
    counts = mixed_sweep["trials"]
    assert counts["stopped"] > 10
    assert counts["finished"] + counts["stopped"] + counts["diverged"] == counts["planned"] == 7 * 5
    rows = leaderboard(mixed_sweep)
    stopped = [row for row in rows if row["status"].startswith("stopped after epoch")]
    assert len(stopped) == counts["stopped"]
    for row in stopped:
        lowest = row["status"].partition("was lowest, ")[2].partition(",")[0]
        assert float(row["validation/loss"]) == pytest.approx(float(lowest), rel=1e-5)


def test_the_champion_of_all_components_predicts_probabilities(mixed_sweep):
    assert mixed_sweep["published"]["test"]["accuracy"] > 0.9
    model = model_file.load(Path(mixed_sweep["model"]["path"]))
    predictions = model.predict_columns(np.zeros((2, 64)))
    total = sum(column for name, column in predictions.items() if name.startswith("probability"))
    np.testing.assert_allclose(total, 1, rtol=1e-5)
    assert {layer.normalisation.short_name for layer in model.architecture.layers} == {"batch_norm", "none"}
    assert [layer.residual for layer in model.architecture.layers] == [False, True, False]


def test_hyperparameters_of_nested_components_have_dotted_names():
    settings, _ = compose(
        *FEW, "+optimizer@space.optimizer.lookahead=lookahead", "+space.optimizer.lookahead.every=[3,7]"
    )
    trials = [trial for trial in requested_trials(settings) if trial.optimizer_name == "lookahead"]
    assert len(trials) == 2 * 7
    parameters = trials[0].parameters
    assert parameters["optimizer.optimizer"] == "adam"
    assert parameters["optimizer.optimizer.learning_rate"] == 0.001
    assert parameters["optimizer.every"] == 3
    assert trials[0].optimizer_label == "lookahead (adam 0.001) every=3"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("loss", "overrides"),
    [
        ("gaussian", ()),
        ("absolute_error", ()),
        ("huber", ()),
        ("poisson", ("prepare.scale_targets=false", "space.optimizer.adam.learning_rate=[0.003,0.01]")),
    ],
)
def test_regression_by_another_likelihood(loss, overrides, tmp_path):
    few = (*FEW, "data=diabetes", f"loss@network.loss.regression={loss}", "training.epochs=60", STOP, *overrides)
    summary = run_sweep(tmp_path, *few, "tracking=none")
    assert summary["published"]["test"]["r2"] > 0.2
    model = model_file.load(Path(summary["model"]["path"]))
    settings, _ = compose("data=diabetes")
    rows = settings.data().rows
    predictions = model.predict_columns(rows.x.numbers)
    assert predictions["prediction"].shape == (442,)
    assert 0 < predictions["prediction"].min() < 100 < 200 < predictions["prediction"].max() < 700
    assert ("deviation" in predictions) == (loss == "gaussian")
    if loss == "gaussian":  # about two thirds of the values lie within one predicted deviation
        within = np.abs(predictions["prediction"] - rows.y[:, 0]) < predictions["deviation"]
        assert 0.4 < within.mean() < 0.8


def test_a_tied_denoising_sparse_autoencoder_as_the_reduction(tmp_path):
    summary = run_sweep(
        tmp_path, *FEW, "reduce=autoencoder", "reduce.tied=true", "reduce.epochs=10",
        "+regularizer@reduce.regularizers.noise=input_noise", "+regularizer@reduce.regularizers.sparse=activity",
    )  # fmt: skip
    assert summary["published"]["test"]["accuracy"] > 0.8


@pytest.mark.slow
def test_trials_that_were_stopped_early_are_finished_in_mlflow_with_the_cause(tmp_path):
    run_here(
        tmp_path,
        *FEW,
        "execution=local",
        "training.epochs=40",
        "report=none",
        STOP,
    )
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/runs/mlflow.db")
    client, summary = MlflowClient(), read_summary(tmp_path)
    runs = client.search_runs([summary["mlflow"]["experiment_id"]], "tags.kind = 'trial'")
    stopped = [run for run in runs if "stopped after epoch" in run.data.tags.get("stop_reason", "")]
    assert len(stopped) == summary["trials"]["stopped"] > 0
    for run in stopped:
        assert run.info.status == "FINISHED"
        curve = [point.value for point in client.get_metric_history(run.info.run_id, "validation/loss")]
        assert run.data.metrics["validation_loss"] == pytest.approx(min(curve), rel=1e-4)
        assert len(curve) < 40
