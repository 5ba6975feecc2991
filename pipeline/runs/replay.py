"""One replay of a run's journal: it turns the events into records of trials and networks.

What resumes a run, the tracker, the report and `nnsweep runs` all know of a run what is here.
"""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nncore.stack.training import Report
from pipeline.components.scores import LOSS, RankingMetric, metric_names, ranking_metric
from pipeline.runs.events import Event
from pipeline.runs.journal import JOURNAL, Damage, JournalReader, damaged
from pipeline.runs.records import CheckpointRef, NetworkRecord, Replicate, TrialRecord, trial_of


class RunHistory:
    """What the events of a journal say, event by event. The events must have been checked, as a journal's readers do.

    What an event says of a network counts only if it follows from the events before, some of which may be lost; then
    the network is known up to the gap.

    Attributes
    ----------
    session : dict
        The event that began the last session, or {}.
    metric : RankingMetric
        By which the trials are ranked.
    data_digest : str or None
        Of the rows that the run has read; None if it has read none.
    trials : dict of str to TrialRecord
        By key, in the order in which the search asked for them.
    networks : dict of str to NetworkRecord
        By key, the networks of these trials.
    known : dict of str to NetworkRecord
        By content hash, every network that there was; another network may have taken its key since.
    origins : dict of str to str
        By content hash of a network that began as a copy of another, the content hash of that one.
    lost_copies : bool
        Whether networks may have been copied that are now thought to begin anew: a rung is lost, or a network was
        trained further of which nothing else is known.
    damage : list of Damage
        The events since the last session began that do not follow from those before.
    next_stack : int
        The first number that no stack has.
    elapsed_seconds : float
        How long the sessions took, each from its beginning to its last slice.
    clock : (int, float) or None
        In which rung the clock ended the last session's sweep, and its budget of seconds.
    """

    def __init__(self) -> None:
        self.session: Event = {}
        self.metric = ranking_metric(LOSS)
        self.data_digest: str | None = None
        self.trials: dict[str, TrialRecord] = {}
        self.networks: dict[str, NetworkRecord] = {}
        self.known: dict[str, NetworkRecord] = {}
        self.origins: dict[str, str] = {}
        self.lost_copies = False
        self.damage: list[Damage] = []
        self.next_stack = 0
        self.elapsed_seconds = 0.0
        self.clock: tuple[int, float] | None = None
        self._since: int | None = None
        self._until: dict[str, int] = {}  # by trial, the epoch to which it was last asked for
        self._last_rung = 0  # the largest number of a rung

    def apply(self, event: Event) -> None:
        """Add what one event says; events of other kinds say nothing about trials."""
        kinds = {
            "run": self._begin_session,
            "data": self._add_data,
            "metric": self._add_metric,
            "rung": self._add_rung,
            "refit": self._add_refit,
            "slice": self._add_slice,
            "finished": self._add_finished,
            "clock": self._add_clock,
        }
        try:
            if handler := kinds.get(event["event"]):
                handler(event)
        except (ValueError, OverflowError) as error:
            self.damage.append(Damage(event["line"], str(error)))

    def _begin_session(self, event: Event) -> None:
        self.session, self._since, self.damage, self.clock = event, event["time"], [], None
        self.metric = _metric_of_settings(event.get("settings", {}))

    def _add_data(self, event: Event) -> None:
        self.data_digest = event["card"].get("digest")

    def _add_metric(self, event: Event) -> None:
        self.metric = RankingMetric(*(event[name] for name in RankingMetric._fields))

    def _add_refit(self, event: Event) -> None:
        for key, content_hash in event["networks"].items():
            self._requested(key, content_hash, None)

    def _add_clock(self, event: Event) -> None:
        self.clock = event["rung"], event["seconds"]

    def _add_rung(self, event: Event) -> None:
        self.lost_copies |= event["number"] > self._last_rung + 1
        self._last_rung = max(self._last_rung, event["number"])
        networks: dict[str, list[NetworkRecord]] = defaultdict(list)
        if unknown := {*map(trial_of, event["networks"])} - event["trials"].keys():
            raise ValueError(f"trial {min(unknown)} is not described")
        for key, (content_hash, origin) in event["networks"].items():
            networks[trial_of(key)].append(self._requested(key, content_hash, origin))
        self._until |= event["until"]
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
        if origin is not None:
            self.origins[content_hash] = origin
        _, fold, seed = key.split("/")
        replicate = Replicate(int(fold) - 1, int(seed))
        history = self.known.get(content_hash) or self.known.get(origin or "")
        record = (
            history.copied(key, replicate, content_hash) if history else NetworkRecord(key, replicate, content_hash)
        )
        self.networks[key] = self.known[content_hash] = record
        return record

    def _add_slice(self, event: Event) -> None:
        """Raises ValueError, in the end, if it does not follow for some of the networks."""
        start, until, time = event["start"], event["until"], event["time"]
        problem = ""
        for key, content in event["networks"].items():
            record = self._of_content(key, content["content_hash"])
            if record is None:
                problem = f"no rung has asked for network {key}"
                self.lost_copies |= start > 0 and content["content_hash"] not in self.known
                continue
            try:
                report = _report_of_slice(record, content, start, until)
            except ValueError as error:
                problem = str(error)
                continue
            # only the event `finished` completes a network: a session that was interrupted before it writes it again
            record.add(report, start, until, CheckpointRef(event["file"], event["sha256"], key), False, time)
            self.known[record.content_hash] = record
        for key, content_hash in event["held"].items():
            if record := self._of_content(key, content_hash):
                record.checkpoint = CheckpointRef(event["file"], event["sha256"], key)
        self.next_stack = max(self.next_stack, event["stack"] + 1)
        if self._since is not None:
            self.elapsed_seconds += max(0, time - self._since) / 1000  # clocks may be set back
            self._since = time
        if problem:
            raise ValueError(problem)

    def _of_content(self, key: str, content_hash: str) -> NetworkRecord | None:
        """The record of this key, unless it is that of another network."""
        record = self.networks.get(key)
        return record if record is not None and record.content_hash == content_hash else None

    def _add_finished(self, event: Event) -> None:
        """Raises ValueError, in the end, if it does not follow for some of the trials."""
        problem = ""
        for key in event["trials"]:
            if key not in self.trials:
                problem = f"no rung has asked for trial {key}"
                continue
            for network in self.trials[key].networks:
                if not network.ended:
                    pruned = event["pruned"].get(network.key)
                    network.pruned = pruned and tuple(pruned)
                    network.completed = pruned is None
                    if network.epochs_trained < (pruned[0] if pruned else self._until.get(key, 0)):
                        problem = f"network {network.key} was trained beyond epoch {network.epochs_trained}"
        if problem:
            raise ValueError(problem)


