"""Stacks on disk: a stack that was saved and loaded trains on to the same bits."""

from pathlib import Path

import numpy as np

from nncore.architecture import Architecture, Layer
from nncore.components import Component
from nncore.kernels.backend import State, to_host
from nncore.serialization import array_file
from nncore.stack.state import Network, Stack

KINDS = (Stack, Network, Component, Architecture, Layer)


def save(stack: Stack, path: Path) -> str:
    """Write the stack in place of what is there; return the file's SHA-256. A stack on a GPU is fetched first."""
    parameters, state, stopped = to_host(stack.parameters), _fetched(stack.state), _fetched(stack.stopped)
    return array_file.write(
        path, Stack(stack.architecture, stack.networks, stack.epoch, parameters, state, stopped), KINDS
    )


def load(path: Path, sha256: str | None = None) -> Stack:
    """Read a stack back, in the computer's own memory; its arrays are read-only, as `train` leaves them.

    sha256   of the whole file, if it is known from elsewhere

    Raises   ValueError naming the path and the cause if the file is damaged or no stack's; OSError if it cannot be
             opened
    """
    stack = array_file.read(path, KINDS, sha256)
    parts = isinstance(stack, Stack) and (
        stack.architecture,
        stack.parameters,
        stack.networks,
        stack.state,
        stack.stopped,
    )
    if not parts or not all(map(isinstance, parts, (Architecture, np.ndarray, tuple, dict, dict))):
        raise ValueError(f"{path} cannot be read: it holds no stack")
    numbers = (len(stack.networks), stack.architecture.buffer_size)
    if stack.parameters.shape != numbers or stack.parameters.dtype != stack.architecture.dtype:
        raise ValueError(f"{path} cannot be read: its parameters are not {stack.architecture.dtype} of shape {numbers}")
    return stack


def _fetched(arrays: State) -> State:
    return {name: to_host(array) for name, array in arrays.items()}
