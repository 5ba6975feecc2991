"""The laws that every member keeps, whatever it is: activations, losses, normalisations, optimizers, schedules and
regularizers, found by walking nncore, in both float types."""

import re

import numpy as np
import pytest
from discovery import (
    ACTIVATIONS,
    LOSSES,
    NORMALISATIONS,
    OPTIMIZERS,
    REGULARIZERS,
    SCHEDULES,
    function_of,
    numbers_of,
    short,
    with_arguments,
)
from exercise import Inputs, exercise
from hypothesis import given, settings
from hypothesis import strategies as st

from nncore.components import Component, build_stacked

MEMBERS = [*ACTIVATIONS, *LOSSES, *NORMALISATIONS, *OPTIMIZERS, *REGULARIZERS, *SCHEDULES]
DTYPES = ["float32", "float64"]
SHARED = {"memory"}  # numbers that are one for all, because an array's size hangs on them

every_member = pytest.mark.parametrize("member", MEMBERS, ids=short)
both_types = pytest.mark.parametrize("dtype", DTYPES)


def explicit(member: Component) -> Component:
    """The member with a value for every number, given or by default."""
    return with_arguments(member, **{n: float(v) for n, v in numbers_of(member).items() if n not in SHARED})


@every_member
@both_types
@settings(max_examples=4, deadline=None)
@given(who=st.lists(st.integers(0, 50), min_size=2, max_size=6))
def test_law_1_a_stack_of_k_equals_k_stacks_of_one(member, dtype, who):
    together = exercise(member.build(), Inputs(who, dtype))
    assert together
    for place, one in enumerate(who):
        alone = exercise(member.build(), Inputs([one], dtype))
        for name, array in together.items():
            np.testing.assert_array_equal(array[place], alone[name][0], err_msg=name)


@every_member
@both_types
def test_law_1_a_scalar_equals_one_copy_per_network(member, dtype):
    one = explicit(member)
    scalars, copies = (exercise(built, Inputs(range(4), dtype)) for built in (one.build(), build_stacked([one] * 4)))
    for name, array in scalars.items():
        np.testing.assert_array_equal(array, copies[name], err_msg=name)


@every_member
@both_types
def test_law_1_each_network_has_its_own_numbers(member, dtype):
    one = explicit(member)
    for name, value in numbers_of(one).items():
        if name in SHARED or member.short_name in ("huber", "batch_norm", "layer_norm"):
            continue  # a shape's, not a network's
        other = with_arguments(one, **{name: value * 0.5 if value else 0.25})
        try:
            other.build()
        except ValueError:
            other = with_arguments(one, **{name: value + 1})
        mixed = exercise(build_stacked([one, other, one]), Inputs(range(3), dtype))
        for place, single in enumerate((one, other, one)):
            alone = exercise(build_stacked([single]), Inputs([place], dtype))
            for key, array in mixed.items():
                np.testing.assert_array_equal(array[place], alone[key][0], err_msg=f"{name}, {key}")


@every_member
@both_types
def test_law_2_a_network_of_nan_leaves_its_neighbours_bit_equal(member, dtype):
    well = exercise(member.build(), Inputs(range(4), dtype))
    with np.errstate(all="ignore"):
        beside = exercise(member.build(), Inputs(range(4), dtype, poisoned=2))
    for name, array in well.items():
        for place in (0, 1, 3):
            np.testing.assert_array_equal(beside[name][place], array[place], err_msg=name)


@every_member
@both_types
def test_shapes_dtypes_and_inputs_are_kept(member, dtype):
    inputs = Inputs(range(3), dtype)
    for name, array in exercise(member.build(), inputs).items():
        assert len(array) == 3, name
        if array.ndim > 1 and name not in ("stops", "factors"):  # counts and factors are per network, in float64
            assert array.dtype == dtype, name
        if array.dtype.kind == "f" and name not in ("best", "reference"):
            assert np.isfinite(array).all(), name
    assert inputs.unchanged()


@every_member
@both_types
def test_law_1_same_seed_same_bits(member, dtype):
    first, again = (exercise(member.build(), Inputs(range(3), dtype)) for _ in range(2))
    for name, array in first.items():
        np.testing.assert_array_equal(array, again[name], err_msg=name)


NUMBERS = [(member, name) for member in MEMBERS for name in numbers_of(member)]


@pytest.mark.parametrize(
    ("member", "name"), NUMBERS, ids=lambda value: value if isinstance(value, str) else short(value)
)
def test_law_7_illegal_values_are_refused_by_argument_value_rule_and_network(member, name):
    own = dict(explicit(member).arguments)
    built = {key: value.build() if isinstance(value, Component) else value for key, value in own.items()}
    wrongs = {float("nan"): "nan", float("inf"): "inf", "fast": "'fast'", True: "True", 1e38: "1e+38"}
    for wrong, shown in wrongs.items():
        with pytest.raises(ValueError, match=f"{name} must be .*, but is {re.escape(shown)} .{member.short_name}.$"):
            function_of(member)(**{**built, name: wrong})
    if name not in SHARED and name != "value":  # a constant may be anything
        message = rf"{name} must be >=? [0-9.]+, but network 1 of 3 has -1e\+36 \({member.short_name}\)"
        with pytest.raises(ValueError, match=message):
            function_of(member)(**{**built, name: np.array([numbers_of(member)[name], -1e36, 0.5])})


def test_every_kind_of_member_is_exercised():
    assert len(MEMBERS) >= 60
    assert len(NUMBERS) >= 80


@every_member
def test_float32_computes_what_float64_does(member):
    low, high = (exercise(member.build(), Inputs(range(4), dtype)) for dtype in DTYPES)
    for name, array in high.items():
        size = np.abs(array).max() if array.dtype.kind == "f" else 1
        np.testing.assert_allclose(low[name], array, rtol=2e-3, atol=1e-4 * size, err_msg=name)
