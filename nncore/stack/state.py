"""A stack: K networks of one architecture in training, as plain arrays.

Networks of one stack may differ in seed, optimizer, schedule, regularizers and in every numeric hyperparameter.
Adjacent networks whose components are of the same kind form a group, whose rows of the buffer are updated in one
operation: a stack that is sorted by optimizer and regularizers has the fewest groups.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from hashlib import sha256
from itertools import groupby
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from nncore.architecture import Architecture
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
from nncore.stack.data import Data, ViewRun
from nncore.stack.initialization import start_parameters

Built = TypeVar("Built")
CONSTANT = Component("nncore.schedules.constant")
_built_once = lru_cache(maxsize=256)(build_stacked)  # per process, as later slices of a stack have the same groups
# Regularizers that change the objective or the step, which an optimizer with `needs_fixed_objective` cannot allow.
CHANGES_OBJECTIVE = ActivityRegularizer | Clipping | Constraint | Augmentation | Dropout


@dataclass(frozen=True)
class Network:
    """One network to train.

    Parameters
    ----------
    key : str
        Its name in reports, unique within a stack.
    seed : int, >= 0
        Determines the initial weights, the order of the rows and every other random draw.
    optimizer : Component
        Such as ``Component("nncore.optimizers.adam.adam", (("learning_rate", 0.001),))``.
    regularizers : tuple of Component, default ()
        Such as ``(Component("nncore.regularizers.penalties.l2", (("strength", 0.0001),)),)``. Each function may occur
        once.
    schedule : Component, default constant
        Schedule of the learning rate.
    view : int, >= 0, default 0
        Index of the data view that it is trained and validated on.
    """

    key: str
    seed: int
    optimizer: Component
    regularizers: tuple[Component, ...] = ()
    schedule: Component = CONSTANT
    view: int = 0

    @property
    def components(self) -> dict[str, Component]:
        """All components by slot: "optimizer", "schedule", "regularizer 0", ..."""
        regularizers = {f"regularizer {index}": component for index, component in enumerate(self.regularizers)}
        return {"optimizer": self.optimizer, "schedule": self.schedule, **regularizers}

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of the components, slot by slot. Adjacent networks with the same kinds need the fewest groups."""
        return tuple(component.kind for component in self.components.values())


class ComponentGroup(NamedTuple, Generic[Built]):
    """Adjacent networks of a stack whose components in one slot are of one kind.

    Parameters
    ----------
    rows : slice
        The networks' rows of the stack.
    built : Optimizer, Schedule or Regularizer
        What the components' function returned for the hyperparameters of all these networks, arrays (K,).
    kind : str
        Kind of the components.
    state_rows : slice
        The networks' rows of the state arrays of this kind.
    full_batch : bool
        Whether the networks take one step per epoch, along the mean gradient of all batches.
    state : dict of array
        Views of the networks' rows of the state arrays, by name.
    parameters : array (K, buffer_size)
        View of the networks' rows of the stack's parameters.
    """

    rows: slice
    built: Built
    kind: str
    state_rows: slice
    full_batch: bool
    state: State
    parameters: Array


