"""The kinds of regularizers, by the place where they act. K networks at a time, as everywhere."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from nncore.architecture import LayerView
from nncore.kernels.backend import Array, State
from nncore.optimizers.base import Step
from nncore.random_streams import NetworkStreams


class Penalty(NamedTuple):
    """Added to the loss.

    value          the penalty (K,) of parameters W (K, weights)
    add_gradient   adds its derivative to dW, in place
    biases         whether W holds all parameters, and not only the weights
    """

    value: Callable[[Array], Array]
    add_gradient: Callable[[Array, Array], None]
    biases: bool = False


class Constraint(NamedTuple):
    """Acts on the parameters, in place.

    before   (W, step): before the optimizer's step, W (K, P)
    after    (layers): after it, views of each layer
    """

    before: Callable[[Array, Step], None] = lambda W, step: None
    after: Callable[[Sequence[LayerView]], None] = lambda layers: None


class Clipping(NamedTuple):
    """clip(g) bounds the gradient (K, P) of loss and penalties, in place."""

    clip: Callable[[Array], None]


class Augmentation(NamedTuple):
    """Acts on the rows of each batch, in training only.

    augment   (x, t, kind, draw): changes x (K, N, I) and t (K, N, O), targets of this kind, in place
    targets   which kinds of targets it can be used with
    """

    augment: Callable[[Array, Array, str, NetworkStreams], None]
    targets: tuple[str, ...] = ("one-hot", "binary", "real", "count")


class Dropout(NamedTuple):
    """The share (K,) or (1,) of a layer's inputs that is left out: of the rows' own columns, and of hidden layers'."""

    input_rate: Array
    rate: Array


class ActivityRegularizer(NamedTuple):
    """add_gradient(y, dy): the derivative of a penalty on a layer's y (K, N, O), added to dy in place."""

    add_gradient: Callable[[Array, Array], None]


class WeightAverage(NamedTuple):
    """Which weights a network answers with: a mean over its way, not its last ones.

    init      the state, from the numbers W (K, buffer_size) of the networks
    observe   (W, state, step, epoch): after each step; epoch from 1
    average   (W, state): the numbers to answer with, a new array
    """

    init: Callable[[Array], State]
    observe: Callable[[Array, State, Step, int], None]
    average: Callable[[Array, State], Array]


class EarlyStopping(NamedTuple):
    """Ends a network's training, and says which weights were the best.

    watch     the curve that it goes by
    restore   whether the network answers with its best weights in the end, rather than its last
    init      the state, from the numbers W (K, buffer_size) of the networks
    observe   (W, state, value, epoch): after each epoch, the curve's value (K,); returns which networks stop, (K,)
    """

    watch: str
    restore: bool
    init: Callable[[Array], State]
    observe: Callable[[Array, State, Array, int], Array]


Regularizer = (
    Penalty | Constraint | Clipping | Augmentation | Dropout | ActivityRegularizer | WeightAverage | EarlyStopping
)
