"""How long a training step takes, beside JAX, torch and scikit-learn, on one core, in float32.

    .venv/bin/python scripts/benchmark_training.py [--rivals FOLDER] [--json FILE]    the tables
    .venv/bin/python scripts/benchmark_training.py --check    fails where a ratio is 25 % above the recorded one

Microseconds per network and step, medians of REPEATS rounds in which everybody has a turn, best width of each side.
Shuffled batches, cross-entropy, ReLU and Adam with L2 unless said. "products" is the share of a step that its matrix
products take when nothing else is done. Rivals are installed in an environment of their own (scripts/rivals/install).
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


def on_one_core() -> None:
    """From here on, with all processes that are started."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def seconds_of(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def trainer(name: str, width: int, variant: dict[str, Any]) -> Callable[[], Any]:
    """One epoch of our networks."""
    import numpy as np

    from nncore.architecture import Architecture, Layer
    from nncore.components import Component
    from nncore.stack.data import Rows
    from nncore.stack.state import Network, start
    from nncore.stack.trainer import StackTrainer

    def member(path: str, **arguments: float) -> Component:
        return Component(f"nncore.{path}", tuple(arguments.items()))

    sizes, batch = SHAPES[name]
    activation = member(f"activations.{variant.get('activation', 'relu')}")
    normalisation = member(f"normalisations.{variant.get('normalisation', 'none')}")
    hidden = tuple(Layer(size, activation, normalisation) for size in sizes[1:-1])
    loss = member("losses.softmax_cross_entropy")
    shape = Architecture(sizes[0], (*hidden, Layer(sizes[-1])), loss, batch_size=batch)
    regularizers = [member("regularizers.penalties.l2", strength=1e-4)]
    regularizers += [member("regularizers.inside.dropout", rate=0.5)] if variant.get("dropout") else []
    optimizer = member(f"optimizers.{variant.get('optimizer', 'adam.adam')}", learning_rate=1e-3)
    seeds = range(width) if variant.get("seeds") else [0] * width
    stack = start(shape, [Network(str(at), seed, optimizer, tuple(regularizers)) for at, seed in enumerate(seeds)])
    trainer, random, epochs = StackTrainer(stack), np.random.default_rng(0), iter(range(10**9))
    rows = random.standard_normal((batch * N_BATCHES, sizes[0])).astype(np.float32)
    targets = np.eye(sizes[-1], dtype=np.float32)[random.integers(0, sizes[-1], len(rows))]
    return lambda: trainer.train_epoch([Rows(rows, targets)], next(epochs))


def products(name: str, width: int) -> Callable[[], Any]:
    """The matrix products of an epoch, on arrays that lie as those of a stack do."""
    import numpy as np

    sizes, batch = SHAPES[name]
    pairs = list(pairwise(sizes))
    random, at = np.random.default_rng(0), 0
    buffer = random.standard_normal((width, sum(map(prod, pairs)))).astype(np.float32)
    weights, gradients = [], np.empty_like(buffer)
    for pair in pairs:
        here = slice(at, at := at + prod(pair))
        weights.append([a[:, here].reshape(width, *pair) for a in (buffer, gradients)])
    dz = [random.standard_normal((width, batch, size)).astype(np.float32) for size in sizes]
    x = [dz[0][:1], *(one.copy() for one in dz[1:])]
    out = [np.empty_like(one) for one in dz]

    def epoch() -> None:
        for _ in range(N_BATCHES):
            for at, (W, dW) in enumerate(weights):
                np.matmul(x[at], W, out=out[at + 1])
                np.matmul(x[at].swapaxes(1, 2), dz[at + 1], out=dW)
                if at:
                    np.matmul(dz[at + 1], W.swapaxes(1, 2), out=out[at])

    return epoch


