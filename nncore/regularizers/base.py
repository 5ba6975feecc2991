"""The types of regularizers, by the place where they act. Every function works on K networks at a time."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from nncore.architecture import LayerView
from nncore.kernels.backend import Array, State
from nncore.optimizers.base import Step
from nncore.random_streams import NetworkStreams
from nncore.schedules import Schedule, constant

CONSTANT = constant()  # the schedule of what does not change in the course of training
AUTO = "auto"  # the curve that early stopping watches, where it is not named
OBJECTIVE = "train/objective"  # the curve of what training minimises, computed only where it is needed


class Penalty(NamedTuple):
    """A term that is added to the loss.

    Parameters
    ----------
    value : callable
        value(W) returns the penalty (K,) of the parameters W (K, weights).
    add_gradient : callable
        add_gradient(W, dW) adds its derivative to dW, in place.
    biases : bool, default False
        Whether W holds all parameters and not only the weights.
    """

    value: Callable[[Array], Array]
    add_gradient: Callable[[Array, Array], None]
    biases: bool = False


class Constraint(NamedTuple):
    """An operation on the parameters, in place.

    Parameters
    ----------
    before : callable, optional
        before(W, step) is called before the optimizer's step; W is (K, P).
    after : callable, optional
        after(layers) is called after it, with views of each layer.
    """

    before: Callable[[Array, Step], None] = lambda W, step: None
    after: Callable[[Sequence[LayerView]], None] = lambda layers: None


class Clipping(NamedTuple):
    """A bound on the gradient.

    Parameters
    ----------
    clip : callable
        clip(g) bounds the gradient (K, P) of loss and penalties, in place.
    """

    clip: Callable[[Array], None]


class Augmentation(NamedTuple):
    """A random change of the rows of each batch, in training only.

    Parameters
    ----------
    augment : callable
        augment(x, t, targets, streams) changes x (K, N, I) and t (K, N, O) in place; `targets` is the kind of t.
        x has no codes of categories.
    targets : tuple of str, default all
        Kinds of targets that it can be used with.
    mixes_rows : bool, default False
        Whether it replaces rows by mixtures of rows.
    """

    augment: Callable[[Array, Array, str, NetworkStreams], None]
    targets: tuple[str, ...] = ("one-hot", "binary", "real", "count")
    mixes_rows: bool = False


class Dropout(NamedTuple):
    """Shares of a layer's inputs that are dropped.

    Parameters
    ----------
    input_rate : array (K,) or (1,)
        Share of the columns of the rows.
    rate : array (K,) or (1,)
        Share of the outputs of hidden layers.
    schedule : Schedule, default constant
        Factor of both shares.
    """

    input_rate: Array
    rate: Array
    schedule: Schedule = CONSTANT


class ActivityRegularizer(NamedTuple):
    """A penalty on the outputs of hidden layers.

    Parameters
    ----------
    add_gradient : callable
        add_gradient(y, dy) adds its derivative by a layer's y (K, N, O) to dy, in place.
    value : callable, default 0
        value(y) returns the penalty (K,), which early stopping may watch as a part of the objective.
    """

    add_gradient: Callable[[Array, Array], None]
    value: Callable[[Array], Array] = lambda y: np.zeros_like(y, shape=len(y))


class WeightAverage(NamedTuple):
    """Selects a mean over the steps of training, not the last weights.

    Parameters
    ----------
    init : callable
        init(W) returns the state for the numbers W (K, buffer_size) of the networks.
    observe : callable
        observe(W, state, step, epoch) is called after each step; epochs count from 1.
    average : callable
        average(W, state) returns the selected numbers, a new array.
    """

    init: Callable[[Array], State]
    observe: Callable[[Array, State, Step, int], None]
    average: Callable[[Array, State], Array]


class EarlyStopping(NamedTuple):
    """Knows the best weights of a network's training, and may end it.

    Parameters
    ----------
    watch : str
        Name of the curve that decides; AUTO stands for that of the metric by which networks are selected, which is the
        validation loss unless whoever starts the training says otherwise.
    restore : bool
        Whether the best weights are selected in the end, rather than the last ones.
    init : callable
        init(W) returns the state for the numbers W (K, buffer_size) of the networks.
    observe : callable
        observe(W, state, value, epoch) is called after each epoch with the curve's value (K,); it returns which
        networks stop, (K,).
    """

    watch: str
    restore: bool
    init: Callable[[Array], State]
    observe: Callable[[Array, State, Array, int], Array]

    @property
    def curve(self) -> str:
        """The curve that is watched."""
        return "validation/loss" if self.watch == AUTO else self.watch


Regularizer = (
    Penalty | Constraint | Clipping | Augmentation | Dropout | ActivityRegularizer | WeightAverage | EarlyStopping
)