@dataclass(frozen=True)
class Stack:
    """K networks of one architecture after `epoch` epochs of training.

    Parameters
    ----------
    architecture : Architecture
    networks : tuple of Network
    epoch : int
    parameters : array (K, buffer_size)
        Parameters, then the running statistics.
    state : dict of array
        State of the components: "<kind>|<name>", with one row for each network that has a component of this kind.
    stopped : dict of array (buffer_size,)
        By key, the selected weights of networks that were stopped early and have left the stack.
    """

    architecture: Architecture
    networks: tuple[Network, ...]
    epoch: int
    parameters: Array
    state: State
    stopped: State = field(default_factory=dict)

    def take(self, positions: Sequence[int]) -> "Stack":
        """Return a new stack with copies of the networks at these positions, and with all that were stopped."""
        positions = [range(len(self.networks))[position] for position in positions]
        state = {}
        state_rows = _state_rows([network.kinds for network in self.networks])
        for key, array in self.state.items():
            row_of_network = state_rows[key.rpartition("|")[0]]
            rows = [row_of_network[position] for position in positions if position in row_of_network]
            if rows:
                state[key] = array[rows]
        networks = tuple(self.networks[position] for position in positions)
        parameters = self.parameters[positions]
        return replace(self, networks=networks, parameters=parameters, state=state, stopped=dict(self.stopped))

    def groups(self) -> list[ComponentGroup[Any]]:
        """Return the groups in the order in which they are applied: optimizers, schedules, regularizers by slot.

        Networks that step once per epoch are in other groups than those that step with every batch.
        """
        components = [tuple(network.components.values()) for network in self.networks]
        kinds = [network.kinds for network in self.networks]  # the optimizer's comes first
        state_rows = _state_rows(kinds)
        optimizers = {kinds[position][0]: network.optimizer for position, network in enumerate(self.networks)}
        full_batch_of = {kind: _built_once((optimizer,)).full_batch for kind, optimizer in optimizers.items()}
        groups = []
        for slot in range(max(map(len, kinds), default=0)):
            in_slot = [
                (of_network[slot] if slot < len(of_network) else "", full_batch_of[of_network[0]])
                for of_network in kinds
            ]
            for rows, (kind, full_batch) in _runs(in_slot):
                if kind:
                    first = state_rows[kind][rows.start]
                    group_rows = slice(first, first + rows.stop - rows.start)
                    state = {
                        key.removeprefix(f"{kind}|"): array[group_rows]
                        for key, array in self.state.items()
                        if key.startswith(f"{kind}|")
                    }
                    built = _built_once(tuple(of_network[slot] for of_network in components[rows]))
                    parameters = self.parameters[rows]
                    groups.append(ComponentGroup(rows, built, kind, group_rows, full_batch, state, parameters))
        return groups

    def view_runs(self) -> list[ViewRun]:
        """Return the runs of adjacent networks that learn from one view: their rows, and the index of the view."""
        return _runs([network.view for network in self.networks])

    def selected_weights(self) -> Array:
        """Return the selected weights of all networks: averaged or best ones where a regularizer selects them.

        Returns
        -------
        array (K, buffer_size)
            A copy.
        """
        groups = self.groups()
        return best_weights(groups, averaged_weights(groups, self.parameters.copy()))

    def selected_weights_of(self, key: str) -> Array:
        """Return the selected weights of one network, whether it is still in training or was stopped.

        Parameters
        ----------
        key : str
            Key of the network.

        Returns
        -------
        array (1, buffer_size)
            A copy.

        Raises
        ------
        KeyError
            If the stack has no such network, for example because it diverged.
        """
        if key in self.stopped:
            return self.stopped[key][None].copy()
        positions = [position for position, network in enumerate(self.networks) if network.key == key]
        if not positions:
            raise KeyError(key)
        return self.take(positions).selected_weights()


def averaged_weights(groups: Sequence[ComponentGroup[Any]], parameters: Array) -> Array:
    """Replace the rows of networks with a weight average by that average.

    Parameters
    ----------
    groups : sequence of ComponentGroup
    parameters : array (K, buffer_size)

    Returns
    -------
    array (K, buffer_size)
        `parameters` itself if no network has a weight average, else a new array.
    """
    averages = [group for group in groups if isinstance(group.built, WeightAverage)]
    result = parameters.copy() if averages else parameters
    for group in averages:
        result[group.rows] = group.built.average(parameters[group.rows], group.state)
    return result


def best_weights(groups: Sequence[ComponentGroup[Any]], parameters: Array) -> Array:
    """Replace the rows of networks whose early stopping restores weights by their best weights so far.

    Parameters and returns as in `averaged_weights`.
    """
    restoring = [group for group in groups if isinstance(group.built, EarlyStopping) and group.built.restore]
    result = parameters.copy() if restoring else parameters
    for group in restoring:
        result[group.rows] = group.state["weights"]
    return result


def fingerprint(parameters: Array) -> str:
    """Return the SHA-256 of one network's parameters: equal if and only if they are equal to the last bit."""
    return sha256(to_host(parameters).tobytes()).hexdigest()


def start(
    architecture: Architecture,
    networks: Sequence[Network],
    parameters: Array | None = None,
    data: Data | Sequence[Data] | None = None,
) -> Stack:
    """Return a stack of networks before their first step.

    Parameters
    ----------
    architecture : Architecture
    networks : sequence of Network
        At least one, with unique keys.
    parameters : array (K, buffer_size), optional
        Initial parameters and running statistics. By default each network draws its own from its seed.
    data : Data or sequence of Data, optional
        One data set, or one for each view that the networks refer to, as for `train`. Needed only if initial numbers
        are taken from training rows, as bins of an embedding are.

    Returns
    -------
    Stack

    Raises
    ------
    ValueError
        If a hyperparameter is invalid or components cannot be combined: naming the hyperparameter, its value, the rule
        and the network. If data are needed, but not given.

    Examples
    --------
    >>> from nncore import Architecture, Component, Layer, Network, start
    >>> relu = Component("nncore.activations.relu")
    >>> architecture = Architecture(4, (Layer(8, relu), Layer(3)), Component("nncore.losses.softmax_cross_entropy"))
    >>> adam = Component("nncore.optimizers.adam.adam", (("learning_rate", 0.01),))
    >>> stack = start(architecture, [Network("a", seed=0, optimizer=adam), Network("b", seed=1, optimizer=adam)])
    >>> stack.parameters.shape  # 4 * 8 + 8 * 3 weights and 8 + 3 biases
    (2, 67)
    """
    check_networks(networks, architecture.functions.loss)
    if architecture.levels:
        check_rows_are_not_mixed(networks)
    if parameters is None:
        parameters = start_parameters(architecture, [(network.seed, network.view) for network in networks], data)
    stack = Stack(architecture, tuple(networks), 0, parameters, {})
    state_rows = _state_rows([network.kinds for network in networks])
    for group in stack.groups():
        match group.built:
            case Optimizer():
                initial_state = group.built.init(group.parameters[:, : architecture.n_parameters])
            case Schedule():
                initial_state = group.built.init(len(group.parameters))
            case WeightAverage() | EarlyStopping():
                initial_state = group.built.init(group.parameters)
            case _:
                continue  # it has no state
        for name, array in initial_state.items():
            shape = (len(state_rows[group.kind]), *array.shape[1:])
            stack.state.setdefault(f"{group.kind}|{name}", np.zeros(shape, array.dtype))[group.state_rows] = array
    return stack


