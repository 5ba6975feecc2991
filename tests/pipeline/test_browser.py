"""MLflow's pages and the report of a sweep of 48 trials, in a real browser; another run is in the same experiment."""

import csv
import json
import re
from urllib.parse import urlencode

import pytest
from browser import CHROMIUM, DRIVER, chromium
from mlflow import MlflowClient
from running import FEW, run_command, run_here
from servers import Server

from pipeline.tracking.view import PREFIX, view_address

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (CHROMIUM.exists() and DRIVER.exists()), reason=f"no {CHROMIUM} or no {DRIVER}"),
]
SWEEP = (
    "execution=local",
    "training.epochs=12",
    "~space.optimizer.rmsprop",
    "~space.regularizer.dropout",
    "~space.regularizer.weight_decay",
    "space.regularizer.l1.strength=[0.0001]",
)
EPOCHS = 12
OTHER = (*FEW, "name=other", "tracking.experiment=digits", "execution=local", "training.epochs=1", "report=none")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser")
    run_command(folder, *SWEEP)
    run_here(folder, *OTHER)
    return folder


@pytest.fixture(scope="module")
def run_folder(folder):
    (run_folder,) = folder.glob("runs/digits/*/")
    return run_folder


@pytest.fixture(scope="module")
def tracked(run_folder):
    return json.loads((run_folder / "summary.json").read_text())["mlflow"]


@pytest.fixture(scope="module")
def client(tracked):
    return MlflowClient(tracked["tracking_uri"])


