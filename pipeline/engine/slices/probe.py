"""How long an epoch of a stack takes on a worker, measured with a few of its steps."""

import time
from typing import Any, NamedTuple

from nncore.architecture import Architecture
from nncore.components import Component
from nncore.stack.data import Data, Rows
from nncore.stack.state import Network, start
from nncore.stack.training import train
from pipeline.engine.slices.task import units_of

SHORTEST = 0.3  # seconds that are measured at least


class Probed(NamedTuple):
    """What was measured of a stack.

    Parameters
    ----------
    epoch_seconds : float
    view_bytes : int
        Of the data that it learns from.
    """

    epoch_seconds: float
    view_bytes: int


def probe(
    architecture: Architecture,
    networks: tuple[Network, ...],
    metrics: tuple[tuple[str, Component], ...],
    loss_limit: float,
    *views: Any,
) -> Probed:
    """Time an epoch on a share of the rows, a larger one until it takes long enough to be measured.

    Parameters
    ----------
    architecture : Architecture
    networks : tuple of Network
    metrics : tuple of (str, Component)
        By name, those that are computed after every epoch.
    loss_limit : float
    *views : PreparedView
    """
    data = tuple(view.data for view in views)
    rules: dict[str, Any] = {
        "metrics": {name: component.build() for name, component in metrics},
        "loss_limit": loss_limit,
        "units": units_of(views),
    }
    stack = start(architecture, networks, data=data)
    n_rows = len(data[0].train.x)
    share = min(1.0, 4 * architecture.batch_size / n_rows)
    train(stack, _part(data, share), 1, **rules)  # not timed: it loads or compiles the kernels
    while True:
        part = _part(data, share)
        began = time.perf_counter()
        train(stack, part, 1, **rules)
        seconds = time.perf_counter() - began
        if seconds >= SHORTEST or share == 1:
            break
        share = min(1.0, share * max(2.0, 1.5 * SHORTEST / seconds))
    arrays = [array for view in data for rows in view for array in rows if array is not None]
    return Probed(seconds * n_rows / len(part[0].train.x), sum(array.nbytes for array in arrays))


def _part(data: tuple[Data, ...], share: float) -> tuple[Data, ...]:
    """The first rows of each view."""
    return tuple(Data(*(_first(rows, share) for rows in view)) for view in data)


def _first(rows: Rows, share: float) -> Rows:
    n = max(1, round(share * len(rows.x)))
    return Rows(rows.x[:n], rows.t[:n], None if rows.weights is None else rows.weights[:n])
