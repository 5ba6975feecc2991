"""Stacks and data on their way to a GPU and back, and how much room they need there."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import ceil

from nncore.architecture import Architecture
from nncore.kernels.backend import Array
from nncore.stack.passes import ROWS_AT_ONCE
from nncore.stack.state import Network, Stack, start
from nncore.stack.training import Data, Rows

# Arrays at a time, at most, while a stack is trained; held against NumPy's own count by tests/nncore/test_device.py.
PER_NUMBER = 9  # parameters and a copy, gradient, what an optimizer works with, answers
PER_STATE = 2  # and a copy
PER_ACTIVATION = 8  # of a batch, forward and back
PER_WATCHED = 4  # activations of the validation rows, so many rows at once
PER_ANSWER = 3  # outputs for all validation rows, loss and metrics


def to_device(stack: Stack, to: Callable[[Array], Array]) -> Stack:
    """The stack where `to` brings its arrays. What is one number per network stays with the host."""
    state = {key: array if array.ndim == 1 else to(array) for key, array in stack.state.items()}
    stopped = {key: to(array) for key, array in stack.stopped.items()}
    return replace(stack, parameters=to(stack.parameters), state=state, stopped=stopped)


def views_to_device(views: Sequence[Data], to: Callable[[Array], Array]) -> tuple[Data, ...]:
    """The data of each view where `to` brings them."""
    return tuple(
        Data(*(Rows(to(x), to(t), None if weights is None else to(weights)) for x, t, weights in view))
        for view in views
    )


def network_bytes(architecture: Architecture, network: Network, n_validation: int) -> int:
    """About what one more network in a stack takes while it is trained, at most; its data not counted."""
    stack, rows = start(architecture, [network]), min(n_validation, ROWS_AT_ONCE)
    arrays = PER_NUMBER * architecture.buffer_size + PER_STATE * sum(array.size for array in stack.state.values())
    arrays += (PER_ACTIVATION * architecture.batch_size + PER_WATCHED * rows) * sum(architecture.sizes)
    arrays += PER_ANSWER * n_validation * architecture.sizes[-1]
    return ceil(arrays * stack.parameters.itemsize)