@pytest.fixture(scope="module")
def leaderboard(run_folder):
    with (run_folder / "leaderboard.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def trials(client, tracked, run_folder):
    """The runs of the trials by key."""
    query = f"tags.kind = 'trial' and tags.pipeline_run = '{run_folder.name}'"
    runs = client.search_runs([tracked["experiment_id"]], query, max_results=100)
    return {run.data.tags["trial_key"]: run for run in runs}


@pytest.fixture(scope="module")
def view(client, tracked):
    """The tag of the experiment that holds the view; it is set by the run."""
    tags = client.get_experiment(tracked["experiment_id"]).tags
    assert tracked["view"] in {tag for tag in tags if tag.startswith(PREFIX)}
    return tracked["view"]


@pytest.fixture(scope="module")
def server(folder, tracked):
    server = Server(folder, tracked["tracking_uri"])
    server.start()
    yield server.uri
    server.kill()


@pytest.fixture(scope="module")
def experiment(server, tracked):
    return f"{server}/#/experiments/{tracked['experiment_id']}/runs"


@pytest.fixture(scope="module")
def address(server, tracked, view, run_folder):
    return view_address(server, tracked["experiment_id"], view, run_folder.name)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


def test_the_address_shows_the_trials_of_this_run_alone_best_first(browser, address, leaderboard):
    browser.open(address)
    rows = browser.rows(48)
    losses = [float(row["metrics.`validation_loss`"]) for row in rows]
    assert losses == [float(f"{float(row['validation/loss']):.5g}") for row in leaderboard]
    names = [row["attributes.`Run Name`"].splitlines()[-1] for row in rows]
    expected = [
        f"{row['optimizer']} {float(row['optimizer.learning_rate']):g}, {row['regularizer']}" for row in leaderboard
    ]
    shown = [re.match(r"\w+ [^,]+, \w+", name)[0] for name in names]
    assert sorted(zip(losses, shown, strict=True)) == sorted(zip(losses, expected, strict=True))  # rounded ones may tie


def test_without_a_saved_view_the_address_shows_the_same_run_folded(browser, server, tracked, run_folder):
    browser.open(view_address(server, tracked["experiment_id"], None, run_folder.name))
    (row,) = browser.rows(1)
    assert row["attributes.`Run Name`"].splitlines()[-1] == run_folder.name


def test_the_saved_view_has_the_scores_and_parameters_as_columns(browser, address):
    browser.open(address)
    scores = ("validation_loss", "validation_accuracy", "validation_roc_auc", "train_loss")
    expected = [f"metrics.`{name}`" for name in scores]
    expected += [f"params.`{name}`" for name in ("optimizer", "optimizer.learning_rate", "regularizer")]
    browser.until(lambda: [name for name in browser.rows(48)[0] if name in expected] == expected)  # in this order
    row = next(row for row in browser.rows(48) if row["params.`optimizer`"] == "sgd")
    assert row["params.`optimizer.learning_rate`"] in ("0.01", "0.03", "0.1", "0.3")
    browser.driver.execute_script("document.querySelector('.ag-body-horizontal-scroll-viewport').scrollLeft = 9999")
    cells = browser.until(lambda: [row for row in browser.rows(48) if "duration" in row])
    assert {row["tags.`status`"] for row in cells} == {"finished"}
    assert all(row["duration"] for row in cells)


@pytest.mark.nightly
def test_a_click_on_a_column_sorts_by_it(browser, address, leaderboard):
    browser.open(address)
    browser.rows(48)
    browser.click("//*[@data-testid='sort-header-validation_accuracy']")
    browser.until(lambda: "validation_accuracy" in browser.driver.current_url)
    expected = sorted(float(f"{float(row['validation/accuracy']):.5g}") for row in leaderboard)

    def sorted_rows():
        values = [float(row["metrics.`validation_accuracy`"]) for row in browser.rows(48)]
        return values in (expected, expected[::-1])

    assert browser.until(sorted_rows)


@pytest.mark.nightly
def test_trials_unfold_below_their_parent(browser, experiment, trials, run_folder):
    browser.open(f"{experiment}?workflowType=machine_learning")
    parents = browser.rows(2)  # the latest first
    assert parents[1]["attributes.`Run Name`"].splitlines()[-1] == run_folder.name
    browser.click("//*[@row-index='1']//*[contains(@col-id, 'Run Name')]//button")
    rows = browser.rows(50)
    names = {row["attributes.`Run Name`"].splitlines()[-1] for row in rows[2:]}
    assert names == {run.info.run_name for run in trials.values()}


@pytest.mark.nightly
def test_runs_are_filtered_by_tags(browser, experiment, run_folder):
    search = f"tags.optimizer = 'adam' and tags.pipeline_run = '{run_folder.name}'"
    query = urlencode({"searchFilter": search, "orderByKey": "metrics.`validation_loss`"})
    browser.open(f"{experiment}?workflowType=machine_learning&{query}")
    assert all("adam" in row["attributes.`Run Name`"] for row in browser.rows(16))


@pytest.mark.nightly
def test_runs_are_grouped_by_tags(browser, address):
    browser.open(address)
    browser.rows(48)
    browser.click("//button[contains(., 'Group by')]")
    browser.click("//*[@role='menuitemcheckbox'][normalize-space()='regularizer']")

    def groups():
        names = [row["attributes.`Run Name`"].split("\n") for row in browser.shown()]
        return {name[-2]: int(name[-1]) for name in names if len(name) > 1 and name[-2].startswith("Group:")}

    browser.until(groups)
    assert groups() == {"Group: none": 12, "Group: l1": 12, "Group: l2": 24}


def test_the_charts_are_parallel_coordinates_and_curves_of_the_best(browser, address, leaderboard):
    browser.open(f"{address}&compareRunsMode=CHART")
    browser.find("//*[contains(@class, 'dimension')]//*[text()='validation_loss']")
    axes = [axis.text for axis in browser.driver.find_elements("css selector", ".dimension .label")]
    assert axes[:3] == ["regularizer", "network.hidden", "optimizer"]  # those with short values first

    def curves():
        traces = [trace for trace in browser.traces() if trace["title"] == "validation/loss"]
        curves = {trace["name"]: trace for trace in traces if trace["x"]}
        return curves if len(curves) == 20 else None

    for curve in browser.until(curves).values():
        assert curve["x"] == list(range(1, EPOCHS + 1))
    (points,) = browser.until(
        lambda: [trace for trace in browser.traces() if trace["title"] == "log10_learning_rate vs. validation_loss"]
    )
    assert sorted(points["y"]) == pytest.approx([float(row["validation/loss"]) for row in leaderboard[:20]], rel=1e-4)


def test_a_trials_page_shows_its_learning_curve(browser, experiment, trials, leaderboard, client):
    run_id = trials[leaderboard[0]["trial"]].info.run_id
    browser.open(f"{experiment}/{run_id}/model-metrics")

    def curve():
        drawn = [trace for trace in browser.traces() if "markers" in (trace["mode"] or "") and len(trace["x"]) > 1]
        return drawn if len(drawn) == 3 else None

    history = {point.step: point.value for point in client.get_metric_history(run_id, "validation/loss")}
    assert history in [dict(zip(trace["x"], trace["y"], strict=True)) for trace in browser.until(curve)]
    assert len(history) == EPOCHS


def test_the_parents_page_shows_the_leaderboard(browser, experiment, tracked, leaderboard):
    browser.open(f"{experiment}/{tracked['run_id']}/artifacts/leaderboard.csv")
    browser.find("//*[contains(text(), 'Previewing the first 48 rows')]")
    browser.find(f"//*[text()='{leaderboard[0]['optimizer']}']")


def test_the_parents_page_shows_the_report(browser, experiment, tracked, report):
    browser.open(f"{experiment}/{tracked['run_id']}/artifacts/report.html")
    browser.driver.switch_to.frame(browser.find("//iframe"))
    assert browser.find("//h1").text
    assert "momentum" in browser.find("//body").text


def test_the_parents_page_shows_the_plots(browser, experiment, tracked):
    browser.open(f"{experiment}/{tracked['run_id']}/artifacts/plots/heat_map.svg")
    script = "return [...document.images].map(image => image.src.startsWith('blob:') ? image.naturalWidth : 0)"
    assert browser.until(lambda: [width for width in browser.driver.execute_script(script) if width > 200])


def test_the_report_needs_no_other_file_or_server(browser, report):
    browser.open(report.as_uri())
    assert browser.find("//h1").text
    assert [address for address in browser.requests() if not address.startswith(("data:", "blob:"))] == [
        report.as_uri()
    ]
    assert browser.logged("browser") == []


@pytest.fixture(scope="module")
def report(run_folder):
    return run_folder / "report.html"
