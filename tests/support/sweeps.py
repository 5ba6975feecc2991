"""Small networks, trials and records for the tests of the sweep."""

from typing import Any

from samples import make_architecture, make_component, make_network

from nncore.architecture import Architecture
from nncore.stack.training import Report
from pipeline.components.scores import ranking_metric
from pipeline.components.types import PreparedFold, ViewShape
from pipeline.engine.packing.planner import NetworkOrigin, TrialNetwork
from pipeline.engine.records import SweepRecords
from pipeline.runs.records import CheckpointRef, replicates
from pipeline.search.trial import Trial

SMALL = make_architecture((8, 6, 3), batch_size=32)
LARGE = make_architecture((784, 512, 256, 10), batch_size=128)
VIEW_SHAPE = ViewShape(8, 3, 320, 80)
OPTIMIZERS = ("sgd", "momentum", "adam")


def trial_network(
    number: int,
    architecture: Architecture = SMALL,
    view: int = 0,
    view_shape: ViewShape = VIEW_SHAPE,
    span: tuple[int, int] = (0, 10),
    origin: NetworkOrigin | None = None,
) -> TrialNetwork:
    """A network of trial `number`; consecutive trials have different optimizers."""
    optimizer = make_component(OPTIMIZERS[number % len(OPTIMIZERS)], learning_rate=0.01)
    net = make_network(f"{number:04d}/{view + 1}/0", 0, optimizer)
    return TrialNetwork(net, architecture, PreparedFold(None, view_shape, f"{view:02d}"), f"{number}", *span, origin)


def trial(number: int) -> Trial:
    """A trial of plain gradient descent; each number has a different learning rate."""
    sgd = make_component("sgd", learning_rate=0.01 * (1 + number))
    return Trial(number, "sgd", sgd, "none", make_component("none"))


def checkpoint_ref(key: str, file: str = "00000-1") -> CheckpointRef:
    """A reference to a network in a checkpoint file."""
    return CheckpointRef(file, "0" * 64, key)


def report(*losses: float, fingerprint: str = "f", **rest: Any) -> Report:
    """A report with one epoch per validation loss; the last epoch is selected."""
    curves = {"train/loss": [loss / 2 for loss in losses], "validation/loss": list(losses)}
    return Report(curves | {"validation/accuracy": [1 - loss for loss in losses]}, fingerprint=fingerprint, **rest)


def open_records(n_trials: int = 3, n_folds: int = 1, n_seeds: int = 1, **rest: Any) -> SweepRecords:
    """Records of trials that are to be trained; the content hash of a network is "hash of <key>"."""
    results = SweepRecords(
        replicates(n_folds, 0, n_seeds), ranking_metric(rest.pop("metric", "loss")), [10] * n_folds, **rest
    )
    for number in range(n_trials):
        open_trial(results, number)
    return results


def open_trial(results: SweepRecords, number: int, **hashed: Any) -> None:
    """Open a trial, for the first time or to continue it; `origins` by content hash, as in SweepRecords.open."""
    content_hashes = {
        repeat: hashed.get("content_hash", "hash of ") + repeat.key(f"{number:04d}") for repeat in results.replicates
    }
    results.open(trial(number), content_hashes, hashed.get("origins", {}))


def add_slice(
    results: SweepRecords, reports: dict[str, Report], start: int, until: int, last: bool = False
) -> list[str]:
    """Add the reports of a slice that wrote one checkpoint."""
    checkpoints = {key: checkpoint_ref(key, f"00000-{until}") for key in reports}
    return results.add(reports, start, until, checkpoints, last)
