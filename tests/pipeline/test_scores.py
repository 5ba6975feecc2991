"""The scores of a task: which, in which order, and how people read them."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score

from pipeline.components.scores import headline, in_words, label, metrics_of, scores_by_name

CONTRACT = {  # the scores that people use, by task
    "classification": "log_loss accuracy roc_auc balanced_accuracy f1 f1_macro f1_weighted average_precision "
    "matthews_correlation brier_score calibration_error",
    "regression": "root_mean_squared_error mean_absolute_error r2 median_absolute_error mean_absolute_percentage_error "
    "mean_poisson_deviance",
    "multilabel": "label_accuracy roc_auc subset_accuracy average_precision label_f1",
}


@pytest.mark.parametrize("task", CONTRACT)
def test_a_task_has_its_metrics_those_of_the_headline_first(task):
    names = CONTRACT[task].split()
    first = [name for name in headline(task, ["y"], "loss") if name != "loss"]
    assert set(metrics_of(task)) == set(names)
    assert list(metrics_of(task))[: len(first)] == names[: len(first)] == first


def test_the_metric_of_the_ranking_is_in_the_headline():
    assert headline("classification", ["y"], "loss") == ["log_loss", "accuracy", "roc_auc"]
    assert headline("classification", ["y"], "f1") == ["f1", "log_loss", "accuracy", "roc_auc"]
    assert headline("regression", [*"uv"], "r2")[3:] == ["root_mean_squared_error_u", "root_mean_squared_error_v"]
    assert len(headline("regression", [*"abcdefgh"], "r2")) == 3


def test_the_threshold_counts_for_the_scores_of_predicted_classes():
    random = np.random.default_rng(0)
    t = random.integers(2, size=(1, 80, 1)).astype(float)
    y = random.random((1, 80, 1))
    scores = scores_by_name(y, t, None, "classification", threshold=0.7)
    assert scores["accuracy"][0] == pytest.approx(accuracy_score(t[0], y[0] > 0.7))
    assert scores["f1"][0] == pytest.approx(f1_score(t[0], y[0] > 0.7))


def test_scores_in_words_have_labels_and_digits_for_people():
    scores = {"log_loss": 0.10234, "accuracy": 0.97222, "roc_auc": 0.99801, "loss": 0.2}
    assert in_words(scores, headline("classification", ["y"], "loss")) == (
        "log loss 0.1023, accuracy 0.972, ROC AUC 0.998"
    )
    assert (
        in_words({"loss": 0.2, "accuracy": 0.9}, ["log_loss", "accuracy", "roc_auc"]) == "loss 0.2000, accuracy 0.900"
    )
    money = {"root_mean_squared_error": 45678.9, "mean_absolute_error": 31.23456, "r2": 0.5}
    assert in_words(money) == "RMSE 45,680, MAE 31.23, R2 0.500"
    assert in_words({"root_mean_squared_error_price": 0.00001234}) == "RMSE of price 1.234e-05"


def test_labels_of_scores_of_one_target():
    assert label("roc_auc_my_label") == "ROC AUC of my_label"
    assert label("f1_macro") == "macro F1"
    assert label("profit_in_euro") == "profit in euro"


def test_intervals_are_shown_to_two_digits_of_their_width():
    scores = {"log_loss": 0.10214, "accuracy": 0.97222, "root_mean_squared_error": 58.8812, "r2": 1.0}
    ends = {"log_loss": (0.0469912, 0.743911), "accuracy": (0.9536, 0.98611), "r2": (1.0, 1.0)}
    ends |= {"root_mean_squared_error": (1050.3512, 12069.4141)}
    assert in_words(scores, ["log_loss", "accuracy"], ends) == (
        "log loss 0.1021 (95 % interval 0.05 to 0.74), accuracy 0.972 (95 % interval 0.954 to 0.986)"
    )
    assert in_words(scores, ["root_mean_squared_error"], ends) == "RMSE 58.88 (95 % interval 1,050 to 12,069)"
    assert in_words(scores, ["r2"], ends) == "R2 1.000 (95 % interval 1.0000 to 1.0000)"
    assert in_words(scores, ["accuracy"], {}) == "accuracy 0.972"
