"""Metrics against scikit-learn's, on random tables with ties, absent classes and weights."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from nncore import metrics
from nncore.calibration import expected_calibration_error
from nncore.components import Component, component_names

seeds = st.integers(0, 2**32 - 1)
ARGUMENTS = {"mean_pinball_loss": {"quantile": 0.9}}  # of those that need some


def draw(seed, n_outputs, task):
    """Predictions (3, N, O) of float32 with ties, targets (1, N, O) and weights (1, N), some of which are 0."""
    random = np.random.default_rng(seed)
    n = int(random.integers(12, 60))
    if task == "values":
        t = random.normal(3, 2, (1, n, n_outputs)).round(1)
        y = t + random.normal(size=(3, n, n_outputs)).round(1)
    elif task == "labels" or n_outputs == 1:
        t = random.integers(2, size=(1, n, n_outputs)).astype(float)
        y = random.integers(1, 16, (3, n, n_outputs)) / 16
    else:
        classes = random.permutation(n_outputs)[: max(2, n_outputs - int(random.integers(3)))]  # some are absent
        t = np.eye(n_outputs)[random.choice(classes, n)][None]
        y = random.integers(1, 5, (3, n, n_outputs)).astype(float)
        y /= y.sum(axis=2, keepdims=True)
    weights = random.choice([0.0, 0.5, 1.0, 3.0], (1, n)) if random.random() < 0.3 else random.uniform(0.5, 4, (1, n))
    return y.astype(np.float32), t.astype(np.float32), weights.astype(np.float32)


def build(name, **arguments):
    return Component(f"nncore.metrics.{name}", tuple((arguments or ARGUMENTS.get(name, {})).items())).build()


def scored(name, y, t, weights, **arguments):
    return build(name, **arguments).value(y, t, weights)


def expected(score, y, t, weights):
    """By network, score(true, predicted, weights of the rows), in float64; NaN where scikit-learn has no answer."""
    rows = None if weights is None else weights[0].astype(float)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [score(t[0].astype(float), p.astype(float), rows) for p in y]


def check(name, score, y, t, weights, **arguments):
    for w in (None, weights):
        theirs = expected(score, y, t, w)
        np.testing.assert_allclose(scored(name, y, t, w, **arguments), theirs, rtol=1e-6, atol=1e-6, err_msg=name)


def classes(p, threshold=0.5):
    return (p[:, 0] > threshold).astype(int) if p.shape[1] == 1 else p.argmax(axis=1)


def by_column(score, needs_both):
    """The mean of scikit-learn's score of one column over the columns where it is defined, the classes by weight."""

    def mean(t, p, w):
        w = np.ones(len(t)) if w is None else w
        weight = [(w @ column, w @ (1 - column)) for column in t.T]
        known = [o for o, (yes, no) in enumerate(weight) if yes > 0 and (no > 0 or not needs_both)]
        return np.mean([score(t[:, o], p[:, o], sample_weight=w) for o in known]) if known else np.nan

    return mean


HARD = {  # scores of predicted classes
    "accuracy": lambda t, p, w: sk.accuracy_score(t, p, sample_weight=w),
    "balanced_accuracy": lambda t, p, w: sk.balanced_accuracy_score(t, p, sample_weight=w),
    "f1_macro": lambda t, p, w: sk.f1_score(t, p, average="macro", sample_weight=w),
    "f1_weighted": lambda t, p, w: sk.f1_score(t, p, average="weighted", sample_weight=w),
    "matthews_correlation": lambda t, p, w: sk.matthews_corrcoef(t, p, sample_weight=w),
}
VALUES = {
    "root_mean_squared_error": sk.root_mean_squared_error,
    "mean_absolute_error": sk.mean_absolute_error,
    "median_absolute_error": sk.median_absolute_error,
    "r2": sk.r2_score,
    "mean_absolute_percentage_error": sk.mean_absolute_percentage_error,
}


