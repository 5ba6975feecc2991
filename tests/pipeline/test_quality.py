"""Warnings about the data: each on tables where the truth is known, and none on others."""

import json
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from running import FEW, compose, read_summary, run_sweep

from nncore.inference.spelling import Spelling
from nncore.inference.table import Column, Table, matrix_table
from pipeline.cli.dispatch import dispatch
from pipeline.components.errors import SettingError
from pipeline.components.types import Dataset, RawRows
from pipeline.data.bundled import KNOWN
from pipeline.data.quality import data_warnings, duplicates, duplicates_across, identifiers, leaks, shift
from pipeline.stages.load import split_dataset
from pipeline.stages.split import Stratified

SPLIT = Stratified(test=0.2, validation=0.2, folds=1, seed=0, repeats=1)
N = 400


def dataset(columns, y, task="classification", **more):
    """A data set of columns by name: numbers, or texts."""
    numbers, codes, described = [], [], []
    for name, values in columns.items():
        values = np.asarray(values)
        if values.dtype.kind == "U":
            levels, code = np.unique(values, return_inverse=True)
            described.append(Column(name, "categorical", "string", tuple(levels.tolist())))
            codes.append(code.astype(np.int32))
        else:
            described.append(Column(name))
            numbers.append(values.astype(np.float64))
    n = len(y)
    table = Table(
        tuple(described),
        np.stack(numbers, axis=1) if numbers else np.empty((n, 0)),
        np.stack(codes, axis=1) if codes else np.empty((n, 0), np.int32),
    )
    y = np.asarray(y) if task == "classification" else np.asarray(y, np.float64).reshape(n, -1)
    return Dataset(task, ("y",), RawRows(table, y), **more)


def warned(data):
    *_, report = split_dataset(SPLIT, data)
    return tuple(warning.text for warning in report.warnings)


def drawn(seed=0, n=N, **columns):
    """A table of two columns that say a little about two classes."""
    random = np.random.default_rng(seed)
    y = random.integers(0, 2, n)
    table = {"a": random.normal(size=n) + y, "b": random.normal(size=n)}
    return table | {name: make(random, y) for name, make in columns.items()}, y


@pytest.mark.parametrize("name", KNOWN)
def test_the_bundled_sets_give_no_warning(name):
    settings, _ = compose(f"data={name}")
    *_, report = split_dataset(settings.split, settings.data())
    assert report.warnings == ()


IDENTIFIERS = {
    "numbers in order": ("number", lambda random, y: np.arange(N), "different whole number in each of 400 rows"),
    "numbers at random": (
        "number",
        lambda random, y: random.permutation(10**6)[:N],
        "different whole number in each of 400",
    ),
    "texts": ("who", lambda random, y: [f"u{i}" for i in range(N)], "different text in each of 400 rows"),
    "by its name": ("patient_id", lambda random, y: random.integers(0, 90, N), "looks like an identifier"),
    "camel case": ("customerId", lambda random, y: random.integers(0, 90, N), "looks like an identifier"),
    "a code": ("zip", lambda random, y: random.integers(10_000, 10_050, N), "looks like a code"),
    "a German code": ("PLZ", lambda random, y: random.integers(10_000, 10_050, N), "looks like a code"),
}


@pytest.mark.parametrize("case", IDENTIFIERS)
def test_identifiers_and_codes_are_named(case):
    name, make, words = IDENTIFIERS[case]
    (text,) = warned(dataset(*drawn(**{name: make})))
    assert text.startswith(f"column {name!r} ")
    assert words in text
    assert f"data.drop=[{name}]" in text


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("fractions", lambda random, y: random.permutation(N) / 7),
        ("counts", lambda random, y: random.integers(0, 300, N)),
        ("paid", lambda random, y: random.integers(0, 50, N)),  # ends with the letters of id
        ("texts", lambda random, y: [f"u{i // 2}" for i in range(N)]),
        ("zip", lambda random, y: [f"{i % 9}A" for i in range(N)]),  # declared or read as text
        ("is_valid", lambda random, y: random.integers(0, 2, N)),
    ],
)
def test_columns_that_are_no_identifiers_are_not_named(name, make):
    assert warned(dataset(*drawn(**{name: make}))) == ()


def test_several_columns_of_different_whole_numbers_have_one_warning():
    data = dataset(
        *drawn(
            ids=lambda random, y: np.arange(N),
            births=lambda random, y: random.permutation(10**6)[:N],
            change=lambda random, y: random.permutation(10**6)[:N] - 500_000,  # identifiers are not negative
        )
    )
    (text,) = warned(data)
    assert text.startswith("columns 'ids', 'births' have a different whole number in each of 400 rows")
    assert text.endswith("'data.drop=[ids,births]'")


