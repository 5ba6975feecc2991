"""nnsweep predict: rows of files and bundled sets, with a model from a folder or MLflow; and the champion alias."""

import csv
import json
import random
import shutil

import numpy as np
import pytest
from mlflow import MlflowClient
from running import FEW, run_command, run_sweep

from nncore.inference import model_file
from pipeline.cli import dispatch

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
    expected = model_file.load(run / "model").predict_columns(arrays)["prediction"]
    assert [float(row["prediction"]) for row in predictions] == expected.tolist()
    assert [int(row["row"]) for row in predictions] == list(range(1, 121))


def test_a_bundled_set_is_predicted_with_classes_and_probabilities(tmp_path, capsys):
    summary = run_sweep(tmp_path, *FEW, "data=iris", "training.epochs=2", "report=none")
    rows = predict_rows(capsys, tmp_path, f"model={tmp_path}/iris/{summary['run_id']}", "data=iris")
    assert len(rows) == 150
    for row in rows:
        probabilities = {name.removeprefix("probability_"): float(p) for name, p in row.items() if "_" in name}
        assert sum(probabilities.values()) == pytest.approx(1, abs=1e-5)
        assert max(probabilities, key=probabilities.get) == row["prediction"]


def test_mistakes_are_one_line_and_no_file_is_written(houses, tmp_path, capsys):
    folder, run, _ = houses
    table = ("data=csv", f"data.path={folder}/houses.csv", f"out={tmp_path}/a.csv")
    assert "model must be given" in error_line(capsys, *table)
    assert "there is no model.json in this folder" in error_line(capsys, f"model={tmp_path}", *table)
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


@pytest.mark.slow
def test_the_champion_alias_predicts_and_moves_only_to_a_better_model(tmp_path, capsys):
    settings = ("data=wine", *FEW, "execution=local", "report=none", "resume=never")
    client = MlflowClient(f"sqlite:///{tmp_path}/runs/mlflow.db")

    def version():
        return int(client.get_model_version_by_alias("wine", "champion").version)

    run_command(tmp_path, *settings, "training.epochs=5")
    assert version() == 1
    runs = f"runs={tmp_path}/runs"
    assert len(predict_rows(capsys, tmp_path, "model=models:/wine@champion", "data=wine", runs)) == 178
    (tmp_path / "answers.csv").unlink()
    worse = run_command(tmp_path, *settings, "training.epochs=1").stdout
    assert "model      models:/wine/2; alias champion still points to version 1, whose validation_loss of" in worse
    assert version() == 1
    assert "@champion (version 3)" in run_command(tmp_path, *settings, "training.epochs=30").stdout
    assert version() == 3
    other = run_command(tmp_path, *settings, "training.epochs=40", "select.metric=accuracy").stdout
    assert "alias champion still points to version 3, which was ranked by another metric" in other
    run_command(tmp_path, *settings, "training.epochs=1", "tracking.promote=always")
    assert version() == 5
    summary = [json.loads(path.read_text())["model"] for path in sorted(tmp_path.glob("runs/wine/*/summary.json"))]
    assert sorted((model_version["version"], model_version["alias"]) for model_version in summary) == [
        ("1", "champion"), ("2", None), ("3", "champion"), ("4", None), ("5", "champion"),
    ]  # fmt: skip
    assert "cannot be loaded from" in error_line(capsys, "model=models:/wine/99", "data=wine", runs)
