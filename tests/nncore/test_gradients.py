"""Every derivative compared with the directional derivative: (L(p + h d) - L(p - h d)) / 2h = <dL/dp, d>."""

from dataclasses import replace

import numpy as np
import pytest
from discovery import ACTIVATIONS, EMBEDDINGS, LOSSES, NORMALISATIONS, REGULARIZERS, short_name
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from samples import RELU, TANH, make_architecture, make_component, make_inputs, make_targets
from scipy.special import expit

from nncore.architecture import Layer, initial_parameters, layer_views
from nncore.components import Component
from nncore.kernels.workspace import Workspace
from nncore.losses import mean_gradient, mean_value
from nncore.random_streams import RandomStreams
from nncore.reduction.autoencoder import autoencoder_architecture
from nncore.regularizers.base import Penalty
from nncore.stack.data import Data, Rows
from nncore.stack.hooks import DropoutHooks
from nncore.stack.initialization import start_parameters
from nncore.stack.passes import forward, gradient, predict

H = 1e-6
PARAMETRIC = Component("nncore.activations.parametric", (("activation", TANH),))
PENALTIES = [component for component in REGULARIZERS if isinstance(component.build(), Penalty)]


def directional(f, point, direction):
    return (f(point + H * direction) - f(point - H * direction)) / (2 * H)


def activate(f, z):
    return f.forward(z, np.empty_like(z)).copy()


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=short_name)
@settings(max_examples=50, deadline=None)
@given(z=arrays(float, (2, 3, 4), elements=st.floats(-30, 30)), dy=arrays(float, (2, 3, 4), elements=st.floats(-2, 2)))
def test_activation(activation, z, dy):
    f = activation.build()
    z = np.where(np.abs(z) < 1e-3, 0.5, z)  # kinks have their own test
    expected = directional(lambda point: activate(f, point), z, np.ones_like(z)) * dy
    dz = f.backward(dy.copy(), z, activate(f, z), np.empty_like(z))
    np.testing.assert_allclose(dz, expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=short_name)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_activation_is_finite_at_extremes(activation, dtype):
    f = activation.build()
    z = np.array([[[-1e4, -50, 0, 50, 1e4]]], dtype)
    y = activate(f, z)
    dz = f.backward(np.ones_like(z), z, y, np.empty_like(z))
    assert np.isfinite(y).all()
    assert np.isfinite(dz).all()
    assert y.dtype == dz.dtype == dtype


@pytest.mark.parametrize(("name", "slope"), [("relu", 0), ("leaky_relu", 0.01), ("elu", 1), ("selu", 1.75809934)])
def test_the_slope_at_a_kink_is_the_left_derivative(name, slope):
    (f,) = (component.build() for component in ACTIVATIONS if component.short_name == name)
    z = np.zeros((1, 1, 1))
    assert f.backward(np.ones_like(z), z, activate(f, z), np.empty_like(z))[0, 0, 0] == pytest.approx(slope)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("float64", 1e-15)])
def test_sigmoid_is_exact_in_both_tails(dtype, tolerance):
    (f,) = (component.build() for component in ACTIVATIONS if component.short_name == "sigmoid")
    z = np.linspace(-80, 80, 321).astype(dtype).reshape(1, -1, 3)
    np.testing.assert_allclose(activate(f, z), expit(z.astype(np.longdouble)).astype(float), rtol=4 * tolerance)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", LOSSES, ids=short_name)
def test_loss(loss, weighted):
    random, f = np.random.default_rng(0), loss.build()
    z, direction = random.normal(scale=2, size=(2, 3, 6, 4 * f.outputs_per_target))
    t = make_targets(loss, random, 6, 4)[None]
    weights = random.uniform(0.5, 2, size=(1, 6)) if weighted else None
    value, dz = mean_gradient(f, z, t, weights)
    np.testing.assert_array_equal(value, mean_value(f, z, t, weights))
    expected = directional(lambda point: mean_value(f, point, t, weights), z, direction)
    np.testing.assert_allclose((dz * direction).sum(axis=(1, 2)), expected, rtol=1e-6)


EXPONENTIAL = {"poisson", "gaussian"}  # exp(1e4) overflows


