"""Processes beside the driver leave the cores to those that train."""

import os
import subprocess
from pathlib import Path

from pipeline.beside import GENTLE, start_beside


def test_a_process_beside_the_driver_is_nicer_than_it_as_a_process_and_as_a_session() -> None:
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    process = start_beside("pipeline.reports.draw", "nowhere", "1", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert os.getpriority(os.PRIO_PROCESS, process.pid) == nice + GENTLE
        session = Path(f"/proc/{process.pid}/autogroup")
        if session.exists():
            assert session.read_text().endswith(f" nice {GENTLE}\n")
            assert session.read_text().split()[0] != Path("/proc/self/autogroup").read_text().split()[0]
    finally:
        process.communicate()


def test_one_that_cannot_even_begin_says_so() -> None:
    process = start_beside("pipeline.nowhere", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert "No module named" in process.communicate()[1].decode()
