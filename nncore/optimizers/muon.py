"""Muon."""

import numpy as np
from numpy.typing import ArrayLike

from nncore.architecture import layer_views
from nncore.kernels.backend import Array, State
from nncore.kernels.elementwise import elementwise
from nncore.kernels.hyperparameters import checked
from nncore.optimizers.adam import adam
from nncore.optimizers.adamw import decay
from nncore.optimizers.base import Optimizer, Step, zeros

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
ROUNDS = 5


def muon(
    learning_rate: ArrayLike,
    momentum: ArrayLike = 0.95,
    weight_decay: ArrayLike = 0.0,
    adam_learning_rate: ArrayLike = 0.001,
    beta1: ArrayLike = 0.9,
    beta2: ArrayLike = 0.999,
    epsilon: ArrayLike = 1e-8,
) -> Optimizer:
    """Muon: each weight matrix moves along its mean gradient made orthogonal; everything else by Adam.

        m <- mu m + (1 - mu) g,  n = mu m + (1 - mu) g
        X = n / |n|, then five times X <- a X + (b A + c A^2) X with A = X X^T      singular values towards 1
        W <- W - eta lambda W
        W <- W - eta sqrt(max(1, O / I)) X

    Shapes   each hyperparameter: scalar or (K,)
    Range    eta > 0;  0 <= mu < 1 (momentum);  lambda >= 0 (weight_decay);  adam_learning_rate > 0;
             0 <= beta1, beta2 < 1;  epsilon > 0
    Raises   ValueError naming argument, value, rule and network
    Source   Jordan et al. (2024), "Muon: an optimizer for hidden layers in neural networks"
    Differs  the first and the last weight matrix go by Muon too; the products are in the parameter's dtype, in the
             source in bfloat16; biases, scales and shifts go by Adam with adam_learning_rate, beta1, beta2 and
             epsilon and do not decay (AdamW with decay on weights only)
    """
    learning_rate = checked("muon", "learning_rate", learning_rate, above=0)
    momentum = checked("muon", "momentum", momentum, at_least=0, below=1)
    weight_decay = checked("muon", "weight_decay", weight_decay, at_least=0)
    adam_learning_rate = checked("muon", "adam_learning_rate", adam_learning_rate, above=0)
    beta1 = checked("muon", "beta1", beta1, at_least=0, below=1)
    beta2 = checked("muon", "beta2", beta2, at_least=0, below=1)
    epsilon = checked("muon", "epsilon", epsilon, above=0)
    rest_by = adam(adam_learning_rate, beta1, beta2, epsilon)

    def init(W: Array) -> State:
        return {**zeros("m")(W), **{f"adam.{name}": array for name, array in rest_by.init(W).items()}}

    def update(W: Array, g: Array, state: State, step: Step) -> None:
        n = step.architecture.n_weights
        m, change = state["m"], step.workspace("direction", W)
        rule([m, g, change], [momentum, 1 - momentum])
        decay(W, step, learning_rate * weight_decay)
        for layer, own, moved in zip(
            step.architecture.layers,
            layer_views(W, step.architecture),
            layer_views(change, step.architecture),
            strict=True,
        ):
            if layer.tied_to is None:
                inputs, outputs = own.W.shape[1:]
                size = step.rate(learning_rate * np.sqrt(max(1, outputs / inputs)), W)[:, :, None]
                own.W[...] -= size * orthogonal(moved.W)
        rest = {name: state[f"adam.{name}"][:, n:] for name in ("m", "v")}
        rest_by.update(W[:, n:], g[:, n:], rest, step)

    return Optimizer(init, update)


@elementwise("m", "n")
def rule(m: Array, g: Array, *, mu: Array, rest: Array) -> tuple[Array, Array]:
    """The mean gradient of one parameter, and the direction; rest = 1 - mu."""
    m = mu * m + rest * g
    return m, mu * m + rest * g


def orthogonal(G: Array) -> Array:
    """Matrices (K, I, O) with the singular vectors of G and singular values near 1 (0.7 to 1.2)."""
    a, b, c = COEFFICIENTS
    X = G if G.shape[1] <= G.shape[2] else G.swapaxes(1, 2)
    size = np.sqrt((X * X).sum(axis=2).sum(axis=1))[:, None, None]
    X = X / np.maximum(size, 1e-7)
    for _ in range(ROUNDS):
        A = X @ X.swapaxes(1, 2)
        X = a * X + (b * A + c * (A @ A)) @ X
    return X if G.shape[1] <= G.shape[2] else X.swapaxes(1, 2)
