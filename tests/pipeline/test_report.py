"""The report: its content, that it is self-contained, and that every kind of run has one."""

import csv
import json
import re
import time
from xml.etree import ElementTree

import numpy as np
import pytest
from report_page import ReportPage
from rich.console import Console
from running import FEW, QUICK, compose, run_pipeline, run_sweep
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from nncore.inference import model_file
from pipeline.cli import dispatch
from pipeline.components.errors import SettingError
from pipeline.config.schema import Configuration
from pipeline.console.output import LineOutput
from pipeline.driver.finalize import Finalizer
from pipeline.driver.run import run
from pipeline.reports.report import write_report

SMALL = ("report=page", "space.optimizer.momentum.learning_rate=[0.01,0.1]", "~space.optimizer.rmsprop")


def run_and_report(folder, *overrides):
    """The run's folder and its page."""
    summary = run_sweep(folder, *SMALL, *overrides)
    (path,) = folder.glob(f"*/{summary['run_id']}/report.html")
    return path.parent, ReportPage(path.read_text())


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return run_and_report(tmp_path_factory.mktemp("digits"))


@pytest.mark.slow
def test_the_page_has_all_its_parts(digits):
    assert digits[1].headings == [
        "Scores", "Data", "Leaderboard", "Columns that matter", "Where it is wrong", "Calibration",
        "Optimizers and regularizers",
        "Learning curves", "Learning rates", "Hyperparameter importance", "Network inputs", "Weights and gradients",
        "Time and cost", "What next", "Model and command",
    ]  # fmt: skip


def test_the_page_loads_no_other_file(digits):
    page = digits[1]
    assert all(address.startswith("#") for address in page.addresses)
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org/2000/svg)", (digits[0] / "report.html").read_text())


def test_every_plot_is_a_picture_on_the_page_and_a_file(digits):
    folder, page = digits
    files = [ElementTree.parse(path).getroot() for path in (folder / "plots").glob("*")]
    described = sorted(file.get("aria-label") for file in files)
    assert described == sorted(picture["aria-label"] for picture in page.pictures)
    assert all(label and label.endswith(".") for label in described)
    for file in files:
        _, _, width, height = map(float, file.get("viewBox").split())
        assert 150 < width < 700
        assert 50 < height < 1200
        assert [part.text for part in file if part.tag.endswith("desc")] == [file.get("aria-label")]


