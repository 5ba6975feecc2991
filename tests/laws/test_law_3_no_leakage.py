"""Law 3, no leakage: what is fitted sees no test row, and no validation row where it must not."""

import inspect
from dataclasses import dataclass, replace

import numpy as np
import pytest
from running import FEW, QUICK, compose, run_pipeline

from nncore.inference.table import Column, Table
from nncore.stack.data import Data
from nncore.stack.training import train
from pipeline.components.types import Dataset, Development, PreparedFold, PreparedView, RawRows
from pipeline.engine.loop import Engine
from pipeline.engine.packing.planner import PlannedStack, TrialNetwork
from pipeline.engine.slices.task import CollectNetworks, SliceTask, StartNetworks, train_slice
from pipeline.engine.slices.trainer import RungTrainer, SweepContext
from pipeline.stages.prepare import Prepare
from pipeline.stages.reduce import AutoencoderReduction, Identity, PcaReduction
from pipeline.stages.split import Stratified

DATA = ["digits", "breast_cancer", "diabetes"]
MOSTLY_SLOW = ["digits", *(pytest.param(one, marks=pytest.mark.slow) for one in DATA[1:])]


def settings_for(data, reduce, folder):
    extra = ("reduce.epochs=2",) if reduce == "autoencoder" else ()
    return compose(*QUICK, *FEW, f"data={data}", f"reduce={reduce}", f"runs={folder}", *extra)


@dataclass(frozen=True)
class Poisoned:
    """A source whose rows are spoilt where `rows` says, after the split is known."""

    source: object
    rows: np.ndarray
    targets_too: bool

    name = address = property(lambda self: self.source.name)
    task = property(lambda self: self.source.task)
    n_columns = property(lambda self: self.source.n_columns)

    def check(self) -> None:
        pass

    def content(self) -> None:
        """So that no earlier rows are taken for these."""

    def __call__(self) -> Dataset:
        dataset = self.source()
        table, y = dataset.rows.x, dataset.rows.y.copy()
        if self.targets_too:
            y[self.rows] = y[self.rows] * 10 + 100
        return replace(dataset, rows=RawRows(spoilt(table, self.rows), y))


class Fixed:
    """The parts that a split has made of a data set, of whatever has become of its rows: targets steer the split."""

    def __init__(self, split, dataset) -> None:
        self.development, test = split(dataset)
        self.rows, self.test = rows_of(self.development.rows, dataset), rows_of(test, dataset)

    def __call__(self, dataset: Dataset) -> tuple[Development, RawRows]:
        return replace(self.development, rows=dataset.rows.take(self.rows)), dataset.rows.take(self.test)


def spoilt(table, rows):
    """The table with other numbers, and other texts, in some of the rows; missing ones among them."""
    numbers, codes = table.numbers.astype(float), table.codes.copy()
    numbers[rows] = numbers[rows][:, ::-1] * 1e3 - 7
    codes[rows] = -1
    return replace(table, numbers=numbers, codes=codes)


def rows_of(part, dataset):
    """The numbers of the dataset's rows that are in a part."""
    known = {row.tobytes(): number for number, row in enumerate(dataset.rows.x.numbers)}
    return np.array([known[row.tobytes()] for row in part.x.numbers])


@pytest.mark.parametrize("reduce", ["pca", "autoencoder", "none"])
@pytest.mark.parametrize("data", MOSTLY_SLOW)
def test_law_3_spoilt_test_rows_change_the_test_scores_and_nothing_else(data, reduce, tmp_path):
    settings, config = settings_for(data, reduce, tmp_path)
    dataset = settings.data()
    split = Fixed(settings.split, dataset)
    settings = replace(settings, split=split)
    poisoned = Poisoned(settings.data, split.test, targets_too=data == "diabetes")
    before, after = run_pipeline(settings, config), run_pipeline(replace(settings, data=poisoned), config)
    assert after["digest"] == before["digest"]
    assert after["best"]["validation"] == before["best"]["validation"]
    assert after["best"]["trial"] == before["best"]["trial"]
    assert after["best"]["test"] != before["best"]["test"]


