"""Initial weights: each public function returns a function from (generator, I, O) to W (I, O) in float64.

The variance keeps the spread of the activations (in the forward pass) or of the gradients (in the backward pass) the
same from layer to layer: He for ReLU and its variants, Glorot for tanh, LeCun for SELU. Biases start at zero. One
initializer looks at the data: `data_driven`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from nncore.kernels.backend import Array
from nncore.kernels.hyperparameters import checked

Initializer = Callable[[np.random.Generator, int, int], Array]


def zeros() -> Initializer:
    """Zeros, for a model without hidden layers: all units of a hidden layer would stay the same."""
    return constant(0.0)


def constant(value: ArrayLike) -> Initializer:
    """The same value for all weights.

    Parameters
    ----------
    value : float

    Raises
    ------
    ValueError
        Naming argument, value, rule and network.
    """
    value = checked("constant", "value", value)
    return lambda random, inputs, outputs: np.full((inputs, outputs), value)


def glorot_normal() -> Initializer:
    """Glorot's normal distribution: W ~ Normal(0, 2 / (I + O)).

    References
    ----------
    Glorot & Bengio (2010), "Understanding the difficulty of training deep feedforward neural networks", equation 12.
    """
    return lambda random, inputs, outputs: _normal(random, inputs, outputs, 2 / (inputs + outputs))


def glorot_uniform() -> Initializer:
    """Glorot's uniform distribution: W ~ Uniform(-a, a) with a = sqrt(6 / (I + O)), variance 2 / (I + O).

    References
    ----------
    Glorot & Bengio (2010), "Understanding the difficulty of training deep feedforward neural networks", equation 16.
    """
    return lambda random, inputs, outputs: _uniform(random, inputs, outputs, 2 / (inputs + outputs))


def he_normal() -> Initializer:
    """He's normal distribution: W ~ Normal(0, 2 / I), which keeps the variance through ReLU, which drops half of it.

    References
    ----------
    He et al. (2015), arXiv:1502.01852, equation 10.
    """
    return lambda random, inputs, outputs: _normal(random, inputs, outputs, 2 / inputs)


def he_uniform() -> Initializer:
    """He's uniform distribution: W ~ Uniform(-a, a) with a = sqrt(6 / I), variance 2 / I.

    References
    ----------
    He et al. (2015), arXiv:1502.01852, equation 10.
    """
    return lambda random, inputs, outputs: _uniform(random, inputs, outputs, 2 / inputs)


def lecun_normal() -> Initializer:
    """LeCun's normal distribution: W ~ Normal(0, 1 / I), which keeps the variance of a linear layer.

    References
    ----------
    LeCun et al. (1998), "Efficient backprop", section 4.6.
    """
    return lambda random, inputs, outputs: _normal(random, inputs, outputs, 1 / inputs)


def lecun_uniform() -> Initializer:
    """LeCun's uniform distribution: W ~ Uniform(-a, a) with a = sqrt(3 / I), variance 1 / I.

    References
    ----------
    LeCun et al. (1998), "Efficient backprop", section 4.6.
    """
    return lambda random, inputs, outputs: _uniform(random, inputs, outputs, 1 / inputs)


def fan_in_uniform() -> Initializer:
    """Uniform distribution with the bound 1 / sqrt(I), as in TabM: W ~ Uniform(-a, a) with a = 1 / sqrt(I).

    Notes
    -----
    Its variance is 1 / (3 I). It is also what torch's linear layers start with.

    References
    ----------
    Gorishniy, Kotelnikov & Babenko (2024), arXiv:2410.24210, section 3.
    """
    return lambda random, inputs, outputs: _uniform(random, inputs, outputs, 1 / (3 * inputs))


def orthogonal(gain: ArrayLike = 1.0) -> Initializer:
    """Orthogonal matrices: W = gain Q, where Q has orthonormal columns (or rows, if it has more columns than rows).

    Parameters
    ----------
    gain : float, > 0, default 1

    Raises
    ------
    ValueError
        Naming argument, value, rule and network.

    Notes
    -----
    Q is uniformly distributed among these matrices.

    References
    ----------
    Saxe, McClelland & Ganguli (2013), arXiv:1312.6120.
    """
    gain = checked("orthogonal", "gain", gain, above=0)

    def draw(random: np.random.Generator, inputs: int, outputs: int) -> Array:
        tall = random.normal(size=(max(inputs, outputs), min(inputs, outputs)))
        q, r = np.linalg.qr(tall)
        q *= np.sign(np.diag(r))  # otherwise Q would depend on how qr chooses signs, and would not be uniform
        return gain * (q if inputs >= outputs else q.T)

    return draw


@dataclass(frozen=True)
class DataDrivenInitializer:
    """Draws weights as any initializer does, and fits them and the biases to what the layer makes of training rows.

    Parameters
    ----------
    n_rows : int
        See `data_driven`.
    """

    n_rows: int

    def __call__(self, random: np.random.Generator, inputs: int, outputs: int) -> Array:
        """Return standard normal weights (I, O)."""
        return random.normal(size=(inputs, outputs))

    def bias(self, random: np.random.Generator, z: Array) -> Array:
        """Return the bias (O,) of each unit for its products z (N, O) of training rows."""
        rows = random.integers(len(z), size=(z.shape[1], self.n_rows))
        shares = random.exponential(size=rows.shape)
        shares /= shares.sum(axis=1, keepdims=True)
        return -(z[rows, np.arange(z.shape[1])[:, None]] * shares).sum(axis=1)


def data_driven(rows: int = 5) -> Initializer:
    """Weights and biases from the network's own training rows, layer by layer.

    Parameters
    ----------
    rows : int, >= 1, default 5
        Training rows whose products make a unit's bias.

    Raises
    ------
    ValueError
        Naming argument, value and rule.

    Notes
    -----
    W ~ Normal(0, 1), then each unit's weights are divided by the standard deviation of its z = x W over the training
    rows, of which at most 8,192 are used. b = -(c_1 z_1 + ... + c_r z_r) for random rows of the unit's own, with shares
    c ~ Exponential(1) that are divided by their sum: the unit's kink is where the data are. What the layer makes of the
    rows then enters the next layer. Also the last layer is fitted.

    References
    ----------
    Holzmueller, Grinsztajn & Steinwart (2024), arXiv:2407.04491, appendix A.1; Steinwart (2019), arXiv:1903.04391 (the
    biases).
    """
    return DataDrivenInitializer(int(checked("data_driven", "rows", rows, at_least=1, integer=True).item()))


def _normal(random: np.random.Generator, inputs: int, outputs: int, variance: float) -> Array:
    return random.normal(0.0, np.sqrt(variance), (inputs, outputs))


def _uniform(random: np.random.Generator, inputs: int, outputs: int, variance: float) -> Array:
    bound = np.sqrt(3 * variance)
    return random.uniform(-bound, bound, (inputs, outputs))
