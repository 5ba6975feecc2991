"""Intervals, tests, Pareto fronts: against scipy.stats, closed forms, brute force and simulation."""

import math
import time
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pipeline.engine.statistics import holm, interval, pareto_front, repeats, simplest, tied

WORKED = [0.81, 0.82, 0.83, 0.84, 0.85]  # against 0.80 five times: differences of 1, 2, 3, 4 and 5 hundredths
MEAN, VARIANCE = Fraction(3, 100), Fraction(10, 4 * 100**2)  # theirs, by hand


def t4_distribution(t_squared):
    """P(|t| < sqrt(t_squared)) of Student's t with 4 degrees of freedom: its closed form."""
    share = 1 + t_squared / 4
    return 3 / 4 * math.sqrt(t_squared / share) * (1 - t_squared / (12 * share))


def p_values(scores, best, correction):
    return tied(scores, best, correction).p_values


@pytest.mark.parametrize(("correction", "t_squared"), [(Fraction(1, 4), 8), (Fraction(0), 18)])
def test_the_corrected_test_on_a_worked_example(correction, t_squared):
    """5 folds, n_validation / n_train = 1/4: t^2 = mean^2 / (variance (1/5 + 1/4)) = 8; without correction 18."""
    assert MEAN**2 / (VARIANCE * (Fraction(1, 5) + correction)) == t_squared
    result = tied([[0.8] * 5, WORKED], 1, float(correction))
    np.testing.assert_allclose(result.p_values, [1 - t4_distribution(t_squared), 1], rtol=1e-9)
    assert result.tied.tolist() == [False, True]
    assert tied([[0.8] * 5, WORKED], 1, float(correction), level=0.01).tied.all()


def test_without_correction_it_is_the_paired_t_test_of_scipy():
    scores = np.random.default_rng(0).normal(size=(2, 7))
    expected = stats.ttest_rel(scores[0], scores[1]).pvalue
    np.testing.assert_allclose(p_values(scores, 0, 0.0), [1, expected], rtol=1e-12)
    np.testing.assert_allclose(p_values(scores, 1, 0.0), [expected, 1], rtol=1e-12)


@pytest.mark.parametrize("correction", [0.0, 0.25])
def test_the_interval_and_the_test_agree(correction):
    """The difference to a constant is significant if and only if the interval of the mean excludes it."""
    for constant in np.linspace(0.78, 0.83, 40):
        covers = abs(np.mean(WORKED) - constant) <= interval(WORKED, correction)
        assert tied([WORKED, [constant] * 5], 0, correction).tied[1] == covers


def test_the_interval_is_that_of_scipy_and_wider_by_the_correction():
    values = np.random.default_rng(1).normal(size=6)
    low, high = stats.t.interval(0.9, 5, values.mean(), stats.sem(values))
    assert interval(values, 0.0, 0.9) == pytest.approx((high - low) / 2, rel=1e-12)
    wider = math.sqrt(Fraction(1, 6) + Fraction(1, 5)) / math.sqrt(Fraction(1, 6))
    assert interval(values, 1 / 5, 0.9) == pytest.approx((high - low) / 2 * wider, rel=1e-12)


def test_the_interval_of_two_values_by_hand():
    """With 1 degree of freedom t is Cauchy's: its quantile is a tangent; s / sqrt(2) is half the difference."""
    assert interval([0.8, 0.9], 0.0) == pytest.approx(0.05 * math.tan(0.475 * math.pi), rel=1e-9)


@pytest.mark.parametrize("values", [[], [0.9], [0.9, math.nan], [0.9, 0.8, math.inf]])
def test_there_is_no_interval_without_two_finite_values(values):
    assert interval(values, 0.0) is None


