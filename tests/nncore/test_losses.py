"""Losses against scikit-learn and scipy."""

import numpy as np
import pytest
from discovery import LOSSES, short_name
from samples import make_targets
from scipy.special import expit, gammaln, softmax
from scipy.stats import norm
from scipy.stats import poisson as scipy_poisson
from sklearn.metrics import log_loss

from nncore.losses import (
    gaussian,
    mean_value,
    poisson,
    sigmoid_cross_entropy,
    softmax_cross_entropy,
    squared_error,
    value_and_prediction,
)

RANDOM = np.random.default_rng(0)
Z = RANDOM.normal(scale=2, size=(3, 50, 4))
CLASSES = RANDOM.integers(4, size=50)


def test_softmax_cross_entropy_is_sklearns_log_loss():
    t = np.eye(4)[CLASSES][None]
    expected = [log_loss(CLASSES, softmax(z, axis=1), labels=range(4)) for z in Z]
    np.testing.assert_allclose(mean_value(softmax_cross_entropy(), Z, t), expected, rtol=1e-12)
    np.testing.assert_allclose(softmax_cross_entropy().predict(Z), softmax(Z, axis=2), rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("component", LOSSES, ids=short_name)
def test_value_and_prediction_are_bit_equal_computed_together_or_separately(component, dtype):
    """Also where softmax saturates, and from the first call on, before a formula has its loop."""
    loss, t = component.build(), make_targets(component, RANDOM, 50, 4)[None].astype(dtype)
    for scale in (1, 1, 1, 1, 1, 1, 100, 1e30):
        z = (RANDOM.normal(size=(3, 50, 4 * loss.outputs_per_target)) * scale).astype(dtype)
        with np.errstate(all="ignore"):
            value, y = value_and_prediction(loss, z.copy(), t)
            np.testing.assert_array_equal(value, loss.value(z.copy(), t), strict=True)
            np.testing.assert_array_equal(y, loss.predict(z.copy()), strict=True)


def test_sigmoid_cross_entropy_is_sklearns_log_loss_of_two_classes():
    z, t = Z[:, :, :1], (CLASSES > 1).astype(float)[None, :, None]
    expected = [log_loss(CLASSES > 1, expit(component[:, 0])) for component in z]
    np.testing.assert_allclose(mean_value(sigmoid_cross_entropy(), z, t), expected, rtol=1e-12)
    np.testing.assert_allclose(sigmoid_cross_entropy().predict(z), expit(z), rtol=1e-12)


def test_sigmoid_of_one_output_is_softmax_of_two():
    z, t = Z[:, :, :1], (CLASSES > 1).astype(float)[None, :, None]
    two = np.concatenate([np.zeros_like(z), z], axis=2)
    both = np.concatenate([1 - t, t], axis=2)
    np.testing.assert_allclose(
        mean_value(sigmoid_cross_entropy(), z, t), mean_value(softmax_cross_entropy(), two, both), rtol=1e-12
    )


def test_squared_error_is_the_gaussian_log_likelihood_without_its_constant():
    t = RANDOM.normal(size=(1, 50, 4))
    expected = [-norm.logpdf(t[0], loc=z).sum(axis=1).mean() - 4 * 0.5 * np.log(2 * np.pi) for z in Z]
    np.testing.assert_allclose(mean_value(squared_error(), Z, t), expected, rtol=1e-12)


def test_gaussian_is_the_log_likelihood_without_its_constant_and_tells_its_deviation():
    t, z = RANDOM.normal(size=(1, 50, 2)), np.concatenate([Z[:, :, :2], Z[:, :, 2:] / 2], axis=2)
    loss, deviation = gaussian(), np.exp(z[:, :, 2:] / 2)
    expected = [-norm.logpdf(t[0], m, s).sum(axis=1).mean() for m, s in zip(z[:, :, :2], deviation, strict=True)]
    np.testing.assert_allclose(mean_value(loss, z, t) + np.log(2 * np.pi), expected, rtol=1e-12)
    np.testing.assert_allclose(loss.deviation(z), deviation, rtol=1e-12)
    np.testing.assert_array_equal(loss.predict(z), z[:, :, :2])


def test_poisson_is_the_log_likelihood_without_its_constant():
    t, z = RANDOM.poisson(2, size=(1, 50, 4)).astype(float), Z / 3
    expected = [-scipy_poisson.logpmf(t[0], np.exp(component)).sum(axis=1).mean() for component in z]
    constant = gammaln(t + 1).sum(axis=2).mean()
    np.testing.assert_allclose(mean_value(poisson(), z, t) + constant, expected, rtol=1e-12)
    np.testing.assert_allclose(poisson().predict(z), np.exp(z), rtol=1e-12)
