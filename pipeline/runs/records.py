"""What is known of a run's trials and of their networks: one record of each, whoever reads or fills it."""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean, stdev
from typing import Any, NamedTuple

from nncore.stack.training import Report

CHECKPOINTS = "states"  # the folder of the checkpoint files, in a run's folder
SEEDS_OF_A_FOLD = 1 << 20  # the seeds of the next fold begin so much later
CRASHED = "its worker was lost again and again"  # how the cause begins when no worker survives a network's training


class Replicate(NamedTuple):
    """Which of a trial's networks: of which fold (from 0), and with which seed."""

    fold: int
    seed: int

    @property
    def network_seed(self) -> int:
        """What the network's random numbers are drawn from: its seed, on another fold another one.

        If the networks of a trial had the same random start on all folds, a lucky one would be lucky on all of them,
        and no difference between the folds would show how much of a trial's score is luck.
        """
        return self.seed + self.fold * SEEDS_OF_A_FOLD

    def key(self, trial: str) -> str:
        """The network's key: "0007/1/0" is trial 0007 on the first fold with seed 0."""
        return f"{trial}/{self.fold + 1}/{self.seed}"


class CheckpointRef(NamedTuple):
    """Where a network's state is stored: a file of the run, the SHA-256 of its content, the network's key in it."""

    file: str
    sha256: str
    key: str


class CurvePoint(NamedTuple):
    """A metric's value after an epoch (from 1), and when it was known, in milliseconds since 1970."""

    epoch: int
    value: float
    time: int


def replicates(n_folds: int, first_seed: int, n_seeds: int) -> list[Replicate]:
    """The replicates of every trial: fold by fold, the seeds inside."""
    return [Replicate(fold, seed) for fold in range(n_folds) for seed in range(first_seed, first_seed + n_seeds)]


def trial_of(network: str) -> str:
    """The key of the trial to which a network's key belongs."""
    return network.partition("/")[0]