@pytest.mark.parametrize("code", [999, -99, 9, 98])
def test_codes_for_missing_values_are_named(code):
    def answers(random, y):
        return np.where(np.arange(N) < 7, code, random.integers(1, 4, N))

    (text,) = warned(dataset(*drawn(q=answers)))
    assert text.startswith(f"column 'q' has {code} in 7 rows, and else numbers from 1 to 3; ")
    assert text.endswith(f"""'data.missing=["",NA,"{code}"]'""")


@pytest.mark.parametrize(
    "make",
    [
        lambda random, y: np.where(np.arange(N) < 2, 999, random.integers(1, 4, N)),  # in too few rows
        lambda random, y: np.where(np.arange(N) < 7, 99, random.integers(1, 99, N)),  # in line with others
        lambda random, y: np.where(np.arange(N) < 7, 1000, random.integers(1, 4, N)),  # no code
        lambda random, y: np.where(np.arange(N) < 7, 9, 1),  # a choice of two
    ],
)
def test_numbers_that_are_no_codes_for_missing_values_are_not_named(make):
    assert warned(dataset(*drawn(q=make))) == ()


@pytest.mark.parametrize("spelling", [Spelling(units=(("$", 0),)), Spelling(thousands=",")])
def test_amounts_with_a_unit_or_thousands_signs_are_no_identifiers(spelling):
    data = dataset(*drawn(price=lambda random, y: random.permutation(10**6)[:N]))
    assert "'price'" in warned(data)[0]
    *others, price = data.rows.x.columns
    table = replace(data.rows.x, columns=(*others, replace(price, spelling=spelling)))
    assert warned(replace(data, rows=replace(data.rows, x=table))) == ()


LEAKS = {
    "a copy": lambda random, y: y * 3.0,
    "a noisy copy": lambda random, y: y + random.normal(0, 0.1, N),
    "the class as text": lambda random, y: np.array(["no", "yes"])[y],
    "a value only for one class": lambda random, y: np.where(y, random.normal(size=N), np.nan),
    "intervals": lambda random, y: random.integers(0, 6, N) * 2 + y + random.uniform(0, 0.5, N),
    "one wrong in a hundred": lambda random, y: np.where(random.random(N) < 0.01, 1 - y, y),
}


@pytest.mark.parametrize("case", LEAKS)
def test_a_column_that_alone_predicts_the_target_is_named(case):
    (text,) = warned(dataset(*drawn(leak=LEAKS[case])))
    assert text.startswith("column 'leak' alone predicts the target almost perfectly (accuracy ")
    assert "'data.drop=[leak]'" in text


def test_leaks_are_named_in_regressions_with_many_classes_and_with_rare_ones():
    random = np.random.default_rng(0)
    x = random.normal(size=(N, 3))
    y = x @ [1.0, 0.5, 0.2] + random.normal(0, 0.5, N)
    (text,) = warned(dataset({"a": x[:, 0], "b": x[:, 1], "euro": y * 1.1 + 3}, y, "regression"))
    assert text.startswith("column 'euro' alone predicts the target almost perfectly (R2 0.9")
    y = random.integers(0, 40, 4000)
    (text,) = warned(dataset({"a": random.normal(size=4000), "leak": y * 10.0}, y))
    assert text.startswith("column 'leak' alone")
    y = (random.random(4000) < 0.01).astype(int)
    (text,) = warned(dataset({"a": random.normal(size=4000), "leak": y + random.normal(0, 0.1, 4000)}, y))
    assert text.startswith("column 'leak' alone")
    assert warned(dataset({"a": random.normal(size=4000), "b": random.normal(size=4000)}, y)) == ()  # 99 % are right


def test_two_leaks_are_named_both_and_columns_that_are_all_good_are_not():
    columns, y = drawn(one=LEAKS["a copy"], two=LEAKS["the class as text"])
    names = [text.split("'")[1] for text in warned(dataset(columns, y))]
    assert sorted(names) == ["one", "two"]
    random = np.random.default_rng(0)
    y = random.integers(0, 2, N)
    assert warned(dataset({f"x{i}": y + random.normal(0, 0.1, N) for i in range(4)}, y)) == ()


def test_the_targets_of_test_rows_are_not_looked_at():
    columns, y = drawn(leak=LEAKS["a copy"])
    data = dataset(columns, y)
    development, test, report = split_dataset(SPLIT, data)
    hidden = replace(test, y=None, weights=None)
    assert data_warnings(data, development, hidden, True) == report.warnings != ()


