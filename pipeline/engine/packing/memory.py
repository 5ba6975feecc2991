"""Fitting stacks into the memory of the workers, and which setting is to blame if not even one network fits."""

from collections.abc import Sequence
from dataclasses import replace
from math import ceil

from nncore.architecture import Layer
from nncore.stack.device import LEAST_PER_PARAMETER, PER_PARAMETER, network_bytes
from pipeline.backends.base import HostMemory
from pipeline.components.errors import SettingError
from pipeline.engine.packing.planner import PlannedStack, TrialNetwork
from pipeline.engine.packing.scheduler import equal_sizes

GIGABYTE = 1e9
SMALLEST_BATCH = 8  # a smaller one would not be a cure
SMALLEST_NUMBER_OF_MEMBERS = 4  # likewise


class MemoryNeeds:
    """The estimated memory that networks need in training, without their data.

    Parameters
    ----------
    networks : sequence of TrialNetwork
    memory : HostMemory

    Raises
    ------
    SettingError
        If one of the networks does not fit into any host's memory, naming the setting, its value, the bytes needed and
        available, and a value that fits.
    """

    def __init__(self, networks: Sequence[TrialNetwork], memory: HostMemory) -> None:
        self._memory = memory
        self._most: dict[object, int] = {}  # by cost key of a stack, an upper bound for its largest network
        self._least = 0  # of all networks, a lower bound for the largest
        kinds = {(net.architecture, net.fold.view_shape, net.network.kinds): net for net in networks}
        for (*cost_key, _), network in kinds.items():
            least = _least_bytes(network)
            if least > memory.largest:
                raise _too_large(network, least, memory.largest)
            self._least = max(least, self._least)
            self._most[tuple(cost_key)] = max(_bytes(network), self._most.get(tuple(cost_key), 0))

    def narrowed(self, planned: Sequence[PlannedStack]) -> list[PlannedStack]:
        """Divide the stacks that need more memory than a worker has, into parts of at least one network."""
        stacks = []
        for stack in planned:
            width = max(1, self._memory.per_worker // self._most[stack.cost_key])
            sizes = equal_sizes(len(stack.networks), ceil(len(stack.networks) / width))
            keys = iter(stack.keys)
            stacks += [stack.subset([next(keys) for _ in range(size)]) for size in sizes] if len(sizes) > 1 else [stack]
        return stacks

    def stack_bytes(self, stack: PlannedStack) -> int:
        """The most memory that a worker needs to train a stack."""
        return len(stack.networks) * self._most[stack.cost_key]

    def workers(self, n: int) -> int:
        """How many of n workers can train at a time, each of them one network at least."""
        return n if self._least <= self._memory.per_worker else max(1, n * self._memory.per_worker // self._least)


def _bytes(network: TrialNetwork, per_parameter: int = PER_PARAMETER) -> int:
    shape = network.fold.view_shape
    return network_bytes(network.architecture, network.network, shape.n_train, shape.n_validation, per_parameter)


def _least_bytes(network: TrialNetwork) -> int:
    return _bytes(network, LEAST_PER_PARAMETER)


def _too_large(network: TrialNetwork, needed: int, available: int) -> SettingError:
    architecture = network.architecture
    setting, cure = _setting_and_cure(network, available)
    return SettingError(
        f"{setting}: to train one such network takes at least {needed / GIGABYTE:,.1f} GB of memory "
        f"({architecture.inputs:,} inputs, {architecture.n_parameters:,} parameters, "
        f"{network.network.optimizer.short_name}), but {available / GIGABYTE:,.1f} GB are available; {cure}"
    )


def _setting_and_cure(network: TrialNetwork, available: int) -> tuple[str, str]:
    """The setting that makes a network too large, and what to write instead."""
    architecture = network.architecture
    batch_size = min(architecture.batch_size, network.fold.view_shape.n_train)
    while batch_size > SMALLEST_BATCH:
        batch_size //= 2
        if _bytes(network._replace(architecture=replace(architecture, batch_size=batch_size))) <= available:
            return f"training.batch_size={architecture.batch_size}", f"give training.batch_size={batch_size}"
    members = architecture.members
    while members > SMALLEST_NUMBER_OF_MEMBERS:
        members //= 2
        if _bytes(network._replace(architecture=replace(architecture, members=members))) <= available:
            return f"network.members={architecture.members}", f"give network.members={members}"
    *hidden, last = architecture.layers
    while any(layer.outputs > 1 for layer in hidden):
        hidden = [replace(layer, outputs=max(1, layer.outputs // 2)) for layer in hidden]
        if _bytes(network._replace(architecture=replace(architecture, layers=(*hidden, last)))) <= available:
            return f"network.hidden={_widths(architecture.layers[:-1])}", f"give 'network.hidden={_widths(hidden)}'"
    return "reduce.n_components", "reduce the number of columns, as with reduce=pca reduce.n_components=50"


def _widths(layers: Sequence[Layer]) -> str:
    return f"[{','.join(str(layer.outputs) for layer in layers)}]"