@pytest.mark.parametrize("loss", LOSSES, ids=short_name)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_loss_is_finite_at_extremes(loss, dtype):
    f = loss.build()
    size = 30 if loss.short_name in EXPONENTIAL else 1e4
    z = size * np.array([[[-1, 1, 0], [1, 1, 1]]], dtype)
    z = np.concatenate([z] * f.outputs_per_target, axis=2)
    t = np.array([[[1, 0, 0], [0, 0, 1]]], dtype)
    value, dz = f.gradient(z, t)
    prediction = f.predict(z)
    for array in (value, dz, prediction):
        assert np.isfinite(array).all()
        assert array.dtype == dtype


@pytest.mark.parametrize("penalty", PENALTIES, ids=short_name)
def test_penalty(penalty):
    random = np.random.default_rng(0)
    W, direction = random.normal(size=(2, 3, 40))
    built = penalty.build()
    dW = np.full_like(W, 2.0)
    built.add_gradient(W, dW)
    expected = directional(built.value, W, direction)
    np.testing.assert_allclose(((dW - 2.0) * direction).sum(axis=1), expected, rtol=1e-6, atol=1e-9)


def assert_the_chain_rule_holds(architecture, t, weights=None):
    """The gradient of a complete network, at biases, scales and shifts that differ from their initial values."""
    random = np.random.default_rng(1)
    x = make_inputs(architecture, random, t.shape[1])[None]
    rows = Rows(x[0], t[0])
    numbers = start_parameters(architecture, [(seed, 0) for seed in range(3)], Data(rows, rows))
    numbers[:, : architecture.n_parameters] += 0.1 * random.normal(size=(3, architecture.n_parameters))
    direction = np.zeros_like(numbers)
    direction[:, : architecture.n_parameters] = random.normal(size=(3, architecture.n_parameters))
    g, scratch = np.empty((3, architecture.n_parameters)), Workspace()

    def loss(point, out):
        return gradient(
            layer_views(point.copy(), architecture),
            layer_views(out, architecture),
            architecture,
            x,
            t,
            scratch,
            weights,
        )

    loss(numbers, g)
    expected = directional(lambda point: loss(point, np.empty_like(g)), numbers, direction)
    np.testing.assert_allclose(
        (g * direction[:, : architecture.n_parameters]).sum(axis=1), expected, rtol=2e-5, atol=1e-8
    )


@pytest.mark.parametrize("sizes", [(4, 3), (4, 6, 3), (4, 6, 5, 3)])
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=short_name)
def test_the_chain_rule_through_every_activation(activation, sizes):
    architecture = make_architecture(sizes, activation, dtype="float64")
    assert_the_chain_rule_holds(architecture, make_targets(architecture.loss, np.random.default_rng(2), 9, 3)[None])


@pytest.mark.parametrize("loss", LOSSES, ids=short_name)
def test_the_chain_rule_from_every_loss(loss):
    architecture = make_architecture((4, 6, 3), TANH, loss, dtype="float64")
    random = np.random.default_rng(2)
    t = make_targets(architecture.loss, random, 9, 3)[None]
    assert_the_chain_rule_holds(architecture, t)
    assert_the_chain_rule_holds(architecture, t, random.uniform(0.1, 3, size=(1, 9)))


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("normalisation", NORMALISATIONS, ids=short_name)
def test_the_chain_rule_through_normalisations_and_residual_layers(normalisation, residual):
    architecture = make_architecture(
        (4, 6, 6, 6, 3), TANH, normalisation=normalisation, residual=residual, dtype="float64"
    )
    assert any(layer.residual for layer in architecture.layers) == residual
    assert_the_chain_rule_holds(architecture, make_targets(architecture.loss, np.random.default_rng(2), 9, 3)[None])


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("hidden", [(), (5,), (6, 5)])
def test_the_chain_rule_through_an_autoencoder(hidden, tied):
    architecture = autoencoder_architecture(7, hidden, 3, TANH, tied=tied, dtype="float64")
    assert_the_chain_rule_holds(architecture, np.random.default_rng(2).normal(size=(1, 9, 7)))


def test_the_chain_rule_where_two_layers_share_the_weights_of_a_third():
    architecture = make_architecture((4, 5, 3), TANH, dtype="float64")
    layers = (Layer(5, TANH), Layer(4, TANH, tied_to=0), Layer(5, RELU), Layer(4, TANH, tied_to=0), Layer(3))
    assert_the_chain_rule_holds(
        replace(architecture, layers=layers), make_targets(architecture.loss, np.random.default_rng(2), 9, 3)[None]
    )