@pytest.mark.parametrize(
    "reduce", [PcaReduction("auto"), Identity(), "autoencoder"], ids=["pca", "none", "autoencoder"]
)
@pytest.mark.parametrize("data", MOSTLY_SLOW)
def test_law_3_spoilt_validation_rows_change_nothing_that_is_fitted(data, reduce, tmp_path):
    settings, _ = settings_for(data, "autoencoder", tmp_path)
    reduction = settings.reduce if reduce == "autoencoder" else reduce
    assert_nothing_fitted_sees_validation_rows(settings.split(settings.data())[0], settings.prepare, reduction)


def assert_nothing_fitted_sees_validation_rows(development, prepare, reduction):
    """In each fold, other validation rows and targets leave the training view and all that was fitted as they were."""
    for fold, (learnt, validation) in enumerate(development.folds):
        y = development.rows.y.copy()
        if development.task == "regression":
            y[validation] = y[validation] * 10 + 100
        other = replace(development, rows=RawRows(spoilt(development.rows.x, validation), y))
        views = [reduction(prepare(one, fold)) for one in (development, other)]
        for before, after in zip(views[0].data.train, views[1].data.train, strict=True):
            np.testing.assert_array_equal(before, after)
        assert not np.array_equal(views[0].data.validation.x, views[1].data.validation.x)
        probe = development.rows.x[learnt[:5]]
        for before, after in zip(ways(views[0]), ways(views[1]), strict=True):
            np.testing.assert_array_equal(before(probe), after(probe))
            probe = before(probe)
        if development.task == "regression":
            assert_same_scaling(views[0].target_decoder.scaling, views[1].target_decoder.scaling)


def ways(view):
    return view.preprocessing, *view.transforms


def assert_same_scaling(one, other):
    np.testing.assert_array_equal(one.centre, other.centre)
    np.testing.assert_array_equal(one.scale, other.scale)


@pytest.mark.parametrize("scaling", ["standard", "min_max", "robust", "quantile"])
@pytest.mark.parametrize("imputation", ["mean", "median", "most_frequent", "zero"])
def test_law_3_of_mixed_columns_nothing_is_fitted_to_a_folds_validation_rows(scaling, imputation):
    """Numbers with gaps, categories rare and frequent, ordinals and dates; three folds; every kind of fitting."""
    random, n = np.random.default_rng(0), 300
    columns = (
        Column("a"), Column("city", "categorical", "string", tuple("pqrst")),
        Column("size", "ordinal", "string", ("S", "M")), Column("born", "date", "date"),
    )  # fmt: skip
    numbers = np.column_stack([random.normal(size=n), random.integers(0, 9000, n)])
    numbers[random.random(n) < 0.2, 0] = np.nan
    codes = np.column_stack([random.choice(5, n, p=[0.5, 0.3, 0.15, 0.03, 0.02]), random.integers(-1, 2, n)])
    rows = RawRows(Table(columns, numbers, codes.astype(np.int32)), random.normal(size=(n, 1)))
    development, _ = Stratified(test=0.2, validation=0.2, seed=0, folds=3, repeats=1)(
        Dataset("regression", ("y",), rows)
    )
    prepare = Prepare(imputation, True, scaling, 10, 100, True, "none")
    assert_nothing_fitted_sees_validation_rows(development, prepare, PcaReduction("auto"))


def test_law_3_the_split_keeps_every_row_once(tmp_path):
    for data in DATA:
        settings, _ = settings_for(data, "none", tmp_path)
        dataset = settings.data()
        development, test = settings.split(dataset)
        parts = [rows_of(part, dataset) for part in (*development.part(0), test)]
        assert sorted(np.concatenate(parts)) == sorted(rows_of(dataset.rows, dataset))


def test_law_3_the_sweep_has_no_place_for_a_test_row():
    assert Data._fields == ("train", "validation")
    for seen in (
        Development,
        PreparedView,
        PreparedFold,
        TrialNetwork,
        PlannedStack,
        SweepContext,
        SliceTask,
        StartNetworks,
        CollectNetworks,
    ):
        assert not [name for name in seen.__annotations__ if "test" in name]
    for function in (
        train,
        train_slice,
        Engine.run,
        RungTrainer.train,
        AutoencoderReduction.__call__,
        PcaReduction.__call__,
    ):
        assert not [name for name in inspect.signature(function).parameters if "test" in name]
