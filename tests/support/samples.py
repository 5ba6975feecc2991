"""Small architectures, networks, stacks and data for training in tests."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import pairwise
from typing import Any

import numpy as np
from discovery import OPTIMIZERS, REGULARIZERS, SCHEDULES

from nncore.architecture import IDENTITY, UNNORMALISED, Architecture, Layer
from nncore.components import Component
from nncore.kernels.workspace import Workspace
from nncore.metrics import accuracy
from nncore.optimizers.base import Step
from nncore.regularizers.base import Augmentation, EarlyStopping, WeightAverage
from nncore.stack.data import Data, Rows
from nncore.stack.state import CHANGES_OBJECTIVE, Network, Stack, start
from nncore.stack.training import Report, train

RELU = Component("nncore.activations.relu")
TANH = Component("nncore.activations.tanh")
SOFTMAX = Component("nncore.losses.softmax_cross_entropy")
SIGMOID = Component("nncore.losses.sigmoid_cross_entropy")
SQUARED = Component("nncore.losses.squared_error")
BATCH_NORM = Component("nncore.normalisations.batch_norm")
METRICS = {"accuracy": accuracy()}


def make_architecture(
    sizes: Sequence[int] = (5, 7, 3),
    activation: Component = RELU,
    loss: Component = SOFTMAX,
    normalisation: Component = UNNORMALISED,
    residual: bool = False,
    **rest: Any,
) -> Architecture:
    """A chain of dense layers; the last layer has as many outputs per target as the loss requires."""
    hidden = [
        Layer(outputs, activation, normalisation, residual and outputs == inputs)
        for inputs, outputs in pairwise(sizes[:-1])
    ]
    last = Layer(sizes[-1] * loss.build().outputs_per_target, IDENTITY)
    return Architecture(sizes[0], (*hidden, last), loss, **{"batch_size": 8, **rest})


def make_targets(loss: Component, random: np.random.Generator, n_rows: int, n_outputs: int) -> np.ndarray:
    """Random targets of the kind that a loss requires."""
    kind = loss.build().targets
    if kind == "one-hot":
        return np.eye(n_outputs)[random.integers(n_outputs, size=n_rows)]
    if kind == "binary":
        return random.integers(2, size=(n_rows, n_outputs)).astype(float)
    if kind == "count":
        return random.poisson(1.5, size=(n_rows, n_outputs)).astype(float)
    return random.normal(size=(n_rows, n_outputs))


def make_inputs(architecture: Architecture, random: np.random.Generator, n_rows: int) -> np.ndarray:
    """Random rows: numbers, then codes of categories."""
    x = random.normal(size=(n_rows, architecture.inputs))
    if architecture.levels:
        x[:, -len(architecture.levels) :] = random.integers(
            architecture.levels, size=(n_rows, len(architecture.levels))
        )
    return x


def make_data(
    architecture: Architecture, n_train: int = 37, n_validation: int = 19, seed: int = 0, weighted: bool = False
) -> Data:
    """Random rows for an architecture; the sizes are odd, so that SIMD vectors and batches are not full."""
    random = np.random.default_rng(seed)
    n_targets = architecture.sizes[-1] // architecture.loss.build().outputs_per_target

    def rows(n: int) -> Rows:
        x = make_inputs(architecture, random, n)
        weights = random.uniform(0.2, 3, size=n).astype(architecture.dtype) if weighted else None
        return Rows(
            x.astype(architecture.dtype),
            make_targets(architecture.loss, random, n, n_targets).astype(architecture.dtype),
            weights,
        )

    return Data(rows(n_train), rows(n_validation))


def make_component(name: str, **arguments: Any) -> Component:
    """Look up a component of nncore by its short name."""
    (match,) = [component for component in OPTIMIZERS + REGULARIZERS + SCHEDULES if component.short_name == name]
    return Component(match.name, tuple(arguments.items()))


def make_network(
    key: str = "it", seed: int = 0, optimizer: Component | None = None, *regularizers: Component, **rest: Any
) -> Network:
    """A network; the default optimizer is plain gradient descent."""
    return Network(key, seed, optimizer or make_component("sgd", learning_rate=0.1), regularizers, **rest)


def can_be_combined(regularizer: Component, optimizer: Component, loss: Component) -> bool:
    """Whether they may be combined in one network."""
    built = regularizer.build()
    if isinstance(built, Augmentation) and loss.build().targets not in built.targets:
        return False
    return not (optimizer.build().needs_fixed_objective and isinstance(built, CHANGES_OBJECTIVE))


def vary_numbers(component: Component, share: float) -> Component:
    """The component with its required numbers increased by a share."""
    return Component(
        component.name,
        tuple((n, v * (1 + share) if isinstance(v, float) else v) for n, v in component.arguments),
    )


def mixed_networks(seeds: Sequence[int] = (0, 1), loss: Component = SOFTMAX) -> list[Network]:
    """Networks in which every optimizer, regularizer and schedule occurs, with different numbers and seeds."""
    networks = []
    for index in range(max(len(OPTIMIZERS), len(REGULARIZERS))):
        optimizer = vary_numbers(OPTIMIZERS[index % len(OPTIMIZERS)], index / 50)
        chosen = {REGULARIZERS[(index * step + 3) % len(REGULARIZERS)] for step in (1, 5)}
        fit = sorted(
            (component for component in chosen if can_be_combined(component, optimizer, loss)),
            key=lambda regularizer: regularizer.name,
        )
        if any(sum(isinstance(c.build(), kind) for c in fit) > 1 for kind in (WeightAverage, EarlyStopping)):
            fit = fit[:-1]
        regularizers = tuple(vary_numbers(component, index / 40) for component in fit)
        schedule = SCHEDULES[index % len(SCHEDULES)]
        networks.append(Network(f"{index}", seeds[index % len(seeds)], optimizer, regularizers, schedule))
    return networks


def train_reports(
    architecture: Architecture, networks: Sequence[Network], epochs: int = 3, data: Data | None = None
) -> dict[str, Report]:
    """Train these networks in one stack and return their reports."""
    metrics = METRICS if architecture.loss == SOFTMAX else {}
    data = data or make_data(architecture)
    _, reports = train(start(architecture, networks, data=data), data, epochs, metrics)
    return reports


def train_in_slices(stack: Stack, ends: Sequence[int], data: Data) -> dict[str, Report]:
    """Train in slices that end at these epochs and return the joined reports."""
    joined: dict[str, Report] = {}
    for end in ends:
        stack, reports = train(stack, data, end, METRICS)
        for key, report in reports.items():
            previous = joined.setdefault(key, Report())
            curves = {name: previous.curves.get(name, []) + values for name, values in report.curves.items()}
            joined[key] = replace(Report(**asdict(report)), curves=previous.curves | curves)
    return joined


def make_step(number: int = 1, architecture: Architecture | None = None, **rest: Any) -> Step:
    """A training step; the default architecture is one dense layer."""
    return Step(number, architecture or make_architecture((5, 3)), Workspace(), **rest)
