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

    content hash      of everything that its result depends on
    curves       by metric, one value per epoch, as few bytes as they are
    diverged     (epoch, cause), or None
    stopped      (epoch, cause) if it was stopped early, or None
    left         (epoch, cause) if the search or the budget let it go before its last epoch, or None
    epoch        the epoch whose weights it answers with
    answered     the same after each slice, by the epoch to which the slice went
    fingerprint  SHA-256 of these weights; "" if it diverged
    trained      epochs that were computed, with the one in which it diverged
    finished     it came to the last epoch, or was stopped early, and has an answer
    place        where its state is
    inherited    its first epochs are those of another network, whose state it took over
    """

    key: str
    repeat: Replicate
    content_hash: str
    curves: dict[str, "array[float]"] = field(default_factory=dict)
    diverged: tuple[int, str] | None = None
    stopped: tuple[int, str] | None = None
    left: tuple[int, str] | None = None
    epoch: int = 0
    answered: dict[int, int] = field(default_factory=dict)
    fingerprint: str = ""
    trained: int = 0
    finished: bool = False
    place: CheckpointRef | None = None
    inherited: bool = False

    def add(self, report: Report, start: int, until: int, place: CheckpointRef | None, last: bool) -> None:
        """Add the report of one slice; `last` says that no further one is to come."""
        for name, values in report.curves.items():
            self.curves[name] = continued(self.curves.get(name), start, values)
        self.answered = {to: epoch for to, epoch in self.answered.items() if to <= start} | {until: report.selected_epoch}
        self.diverged, self.stopped, self.epoch = report.diverged, report.stopped, report.selected_epoch
        self.fingerprint = report.fingerprint
        left_at = report.diverged or report.stopped
        self.trained = left_at[0] if left_at else until
        self.left = None if left_at else self.left
        self.finished = self.diverged is None and (last or self.stopped is not None)
        self.place = None if report.diverged else place

    def copied(self, key: str, repeat: Replicate, content_hash: str) -> "NetworkRecord":
        """The same history, as that of another network, which may be trained further."""
        finished, inherited = self.stopped is not None, self.inherited or content_hash != self.content_hash
        renamed = replace(self, key=key, repeat=repeat, content_hash=content_hash, inherited=inherited)
        return replace(renamed, curves=dict(self.curves), left=None, finished=finished)

    @property
    def failed(self) -> bool:
        """It was given up for what it did to its workers, and not for its loss."""
        return self.diverged is not None and given_up(self.diverged[1]) == "failed"

    @property
    def ended(self) -> bool:
        """It cannot be trained any longer."""
        return self.diverged is not None or self.stopped is not None

    @property
    def over(self) -> bool:
        """Its training has ended, well or not."""
        return self.ended or self.finished or self.left is not None

    @property
    def cut_short(self) -> bool:
        """It was stopped early, or the search or the budget let it go."""
        return self.stopped is not None or self.left is not None

    def knows(self, epoch: int) -> bool:
        """Whether it was trained to this epoch, and what it answered with then is known."""
        return epoch in self.answered or (self.ended and self.trained <= epoch)

    def has(self, epoch: int) -> bool:
        """See `knows`; and its state or its answer is there, unless it diverged."""
        return self.diverged is not None or (self.place is not None and self.knows(epoch))

    def at(self, until: int) -> dict[str, float]:
        """Every curve's value in the epoch whose weights it answered with when it was trained to `until`."""
        epoch = self.answered.get(until, self.epoch)
        return {name: values[epoch - 1] for name, values in self.curves.items()}

    def diverged_by(self, epoch: int) -> bool:
        """Whether it had diverged by then."""
        return self.diverged is not None and self.diverged[0] <= epoch

    @property
    def final(self) -> dict[str, float]:
        """Every curve's value in the epoch whose weights it answers with."""
        return self.at(self.trained)
