"""Data augmentation: rows and targets are changed a little each time that they are used in training."""

import numpy as np
from numpy.typing import ArrayLike

from nncore.kernels.backend import Array, as_array_like
from nncore.kernels.hyperparameters import checked, column
from nncore.random_streams import NetworkStreams
from nncore.regularizers.base import CONSTANT, Augmentation
from nncore.schedules import Schedule, check_depends_on_time_alone


def input_noise(deviation: ArrayLike) -> Augmentation:
    """Gaussian input noise; it turns an autoencoder into a denoising one, as the target stays clean.

    Parameters
    ----------
    deviation : float or array (K,), >= 0
        Standard deviation, in units of the columns.

    Raises
    ------
    ValueError
        Naming argument, value, rule and network.

    Notes
    -----
    x <- x + deviation e, e ~ Normal(0, 1), drawn from (seed, "input noise", epoch, 0).

    References
    ----------
    Bishop (1995), "Training with noise is equivalent to Tikhonov regularization".
    """
    deviation = checked("input_noise", "deviation", deviation, at_least=0)

    def augment(x: Array, t: Array, targets: str, streams: NetworkStreams) -> None:
        x += column(deviation, x) * streams.normal("input noise", x)

    return Augmentation(augment)


def mixup(alpha: ArrayLike) -> Augmentation:
    """Mixup: each row of a batch is mixed with another, and so are their targets.

    Parameters
    ----------
    alpha : float or array (K,), >= 0
        Of the Beta distribution; 0 changes nothing.

    Raises
    ------
    ValueError
        Naming argument, value, rule and network.

    Notes
    -----
    x <- m x + (1 - m) x', t likewise, with one m ~ Beta(alpha, alpha) per batch and a random partner x' for each row.
    The partners and m are drawn from (seed, "mixup", epoch, step).

    References
    ----------
    Zhang et al. (2017), arXiv:1710.09412.
    """
    alpha = checked("mixup", "alpha", alpha, at_least=0)

    def augment(x: Array, t: Array, targets: str, streams: NetworkStreams) -> None:
        generators = zip(np.broadcast_to(alpha, len(x)), streams.generators("mixup"), strict=True)
        draws = [(random.permutation(x.shape[1]), random.beta(a, a) if a else 1.0) for a, random in generators]
        partners = as_array_like(np.stack([order for order, _ in draws])[:, :, None], x)  # (K, N, 1)
        m = np.array([share for _, share in draws])
        for rows in (x, t):
            rows[...] = column(m, rows) * rows + column(1 - m, rows) * np.take_along_axis(rows, partners, axis=1)

    return Augmentation(augment, mixes_rows=True)


def label_smoothing(strength: ArrayLike, schedule: Schedule = CONSTANT) -> Augmentation:
    """Label smoothing: targets move a little towards equal probabilities.

    Parameters
    ----------
    strength : float or array (K,), in [0, 1)
    schedule : Schedule, default constant
        Factor of the strength in the course of training, from step to step.

    Raises
    ------
    ValueError
        Naming argument, value, rule and network.

    Notes
    -----
    t <- (1 - strength) t + strength / C with C classes (2 for binary targets).

    References
    ----------
    Szegedy et al. (2015), arXiv:1512.00567, section 7.
    """
    strength = checked("label_smoothing", "strength", strength, at_least=0, below=1)
    check_depends_on_time_alone("label_smoothing", schedule)

    def augment(x: Array, t: Array, targets: str, streams: NetworkStreams) -> None:
        share = strength * schedule.factor(streams.time, {})
        t *= column(1 - share, t)
        t += column(share, t) / (2 if targets == "binary" else t.shape[2])

    return Augmentation(augment, ("one-hot", "binary"))
