"""Muon."""

import numpy as np
from numpy.typing import ArrayLike

from nncore.architecture import layer_views
from nncore.kernels.backend import Array, State
from nncore.kernels.elementwise import elementwise
from nncore.kernels.hyperparameters import checked, column
from nncore.optimizers.adam import adam
from nncore.optimizers.adamw import decay_weights
from nncore.optimizers.base import Optimizer, Step, zeros

NEWTON_SCHULZ_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_ITERATIONS = 5


def muon(
    learning_rate: ArrayLike,
    momentum: ArrayLike = 0.95,
    weight_decay: ArrayLike = 0.0,
    adam_learning_rate: ArrayLike = 0.001,
    beta1: ArrayLike = 0.9,
    beta2: ArrayLike = 0.999,
    epsilon: ArrayLike = 1e-8,
) -> Optimizer:
    """Muon: move each weight matrix along its orthogonalised mean gradient, and all other parameters by Adam.

    Parameters
    ----------
    learning_rate : float or array (K,), > 0
        Of the weight matrices.
    momentum : float or array (K,), in [0, 1), default 0.95
        Decay of the mean gradient.
    weight_decay : float or array (K,), >= 0, default 0
        Decoupled weight decay of the weights, multiplied by the learning rate.
    adam_learning_rate : float or array (K,), > 0, default 0.001
        Of biases, scales and shifts.
    beta1, beta2 : float or array (K,), in [0, 1), default 0.9 and 0.999
        Adam's decay of the mean of gradients and of squared gradients.
    epsilon : float or array (K,), > 0, default 1e-8
        Adam's epsilon.

    Raises
    ------
    ValueError
        Naming argument, value, rule and network.

    Notes
    -----
    m <- momentum m + (1 - momentum) g;  n = momentum m + (1 - momentum) g;
    X = n / |n|, then five times X <- a X + (b A + c A^2) X with A = X X^T, which brings all singular values near 1;
    W <- W - learning_rate weight_decay W;  W <- W - learning_rate sqrt(max(1, O / I)) X.
    Unlike in the source, the first and the last weight matrix are moved by Muon too, and the products are computed in
    the parameters' dtype, not in bfloat16. Biases, scales and shifts do not decay.

    References
    ----------
    Jordan et al. (2024), "Muon: an optimizer for hidden layers in neural networks".
    """
    learning_rate = checked("muon", "learning_rate", learning_rate, above=0)
    momentum = checked("muon", "momentum", momentum, at_least=0, below=1)
    weight_decay = checked("muon", "weight_decay", weight_decay, at_least=0)
    adam_learning_rate = checked("muon", "adam_learning_rate", adam_learning_rate, above=0)
    beta1 = checked("muon", "beta1", beta1, at_least=0, below=1)
    beta2 = checked("muon", "beta2", beta2, at_least=0, below=1)
    epsilon = checked("muon", "epsilon", epsilon, above=0)
    plain_adam = adam(adam_learning_rate, beta1, beta2, epsilon)

    def init(W: Array) -> State:
        return {**zeros("m")(W), **{f"adam.{name}": array for name, array in plain_adam.init(W).items()}}

    def update(W: Array, g: Array, state: State, step: Step) -> None:
        architecture, direction = step.architecture, step.workspace("direction", W)
        muon_direction(state["m"], g, direction, momentum=momentum, one_minus_momentum=1 - momentum)
        decay_weights(W, step, learning_rate * weight_decay)
        layers = zip(
            architecture.layers, layer_views(W, architecture), layer_views(direction, architecture), strict=True
        )
        for layer, parameters, directions in layers:
            if layer.tied_to is None:
                inputs, outputs = parameters.W.shape[-2:]
                rate = column(learning_rate * np.sqrt(max(1, outputs / inputs)) * step.factor, parameters.W)
                matrices = orthogonalised(directions.W.reshape(-1, inputs, outputs))
                parameters.W[...] -= rate * matrices.reshape(parameters.W.shape)
        others = slice(architecture.n_matrix_weights, None)
        adam_state = {name: state[f"adam.{name}"][:, others] for name in ("m", "v")}
        plain_adam.update(W[:, others], g[:, others], adam_state, step)

    return Optimizer(init, update)


@elementwise("m", "n")
def muon_direction(m: Array, g: Array, *, momentum: Array, one_minus_momentum: Array) -> tuple[Array, Array]:
    """Return the mean gradient of one parameter, and the direction n."""
    m = momentum * m + one_minus_momentum * g
    return m, momentum * m + one_minus_momentum * g


def orthogonalised(G: Array) -> Array:
    """Return matrices (K, I, O) with the singular vectors of G and singular values near 1 (0.7 to 1.2).

    Parameters
    ----------
    G : array (K, I, O)

    Notes
    -----
    Newton-Schulz iterations; see `muon`.
    """
    a, b, c = NEWTON_SCHULZ_COEFFICIENTS
    X = G if G.shape[1] <= G.shape[2] else G.swapaxes(1, 2)
    norm = np.sqrt((X * X).sum(axis=2).sum(axis=1))[:, None, None]
    X = X / np.maximum(norm, 1e-7)
    for _ in range(NEWTON_SCHULZ_ITERATIONS):
        A = X @ X.swapaxes(1, 2)
        X = a * X + (b * A + c * (A @ A)) @ X
    return X if G.shape[1] <= G.shape[2] else X.swapaxes(1, 2)
