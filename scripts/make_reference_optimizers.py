"""Make tests/reference/optimizers.json: what other libraries' optimizers do to a small network in float64.

Most are torch.optim's, Lion is optax's. Lookahead, Muon in float64 and L-BFGS with a line search are written out
here, the last two asserted to agree with torch's as far as these go. Needs an environment with torch and optax:

    python scripts/make_reference_optimizers.py
"""

import copy
import math
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count, product
from unittest import mock

import jax
import numpy as np
import optax
import torch
from make_reference_training import weight_matrices, weights_and_others, write
from torch import Tensor, nn, optim
from torch.nn.utils import parameters_to_vector, vector_to_parameters

SIZES, STEPS = (3, 5, 4), 50
WEIGHT_DECAYS = (0.0, 0.01)
MOVE = 1e-15  # of the initial parameters: what a sum in another order does
STEADY = 1e-11  # and by how much that may move the trained ones, so that a test can ask for agreement to 1e-9
ARMIJO, CURVATURE = 1e-4, 1e-10  # torch keeps no pair with a smaller product y.s
GENERATOR = torch.Generator().manual_seed(1)
FIELDS = ("optimizer", "source", "arguments", "weight_decay", "activation", "steps")
X = torch.randn(7, SIZES[0], dtype=torch.float64, generator=GENERATOR)
CLASSES = torch.randint(SIZES[-1], (7,), generator=GENERATOR)
Steps = list[Callable[[], object]]  # what is called, one after another, in every training step


def named(names: str, *rows: tuple[float, ...]) -> list[dict[str, float]]:
    return [dict(zip(names.split(), row, strict=True)) for row in rows]


RATES = named("learning_rate", (0.1,), (0.5,))
MOMENTUM = named("learning_rate momentum", (0.05, 0.9), (0.2, 0.5))
ADAGRAD = named("learning_rate epsilon initial", (0.1, 1e-10, 0.0), (0.3, 1e-2, 0.1))
ADADELTA = named("learning_rate rho epsilon", (1.0, 0.9, 1e-6), (0.5, 0.8, 1e-3))
# The second settings have an epsilon so large that it shows where it is added.
RMSPROP = named("learning_rate rho epsilon", (0.01, 0.99, 1e-8), (0.02, 0.8, 1e-3))
ADAM = named("learning_rate beta1 beta2 epsilon", (0.01, 0.9, 0.999, 1e-8), (0.03, 0.8, 0.95, 1e-3))
LION = named("learning_rate beta1 beta2 weight_decay", (0.003, 0.9, 0.99, 0.1), (0.01, 0.8, 0.95, 0.5))
MUON = [
    {**ADAM[0], "learning_rate": 0.02, "momentum": 0.95, "weight_decay": 0.1, "adam_learning_rate": 0.01},
    {**ADAM[1], "learning_rate": 0.05, "momentum": 0.8, "weight_decay": 0.0, "adam_learning_rate": 0.03},
]
LOOKAHEAD = [
    {"optimizer": {"name": "adam", "arguments": ADAM[1]}, "alpha": 0.5, "every": 5},
    {"optimizer": {"name": "sgd", "arguments": RATES[1]}, "alpha": 0.8, "every": 6},
]
ABSENT = dict.fromkeys(("normalisation", "scaling_layer", "embedding", "activation", "adapters"), 6.0)
PARAMETER_FACTORS = [
    {"optimizer": inner, "weights": 1.0, "first_layer": 0.4, "biases": 0.1, **ABSENT}
    for inner in (LOOKAHEAD[0]["optimizer"], {"name": "momentum", "arguments": MOMENTUM[0]})
]
# Learning rate, memory, weight decay, and a number of steps in which rounding does not grow too much
LBFGS = [(1.0, 4, 0.01, 20), (0.5, 4, 0.01, 30), (1.0, 9, 0.0, 20), (4.0, 5, 0.01, 25), (2.0, 3, 0.01, 20)]
# Optimizer, torch's class, settings beside the arguments, the arguments of each case
TORCH = [
    ("gradient_descent", optim.SGD, {}, RATES),
    ("sgd", optim.SGD, {}, RATES),
    ("momentum", optim.SGD, {}, MOMENTUM),
    ("nesterov", optim.SGD, {"nesterov": True}, MOMENTUM),
    ("adagrad", optim.Adagrad, {}, ADAGRAD),
    ("adadelta", optim.Adadelta, {}, ADADELTA),
    ("rmsprop", optim.RMSprop, {}, RMSPROP),
    ("rmsprop_centred", optim.RMSprop, {"centered": True}, RMSPROP),
    ("adam", optim.Adam, {}, ADAM),
    ("amsgrad", optim.Adam, {"amsgrad": True}, ADAM),
    ("adamw", optim.AdamW, {}, [{**ADAM[0], "weight_decay": 0.1}, {**ADAM[1], "weight_decay": 0.5}]),
    ("adamax", optim.Adamax, {}, ADAM),
    ("nadam", optim.NAdam, {}, [{**ADAM[0], "momentum_decay": 0.004}, {**ADAM[1], "momentum_decay": 0.1}]),
    ("radam", optim.RAdam, {}, ADAM),
]
NAMES = {"learning_rate": "lr", "epsilon": "eps", "initial": "initial_accumulator_value"}  # torch's


