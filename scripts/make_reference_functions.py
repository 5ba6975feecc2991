"""Make tests/reference/functions.json: values and gradients of single functions, by torch in float64.

Activations, losses, normalisations, learning-rate schedules (some by pytabkit), gradient clipping and averages of
parameters. Needs torch and pytabkit, which the project itself does not: run it in an environment of its own.

    python scripts/make_reference_functions.py
"""

from collections.abc import Callable
from functools import partial

import pytabkit
import torch
from make_reference_training import write
from pytabkit.models.training.scheduling import get_schedule
from torch.nn import functional
from torch.optim import Optimizer, lr_scheduler, swa_utils
from torch.optim.lr_scheduler import LRScheduler as Schedule

Case = dict[str, object]

GENERATOR = torch.Generator().manual_seed(0)
CLIP_NORM_ADDS = 1e-6  # torch divides by the norm plus this
ACTIVATIONS = [
    ("identity", {}, lambda z: z.clone()),
    ("relu", {}, functional.relu),
    ("leaky_relu", {"slope": 0.01}, lambda z: functional.leaky_relu(z, 0.01)),
    ("leaky_relu", {"slope": 0.2}, lambda z: functional.leaky_relu(z, 0.2)),
    ("elu", {"alpha": 1.0}, lambda z: functional.elu(z, 1.0)),
    ("elu", {"alpha": 2.0}, lambda z: functional.elu(z, 2.0)),
    ("selu", {}, functional.selu),
    ("gelu", {}, lambda z: functional.gelu(z, approximate="tanh")),
    ("silu", {}, functional.silu),
    # Above its threshold torch takes z itself. Its default of 20 would be wrong by exp(-20) = 2e-9.
    ("softplus", {}, lambda z: functional.softplus(z, threshold=40.0)),
    ("sigmoid", {}, torch.sigmoid),
    ("tanh", {}, torch.tanh),
    ("mish", {}, functional.mish),
]


def normal(*shape: int, scale: float = 1.0) -> torch.Tensor:
    return scale * torch.randn(*shape, dtype=torch.float64, generator=GENERATOR)


def uniform(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, dtype=torch.float64, generator=GENERATOR)


def activations() -> dict[str, list[Case]]:
    ends = torch.tensor([1e4, -1e4, 50.0, -50.0, 1e-8, -1e-8], dtype=torch.float64)
    z = torch.cat([12.0 * uniform(54) - 6.0, ends])
    cases: dict[str, list[Case]] = {}
    for name, arguments, function in ACTIVATIONS:
        leaf = z.clone().requires_grad_()
        y = function(leaf)
        (slope,) = torch.autograd.grad(y.sum(), leaf)
        case = {"arguments": arguments, "z": z.tolist(), "y": y.tolist(), "dy_dz": slope.tolist()}
        cases.setdefault(name, []).append(case)
    return cases


