"""Compare the time of a sweep with Ray Tune, plain Ray tasks with torch, and scikit-learn's GridSearchCV, on 2 CPUs.

    .venv/bin/python scripts/benchmark_sweep.py [--rivals FOLDER] [--only NAME] [--repeats 5] [--json FILE]

digits     48 trials x 30 epochs: 4 optimizers x 3 rates x 4 penalties, PCA 32, 64 hidden units, batches of 32
thousand   1,000 such trials of ours; compare with Ray Tune's rate on 48, and with the time of the training steps alone
           on the same number of cores
large      60,000 rows x 784 columns, PCA 64, 128-64 hidden units, batches of 128, 12 trials x 5 epochs
libraries  what a sweep waits for before it trains, each in a new process: composing the settings with Hydra; Ray with
           two CPUs from its import to its shutdown, with one empty task; scikit-learn's split; Numba's first loop

"wall" is the time from the start of the process to its end, with tracking for us and without for the others; "sweep"
excludes start-up and data. Medians of rounds in which all take turns. Our runs do not use the stage cache.
"""

import json
import os
import subprocess
import sys
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from steps import seconds_per_step

ROOT = Path(__file__).parents[1]
OPTIMIZERS = ("sgd", "momentum", "rmsprop", "adam")
GRIDS = {  # by number of trials: learning rates, and strengths of each penalty (in addition to none)
    48: ("[0.003,0.01,0.03]", "[0.0001]"),
    12: ("[0.003,0.01,0.03]", ""),
    1000: ("[0.0003,0.0006,0.001,0.002,0.003,0.006,0.01,0.02,0.03,0.06]", "[1e-5,3e-5,1e-4,3e-4,1e-3,2e-3,3e-3,1e-2]"),
}
CASES: dict[str, dict[str, Any]] = {
    "digits": {"trials": 48, "epochs": 30, "hidden": [64], "batch": 32, "components": 32},
    "large": {"trials": 12, "epochs": 5, "hidden": [128, 64], "batch": 128, "components": 64},
}
EXECUTIONS = {"ours, Ray": ["execution.cpus=2"], "ours, local": ["execution=local"]}


def write_data(case: str, path: Path) -> None:
    """Write the file that all of them read."""
    if case == "large":
        random = np.random.default_rng(0)
        y = random.integers(0, 10, 60_000)
        x = (random.normal(size=(10, 784))[y] * 0.15 + random.normal(size=(60_000, 784))).astype(np.float32)
    else:
        from sklearn.datasets import load_digits

        x, y = load_digits(return_X_y=True)
    np.savez(path, x=x, y=y)


def settings(case: dict[str, Any], path: Path) -> list[str]:
    """The overrides of our command."""
    rates, strengths = GRIDS[case["trials"]]
    of_rates = [f"space.optimizer.{name}.learning_rate={rates}" for name in OPTIMIZERS]
    penalties = ("l1", "l2", "elastic_net")
    others = ["~space.regularizer.dropout", "~space.regularizer.weight_decay"]
    others += ["+regularizer@space.regularizer.elastic_net=elastic_net", "space.regularizer.elastic_net.l1_ratio=0.5"]
    of_penalties = [f"++space.regularizer.{name}.strength={strengths}" for name in penalties]
    space = [*of_rates, *others, *(of_penalties if strengths else [f"~space.regularizer.{name}" for name in penalties])]
    shape = [f"network.hidden={json.dumps(case['hidden'])}", f"training.batch_size={case['batch']}"]
    upstream = ["data=npz", f"data.path={path}", f"reduce.n_components={case['components']}"]
    return [*upstream, *shape, f"training.epochs={case['epochs']}", *space, "resume=never", "cache=none"]


def our_sweep(folder: Path, overrides: list[str]) -> dict[str, float]:
    before = set(folder.glob("runs/*/*/summary.json"))
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "pipeline", *overrides],
        cwd=folder,
        check=True,
        stdout=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    wall = time.perf_counter() - start
    (path,) = set(folder.glob("runs/*/*/summary.json")) - before
    summary = json.loads(path.read_text())
    accuracy = summary["best"]["validation"]["accuracy"]["mean"]
    steps = summary["throughput"]["network_steps_per_s"] * summary["timings"]["sweep_s"]
    return {"wall": wall, "sweep": summary["timings"]["sweep_s"], "accuracy": accuracy, "steps": steps} | {
        "trials": summary["trials"]["planned"]
    }


