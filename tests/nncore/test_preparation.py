"""Preprocessing compared with scikit-learn's transformers, which it is fitted with."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from sklearn.compose import ColumnTransformer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)  # fmt: skip

from nncore.inference.preprocessing import features
from nncore.inference.scaling import NormalQuantiles, SmoothClip, normal_quantile
from nncore.inference.table import Column, Table
from pipeline.stages.prepare import Prepare, fit_scaling

SCALERS = {
    "standard": StandardScaler(),
    "min_max": MinMaxScaler(),
    "robust": RobustScaler(),
    "none": FunctionTransformer(),
}
COLUMNS = (
    Column("a"),
    Column("city", "categorical", "string", tuple("pqrstuvw")),
    Column("b", "numeric", "long"),
    Column("size", "ordinal", "string", ("S", "M", "L")),
    Column("flag", "boolean", "boolean"),
    Column("kind", "categorical", "string", ("x", "y")),
)


def random_table(n, seed):
    random = np.random.default_rng(seed)
    numbers = np.column_stack([random.normal(5, 3, n), random.integers(0, 9, n), random.integers(0, 2, n)])
    numbers[random.random(n) < 0.2, 0] = np.nan
    numbers[random.random(n) < 0.1, 2] = np.nan
    shares = np.array([30, 25, 20, 15, 5, 3, 1, 1]) / 100
    codes = np.column_stack([random.choice(8, n, p=shares), random.integers(0, 3, n), random.integers(0, 2, n)])
    codes[random.random(n) < 0.1, 0] = -1
    codes[random.random(n) < 0.05, 1] = -1
    return Table(COLUMNS, numbers, codes.astype(np.int32))


def prepare(**rest):
    settings = {
        "imputation": "median", "indicators": True, "scaling": "standard", "min_frequency": 10, "max_categories": 5,
        "max_one_hot": None,
        "target": "none", "scale_targets": True, "bound_predictions": "auto", "class_weights": "none",
    }  # fmt: skip
    return Prepare(**settings | rest)


def sklearn_pipeline(imputation, scaler):
    """The same as one of scikit-learn's pipelines, on the columns a, b, size, flag | city | kind as objects."""
    fill = SimpleImputer(strategy="constant" if imputation == "zero" else imputation, fill_value=0)
    numbers = make_union(make_pipeline(fill, scaler), MissingIndicator(features="missing-only"))
    one_hot = OneHotEncoder(
        min_frequency=10, max_categories=5, handle_unknown="infrequent_if_exist", sparse_output=False
    )
    ordinal = OrdinalEncoder(categories=[["S", "M", "L"]], handle_unknown="use_encoded_value", unknown_value=np.nan)
    ranks = ColumnTransformer([("size", ordinal, [2])], remainder="passthrough")  # size comes first
    back = FunctionTransformer(lambda x: x[:, [1, 2, 0, 3]].astype(float))
    return ColumnTransformer(
        [("numbers", make_pipeline(ranks, back, numbers), [0, 1, 2, 3]), ("city", one_hot, [4, 5])]
    )


def object_columns(table):
    """The columns as scikit-learn expects them: texts, None where missing."""
    a, b, flag = table.numbers.T
    columns = np.empty((len(table), 6), dtype=object)
    columns[:, 0], columns[:, 1], columns[:, 3] = a, b, flag
    texts = {column.name: column.show(values) for column, values in table.column_values if column.levels}
    columns[:, 2] = [np.nan if size is None else size for size in texts["size"]]
    columns[:, 4], columns[:, 5] = texts["city"], texts["kind"]
    return columns


@pytest.mark.parametrize("imputation", ["mean", "median", "most_frequent", "zero"])
@pytest.mark.parametrize("scaling", SCALERS)
def test_preprocessing_of_a_table_equals_sklearns_pipeline(scaling, imputation):
    train, new_rows = random_table(400, 0), random_table(300, 1)
    fitted = prepare(scaling=scaling, imputation=imputation)._fit(train, np.arange(len(train)))
    pipeline = sklearn_pipeline(imputation, SCALERS[scaling]).fit(object_columns(train))
    for table in (train, new_rows):
        expected = pipeline.transform(object_columns(table)).astype(float)
        prepared = fitted(table)
        assert prepared.shape == expected.shape == (len(table), fitted.n_outputs)
        np.testing.assert_allclose(prepared, expected, atol=2e-6)
        assert prepared.dtype == np.float32
        assert prepared.flags.c_contiguous


