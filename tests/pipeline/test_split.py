"""Every split on small data: the parts of each row, and what is refused. See test_split_folds.py for more folds."""

import itertools
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from running import compose

from nncore.inference.table import matrix_table
from pipeline.components.errors import SettingError
from pipeline.components.types import Dataset, RawRows
from pipeline.stages.split import Grouped, Holdout, Predefined, Stratified, TimeSplit

KFold = partial(Stratified)  # always with several folds, the others with one
EVERY = (Holdout, Stratified, Grouped, TimeSplit, KFold)
PARTS = ("test", "training", "validation")
KINDS = ("texts", "numbers", "multilabel", "regression")
TEXTS = np.array(["ash", "beech", "cedar"])


def targets(kind, n):
    random, count = np.random.default_rng(n), np.arange(n)
    return {
        "texts": TEXTS[count % 5 // 2],  # 2 ash, 2 beech, 1 cedar, and so on
        "numbers": count % 4 // 2 * 7 - 3,
        "multilabel": (random.random((n, 3)) < [0.5, 0.3, 0.1]).astype(float),
        "regression": np.exp(random.normal(size=(n, 2))),
    }[kind]


def one_cedar(row):
    return np.where(np.arange(60) == row, "cedar", TEXTS[np.arange(60) % 2])


def rows_of(y, weighted=False):
    """Rows whose x is the row number, and whose weight is the row number plus 0.5."""
    numbers = np.arange(len(y), dtype=float)
    return RawRows(matrix_table(numbers[:, None], ("number",)), np.asarray(y), numbers + 0.5 if weighted else None)


def make_dataset(y, weighted=False, **more):
    y = np.asarray(y)
    task = "classification" if y.ndim == 1 else "regression" if np.unique(y).size > 2 else "multilabel"
    return Dataset(task, ("t",) if y.ndim == 1 else ("t", "u", "v")[: y.shape[1]], rows_of(y, weighted), **more)


def data_for(cls, kind="regression", n=60, **more):
    return make_dataset(targets(kind, n), **({"groups": np.arange(n) * 7 % 12 if cls is Grouped else None} | more))


def split_by(cls, seed=3, test=0.2, validation=0.2, folds=3, repeats=2):
    more = {} if cls is TimeSplit else {"repeats": repeats if cls is KFold else 1}
    return cls(test=test, validation=validation, folds=folds if cls is KFold else 1, seed=seed, **more)


def numbers(part):
    return part.x.numbers[:, 0].astype(int)


def row_parts(split, dataset):
    """The row numbers of the test part, and of the training and validation parts of every fold."""
    development, test = split(dataset)
    folds = [tuple(numbers(part).tolist() for part in development.part(fold)) for fold in range(len(development.folds))]
    return numbers(test).tolist(), folds


def error_message(call, *arguments):
    with pytest.raises(SettingError, match=r"\A[^\n]+\Z") as caught:
        call(*arguments)
    return str(caught.value)


@pytest.mark.parametrize(("cls", "kind"), list(itertools.product(EVERY, KINDS)))
@settings(max_examples=12, deadline=None)
@given(n=st.integers(50, 150), seed=st.integers(0, 2**32), share=st.sampled_from([0.0, 0.1, 0.15, 0.2, 0.3]))
def test_every_row_is_in_one_part_and_parts_have_the_requested_sizes(cls, kind, n, seed, share):
    dataset = data_for(cls, kind, n, weighted=True)
    try:
        development, test = split_by(cls, seed, test=share, validation=0.2)(dataset)
    except SettingError as error:  # splitting by groups may remove a class, which is refused
        assume(cls is not Grouped or "leaves the training part without class" not in str(error))
        raise
    tested, (train, validation) = numbers(test), map(numbers, development.part(-1))
    for rising in (tested, train, validation, *itertools.chain(*development.folds)):
        assert (np.diff(rising) > 0).all()
    assert sorted(np.concatenate([tested, train, validation]).tolist()) == list(range(n))
    if cls is Grouped:
        assert [len(set(dataset.groups[part])) for part in (tested, validation)] == [round(share * 12), 2]
    else:
        assert len(tested) == round(share * n)
        expected_size = (n - len(tested)) / 3 if cls is KFold else round(0.2 * n)
        assert abs(len(validation) - expected_size) < 1
    for raw in (test, *development.part(0), development.rows):
        np.testing.assert_array_equal(raw.weights, numbers(raw) + 0.5)
        np.testing.assert_array_equal(raw.y, dataset.rows.y[numbers(raw)])


@pytest.mark.parametrize("cls", [Stratified, KFold])
@pytest.mark.parametrize("kind", ["texts", "numbers"])
@settings(max_examples=15, deadline=None)
@given(n=st.integers(60, 200), seed=st.integers(0, 999))
def test_classes_are_in_proportion_within_one_row(cls, kind, n, seed):
    y = targets(kind, n)
    tested, folds = row_parts(split_by(cls, seed), make_dataset(y))
    rest = np.setdiff1d(np.arange(n), tested)
    for label in np.unique(y):
        of_all, of_rest = (y == label).mean(), (y[rest] == label).mean()
        assert abs((y[tested] == label).sum() - of_all * len(tested)) < 1
        for part in itertools.chain(*folds):
            assert abs((y[part] == label).sum() - of_rest * len(part)) < (2 if cls is KFold else 1)


@pytest.mark.parametrize("cls", [Stratified, KFold])
@pytest.mark.parametrize(
    ("values", "counts"),
    [([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 0, 1]], [30, 50, 20, 1]), ([[0.0], [1], [2]], [50, 49, 1])],
)
def test_proportions_hold_when_a_set_of_labels_or_a_target_is_rare(cls, values, counts):
    y = np.repeat(values, counts, axis=0)
    tested, folds = row_parts(split_by(cls), make_dataset(y))
    for part in (tested, *itertools.chain(*folds)):
        for value, count in zip(values[:2], counts, strict=False):
            assert (y[part] == value).all(axis=1).sum() == pytest.approx(count / len(y) * len(part), abs=2)


