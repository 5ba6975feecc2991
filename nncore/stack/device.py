"""Moving stacks and data to a GPU and back, and the memory that they need there."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from math import ceil, prod

import numpy as np

from nncore.architecture import Architecture
from nncore.kernels.backend import Array
from nncore.stack.data import Data, Rows
from nncore.stack.passes import rows_at_once
from nncore.stack.state import Network, Stack, start

# At most so many arrays exist at a time; tests/nncore/test_device.py compares them with NumPy's own count.
PER_PARAMETER = 9  # parameters and a copy, gradient, the optimizer's working arrays, selected weights
LEAST_PER_PARAMETER = 4  # parameters and a copy, gradient, selected weights: all that compiled loops need
PER_STATE = 2  # state and a copy
PER_ACTIVATION = 8  # of a batch, forward and backward
PER_MEMBER_WEIGHT = 4  # weights times each member's factors (twice with a line search), and their derivatives
PER_VALIDATED = 4  # activations of the validation rows, `rows_at_once` at a time
PER_INNER = 5  # number within an embedding, forward and backward
PER_INNER_VALIDATED = 3
PER_OUTPUT = 10  # outputs for all validation rows, loss, and metrics in float64
LEAST_PER_OUTPUT = 3  # outputs and loss

SMALL = 32  # largest width of a network from which the state's size is extrapolated; even, as some losses require


def to_device(stack: Stack, move: Callable[[Array], Array]) -> Stack:
    """Move the arrays of a stack to a GPU or back.

    Parameters
    ----------
    stack : Stack
    move : callable
        ``to_gpu`` or ``to_host`` of nncore.kernels.backend.

    Returns
    -------
    Stack
        State with one number per network stays on the host.
    """
    state = {key: array if array.ndim == 1 else move(array) for key, array in stack.state.items()}
    stopped = {key: move(array) for key, array in stack.stopped.items()}
    return replace(stack, parameters=move(stack.parameters), state=state, stopped=stopped)


def views_to_device(views: Sequence[Data], move: Callable[[Array], Array]) -> tuple[Data, ...]:
    """Move the data of each view to a GPU or back; `move` as in `to_device`."""
    return tuple(
        Data(*(Rows(move(x), move(t), None if weights is None else move(weights)) for x, t, weights in view))
        for view in views
    )


def network_bytes(
    architecture: Architecture, network: Network, n_train: int, n_validation: int, per_parameter: int = PER_PARAMETER
) -> int:
    """Estimate the memory that one network of a stack needs in training; allocates none of it.

    Parameters
    ----------
    architecture : Architecture
    network : Network
    n_train, n_validation : int
        Numbers of rows.
    per_parameter : int, default PER_PARAMETER
        Arrays of the parameters' size that exist at a time. With LEAST_PER_PARAMETER the estimate is what training on a
        core takes at least.

    Returns
    -------
    int
        An upper bound in bytes, without the data.
    """
    batch_size, n_rows = min(architecture.batch_size, n_train), min(n_validation, rows_at_once(architecture))
    n_numbers = per_parameter * architecture.buffer_size + PER_STATE * _state_size(architecture, network)
    by_layer = zip(architecture.multiplies_weights, map(prod, pairwise(architecture.sizes)), strict=True)
    n_multiplied_weights = sum(n_weights for multiplies, n_weights in by_layer if multiplies)
    n_activations = sum(architecture.sizes) * architecture.members
    n_numbers += (PER_ACTIVATION * batch_size + PER_VALIDATED * n_rows) * n_activations
    n_inner = architecture.n_embedded * architecture.functions.embedding.n_inner
    n_numbers += (PER_INNER * batch_size + PER_INNER_VALIDATED * n_rows) * n_inner
    n_numbers += PER_MEMBER_WEIGHT * architecture.members * n_multiplied_weights
    n_numbers += (
        (PER_OUTPUT if per_parameter == PER_PARAMETER else LEAST_PER_OUTPUT) * n_validation * architecture.sizes[-1]
    )
    return ceil(n_numbers * np.dtype(architecture.dtype).itemsize)


def _state_size(architecture: Architecture, network: Network) -> float:
    """Numbers in a network's state: per parameter as many as in that of a small network of the same kind."""
    layers = tuple(replace(layer, outputs=min(layer.outputs, SMALL)) for layer in architecture.layers)
    small = Architecture(  # without anything that is learned before the first layer
        min(architecture.inputs, SMALL),
        layers,
        architecture.loss,
        batch_size=architecture.batch_size,
        dtype=architecture.dtype,
    )
    n_numbers = sum(array.size for array in start(small, [network]).state.values())
    return n_numbers / small.n_parameters * architecture.buffer_size
