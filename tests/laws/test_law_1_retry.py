"""Law 1, retries: a slice whose worker is killed is trained again, with the same result."""

import os
import signal
import subprocess
import sys
import time

import pytest
import venom
from running import processes, read_summary, run_command

SETTINGS = (
    "tracking=none",
    "report=none",
    "baselines=none",
    "training.batch_size=256",
    "training.epochs=4",
    "stacks.width=7",
)


def run_and_kill_workers(folder, *settings, times):
    """Run on Ray, and kill a worker while it trains, `times` times."""
    previous = set(processes("ray::train_slice"))
    slow = folder / "slow"  # as long as it exists, training is slow
    slow.touch()
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", *settings, "execution=ray", "execution.cpus=2"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"SLOW_WHILE_FILE_EXISTS": str(slow)},
    )
    victims = set()
    while len(victims) < times and process.poll() is None:
        for worker in set(processes("ray::train_slice")) - previous - victims:
            time.sleep(0.1)  # so that it is training
            os.kill(worker, signal.SIGKILL)
            victims.add(worker)
            break
        time.sleep(0.05)
    slow.unlink()
    _, errors = process.communicate(timeout=120)
    assert len(victims) == times
    return process.returncode, errors


@pytest.mark.slow
def test_law_1_digest_after_workers_were_killed(tmp_path):
    undisturbed, here = tmp_path / "undisturbed", tmp_path / "here"
    run_command(undisturbed, *venom.settings(undisturbed), *SETTINGS, "execution=local")
    code, errors = run_and_kill_workers(here, *venom.settings(here), *SETTINGS, times=3)
    assert code == 0, errors
    summary = read_summary(here)
    assert summary["digest"] == read_summary(undisturbed)["digest"]
    assert summary["work"]["retried_slices"] == 3
    assert summary["trials"]["failed"] == 0
