"""What an optimizer is."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from nncore.hyperparameters import Array

State = dict[str, Array]


class Optimizer(NamedTuple):
    """How a rule starts and how it steps; see the package's docstring."""

    init: Callable[[Array], State]
    update: Callable[[Array, Array, State, int], None]


def zeros(*names: str) -> Callable[[Array], State]:
    """An `init` whose named arrays are zero."""
    return lambda W: {name: np.zeros_like(W) for name in names}