def replayed(folder: Path) -> RunHistory:
    """The history of the run in a folder, all of which must be known.

    Raises
    ------
    SettingError
        Naming the line of the last session that is damaged, or if another version of nnsweep has written the journal.
    """
    history = salvaged(folder)
    if history.damage:
        raise damaged(folder / JOURNAL, history.damage[0])
    return history


def salvaged(folder: Path) -> RunHistory:
    """The history of the run in a folder, as far as its journal is not damaged; `damage` lists the lines that are.

    Raises
    ------
    SettingError
        If another version of nnsweep has written the journal, or a line that began a session is damaged.
    """
    reader = JournalReader(folder / JOURNAL)
    try:
        history = history_of(reader.events())
    finally:
        reader.close()
    history.damage = reader.damage or history.damage  # the first are the cause of the second
    return history


def history_of(recorded: Iterable[Event]) -> RunHistory:
    """The history that the events of a journal tell; see `RunHistory`."""
    history = RunHistory()
    for event in recorded:
        history.apply(event)
    return history


def _metric_of_settings(settings: dict[str, Any]) -> RankingMetric:
    """The metric that old journals name in their settings only; the loss until it is known."""
    select = settings.get("select")
    name = select.get("metric") if isinstance(select, dict) else None
    return ranking_metric(name if name in metric_names() else LOSS)


def _report_of_slice(record: NetworkRecord, content: dict[str, Any], start: int, until: int) -> Report:
    """The report of a slice as it was before it was JSON.

    Raises
    ------
    ValueError
        If its curves do not continue those of the network.
    """
    values = {name: value for name, value in content.items() if name != "content_hash"}
    report = Report(**values | {name: content[name] and tuple(content[name]) for name in ("diverged", "stopped")})
    ended = report.diverged or report.stopped
    lengths = {len(values) for values in report.curves.values()}
    if record.epochs_trained < start or len(lengths) > 1 or (not ended and not lengths):
        raise ValueError(f"the curves of network {record.key} do not continue those before")
    if not ended and lengths != {until - start}:
        raise ValueError(f"the curves of network {record.key} do not go from epoch {start} to {until}")
    return report
