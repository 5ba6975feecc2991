"""Which rows of a table are used, and identity: groups, filters and times are exact; counts and rare classes."""

import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from running import compose, slow_after_first

from pipeline.components.errors import SettingError
from pipeline.data.targets import are_counts, min_class_rows

N = 60
RANDOM = np.random.default_rng(0)
A = RANDOM.normal(size=N).round(3)
Y = np.array(["yes", "no"])[np.arange(N) % 2]
BASE = 89014103211118510000  # float64 has steps of 16384 here


def load(path, *overrides):
    kind = "parquet" if str(path).endswith(".parquet") else "csv"
    target = () if any(text.startswith("data.target") for text in overrides) else ("data.target=y",)
    settings, _ = compose(f"data={kind}", f"data.path={path}", "preset=none", *target, *overrides)
    return settings.data()


def write(folder, ending="csv", **columns):
    path = folder / f"t.{ending}"
    if ending == "csv":
        pd.DataFrame({"a": A[: len(next(iter(columns.values())))], **columns}).to_csv(path, index=False)
    else:
        pa.parquet.write_table(pa.table({"a": A, **columns}), path)
    return path


# identity

IDS = {
    "20 digits": [BASE + row // 2 for row in range(N)],
    "19 digits": [2**62 + row // 2 for row in range(N)],
    "fractions": [f"1700000000.{123456789 + row // 2}" for row in range(N)],
    "digits with gaps elsewhere": [f"{2**60 + row // 2}" for row in range(N)],
}


@pytest.mark.parametrize("name", IDS)
def test_groups_are_exact(name, tmp_path):
    dataset = load(write(tmp_path, g=IDS[name], y=Y), "data.group=g", "split=grouped")
    assert dataset.groups.tolist() == [row // 2 for row in range(N)]
    assert len(dataset.rows.x.columns) == 1


@pytest.mark.parametrize(
    "values",
    [
        pa.array([Decimal(BASE + row // 2) for row in range(N)], pa.decimal128(30)),
        pa.array([2**63 + row // 2 for row in range(N)], pa.uint64()),
        pa.array([(BASE + row // 2).to_bytes(16, "big") for row in range(N)], pa.binary(16)),
        pa.array([str(BASE + row // 2) for row in range(N)], pa.string_view()),
        pa.array([datetime.time(12, 0, 0, row // 2) for row in range(N)], pa.time64("us")),
        pa.array([f"user {row // 2}" for row in range(N)]).dictionary_encode(),
    ],
    ids=lambda values: str(values.type),
)
def test_groups_of_every_type_are_exact(values, tmp_path):
    dataset = load(write(tmp_path, "parquet", g=values, y=Y), "data.group=g", "split=grouped")
    assert dataset.groups.tolist() == [row // 2 for row in range(N)]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_conditions_are_exact(ending, tmp_path):
    ids = [BASE + row % 4 for row in range(N)]
    column = ids if ending == "csv" else pa.array(map(Decimal, ids), pa.decimal128(30))
    path = write(tmp_path, ending, g=column, y=np.array(["p", "q"])[RANDOM.integers(0, 2, N)])
    for wanted in (f"{BASE + 1}", f"'{BASE + 1}'"):
        dataset = load(path, f"+data.where.g={wanted}", "data.drop=[g]")
        np.testing.assert_array_equal(dataset.rows.x.numbers[:, 0], A[1::4])


def test_conditions_on_numbers_take_every_notation(tmp_path):
    values = ["2.020000000000000000e+03", "2020", "2020.0", "2019.5"] * 15
    path = write(tmp_path, year=values, y=np.array(["p", "q"])[RANDOM.integers(0, 2, N)])
    dataset = load(path, "+data.where.year=2020")
    assert len(dataset.rows) == 45
    assert len(load(path, "+data.where.year=[2020,2019.5]").rows) == N


TIMES = {
    "nanoseconds": [1_700_000_000_000_000_000 + row for row in range(N)],
    "20 digits": [BASE + row for row in range(N)],
    "Unix time with fractions": [f"1700000000.{100000000 + row}" for row in range(N)],
    "texts with nanoseconds": [f"2020-01-01T12:00:00.{100000000 + row}" for row in range(N)],
    "dates": [str(np.datetime64("2020-01-01") + row) for row in range(N)],
}


@pytest.mark.parametrize("name", TIMES)
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_times_are_exact(name, ending, tmp_path):
    order = RANDOM.permutation(N)
    times = np.array(TIMES[name], dtype=object)[order].tolist()
    if name == "20 digits" and ending == "parquet":
        times = pa.array(map(Decimal, times), pa.decimal128(30))
    dataset = load(write(tmp_path, ending, t=times, y=Y), "data.time=t", "split=time")
    assert dataset.times.tolist() == order.tolist()


def test_times_of_arrows_types_are_exact(tmp_path):
    order = RANDOM.permutation(N)
    days = pa.array(order.astype(np.int32)).cast(pa.date32())
    moments = [pa.array(order + 10**18, pa.timestamp("ns")), pa.array(order, pa.timestamp("us", "Europe/Berlin"))]
    for values in (days, *moments, pa.array(order + 0.5)):
        dataset = load(write(tmp_path, "parquet", t=values, y=Y), "data.time=t", "split=time")
        assert dataset.times.tolist() == order.tolist()


def test_a_time_that_cannot_be_read_is_named(tmp_path):
    path = write(tmp_path, t=[*TIMES["dates"][:-1], "later"], y=Y)
    with pytest.raises(SettingError, match=r"'t', data.time, has 'later' in row 60"):
        load(path, "data.time=t", "split=time")


def test_weights_are_float64_whatever_their_type(tmp_path):
    weights = RANDOM.uniform(size=N)
    dataset = load(write(tmp_path, "parquet", w=pa.array(weights, pa.float32()), y=Y), "data.weight=w")
    assert dataset.rows.weights.dtype == np.float64
    np.testing.assert_array_equal(dataset.rows.weights, weights.astype(np.float32))
    decimals = pa.array([Decimal(f"{weight:.12f}") for weight in weights], pa.decimal128(20, 12))
    dataset = load(write(tmp_path, "parquet", w=decimals, y=Y), "data.weight=w")
    np.testing.assert_array_equal(dataset.rows.weights, weights.round(12))


# rows without a target


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("values", "task"),
    [(Y, "classification"), (A, "regression"), (np.arange(N) % 3, "classification"), (np.arange(N) % 2 == 0, None)],
)
def test_rows_without_a_target_are_left_out(values, task, ending, tmp_path):
    gaps = [3, 4, 40]
    targets = [None if row in gaps else value for row, value in enumerate(values.tolist())]
    words = ["w", *["u", "v"] * 30][:N]
    path = write(
        tmp_path, ending, c=words, y=pd.array(targets).to_numpy(object) if ending == "csv" else pa.array(targets)
    )
    dataset = load(path)
    kept = np.setdiff1d(np.arange(N), gaps)
    expected = values[kept].tolist()
    assert dataset.task == (task or "classification")
    assert dataset.rows.y.ravel().tolist() == expected
    np.testing.assert_array_equal(dataset.rows.x.numbers[:, 0], A[kept])
    (words_column, codes) = dataset.rows.x.column_values[1]
    assert words_column.show(codes) == [words[row] for row in kept]
    assert dataset.notes[0].startswith("3 rows without a target left out, the first is row 4;")
    with pytest.raises(SettingError, match=r"has no value in row 4 \(3 such rows\); set data.missing_target=drop"):
        load(path, "data.missing_target=refuse")


def test_a_row_needs_all_of_several_targets(tmp_path):
    u, v = A.copy(), A[::-1].copy()
    u[2], v[5] = np.nan, np.nan
    dataset = load(write(tmp_path, u=u, v=v, w=np.arange(N) + 1.0), "data.target=[u,v]", "data.weight=w")
    kept = np.setdiff1d(np.arange(N), [2, 5])
    np.testing.assert_array_equal(dataset.rows.y, np.stack([u, v], axis=1)[kept])
    np.testing.assert_array_equal(dataset.rows.weights, kept + 1)


def test_long_integers_as_classes_are_exact_although_some_are_missing(tmp_path):
    classes = [None if row == 7 else 2**60 + row % 2 for row in range(N)]
    dataset = load(write(tmp_path, "parquet", y=pa.array(classes)))
    assert dataset.rows.y.tolist() == [value for value in classes if value is not None]


def test_a_target_without_values_is_refused(tmp_path):
    with pytest.raises(SettingError, match="the target 'y' has no value in any row"):
        load(write(tmp_path, y=[None] * N))


def test_rows_of_a_test_file_without_a_target_are_left_out(tmp_path):
    path = write(tmp_path, y=Y)
    pd.DataFrame({"a": A, "y": [None, *Y[1:]]}).to_csv(tmp_path / "test.csv", index=False)
    dataset = load(path, f"data.test={tmp_path}/test.csv")
    assert len(dataset.test) == N - 1
    assert dataset.notes[-1].startswith("1 row of the test file without a target left out, the first is row 1;")


# rare classes


def test_rows_of_rare_classes_are_left_out_joined_or_refused(tmp_path):
    y = ["rare", "odd", "odd", *Y[3:]]
    path = write(tmp_path, y=y)
    dataset = load(path)
    assert dataset.rows.y.tolist() == y[3:]
    assert dataset.notes[0].startswith("3 rows of 2 rare classes (odd, rare) left out: fewer than 3 rows each")
    assert "folds" not in dataset.notes[0]  # two folds need three rows of a class, too
    assert "or fewer folds, such as split.folds=2" in load(path, "split.folds=4").notes[0]
    joined = load(path, "data.rare_classes=join")
    assert joined.rows.y.tolist() == ["other"] * 3 + y[3:]
    assert "joined into the class 'other'" in joined.notes[0]
    with pytest.raises(SettingError, match=r"fewer than 3 rows of class odd, .* data.rare_classes=drop"):
        load(path, "data.rare_classes=refuse")
    assert len(load(path, "data.min_class_rows=2").rows) == N - 1
    y[0] = "yes"  # now the rare rows together are rare, too
    assert load(write(tmp_path, y=y), "data.rare_classes=join").rows.y.tolist() == [y[0], *y[3:]]


def test_the_note_on_rare_integers_names_the_task(tmp_path):
    dataset = load(write(tmp_path, y=[7, *(np.arange(N - 1) % 3)]))
    assert dataset.task == "classification"
    assert dataset.notes[0].endswith("data.task=regression if it is a number to predict")


def test_rare_classes_of_a_test_file_are_treated_alike(tmp_path):
    path = write(tmp_path, y=["rare", *Y[1:]])
    pd.DataFrame({"a": A[:20], "y": ["rare", "yes"] * 10}).to_csv(tmp_path / "test.csv", index=False)
    dataset = load(path, f"data.test={tmp_path}/test.csv")
    assert dataset.test.y.tolist() == ["yes"] * 10
    assert dataset.notes[-1].startswith("10 rows of the test file of 1 rare class (rare) left out")


@pytest.mark.parametrize("folds", slow_after_first([2, 3, 5, 10]))
@pytest.mark.parametrize("test", slow_after_first([0.1, 0.2, 0.25, 0.5]))
def test_classes_with_as_many_rows_as_the_rule_asks_for_can_be_split(folds, test, tmp_path):
    """Whatever the number of other rows."""
    least = min_class_rows(None, test, folds)
    (tmp_path / "t.csv").write_text("a,y\n0,few\n1,many\n")
    settings, _ = compose("data=csv", f"data.path={tmp_path}/t.csv", "data.target=y", f"split.test={test}",
                          f"split.folds={folds}")  # fmt: skip
    for n_others in (80, 81, 83, 87, 96):
        y = ["few"] * least + ["many"] * n_others
        pd.DataFrame({"a": np.arange(len(y)), "y": y}).to_csv(tmp_path / "t.csv", index=False)
        dataset = settings.data()
        assert len(dataset.rows) == len(y)
        assert settings.data.min_class_rows == least
        settings.split(dataset)
    assert min_class_rows(None, test, folds) <= (folds + 2) / (1 - test) + 1  # and it asks for no more than it needs


def test_impossible_splits_cost_no_time():
    assert min_class_rows(None, 0.2, 10**9) > 10**9
    assert min_class_rows(None, 1.5, 5) == min_class_rows(None, "x", 5) == 3
    assert min_class_rows("test.csv", 0.2, 5) == 5


# counts


@pytest.mark.parametrize("rate", [1, 2, 4])
@pytest.mark.parametrize("n", [60, 200, 1000, 10_000])
def test_poisson_numbers_are_counts(rate, n):
    """With five different ones, as the rule asks for."""
    samples = [np.random.default_rng(seed).poisson(rate, n) for seed in range(40)]
    are = [are_counts(sample) for sample in samples if len(np.unique(sample)) >= 5]
    assert np.mean(are) >= 0.7


@pytest.mark.parametrize(
    "n_rows",
    [
        [50, 50, 50],
        [20] * 10,
        [6] * 10,
        [41, 20, 5, 13, 4, 8, 10],  # the zoo
        [70, 76, 17, 13, 9, 29],  # glass
        [45586, 50, 171, 8903, 3267, 10, 13],  # the space shuttle
        [211840, 283301, 35754, 2747, 9493, 17367, 20510],  # kinds of forest
        [10, 53, 681, 638, 199, 18],  # wine
        [100, 30, 3, 1],
        [59, 1],
    ],
)
def test_class_numbers_are_no_counts(n_rows):
    assert not are_counts(np.repeat(np.arange(len(n_rows)), n_rows))


def test_many_rare_values_are_counts():
    assert are_counts(np.repeat([0, 1, 2, 5, 10, 20, 50], [30, 12, 8, 5, 3, 1, 1]))
    assert are_counts(np.arange(30) % 15)  # two rows each
    assert not are_counts(np.array(["a", "b"]))


def test_counts_are_a_regression_with_a_note(tmp_path):
    counts = np.repeat([0, 1, 2, 5, 7, 8], [20, 18, 12, 7, 2, 1])
    path = write(tmp_path, y=counts)
    dataset = load(path)
    assert dataset.task == "regression"
    assert "data.task=classification" in dataset.notes[0]
    declared = load(path, "data.task=classification")
    assert (declared.task, len(declared.rows)) == ("classification", 57)
    assert load(path, "data.task=regression").notes == ()


def test_a_column_of_too_many_texts_is_left_out_with_a_note_and_a_setting(tmp_path):
    rows = [f"job {i},{i % 7},{'ab'[i % 2]}" for i in range(60)]
    (tmp_path / "t.csv").write_text("\n".join(["title,n,y", *rows]))
    few = (tmp_path / "t.csv", "data.max_levels=50")
    dataset = load(*few)
    assert [column.name for column in dataset.rows.x.columns] == ["n"]
    (note,) = [note for note in dataset.notes if "title" in note]
    assert "1 column (title) left out: more than data.max_levels=50 different texts; data.max_levels=60 learns" in note
    with pytest.raises(SettingError, match=r"'title' has 60 different texts, but data.max_levels is 50"):
        load(*few, "data.many_levels=refuse")
    kept = load(tmp_path / "t.csv", "data.max_levels=60")
    assert [column.name for column in kept.rows.x.columns] == ["title", "n"]
    with pytest.raises(SettingError, match="'title' has 60 different texts"):
        load(*few, "data.drop=[n]")  # nothing else is left
