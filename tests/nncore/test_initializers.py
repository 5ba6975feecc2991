"""Initial weights: their mean, variance and bounds, measured."""

from dataclasses import replace

import numpy as np
import pytest
from discovery import INITIALIZERS, short_name
from samples import BATCH_NORM, RELU, TANH, make_architecture, make_data

from nncore.architecture import initial_parameters, layer_views
from nncore.components import Component
from nncore.kernels.workspace import Workspace
from nncore.stack.data import Data, Rows
from nncore.stack.initialization import start_parameters
from nncore.stack.passes import forward, predict

INPUTS, OUTPUTS = 300, 500
VARIANCES = {"he": 2 / INPUTS, "lecun": 1 / INPUTS, "glorot": 2 / (INPUTS + OUTPUTS)}
DRAWN = [f"{scale}_{kind}" for scale in VARIANCES for kind in ("normal", "uniform")] + ["fan_in_uniform"]
VARIANCES["fan"] = 1 / (3 * INPUTS)  # bound 1 / sqrt(INPUTS)


def drawn(name, seed=0, dims=(INPUTS, OUTPUTS), **arguments):
    return Component(f"nncore.initializers.{name}", tuple(arguments.items())).build()(
        np.random.default_rng(seed), *dims
    )


def test_every_initializer_is_measured():
    assert {short_name(component) for component in INITIALIZERS} == {
        *(*DRAWN, "zeros", "constant", "orthogonal", "data_driven")
    }


@pytest.mark.parametrize("name", DRAWN)
def test_mean_and_variance(name):
    W, variance = drawn(name), VARIANCES[name.partition("_")[0]]
    assert abs(W.mean()) < 4 * np.sqrt(variance / W.size)
    assert abs(W.var() / variance - 1) < 0.01
    assert abs(W.var(axis=0).mean() / W.var(axis=1).mean() - 1) < 0.01


@pytest.mark.parametrize("name", [name for name in DRAWN if "normal" in name])
def test_normal_initializers_have_normal_tails(name):
    W = drawn(name)
    assert abs((np.abs(W) > 1.96 * W.std()).mean() - 0.05) < 2e-3
    assert np.abs(W).max() > 4 * W.std()


@pytest.mark.parametrize("name", [name for name in DRAWN if "uniform" in name])
def test_uniform_initializers_fill_their_bounds(name):
    W, bound = drawn(name), np.sqrt(3 * VARIANCES[name.partition("_")[0]])
    assert 0.999 * bound < W.max() <= bound
    assert -0.999 * bound > W.min() >= -bound
    assert abs((np.abs(W) < bound / 2).mean() - 0.5) < 5e-3


def test_zeros_and_constant():
    assert not drawn("zeros").any()
    assert set(drawn("constant", value=-0.25).ravel()) == {-0.25}


@pytest.mark.parametrize("dims", [(30, 50), (50, 30), (40, 40), (1, 7), (7, 1)])
def test_orthogonal_has_orthonormal_rows_or_columns(dims):
    W = drawn("orthogonal", dims=dims, gain=2.0) / 2
    small = W @ W.T if dims[0] <= dims[1] else W.T @ W
    np.testing.assert_allclose(small, np.eye(min(dims)), atol=1e-12)


def test_orthogonal_is_uniform_among_rotations():
    """Each entry of a uniform 3 x 3 rotation (or reflection) is uniform from -1 to 1; determinants of both signs."""
    many = np.stack([drawn("orthogonal", seed, (3, 3)) for seed in range(3000)])
    assert abs(many.mean(axis=0)).max() < 0.05
    assert abs(many.var(axis=0) * 3 - 1).max() < 0.1
    assert abs((np.linalg.det(many) > 0).mean() - 0.5) < 0.05
    assert abs((abs(many) < 0.5).mean() - 0.5) < 0.02


@pytest.mark.parametrize(("name", "activation"), [("he_normal", RELU), ("he_uniform", RELU), ("glorot_normal", TANH)])
def test_the_variance_is_kept_through_many_layers(name, activation):
    architecture = make_architecture(
        (256,) * 9, activation, dtype="float64", initializer=Component(f"nncore.initializers.{name}")
    )
    x = np.random.default_rng(0).normal(scale=0.1 if activation == TANH else 1, size=(1, 500, 256))
    layers = layer_views(initial_parameters(architecture, 0)[None], architecture)
    _, passed, _ = forward(layers, architecture, x, Workspace())
    spread = [(layer.x @ view.W).std() for layer, view in zip(passed, layers, strict=True)]
    assert 0.7 < spread[-1] / spread[0] < 1.4


