"""The source, pandas and a model read the same values from a file."""

import io
import shlex

import numpy as np
import pandas as pd
import pytest
from running import FEW, compose, run_sweep

from nncore.inference import model_file
from nncore.inference.table import read_table
from pipeline.components.errors import SettingError
from pipeline.tracking.model_code import predict_frame

N = 240
RANDOM = np.random.default_rng(0)
Y = RANDOM.normal(size=N).round(3)
CHOICE = RANDOM.integers(0, 3, N)


def source(folder, content, *overrides, ending="csv"):
    path = folder / f"t.{ending}"
    if isinstance(content, str):
        path.write_text(content)
    elif ending == "csv":
        content.to_csv(path, index=False)
    else:
        content.to_parquet(path)
    settings, _ = compose(f"data={ending}", f"data.path={path}", "data.target=y", "preset=none", *overrides)
    return settings.data, path


def assert_read_alike(dataset, frame):
    """A model reads the table of the source from what pandas reads."""
    columns = dataset.rows.x.columns
    table = read_table(columns, frame)
    np.testing.assert_array_equal(table.numbers, dataset.rows.x.numbers)
    np.testing.assert_array_equal(table.codes, dataset.rows.x.codes)


COLUMNS = {
    "whole numbers with gaps": (np.where(CHOICE == 0, np.nan, CHOICE), "categorical"),
    "fractions": (CHOICE / 4, "categorical"),
    "truth values": (CHOICE > 1, "categorical"),
    "zeros in front": (np.array(["007", "070", "700"])[CHOICE], "categorical"),
    "an order of numbers": (CHOICE + 1.0, "[1,2,3]"),
    "an order of truth values": (CHOICE > 0, "[false,true]"),
    "bits as fractions": ((CHOICE > 0) * 1.0, "boolean"),
    "days as numbers": (20200101 + CHOICE, "date"),
    "texts": (np.array(["a", "True", "1.50"])[CHOICE], "categorical"),
    "dates as categories": (pd.Timestamp("2020-01-01") + pd.to_timedelta(CHOICE, "D"), "categorical"),
    "times as categories": (pd.Timestamp("2020-01-01 10:30") + pd.to_timedelta(CHOICE, "D"), "categorical"),
}  # fmt: skip


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("ending", ["csv", pytest.param("parquet", marks=pytest.mark.slow)])
def test_a_declared_column_is_read_as_pandas_reads_it(name, ending, tmp_path):
    values, kind = COLUMNS[name]
    frame = pd.DataFrame({"x": values, "y": Y})
    data, path = source(tmp_path, frame, f"+data.kinds.x={kind}", ending=ending)
    dataset = data()
    assert_read_alike(dataset, pd.read_csv(path) if ending == "csv" else pd.read_parquet(path))
    assert_read_alike(dataset, frame)
    if ending == "csv":
        assert_read_alike(dataset, pd.read_csv(path, dtype={"x": str}))
    ((_, read),) = dataset.rows.x.column_values
    assert len(np.unique(read[frame.x.notna()])) == len(pd.unique(frame.x.dropna()))


def test_markers_of_missing_values_are_those_of_pandas(tmp_path):
    words = ["n/a", "#N/A", "<NA>", "-nan", "NULL", "none", "?", "a", "b", "c"]
    content = "x,y\n" + "".join(f"{words[n % 10]},{Y[n]}\n" for n in range(N))
    data, _ = source(tmp_path, content)
    frame = pd.read_csv(io.StringIO(content))
    dataset = data()
    assert (dataset.rows.x.codes < 0).sum() == frame.x.isna().sum() == N // 2
    assert_read_alike(dataset, frame)