def their_sweep(python: Path, rival: str, folder: Path, path: Path, case: dict[str, Any]) -> dict[str, float]:
    arguments = [json.dumps(case[name]) for name in ("trials", "epochs", "hidden", "batch", "components")]
    command = [python, ROOT / "scripts" / "rivals" / "sweeps.py", rival, path, *arguments]
    start = time.perf_counter()
    output = subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True).stdout
    return {"wall": time.perf_counter() - start} | json.loads(output.splitlines()[-1])


def medians(rounds: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """By program and quantity, the median over the rounds."""
    return {
        program: {quantity: median(results[program][quantity] for results in rounds) for quantity in quantities}
        for program, quantities in rounds[0].items()
    }


def compared(name: str, python: Path, repeats: int) -> dict[str, dict[str, float]]:
    case = CASES[name]
    with TemporaryDirectory() as temporary:
        folder, path = Path(temporary), Path(temporary) / f"{name}.npz"
        write_data(name, path)
        programs = {
            program: lambda execution=execution: our_sweep(folder, [*settings(case, path), *execution])
            for program, execution in EXECUTIONS.items()
        } | {
            program: lambda program=program: their_sweep(python, program, folder, path, case)
            for program in ("tune", "tasks", "gridsearch")
        }
        return medians([{program: run() for program, run in programs.items()} for _ in range(repeats)])


def thousand(repeats: int) -> dict[str, dict[str, float]]:
    """Seconds of sweeps of 1,000 trials, and of their training steps alone, measured in the same minute."""
    case = CASES["digits"] | {"trials": 1000}
    programs = {program: (execution, 2 if "Ray" in program else 1) for program, execution in EXECUTIONS.items()}
    programs["no MLflow"] = ([*EXECUTIONS["ours, Ray"], "tracking=none"], 2)
    with TemporaryDirectory() as temporary:
        folder, path = Path(temporary), Path(temporary) / "digits.npz"
        write_data("digits", path)

        def with_steps_alone(execution: list[str], workers: int) -> dict[str, float]:
            row, step = our_sweep(folder, [*settings(case, path), *execution]), seconds_per_step(workers)
            steps_alone = row["steps"] * step / workers
            return row | {"step us": 1e6 * step, "steps alone": steps_alone, "ratio": row["sweep"] / steps_alone}

        return medians([{program: with_steps_alone(*how) for program, how in programs.items()} for _ in range(repeats)])


START_RAY = """
from pipeline.backends.base import TaskOptions
from pipeline.backends.ray import RayBackend
with RayBackend(2, "none", 1).start() as executor:
    executor.fetch(executor.submit(abs, -1, options=TaskOptions(1, 0, 0))[0])
"""
SPLIT_ROWS = """
import numpy
from pipeline.stages.split import _draw
_draw(numpy.arange(9), 3, 0, None)
"""
LIBRARIES = {
    "nothing": "",
    "Hydra": "from pipeline.config.compose import configurations; configurations(['--cfg', 'job'])",
    "Ray": START_RAY,
    "scikit-learn": SPLIT_ROWS,
    "Numba": "from pipeline.engine.slices.task import load_loops; load_loops()",
}


def libraries(repeats: int) -> dict[str, dict[str, float]]:
    def seconds(program: str) -> float:
        start = time.perf_counter()
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL, env=environment)
        return time.perf_counter() - start

    return medians([{name: {"wall": seconds(program)} for name, program in LIBRARIES.items()} for _ in range(repeats)])


def show(name: str, table: dict[str, dict[str, float]]) -> None:
    print(f"\n{name}")
    for program, row in table.items():
        print(f"  {program:12}" + "".join(f"  {name} {value:8.4g}" for name, value in row.items()), flush=True)


def main() -> None:
    parts = {"thousand": thousand, "libraries": libraries}
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--rivals", type=Path, default=ROOT / ".rivals", help="the environment of the other libraries")
    parser.add_argument("--only", choices=[*CASES, *parts])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    subprocess.run([ROOT / "scripts" / "rivals" / "install", arguments.rivals], check=True)
    python, tables = arguments.rivals.absolute() / "bin" / "python", {}
    for name in (*CASES, *parts):
        if arguments.only in (None, name):
            part = parts.get(name) or (lambda repeats, name=name: compared(name, python, repeats))
            tables[name] = part(arguments.repeats)
            show(name, tables[name])
    if arguments.json:
        arguments.json.write_text(json.dumps(tables, indent=1) + "\n")


if __name__ == "__main__":
    main()
