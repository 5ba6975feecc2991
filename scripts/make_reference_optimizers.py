"""Make tests/reference/optimizers.json: what torch.optim does to a small network in 50 steps of float64.

Needs torch, which the project itself does not: run it in an environment of its own.

    python scripts/make_reference_optimizers.py
"""

import json
import platform
from pathlib import Path

import torch

SIZES = (3, 5, 4)
N_ROWS = 7
STEPS = 50
WEIGHT_DECAY = 0.01
OPTIMIZERS = {
    "sgd": (torch.optim.SGD, {"lr": 0.1}),
    "momentum": (torch.optim.SGD, {"lr": 0.05, "momentum": 0.9}),
    "rmsprop": (torch.optim.RMSprop, {"lr": 0.01, "alpha": 0.99, "eps": 1e-8}),
    "adam": (torch.optim.Adam, {"lr": 0.01, "betas": (0.9, 0.999), "eps": 1e-8}),
}


def make_network() -> torch.nn.Sequential:
    torch.manual_seed(0)
    inputs, hidden, outputs = SIZES
    return torch.nn.Sequential(
        torch.nn.Linear(inputs, hidden), torch.nn.ReLU(), torch.nn.Linear(hidden, outputs)
    ).double()


def parameters(network: torch.nn.Sequential) -> list[float]:
    """In nncore's order: every layer's weights (inputs, outputs), then every layer's biases."""
    layers = [network[0], network[2]]
    weights = [layer.weight.detach().T.reshape(-1) for layer in layers]
    return torch.cat([*weights, *(layer.bias.detach() for layer in layers)]).tolist()


def train(kind: type, settings: dict, weight_decay: float, x: torch.Tensor, classes: torch.Tensor) -> dict:
    network = make_network()
    weights = [parameter for name, parameter in network.named_parameters() if name.endswith("weight")]
    biases = [parameter for name, parameter in network.named_parameters() if name.endswith("bias")]
    groups = [{"params": weights, "weight_decay": weight_decay}, {"params": biases, "weight_decay": 0.0}]
    optimizer = kind(groups, **settings)
    losses = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(network(x), classes)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return {"losses": losses, "parameters": parameters(network)}


def main() -> None:
    torch.manual_seed(1)
    x = torch.randn(N_ROWS, SIZES[0], dtype=torch.float64)
    classes = torch.randint(SIZES[-1], (N_ROWS,))
    content = {
        "origin": f"torch {torch.__version__}, Python {platform.python_version()}, scripts/{Path(__file__).name}",
        "sizes": SIZES,
        "steps": STEPS,
        "x": x.tolist(),
        "classes": classes.tolist(),
        "start": parameters(make_network()),
        "results": {
            f"{name} weight_decay={weight_decay}": train(kind, settings, weight_decay, x, classes)
            for name, (kind, settings) in OPTIMIZERS.items()
            for weight_decay in (0.0, WEIGHT_DECAY)
        },
    }
    target = Path(__file__).parents[1] / "tests" / "reference" / "optimizers.json"
    target.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