def test_quantiles_are_sklearns_centred_to_mean_0_and_deviation_1():
    random = np.random.default_rng(0)
    x, new_rows = (np.column_stack([random.normal(size=n), random.integers(0, 5, n)]) for n in (700, 500))
    scaling = fit_scaling("quantile", x)
    scaler = QuantileTransformer(n_quantiles=700).fit(x)
    np.testing.assert_allclose(scaling(new_rows) / np.sqrt(12) + 0.5, scaler.transform(new_rows), atol=1e-6)
    scaled = scaling(x)[:, 0]
    assert abs(scaled.mean()) < 0.01
    assert abs(scaled.std() - 1) < 0.01
    far = scaling(np.array([[1e9, 1e9], [-1e9, -1e9]]))
    np.testing.assert_allclose(far, [[np.sqrt(3)] * 2, [-np.sqrt(3)] * 2])


def test_quantile_normal_is_sklearns_transformer_of_columns_with_a_little_noise():
    """Without ties, noise of a thousandth of the deviation changes little; equal values become their middle rank."""
    random, n = np.random.default_rng(0), 9000
    x = np.column_stack([np.exp(random.normal(size=n)), random.choice(3, n, p=[0.6, 0.3, 0.1])])
    new_rows = np.column_stack([np.exp(random.normal(size=300)), random.integers(0, 3, 300)])
    scaling = fit_scaling("quantile_normal", x)
    scaler = QuantileTransformer(n_quantiles=300, output_distribution="normal", subsample=None)
    scaler.fit(x + 1e-3 * x.std(axis=0) * random.normal(size=(n, 1)))
    exact = NormalQuantiles(scaler.references_, scaler.quantiles_)
    np.testing.assert_allclose(exact(new_rows), scaler.transform(new_rows), atol=2e-6)
    np.testing.assert_allclose(scaling(new_rows)[:, 0], scaler.transform(new_rows)[:, 0], atol=0.05)
    assert np.abs(scaling(np.array([[0, 0], [1e9, 2]]))[:, 0]).max() < 5.2
    middle = stats.norm.ppf([0.3, 0.75, 0.95])
    np.testing.assert_allclose(scaling(np.array([[1, 0], [1, 1], [1, 2]]))[:, 1], middle, atol=0.05)
    few = fit_scaling("quantile_normal", x[:40])
    assert len(few.levels) == 10
    np.testing.assert_array_equal(few(x[:40]), fit_scaling("quantile_normal", x[:40])(x[:40]))


def test_the_normal_quantile_is_scipys():
    p = np.concatenate([np.geomspace(1e-10, 0.5, 400), 1 - np.geomspace(1e-10, 0.5, 400), [0.075, 0.925]])
    np.testing.assert_allclose(normal_quantile(p), stats.norm.ppf(p), rtol=1e-13, atol=1e-15)


def test_robust_clip_is_sklearns_robust_scaler_with_a_smooth_limit():
    random, n = np.random.default_rng(0), 501
    x = np.column_stack([random.normal(3, 50, n), random.standard_cauchy(n), random.integers(0, 9, n)])
    scaling = fit_scaling("robust_clip", x)
    z = RobustScaler().fit(x).transform(x)
    np.testing.assert_allclose(scaling(x), z / np.sqrt(1 + (z / 3) ** 2), rtol=1e-12)
    assert np.abs(scaling(x)).max() < 3
    np.testing.assert_array_equal(scaling(np.full((1, 3), -1e300)), -3.0)
    rare = (np.arange(n) < 20) * 8.0 + 5  # the quartiles are equal: half of the range takes their place
    constant = np.full(n, 7.0)
    scaling = fit_scaling("robust_clip", np.column_stack([rare, constant]))
    limited = 2 / np.sqrt(1 + 4 / 9)
    np.testing.assert_allclose(scaling(np.array([[5.0, 7], [13, 8]])), [[0, 0], [limited, 0]])
    with pytest.raises(ValueError, match=r"of one shape \(I,\)"):
        SmoothClip(np.zeros(2), np.ones(3))
    with pytest.raises(ValueError, match="limit must be above 0, but is 0"):
        SmoothClip(np.zeros(2), np.ones(2), 0)


