"""Initial weights. A member returns a function from (generator, I, O) to W (I, O) in float64.

The variance keeps the spread of the activations (forwards) or of the gradients (backwards) the same from
layer to layer: He for ReLU and its kin, Glorot for tanh, LeCun for SELU. Biases start at zero.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from nncore.kernels.backend import Array
from nncore.kernels.hyperparameters import checked

Initializer = Callable[[np.random.Generator, int, int], Array]


def zeros() -> Initializer:
    """W = 0: for a model without hidden layers. With hidden layers, all units of one would stay the same."""
    return constant(0.0)


def constant(value: ArrayLike) -> Initializer:
    """W = value, everywhere."""
    value = checked("constant", "value", value)
    return lambda random, inputs, outputs: np.full((inputs, outputs), value)


def glorot_normal() -> Initializer:
    """W ~ Normal(0, 2 / (I + O)).

    Source   Glorot & Bengio (2010), "Understanding the difficulty of training deep feedforward neural
             networks", equation 12
    """
    return lambda random, inputs, outputs: _normal(random, inputs, outputs, 2 / (inputs + outputs))


def glorot_uniform() -> Initializer:
    """W ~ Uniform(-a, a) with a = sqrt(6 / (I + O)): variance 2 / (I + O).

    Source   Glorot & Bengio (2010), equation 16
    """
    return lambda random, inputs, outputs: _uniform(random, inputs, outputs, 2 / (inputs + outputs))


def he_normal() -> Initializer:
    """W ~ Normal(0, 2 / I): keeps the variance through ReLU, which drops half of it.

    Source   He et al. (2015), arXiv:1502.01852, equation 10
    """
    return lambda random, inputs, outputs: _normal(random, inputs, outputs, 2 / inputs)


def he_uniform() -> Initializer:
    """W ~ Uniform(-a, a) with a = sqrt(6 / I): variance 2 / I.

    Source   He et al. (2015), arXiv:1502.01852, equation 10
    """
    return lambda random, inputs, outputs: _uniform(random, inputs, outputs, 2 / inputs)


def lecun_normal() -> Initializer:
    """W ~ Normal(0, 1 / I): keeps the variance of a linear layer.

    Source   LeCun et al. (1998), "Efficient backprop", section 4.6
    """
    return lambda random, inputs, outputs: _normal(random, inputs, outputs, 1 / inputs)


def lecun_uniform() -> Initializer:
    """W ~ Uniform(-a, a) with a = sqrt(3 / I): variance 1 / I.

    Source   LeCun et al. (1998), "Efficient backprop", section 4.6
    """
    return lambda random, inputs, outputs: _uniform(random, inputs, outputs, 1 / inputs)


def orthogonal(gain: ArrayLike = 1.0) -> Initializer:
    """W = gain Q, Q uniform among the matrices with orthonormal columns (or rows, if there are more columns).

    Range    gain > 0
    Source   Saxe, McClelland & Ganguli (2013), arXiv:1312.6120
    """
    gain = checked("orthogonal", "gain", gain, above=0)

    def draw(random: np.random.Generator, inputs: int, outputs: int) -> Array:
        tall = random.normal(size=(max(inputs, outputs), min(inputs, outputs)))
        q, r = np.linalg.qr(tall)
        q *= np.sign(np.diag(r))  # else Q would depend on how qr chooses signs, and not be uniform
        return gain * (q if inputs >= outputs else q.T)

    return draw


def _normal(random: np.random.Generator, inputs: int, outputs: int, variance: float) -> Array:
    return random.normal(0.0, np.sqrt(variance), (inputs, outputs))


def _uniform(random: np.random.Generator, inputs: int, outputs: int, variance: float) -> Array:
    bound = np.sqrt(3 * variance)
    return random.uniform(-bound, bound, (inputs, outputs))
