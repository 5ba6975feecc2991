"""The one process that writes to MLflow: it follows a run's journal and logs what is written in tracking.jsonl.

python -m pipeline.tracking.mlflow_writer runs/<name>/<id>/journal.jsonl

When the store does not answer or refuses, the writer starts again after some seconds: what is logged is not written
again, and what is in the store without being logged is deleted. Before anything else, it writes what earlier runs of
the same name could not.
"""

import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from math import inf
from pathlib import Path
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from pipeline.components.scores import RankingMetric
from pipeline.components.secrets import is_masked, masked
from pipeline.runs.events import Event
from pipeline.runs.journal import JournalReader, last_event, last_session
from pipeline.runs.records import TrialRecord
from pipeline.runs.replay import RunHistory
from pipeline.tracking.mlflow_client import close_stores, log
from pipeline.tracking.mlflow_model import RUN
from pipeline.tracking.mlflow_parent import ParentRun
from pipeline.tracking.mlflow_store import MlflowStore
from pipeline.tracking.run_selector import TOP, RunSelector
from pipeline.tracking.trial_content import mlflow_status, reduction, trial_content
from pipeline.tracking.view import saved_view
from pipeline.tracking.write_log import WriteLog, WrittenTrial, add_failure, runs_behind

SECONDS_TO_FINISH = 15  # without work, after the driver is gone
WORK = 0.1  # seconds of CPU time; a process that only waits for its server uses less
LONGEST_PAUSE = 30.0  # seconds before a store is tried again
DRIVER_GONE = threading.Event()