def test_the_neural_tangent_parametrization_starts_as_the_same_function():
    """Its weights are larger by the root of the inputs; a scaling layer and parametric activations change nothing."""
    parametric = Component("nncore.activations.parametric", (("activation", TANH),))
    architecture = make_architecture((9, 16, 16, 3), parametric, dtype="float64")
    plain = make_architecture((9, 16, 16, 3), TANH, dtype="float64")
    tangent = replace(architecture, scaling_layer=True, parametrization="ntk")
    x = np.random.default_rng(0).normal(size=(50, 9))
    expected = predict(initial_parameters(plain, 3)[None], plain, x)
    numbers = initial_parameters(tangent, 3)[None]
    np.testing.assert_allclose(predict(numbers, tangent, x), expected, rtol=1e-12)
    weights = [view.W for view in layer_views(initial_parameters(plain, 3)[None], plain)]
    for view, W in zip(layer_views(numbers, tangent), weights, strict=True):
        np.testing.assert_allclose(view.W, W * np.sqrt(W.shape[1]), rtol=1e-12)
    assert tangent.n_parameters == plain.n_parameters + 9 + 16 + 16


DATA_DRIVEN = Component("nncore.initializers.data_driven")


@pytest.mark.parametrize("parametrization", ["standard", "ntk"])
def test_data_driven_units_have_deviation_one_and_their_kinks_within_the_data(parametrization):
    architecture = make_architecture(
        (6, 40, 30, 3), RELU, dtype="float64", initializer=DATA_DRIVEN, parametrization=parametrization
    )
    data = make_data(architecture, n_train=300)
    numbers = start_parameters(architecture, [(0, 0), (1, 0), (0, 0)], data)
    assert (numbers[0] == numbers[2]).all()
    assert (numbers[0] != numbers[1]).all()
    layers = layer_views(numbers, architecture)
    x = data.train.x[None]
    for index, view in enumerate(layers):
        z = x @ view.W * (1 if parametrization == "standard" else 1 / np.sqrt(x.shape[2]))
        np.testing.assert_allclose(z.std(axis=1), 1, rtol=1e-12)
        kinks = -view.b
        assert (z.min(axis=1, keepdims=True) < kinks).all()
        assert (kinks < z.max(axis=1, keepdims=True)).all()
        x = np.maximum(z + view.b, 0) if index < 2 else z


def test_a_data_driven_bias_mixes_rows_with_the_shares_of_a_flat_dirichlet_distribution():
    z = np.random.default_rng(0).normal(size=(2000, 20_000))
    bias = DATA_DRIVEN.build().bias(np.random.default_rng(1), z)
    assert bias.var() == pytest.approx(1 / 3, rel=0.03)
    assert Component(DATA_DRIVEN.name, (("rows", 1),)).build().bias(np.random.default_rng(1), z).var() == pytest.approx(
        1, rel=0.05
    )


def test_data_driven_weights_of_constant_columns_stay_finite():
    architecture = make_architecture((4, 5, 2), initializer=DATA_DRIVEN, n_numeric=0)
    rows = Rows(np.zeros((20, 4), np.float32), np.eye(2, dtype=np.float32)[[0, 1] * 10])
    assert np.isfinite(start_parameters(architecture, [(0, 0)], Data(rows, rows))).all()
    with pytest.raises(ValueError, match="data must be given, as data_driven takes numbers from the training rows"):
        start_parameters(architecture, [(0, 0)], None)


def test_biases_start_at_zero_scales_at_one_and_layers_differ():
    architecture = make_architecture(
        (6, 6, 6, 6), normalisation=BATCH_NORM, initializer=Component("nncore.initializers.glorot_uniform")
    )
    first, second, last = layer_views(initial_parameters(architecture, 3)[None], architecture)
    assert last.b.shape == (1, 1, 6)
    for layer in (first, second, last):
        assert not layer.b.any()
    for layer in (first, second):
        assert not layer.shift.any()
        assert not layer.mean.any()
        assert (layer.scale == 1).all()
        assert (layer.variance == 1).all()
    assert not np.array_equal(first.W, second.W)
