"""Conformal half-widths by their definition, and their coverage by simulation."""

import math

import numpy as np
import pytest

from nncore.conformal import conformal_half_width, fewest_rows


@pytest.mark.parametrize(("n", "coverage"), [(9, 0.9), (10, 0.9), (19, 0.9), (57, 0.8), (99, 0.99), (1000, 0.9)])
def test_the_half_width_is_the_error_of_its_rank(n, coverage):
    errors = np.random.default_rng(n).exponential(size=(n, 2))
    rank = math.ceil(round((n + 1) * coverage, 9))
    expected = [sorted(errors[:, target])[rank - 1] for target in (0, 1)]
    np.testing.assert_array_equal(conformal_half_width(errors, coverage), expected)
    np.testing.assert_array_equal(conformal_half_width(errors, coverage, np.full(n, 0.3)), expected)


@pytest.mark.parametrize(("coverage", "n"), [(0.9, 9), (0.95, 19), (0.8, 4), (0.5, 1), (0.99, 99), (0.85, 6)])
def test_fewer_rows_than_the_fewest_have_no_interval(coverage, n):
    assert fewest_rows(coverage) == n
    errors = np.arange(1.0, n + 1)[:, None]
    assert conformal_half_width(errors, coverage).tolist() == [n]
    assert conformal_half_width(errors[:-1], coverage).tolist() == [math.inf]


def test_a_row_of_no_weight_does_not_count():
    errors = np.random.default_rng(0).exponential(size=(60, 1))
    weights = np.arange(60) % 3 != 0
    expected = conformal_half_width(errors[weights], 0.9)
    np.testing.assert_array_equal(conformal_half_width(errors, 0.9, weights), expected)


def test_law_9_the_probability_of_the_interval_is_the_stated_one():
    """Of exchangeable rows with continuous errors, it is k / (n + 1) with the rank k, whatever the distribution is."""
    random, n, coverage = np.random.default_rng(0), 30, 0.9
    is_within = [
        errors[-1] <= conformal_half_width(errors[:-1, None], coverage)[0]
        for errors in np.abs(random.standard_cauchy(size=(20_000, n + 1)))
    ]
    assert np.mean(is_within) == pytest.approx(28 / 31, abs=4 * math.sqrt(0.09 / 20_000))


def test_law_9_weights_account_for_rows_that_were_drawn_too_rarely():
    """Rows with large errors are a half of all, but only a tenth of those held out; their weights make up for it."""
    random, covered = np.random.default_rng(0), []
    for _ in range(2_000):
        is_wide = random.random(200) < 0.1
        errors = np.abs(random.normal(size=200)) * np.where(is_wide, 5, 1)
        half_width = conformal_half_width(errors[:, None], 0.9, np.where(is_wide, 0.5 / 0.1, 0.5 / 0.9))[0]
        fresh = np.abs(random.normal(size=100)) * np.where(random.random(100) < 0.5, 5, 1)
        covered.append((fresh <= half_width).mean())
    assert 0.89 <= np.mean(covered) <= 0.92
