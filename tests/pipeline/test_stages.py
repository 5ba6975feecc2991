"""Load, split, prepare and reduce on the bundled sets; see test_split.py for all splits, test_tables.py for files."""

from dataclasses import replace

import numpy as np
import pytest
from running import compose
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from nncore.inference.model import ValueDecoder
from nncore.stack.data import Data, Rows
from pipeline.components.errors import SettingError
from pipeline.components.types import Fold, ViewShape, view_shape
from pipeline.stages.reduce import PcaReduction

SIZES = {"digits": (1797, 64), "breast_cancer": (569, 30), "diabetes": (442, 10)}


def prepared(name="digits", *overrides):
    """The settings of a bundled set, its development rows, and the view that its preparation makes."""
    settings, _ = compose(f"data={name}", *overrides)
    development, _ = settings.split(settings.data())
    return settings, development, settings.prepare(development, 0)


@pytest.mark.parametrize("name", SIZES)
def test_prepare_is_sklearns_scaler_on_the_training_rows(name):
    _, development, view = prepared(name)
    parts = development.part(0)
    scaler = StandardScaler().fit(parts[0].x.numbers)
    for rows, raw in zip(view.data, parts, strict=True):
        np.testing.assert_allclose(rows.x, scaler.transform(raw.x.numbers), atol=1e-6)
        assert rows.x.dtype == rows.t.dtype == np.float32
        assert rows.x.flags.c_contiguous
        assert rows.t.flags.c_contiguous
        assert rows.weights is None
    y = parts[0].y
    if isinstance(view.target_decoder, ValueDecoder):
        np.testing.assert_allclose(view.data.train.t, (y - y.mean()) / y.std(), atol=1e-5)
    else:
        two_classes = len(development.labels) == 2
        expected = (y[:, None] == development.labels)[:, 1 if two_classes else 0 :]
        np.testing.assert_array_equal(view.data.train.t, expected)
    n_outputs = {"digits": 10}.get(name, 1)
    n_columns, is_bounded = SIZES[name][1], name == "diabetes"
    assert view_shape(view) == ViewShape(
        n_columns, n_outputs, len(y), len(parts[1].y), (), is_bounded, n_numeric=n_columns
    )


@pytest.mark.parametrize(
    ("overrides", "bounded"),
    [
        ((), True),
        (("split=time",), False),
        (("split=time", "prepare.bound_predictions=true"), True),
        (("prepare.bound_predictions=false",), False),
    ],
)
def test_predictions_are_bounded_by_the_training_targets_unless_the_split_is_by_time(overrides, bounded):
    _, development, view = prepared("diabetes", *overrides)
    y, decoder = development.part(0)[0].y, view.target_decoder
    predicted = decoder.columns(np.array([[-99.0], [0], [99]]))["prediction"]
    limits = [y.min(), y.mean(), y.max()] if bounded else [y.mean() - 99 * y.std(), y.mean(), y.mean() + 99 * y.std()]
    np.testing.assert_allclose(predicted, limits)
    assert (decoder.bounds is not None) == view_shape(view).bounded == bounded


def test_logarithms_need_targets_above_0_and_powers_do_not():
    settings, development, _ = prepared("diabetes")
    y = development.rows.y.copy()
    y[[3, 200]] = [[-2], [0]]
    altered = replace(development, rows=replace(development.rows, y=y))
    with pytest.raises(
        SettingError,
        match=r"^prepare.target=log: every target must be above 0, but 2 of 354 development rows have one that is not, "
        r"such as -2 \('target'\); choose prepare.target=yeo_johnson or prepare.target=none$",
    ):
        replace(settings.prepare, target="log")(altered, 0)
    view = replace(settings.prepare, target="yeo_johnson")(altered, 0)
    np.testing.assert_allclose(view.target_decoder.undo(view.data.train.t), y[development.folds[0].train], atol=1e-3)


def test_balanced_class_weights_give_all_classes_equal_weight():
    _, development, view = prepared("breast_cancer", "prepare.class_weights=balanced")
    y, weights = development.part(0)[0].y, view.data.train.weights
    sums = [weights[y == label].sum() for label in development.labels]
    np.testing.assert_allclose(sums, len(y) / 2, rtol=1e-5)
    assert weights.dtype == np.float32
    assert view.data.validation.weights is None


