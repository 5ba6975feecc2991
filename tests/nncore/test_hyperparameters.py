"""Hyperparameters: their shapes, their dtype, their ranges."""

import numpy as np
import pytest

from nncore.kernels.hyperparameters import checked, column


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("value", "shape"), [(0.1, (1, 1)), ([0.1, 0.2, 0.3], (3, 1)), (3, (1, 1))])
def test_a_column_has_one_row_per_network_and_the_dtype_of_the_parameters(value, shape, dtype):
    W = np.ones((3, 4), dtype)
    spread = column(checked("it", "rate", value), W)
    assert spread.shape == shape
    assert (spread * W).dtype == dtype  # a float64 rate would promote a float32 stack
    assert column(checked("it", "rate", value), W[:, :, None]).shape == (*shape, 1)


@pytest.mark.parametrize(
    ("value", "limits", "message"),
    [
        (0, {"above": 0}, "rate must be > 0, but is 0.0 (it)"),
        ([1, 0], {"above": 0}, "rate must be > 0, but network 1 of 2 has 0.0 (it)"),
        (-1, {"at_least": 0}, "rate must be >= 0, but is -1.0 (it)"),
        (1, {"below": 1}, "rate must be < 1, but is 1.0 (it)"),
        (2.5, {"integer": True}, "rate must be an integer, but is 2.5 (it)"),
        (1.5, {"at_most": 1}, "rate must be <= 1, but is 1.5 (it)"),
        ([1, float("nan")], {}, "rate must be finite, but network 1 of 2 has nan (it)"),
        (1e38, {}, "rate must be 0, or from 1e-37 to 1e37 in size, but is 1e+38 (it)"),
        (-1e-40, {}, "rate must be 0, or from 1e-37 to 1e37 in size, but is -1e-40 (it)"),
        ("fast", {}, "rate must be a number or one number per network, but is 'fast' (it)"),
        (True, {}, "rate must be a number or one number per network, but is True (it)"),
        ([[1.0]], {}, "rate must be a number or one number per network, but is [[1.0]] (it)"),
    ],
)
def test_an_invalid_hyperparameter_is_named(value, limits, message):
    with pytest.raises(ValueError) as raised:  # noqa: PT011 - the whole message is compared below
        checked("it", "rate", value, **limits)
    assert str(raised.value) == message


def test_valid_hyperparameters_are_returned_unchanged():
    for value in (0, 1, 1e-37, 1e37, [0.5, 0.25]):
        result = checked("it", "rate", value, at_least=0)
        np.testing.assert_array_equal(result, value)
        assert result.shape == (np.shape(value) or (1,))