def check_networks(networks: Sequence[Network], loss: Loss) -> None:
    """Check that networks have unique keys and components of the required kinds that can be combined.

    Parameters
    ----------
    networks : sequence of Network
    loss : Loss
        Loss of their architecture.

    Raises
    ------
    ValueError
        Naming the hyperparameter, its value, the rule and the network.
    """
    if len({network.key for network in networks}) < max(len(networks), 1):
        keys = [network.key for network in networks]
        raise ValueError(f"networks must be at least one, with unique keys, but the keys are {keys}")
    for index, network in enumerate(networks):
        try:
            for name, value in (("seed", network.seed), ("view", network.view)):
                if type(value) is not int or value < 0:
                    raise ValueError(f"{name} must be an integer >= 0, but is {value!r}")
            _check_components(network, loss)
        except ValueError as error:
            raise ValueError(f"{error}, in network {index} of {len(networks)}, {network.key!r}") from None


def check_rows_are_not_mixed(networks: Sequence[Network]) -> None:
    """Raise ValueError if a regularizer of these networks mixes rows, which codes of categories do not allow."""
    for network in networks:
        for component in network.regularizers:
            built = component.build()
            if isinstance(built, Augmentation) and built.mixes_rows:
                name = component.short_name
                raise ValueError(f"{name} mixes rows, but codes of categories cannot be mixed, in {network.key!r}")


def _check_components(network: Network, loss: Loss) -> None:
    kinds: dict[str, tuple[str, Any]] = {"optimizer": ("an Optimizer", Optimizer), "schedule": ("a Schedule", Schedule)}
    built = {slot: component.build() for slot, component in network.components.items()}
    for slot, component in network.components.items():
        required, kind = kinds.get(slot, ("a Regularizer", Regularizer))
        if not isinstance(built[slot], kind):
            made = type(built[slot]).__name__
            raise ValueError(
                f"{slot} must be a component that makes {required}, but {component.short_name} makes {made}"
            )
    for slot, regularizer in built.items():
        name = network.components[slot].short_name
        if isinstance(regularizer, Augmentation) and loss.targets not in regularizer.targets:
            targets = " or ".join(regularizer.targets)
            raise ValueError(f"{name} requires {targets} targets, but the targets of the loss are {loss.targets}")
        if built["optimizer"].needs_fixed_objective and isinstance(regularizer, CHANGES_OBJECTIVE):
            optimizer = network.optimizer.short_name
            raise ValueError(f"{name} changes the objective or the step, but {optimizer} needs a fixed objective")
    names = [component.short_name for component in network.regularizers]
    n_averages = sum(isinstance(regularizer, WeightAverage) for regularizer in built.values())
    n_selecting = sum(isinstance(regularizer, EarlyStopping) and regularizer.restore for regularizer in built.values())
    if n_selecting > 1:
        raise ValueError("restore must be false for early_stopping beside keep_best, which selects the weights")
    if len(set(names)) < len(names) or n_averages > 1:
        raise ValueError(f"regularizers must be different, with at most one weight average, but are {', '.join(names)}")


def _runs(values: Sequence[Any]) -> list[tuple[slice, Any]]:
    """The runs of equal adjacent values: their positions, and the value."""
    runs: list[tuple[slice, Any]] = []
    for value, run in groupby(values):
        start = runs[-1][0].stop if runs else 0
        runs.append((slice(start, start + len(list(run))), value))
    return runs


def _state_rows(kinds: Sequence[tuple[str, ...]]) -> dict[str, dict[int, int]]:
    """By kind of component, the row of each network's state: {position of the network: row}."""
    state_rows: dict[str, dict[int, int]] = {}
    for position, of_network in enumerate(kinds):
        for kind in of_network:
            rows = state_rows.setdefault(kind, {})
            rows[position] = len(rows)
    return state_rows
