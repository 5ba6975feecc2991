"""Intervals, comparisons, correction and effects on arrays: against closed forms and simple simulations.

With real networks they are simulated in tests/laws/test_law_9_honest_numbers.py.
"""

import numpy as np
import pytest
from scipy import stats

from nncore import metrics
from pipeline.engine.uncertainty.comparison import compare
from pipeline.engine.uncertainty.correction import corrected
from pipeline.engine.uncertainty.effects import main_effects, share_of_best
from pipeline.engine.uncertainty.intervals import predictions_interval, score_intervals
from pipeline.engine.uncertainty.scores import measured

MAE = metrics.mean_absolute_error()


def scores_of(losses, folds=None, metric=MAE, **others):
    """`measured` of losses (T, S, R), which are absolute or squared errors."""
    errors = np.sqrt(losses) if metric.finish is np.sqrt else np.asarray(losses)
    return measured(metric, errors[..., None], np.zeros((errors.shape[2], 1)), folds, **others)


def test_the_scores_are_the_means_over_the_networks():
    random = np.random.default_rng(0)
    losses, folds = random.random((3, 2, 90)), np.repeat([0, 1, 2], 30)
    expected = losses.reshape(3, 2, 3, 30).mean(axis=3)
    np.testing.assert_allclose(scores_of(losses, folds).values, expected.mean(axis=(1, 2)), rtol=1e-6)
    squared = scores_of(losses, folds, metrics.root_mean_squared_error())
    np.testing.assert_allclose(squared.values, np.sqrt(expected).mean(axis=(1, 2)), rtol=1e-6)
    assert squared.estimand == "setting"
    assert scores_of(losses[:, :1]).estimand == "networks"


def test_the_interval_of_a_symmetric_loss_is_students():
    losses = 5 + stats.norm.ppf(np.linspace(0.001, 0.999, 400))
    expected = stats.norm.interval(0.95, losses.mean(), stats.sem(losses))
    np.testing.assert_allclose(score_intervals(scores_of(losses[None, None]))[0], expected, rtol=2e-3)


def test_a_row_that_is_scored_in_several_repeats_counts_once():
    random = np.random.default_rng(1)
    losses, folds = random.random((1, 1, 200)), np.repeat([0, 1], 100)
    thrice = np.concatenate([losses] * 3, axis=2)
    all_folds = np.concatenate([folds, folds + 2, folds + 4])
    once = score_intervals(scores_of(losses, folds))
    repeated = score_intervals(scores_of(thrice, all_folds, rows=np.tile(np.arange(200), 3)))
    np.testing.assert_allclose(repeated, once, rtol=0.02)


def test_the_interval_of_a_share_is_wilsons():
    y, t = np.zeros((100, 1)), np.zeros((100, 1))
    t[:7] = 1
    expected = stats.binomtest(93, 100).proportion_ci(method="wilson")
    np.testing.assert_allclose(predictions_interval(metrics.accuracy(), y, t), expected, atol=3e-3)
    low, high = predictions_interval(metrics.accuracy(), y, y)
    assert (round(low, 2), high) == (0.96, 1)


def test_with_too_few_rows_nothing_is_said():
    y, t = np.random.default_rng(2).random((60, 1)), np.zeros((60, 1))
    assert predictions_interval(MAE, y[:49], t[:49]) is None
    t[:4] = 1
    assert predictions_interval(metrics.roc_auc(), y, t) is None
    assert predictions_interval(metrics.log_loss(), y, t) is not None


@pytest.mark.parametrize(("n_trials", "n_seeds", "rate"), [(2, 1, 0.05), (20, 1, 0.1), (20, 3, 0.05)])
def test_equal_trials_are_told_apart_at_the_rate_of_the_level_whichever_is_the_luckiest(n_trials, n_seeds, rate):
    random, errors = np.random.default_rng(3), 0
    for _ in range(300):
        errors += not compare(scores_of(random.exponential(size=(n_trials, n_seeds, 200)))).tied.all()
    assert errors / 300 < rate + 0.03


def test_a_trial_that_is_four_standard_errors_worse_is_told_apart():
    random, found = np.random.default_rng(4), 0
    for _ in range(200):
        losses = random.exponential(size=(20, 1, 200))
        losses[7] += 4 * np.sqrt(2 / 200)
        found += not compare(scores_of(losses)).tied[7]
    assert found / 200 > 0.9


def test_diverged_trials_are_never_tied_and_change_nothing_for_others():
    losses = np.random.default_rng(5).exponential(size=(6, 1, 100))
    without = compare(scores_of(losses[:4]))
    losses[4:, :, 3] = np.nan
    result = compare(scores_of(losses))
    assert result.tied[4:].tolist() == [False, False]
    assert np.isnan(result.p_values[4:]).all()
    np.testing.assert_array_equal(result.p_values[:4], without.p_values)
    assert compare(scores_of(losses[4:])) is None
    assert np.isnan(score_intervals(scores_of(losses))).any(axis=1).tolist() == [False] * 4 + [True] * 2