def test_a_test_file_is_read_with_the_types_of_the_development_rows(tmp_path):
    """Its columns alone would be read as booleans, integers and nulls."""
    train = pd.DataFrame(
        {"a": np.array(["True", "False", "maybe"])[CHOICE], "b": Y, "c": CHOICE, "y": np.array(["0", "1", "x"])[CHOICE]}
    )
    test = pd.DataFrame({"a": ["True", "False"] * 10, "b": [1, 2] * 10, "c": [0.5, np.nan] * 10, "y": ["0", "1"] * 10})
    test.to_csv(tmp_path / "test.csv", index=False)
    data, _ = source(tmp_path, train, f"data.test={tmp_path}/test.csv")
    test_rows = data().test
    assert test_rows.x.codes[:2, 0].tolist() == [2, 0]  # levels false, maybe, true
    np.testing.assert_array_equal(test_rows.x.numbers[:2], [[1, 0.5], [2, np.nan]])
    assert test_rows.y[:2].tolist() == ["0", "1"]


def test_a_test_file_may_have_one_row_and_one_class(tmp_path):
    train = pd.DataFrame({"a": Y, "g": CHOICE, "y": np.array(["r", "s", "t"])[CHOICE]})
    pd.DataFrame({"a": [1.0], "y": ["s"]}).to_csv(tmp_path / "test.csv", index=False)
    data, _ = source(tmp_path, train, f"data.test={tmp_path}/test.csv", "data.group=g", "split=grouped")
    assert data().test.y.tolist() == ["s"]


def test_an_index_of_pandas_is_no_column(tmp_path):
    frame = pd.DataFrame({"x": RANDOM.normal(size=N), "y": Y}).sort_values("x")
    data, path = source(tmp_path, frame, ending="parquet")
    assert [column.name for column in data().rows.x.columns] == ["x"]
    assert_read_alike(data(), pd.read_parquet(path))


@pytest.mark.parametrize(
    ("content", "overrides", "words"),
    [
        ("1,5\n2,5\nabc\n", ("data.decimal=','", "data.delimiter=';'"), ("holds numbers, but 'abc' in row 3",)),
        ("1.234,5\n2.234,5\n1.2,3\n", ("data.decimal=','", "data.delimiter=';'"), ("numbers", "'1.2,3' in row 3")),
        ("$12.50\n$13.50\ntwo\n", ("data.delimiter=';'",), ("numbers", "'two' in row 3")),
        ("31.12.2020\n01.01.2021\n32.1.2021\n", ("data.delimiter=';'",), ("dates", "'32.1.2021' in row 3")),
        ("2020-01-01\n2020-01-02\nlater\n", ("data.delimiter=';'",), ("holds dates, but 'later' in row 3",)),
    ],
)  # fmt: skip
def test_unusual_notations_of_numbers_and_dates_are_named(content, overrides, words, tmp_path):
    lines = (content * N).splitlines()[:N]
    decimal = "," if "data.decimal=','" in overrides else "."
    rows = "".join(f"{line};{str(y).replace('.', decimal)}\n" for line, y in zip(lines, Y, strict=True))
    data, _ = source(tmp_path, "x;y\n" + rows, *overrides)
    with pytest.raises(SettingError) as error:
        data()
    assert all(word in str(error.value) for word in words), error.value


def test_numbers_with_a_decimal_comma_may_be_declared(tmp_path):
    """Arrow reads them as texts because of one value that data.missing declares."""
    content = "x;y\n" + "".join(f"{'-' if n == 7 else f'{n},5'};{n % 7},25\n" for n in range(N))
    odd = ("data.decimal=','", "data.delimiter=';'")
    data, _ = source(tmp_path, content, *odd, "data.missing=['-']")
    np.testing.assert_array_equal(data().rows.x.numbers[6:9, 0], [6.5, np.nan, 8.5])


def test_suggested_overrides_work(tmp_path):
    frame = pd.DataFrame({"my col": ["x", *map(str, CHOICE[1:] / 2)], "a.b": "same", "y": Y})
    data, _ = source(tmp_path, frame, ending="parquet")
    with pytest.raises(SettingError) as numbers:
        data()
    data, _ = source(tmp_path, frame, pasted(numbers, "'+data.kinds"), "data.constant=refuse", ending="parquet")
    with pytest.raises(SettingError) as constant:
        data()
    both = pasted(numbers, "'+data.kinds"), pasted(constant, "'data.drop")
    data, _ = source(tmp_path, frame, *both, ending="parquet")
    assert [(column.name, column.kind) for column in data().rows.x.columns] == [("my col", "categorical")]


