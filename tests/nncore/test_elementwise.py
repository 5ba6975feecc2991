"""Elementwise kernels: compiled or not they give the same bits, coefficients are bound by name, and the cache of
compiled loops on disk is safe."""

import os
import subprocess
import sys

import numpy as np
import pytest
from discovery import ACTIVATIONS, LOSSES, NORMALISATIONS, OPTIMIZERS, REGULARIZERS, modules, short_name
from exercise import Inputs, exercise
from running import nightly_after_first

import nncore
from nncore.kernels import compiled, dense
from nncore.kernels.elementwise import ElementwiseKernel, elementwise
from nncore.optimizers.adam import adam_update
from nncore.optimizers.momentum import momentum_update

KERNELS = {
    f"{module.__name__}.{name}": kernel
    for module in modules(nncore)
    for name, kernel in vars(module).items()
    if isinstance(kernel, ElementwiseKernel) and kernel.__module__ == module.__name__
}
every_kernel = pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)
both_types = pytest.mark.parametrize("dtype", ["float32", "float64"])


@elementwise("W")
def cubic_step(W, *, rate):
    """Not compiled by any other test."""
    return W - rate * (W * W * W)


@elementwise("y", "total")
def cumulative_mean(x, total, *, weight):
    """Accumulates row after row."""
    total = total + weight * x
    return total / weight, total


@elementwise("y")
def exponential(x):
    """Not compiled, because libraries round it differently."""
    return np.exp(x)


def arguments(kernel, dtype, random):
    """Arrays (3, 5, 37), some of them broadcast over rows, and coefficients by name; some numbers are negative."""
    arrays = [random.normal(size=(3, 5, 37)).astype(dtype) for _ in kernel.formula.arrays]
    for index, name in enumerate(kernel.formula.arrays[1:], 1):
        if name not in kernel.formula.writes and random.random() < 0.3:
            arrays[index] = arrays[index][:, :1]
    return arrays, {name: random.normal(size=3) for name in kernel.formula.coefficients}


@pytest.fixture(autouse=True)
def compiled_at_once(monkeypatch):
    """Compile loops at the first call."""
    monkeypatch.setattr(nncore.kernels.elementwise, "CALLS_BEFORE_COMPILING", 0)


def without_compiling(monkeypatch):
    """Compute everything with NumPy from now on."""
    monkeypatch.setattr(compiled, "compiled_loop", lambda *_: None)
    for kernel in (*KERNELS.values(), cubic_step, cumulative_mean):
        monkeypatch.setattr(kernel, "_loops", {})


@every_kernel
@both_types
def test_compiled_and_numpy_give_the_same_bits(kernel, dtype, monkeypatch):
    random = np.random.default_rng(1)
    assert compiled.compiled_loop(kernel.formula, dtype) is not None
    cases = [arguments(kernel, dtype, random) for _ in range(10)]
    with np.errstate(all="ignore"):  # roots of negative numbers
        by_loop = [[array.copy() for array in arrays] for arrays, _ in cases]
        for arrays, (_, coefficients) in zip(by_loop, cases, strict=True):
            kernel(*arrays, **coefficients)
        without_compiling(monkeypatch)
        for arrays, coefficients in cases:
            kernel(*arrays, **coefficients)
    for actual, (expected, _) in zip(by_loop, cases, strict=True):
        for array, expected_array in zip(actual, expected, strict=True):
            np.testing.assert_array_equal(array, expected_array)


@pytest.mark.parametrize(
    "component", [*ACTIVATIONS, *LOSSES, *NORMALISATIONS, *OPTIMIZERS, *REGULARIZERS], ids=short_name
)
@both_types
def test_components_give_the_same_bits_without_numba(component, dtype, monkeypatch):
    with_numba = exercise(component.build(), Inputs(range(5), dtype))
    without_compiling(monkeypatch)
    for name, array in exercise(component.build(), Inputs(range(5), dtype)).items():
        np.testing.assert_array_equal(with_numba[name], array, err_msg=name)


