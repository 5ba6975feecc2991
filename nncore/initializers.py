"""Initial weights. A member returns a function from (generator, I, O) to W (I, O) in float64.

The variance keeps the spread of the activations (forwards) or of the gradients (backwards) the same from
layer to layer. Biases start at zero.
"""

from collections.abc import Callable

import numpy as np

from nncore.hyperparameters import Array

Initializer = Callable[[np.random.Generator, int, int], Array]


def he_normal() -> Initializer:
    """W ~ Normal(0, 2 / I): keeps the variance through ReLU, which drops half of it.

    Source   He et al. (2015), arXiv:1502.01852, equation 10
    """

    def draw(random: np.random.Generator, inputs: int, outputs: int) -> Array:
        return random.normal(0.0, np.sqrt(2 / inputs), (inputs, outputs))

    return draw


def glorot_uniform() -> Initializer:
    """W ~ Uniform(-a, a) with a = sqrt(6 / (I + O)): variance 2 / (I + O).

    Source   Glorot & Bengio (2010), "Understanding the difficulty of training deep feedforward neural
             networks", equation 16
    """

    def draw(random: np.random.Generator, inputs: int, outputs: int) -> Array:
        bound = np.sqrt(6 / (inputs + outputs))
        return random.uniform(-bound, bound, (inputs, outputs))

    return draw