def spread(cls, y):
    """The range of the target's means in the three parts, averaged over seeds."""
    splits = [row_parts(split_by(cls, seed), make_dataset(y)) for seed in range(20)]
    return np.mean([np.ptp([y[part].mean() for part in (test, *folds[0])]) for test, folds in splits])


def test_a_stratified_regression_has_low_and_high_targets_in_every_part():
    y = np.random.default_rng(0).normal(size=(300, 1))
    assert 0.1 < spread(Holdout, y) < 0.4  # the deviation of a mean of 60 is 0.13
    assert max(spread(Stratified, y), spread(KFold, y)) < spread(Holdout, y) / 3
    for split in (split_by(Stratified, test=0.05, validation=0.05), split_by(KFold, folds=10)):  # fewer strata
        _, ((_, validation), *_) = row_parts(split, make_dataset(y[:100]))
        assert 0.2 <= (y[validation] > np.median(y[:100])).mean() <= 0.8


@settings(max_examples=25, deadline=None)
@given(sizes=st.lists(st.integers(1, 30), min_size=10, max_size=20), seed=st.integers(0, 999))
def test_grouped_divides_no_group_and_takes_a_share_of_all_groups_of_any_size(sizes, seed):
    groups = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    tested, ((train, validation),) = row_parts(
        split_by(Grouped, seed), make_dataset(np.zeros((len(groups), 2)), groups=groups)
    )
    held = [set(groups[part]) for part in (tested, validation, train)]
    assert sorted(itertools.chain(*held)) == list(range(len(sizes)))
    assert len(held[0]) == len(held[1]) == round(0.2 * len(sizes))