def test_the_leaderboard_is_that_of_the_file(digits):
    folder, page = digits
    with (folder / "leaderboard.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    best, everything = (table for table in page.tables if table[0][0] == "rank")
    assert [row[1] for row in everything[1:]] == [row["trial"] for row in rows]
    for table, heading in ((everything, "validation loss"), (best, "loss")):
        own = [row for row in table[1:] if row[0]]
        assert len(own) == min(len(rows), 10 if table is best else len(rows))
        for shown, row in zip(own, rows, strict=False):
            value = float(shown[table[0].index(heading)])
            assert value == pytest.approx(float(row["validation/loss"]), abs=5e-4)


def test_the_confusion_matrix_and_its_scores_are_scikit_learns(digits):
    folder, page = digits
    reported = json.loads((folder / "diagnosis.json").read_text())["test"]
    settings, _ = compose()
    test = settings.split(settings.data())[1]
    predicted = model_file.load(folder / "model").predict_columns(_raw(test))["prediction"]
    assert reported["confusion"] == confusion_matrix(test.y, predicted).tolist()
    expected = precision_recall_fscore_support(test.y, predicted)
    for name, values in zip(("precision", "recall", "f1"), expected, strict=False):
        assert np.allclose(reported["per_class"][name], values)
    assert reported["support"] == expected[3].tolist()
    (table,) = (table for table in page.tables if table[0][:2] == ["class", "precision"])
    by_class = {row[0]: float(row[2]) for row in table[1:]}
    assert [by_class[label] for label in reported["labels"]] == pytest.approx(expected[1].tolist(), abs=5e-4)


def _raw(test):
    return {column.name: np.array(column.show(values)) for column, values in test.x.column_values}


def test_the_norms_are_those_of_the_models_weights(digits):
    folder, _ = digits
    norms = json.loads((folder / "diagnosis.json").read_text())["norms"]
    model = model_file.load(folder / "model").models[0]  # of the ensemble
    weights = {
        part.layer: model.parameters[0, part.start : part.stop]
        for part in model.architecture.layout
        if part.name == "W"
    }
    assert norms["weights"] == pytest.approx([np.linalg.norm(weights[0]), np.linalg.norm(weights[1])], rel=1e-5)
    assert norms["layers"] == ["32 to 64", "64 to 10"]
    assert all(0 < norm < 10 for norm in norms["gradients"])


def test_the_explained_variance_is_scikit_learns(digits):
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import StandardScaler

    folder, _ = digits
    settings, _ = compose()
    development = settings.split(settings.data())[0]
    rows = development.part(0)[0]
    x = np.column_stack(list(_raw(rows).values())).astype(float)
    expected = PCA(32).fit(StandardScaler().fit_transform(x)).explained_variance_ratio_
    reported = json.loads((folder / "diagnosis.json").read_text())["reduction"]["explained"]
    assert reported == pytest.approx(expected.tolist(), rel=1e-3)


def test_the_importances_sum_to_one_and_find_what_matters(digits):
    from pipeline.reports import importance
    from pipeline.reports.contents import run_contents

    shares = importance.shares(run_contents(digits[0]))
    assert sum(shares.values()) == pytest.approx(1)
    assert set(shares) == {"optimizer", "optimizer.learning_rate", "regularizer", "network.hidden"}
    assert shares["optimizer.learning_rate"] > shares["regularizer"]


KINDS = {
    "regression": ("data=diabetes", "Predicted and true target", "Errors of target"),
    "folds and an autoencoder": (
        "data=wine split.folds=3 training.seeds=2 reduce=autoencoder reduce.epochs=2",
        "Test rows by true and predicted class",
        "Test rows and their reconstructions by the autoencoder",
    ),
    "halving without a reduction": (
        "data=iris reduce=none search=halving training.epochs=9",
        "Validation rows by the first two network inputs",
        "Validation loss by epoch of each optimizer's best trial",
    ),
    "two classes by accuracy": (
        "data=breast_cancer select.metric=accuracy",
        "Reliability: accuracy by predicted probability on validation rows",
        "Best validation accuracy of each optimizer with each regularizer",
    ),
    "images": ("reduce=autoencoder reduce.epochs=2", "Test rows and their reconstructions by the autoencoder"),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_run_has_a_report(kind, tmp_path):
    overrides, *captions = KINDS[kind]
    _, page = run_and_report(tmp_path, *overrides.split())
    assert {*captions} <= {*page.captions}


@pytest.mark.slow
def test_a_run_of_one_trial_and_one_epoch_has_a_report(tmp_path):
    removed = ["~space.network", *(f"~space.optimizer.{name}" for name in ("sgd", "adam"))]
    removed += [f"~space.regularizer.{name}" for name in ("l1", "l2", "dropout", "weight_decay")]
    _, page = run_and_report(tmp_path, *removed, "space.optimizer.momentum.learning_rate=0.1", "training.epochs=1")
    assert "Learning rates" not in page.headings
    assert "Hyperparameter importance" not in page.headings


def test_if_all_trials_diverge_the_report_says_so(tmp_path):
    settings = compose(*FEW, "data=diabetes", "report=page", "tracking=none", "execution=local", "training.epochs=1",
                        "training.loss_limit=1e-9", f"runs={tmp_path}")  # fmt: skip
    with pytest.raises(SettingError, match="all 7 trials diverged"):
        run_pipeline(*settings)
    (path,) = tmp_path.glob("diabetes/*/report.html")
    assert "No trial has a result, so there is no champion." in path.read_text()
    assert "diverged in epoch 1" in path.read_text()


@pytest.mark.slow
def test_the_command_writes_it_again(digits, capsys):
    folder, _ = digits
    (folder / "report.html").unlink()
    dispatch.dispatch(["report", f"runs={folder.parents[1]}", f"run={folder.name}"], 0.0)
    assert capsys.readouterr().out.strip() == str(folder / "report.html")
    assert "Leaderboard" in ReportPage((folder / "report.html").read_text()).headings


@pytest.mark.slow
def test_a_report_that_fails_warns_and_the_run_finishes(tmp_path, capsys):
    settings, config = compose(*FEW, *QUICK, f"runs={tmp_path}")

    class NoInk:
        def load(self):
            pass

        def write(self, folder):
            (folder / "plots").touch()  # a file in place of the folder of plots
            return write_report(folder)

    object.__setattr__(settings, "report", NoInk())
    summary = run(Configuration(settings, config, ""), LineOutput(Console(), live=False), time.monotonic())
    assert summary["status"] == "finished"
    text = capsys.readouterr().out.replace("\n", " ")
    assert "warning: there is no report (NotADirectoryError: " in text
    assert f"nnsweep report run={summary['run_id']} tries again" in text


def test_a_run_that_fails_after_its_sweep_writes_no_report(tmp_path, monkeypatch):
    def fail(*_):
        raise SettingError("no room for the model")

    monkeypatch.setattr(Finalizer, "publish", fail)
    with pytest.raises(SettingError, match="no room for the model"):
        run_sweep(tmp_path, *FEW, "report=page")
    assert not [*tmp_path.rglob("report.html"), *tmp_path.rglob("plots")]
    assert [*tmp_path.rglob("leaderboard.csv")]


def test_the_command_of_the_run_is_on_the_page_without_passwords(monkeypatch):
    from pipeline.runs.folder import command_line

    monkeypatch.setattr("sys.argv", ["nnsweep", "tracking.uri=postgresql://me:secret@host/db", "name=a b"])
    assert command_line() == "nnsweep tracking.uri=postgresql://me:...@host/db 'name=a b'"
