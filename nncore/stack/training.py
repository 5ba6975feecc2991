"""Training by mini-batch gradient descent: epochs of seeded batches, many networks at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from nncore.architecture import Architecture
from nncore.kernels.backend import Array, to_host
from nncore.kernels.workspace import Workspace
from nncore.losses import mean_of, value_and_prediction
from nncore.metrics import Metric
from nncore.stack.monitor import EpochMonitor
from nncore.stack.passes import ROWS_AT_ONCE, predict
from nncore.stack.state import Stack, fingerprint
from nncore.stack.trainer import StackTrainer

IN_CACHE = 1 << 18  # numbers of a layer's outputs


class Rows(NamedTuple):
    """Examples: inputs x (N, I), targets t (N, O), and how much each row counts (N,), all of the stack's dtype.

    Only the ratios of the weights matter; None: all count alike. They weigh the loss and the metrics; to batch
    normalisation and mixup all rows are alike.
    """

    x: Array
    t: Array
    weights: Array | None = None


class Data(NamedTuple):
    """What training sees: rows to learn from, and rows to watch it by. Never a test row.

    Another fold or another preparation is another view of the data, a `Data` of its own.
    """

    train: Rows
    validation: Rows


@dataclass
class Report:
    """What became of one network in some consecutive epochs.

    curves       by metric, one value per epoch; an epoch that diverged has none
    diverged     why the network was given up, and in which epoch (from 1); None while it is well
    stopped      why its training ended early, and after which epoch; None while it goes on
    selected_epoch   the epoch whose weights it answers with: its best, if it has early stopping, else its last; 0 if it
                 diverged
    fingerprint  SHA-256 of the parameters that it answers with after the last epoch; "" if it diverged
    """

    curves: dict[str, list[float]] = field(default_factory=dict)
    diverged: tuple[int, str] | None = None
    stopped: tuple[int, str] | None = None
    selected_epoch: int = 0
    fingerprint: str = ""


def train(
    stack: Stack, data: Data | tuple[Data, ...], until: int, metrics: Mapping[str, Metric], loss_limit: float = 1e6
) -> tuple[Stack, dict[str, Report]]:
    """Train from the stack's epoch to the epoch `until`; return the new stack and a report per network.

    data   one, or one for each view that the networks name; then their arrays must have the same shapes, and all of
           them have weights or none

    A pure function: the given stack is not changed. Training in one go or in slices gives the same bits.
    A network whose loss is not finite or above `loss_limit` leaves the stack at the end of that epoch; so does
    one that is stopped early, whose answering parameters are then in the stack's `stopped`.

    Raises   ValueError naming what is wrong with the rows, or the network whose view is not there
    Reports  the curves "train/loss" (mean over the epoch's batches, without penalties), "validation/loss" and one
             "validation/<name>" for each metric, of the parameters that the network would answer with
    Random   the order of the rows in epoch e is drawn from generator(seed, "batches", e); regularizers say theirs
    """
    stack = stack.take(range(len(stack.networks)))
    views = _checked_views((data,) if isinstance(data, Data) else data, stack)
    learning, watching = [view.train for view in views], [view.validation for view in views]
    reports = {network.key: Report() for network in stack.networks}
    with np.errstate(all="ignore"):  # a diverging network overflows; it is found by its loss
        crew, watch, scratch = _begin(stack)
        while stack.epoch < until and stack.networks:
            train_loss = crew.epoch(learning, stack.epoch)
            stack = replace(stack, epoch=stack.epoch + 1)
            answers = watch.selected_weights()
            curves = {"train/loss": train_loss} | _validate(stack, answers, watching, metrics, scratch)
            stops = watch.observe(answers, curves, stack.epoch)
            go_on = _record(reports, stack, curves, stops, loss_limit)
            if len(go_on) < len(stack.networks):
                _leave(reports, stack, watch)
                stack = stack.take(go_on)
                crew, watch, scratch = _begin(stack)
        _leave(reports, stack, watch)
    return stack, reports


def _begin(stack: Stack) -> tuple[StackTrainer, EpochMonitor, Workspace]:
    """Those who train the stack and who watch it, on the same groups, and arrays for watching so many networks."""
    groups = stack.groups()
    return StackTrainer(stack, groups), EpochMonitor(stack, groups), Workspace()


def _checked_views(views: Sequence[Data], stack: Stack) -> list[Data]:
    """The data of each view, if they are what the shape takes and stand well together."""
    for network in stack.networks:
        if network.view >= len(views):
            raise ValueError(f"network {network.key!r} learns from view {network.view}, but there are {len(views)}")
    checked = [
        Data(*(_checked(rows, name, stack.architecture) for name, rows in zip(Data._fields, view, strict=True)))
        for view in views
    ]
    for name, parts in zip(Data._fields, zip(*checked, strict=True), strict=True):
        if len({(len(rows.x), rows.weights is None) for rows in parts}) > 1:
            raise ValueError(
                f"the {name} rows must be as many in each view, and all have weights or none, "
                f"but are {', '.join(_described(rows) for rows in parts)}"
            )
    return checked


def _described(rows: Rows) -> str:
    return f"{len(rows.x)} {'without' if rows.weights is None else 'with'} weights"


def _checked(rows: Rows, name: str, architecture: Architecture) -> Rows:
    """The rows, if they are what the shape takes; weights, if there are any, as (1, N) with mean 1."""
    n_targets = architecture.layers[-1].outputs // architecture.functions.loss.outputs_per_target
    for letter, array, width in (("x", rows.x, architecture.inputs), ("t", rows.t, n_targets)):
        if array.shape != (len(rows.x), width) or len(array) < 1 or array.dtype != architecture.dtype:
            raise ValueError(
                f"the {name} rows' {letter} must be {architecture.dtype} of shape (N, {width}), N >= 1 alike for x and "
                f"t, "
                f"but is {array.dtype} of shape {array.shape}"
            )
    if rows.weights is None:
        return rows
    if (
        rows.weights.shape != (len(rows.x),)
        or not (rows.weights >= 0).all()
        or not 0 < float(rows.weights.sum()) < np.inf
    ):
        raise ValueError(f"the {name} rows' weights must be {len(rows.x)} numbers >= 0, not all 0 and none of them inf")
    return rows._replace(weights=(rows.weights / rows.weights.mean()).astype(architecture.dtype)[None])


def _validate(
    stack: Stack, answers: Array, views: Sequence[Rows], metrics: Mapping[str, Metric], workspace: Workspace
) -> dict[str, Array]:
    """Loss and metrics (K,) of each network on the validation rows of its view."""
    some = _watched_at_once(answers, stack.architecture, len(views[0].x))
    scores = [
        _scores(answers[start : min(start + some, run.stop)], stack.architecture, views[view], metrics, workspace)
        for run, view in stack.view_runs()
        for start in range(run.start, run.stop, some)
    ]
    return {name: np.concatenate([score[name] for score in scores]) for name in scores[0]}


def _watched_at_once(answers: Array, architecture: Architecture, n_rows: int) -> int:
    """So many networks that what they say of the rows stays in a core's cache; on a GPU all."""
    in_cache = max(1, IN_CACHE // (min(n_rows, ROWS_AT_ONCE) * max(architecture.sizes[1:])))
    return in_cache if type(answers) is np.ndarray else len(answers)


def _scores(
    numbers: Array, architecture: Architecture, rows: Rows, metrics: Mapping[str, Metric], workspace: Workspace
) -> dict[str, Array]:
    """Loss and metrics (K,) of the networks `numbers` (K, buffer_size)."""
    t = rows.t[None]
    value, y = value_and_prediction(architecture.functions.loss, predict(numbers, architecture, rows.x, workspace), t)
    values = {"validation/loss": mean_of(value, rows.weights)}
    values |= {f"validation/{name}": metric(y, t, rows.weights) for name, metric in metrics.items()}
    return {name: to_host(value) for name, value in values.items()}


def _record(
    reports: dict[str, Report], stack: Stack, curves: dict[str, Array], stops: list[str], loss_limit: float
) -> list[int]:
    """Add one epoch to the reports; the positions of the networks that go on."""
    go_on = []
    for index, network in enumerate(stack.networks):
        report, values = reports[network.key], {name: float(curve[index]) for name, curve in curves.items()}
        wild = [name for name in ("train/loss", "validation/loss") if not values[name] <= loss_limit]  # so NaN is wild
        if wild:
            report.diverged = (stack.epoch, f"{wild[0]} was {values[wild[0]]:.3g} (limit {loss_limit:g})")
            continue
        for name, value in values.items():
            report.curves.setdefault(name, []).append(value)
        if stops[index]:
            report.stopped = (stack.epoch, stops[index])
        else:
            go_on.append(index)
    return go_on


def _leave(reports: dict[str, Report], stack: Stack, watch: EpochMonitor) -> None:
    """Note what each network answers with; keep that of the networks that were stopped just now."""
    answers, epochs = watch.final_weights(), watch.answering_epochs(stack.epoch)
    for index, network in enumerate(stack.networks):
        report = reports[network.key]
        if report.diverged:
            report.selected_epoch, report.fingerprint = 0, ""
            continue
        report.selected_epoch, report.fingerprint = epochs[index], fingerprint(answers[index])
        if report.stopped:
            stack.stopped[network.key] = answers[index].copy()
