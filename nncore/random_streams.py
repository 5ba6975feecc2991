"""Random numbers: every draw depends on (seed, purpose, indices), never on a shared stream.

Each network of a stack draws the numbers of its own seed, whatever its position in the stack.
"""

import zlib
from collections.abc import Callable, Sequence
from math import prod

import numpy as np

from nncore.kernels.backend import Array, as_array_like

DrawFunction = Callable[[np.random.Generator, tuple[int, ...]], Array]


def generator(seed: int, purpose: str, *indices: int) -> np.random.Generator:
    """Return the generator for one purpose, such as ("initial weights", layer) or ("batches", epoch).

    Parameters
    ----------
    seed : int, >= 0
    purpose : str
    *indices : int, >= 0

    Notes
    -----
    Two networks with the same seed draw the same numbers wherever they are trained, so that they differ only in what a
    sweep varies.
    """
    return np.random.default_rng([seed, zlib.crc32(purpose.encode()), *indices])


class RandomStreams:
    """The random numbers of one epoch, for networks with these seeds.

    For each purpose and layer a seed has one generator, from which every step draws once.

    Parameters
    ----------
    seeds : sequence of int
        Of the networks of a stack.
    epoch : int
    n_steps : int, >= 1, default 1
        Number of steps of the epoch.

    Attributes
    ----------
    time : float
        Of the current step, in epochs, as schedules count it.
    """

    def __init__(self, seeds: Sequence[int], epoch: int, n_steps: int = 1) -> None:
        self._seeds = seeds
        self._epoch = epoch
        self._n_steps = n_steps
        self._step = -1
        self.time: float = epoch
        self._generators: dict[tuple[str, int, int], np.random.Generator] = {}
        self._drawn: dict[tuple[str, int, int], Array] = {}

    def next_step(self) -> None:
        """Begin the next step: every number is drawn anew."""
        self._step += 1
        self.time = self._epoch + self._step / self._n_steps
        self._drawn.clear()

    def of(self, rows: slice) -> "NetworkStreams":
        """Return the streams of the networks at `rows`."""
        return NetworkStreams(self, self._seeds[rows])

    def numbers(self, seed: int, kind: DrawFunction, purpose: str, shape: tuple[int, ...], layer: int) -> Array:
        """Return numbers of one seed, drawn by `kind`; the same ones when asked again within a step."""
        key = (purpose, layer, seed)
        if key not in self._generators:
            self._generators[key] = generator(seed, purpose, self._epoch, layer)
        if key not in self._drawn:
            self._drawn[key] = kind(self._generators[key], shape)
        return self._drawn[key]

    def fresh(self, seed: int, purpose: str) -> np.random.Generator:
        """Return a generator for this step alone."""
        return generator(seed, purpose, self._epoch, self._step)


class NetworkStreams:
    """The random numbers of some networks of a stack in one step."""

    def __init__(self, streams: RandomStreams, seeds: Sequence[int]) -> None:
        self._streams = streams
        self._seeds = seeds

    def of(self, rows: slice) -> "NetworkStreams":
        """Return the streams of some of these networks."""
        return NetworkStreams(self._streams, self._seeds[rows])

    @property
    def time(self) -> float:
        """Of the current step, in epochs, as schedules count it."""
        return self._streams.time

    def chances(self, purpose: str, like: Array, layer: int = 0) -> Array:
        """Return uniform integers from 0 to 65535 (uint16) of the shape (K, ...) of `like`.

        They are drawn from generator(seed, purpose, epoch, layer), four of them from 64 bits.
        """
        return self._stacked(_chances, purpose, like, layer)

    def normal(self, purpose: str, like: Array, layer: int = 0) -> Array:
        """Return standard normal numbers of the shape (K, ...) and dtype of `like`.

        They are drawn from generator(seed, purpose, epoch, layer), in float32.
        """
        return self._stacked(_normal, purpose, like, layer).astype(like.dtype, copy=False)

    def generators(self, purpose: str) -> list[np.random.Generator]:
        """Return one generator per network for this step alone: generator(seed, purpose, epoch, step of the epoch)."""
        return [self._streams.fresh(seed, purpose) for seed in self._seeds]

    def _stacked(self, kind: DrawFunction, purpose: str, like: Array, layer: int) -> Array:
        return as_array_like(
            np.stack([self._streams.numbers(seed, kind, purpose, like.shape[1:], layer) for seed in self._seeds]), like
        )


def _normal(random: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return random.standard_normal(shape, dtype=np.float32)


def _chances(random: np.random.Generator, shape: tuple[int, ...]) -> Array:
    n = prod(shape)
    return random.bit_generator.random_raw(-(-n // 4)).view(np.uint16)[:n].reshape(shape)
