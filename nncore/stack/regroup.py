"""Moving networks between stacks: each takes its parameters and the state of its components along."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from nncore.stack.state import Network, Stack, check_networks


def collect(networks: Sequence[Network], origins: Sequence[str], sources: Sequence[Stack]) -> Stack:
    """Return a stack of networks that continue from networks of other stacks.

    Parameters
    ----------
    networks : sequence of Network
        A network may differ from its origin in key, seed, view and numeric hyperparameters, as in population-based
        training.
    origins : sequence of str
        For each network, the key of the network in `sources` whose parameters and state it takes over. Several
        networks may have the same origin.
    sources : sequence of Stack
        Stacks of one architecture after the same number of epochs; stacks without networks are ignored.

    Returns
    -------
    Stack
        Its `stopped` is empty: networks that were stopped stay with the sources.

    Raises
    ------
    ValueError
        Naming the networks or the sources that do not fit.
    """
    joined = _join(sources)
    check_networks(networks, joined.architecture.functions.loss)
    position_of = {network.key: position for position, network in enumerate(joined.networks)}
    for network, origin in zip(networks, origins, strict=True):
        if origin not in position_of:
            raise ValueError(f"network {network.key!r} is to continue from {origin!r}, which is not in the sources")
        if network.kinds != joined.networks[position_of[origin]].kinds:
            raise ValueError(
                f"network {network.key!r} must have components of the same kinds as {origin!r}, from which it is to "
                f"continue"
            )
    return replace(joined.take([position_of[origin] for origin in origins]), networks=tuple(networks))


def freeze(stack: Stack) -> Stack:
    """Return the stack when none of its networks continues.

    Parameters
    ----------
    stack : Stack

    Returns
    -------
    Stack
        Without networks; the selected weights of all networks are in its `stopped`.
    """
    weights_of = zip((network.key for network in stack.networks), stack.selected_weights(), strict=True)
    return replace(stack.take([]), stopped=stack.stopped | {key: weights.copy() for key, weights in weights_of})


def _join(sources: Sequence[Stack]) -> Stack:
    """All networks of the sources in one stack, none of them stopped."""
    sources = [source for source in sources if source.networks]
    if not sources:
        raise ValueError("sources must hold networks to continue from, but there are none")
    first = sources[0]
    for source in sources:
        if (source.architecture, source.epoch) != (first.architecture, first.epoch):
            described = [
                f"{stack.networks[0].key!r} has {stack.architecture} after epoch {stack.epoch}"
                for stack in (first, source)
            ]
            raise ValueError(f"sources must have one architecture and one epoch, but {' and '.join(described)}")
    networks = [network for source in sources for network in source.networks]
    repeated = [key for key, count in Counter(network.key for network in networks).items() if count > 1]
    if repeated:
        raise ValueError(f"sources must hold each network once, but {repeated[0]!r} occurs more often")
    names = dict.fromkeys(name for source in sources for name in source.state)
    state = {name: np.concatenate([source.state[name] for source in sources if name in source.state]) for name in names}
    parameters = np.concatenate([source.parameters for source in sources])
    return Stack(first.architecture, tuple(networks), first.epoch, parameters, state)
