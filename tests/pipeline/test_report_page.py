"""The report of runs that never were: its parts, what it says, its size, its colours, and hostile names."""

import hashlib
import json
import re
from base64 import b64encode
from itertools import combinations
from xml.etree import ElementTree

import numpy as np
import pytest
from discovery import OPTIMIZERS as COMPONENTS
from report_page import ReportPage
from scipy.stats import binomtest
from synthetic_run import OPTIMIZERS, synthetic_run

from pipeline.reports.model_sections import wilson
from pipeline.reports.report import STYLES, write_report
from pipeline.reports.svg import Categories, Linear, Log, Panel
from pipeline.reports.sweep_sections import style_of
from pipeline.reports.words import number, short

MEGABYTES = 2**20


def page_of(run, *arguments):
    return ReportPage(write_report(run, *arguments).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    """A run with five folds, 40 columns and 30 classes of long names."""
    run = synthetic_run(tmp_path_factory.mktemp("classes"))
    return run, page_of(run)


@pytest.fixture(scope="module")
def values(tmp_path_factory):
    """A regression with short names."""
    run = synthetic_run(tmp_path_factory.mktemp("values"), n_classes=None, n_columns=8, names="x")
    return run, page_of(run)


def test_all_parts_stand_in_their_order(classes, values):
    before, after = ["Scores", "Data", "Leaderboard", "Columns that matter", "Where it is wrong"], [
        "Optimizers and regularizers", "Learning curves", "Learning rates", "Hyperparameter importance",
        "Network inputs", "Weights and gradients", "Time and cost", "What next", "Model and command",
    ]  # fmt: skip
    assert classes[1].headings == [*before, "Calibration", *after]
    assert values[1].headings == [*before, "Predictions", *after]
    for page in (classes[1], values[1]):
        assert [name for name, _ in page.elements if re.fullmatch(r"h\d", name)] == ["h1", *["h2"] * len(page.headings)]


def test_the_verdict_is_first(classes):
    run, page = classes
    summary = json.loads((run / "summary.json").read_text())
    assert page.paragraphs[1] == "Validation picked adamw 0.003; it is good."
    (run / "summary.json").write_text(json.dumps(summary | {"verdict": None}))
    assert page_of(run).paragraphs[1] == "The best of 112 trials is adamw 0.003, none."
    (run / "summary.json").write_text(json.dumps(summary | {"verdict": None, "best": None}))
    assert page_of(run).paragraphs[1].startswith("No trial has a result")


def test_scores_stand_beside_the_baselines(classes):
    scores = next(table for table in classes[1].tables if table[0][0] == "rows and model")
    assert scores[0] == ["rows and model", "loss", "accuracy", "ROC AUC"]
    assert [row[:2] for row in scores[1:]] == [
        ["validation", "0.105 (0.093 to 0.118)"],
        ["validation, corrected for the choice", "0.111"],
        ["test", "0.115 (0.095 to 0.135)"],
        ["test, the ensemble", "0.110"],
        ["test, the mean", "1.010"],
        ["test, linear model", "0.140"],
        ["test, gradient boosting", "0.120"],
    ]


def test_baselines_stand_among_the_trials_and_ties_have_a_sign(classes):
    best = next(table for table in classes[1].tables if table[0][0] == "rank")
    scores = [float(row[best[0].index("loss")]) for row in best[1:]]
    assert scores == sorted(scores)
    assert [row[1] for row in best if row[1].startswith("baseline")] == [
        f"baseline: {name}" for name in ("gradient boosting", "linear model", "the mean")
    ]
    assert [row[0].endswith("=") for row in best[1:11]] == [True] * 9 + [False]
    assert best[1][best[0].index("95 % interval")] == "0.093 to 0.118"


def test_main_effects_say_which_is_better_by_how_much_and_what_is_tied(classes):
    (text,) = [text for text in classes[1].paragraphs if text.startswith("Optimizer:")]
    assert text == (
        "Optimizer: adam is best with 0.120; sgd and momentum cannot be told apart from it; "
        "worse are rmsprop by 0.012, nesterov by 0.016, adamw by 0.020 and nadam by 0.024."
    )
    assert text in [picture["aria-label"] for picture in classes[1].pictures]


def test_cells_within_the_noise_look_the_same(classes):
    """Cells that tie with the best have the first colour and a sign; others the step by which they differ."""
    root = ElementTree.parse(classes[0] / "plots" / "heat_map.svg").getroot()
    cells = {}
    for group in root.iter("{http://www.w3.org/2000/svg}g"):
        texts = [part.text for part in group.iter("{http://www.w3.org/2000/svg}text")]
        cells |= {text: group.get("class") for text in texts}
    tied = {text for text in cells if text.endswith("=")}
    assert len(tied) >= 5
    assert {cells[text] for text in tied} == {"heat-0"}
    first = min(float(text.removesuffix(" =")) for text in cells)
    for text in cells.keys() - tied:
        steps = (float(text) - first) / 0.0123
        assert cells[text] == f"heat-{1 + sum(steps > bound for bound in (2, 4, 8))}"


def test_the_worst_errors_are_named(classes, values):
    captions = [table[0] for table in classes[1].tables]
    assert ["class", "rows", "errors", "share", "log loss"] in captions
    assert "Errors by tenth of xtarget" in values[1].captions
    assert any("contains" in text and "band" in text for text in values[1].paragraphs)
    (worst,) = (table for table in values[1].tables if table[0][0] == "row")
    assert worst[0] == ["row", "true", "predicted", "error", "loss", "x0", "x1", "x2", "x3", "x4"]
    assert worst[1] == ["0", "12.5", "3.25", "-9.250", "5.000", "1235", "xvalue", "xvalue", "1235", "xvalue"]


def test_intervals_of_predictions_are_said(values):
    run, page = values
    reason = "the best of 112 trials was chosen by the same rows"
    said = (
        f"Predictions come with intervals that contain 90 % of new values (approximately: {reason}): plus and minus 8.4"
    )
    assert any(text.startswith(said) for text in page.paragraphs)
    summary = json.loads((run / "summary.json").read_text())
    summary["intervals"] |= {"half_width": None, "notes": ["there are 7 rows"]}
    (run / "summary.json").write_text(json.dumps(summary))
    assert "Predictions have no intervals: there are 7 rows." in page_of(run).paragraphs


def test_what_is_unknown_is_left_out(tmp_path):
    """As after a run of another version, or of one that was interrupted."""
    run = synthetic_run(tmp_path, n_folds=1, n_classes=3, names="c")
    summary = json.loads((run / "summary.json").read_text())
    for key in ("calibration", "baselines", "intervals", "advice", "headline", "metric", "ensemble"):
        del summary[key]
    for key in ("test_intervals", "corrected", "tied_sentence", "estimand"):
        del summary["best"][key]
    (run / "summary.json").write_text(json.dumps(summary | {"ensemble": None}))
    (run / "diagnosis.json").unlink()
    assert page_of(run).headings == [
        "Scores", "Data", "Leaderboard", "Optimizers and regularizers", "Learning curves", "Learning rates",
        "Hyperparameter importance", "Time and cost", "Model and command",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("n_trials", "n_folds", "n_columns", "n_classes"),
    [(112, 5, 40, 30), pytest.param(2000, 1, 40, 30, marks=pytest.mark.slow), (28, 1, 2000, 200)],
)
def test_the_page_is_small(n_trials, n_folds, n_columns, n_classes, tmp_path):
    run = synthetic_run(tmp_path, n_trials, n_folds, n_columns, n_classes)
    page = page_of(run)
    assert (run / "report.html").stat().st_size < 2 * MEGABYTES
    assert max(map(len, page.tables)) - 1 == max(100, min(n_trials, 300))  # as the run's settings say
    if n_trials > 100:
        assert max(map(len, page_of(run, 110).tables)) - 1 == 110


HOSTILE = "<script>alert(1)</script>\"'&{{7*7}}<!--\x1b\x00\ud800]]> "


@pytest.mark.parametrize("n_classes", [3, None])
def test_names_of_the_users_are_text_and_nothing_else(n_classes, tmp_path):
    run = synthetic_run(tmp_path, 28, 1, n_columns=4, n_classes=n_classes, names=HOSTILE)
    page = page_of(run)
    assert [name for name, _ in page.elements].count("script") == 1
    assert not [values for _, values in page.elements if any(key.startswith("on") for key in values)]
    assert any("<script>alert(1)</script>\"'&{{7*7}}<!--" in text for text in page.paragraphs)
    for path in (run / "plots").iterdir():
        root = ElementTree.parse(path).getroot()
        assert {part.tag.rpartition("}")[2] for part in root.iter()} <= {
            "svg", "desc", "style", "rect", "text", "title", "path", "g", "image"
        }  # fmt: skip


def test_the_page_runs_its_own_script_only(classes):
    text = (classes[0] / "report.html").read_text()
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    (policy,) = (values["content"] for _, values in classes[1].elements if "http-equiv" in values)
    assert f"script-src 'sha256-{b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" in policy
    assert policy.startswith("default-src 'none'")


def test_an_optimizer_has_one_style_everywhere():
    names = {component.short_name for component in COMPONENTS}
    assert {*OPTIMIZERS} < {*names}
    assert len({style_of(name) for name in names}) == len(names)
    assert len({style_of(name)[0] for name in ("sgd", "momentum", "rmsprop", "adam")}) == 4
    assert style_of("adam") == ("colour-6", 0)  # as in reports that people have


# the colours of both schemes


def schemes():
    text = STYLES[0].read_text()
    light, dark = (dict(re.findall(r"--([\w-]+): (#\w{6});", part)) for part in text.split("@media"))
    assert light.keys() == dark.keys()
    return {"light": light, "dark": dark}


def linear(colour):
    values = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def contrast(one, other):
    """By WCAG 2.2."""
    lighter, darker = sorted((linear(colour) @ [0.2126, 0.7152, 0.0722] for colour in (one, other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_and_marks_have_enough_contrast(scheme):
    colours = schemes()[scheme]
    texts = [(colours[name], colours["paper"]) for name in ("ink", "quiet", "accent", "bad")]
    texts += [(colours[name], colours[name.replace("-ink", "")]) for name in colours if "-ink-" in name]
    assert len(texts) > 10
    assert min(contrast(*pair) for pair in texts) >= 4.5
    marks = [colours[name] for name in colours if name.startswith("colour-")] + [colours["accent"]]
    assert min(contrast(colour, colours["paper"]) for colour in marks) >= 3


PROTANOPIA = [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
DEUTERANOPIA = [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]


def lab(rgb):
    """CIELAB of linear sRGB."""
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x, y, z = np.cbrt(to_xyz @ np.clip(rgb, 0, 1) / [0.9505, 1, 1.089])  # of colours that are not nearly black
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("sight", [np.eye(3), PROTANOPIA, DEUTERANOPIA], ids=["all", "protanopia", "deuteranopia"])
def test_the_colours_of_optimizers_differ_for_everyone(scheme, sight):
    """As Machado, Oliveira and Fernandes (2009) simulate colour blindness; 2.3 is just noticeable."""
    colours = schemes()[scheme]
    seen = [lab(np.array(sight) @ linear(colours[f"colour-{number}"])) for number in range(8)]
    assert min(np.linalg.norm(one - other) for one, other in combinations(seen, 2)) > 15


# scales, words and marks


@pytest.mark.parametrize(
    ("scale", "most", "labels"),
    [
        (Linear(0, 1), 6, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        (Linear(-0.013, 0.021), 5, ["-0.01", "0.00", "0.01", "0.02"]),
        (Linear(0, 1234567), 4, ["0", "500,000", "1e6"]),
        (Log(0.0001, 1), 6, ["0.0001", "0.001", "0.01", "0.1", "1"]),
        (Log(0.09, 0.55), 6, ["0.1", "0.2", "0.3", "0.5"]),
        (Log(0.0003, 0.3), 8, ["0.0003", "0.001", "0.003", "0.01", "0.03", "0.1", "0.3"]),
        (Log(1e-12, 1e3), 4, ["1e-12", "1e-8", "0.0001", "1"]),
        (Log(0.101, 0.109), 5, ["0.102", "0.104", "0.106", "0.108"]),
        (Categories("abcdefg"), 3, ["a", "d", "g"]),
    ],
)
def test_ticks_are_round_numbers(scale, most, labels):
    ticks = scale.ticks(most)
    assert [label for _, label in ticks] == labels
    assert all(-1e-9 <= scale.share(value) <= 1 + 1e-9 for value, _ in ticks)


def test_marks_stand_where_the_scales_say():
    panel = Panel(Linear(0, 10), Log(1, 100), width=400, height=100)
    assert panel.px(5) == pytest.approx((panel.left + panel.right) / 2)
    assert [panel.py(value) - panel.top for value in (100, 10, 1)] == pytest.approx([0, 50, 100])
    panel.line([0, 1, 2, 3], [1, float("nan"), 10, 100])
    root = ElementTree.fromstring(panel.svg("A line."))
    (path,) = (part.get("d") for part in root if part.get("class") == "line")
    start, middle, end = (f"{panel.px(x):.1f} {panel.py(y):.1f}" for x, y in ((0, 1), (2, 10), (3, 100)))
    assert path == f"M{start}M{middle}L{end}"


@pytest.mark.parametrize(("n", "shown"), [(3, "0.107 ="), (20, "="), (90, None)])
def test_a_cell_has_the_label_that_fits(n, shown):
    panel = Panel(Categories("x" * n), Categories("y"), height=20, width=450)
    panel.cell(0, 0, "heat-0", ["0.107 =", "="])
    texts = [part.text for part in ElementTree.fromstring(panel.svg("A cell.")).iter() if part.get("class") == "in"]
    assert texts == ([shown] if shown else [])


def test_equal_and_missing_values_have_a_scale():
    for values in ([], [0.0], [3.0, 3.0], [float("nan"), float("inf")]):
        for scale in (Linear.around(values), Log.around(values)):
            assert scale.low < scale.high
            assert scale.ticks(5)


def test_numbers_are_rounded_for_reading():
    assert [number(value, 3) for value in (0.10149, -0.0001, 12345.6789, 3e9, float("nan"))] == [
        "0.101", "0.000", "12,345.679", "3e+09", "not defined"
    ]  # fmt: skip
    assert short("a" * 50 + "_17", 20) == "aaaaaaaaaaa…aaaaa_17"


@pytest.mark.parametrize(("n_correct", "n"), [(0, 3), (5, 5), (37, 40)])
def test_intervals_of_the_reliability_are_scipys(n_correct, n):
    expected = binomtest(n_correct, n).proportion_ci(method="wilson")
    assert wilson(n_correct / n, n) == pytest.approx((expected.low, expected.high))
