"""Optimizers against torch.optim, and on problems whose answer is known."""

import json
from pathlib import Path

import numpy as np
import pytest
from discovery import OPTIMIZERS, short

from nncore.members import Member, find
from nncore.network import Shape
from nncore.stack import Network, start
from nncore.training import Data, Rows, train

REFERENCE = json.loads((Path(__file__).parents[1] / "reference" / "optimizers.json").read_text())
SETTINGS = {
    "sgd": {"learning_rate": 0.1},
    "momentum": {"learning_rate": 0.05, "momentum": 0.9},
    "rmsprop": {"learning_rate": 0.01, "rho": 0.99, "epsilon": 1e-8},
    "adam": {"learning_rate": 0.01, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8},
}


@pytest.mark.parametrize("weight_decay", [0.0, 0.01])
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=short)
def test_fifty_steps_equal_torch(optimizer, weight_decay):
    name = short(optimizer)
    expected = REFERENCE["results"][f"{name} weight_decay={weight_decay}"]
    activations = (Member("nncore.activations.relu"), Member("nncore.activations.identity"))
    of = Shape(
        tuple(REFERENCE["sizes"]),
        activations,
        Member("nncore.losses.softmax_cross_entropy"),
        batch_size=len(REFERENCE["x"]),
        dtype="float64",
    )
    regularizer = Member("nncore.regularizers.l2", (("strength", weight_decay),))
    stack = start(of, [Network("it", 0, Member(optimizer.name, tuple(SETTINGS[name].items())), regularizer)])
    stack.parameters[0] = REFERENCE["start"]
    rows = Rows(np.array(REFERENCE["x"]), np.eye(REFERENCE["sizes"][-1])[REFERENCE["classes"]])
    stack, reports = train(stack, Data(rows, rows), REFERENCE["steps"], {})
    np.testing.assert_allclose(reports["it"].curves["train/loss"], expected["losses"], rtol=1e-9)
    np.testing.assert_allclose(stack.parameters[0], expected["parameters"], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=short)
def test_finds_the_lowest_point_of_a_parabola(optimizer):
    W = np.array([[4.0, -3.0]])
    lowest, curvature = np.array([[1.0, 2.0]]), np.array([[1.0, 0.3]])
    rule = Member(optimizer.name, (("learning_rate", 0.02),)).build()
    state = rule.init(W)
    for step in range(1, 2001):
        rule.update(W, curvature * (W - lowest), state, step)
    np.testing.assert_allclose(W, lowest, atol=0.03)  # rmsprop goes on circling at about its rate


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=short)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_keeps_dtypes_and_the_gradient(optimizer, dtype):
    W, g = np.ones((3, 4), dtype), np.full((3, 4), 0.5, dtype)
    rule = Member(optimizer.name, (("learning_rate", 0.1),)).build()
    state = rule.init(W)
    rule.update(W, g, state, 1)
    assert W.dtype == dtype
    assert all(array.dtype == dtype and array.shape == W.shape for array in state.values())
    np.testing.assert_array_equal(g, np.full((3, 4), 0.5, dtype))
    assert (W < 1).all()  # it went down the gradient


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=short)
def test_an_illegal_rate_is_refused_by_name_value_rule_and_network(optimizer):
    with pytest.raises(
        ValueError, match=r"learning_rate must be > 0, but network 1 of 3 has -0\.1 \(" + short(optimizer)
    ):
        find(optimizer.name)(np.array([0.1, -0.1, 0.2]))
    with pytest.raises(ValueError, match=r"learning_rate must be finite, but is inf"):
        find(optimizer.name)(np.inf)


@pytest.mark.parametrize(
    ("name", "argument", "value", "rule"),
    [
        ("momentum", "momentum", 1.0, "< 1"),
        ("momentum", "momentum", -0.1, ">= 0"),
        ("rmsprop", "rho", 1.0, "< 1"),
        ("rmsprop", "epsilon", 0.0, "> 0"),
        ("adam", "beta1", 1.0, "< 1"),
        ("adam", "beta2", -0.5, ">= 0"),
        ("adam", "epsilon", 0.0, "> 0"),
        ("sgd", "learning_rate", "fast", "must be a number"),
        ("sgd", "learning_rate", True, "must be a number"),
        ("sgd", "learning_rate", [[0.1]], "must be a number"),
    ],
)
def test_illegal_values_are_refused(name, argument, value, rule):
    with pytest.raises(ValueError, match=f"{argument} must be .*\\({name}\\)") as raised:
        find(f"nncore.optimizers.{name}.{name}")(**{"learning_rate": 0.1, argument: value})
    assert rule in str(raised.value)