class MlflowWriter:
    """Turns the journal's events into MLflow runs.

    Parameters
    ----------
    journal : Path
    tracking : dict
        What to write to, and how: as the journal says, which lacks the store's password.
    """

    def __init__(self, journal: Path, tracking: dict[str, Any]) -> None:
        self._folder, session = journal.parent, last_session(journal.parent)
        self._settings, self._session = session["settings"], session["session"]
        self._tracking = tracking
        self._log = WriteLog(self._folder / "tracking.jsonl", self._tracking["uri"])
        self._written = self._log.trials
        self._confirmed: set[str] = set()  # runs of trials that belong to this session, too
        self._selected = RunSelector(tracking.get("most_trials", inf))
        self._history = RunHistory()
        self._unfinished: dict[str, TrialRecord] = {}  # asked for, and no event has said that they are finished
        self._due: dict[str, TrialRecord] = {}  # to be written
        self._run_ids: dict[str, str] = {}  # by trial
        self._tags: dict[str, str] = {"pipeline_run": self._folder.name}
        self._store: MlflowStore
        self._parent: ParentRun | None = None

    def handle(self, event: Event) -> None:
        """Add what one event says. Results of earlier sessions count only when this session comes to them, too."""
        if event["session"] < self._session and event["event"] not in ("run", "data", "metric", "rung", "slice"):
            return
        self._history.apply(event)
        handler = {
            "run": self._on_run,
            "data": self._on_data,
            "rung": self._on_rung,
            "finished": self._on_finished,
            "champion": self._on_champion,
            "report": self._on_report,
        }.get(event["event"])
        if handler:
            handler(event)

    def write(self) -> None:
        """Write the trials that are finished; a run that has fewer epochs or another status is replaced."""
        due, self._due = self._due, {}
        new = []
        for trial in due.values():
            self._confirmed.discard(self._run_ids.get(trial.key, ""))
            before = self._written.get(identity(trial))
            if before and (before.epochs, before.status) == (trial.epochs, mlflow_status(trial)):
                self._run_ids[trial.key] = before.run_id
                self._confirmed.add(before.run_id)
            else:
                new.append(trial)
        if new:
            n_points = self._tracking["points"] if self._tracking["curves"] == "all" else 0
            ids = self._store.write([trial_content(trial, self._tags, n_points) for trial in new])
            for trial, run_id in zip(new, ids, strict=True):
                self._log_trial(trial, run_id)

    def end(self, event: Event) -> None:
        """The last event of all: trials that are not finished by now are written as they are."""
        self._due |= {key: t for key, t in self._unfinished.items() if t.epochs and self._selected(t, self._metric)}
        self.write()
        if event["status"] == "FINISHED":
            # of other trials, or of fewer or other networks
            for run_id in {written.run_id for written in self._written.values()} - self._confirmed:
                self._store.client.delete_run(run_id)
            if self._tracking["curves"] == "top":
                self._write_best_curves()
        if self._parent:
            n_without = len(self._history.trials) - len(self._selected.keys)
            self._parent.ended(event, n_without)
        self._log.add("end", status=event["status"], line=event["line"])

    def give_up(self) -> None:
        """The store fails for good."""
        if self._parent:
            with suppress(Exception):
                self._parent.mark_failed()

    @property
    def _metric(self) -> RankingMetric:
        return self._history.metric

    def close(self) -> None:
        """Let another writer open the log."""
        self._log.close()

    def _on_run(self, event: Event) -> None:
        if self._parent:  # an earlier session of the run was followed already
            return
        self._store = MlflowStore(self._tracking)
        self._tags |= {"code_version": event["version"], "reduction": reduction(self._settings)}
        if self._log.resumed:
            kept = {self._log.parent, *(written.run_id for written in self._written.values())}
            for run_id in self._store.others(event["run_id"], kept):
                self._store.client.delete_run(run_id)
        if self._log.parent:
            self._parent = ParentRun(self._store, self._folder, self._log.parent)
        else:
            self._parent = ParentRun.create(self._store, self._folder, self._tags, event)
            where = {"tracking_uri": masked(self._store.uri), "experiment_id": self._store.experiment}
            self._log.add("run", **where, run_id=self._parent.run_id)
        self._parent.mark_running()
        self._tags[MLFLOW_PARENT_RUN_ID] = self._parent.run_id

    def _on_data(self, event: Event) -> None:
        if self._parent and self._tags.get("data_hash") != event["card"]["digest"]:
            self._tags["data_hash"] = event["card"]["digest"]
            self._parent.log_data_set(event["card"])

    def _on_rung(self, event: Event) -> None:
        self._unfinished |= {key: self._history.trials[key] for key in event["trials"]}

    def _on_finished(self, event: Event) -> None:
        for key in event["trials"]:
            self._unfinished.pop(key, None)
            if self._selected(trial := self._history.trials[key], self._metric):
                self._due[key] = trial

    def _on_champion(self, event: Event) -> None:
        if self._parent:
            model_tags = {
                "metric": f"validation_{self._metric.name}",
                "greater_is_better": str(self._metric.greater_is_better).lower(),
                "data_hash": self._tags.get("data_hash", ""),
                RUN: self._folder.name,
            }
            name, promote = self._tracking["model"], self._tracking.get("promote", "better")
            self._log.add("model", **self._parent.log_champion(event, name, promote, model_tags))
            if tag := save_view(self._store, self._folder.name, self._history):
                self._log.add("view", tag=tag)

    def _on_report(self, event: Event) -> None:
        if self._parent:
            self._parent.log_report()

    def _log_trial(self, trial: TrialRecord, run_id: str) -> None:
        """A run of the trial is written; it replaces the one before."""
        before = self._written.get(identity(trial))
        written = WrittenTrial(run_id, trial.epochs, mlflow_status(trial))
        self._written[identity(trial)] = written
        self._run_ids[trial.key] = run_id
        self._confirmed.add(run_id)
        self._log.add("trial", trial=trial.key, networks=identity(trial)[1:], **written._asdict())
        if before:
            self._store.client.delete_run(before.run_id)

    def _write_best_curves(self) -> None:
        trials = [trial for trial in self._history.trials.values() if trial.rankable]
        trials.sort(key=lambda trial: self._metric.cost(trial.mean[self._metric.curve]))
        for trial in trials[:TOP]:
            content = trial_content(trial, {}, self._tracking["points"])
            log(self._store.client, self._run_ids[trial.key], content)


def identity(trial: TrialRecord) -> tuple[str, ...]:
    """Equal for runs of the same trial with the same networks."""
    return trial.key, *(network.content_hash for network in trial.networks)


def save_view(store: MlflowStore, pipeline_run: str, history: RunHistory) -> str | None:
    """Give the experiment a view that suits the trials; its tag, or None if MLflow refuses it."""
    trials = history.trials.values()
    finals = dict.fromkeys(name.replace("/", "_") for trial in trials for name in trial.metric_names)
    metric = f"validation_{history.metric.name}"
    others = sorted(
        finals.keys() - {metric}, key=lambda name: (name.startswith("train"), name == "validation_loss", name)
    )
    parameters = [trial.parameters for trial in trials]
    tag, value = saved_view(pipeline_run, metric, parameters, others, history.metric.greater_is_better)
    try:
        store.client.set_experiment_tag(store.experiment, tag, value)
    except MlflowException:  # it is an ornament
        return None
    return tag


