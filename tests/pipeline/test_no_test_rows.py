"""A run without test rows (split.test=0): all rows are development rows, and no score is called one of test rows."""

import csv
import json
import math
import re

import pytest
from mlflow import MlflowClient
from report_page import ReportPage
from running import compose, read_summary, run_here, run_sweep

from pipeline.interface.sweeps import load_run
from pipeline.stages.load import split_dataset

pytestmark = pytest.mark.slow
NONE = "no test rows (split.test=0)"
COMMON = ("split.test=0", "split.folds=2", "execution=local", "training.epochs=3", "baselines.iterations=3")
SPACE = (
    *(f"~space.optimizer.{name}" for name in ("sgd", "momentum", "rmsprop")),
    *(f"~space.regularizer.{name}" for name in ("l1", "dropout", "weight_decay")),
    "space.optimizer.adam.learning_rate=[0.01,0.1]",
    "~space.network",
)


class EndedRun:
    """What a run has printed and written."""

    def __init__(self, root, *settings):
        self.printed = run_here(root, *COMMON, *SPACE, *settings).stdout
        self.root, self.summary = root, read_summary(root)
        self.folder = next(root.glob("runs/*/*/summary.json")).parent
        self.diagnosis = json.loads((self.folder / "diagnosis.json").read_text())

    def line(self, name):
        """The line of the closing that begins with this name."""
        (line,) = re.findall(rf"^{name} +(.*)$", self.printed, re.MULTILINE)
        return line


@pytest.fixture(scope="module")
def regression(tmp_path_factory):
    """Tracked, and trained anew at the end."""
    root = tmp_path_factory.mktemp("regression")
    return EndedRun(root, "data=diabetes", "report=none", "select.refit=true")


@pytest.fixture(scope="module")
def classification(tmp_path_factory):
    """With a report, whose diagnosis would show test rows and their reconstructions by the autoencoder."""
    root = tmp_path_factory.mktemp("classification")
    reduction = ("reduce=autoencoder", "reduce.epochs=1", "reduce.n_components=4")
    return EndedRun(root, "data=wine", "tracking=none", "report=page", *reduction)


@pytest.fixture(params=["regression", "classification"])
def ended(request):
    return request.getfixturevalue(request.param)


def test_all_rows_are_development_rows_and_all_test_scores_are_null(ended):
    summary, n_rows = ended.summary, {"diabetes": 442, "wine": 178}[ended.folder.parent.name]
    best, published = summary["best"], summary["published"]
    assert (best["n_rows"], best["n_test_rows"]) == (n_rows, 0)  # each row is in the validation part of one fold
    assert [best[name] for name in ("test", "test_intervals", "test_networks")] == [None] * 3
    for model in (summary["bag"], summary["ensemble"], published, *summary["baselines"].values()):
        assert model["test"] is None
        assert model.get("test_intervals") is None
    assert [baseline["comparison"] for baseline in summary["baselines"].values()] == [None] * 3
    assert all(math.isfinite(value) for of in summary["baselines"].values() for value in of["validation"].values())
    refit = published["refit"] or {}
    assert (ended.folder.parent.name == "diabetes") == bool(refit)
    assert all(refit.get(name) is None for name in ("test_networks", "test_by_network", "test_before"))


def test_the_verdict_and_the_closing_speak_of_validation_rows(ended):
    summary, verdict = ended.summary, ended.summary["verdict"]
    first = {"diabetes": "root_mean_squared_error", "wine": "log_loss"}[ended.folder.parent.name]
    shown = first if first in summary["best"]["validation"] else "loss"
    assert f"; on {summary['best']['n_rows']} validation rows its " in verdict
    assert f"{summary['best']['validation'][shown]['mean']:#.4g} (95 % interval " in verdict
    assert f" for having been the best of {summary['best']['corrected']['trials']}; " in verdict
    own = summary["published"]["scores"][summary["published"]["kind"]][first]
    assert f"the published {summary['published']['label']} has " in verdict
    assert f" {own:#.4g} on rows that nothing was fitted to; for comparison: " in verdict
    assert f"{summary['baselines']['gradient_boosting']['validation'][first]:#.4g}; there are {NONE}." in verdict
    assert (ended.line("verdict"), ended.line("test")) == (verdict, NONE)
    assert not re.search(r"\btest (?!rows)\S", ended.printed)  # as in "test log loss 0.1"


