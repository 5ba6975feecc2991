"""Load, split, prepare and reduce on the bundled sets."""

import numpy as np
import pytest
from running import composed
from sklearn import datasets
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from nncore.model import Values
from pipeline.artefacts import RawRows, facts
from pipeline.data.bundled import KNOWN, Bundled
from pipeline.errors import SettingError
from pipeline.stages.reduce import Pca, n_components
from pipeline.stages.split import Holdout

SIZES = {"digits": (1797, 64), "breast_cancer": (569, 30), "diabetes": (442, 10)}


@pytest.mark.parametrize("name", KNOWN)
def test_load(name):
    source = Bundled(name)
    dataset = source()
    assert dataset.rows.x.shape == SIZES[name]
    assert len(dataset.columns) == source.n_columns == SIZES[name][1]
    assert dataset.task == source.task
    bunch = getattr(datasets, f"load_{name}")()
    np.testing.assert_array_equal(dataset.rows.x, bunch.data)
    if name == "breast_cancer":
        assert set(dataset.rows.y) == {"benign", "malignant"}
        assert (dataset.rows.y == "malignant").sum() == 212
    else:
        np.testing.assert_array_equal(dataset.rows.y, bunch.target)


@pytest.mark.parametrize("name", KNOWN)
def test_split_sizes_and_classes(name):
    dataset = Bundled(name)()
    development, test = Holdout(0.2, 0.2, 0)(dataset)
    n = len(dataset.rows.y)
    parts = {"validation": development.validation, "test": test, "train": development.train}
    for part, share in (("validation", 0.2), ("test", 0.2), ("train", 0.6)):
        assert abs(len(parts[part].y) - n * share) <= 1.5
        if dataset.task == "classification":
            for label in development.labels:
                expected = (dataset.rows.y == label).sum() * share
                assert abs((parts[part].y == label).sum() - expected) <= 1.5
    if dataset.task == "regression":
        assert development.labels is None


def test_split_is_seeded():
    dataset = Bundled("digits")()
    first, again, other = (Holdout(0.2, 0.2, seed)(dataset) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first[1].x, again[1].x)
    np.testing.assert_array_equal(first[0].train.x, again[0].train.x)
    assert not np.array_equal(first[1].x, other[1].x)


def test_split_refuses_what_the_data_cannot_give():
    from dataclasses import replace

    dataset = Bundled("digits")()
    y = dataset.rows.y.copy()
    y[y == 9] = 8
    y[0] = 9  # a class with one row
    with pytest.raises(SettingError, match=r"split.validation=0.2 and split.test=0.2 do not fit the data"):
        Holdout(0.2, 0.2, 0)(replace(dataset, rows=RawRows(dataset.rows.x, y)))


@pytest.mark.parametrize("name", KNOWN)
def test_prepare_is_sklearns_scaler_on_the_training_rows(name):
    settings, _ = composed(f"data={name}")
    development, _ = settings.split(settings.data())
    view = settings.prepare(development)
    scaler = StandardScaler().fit(development.train.x)
    for rows, raw in zip(view.data, (development.train, development.validation), strict=True):
        np.testing.assert_allclose(rows.x, scaler.transform(raw.x), atol=1e-6)
        assert rows.x.dtype == rows.t.dtype == np.float32
        assert rows.x.flags.c_contiguous
        assert rows.t.flags.c_contiguous
    if isinstance(view.meaning, Values):
        y = development.train.y
        np.testing.assert_allclose(view.data.train.t[:, 0], (y - y.mean()) / y.std(), atol=1e-5)
    else:
        two_classes = len(development.labels) == 2
        expected = (development.train.y[:, None] == development.labels)[:, 1 if two_classes else 0 :]
        np.testing.assert_array_equal(view.data.train.t, expected)
    n_outputs = {"digits": 10}.get(name, 1)
    assert facts(view) == (SIZES[name][1], n_outputs, len(development.train.y), len(development.validation.y))


def test_reduce_by_pca_is_sklearns_on_the_training_rows():
    settings, _ = composed()
    development, _ = settings.split(settings.data())
    before = settings.prepare(development)
    view = settings.reduce(before)
    assert view.data.train.x.shape == (1078, 32)
    pca = PCA(32, svd_solver="full").fit(before.data.train.x.astype(float))
    for reduced, prepared in zip(view.data, before.data, strict=True):
        theirs = pca.transform(prepared.x.astype(float))
        np.testing.assert_allclose(np.abs(reduced.x), np.abs(theirs), atol=1e-4)
        assert reduced.x.flags.c_contiguous
        np.testing.assert_array_equal(reduced.t, prepared.t)
    raw = development.validation.x
    for transform in view.transforms:
        raw = transform(raw)
    np.testing.assert_array_equal(raw, view.data.validation.x)  # the model's way is the view's way


def test_reduce_by_nothing_is_nothing():
    settings, _ = composed("reduce=none")
    development, _ = settings.split(settings.data())
    view = settings.prepare(development)
    assert settings.reduce(view) is view


def test_reduce_by_autoencoder_learns():
    settings, _ = composed("reduce=autoencoder", "reduce.n_components=8", "reduce.epochs=15")
    development, _ = settings.split(settings.data())
    before = settings.prepare(development)
    view = settings.reduce(before)
    assert view.data.train.x.shape == (1078, 8)
    assert np.linalg.matrix_rank(view.data.train.x) == 8
    assert settings.reduce.hidden == (64,)
    digits = development.validation.y
    centres = np.stack([view.data.train.x[development.train.y == digit].mean(axis=0) for digit in range(10)])
    nearest = ((view.data.validation.x[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
    assert (nearest == digits).mean() > 0.7  # the code knows digits apart; chance would be 0.1


def test_reduce_by_a_diverging_autoencoder_names_the_setting():
    settings, _ = composed("reduce=autoencoder", "reduce.learning_rate=1e9", "reduce.epochs=2")
    development, _ = settings.split(settings.data())
    with pytest.raises(SettingError, match=r"reduce\.learning_rate=1e\+09: the autoencoder diverged"):
        settings.reduce(settings.prepare(development))


@pytest.mark.parametrize(("columns", "components"), [(1, 1), (2, 1), (10, 5), (30, 15), (64, 32), (784, 32)])
def test_auto_takes_half_the_columns_and_at_most_32(columns, components):
    assert n_components("auto", columns) == components


def test_pca_of_too_few_rows_is_refused():
    settings, _ = composed()
    development, _ = settings.split(settings.data())
    few = settings.prepare(development.__class__(
        development.columns,
        development.labels,
        RawRows(development.train.x[:20], development.train.y[:20]),
        development.validation,
    ))  # fmt: skip
    with pytest.raises(SettingError, match=r"reduce\.n_components must be from 1 to 19"):
        Pca(32)(few)
