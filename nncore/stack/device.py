"""Moving stacks and data to a GPU and back, and the memory that they need there."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import ceil

from nncore.architecture import Architecture
from nncore.kernels.backend import Array
from nncore.stack.data import Data, Rows
from nncore.stack.passes import ROWS_AT_ONCE
from nncore.stack.state import Network, Stack, start

# At most so many arrays exist at a time; tests/nncore/test_device.py compares them with NumPy's own count.
PER_PARAMETER = 9  # parameters and a copy, gradient, the optimizer's working arrays, selected weights
PER_STATE = 2  # state and a copy
PER_ACTIVATION = 8  # of a batch, forward and backward
PER_VALIDATED = 4  # activations of the validation rows, ROWS_AT_ONCE at a time
PER_OUTPUT = 3  # outputs for all validation rows, loss and metrics


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


def network_bytes(architecture: Architecture, network: Network, n_validation: int) -> int:
    """Estimate the memory that one network of a stack needs in training.

    Parameters
    ----------
    architecture : Architecture
    network : Network
    n_validation : int
        Number of validation rows.

    Returns
    -------
    int
        An upper bound in bytes, without the data.
    """
    stack, n_rows = start(architecture, [network]), min(n_validation, ROWS_AT_ONCE)
    n_numbers = PER_PARAMETER * architecture.buffer_size + PER_STATE * sum(a.size for a in stack.state.values())
    n_numbers += (PER_ACTIVATION * architecture.batch_size + PER_VALIDATED * n_rows) * sum(architecture.sizes)
    n_numbers += PER_OUTPUT * n_validation * architecture.sizes[-1]
    return ceil(n_numbers * stack.parameters.itemsize)