@pytest.mark.parametrize("implementation", ["compiled", "numpy"])
def test_an_output_that_is_broadcast_over_rows_accumulates(implementation, monkeypatch):
    if implementation == "numpy":
        without_compiling(monkeypatch)
    x, weight = np.arange(24.0).reshape(2, 4, 3), np.array([2.0, 4.0])
    total, y = np.zeros((2, 1, 3)), np.zeros((2, 4, 3))
    cumulative_mean(x, total, y, weight=weight)
    np.testing.assert_array_equal(y, x.cumsum(axis=1))
    np.testing.assert_array_equal(total, weight[:, None, None] * x.sum(axis=1, keepdims=True))


@pytest.mark.parametrize("implementation", ["compiled", "numpy"])
def test_coefficients_are_bound_by_name_and_not_by_position(implementation, monkeypatch):
    if implementation == "numpy":
        without_compiling(monkeypatch)
    rate, momentum, results = np.array([0.5, 0.25]), np.array([0.125, 0.75]), []
    for coefficients in ({"learning_rate": rate, "momentum": momentum}, {"momentum": momentum, "learning_rate": rate}):
        W, g, v = (np.arange(6.0).reshape(2, 3) + shift for shift in range(3))
        momentum_update(W, g, v, **coefficients)
        results.append(W)
    v = momentum[:, None] * (np.arange(6.0).reshape(2, 3) + 2) + np.arange(6.0).reshape(2, 3) + 1
    for W in results:
        np.testing.assert_array_equal(W, np.arange(6.0).reshape(2, 3) - rate[:, None] * v)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("learning_rate",), r"momentum_update takes the coefficients .*, but missing momentum$"),
        (("learning_rate", "momentum", "rho"), r"takes the coefficients \(learning_rate, momentum\), but unknown rho$"),
        (("rate", "momentum"), r"but missing learning_rate and unknown rate$"),
    ],
)
def test_a_missing_or_unknown_coefficient_is_refused_before_anything_changes(names, message):
    arrays = [np.ones((2, 3)) for _ in range(3)]
    with pytest.raises(TypeError, match=message):
        momentum_update(*arrays, **{name: np.array([0.5]) for name in names})
    with pytest.raises(TypeError, match=r"momentum_update takes 3 arrays \(W, g, v\), but got 2"):
        momentum_update(*arrays[:2], learning_rate=np.array([0.5]), momentum=np.array([0.5]))
    assert all((array == 1).all() for array in arrays)


def test_arrays_may_be_parts_of_others_fortran_ordered_read_only_or_of_two_types():
    W, rate = np.arange(24.0).reshape(2, 12), np.array([0.5])
    expected = W - 0.5 * W**3
    larger = np.zeros((2, 20))
    larger[:, 3:15] = W
    for array in (larger[:, 3:15], np.asfortranarray(W)):
        cubic_step(array, rate=rate)
        np.testing.assert_array_equal(array, expected)
    assert larger[:, :3].sum() == larger[:, 15:].sum() == 0
    for b in (np.ones((2, 1, 3)), np.ones((2, 1, 3), np.float32)):
        b.flags.writeable = False
        z = np.zeros((2, 4, 3))
        dense.add(z, b)
        assert (z == 1).all()


def test_functions_that_libraries_round_differently_are_not_compiled():
    assert compiled.compiled_loop(exponential.formula, "float32") is None
    x, y = np.ones((2, 3)), np.empty((2, 3))
    np.testing.assert_array_equal(exponential(x, y), np.exp(x))


def test_float32_is_never_computed_in_float64():
    """A literal number could promote it."""
    assert "np.float32(1) - y" in KERNELS["nncore.activations.sigmoid_dz"].formula.scalar_source("float32")


def test_a_function_whose_file_changed_after_import_is_not_compiled(tmp_path, monkeypatch):
    """Its lines may hold another function now."""
    path, text = tmp_path / "replaced.py", "from nncore.kernels.elementwise import elementwise\n"
    double = "@elementwise('W')\ndef double(W):\n    return W + W\n"
    square = "@elementwise('W')\ndef square(W):\n    return W * W\n"
    path.write_text(text + double + square)
    monkeypatch.syspath_prepend(tmp_path)
    kernel = __import__("replaced").double
    assert "return W + W" in kernel.formula.scalar_source("float32")
    path.write_text(text + square + double + "\n")
    assert kernel.formula.scalar_source("float32") is None


