"""What an optimizer is."""

from collections.abc import Callable, Mapping
from itertools import groupby
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from nncore.architecture import Architecture, kind_of
from nncore.kernels.backend import Array, State
from nncore.kernels.elementwise import ElementwiseKernel
from nncore.kernels.hyperparameters import checked, column
from nncore.kernels.workspace import Workspace


class Step(NamedTuple):
    """What an optimizer may know of the step that it takes.

    Parameters
    ----------
    number : int
        Number of the step, counted from 1.
    architecture : Architecture
        Of the networks.
    workspace : Workspace
        Working arrays.
    factor : array (K,) or (1,), default 1
        The schedule's factor for the learning rate.
    last : bool, default True
        Whether this is the last step of an epoch.
    objective : callable, optional
        objective(W, networks) returns loss plus penalties (K,) at the parameters W (K, P), as a mean over the batches
        of the epoch.
    networks : slice, default all
        Which of the stack's networks the step is for.
    offset : int, default 0
        Position of the optimizer's first parameter among all parameters of a network; an elementwise optimizer may be
        given a part of them.
    time : float, default 0
        Time of the step, in epochs, as schedules count it.
    """

    number: int
    architecture: Architecture
    workspace: Workspace
    factor: Array = np.ones(1)
    last: bool = True
    objective: Callable[[Array, slice], Array] | None = None
    networks: slice = slice(None)
    offset: int = 0
    time: float = 0.0

    def of(self, networks: slice) -> "Step":
        """Return the step for some of the networks."""
        return self._replace(factor=self.factor[networks], networks=networks)

    def rate(self, learning_rate: Array, W: Array) -> Array:
        """Return the learning rate of this step, (K, 1) or (1, 1), in the dtype of W."""
        return column(learning_rate * self.factor, W)


class Optimizer(NamedTuple):
    """How an optimizer starts and how it steps; see the package's docstring.

    Parameters
    ----------
    init : callable
        init(W) returns the state before the first step.
    update : callable
        update(W, g, state, step) changes W and state in place.
    full_batch : bool, default False
        Whether it takes one step per epoch, along the mean gradient of all batches; W stays the same until then.
    needs_fixed_objective : bool, default False
        Whether nothing else may change the objective, the gradient or W, as for L-BFGS with its line search.
    elementwise : bool, default False
        Whether the step of a parameter depends on no other parameter, so that `update` may be given a part of them:
        slices of W, of g and of the state's arrays (K, P). An array (K,) of the state depends on the steps alone.
    """

    init: Callable[[Array], State]
    update: Callable[[Array, Array, State, Step], None]
    full_batch: bool = False
    needs_fixed_objective: bool = False
    elementwise: bool = False


class FactorsByKind:
    """A factor for each kind of parameter.

    Parameters
    ----------
    component : str
        Name of the component that they are arguments of, for messages.
    **factors : float or array (K,), >= 0
        By kind, as `nncore.architecture.kind_of` names them.

    Raises
    ------
    ValueError
        Naming kind, value, rule and network.
    """

    def __init__(self, component: str, **factors: ArrayLike) -> None:
        self._factors = {kind: checked(component, kind, factor, at_least=0) for kind, factor in factors.items()}
        self._same = {  # by kind, the first kind with equal factors
            kind: next(first for first, value in self._factors.items() if np.array_equal(value, factor))
            for kind, factor in self._factors.items()
        }

    def ranges(self, architecture: Architecture) -> list[tuple[slice, Array]]:
        """Return ranges that together are all parameters of a network, each with its factor (K,) or (1,)."""
        slots = [slot for slot in architecture.layout if slot.stop <= architecture.n_parameters]
        runs = [(kind, list(run)) for kind, run in groupby(slots, lambda slot: self._same[kind_of(slot)])]
        return [(slice(run[0].start, run[-1].stop), self._factors[kind]) for kind, run in runs]


def zeros(*names: str) -> Callable[[Array], State]:
    """Return an `init` whose named arrays have the shape of W and are zero."""
    return lambda W: {name: np.zeros_like(W) for name in names}


def elementwise_update(
    kernel: ElementwiseKernel, coefficients: Callable[[Step], Mapping[str, Array]]
) -> Callable[[Array, Array, State, Step], None]:
    """Return an `update` that applies a kernel to W, g and the state's arrays.

    Parameters
    ----------
    kernel : ElementwiseKernel
        Its arrays are W, g, and then arrays of the state, which are found by the names of its arguments.
    coefficients : callable
        coefficients(step) returns the kernel's coefficients (K,) or (1,), by name.
    """
    _, _, *state_names = kernel.formula.arrays

    def update(W: Array, g: Array, state: State, step: Step) -> None:
        kernel(W, g, *(state[name] for name in state_names), **coefficients(step))

    return update
