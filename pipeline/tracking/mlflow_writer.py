"""The one process that writes to MLflow: it follows a run's journal and acknowledges what is written.

python -m pipeline.tracking.mlflow_writer runs/<name>/<id>/journal.jsonl

When the store does not answer or refuses, it begins anew after some seconds: what is acknowledged is not written
again, and what is there without being acknowledged is deleted. First of all it brings level with their journals what
earlier runs of the same name could not write.
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

from pipeline.components.secrets import is_masked, masked
from pipeline.engine.records import smaller_is_better
from pipeline.runs.journal import Event, JournalReader, last_event, last_session
from pipeline.tracking.mlflow_client import log
from pipeline.tracking.mlflow_parent import ParentRun
from pipeline.tracking.mlflow_store import MlflowStore
from pipeline.tracking.run_selector import TOP, RunSelector
from pipeline.tracking.trial_run import TrialRun, Trials, Written, reduction
from pipeline.tracking.view import saved_view
from pipeline.tracking.write_log import WriteLog, runs_behind

SECONDS_TO_FINISH = 30  # after the driver is gone, and since the last acknowledgement
LONGEST_PAUSE = 30.0  # seconds before a store is tried again
DRIVER_GONE = threading.Event()


class MlflowWriter:
    """Turns the journal's events into MLflow runs.

    tracking   what to write to, and how: as the journal says, which lacks the store's password
    """

    def __init__(self, journal: Path, tracking: dict[str, Any]) -> None:
        self._folder, session = journal.parent, last_session(journal.parent)
        self._settings, self._began = session["settings"], session["time"]
        self._tracking = tracking
        self._acknowledgements = WriteLog(self._folder / "tracking.jsonl", self._tracking["uri"])
        self._written = self._acknowledgements.trials
        self._confirmed: set[str] = set()  # runs of trials that belong to this session, too
        self._wanted = RunSelector(tracking.get("most_trials", inf), self._settings["select"]["metric"])
        self._trials = Trials()
        self._due: dict[str, TrialRun] = {}  # to be written
        self._tags: dict[str, str] = {"pipeline_run": self._folder.name}
        self._store: MlflowStore
        self._parent: ParentRun | None = None

    def handle(self, happened: Event) -> None:
        """Take note of one event. What an earlier session came to only counts as this one comes to it, too."""
        if happened["time"] < self._began and happened["event"] not in ("run", "data", "rung", "slice"):
            return
        self._trials.handle(happened)
        getattr(self, f"_on_{happened['event']}", lambda happened: None)(happened)

    def write(self) -> None:
        """Write the trials that are over, unless they are there; in place of those that knew less."""
        due, self._due = self._due, {}
        new = []
        for trial in due.values():
            self._confirmed.discard(trial.run_id)
            before = self._written.get(trial.identity)
            if before and (before.epochs, before.status) == (trial.epochs, trial.status):
                trial.run_id = before.run_id
                self._confirmed.add(before.run_id)
            else:
                new.append(trial)
        if new:
            n_points = self._tracking["points"] if self._tracking["curves"] == "all" else 0
            ids = self._store.write([trial.content(self._tags, n_points) for trial in new])
            for trial, run_id in zip(new, ids, strict=True):
                self._acknowledge(trial, run_id)

    def end(self, happened: Event) -> None:
        """The last event of all: what is not over by now is not to be."""
        left = {key: trial for key, trial in self._trials.runs.items() if not trial.finished and trial.epochs}
        self._due |= {key: trial for key, trial in left.items() if self._wanted(trial)}
        self.write()
        if happened["status"] == "FINISHED":
            # of other trials, or of fewer or other networks
            for run_id in {written.run_id for written in self._written.values()} - self._confirmed:
                self._store.client.delete_run(run_id)
            if self._tracking["curves"] == "top":
                metric, n_points = self._settings["select"]["metric"], self._tracking["points"]
                draw_best(self._store, self._trials, metric, n_points)
        if self._parent:
            self._parent.ended(happened["status"], happened["time"], len(self._trials.runs) - len(self._wanted.keys))
        self._acknowledgements.add("end", status=happened["status"], time=happened["time"])

    def give_up(self) -> None:
        """The store fails for good."""
        if self._parent:
            with suppress(Exception):
                self._parent.given_up()

    def close(self) -> None:
        """Let another writer have the acknowledgements."""
        self._acknowledgements.close()

    def _on_run(self, happened: Event) -> None:
        if self._parent:  # a session of the run before this one was followed already
            return
        self._store = MlflowStore(self._tracking)
        self._tags |= {"code_version": happened["version"], "reduction": reduction(self._settings)}
        if self._acknowledgements.resumed:
            kept = {self._acknowledgements.parent, *(written.run_id for written in self._written.values())}
            for run_id in self._store.others(happened["run_id"], kept):
                self._store.client.delete_run(run_id)
        if self._acknowledgements.parent:
            self._parent = ParentRun(self._store, self._folder, self._acknowledgements.parent)
        else:
            self._parent = ParentRun.begun(self._store, self._folder, self._tags, happened)
            where = {"tracking_uri": masked(self._store.uri), "experiment_id": self._store.experiment}
            self._acknowledgements.add("run", **where, run_id=self._parent.run_id)
        self._parent.goes_on()
        self._tags[MLFLOW_PARENT_RUN_ID] = self._parent.run_id

    def _on_data(self, happened: Event) -> None:
        if self._parent and self._tags.get("data_hash") != happened["card"]["digest"]:
            self._tags["data_hash"] = happened["card"]["digest"]
            self._parent.has_data(happened["card"])

    def _on_finished(self, happened: Event) -> None:
        over = {key: self._trials.runs[key] for key in happened["trials"]}
        self._due |= {key: trial for key, trial in over.items() if self._wanted(trial)}

    def _on_champion(self, happened: Event) -> None:
        if self._parent:
            metric = f"validation_{self._settings['select']['metric']}"
            told = {"metric": metric, "data_hash": self._tags.get("data_hash", ""), "pipeline_run": self._folder.name}
            name, promote = self._tracking["model"], self._tracking.get("promote", "better")
            self._acknowledgements.add("model", **self._parent.has_champion(happened, name, promote, told))

            if tag := save_view(self._store, self._folder.name, self._trials, self._settings["select"]["metric"]):
                self._acknowledgements.add("view", tag=tag)

    def _on_report(self, happened: Event) -> None:
        if self._parent:
            self._parent.has_report()

    def _acknowledge(self, trial: TrialRun, run_id: str) -> None:
        before = self._written.get(trial.identity)
        self._written[trial.identity] = written = Written(run_id, trial.epochs, trial.status)
        trial.run_id = run_id
        self._confirmed.add(run_id)
        self._acknowledgements.add("trial", trial=trial.key, networks=trial.identity[1:], **written._asdict())
        if before:
            self._store.client.delete_run(before.run_id)


def draw_best(store: MlflowStore, trials: Trials, metric: str, n_points: int) -> None:
    """Give the best trials their curves."""
    scored = [(trial.score(metric), trial) for trial in trials.runs.values() if trial.status == "FINISHED"]
    scored.sort(key=lambda one: smaller_is_better(metric, one[0]))
    for _, trial in scored[:TOP]:
        log(store.client, trial.run_id, trial.content({}, n_points))


def save_view(store: MlflowStore, pipeline_run: str, trials: Trials, metric: str) -> str | None:
    """Give the experiment a view that suits the trials; its tag, or None if MLflow does not want it."""
    finals = dict.fromkeys(name.replace("/", "_") for trial in trials.runs.values() for name in trial.metric_names)
    others = sorted(finals.keys() - {f"validation_{metric}"}, key=lambda name: (name.startswith("train"), name))
    parameters = [trial.description["parameters"] for trial in trials.runs.values()]
    tag, value = saved_view(pipeline_run, f"validation_{metric}", parameters, others)
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
        except Exception:
            failures += 1
            if failures > 1 and (DRIVER_GONE.is_set() or last_event(journal)["event"] == "end"):
                raise
            DRIVER_GONE.wait(min(LONGEST_PAUSE, 2.0**failures))


def bring_level(journal: Path, tracking: dict[str, Any], cut_off: Callable[[], bool], last_try: bool) -> None:
    """Write what the journal says until its last event, or until nobody goes on with it."""
    writer, reader = MlflowWriter(journal, tracking), JournalReader(journal)
    try:
        _follow(writer, reader, cut_off)
    except Exception:
        if last_try:
            writer.give_up()
        raise
    finally:
        reader.close()
        writer.close()


def _follow(writer: MlflowWriter, reader: JournalReader, cut_off: Callable[[], bool]) -> None:
    last = 0
    while True:
        is_cut_off = cut_off()
        found = list(reader.events())
        for happened in found:
            last = happened["time"]
            if happened["event"] != "end":
                writer.handle(happened)
            elif happened is found[-1]:  # else a later session goes on
                writer.end(happened)
                return
        writer.write()
        if is_cut_off:
            writer.end({"event": "end", "status": "KILLED", "time": last})
            return
        time.sleep(0.1)


def main(journal: str) -> None:
    """Be the process that writes: follow the journal; the first line that comes in says where to, and how."""
    try:
        _write(Path(journal), json.loads(sys.stdin.readline()))
    except Exception:
        sys.exit(masked(traceback.format_exc()))


def _write(journal: Path, tracking: dict[str, Any]) -> None:
    """Follow a journal; first, what earlier runs beside it could not write."""
    acknowledged = journal.with_name("tracking.jsonl")
    threading.Thread(target=_wait_for_driver, args=(acknowledged,), daemon=True).start()
    for behind in runs_behind(journal):
        with suppress(Exception):  # it stays behind
            theirs = last_session(behind.parent)["tracking"]
            if theirs["uri"] == masked(tracking["uri"]):
                bring_level(behind, theirs | {"uri": tracking["uri"]}, lambda: True, last_try=False)
            elif not is_masked(theirs["uri"]):
                bring_level(behind, theirs, lambda: True, last_try=False)
    follow(journal, tracking)


def _wait_for_driver(write_log: Path) -> None:
    """Wait until standard input, a pipe from the driver, is closed; end this process if it then makes no progress."""
    while os.read(0, 1024):  # not sys.stdin, whose lock this thread would hold when the interpreter ends
        pass
    DRIVER_GONE.set()
    gone = time.time()
    while time.time() - max(gone, write_log.stat().st_mtime if write_log.exists() else 0) < SECONDS_TO_FINISH:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)  # the main thread may wait for a server for minutes


if __name__ == "__main__":
    main(*sys.argv[1:])