def test_duplicate_rows_are_counted_and_those_across_the_split():
    columns, y = drawn(n=N)
    repeat = np.r_[np.arange(N), np.arange(60)]
    data = dataset({name: values[repeat] for name, values in columns.items()}, y[repeat])
    development, test, report = split_dataset(SPLIT, data)
    shown = [
        text for _, _, text in report.warnings if "repeat an earlier row" in text or "as a development row" in text
    ]
    rows = pd.DataFrame(development.rows.x.numbers).assign(y=development.rows.y)
    assert shown[0].startswith(f"{rows.duplicated().sum()} of {len(rows)} development rows")
    keys = {tuple(row) for row in development.rows.x.numbers}
    n_across = sum(tuple(row) in keys for row in test.x.numbers)
    assert shown[1].startswith(f"{n_across} of {len(test)} test rows")
    assert len(report.warnings) == 2


def test_missing_values_and_negative_zeros_do_not_hide_duplicates():
    x = np.random.default_rng(0).normal(size=(100, 2))
    x[:, 1] = np.where(x[:, 1] > 0, np.nan, 0.0)
    again = np.where(x == 0, -0.0, x)
    table = matrix_table(np.concatenate([x, again]), ("a", "b"))
    ((_, _, text),) = duplicates(table, np.zeros(200))
    assert text.startswith("100 of 200 development rows (50.0%) repeat an earlier row")
    ((_, _, text),) = duplicates_across(matrix_table(x, ("a", "b")), matrix_table(again, ("a", "b")))
    assert text.startswith("100 of 100 test rows (100.0%)")


def test_rows_of_few_values_that_are_equal_by_chance_are_no_duplicates():
    random = np.random.default_rng(0)
    columns = {f"x{i}": random.integers(0, 3, N) for i in range(4)}
    assert warned(dataset(columns, random.integers(0, 2, N))) == ()


def test_an_official_test_part_of_another_kind_is_named_with_the_column():
    columns, y = drawn()
    same, same_y = drawn(1)
    test = dataset(same, same_y).rows
    assert warned(dataset(columns, y, test=test)) == ()
    shifted = dataset(same | {"b": same["b"] + 3}, same_y).rows
    (text,) = warned(dataset(columns, y, test=shifted))
    assert "differs from the training file" in text
    assert "most clearly by column 'b'" in text
    gone = dataset(same | {"b": np.full(N, np.nan)}, same_y).rows
    (text,) = warned(dataset(columns, y, test=gone))
    assert "column 'b'" in text


def test_a_shift_that_no_column_shows_alone_is_found():
    """Correlated columns in one part, independent ones in the other."""
    random = np.random.default_rng(0)
    a, b = random.normal(size=(2, 1000))
    one, other = np.stack([a, a + b / 10], axis=1), np.stack([a, b], axis=1)
    ((_, _, text),) = shift(matrix_table(one, ("a", "b")), matrix_table(other, ("a", "b")))
    assert "differs from the training file" in text


FRAME = pd.DataFrame(
    {
        "sold": pd.date_range("2020-01-01", periods=120).strftime("%Y-%m-%d"),
        "note": [f"text {i}" for i in range(120)],
        "area": np.random.default_rng(0).normal(size=120).round(3),
    }
).assign(y=lambda frame: np.where(frame.area + np.random.default_rng(1).normal(size=120) > 0, "yes", "no"))


@pytest.fixture
def file(tmp_path):
    FRAME.to_csv(tmp_path / "t.csv", index=False)
    return ("data=csv", f"data.path={tmp_path}/t.csv", "data.target=y", "preset=none")


def test_dates_with_a_random_split_are_named(file):
    for overrides, words in (
        ((), "column 'sold' holds dates"),
        (("data.time=sold",), "data.time is given, but the split is random"),
        (("data.time=sold", "split=time"), None),
        (("split=time",), None),
    ):
        settings, _ = compose(*file, "data.drop=[note]", *overrides)
        *_, report = split_dataset(settings.split, settings.data())
        assert [warning.text.startswith(words) for warning in report.warnings] == ([True] if words else [])


