"""Transforms of targets against scikit-learn's and closed forms, and the values that a decoder predicts with them."""

import numpy as np
import pytest
from scipy import stats
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PowerTransformer, RobustScaler

from nncore.inference.model import ConformalInterval, ValueDecoder
from nncore.inference.scaling import Affine
from nncore.inference.target_transforms import Logarithm, YeoJohnson
from pipeline.stages.prepare import yeo_johnson

RANDOM = np.random.default_rng(0)
SKEWED = {
    "right tail": 50 + 9 * RANDOM.gamma(4, size=(400, 1)),
    "left tail": 3 - RANDOM.gamma(2, size=(400, 1)),
    "normal": RANDOM.normal(-70, 4, (400, 1)),
    "two columns": np.column_stack([1e5 * RANDOM.gamma(6, size=400), RANDOM.beta(5, 2, 400)]),
}


@pytest.mark.parametrize("y", SKEWED.values(), ids=SKEWED)
def test_the_power_transform_is_sklearns_of_robustly_scaled_values(y):
    fitted = yeo_johnson(y)
    expected = make_pipeline(RobustScaler(), PowerTransformer(standardize=False)).fit(y)
    assert ((fitted.power > 0) & (fitted.power < 2)).all()
    np.testing.assert_allclose(fitted.power, expected[1].lambdas_)
    new = np.concatenate([y, 3 * y - 2 * y.mean(axis=0)])
    np.testing.assert_allclose(fitted(new), expected.transform(new), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(fitted.undo(fitted(new)), new, rtol=1e-9)


@pytest.mark.parametrize("unit", [(1, 1e6), (-40, 1e-3)])
def test_the_power_transform_does_not_depend_on_the_unit(unit):
    y, (centre, scale) = SKEWED["right tail"], unit
    np.testing.assert_allclose(yeo_johnson(centre + scale * y)(centre + scale * y), yeo_johnson(y)(y), rtol=1e-5)


@pytest.mark.parametrize("power", [0, 1e-9, 0.5, 1, 1.5, 2])
def test_powers_are_scipys_and_every_number_is_the_transform_of_a_value(power):
    transform = YeoJohnson(Affine(np.zeros(1), np.ones(1)), np.array([power], float))
    y = np.concatenate([-np.geomspace(1e-8, 1e8, 50), [0], np.geomspace(1e-8, 1e8, 50)])[:, None]
    np.testing.assert_allclose(transform(y), stats.yeojohnson(y, power), rtol=1e-6)
    np.testing.assert_allclose(transform.undo(transform(y)), y, rtol=1e-7)
    extreme = transform.undo(np.array([[-1e30], [1e30]]))
    assert np.isfinite(extreme**2).all()
    assert extreme[0] < -1e12
    assert extreme[1] > 1e12


def test_extreme_tails_are_at_most_logarithms():
    """scikit-learn's power would be far below 0; its transform has a limit, so that not every number has an inverse."""
    y = np.exp(3 * np.abs(RANDOM.normal(size=(500, 1)))) ** 3
    assert PowerTransformer().fit(RobustScaler().fit_transform(y)).lambdas_ < 0
    assert yeo_johnson(y).power.tolist() == [0]
    assert yeo_johnson(-y).power.tolist() == [2]
    with pytest.raises(ValueError, match=r"power must have the shape \(1,\) and be from 0 to 2, but is \[-0.1\]"):
        YeoJohnson(Affine(np.zeros(1), np.ones(1)), np.array([-0.1]))


def test_logarithms_of_what_has_none_are_finite():
    transform = Logarithm()
    y = np.array([[-3.0], [0], [1e-300], [1], [np.e]])
    np.testing.assert_allclose(transform(y)[3:, 0], [0, 1])
    assert (transform(y)[:2] == np.log(np.finfo(float).tiny)).all()
    undone = transform.undo(np.array([[-1e9], [0], [1e9]]))
    assert np.isfinite(undone**2).all()
    assert (undone > 0).all()


def test_a_decoder_scales_transformed_values_and_bounds_predictions():
    y = SKEWED["right tail"]
    logs, bounds = np.log(y), np.stack([y.min(axis=0), y.max(axis=0)])
    scaling = Affine(logs.mean(axis=0), logs.std(axis=0))
    decoder = ValueDecoder(("price",), scaling, ConformalInterval(np.array([0.3]), 0.9), Logarithm(), bounds)
    t = (logs - logs.mean()) / logs.std()
    np.testing.assert_allclose(decoder.targets(y), t, atol=1e-6)
    np.testing.assert_allclose(decoder.undo(t), y)
    columns = decoder.columns(np.array([[-100.0], [0], [100]]))
    middle = np.exp(logs.mean())
    np.testing.assert_allclose(columns["prediction"], [y.min(), middle, y.max()])
    assert columns["prediction"].min() >= y.min()
    assert columns["prediction"].max() <= y.max()
    np.testing.assert_allclose(columns["prediction_lower"], columns["prediction"] * np.exp(-0.3))
    np.testing.assert_allclose(columns["prediction_upper"], columns["prediction"] * np.exp(0.3))
    with pytest.raises(ValueError, match=r"bounds must have the shape \(2, 1\), but has \(2,\)"):
        ValueDecoder(("price",), scaling, bounds=np.zeros(2))