@settings(max_examples=15, deadline=None)
@given(seed=seeds, n_outputs=st.sampled_from([1, 3, 5]))
def test_scores_of_classes_are_sklearns(seed, n_outputs):
    y, t, weights = draw(seed, n_outputs, "classes")
    labels, threshold = list(range(max(2, n_outputs))), 0.3
    for name, score in HARD.items():
        check(name, lambda t, p, w, score=score: score(classes(t), classes(p), w), y, t, weights)
    check("log_loss", lambda t, p, w: sk.log_loss(classes(t), both(p), sample_weight=w, labels=labels), y, t, weights)
    check(
        "brier_score",
        lambda t, p, w: sk.brier_score_loss(classes(t), both(p), sample_weight=w, labels=labels),
        y,
        t,
        weights,
    )
    check("roc_auc", by_column(sk.roc_auc_score, True), y, t, weights)
    check("average_precision", by_column(sk.average_precision_score, False), y, t, weights)
    if n_outputs == 1:
        for name, score in {**HARD, "f1": lambda t, p, w: sk.f1_score(t, p, sample_weight=w)}.items():
            at_threshold = lambda t, p, w, score=score: score(classes(t), classes(p, np.float32(threshold)), w)  # noqa: E731
            check(name, at_threshold, y, t, weights, threshold=threshold)
    else:
        np.testing.assert_array_equal(scored("f1", y, t, weights), scored("f1_macro", y, t, weights))


def both(p):
    return np.concatenate([1 - p, p], axis=1) if p.shape[1] == 1 else p / p.sum(axis=1, keepdims=True)


def test_one_against_the_rest_is_sklearns_where_all_classes_are_present():
    random = np.random.default_rng(0)
    y = random.dirichlet(np.ones(4), (2, 200))
    index = np.r_[random.integers(4, size=196), range(4)]
    t, weights = np.eye(4)[index][None], random.uniform(0.5, 2, (1, 200))
    for w in (None, weights):
        rows = None if w is None else w[0]
        theirs = [sk.roc_auc_score(index, p, multi_class="ovr", sample_weight=rows) for p in y]
        np.testing.assert_allclose(scored("roc_auc", y, t, w), theirs, rtol=1e-12)
        theirs = [sk.average_precision_score(t[0], p, sample_weight=rows) for p in y]
        np.testing.assert_allclose(scored("average_precision", y, t, w), theirs, rtol=1e-12)


@settings(max_examples=15, deadline=None)
@given(seed=seeds, n_outputs=st.sampled_from([1, 2, 4]))
def test_scores_of_labels_are_sklearns(seed, n_outputs):
    y, t, weights = draw(seed, n_outputs, "labels")

    def f1(t, p, w):
        scores = [
            sk.f1_score(true, label, sample_weight=w, zero_division=0) for true, label in zip(t.T, p.T, strict=True)
        ]
        return np.mean(scores)

    check("label_accuracy", lambda t, p, w: 1 - sk.hamming_loss(t, p > 0.5, sample_weight=w), y, t, weights)
    check("subset_accuracy", lambda t, p, w: sk.accuracy_score(t, p > 0.5, sample_weight=w), y, t, weights)
    check("label_f1", lambda t, p, w: f1(t, p > 0.5, w), y, t, weights)
    check("roc_auc", by_column(sk.roc_auc_score, True), y, t, weights)
    check("average_precision", by_column(sk.average_precision_score, False), y, t, weights)


@settings(max_examples=15, deadline=None)
@given(seed=seeds, n_outputs=st.sampled_from([1, 3]))
def test_scores_of_values_are_sklearns(seed, n_outputs):
    y, t, weights = draw(seed, n_outputs, "values")
    t = np.where(t == 0, np.float32(0.1), t)  # a share of 0 has no digits to compare
    for name, score in VALUES.items():
        check(name, lambda t, p, w, score=score: score(t, p, sample_weight=w), y, t, weights)
    check(
        "mean_pinball_loss",
        lambda t, p, w: sk.mean_pinball_loss(t, p, alpha=0.9, sample_weight=w),
        y,
        t,
        weights,
        quantile=0.9,
    )
    counts, positive = np.abs(t).round(), np.abs(y) + np.float32(0.1)
    by_target = lambda t, p, w: np.mean(  # noqa: E731
        [sk.mean_poisson_deviance(t[:, o], p[:, o], sample_weight=w) for o in range(t.shape[1])]
    )
    check("mean_poisson_deviance", by_target, positive, counts, weights)


