"""A stack: K networks of one shape on their way through training, as plain arrays.

Networks of one stack may differ in seed, optimizer, regularizer and in every numeric hyperparameter.
Neighbours with the same optimizer form a group, whose rows of the buffer are updated in one operation: a
stack sorted by optimizer and regularizer has the fewest groups.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import groupby
from typing import Any

import numpy as np

from nncore.hyperparameters import Array
from nncore.members import Member, find
from nncore.network import Shape, initial_parameters
from nncore.optimizers.base import Optimizer, State
from nncore.regularizers import Regularizer


@dataclass(frozen=True)
class Network:
    """One network to train: who it is, where its randomness comes from, how it learns.

    key           its name in reports
    seed          integer >= 0; initial weights and the order of the rows come from it
    optimizer     such as Member("nncore.optimizers.adam.adam", (("learning_rate", 0.001),))
    regularizer   such as Member("nncore.regularizers.l2", (("strength", 0.0001),))
    """

    key: str
    seed: int
    optimizer: Member
    regularizer: Member = Member("nncore.regularizers.none")


@dataclass(frozen=True)
class Stack:
    """K networks after `epoch` epochs.

    parameters        (K, P)
    optimizer_state   by name, each (K, ...); rows of networks whose optimizer has no such state stay zero
    """

    shape: Shape
    networks: tuple[Network, ...]
    epoch: int
    parameters: Array
    optimizer_state: State

    def take(self, keep: Sequence[int]) -> "Stack":
        """A stack of its own with the networks at these positions."""
        return replace(
            self,
            networks=tuple(self.networks[index] for index in keep),
            parameters=self.parameters[list(keep)],
            optimizer_state={name: array[list(keep)] for name, array in self.optimizer_state.items()},
        )

    def optimizers(self) -> list[tuple[slice, Optimizer]]:
        """Each group's rows and its optimizer."""
        return _groups(self.networks, lambda network: network.optimizer)

    def regularizers(self) -> list[tuple[slice, Regularizer]]:
        """Each group's rows and its regularizer."""
        return _groups(self.networks, lambda network: network.regularizer)

    def fingerprint(self, index: int) -> str:
        """SHA-256 of one network's parameters: equal if and only if they are the same to the last bit."""
        return sha256(self.parameters[index].tobytes()).hexdigest()


def start(shape: Shape, networks: Sequence[Network]) -> Stack:
    """The networks before their first step.

    Raises   ValueError naming the hyperparameter, its value, its rule and the network, if one is illegal
    """
    initial = {seed: initial_parameters(shape, seed) for seed in {network.seed for network in networks}}
    parameters = np.stack([initial[network.seed] for network in networks])  # (K, P)
    state: State = {}
    for rows, optimizer in _groups(networks, lambda network: network.optimizer):
        for name, array in optimizer.init(parameters[rows]).items():
            whole = state.setdefault(name, np.zeros((len(networks), *array.shape[1:]), array.dtype))
            whole[rows] = array
    return Stack(shape, tuple(networks), 0, parameters, state)


def _groups(networks: Sequence[Network], choose: Callable[[Network], Member]) -> list[tuple[slice, Any]]:
    """Runs of networks with the same function: (rows, the function's result with one number per network)."""
    groups: list[tuple[slice, Any]] = []
    first = 0
    for _, run in groupby((choose(network) for network in networks), _kind):
        members = list(run)
        rows = slice(first, first + len(members))
        groups.append((rows, find(members[0].name)(**_one_per_network(members))))
        first = rows.stop
    return groups


def _kind(member: Member) -> tuple[Any, ...]:
    """What members must share to be computed together: all but the values of their numbers."""
    return member.name, *((name, None if _is_number(value) else value) for name, value in member.arguments)


def _one_per_network(members: Sequence[Member]) -> dict[str, Any]:
    """The members' arguments, numbers as arrays (K,)."""
    columns = zip(*(member.arguments for member in members), strict=True)
    return {
        column[0][0]: np.array([value for _, value in column]) if _is_number(column[0][1]) else column[0][1]
        for column in columns
    }


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
