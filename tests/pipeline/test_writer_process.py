"""The process that writes to MLflow, seen from the driver: how it is started, awaited and abandoned."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from running import FEW, compose, processes, run_pipeline, wait_until

from pipeline.runs.events import FORMAT
from pipeline.runs.journal import Journal
from pipeline.runs.sealed_lines import sealed
from pipeline.tracking import process
from pipeline.tracking.mlflow_writer import pause
from pipeline.tracking.process import WriterProcess


@pytest.fixture
def journal(tmp_path):
    """The journal of a started run."""
    folder = tmp_path / "runs" / "digits" / "1"
    folder.mkdir(parents=True)
    journal = Journal(folder / "journal.jsonl")
    settings, config = compose(f"runs={tmp_path}/runs")
    journal.append(
        "run", format=FORMAT, run_id="1", version="0", code="", command="", settings=config,
        tracking=settings.tracking.describe(tmp_path / "runs"),
    )  # fmt: skip
    yield journal
    journal.close()


def tracking(folder, uri="auto"):
    settings, _ = compose(f"tracking.uri={uri}")
    return settings.tracking.describe(folder)


def test_the_writer_runs_at_the_drivers_priority_in_its_own_session(journal, tmp_path, silent_server):
    writer = WriterProcess(journal.path, tracking(tmp_path, silent_server))
    words = ("pipeline.tracking.mlflow_writer", str(journal.path))
    wait_until(lambda: processes(*words))
    (number,) = processes(*words)
    assert os.getpriority(os.PRIO_PROCESS, number) == os.getpriority(os.PRIO_PROCESS, 0)
    assert os.getsid(number) == number != os.getsid(0)
    os.kill(number, signal.SIGTERM)
    with journal.path.with_name("tracking.log").open("a") as log:  # a progress bar is no cause
        log.write("Downloading artifacts: 100%|##########| 7/7 [00:01<00:00]\r")
    messages = []
    assert writer.finish(messages.append) is None
    assert messages[-1].startswith(
        "warning: MLflow was not written to the end (the writer ended with exit code -15; see "
    )


def test_waiting_for_the_writer_is_announced_and_limited(journal, tmp_path, silent_server, monkeypatch):
    monkeypatch.setattr(process, "SECONDS_WITHOUT_PROGRESS", 2.0)
    monkeypatch.setattr(process, "SECONDS_SILENT", 0.5)
    monkeypatch.setattr(process, "SECONDS_BETWEEN_MESSAGES", 0.1)  # an unchanged message is not repeated
    writer = WriterProcess(journal.path, tracking(tmp_path, silent_server))
    trials = {key: {"labels": ["adam", "none", ""], "parameters": {}} for key in ("0000", "0001")}
    journal.append("rung", number=1, until={}, trials=trials, networks={})
    journal.append("end", status="KILLED")
    messages, start = [], time.monotonic()
    assert writer.finish(messages.append) is None
    assert 2.0 <= time.monotonic() - start < 10
    waiting, warning = messages
    assert waiting == "waiting for MLflow: 0 of 2 trials written (given up after 2 s without progress)"
    assert warning.startswith("warning: MLflow was not written to the end (no progress for 2 s; see ")
    assert warning.endswith("the run's folder is complete: nnsweep track run=1 writes the rest")
    wait_until(lambda: not processes("pipeline.tracking.mlflow_writer", str(journal.path)), 20)


def test_what_the_writer_of_an_earlier_session_acknowledges_is_not_the_end(
    journal, tmp_path, silent_server, monkeypatch
):
    monkeypatch.setattr(process, "SECONDS_WITHOUT_PROGRESS", 1.0)
    writer = WriterProcess(journal.path, tracking(tmp_path, silent_server))
    journal.append("end", status="FINISHED")  # line 2
    messages = []
    with (tmp_path / "runs" / "digits" / "1" / "tracking.jsonl").open("ab") as log:
        log.write(sealed({"event": "end", "at": 1, "status": "KILLED", "line": 1}))
    assert writer.finish(messages.append) is None
    assert "MLflow was not written to the end (no progress for 1 s; " in messages[-1]
    wait_until(lambda: not processes("pipeline.tracking.mlflow_writer", str(journal.path)), 20)


@pytest.mark.slow
def test_a_failing_writer_reports_the_cause(journal, tmp_path):
    (tmp_path / "broken.db").write_text("this is no database" * 100)
    writer = WriterProcess(journal.path, tracking(tmp_path, f"sqlite:///{tmp_path}/broken.db"))
    journal.append("end", status="KILLED")
    messages = []
    assert writer.finish(messages.append) is None
    assert "file is not a database" in messages[-1]


def test_a_store_that_fails_is_tried_again_as_soon_as_the_run_ends(journal):
    timer = threading.Timer(0.5, lambda: journal.append("end", status="KILLED"))
    timer.start()
    start = time.monotonic()
    pause(journal.path, 60)
    assert 0.4 < time.monotonic() - start < 20
    timer.join()
    start = time.monotonic()
    pause(journal.path, 0.6)  # it has ended already
    assert time.monotonic() - start >= 0.6


@pytest.mark.slow
def test_a_run_that_was_started_with_sigint_ignored_is_tracked_to_its_end(tmp_path):
    """As `nohup nnsweep &` starts it."""
    arguments = [sys.executable, "-m", "pipeline", *FEW, "execution=local", "training.epochs=1", "report=none"]
    completed = subprocess.run(
        ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert completed.returncode == 0, completed.stderr
    assert "warning" not in completed.stdout
    assert "model      models:/digits/1\nalias      champion points to it\n" in completed.stdout
    wait_until(lambda: not processes("pipeline.tracking.mlflow_writer", str(tmp_path)), 20)


@pytest.mark.slow
def test_the_driver_waits_for_the_last_acknowledgement_but_not_for_the_writers_exit(tmp_path):
    settings, config = compose(*FEW, "execution=local", "training.epochs=1", "report=none", f"runs={tmp_path}/runs")
    summary = run_pipeline(settings, config)
    assert (summary["model"]["version"], summary["model"]["alias"]) == ("1", "champion")
    wait_until(lambda: not processes("pipeline.tracking.mlflow_writer", str(tmp_path)), 20)
