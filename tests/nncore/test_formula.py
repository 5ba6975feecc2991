"""Formulas: compiled or not they give the same bits, and what is kept of them on disk does no harm."""

import os
import subprocess
import sys

import numpy as np
import pytest
from discovery import ACTIVATIONS, LOSSES, NORMALISATIONS, OPTIMIZERS, REGULARIZERS, modules, short
from exercise import Inputs, exercise

import nncore
from nncore.kernels import compiled
from nncore.kernels.elementwise import ElementwiseKernel, elementwise
from nncore.optimizers import adam

FORMULAS = {
    f"{module.__name__}.{name}": made
    for module in modules(nncore)
    for name, made in vars(module).items()
    if isinstance(made, ElementwiseKernel) and made.__module__ == module.__name__
}
every_formula = pytest.mark.parametrize("made", FORMULAS.values(), ids=FORMULAS)
both_types = pytest.mark.parametrize("dtype", ["float32", "float64"])


@elementwise("W")
def cubed(W, *, rate):
    """Nobody has compiled this one."""
    return W - rate * (W * W * W)


@elementwise("y", "total")
def gathered(x, total, *, weight):
    """One row after the other."""
    total = total + weight * x
    return total / weight, total


@elementwise("y")
def rounded_by_each_library(x):
    """Stays NumPy's."""
    return np.exp(x)


def arguments(made, dtype, random):
    """Arrays (3, 5, 37) and coefficients, some of them negative, and at times one is for all rows."""
    arrays = [random.normal(size=(3, 5, 37)).astype(dtype) for _ in made.arrays]
    for at, name in enumerate(made.arrays[1:], 1):
        if name not in made.writes and random.random() < 0.3:
            arrays[at] = arrays[at][:, :1]
    return arrays, [random.normal(size=3) for _ in made.coefficients]


@pytest.fixture(autouse=True)
def compiled_at_once(monkeypatch):
    """Loops are fetched for the first call."""
    monkeypatch.setattr(nncore.kernels.elementwise, "CALLS_WITHOUT", 0)


def pass_by_pass(monkeypatch):
    """From here on nothing is compiled."""
    monkeypatch.setattr(compiled, "kernel", lambda *_: None)
    for made in (*FORMULAS.values(), cubed, gathered):
        monkeypatch.setattr(made, "_kernels", {})


@every_formula
@both_types
def test_compiled_and_pass_by_pass_give_the_same_bits(made, dtype, monkeypatch):
    random = np.random.default_rng(1)
    assert compiled.kernel(made, dtype) is not None
    cases = [arguments(made, dtype, random) for _ in range(10)]
    with np.errstate(all="ignore"):  # roots of negative numbers
        first = [[array.copy() for array in arrays] for arrays, _ in cases]
        for changed, (_, coefficients) in zip(first, cases, strict=True):
            made(changed, coefficients)
        pass_by_pass(monkeypatch)
        for arrays, coefficients in cases:
            made(arrays, coefficients)
    for found, (expected, _) in zip(first, cases, strict=True):
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("member", [*ACTIVATIONS, *LOSSES, *NORMALISATIONS, *OPTIMIZERS, *REGULARIZERS], ids=short)
@both_types
def test_members_give_the_same_bits_without_numba(member, dtype, monkeypatch):
    found = exercise(member.build(), Inputs(range(5), dtype))
    pass_by_pass(monkeypatch)
    for name, array in exercise(member.build(), Inputs(range(5), dtype)).items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


@pytest.mark.parametrize("way", ["compiled", "pass by pass"])
def test_a_written_array_that_is_one_for_all_rows_gathers(way, monkeypatch):
    if way != "compiled":
        pass_by_pass(monkeypatch)
    x, weight = np.arange(24.0).reshape(2, 4, 3), np.array([2.0, 4.0])
    total, y = np.zeros((2, 1, 3)), np.zeros((2, 4, 3))
    gathered([x, total, y], [weight])
    np.testing.assert_array_equal(y, x.cumsum(axis=1))
    np.testing.assert_array_equal(total, weight[:, None, None] * x.sum(axis=1, keepdims=True))


