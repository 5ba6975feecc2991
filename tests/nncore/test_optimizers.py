"""Optimizers compared with torch.optim, optax and the papers' algorithms, and on problems with known solutions."""

from itertools import pairwise

import numpy as np
import pytest
from discovery import OPTIMIZERS, numbers_of, short_name, with_arguments
from references import assert_close_to_reference, read_reference
from samples import BATCH_NORM, SQUARED, TANH, make_architecture, make_component, make_data, make_network, make_step
from scipy.optimize import minimize

from nncore.architecture import kind_of
from nncore.components import Component, build_stacked
from nncore.kernels.hyperparameters import column
from nncore.kernels.workspace import Workspace
from nncore.optimizers.base import Step
from nncore.optimizers.muon import orthogonalised
from nncore.stack.data import Data, Rows
from nncore.stack.state import start
from nncore.stack.training import train

REFERENCE = read_reference("optimizers")
CASES = REFERENCE["cases"]


def described(case):
    shown = [case["optimizer"], case["source"], f"weight_decay={case['weight_decay']}"]
    return " ".join(shown).replace("torch.optim.", "")


def build_component(name, arguments):
    """The component of a case; a nested optimizer is {"name": ..., "arguments": ...}."""
    plain = {k: build_component(v["name"], v["arguments"]) if isinstance(v, dict) else v for k, v in arguments.items()}
    return make_component(name, **plain)


@pytest.mark.parametrize("case", CASES, ids=described)
def test_many_steps_equal_the_reference(case):
    activation = Component(f"nncore.activations.{case['activation']}")
    architecture = make_architecture(REFERENCE["sizes"], activation, batch_size=len(REFERENCE["x"]), dtype="float64")
    optimizer, penalty = (
        build_component(case["optimizer"], case["arguments"]),
        make_component("l2", strength=case["weight_decay"]),
    )
    stack = start(architecture, [make_network("it", 0, optimizer, penalty)])
    stack.parameters[0] = REFERENCE["start"]
    stack = start(architecture, stack.networks, stack.parameters)
    rows = Rows(np.array(REFERENCE["x"]), np.eye(REFERENCE["sizes"][-1])[REFERENCE["classes"]])
    stack, reports = train(stack, Data(rows, rows), case["steps"], {})
    assert_close_to_reference(reports["it"].curves["train/loss"], case["losses"])
    assert_close_to_reference(stack.parameters[0], case["parameters"])


def test_every_optimizer_has_reference_values():
    assert {case["optimizer"] for case in CASES} == {component.short_name for component in OPTIMIZERS}
    for component in OPTIMIZERS:
        tried = [case["arguments"] for case in CASES if case["optimizer"] == component.short_name]
        assert set(numbers_of(component)) <= set().union(*tried), component.short_name
        assert len({str(arguments) for arguments in tried}) >= 2


def descend(optimizer, gradient, W, steps, objective=None):
    """Minimise a function with this gradient (and value, for a line search) from W (K, P)."""
    rule, architecture, scratch = optimizer.build(), make_architecture((W.shape[1] - 1, 1)), Workspace()
    state = rule.init(W)
    for number in range(1, steps + 1):
        rule.update(W, gradient(W), state, Step(number, architecture, scratch, objective=lambda W, _: objective(W)))
    return W


LOWEST, CURVATURE = np.array([[1.0, 2.0]]), np.array([[1.0, 0.3]])
OWN_RATE = {"adadelta": 1.0, "adagrad": 0.5, "lbfgs": 1.0, "lion": 0.002, "gradient_descent": 0.2}


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=short_name)
def test_finds_the_lowest_point_of_a_parabola(optimizer):
    tuned = with_arguments(optimizer, learning_rate=OWN_RATE.get(optimizer.short_name, 0.02))
    tuned = with_arguments(tuned, adam_learning_rate=0.02) if optimizer.short_name == "muon" else tuned
    steps = 6000 if optimizer.short_name in ("adadelta", "lion") else 2000

    def value(W):
        return (CURVATURE * (W - LOWEST) ** 2).sum(axis=1) / 2

    W = descend(tuned, lambda W: CURVATURE * (W - LOWEST), np.array([[4.0, -3.0]]), steps, value)
    np.testing.assert_allclose(W, LOWEST, atol=0.03)  # sign-based optimizers oscillate by about their rate


def rosenbrock(W):
    a, b = W[:, 0], W[:, 1]
    return (1 - a) ** 2 + 100 * (b - a * a) ** 2


def rosenbrock_gradient(W):
    a, b = W[:, 0], W[:, 1]
    return np.stack([2 * (a - 1) - 400 * a * (b - a * a), 200 * (b - a * a)], axis=1)


