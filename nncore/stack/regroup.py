"""Regrouping: networks leave their stacks and stand together in others, each with all that it has learnt."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from nncore.stack.state import Network, Stack, check_networks


def collect(networks: Sequence[Network], origins: Sequence[str], sources: Sequence[Stack]) -> Stack:
    """A stack of these networks, in which each goes on from where its origin is: its parameters and members' state.

    origins   by network, the key of one in the sources; several networks may have one origin
    sources   stacks of one shape after the same epochs, though one without networks may be of any epoch

    A network may differ from its origin in key, seed, view and numeric hyperparameters, as in population-based
    training. Who was stopped stays with the sources: the new stack's `stopped` is empty.

    Raises   ValueError naming the networks or the sources that do not fit
    """
    joined = _joined(sources)
    check_networks(networks, joined.architecture.functions.loss)
    positions = {network.key: position for position, network in enumerate(joined.networks)}
    for network, origin in zip(networks, origins, strict=True):
        if origin not in positions:
            raise ValueError(f"network {network.key!r} is to go on from {origin!r}, but the sources have no such one")
        if network.kinds != joined.networks[positions[origin]].kinds:
            raise ValueError(f"network {network.key!r} must have members of the kinds that its origin {origin!r} has")
    return replace(joined.take([positions[origin] for origin in origins]), networks=tuple(networks))


def freeze(stack: Stack) -> Stack:
    """The stack when nobody goes on: no networks, and of each the parameters that it answers with in `stopped`."""
    answers = zip((network.key for network in stack.networks), stack.selected_weights(), strict=True)
    return replace(stack.take([]), stopped=stack.stopped | {key: answer.copy() for key, answer in answers})


def _joined(sources: Sequence[Stack]) -> Stack:
    """All networks of the sources in one stack, none of them stopped."""
    sources = [source for source in sources if source.networks]
    if not sources:
        raise ValueError("sources must hold networks to go on from, but there are none")
    for source in sources:
        if (source.architecture, source.epoch) != (sources[0].architecture, sources[0].epoch):
            named = [
                f"{one.networks[0].key!r} has {one.architecture} after epoch {one.epoch}"
                for one in (sources[0], source)
            ]
            raise ValueError(f"sources must be of one shape and one epoch, but {' and '.join(named)}")
    networks = [network for source in sources for network in source.networks]
    twice = [key for key, times in Counter(network.key for network in networks).items() if times > 1]
    if twice:
        raise ValueError(f"sources must hold each network once, but {twice[0]!r} is there more often")
    names = dict.fromkeys(name for source in sources for name in source.state)
    state = {name: np.concatenate([s.state[name] for s in sources if name in s.state]) for name in names}
    parameters = np.concatenate([source.parameters for source in sources])
    return Stack(sources[0].architecture, tuple(networks), sources[0].epoch, parameters, state)