@settings(max_examples=25, deadline=None)
@given(n=st.integers(30, 120), step=st.integers(1, 6), seed=st.integers(0, 999))
def test_time_trains_on_nothing_later_and_keeps_equal_times_together(n, step, seed):
    order = np.random.default_rng(seed).permutation(n)
    times = np.datetime64("2024-02-28", "us") + (order // step).astype("timedelta64[D]")
    tested, ((train, validation),) = row_parts(
        split_by(TimeSplit, seed), make_dataset(targets("regression", n), times=times)
    )
    assert (
        row_parts(split_by(TimeSplit, 1), make_dataset(targets("regression", n), times=times))[0] == tested
    )  # nothing is drawn
    assert times[train].max() < times[validation].min()
    assert times[validation].max() < times[tested].min()
    for part in (tested, validation):  # at most the rows with the time of the border are added
        assert round(0.2 * n) <= len(part) < round(0.2 * n) + step


@pytest.mark.parametrize("cls", EVERY)
@pytest.mark.parametrize("kind", KINDS)
def test_an_official_test_part_is_kept_and_the_share_has_no_effect(cls, kind):
    official = replace(rows_of(targets(kind, 33)), weights=np.full(33, 2.0))
    dataset = data_for(cls, kind, test=official)
    development, test = split_by(cls)(dataset)
    assert test is official
    np.testing.assert_array_equal(numbers(development.rows), np.arange(60))
    expected = row_parts(split_by(cls), dataset)
    assert expected == row_parts(split_by(cls, test=0.02), dataset) == row_parts(split_by(cls, test=0.7), dataset)
    assert len(expected[1][0][1]) in {KFold: range(17, 24), Grouped: [10]}.get(cls, [12])  # 2 of 12 groups


@pytest.mark.parametrize("cls", [Holdout, Stratified, Grouped, KFold])
def test_the_seed_alone_determines_the_rows(cls):
    dataset = data_for(cls)
    expected = row_parts(split_by(cls), dataset)
    np.random.seed(2)  # noqa: NPY002
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    assert row_parts(split_by(cls), dataset) == expected
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002
    for test, folds in (row_parts(split_by(cls, seed), dataset) for seed in (4, 5)):
        assert test != expected[0]
        assert folds[0][1] != expected[1][0][1]


GOLDEN = {  # the test part, and the validation part of every fold
    "holdout": ([0, 5, 13], [[7, 10, 11]]),
    "stratified": ([2, 3, 8], [[1, 9, 10]]),
    "grouped": ([4, 5, 12, 13], [[2, 3, 10, 11]]),
    "time": ([12, 13, 14], [[9, 10, 11]]),
    "k_fold": ([2, 3, 8], [[0, 6, 9, 11], [1, 10, 13, 14], [4, 5, 7, 12]]),
    "repeated_k_fold": (
        [2, 3, 8],
        [[0, 1, 6, 9, 10, 11], [4, 5, 7, 12, 13, 14], [4, 6, 9, 11, 13, 14], [0, 1, 5, 7, 10, 12]],
    ),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_the_rows_of_a_small_example(name):
    """Computed with NumPy 2 and scikit-learn 1.9: a change would mean that results are not reproducible."""
    few = {"k_fold": ["split.folds=3"], "repeated_k_fold": ["split.folds=2", "split.repeats=2"]}.get(name, [])
    split = compose(f"split={name}", "seed=1", *few)[0].split
    groups = np.arange(15) // 2 if name == "grouped" else None
    test, folds = row_parts(split, make_dataset(np.arange(15) % 2, groups=groups))
    assert (test, [validation for _, validation in folds]) == GOLDEN[name]


GROUPS = np.arange(60) % 4
SHARES = "split.validation=0.2 with split.test=0.2 "
FOLDS = "split.folds=3 with split.test=0.2 "


@pytest.mark.parametrize(
    ("cls", "dataset", "problem"),
    [
        (Holdout, make_dataset(targets("regression", 2)), "of 1 rows, 1 cannot be held out; choose smaller shares"),
        (TimeSplit, make_dataset(targets("regression", 1)), "of 1 rows, 1 cannot be held out"),
        (TimeSplit, data_for(TimeSplit, times=np.zeros(60)), "none of 60 rows is earlier than the last 12"),
        (TimeSplit, data_for(TimeSplit, times=np.arange(60) // 30), "none of 30 rows is earlier than the last 12"),
        (TimeSplit, data_for(TimeSplit, times=np.minimum(np.arange(60), 9)), "of 9 rows, 12 cannot be held out"),
        (Stratified, make_dataset(one_cedar(7)), "class cedar has only 1 row to divide"),
        (KFold, make_dataset(one_cedar(7)), "class cedar has only 1 row to divide"),
        (
            KFold,
            make_dataset([*targets("texts", 60), "oak", "oak"]),
            "a class with 2 rows cannot be divided among 3 folds",
        ),
        *((cls, data_for(cls, groups=GROUPS), "data.group is given, but") for cls in EVERY if cls is not Grouped),
        (Grouped, make_dataset(targets("texts", 60)), "split=grouped needs data.group"),
        (Grouped, data_for(Grouped, groups=GROUPS // 2), "of 1 groups, 1 cannot be held out"),
    ],
)
def test_what_the_data_do_not_allow_is_reported_in_one_line(cls, dataset, problem):
    settings_text = FOLDS if cls is KFold else SHARES
    assert error_message(split_by(cls), dataset).startswith(f"{settings_text}does not fit the data: {problem}")


def test_a_class_without_training_rows_is_named():
    official = rows_of(np.array(["ash", "oak"]))
    for cls in EVERY:
        unknown = "the test part has class oak, which no development row has: leave its rows out of the file"
        assert error_message(split_by(cls), data_for(cls, "texts", test=official)) == unknown
    split = split_by(Holdout)
    tested, ((train, validation),) = row_parts(split, make_dataset(one_cedar(60)))
    cure = "choose split=stratified or fewer folds, or leave rare classes out"
    lacking = f"{SHARES}leaves the training part without class cedar: {cure}"
    assert error_message(split, make_dataset(one_cedar(validation[0]))) == lacking
    assert error_message(split, make_dataset(one_cedar(tested[0]))).startswith(
        "the test part has class cedar, which no development row"
    )
    assert split(make_dataset(one_cedar(train[0])))[0].labels.tolist() == ["ash", "beech", "cedar"]


@pytest.mark.parametrize(("cls", "part"), [(Holdout, 0), (Holdout, 1), (Holdout, 2), (KFold, 2)])
def test_a_part_without_weight_is_refused(cls, part):
    split, dataset = split_by(cls, repeats=1), make_dataset(targets("numbers", 60), weighted=True)
    tested, folds = row_parts(split, dataset)
    rows, weights = (tested, *folds[-1])[part], dataset.rows.weights
    weights[rows[1:]] = 0
    assert split(dataset)[1].weights.sum() > 0  # one row is enough
    weights[rows] = 0
    settings_text, fold = (FOLDS, " of fold 3") if cls is KFold else (SHARES, "")
    assert error_message(split, dataset).startswith(
        f"{settings_text}leaves the {PARTS[part]} part{fold} with no row whose weight is"
    )


@pytest.mark.parametrize(("part", "rows"), [(1, slice(0, 36)), (2, slice(36, 48)), (0, slice(48, 60))])
def test_a_part_whose_targets_are_equal_is_refused(part, rows):
    split, y = split_by(TimeSplit), targets("regression", 60)
    y[rows, 1] = 5  # the second of two targets
    assert error_message(split, make_dataset(y)).startswith(
        f"{SHARES}leaves the {PARTS[part]} part with targets that are all eq"
    )
    y[rows.start, 1] = 6
    assert len(split(make_dataset(y))[1]) == 12


@pytest.mark.parametrize(
    ("split", "setting", "expected"),
    [
        ("k_fold", "folds=0", "split.folds = 0"),
        ("repeated_k_fold", "repeats=51", "repeats must be at most 50, but is 51"),
        ("holdout", "validation=0.8", "validation + test must be below 1"),
        ("holdout", "test=-0.1", "split.test"),
        ("holdout", "test=1", "split.test"),
    ],
)
def test_settings_that_fit_no_data_are_refused_at_once(split, setting, expected):
    assert expected in error_message(compose, f"split={split}", f"split.{setting}")


def test_predefined_folds_are_the_values_of_the_column():
    groups = np.array(["b", "a", "c"])[np.arange(60) % 3]
    settings = {"validation": 0.2, "repeats": 1, "seed": 3}
    dataset = make_dataset(targets("numbers", 60), groups=groups)
    development, test = Predefined(test=0, folds=3, **settings)(dataset)
    assert len(test) == 0
    for fold, name in zip(development.folds, "abc", strict=True):
        assert set(groups[fold.validation]) == {name}
        np.testing.assert_array_equal(np.sort([*fold.train, *fold.validation]), np.arange(60))
    development, test = Predefined(test=0.2, folds=3, **settings)(dataset)
    assert (len(development.rows), len(test)) == (48, 12)
    with pytest.raises(SettingError, match=r"give split\.folds=3"):
        Predefined(test=0, folds=4, **settings)(dataset)
    with pytest.raises(SettingError, match=r"needs split\.folds"):
        Predefined(test=0, folds=1, **settings)(dataset)
    with pytest.raises(SettingError, match=r"needs data\.group"):
        Predefined(test=0, folds=3, **settings)(make_dataset(targets("numbers", 60)))