@pytest.mark.slow
def test_warnings_are_shown_at_the_start_and_the_end_and_are_in_every_file(file, tmp_path, capsys):
    few = (*FEW, "tracking=none", "execution=local", "training.epochs=2", f"runs={tmp_path}/runs")
    dispatch([*file, *few], time.monotonic())
    printed = capsys.readouterr().out
    expected = {
        "column 'note' has a different text in each of 120 rows": "'data.drop=[note]'",
        "column 'sold' holds dates, but the split is random": "data.time=sold split=time",
        "column 'note' says nothing after preparation: all its 120 texts": "'data.drop=[note]'",
    }
    summary = read_summary(tmp_path)
    (folder,) = tmp_path.glob("runs/t/*")
    card = json.loads((folder / "data_card.json").read_text())
    assert card["warnings"] == summary["data_warnings"]
    found = [("identifier", ["note"]), ("dates", ["sold"]), ("rare_texts", ["note"])]
    assert [(finding["kind"], finding["columns"]) for finding in summary["data_findings"]] == found
    report = (folder / "report.html").read_text()
    assert len(summary["data_warnings"]) == len(expected)
    for fact, cure in expected.items():
        (text,) = (text for text in summary["data_warnings"] if text.startswith(fact))
        assert cure in text
        assert f"warning: {text}\n" in printed
        (line,) = (line for line in printed.splitlines() if line.startswith("warning ") and fact in line)
        assert cure not in line
        assert fact.replace("'", "&#39;") in report


def test_warnings_change_no_result(file, tmp_path, monkeypatch):
    first = run_sweep(tmp_path / "a", *file, *FEW)
    monkeypatch.setattr("pipeline.stages.load.data_warnings", lambda *arguments: ())
    second = run_sweep(tmp_path / "b", *file, *FEW, "cache=none")
    assert first["digest"] == second["digest"]
    assert len(first["data_warnings"]) > len(second["data_warnings"])


def test_a_table_of_which_nothing_is_left_is_refused(file, tmp_path):
    with pytest.raises(SettingError, match=r"nothing is left to learn from .*'note'.* prepare\.min_frequency=1"):
        run_sweep(tmp_path, *file, *FEW, "data.keep=[note]")
    run_sweep(tmp_path, *file, *FEW, "data.keep=[note]", "prepare.min_frequency=1")


@pytest.mark.slow
def test_warnings_take_a_second_for_100_000_rows_of_50_columns():
    random = np.random.default_rng(0)
    x = random.normal(size=(100_000, 50))
    x[:, 7] = np.round(x[:, 7])
    y = (x[:, 0] + random.normal(size=len(x)) > 0).astype(int)
    data = Dataset("classification", ("y",), RawRows(matrix_table(x, tuple(f"x{i}" for i in range(50))), y))
    development, test = SPLIT(data)
    data_warnings(data, development, test, True)  # imports
    seconds = []
    for _ in range(3):
        began = time.process_time()
        assert data_warnings(data, development, test, True) == ()
        seconds.append(time.process_time() - began)
    assert min(seconds) < 1.5


@pytest.mark.nightly
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_random_tables_give_hardly_any_warning(task):
    """100 tables each of mixed columns that say a little: at most 2 have a warning, 0 of them that of a leak."""
    n_warned = 0
    for seed in range(100):
        random = np.random.default_rng(seed)
        n, n_columns = int(random.choice([60, 200, 1000])), int(random.integers(2, 12))
        signal = random.normal(size=n)
        columns = {}
        for number in range(n_columns):
            values = random.normal(size=n) + signal * random.uniform(0, 1)
            kind = random.integers(0, 4)
            columns[f"x{number}"] = [values, np.round(values * 4), values.round(1), (values > 0).astype(int)][kind]
            if kind == 3 and random.random() < 0.5:
                columns[f"x{number}"] = np.array(["a", "b", "c"])[np.digitize(values, [-1, 1])]
        y = signal if task == "regression" else np.digitize(signal, [-0.5, 0.8])
        data = dataset(columns, y, task)
        texts = warned(data)
        assert not any("alone predicts" in text for text in texts), (seed, texts)
        n_warned += bool(texts)
    assert n_warned <= 2


@pytest.mark.nightly
def test_official_test_parts_of_the_same_kind_give_no_warning():
    for seed in range(200):
        columns, y = drawn(seed, n=60 + seed)
        rows = dataset(columns, y).rows
        order = np.random.default_rng(seed).permutation(len(y))
        data = Dataset("classification", ("y",), rows.take(order[30:]), test=rows.take(order[:30]))
        assert warned(data) == ()


def test_tables_without_enough_rows_or_columns_give_no_warning():
    small = matrix_table(np.arange(10.0)[:, None], ("id",))
    assert list(identifiers(small)) == []
    assert list(leaks("classification", small, np.arange(10)[:, None] % 2)) == []