def test_the_interval_covers_the_true_mean_at_the_nominal_rate():
    """Nadeau & Bengio's model: repeats correlate by r = n_validation / (n_validation + n_train), here 1/5."""
    values = correlated(np.random.default_rng(2), (4000, 5), 1 / 5)
    for correction, expected in ((1 / 4, 0.95), (0.0, None)):
        covered = np.mean([abs(np.mean(row)) <= interval(row, correction) for row in values])
        assert covered < 0.9 if expected is None else abs(covered - expected) < 0.012  # 3.5 standard errors


def correlated(random, shape, r):
    """Standard normal numbers, those of a row correlated by r."""
    return math.sqrt(r) * random.normal(size=(shape[0], 1)) + math.sqrt(1 - r) * random.normal(size=shape)


def test_equal_trials_are_distinguished_at_the_rate_of_the_level():
    """With the correction in 5 of 100 simulated sweeps of folds; without it far more often."""
    differences = correlated(np.random.default_rng(3), (3000, 10), 1 / 10)
    error_rates = {
        correction: np.mean([not tied([np.zeros(10), row], 0, correction).tied[1] for row in differences])
        for correction in (1 / 9, 0.0)
    }
    assert abs(error_rates[1 / 9] - 0.05) < 0.014  # 3.5 standard errors
    assert error_rates[0.0] > 0.12


@pytest.mark.slow
def test_of_many_equal_trials_none_is_called_worse_more_often_than_the_level():
    """Holm's rule for a reference chosen in advance; without it, 20 tests at 5 % would be wrong in half the runs.

    The best of the same scores leads by chance, so that a fixed level cannot hold for it; the error rate is far
    below that of single tests.
    """
    random, errors = np.random.default_rng(4), {"named": [], "luckiest": [], "one by one": []}
    for scores in random.normal(size=(1500, 20, 8)):
        luckiest = int(scores.mean(axis=1).argmax())
        errors["named"].append(not tied(scores, 0, 0.0).tied.all())
        errors["luckiest"].append(not tied(scores, luckiest, 0.0).tied.all())
        uncorrected = stats.ttest_rel(np.delete(scores, luckiest, axis=0), scores[luckiest], axis=1).pvalue
        errors["one by one"].append((uncorrected <= 0.05).any())
    assert np.mean(errors["named"]) < 0.05 + 0.02
    assert np.mean(errors["luckiest"]) < 0.25 < 0.7 < np.mean(errors["one by one"])


def test_a_clearly_worse_trial_is_distinguished_and_close_ones_are_not():
    random = np.random.default_rng(5)
    folds = random.normal(0, 0.05, 5)  # how hard a fold is; pairing takes it out
    means = np.array([0.90, 0.90, 0.90, 0.80])
    result = tied(means[:, None] + folds + random.normal(0, 0.004, (4, 5)), 0, 0.25)
    assert result.tied.tolist() == [True, True, True, False]


def test_holms_rule_on_a_worked_example():
    """Four tests: 4 x 0.005, 3 x 0.01, 2 x 0.03, then 0.04, which may not be smaller than the one before."""
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03, 0.005])), [0.03, 0.06, 0.06, 0.02], rtol=1e-12)
    assert holm(np.array([0.9, 0.8])).tolist() == [1, 1]
    assert holm(np.array([])).size == 0


def test_equal_and_constantly_different_trials():
    """Without any variance: equal is tied, also where rounding differs; a constant difference is not."""
    best = np.array([0.9, 0.8, 0.7])
    scores = [best, best.copy(), np.nextafter(best, 1), best - 0.25]
    result = tied(scores, 0, 0.5)
    assert result.tied.tolist() == [True, True, True, False]
    np.testing.assert_allclose(result.p_values, [1, 1, 1, 0], atol=1e-12)


