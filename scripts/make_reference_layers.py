"""Make tests/reference/layers.json: embeddings and a whole RealMLP network, by pytabkit and rtdl_num_embeddings.

Values and gradients in float64. Needs torch, pytabkit and rtdl_num_embeddings, which the project itself does not: run
it in an environment of their own.

    python scripts/make_reference_layers.py
"""

from types import SimpleNamespace

import numpy as np
import rtdl_num_embeddings
import torch
from make_reference_training import write
from pytabkit.models.nn_models.activations import ParametricActivationLayer
from pytabkit.models.nn_models.base import BiasLayer, ScaleLayer, Variable, WeightLayer
from pytabkit.models.nn_models.nn import PLREmbeddingsLayer, PLREmbeddingsLayerCosBias
from torch.nn import functional

ROWS, COLUMNS, PLAIN, FREQUENCIES, SIZE, CLASSES = 7, 3, 2, 4, 2, 3
HIDDEN = (5, 4)
BINS, TREE_ROWS = 5, 200
PYTABKIT = SimpleNamespace(__name__="pytabkit", __version__="1.7.3")
GENERATOR = torch.Generator().manual_seed(0)


def normal(*shape: int, scale: float = 1.0) -> torch.Tensor:
    return scale * torch.randn(*shape, dtype=torch.float64, generator=GENERATOR)


def variables(**arrays: torch.Tensor) -> dict[str, Variable]:
    return {name: Variable(array) for name, array in arrays.items()}


def lists(arrays: dict[str, torch.Tensor]) -> dict[str, list]:
    return {name: array.detach().tolist() for name, array in arrays.items()}


def periodic_arrays(has_phases: bool) -> dict[str, Variable]:
    """Frequencies and phases (columns, 1, F), V (columns, F or 2 F, size) and c (columns, 1, size)."""
    phases = {"phases": normal(COLUMNS, 1, FREQUENCIES)} if has_phases else {}
    n_inner = FREQUENCIES if has_phases else 2 * FREQUENCIES
    return variables(
        frequencies=normal(COLUMNS, 1, FREQUENCIES, scale=0.5),
        **phases,
        V=normal(COLUMNS, n_inner, SIZE),
        c=normal(COLUMNS, 1, SIZE),
    )


def periodic_layer(name: str, arrays: dict[str, Variable]) -> torch.nn.Module:
    """The layer of pytabkit; its outputs are column by column, those of pbld are followed by the numbers themselves."""
    V, c = arrays["V"], arrays["c"]
    if name == "pbld":
        return PLREmbeddingsLayerCosBias(None, arrays["frequencies"], arrays["phases"], V, c, "linear", True)
    return PLREmbeddingsLayer(None, arrays["frequencies"], V, c, "relu" if name == "plr" else "linear", False)


def gradients(value: torch.Tensor, arrays: dict[str, torch.Tensor]) -> dict[str, list]:
    return lists(dict(zip(arrays, torch.autograd.grad(value, list(arrays.values())), strict=True)))


def periodic_case(name: str) -> dict:
    arrays = periodic_arrays(name == "pbld")
    x, dy = normal(ROWS, COLUMNS, scale=1.5), normal(ROWS, COLUMNS, SIZE)
    y = periodic_layer(name, arrays).forward_cont(x)[:, : COLUMNS * SIZE].reshape(ROWS, COLUMNS, SIZE)
    case = {"x": x.tolist(), "dy": dy.tolist(), "arrays": lists(arrays), "y": y.tolist()}
    return {**case, "gradients": gradients((y * dy).sum(), arrays)}


def training_rows() -> tuple[torch.Tensor, torch.Tensor]:
    """Columns of many, of few and of two values, and a target."""
    random = np.random.default_rng(0)
    x = np.stack(
        [random.normal(size=TREE_ROWS), random.integers(3, size=TREE_ROWS), random.integers(2, size=TREE_ROWS)]
    )
    x = torch.from_numpy(np.round(x.T, 2).astype(np.float32))
    return x, torch.from_numpy(np.sin(3 * x[:, 0].numpy()) + x[:, 1].numpy() + 0.3 * random.normal(size=TREE_ROWS))


