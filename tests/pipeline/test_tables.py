"""Tables in files: kinds and roles of columns, what is read of them, the data card."""

import datetime
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from running import compose

from nncore.inference.table import read_table
from pipeline.components.errors import SettingError
from pipeline.data.card import data_card, print_card

N = 400


@pytest.fixture(scope="module")
def frame():
    """Columns of every kind, some with gaps."""
    random = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "area": random.normal(90, 20, N).round(2),
            "rooms": random.integers(1, 7, N).astype(float),
            "year": random.integers(1900, 2020, N),
            "city": random.choice(["Bonn", "Köln", "Ulm, Donau", 'the "old" one'], N),
            "zip": [f"0{n}" for n in random.integers(1000, 1009, N)],
            "size": random.choice(["S", "M", "L"], N),
            "lift": random.choice([True, False], N),
            "garden": random.choice(["yes", "no"], N),
            "sold": (pd.Timestamp("2015-01-01") + pd.to_timedelta(random.integers(0, 3000, N), "D")).strftime(
                "%Y-%m-%d"
            ),
            "weight": random.uniform(0.5, 2, N).round(3),
            "street": random.integers(0, 60, N),
            "price": random.normal(500, 100, N).round(1),
            "rent": random.normal(9, 2, N).round(2),
            "loud": random.integers(0, 2, N),
            "sunny": random.integers(0, 2, N),
        }
    )
    for name, share in (("area", 0.1), ("rooms", 0.2), ("city", 0.1), ("sold", 0.05), ("size", 0.1), ("garden", 0.1)):
        table.loc[random.random(N) < share, name] = None
    return table


KINDS = (
    "+data.kinds.zip=categorical",
    "+data.kinds.size=[S,M,L]",
    "+data.kinds.garden=boolean",
    "+data.kinds.sold=date",
)
ROLES = ("data.weight=weight", "data.group=street", "data.target=price", "data.drop=[rent,loud,sunny]", "split=grouped")