def pasted(error, beginning):
    """The override that an error suggests, as a shell parses it."""
    text = str(error.value)
    return shlex.split(text[text.index(beginning) :])[0]


def test_a_tab_can_be_written_as_an_escape(tmp_path):
    content = "x\ty\n" + "".join(f"{n}\t{y}\n" for n, y in enumerate(Y))
    for spelling in (r"'\t'", "tab"):
        data, _ = source(tmp_path, content, f"data.delimiter={spelling}")
        np.testing.assert_array_equal(data().rows.y[:, 0], Y)


@pytest.mark.parametrize(
    ("kinds", "target", "words"),
    [
        ("+data.kinds.x=[1,2,2]", "y", "order of 'x' must list different values"),
        ("+data.kinds.x=[]", "y", "order of 'x' must list different values"),
        ("data.weight=x", "[y,y]", "'y' is named twice"),
        ("data.weight=x", "x", "'x' is named twice"),
        ("data.group=x", "y", "'x' is named twice"),
    ],
)
def test_roles_and_orders_that_contradict_themselves_are_refused(kinds, target, words, tmp_path):
    frame = pd.DataFrame({"x": CHOICE, "y": Y, "z": Y})
    more = ("data.time=x",) if "group" in kinds else ()
    with pytest.raises(SettingError, match=words):
        source(tmp_path, frame, kinds, *more, f"data.target={target}")


def test_a_date_in_the_year_9999_can_be_used(tmp_path):
    day = np.array(["2020-01-01T00:00:00", "2021-05-05T10:00:00", "9999-12-31T23:59:59.999999"], "M8[us]")[CHOICE]
    frame = pd.DataFrame({"until": day, "y": Y + CHOICE})
    _, path = source(tmp_path, frame, ending="parquet")
    summary = run_sweep(tmp_path, *FEW, "data=parquet", f"data.path={path}", "data.target=y")
    model = model_file.load(tmp_path / "t" / summary["run_id"] / "model")
    assert np.isfinite(predict_frame(model, frame).prediction).all()


def test_boolean_targets_are_predicted_as_booleans(tmp_path):
    frame = pd.DataFrame({"x": Y, "y": Y > 0})
    _, path = source(tmp_path, frame)
    summary = run_sweep(tmp_path, *FEW, "data=csv", f"data.path={path}", "data.target=y", "training.epochs=20")
    model = model_file.load(tmp_path / "t" / summary["run_id"] / "model")
    assert (predict_frame(model, frame).prediction == frame.y).mean() > 0.9


def test_law_3_values_that_only_test_rows_have_change_nothing_that_is_fitted(tmp_path):
    """A time of day, a text among numbers and a value of an ordinal occur in test rows only."""
    frame = pd.DataFrame(
        {
            "when": pd.Timestamp("2020-01-01") + pd.to_timedelta(RANDOM.integers(0, 300, N), "D"),
            "code": CHOICE * 2,
            "size": CHOICE * 2,
            "y": Y,
        }
    ).astype({"code": str, "size": str})
    kinds = ("+data.kinds.code=categorical", "+data.kinds.size=ordinal", "split=time")  # the last rows are the test
    before, _ = source(tmp_path, frame, *kinds, ending="parquet")
    settings, _ = compose("split=time")
    development, _ = settings.split(before())
    view = settings.prepare(development, 0)
    last = len(frame) - 1
    frame.loc[last, "when"] += pd.Timedelta(hours=6)
    frame.loc[last, "code"], frame.loc[last, "size"] = "x", "1"
    after, _ = source(tmp_path, frame, *kinds, ending="parquet")
    again = settings.prepare(settings.split(after())[0], 0)
    for first, second in zip(view.data.train, again.data.train, strict=True):
        np.testing.assert_array_equal(first, second)
    assert view.preprocessing.n_outputs == again.preprocessing.n_outputs
