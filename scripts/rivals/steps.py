"""A rival's training step: `python steps.py jax|torch|sklearn SHAPES BATCHES WIDTHS`, in an environment that has it.

SHAPES such as '{"A": [[32, 64, 10], 32]}' as JSON; prints microseconds per network and step as JSON, for each shape and
width. Each trains on shuffled batches, with ReLU, cross-entropy, Adam and L2, in float32, on the core it is put on.
"""

import json
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from statistics import median
from typing import Any

import numpy as np

REPEATS = 5
L2, RATE = 1e-4, 1e-3


def data(sizes: list[int], batch: int, n_batches: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    rows = random.standard_normal((batch * n_batches, sizes[0])).astype(np.float32)
    return rows, random.integers(0, sizes[-1], len(rows))


def timed(epoch: Callable[[], Any], n_steps: int) -> float:
    """Microseconds per step, the median over some epochs."""
    epoch()
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        epoch()
        seconds.append(time.perf_counter() - start)
    return median(seconds) / n_steps * 1e6


def jax_step(sizes: list[int], batch: int, n_batches: int, width: int) -> float:
    """jit(scan) over the batches, and vmap over the networks where there are several."""
    import jax
    import jax.numpy as jnp
    import optax

    rows, labels = map(jnp.asarray, data(sizes, batch, n_batches))
    optimizer = optax.chain(optax.add_decayed_weights(L2), optax.adam(RATE))

    def loss(layers: Any, x: Any, t: Any) -> Any:
        for at, (W, b) in enumerate(layers):
            x = x @ W + b
            x = jax.nn.relu(x) if at < len(layers) - 1 else x
        return optax.softmax_cross_entropy_with_integer_labels(x, t).mean()

    def step(carry: Any, index: Any) -> Any:
        layers, state = carry
        value, gradient = jax.value_and_grad(loss)(layers, rows[index], labels[index])
        update, state = optimizer.update(gradient, state, layers)
        return (optax.apply_updates(layers, update), state), value

    def begin(seed: int) -> Any:
        random = np.random.default_rng(seed)
        pairs = list(pairwise(sizes))
        layers = [(jnp.asarray(random.normal(0, 0.1, pair).astype(np.float32)), jnp.zeros(pair[1])) for pair in pairs]
        return layers, optimizer.init(layers)

    if width == 1:
        carry, train_step = begin(0), step
    else:
        carry = jax.tree.map(lambda *leaves: jnp.stack(leaves), *map(begin, range(width)))
        train_step = jax.vmap(step, in_axes=(0, None))
    run = jax.jit(lambda carry, order: jax.lax.scan(train_step, carry, order))
    random = np.random.default_rng(0)

    def epoch() -> None:
        nonlocal carry
        order = jnp.asarray(random.permutation(len(rows)).reshape(n_batches, batch))
        carry, values = run(carry, order)
        jax.block_until_ready((carry, values))

    return timed(epoch, n_batches * width)


def torch_step(sizes: list[int], batch: int, n_batches: int, width: int) -> float:
    """Eager, with the fused Adam; one network at a time."""
    import torch

    torch.set_num_threads(1)
    rows, labels = map(torch.from_numpy, data(sizes, batch, n_batches))
    layers: list[torch.nn.Module] = []
    for n_inputs, n_outputs in pairwise(sizes):
        layers += [torch.nn.Linear(n_inputs, n_outputs), torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers[:-1])
    optimizer = torch.optim.Adam(model.parameters(), RATE, weight_decay=L2, fused=True)

    def epoch() -> None:
        for index in torch.randperm(len(rows)).split(batch):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(rows[index]), labels[index]).backward()
            optimizer.step()

    return timed(epoch, n_batches)


def sklearn_step(sizes: list[int], batch: int, n_batches: int, width: int) -> float:
    """MLPClassifier, one network at a time."""
    import warnings

    from sklearn.neural_network import MLPClassifier

    warnings.simplefilter("ignore")  # that it has not converged
    rows, labels = data(sizes, batch, n_batches)
    model = MLPClassifier(sizes[1:-1], batch_size=batch, alpha=L2, learning_rate_init=RATE, max_iter=2, tol=0)
    return timed(lambda: model.fit(rows, labels), 2 * n_batches)


STEPS = {"jax": jax_step, "torch": torch_step, "sklearn": sklearn_step}


def main() -> None:
    library, shapes, n_batches, widths = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3]), json.loads(sys.argv[4])
    results = {
        name: {
            width: STEPS[library](sizes, batch, n_batches, width)
            for width in (widths[name] if library == "jax" else [1])
        }
        for name, (sizes, batch) in shapes.items()
    }
    print(json.dumps(results))


if __name__ == "__main__":
    main()
