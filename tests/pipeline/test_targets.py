"""Several targets: values and labels, in complete sweeps; weights that count."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from running import FEW, compose, run_sweep
from sklearn.metrics import (
    accuracy_score,
    f1_score,
    hamming_loss,
    log_loss,
    mean_absolute_error,
    r2_score,
    roc_auc_score,
    root_mean_squared_error,
)

from nncore.inference import model_file

N = 500
VALUES = ("data.target=[u,v]", "data.drop=[red,blue,rare,w]")
LABELS = ("data.target=[red,blue,rare]", "data.drop=[u,v,w]")


@pytest.fixture(scope="module")
def frame():
    random = np.random.default_rng(0)
    x = random.normal(size=(N, 6))
    table = pd.DataFrame(x, columns=list("abcdef"))
    table["u"] = x[:, 0] * 2 + x[:, 1] + random.normal(0, 0.2, N)
    table["v"] = 100 + 50 * x[:, 2] + random.normal(0, 5, N)
    table["red"] = (x[:, 3] + random.normal(0, 0.3, N) > 0).astype(int)
    table["blue"] = (x[:, 4] > 0.8).astype(int)
    table["rare"] = (x[:, 5] > 1.8).astype(int)
    table["w"] = random.uniform(0, 3, N).round(2)
    return table


@pytest.fixture(scope="module")
def path(frame, tmp_path_factory):
    path = tmp_path_factory.mktemp("targets") / "t.csv"
    frame.to_csv(path, index=False)
    return path


def run_and_load(path, folder, *overrides):
    """The summary of a sweep, its model, and the frame's rows of its test part."""
    source = ("data=csv", f"data.path={path}", "preset=none")
    summary = run_sweep(folder, *FEW, *source, *overrides, "training.epochs=30")
    settings, _ = compose(*source, *overrides)
    _, test = settings.split(settings.data())
    return summary, model_file.load(Path(summary["model"]["path"])), test


def test_several_values_are_predicted_each_in_its_unit(path, tmp_path):
    summary, model, test = run_and_load(path, tmp_path, *VALUES, "report=page")
    predictions = model.predict_columns(test.x.numbers)
    errors = np.column_stack([predictions[f"prediction_{name}"] for name in "uv"]) - test.y
    worst = np.argmax(np.abs(errors / test.y.std(axis=0)).mean(axis=1))
    (report,) = tmp_path.glob("*/*/report.html")
    assert "u {:.6g}, v {:.6g}".format(*errors[worst]) in report.read_text()
    scores = summary["published"]["test"]
    for index, name in enumerate("uv"):
        error = root_mean_squared_error(test.y[:, index], predictions[f"prediction_{name}"])
        assert scores[f"root_mean_squared_error_{name}"] == pytest.approx(error, rel=1e-5)
        assert r2_score(test.y[:, index], predictions[f"prediction_{name}"]) > 0.9
    predicted = np.column_stack([predictions[f"prediction_{name}"] for name in "uv"])
    assert scores["mean_absolute_error"] == pytest.approx(mean_absolute_error(test.y, predicted), rel=1e-5)
    assert scores["r2"] == pytest.approx(r2_score(test.y, predicted), rel=1e-5)
    assert summary["headline"] == [
        "root_mean_squared_error", "mean_absolute_error", "r2", "root_mean_squared_error_u", "root_mean_squared_error_v"
    ]  # fmt: skip
    half_widths = summary["intervals"]["half_width"]
    for name in "uv":
        middle, lower, upper = (predictions[f"prediction{end}_{name}"] for end in ("", "_lower", "_upper"))
        np.testing.assert_allclose(upper - middle, half_widths[name], rtol=1e-9)
        np.testing.assert_allclose(middle - lower, half_widths[name], rtol=1e-9)
    assert len(predictions) == 6


def test_several_labels_are_predicted_each_by_itself(path, tmp_path):
    summary, model, test = run_and_load(path, tmp_path, *LABELS)
    predictions = model.predict_columns(test.x.numbers)
    predicted = np.column_stack([predictions[f"prediction_{name}"] for name in ("red", "blue", "rare")])
    probable = [predictions[f"probability_{name}"] for name in ("red", "blue", "rare")]
    scores = summary["published"]["test"]
    assert scores["subset_accuracy"] == pytest.approx(accuracy_score(test.y, predicted))
    assert scores["label_accuracy"] == pytest.approx(1 - hamming_loss(test.y, predicted))
    losses = [log_loss(test.y[:, index], p.astype(float)) for index, p in enumerate(probable)]
    assert scores["loss"] == pytest.approx(sum(losses), rel=1e-4)
    areas = [roc_auc_score(test.y[:, index], p) for index, p in enumerate(probable)]
    assert scores["roc_auc"] == pytest.approx(np.mean(areas), rel=1e-6)
    for index, name in enumerate(("red", "blue", "rare")):
        assert scores[f"roc_auc_{name}"] == pytest.approx(areas[index], rel=1e-6)
        assert scores[f"f1_{name}"] == pytest.approx(f1_score(test.y[:, index], predicted[:, index], zero_division=0))
    assert scores["label_accuracy"] > 0.9
    assert 0.3 < test.y[:, 0].mean() < 0.7  # not all the same


def test_the_champion_can_be_selected_by_subset_accuracy(path, tmp_path):
    summary, _, _ = run_and_load(
        path, tmp_path, *LABELS, "select.metric=subset_accuracy", "split=k_fold", "split.folds=2"
    )
    assert summary["networks"]["finished"] == 2 * summary["trials"]["finished"] == 14
    assert summary["best"]["validation"]["subset_accuracy"]["std"] > 0


def test_weights_count_in_the_scores(path, tmp_path):
    summary, model, test = run_and_load(path, tmp_path, "data.target=red", "data.drop=[u,v,blue,rare]", "data.weight=w")
    predicted = model.predict_columns(test.x.numbers)["prediction"]
    weighted = accuracy_score(test.y, predicted, sample_weight=test.weights)
    assert summary["published"]["test"]["accuracy"] == pytest.approx(weighted, rel=1e-6)
    assert weighted != pytest.approx(accuracy_score(test.y, predicted), rel=1e-4)


@pytest.mark.slow
def test_rows_of_weight_zero_have_no_effect(frame, tmp_path):
    """Wrong labels with weight zero do not make the networks worse."""
    altered = frame.assign(w=(np.arange(N) % 2).astype(float))
    altered.loc[altered.w == 0, "red"] = 1 - altered.red
    altered.to_csv(tmp_path / "t.csv", index=False)
    roles = ("data.target=red", "data.drop=[u,v,blue,rare]")
    weighted, _, _ = run_and_load(tmp_path / "t.csv", tmp_path / "a", *roles, "data.weight=w")
    blind, _, _ = run_and_load(tmp_path / "t.csv", tmp_path / "b", *roles[:1], "data.drop=[u,v,blue,rare,w]")
    assert weighted["published"]["test"]["accuracy"] > 0.8
    assert blind["published"]["test"]["accuracy"] < 0.65
