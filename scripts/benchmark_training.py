"""Compare the time of a training step with JAX, torch and scikit-learn, on one core, in float32.

    .venv/bin/python scripts/benchmark_training.py [--rivals FOLDER] [--json FILE]    the tables
    .venv/bin/python scripts/benchmark_training.py --check    fail if a ratio is more than 25 % above the recorded one

Microseconds per network and step, medians of REPEATS rounds in which all libraries take turns, each with its best
number of networks. Shuffled batches, cross-entropy, ReLU and Adam with L2 unless stated otherwise. "products" is the
share of a step that its matrix products take alone. The other libraries are installed in a separate environment
(scripts/rivals/install).
"""

import json
import os
import subprocess
import sys
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable
from datetime import date
from importlib.metadata import version
from itertools import pairwise
from math import prod
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parents[1]
RECORDED = ROOT / "scripts" / "recorded" / "training.json"
REPEATS = 5
N_BATCHES = 30
RIVALS = ("jax", "torch", "sklearn")
SHAPES = {
    "A": ([32, 64, 10], 32),
    "B": ([64, 128, 64, 10], 64),
    "C": ([64, 128, 64, 10], 128),
    "D": ([784, 256, 128, 10], 128),
    "E": ([64, 256, 256, 10], 128),
}
TABLE = ([20, 256, 256, 256, 3], 256)  # for what networks on tables can learn beside their weights: steps.py
WIDTHS = {"A": [1, 16, 64], "B": [1, 8, 16, 32], "C": [1, 4, 8, 16, 32], "D": [1, 2, 4], "E": [1, 2, 4, 8]}
VARIANTS: dict[str, dict[str, Any]] = {
    "Adam, ReLU": {},
    "SGD": {"optimizer": "sgd.sgd"},
    "momentum": {"optimizer": "momentum.momentum"},
    "RMSprop": {"optimizer": "rmsprop.rmsprop"},
    "tanh": {"activation": "tanh"},
    "sigmoid": {"activation": "sigmoid"},
    "dropout": {"dropout": True},
    "a seed each": {"seeds": True},
    "dropout, a seed each": {"dropout": True, "seeds": True},
    "batch normalisation": {"normalisation": "batch_norm"},
}


def use_one_core() -> None:
    """Restrict this process and those that it starts to one core."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def seconds_of(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def trainer(name: str, width: int, variant: dict[str, Any]) -> Callable[[], Any]:
    """A function that trains our networks for one epoch."""
    import numpy as np

    from nncore.architecture import Architecture, Layer
    from nncore.components import Component
    from nncore.stack.data import Data, Rows
    from nncore.stack.state import Network, start
    from nncore.stack.trainer import StackTrainer

    def component(path: str, **arguments: Any) -> Component:
        return Component(f"nncore.{path}", tuple(arguments.items()))

    sizes, batch = SHAPES.get(name, TABLE)
    activation = component(f"activations.{variant.get('activation', 'relu')}")
    if variant.get("parametric"):
        activation = component("activations.parametric", activation=activation)
    learned = dict(variant.get("learned", {}))
    if "embedding" in learned:
        learned |= {"embedding": component(f"embeddings.{learned['embedding']}"), "n_numeric": sizes[0]}
    normalisation = component(f"normalisations.{variant.get('normalisation', 'none')}")
    hidden = tuple(Layer(size, activation, normalisation) for size in sizes[1:-1])
    loss = component("losses.softmax_cross_entropy")
    architecture = Architecture(sizes[0], (*hidden, Layer(sizes[-1])), loss, batch_size=batch, **learned)
    regularizers = [component("regularizers.penalties.l2", strength=1e-4)]
    regularizers += [component("regularizers.dropout.dropout", rate=0.5)] if variant.get("dropout") else []
    optimizer = component(f"optimizers.{variant.get('optimizer', 'adam.adam')}", learning_rate=1e-3)
    seeds = range(width) if variant.get("seeds") else [0] * width
    random, epochs = np.random.default_rng(0), iter(range(10**9))
    x = random.standard_normal((batch * N_BATCHES, sizes[0])).astype(np.float32)
    rows = Rows(x, np.eye(sizes[-1], dtype=np.float32)[random.integers(0, sizes[-1], len(x))])
    networks = [Network(str(index), seed, optimizer, tuple(regularizers)) for index, seed in enumerate(seeds)]
    trainer = StackTrainer(start(architecture, networks, data=Data(rows, rows)))
    return lambda: trainer.train_epoch([rows], next(epochs))


def products(name: str, width: int) -> Callable[[], Any]:
    """A function that computes the matrix products of an epoch, on arrays laid out as in a stack."""
    import numpy as np

    sizes, batch = SHAPES[name]
    pairs = list(pairwise(sizes))
    random, end = np.random.default_rng(0), 0
    buffer = random.standard_normal((width, sum(map(prod, pairs)))).astype(np.float32)
    weights, gradients = [], np.empty_like(buffer)
    for pair in pairs:
        columns = slice(end, end := end + prod(pair))
        weights.append([array[:, columns].reshape(width, *pair) for array in (buffer, gradients)])
    dz = [random.standard_normal((width, batch, size)).astype(np.float32) for size in sizes]
    x = [dz[0][:1], *(array.copy() for array in dz[1:])]
    out = [np.empty_like(array) for array in dz]

    def epoch() -> None:
        for _ in range(N_BATCHES):
            for layer, (W, dW) in enumerate(weights):
                np.matmul(x[layer], W, out=out[layer + 1])
                np.matmul(x[layer].swapaxes(1, 2), dz[layer + 1], out=dW)
                if layer:
                    np.matmul(dz[layer + 1], W.swapaxes(1, 2), out=out[layer])

    return epoch


def ours(shapes: list[str], variants: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """By shape, microseconds per network and step at the best width: of the products, and of each variant."""
    results: dict[str, Any] = {}
    for name in shapes:
        epochs = {width: trainer(name, width, {}) for width in WIDTHS[name]}
        for epoch in epochs.values():
            epoch()  # compiles
        widths = {w: median(seconds_of(epoch) for _ in range(5)) / w / N_BATCHES * 1e6 for w, epoch in epochs.items()}
        best = min(widths, key=lambda width: widths[width])
        steps = {}
        for variant, settings in variants.items():
            epoch = trainer(name, best, settings)
            epoch()
            steps[variant] = median(seconds_of(epoch) for _ in range(5)) / best / N_BATCHES * 1e6
        epoch = products(name, best)
        epoch()
        products_us = median(seconds_of(epoch) for _ in range(5)) / best / N_BATCHES * 1e6
        results[name] = {"width": best, "widths": widths, "steps": steps, "products": products_us}
    return results


def rival(python: Path, library: str) -> dict[str, dict[str, float]]:
    script = ROOT / "scripts" / "rivals" / "steps.py"
    arguments = [library, json.dumps(SHAPES), str(N_BATCHES), json.dumps(WIDTHS)]
    completed = subprocess.run([python, script, *arguments], check=True, capture_output=True, text=True)
    return json.loads(completed.stdout)


def compared(python: Path) -> dict[str, Any]:
    """Microseconds of each library's step, medians over the rounds."""
    rounds = [
        {"ours": ours(list(SHAPES), {})} | {library: rival(python, library) for library in RIVALS}
        for _ in range(REPEATS)
    ]
    table: dict[str, Any] = {}
    for name in SHAPES:
        row = {"ours": median(min(results["ours"][name]["widths"].values()) for results in rounds)}
        row["products"] = median(results["ours"][name]["products"] for results in rounds)
        for library in RIVALS:
            row[library] = median(min(results[library][name].values()) for results in rounds)
        row["width"] = median(results["ours"][name]["width"] for results in rounds)
        table[name] = row
    return table


