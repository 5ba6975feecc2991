"""Training by mini-batch gradient descent: epochs of seeded batches, many networks at once."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from nncore.hyperparameters import Array
from nncore.metrics import Metric
from nncore.network import Shape, forward, gradient
from nncore.optimizers.base import State
from nncore.randomness import generator
from nncore.stack import Network, Stack

ROWS_AT_ONCE = 512  # in evaluation; fixed, because the number of rows decides how a product is rounded


class Rows(NamedTuple):
    """Examples: inputs x (N, I) and targets t (N, O), both of the stack's dtype."""

    x: Array
    t: Array


class Data(NamedTuple):
    """What training sees: rows to learn from, and rows to watch it by. Never a test row."""

    train: Rows
    validation: Rows


@dataclass
class Report:
    """What became of one network in some consecutive epochs.

    curves       by metric, one value per epoch; an epoch that diverged has none
    diverged     why the network was stopped, and in which epoch (from 1); None while it is well
    fingerprint  SHA-256 of its parameters after the last epoch; "" if it diverged
    """

    curves: dict[str, list[float]] = field(default_factory=dict)
    diverged: tuple[int, str] | None = None
    fingerprint: str = ""


def train(
    stack: Stack, data: Data, until: int, metrics: dict[str, Metric], loss_limit: float = 1e6
) -> tuple[Stack, dict[str, Report]]:
    """Train from the stack's epoch to the epoch `until`; return the new stack and a report per network.

    A pure function: the given stack is not changed. Training in one go or in slices gives the same bits.
    A network whose loss is not finite or above `loss_limit` leaves the stack at the end of that epoch.

    Reports  the curves "train/loss" (mean over the epoch's batches, without the penalty),
             "validation/loss" and one "validation/<name>" for each metric
    Random   the order of the rows in epoch e is drawn from generator(seed, "batches", e)
    """
    stack = stack.take(range(len(stack.networks)))
    reports = {network.key: Report() for network in stack.networks}
    with np.errstate(all="ignore"):  # a diverging network overflows; it is found by its loss
        while stack.epoch < until and stack.networks:
            train_loss = _epoch(stack, data.train)
            stack = replace(stack, epoch=stack.epoch + 1)
            curves = {"train/loss": train_loss} | _validate(stack, data.validation, metrics)
            well = _record(reports, stack, curves, loss_limit)
            if len(well) < len(stack.networks):
                stack = stack.take(well)
    for index, network in enumerate(stack.networks):
        reports[network.key].fingerprint = stack.fingerprint(index)
    return stack, reports


def predict(parameters: Array, shape: Shape, x: Array) -> Array:
    """The outputs of the networks `parameters` (K, P) for the rows x (N, I): (K, N, O)."""
    pieces = [
        forward(parameters, shape, x[None, at : at + ROWS_AT_ONCE])[-1].y for at in range(0, len(x), ROWS_AT_ONCE)
    ]
    return np.concatenate(pieces, axis=1)


def _epoch(stack: Stack, rows: Rows) -> Array:
    """One pass over the rows in place; returns the mean loss (K,) of its batches."""
    order = _order(stack.networks, len(rows.x), stack.epoch)
    size = stack.shape.batch_size
    step = stack.epoch * -(-len(rows.x) // size)
    g = np.empty_like(stack.parameters)
    penalties, updates = _penalties(stack, g), _updates(stack, g)
    total = np.zeros(len(stack.networks))
    for at in range(0, len(rows.x), size):
        batch = order[:, at : at + size]  # (K or 1, n)
        total += gradient(stack.parameters, stack.shape, rows.x[batch], rows.t[batch], out=g) * batch.shape[1]
        for add_gradient, W, dW in penalties:
            add_gradient(W, dW)
        step += 1
        for update, W, dW, state in updates:
            update(W, dW, state, step)
    return total / len(rows.x)


def _penalties(stack: Stack, g: Array) -> list[tuple[Callable[[Array, Array], None], Array, Array]]:
    """For each regularizer's group: what it adds, and views of the group's weights and their gradient."""
    n = stack.shape.n_weights
    return [
        (regularizer.add_gradient, stack.parameters[rows, :n], g[rows, :n])
        for rows, regularizer in stack.regularizers()
    ]


def _updates(stack: Stack, g: Array) -> list[tuple[Callable[[Array, Array, State, int], None], Array, Array, State]]:
    """For each optimizer's group: its step, and views of the group's parameters, gradient and state."""
    return [
        (optimizer.update, stack.parameters[rows], g[rows], {n: a[rows] for n, a in stack.optimizer_state.items()})
        for rows, optimizer in stack.optimizers()
    ]


def _order(networks: tuple[Network, ...], n_rows: int, epoch: int) -> Array:
    """The order in which each network sees the rows: (K, N), or (1, N) if all have one seed."""
    seeds = {network.seed for network in networks}
    drawn = {seed: generator(seed, "batches", epoch).permutation(n_rows) for seed in seeds}
    return np.stack(list(drawn.values()) if len(drawn) == 1 else [drawn[network.seed] for network in networks])


def _validate(stack: Stack, rows: Rows, metrics: dict[str, Metric]) -> dict[str, Array]:
    """Loss and metrics (K,) on the validation rows."""
    y, t = predict(stack.parameters, stack.shape, rows.x), rows.t[None]
    values = {"validation/loss": stack.shape.functions.loss.value(y, t)}
    return values | {f"validation/{name}": metric(y, t) for name, metric in metrics.items()}


def _record(reports: dict[str, Report], stack: Stack, curves: dict[str, Array], loss_limit: float) -> list[int]:
    """Add one epoch to the reports; the positions of the networks that did not diverge in it."""
    well = []
    for index, network in enumerate(stack.networks):
        report, values = reports[network.key], {name: float(curve[index]) for name, curve in curves.items()}
        wild = [name for name in ("train/loss", "validation/loss") if not values[name] <= loss_limit]  # so NaN is wild
        if wild:
            report.diverged = (stack.epoch, f"{wild[0]} was {values[wild[0]]:.3g} (limit {loss_limit:g})")
            continue
        for name, value in values.items():
            report.curves.setdefault(name, []).append(value)
        well.append(index)
    return well
