"""What an optimizer is."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from nncore.architecture import Architecture
from nncore.kernels.backend import Array, State
from nncore.kernels.elementwise import ElementwiseKernel
from nncore.kernels.hyperparameters import column
from nncore.kernels.workspace import Workspace


class Step(NamedTuple):
    """What a rule may know of the step it takes.

    number      of the step, counted from 1
    architecture   of the networks
    workspace   working arrays
    factor      what the schedule makes of the learning rate, (K,) or (1,)
    last        whether it is the last step of an epoch
    objective   (W, networks) -> loss and penalties (K,) of parameters W (K, P), a mean over the epoch's batches
    networks    which of the stack's networks the step is for
    """

    number: int
    architecture: Architecture
    workspace: Workspace
    factor: Array = np.ones(1)
    last: bool = True
    objective: Callable[[Array, slice], Array] | None = None
    networks: slice = slice(None)

    def of(self, networks: slice) -> "Step":
        """The step of some of the networks."""
        return self._replace(factor=self.factor[networks], networks=networks)

    def rate(self, learning_rate: Array, W: Array) -> Array:
        """The learning rate of this step, (K, 1) or (1, 1), in the dtype of W."""
        return column(learning_rate * self.factor, W)


class Optimizer(NamedTuple):
    """How a rule starts and how it steps; see the package's docstring.

    full_batch              whether it takes one step per epoch, along the mean gradient of all batches
    needs_fixed_objective   whether nothing else may change the objective, the gradient or W (L-BFGS's line search)
    """

    init: Callable[[Array], State]
    update: Callable[[Array, Array, State, Step], None]
    full_batch: bool = False
    needs_fixed_objective: bool = False


def zeros(*names: str) -> Callable[[Array], State]:
    """An `init` whose named arrays are zero."""
    return lambda W: {name: np.zeros_like(W) for name in names}


def stepping(
    rule: ElementwiseKernel, coefficients: Callable[[Step], Sequence[Array]], *names: str
) -> Callable[[Array, Array, State, Step], None]:
    """An `update` by a formula of W, g, the named arrays of the state, and then the coefficients of the step."""

    def update(W: Array, g: Array, state: State, step: Step) -> None:
        rule([W, g, *(state[name] for name in names)], coefficients(step))

    return update
