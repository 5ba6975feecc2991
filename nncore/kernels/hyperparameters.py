"""Hyperparameters of a stack: a scalar or one value per network, checked and cast in one place."""

from typing import NoReturn

import numpy as np
from numpy.typing import ArrayLike

from nncore.kernels.backend import Array, as_array_like


def checked(
    component: str,
    argument: str,
    value: ArrayLike,
    *,
    above: float | None = None,
    at_least: float | None = None,
    below: float | None = None,
    at_most: float | None = None,
    integer: bool = False,
) -> Array:
    """Check the range of a hyperparameter and return it as float64, shape (1,) or (K,).

    Parameters
    ----------
    component : str
        Name of the component, for messages.
    argument : str
        Name of the hyperparameter, for messages.
    value : float or array (K,)
    above, at_least, below, at_most : float, optional
        Bounds of its range: value > above, >= at_least, < below, <= at_most.
    integer : bool, default False
        Whether it must be an integer.

    Raises
    ------
    ValueError
        Naming argument, value, rule, network and component. Beyond its range, the value must be a number that float32
        can hold.

    Notes
    -----
    The shape is never (): NumPy computes powers of scalars and of arrays by different routines, which round
    differently.

    Examples
    --------
    >>> checked("sgd", "learning_rate", 0.1, above=0)
    array([0.1])
    """
    array = np.asarray(value)
    if array.dtype.kind not in "iuf" or array.ndim > 1:
        raise ValueError(f"{argument} must be a number or one number per network, but is {value!r} ({component})")
    array = array.astype(np.float64)
    rules = {
        f"> {above}": above is None or array > above,
        f">= {at_least}": at_least is None or array >= at_least,
        f"< {below}": below is None or array.astype(np.float32) < below,  # in float32 too
        f"<= {at_most}": at_most is None or array <= at_most,
        "finite": np.isfinite(array),
        "an integer": not integer or array == np.round(array),
        "0, or from 1e-37 to 1e37 in size": (array == 0) | ((abs(array) >= 1e-37) & (abs(array) <= 1e37)),
    }
    for rule, holds in rules.items():
        if holds is not True and not holds.all():
            _refuse(component, argument, array, rule, holds)
    return array.reshape(-1)


def _refuse(component: str, argument: str, array: Array, rule: str, holds: Array) -> NoReturn:
    if array.ndim == 0:
        raise ValueError(f"{argument} must be {rule}, but is {array[()]} ({component})")
    network = int(np.argmin(holds))
    raise ValueError(
        f"{argument} must be {rule}, but network {network} of {len(array)} has {array[network]} ({component})"
    )


def column(value: Array, like: Array) -> Array:
    """Reshape a checked hyperparameter so that it broadcasts with `like`, (K, 1, ...) or (1, 1, ...), in its dtype.

    Without the cast, a float64 rate would silently turn a float32 stack into float64.
    """
    spread = value.reshape(-1, *(1 for _ in like.shape[1:])).astype(like.dtype)
    return spread if type(like) is np.ndarray else as_array_like(spread, like)
