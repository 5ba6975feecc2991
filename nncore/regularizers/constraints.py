"""Constraints: what is done to the weights themselves, beside the gradient."""

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
    """Decoupled weight decay: before each step W <- W - strength factor W, whatever the optimizer makes of gradients.

    `factor` is the schedule's; the optimizer's learning rate plays no part. An AdamW with learning rate eta and
    decay lambda is Adam with strength = eta lambda.

    Range    0 <= strength < 1;  biases: whether biases, scales and shifts decay too
    Source   Loshchilov & Hutter (2017), arXiv:1711.05101, Algorithm 1
    """
    strength = checked("weight_decay", "strength", strength, at_least=0, below=1)

    def before(W: Array, step: Step) -> None:
        if biases:
            shrink(W, kept_share=1 - strength * step.factor)
        else:
            decay_weights(W, step, strength)

    return Constraint(before=before)


def max_norm(limit: ArrayLike) -> Constraint:
    """After each step, the weights that lead into one unit are scaled down to the norm `limit` if they exceed it.

        W_io <- W_io min(1, limit / sqrt(sum_i W_io^2))

    Range    limit > 0
    Source   Srivastava et al. (2014), "Dropout", section 5.1
    """
    limit = checked("max_norm", "limit", limit, above=0)

    def after(layers: Sequence[LayerView]) -> None:
        for W in (layer.W for layer in layers):
            norm = np.sqrt((W * W).sum(axis=1, keepdims=True))  # (K, 1, O)
            W *= np.minimum(1, column(limit, W) / np.maximum(norm, 1e-30))

    return Constraint(after=after)
