"""Measure training steps alone, on one core or on several at once: a lower bound of a sweep's time.

.venv/bin/python scripts/steps.py CORE      seconds per network and step, on this core
"""

import os
import subprocess
import sys
import time
from pathlib import Path

from benchmark_training import N_BATCHES, seconds_of, trainer

WIDTH, EPOCHS = 64, 200
WARM_UP_S = 2.0  # until the processes on the other cores have started


def seconds_per_step(n_cores: int) -> float:
    """Seconds per network and training step, with one independent process on each of `n_cores` cores."""
    command = [sys.executable, Path(__file__)]
    cores = sorted(os.sched_getaffinity(0))[:n_cores]
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen([*command, str(core)], env=environment, stdout=subprocess.PIPE, text=True) for core in cores
    ]
    return max(float(process.communicate()[0]) for process in processes)


def main() -> None:
    os.sched_setaffinity(0, {int(sys.argv[1])})
    epoch = trainer("A", WIDTH, {})
    end = time.monotonic() + WARM_UP_S
    while time.monotonic() < end:
        epoch()
    print(seconds_of(lambda: [epoch() for _ in range(EPOCHS)]) / (EPOCHS * N_BATCHES * WIDTH))


if __name__ == "__main__":
    main()
