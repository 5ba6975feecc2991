"""Make tests/reference/training.json: whole trainings on scikit-learn's digits by torch in float64.

The initial weights and the order of the rows come from numpy's generators, seeded as nncore seeds them.
Needs torch, which the project itself does not: run it in an environment of its own, with scikit-learn.

    python scripts/make_reference_training.py
"""

import json
import math
import platform
import re
import zlib
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

import numpy as np
import sklearn
import torch
from sklearn.datasets import load_digits
from torch import nn

SEED = 0
EPOCHS = 20
BATCH = 32
N_VALIDATION_ROWS = 300
MOVE = 1e-15  # of the initial weights, to see how much rounding can change
PENALTY = 1e-3


def write(name: str, modules: list[ModuleType], script: str, content: dict) -> None:
    """Write tests/reference/<name>, every innermost list on one line. The other scripts use it too."""
    versions = ", ".join(f"{module.__name__} {version(module.__name__)}" for module in modules)
    origin = f"{versions}, Python {platform.python_version()}, scripts/{Path(script).name}"
    text = json.dumps({"origin": origin, **content}, indent=1, allow_nan=False)
    text = re.sub(r"\[[^][{}]*\]", lambda found: f"[{' '.join(found[0][1:-1].split())}]", text)
    target = Path(__file__).parents[1] / "tests" / "reference" / name
    target.write_text(text + "\n", encoding="utf-8")


def generator(purpose: bytes, index: int) -> np.random.Generator:
    return np.random.default_rng([SEED, zlib.crc32(purpose), index])


def dense(index: int, inputs: int, outputs: int, move: float) -> nn.Linear:
    """He's initial weights of layer `index`, every one moved by `move` upwards or downwards."""
    weights = generator(b"initial weights", index).normal(0.0, math.sqrt(2.0 / inputs), (inputs, outputs))
    weights += move * np.random.default_rng(index).choice([-1.0, 1.0], weights.shape)
    layer = nn.Linear(inputs, outputs).double()
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weights.T))
        layer.bias.zero_()
    return layer


class Residual(nn.Module):
    """64-32-32-10: the second layer's outputs are added to its inputs."""

    def __init__(self, move: float) -> None:
        super().__init__()
        self.layers = nn.ModuleList([dense(0, 64, 32, move), dense(1, 32, 32, move), dense(2, 32, 10, move)])
        self.norms = nn.ModuleList([nn.LayerNorm(32, eps=1e-5).double() for _ in range(2)])

    def hidden(self, index: int, x: torch.Tensor) -> torch.Tensor:
        """Dense, layer normalisation, GELU."""
        return nn.functional.gelu(self.norms[index](self.layers[index](x)), approximate="tanh")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The scores of the classes."""
        y = self.hidden(0, x)
        y = y + self.hidden(1, y)
        return self.layers[2](y)


def plain(move: float) -> nn.Module:
    return nn.Sequential(dense(0, 64, 32, move), nn.ReLU(), dense(1, 32, 10, move))


def with_batch_norm(move: float) -> nn.Module:
    norm = nn.BatchNorm1d(32, momentum=0.1, eps=1e-5).double()
    return nn.Sequential(dense(0, 64, 32, move), norm, nn.Tanh(), dense(1, 32, 10, move))


def weight_matrices(network: nn.Module) -> list[torch.Tensor]:
    """The matrices alone: scales and shifts of normalisations are not penalised."""
    return [parameter for parameter in network.parameters() if parameter.ndim == 2]


def weights_and_others(network: nn.Module, weight_decay: float) -> list[dict]:
    others = [parameter for parameter in network.parameters() if parameter.ndim != 2]
    weights = {"params": weight_matrices(network), "weight_decay": weight_decay}
    return [weights, {"params": others, "weight_decay": 0.0}]


def half_cosine(share: float) -> float:
    return (1.0 + math.cos(math.pi * share)) / 2.0


def train(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    penalty: float,
    rate: Callable[[float], float],
    x: torch.Tensor,
    classes: torch.Tensor,
) -> dict[str, list[float]]:
    """Every epoch's mean loss over the rows as they were seen, and the loss of the first rows after it."""
    base_rate, seen, after, step = optimizer.param_groups[0]["lr"], [], [], 0
    n_steps = EPOCHS * math.ceil(len(x) / BATCH)
    for epoch in range(EPOCHS):
        total = 0.0
        order = torch.from_numpy(generator(b"batches", epoch).permutation(len(x)))
        for rows in order.split(BATCH):
            for group in optimizer.param_groups:
                group["lr"] = base_rate * rate(step / n_steps)
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(network(x[rows]), classes[rows])
            (loss + penalty / 2.0 * sum((W**2).sum() for W in weight_matrices(network))).backward()
            optimizer.step()
            total, step = total + len(rows) * loss.item(), step + 1
        seen.append(total / len(x))
        after.append(validation_loss(network, x[:N_VALIDATION_ROWS], classes[:N_VALIDATION_ROWS]))
    return {"losses": seen, "validation_losses": after}


def validation_loss(network: nn.Module, x: torch.Tensor, classes: torch.Tensor) -> float:
    with torch.no_grad():
        loss = nn.functional.cross_entropy(network.eval()(x), classes).item()
    network.train()
    return loss


def case(make: Callable[[float], nn.Module], make_optimizer: Callable, **settings: object) -> dict:
    """One training, and how much its losses change when the initial weights are moved by the last digits."""
    x, classes = load_digits(return_X_y=True)
    data = {"x": torch.from_numpy(x / 16.0), "classes": torch.from_numpy(classes)}
    results = []
    for move in (0.0, MOVE):
        network = make(move)
        results.append(train(network, make_optimizer(network), **settings, **data))
    result, moved = results
    change = max(abs(a - b) for name in result for a, b in zip(result[name], moved[name], strict=True))
    return {**result, "change_by_rounding": change}


def constant(share: float) -> float:
    return 1.0


def main() -> None:
    torch.set_num_threads(1)  # the same order of summation on every machine
    cases = {
        "adam_relu_l2": case(
            plain, lambda network: torch.optim.Adam(network.parameters(), lr=1e-3), penalty=PENALTY, rate=constant
        ),
        "momentum_batch_norm_cosine": case(
            with_batch_norm,
            lambda network: torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9),
            penalty=0.0,
            rate=half_cosine,
        ),
        "adamw_residual_layer_norm": case(
            Residual,
            lambda network: torch.optim.AdamW(weights_and_others(network, 0.05), lr=2e-3),
            penalty=0.0,
            rate=constant,
        ),
    }
    sizes = {"rows": 1797, "epochs": EPOCHS, "batch": BATCH, "validation_rows": N_VALIDATION_ROWS}
    write("training.json", [torch, np, sklearn], __file__, {**sizes, "seed": SEED, "cases": cases})


if __name__ == "__main__":
    main()