ROSENBROCK_RATE = {
    "sgd": 1e-3, "gradient_descent": 1e-3, "momentum": 2e-4, "nesterov": 2e-4, "adagrad": 0.5, "adadelta": 1.0,
    "rmsprop": 1e-3, "rmsprop_centred": 1e-3, "lion": 2e-4, "lbfgs": 1.0, "muon": 2e-3, "radam": 5e-4, "adamw": 0.01,
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=short_name)
def test_descends_the_rosenbrock_valley(optimizer):
    """From (-1.2, 1), where the value is 24.2, to near (1, 1), where it is 0."""
    tuned = with_arguments(optimizer, learning_rate=ROSENBROCK_RATE.get(optimizer.short_name, 0.02))
    if optimizer.short_name in ("muon", "adamw"):
        tuned = with_arguments(tuned, weight_decay=0.0)
    if optimizer.short_name == "adadelta":  # slow: its first steps are about the square root of epsilon
        tuned = with_arguments(tuned, rho=0.999)
    steps = 60 if optimizer.short_name == "lbfgs" else 20_000
    W = descend(tuned, rosenbrock_gradient, np.array([[-1.2, 1.0]]), steps, rosenbrock)
    assert rosenbrock(W)[0] < {"lbfgs": 1e-12, "adadelta": 0.1}.get(optimizer.short_name, 0.01)


def test_lbfgs_finds_what_scipy_finds():
    """The minimum of a regularised logistic regression, by one step per epoch on all rows."""
    architecture = make_architecture((6, 3), dtype="float64", batch_size=10)
    data = make_data(architecture, 60, 20)
    component = make_network(
        "it", 0, make_component("lbfgs", learning_rate=1.0), make_component("l2", strength=0.05, biases=True)
    )
    stack, _ = train(start(architecture, [component]), data, 60, {})

    def objective(p):
        z = data.train.x @ p[:18].reshape(6, 3) + p[18:]
        log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
        return -(data.train.t * log_p).sum() / 60 + 0.025 * (p**2).sum()

    minimum = minimize(objective, np.zeros(21), tol=1e-12)
    np.testing.assert_allclose(stack.parameters[0], minimum.x, atol=1e-5)
    assert objective(stack.parameters[0]) <= minimum.fun + 1e-12


def test_lbfgs_never_goes_up_and_stays_where_no_step_leads_down():
    architecture = make_architecture((5, 7, 3), TANH, dtype="float64")
    data = make_data(architecture)
    _, reports = train(
        start(architecture, [make_network("it", 0, make_component("lbfgs", learning_rate=50.0))]), data, 40, {}
    )
    losses = reports["it"].curves["train/loss"]
    assert all(after <= before + 1e-12 for before, after in pairwise(losses))
    W = np.array([[1.0, 2.0]])
    descend(make_component("lbfgs"), lambda W: np.ones_like(W), W, 3, lambda W: (W != [1.0, 2.0]).sum(axis=1) * 1.0)
    np.testing.assert_array_equal(W, [[1.0, 2.0]])  # every step increases the value


def test_lbfgs_skips_pairs_without_curvature():
    """On a plane all gradients are equal: y = 0, no pair is stored, every step follows -g."""
    W = np.zeros((1, 2))
    descend(make_component("lbfgs"), lambda W: np.full_like(W, 0.25), W, 4, lambda W: 0.25 * W.sum(axis=1))
    np.testing.assert_allclose(W, [[-1.0, -1.0]])


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=short_name)
def test_an_optimizer_resumes_from_a_file_with_the_same_bits(optimizer, tmp_path):
    from dataclasses import replace

    architecture = make_architecture()
    data = make_data(architecture)
    straight, _ = train(start(architecture, [make_network("it", 0, optimizer)]), data, 5, {})
    half, _ = train(start(architecture, [make_network("it", 0, optimizer)]), data, 2, {})
    np.savez(
        tmp_path / "state.npz", parameters=half.parameters, **{f"s{i}": a for i, a in enumerate(half.state.values())}
    )
    with np.load(tmp_path / "state.npz", allow_pickle=False) as saved:
        state = {name: saved[f"s{i}"] for i, name in enumerate(half.state)}
        again = replace(
            start(architecture, [make_network("it", 0, optimizer)]),
            epoch=2,
            parameters=saved["parameters"],
            state=state,
        )
    resumed, _ = train(again, data, 5, {})
    np.testing.assert_array_equal(resumed.parameters, straight.parameters)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=short_name)
def test_the_schedule_scales_the_step(optimizer):
    """Half the factor gives half the first step, also for L-BFGS and for the matrices that Muon updates."""
    ends, g = [], np.random.default_rng(0).normal(size=(1, 18)) / 100
    for factor in (1.0, 0.5):
        W = np.zeros((1, 18))
        rule = (
            with_arguments(optimizer, every=100).build() if optimizer.short_name == "lookahead" else optimizer.build()
        )
        rule.update(
            W, g, rule.init(W), make_step(factor=np.array([factor]), objective=lambda W, _: (g * W).sum(axis=1))
        )
        ends.append(W)
    np.testing.assert_allclose(ends[1], ends[0] / 2, rtol=1e-12)
    assert ends[0].any()


