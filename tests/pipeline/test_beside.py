"""Processes beside the driver leave the cores to those that train."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.reports.drawer import NICER
from pipeline.tracking.subprocess import GENTLE, start_beside


@pytest.mark.parametrize("nicer", [GENTLE, NICER])
def test_a_process_beside_the_driver_is_nicer_than_it_as_a_process_and_as_a_session(nicer):
    nice, deadline = os.getpriority(os.PRIO_PROCESS, 0), time.monotonic() + 60
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = start_beside("pipeline.reports.draw", "nowhere", "1", nicer=nicer, **pipes)
    session, ours = (Path(f"/proc/{number}/autogroup") for number in (process.pid, "self"))
    before = ours.read_text() if ours.exists() else ""
    try:
        while os.getpriority(os.PRIO_PROCESS, process.pid) == nice and time.monotonic() < deadline:
            time.sleep(0.01)
        assert os.getpriority(os.PRIO_PROCESS, process.pid) == nice + nicer
        if session.exists():
            while not session.read_text().endswith(f" nice {nicer}\n") and time.monotonic() < deadline:
                time.sleep(0.01)
            assert session.read_text().endswith(f" nice {nicer}\n")
            assert ours.read_text() == before
    finally:
        process.communicate()


def test_one_that_is_started_by_hand_leaves_the_session_of_the_terminal_as_it_is():
    ours = Path("/proc/self/autogroup")
    before = ours.read_text() if ours.exists() else ""
    command = [sys.executable, "-m", "pipeline.tracking.subprocess", "15", "pipeline.reports.draw", "nowhere", "1"]
    subprocess.run(command, input=b"", check=True)
    assert not ours.exists() or ours.read_text() == before


def test_one_that_cannot_begin_says_so():
    process = start_beside("pipeline.nowhere", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert "No module named" in process.communicate()[1].decode()
    assert process.returncode == 1
