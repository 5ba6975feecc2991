"""What is fitted to validation rows after the sweep, calibration, threshold and intervals, and how it is published."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from running import FEW, QUICK, compose, run_pipeline, run_sweep
from samples import SIGMOID, SQUARED, make_architecture, make_network
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_expit
from sklearn.metrics import accuracy_score, log_loss

from nncore.calibration import Calibration
from nncore.components import Component
from nncore.inference import model_file
from nncore.inference.ensemble import Ensemble
from nncore.inference.model import ConformalInterval, ValueDecoder
from nncore.inference.scaling import Affine
from nncore.inference.table import matrix_table
from nncore.inference.target_transforms import Logarithm, YeoJohnson
from nncore.stack.state import start
from pipeline.components.types import Development, Fold, RawRows
from pipeline.console.closing import champion_lines
from pipeline.engine.selection import SelectionSettings
from pipeline.engine.slices.task import NetworkSelector
from pipeline.stages.answers import NetworkPlace, collect_answers, validation_predictions
from pipeline.stages.calibrate import HeldOut, adjusted, fit_adjustment, fit_to_answers, held_out
from pipeline.stages.ensemble import Candidate, OutOfFold
from pipeline.stages.evaluate import assemble
from pipeline.stages.prepare import Prepare

SELECT = SelectionSettings("loss", (), False, 0, "champion", False, "auto", "auto", 0.9)
GAUSSIAN = Component("nncore.losses.gaussian")


def development_of(y, n_folds, labels=None, weights=None, repeats=1):
    """Rows of two columns, whose folds take turns; the folds of a repeat are the same in another order."""
    rows = np.arange(len(y))
    folds = [Fold(rows[rows % n_folds != fold], rows[rows % n_folds == fold]) for fold in range(n_folds)]
    x = matrix_table(np.random.default_rng(0).normal(size=(len(y), 2)), ("a", "b"))
    task, names = ("regression", tuple("uvw"[: y.shape[1]])) if labels is None else ("classification", ("y",))
    return Development(task, names, labels, RawRows(x, y, weights), tuple(folds * repeats))


def parts_of(development, outputs, deviation=None):
    """The outputs (N, O) of all rows, fold by fold."""
    return [
        HeldOut(outputs[None, fold.validation], None if deviation is None else deviation[None, fold.validation])
        for fold in development.folds
    ]


def drawn_answers(n, slope):
    """Logits that are too large by 1 / slope, and labels."""
    random = np.random.default_rng(0)
    right = random.normal(0, 2, (n, 1))
    return right / slope, np.where(random.random(n) < expit(right[:, 0]), "yes", "no")


def test_probabilities_are_calibrated_fold_by_fold():
    z, y = drawn_answers(900, 0.4)
    development = development_of(y, 3, np.array(["no", "yes"]))
    adjustment = fit_adjustment(development, SELECT, [], [0, 1, 2], *parts_of(development, z))

    def best_slope(rows):
        sign = np.where(y[rows] == "yes", 1, -1)
        return minimize_scalar(lambda a: -log_expit(sign * a * z[rows, 0]).sum(), bounds=(0, 2), method="bounded").x

    calibrated = np.empty(900)
    for fold in development.folds:
        calibrated[fold.validation] = best_slope(fold.train) * z[fold.validation, 0]
    assert adjustment.calibration.slope == pytest.approx(best_slope(slice(None)), rel=1e-4)
    summary = adjustment.summary["calibration"]
    assert (summary["method"], summary["applied"]) == ("temperature", True)
    assert summary["log_loss_before"] == pytest.approx(log_loss(y, expit(z[:, 0])))
    assert summary["log_loss_after"] == pytest.approx(log_loss(y, expit(calibrated)), rel=1e-5)
    assert summary["calibration_error_debiased_before"] > 0.05 > 0.02 > summary["calibration_error_debiased_after"]
    assert 0 < summary["expected_if_perfect"] < summary["calibration_error_before"]
    assert sum(adjustment.reliability["before"]["counts"]) == sum(adjustment.reliability["after"]["counts"]) == 900


def test_settings_decide_whether_probabilities_are_calibrated():
    for slope, select, method in ((0.4, "never", "none"), (1, "auto", "none"), (1, "always", "temperature")):
        z, y = drawn_answers(100, slope)
        development = development_of(y, 1, np.array(["no", "yes"]))
        adjustment = fit_adjustment(development, replace(SELECT, calibrate=select), [], [0], *parts_of(development, z))
        assert adjustment.summary["calibration"]["method"] == method
        assert (adjustment.calibration is None) == (method == "none")


def test_the_threshold_is_tuned_on_calibrated_probabilities_if_the_metric_depends_on_it():
    random = np.random.default_rng(0)
    z = random.normal(0, 2, (2000, 1))
    y = np.where(random.random(2000) < expit(z[:, 0] - 2), "yes", "no")  # the accuracy of z > 0 is not the best
    development = development_of(y, 1, np.array(["no", "yes"]))
    tuned, fixed, by_loss, calibrated = (
        fit_adjustment(development, replace(SELECT, **settings), [], [0], *parts_of(development, z))
        for settings in (
            {"metric": "accuracy", "calibrate": "never"},
            {"metric": "accuracy", "calibrate": "never", "threshold": "fixed"},
            {"metric": "loss", "calibrate": "never"},
            {"metric": "accuracy"},
        )
    )
    assert tuned.threshold == pytest.approx(expit(2), abs=0.1)
    summary = tuned.summary["threshold"]
    assert (summary["metric"], summary["value"]) == ("accuracy", tuned.threshold)
    assert summary["score_before"] == pytest.approx(accuracy_score(y == "yes", z > 0))
    assert summary["score_after"] > summary["score_before"] + 0.05
    for adjustment in (fixed, by_loss):
        assert (adjustment.threshold, adjustment.summary["threshold"]) == (0.5, None)
    assert calibrated.summary["calibration"]["method"] == "Platt"
    assert calibrated.threshold == pytest.approx(0.5, abs=0.1)


def test_intervals_have_the_errors_of_all_folds_each_row_once():
    random = np.random.default_rng(0)
    y, predicted = random.normal(size=(60, 2)) * [1, 100], random.normal(size=(60, 2)) * [1, 100]
    expected = np.sort(np.abs(y - predicted), axis=0)[54]  # the 55th of 60: 61 * 0.9 = 54.9
    for repeats in (1, 2):
        development = development_of(y, 3, repeats=repeats)
        adjustment = fit_adjustment(
            development, SELECT, ["the reason"], [*range(3 * repeats)], *parts_of(development, predicted)
        )
        np.testing.assert_allclose(adjustment.interval.half_width, expected, rtol=1e-12)
        assert adjustment.interval.coverage == 0.9
        assert adjustment.summary["intervals"] == {
            "coverage": 0.9,
            "half_width": {"u": pytest.approx(expected[0]), "v": pytest.approx(expected[1])},
            "n_rows": 60,
            "exact": False,
            "relative_to_deviation": False,
            "transformed": False,
            "notes": ["the reason"],
        }
    assert fit_adjustment(development, SELECT, [], [*range(6)], *parts_of(development, predicted)).summary["intervals"][
        "exact"
    ]
    none = fit_adjustment(development, replace(SELECT, coverage=None), [], [*range(6)], *parts_of(development, y))
    assert (none.interval, none.summary["intervals"]) == (None, None)


def test_intervals_are_relative_to_the_deviation_and_leave_out_rows_without_weight():
    random = np.random.default_rng(0)
    deviation = random.uniform(1, 10, (80, 1))
    y, weights = deviation * random.normal(size=(80, 1)), np.where(np.arange(80) < 40, 0.0, 3)
    development = development_of(y, 1, weights=weights)
    adjustment = fit_adjustment(development, SELECT, [], [0], *parts_of(development, 0 * y, deviation))
    factor = np.sort(np.abs(y / deviation)[40:, 0])[36]  # the 37th of 40: 41 * 0.9 = 36.9
    assert adjustment.interval.half_width.tolist() == [pytest.approx(factor)]
    summary = adjustment.summary["intervals"]
    assert (summary["n_rows"], summary["relative_to_deviation"]) == (40, True)
    assert summary["half_width"] == pytest.approx(factor * np.median(deviation[40:]))


@pytest.mark.parametrize("transform", [Logarithm(), YeoJohnson(Affine(np.array([3.0]), np.array([2.0])), np.zeros(1))])
def test_intervals_of_transformed_targets_have_one_longer_side(transform):
    """As many rows as of untransformed targets, and the half-width in the unit of the transformed ones."""
    random = np.random.default_rng(0)
    predicted = np.exp(random.normal(1, 1, (60, 1)))
    y = transform.undo(transform(predicted) + random.standard_t(4, (60, 1)) * 0.2)
    development = development_of(y, 3)
    parts = [part._replace(transform=transform) for part in parts_of(development, predicted)]
    adjustment = fit_adjustment(development, SELECT, [], [0, 1, 2], *parts)
    expected = np.sort(np.abs(transform(y) - transform(predicted))[:, 0])[54]  # the 55th of 60: 61 * 0.9 = 54.9
    assert adjustment.interval.half_width.tolist() == [pytest.approx(expected)]
    decoder = ValueDecoder(("u",), Affine(np.zeros(1), np.ones(1)), adjustment.interval, transform)
    columns = decoder.columns(transform(predicted))
    lower, upper = columns["prediction_lower"], columns["prediction_upper"]
    assert ((lower <= y[:, 0] + 1e-12) & (y[:, 0] - 1e-12 <= upper)).sum() == 55
    assert (upper - columns["prediction"] > 1.1 * (columns["prediction"] - lower))[predicted[:, 0] > 3].all()
    assert adjustment.summary["intervals"]["half_width"] == pytest.approx(np.median(upper - lower) / 2)
    assert adjustment.summary["intervals"]["transformed"] is True


def test_too_few_rows_and_names_that_clash_have_no_intervals():
    y = np.arange(8.0)[:, None]
    few = development_of(y, 1)
    adjustment = fit_adjustment(few, SELECT, [], [0], *parts_of(few, 0 * y))
    assert (adjustment.interval, adjustment.summary["intervals"]["half_width"]) == (None, None)
    assert adjustment.summary["intervals"]["notes"] == ["8 validation rows are too few for intervals of 90 %"]
    y = np.random.default_rng(0).normal(size=(50, 2))
    clash = replace(development_of(y, 1), targets=("u", "lower_u"))
    adjustment = fit_adjustment(clash, SELECT, [], [0], *parts_of(clash, 0 * y))
    assert adjustment.interval is None
    assert "would have the name of the target lower_u" in adjustment.summary["intervals"]["notes"][0]


@pytest.mark.parametrize(
    ("loss", "target"),
    [(SQUARED, "none"), (SQUARED, "log"), (SQUARED, "yeo_johnson"), (GAUSSIAN, "none"), (SIGMOID, "none")],
    ids=["values", "logarithms", "powers", "deviations", "classes"],
)
def test_held_out_rows_are_predicted_as_by_the_model(loss, target):
    """By single networks and by their mean; after an adjustment the models have what it says."""
    random = np.random.default_rng(0)
    labels = np.array(["no", "yes"]) if loss == SIGMOID else None
    y = labels[random.integers(2, size=40)] if loss == SIGMOID else 50 + 7 * random.normal(size=(40, 1))
    folds = development_of(y, 2, labels)
    development = replace(folds, folds=folds.folds[:1])
    view = Prepare("median", True, "standard", 10, 100, None, target, True, "auto", "none")(development, 0)
    architecture = make_architecture((2, 5, 1), loss=loss)
    stack = start(architecture, [make_network("a", 0), make_network("b", 1)])
    selectors = [NetworkSelector("a"), NetworkSelector("b")]  # two trials
    predictions = validation_predictions(view, architecture, selectors, stack)
    places = [NetworkPlace(trial, 0, 0) for trial in range(2)]
    answers = collect_answers(development, ("0000", "0001"), places, predictions)
    table = development.rows.x[development.folds[0].validation]
    models = [assemble(view, architecture, selector, stack) for selector in selectors]
    first, second = Candidate(0, 0), Candidate(1, 0)
    out_of_fold = OutOfFold(answers, loss.build(), view.target_decoder)
    arguments = (answers, view, architecture, development, replace(SELECT, coverage=0.5), [])
    adjustment = fit_to_answers(*arguments, {second: 1, first: 2})
    adjustment = replace(adjustment, calibration=Calibration(2.0, 1.0) if labels is not None else None, threshold=0.3)
    together = Ensemble(tuple(models), (2, 1))
    for model, counts in ((models[0], {first: 1}), (models[1], {second: 1}), (together, {second: 1, first: 2})):
        outputs = held_out(out_of_fold, out_of_fold.mean(counts))
        if labels is not None:
            np.testing.assert_allclose(outputs.y[0], model.logits(table), rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(
                adjusted(model, adjustment).logits(table), 2 * model.logits(table) + 1, rtol=1e-5
            )
            assert adjusted(model, adjustment).target_decoder.threshold == 0.3
            continue
        columns = model.predict_columns(table.numbers)
        np.testing.assert_allclose(outputs.y[0, :, 0], columns["prediction"], rtol=1e-6)
        if loss == GAUSSIAN:
            np.testing.assert_allclose(outputs.deviation[0, :, 0], columns["deviation"], rtol=1e-5)
        half_width = adjustment.interval.half_width[0] * columns.get("deviation", 1)
        transformed = view.target_decoder.transformed
        with_interval = adjusted(model, adjustment).predict_columns(table.numbers)
        for end, side in (("lower", -1), ("upper", 1)):
            difference = transformed(with_interval[f"prediction_{end}"]) - transformed(columns["prediction"])
            np.testing.assert_allclose(side * difference, half_width, rtol=1e-4)
    if labels is None:
        truth = development.rows.y[development.folds[0].validation, 0]
        columns = adjusted(together, adjustment).predict_columns(table.numbers)
        within = (columns["prediction_lower"] <= truth) & (truth <= columns["prediction_upper"])
        assert within.sum() in (10, 11)  # of 20: 21 * 0.5 = 10.5, and the 11th is an end of its interval


def test_an_ensemble_does_not_inherit_what_was_fitted_to_its_first_model():
    development = development_of(np.random.default_rng(0).normal(size=(40, 1)), 2)
    view = Prepare("median", True, "standard", 10, 100, None, "none", True, "auto", "none")(development, 0)
    architecture = make_architecture((2, 5, 1), loss=SQUARED)
    model = assemble(view, architecture, NetworkSelector("a"), start(architecture, [make_network("a", 0)]))
    interval = ConformalInterval(np.array([3.0]), 0.9)
    first = replace(model, target_decoder=replace(model.target_decoder, interval=interval))
    without = fit_adjustment(development, replace(SELECT, coverage=None), [], [0], HeldOut(np.zeros((1, 20, 1)), None))
    assert adjusted(Ensemble((first,), (1,)), without).target_decoder.interval is None


@pytest.fixture(scope="module")
def overconfident(tmp_path_factory):
    """A sweep whose networks learn wrong labels by heart: its summary, its model and its test rows."""
    folder, random = tmp_path_factory.mktemp("overconfident"), np.random.default_rng(0)
    x = random.normal(size=(900, 6))
    y = np.where(x[:, 0] + x[:, 1] + 1.5 * random.normal(size=900) > 0.8, "yes", "no")
    pd.DataFrame(x, columns=list("abcdef")).assign(y=y).to_csv(folder / "t.csv", index=False)
    settings, config = compose(
        *QUICK, "data=csv", f"data.path={folder}/t.csv", "data.target=y", f"runs={folder}",
        *FEW[:3], "space.optimizer.adam.learning_rate=[0.02]", "~space.regularizer.l1", "~space.regularizer.l2",
        "~space.regularizer.dropout", "~space.regularizer.weight_decay", "training.epochs=40", "network.hidden=[128]",
        "onnx=true", "select.metric=accuracy", "select.publish=champion",
    )  # fmt: skip
    summary = run_pipeline(settings, config)
    return summary, model_file.load(summary["model"]["path"]), settings.split(settings.data())[1]


def test_a_run_publishes_what_it_fitted(overconfident):
    summary, model, _ = overconfident
    calibration = summary["calibration"]
    assert calibration["applied"]
    assert calibration["slope"] < 0.6
    assert calibration["log_loss_after"] < 0.9 * calibration["log_loss_before"]
    assert model.calibration == Calibration(calibration["slope"], calibration["intercept"])
    assert summary["threshold"]["metric"] == "accuracy"
    assert model.target_decoder.threshold == summary["threshold"]["value"]
    assert summary["model"]["onnx"]  # it was compared with the model
    folder = Path(summary["model"]["path"]).parent
    diagnosis = json.loads((folder / "diagnosis.json").read_text())["calibration"]
    assert diagnosis["method"] == calibration["method"]
    assert sum(diagnosis["before"]["counts"]) == sum(diagnosis["after"]["counts"]) == 180
    assert summary["ensemble"]["calibration"]["applied"]
    line = champion_lines(summary, folder)["calibration"]
    assert line == (
        f"{calibration['method']} scaling: log loss {calibration['log_loss_after']:#.4g} instead of "
        f"{calibration['log_loss_before']:#.4g} on validation rows"
    )


def test_test_scores_are_those_of_the_published_model(overconfident):
    summary, model, test = overconfident
    predicted, scores = model.predict_columns(test.x.numbers), summary["best"]["test"]
    p, truth = predicted["probability_yes"].astype(float), test.y == "yes"
    assert scores["log_loss"] == pytest.approx(log_loss(truth, p), rel=1e-5)
    assert scores["accuracy"] == pytest.approx(accuracy_score(test.y, predicted["prediction"]))
    raw = replace(model, calibration=None).predict_columns(test.x.numbers)["probability_yes"].astype(float)
    assert log_loss(truth, raw) > 1.2 * scores["log_loss"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "texts"),
    [
        (
            ("select.coverage=0.999", "~space.regularizer.weight_decay"),
            ["Predictions have no intervals: 88 validation rows are too few for intervals of 99.9 %."],
        ),
        (
            ("loss@network.loss.regression=gaussian", "+regularizer@training.regularizers.stop=early_stopping"),
            [
                " in the median, from the errors on 88 validation rows",
                "approximately: the epoch was chosen by the same rows",
            ],
        ),
    ],
    ids=["too few rows", "deviations"],
)
def test_the_report_says_what_the_intervals_are(overrides, texts, tmp_path):
    settings = (
        *FEW[:2],
        *FEW[-1:],
        "~space.optimizer.rmsprop",
        "training.epochs=25",
        "data=diabetes",
        "report=page",
        *overrides,
    )
    summary = run_sweep(tmp_path, *settings, "space.optimizer.adam.learning_rate=[0.03]")
    page = (Path(summary["model"]["path"]).parent / "report.html").read_text().replace("\xa0", " ")
    for text in texts:
        assert text in page