def test_reduce_by_pca_is_sklearns_on_the_training_rows():
    settings, development, before = prepared()
    view = settings.reduce(before)
    assert view.data.train.x.shape == (1079, 32)
    pca = PCA(32, svd_solver="full").fit(before.data.train.x.astype(float))
    for reduced, rows in zip(view.data, before.data, strict=True):
        theirs = pca.transform(rows.x.astype(float))
        np.testing.assert_allclose(np.abs(reduced.x), np.abs(theirs), atol=1e-4)
        assert reduced.x.flags.c_contiguous
        np.testing.assert_array_equal(reduced.t, rows.t)
    raw = view.preprocessing(development.part(0)[1].x)
    for transform in view.transforms:
        raw = transform(raw)
    np.testing.assert_array_equal(raw, view.data.validation.x)  # the model and the view preprocess alike


def test_no_reduction_returns_the_view_itself():
    settings, _, view = prepared("digits", "reduce=none")
    assert settings.reduce(view) is view


def test_reduce_by_autoencoder_learns():
    settings, development, before = prepared(
        "digits", "reduce=autoencoder", "reduce.n_components=8", "reduce.epochs=15"
    )
    view = settings.reduce(before)
    assert view.data.train.x.shape == (1079, 8)
    assert np.linalg.matrix_rank(view.data.train.x) == 8
    assert settings.reduce.hidden == (64,)
    train_digits, digits = (part.y for part in development.part(0))
    centres = np.stack([view.data.train.x[train_digits == digit].mean(axis=0) for digit in range(10)])
    nearest = ((view.data.validation.x[:, None] - centres) ** 2).sum(axis=2).argmin(axis=1)
    assert (nearest == digits).mean() > 0.7  # the codes distinguish digits; chance is 0.1


def test_reduce_by_a_diverging_autoencoder_names_the_setting():
    settings, _, view = prepared("digits", "reduce=autoencoder", "reduce.learning_rate=1e9", "reduce.epochs=2")
    with pytest.raises(SettingError, match=r"reduce\.learning_rate=1e\+09: the autoencoder diverged"):
        settings.reduce(view)


@pytest.mark.parametrize(
    ("columns", "rows", "of_pca", "of_autoencoder"),
    [
        (1, 50, 1, 1),
        (2, 50, 2, 1),
        (10, 50, 10, 5),
        (30, 50, 30, 15),
        (30, 9, 8, 15),
        (64, 50, 32, 32),
        (100, 50, 32, 32),
    ],
)
def test_auto_is_all_columns_for_pca_half_of_them_for_the_autoencoder_and_at_most_32(
    columns, rows, of_pca, of_autoencoder
):
    settings, _, view = prepared("digits", "reduce=autoencoder", "reduce.epochs=1")
    x = np.random.default_rng(0).normal(size=(rows, columns)).astype("float32")
    few = replace(view, data=Data(*(Rows(x, part.t[:rows]) for part in view.data)))
    assert PcaReduction("auto")(few).data.train.x.shape == (rows, of_pca)
    assert settings.reduce(few).data.train.x.shape == (rows, of_autoencoder)


def test_pca_of_infinite_numbers_is_refused_with_a_cure():
    _, _, view = prepared()
    x = view.data.train.x.copy()
    x[5, 7] = np.inf
    infinite = replace(view, data=view.data._replace(train=view.data.train._replace(x=x)))
    with pytest.raises(
        SettingError, match=r"^reduce=pca: after preparation, .* inf in row 5, column 7 .* reduce=none$"
    ):
        PcaReduction(4)(infinite)


def test_pca_of_too_few_rows_is_refused():
    settings, development, _ = prepared()
    few = replace(development, folds=(Fold(np.arange(20), np.arange(20, 40)),))
    with pytest.raises(SettingError, match=r"reduce\.n_components must be from 1 to 19"):
        PcaReduction(32)(settings.prepare(few, 0))
