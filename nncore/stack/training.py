"""Training by mini-batch gradient descent, for many networks at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import cast

import numpy as np

from nncore.kernels.backend import Array, to_host
from nncore.metrics import Metric
from nncore.regularizers.base import OBJECTIVE
from nncore.stack.data import Data, Unit, check_views
from nncore.stack.monitor import EpochMonitor
from nncore.stack.state import Stack, fingerprint
from nncore.stack.trainer import StackTrainer


@dataclass
class Report:
    """What happened to one network in some consecutive epochs.

    Parameters
    ----------
    curves : dict of list of float
        By metric, one value per epoch. An epoch in which the network diverged has none.
    diverged : (int, str), optional
        The epoch (from 1) in which the network diverged, and why. None: it did not.
    stopped : (int, str), optional
        The epoch after which training stopped early, and why. None: it did not.
    selected_epoch : int
        The epoch whose weights are selected: the best with early stopping, else the last; 0 if the network diverged.
    fingerprint : str
        SHA-256 of the selected weights after the last epoch; "" if the network diverged.
    scores : dict of str to float
        By name, what the selected weights score by the metrics that are not computed after every epoch.
    """

    curves: dict[str, list[float]] = field(default_factory=dict)
    diverged: tuple[int, str] | None = None
    stopped: tuple[int, str] | None = None
    selected_epoch: int = 0
    fingerprint: str = ""
    scores: dict[str, float] = field(default_factory=dict)


def train(
    stack: Stack,
    data: Data | tuple[Data, ...],
    until: int,
    metrics: Mapping[str, Metric],
    loss_limit: float = 1e6,
    objective: bool = False,
    final_metrics: Mapping[str, Metric] = MappingProxyType({}),
    units: Sequence[Unit] = (),
) -> tuple[Stack, dict[str, Report]]:
    """Train the networks of a stack from its current epoch to the epoch `until`.

    This is a pure function: the given stack is not changed, and training in one call or in several gives the same
    result to the last bit.

    Parameters
    ----------
    stack : Stack
    data : Data or tuple of Data
        One data set, or one for each view that the networks refer to. The arrays of all views must have the same
        shapes, and all views must have weights or none of them.
    until : int
        Number of epochs, counted from the networks' first, at which to return.
    metrics : mapping of str to Metric
        Metrics to compute on the validation rows after each epoch; on the host those that are not made for it.
    loss_limit : float, default 1e6
        A network diverges when its training or validation loss exceeds this limit or is not finite, or when any of its
        parameters is not finite: a saturated activation can hide that from the loss.
    objective : bool, default False
        Whether the reports have the curve "train/objective", too: the loss with all penalties.
    final_metrics : mapping of str to Metric, default none
        Metrics to compute, on the validation rows, for the selected weights alone, at the end or where a network stops.
    units : sequence of Unit, default ()
        For each view, the unit of the values that the metrics are given: networks often learn scaled targets. () if the
        metrics are given the targets as they are.

    Returns
    -------
    stack : Stack
        The networks that neither diverged nor stopped early. The selected weights of those that stopped early are in
        its `stopped`. Both kinds leave the stack at the end of their epoch.
    reports : dict of Report
        By key, one for each network of the given stack. The curves are "train/loss" (mean over the epoch's batches,
        without penalties), "validation/loss" and "validation/<name>" for each metric, all of the weights that would be
        selected after that epoch without early stopping.

    Raises
    ------
    ValueError
        If the data do not fit the architecture or each other, or a network refers to a view that does not exist, or
        early stopping watches a curve that does not exist.

    Notes
    -----
    The order of the rows in epoch e (from 0) is drawn from ``generator(seed, "batches", e)``. The documentation of
    each regularizer names its own draws.

    Examples
    --------
    >>> import numpy as np
    >>> from nncore import Architecture, Component, Data, Layer, Network, Rows, start, train
    >>> x = np.random.default_rng(0).normal(size=(100, 1))
    >>> rows = Rows(x, 3 * x)
    >>> architecture = Architecture(1, (Layer(1),), Component("nncore.losses.squared_error"), dtype="float64")
    >>> sgd = Component("nncore.optimizers.sgd.sgd", (("learning_rate", 0.1),))
    >>> stack, reports = train(start(architecture, [Network("line", 0, sgd)]), Data(rows, rows), until=50, metrics={})
    >>> float(stack.parameters[0, 0].round(3))  # the slope
    3.0
    >>> len(reports["line"].curves["train/loss"])
    50
    """
    stack = stack.take(range(len(stack.networks)))
    views = (data,) if isinstance(data, Data) else data
    for network in stack.networks:
        if network.view >= len(views):
            raise ValueError(f"network {network.key!r} refers to view {network.view}, but there are {len(views)} views")
    checked = check_views(views, stack.architecture)
    train_rows, validation_rows = [view.train for view in checked], [view.validation for view in checked]
    reports = {network.key: Report() for network in stack.networks}
    with np.errstate(all="ignore"):  # a diverging network overflows; its loss reveals it
        trainer, monitor = StackTrainer(stack, objective), EpochMonitor(stack, validation_rows, metrics, units)
        while stack.epoch < until and stack.networks:
            curves = trainer.train_epoch(train_rows, stack.epoch)
            stack = replace(stack, epoch=stack.epoch + 1)
            weights = monitor.selected_weights()
            curves |= monitor.validate(weights)
            stop_causes = monitor.observe(weights, curves, stack.epoch)
            if not objective:  # computed only because a network of this stack watches it
                curves.pop(OBJECTIVE, None)
            remaining = _record_epoch(reports, stack, curves, stop_causes, loss_limit)
            if len(remaining) < len(stack.networks):
                ended = sorted({*range(len(stack.networks))} - {*remaining})
                _record_weights(reports, stack, monitor, ended, final_metrics)
                stack = stack.take(remaining)
                trainer, monitor = StackTrainer(stack, objective), EpochMonitor(stack, validation_rows, metrics, units)
        _record_weights(reports, stack, monitor, range(len(stack.networks)), final_metrics)
    return stack, reports


def _record_epoch(
    reports: dict[str, Report],
    stack: Stack,
    curves: Mapping[str, Array],
    stop_causes: Sequence[str],
    loss_limit: float,
) -> list[int]:
    """Add one epoch to the reports; return the positions of the networks that continue."""
    remaining = []
    finite = to_host(cast(Array, np.isfinite(stack.parameters).all(axis=1)))  # (K,)
    for position, network in enumerate(stack.networks):
        report, values = reports[network.key], {name: float(curve[position]) for name, curve in curves.items()}
        exceeding = [name for name in ("train/loss", "validation/loss") if not values[name] <= loss_limit]  # also NaN
        causes = [f"{name} was {values[name]:.3g} (limit {loss_limit:g})" for name in exceeding]
        if not finite[position]:
            causes.append("its weights were not finite")
        if causes:
            report.diverged = (stack.epoch, causes[0])
            continue
        for name, value in values.items():
            report.curves.setdefault(name, []).append(value)
        if stop_causes[position]:
            report.stopped = (stack.epoch, stop_causes[position])
        else:
            remaining.append(position)
    return remaining


def _record_weights(
    reports: dict[str, Report],
    stack: Stack,
    monitor: EpochMonitor,
    positions: Sequence[int],
    final_metrics: Mapping[str, Metric],
) -> None:
    """Report which weights are selected now, and what they score, and keep those of networks that have just stopped."""
    weights, epochs = monitor.final_weights(), monitor.final_epochs(stack.epoch)
    trained = [position for position in positions if not reports[stack.networks[position].key].diverged]
    scores = monitor.scores(weights, trained, final_metrics)
    for number, position in enumerate(trained):
        key = stack.networks[position].key
        report = reports[key]
        report.selected_epoch, report.fingerprint = epochs[position], fingerprint(weights[position])
        report.scores = {name: float(values[number]) for name, values in scores.items()}
        if report.stopped:
            stack.stopped[key] = weights[position].copy()
