"""Constraints: operations on the weights themselves, independent of the gradient."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from nncore.architecture import LayerView
from nncore.kernels.backend import Array
from nncore.kernels.hyperparameters import checked, column
from nncore.optimizers.adamw import decay_weights, shrink
from nncore.optimizers.base import Step
from nncore.regularizers.base import Constraint


def weight_decay(strength: ArrayLike, biases: bool = False) -> Constraint:
    """Decoupled weight decay: the weights shrink before each step, whatever the optimizer.

    Parameters
    ----------
    strength : float or array (K,), in [0, 1)
    biases : bool, default False
        Whether biases, scales and shifts decay too.

    Raises
    ------
    ValueError
        Naming argument, value, rule and network.

    Notes
    -----
    W <- W - strength factor W with the schedule's factor; the optimizer's learning rate plays no part. AdamW with
    learning_rate and weight_decay is Adam with strength = learning_rate weight_decay.

    References
    ----------
    Loshchilov & Hutter (2017), arXiv:1711.05101, Algorithm 1.
    """
    strength = checked("weight_decay", "strength", strength, at_least=0, below=1)

    def before(W: Array, step: Step) -> None:
        if biases:
            shrink(W, kept_share=1 - strength * step.factor)
        else:
            decay_weights(W, step, strength)

    return Constraint(before=before)


def max_norm(limit: ArrayLike) -> Constraint:
    """Max-norm constraint: after each step, scale the weights into a unit down to the norm `limit` if they exceed it.

    Parameters
    ----------
    limit : float or array (K,), > 0

    Raises
    ------
    ValueError
        Naming argument, value, rule and network.

    Notes
    -----
    W_io <- W_io min(1, limit / sqrt(sum_i W_io^2))

    References
    ----------
    Srivastava et al. (2014), "Dropout: a simple way to prevent neural networks from overfitting", section 5.1.
    """
    limit = checked("max_norm", "limit", limit, above=0)

    def after(layers: Sequence[LayerView]) -> None:
        for W in (layer.W for layer in layers):
            norm = np.sqrt((W * W).sum(axis=1, keepdims=True))  # (K, 1, O)
            W *= np.minimum(1, column(limit, W) / np.maximum(norm, 1e-30))

    return Constraint(after=after)