def gaussian(z: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
    """The first half of the columns of `z` are means, the second half logarithms of variances."""
    mean, log_variance = z.chunk(2, dim=1)
    # torch raises small variances to eps, which here must not happen.
    return functional.gaussian_nll_loss(mean, t, log_variance.exp(), eps=1e-300, reduction="none")


def loss_case(
    function: Callable, arguments: Case, z: torch.Tensor, t: torch.Tensor, weights: torch.Tensor | None = None
) -> Case:
    """The mean over the rows of `function`, which gives one loss for each row or for each row and output."""
    leaf = z.clone().requires_grad_()
    rows = function(leaf, t).reshape(len(z), -1).sum(1)
    value = rows.mean() if weights is None else (weights * rows).sum() / weights.sum()
    (dz,) = torch.autograd.grad(value, leaf)
    lists = {"z": z.tolist(), "t": t.tolist(), "weights": None if weights is None else weights.tolist()}
    return {"arguments": arguments, **lists, "value": value.item(), "dz": dz.tolist()}


def bits(rows: int, outputs: int) -> torch.Tensor:
    return (uniform(rows, outputs) < 0.5).double()


def far(rows: int, columns: int, size: float) -> torch.Tensor:
    """Values of +-size and, for a contrast within a row, a few ordinary ones."""
    z = size * (2.0 * bits(rows, columns) - 1.0)
    return torch.where(uniform(rows, columns) < 0.25, normal(rows, columns), z)


def loss_table() -> list[tuple[str, Case, Callable, torch.Tensor, float]]:
    """Name, arguments, function, targets, and how far out the loss is still finite."""
    shape = (6, 4)
    softmax = partial(functional.cross_entropy, reduction="none")
    sigmoid = partial(functional.binary_cross_entropy_with_logits, reduction="none")
    poisson = partial(functional.poisson_nll_loss, log_input=True, full=False, reduction="none")
    counts = torch.poisson(3.0 * torch.ones(shape, dtype=torch.float64), generator=GENERATOR)
    hubers = [(delta, partial(functional.huber_loss, delta=delta, reduction="none")) for delta in (1.0, 0.4)]
    return [
        ("softmax_cross_entropy", {}, softmax, functional.one_hot(torch.arange(6) % 4, 4).double(), 1e4),
        ("softmax_cross_entropy", {}, softmax, torch.softmax(normal(*shape), 1), 1e4),
        ("sigmoid_cross_entropy", {}, sigmoid, bits(*shape), 1e4),
        ("sigmoid_cross_entropy", {}, sigmoid, uniform(*shape), 1e4),
        ("squared_error", {}, lambda z, t: (z - t) ** 2 / 2.0, normal(*shape), 1e4),
        ("gaussian", {}, gaussian, normal(*shape), 30.0),
        ("absolute_error", {}, partial(functional.l1_loss, reduction="none"), normal(*shape), 1e4),
        ("poisson", {}, poisson, counts, 30.0),
        *[("huber", {"delta": delta}, huber, normal(*shape), 1e4) for delta, huber in hubers],
    ]


def losses() -> dict[str, list[Case]]:
    """For each loss a random case, one with weights of the rows (one of them 0), and one far out."""
    cases: dict[str, list[Case]] = {}
    for name, arguments, function, t, size in loss_table():
        rows, columns = len(t), t.shape[1] * (2 if name == "gaussian" else 1)
        weights = torch.cat([3.0 * uniform(rows - 1), torch.zeros(1)])
        plain = loss_case(function, arguments, normal(rows, columns, scale=1.5), t)
        weighted = loss_case(function, arguments, normal(rows, columns, scale=1.5), t, weights)
        cases.setdefault(name, []).extend(
            [plain, weighted, loss_case(function, arguments, far(rows, columns, size), t)]
        )
    return cases


def cross_entropy_of_classes(**settings: object) -> Case:
    z = normal(6, 4, scale=1.5).requires_grad_()
    classes = torch.tensor([0, 3, 1, 1, 2, 0])
    value = functional.cross_entropy(z, classes, **settings)
    (dz,) = torch.autograd.grad(value, z)
    return {"z": z.tolist(), "classes": classes.tolist(), "value": value.item(), "dz": dz.tolist()}


def class_cases() -> Case:
    weight = torch.tensor([0.5, 2.0, 1.25, 0.1], dtype=torch.float64)
    return {
        "label_smoothing": {"smoothing": 0.1, **cross_entropy_of_classes(label_smoothing=0.1)},
        "class_weights": {"weight": weight.tolist(), **cross_entropy_of_classes(weight=weight)},
    }


def batch_case(layer: torch.nn.Module, rows: int, units: int) -> Case:
    x = (normal(rows, units, scale=2.0) + normal(units)).requires_grad_()
    dy = normal(rows, units)
    outputs = layer(x)
    dx, dscale, dshift = torch.autograd.grad(outputs, [x, layer.weight, layer.bias], dy)
    tensors = {"x": x, "dy": dy, "outputs": outputs, "dx": dx, "dscale": dscale, "dshift": dshift}
    return {name: tensor.tolist() for name, tensor in tensors.items()}


def normalisation(layer: torch.nn.Module, arguments: Case) -> Case:
    rows, units = 6, 5
    with torch.no_grad():
        layer.weight.copy_(1.0 + normal(units, scale=0.3))
        layer.bias.copy_(normal(units))
    case = {"arguments": arguments, "scale": layer.weight.tolist(), "shift": layer.bias.tolist()}
    case["batches"] = [batch_case(layer.train(), rows, units) for _ in range(3)]
    if isinstance(layer, torch.nn.BatchNorm1d):
        case |= {"running_mean": layer.running_mean.tolist(), "running_variance": layer.running_var.tolist()}
    x = normal(rows, units, scale=2.0)
    case["inference"] = {"x": x.tolist(), "outputs": layer.eval()(x).tolist()}
    return case


def one_cycle(optimizer: Optimizer, epochs: int, peak_at: float, start: float, end: float) -> Schedule:
    """torch puts the peak at step pct_start * total_steps - 1, and the end at step total_steps - 1."""
    peak = (peak_at * epochs + 1.0) / (epochs + 1.0)
    factors = {"div_factor": 1.0 / start, "final_div_factor": start / end}
    return lr_scheduler.OneCycleLR(optimizer, 1.0, epochs + 1, pct_start=peak, cycle_momentum=False, **factors)


def warm_up(optimizer: Optimizer, epochs: int, start: float, then: Case) -> Schedule:
    rise = lr_scheduler.LinearLR(optimizer, start_factor=start, total_iters=epochs)
    return lr_scheduler.SequentialLR(optimizer, [rise, schedule(optimizer, then["name"], then["arguments"])], [epochs])


def schedule(optimizer: Optimizer, name: str, arguments: Case) -> Schedule:
    """The schedule of nncore's name and arguments, as torch has it."""
    kind, names = SCHEDULES[name]
    return kind(optimizer, **{names.get(key, key): value for key, value in arguments.items() if names.get(key, key)})


def any_optimizer() -> Optimizer:
    """One whose base learning rate is 1, so that its learning rates are the factors."""
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)