@dataclass(slots=True)
class NetworkRecord:
    """What is known of one network.

    Parameters
    ----------
    key : str
        "<trial>/<fold, from 1>/<seed>".
    replicate : Replicate
    content_hash : str
        Of everything that the network's result depends on.
    curves : dict of str to array of float
        By metric, the value after each epoch.
    times : array of int
        When each epoch was known, in milliseconds since 1970.
    diverged : (int, str) or None
        Epoch and cause.
    stopped : (int, str) or None
        Epoch and cause, if early stopping ended the training.
    pruned : (int, str) or None
        Epoch and cause, if the search or the budget ended the training before its last epoch.
    selected_epoch : int
        The epoch whose weights are the result; 0 if there is none.
    selected_epochs : dict of int to int
        The selected epoch after each slice, by the epoch at which the slice ended.
    scores : dict of int to dict of str to float
        By the same epochs, what the weights selected then score by the metrics that have no curves.
    fingerprint : str
        SHA-256 of the selected weights; "" if the network diverged.
    epochs_trained : int
        Epochs that were computed, with the one in which the network diverged.
    completed : bool
        It reached its last epoch, or early stopping ended it, and it did not diverge.
    checkpoint : CheckpointRef or None
        Where its state is stored.
    inherited : bool
        Its first epochs are those of another network, whose state it was copied from.
    updated : int
        When the last slice was reported, in milliseconds since 1970.
    """

    key: str
    replicate: Replicate
    content_hash: str
    curves: dict[str, "array[float]"] = field(default_factory=dict)
    times: "array[int]" = field(default_factory=lambda: array("q"))
    diverged: tuple[int, str] | None = None
    stopped: tuple[int, str] | None = None
    pruned: tuple[int, str] | None = None
    selected_epoch: int = 0
    selected_epochs: dict[int, int] = field(default_factory=dict)
    scores: dict[int, dict[str, float]] = field(default_factory=dict)
    fingerprint: str = ""
    epochs_trained: int = 0
    completed: bool = False
    checkpoint: CheckpointRef | None = None
    inherited: bool = False
    updated: int = 0

    def add(
        self, report: Report, start: int, until: int, checkpoint: CheckpointRef | None, last: bool, time: int = 0
    ) -> None:
        """Add the report of one slice. What was known of epochs after its start is replaced.

        Parameters
        ----------
        report : Report
        start, until : int
            The slice trained the epochs start + 1 to until.
        checkpoint : CheckpointRef or None
            Where the network's state is stored after the slice.
        last : bool
            Whether `until` is the network's last epoch.
        time : int
            When it was reported, in milliseconds since 1970.
        """
        for name, values in report.curves.items():
            self.curves[name] = self.curves.get(name, array("d"))[:start] + array("d", values)
        n_epochs = max(map(len, self.curves.values()), default=0)
        self.times = self.times[:start] + array("q", [time]) * (n_epochs - start)
        before = {end: epoch for end, epoch in self.selected_epochs.items() if end <= start}
        self.selected_epochs = before | {until: report.selected_epoch}
        self.scores = {end: scores for end, scores in self.scores.items() if end in before} | {until: report.scores}
        self.diverged, self.stopped, self.selected_epoch = report.diverged, report.stopped, report.selected_epoch
        self.fingerprint, self.updated = report.fingerprint, time
        end = report.diverged or report.stopped
        self.epochs_trained = end[0] if end else until
        self.pruned = None if end else self.pruned
        self.completed = self.diverged is None and (last or self.stopped is not None)
        self.checkpoint = None if report.diverged else checkpoint

    def copied(self, key: str, replicate: Replicate, content_hash: str) -> "NetworkRecord":
        """The same history as the record of another network, which may be trained further."""
        inherited = self.inherited or content_hash != self.content_hash
        copy = replace(self, key=key, replicate=replicate, content_hash=content_hash, inherited=inherited)
        copy.curves = dict(self.curves)
        copy.reopen()
        return copy

    def reopen(self) -> None:
        """The network is to be trained further, unless it has ended."""
        self.pruned, self.completed = None, self.stopped is not None

    @property
    def failed(self) -> bool:
        """Whether it was given up because its workers were lost, and not for its loss."""
        return self.diverged is not None and self.diverged[1].startswith(CRASHED)

    @property
    def ended(self) -> bool:
        """Whether it cannot be trained any further."""
        return self.diverged is not None or self.stopped is not None

    @property
    def finished(self) -> bool:
        """Whether its training is over, with a result or without."""
        return self.ended or self.completed or self.pruned is not None

    @property
    def stopped_early(self) -> bool:
        """Whether early stopping ended it, or the search or the budget pruned it."""
        return self.stopped is not None or self.pruned is not None

    def result_known_at(self, epoch: int) -> bool:
        """Whether it was trained to this epoch, and the epoch selected then is known."""
        return epoch in self.selected_epochs or (self.ended and self.epochs_trained <= epoch)

    def available_at(self, epoch: int) -> bool:
        """Whether the result at this epoch is known and its checkpoint is there, unless it diverged."""
        return self.diverged is not None or (self.checkpoint is not None and self.result_known_at(epoch))

    def metrics_at(self, until: int) -> dict[str, float]:
        """Every metric in the epoch that was selected when the network was trained to `until`."""
        epoch = self.selected_epochs.get(until, self.selected_epoch)
        scores = self.scores.get(until) or self.scores.get(max(self.scores, default=0), {})
        return {name: values[epoch - 1] for name, values in self.curves.items()} | scores

    def diverged_by(self, epoch: int) -> bool:
        """Whether it had diverged by this epoch."""
        return self.diverged is not None and self.diverged[0] <= epoch

    @property
    def final_metrics(self) -> dict[str, float]:
        """Every metric in the selected epoch; in the last epoch of a network that diverged."""
        return self.metrics_at(self.epochs_trained)

    @property
    def final_time(self) -> int:
        """When the epoch of the final metrics was known, in milliseconds since 1970."""
        return self.times[(self.selected_epoch or len(self.times)) - 1]


