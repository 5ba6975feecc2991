"""Law 3, no leakage: nothing is fitted to a test row, nor to a validation row where it must not be."""

import inspect
from dataclasses import dataclass, replace

import numpy as np
import pytest
from running import FEW, QUICK, compose, run_pipeline, slow_after_first

from nncore.inference import model_file
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
MOSTLY_SLOW = slow_after_first(DATA)


def settings_for(data, reduce, folder):
    extra = ("reduce.epochs=2",) if reduce == "autoencoder" else ()
    baselines = ("baselines=quick", "baselines.iterations=2")
    tuned = ("select.calibrate=always", *(["select.metric=accuracy"] if data == "breast_cancer" else []))
    return compose(*QUICK, *FEW, *baselines, *tuned, f"data={data}", f"reduce={reduce}", f"runs={folder}", *extra)


@dataclass(frozen=True)
class AlteredSource:
    """A source in which the rows `rows` are altered, after the split is known."""

    source: object
    rows: np.ndarray
    targets_too: bool

    name = address = property(lambda self: self.source.name)
    task = property(lambda self: self.source.task)
    n_columns = property(lambda self: self.source.n_columns)

    def check(self) -> None:
        pass

    def content(self) -> None:
        """Disable the cache, which would return the original rows."""

    def __call__(self) -> Dataset:
        dataset = self.source()
        table, y = dataset.rows.x, dataset.rows.y.copy()
        if self.targets_too:
            y[self.rows] = y[self.rows] * 10 + 100
        return replace(dataset, rows=RawRows(alter_rows(table, self.rows), y))


class FixedSplit:
    """The parts of the original data set for any altered one; a split may depend on targets."""

    def __init__(self, split, dataset) -> None:
        self.development, test = split(dataset)
        self.rows, self.test = row_numbers(self.development.rows, dataset), row_numbers(test, dataset)

    def __call__(self, dataset: Dataset) -> tuple[Development, RawRows]:
        return replace(self.development, rows=dataset.rows.take(self.rows)), dataset.rows.take(self.test)


def alter_rows(table, rows):
    """The table with other numbers and missing categories in some rows."""
    numbers, codes = table.numbers.astype(float), table.codes.copy()
    numbers[rows] = numbers[rows][:, ::-1] * 1e3 - 7
    codes[rows] = -1
    return replace(table, numbers=numbers, codes=codes)


def row_numbers(part, dataset):
    """The row numbers in the data set of the rows of a part."""
    number_of_row = {row.tobytes(): number for number, row in enumerate(dataset.rows.x.numbers)}
    return np.array([number_of_row[row.tobytes()] for row in part.x.numbers])


@pytest.mark.parametrize("reduce", slow_after_first(["pca", "autoencoder", "none"]))
@pytest.mark.parametrize("data", MOSTLY_SLOW)
def test_law_3_altered_test_rows_change_only_the_test_scores(data, reduce, tmp_path):
    settings, config = settings_for(data, reduce, tmp_path)
    dataset = settings.data()
    split = FixedSplit(settings.split, dataset)
    settings = replace(settings, split=split)
    poisoned = AlteredSource(settings.data, split.test, targets_too=data == "diabetes")
    before, after = run_pipeline(settings, config), run_pipeline(replace(settings, data=poisoned), config)
    assert after["digest"] == before["digest"]
    assert after["best"]["validation"] == before["best"]["validation"]
    assert after["best"]["trial"] == before["best"]["trial"]
    assert after["best"]["test"] != before["best"]["test"]
    tested = ("test", "test_intervals")
    chosen = [
        {name: value for name, value in summary["published"].items() if name not in tested}
        for summary in (before, after)
    ]
    assert chosen[0] == chosen[1]  # which model, why, its networks, and all scores by which it was chosen
    assert after["ensemble"]["networks"] == before["ensemble"]["networks"]
    assert after["importance"] == before["importance"]
    assert len(before["importance"]) == 10
    for name, baseline in before["baselines"].items():
        assert after["baselines"][name]["validation"] == baseline["validation"]
        assert name == "constant" or after["baselines"][name]["test"] != baseline["test"]
    for name in ("calibration", "threshold", "intervals"):
        assert after[name] == before[name]
    models = [model_file.load(summary["model"]["path"]) for summary in (before, after)]
    assert models[0].calibration == models[1].calibration
    decoders = [model.target_decoder for model in models]
    if data == "diabetes":
        assert decoders[0].interval.half_width.tolist() == decoders[1].interval.half_width.tolist()
    else:
        assert decoders[0].threshold == decoders[1].threshold
        assert before["calibration"]["applied"]  # select.calibrate=always


