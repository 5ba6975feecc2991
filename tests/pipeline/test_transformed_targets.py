"""A sweep over transforms of the target and scalings by command: everything is in the target's own unit."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from running import FEW, QUICK, compose, read_summary, run_here
from sklearn import metrics as sk_metrics

from nncore.inference import model_file
from nncore.inference.table import read_table
from pipeline.onnx_export.export import run_onnx

N = 240
pytestmark = pytest.mark.slow
SWEEP = (
    *QUICK, *FEW, "~space.regularizer.l1", "~space.regularizer.l2", "~space.regularizer.dropout",
    "~space.regularizer.weight_decay", "data=csv", "data.path=prices.csv", "data.target=price", "training.epochs=8",
    "space.optimizer.adam.learning_rate=[0.02]", "reduce=none", "onnx=true", "select.publish=ensemble",
    "+space.prepare.target=[none,log,yeo_johnson]", "+space.prepare.scaling=[standard,robust_clip,quantile_normal]",
)  # fmt: skip


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """The run's folder, its summary, and the rows of the file."""
    folder, random = tmp_path_factory.mktemp("sweep"), np.random.default_rng(0)
    rows = pd.DataFrame({"size": random.gamma(4, 15, N), "age": random.normal(30, 9, N)})
    rows["town"] = random.choice(["ulm", "bonn", "kiel"], N)
    rows["price"] = np.exp(3 + rows["size"] / 100 - rows["age"] / 40 + random.normal(0, 0.3, N)).round(3)
    rows.to_csv(folder / "prices.csv", index=False)
    output = run_here(folder, *SWEEP).stdout
    return folder, read_summary(folder), rows, output


def test_choices_of_the_target_are_compared_in_its_own_unit(sweep):
    folder, _, rows, output = sweep
    board = pd.read_csv(next(folder.glob("runs/*/*/leaderboard.csv")))
    assert len(board) == 9
    scores = board.groupby("prepare.target")["validation/root_mean_squared_error"].min()
    assert set(scores.index) == {"none", "log", "yeo_johnson"}
    assert scores.max() < rows["price"].std()
    assert board["validation/root_mean_squared_error"].is_monotonic_increasing
    assert "predictions limited to the training targets' range (else prepare.bound_predictions=false)" in output
    losses = board.groupby("prepare.target")["validation/loss"].min()
    assert np.ptp(losses / scores) > 0.1 * (losses / scores).mean()  # which are in units of their own


def test_the_model_scores_what_the_summary_says_and_stays_within_the_training_range(sweep):
    folder, summary, rows, _ = sweep
    settings, _ = compose(*SWEEP, f"data.path={folder / 'prices.csv'}")
    development, test = settings.split(settings.data())
    model = model_file.load(summary["model"]["path"])
    y = model.predict_columns(rows)["prediction"]
    training = development.rows.y[development.folds[0].train]
    assert training.min() <= y.min()
    assert y.max() <= training.max()
    columns = {column.name: values for column, values in test.x.column_values if column.kind != "categorical"}
    own = rows.set_index(["size", "age"]).loc[list(zip(columns["size"], columns["age"], strict=True))]
    answers = model.predict_columns(own.reset_index())
    assert summary["ensemble"]["test"]["root_mean_squared_error"] == pytest.approx(
        sk_metrics.root_mean_squared_error(own["price"], answers["prediction"]), rel=1e-5
    )
    intervals = summary["ensemble"]["intervals"]
    assert intervals["transformed"] == (model.target_decoder.transform is not None)
    within = (answers["prediction_lower"] <= own["price"]) & (own["price"] <= answers["prediction_upper"])
    assert within.mean() > 0.75


def test_the_onnx_file_and_the_command_predict_the_same(sweep):
    folder, summary, rows, _ = sweep
    model = model_file.load(summary["model"]["path"])
    expected = model.predict_columns(rows)
    outputs = run_onnx(Path(summary["model"]["onnx"]).read_bytes(), read_table(model.preprocessing.columns, rows))
    predicted = run_here(folder, "predict", f"model={summary['model']['path']}", "prices.csv", "out=answers.csv")
    assert predicted.returncode == 0
    written = pd.read_csv(folder / "answers.csv")
    for name in ("prediction", "prediction_lower", "prediction_upper"):
        np.testing.assert_allclose(outputs[name][:, 0], expected[name], rtol=2e-5)
        np.testing.assert_allclose(written[name], expected[name], rtol=1e-6)


def test_a_loss_in_different_units_cannot_rank_trials(sweep):
    refused = run_here(sweep[0], *SWEEP, "select.metric=loss", check=False)
    assert refused.returncode == 2
    assert "select.metric and select.tradeoffs must not be the loss if prepare.target" in refused.stderr
    assert "choose select.metric=r2" in refused.stderr
