"""The saved view: the content of its tag, in the format of the UI."""

import json
import zlib
from base64 import b64decode
from urllib.parse import parse_qsl

import pytest

from pipeline.tracking.view import saved_view, view_address

TRIALS = [
    {"optimizer": "sgd", "optimizer.learning_rate": 0.1, "regularizer": "none"},
    {"optimizer": "adam", "optimizer.learning_rate": 0.01, "regularizer": "l2", "regularizer.strength": 0.001},
    {"optimizer": "adam", "optimizer.learning_rate": 0.01, "regularizer": "l2", "regularizer.strength": 0.01},
]


def state(metric="validation_loss", trials=TRIALS, metrics=("train_loss",), greater_is_better=False):
    _, value = saved_view("run-1", metric, trials, metrics, greater_is_better)
    kind, _, content = value.partition(";")
    assert kind == "deflate"
    return json.loads(zlib.decompress(b64decode(content)))


def parallel(state):
    charts = [chart for chart in state["compareRunCharts"] if chart["type"] == "PARALLEL"]
    assert all(chart["showAllRuns"] for chart in charts)
    return [(chart["selectedParams"], chart["selectedMetrics"]) for chart in charts]


def names(columns):
    return [column.split("`")[1] for column in columns]


@pytest.mark.parametrize(
    ("metric", "ascending"),
    [("validation_loss", True), ("validation_accuracy", False), ("validation_profit_and_loss", False)],
)
def test_trials_are_sorted_by_the_metric(metric, ascending):
    view = state(metric, greater_is_better=not ascending)
    assert (view["orderByKey"], view["orderByAsc"]) == (f"metrics.`{metric}`", ascending)


def test_columns_are_the_metrics_what_differs_and_how_it_ended():
    expected = [
        "validation_loss",
        "train_loss",
        *TRIALS[1],
        "status",
        "stop_reason",
        "rung",
        "Duration",
    ]
    assert names(state()["selectedColumns"]) == expected
    constant = [trial | {"optimizer.beta1": 0.9} for trial in TRIALS]
    assert state(trials=constant) == state()
    varied = [trial | {"reduce.n_components": size} for trial, size in zip(TRIALS, (8, 16, 32), strict=True)]
    assert "reduce.n_components" in names(state(trials=varied)["selectedColumns"])
    assert set(names(state(trials=TRIALS[:1])["selectedColumns"])) >= {"optimizer", "regularizer"}


def test_no_trial_is_left_out_of_the_first_chart_and_strengths_have_another():
    """The UI omits runs without a value on some axis from parallel coordinates."""
    rate = "log10_learning_rate"
    assert parallel(state()) == [
        (["optimizer", "regularizer"], [rate, "validation_loss"]),
        (["optimizer", "regularizer"], [rate, "log10_strength", "validation_loss"]),
    ]
    all_have_one = [*TRIALS[1:], TRIALS[1] | {"regularizer": "l1", "optimizer": "sgd"}]
    assert parallel(state(trials=all_have_one)) == [
        (["regularizer", "optimizer"], ["log10_strength", "validation_loss"]),
    ]


def test_each_chart_is_in_a_section_and_has_a_unique_name():
    view = state()
    charts, sections = view["compareRunCharts"], {section["uuid"] for section in view["compareRunSections"]}
    assert {chart["metricSectionId"] for chart in charts} <= sections
    assert len({chart["uuid"] for chart in charts}) == len(charts)
    curves = [chart["metricKey"] for chart in charts if chart["type"] == "LINE"]
    assert curves == ["validation/loss", "train/loss"]


def test_equal_views_have_equal_tags():
    once, twice = (saved_view("run-1", "validation_loss", iter(TRIALS), ["train_loss"]) for _ in range(2))
    assert once == twice
    assert once[0] != saved_view("run-1", "validation_accuracy", TRIALS, ["train_loss"])[0]
    assert once[0] != saved_view("run-2", "validation_loss", TRIALS, ["train_loss"])[0]


def test_only_the_runs_own_trials_are_shown():
    assert state()["searchFilter"] == "tags.pipeline_run = 'run-1' and tags.kind = 'trial'"


def test_a_space_of_many_settings_fits_into_a_tag():
    many = [{f"optimizer.setting_{number}": number * n for number in range(60)} | TRIALS[0] for n in range(3)]
    tag, value = saved_view("run-1", "validation_loss", many, ["train_loss"])
    assert len(tag) < 250
    assert len(value) < 5000


def test_the_url_refers_to_the_tag():
    tag, _ = saved_view("run-1", "validation_loss", TRIALS, [])
    key = tag.removeprefix("mlflow.sharedViewState.")
    expected = f"http://127.0.0.1:5000/#/experiments/3/runs?viewStateShareKey={key}&workflowType=machine_learning"
    assert view_address("http://127.0.0.1:5000/", "3", tag, "run-1") == expected


def test_without_a_tag_the_url_searches_for_the_runs_trials():
    url = view_address("http://127.0.0.1:5000", "3", None, "run-1")
    query = dict(parse_qsl(url.partition("?")[2]))
    assert url.startswith("http://127.0.0.1:5000/#/experiments/3/runs?")
    assert query == {"searchFilter": state()["searchFilter"], "workflowType": "machine_learning"}
