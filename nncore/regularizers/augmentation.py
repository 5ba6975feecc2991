"""Disturbances: rows and targets are changed a little each time they are shown, in training only."""

import numpy as np
from numpy.typing import ArrayLike

from nncore.kernels.backend import Array, as_array_like
from nncore.kernels.hyperparameters import checked, column
from nncore.random_streams import NetworkStreams
from nncore.regularizers.base import Augmentation


def input_noise(deviation: ArrayLike) -> Augmentation:
    """x <- x + deviation e, e ~ Normal(0, 1). On an autoencoder it makes a denoising one: the target stays clean.

    Range    deviation >= 0, in units of the columns
    Random   e from (seed, "input noise", epoch, 0)
    Source   Bishop (1995), "Training with noise is equivalent to Tikhonov regularization"
    """
    deviation = checked("input_noise", "deviation", deviation, at_least=0)

    def augment(x: Array, t: Array, targets: str, draw: NetworkStreams) -> None:
        x += column(deviation, x) * draw.normal("input noise", x)

    return Augmentation(augment)


def mixup(alpha: ArrayLike) -> Augmentation:
    """Each row of a batch is mixed with another, and so are their targets: x <- m x + (1 - m) x', t likewise.

    One m ~ Beta(alpha, alpha) for the batch, and a random partner for each row; alpha = 0 changes nothing.

    Range    alpha >= 0
    Random   the partners and m from (seed, "mixup", epoch, step)
    Source   Zhang et al. (2017), arXiv:1710.09412
    """
    alpha = checked("mixup", "alpha", alpha, at_least=0)

    def augment(x: Array, t: Array, targets: str, draw: NetworkStreams) -> None:
        each = zip(np.broadcast_to(alpha, len(x)), draw.generators("mixup"), strict=True)
        drawn = [(random.permutation(x.shape[1]), random.beta(a, a) if a else 1.0) for a, random in each]
        partners = as_array_like(np.stack([order for order, _ in drawn])[:, :, None], x)  # (K, N, 1)
        m = np.array([share for _, share in drawn])
        for rows in (x, t):
            rows[...] = column(m, rows) * rows + column(1 - m, rows) * np.take_along_axis(rows, partners, axis=1)

    return Augmentation(augment)


def label_smoothing(strength: ArrayLike) -> Augmentation:
    """Targets move a little towards even chances: t <- (1 - strength) t + strength / C, C classes (2 if binary).

    Range    0 <= strength < 1
    Source   Szegedy et al. (2015), arXiv:1512.00567, section 7
    """
    strength = checked("label_smoothing", "strength", strength, at_least=0, below=1)

    def augment(x: Array, t: Array, targets: str, draw: NetworkStreams) -> None:
        t *= column(1 - strength, t)
        t += column(strength, t) / (2 if targets == "binary" else t.shape[2])

    return Augmentation(augment, ("one-hot", "binary"))
