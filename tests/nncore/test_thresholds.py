"""Thresholds compared with scikit-learn's scores at every threshold, and what tuning them gains, by simulation."""

import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import balanced_accuracy_score, f1_score

from nncore import metrics
from nncore.calibration import cross_fitting_parts
from nncore.thresholds import choose_threshold, depends_on_threshold
from pipeline.components.scores import metrics_of

SCORES = {"f1": f1_score, "balanced_accuracy": balanced_accuracy_score}


def drawn_answers(random, n, mean=-2.5):
    """Probabilities (n,) of the second class, rare for a small mean of the logits, and classes drawn by them."""
    p = expit(random.normal(mean, 1.5, n))
    return p, (random.random(n) < p).astype(float)


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize("weighted", [False, True])
def test_the_threshold_has_the_best_score_of_all(name, weighted):
    random = np.random.default_rng(5)
    p, t = drawn_answers(random, 190)
    weights = random.uniform(0.2, 2, 190) if weighted else None
    choice = choose_threshold(p, t, cross_fitting_parts(190), getattr(metrics, name)().value, True, weights)
    ordered = np.sort(p)
    by_threshold = [
        SCORES[name](t, p > threshold, sample_weight=weights) for threshold in (ordered[:-1] + ordered[1:]) / 2
    ]
    assert choice.value != 0.5
    assert SCORES[name](t, p > choice.value, sample_weight=weights) == pytest.approx(max(by_threshold), rel=1e-12)
    assert choice.score_before == pytest.approx(SCORES[name](t, p > 0.5, sample_weight=weights))
    assert choice.score_before < choice.score_after <= max(by_threshold)


def test_cross_fitted_scores_are_by_thresholds_of_the_other_parts():
    p, t = drawn_answers(np.random.default_rng(1), 300)
    parts, score = np.arange(300) % 2, metrics.f1().value
    choice = choose_threshold(p, t, parts, score, True)
    decisions = np.empty(300, bool)
    for part in (0, 1):
        rows, values = parts != part, np.unique(p[parts != part])
        candidates = np.concatenate([[0.5], (values[:-1] + values[1:]) / 2])
        best = max(candidates, key=lambda value, r=rows: (f1_score(t[r], p[r] > value), -abs(value - 0.5)))
        decisions[~rows] = p[~rows] > best
    assert choice.score_after == pytest.approx(f1_score(t, decisions))


def test_a_cost_is_as_good_as_a_score():
    p, t = drawn_answers(np.random.default_rng(2), 400)
    score = metrics.f1().value
    choice = choose_threshold(p, t, cross_fitting_parts(400), score, True)
    cost = choose_threshold(p, t, cross_fitting_parts(400), lambda *arrays: 1 - score(*arrays), False)
    assert cost == (choice.value, pytest.approx(1 - choice.score_before), pytest.approx(1 - choice.score_after))


def test_which_metrics_depend_on_the_threshold():
    names = ["accuracy", "balanced_accuracy", "f1", "f1_macro", "f1_weighted", "matthews_correlation"]
    for name, metric in metrics_of("classification").items():
        assert depends_on_threshold(metric.value) == (name in names), name


@pytest.mark.parametrize(
    ("n", "repetitions"), [(200, 30), *(pytest.param(n, 300, marks=pytest.mark.nightly) for n in (50, 200, 1000))]
)
def test_law_9_a_tuned_threshold_helps_where_it_can_and_costs_little_where_not(n, repetitions):
    """By simulation with calibrated probabilities: for accuracy 0.5 is best, for balanced accuracy a lower one."""
    random, parts = np.random.default_rng(n), cross_fitting_parts(n)
    for metric, mean, gain in ((metrics.accuracy(), 0, -0.01), (metrics.balanced_accuracy(), -2.5, 0.05)):
        fresh, truth = drawn_answers(random, 50_000, mean)
        before, after = metric.value(fresh[None, :, None], truth[None, :, None], None)[0], []
        for _ in range(repetitions):
            choice = choose_threshold(*drawn_answers(random, n, mean), parts, metric.value, True)
            decisions = (fresh > choice.value).astype(float)
            after.append(metric.value(decisions[None, :, None], truth[None, :, None], None)[0])
        assert np.mean(after) >= before + gain


def test_a_single_row_has_the_default():
    choice = choose_threshold(np.array([0.3]), np.ones(1), np.zeros(1, int), metrics.accuracy().value, True)
    assert choice == (0.5, 0.0, 0.0)
