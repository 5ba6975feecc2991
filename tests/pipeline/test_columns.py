"""Columns that matter: exact for models whose weights are known, and intervals that cover the truth by simulation."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from linear import NAMES, linear_model
from running import FEW, compose, run_here
from samples import SIGMOID
from scipy.stats import spearmanr
from sklearn.metrics import log_loss as sklearn_log_loss
from sklearn.metrics import root_mean_squared_error as sklearn_rmse

from nncore.components import Component
from nncore.inference.model import ClassDecoder
from nncore.inference.table import Column, Table, matrix_table
from nncore.metrics import log_loss, root_mean_squared_error
from pipeline.components.types import Development, Fold, RawRows
from pipeline.console.columns import columns_line
from pipeline.stages.columns import ColumnScorer, alike, describe_columns, exchange

W = np.array([2.0, -1.0, 0.5, 0.0])  # the last column is ignored


def development_of(x, y, task="regression", labels=None, names=NAMES):
    """Rows that are all validation rows of the only fold."""
    fold = Fold(np.arange(0), np.arange(len(x)))
    return Development(task, ("y",), labels, RawRows(matrix_table(x, names), y), (fold,))


def draw(random, n):
    x = random.normal(size=(n, 4))
    return x, (x @ W + random.normal(0, 0.7, n))[:, None]


def test_each_prepared_column_comes_from_the_raw_column_that_changes_it():
    columns = (
        Column("day", "date", "date"), Column("city", "categorical", "string", tuple("pqr")), Column("a"),
        Column("size", "ordinal", "string", ("S", "M")), Column("noon", "time"), Column("sold", "boolean", "boolean"),
    )  # fmt: skip
    random, n = np.random.default_rng(0), 60
    numbers = np.column_stack(
        [random.uniform(0, 9000, n), random.normal(size=n), random.random(n), random.integers(0, 2, n)]
    ).astype(float)
    numbers[:9, 1] = numbers[3:5, 2] = np.nan
    codes = np.column_stack([random.integers(-1, 3, n), random.integers(0, 2, n)]).astype(np.int32)
    table, y = Table(columns, numbers, codes), random.normal(size=(n, 1))
    fold = Fold(np.arange(40), np.arange(40, 60))
    development = Development("regression", ("y",), None, RawRows(table, y), (fold,))
    preprocessing = compose("prepare.min_frequency=1")[0].prepare(development, 0).preprocessing
    before = preprocessing(table)
    is_coded = [column.kind in ("categorical", "ordinal") for column in columns]
    for position in range(len(columns)):
        new_numbers, new_codes = numbers.copy(), codes.copy()
        values = new_codes if is_coded[position] else new_numbers
        at = is_coded[:position].count(is_coded[position])
        values[:, at] = np.roll(values[:, at], 7)
        changed = (preprocessing(Table(columns, new_numbers, new_codes)) != before).any(axis=0)
        np.testing.assert_array_equal(changed, preprocessing.origins == position)


def test_values_are_exchanged_within_blocks_and_never_kept():
    block = np.repeat([0, 1, 2], [2, 7, 91])
    donor = exchange(block, np.random.default_rng(0))
    assert sorted(donor) == list(range(100))
    np.testing.assert_array_equal(block[donor], block)
    assert (donor != np.arange(100)).all()
    random = np.random.default_rng(1)
    counts = sum(np.eye(7)[exchange(np.zeros(7, int), random)] for _ in range(2000))
    np.testing.assert_allclose(counts[~np.eye(7, dtype=bool)], 2000 / 6, rtol=0.25)  # each other row equally often


def test_an_ignored_column_has_no_importance_and_the_others_are_in_the_order_of_their_weights():
    x, y = draw(np.random.default_rng(0), 400)
    described = describe_columns(linear_model(W), development_of(x, y), 0, "regression", None)
    assert [entry["column"] for entry in described["importance"]] == ["a", "b", "c", "d"]
    assert (described["metric"], described["n_rows"], described["n_permuted"]) == ("root_mean_squared_error", 400, 4)
    *used, ignored = described["importance"]
    assert (ignored["mean"], ignored["low"], ignored["high"]) == (0, 0, 0)
    assert all(entry["low"] > 0 for entry in used)


@pytest.mark.slow
@pytest.mark.parametrize("task", ["regression", "classification"])
def test_law_9_intervals_cover_what_a_model_loses_on_new_rows(task):
    """The truth comes from 200,000 rows, with values from other rows; n = 200 validation rows, 400 replications."""
    random, n_fresh = np.random.default_rng(5), 200_000
    labels = np.array(["no", "yes"])
    if task == "regression":
        model, metric = linear_model(W), sklearn_rmse
    else:
        model, metric = linear_model(W, SIGMOID, ClassDecoder(labels)), sklearn_log_loss

    def draw_rows(n):
        x, values = draw(random, n)
        return (x, values) if task == "regression" else (x, labels[(values[:, 0] > 0).astype(int)])

    def predicted(x):
        z = x @ W
        return z if task == "regression" else 1 / (1 + np.exp(-z))

    x, y = draw_rows(n_fresh)
    own, truth = metric(y, predicted(x)), []
    for column in range(3):
        shuffled = x.copy()
        shuffled[:, column] = random.permutation(x[:, column])
        truth.append(metric(y, predicted(shuffled)) - own)
    covered, replications = np.zeros(3), 400
    for _ in range(replications):
        described = describe_columns(model, development_of(*draw_rows(200), task, labels), 0, task, None)
        by_name = {entry["column"]: entry for entry in described["importance"]}
        covered += [by_name[c]["low"] <= true <= by_name[c]["high"] for c, true in zip("abc", truth, strict=True)]
    assert (covered / replications >= 0.9).all(), covered / replications
    assert (covered / replications <= 0.985).all(), covered / replications


def test_scores_without_a_block_are_the_same_by_rows_and_by_the_whole_metric():
    x, y = draw(np.random.default_rng(1), 90)
    table = matrix_table(x, NAMES)
    is_second, weights = (y > 0).astype(float), np.random.default_rng(2).uniform(0.2, 3, 90)
    for model, t, metric in (
        (linear_model(W), y, root_mean_squared_error()),
        (linear_model(W, SIGMOID, ClassDecoder(np.array(["n", "y"]))), is_second, log_loss()),
    ):
        by_rows = ColumnScorer(model, table, t, weights, metric).importance([0])
        by_metric = ColumnScorer(model, table, t, weights, metric._replace(rows=None)).importance([0])
        assert by_rows == pytest.approx(by_metric, rel=1e-6)


def test_columns_that_rank_the_rows_alike_are_permuted_as_one():
    x, y = draw(np.random.default_rng(3), 300)
    x[:, 3] = -np.exp(x[:, 0])
    x[:40, 1] = np.nan
    assert abs(spearmanr(x[:, 0], x[:, 3])[0]) > 0.99
    table = matrix_table(x, NAMES)
    assert alike(table, [0, 1, 2, 3]) == [[0, 3], [1], [2]]
    assert alike(table, [1, 2]) == [[1], [2]]
    x[:, 1] = np.nan_to_num(x[:, 1])
    model, development = linear_model(np.array([1.0, 0, 0.5, -1])), development_of(x, y)
    first = describe_columns(model, development, 0, "regression", Component("nncore.metrics.r2"))["importance"][0]
    assert (first["column"], first["columns"]) == ("a + d", ["a", "d"])


def test_of_many_columns_those_are_permuted_that_change_the_predictions():
    random, n = np.random.default_rng(4), 120
    weights = np.zeros(n)
    weights[[3, 77, 119]] = [1, 2, 3]
    x, names = random.normal(size=(200, n)), tuple(f"x{number}" for number in range(n))
    development = development_of(x, (x @ weights)[:, None], names=names)
    described = describe_columns(linear_model(weights, names=names), development, 0, "regression", None)
    assert [entry["column"] for entry in described["importance"][:3]] == ["x119", "x77", "x3"]
    assert (described["n_columns"], described["n_permuted"], len(described["importance"])) == (120, 64, 64)


def test_the_dependence_of_a_linear_model_is_a_line():
    x, y = draw(np.random.default_rng(6), 250)
    x[:, 1] = np.random.default_rng(7).integers(0, 4, 250)
    development = development_of(x, y)
    described = describe_columns(linear_model(W), development, 0, "regression", None)
    assert len(described["dependence"]) == 4
    for entry in described["dependence"]:
        weight = W[NAMES.index(entry["column"])]
        predicted, at = np.array(entry["y"]["y"]), np.array(entry["x"])
        np.testing.assert_allclose(np.diff(predicted), weight * np.diff(at), atol=1e-5)
        assert sum(entry["counts"]) == 250
    (few,) = [entry for entry in described["dependence"] if entry["column"] == "b"]
    assert few["x"] == [0, 1, 2, 3]
    assert few["counts"] == np.bincount(x[:, 1].astype(int)).tolist()
    written = replace(development.rows.x, columns=(Column("a", type="string"), *development.rows.x.columns[1:]))
    as_texts = replace(development, rows=replace(development.rows, x=written))  # such as $71,400
    again = describe_columns(linear_model(W), as_texts, 0, "regression", None)["dependence"]
    assert [entry["x"] for entry in again] == [entry["x"] for entry in described["dependence"]]


def test_nothing_is_said_of_fewer_than_20_rows():
    x, y = draw(np.random.default_rng(8), 19)
    assert describe_columns(linear_model(W), development_of(x, y), 0, "regression", None)["importance"] == []


def test_the_line_names_columns_whose_interval_is_above_0():
    entries = [
        {"column": "a", "mean": 0.31234, "low": 0.2, "high": 0.4, "metric": "log_loss"},
        {"column": "b", "mean": 0.2, "low": -0.1, "high": 0.5, "metric": "log_loss"},
    ]
    metric = {"name": "loss", "label": "loss", "greater_is_better": False}
    summary = {"importance": entries, "metric": metric}
    assert columns_line(summary) == "that matter: a 0.31 (log loss rises by so much if one is shuffled)"
    own = {"name": "profit", "label": "profit in dollars", "greater_is_better": True}
    of_own = {"importance": [entry | {"metric": "profit"} for entry in entries], "metric": own}
    assert columns_line(of_own) == "that matter: a 0.31 (profit in dollars falls by so much if one is shuffled)"
    assert columns_line(summary | {"importance": entries[1:]}).startswith("none matters measurably: log loss")
    assert columns_line(summary | {"importance": None}) == ""


def test_a_run_writes_them_into_its_files_and_its_last_lines(tmp_path):
    settings = ("data=breast_cancer", *FEW, "execution=local", "tracking=none", "report=none", "training.epochs=5")
    printed = run_here(tmp_path, *settings).stdout
    folder = next(tmp_path.glob("runs/*/*/summary.json")).parent
    diagnosis = json.loads((folder / "diagnosis.json").read_text(), parse_constant=pytest.fail)
    importance = diagnosis["columns"]["importance"]
    with (folder / "importance.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["column"] for row in rows] == [entry["column"] for entry in importance]
    assert [float(row["mean"]) for row in rows] == [entry["mean"] for entry in importance]
    assert sorted(name for entry in importance for name in entry["columns"]) == sorted(
        column["name"] for column in json.loads((folder / "data_card.json").read_text())["columns"]
    )
    assert any(len(entry["columns"]) > 1 for entry in importance)  # such as mean radius and mean perimeter
    summary = json.loads((folder / "summary.json").read_text())
    assert [entry["column"] for entry in summary["importance"]] == [row["column"] for row in rows[:10]]
    assert f"columns    {columns_line(summary)}\n" in printed


def test_of_very_many_columns_the_first_pass_finds_those_that_matter():
    random, n = np.random.default_rng(9), 3000
    weights = np.zeros(n)
    weights[[17, 18, 2999]] = [1, 2, 3]
    x, names = random.normal(size=(100, n)), tuple(f"x{number}" for number in range(n))
    model = linear_model(weights, names=names)
    scorer = ColumnScorer(model, matrix_table(x, names), x[:, :1], np.ones(100), root_mean_squared_error())
    chosen = scorer.screened(n, 64)
    assert len(set(chosen)) == 64
    assert {17, 18, 2999} <= set(chosen)


def test_a_column_is_left_out_where_the_score_is_not_defined():
    x, _ = draw(np.random.default_rng(10), 60)
    labels = np.array(["no", "yes"])
    development = development_of(x, labels[np.zeros(60, int)], "classification", labels)
    model = linear_model(W, SIGMOID, ClassDecoder(labels))
    described = describe_columns(model, development, 0, "classification", Component("nncore.metrics.roc_auc"))
    assert (described["importance"], described["dependence"]) == ([], [])  # ROC AUC of rows of one class