@pytest.mark.parametrize("normalisation", NORMALISATIONS, ids=short_name)
def test_the_chain_rule_through_a_scaling_layer_and_the_neural_tangent_parametrization(normalisation):
    learned = {"scaling_layer": True, "parametrization": "ntk", "dtype": "float64"}
    architecture = make_architecture((4, 4, 4, 3), PARAMETRIC, normalisation=normalisation, residual=True, **learned)
    t = make_targets(architecture.loss, np.random.default_rng(2), 9, 3)[None]
    assert_the_chain_rule_holds(architecture, t)
    tied = replace(autoencoder_architecture(4, (3,), 2, TANH, tied=True, dtype="float64"), **learned)
    assert_the_chain_rule_holds(tied, np.random.default_rng(2).normal(size=(1, 9, 4)))


@pytest.mark.parametrize("levels", [(), (4, 3)])
@pytest.mark.parametrize("embedding", EMBEDDINGS, ids=short_name)
def test_the_chain_rule_through_every_embedding(embedding, levels):
    columns = {"embedding": embedding, "n_numeric": 3, "levels": levels, "category_size": 2}
    architecture = make_architecture((6, 4, 3), TANH, dtype="float64", scaling_layer=True, **columns)
    n_plain = 6 - len(levels) - 3 * (not embedding.build().keeps_x)
    assert architecture.sizes[0] == n_plain + 3 * embedding.build().size + 2 * len(levels)
    t = make_targets(architecture.loss, np.random.default_rng(2), 9, 3)[None]
    assert_the_chain_rule_holds(architecture, t)
    assert_the_chain_rule_holds(replace(architecture, scaling_layer=False, parametrization="ntk"), t)
    assert_the_chain_rule_holds(replace(architecture, members=2, adapters="mini"), t)


@pytest.mark.parametrize("residual", [False, True])
def test_the_chain_rule_through_dropout_and_activity_penalties(residual):
    """Within one step the same units are dropped each time, so that the loss is differentiable."""
    architecture = make_architecture(
        (4, 6, 6, 3), TANH, normalisation=NORMALISATIONS[0], residual=residual, dtype="float64"
    )
    random, everyone = np.random.default_rng(1), slice(None)
    x, t = random.normal(size=(1, 9, 4)), make_targets(architecture.loss, random, 9, 3)[None]
    numbers = np.stack([initial_parameters(architecture, seed) for seed in range(3)])
    direction = np.zeros_like(numbers)
    direction[:, : architecture.n_parameters] = random.normal(size=(3, architecture.n_parameters))
    dropouts = [(everyone, make_component("dropout", rate=0.3, input_rate=0.2).build())]
    activities = [(slice(1, 3), make_component("activity", strength=0.5).build())]
    hooks = DropoutHooks(3, architecture, Workspace(), dropouts, activities, RandomStreams([0, 1, 2], 0))
    g, scratch = np.empty((3, architecture.n_parameters)), Workspace()

    def objective(point, out):
        """The loss and, for the second and third network, the explicit sum of the penalty."""
        layers = layer_views(point.copy(), architecture)
        loss = gradient(layers, layer_views(out, architecture), architecture, x, t, scratch, None, hooks)
        _, caches, _ = forward(layers, architecture, x, Workspace(), hooks)
        penalty = sum(np.abs(cache.out).sum(axis=(1, 2)) for cache in caches[:-1]) * 0.5 / 9
        return loss + penalty * np.array([0, 1, 1])

    objective(numbers, g)
    expected = directional(lambda point: objective(point, np.empty_like(g)), numbers, direction)
    np.testing.assert_allclose((g * direction[:, : architecture.n_parameters]).sum(axis=1), expected, rtol=2e-5)
    plain = np.empty_like(g)
    gradient(layer_views(numbers.copy(), architecture), layer_views(plain, architecture), architecture, x, t, scratch)
    assert not np.allclose(plain, g)


def test_a_residual_layer_adds_its_input():
    architecture = make_architecture((4, 4, 3), RELU, residual=True, dtype="float64")
    plain = make_architecture((4, 4, 3), RELU, dtype="float64")
    numbers = initial_parameters(architecture, 0)[None]
    layer_views(numbers, architecture)[0].W[...] = 0  # then the residual branch is zero
    x = np.random.default_rng(0).normal(size=(9, 4))
    last = layer_views(numbers, architecture)[1]
    np.testing.assert_allclose(predict(numbers, architecture, x)[0], x @ last.W[0] + last.b[0])
    assert not predict(numbers, plain, x).any()
