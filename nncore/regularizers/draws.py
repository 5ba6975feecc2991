"""Random numbers for a stack: each network's are those of its seed, whatever its place and its neighbours."""

from collections.abc import Callable, Sequence
from math import prod

import numpy as np

from nncore.backend import Array, beside
from nncore.randomness import generator

Kind = Callable[[np.random.Generator, tuple[int, ...]], Array]


class Draws:
    """The draws of one epoch, for networks with these seeds.

    For each purpose and layer a seed has one generator, from which every step draws once.
    """

    def __init__(self, seeds: Sequence[int], epoch: int) -> None:
        self._seeds = seeds
        self._epoch = epoch
        self._step = -1
        self._generators: dict[tuple[str, int, int], np.random.Generator] = {}
        self._drawn: dict[tuple[str, int, int], Array] = {}

    def next_step(self) -> None:
        """From here on, everything is drawn anew."""
        self._step += 1
        self._drawn.clear()

    def of(self, rows: slice) -> "Draw":
        """What the networks at `rows` draw."""
        return Draw(self, self._seeds[rows])

    def numbers(self, seed: int, kind: Kind, purpose: str, shape: tuple[int, ...], layer: int) -> Array:
        """Numbers of a kind; the same ones if they are asked for again within a step."""
        key = (purpose, layer, seed)
        if key not in self._generators:
            self._generators[key] = generator(seed, purpose, self._epoch, layer)
        if key not in self._drawn:
            self._drawn[key] = kind(self._generators[key], shape)
        return self._drawn[key]

    def fresh(self, seed: int, purpose: str) -> np.random.Generator:
        """A generator for this step alone."""
        return generator(seed, purpose, self._epoch, self._step)


class Draw:
    """What some neighbouring networks of a stack draw in one step."""

    def __init__(self, draws: Draws, seeds: Sequence[int]) -> None:
        self._draws = draws
        self._seeds = seeds

    def chances(self, purpose: str, like: Array, layer: int = 0) -> Array:
        """Whole numbers from 0 to 65535, all as probable, of the shape (K, ...) of `like`: uint16.

        Random   generator(seed, purpose, epoch, layer), four of them from 64 bits
        """
        return self._stacked(_chances, purpose, like, layer)

    def normal(self, purpose: str, like: Array, layer: int = 0) -> Array:
        """Normal with mean 0 and variance 1, of the shape (K, ...) and dtype of `like`.

        Random   generator(seed, purpose, epoch, layer), in float32
        """
        return self._stacked(_normal, purpose, like, layer).astype(like.dtype, copy=False)

    def generators(self, purpose: str) -> list[np.random.Generator]:
        """One for each network, for this step alone: generator(seed, purpose, epoch, step of the epoch)."""
        return [self._draws.fresh(seed, purpose) for seed in self._seeds]

    def _stacked(self, kind: Kind, purpose: str, like: Array, layer: int) -> Array:
        return beside(
            np.stack([self._draws.numbers(seed, kind, purpose, like.shape[1:], layer) for seed in self._seeds]), like
        )


def _normal(random: np.random.Generator, shape: tuple[int, ...]) -> Array:
    return random.standard_normal(shape, dtype=np.float32)


def _chances(random: np.random.Generator, shape: tuple[int, ...]) -> Array:
    n = prod(shape)
    return random.bit_generator.random_raw(-(-n // 4)).view(np.uint16)[:n].reshape(shape)
