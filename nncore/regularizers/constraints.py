"""Constraints: operations on the weights themselves, independent of the gradient."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from nncore.architecture import LayerView
from nncore.kernels.backend import Array
from nncore.kernels.hyperparameters import checked, column
from nncore.optimizers.adamw import shrink
from nncore.optimizers.base import FactorsByKind, Step
from nncore.regularizers.base import CONSTANT, Constraint
from nncore.schedules import Schedule, check_depends_on_time_alone


def weight_decay(
    strength: ArrayLike,
    biases: bool = False,
    schedule: Schedule = CONSTANT,
    first_layer: ArrayLike = 1.0,
    scaling_layer: ArrayLike = 0.0,
    embedding: ArrayLike = 0.0,
    activation: ArrayLike = 0.0,
    adapters: ArrayLike = 1.0,
) -> Constraint:
    """Decoupled weight decay: the weights shrink before each step, whatever the optimizer.

    Parameters
    ----------
    strength : float or array (K,), in [0, 1)
        Share of the weights W of all layers but the first that a step takes away.
    biases : bool, default False
        Whether biases, scales and shifts decay too.
    schedule : Schedule, default constant
        Factor of the strength in the course of training, from step to step.
    first_layer : float or array (K,), >= 0, default 1
        Factor of the strength for the weights W of the first layer.
    scaling_layer : float or array (K,), >= 0, default 0
    embedding : float or array (K,), >= 0, default 0
        For embeddings of numbers and of categories.
    activation : float or array (K,), >= 0, default 0
        For the parameters of activations.
    adapters : float or array (K,), >= 0, default 1
        For what the members of a network do not share.

    Raises
    ------
    ValueError
        Naming argument, value, rule and network; or if the schedule does not depend on time alone.

    Notes
    -----
    W <- W - min(1, strength factor c s) W with the factor of the learning rate's schedule, the factor c of the kind of
    parameter and the factor s of the decay's own schedule; the optimizer's learning rate plays no part, nor do its
    factors by kind. AdamW with learning_rate and weight_decay is Adam with strength = learning_rate weight_decay.

    References
    ----------
    Loshchilov & Hutter (2017), arXiv:1711.05101, Algorithm 1.
    """
    strength = checked("weight_decay", "strength", strength, at_least=0, below=1)
    check_depends_on_time_alone("weight_decay", schedule)
    factors = FactorsByKind(
        "weight_decay",
        weights=1.0,
        first_layer=first_layer,
        biases=float(biases),
        normalisation=float(biases),
        scaling_layer=scaling_layer,
        embedding=embedding,
        activation=activation,
        adapters=adapters,
    )

    def before(W: Array, step: Step) -> None:
        share = strength * step.factor * schedule.factor(step.time, {})
        for numbers, factor in factors.ranges(step.architecture):
            if factor.any():
                shrink(W[:, numbers], kept_share=np.maximum(1 - share * factor, 0))

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
            norm = np.sqrt((W * W).sum(axis=-2, keepdims=True))  # (K, 1, O), or (K, k, 1, O)
            W *= np.minimum(1, column(limit, W) / np.maximum(norm, 1e-30))

    return Constraint(after=after)