def factors(name: str, arguments: Case, epochs: int) -> Case:
    optimizer = any_optimizer()
    following = schedule(optimizer, name, arguments)
    values = []
    for _ in range(epochs):
        values.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        following.step()
    source = f"torch.optim.lr_scheduler.{type(following).__name__}"
    return {"schedule": name, "arguments": arguments, "factors": values, "source": source}


def by_pytabkit(name: str, theirs: str, arguments: Case, epochs: int) -> Case:
    """The schedule of pytabkit's name `theirs`, whose time goes from 0 to 1."""
    following = get_schedule(theirs)
    values = [float(following.call_time_(epoch / epochs)) for epoch in range(epochs + 1)]
    return {
        "schedule": name,
        "arguments": {"epochs": epochs, **arguments},
        "factors": values,
        "source": f"pytabkit {theirs}",
    }


def reduce_on_plateau(arguments: Case) -> Case:
    """`losses` fall and stay flat by turns; factor i is the one after loss i has been seen."""
    epoch = torch.arange(40, dtype=torch.float64)
    falling = torch.cat([epoch[:12], torch.full((18,), 11.0), epoch[12:16], torch.full((6,), 15.0)])
    values = (torch.exp(-0.15 * falling) + 0.01 * uniform(40)).tolist()
    optimizer = any_optimizer()
    settings = {{"lowest": "min_lr"}.get(name, name): value for name, value in arguments.items()}
    plateau = lr_scheduler.ReduceLROnPlateau(optimizer, mode="min", threshold_mode="rel", eps=0.0, **settings)
    after = []
    for value in values:
        plateau.step(value)
        after.append(optimizer.param_groups[0]["lr"])
    case = {"schedule": "reduce_on_plateau", "arguments": arguments, "losses": values, "factors": after}
    return {**case, "source": "torch.optim.lr_scheduler.ReduceLROnPlateau"}