def test_equal_predictions_are_tied_and_a_constant_difference_is_not():
    losses = np.random.default_rng(6).exponential(size=(1, 1, 100))
    result = compare(scores_of(np.concatenate([losses, losses, losses + 1])))
    assert result.tied.tolist() == [True, True, False]
    assert result.kind == "networks"


def test_the_corrected_score_of_the_luckiest_of_equal_trials_is_the_true_one():
    random, raw, value = np.random.default_rng(7), [], []
    for _ in range(150):
        result = corrected(scores_of(random.exponential(size=(30, 1, 100))))
        raw.append(result.raw)
        value.append(result.value)
    assert np.mean(raw) < 0.85
    assert abs(np.mean(value) - 1) < 0.03


def test_greater_is_better_is_the_mirror_image():
    random = np.random.default_rng(8)
    is_correct = random.random((8, 1, 150, 1)) < np.linspace(0.5, 0.9, 8)[:, None, None, None]
    t = np.ones((150, 1))
    of_accuracy = measured(metrics.accuracy(), is_correct.astype(float), t)
    of_errors = scores_of(1 - is_correct[..., 0].astype(float))
    assert compare(of_accuracy).tied.tolist() == compare(of_errors).tied.tolist()
    accuracy, error = corrected(of_accuracy), corrected(of_errors)
    assert accuracy.value == pytest.approx(1 - error.value)
    assert accuracy.value < accuracy.raw


def test_the_best_of_some_trials_counts_by_how_often_it_is_the_best():
    """Of four trials, two at a time: six pairs, of which the first is the best in three, the second in two."""
    assert share_of_best(4, 2).tolist() == pytest.approx([3 / 6, 2 / 6, 1 / 6, 0])
    assert share_of_best(3, 3).tolist() == [1, 0, 0]
    assert share_of_best(3, 1).tolist() == pytest.approx([1 / 3] * 3)


def test_a_value_with_more_trials_is_no_better_for_it():
    """The same losses, once for one value and twice for another one: what is tuned more often gains nothing."""
    random = np.random.default_rng(10)
    of_trial = random.uniform(1, 3, (6, 1, 1)) + random.normal(0, 0.1, (6, 1, 200))
    losses = np.concatenate([of_trial, of_trial, of_trial])
    effects = main_effects(scores_of(losses), ["a"] * 6 + ["b"] * 12, [0] * 18)
    assert [effect.n for effect in sorted(effects)] == [6, 12]
    means = {effect.value: effect.mean for effect in effects}
    best_of_six = min(float(row.mean()) for row in of_trial)
    assert means["a"] == pytest.approx(best_of_six)
    assert means["b"] > means["a"]  # six of its twelve, in which the best occurs twice, do not always hold it


def test_main_effects_of_a_grid():
    """Three optimizers, four regularizers, two rates: the best rate stands for both, and one optimizer is worse."""
    random = np.random.default_rng(9)
    trials = [(o, r, lr) for o in "abc" for r in range(4) for lr in (0, 1)]
    losses = random.exponential(size=300) + random.normal(0, 0.05, (len(trials), 1, 300)) + 2
    for index, (o, r, lr) in enumerate(trials):
        losses[index] += 0.3 * (o == "c") + 0.1 * r + 1.0 * lr
    effects = main_effects(scores_of(losses), [o for o, _, _ in trials], [r for _, r, _ in trials])
    assert {effect.value for effect in effects[:2]} == {"a", "b"}
    assert [effect.tied for effect in effects] == [True, True, False]
    assert [effect.n for effect in effects] == [8, 8, 8]
    assert effects[2].mean - effects[0].mean == pytest.approx(0.3, abs=0.02)
    assert effects[2].low > effects[0].high
    assert main_effects(scores_of(losses[:12]), ["a"] * 12, [0] * 12) is None
    assert main_effects(scores_of(losses[:2]), ["a", "b"], [0, 1]) is None


def test_the_calibration_error_has_no_interval():
    """That of perfect calibration would lie below it, as chance alone makes the error larger than 0."""
    random = np.random.default_rng(10)
    y = random.random((300, 1))
    t = (random.random((300, 1)) < y).astype(float)
    assert predictions_interval(metrics.calibration_error(), y, t) is None
    for metric in (metrics.average_precision(), metrics.roc_auc(), metrics.f1(), metrics.brier_score()):
        assert predictions_interval(metric, y, t) is not None


def test_the_interval_of_several_values_is_of_the_mean_of_their_roots():
    random, deviations = np.random.default_rng(12), np.array([1.0, 20.0])
    metric, n, covered = metrics.root_mean_squared_error(), 200, 0
    for _ in range(300):
        errors = random.normal(size=(n, 2)) * deviations
        low, high = predictions_interval(metric, errors, np.zeros((n, 2)))
        assert low < np.sqrt((errors**2).mean(axis=0)).mean() < high
        covered += low <= deviations.mean() <= high
    assert 0.91 <= covered / 300 <= 0.99
