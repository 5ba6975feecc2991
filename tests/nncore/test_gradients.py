"""Every derivative against the directional derivative: (L(p + h d) - L(p - h d)) / 2h = <dL/dp, d>."""

import numpy as np
import pytest
from discovery import ACTIVATIONS, LOSSES, REGULARIZERS, short
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from samples import shape, targets

from nncore.network import gradient, initial_parameters

H = 1e-6


def directional(f, at, direction):
    return (f(at + H * direction) - f(at - H * direction)) / (2 * H)


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=short)
@settings(max_examples=50, deadline=None)
@given(z=arrays(float, (2, 3, 4), elements=st.floats(-30, 30)), dy=arrays(float, (2, 3, 4), elements=st.floats(-2, 2)))
def test_activation(activation, z, dy):
    f = activation.build()
    z = np.where(np.abs(z) < 1e-3, 0.5, z)  # relu's kink is tested apart
    dz = f.backward(dy, z, f.forward(z))
    expected = directional(f.forward, z, np.ones_like(z)) * dy
    np.testing.assert_allclose(dz, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=short)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_activation_is_finite_at_extremes(activation, dtype):
    f = activation.build()
    z = np.array([[[-1e4, -50, 0, 50, 1e4]]], dtype)
    y = f.forward(z)
    dz = f.backward(np.ones_like(z), z, y)
    assert np.isfinite(y).all()
    assert np.isfinite(dz).all()
    assert y.dtype == dz.dtype == dtype


def test_relu_has_slope_0_at_its_kink():
    f = next(member for member in ACTIVATIONS if short(member) == "relu").build()
    z = np.zeros((1, 1, 1))
    assert f.backward(np.ones_like(z), z, f.forward(z))[0, 0, 0] == 0


@pytest.mark.parametrize("loss", LOSSES, ids=short)
def test_loss(loss):
    random = np.random.default_rng(0)
    z, direction = random.normal(scale=3, size=(2, 3, 6, 4))
    t = targets(loss, random, 6, 4)[None]
    value, dz = loss.build().gradient(z, t)
    np.testing.assert_array_equal(value, loss.build().value(z, t))
    expected = directional(lambda at: loss.build().value(at, t), z, direction)
    np.testing.assert_allclose((dz * direction).sum(axis=(1, 2)), expected, rtol=1e-7)


@pytest.mark.parametrize("loss", LOSSES, ids=short)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_loss_is_finite_at_extremes(loss, dtype):
    z = np.array([[[-1e4, 1e4, 0], [1e4, 1e4, 1e4]]], dtype)
    t = np.array([[[1, 0, 0], [0, 0, 1]]], dtype)
    value, dz = loss.build().gradient(z, t)
    answer = loss.build().answer(z)
    assert np.isfinite(value).all()
    assert np.isfinite(dz).all()
    assert np.isfinite(answer).all()
    assert value.dtype == dz.dtype == answer.dtype == dtype


@pytest.mark.parametrize("regularizer", REGULARIZERS, ids=short)
def test_regularizer(regularizer):
    random = np.random.default_rng(0)
    W, direction = random.normal(size=(2, 3, 40))
    penalty = regularizer.build()
    dW = np.full_like(W, 2.0)
    penalty.add_gradient(W, dW)
    expected = directional(penalty.value, W, direction)
    np.testing.assert_allclose(((dW - 2.0) * direction).sum(axis=1), expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("sizes", [(4, 3), (4, 6, 3), (4, 6, 5, 3)])
@pytest.mark.parametrize("loss", LOSSES, ids=short)
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=short)
def test_the_chain_rule_through_a_whole_network(activation, loss, sizes):
    of = shape(sizes, activation, loss, dtype="float64")
    random = np.random.default_rng(1)
    x, t = random.normal(size=(1, 9, 4)), targets(loss, random, 9, 3)[None]
    parameters = np.stack([initial_parameters(of, seed) for seed in range(3)])
    parameters += 0.1 * random.normal(size=parameters.shape)  # biases too
    direction = random.normal(size=parameters.shape)
    g = np.empty_like(parameters)
    gradient(parameters, of, x, t, out=g)
    scratch = np.empty_like(parameters)
    expected = directional(lambda at: gradient(at, of, x, t, out=scratch), parameters, direction)
    np.testing.assert_allclose((g * direction).sum(axis=1), expected, rtol=1e-5, atol=1e-8)