@pytest.mark.parametrize("scaling", ["standard", "robust_clip"])
def test_codes_of_categories_stand_last_and_are_the_one_hot_columns_that_they_replace(scaling):
    train, new_rows = random_table(400, 0), random_table(300, 1)
    plain = prepare(scaling=scaling)._fit(train, np.arange(400))
    coded = prepare(scaling=scaling, max_one_hot=3)._fit(train, np.arange(400))
    n_before, n_one_hot = len(plain.fill) + len(plain.indicators), [int(slots.max()) + 1 for slots in plain.slots]
    large = [position for position, n in enumerate(n_one_hot) if n > 3]
    assert coded.coded == tuple(large)
    assert 0 < len(large) < len(n_one_hot)
    assert coded.levels == tuple(n_one_hot[position] + 1 for position in large)
    expected, of_column = plain(new_rows), np.split(np.arange(n_before, plain.n_outputs), np.cumsum(n_one_hot)[:-1])
    kept = [*range(n_before), *np.concatenate([c for p, c in enumerate(of_column) if p not in large])]
    np.testing.assert_array_equal(coded(new_rows)[:, : -len(large)], expected[:, kept])
    for column, position in zip(coded(new_rows).T[-len(large) :], large, strict=True):
        ones = expected[:, of_column[position]] == expected[:, of_column[position]].max(axis=0)
        np.testing.assert_array_equal(column, np.where(ones.any(axis=1), 1 + ones.argmax(axis=1), 0))
    np.testing.assert_array_equal(coded.origins[: -len(large)], plain.origins[kept])
    np.testing.assert_array_equal(coded.origins[-len(large) :], [plain.origins[of_column[p][0]] for p in large])
    with pytest.raises(ValueError, match=r"coded must be positions of 2 categorical columns, but is \(2,\)"):
        replace(coded, coded=(2,))


@pytest.mark.parametrize("n_rows", [400, 399, 37])
def test_robust_clip_scales_indicators_and_one_hot_columns_as_any_number(n_rows):
    train, new_rows = random_table(n_rows, 0), random_table(300, 1)
    settings = {"min_frequency": 3, "max_categories": 9}
    plain = prepare(scaling="none", **settings)._fit(train, np.arange(n_rows))
    clipped = prepare(scaling="robust_clip", **settings)._fit(train, np.arange(n_rows))
    n_features = len(plain.fill)
    scaling = fit_scaling("robust_clip", plain(train)[:, n_features:].astype(np.float64))
    np.testing.assert_allclose(clipped(new_rows)[:, n_features:], scaling(plain(new_rows)[:, n_features:]), rtol=1e-6)
    scaling = fit_scaling("robust_clip", plain(train)[:, :n_features].astype(np.float64))
    np.testing.assert_allclose(clipped(new_rows)[:, :n_features], scaling(plain(new_rows)[:, :n_features]), atol=1e-5)
    with pytest.raises(ValueError, match=r"binary must have the shape \(2, \d+\), but has \(2, 1\)"):
        replace(clipped, binary=np.zeros((2, 1)))


@pytest.mark.parametrize(
    "scaling", ["standard", "min_max", "robust", "robust_clip", "quantile", "quantile_normal", "none"]
)
def test_fitting_columns_in_blocks_gives_the_same_preprocessing(scaling, monkeypatch):
    train, new_rows = random_table(400, 0), random_table(300, 1)
    expected = prepare(scaling=scaling)._fit(train, np.arange(len(train)))
    monkeypatch.setattr("pipeline.stages.prepare.BLOCK_SIZE", 900)  # a, city | b, size | flag, kind
    in_blocks = prepare(scaling=scaling)._fit(train, np.arange(len(train)))
    for name in ("fill", "indicators"):
        assert getattr(in_blocks, name).tobytes() == getattr(expected, name).tobytes()
    np.testing.assert_allclose(
        in_blocks(new_rows), expected(new_rows), rtol=1e-6
    )  # the sum of a single column is rounded differently


