"""Where every random number comes from: (seed, purpose, indices), never a shared stream."""

import zlib

import numpy as np


def generator(seed: int, purpose: str, *indices: int) -> np.random.Generator:
    """A generator of its own for one purpose, such as ("initial weights", layer) or ("batches", epoch).

    Two networks with one seed draw the same numbers wherever they stand, so that they differ only in
    what the sweep varies.

    Range    seed, indices: integers >= 0
    """
    return np.random.default_rng([seed, zlib.crc32(purpose.encode()), *indices])