def test_arrays_may_be_parts_of_others_turned_round_read_only_or_of_two_types():
    W, rate = np.arange(24.0).reshape(2, 12), [np.array([0.5])]
    expected = W - 0.5 * W**3
    part = np.zeros((2, 20))
    part[:, 3:15] = W
    turned = np.asfortranarray(W)
    for array in (part[:, 3:15], turned):
        cubed([array], rate)
        np.testing.assert_array_equal(array, expected)
    assert part[:, :3].sum() == part[:, 15:].sum() == 0
    for b in (np.ones((2, 1, 3)), np.ones((2, 1, 3), np.float32)):
        b.flags.writeable = False
        z = np.zeros((2, 4, 3))
        nncore.kernels.dense.add([z, b])
        assert (z == 1).all()


def test_what_libraries_round_differently_is_not_compiled():
    assert compiled.kernel(rounded_by_each_library, "float32") is None
    x, y = np.ones((2, 3)), np.empty((2, 3))
    np.testing.assert_array_equal(rounded_by_each_library([x, y]), np.exp(x))


def test_float32_is_never_computed_in_float64():
    """A number that is written out would make it so."""
    numbers = compiled._as_numbers(FORMULAS["nncore.activations.sigmoid_dz"].function, "float32")
    assert "np.float32(1) - y" in numbers


def test_a_loop_is_fetched_for_those_who_go_on_calling(monkeypatch):
    monkeypatch.setattr(nncore.kernels.elementwise, "CALLS_WITHOUT", 3)
    halved, fetched = elementwise("W")(cubed.function), []
    monkeypatch.setattr(compiled, "kernel", lambda _, dtype: fetched.append(dtype))
    for call in range(1, 7):
        W = np.full((2, 3), 2.0, np.float32)
        halved([W], [np.array([0.125])])
        assert (W == 1).all()
        assert fetched == ["float32"] * (call > 3)


PROGRAM = """
import numpy as np
from nncore import formula
from nncore.optimizers.adam import rule
formula.CALLS_WITHOUT = 0
arrays = [np.full((2, 3), 0.5, np.float32) for _ in range(4)]
rule(arrays, [np.full(2, 0.25)] * 7)
(kernel,) = rule._kernels.values()
print(arrays[0].tobytes().hex(), kernel.stats.cache_hits)
"""


def adam_elsewhere(folder):
    """Adam's step in a process that keeps its loops here: its result, and how many it found there."""
    environment = os.environ | {"XDG_CACHE_HOME": str(folder)}
    said = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, check=True, capture_output=True, text=True)
    result, _, hits = said.stdout.partition(" ")
    return result, "found" if "1" in hits else "made"


@pytest.mark.slow
def test_law_8_what_is_kept_is_the_users_own_and_is_made_anew_where_it_is_broken(tmp_path):
    first = [adam_elsewhere(tmp_path) for _ in range(2)]
    kernels = tmp_path / "nnsweep" / "kernels"
    assert kernels.stat().st_mode & 0o777 == 0o700
    for path in kernels.glob("__pycache__/*"):
        path.write_bytes(path.read_bytes()[:50])
    broken = [adam_elsewhere(tmp_path) for _ in range(3)]
    for path in kernels.glob("*.py"):
        path.write_text("raise SystemExit('this was put here by somebody')")
    planted = adam_elsewhere(tmp_path)
    kernels.chmod(0o777)
    others = [adam_elsewhere(tmp_path) for _ in range(2)]
    results = [*first, *broken, planted, *others]
    assert len({result for result, _ in results}) == 1
    assert [how for _, how in first] == ["made", "found"]
    assert [how for _, how in broken][-1] == "found"
    assert [how for _, how in others] == ["made", "made"]


def test_a_formula_says_what_it_is():
    assert adam.rule.coefficients[0] == "eta"
    assert (adam.rule.reads, adam.rule.writes) == (("W", "g", "m", "v"), ("W", "m", "v"))
    assert "one parameter" in adam.rule.__doc__
    assert len(FORMULAS) >= 30