def vector(network: nn.Sequential) -> Tensor:
    return parameters_to_vector(network.parameters()).detach()


def make_network(activation: str, move: float = 0.0) -> nn.Sequential:
    torch.manual_seed(0)
    middle = {"relu": nn.ReLU, "tanh": nn.Tanh}[activation]()
    network = nn.Sequential(nn.Linear(*SIZES[:2]), middle, nn.Linear(*SIZES[1:])).double()
    start = vector(network)
    vector_to_parameters(start + move * torch.randn_like(start).sign(), network.parameters())
    return network


def parameters(network: nn.Sequential) -> list[float]:
    """In nncore's order: every layer's weights (inputs, outputs), then every layer's biases."""
    weights = [W.detach().T.reshape(-1) for W in weight_matrices(network)]
    return torch.cat([*weights, network[0].bias.detach(), network[2].bias.detach()]).tolist()


def objective(network: nn.Sequential, weight_decay: float = 0.0) -> Tensor:
    loss = nn.functional.cross_entropy(network(X), CLASSES)
    return loss + weight_decay / 2.0 * sum((W**2).sum() for W in weight_matrices(network))


def gradient_of(network: nn.Sequential, weight_decay: float) -> Tensor:
    return parameters_to_vector(torch.autograd.grad(objective(network, weight_decay), list(network.parameters())))


def by_torch(kind: type, network: nn.Module, arguments: dict, weight_decay: float, **settings: bool) -> Steps:
    """A torch optimizer by nncore's arguments, with its own weight decay on the weights only."""
    names = {**NAMES, "rho": "alpha"} if kind is optim.RMSprop else NAMES
    settings |= {names.get(name, name): value for name, value in arguments.items() if not name.startswith("beta")}
    if "beta1" in arguments:
        settings["betas"] = (arguments["beta1"], arguments["beta2"])
    weight_decay = settings.pop("weight_decay", weight_decay)  # AdamW has it among its arguments
    return [kind(weights_and_others(network, weight_decay), **settings).step]


def lion(network: nn.Sequential, a: dict, _: float) -> Steps:
    tensors = list(network.parameters())
    mask = [tensor.ndim == 2 for tensor in tensors]
    rule = optax.lion(a["learning_rate"], b1=a["beta1"], b2=a["beta2"], weight_decay=a["weight_decay"], mask=mask)
    copies = lambda tensors: [jax.numpy.array(tensor.detach().numpy()) for tensor in tensors]  # noqa: E731
    state = rule.init(copies(tensors))

    @torch.no_grad()
    def step() -> None:
        nonlocal state
        updates, state = rule.update(copies([tensor.grad for tensor in tensors]), state, copies(tensors))
        for tensor, update in zip(tensors, updates, strict=True):
            tensor += torch.from_numpy(np.array(update))

    return [step]


def newton_schulz(matrix: Tensor) -> Tensor:
    """About U V' of matrix = U S V'."""
    if matrix.shape[0] > matrix.shape[1]:
        return newton_schulz(matrix.T).T
    x = matrix / max(matrix.square().sum().sqrt().item(), 1e-7)
    for _ in range(5):
        gram = x @ x.T
        x = 3.4445 * x - 4.7750 * gram @ x + 2.0315 * gram @ gram @ x
    return x