def piecewise_case(edges: str) -> dict:
    train, target = training_rows()
    if edges == "quantile":
        bins = rtdl_num_embeddings.compute_bins(train, BINS)
    else:
        tree = {"min_samples_leaf": 12}
        bins = rtdl_num_embeddings.compute_bins(train, BINS, tree_kwargs=tree, y=target, regression=True)
    torch.set_default_dtype(torch.float64)  # the layer would round the widths of the bins to float32
    double = [edge.double() for edge in bins]
    layer = rtdl_num_embeddings.PiecewiseLinearEmbeddings(double, SIZE, activation=False, version="B")
    torch.set_default_dtype(torch.float32)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter += normal(*parameter.shape)
    x = torch.cat([train[: ROWS - 2], torch.tensor([[-9.0, -1.0, 0.25], [9.0, 2.5, 1.5]])]).double()
    dy = normal(ROWS, COLUMNS, SIZE)
    y = layer(x)
    arrays = {"w": layer.linear0.weight, "c": layer.linear0.bias, "V": layer.linear.weight}
    return {
        **{"train": train.tolist(), "target": target.tolist(), "bins": [edge.tolist() for edge in bins]},
        **{"x": x.tolist(), "dy": dy.tolist(), "arrays": lists(arrays), "y": y.tolist()},
        "gradients": gradients((y * dy).sum(), arrays),
    }


def network_case(activation: str) -> dict:
    """PBLD, scaling layer, two parametric layers and an output layer in the neural tangent parametrization."""
    embedding = periodic_arrays(has_phases=True)
    x = normal(ROWS, COLUMNS + PLAIN)
    n_learned, width = COLUMNS * SIZE, COLUMNS + PLAIN + COLUMNS * SIZE
    arrays = {f"embedding_{name}": array for name, array in embedding.items()}
    arrays |= variables(input_scale=1 + normal(1, width, scale=0.3))
    # In nnsweep the plain numbers stand before the embedding's.
    learned = periodic_layer("pbld", embedding).forward_cont(x[:, :COLUMNS])
    y = torch.cat([learned[:, n_learned:], x[:, COLUMNS:], learned[:, :n_learned]], dim=1)
    y = ScaleLayer(arrays["input_scale"]).forward_cont(y)
    for index, outputs in enumerate((*HIDDEN, CLASSES)):
        of_layer = variables(W=normal(width, outputs), b=normal(1, outputs), alpha=1 + normal(1, outputs, scale=0.5))
        y = WeightLayer(of_layer["W"], factor=1 / np.sqrt(width)).forward_cont(y)
        y, width = BiasLayer(of_layer["b"]).forward_cont(y), outputs
        if index < len(HIDDEN):
            y = ParametricActivationLayer(getattr(functional, activation), of_layer["alpha"]).forward_cont(y)
        else:
            del of_layer["alpha"]
        arrays |= {f"{name} {index}": array for name, array in of_layer.items()}
    classes = torch.arange(ROWS) % CLASSES
    loss = functional.cross_entropy(y, classes)
    case = {"x": x.tolist(), "classes": classes.tolist(), "arrays": lists(arrays), "z": y.tolist(), "loss": loss.item()}
    return {**case, "gradients": gradients(loss, arrays)}


def main() -> None:
    torch.set_num_threads(1)
    content = {
        "periodic": {name: periodic_case(name) for name in ("pbld", "pl", "plr")},
        "piecewise_linear": {edges: piecewise_case(edges) for edges in ("quantile", "tree")},
        "networks": {activation: network_case(activation) for activation in ("selu", "mish")},
    }
    versions = [torch, PYTABKIT, SimpleNamespace(__name__="rtdl_num_embeddings", __version__="0.0.12")]
    write("layers.json", versions, __file__, content)


if __name__ == "__main__":
    main()
