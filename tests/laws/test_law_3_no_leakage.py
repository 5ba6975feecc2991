"""Law 3, no leakage: what is fitted sees no test row, and no validation row where it must not."""

import inspect
from dataclasses import dataclass, replace

import numpy as np
import pytest
from running import FEW, QUICK, composed, run_here

from nncore.training import Data, train
from pipeline.artefacts import Dataset, Development, RawRows, View
from pipeline.stages.reduce import Autoencoder, Keep, Pca
from pipeline.sweep.loop import Sweep, run_sweep
from pipeline.sweep.training import train_slice

DATA = ["digits", "breast_cancer", "diabetes"]
MOSTLY_SLOW = ["digits", *(pytest.param(one, marks=pytest.mark.slow) for one in DATA[1:])]


def settings_for(data, reduce, folder):
    extra = ("reduce.epochs=2",) if reduce == "autoencoder" else ()
    return composed(*QUICK, *FEW, f"data={data}", f"reduce={reduce}", f"runs={folder}", *extra)


@dataclass(frozen=True)
class Poisoned:
    """A source whose rows are spoilt where `rows` says, after the split is known."""

    source: object
    rows: np.ndarray
    targets_too: bool

    task = property(lambda self: self.source.task)
    n_columns = property(lambda self: self.source.n_columns)

    def __call__(self) -> Dataset:
        dataset = self.source()
        x, y = dataset.rows.x.copy(), dataset.rows.y.copy()
        x[self.rows] = x[self.rows][:, ::-1] * 1e3 - 7
        if self.targets_too:
            y[self.rows] = y[self.rows] * 10 + 100
        return replace(dataset, rows=RawRows(x, y))


def rows_of(part, dataset):
    """The numbers of the dataset's rows that are in a part."""
    known = {row.tobytes(): number for number, row in enumerate(dataset.rows.x)}
    return np.array([known[row.tobytes()] for row in part.x])


@pytest.mark.parametrize("reduce", ["pca", "autoencoder", "none"])
@pytest.mark.parametrize("data", MOSTLY_SLOW)
def test_law_3_spoilt_test_rows_change_the_test_scores_and_nothing_else(data, reduce, tmp_path):
    settings, config = settings_for(data, reduce, tmp_path)
    dataset = settings.data()
    _, test = settings.split(dataset)
    spoilt = Poisoned(settings.data, rows_of(test, dataset), targets_too=data == "diabetes")
    before, after = run_here(settings, config), run_here(replace(settings, data=spoilt), config)
    assert after["digest"] == before["digest"]
    assert after["best"]["validation"] == before["best"]["validation"]
    assert after["best"]["trial"] == before["best"]["trial"]
    assert after["best"]["test"] != before["best"]["test"]


@pytest.mark.parametrize("reduce", [Pca("auto"), Keep(), "autoencoder"], ids=["pca", "none", "autoencoder"])
@pytest.mark.parametrize("data", MOSTLY_SLOW)
def test_law_3_spoilt_validation_rows_change_nothing_that_is_fitted(data, reduce, tmp_path):
    settings, _ = settings_for(data, "autoencoder", tmp_path)
    reduction = settings.reduce if reduce == "autoencoder" else reduce
    dataset = settings.data()
    development, _ = settings.split(dataset)
    spoilt = replace(development, validation=RawRows(development.validation.x * -50 + 3, development.validation.y))
    views = [reduction(settings.prepare(one)) for one in (development, spoilt)]
    for before, after in zip(views[0].data.train, views[1].data.train, strict=True):
        np.testing.assert_array_equal(before, after)
    assert not np.array_equal(views[0].data.validation.x, views[1].data.validation.x)
    probe = development.train.x[:5]
    for before, after in zip(views[0].transforms, views[1].transforms, strict=True):
        np.testing.assert_array_equal(before(probe), after(probe))
        probe = before(probe)


def test_law_3_the_split_keeps_every_row_once(tmp_path):
    for data in DATA:
        settings, _ = settings_for(data, "none", tmp_path)
        dataset = settings.data()
        development, test = settings.split(dataset)
        parts = [rows_of(part, dataset) for part in (development.train, development.validation, test)]
        assert sorted(np.concatenate(parts)) == sorted(rows_of(dataset.rows, dataset))


def test_law_3_the_sweep_has_no_place_for_a_test_row():
    assert Data._fields == ("train", "validation")
    for seen in (Development, View, Sweep):
        assert not [name for name in seen.__annotations__ if "test" in name]
    for function in (train, train_slice, run_sweep, Autoencoder.__call__, Pca.__call__):
        assert not [name for name in inspect.signature(function).parameters if "test" in name]
