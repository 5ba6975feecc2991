"""How long an epoch of a stack takes on a worker, found out with a few steps of it."""

import time
from typing import Any, NamedTuple

from nncore.architecture import Architecture
from nncore.stack.data import Data, Rows
from nncore.stack.state import Network, start
from nncore.stack.training import train
from pipeline.components.types import Task
from pipeline.engine.slices.task import METRICS

SHORTEST = 0.3  # seconds that are to be timed


class Probed(NamedTuple):
    """Seconds of an epoch, and bytes of a stack's own arrays and of the views it learns from."""

    epoch_seconds: float
    stack_bytes: int
    view_bytes: int


def probe(
    architecture: Architecture, networks: tuple[Network, ...], task: Task, loss_limit: float, *views: Any
) -> Probed:
    """Time an epoch on a part of the rows, a larger one until that takes long enough; all rows if need be."""
    data = tuple(view.data for view in views)
    stack = start(architecture, networks)
    n_rows, share, seconds = len(data[0].train.x), min(1.0, 4 * architecture.batch_size / len(data[0].train.x)), 0.0
    while True:
        part = tuple(Data(*(_first(rows, share) for rows in one)) for one in data)
        began = time.perf_counter()
        train(stack, part, 1, METRICS[task], loss_limit)
        seconds = time.perf_counter() - began
        if seconds >= SHORTEST or share == 1:
            break
        share = min(1.0, share * max(2.0, 1.5 * SHORTEST / seconds))
    own = stack.parameters.nbytes * 4 + sum(
        array.nbytes for array in stack.state.values()
    )  # gradients, answers, copies
    arrays = [array for one in data for rows in one for array in rows if array is not None]
    return Probed(seconds * n_rows / len(part[0].train.x), own, sum(array.nbytes for array in arrays))


def _first(rows: Rows, share: float) -> Rows:
    n = max(1, round(share * len(rows.x)))
    return Rows(rows.x[:n], rows.t[:n], None if rows.weights is None else rows.weights[:n])