@settings(max_examples=15, deadline=None)
@given(seed=seeds, n_outputs=st.sampled_from([1, 3]), task=st.sampled_from(["classes", "labels", "values"]))
def test_law_1_a_score_does_not_depend_on_the_other_networks(seed, n_outputs, task):
    y, t, weights = draw(seed, n_outputs, task)
    for name in component_names("metrics"):
        metric = build(name)
        if task in metric.targets:
            for w in (None, weights):
                with np.errstate(all="ignore"):
                    together = metric.value(y, t, w)
                    assert together.dtype == np.float64
                    alone = np.concatenate([metric.value(y[k : k + 1], t, w) for k in range(3)])
                np.testing.assert_array_equal(together, alone, err_msg=name)


def test_networks_may_have_targets_and_weights_of_their_own():
    y, t, weights = (np.concatenate(parts, axis=0) for parts in zip(*map(same_size, range(3)), strict=True))
    for name in component_names("metrics"):
        metric = build(name)
        with np.errstate(all="ignore"):
            alone = [metric.value(y[k : k + 1], t[k : k + 1], weights[k : k + 1])[0] for k in range(3)]
            np.testing.assert_array_equal(metric.value(y, t, weights), alone, err_msg=name)


def same_size(seed):
    random = np.random.default_rng(seed)
    t = (random.random((1, 40, 1)) < 0.5).astype(float)
    return random.random((1, 40, 1)), t, random.random((1, 40)) + 0.1


@pytest.mark.parametrize("name", sorted(component_names("metrics")))
def test_the_rows_of_a_metric_give_its_value(name):
    metric = build(name)
    y, t, weights = draw(3, 1, metric.targets[0])
    if metric.rows is not None:
        with np.errstate(all="ignore"):
            mean = np.average(metric.rows(y, t), axis=1, weights=weights[0])
            np.testing.assert_allclose(metric.finish(mean), metric.value(y, t, weights), rtol=1e-6)


def test_undefined_scores_are_nan():
    y, one_class = np.full((2, 5, 1), 0.4), np.ones((1, 5, 1))
    assert np.isnan(scored("roc_auc", y, one_class, None)).all()
    assert np.isnan(scored("average_precision", y, 0 * one_class, None)).all()
    assert np.isnan(scored("r2", y, one_class, None)).all()
    assert np.isnan(scored("mean_poisson_deviance", -y, one_class, None)).all()
    lost = np.array([0.1, 0.9, np.nan, 0.3])[None, :, None]
    known = np.concatenate([lost, np.array([0.1, 0.9, 0.2, 0.05])[None, :, None]])
    for name in ("roc_auc", "average_precision"):
        np.testing.assert_array_equal(scored(name, known, np.array([0.0, 1, 1, 0])[None, :, None], None), [np.nan, 1])


def test_the_calibration_error_counts_a_row_of_weight_2_twice():
    random = np.random.default_rng(1)
    y, t = random.random((2, 50, 1)), (random.random((1, 50, 1)) < 0.6).astype(float)
    copies = random.integers(0, 3, 50)
    twice = np.repeat(np.arange(50), copies)
    np.testing.assert_allclose(
        scored("calibration_error", y, t, copies[None].astype(float)),
        expected_calibration_error(y[:, twice], t[:, twice]),
        rtol=1e-12,
    )


def test_a_metric_refuses_what_is_out_of_range():
    for name, argument, value in (("f1", "threshold", 1.5), ("mean_pinball_loss", "quantile", -0.1)):
        with pytest.raises(ValueError, match=f"{argument} must be .* is {value}.*{name}"):
            getattr(metrics, name)(**{argument: value})
