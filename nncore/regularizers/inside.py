"""What acts inside the network while it learns: dropout, and a penalty on what the layers say."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from nncore.backend import Array
from nncore.formula import formula
from nncore.hyperparameters import checked
from nncore.regularizers.base import Activity, Dropout
from nncore.regularizers.draws import Draws
from nncore.regularizers.penalties import l1_gradient
from nncore.scratch import Scratch
from nncore.shape import Shape

CHANCES = 1 << 16  # of a draw


def dropout(rate: ArrayLike = 0.5, input_rate: ArrayLike = 0.0) -> Dropout:
    """In each step a random share of what every layer sees is 0, and the rest is multiplied by 1 / (1 - share).

    `rate` for the hidden layers' y, `input_rate` for the columns of the rows. When the network answers, all is
    there. What a residual layer adds, its x, is whole.

    Range    0 <= rate, input_rate < 1
    Random   which: generator(seed, "dropout", epoch, layer), of 65536 chances those below the rate, to which it is
             rounded
    Source   Srivastava et al. (2014), "Dropout: a simple way to prevent neural networks from overfitting"
    """
    rate = checked("dropout", "rate", rate, at_least=0, below=1)
    input_rate = checked("dropout", "input_rate", input_rate, at_least=0, below=1)
    return Dropout(input_rate, rate)


@formula("chance", "seen")
def keep(chance: Array, x: Array, *, left_out: Array, larger: Array) -> tuple[Array, Array]:
    """What a number is multiplied by, in the place of its chance, and what is then seen of it."""
    factor = np.where(chance >= left_out, larger, 0)
    return factor, x * factor


def activity(strength: ArrayLike) -> Activity:
    """strength * sum |y| of the hidden layers (of an autoencoder: of its code), as a mean over the rows.

    Few units then say anything for one row: a sparse code.

    Derivative   strength * sign(y) / N
    Range        strength >= 0
    Source       Goodfellow, Bengio & Courville (2016), "Deep learning", section 14.2.1
    """
    strength = checked("activity", "strength", strength, at_least=0)

    def add_gradient(y: Array, dy: Array) -> None:
        l1_gradient([dy, y], [strength / y.shape[1]])

    return Activity(add_gradient)


class Inside:
    """Brings the dropouts and activity penalties of a stack into its passes; see network.Hooks.

    dropouts, activities   with the rows of the stack (a slice) that each is for
    """

    def __init__(
        self,
        n_networks: int,
        shape: Shape,
        scratch: Scratch,
        dropouts: Sequence[tuple[slice, Dropout]],
        activities: Sequence[tuple[slice, Activity]],
        draws: Draws,
    ) -> None:
        self._n_networks = n_networks
        self._sparse = [layer.sparse for layer in shape.layers[:-1]]
        self._scratch = scratch
        self._dropouts = dropouts
        self._activities = activities
        self._draws = draws
        self._masks: dict[int, Array] = {}

    def drop(self, layer: int, x: Array) -> Array:
        """x (K or 1, N, I) with the left out numbers 0 and the others larger, (K, N, I)."""
        rates = [(rows, d.rate if layer else d.input_rate) for rows, d in self._dropouts]
        if not any(rate.any() for _, rate in rates):
            return x
        mask = self._scratch(("mask", layer), x, (self._n_networks, *x.shape[1:]))
        seen = self._scratch(("seen", layer), mask)
        if sum(len(mask[rows]) for rows, _ in rates) < self._n_networks:  # the others see everything
            mask[...] = 1
            seen[...] = x
        for rows, rate in rates:
            np.copyto(mask[rows], self._draws.of(rows).chances("dropout", mask[rows], layer))
            left_out = np.minimum(np.round(rate * CHANCES), CHANCES - 1)
            x_there = x if len(x) == 1 else x[rows]
            keep([mask[rows], x_there, seen[rows]], [left_out, CHANCES / (CHANCES - left_out)])
        self._masks[layer] = mask
        return seen

    def backward_drop(self, layer: int, dx: Array) -> None:
        """dx becomes 0 where the number was left out, larger where it was not."""
        if layer in self._masks:
            dx *= self._masks[layer]

    def add_activity(self, layer: int, y: Array, dy: Array) -> None:
        """Add the penalties' derivative by a hidden layer's y."""
        if layer < len(self._sparse) and self._sparse[layer]:
            for rows, activity in self._activities:
                activity.add_gradient(y[rows], dy[rows])
