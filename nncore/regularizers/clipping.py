"""Gradient clipping: a step never gets larger than it should, however steep the loss."""

import numpy as np
from numpy.typing import ArrayLike

from nncore.kernels.backend import Array
from nncore.kernels.hyperparameters import checked, column
from nncore.regularizers.base import Clipping


def clip_norm(limit: ArrayLike) -> Clipping:
    """g <- g min(1, limit / |g|), |g| over all parameters of a network: its direction stays.

    Range    limit > 0
    Source   Pascanu, Mikolov & Bengio (2012), arXiv:1211.5063, Algorithm 1
    Differs  from torch, which adds 1e-6 to |g|; and g holds the penalties' gradients too
    """
    limit = checked("clip_norm", "limit", limit, above=0)

    def clip(g: Array) -> None:
        norm = np.sqrt((g * g).sum(axis=1, keepdims=True))
        g *= np.minimum(1, column(limit, g) / np.maximum(norm, 1e-30))

    return Clipping(clip)


def clip_value(limit: ArrayLike) -> Clipping:
    """g <- g cut to +-limit, parameter by parameter.

    Range    limit > 0
    """
    limit = checked("clip_value", "limit", limit, above=0)

    def clip(g: Array) -> None:
        np.clip(g, -column(limit, g), column(limit, g), out=g)

    return Clipping(clip)
