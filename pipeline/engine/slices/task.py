"""What a worker does for a slice. It imports nncore and NumPy only, so that a worker starts fast."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from socket import gethostname
from typing import Any, NamedTuple

import numpy as np

from nncore.architecture import Architecture
from nncore.components import Component
from nncore.inference.model import ValueDecoder
from nncore.kernels import dense
from nncore.kernels.backend import Array, to_gpu, to_host, with_gpu_memory_limit
from nncore.stack import checkpoint as stack_file
from nncore.stack.data import Data, Unit
from nncore.stack.device import to_device, views_to_device
from nncore.stack.regroup import collect
from nncore.stack.state import Network, Stack, start
from nncore.stack.training import Report, train
from pipeline.components.types import PreparedView


@dataclass(frozen=True)
class Checkpoint:
    """A stack in a file, and the SHA-256 of the file's content."""

    path: Path
    sha256: str


class StartNetworks(NamedTuple):
    """A slice begins with new networks."""

    architecture: Architecture
    networks: tuple[Network, ...]

    def stack(self, sources: list[Stack], data: tuple[Data, ...]) -> Stack:
        """Initialize a stack; there are no sources."""
        return start(self.architecture, self.networks, data=data)


class CollectNetworks(NamedTuple):
    """A slice begins with networks that are collected from other stacks.

    Parameters
    ----------
    networks : tuple of Network
    origins : tuple of (int, str)
        For each network, which of the sources holds its state, and the network's key there.
    """

    networks: tuple[Network, ...]
    origins: tuple[tuple[int, str], ...]

    def stack(self, sources: list[Stack], data: tuple[Data, ...]) -> Stack:
        """Build the stack out of the sources, which may hold different networks under one key."""
        renamed = [
            replace(source, networks=tuple(replace(net, key=f"{index} {net.key}") for net in source.networks))
            for index, source in enumerate(sources)
        ]
        return collect(self.networks, [f"{index} {key}" for index, key in self.origins], renamed)


class ContinueStack(NamedTuple):
    """A slice continues the training of one stack."""

    def stack(self, sources: list[Stack], data: tuple[Data, ...]) -> Stack:
        """The only source."""
        (source,) = sources
        return source


@dataclass(frozen=True)
class SliceTask:
    """What a worker needs to know to train a slice.

    Parameters
    ----------
    begin : StartNetworks, CollectNetworks or ContinueStack
        How the stack is obtained.
    until : int
        The epoch to train to.
    last : bool
        No network is trained beyond this epoch.
    metrics, final_metrics : tuple of (str, Component)
        By name: those to compute after every epoch, and those of the selected weights at the end.
    loss_limit : float
        A network with a larger loss has diverged.
    gpu_bytes : int
        How much of a GPU's memory it may take; 0 to train on a core.
    file : Path
        Where to write the checkpoint.
    session_file : Path
        A file of this session of the run; a worker that cannot read it writes no checkpoint.
    """

    begin: StartNetworks | CollectNetworks | ContinueStack
    until: int
    last: bool
    metrics: tuple[tuple[str, Component], ...]
    final_metrics: tuple[tuple[str, Component], ...]
    loss_limit: float
    gpu_bytes: int
    file: Path
    session_file: Path


class NetworkSelector(NamedTuple):
    """The network with this key in a stack."""

    key: str

    def weights(self, stack: Stack | Checkpoint) -> Array:
        """The parameters (1, buffer_size) of its selected epoch."""
        return load_stack(stack).selected_weights_of(self.key)


class SliceOutcome(NamedTuple):
    """What a slice has come to.

    Parameters
    ----------
    seconds : float
    worker : str
        Host and process.
    sha256 : str
        Of the checkpoint; "" if the worker could not write it, because the run's folder is on another host.
    reports : dict of str to Report
        By the key of the network.
    """

    seconds: float
    worker: str
    sha256: str
    reports: dict[str, Report]


def load_loops() -> None:
    """Load what every slice needs; it takes most of a second in a process that has not trained yet."""
    dense.add.prepare(np.dtype(np.float32))


def train_slice(task: SliceTask, n_sources: int, *given: Any) -> tuple[Stack | None, SliceOutcome]:
    """Train a slice: a pure function that may be repeated, except for the checkpoint that it writes.

    Parameters
    ----------
    task : SliceTask
    n_sources : int
        How many of the further arguments are stacks or checkpoints to begin with.
    *given : Stack, Checkpoint or PreparedView
        The sources, then the data of each view.

    Returns
    -------
    stack : Stack or None
        None if it is neither trained further nor still to be written to a checkpoint.
    outcome : SliceOutcome
    """
    began = time.perf_counter()
    views: tuple[PreparedView, ...] = given[n_sources:]
    data = tuple(view.data for view in views)
    stack = task.begin.stack([load_stack(source) for source in given[:n_sources]], data)
    rules: dict[str, Any] = {
        "until": task.until,
        "metrics": {name: component.build() for name, component in task.metrics},
        "final_metrics": {name: component.build() for name, component in task.final_metrics},
        "loss_limit": task.loss_limit,
        "units": units_of(views),
    }
    if task.gpu_bytes:
        stack, reports = with_gpu_memory_limit(task.gpu_bytes, _train_on_gpu, stack, data, rules)
    else:
        stack, reports = train(stack, data, **rules)
    sha256 = save_checkpoint(stack, task.file) if task.session_file.exists() else ""
    outcome = SliceOutcome(time.perf_counter() - began, f"{gethostname()} {os.getpid()}", sha256, reports)
    return None if task.last and sha256 else stack, outcome


def units_of(views: Sequence[PreparedView]) -> list[Unit]:
    """The units of the targets of each view; [] if the targets are not values."""
    return [view.target_decoder for view in views if isinstance(view.target_decoder, ValueDecoder)]


def _train_on_gpu(stack: Stack, data: tuple[Data, ...], rules: dict[str, Any]) -> tuple[Stack, dict[str, Report]]:
    """Between slices a stack is in the host's memory, wherever it is trained next."""
    stack, reports = train(to_device(stack, to_gpu), views_to_device(data, to_gpu), **rules)
    return to_device(stack, to_host), reports


def save_checkpoint(stack: Stack, file: Path) -> str:
    """Write a stack to a file; returns the SHA-256 of the file."""
    return stack_file.save(stack, file)


def load_stack(source: Stack | Checkpoint) -> Stack:
    """The stack of a checkpoint; a stack is returned as it is."""
    return stack_file.load(source.path, source.sha256) if isinstance(source, Checkpoint) else source
