"""Several folds of every split: each row's part, equal sizes, classes, groups and times."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from running import compose, slow_after_first
from test_split import KINDS, data_for, error_message, make_dataset, row_parts, targets

from pipeline.stages.split import Grouped, Holdout, Stratified, TimeSplit

DRAWN = (Holdout, Stratified, Grouped)


def split_by(cls, folds, repeats=1, seed=3, validation=0.2):
    more = {} if cls is TimeSplit else {"repeats": repeats}
    return cls(test=0.2, validation=validation, folds=folds, seed=seed, **more)


@pytest.mark.parametrize("cls", DRAWN)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("folds", "repeats"), [(2, 1), (5, 1), (4, 3)])
def test_each_development_row_is_validated_once_per_repeat(kind, folds, repeats, cls):
    groups = np.arange(100) * 7 % (23 if cls is Grouped else 100)
    dataset = data_for(cls, kind, 100, groups=groups if cls is Grouped else None)
    tested, splits = row_parts(split_by(cls, folds, repeats), dataset)
    rest = np.setdiff1d(np.arange(100), tested)
    repeats_of_folds = [
        [chosen for _, chosen in splits[begin : begin + folds]] for begin in range(0, len(splits), folds)
    ]
    assert (
        len({str(sorted(parts_of_repeat)) for parts_of_repeat in repeats_of_folds if len(parts_of_repeat) == folds})
        == repeats
    )  # divided anew every time
    assert all(sorted(itertools.chain(*parts_of_repeat)) == rest.tolist() for parts_of_repeat in repeats_of_folds)
    for train, validation in splits:
        assert sorted(train + validation) == rest.tolist()
        assert not set(groups[train]) & set(groups[validation])
    assert not set(groups[tested]) & set(groups[rest])


@pytest.mark.parametrize("cls", [Holdout, Stratified])
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=10, deadline=None)
@given(n=st.integers(60, 200), folds=st.integers(2, 6), seed=st.integers(0, 999))
def test_folds_have_equal_sizes_within_one_row(cls, kind, n, folds, seed):
    _, splits = row_parts(split_by(cls, folds, seed=seed), data_for(cls, kind, n))
    for sizes in zip(*((len(train), len(validation)) for train, validation in splits), strict=True):
        assert max(sizes) - min(sizes) <= 1
        assert n % (5 * folds) or max(sizes) == min(sizes)


def test_folds_of_groups_have_about_as_many_rows_and_each_class_in_proportion():
    groups = np.repeat(np.arange(60), np.arange(60) % 3 + 1)  # of 1, 2 or 3 rows: 120 rows
    _, splits = row_parts(split_by(Grouped, 4), make_dataset(targets("numbers", 120), groups=groups))
    y = targets("numbers", 120)
    for _, validation in splits:
        assert len(validation) == pytest.approx(96 / 4, abs=4)
        assert (y[validation] == -3).mean() == pytest.approx(0.5, abs=0.15)


@settings(max_examples=25, deadline=None)
@given(n=st.integers(40, 150), step=st.integers(1, 3), folds=st.integers(2, 5), seed=st.integers(0, 999))
def test_folds_by_time_train_on_all_earlier_rows_and_validate_on_the_next_part(n, step, folds, seed):
    order = np.random.default_rng(seed).permutation(n)
    times = np.datetime64("2024-02-28", "us") + (order // step).astype("timedelta64[D]")
    tested, splits = row_parts(split_by(TimeSplit, folds), make_dataset(targets("regression", n), times=times))
    rest = np.setdiff1d(np.arange(n), tested)
    assert len(splits) == folds
    for train, validation in splits:
        assert times[train].max() < times[validation].min()
        assert sorted(train) == [row for row in rest if times[row] < times[validation].min()]
        assert abs(len(validation) - len(rest) // (folds + 1)) < step
    validation_rows = list(itertools.chain(*(validation for _, validation in splits)))
    assert len(validation_rows) == len(set(validation_rows))
    assert max(times[row] for row in validation_rows) == times[rest].max() < times[tested].min()


def test_folds_by_time_without_ties_are_sklearns():
    from sklearn.model_selection import TimeSeriesSplit

    tested, splits = row_parts(split_by(TimeSplit, 4), make_dataset(targets("regression", 73)))
    expected = [(a.tolist(), b.tolist()) for a, b in TimeSeriesSplit(4).split(np.arange(73 - len(tested)))]
    assert splits == expected  # the rows are in the order of time


def test_with_one_fold_repeats_are_as_many_holdouts():
    dataset = make_dataset(targets("texts", 60))
    once, often = row_parts(split_by(Stratified, 1), dataset), row_parts(split_by(Stratified, 1, repeats=4), dataset)
    assert often[0] == once[0]
    assert often[1][0] == once[1][0]
    assert len({str(fold) for fold in often[1]}) == 4
    assert {len(validation) for _, validation in often[1]} == {12}


@pytest.mark.parametrize("cls", [*DRAWN, TimeSplit])
def test_with_several_folds_the_validation_share_has_no_effect(cls):
    dataset = data_for(cls)
    assert row_parts(split_by(cls, 3, validation=0.9), dataset) == row_parts(split_by(cls, 3), dataset)


@pytest.mark.parametrize(
    ("cls", "folds", "dataset", "problem"),
    [
        (
            Holdout,
            9,
            make_dataset(targets("regression", 10)),
            "8 rows cannot be divided among 9 folds; give split.folds=8",
        ),
        (Stratified, 9, make_dataset(targets("regression", 10)), "8 rows of a kind cannot be divided among 9 folds"),
        (Grouped, 3, make_dataset(targets("texts", 60)), "split=grouped needs data.group"),
        (Grouped, 3, data_for(Grouped, groups=np.arange(60) % 2), "1 groups cannot be divided among 3 folds; give s"),
        (
            TimeSplit,
            9,
            make_dataset(targets("regression", 10)),
            "8 rows with 8 different times cannot be divided among 9 folds and the",
        ),
        (
            TimeSplit,
            3,
            data_for(TimeSplit, times=np.arange(60) // 20),
            "40 rows with 2 different times cannot be divided among 3",
        ),
        (TimeSplit, 3, data_for(TimeSplit, groups=np.arange(60)), "data.group is given, but this split would divide"),
    ],
)
def test_what_the_data_do_not_allow_is_reported_in_one_line(cls, folds, dataset, problem):
    settings_text = f"split.folds={folds} with split.test=0.2 does not fit the data: {problem}"
    assert error_message(split_by(cls, folds), dataset).startswith(settings_text)


@pytest.mark.parametrize("name", slow_after_first(["holdout", "stratified", "grouped", "time"]))
def test_every_file_takes_folds_and_k_fold_is_the_stratified_one(name):
    split = compose(f"split={name}", "split.folds=5")[0].split
    assert len(split(data_for(type(split)))[0].folds) == 5
    assert compose(f"split={name}")[0].split.folds == 1
    if name == "stratified":
        assert compose("split=k_fold")[0].split == split
        repeated = compose("split=repeated_k_fold")[0].split
        assert (type(repeated), repeated.folds, repeated.repeats) == (Stratified, 5, 3)
