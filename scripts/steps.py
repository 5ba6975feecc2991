"""Measure training steps alone, on one core or on several at once: a lower bound of a sweep's time.

.venv/bin/python scripts/steps.py CORE      seconds per network and step, on this core
.venv/bin/python scripts/steps.py layers    time of a step with what networks on tables can learn, per plain step
"""

import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from benchmark_training import N_BATCHES, seconds_of, trainer, use_one_core

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


def print_layer_costs() -> None:
    """Print the processor time of a step of 20-256-256-256-3, batch 256, relative to that without the pieces."""
    scaling, ntk = {"scaling_layer": True}, {"parametrization": "ntk"}
    pieces = {
        **{"scaling layer": {"learned": scaling}, "ntk": {"learned": ntk}, "parametric": {"parametric": True}},
        **{name: {"learned": {"embedding": name}} for name in ("pbld", "pl", "plr", "piecewise_linear")},
        "pbld, scaling layer, ntk, parametric": {
            "parametric": True,
            "learned": {"embedding": "pbld"} | scaling | ntk,
        },
    }
    for activation in ("relu", "selu", "mish"):
        chosen = {"plain": {}} | (pieces if activation == "selu" else dict(list(pieces.items())[-1:]))
        epochs = {name: trainer("table", 2, {"activation": activation} | piece) for name, piece in chosen.items()}
        times: dict[str, list[float]] = {name: [] for name in epochs}
        for _ in range(6):
            for name, epoch in epochs.items():
                began = time.process_time()
                epoch()
                times[name].append(time.process_time() - began)
        for name, seconds in times.items():  # the first round compiles
            ratio = median(seconds[1:]) / median(times["plain"][1:])
            print(f"{activation:6}{name:40}{median(seconds[1:]) / N_BATCHES / 2 * 1e6:8.0f} us{ratio:8.2f}")


def main() -> None:
    if sys.argv[1] == "layers":
        use_one_core()
        print_layer_costs()
        return
    os.sched_setaffinity(0, {int(sys.argv[1])})
    epoch = trainer("A", WIDTH, {})
    end = time.monotonic() + WARM_UP_S
    while time.monotonic() < end:
        epoch()
    print(seconds_of(lambda: [epoch() for _ in range(EPOCHS)]) / (EPOCHS * N_BATCHES * WIDTH))


if __name__ == "__main__":
    main()
