"""Make tests/reference/members.json: TabM by the tabm package, in float64: predictions, loss, gradient, and training.

Needs torch and tabm, which the project itself does not: run it in an environment of their own (scripts/rivals).

    python scripts/make_reference_members.py
"""

import numpy as np
import tabm
import torch
from make_reference_training import write
from torch import nn

ROWS, INPUTS, MEMBERS, WIDTH, CLASSES = 6, 5, 3, 4, 3
STEPS = 5
LEARNING_RATE, WEIGHT_DECAY = 0.01, 0.3
ARCHITECTURES = {"mini": "tabm-mini", "full": "tabm", "packed": "tabm-packed"}


def arrays(model: tabm.TabM, of: str) -> list[dict[str, list]]:
    """By layer, the arrays W (inputs, outputs), b, r and s, or the gradients by them."""
    layers = [block[0] for block in model.backbone.blocks] + [model.output]
    content = []
    for index, layer in enumerate(layers):
        W = layer.weight if of == "data" else layer.weight.grad
        named = {"W": W if isinstance(layer, tabm.LinearEnsemble) else W.T}
        vectors = {name: parameter for name, parameter in layer.named_parameters() if name != "weight"}
        named |= {name.replace("bias", "b"): getattr(parameter, of) for name, parameter in vectors.items()}
        if index == 0 and hasattr(model.backbone, "affine"):
            named["r"] = getattr(model.backbone.affine.weight, of)
        content.append({name: array.detach().tolist() for name, array in named.items()})
    return content


def loss_of(model: tabm.TabM, x: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """The mean of the members' losses."""
    z = model(x)  # (rows, members, classes)
    return nn.functional.cross_entropy(z.flatten(0, 1), classes.repeat_interleave(MEMBERS))


def mean_prediction(model: tabm.TabM, x: torch.Tensor) -> torch.Tensor:
    return model(x).softmax(dim=2).mean(dim=1)


def case(name: str, x: torch.Tensor, classes: torch.Tensor) -> dict:
    model = tabm.TabM(
        n_num_features=INPUTS,
        d_out=CLASSES,
        n_blocks=2,
        d_block=WIDTH,
        dropout=0.0,
        activation="ReLU",
        k=MEMBERS,
        arch_type=ARCHITECTURES[name],
        start_scaling_init=None if name == "packed" else "random-signs",
    ).double()
    with torch.no_grad():  # as in the middle of a training: no factor is 1
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    result = {"parameters": arrays(model, "data"), "probabilities": mean_prediction(model, x).tolist()}
    loss = loss_of(model, x, classes)
    loss.backward()
    result |= {"loss": loss.item(), "gradient": arrays(model, "grad")}
    named = dict(model.named_parameters())  # what decays in the authors' experiments: all but biases
    groups = [
        {"params": [p for n, p in named.items() if not n.endswith("bias")], "weight_decay": WEIGHT_DECAY},
        {"params": [p for n, p in named.items() if n.endswith("bias")], "weight_decay": 0.0},
    ]
    optimizer, losses = torch.optim.AdamW(groups, lr=LEARNING_RATE), []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = loss_of(model, x, classes)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return {**result, "losses": losses, "trained": arrays(model, "data")}


def main() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    x, classes = torch.randn(ROWS, INPUTS, dtype=torch.float64), torch.arange(ROWS) % CLASSES
    cases = {name: case(name, x, classes) for name in ARCHITECTURES}
    settings = {"members": MEMBERS, "learning_rate": LEARNING_RATE, "weight_decay": WEIGHT_DECAY, "steps": STEPS}
    content = {"x": x.tolist(), "classes": classes.tolist(), **settings, "cases": cases}
    write("members.json", [torch, tabm, np], __file__, content)


if __name__ == "__main__":
    main()