def schedules() -> list[Case]:
    """Two of each; an epoch's factor is that of the learning rate with which the epoch is trained."""
    cosine = {"name": "cosine", "arguments": {"epochs": 15, "end": 0.02}}
    step = {"name": "step", "arguments": {"every": 3, "gamma": 0.5}}
    return [
        factors("step", {"every": 4, "gamma": 0.5}, 25),
        factors("step", {"every": 7, "gamma": 0.1}, 25),
        factors("exponential", {"gamma": 0.9}, 25),
        factors("exponential", {"gamma": 0.5}, 25),
        factors("polynomial", {"epochs": 10, "power": 1.0, "end": 0.0}, 15),
        factors("polynomial", {"epochs": 20, "power": 2.5, "end": 0.0}, 25),
        factors("cosine", {"epochs": 10, "end": 0.0}, 11),
        factors("cosine", {"epochs": 25, "end": 0.05}, 26),
        factors("warm_restarts", {"epochs": 5, "growth": 2, "end": 0.0}, 40),
        factors("warm_restarts", {"epochs": 7, "growth": 1, "end": 0.1}, 40),
        factors("warm_up", {"epochs": 5, "start": 0.1, "then": cosine}, 21),
        factors("warm_up", {"epochs": 4, "start": 0.25, "then": step}, 20),
        factors("one_cycle", {"epochs": 20, "peak_at": 0.25, "start": 0.04, "end": 0.0001}, 21),
        factors("one_cycle", {"epochs": 10, "peak_at": 0.5, "start": 0.1, "end": 0.01}, 11),
        by_pytabkit("flat_cosine", "flat_cos", {}, 20),
        by_pytabkit("flat_cosine", "flat_anneal", {"flat": 0.6, "end": 1e-5}, 15),
        by_pytabkit("coslog4", "coslog4", {}, 60),
        by_pytabkit("coslog4", "coslog4", {}, 7),
        reduce_on_plateau({"factor": 0.5, "patience": 2, "threshold": 1e-2, "cooldown": 0, "lowest": 0.0}),
        reduce_on_plateau({"factor": 0.3, "patience": 1, "threshold": 1e-4, "cooldown": 3, "lowest": 0.01}),
    ]


RESTARTS = {"epochs": "T_0", "growth": "T_mult", "end": "eta_min"}
# torch's names of the arguments; None: torch has no such argument.
SCHEDULES = {
    "step": (lr_scheduler.StepLR, {"every": "step_size"}),
    "exponential": (lr_scheduler.ExponentialLR, {}),
    "polynomial": (lr_scheduler.PolynomialLR, {"epochs": "total_iters", "end": None}),
    "cosine": (lr_scheduler.CosineAnnealingLR, {"epochs": "T_max", "end": "eta_min"}),
    "warm_restarts": (lr_scheduler.CosineAnnealingWarmRestarts, RESTARTS),
    "warm_up": (warm_up, {}),
    "one_cycle": (one_cycle, {}),
}


def clipped(gradient: torch.Tensor, limit: float, clip: Callable) -> Case:
    parameter = torch.nn.Parameter(torch.zeros_like(gradient))
    parameter.grad = gradient.clone()
    clip([parameter], limit)
    return {"gradient": gradient.tolist(), "limit": limit, "clipped": parameter.grad.tolist()}


def clipping() -> Case:
    """By norm and by value, each once with a limit that is passed and once with one that is not."""
    gradient = normal(12)
    by_norm = [clipped(gradient, limit, torch.nn.utils.clip_grad_norm_) for limit in (0.5, 100.0)]
    by_value = [clipped(gradient, limit, torch.nn.utils.clip_grad_value_) for limit in (0.5, 100.0)]
    return {"norm": [{**case, "added_to_norm": CLIP_NORM_ADDS} for case in by_norm], "value": by_value}


def averaged(sequence: torch.Tensor, **settings: object) -> list[list[float]]:
    """The average after each update, the first of which copies."""
    model = torch.nn.ParameterList([torch.nn.Parameter(torch.zeros_like(sequence[0]))])
    average = swa_utils.AveragedModel(model, **settings)
    results = []
    for values in sequence:
        with torch.no_grad():
            model[0].copy_(values)
        average.update_parameters(model)
        results.append(average.module[0].tolist())
    return results


def averages() -> Case:
    sequence = normal(6, 4)
    rules = {decay: swa_utils.get_ema_multi_avg_fn(decay) for decay in (0.9, 0.5)}
    moving = [{"decay": decay, "averaged": averaged(sequence, multi_avg_fn=rule)} for decay, rule in rules.items()]
    return {"sequence": sequence.tolist(), "ema": moving, "swa": {"averaged": averaged(sequence)}}


def main() -> None:
    torch.set_num_threads(1)  # the same order of summation on every machine
    content = {"activations": activations(), "losses": losses(), **class_cases()}
    batch, layer = {"momentum": 0.1, "epsilon": 1e-5}, {"epsilon": 1e-5}
    content["normalisations"] = {
        "batch": normalisation(torch.nn.BatchNorm1d(5, momentum=0.1, eps=1e-5).double(), batch),
        "layer": normalisation(torch.nn.LayerNorm(5, eps=1e-5).double(), layer),
    }
    content |= {"schedules": schedules(), "clipping": clipping(), "averages": averages()}
    write("functions.json", [torch, pytabkit], __file__, content)


if __name__ == "__main__":
    main()