def test_full_batch_optimizers_step_once_per_epoch_with_the_mean_gradient():
    architecture = make_architecture((5, 3), loss=SQUARED, dtype="float64", batch_size=8)
    data = make_data(architecture)
    component = make_network("it", 0, make_component("gradient_descent", learning_rate=0.2))
    small, _ = train(start(architecture, [component]), data, 4, {})
    full_batch = make_architecture((5, 3), loss=SQUARED, dtype="float64", batch_size=1000)
    large, _ = train(start(full_batch, [make_network("it", 0, make_component("sgd", learning_rate=0.2))]), data, 4, {})
    assert_close_to_reference(small.parameters, large.parameters, 1e-12)


def test_lookahead_moves_back_towards_its_slow_weights():
    inner = make_component("sgd", learning_rate=0.1)
    rule = make_component("lookahead", optimizer=inner, alpha=0.25, every=2).build()
    W = np.array([[8.0]])
    state = rule.init(W)
    np.testing.assert_array_equal(state["slow"], [[8.0]])  # the slow weights start at the initial weights
    for number in (1, 2, 3):
        rule.update(W, np.ones((1, 1)), state, make_step(number))
    np.testing.assert_allclose(W, [[8.0 - 0.25 * 0.2 - 0.1]])


ELEMENTWISE = [component for component in OPTIMIZERS if component.build().elementwise]


@pytest.mark.parametrize("optimizer", ELEMENTWISE, ids=short_name)
def test_parameter_factors_train_each_kind_as_the_optimizer_does_at_that_rate(optimizer):
    """To the last bit, for two networks with factors of their own, whatever the gradients."""
    parametric = Component("nncore.activations.parametric", (("activation", Component("nncore.activations.selu")),))
    inputs = {"scaling_layer": True, "embedding": Component("nncore.embeddings.pbld"), "n_numeric": 3, "levels": (4,)}
    members = {"members": 2, "adapters": "full"}
    architecture = make_architecture((5, 4, 4, 3), parametric, normalisation=BATCH_NORM, **inputs, **members)
    kinds = {"first_layer": [0.5, 2], "weights": [1, 1], "biases": [0, 1], "normalisation": [6, 0.1]}
    kinds |= {"scaling_layer": [6, 6], "activation": [0.1, 0], "embedding": [0.1, 0.3], "adapters": [2, 1]}
    g = np.random.default_rng(0).normal(size=(7, 2, architecture.n_parameters))

    def trained(built, factor):
        W, state = np.ones((2, architecture.n_parameters)), built.init(np.ones((2, architecture.n_parameters)))
        for number, gradient in enumerate(g, 1):
            built.update(W, gradient, state, make_step(number, architecture, factor=factor * np.array([0.7, 0.9])))
        return W

    factors = [make_component("parameter_factors", optimizer=optimizer, **{k: v[i] for k, v in kinds.items()})
               for i in (0, 1)]  # fmt: skip
    together = trained(build_stacked(factors), np.ones(2))
    for slot in architecture.layout:
        if slot.stop <= architecture.n_parameters:
            expected = trained(build_stacked([optimizer] * 2), np.array(kinds[kind_of(slot)]))
            np.testing.assert_array_equal(together[:, slot.start : slot.stop], expected[:, slot.start : slot.stop])
    assert not np.array_equal(together, trained(optimizer.build(), np.ones(2)))
    assert {kind_of(slot) for slot in architecture.layout if slot.stop <= architecture.n_parameters} == {*kinds}


def test_parameter_factors_refuse_optimizers_whose_parameters_depend_on_each_other():
    others = {component.short_name for component in OPTIMIZERS} - {component.short_name for component in ELEMENTWISE}
    assert others == {"lbfgs", "muon"}
    for name in others:
        refused = make_component("parameter_factors", optimizer=make_component(name, learning_rate=0.1))
        with pytest.raises(ValueError, match=f"optimizer must be one in which .* but is {name} .parameter_factors."):
            refused.build()


def test_muon_makes_singular_values_nearly_one():
    G = np.random.default_rng(0).normal(size=(4, 20, 9))
    for component in (G, G.swapaxes(1, 2)):
        sizes = np.linalg.svd(orthogonalised(component), compute_uv=False)
        assert sizes.min() > 0.6
        assert sizes.max() < 1.3


def test_a_rate_keeps_the_dtype_of_the_parameters():
    W = np.ones((2, 3), np.float32)
    assert (make_step().rate(np.array([0.1, 0.2]), W) * W).dtype == np.float32
    np.testing.assert_array_equal(column(np.array([0.1, 0.2]), W[:, :, None]).shape, (2, 1, 1))
