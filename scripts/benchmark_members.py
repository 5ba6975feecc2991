"""Measure a training step of networks with members (TabM) beside 32 networks of their size in a stack, on one core.

    .venv/bin/python scripts/benchmark_members.py

Milliseconds of processor time per step, the best of REPEATS rounds in which all take turns: 20 columns, batches of 256,
one output, ReLU and AdamW.
"""

import time
from collections.abc import Callable

from benchmark_training import use_one_core

REPEATS = 7
MEMBERS = 32
INPUTS, BATCH = 20, 256
SHAPES = {(64, 64): 20, (512, 512): 3}  # widths of the hidden layers, and steps per round


def epoch_of(
    hidden: tuple[int, ...], n_steps: int, members: int, adapters: str, n_networks: int
) -> Callable[[], object]:
    """A function that trains for one epoch of so many steps."""
    import numpy as np

    from nncore.architecture import Architecture, Layer
    from nncore.components import Component
    from nncore.stack.data import Rows
    from nncore.stack.state import Network, start
    from nncore.stack.trainer import StackTrainer

    layers = (*(Layer(width, Component("nncore.activations.relu")) for width in hidden), Layer(1))
    loss = Component("nncore.losses.sigmoid_cross_entropy")
    architecture = Architecture(INPUTS, layers, loss, batch_size=BATCH, members=members, adapters=adapters)
    adamw = Component("nncore.optimizers.adamw.adamw", (("learning_rate", 0.001),))
    networks = [Network(str(seed), seed, adamw) for seed in range(n_networks)]
    trainer, random, epochs = StackTrainer(start(architecture, networks)), np.random.default_rng(0), iter(range(10**9))
    x = random.standard_normal((BATCH * n_steps, INPUTS)).astype(np.float32)
    t = random.integers(0, 2, (len(x), 1)).astype(np.float32)
    return lambda: trainer.train_epoch([Rows(x, t)], next(epochs))


def main() -> None:
    for hidden, n_steps in SHAPES.items():
        work = {f"stack of {MEMBERS}": epoch_of(hidden, n_steps, 1, "none", MEMBERS)}
        work |= {adapters: epoch_of(hidden, n_steps, MEMBERS, adapters, 1) for adapters in ("mini", "full", "packed")}
        best = dict.fromkeys(work, float("inf"))
        for _ in range(REPEATS):
            for name, epoch in work.items():
                begin = time.process_time()
                epoch()
                best[name] = min(best[name], (time.process_time() - begin) / n_steps)
        print(hidden, ", ".join(f"{name} {seconds * 1e3:.1f} ms" for name, seconds in best.items()))


if __name__ == "__main__":
    use_one_core()
    main()