@pytest.mark.parametrize(
    "reduce", [PcaReduction("auto"), Identity(), "autoencoder"], ids=["pca", "none", "autoencoder"]
)
@pytest.mark.parametrize("data", MOSTLY_SLOW)
def test_law_3_altered_validation_rows_change_nothing_that_is_fitted(data, reduce, tmp_path):
    settings, _ = settings_for(data, "autoencoder", tmp_path)
    reduction = settings.reduce if reduce == "autoencoder" else reduce
    assert_nothing_fitted_sees_validation_rows(settings.split(settings.data())[0], settings.prepare, reduction)


def assert_nothing_fitted_sees_validation_rows(development, prepare, reduction):
    """In each fold, altered validation rows and targets change neither the training view nor any fitted transform."""
    for fold, (training, validation) in enumerate(development.folds):
        y = development.rows.y.copy()
        if development.task == "regression":
            y[validation] = y[validation] * 10 + 100
        altered = replace(development, rows=RawRows(alter_rows(development.rows.x, validation), y))
        views = [reduction(prepare(rows_of_fold, fold)) for rows_of_fold in (development, altered)]
        for before, after in zip(views[0].data.train, views[1].data.train, strict=True):
            np.testing.assert_array_equal(before, after)
        assert not np.array_equal(views[0].data.validation.x, views[1].data.validation.x)
        probe = development.rows.x[training[:5]]
        for before, after in zip(preprocessing_steps(views[0]), preprocessing_steps(views[1]), strict=True):
            np.testing.assert_array_equal(before(probe), after(probe))
            probe = before(probe)
        if development.task == "regression":
            assert_same_target_decoder(*(view.target_decoder for view in views))


def preprocessing_steps(view):
    return view.preprocessing, *view.transforms


def assert_same_target_decoder(first, second):
    probe = np.linspace(1, 500, 50)[:, None]
    np.testing.assert_array_equal(first.scaled(probe), second.scaled(probe))
    np.testing.assert_array_equal(first.predicted(probe), second.predicted(probe))
    assert (first.bounds is None) == (second.bounds is None)


@pytest.mark.parametrize("scaling", ["standard", "min_max", "robust", "robust_clip", "quantile", "quantile_normal"])
@pytest.mark.parametrize("imputation", ["mean", "median", "most_frequent", "zero"])
def test_law_3_preparing_mixed_columns_is_not_fitted_to_validation_rows(scaling, imputation):
    """Numbers with gaps, rare and frequent categories, ordinals, dates; three folds; all scalings and imputations."""
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
    prepare = Prepare(imputation, True, scaling, 10, 100, None, "none", True, "auto", "none")
    assert_nothing_fitted_sees_validation_rows(development, prepare, PcaReduction("auto"))


@pytest.mark.parametrize("target", ["log", "yeo_johnson"])
def test_law_3_transforms_and_bounds_of_the_target_are_fitted_to_the_training_rows_of_each_fold(target):
    settings, _ = compose("data=diabetes", f"prepare.target={target}", "split.folds=3")
    development, _ = settings.split(settings.data())
    assert_nothing_fitted_sees_validation_rows(development, settings.prepare, Identity())
    for fold, (training, _) in enumerate(development.folds):
        decoder, y = settings.prepare(development, fold).target_decoder, development.rows.y[training]
        np.testing.assert_array_equal(decoder.bounds, [y.min(axis=0), y.max(axis=0)])
        scaled = decoder.scaled(y)
        np.testing.assert_allclose([scaled.mean(), scaled.std()], [0, 1], atol=1e-12)


def test_law_3_the_split_puts_every_row_into_exactly_one_part(tmp_path):
    for data in DATA:
        settings, _ = settings_for(data, "none", tmp_path)
        dataset = settings.data()
        development, test = settings.split(dataset)
        parts = [row_numbers(part, dataset) for part in (*development.part(0), test)]
        assert sorted(np.concatenate(parts)) == sorted(row_numbers(dataset.rows, dataset))


def test_law_3_no_type_or_function_of_the_sweep_takes_test_rows():
    assert Data._fields == ("train", "validation")
    for kind in (
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
        assert not [name for name in kind.__annotations__ if "test" in name]
    for function in (
        train,
        train_slice,
        Engine.run,
        RungTrainer.train,
        AutoencoderReduction.__call__,
        PcaReduction.__call__,
    ):
        assert not [name for name in inspect.signature(function).parameters if "test" in name]
