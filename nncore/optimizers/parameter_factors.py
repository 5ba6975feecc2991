"""Learning rates of their own for each kind of parameter."""

from itertools import groupby

import numpy as np
from numpy.typing import ArrayLike

from nncore.architecture import Architecture, kind_of
from nncore.kernels.backend import Array, State
from nncore.kernels.hyperparameters import checked
from nncore.optimizers.base import Optimizer, Step


def parameter_factors(
    optimizer: Optimizer,
    weights: ArrayLike = 1.0,
    first_layer: ArrayLike = 1.0,
    biases: ArrayLike = 1.0,
    normalisation: ArrayLike = 1.0,
    scaling_layer: ArrayLike = 1.0,
    embedding: ArrayLike = 1.0,
    activation: ArrayLike = 1.0,
    adapters: ArrayLike = 1.0,
) -> Optimizer:
    """Multiply the learning rate of another optimizer by a factor for each kind of parameter.

    Parameters
    ----------
    optimizer : Optimizer
        One in which the step of a parameter depends on no other parameter, as in Adam; not L-BFGS, not Muon.
    weights : float or array (K,), >= 0, default 1
        Factor for the weights W of all layers but the first.
    first_layer : float or array (K,), >= 0, default 1
        For the weights W of the first layer.
    biases : float or array (K,), >= 0, default 1
    normalisation : float or array (K,), >= 0, default 1
        For scales and shifts.
    scaling_layer : float or array (K,), >= 0, default 1
    embedding : float or array (K,), >= 0, default 1
        For embeddings of numbers and of categories.
    activation : float or array (K,), >= 0, default 1
        For the parameters of activations.
    adapters : float or array (K,), >= 0, default 1
        For what the members of a network do not share.

    Raises
    ------
    ValueError
        Naming argument, value, rule and network; or if the optimizer is not elementwise.

    Notes
    -----
    A kind with factor c is trained with the learning rate c learning_rate; with 0 it keeps its initial values. A
    decoupled weight decay that is multiplied by the learning rate, as in AdamW, is multiplied by c, too. The optimizer
    updates one after another the ranges of the buffer that have the same factor.

    References
    ----------
    Holzmüller, Grinsztajn & Steinwart (2024), arXiv:2407.04491, section 3.
    """
    if not optimizer.elementwise:
        name = getattr(optimizer.update, "__qualname__", "another").partition(".")[0]
        raise ValueError(
            "optimizer must be one in which the step of a parameter depends on no other parameter, such as adam, but "
            f"is {name} (parameter_factors)"
        )
    values = {
        "weights": weights,
        "first_layer": first_layer,
        "biases": biases,
        "normalisation": normalisation,
        "scaling_layer": scaling_layer,
        "embedding": embedding,
        "activation": activation,
        "adapters": adapters,
    }
    factors = {kind: checked("parameter_factors", kind, value, at_least=0) for kind, value in values.items()}
    # By kind, the first kind with equal factors: adjacent arrays of such kinds are one range.
    same = {kind: next(k for k in factors if np.array_equal(factors[k], factors[kind])) for kind in factors}

    def ranges(architecture: Architecture) -> list[tuple[int, int, str]]:
        slots = [slot for slot in architecture.layout if slot.stop <= architecture.n_parameters]
        runs = [(kind, list(run)) for kind, run in groupby(slots, lambda slot: same[kind_of(slot)])]
        return [(run[0].start, run[-1].stop, kind) for kind, run in runs]

    def update(W: Array, g: Array, state: State, step: Step) -> None:
        part: State = {}
        for start, stop, kind in ranges(step.architecture):
            columns = slice(max(start - step.offset, 0), min(stop - step.offset, W.shape[1]))
            if columns.start < columns.stop:
                part = {name: a[:, columns] if a.ndim > 1 else a.copy() for name, a in state.items()}
                step_of_part = step._replace(factor=step.factor * factors[kind], offset=step.offset + columns.start)
                optimizer.update(W[:, columns], g[:, columns], part, step_of_part)
        for name, numbers in part.items():  # of networks, such as products over the steps: the same from each part
            if numbers.ndim == 1:
                state[name][...] = numbers

    return optimizer._replace(update=update)
