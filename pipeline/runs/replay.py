"""One replay of a run's journal: it turns the events into records of trials and networks.

What resumes a run, the tracker, the report and `nnsweep runs` all know of a run what is here.
"""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nncore.stack.training import Report
from pipeline.runs.events import Event
from pipeline.runs.journal import JOURNAL, damaged, events
from pipeline.runs.records import CheckpointRef, NetworkRecord, Replicate, TrialRecord, trial_of


class RunHistory:
    """What the events of a journal say, event by event. The events must have been checked, as a journal's readers do.

    Attributes
    ----------
    session : dict
        The event that began the last session, or {}.
    trials : dict of str to TrialRecord
        By key, in the order in which the search asked for them.
    networks : dict of str to NetworkRecord
        By key, the networks of these trials.
    known : dict of str to NetworkRecord
        By content hash, every network that there was; another network may have taken its key since.
    next_stack : int
        The first number that no stack has.
    sweep_seconds : float
        How long the sessions trained, each from its first rung to its last slice.
    """

    def __init__(self) -> None:
        self.session: Event = {}
        self.trials: dict[str, TrialRecord] = {}
        self.networks: dict[str, NetworkRecord] = {}
        self.known: dict[str, NetworkRecord] = {}
        self.next_stack = 0
        self.sweep_seconds = 0.0
        self._training_since: int | None = None

    def apply(self, event: Event) -> None:
        """Add what one event says; events of other kinds say nothing about trials.

        Raises
        ------
        ValueError
            If it does not follow from the events before.
        """
        match event["event"]:
            case "run":
                self.session, self._training_since = event, None
            case "rung":
                self._add_rung(event)
            case "slice":
                self._add_slice(event)
            case "finished":
                self._add_finished(event)

    def _add_rung(self, event: Event) -> None:
        if self._training_since is None:
            self._training_since = event["time"]
        networks: dict[str, list[NetworkRecord]] = defaultdict(list)
        for key, (content_hash, origin) in event["networks"].items():
            networks[trial_of(key)].append(self._requested(key, content_hash, origin))
        if unknown := networks.keys() - event["trials"].keys():
            raise ValueError(f"trial {min(unknown)} is not described")
        for key, description in event["trials"].items():
            trial = self.trials.setdefault(key, TrialRecord(key, ("", "", ""), {}, started=event["time"]))
            trial.labels, trial.parameters = tuple(description["labels"]), description["parameters"]
            trial.networks, trial.rung = tuple(networks[key]), event["number"]

    def _requested(self, key: str, content_hash: str, origin: str | None) -> NetworkRecord:
        """The record of a network that is to be trained, for the first time or further."""
        record = self.networks.get(key)
        if record is not None and record.content_hash == content_hash:
            record.reopen()
            return record
        _, fold, seed = key.split("/")
        replicate = Replicate(int(fold) - 1, int(seed))
        history = self.known.get(content_hash) or self.known.get(origin or "")
        record = (
            history.copied(key, replicate, content_hash) if history else NetworkRecord(key, replicate, content_hash)
        )
        self.networks[key] = self.known[content_hash] = record
        return record

    def _add_slice(self, event: Event) -> None:
        if unknown := [key for key in (*event["networks"], *event["held"]) if key not in self.networks]:
            raise ValueError(f"no rung has asked for network {unknown[0]}")
        start, until, time = event["start"], event["until"], event["time"]
        for key, content in event["networks"].items():
            record = self.networks[key]
            report = _report_of_slice(record, content, start, until)
            # only the event `finished` completes a network: a session that was interrupted before it writes it again
            record.add(report, start, until, CheckpointRef(event["file"], event["sha256"], key), False, time)
            self.known[record.content_hash] = record
        for key in event["held"]:
            self.networks[key].checkpoint = CheckpointRef(event["file"], event["sha256"], key)
        self.next_stack = max(self.next_stack, event["stack"] + 1)
        if self._training_since is not None:
            self.sweep_seconds += max(0, time - self._training_since) / 1000  # clocks may be set back
            self._training_since = time

    def _add_finished(self, event: Event) -> None:
        for key in event["trials"]:
            if key not in self.trials:
                raise ValueError(f"no rung has asked for trial {key}")
            for network in self.trials[key].networks:
                if not network.ended:
                    pruned = event["pruned"].get(network.key)
                    network.pruned = pruned and tuple(pruned)
                    network.completed = pruned is None


def replayed(folder: Path) -> RunHistory:
    """The history of the run in a folder.

    Raises
    ------
    SettingError
        Naming the line of the journal that is damaged, or if another version of nnsweep has written it.
    """
    return history_of(folder / JOURNAL, events(folder / JOURNAL))


def history_of(path: Path, recorded: Iterable[Event]) -> RunHistory:
    """The history that the events of a journal tell; see `replayed`."""
    history = RunHistory()
    for number, event in enumerate(recorded, start=1):
        try:
            history.apply(event)
        except (ValueError, OverflowError) as error:
            raise damaged(path, number, error) from None
    return history


def _report_of_slice(record: NetworkRecord, content: dict[str, Any], start: int, until: int) -> Report:
    """The report of a slice as it was before it was JSON.

    Raises
    ------
    ValueError
        If its curves do not continue those of the network.
    """
    report = Report(**content | {name: content[name] and tuple(content[name]) for name in ("diverged", "stopped")})
    ended = report.diverged or report.stopped
    lengths = {len(values) for values in report.curves.values()}
    if record.epochs_trained < start or len(lengths) > 1 or (not ended and not lengths):
        raise ValueError(f"the curves of network {record.key} do not continue those before")
    if not ended and lengths != {until - start}:
        raise ValueError(f"the curves of network {record.key} do not go from epoch {start} to {until}")
    return report
