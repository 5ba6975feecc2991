"""Laws that hold for every component of nncore (activations, embeddings, losses, normalisations, optimizers,
schedules and regularizers), discovered by walking the package, in float32 and float64."""

import re

import numpy as np
import pytest
from discovery import (
    ACTIVATIONS,
    EMBEDDINGS,
    LOSSES,
    NORMALISATIONS,
    OPTIMIZERS,
    REGULARIZERS,
    SCHEDULED,
    SCHEDULES,
    function_of,
    numbers_of,
    short_name,
    with_arguments,
)
from exercise import Inputs, exercise
from hypothesis import given, settings
from hypothesis import strategies as st

from nncore.components import Component, build_stacked

COMPONENTS = [*ACTIVATIONS, *EMBEDDINGS, *LOSSES, *NORMALISATIONS, *OPTIMIZERS, *REGULARIZERS, *SCHEDULED, *SCHEDULES]
DTYPES = ["float32", "float64"]
# Hyperparameters that are equal for all networks of a stack, because array sizes depend on them.
SHARED = {"memory", "frequencies", "size", "bins", "min_rows"}

every_component = pytest.mark.parametrize("component", COMPONENTS, ids=short_name)
both_types = pytest.mark.parametrize("dtype", DTYPES)


def explicit(component: Component) -> Component:
    """The component with an explicit value for every numeric hyperparameter."""
    return with_arguments(component, **{n: float(v) for n, v in numbers_of(component).items() if n not in SHARED})


@every_component
@both_types
@settings(max_examples=4, deadline=None)
@given(networks=st.lists(st.integers(0, 50), min_size=2, max_size=6))
def test_law_1_a_stack_of_k_equals_k_stacks_of_one(component, dtype, networks):
    stacked = exercise(component.build(), Inputs(networks, dtype))
    assert stacked
    for position, network in enumerate(networks):
        alone = exercise(component.build(), Inputs([network], dtype))
        for name, array in stacked.items():
            np.testing.assert_array_equal(array[position], alone[name][0], err_msg=name)


@every_component
@both_types
def test_law_1_a_scalar_equals_one_copy_per_network(component, dtype):
    complete = explicit(component)
    built = complete.build(), build_stacked([complete] * 4)
    scalars, copies = (exercise(functions, Inputs(range(4), dtype)) for functions in built)
    for name, array in scalars.items():
        np.testing.assert_array_equal(array, copies[name], err_msg=name)


@every_component
@both_types
def test_law_1_each_network_has_its_own_hyperparameters(component, dtype):
    complete = explicit(component)
    for name, value in numbers_of(complete).items():
        if name in SHARED or component in EMBEDDINGS or component.short_name in ("huber", "batch_norm", "layer_norm"):
            continue  # they belong to the architecture, not to a network
        changed = with_arguments(complete, **{name: value * 0.5 if value else 0.25})
        try:
            changed.build()
        except ValueError:
            changed = with_arguments(complete, **{name: value + 1})
        mixed = exercise(build_stacked([complete, changed, complete]), Inputs(range(3), dtype))
        for position, single in enumerate((complete, changed, complete)):
            alone = exercise(build_stacked([single]), Inputs([position], dtype))
            for key, array in mixed.items():
                np.testing.assert_array_equal(array[position], alone[key][0], err_msg=f"{name}, {key}")


@every_component
@both_types
def test_law_2_other_networks_are_bit_equal_when_one_is_nan(component, dtype):
    healthy = exercise(component.build(), Inputs(range(4), dtype))
    with np.errstate(all="ignore"):
        with_nan = exercise(component.build(), Inputs(range(4), dtype, poisoned=2))
    for name, array in healthy.items():
        for position in (0, 1, 3):
            np.testing.assert_array_equal(with_nan[name][position], array[position], err_msg=name)


@every_component
@both_types
def test_shapes_and_dtypes_are_right_and_inputs_are_not_modified(component, dtype):
    inputs = Inputs(range(3), dtype)
    for name, array in exercise(component.build(), inputs).items():
        assert len(array) == 3, name
        if array.ndim > 1 and name not in ("stops", "factors"):  # these have one value per network, in float64
            assert array.dtype == dtype, name
        if array.dtype.kind == "f" and name not in ("best", "reference"):
            assert np.isfinite(array).all(), name
    assert inputs.unchanged()


@every_component
@both_types
def test_law_1_same_seed_same_bits(component, dtype):
    first, again = (exercise(component.build(), Inputs(range(3), dtype)) for _ in range(2))
    for name, array in first.items():
        np.testing.assert_array_equal(array, again[name], err_msg=name)


NUMBERS = [(component, name) for component in COMPONENTS for name in numbers_of(component)]


@pytest.mark.parametrize(
    ("component", "name"), NUMBERS, ids=lambda value: value if isinstance(value, str) else short_name(value)
)
def test_law_7_illegal_values_are_refused_by_argument_value_rule_and_network(component, name):
    arguments = dict(explicit(component).arguments)
    built = {key: value.build() if isinstance(value, Component) else value for key, value in arguments.items()}
    illegal = {float("nan"): "nan", float("inf"): "inf", "fast": "'fast'", True: "True", 1e38: "1e+38"}
    for value, shown in illegal.items():
        with pytest.raises(ValueError, match=f"{name} must be .*, but is {re.escape(shown)} .{component.short_name}.$"):
            function_of(component)(**{**built, name: value})
    if name not in SHARED and name != "value":  # the constant initializer takes any value
        message = rf"{name} must be >=? [0-9.]+, but network 1 of 3 has -1e\+36 \({component.short_name}\)"
        with pytest.raises(ValueError, match=message):
            function_of(component)(**{**built, name: np.array([numbers_of(component)[name], -1e36, 0.5])})


def test_every_kind_of_component_is_exercised():
    assert len(COMPONENTS) >= 60
    assert len(NUMBERS) >= 80


@every_component
def test_float32_results_are_close_to_float64(component):
    low, high = (exercise(component.build(), Inputs(range(4), dtype)) for dtype in DTYPES)
    for name, array in high.items():
        size = np.abs(array).max() if array.dtype.kind == "f" else 1
        np.testing.assert_allclose(low[name], array, rtol=2e-3, atol=1e-4 * size, err_msg=name)
