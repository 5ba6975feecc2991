"""Initial weights: their mean, variance and bounds, measured."""

import numpy as np
from samples import RELU, shape

from nncore.initializers import glorot_uniform, he_normal
from nncore.members import Member
from nncore.network import forward, initial_parameters, layers

INPUTS, OUTPUTS = 300, 500


def test_he_normal():
    W = he_normal()(np.random.default_rng(0), INPUTS, OUTPUTS)
    assert abs(W.mean()) < 1e-3
    assert abs(W.var() * INPUTS / 2 - 1) < 0.01
    assert abs((np.abs(W) > 1.96 * W.std()).mean() - 0.05) < 2e-3  # as a normal distribution has it


def test_glorot_uniform():
    W = glorot_uniform()(np.random.default_rng(0), INPUTS, OUTPUTS)
    assert abs(W.mean()) < 1e-3
    assert abs(W.var() * (INPUTS + OUTPUTS) / 2 - 1) < 0.01
    bound = np.sqrt(6 / (INPUTS + OUTPUTS))
    assert 0.999 * bound < np.abs(W).max() <= bound


def test_he_keeps_the_spread_through_many_relu_layers():
    of = shape((256,) * 9, RELU, dtype="float64")
    x = np.random.default_rng(0).normal(size=(1, 500, 256))
    spread = [passed.z.std() for passed in forward(initial_parameters(of, 0)[None], of, x)]
    assert 0.7 < spread[-1] / spread[0] < 1.4


def test_biases_start_at_zero_and_layers_differ():
    of = shape((6, 6, 6), initializer=Member("nncore.initializers.glorot_uniform"))
    first, second = layers(initial_parameters(of, 3)[None], of.sizes)
    assert not first.b.any()
    assert not second.b.any()
    assert not np.array_equal(first.W, second.W)
