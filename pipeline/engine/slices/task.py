"""What a worker does in the sweep. Imports nncore and NumPy only: a worker that trains starts fast."""

import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from socket import gethostname
from typing import Any, NamedTuple

import numpy as np

from nncore.architecture import Architecture
from nncore.kernels import dense
from nncore.kernels.backend import Array, to_gpu, to_host, with_gpu_memory_limit
from nncore.metrics import Metric, accuracy, label_accuracy, r2, subset_accuracy
from nncore.stack import checkpoint as stack_file
from nncore.stack.data import Data
from nncore.stack.device import to_device, views_to_device
from nncore.stack.regroup import collect
from nncore.stack.state import Network, Stack, start
from nncore.stack.training import Report, train
from pipeline.components.types import Task

METRICS: dict[Task, dict[str, Metric]] = {
    "classification": {"accuracy": accuracy},
    "regression": {"r2": r2},
    "multilabel": {"label_accuracy": label_accuracy, "subset_accuracy": subset_accuracy},
}


@dataclass(frozen=True)
class Checkpoint:
    """A stack in a file, and the SHA-256 of its content."""

    path: Path
    sha256: str


@dataclass(frozen=True)
class SliceTask:
    """What a slice is to do.

    networks    to begin with, or to collect from the stacks it is given; none: go on with the only stack that is given
    origins     of each network, in which of these stacks it is, and under which key
    until       the epoch to train to
    last        nobody goes on after that epoch
    gpu_bytes   how much of a GPU's memory it may take; 0: train on a core
    file        where to keep the state of the stack
    beside      a file of this run's session; a worker that does not see it keeps no state
    """

    architecture: Architecture
    networks: tuple[Network, ...]
    origins: tuple[tuple[int, str], ...]
    until: int
    last: bool
    task: Task
    loss_limit: float
    gpu_bytes: int
    file: Path
    beside: Path


class NetworkSelector(NamedTuple):
    """Who answers: the network with this key in a stack."""

    key: str

    def weights(self, stack: Stack | Checkpoint) -> Array:
        """The parameters (1, buffer_size) that it answers with."""
        return load_stack(stack).selected_weights_of(self.key)


class SliceOutcome(NamedTuple):
    """What a slice has come to: seconds of work, who did it, the state's file, and a report for each network.

    worker   host and process
    sha256   of the file; "" if the run's folder is on another host; then somebody there is to keep the stack
    """

    seconds: float
    worker: str
    sha256: str
    reports: dict[str, Report]


def load_loops() -> None:
    """Load what every slice needs: most of a second in a process that has trained nothing yet."""
    dense.add.loop(np.dtype(np.float32))


def train_slice(order: SliceTask, n_stacks: int, *given: Any) -> tuple[Stack | None, SliceOutcome]:
    """Train a stack: a pure function, safe to run again, but for the file it leaves.

    given     the stacks to collect from, then the views

    Returns   the stack, if it goes on or is still to be kept, and the reports
    """
    began = time.perf_counter()
    stack = _begun(order, [load_stack(source) for source in given[:n_stacks]])
    data = tuple(view.data for view in given[n_stacks:])
    if order.gpu_bytes:
        stack, reports = with_gpu_memory_limit(order.gpu_bytes, _trained_on_a_gpu, order, stack, data)
    else:
        stack, reports = _trained(order, stack, data)
    sha256 = save_checkpoint(stack, order.file) if order.beside.exists() else ""
    goes_on = None if order.last and sha256 else stack
    worker = f"{gethostname()} {os.getpid()}"
    return goes_on, SliceOutcome(time.perf_counter() - began, worker, sha256, reports)


def _trained(order: SliceTask, stack: Stack, data: tuple[Data, ...]) -> tuple[Stack, dict[str, Report]]:
    return train(stack, data, order.until, METRICS[order.task], order.loss_limit)


def _trained_on_a_gpu(order: SliceTask, stack: Stack, data: tuple[Data, ...]) -> tuple[Stack, dict[str, Report]]:
    """There and back: between slices a stack lies in the host's memory, wherever it goes on."""
    stack, reports = _trained(order, to_device(stack, to_gpu), views_to_device(data, to_gpu))
    return to_device(stack, to_host), reports


def save_checkpoint(stack: Stack, file: Path) -> str:
    """Write the stack's state; the SHA-256 of the file."""
    return stack_file.save(stack, file)


def load_stack(source: Stack | Checkpoint) -> Stack:
    """The stack itself."""
    return stack_file.load(source.path, source.sha256) if isinstance(source, Checkpoint) else source


def _begun(order: SliceTask, sources: list[Stack]) -> Stack:
    if not sources:
        return start(order.architecture, order.networks)
    if not order.networks:
        return sources[0]
    named = [_renamed(source, at) for at, source in enumerate(sources)]
    return collect(order.networks, [_name(at, key) for at, key in order.origins], named)


def _renamed(stack: Stack, at: int) -> Stack:
    """Stacks of different sessions of a run may hold different networks under one key."""
    return replace(stack, networks=tuple(replace(network, key=_name(at, network.key)) for network in stack.networks))


def _name(at: int, key: str) -> str:
    return f"{at} {key}"