@dataclass
class TrialRecord:
    """What is known of one trial: its networks, fold by fold and seed by seed, and what they come to together.

    Parameters
    ----------
    key : str
        The trial's number, with at least four digits.
    labels : (str, str, str)
        For people: the optimizer, the regularizer, and the other settings that are swept; "" for none.
    parameters : dict
        Flat, with dotted names.
    networks : tuple of NetworkRecord
    started : int
        When the search first asked for it, in milliseconds since 1970.
    rung : int
        The last rung that asked for it.
    """

    key: str
    labels: tuple[str, str, str]
    parameters: dict[str, Any]
    networks: tuple[NetworkRecord, ...] = ()
    started: int = 0
    rung: int = 0

    @property
    def number(self) -> int:
        """The trial's number, in the order in which the search asked for the trials."""
        return int(self.key)

    @property
    def label(self) -> str:
        """The labels as one text: "adam 0.001, l2 0.0001"."""
        return ", ".join(filter(None, self.labels))

    @property
    def ended(self) -> int:
        """When its last slice was reported, in milliseconds since 1970."""
        return max([self.started, *(network.updated for network in self.networks)])

    @property
    def epochs(self) -> int:
        """Epochs with a result, of all its networks together."""
        return sum(len(network.curves.get("train/loss", ())) for network in self.networks)

    @property
    def finished(self) -> bool:
        """Whether the training of all its networks is over."""
        return all(network.finished for network in self.networks)

    @property
    def rankable(self) -> bool:
        """Whether it is finished and each of its networks has a result."""
        return self.finished and not self.diverged and all(network.epochs_trained for network in self.networks)

    @property
    def completed(self) -> bool:
        """Whether all its networks reached their last epoch, or were ended by early stopping."""
        return not self.diverged and all(network.completed for network in self.networks)

    @property
    def diverged(self) -> bool:
        """Whether any of its networks diverged."""
        return any(network.diverged for network in self.networks)

    @property
    def failed(self) -> bool:
        """Whether any of its networks was given up because its workers were lost."""
        return any(network.failed for network in self.networks)

    @property
    def stopped_early(self) -> bool:
        """Whether any of its networks was stopped early or pruned, and none diverged."""
        return not self.diverged and any(network.stopped_early for network in self.networks)

    @property
    def outcome(self) -> str:
        """How it ended, in a word: diverged, failed, unfinished, stopped, pruned or finished."""
        return self._outcome_and_reason()[0]

    @property
    def reason(self) -> str:
        """In which epoch and why it diverged, was stopped or was pruned; else ""."""
        return self._outcome_and_reason()[1]

    @property
    def status(self) -> str:
        """For people: the reason, or the outcome where there is none."""
        return self.reason or self.outcome

    def _outcome_and_reason(self) -> tuple[str, str]:
        """Of several networks, the first that diverged counts, then the first that was stopped, then pruned."""
        for network in self.networks:
            if network.diverged:
                outcome = "failed" if network.failed else "diverged"
                return outcome, f"{outcome} in {self._epoch_and_cause(network, network.diverged)}"
        if not self.finished:
            return "unfinished", ""
        for network in self.networks:
            if network.stopped:
                return "stopped", f"stopped after {self._epoch_and_cause(network, network.stopped)}"
        for network in self.networks:
            if network.pruned:
                epoch, cause = network.pruned
                return "pruned", f"pruned after epoch {epoch}: {cause}"
        return "finished", ""

    def _epoch_and_cause(self, network: NetworkRecord, end: tuple[int, str]) -> str:
        """One of several networks is named by its fold and seed."""
        fold, seed = network.replicate
        where = f" of fold {fold + 1}, seed {seed}" if len(self.networks) > 1 else ""
        return f"epoch {end[0]}{where}: {end[1]}"

    @property
    def metric_names(self) -> list[str]:
        """The metrics that are known of all its networks."""
        first, *others = [network.final_metrics for network in self.networks] or [{}]
        return [name for name in first if all(name in other for other in others)]

    @property
    def final_values(self) -> dict[str, list[float]]:
        """Every metric's value in the selected epoch of each network."""
        finals = [network.final_metrics for network in self.networks]
        return {name: [final[name] for final in finals] for name in self.metric_names}

    @property
    def mean(self) -> dict[str, float]:
        """Every metric's mean over the networks, in their selected epochs."""
        return {name: fmean(values) for name, values in self.final_values.items()}

    @property
    def std(self) -> dict[str, float]:
        """The sample standard deviation over the networks (n - 1 in the denominator); 0 if there is one."""
        return {name: stdev(values) if len(values) > 1 else 0.0 for name, values in self.final_values.items()}

    def mean_curve(self, name: str, n_points: int) -> list[CurvePoint]:
        """A metric's mean over the networks, for as many epochs as all of them have, at most `n_points` of these."""
        values = list(zip(*(network.curves.get(name, ()) for network in self.networks), strict=False))  # by epoch
        times = list(zip(*(network.times for network in self.networks), strict=False))
        return [
            CurvePoint(epoch + 1, fmean(values[epoch]), max(times[epoch])) for epoch in thinned(len(values), n_points)
        ]


def thinned(n_epochs: int, n_points: int) -> Sequence[int]:
    """Which epochs (from 0) a curve of at most `n_points` shows: the first, the last, and evenly spread ones between.

    Examples
    --------
    >>> thinned(100, 3)
    [0, 50, 99]
    """
    if n_epochs <= n_points:
        return list(range(n_epochs))
    if n_points < 2:
        return [n_epochs - 1] * n_points
    return [round(index * (n_epochs - 1) / (n_points - 1)) for index in range(n_points)]