@pytest.fixture(scope="module")
def files(frame, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    frame.to_csv(folder / "csv.csv", index=False)
    frame.to_csv(folder / "csv.csv.gz", index=False)
    frame.to_parquet(folder / "parquet.parquet")
    frame.to_csv(folder / "other.csv", index=False, sep=";", decimal=",", encoding="latin-1")
    return folder


def load(files, name, *overrides):
    settings, _ = compose(
        f"data={name.partition('.')[0]}", f"data.path={files}/{name}", "preset=none", *KINDS, *ROLES, *overrides
    )
    return settings.data()


@pytest.fixture(scope="module")
def dataset(files):
    return load(files, "csv.csv")


def test_columns_have_the_kinds_of_their_values_or_settings(dataset):
    kinds = {column.name: (column.kind, column.type) for column in dataset.rows.x.columns}
    assert kinds == {
        "area": ("numeric", "double"),
        "rooms": ("numeric", "long"),
        "year": ("numeric", "long"),
        "city": ("categorical", "string"),
        "zip": ("categorical", "string"),
        "size": ("ordinal", "string"),
        "lift": ("boolean", "boolean"),
        "garden": ("boolean", "string"),
        "sold": ("date", "date"),
    }
    levels = {column.name: column.levels for column in dataset.rows.x.columns if column.levels}
    assert levels["size"] == ("S", "M", "L")
    assert levels["city"] == ("Bonn", "Köln", "Ulm, Donau", 'the "old" one')
    assert levels["zip"][0] == "1000"  # as pandas reads it by default


def test_values_are_those_of_the_file(dataset, frame):
    for column, values in dataset.rows.x.column_values:
        raw = frame[column.name]
        missing = values == -1 if column.levels else np.isnan(values)
        np.testing.assert_array_equal(missing, raw.isna())
        if column.levels:
            texts = [column.levels[code] for code in values[~missing]]
        elif column.name == "sold":
            texts = [str(datetime.date(1970, 1, 1) + datetime.timedelta(days=day)) for day in values[~missing]]
        elif column.name == "garden":
            texts = [("no", "yes")[int(value)] for value in values[~missing]]
        else:
            texts = values[~missing].tolist()
        assert texts == (raw.astype(int).astype(str) if column.name == "zip" else raw.dropna()).tolist()
    assert dataset.task == "regression"
    np.testing.assert_array_equal(dataset.rows.y[:, 0], frame.price)
    np.testing.assert_array_equal(dataset.rows.weights, frame.weight)
    assert len(np.unique(dataset.groups)) == frame.street.nunique()
    pairs = pd.DataFrame({"ours": dataset.groups, "theirs": frame.street}).drop_duplicates()
    assert len(pairs) == frame.street.nunique()  # one to one


@pytest.mark.parametrize(
    ("name", "overrides"),
    [
        ("csv.csv.gz", ()),
        ("parquet.parquet", ()),
        ("csv.other", ("data.path={}/other.csv", "data.delimiter=';'", "data.decimal=','", "data.encoding=latin-1")),
    ],
)
def test_other_files_give_the_same_bits(dataset, files, name, overrides):
    loaded = load(files, name, *(override.replace("{}", str(files)) for override in overrides))
    assert loaded.rows.x.columns == dataset.rows.x.columns
    np.testing.assert_array_equal(loaded.rows.x.numbers, dataset.rows.x.numbers)
    np.testing.assert_array_equal(loaded.rows.x.codes, dataset.rows.x.codes)
    assert data_card(loaded)["digest"] == data_card(dataset)["digest"]


def test_a_url_of_another_file_system_can_be_read(dataset, files):
    import fsspec

    with fsspec.open("memory://folder/t.csv", "wb") as file:
        file.write((files / "csv.csv").read_bytes())
    loaded = load(files, "csv.csv", "data.path='memory://folder/t.csv'")
    assert data_card(loaded)["digest"] == data_card(dataset)["digest"]


def test_relative_paths_are_relative_to_the_working_directory(files, monkeypatch):
    monkeypatch.chdir(files)
    settings, _ = compose("data=csv", "data.path=csv.csv", "data.target=price")
    assert settings.data.path == str(files / "csv.csv")
    assert settings.name == "csv"
    monkeypatch.chdir("/")
    assert len(settings.data().rows) == N


def test_a_model_reads_a_data_frame_as_the_file_was_read(dataset, frame):
    """`Column.read` of pandas' values, as in a served model, gives the values read for training."""
    columns = dataset.rows.x.columns
    table = read_table(columns, frame)
    np.testing.assert_array_equal(table.numbers, dataset.rows.x.numbers)
    np.testing.assert_array_equal(table.codes, dataset.rows.x.codes)
    shown = {
        column.name: np.array(column.show(values), dtype=object) for column, values in dataset.rows.x.column_values
    }
    np.testing.assert_array_equal(read_table(columns, shown).numbers, dataset.rows.x.numbers)


def test_columns_are_kept_or_dropped(files):
    loaded = load(files, "csv.csv", "data.keep=[year,area]", "data.drop=[]")
    assert [column.name for column in loaded.rows.x.columns] == ["area", "year"]
    rest = load(files, "csv.csv", "data.drop=[rent,loud,sunny,city]")
    assert "city" not in [column.name for column in rest.rows.x.columns]


def test_rows_are_selected_by_their_values(files, frame):
    taken = load(files, "csv.csv", '+data.where.city=["Bonn","Köln"]', "+data.where.lift=true", "data.constant=drop")
    expected = frame[frame.city.isin(["Bonn", "Köln"]) & frame.lift]
    np.testing.assert_array_equal(taken.rows.y[:, 0], expected.price)
    np.testing.assert_array_equal(taken.rows.x.numbers[:, 0], expected.area)
    newer = load(files, "parquet.parquet", "+data.where.year=1999", "data.constant=drop")
    np.testing.assert_array_equal(newer.rows.y[:, 0], frame.price[frame.year == 1999])


@pytest.mark.parametrize(
    ("target", "settings", "task", "shape"),
    [
        ("price", (), "regression", (N, 1)),
        ("zip", (), "classification", (N,)),
        ("lift", (), "classification", (N,)),
        ("loud", (), "classification", (N,)),
        ("year", (), "regression", (N, 1)),
        ("loud", ("data.task=regression",), "regression", (N, 1)),
        ("[price,rent]", (), "regression", (N, 2)),
        ("[loud,sunny]", (), "multilabel", (N, 2)),
        ("[loud,sunny]", ("data.task=regression",), "regression", (N, 2)),
        ("[loud,lift]", (), "multilabel", (N, 2)),
        ("[loud,price]", (), "regression", (N, 2)),
    ],
)
def test_the_task_follows_the_targets(files, frame, target, settings, task, shape):
    loaded = load(files, "csv.csv", f"data.target={target}", "data.drop=[]", *settings, "select.metric=loss")
    assert loaded.task == task
    assert loaded.rows.y.shape == shape
    names = target.strip("[]").split(",")
    assert loaded.targets == tuple(names)
    if task != "classification":
        np.testing.assert_array_equal(loaded.rows.y, frame[names])
    assert not {column.name for column in loaded.rows.x.columns} & set(names)


def test_a_test_file_is_the_official_test_part(files, frame, tmp_path):
    """Categories that occur only there are unknown; its columns may be in another order."""
    test_frame = frame.head(50)[frame.columns[::-1]].assign(city=["Bonn", "Paris"] * 25)
    test_frame.to_csv(tmp_path / "test.csv", index=False)
    loaded = load(files, "csv.csv", f"data.test={tmp_path}/test.csv")
    (city,) = (values for column, values in loaded.test.x.column_values if column.name == "city")
    assert city.tolist() == [0, 4] * 25
    assert loaded.test.x.columns == loaded.rows.x.columns
    np.testing.assert_array_equal(loaded.test.y[:, 0], frame.price[:50])
    assert len(loaded.rows) == N
    card = data_card(loaded)
    assert (card["n_rows"], card["n_test_rows"]) == (N, 50)


def test_constant_columns_are_left_out_with_a_note_or_refused(frame, tmp_path):
    frame.assign(one=1, none=None, same="x").to_csv(tmp_path / "t.csv", index=False)
    loaded = load(tmp_path, "csv.csv", f"data.path={tmp_path}/t.csv")
    assert len(loaded.rows.x.columns) == 9
    np.testing.assert_array_equal(loaded.rows.x.numbers[:, 0], frame.area)
    empty, same = (note.partition(";")[0] for note in loaded.notes)
    assert empty == "1 column (none) left out: no value in all rows"
    assert same == "2 columns (one, same) left out: the same value in all rows"
    with pytest.raises(SettingError, match=r"column 'one' has the same value in all 400 rows \(and 2 more columns\)"):
        load(tmp_path, "csv.csv", f"data.path={tmp_path}/t.csv", "data.constant=refuse")


def test_notes_are_printed_and_on_the_data_card(frame, tmp_path):
    frame.assign(one=1).to_csv(tmp_path / "t.csv", index=False)
    loaded = load(tmp_path, "csv.csv", f"data.path={tmp_path}/t.csv")
    card, terminal = data_card(loaded), io.StringIO()
    assert card["notes"] == list(loaded.notes)
    print_card(Console(file=terminal, width=60), card)
    *_, last = terminal.getvalue().splitlines()
    assert last == f"note: {card['notes'][0]}"


def test_a_column_that_a_condition_makes_constant_needs_no_note(files):
    loaded = load(files, "csv.csv", "+data.where.city=Bonn")
    assert "city" not in [column.name for column in loaded.rows.x.columns]
    assert loaded.notes == ()


def test_the_data_card_describes_the_data(dataset, frame, files):
    card = data_card(dataset)
    assert card["task"] == "regression"
    assert card["targets"] == ["price"]
    assert card["n_rows"] == N
    missing = {column["name"]: column["missing"] for column in card["columns"]}
    np.testing.assert_allclose(list(missing.values()), [frame[name].isna().mean() for name in missing])
    assert card["missing"] == pytest.approx(frame[list(missing)].isna().to_numpy().mean())
    statistics = card["target_statistics"]["price"]
    assert statistics["mean"] == pytest.approx(frame.price.mean())
    assert statistics["std"] == pytest.approx(frame.price.std(ddof=0))
    assert (statistics["min"], statistics["max"]) == (frame.price.min(), frame.price.max())
    assert card["n_groups"] == frame.street.nunique()
    classes = data_card(load(files, "csv.csv", "data.target=lift"))["classes"]
    assert classes == {"False": (~frame.lift).sum(), "True": frame.lift.sum()}


@pytest.mark.parametrize("change", [{"area": 0.0}, {"city": "Bonn"}, {"price": 1.0}, {"weight": 9.0}, {"street": 99}])
def test_the_hash_depends_on_every_value(frame, files, dataset, tmp_path, change):
    ((name, value),) = change.items()
    changed = frame.copy()
    changed.loc[17, name] = value
    changed.to_csv(tmp_path / "t.csv", index=False)
    assert data_card(load(files, "csv.csv", f"data.path={tmp_path}/t.csv"))["digest"] != data_card(dataset)["digest"]


@pytest.mark.nightly
def test_a_million_rows_take_at_most_three_times_their_float32_size(tmp_path):
    """In a separate process: the peak memory minus that after imports."""
    columns = {f"x{number}": np.random.default_rng(number).normal(size=1_000_000) for number in range(50)}
    pd.DataFrame(columns).to_parquet(tmp_path / "t.parquet")
    script = Path(__file__).parents[2] / "scripts" / "benchmark_loading.py"
    overrides = ("data=parquet", f"data.path={tmp_path}/t.parquet", "data.target=x0")
    completed = subprocess.run(
        [sys.executable, script, "--measure", *overrides], capture_output=True, text=True, check=True
    )
    measured = json.loads(completed.stdout)
    assert (measured["rows"], measured["columns"]) == (1_000_000, 49)
    assert measured["mb"] < 3 * measured["float32_mb"]
    assert measured["mb"] > measured["float32_mb"]  # the measurement works
