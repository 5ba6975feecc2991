"""Stacks on disk: a stack that was saved and loaded continues to train to the same bits."""

from pathlib import Path

import numpy as np

from nncore.architecture import Architecture, Layer
from nncore.components import Component
from nncore.kernels.backend import State, to_host
from nncore.serialization import array_file
from nncore.stack.state import Network, Stack

CLASSES = (Stack, Network, Component, Architecture, Layer)


def save(stack: Stack, path: Path) -> str:
    """Write a stack to a file, which it replaces.

    Parameters
    ----------
    stack : Stack
        Arrays on a GPU are copied to the host first.
    path : Path

    Returns
    -------
    str
        SHA-256 of the file.
    """
    parameters, state, stopped = to_host(stack.parameters), _to_host(stack.state), _to_host(stack.stopped)
    on_host = Stack(stack.architecture, stack.networks, stack.epoch, parameters, state, stopped)
    return array_file.write(path, on_host, CLASSES)


def load(path: Path, sha256: str | None = None) -> Stack:
    """Read a stack from a file.

    Parameters
    ----------
    path : Path
    sha256 : str, optional
        Expected SHA-256 of the file.

    Returns
    -------
    Stack
        On the host. Its arrays are read-only, which suffices for `train`.

    Raises
    ------
    ValueError
        Naming the path and the cause, if the file is damaged or does not hold a stack.
    OSError
        If the file cannot be opened.
    """
    stack = array_file.read(path, CLASSES, sha256)
    kinds = {"architecture": Architecture, "parameters": np.ndarray, "networks": tuple, "state": dict, "stopped": dict}
    if not isinstance(stack, Stack) or not all(isinstance(getattr(stack, name), kinds[name]) for name in kinds):
        raise ValueError(f"{path} cannot be read: it does not hold a stack")
    shape = (len(stack.networks), stack.architecture.buffer_size)
    if stack.parameters.shape != shape or stack.parameters.dtype != stack.architecture.dtype:
        raise ValueError(f"{path} cannot be read: its parameters are not {stack.architecture.dtype} of shape {shape}")
    if not all(np.isfinite(weights).all() for weights in (stack.parameters, *stack.stopped.values())):
        raise ValueError(f"{path} cannot be read: its parameters are not finite")
    return stack


def _to_host(arrays: State) -> State:
    return {name: to_host(array) for name, array in arrays.items()}