def follow(journal: Path, tracking: dict[str, Any]) -> None:
    """Write what the journal says until its last event, or until the driver is gone, however often the store fails."""
    failures = 0
    while True:
        try:
            bring_level(journal, tracking, DRIVER_GONE.is_set, failures > 0)
            return
        except Exception as error:
            failures += 1
            add_failure(journal.with_name("tracking.jsonl"), tracking["uri"], error)
            if failures > 1 and (DRIVER_GONE.is_set() or has_ended(journal)):
                raise
            pause(journal, min(LONGEST_PAUSE, 2.0**failures))


def pause(journal: Path, seconds: float) -> None:
    """Wait so long, or until the journal ends or the driver is gone, as someone then waits for this process."""
    had_ended, until = has_ended(journal), time.monotonic() + seconds
    while time.monotonic() < until and not DRIVER_GONE.wait(0.5):
        if has_ended(journal) and not had_ended:
            return


def has_ended(journal: Path) -> bool:
    """Whether nothing will be added to a journal."""
    return last_event(journal)["event"] == "end"


def bring_level(journal: Path, tracking: dict[str, Any], interrupted: Callable[[], bool], last_try: bool) -> None:
    """Write what the journal says until its last event, or until the run is interrupted.

    Parameters
    ----------
    journal : Path
    tracking : dict
        See `MlflowWriter`.
    interrupted : callable
        Whether no process writes to the journal any more.
    last_try : bool
        Whether MLflow's run is marked as failed if the store fails.
    """
    writer, reader = MlflowWriter(journal, tracking), JournalReader(journal)
    try:
        _follow(writer, reader, interrupted)
    except Exception:
        if last_try:
            writer.give_up()
        raise
    finally:
        reader.close()
        writer.close()


def _follow(writer: MlflowWriter, reader: JournalReader, interrupted: Callable[[], bool]) -> None:
    """Raises SettingError if a line of the last session is damaged: what MLflow would show is not what was computed."""
    last: Event = {"time": 0, "session": 0, "line": 0}
    while True:
        is_interrupted = interrupted()
        new = list(reader.events())
        reader.check()
        for event in new:
            last = event
            if event["event"] != "end":
                writer.handle(event)
            elif event is new[-1]:  # else a later session follows
                writer.end(event)
                return
        writer.write()
        if is_interrupted:
            writer.end({**last, "event": "end", "status": "KILLED"})
            return
        time.sleep(0.1)


def main(journal: str) -> None:
    """Be the process that writes: follow the journal. The first line of standard input says where to write, and how."""
    try:
        _write(Path(journal), json.loads(sys.stdin.readline()))
    except Exception:
        sys.exit(masked(traceback.format_exc()))


def _write(journal: Path, tracking: dict[str, Any]) -> None:
    """Follow a journal; before, write what earlier runs of the same name could not."""
    threading.Thread(target=_wait_for_driver, daemon=True).start()
    for behind in runs_behind(journal):
        with suppress(Exception):  # the next run tries again
            earlier = last_session(behind.parent)["tracking"]
            if earlier["uri"] == masked(tracking["uri"]):
                bring_level(behind, earlier | {"uri": tracking["uri"]}, lambda: True, last_try=False)
            elif not is_masked(earlier["uri"]):
                bring_level(behind, earlier, lambda: True, last_try=False)
    try:
        follow(journal, tracking)
    finally:
        close_stores()


def _wait_for_driver() -> None:
    """Wait until standard input, a pipe from the driver, is closed; end this process if it then only waits.

    On a busy machine the process may take long between two lines of its log, but not without working.
    """
    while os.read(0, 1024):  # not sys.stdin, whose lock this thread would hold when the interpreter ends
        pass
    DRIVER_GONE.set()
    worked, cpu_time = time.monotonic(), time.process_time()
    while time.monotonic() - worked < SECONDS_TO_FINISH:
        if time.process_time() > cpu_time + WORK:
            worked, cpu_time = time.monotonic(), time.process_time()
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)  # the main thread may wait for a server for minutes


if __name__ == "__main__":
    main(*sys.argv[1:])