def ratios() -> dict[str, dict[str, float]]:
    """Ratios of a step to its products, and of each variant to Adam with ReLU; medians of three rounds."""
    rounds = [ours(list(SHAPES), VARIANTS) for _ in range(3)]
    medians: dict[str, dict[str, float]] = {}
    for name in SHAPES:
        steps = [results[name]["steps"] for results in rounds]
        medians[name] = {
            variant: median(us[variant] / us["Adam, ReLU"] for us in steps) for variant in list(VARIANTS)[1:]
        }
        medians[name]["step to products"] = median(
            results[name]["steps"]["Adam, ReLU"] / results[name]["products"] for results in rounds
        )
    return medians


def check() -> None:
    recorded, measured = json.loads(RECORDED.read_text())["ratios"], ratios()
    worse = [
        f"shape {name}, {ratio}: {measured[name][ratio]:.2f}, recorded {value:.2f}"
        for name, row in recorded.items()
        for ratio, value in row.items()
        if measured[name][ratio] > 1.25 * value
    ]
    print("\n".join(worse) or f"no ratio is more than 25 % above the recorded one ({RECORDED.relative_to(ROOT)})")
    sys.exit(bool(worse))


def show(table: dict[str, Any], by_variant: dict[str, dict[str, float]]) -> None:
    print("microseconds per network and step, best width")
    headings = ("ours", "JAX", "torch", "sklearn", "JAX/ours", "torch/", "sklearn/", "products")
    print(f"{'shape':34}" + "".join(f"{heading:>10}" for heading in headings))
    for name, row in table.items():
        sizes, batch = SHAPES[name]
        label = f"{name} {'-'.join(map(str, sizes))}, {batch}, K={row['width']:g}"
        times = "".join(f"{row[library]:10.1f}" for library in ("ours", *RIVALS))
        relative = "".join(f"{row[library] / row['ours']:10.2f}" for library in RIVALS)
        print(f"{label:34}{times}{relative}{row['products'] / row['ours']:10.0%}")
    mean = prod(row["jax"] / row["ours"] for row in table.values()) ** (1 / len(table))
    print(f"JAX's time divided by ours, geometric mean: {mean:.2f}")
    print("\ntime of a step, divided by that of Adam with ReLU")
    print(f"{'':24}" + "".join(f"{name:>8}" for name in by_variant))
    for ratio in next(iter(by_variant.values())):
        print(f"{ratio:24}" + "".join(f"{row[ratio]:8.2f}" for row in by_variant.values()))


def about() -> dict[str, str]:
    """Date, processor and versions."""
    cpu = next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name"))
    vectors = "AVX-512" if "avx512f" in Path("/proc/cpuinfo").read_text() else "no AVX-512"
    versions = {name: version(name) for name in ("numpy", "numba")}
    return {"date": date.today().isoformat(), "processor": f"{cpu.partition(': ')[2]}, {vectors}", **versions}


def main() -> None:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--rivals", type=Path, default=ROOT / ".rivals", help="the environment of the other libraries")
    parser.add_argument("--json", type=Path, help="file for the results")
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    if not arguments.check:
        subprocess.run([ROOT / "scripts" / "rivals" / "install", arguments.rivals], check=True)
    use_one_core()
    if arguments.check:
        check()
    table, by_variant = compared(arguments.rivals / "bin" / "python"), ratios()
    show(table, by_variant)
    if arguments.json:
        arguments.json.write_text(json.dumps({"about": about(), "steps": table, "ratios": by_variant}, indent=1) + "\n")


if __name__ == "__main__":
    main()