def ours(shapes: list[str], variants: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Microseconds per network and step by shape: the products' at the best width, and by variant there."""
    found: dict[str, Any] = {}
    for name in shapes:
        works = {width: trainer(name, width, {}) for width in WIDTHS[name]}
        for work in works.values():
            work()  # compiles
        widths = {w: median(seconds_of(work) for _ in range(5)) / w / N_BATCHES * 1e6 for w, work in works.items()}
        best = min(widths, key=lambda width: widths[width])
        steps = {}
        for variant, settings in variants.items():
            work = trainer(name, best, settings)
            work()
            steps[variant] = median(seconds_of(work) for _ in range(5)) / best / N_BATCHES * 1e6
        alone = products(name, best)
        alone()
        share = median(seconds_of(alone) for _ in range(5)) / best / N_BATCHES * 1e6
        found[name] = {"width": best, "widths": widths, "steps": steps, "products": share}
    return found


def rival(python: Path, library: str) -> dict[str, dict[str, float]]:
    script = ROOT / "scripts" / "rivals" / "steps.py"
    arguments = [library, json.dumps(SHAPES), str(N_BATCHES), json.dumps(WIDTHS)]
    said = subprocess.run([python, script, *arguments], check=True, capture_output=True, text=True)
    return json.loads(said.stdout)


def compared(python: Path) -> dict[str, Any]:
    """Everybody's step, medians over the rounds."""
    rounds = [
        {"ours": ours(list(SHAPES), {})} | {library: rival(python, library) for library in RIVALS}
        for _ in range(REPEATS)
    ]
    table: dict[str, Any] = {}
    for name in SHAPES:
        row = {"ours": median(min(one["ours"][name]["widths"].values()) for one in rounds)}
        row["products"] = median(one["ours"][name]["products"] for one in rounds)
        for library in RIVALS:
            row[library] = median(min(one[library][name].values()) for one in rounds)
        row["width"] = median(one["ours"][name]["width"] for one in rounds)
        table[name] = row
    return table


def ratios() -> dict[str, dict[str, float]]:
    """Of a step to its products, and of each variant to Adam with ReLU: the medians of some rounds."""
    rounds = [ours(list(SHAPES), VARIANTS) for _ in range(3)]
    found: dict[str, dict[str, float]] = {}
    for name in SHAPES:
        steps = [one[name]["steps"] for one in rounds]
        found[name] = {
            variant: median(one[variant] / one["Adam, ReLU"] for one in steps) for variant in list(VARIANTS)[1:]
        }
        found[name]["step to products"] = median(
            one[name]["steps"]["Adam, ReLU"] / one[name]["products"] for one in rounds
        )
    return found


def check() -> None:
    recorded, now = json.loads(RECORDED.read_text())["ratios"], ratios()
    worse = [
        f"shape {name}, {what}: {now[name][what]:.2f}, recorded {value:.2f}"
        for name, row in recorded.items()
        for what, value in row.items()
        if now[name][what] > 1.25 * value
    ]
    print("\n".join(worse) or f"no ratio is more than 25 % above the recorded one ({RECORDED.relative_to(ROOT)})")
    sys.exit(bool(worse))


def show(table: dict[str, Any], by_variant: dict[str, dict[str, float]]) -> None:
    print("microseconds per network and step, best width")
    heads = ("ours", "JAX", "torch", "sklearn", "JAX/ours", "torch/", "sklearn/", "products")
    print(f"{'shape':34}" + "".join(f"{head:>10}" for head in heads))
    for name, row in table.items():
        sizes, batch = SHAPES[name]
        label = f"{name} {'-'.join(map(str, sizes))}, {batch}, K={row['width']:g}"
        times = "".join(f"{row[one]:10.1f}" for one in ("ours", *RIVALS))
        relative = "".join(f"{row[one] / row['ours']:10.2f}" for one in RIVALS)
        print(f"{label:34}{times}{relative}{row['products'] / row['ours']:10.0%}")
    mean = prod(row["jax"] / row["ours"] for row in table.values()) ** (1 / len(table))
    print(f"JAX's time divided by ours, geometric mean: {mean:.2f}")
    print("\ntime of a step, divided by that of Adam with ReLU")
    print(f"{'':24}" + "".join(f"{name:>8}" for name in by_variant))
    for what in next(iter(by_variant.values())):
        print(f"{what:24}" + "".join(f"{row[what]:8.2f}" for row in by_variant.values()))


def about() -> dict[str, str]:
    """When, where and with what."""
    cpu = next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name"))
    wide = "AVX-512" if "avx512f" in Path("/proc/cpuinfo").read_text() else "no AVX-512"
    versions = {name: version(name) for name in ("numpy", "numba")}
    return {"date": date.today().isoformat(), "processor": f"{cpu.partition(': ')[2]}, {wide}", **versions}


def main() -> None:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--rivals", type=Path, default=ROOT / ".rivals", help="their environment")
    parser.add_argument("--json", type=Path, help="where to write what was measured")
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    if not arguments.check:
        subprocess.run([ROOT / "scripts" / "rivals" / "install", arguments.rivals], check=True)
    on_one_core()
    if arguments.check:
        check()
    table, by_variant = compared(arguments.rivals / "bin" / "python"), ratios()
    show(table, by_variant)
    if arguments.json:
        arguments.json.write_text(json.dumps({"about": about(), "steps": table, "ratios": by_variant}, indent=1) + "\n")


if __name__ == "__main__":
    main()
