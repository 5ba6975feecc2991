"""nnsweep predict: rows of files and bundled sets, with a model from a folder or MLflow; and the champion alias."""

import csv
import json
import random
import shutil

import numpy as np
import pandas as pd
import pytest
from mlflow import MlflowClient
from running import FEW, run_command, run_here, run_sweep, slow_after_first
from sklearn.datasets import load_iris

from nncore.inference import model_file
from pipeline.cli import dispatch
from pipeline.components.scores import in_words
from pipeline.tracking.mlflow_client import open_store
from pipeline.tracking.mlflow_model import move_alias

TABLE = ("data=csv", "data.target=price", "training.epochs=2", "report=none")


@pytest.fixture(scope="module")
def houses(tmp_path_factory):
    """A table with gaps, categories and dates, and a run on it."""
    folder, draw = tmp_path_factory.mktemp("houses"), random.Random(0)
    rows = []
    for number in range(120):
        area, city = round(draw.uniform(20, 200), 1), draw.choice(["Bonn", "Ulm", "Jena"])
        sold = f"20{draw.randint(10, 24)}-0{draw.randint(1, 9)}-1{draw.randint(0, 9)}"
        price = 3 * area + len(city) * 10 + draw.gauss(0, 5)
        rows.append([area if number % 9 else "", city if number % 11 else "", sold, round(price, 2)])
    with (folder / "houses.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["area", "city", "sold", "price"], *rows])
    summary = run_sweep(folder, *FEW, *TABLE, f"data.path={folder}/houses.csv")
    return folder, folder / "houses" / summary["run_id"], rows


def predict_rows(capsys, folder, *arguments):
    """Run the command and read the file that it writes."""
    out = folder / "answers.csv"
    dispatch.dispatch(["predict", *arguments, f"out={out}"], 0.0)
    assert f": {out}" in capsys.readouterr().out
    with out.open(newline="") as file:
        return list(csv.DictReader(file))


def error_line(capsys, *arguments):
    with pytest.raises(SystemExit) as exit_info:
        dispatch.dispatch(["predict", *arguments], 0.0)
    assert exit_info.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_new_rows_need_no_target_and_may_have_other_columns(houses, tmp_path, capsys):
    _, run, rows = houses
    with (tmp_path / "new.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["city", "note", "sold", "area"], *([r[1], "x", r[2], r[0]] for r in rows)])
    predictions = predict_rows(capsys, tmp_path, f"model={run}", "data=csv", f"data.path={tmp_path}/new.csv")
    columns = {"area": [r[0] or None for r in rows], "city": [r[1] or None for r in rows], "sold": [r[2] for r in rows]}
    arrays = {name: np.array(values, object) for name, values in columns.items()}
    expected = model_file.load(run / "model").predict_columns(arrays)
    assert list(expected) == ["prediction", "prediction_lower", "prediction_upper"]
    for name, values in expected.items():
        assert [float(row[name]) for row in predictions] == values.tolist()
    assert [int(row["row"]) for row in predictions] == list(range(1, 121))


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_kept_columns_are_written_as_they_are(ending, houses, tmp_path, capsys):
    _, run, rows = houses
    ids = ["007", "90071992547409931", "a, b", "", "ü"]
    table = pd.DataFrame(rows[:5], columns=["area", "city", "sold", "price"]).drop(columns="price")
    table = table.assign(area=pd.to_numeric(table.area), id=ids, number=[2**53 + 1, 2, 3, 4, 5])
    path = tmp_path / f"new.{ending}"
    table.to_csv(path, index=False) if ending == "csv" else table.to_parquet(path)
    source = (f"model={run}", f"data={ending}", f"data.path={path}")
    predictions = predict_rows(capsys, tmp_path, *source, "keep=[id,number,city]")
    assert [*predictions[0]] == ["row", "id", "number", "city", "prediction", "prediction_lower", "prediction_upper"]
    assert [row["id"] for row in predictions] == ids
    assert [row["number"] for row in predictions] == ["9007199254740993", "2", "3", "4", "5"]
    assert [row["city"] for row in predictions] == [row[1] for row in rows[:5]]
    (tmp_path / "answers.csv").unlink()
    without = predict_rows(capsys, tmp_path, *source)
    assert [row["prediction"] for row in without] == [row["prediction"] for row in predictions]
    with pytest.raises(SystemExit, match="2"):
        dispatch.dispatch(["predict", *source, "keep=[ident,numbr]", f"out={tmp_path}/b.csv"], 0.0)
    message = capsys.readouterr().err
    assert "there is no column 'ident', which keep names" in message
    assert "there is no column 'numbr', which keep names; did you mean 'number'?" in message


@pytest.mark.slow
def test_a_kept_code_has_its_zeros_although_the_model_reads_it(tmp_path, capsys):
    codes = ["01067", "10115", "80331"] * 20
    table = pd.DataFrame({"zip": codes, "x": range(60), "y": [1.5 * number for number in range(60)]})
    table.to_csv(tmp_path / "t.csv", index=False)
    settings = ("data=csv", f"data.path={tmp_path}/t.csv", "data.target=y", "+data.kinds.zip=categorical")
    summary = run_sweep(tmp_path, *FEW, *settings, "report=none")
    source = (f"model={tmp_path}/t/{summary['run_id']}", "data=csv", f"data.path={tmp_path}/t.csv")
    predictions = predict_rows(capsys, tmp_path, *source, "keep=zip")
    assert [row["zip"] for row in predictions] == codes


def scores_line(capsys, folder, *arguments):
    """The scores that the command prints."""
    dispatch.dispatch(["predict", *arguments, f"out={folder}/{len(list(folder.iterdir()))}.csv"], 0.0)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("scores ")]
    return lines[0].removeprefix("scores     ") if lines else ""


@pytest.mark.parametrize("target", slow_after_first(["price", "city", "sizes", "[area,price]"]))
def test_a_file_with_the_target_is_scored_as_the_test_rows_of_the_run(target, houses, tmp_path, capsys):
    """The table has cities as texts and sizes as integers; with a weight, and with two values."""
    table = pd.DataFrame(houses[2], columns=["area", "city", "sold", "price"])
    table["area"] = pd.to_numeric(table.area).fillna(50.0)
    table["city"] = table.city.replace("", "Ulm")
    table = table.assign(sizes=(table.area // 60).astype(int), id=range(120), weight=[1, 2, 3] * 40)
    table[:80].to_csv(tmp_path / "t.csv", index=False)
    table[80:].to_csv(tmp_path / "new.csv", index=False)
    weight = ("data.weight=weight",) if target == "price" else ("data.drop=[weight]",)
    settings = ("data=csv", f"data.path={tmp_path}/t.csv", f"data.test={tmp_path}/new.csv", f"data.target={target}")
    summary = run_sweep(tmp_path, *FEW, *settings, *weight, "training.epochs=3", "report=none")
    test, run = summary["published"]["test"], f"model={tmp_path}/t/{summary['run_id']}"
    source = (run, "data=csv", f"data.path={tmp_path}/new.csv", *weight)
    assert (
        scores_line(capsys, tmp_path, *source)
        == f"{in_words(test)} ({target.strip('[]').replace(',', ', ')} of 40 rows)"
    )
    assert len(test) >= 2
    names = target.strip("[]").split(",")
    table[80:].drop(columns=names[0]).to_csv(tmp_path / "without.csv", index=False)
    if names == ["price"]:
        assert scores_line(capsys, tmp_path, run, "data=csv", f"data.path={tmp_path}/without.csv") == ""


@pytest.mark.slow
def test_rows_without_a_known_target_are_predicted_and_not_scored(tmp_path, capsys):
    iris = load_iris(as_frame=True).frame.assign(target=[name for name in ("a", "b", "c") for _ in range(50)])
    iris.to_csv(tmp_path / "iris.csv", index=False)
    summary = run_sweep(
        tmp_path, *FEW, "data=csv", f"data.path={tmp_path}/iris.csv", "data.target=target", "report=none"
    )
    source = (f"model={tmp_path}/iris/{summary['run_id']}", "data=csv", f"data.path={tmp_path}/new.csv")
    iris.loc[[0, 60], "target"], iris.loc[[1, 61, 121], "target"] = None, "z"
    iris.to_csv(tmp_path / "new.csv", index=False)
    line = scores_line(capsys, tmp_path, *source)
    assert line.endswith(" (target of 145 rows, without 2 rows without target, without 3 rows of other classes)")
    known = iris[iris.target.isin(["a", "b", "c"])]
    right = model_file.load(summary["model"]["path"]).predict(known) == known.target
    assert f"accuracy {right.mean():.3f}" in line
    iris.assign(target="z").to_csv(tmp_path / "new.csv", index=False)
    assert scores_line(capsys, tmp_path, *source) == "none: no row has a target that the model knows"


def test_a_target_that_cannot_be_read_does_not_prevent_predictions(houses, tmp_path, capsys):
    folder, run, _ = houses
    table = pd.read_csv(folder / "houses.csv", dtype=str)
    table.assign(price="much").to_csv(tmp_path / "new.csv", index=False)
    line = scores_line(capsys, tmp_path, f"model={run}", "data=csv", f"data.path={tmp_path}/new.csv")
    assert line.startswith("none: ")
    assert "'much'" in line
    table[:1].to_csv(tmp_path / "new.csv", index=False)
    line = scores_line(capsys, tmp_path, f"model={run}", "data=csv", f"data.path={tmp_path}/new.csv")
    assert line.startswith("RMSE ")
    assert "R2" not in line  # of one row it is not defined


def test_a_bundled_set_is_predicted_with_classes_and_probabilities(tmp_path, capsys):
    summary = run_sweep(tmp_path, *FEW, "data=iris", "training.epochs=2", "report=none")
    rows = predict_rows(capsys, tmp_path, f"model={tmp_path}/iris/{summary['run_id']}", "data=iris")
    assert len(rows) == 150
    for row in rows:
        probabilities = {name.removeprefix("probability_"): float(p) for name, p in row.items() if "_" in name}
        assert sum(probabilities.values()) == pytest.approx(1, abs=1e-5)
        assert max(probabilities, key=probabilities.get) == row["prediction"]


def test_a_model_is_named_by_its_run(houses, tmp_path, capsys):
    """By the run's id, last or last~1; the earlier of two runs has another model."""
    summary = run_sweep(tmp_path / "runs", *FEW, "data=iris", "training.epochs=2", "report=none")
    early = tmp_path / "runs" / "houses" / "20200101-000000-0000"
    shutil.copytree(houses[1], early)
    for name in ("model=last", "run=last", "run=last~0", f"model={summary['run_id']}"):
        assert len(predict_rows(capsys, tmp_path, name, f"runs={tmp_path}/runs", "data=iris")) == 150
        (tmp_path / "answers.csv").unlink()
    table = ("data=csv", f"data.path={houses[0]}/houses.csv")
    of_folder = predict_rows(capsys, tmp_path, f"model={houses[1]}", *table)
    for name in ("model=last~1", f"run={early.name}"):
        (tmp_path / "answers.csv").unlink()
        assert predict_rows(capsys, tmp_path, name, f"runs={tmp_path}/runs", *table) == of_folder


def test_mistakes_are_one_line_and_no_file_is_written(houses, tmp_path, capsys):
    folder, run, _ = houses
    table = ("data=csv", f"data.path={folder}/houses.csv", f"out={tmp_path}/a.csv")
    assert "model must be given" in error_line(capsys, *table)
    assert f"there is no model.json in {tmp_path}" in error_line(capsys, f"model={tmp_path}", *table)
    runs = f"runs={houses[0]}"
    assert "model=last~7: there are only 1 runs below" in error_line(capsys, "model=last~7", runs, *table)
    assert "model=latest: there is no such run below" in error_line(capsys, "model=latest", runs, *table)
    assert "runs=nowhere: there is no run" in error_line(capsys, "run=last", "runs=nowhere", *table)
    assert "both name a model" in error_line(capsys, "model=last", "run=last", runs, *table)
    (tmp_path / "few.csv").write_text("area,city\n1,Ulm\n")
    line = error_line(capsys, f"model={run}", "data=csv", f"data.path={tmp_path}/few.csv", f"out={tmp_path}/a.csv")
    assert "sold" in line
    shutil.copytree(run / "model", tmp_path / "altered")
    (tmp_path / "altered" / "arrays.npz").write_bytes(b"x" * 100)
    assert "was changed or truncated" in error_line(capsys, f"model={tmp_path}/altered", *table)
    assert "there is no mlflow.db" in error_line(capsys, "model=models:/x@champion", f"runs={tmp_path}", *table)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["altered", "few.csv"]
    (tmp_path / "a.csv").write_text("mine")
    assert "exists already; choose another file" in error_line(capsys, f"model={run}", *table)
    assert (tmp_path / "a.csv").read_text() == "mine"


HELD = {"data_hash": "abc", "metric": "validation_loss", "greater_is_better": "false", "value": "0.5"}
NEW = {  # the attributes of a second version that differ, tracking.promote, and why the alias stays
    "better": ({"value": "0.4"}, "better", ""),
    "worse": ({"value": "0.6"}, "better", "whose validation_loss of 0.5000 is better than 0.6000"),
    "greater is better": ({"value": "0.6", "greater_is_better": "true"}, "better", ""),
    "equal": ({}, "better", "whose validation_loss is the same, 0.5000"),
    "other data": ({"value": "0.4", "data_hash": "xyz"}, "better", "which was trained on different data"),
    "other metric": ({"value": "0.9", "metric": "validation_accuracy"}, "better", "which was ranked by another metric"),
    "never": ({"value": "0.4"}, "never", "because of tracking.promote=never"),
    "always": ({"value": "0.6", "data_hash": "xyz"}, "always", ""),
}


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    return open_store(f"sqlite:///{tmp_path_factory.mktemp('registry')}/mlflow.db")


@pytest.mark.parametrize("name", NEW)
def test_the_alias_moves_only_to_a_better_model_of_the_same_data_and_metric(name, registry):
    changed, promote, reason = NEW[name]
    registry.create_registered_model(name)
    for version, attributes in (("1", HELD), ("2", HELD | changed)):
        assert registry.create_model_version(name, "file:///nowhere").version == int(version)
        said = move_alias(registry, name, version, attributes, promote)
        expected = f"champion still points to version 1, {reason}" if version == "2" and reason else ""
        assert said.startswith(expected)
        assert bool(said) == bool(expected)
    assert int(registry.get_model_version_by_alias(name, "champion").version) == (1 if reason else 2)
    tags = registry.get_model_version(name, "2").tags
    assert {key: tags[key] for key in HELD} == HELD | changed


def champion(folder):
    client = MlflowClient(f"sqlite:///{folder}/runs/mlflow.db")
    return int(client.get_model_version_by_alias("wine", "champion").version)


CHAMPIONS = ("data=wine", *FEW, "execution=local", "report=none", "resume=never")


@pytest.mark.slow
def test_the_champion_alias_predicts_and_stays_with_the_better_model(tmp_path, capsys):
    run_here(tmp_path, *CHAMPIONS, "training.epochs=5")
    assert champion(tmp_path) == 1
    runs = f"runs={tmp_path}/runs"
    assert len(predict_rows(capsys, tmp_path, "model=models:/wine@champion", "data=wine", runs)) == 178
    worse = run_here(tmp_path, *CHAMPIONS, "training.epochs=1").stdout
    assert "model      models:/wine/2\nalias      champion still points to version 1, whose validation_loss of" in worse
    assert champion(tmp_path) == 1
    assert "cannot be loaded from" in error_line(capsys, "model=models:/wine/99", "data=wine", runs)


@pytest.mark.nightly
def test_the_champion_alias_moves_only_to_a_better_model(tmp_path):
    settings = CHAMPIONS

    def version():
        return champion(tmp_path)

    run_command(tmp_path, *settings, "training.epochs=5")
    assert version() == 1
    worse = run_command(tmp_path, *settings, "training.epochs=1").stdout
    assert "model      models:/wine/2\nalias      champion still points to version 1, whose validation_loss of" in worse
    assert version() == 1
    assert (
        "models:/wine/3\nalias      champion points to it"
        in run_command(tmp_path, *settings, "training.epochs=30").stdout
    )
    assert version() == 3
    other = run_command(tmp_path, *settings, "training.epochs=40", "select.metric=accuracy").stdout
    assert "champion still points to version 3, which was ranked by another metric" in other
    run_command(tmp_path, *settings, "training.epochs=1", "tracking.promote=always")
    assert version() == 5
    summary = [json.loads(path.read_text())["model"] for path in sorted(tmp_path.glob("runs/wine/*/summary.json"))]
    assert sorted((model_version["version"], model_version["alias"]) for model_version in summary) == [
        ("1", "champion"), ("2", None), ("3", "champion"), ("4", None), ("5", "champion"),
    ]  # fmt: skip
