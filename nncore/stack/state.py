"""A stack: K networks of one shape on their way through training, as plain arrays.

Networks of one stack may differ in seed, optimizer, schedule, regularizers and in every numeric hyperparameter.
Neighbours with the same member form a group, whose rows of the buffer are worked on in one operation: a
stack sorted by optimizer and regularizers has the fewest groups.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from nncore.architecture import Architecture, initial_parameters
from nncore.components import Component, build_stacked
from nncore.kernels.backend import Array, State, to_host
from nncore.losses import Loss
from nncore.optimizers.base import Optimizer
from nncore.regularizers.base import (
    ActivityRegularizer,
    Augmentation,
    Clipping,
    Constraint,
    Dropout,
    EarlyStopping,
    Regularizer,
    WeightAverage,
)
from nncore.schedules import Schedule
from nncore.stack.batches import ViewRun

MOVING = ActivityRegularizer | Clipping | Constraint | Augmentation | Dropout  # these do not go with an exact optimizer
CONSTANT = Component("nncore.schedules.constant")


@dataclass(frozen=True)
class Network:
    """One network to train: who it is, where its randomness comes from, how it learns.

    key            its name in reports
    seed           integer >= 0; initial weights, the order of the rows and every other draw come from it
    optimizer      such as Member("nncore.optimizers.adam.adam", (("learning_rate", 0.001),))
    regularizers   such as (Member("nncore.regularizers.penalties.l2", (("strength", 0.0001),)),), one of a kind
    schedule       of the learning rate
    view           which of the data that its stack is trained with it learns from, and is watched by; from 0
    """

    key: str
    seed: int
    optimizer: Component
    regularizers: tuple[Component, ...] = ()
    schedule: Component = CONSTANT
    view: int = 0

    @property
    def components(self) -> dict[str, Component]:
        """All its members by their slot."""
        slots = {f"regularizer {index}": member for index, member in enumerate(self.regularizers)}
        return {"optimizer": self.optimizer, "schedule": self.schedule, **slots}

    @property
    def kinds(self) -> tuple[str, ...]:
        """Of its members: networks of equal kinds stand well together in a stack."""
        return tuple(member.kind for member in self.components.values())


class ComponentGroup(NamedTuple):
    """Neighbours whose members in one slot are of one kind.

    rows     which networks of the stack
    member   what the members' function made of all their numbers
    kind     of the members
    own      the group's rows in the state arrays of this kind
    whole    whether its networks step once per epoch
    """

    rows: slice
    member: Any
    kind: str
    own: slice
    whole: bool


@dataclass(frozen=True)
class Stack:
    """K networks after `epoch` epochs.

    parameters   (K, buffer_size): the parameters, then the running statistics
    state        what members remember: "<kind>|<name>", a row for each network that has such a member
    stopped      the parameters (buffer_size,) with which networks answer that were stopped and have left, by key
    """

    architecture: Architecture
    networks: tuple[Network, ...]
    epoch: int
    parameters: Array
    state: State
    stopped: State = field(default_factory=dict)

    def take(self, keep: Sequence[int]) -> "Stack":
        """A stack of its own with the networks at these positions, and those that were stopped."""
        keep = [range(len(self.networks))[index] for index in keep]
        state = {}
        owners = _owners(self.networks)
        for key, array in self.state.items():
            rows = owners[key.rpartition("|")[0]]
            kept = [rows[index] for index in keep if index in rows]
            if kept:
                state[key] = array[kept]
        networks = tuple(self.networks[index] for index in keep)
        parameters = self.parameters[keep]
        return replace(self, networks=networks, parameters=parameters, state=state, stopped=dict(self.stopped))

    def groups(self) -> list[tuple[ComponentGroup, State]]:
        """Every group, in the order in which they work, with views of its state."""
        return [(group, _own_state(group, self.state)) for group in _groups(self.networks)]

    def view_runs(self) -> list[ViewRun]:
        """Neighbours that learn from one view, and which."""
        found, first = [], 0
        for view, run in groupby(network.view for network in self.networks):
            rows = slice(first, first + len(list(run)))
            found.append((rows, view))
            first = rows.stop
        return found

    def selected_weights(self) -> Array:
        """The parameters (K, buffer_size) with which the networks answer, a copy: averaged or best, where asked for."""
        groups = self.groups()
        return best_of(groups, averaged(groups, self.parameters.copy()))

    def selected_weights_of(self, key: str) -> Array:
        """The parameters (1, buffer_size) with which one network answers, stopped or not. KeyError if it diverged."""
        if key in self.stopped:
            return self.stopped[key][None].copy()
        positions = [index for index, network in enumerate(self.networks) if network.key == key]
        if not positions:
            raise KeyError(key)
        return self.take(positions).selected_weights()


def averaged(groups: Sequence[tuple[ComponentGroup, State]], parameters: Array) -> Array:
    """The parameters, of networks with an average that."""
    return _replaced(groups, WeightAverage, parameters, lambda group, state, W: group.member.average(W, state))


def best_of(groups: Sequence[tuple[ComponentGroup, State]], parameters: Array) -> Array:
    """The parameters, of networks with early stopping their best so far."""
    return _replaced(groups, EarlyStopping, parameters, lambda group, state, W: state.get("weights", W))


def _replaced(groups: Sequence[tuple[ComponentGroup, State]], kind: type, parameters: Array, by: Any) -> Array:
    chosen = [(group, state) for group, state in groups if isinstance(group.member, kind)]
    result = parameters.copy() if chosen else parameters
    for group, state in chosen:
        result[group.rows] = by(group, state, parameters[group.rows])
    return result


def fingerprint(parameters: Array) -> str:
    """SHA-256 of one network's parameters: equal if and only if they are the same to the last bit."""
    return sha256(to_host(parameters).tobytes()).hexdigest()