def test_a_loop_is_compiled_after_repeated_calls(monkeypatch):
    monkeypatch.setattr(nncore.kernels.elementwise, "CALLS_BEFORE_COMPILING", 3)
    kernel, requested = elementwise("W")(cubic_step.formula.function), []
    monkeypatch.setattr(compiled, "compiled_loop", lambda _, dtype: requested.append(dtype))
    for call in range(1, 7):
        W = np.full((2, 3), 2.0, np.float32)
        kernel(W, rate=np.array([0.125]))
        assert (W == 1).all()
        assert requested == ["float32"] * (call > 3)


PROGRAM = """
import numpy as np
from nncore.kernels import dense, elementwise
from nncore.optimizers.adam import adam_update
elementwise.CALLS_BEFORE_COMPILING = 0
arrays = [np.full((2, 3), 0.5, np.float32) for _ in range(4)]
adam_update(*arrays, **{name: np.full(2, 0.25) for name in adam_update.formula.coefficients})
z = dense.add(np.ones((2, 4, 3), np.float32), np.ones((2, 2, 3), np.float32)[:, :1])
(loop,) = adam_update._loops.values()
print(arrays[0].tobytes().hex() + z.tobytes().hex(), "loaded" if loop.stats.cache_hits else "compiled")
"""


def start_program(folder):
    """Run Adam's step in another process whose cache is in this folder."""
    environment = os.environ | {"XDG_CACHE_HOME": str(folder)}
    return subprocess.Popen([sys.executable, "-c", PROGRAM], env=environment, stdout=subprocess.PIPE, text=True)


def outcome(process):
    """The result of the process, and whether it compiled the loop or loaded it."""
    output, _ = process.communicate()
    assert process.returncode == 0
    result, _, how = output.strip().partition(" ")
    return result, how


@pytest.mark.slow
def test_law_8_the_cache_belongs_to_the_user_and_is_rebuilt_where_it_is_damaged(tmp_path):
    first = [outcome(start_program(tmp_path)) for _ in range(2)]
    kernels = tmp_path / "nnsweep" / "kernels"
    assert kernels.stat().st_mode & 0o777 == 0o700
    for path in kernels.glob("*/__pycache__/*"):
        path.write_bytes(path.read_bytes()[:50])
    damaged = [outcome(start_program(tmp_path)) for _ in range(2)]
    for path in kernels.glob("*/*.py"):
        path.write_text("raise SystemExit('this was put here by somebody else')")
    planted = outcome(start_program(tmp_path))
    kernels.chmod(0o777)
    unsafe = [outcome(start_program(tmp_path)) for _ in range(2)]
    assert len({result for result, _ in [*first, *damaged, planted, *unsafe]}) == 1
    assert [how for _, how in first] == ["compiled", "loaded"]
    assert [how for _, how in damaged][-1] == "loaded"
    assert [how for _, how in unsafe] == ["compiled", "compiled"]


def entries(folder):
    """Every file of the cache with its inode and modification time."""
    files = [path for path in (folder / "nnsweep" / "kernels").rglob("*") if path.is_file()]
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}


@pytest.mark.slow
@pytest.mark.parametrize("n_processes", nightly_after_first([3, 8]))
def test_processes_can_fill_an_empty_cache_concurrently(n_processes, tmp_path):
    """Each entry is created complete, once, and not modified afterwards."""
    outcomes = [outcome(process) for process in [start_program(tmp_path) for _ in range(n_processes)]]
    assert len({result for result, _ in outcomes}) == 1
    first_entries = entries(tmp_path)
    assert (
        len({path.relative_to(tmp_path).parts[2] for path in first_entries}) == 2
    )  # adam_update and add, nothing incomplete
    later = outcome(start_program(tmp_path))
    assert later == (outcomes[0][0], "loaded")
    assert entries(tmp_path) == first_entries


def test_a_kernel_describes_its_arguments():
    formula = adam_update.formula
    assert formula.coefficients[0] == "corrected_rate"
    assert (formula.reads, formula.writes) == (("W", "g", "m", "v"), ("W", "m", "v"))
    assert "one parameter" in adam_update.__doc__
    assert len(KERNELS) >= 30
