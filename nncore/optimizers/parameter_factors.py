"""Learning rates of their own for each kind of parameter."""

from numpy.typing import ArrayLike

from nncore.kernels.backend import Array, State
from nncore.optimizers.base import FactorsByKind, Optimizer, Step


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
    factors = FactorsByKind(
        "parameter_factors",
        weights=weights,
        first_layer=first_layer,
        biases=biases,
        normalisation=normalisation,
        scaling_layer=scaling_layer,
        embedding=embedding,
        activation=activation,
        adapters=adapters,
    )

    def update(W: Array, g: Array, state: State, step: Step) -> None:
        part: State = {}
        for numbers, factor in factors.ranges(step.architecture):
            start, stop = max(numbers.start - step.offset, 0), min(numbers.stop - step.offset, W.shape[1])
            if start < stop:
                part = {name: a[:, start:stop] if a.ndim > 1 else a.copy() for name, a in state.items()}
                step_of_part = step._replace(factor=step.factor * factor, offset=step.offset + start)
                optimizer.update(W[:, start:stop], g[:, start:stop], part, step_of_part)
        for name, array in part.items():  # numbers of networks depend on the steps alone: the same from each part
            if array.ndim == 1:
                state[name][...] = array

    return optimizer._replace(update=update)