def start(architecture: Architecture, networks: Sequence[Network]) -> Stack:
    """The networks before their first step.

    Raises   ValueError naming the hyperparameter, its value, its rule and the network, if one is illegal or does
             not go with another
    """
    check_networks(networks, architecture.functions.loss)
    initial = {seed: initial_parameters(architecture, seed) for seed in {network.seed for network in networks}}
    parameters = np.stack([initial[network.seed] for network in networks])  # (K, buffer_size)
    groups = _groups(networks)
    state: State = {}
    owners = _owners(networks)
    for group in groups:
        n_owners = len(owners[group.kind])
        for name, array in _initial_state(group.member, parameters[group.rows], architecture.n_parameters).items():
            whole = state.setdefault(f"{group.kind}|{name}", np.zeros((n_owners, *array.shape[1:]), array.dtype))
            whole[group.own] = array
    return Stack(architecture, tuple(networks), 0, parameters, state)


def _initial_state(member: Any, numbers: Array, n_parameters: int) -> State:
    if isinstance(member, Optimizer):
        return member.init(numbers[:, :n_parameters])
    if isinstance(member, Schedule):
        return member.init(len(numbers))
    return member.init(numbers) if isinstance(member, WeightAverage | EarlyStopping) else {}


def check_networks(networks: Sequence[Network], loss: Loss) -> None:
    """Refuse networks that cannot be told apart, and members that do not do their part or do not go together.

    Raises   ValueError naming them
    """
    if len({network.key for network in networks}) < max(len(networks), 1):
        raise ValueError(f"networks must be at least one, with keys that differ, but are {[n.key for n in networks]}")
    for index, network in enumerate(networks):
        try:
            _check_network(network, loss)
        except ValueError as error:
            raise ValueError(f"{error}, in network {index} of {len(networks)}, {network.key!r}") from None


def _check_network(network: Network, loss: Loss) -> None:
    for name, value in (("seed", network.seed), ("view", network.view)):
        if type(value) is not int or value < 0:
            raise ValueError(f"{name} must be a whole number >= 0, but is {value!r}")
    built = {slot: member.build() for slot, member in network.components.items()}
    for slot, member in built.items():
        wanted = {"optimizer": Optimizer, "schedule": Schedule}.get(slot, Regularizer)
        if not isinstance(member, wanted):
            raise ValueError(f"{network.components[slot].short_name} does not make what is asked for as {slot}")
        name = network.components[slot].short_name
        if isinstance(member, Augmentation) and loss.targets not in member.targets:
            raise ValueError(f"{name} is for {' or '.join(member.targets)} targets, not for {loss.targets} ones")
        if built["optimizer"].needs_fixed_objective and isinstance(member, MOVING):
            optimizer = network.optimizer.short_name
            raise ValueError(f"{name} changes the objective or the step, but {optimizer} needs them as they are")
    names = [member.short_name for member in network.regularizers]
    if len(set(names)) < len(names) or sum(isinstance(member, WeightAverage) for member in built.values()) > 1:
        raise ValueError(f"regularizers must be one of a kind, and one average, but are {', '.join(names)}")


def _groups(networks: Sequence[Network]) -> list[ComponentGroup]:
    """All groups, slot by slot: optimizers, schedules, then regularizers in the order in which networks name them.

    Networks that step once per epoch are in other groups than those that step with every batch.
    """
    everyone, owners = [network.components for network in networks], _owners(networks)
    slots = max(everyone, key=len, default={})
    wholes = {
        kind: optimizer.build().full_batch
        for kind, optimizer in {n.optimizer.kind: n.optimizer for n in networks}.items()
    }
    whole = [wholes[network.optimizer.kind] for network in networks]
    return [group for slot in slots for group in _groups_of([m.get(slot) for m in everyone], whole, owners)]


def _groups_of(
    components: Sequence[Component | None], whole: list[bool], owners: dict[str, dict[int, int]]
) -> list[ComponentGroup]:
    """The groups in one slot, given each network's member there."""
    found, first = [], 0
    for _, run in groupby(zip(components, whole, strict=True), lambda one: (one[0] and one[0].kind, one[1])):
        one_kind = list(run)
        rows = slice(first, first + len(one_kind))
        first = rows.stop
        there = [member for member, _ in one_kind if member]
        if there:
            begin = owners[there[0].kind][rows.start]
            own = slice(begin, begin + len(there))
            found.append(ComponentGroup(rows, build_stacked(there), there[0].kind, own, one_kind[0][1]))
    return found


def _owners(networks: Sequence[Network]) -> dict[str, dict[int, int]]:
    """For each kind of member, the positions of the networks that have one: {position: 0, 1, 2, ...}."""
    owners: dict[str, dict[int, int]] = {}
    for index, network in enumerate(networks):
        for member in network.components.values():
            rows = owners.setdefault(member.kind, {})
            rows[index] = len(rows)
    return owners


def _own_state(group: ComponentGroup, state: State) -> State:
    """Views of the group's state, by name."""
    prefix = f"{group.kind}|"
    return {key.removeprefix(prefix): a[group.own] for key, a in state.items() if key.startswith(prefix)}