def muon(network: nn.Sequential, a: dict, _: float) -> Steps:
    """Muon in float64, with torch's conventions. torch.optim.Muon itself orthogonalises in bfloat16."""
    weights, biases = (group["params"] for group in weights_and_others(network, 0.0))
    adamw = optim.AdamW(biases, a["adam_learning_rate"], (a["beta1"], a["beta2"]), a["epsilon"], weight_decay=0.0)
    buffers, rate, momentum = [torch.zeros_like(W) for W in weights], a["learning_rate"], a["momentum"]

    @torch.no_grad()
    def step() -> None:
        for i, W in enumerate(weights):  # (outputs, inputs)
            buffers[i] = momentum * buffers[i] + (1.0 - momentum) * W.grad
            update = newton_schulz((1.0 - momentum) * W.grad + momentum * buffers[i])
            W *= 1.0 - rate * a["weight_decay"]
            W -= rate * math.sqrt(max(1.0, W.shape[0] / W.shape[1])) * update

    return [step, adamw.step]


def check_muon() -> None:
    """Agreement with torch.optim.Muon: to bfloat16's accuracy, and to float64's where bfloat16 is left out."""
    a = {**MUON[0], "learning_rate": 0.1}
    for cast, tolerance in ((Tensor.bfloat16, 0.02), (Tensor.double, 1e-13)):
        ours, theirs = make_network("relu"), make_network("relu")
        other = optim.Muon(weight_matrices(theirs), a["learning_rate"], a["weight_decay"], a["momentum"])
        steps = [*muon(ours, a, 0.0), other.step]
        for _ in range(4):  # with random gradients: the network's have a null direction, which is bfloat16's noise
            for own, torchs in zip(ours.parameters(), theirs.parameters(), strict=True):
                own.grad = torchs.grad = torch.randn(own.shape).double()
            with mock.patch.object(Tensor, "bfloat16", cast):
                for step in steps:
                    step()
        torch.testing.assert_close(weight_matrices(ours), weight_matrices(theirs), rtol=0.0, atol=tolerance)


def lookahead(network: nn.Sequential, a: dict, weight_decay: float) -> Steps:
    """Every so many steps of the inner optimizer, whose state stays, go `alpha` of the way and begin there again."""
    kind = {"adam": optim.Adam, "sgd": optim.SGD}[a["optimizer"]["name"]]
    slow, calls = vector(network), count(1)

    @torch.no_grad()
    def step() -> None:
        nonlocal slow
        if next(calls) % a["every"] == 0:
            slow = slow + a["alpha"] * (vector(network) - slow)
            vector_to_parameters(slow.clone(), network.parameters())

    return [*by_torch(kind, network, a["optimizer"]["arguments"], weight_decay), step]


def parameter_factors(network: nn.Sequential, a: dict, weight_decay: float) -> Steps:
    """One torch optimizer for each kind of parameter, with its own learning rate."""
    kind = {"adam": optim.Adam, "momentum": optim.SGD}[a["optimizer"]["name"]]
    first, _, last = network
    kinds = {"first_layer": [first.weight], "weights": [last.weight], "biases": [first.bias, last.bias]}
    steps: Steps = []
    for name, tensors in kinds.items():
        arguments = a["optimizer"]["arguments"]
        arguments = {**arguments, "learning_rate": a[name] * arguments["learning_rate"]}
        steps += by_torch(kind, nn.ParameterList(tensors), arguments, weight_decay)
    return steps


def direction(gradient: Tensor, pairs: list[tuple[Tensor, Tensor]]) -> Tensor:
    """-H g, where H is built up densely by the BFGS formula from the pairs (s, y), the oldest first."""
    identity = torch.eye(len(gradient), dtype=torch.float64)
    s, y = pairs[-1] if pairs else (gradient, gradient)
    H = torch.dot(y, s) / torch.dot(y, y) * identity
    for s, y in pairs:
        left = identity - torch.outer(s, y) / torch.dot(y, s)
        H = left @ H @ left.T + torch.outer(s, s) / torch.dot(y, s)
    return -H @ gradient


def own_lbfgs(network: nn.Sequential, a: dict, weight_decay: float, halvings: list[int] | None = None) -> Steps:
    """L-BFGS with a line search by Armijo's condition. `halvings` gets the number of them in every step."""
    pairs, counts = [], [] if halvings is None else halvings

    def spare(start: Tensor, value: float, move: Tensor, slope: float) -> float:
        """Go from start by move: how much deeper that leads than is demanded."""
        vector_to_parameters(start + move, network.parameters())
        gain = value + ARMIJO * slope - objective(network, weight_decay).item()
        assert abs(gain) > 1e-12, "rounding would decide"
        return gain

    def step() -> None:
        start, value = vector(network), objective(network, weight_decay).item()
        gradient = gradient_of(network, weight_decay)
        scale = 1.0 if counts else min(1.0, 1.0 / gradient.abs().sum().item())  # torch's first step
        s = scale * a["learning_rate"] * direction(gradient, pairs[-a["memory"] :])
        counts.append(0)
        while spare(start, value, s, torch.dot(gradient, s).item()) < 0.0:
            s, counts[-1] = s / 2.0, counts[-1] + 1
        y = gradient_of(network, weight_decay) - gradient
        if torch.dot(y, s) > CURVATURE:
            pairs.append((s, y))
        assert len(counts) < 15 or sum(map(bool, counts)) >= 3 * (a["learning_rate"] > 1.0), "hardly any halvings"

    return [step]