def test_the_leaderboard_and_the_list_of_runs_have_no_test_scores(ended):
    with (ended.folder / "leaderboard.csv").open(newline="") as file:
        assert not [name for name in next(csv.reader(file)) if "test" in name]
    listed = run_here(ended.root, "runs", f"runs={ended.root / 'runs'}").stdout
    assert NONE.replace(" ", "") in re.sub(r"\s", "", listed)
    assert f"test       {NONE}" in run_here(ended.root, "runs", "show").stdout
    result = load_run(ended.folder)
    assert f"test       {NONE}" in repr(result)
    assert f"<th>test</th><td>{NONE}</td>" in result._repr_html_()


def test_the_diagnosis_has_what_validation_rows_show(ended):
    assert ended.diagnosis["test"] is None
    assert "mistakes" not in ended.diagnosis
    assert "pairs" not in ended.diagnosis["reduction"]
    assert ended.diagnosis["columns"]["n_rows"] == ended.summary["best"]["n_rows"] // 2  # of the first fold


def test_the_report_says_that_there_are_none(classification):
    text = (classification.folder / "report.html").read_text(encoding="utf-8")
    page = ReportPage(text)
    assert f"This is measured on test rows, and there are {NONE}." in page.paragraphs
    assert any(paragraph.startswith(f"There are {NONE}. The scores are those of the ") for paragraph in page.paragraphs)
    assert not [row for table in page.tables for row in table if row[0].startswith("test")]
    assert not [caption for caption in page.captions if "est row" in caption]
    assert "Calibration" in page.headings  # on validation rows
    assert "Where it is wrong" in page.headings


def test_mlflow_has_no_test_scores(regression):
    tracked = regression.summary["mlflow"]
    client = MlflowClient(tracked["tracking_uri"])
    run = client.get_run(tracked["run_id"])
    assert not [name for name in run.data.metrics if "test" in name]
    assert run.data.metrics["validation_r2"] == pytest.approx(
        regression.summary["best"]["validation"]["r2"]["mean"], rel=1e-4
    )
    model = regression.summary["model"]
    version = client.get_model_version(model["name"], model["version"])
    for text in (run.data.tags["mlflow.note.content"], version.description):
        lines = text.replace("\\", "").splitlines()
        assert f"- test: {NONE}" in lines
        assert not [line for line in lines if re.match("- .*, test: ", line)]


def test_the_choice_and_the_files_of_programs_are_as_ever(tmp_path):
    """The same development rows as an official test part leaves: the same networks, and the same model."""
    source = tmp_path / "rows.csv"
    lines = ["a,b,y", *(f"{n % 7},{n % 5},{n % 7 + 2 * (n % 5) + n % 3}" for n in range(90))]
    source.write_text("\n".join(lines))
    official = tmp_path / "official.csv"
    official.write_text("\n".join(lines[:31]))
    common = (*SPACE, "data=csv", f"data.path={source}", "data.target=y", "split.folds=2", "preset=none")
    without = run_sweep(tmp_path / "without", *common, "split.test=0")
    beside = run_sweep(tmp_path / "beside", *common, "split.test=0", f"data.test={official}")
    assert (without["best"]["n_test_rows"], beside["best"]["n_test_rows"]) == (0, 30)
    assert without["digest"] == beside["digest"]
    for name in ("trial", "validation", "corrected"):
        assert without["best"][name] == beside["best"][name]
    for name in ("kind", "networks", "scores", "reason"):
        assert without["published"][name] == beside["published"][name]
    assert without["published"]["test"] is None
    assert math.isfinite(beside["published"]["test"]["root_mean_squared_error"])


@pytest.mark.parametrize("split", ["holdout", "stratified", "k_fold", "repeated_k_fold", "time"])
def test_every_split_can_leave_out_test_rows(split):
    settings, _ = compose("data=wine", f"split={split}", "split.test=0")
    development, test, report = split_dataset(settings.split, settings.data())
    assert (len(development.rows), len(test), report.n_test) == (178, 0, 0)
