"""Gradient clipping: a bound on the step, however steep the loss."""

import numpy as np
from numpy.typing import ArrayLike

from nncore.kernels.backend import Array
from nncore.kernels.hyperparameters import checked, column
from nncore.regularizers.base import Clipping


def clip_norm(limit: ArrayLike) -> Clipping:
    """Clip the gradient's norm over all parameters of a network; its direction stays the same.

    Parameters
    ----------
    limit : float or array (K,), > 0

    Raises
    ------
    ValueError
        Naming argument, value, rule and network.

    Notes
    -----
    g <- g min(1, limit / |g|). Unlike in torch, nothing is added to |g| (torch adds 1e-6), and g includes the gradients
    of penalties.

    References
    ----------
    Pascanu, Mikolov & Bengio (2012), arXiv:1211.5063, Algorithm 1.
    """
    limit = checked("clip_norm", "limit", limit, above=0)

    def clip(g: Array) -> None:
        norm = np.sqrt((g * g).sum(axis=1, keepdims=True))
        g *= np.minimum(1, column(limit, g) / np.maximum(norm, 1e-30))

    return Clipping(clip)


def clip_value(limit: ArrayLike) -> Clipping:
    """Clip each component of the gradient to the range from -limit to limit.

    Parameters
    ----------
    limit : float or array (K,), > 0

    Raises
    ------
    ValueError
        Naming argument, value, rule and network.
    """
    limit = checked("clip_value", "limit", limit, above=0)

    def clip(g: Array) -> None:
        np.clip(g, -column(limit, g), column(limit, g), out=g)

    return Clipping(clip)
