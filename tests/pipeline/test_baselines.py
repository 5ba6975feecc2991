"""Baselines: equal to scikit-learn's models fitted by hand to the same rows, cached, and never the end of a run."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from linear import NAMES, linear_model
from running import FEW, compose, run_here, run_sweep
from samples import SIGMOID
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, log_loss, r2_score, root_mean_squared_error
from threadpoolctl import threadpool_limits

from nncore.inference.model import ClassDecoder
from nncore.inference.table import Column, Table, matrix_table
from pipeline.components.types import Development, Fold, RawRows
from pipeline.console.baselines import baseline_lines
from pipeline.engine.conclusions import beaten_by
from pipeline.stages.baselines import QuickBaselines, compare_with_model, fit_baseline, raw_numbers, score_baseline

N = 300
QUICK = QuickBaselines(iterations=10, learning_rate=0.3, max_numbers=10**9)
FOLDS = ("split.folds=2", "split.test=0.2")


@pytest.fixture(autouse=True)
def one_thread():
    """As in a task; several threads of small trees wait for each other where other tests are running."""
    with threadpool_limits(1):
        yield


def make_table():
    """Numbers with gaps, a boolean, categories of which some are missing, an ordinal."""
    random = np.random.default_rng(0)
    columns = (
        Column("a"),
        Column("city", "categorical", "string", tuple("pqrs")),
        Column("b"),
        Column("size", "ordinal", "string", ("S", "M", "L")),
    )
    numbers = random.normal(size=(N, 2))
    numbers[random.random(N) < 0.1, 0] = np.nan
    codes = np.column_stack([random.integers(-1, 4, N), random.integers(0, 3, N)]).astype(np.int32)
    return Table(columns, numbers, codes)


def development_of(task, y, labels=None, weights=None):
    order = np.random.default_rng(1).permutation(N)
    folds = tuple(
        Fold(np.sort(order[~part]), np.sort(order[part])) for part in (np.arange(N) < 100, np.arange(N) >= 200)
    )
    names = tuple(f"y{index}" for index in range(1 if y.ndim == 1 else y.shape[1]))
    return Development(task, names, labels, RawRows(make_table(), y, weights), folds)


def views_of(development):
    prepare = compose()[0].prepare
    return [prepare(development, fold) for fold in range(len(development.folds))]


def raw_frame(table):
    """The raw columns as pandas has them: categories as such, the order of the ordinal column, NaN where missing."""
    frame = pd.DataFrame(table.numbers, columns=["a", "b"])
    codes = table.codes.astype(float)
    frame["city"] = pd.Categorical(np.where(codes[:, 0] < 0, None, np.array([*"pqrs"])[table.codes[:, 0]]))
    frame["size"] = codes[:, 1]
    return frame


def boosting(kind, **settings):
    return kind(
        max_iter=10,
        learning_rate=0.3,
        early_stopping=False,
        categorical_features="from_dtype",
        random_state=0,
        **settings,
    )


def signal(table):
    return np.nan_to_num(table.numbers[:, 0]) + (table.codes[:, 0] == 2) * 2 + table.codes[:, 1]


@pytest.mark.parametrize("n_classes", [2, 3])
def test_classes_are_scored_as_by_models_fitted_by_hand(n_classes):
    random, table = np.random.default_rng(2), make_table()
    labels = np.array(["no", "perhaps", "yes"])[-n_classes:]
    index = np.digitize(signal(table) + random.normal(size=N), [1.5, 3][: n_classes - 1])
    weights = random.uniform(0.1, 3, N)
    development = development_of("classification", labels[index], labels, weights)
    views, frame, y = views_of(development), raw_frame(table), labels[index]
    expected = {name: [] for name in ("constant", "linear", "gradient_boosting")}
    for (train, held_out), view in zip(development.folds, views, strict=True):
        w = weights[train] / weights[train].mean()
        linear = LogisticRegression(max_iter=200).fit(view.data.train.x, y[train], w)
        trees = boosting(HistGradientBoostingClassifier).fit(frame.iloc[train], y[train], weights[train])
        shares = [weights[train][y[train] == label].sum() / weights[train].sum() for label in labels]
        predictions = {
            "constant": np.tile(shares, (len(held_out), 1)),
            "linear": linear.predict_proba(view.data.validation.x),
            "gradient_boosting": trees.predict_proba(frame.iloc[held_out]),
        }
        for name, p in predictions.items():
            rows = {"sample_weight": weights[held_out]}
            predicted = labels[p.argmax(axis=1)]
            expected[name].append((log_loss(y[held_out], p, **rows), accuracy_score(y[held_out], predicted, **rows)))
    for name, scores in expected.items():
        fitted, model = fit_baseline(QUICK, name, development, *views)
        got = [fitted["validation"][metric] for metric in ("loss", "accuracy")]
        assert got == pytest.approx(np.mean(scores, axis=0), rel=1e-4)
        test = development.part(0)[1]  # the model is that of the first fold
        assert score_baseline(model, test, "classification")[0]["loss"] == pytest.approx(scores[0][0], rel=1e-4)


def test_several_values_are_scored_in_their_own_units():
    random, table = np.random.default_rng(3), make_table()
    y = np.stack([1e4 + 300 * signal(table), 0.01 * table.numbers[:, 1]], axis=1) + random.normal(size=(N, 2)) * [
        50,
        0.01,
    ]
    development, frame = development_of("regression", y), raw_frame(table)
    views = views_of(development)
    (train, held_out), view = development.folds[0], views[0]
    trees = [boosting(HistGradientBoostingRegressor).fit(frame.iloc[train], values) for values in y[train].T]
    predictions = {
        "constant": DummyRegressor().fit(view.data.train.x, y[train]).predict(view.data.validation.x),
        "linear": Ridge().fit(view.data.train.x, y[train]).predict(view.data.validation.x),
        "gradient_boosting": np.stack([of_target.predict(frame.iloc[held_out]) for of_target in trees], axis=1),
    }
    rows = development.part(0)[1]
    for name, predicted in predictions.items():
        _, model = fit_baseline(QUICK, name, development, *views)
        scores, y_of_model = score_baseline(model, rows, "regression")
        np.testing.assert_allclose(y_of_model, predicted, rtol=1e-3)
        for index in (0, 1):
            error = root_mean_squared_error(y[held_out, index], predicted[:, index])
            assert scores[f"root_mean_squared_error_y{index}"] == pytest.approx(error, rel=1e-4)
    assert r2_score(y[held_out, 0], predictions["gradient_boosting"][:, 0]) > 0.5


def test_labels_are_fitted_each_by_itself_and_one_that_no_training_row_has_is_never_expected():
    table = make_table()
    y = np.stack([signal(table) > 2, np.zeros(N)], axis=1).astype(float)
    development = development_of("multilabel", y)
    views, frame = views_of(development), raw_frame(table)
    train, held_out = development.folds[0]
    trees = boosting(HistGradientBoostingClassifier).fit(frame.iloc[train], y[train, 0])
    _, model = fit_baseline(QUICK, "gradient_boosting", development, *views)
    p = model.predict(model.inputs(table[held_out]))
    np.testing.assert_allclose(p[:, 0], trees.predict_proba(frame.iloc[held_out])[:, 1], rtol=1e-6)
    np.testing.assert_array_equal(p[:, 1], 0)
    scores, _ = score_baseline(model, development.part(0)[1], "multilabel")
    assert scores["loss"] == pytest.approx(log_loss(y[held_out, 0], p[:, 0]), rel=1e-6)


def test_the_254_most_frequent_categories_of_the_training_rows_are_told_apart():
    levels = tuple(f"level {number:03d}" for number in range(400))
    codes = np.repeat(np.arange(300), np.where(np.arange(300) < 40, 1, 2)).astype(np.int32)[:, None]
    table = Table((Column("city", "categorical", "string", levels),), np.empty((len(codes), 0)), codes)
    numbers = raw_numbers(table)
    every = Table(table.columns, np.empty((402, 0)), np.append(np.arange(401), -1).astype(np.int32)[:, None])
    (of_level,) = numbers(every).T
    assert sorted(of_level[~np.isnan(of_level)]) == list(range(254))
    assert not np.isnan(of_level[40:254]).any()  # of two rows each; of one row 254 - 260 < 0 remain
    assert np.isnan(of_level[300:]).all()  # without training rows, unknown, missing


def test_large_data_have_a_constant_alone_and_the_note_says_how_to_get_the_others():
    card = {
        "task": "classification",
        "classes": dict.fromkeys("abc", 1),
        "targets": ["y"],
        "n_rows": 1000,
        "columns": [{}] * 7,
    }
    small = replace(QUICK, max_numbers=20_999)
    assert small.names(card) == ("constant",)
    assert small.note(card).endswith("baselines.max_numbers=21000")
    assert len(replace(QUICK, max_numbers=21_000).names(card)) == 3
    binary = card | {"classes": {"a": 1, "b": 1}}
    assert len(replace(QUICK, max_numbers=7000).names(binary)) == 3


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """The folder of a run's parents, its summary, what it printed, and the command's settings."""
    folder = tmp_path_factory.mktemp("baselines")
    settings = ("data=wine", *FEW, "baselines=quick", "baselines.iterations=5", *FOLDS, "training.epochs=1",
                "execution=local", "tracking=none", "report=none")  # fmt: skip
    printed = run_here(folder, *settings).stdout
    (path,) = folder.glob("runs/*/*/summary.json")
    return folder, json.loads(path.read_text()), printed, settings


def test_the_summary_and_the_terminal_show_them(sweep):
    _, summary, printed, _ = sweep
    assert list(summary["baselines"]) == ["constant", "linear", "gradient_boosting"]
    for baseline in summary["baselines"].values():
        assert set(baseline) == {"label", "validation", "test", "comparison", "seconds"}
        assert set(baseline["test"]) == set(baseline["validation"]) >= {"loss", "accuracy"}
        assert baseline["comparison"]["baseline"] == pytest.approx(baseline["test"]["log_loss"])
        assert baseline["comparison"]["model"] == pytest.approx(summary["published"]["test"]["log_loss"], rel=1e-5)
    linear = summary["baselines"]["linear"]
    assert linear["test"]["loss"] < summary["published"]["test"]["loss"]  # after one epoch
    own, better = summary["published"]["test"]["loss"], min(b["test"]["loss"] for b in summary["baselines"].values())
    lines = printed.splitlines()
    (first,) = [number for number, line in enumerate(lines) if line.startswith("verdict  ")]
    assert f"scores better on the test rows, log loss {better:#.4g} against {own:.4g}" in lines[first]
    assert lines[first + 1].startswith("champion")
    assert any(
        "logistic regression" in line and f"{linear['validation']['loss']:.4f}" in line for line in lines[:first]
    )


def test_law_4_a_second_run_takes_them_from_the_cache(sweep, monkeypatch):
    folder, first, _, settings = sweep
    monkeypatch.setattr("pipeline.driver.baselines.fit_baseline.__code__", fails.__code__)
    printed = run_here(folder, *settings, "resume=never").stdout
    assert "warning" not in printed
    (later,) = [path for path in folder.glob("runs/*/*/summary.json") if path.parent.name != first["run_id"]]
    assert json.loads(later.read_text())["baselines"] == first["baselines"]


def fails(settings, name, development, *views):
    raise ArithmeticError(f"no {name}")


def test_one_that_fails_is_a_warning(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("pipeline.driver.baselines.fit_baseline.__code__", fails.__code__)
    summary = run_sweep(tmp_path, *FEW, "data=iris", "baselines=quick")
    assert (summary["status"], summary["baselines"]) == ("finished", None)
    errors = capsys.readouterr().err
    assert "warning: there is no baseline logistic regression (ArithmeticError: no linear)" in errors


def test_the_comparison_is_in_the_direction_of_the_metric():
    metric = {"name": "r2", "label": "R2", "greater_is_better": True}
    for other, low, high, n, doubt in (
        (0.6, 0.02, 0.2, 90, ""),
        (0.6, -0.05, 0.2, 90, "the difference may be chance"),
        (0.6, None, None, 36, "on 36 rows that may be chance"),
    ):
        comparison = {"metric": "r2", "model": 0.5, "baseline": other, "low": low, "high": high, "n_rows": n}
        of_linear = {"label": "ridge regression", "comparison": comparison}
        summary = {"metric": metric, "baselines": {"linear": of_linear}}
        assert beaten_by(summary) == ("linear", "ridge regression", "r2", "R2", 0.6, 0.5, doubt)
        of_linear["comparison"] = comparison | {"baseline": 0.4}
        assert baseline_lines(summary) == {"baselines": "test R2: ridge regression 0.400"}
        assert beaten_by(summary) is None


@pytest.mark.slow
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_law_9_the_difference_to_a_model_is_covered_on_new_rows(task):
    """Two fixed linear predictions, 200 test rows, 400 replications; the truth comes from 200,000 rows."""
    random, labels = np.random.default_rng(7), np.array(["no", "yes"])
    w, other = np.array([2.0, -1, 0.5, 0]), np.array([1.2, -1, 0, 0.4])
    model = linear_model(w) if task == "regression" else linear_model(w, SIGMOID, ClassDecoder(labels))

    def draw(n):
        x = random.normal(size=(n, 4))
        values = x @ w + random.normal(0, 1.5, n)
        y = values[:, None] if task == "regression" else labels[(values > 0).astype(int)]
        return RawRows(matrix_table(x, NAMES), y)

    def predicted(rows, weights):
        z = rows.x.numbers @ weights
        return (z if task == "regression" else 1 / (1 + np.exp(-z)))[:, None]

    metric, many = (root_mean_squared_error if task == "regression" else log_loss), draw(200_000)
    truth = metric(many.y, predicted(many, other)) - metric(many.y, predicted(many, w))
    covered = 0
    for _ in range(400):
        rows = draw(200)
        compared = compare_with_model(model, rows, task, None, predicted(rows, other))
        covered += compared["low"] <= truth <= compared["high"]
        assert compared["low"] < compared["baseline"] - compared["model"] < compared["high"]
    assert 0.92 <= covered / 400 <= 0.98


def test_a_long_wait_is_announced(tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.driver.baselines.SILENT_S", 0.0)
    settings = ("data=wine", *FEW, "baselines=quick", "execution=local", "tracking=none", "report=none")
    assert "waiting for a baseline: gradient boosting\n" in run_here(tmp_path, *settings, "training.epochs=1").stdout
