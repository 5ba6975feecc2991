"""Answers: the predictions of all networks for the rows that they were not trained on, put together with the truth."""

import numpy as np
import pytest
from running import compose
from samples import SIGMOID, SOFTMAX, SQUARED, make_architecture, make_network

from nncore.inference.table import matrix_table
from nncore.stack.passes import predict
from nncore.stack.state import start
from pipeline.components.types import Development, Fold, RawRows
from pipeline.engine.slices.task import NetworkSelector
from pipeline.stages.answers import NetworkPlace, collect_answers, validation_predictions

FOLDS = (
    Fold(np.array([0, 2, 3, 5, 6, 8]), np.array([1, 4, 7])),
    Fold(np.array([1, 2, 4, 5, 7, 8]), np.array([0, 3, 6])),
)


def development_of(task, y, labels=None, weights=None):
    x = np.random.default_rng(0).normal(size=(len(y), 4))
    return Development(task, ("y",), labels, RawRows(matrix_table(x, tuple("abcd")), y, weights), FOLDS)


def predictions_of(development, architecture):
    """By fold, the predictions of two networks of one stack, seeds 0 and 1, and the logits from which they came."""
    stack = start(architecture, [make_network("a", 0), make_network("b", 1)])
    prepare = compose()[0].prepare
    views = [prepare(development, fold) for fold in range(2)]
    selectors = [NetworkSelector("a"), NetworkSelector("b")]
    predictions = [validation_predictions(view, architecture, selectors, stack) for view in views]
    return predictions, [predict(stack.parameters, architecture, view.data.validation.x) for view in views]


def test_every_row_has_the_prediction_of_the_network_that_has_not_seen_it():
    labels = np.array(["no", "perhaps", "yes"])
    development = development_of("classification", labels[[0, 1, 2, 0, 1, 2, 0, 1, 2]], labels)
    predictions, logits = predictions_of(development, make_architecture((4, 5, 3), loss=SOFTMAX))
    # two trials of one seed: the first fold's task returned trial 1 before trial 0
    places = [NetworkPlace(1, 0, 0), NetworkPlace(0, 0, 0), NetworkPlace(0, 0, 1), NetworkPlace(1, 0, 1)]
    answers = collect_answers(development, ("0003", "0001"), places, *predictions)
    assert answers.y.shape == (2, 1, 6, 3)
    assert answers.rows.tolist() == [1, 4, 7, 0, 3, 6]
    assert answers.folds.tolist() == [0, 0, 0, 1, 1, 1]
    p = np.exp(logits[0][0]) / np.exp(logits[0][0]).sum(axis=1, keepdims=True)  # network a on the first fold
    np.testing.assert_allclose(answers.y[1, 0, :3], p, rtol=1e-5)
    np.testing.assert_array_equal(answers.y[0, 0, :3], predictions[0].y[1])
    np.testing.assert_array_equal(answers.y[0, 0, 3:], predictions[1].y[0])
    assert answers.t.argmax(axis=1).tolist() == [1, 1, 1, 0, 0, 0]
    np.testing.assert_allclose(answers.loss[1, 0, :3], -np.log(p[:, 1]), rtol=1e-5)


def test_of_two_classes_there_is_the_probability_of_the_second():
    labels = np.array([3, 7])
    development = development_of("classification", labels[[0, 1, 1, 0, 1, 0, 0, 1, 1]], labels)
    predictions, _ = predictions_of(development, make_architecture((4, 5, 1), loss=SIGMOID))
    places = [NetworkPlace(0, seed, fold) for fold in (0, 1) for seed in (0, 1)]
    answers = collect_answers(development, ("0000",), places, *predictions)
    assert answers.y.shape == (1, 2, 6, 1)
    assert answers.t.ravel().tolist() == [1, 1, 1, 0, 0, 0]
    np.testing.assert_array_equal(answers.y[0, 1, 3:], predictions[1].y[1])


def test_values_are_in_the_targets_unit_and_range_whatever_the_scaling_of_the_fold():
    y = np.array([[1e6], [1e6 + 10], [1e6 + 20], [1e6 + 5], [1e6 + 30], [1e6], [1e6 + 1], [1e6 + 2], [1e6 + 3]])
    development = development_of("regression", y, weights=np.arange(1.0, 10))
    predictions, logits = predictions_of(development, make_architecture((4, 5, 1), loss=SQUARED))
    places = [NetworkPlace(0, seed, fold) for fold in (0, 1) for seed in (0, 1)]
    answers = collect_answers(development, ("0000",), places, *predictions)
    np.testing.assert_array_equal(answers.t, y[answers.rows])
    np.testing.assert_array_equal(answers.weights, answers.rows + 1.0)
    for fold in (0, 1):
        train = y[FOLDS[fold].train]
        expected = np.clip(logits[fold][1].astype(float) * train.std() + train.mean(), train.min(), train.max())
        np.testing.assert_allclose(answers.y[0, 1, answers.folds == fold], expected, rtol=1e-12)
    assert answers.y.dtype == np.float64


def test_trials_without_one_of_the_networks_are_refused():
    labels = np.array([3, 7])
    development = development_of("classification", labels[[0, 1, 1, 0, 1, 0, 0, 1, 1]], labels)
    predictions, _ = predictions_of(development, make_architecture((4, 5, 1), loss=SIGMOID))
    with pytest.raises(ValueError, match=r"shorter|longer"):
        collect_answers(development, ("0000",), [NetworkPlace(0, 0, 0)], *predictions)
