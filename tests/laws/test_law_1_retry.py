"""Law 1, retries: a slice whose worker is killed is trained again, with the same result."""

import os
import signal
import subprocess
import sys
import time

import pytest
from running import processes, read_summary, run_sweep

SETTINGS = ("training.epochs=60", "tracking=none", "report=none", "stacks.slice_seconds=0.5")


def run_and_kill_workers(folder, *overrides, times):
    """Run on Ray, and kill a worker while it trains, `times` times."""
    previous = set(processes("ray::train_slice"))
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", *SETTINGS, *overrides],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    victims = set()
    while len(victims) < times and process.poll() is None:
        for worker in set(processes("ray::train_slice")) - previous - victims:
            time.sleep(0.1)  # so that it is training
            os.kill(worker, signal.SIGKILL)
            victims.add(worker)
            break
        time.sleep(0.05)
    _, errors = process.communicate(timeout=120)
    assert len(victims) == times
    return process.returncode, errors


@pytest.mark.slow
def test_law_1_digest_after_workers_were_killed(tmp_path):
    code, errors = run_and_kill_workers(tmp_path, times=3)
    assert code == 0, errors
    summary = read_summary(tmp_path)
    assert summary["digest"] == run_sweep(tmp_path / "undisturbed", "training.epochs=60")["digest"]
    assert summary["work"]["retried_slices"] == 3
    assert summary["trials"]["failed"] == 0
