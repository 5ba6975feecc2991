"""Small stacks and data that tests train."""

from collections.abc import Sequence

import numpy as np
from discovery import OPTIMIZERS, REGULARIZERS

from nncore.members import Member
from nncore.metrics import accuracy
from nncore.network import Shape
from nncore.stack import Network, Stack, start
from nncore.training import Data, Report, Rows, train

RELU = Member("nncore.activations.relu")
TANH = Member("nncore.activations.tanh")
IDENTITY = Member("nncore.activations.identity")
SOFTMAX = Member("nncore.losses.softmax_cross_entropy")
SQUARED = Member("nncore.losses.squared_error")
METRICS = {"accuracy": accuracy}


def shape(sizes: Sequence[int] = (5, 7, 3), activation: Member = RELU, loss: Member = SOFTMAX, **rest: object) -> Shape:
    activations = (*(activation for _ in sizes[2:]), IDENTITY)
    return Shape(tuple(sizes), activations, loss, **{"batch_size": 8, **rest})


def targets(loss: Member, random: np.random.Generator, n_rows: int, n_outputs: int) -> np.ndarray:
    """Targets that a loss understands."""
    if loss.name.endswith("softmax_cross_entropy"):
        return np.eye(n_outputs)[random.integers(n_outputs, size=n_rows)]
    if loss.name.endswith("sigmoid_cross_entropy"):
        return random.integers(2, size=(n_rows, n_outputs)).astype(float)
    return random.normal(size=(n_rows, n_outputs))


def data(of: Shape, n_train: int = 37, n_validation: int = 19, seed: int = 0) -> Data:
    """Random rows for a shape; the sizes are odd, so that no vector or batch is full."""
    random = np.random.default_rng(seed)

    def rows(n: int) -> Rows:
        x = random.normal(size=(n, of.sizes[0]))
        return Rows(x.astype(of.dtype), targets(of.loss, random, n, of.sizes[-1]).astype(of.dtype))

    return Data(rows(n_train), rows(n_validation))


def member(name: str, **arguments: float) -> Member:
    """A member of nncore by its short name."""
    (found,) = [one for one in OPTIMIZERS + REGULARIZERS if one.name.endswith(f".{name}")]
    return Member(found.name, tuple(arguments.items()))


def mixed_networks(seeds: Sequence[int] = (0, 1)) -> list[Network]:
    """Every optimizer with every regularizer, with rates, strengths and seeds that differ."""
    networks = []
    for index, (optimizer, regularizer) in enumerate((o, r) for o in OPTIMIZERS for r in REGULARIZERS):
        arguments = tuple((name, value * (1 + index / 10)) for name, value in regularizer.arguments)
        rate = (("learning_rate", 0.01 * (1 + index / 7)),)
        seed = seeds[index % len(seeds)]
        networks.append(Network(f"{index}", seed, Member(optimizer.name, rate), Member(regularizer.name, arguments)))
    return networks


def trained(of: Shape, networks: Sequence[Network], epochs: int = 3, on: Data | None = None) -> dict[str, Report]:
    """The reports of training these networks in one stack."""
    metrics = METRICS if of.loss == SOFTMAX else {}
    _, reports = train(start(of, networks), on or data(of), epochs, metrics)
    return reports


def in_slices(stack: Stack, ends: Sequence[int], on: Data) -> dict[str, Report]:
    """The joined reports of training in slices that end at these epochs."""
    joined: dict[str, Report] = {}
    for end in ends:
        stack, reports = train(stack, on, end, METRICS)
        for key, report in reports.items():
            before = joined.setdefault(key, Report())
            for name, values in report.curves.items():
                before.curves.setdefault(name, []).extend(values)
            before.diverged, before.fingerprint = report.diverged, report.fingerprint
    return joined
