"""What is known of one network of a sweep."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from nncore.stack.training import Report

CRASHED = "its worker was lost again and again"  # so begins the cause when nobody survives its training


class Replicate(NamedTuple):
    """Which of a trial's networks: of which fold (from 0), and with which seed."""

    fold: int
    seed: int

    def key(self, trial: str) -> str:
        """The network's name: "0007/1/0" is trial 0007 on the first fold with seed 0."""
        return f"{trial}/{self.fold + 1}/{self.seed}"


class CheckpointRef(NamedTuple):
    """Where a network's state is kept: a file of the run, the SHA-256 of its content, and the network's key in it."""

    file: str
    sha256: str
    key: str


def given_up(cause: str) -> str:
    """The word for a network that was given up: diverged, or failed if it took its workers along."""
    return "failed" if cause.startswith(CRASHED) else "diverged"


def continued(curve: "array[float] | None", start: int, values: Sequence[float]) -> "array[float]":
    """The curve up to the epoch `start`, and the values of the epochs after it."""
    return (curve or array("d"))[:start] + array("d", values)


def replicates(n_folds: int, first_seed: int, n_seeds: int) -> list[Replicate]:
    """Those of every trial: fold by fold, the seeds inside."""
    return [Replicate(fold, seed) for fold in range(n_folds) for seed in range(first_seed, first_seed + n_seeds)]


@dataclass
class NetworkRecord:
    """The epochs of one network so far.

    content_hash     of everything that its result depends on
    curves           by metric, one value per epoch, as few bytes as they are
    diverged         (epoch, cause), or None
    stopped          (epoch, cause) if early stopping ended it, or None
    pruned           (epoch, cause) if the search or the budget ended it before its last epoch, or None
    selected_epoch   the epoch whose weights are its result
    selected_epochs  the same after each slice, by the epoch at which the slice ended
    fingerprint      SHA-256 of the selected weights; "" if it diverged
    epochs_trained   epochs that were computed, including the one in which it diverged
    completed        it reached the last epoch, or early stopping ended it, and it did not diverge
    checkpoint       where its state is stored
    inherited        its first epochs are those of another network, whose state it was copied from
    """

    key: str
    replicate: Replicate
    content_hash: str
    curves: dict[str, "array[float]"] = field(default_factory=dict)
    diverged: tuple[int, str] | None = None
    stopped: tuple[int, str] | None = None
    pruned: tuple[int, str] | None = None
    selected_epoch: int = 0
    selected_epochs: dict[int, int] = field(default_factory=dict)
    fingerprint: str = ""
    epochs_trained: int = 0
    completed: bool = False
    checkpoint: CheckpointRef | None = None
    inherited: bool = False

    def add(self, report: Report, start: int, until: int, place: CheckpointRef | None, last: bool) -> None:
        """Add the report of one slice; `last` says that no further one is to come."""
        for name, values in report.curves.items():
            self.curves[name] = continued(self.curves.get(name), start, values)
        self.selected_epochs = {to: epoch for to, epoch in self.selected_epochs.items() if to <= start} | {
            until: report.selected_epoch
        }
        self.diverged, self.stopped, self.selected_epoch = report.diverged, report.stopped, report.selected_epoch
        self.fingerprint = report.fingerprint
        left_at = report.diverged or report.stopped
        self.epochs_trained = left_at[0] if left_at else until
        self.pruned = None if left_at else self.pruned
        self.completed = self.diverged is None and (last or self.stopped is not None)
        self.checkpoint = None if report.diverged else place

    def copied(self, key: str, replicate: Replicate, content_hash: str) -> "NetworkRecord":
        """The same history, as that of another network, which may be trained further."""
        finished, inherited = self.stopped is not None, self.inherited or content_hash != self.content_hash
        renamed = replace(self, key=key, replicate=replicate, content_hash=content_hash, inherited=inherited)
        return replace(renamed, curves=dict(self.curves), pruned=None, completed=finished)

    @property
    def failed(self) -> bool:
        """It was given up for what it did to its workers, and not for its loss."""
        return self.diverged is not None and given_up(self.diverged[1]) == "failed"

    @property
    def ended(self) -> bool:
        """It cannot be trained any longer."""
        return self.diverged is not None or self.stopped is not None

    @property
    def finished(self) -> bool:
        """Its training has ended, well or not."""
        return self.ended or self.completed or self.pruned is not None

    @property
    def stopped_early(self) -> bool:
        """Early stopping ended it, or the search or the budget pruned it."""
        return self.stopped is not None or self.pruned is not None

    def result_known_at(self, epoch: int) -> bool:
        """Whether it was trained to this epoch, and what it answered with then is known."""
        return epoch in self.selected_epochs or (self.ended and self.epochs_trained <= epoch)

    def available_at(self, epoch: int) -> bool:
        """See `result_known_at`; and its state or its answer is there, unless it diverged."""
        return self.diverged is not None or (self.checkpoint is not None and self.result_known_at(epoch))

    def metrics_at(self, until: int) -> dict[str, float]:
        """Every curve's value in the epoch whose weights it answered with when it was trained to `until`."""
        epoch = self.selected_epochs.get(until, self.selected_epoch)
        return {name: values[epoch - 1] for name, values in self.curves.items()}

    def diverged_by(self, epoch: int) -> bool:
        """Whether it had diverged by then."""
        return self.diverged is not None and self.diverged[0] <= epoch

    @property
    def final_metrics(self) -> dict[str, float]:
        """Every curve's value in the epoch whose weights it answers with."""
        return self.metrics_at(self.epochs_trained)