def test_unseen_categories_are_infrequent_or_all_zero():
    train = random_table(400, 0)
    fitted = prepare(min_frequency=30)._fit(train, np.arange(len(train)))
    rare = int(np.flatnonzero(np.bincount(train.codes[:, 0][train.codes[:, 0] >= 0]) < 30)[0])
    of_city, of_kind = fitted.slots
    assert of_city[8] == of_city[rare] >= 0  # "unknown" is in the column of infrequent categories
    assert of_city[-1] not in (of_city[rare], -1)  # missing values are frequent and have their own column
    assert of_kind.tolist() == [0, 1, -1, -1]  # x, y; infrequent, unknown and missing ones are all zero


def test_indicators_can_be_left_out():
    train = random_table(400, 0)
    without, fitted = (prepare(indicators=on)._fit(train, np.arange(400)) for on in (False, True))
    assert without.n_outputs == fitted.n_outputs - 3
    assert fitted.indicators.tolist() == [0, 2, 3]  # a, size, flag


def test_preprocessing_a_row_does_not_depend_on_the_number_of_rows(monkeypatch):
    train, many = random_table(400, 0), random_table(5000, 1)
    fitted = prepare()._fit(train, np.arange(len(train)))
    prepared = fitted(many)
    monkeypatch.setattr("nncore.inference.preprocessing.NUMBERS_AT_A_TIME", 1000)
    np.testing.assert_array_equal(fitted(many), prepared)
    for rows in (np.arange(1), np.arange(5, 50), np.array([4000, 7, 4999])):
        np.testing.assert_array_equal(fitted(many[rows]), prepared[rows])
        np.testing.assert_array_equal(fitted(many, rows), prepared[rows])


def test_a_column_that_is_empty_in_training_does_no_harm():
    train = random_table(400, 0)
    train.numbers[:, 0] = np.nan
    fitted = prepare()._fit(train, np.arange(len(train)))
    assert np.isfinite(fitted(random_table(50, 1))).all()
    assert (fitted(train)[:, 0] == 0).all()


def test_ordinals_are_ranked_among_the_fitted_values():
    """Values that were not fitted get ranks between or beyond the fitted ones and do not change those."""
    size = Column("s", "ordinal", "string", ("XS", "S", "M", "L", "XL"))
    train = Table((size,), np.empty((6, 0)), np.array([[1], [3], [3], [1], [-1], [1]], np.int32))
    fitted = prepare(scaling="none", indicators=False)._fit(train, np.arange(len(train)))
    new_rows = Table((size,), np.empty((7, 0)), np.array([[0], [1], [2], [3], [4], [5], [-1]], np.int32))
    assert fitted(new_rows)[:, 0].tolist() == [
        -0.5,
        0,
        0.5,
        1,
        1.5,
        0,
        0,
    ]  # the last two, unknown and missing, are imputed


def test_dates_are_encoded_as_the_day_and_the_seasons():
    """The 1st of January, a quarter of a year later, and a time of day; 1970-01-01 was a Thursday."""
    day = Column("d", "date", "date")
    moments = np.array([[0.0], [365.2425 / 4], [7.0]])
    encoded = features(Table((day,), moments, np.empty((3, 0), np.int32)), ())
    assert encoded.shape == (3, 7)
    np.testing.assert_allclose(encoded[:, 0], moments[:, 0])
    np.testing.assert_allclose(encoded[0, 1:], [0, 1, 0, 1, 0, 1], atol=1e-12)
    np.testing.assert_allclose(encoded[1, 1:3], [1, 0], atol=1e-12)
    np.testing.assert_allclose(encoded[2, 3:5], [0, 1], atol=1e-12)  # the same day of the week as the first
    noon = features(Table((Column("d", "date", "datetime"),), np.array([[0.5]]), np.empty((1, 0), np.int32)), ())
    np.testing.assert_allclose(noon[0, 5:], [0, -1], atol=1e-12)