def torch_lbfgs(network: nn.Sequential, a: dict, weight_decay: float) -> Steps:
    """torch's has no line search: the own one beside it must take every first trial, and then agree."""
    settings = {"history_size": a["memory"], "tolerance_grad": 0.0, "tolerance_change": 0.0}
    optimizer = optim.LBFGS(network.parameters(), a["learning_rate"], max_iter=1, **settings)
    twin, halvings = copy.deepcopy(network), []
    (twin_step,) = own_lbfgs(twin, a, weight_decay, halvings)

    def closure() -> Tensor:
        network.zero_grad()
        (value := objective(network, weight_decay)).backward()
        return value

    def step() -> None:
        optimizer.step(closure)
        twin_step()
        assert halvings[-1] == 0, "a line search would not take torch's step"
        torch.testing.assert_close(vector(network), vector(twin), rtol=0.0, atol=STEADY)

    return [step]


def train(make: Callable, case: dict, move: float = 0.0) -> dict:
    """The losses before each step, and the parameters after the last one."""
    network = make_network(case["activation"], move)
    steps, losses = make(network, case["arguments"], case["weight_decay"]), []
    for _ in range(case["steps"]):
        network.zero_grad()
        loss = objective(network)
        loss.backward()
        losses.append(loss.item())
        for step in steps:
            step()
    return {"losses": losses, "parameters": parameters(network)}


def cases() -> Iterator[tuple]:
    """Optimizer, source, how it is made, arguments, coupled weight decay and, where not usual, activation and steps."""
    for name, kind, settings, rows in TORCH:
        source = ", ".join([f"torch.optim.{kind.__name__}", *(f"{key}=True" for key in settings)])
        for a, decay in product(rows, WEIGHT_DECAYS[: 1 if name == "adamw" else 2]):
            yield name, source, partial(by_torch, kind, **settings), a, decay
    source = "written out in float64; agrees with torch.optim.Muon to bfloat16; biases by torch.optim.AdamW"
    yield from (("lion", "optax.lion, decay of the weights only", lion, a, 0.0) for a in LION)
    yield from (("muon", source, muon, a, 0.0) for a in MUON)
    for a, decay in product(LOOKAHEAD, WEIGHT_DECAYS):
        yield "lookahead", f"written out around torch.optim's {a['optimizer']['name']}", lookahead, a, decay
    for a, decay in product(PARAMETER_FACTORS, WEIGHT_DECAYS):
        yield "parameter_factors", f"torch.optim's {a['optimizer']['name']} by kind", parameter_factors, a, decay
    for rate, memory, decay, steps in LBFGS:
        make = torch_lbfgs if rate <= 1.0 else own_lbfgs
        source = "torch.optim.LBFGS" if rate <= 1.0 else "written out; agrees with torch.optim.LBFGS at lower rates"
        yield "lbfgs", source, make, {"learning_rate": rate, "memory": memory}, decay, "tanh", steps


def main() -> None:
    torch.set_num_threads(1)  # the same order of summation on every machine
    mock.patch("torch.optim.nadam._get_scalar_dtype", return_value=torch.float64).start()  # of a product it keeps
    jax.config.update("jax_enable_x64", True)
    check_muon()
    results = []
    for name, source, make, a, decay, *others in cases():
        case = dict(zip(FIELDS, (name, source, a, decay, *(others or ("relu", STEPS))), strict=True))
        result, moved = train(make, case), train(make, case, MOVE)
        change = max(abs(a - b) for a, b in zip(result["parameters"], moved["parameters"], strict=True))
        assert change < STEADY, f"{case}: rounding grows to {change}"
        results.append({**case, **result})
    data = {"sizes": SIZES, "steps": STEPS, "x": X.tolist(), "classes": CLASSES.tolist()}
    data |= {"start": parameters(make_network("relu")), "cases": results}
    write("optimizers.json", [torch, jax, optax], __file__, data)


if __name__ == "__main__":
    main()
