"""The time of training steps by themselves, on one core or on several at once: the least that a sweep could take.

.venv/bin/python scripts/steps.py CORE      seconds per network and step, on this core
"""

import os
import subprocess
import sys
import time
from pathlib import Path

from benchmark_training import N_BATCHES, seconds_of, trainer

WIDTH, EPOCHS = 64, 200
WARM_S = 2.0  # until the others are there, too


def alone(n_cores: int) -> float:
    """Seconds per network and step on each of so many cores at once, by processes that know nothing of each other."""
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
    ends = time.monotonic() + WARM_S
    while time.monotonic() < ends:
        epoch()
    print(seconds_of(lambda: [epoch() for _ in range(EPOCHS)]) / (EPOCHS * N_BATCHES * WIDTH))


if __name__ == "__main__":
    main()