def test_diverged_trials_are_never_tied_and_change_nothing_for_others():
    scores = np.random.default_rng(6).normal(size=(4, 5))
    diverged = [[math.nan, 1, 1, 1, 1], [1, 1, math.inf, 1, 1], [-math.inf] * 5]
    without, result = tied(scores, 2, 0.25), tied([*scores, *diverged], 2, 0.25)
    assert not result.tied[4:].any()
    assert np.isnan(result.p_values[4:]).all()
    assert result.p_values[:4].tolist() == without.p_values.tolist()
    with pytest.raises(ValueError, match=r"^best must be a trial whose scores are finite, but trial 1 has \[nan"):
        tied([[1, 1], [math.nan, 1]], 1, 0.0)


def test_one_repeat_is_not_enough_and_a_single_trial_is_the_best():
    assert tied([[0.9], [0.1]], 0, 0.0) is None
    assert tied([[0.9, 0.8]], 0, 0.0).tied.tolist() == [True]


def test_losses_and_accuracies_are_tested_alike():
    scores = np.random.default_rng(7).normal(size=(5, 6))
    assert p_values(scores, 3, 0.2).tolist() == p_values(-scores, 3, 0.2).tolist()


def test_the_seeds_of_a_fold_are_one_repeat_and_with_one_fold_each_is_one():
    scores = np.arange(12.0).reshape(2, 6)
    assert repeats(scores, 1).tolist() == scores.tolist()
    assert repeats(scores, 6).tolist() == scores.tolist()
    assert repeats(scores, 3).tolist() == [[0.5, 2.5, 4.5], [6.5, 8.5, 10.5]]
    assert repeats(scores[0], 2).tolist() == [1, 4]


def test_seeds_of_one_fold_would_overstate_the_evidence():
    """Two trials that are equal on the average over folds: as many columns as networks are wrong far too often."""
    random, n_errors = np.random.default_rng(8), {"repeats": 0, "networks": 0}
    for _ in range(1000):
        of_fold, of_seed = random.normal(size=(5, 1)), random.normal(0, 0.3, (5, 10))
        scores = np.stack([np.zeros(50), (of_fold + of_seed).ravel()])
        n_errors["repeats"] += not tied(repeats(scores, 5), 0, 0.0).tied[1]
        n_errors["networks"] += not tied(scores, 0, 0.0).tied[1]
    assert abs(n_errors["repeats"] / 1000 - 0.05) < 0.025
    assert n_errors["networks"] / 1000 > 0.4


NUMBER = st.sampled_from([0.0, 1.0, 2.0, 3.0, math.nan, math.inf, -math.inf])


@given(st.integers(1, 4).flatmap(lambda m: st.lists(st.tuples(*[NUMBER] * m), min_size=1, max_size=25)))
def test_the_pareto_front_equals_a_comparison_of_all_pairs(points):
    def is_better(a, b):
        return all(x <= y for x, y in zip(a, b, strict=True)) and a != b

    finite = [p for p in points if all(map(math.isfinite, p))]
    expected = [p in finite and not any(is_better(q, p) for q in finite) for p in points]
    assert pareto_front(points).tolist() == expected


@pytest.mark.parametrize("kind", ["random", "all on the front", "all equal", "three objectives"])
def test_the_pareto_front_of_10000_trials_is_found_fast(kind):
    random, line = np.random.default_rng(9), np.linspace(0, 1, 10_000)
    points = {
        "random": random.normal(size=(10_000, 2)),
        "all on the front": np.stack([line, -line], axis=1),
        "all equal": np.ones((10_000, 2)),
        "three objectives": random.normal(size=(10_000, 3)),
    }[kind]
    start = time.process_time()
    front = pareto_front(points)
    assert time.process_time() - start < 1
    assert front.all() == kind.startswith("all")


def test_without_trials_the_front_is_empty():
    assert pareto_front(np.empty((0, 2))).tolist() == []


def test_the_simplest_is_small_then_has_few_settings_then_ranks_high():
    assert simplest([(1000, 2, 1), (500, 3, 2), (500, 2, 4), (500, 2, 3)]) == 3
    assert simplest([(500, 1), (500, 1)]) == 0
    with pytest.raises(ValueError, match="empty"):
        simplest([])
