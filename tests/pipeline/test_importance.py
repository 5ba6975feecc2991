"""The hyperparameter importances: those of Optuna's PED-ANOVA, on tables of trials of every kind."""

import warnings
from types import SimpleNamespace

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

from pipeline.reports.importance import importances, shares

LOGARITHMIC = ("optimizer.learning_rate", "regularizer.strength")


def columns_of(seed, n):
    """Values of hyperparameters by name, as texts."""
    random = np.random.default_rng(seed)
    return {
        "optimizer": random.choice(["adam", "momentum", "sgd"], n).tolist(),
        "optimizer.learning_rate": [repr(float(value)) for value in 10 ** random.uniform(-4, 0, n)],
        "regularizer.strength": random.choice(["0.1", "0.001", "0.0001"], n).tolist(),
        "network.depth": [str(value) for value in random.integers(1, 9, n)],
        "dropout": random.choice(["0.0", "0.5"], n).tolist(),
    }


def contents_of(columns, scores, smaller_is_better):
    rows = [dict(zip(columns, values, strict=True), trial="0000") for values in zip(*columns.values(), strict=True)]
    return SimpleNamespace(
        ranked_rows=rows,
        trials={"0000": SimpleNamespace(parameters=columns)},
        scores=lambda: dict(enumerate(scores)),
        smaller_is_better=smaller_is_better,
    )


def of_optuna(columns, scores, smaller_is_better):
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    spaces, typed = {}, {}
    for name, texts in columns.items():
        if name == "optimizer":
            spaces[name], typed[name] = CategoricalDistribution(sorted(set(texts))), texts
        else:
            typed[name] = [float(text) for text in texts]
            spaces[name] = FloatDistribution(min(typed[name]), max(typed[name]), log=name in LOGARITHMIC)
    study = optuna.create_study(direction="minimize" if smaller_is_better else "maximize")
    for number, score in enumerate(scores):
        parameters = {name: values[number] for name, values in typed.items()}
        study.add_trial(optuna.create_trial(params=parameters, distributions=spaces, value=score))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return dict(get_param_importances(study, evaluator=PedAnovaImportanceEvaluator()))


@pytest.mark.parametrize("smaller_is_better", [True, False])
@pytest.mark.parametrize(("n", "decimals"), [(12, 6), (40, 1), (150, 6), (150, 1)])
def test_they_are_those_of_optuna(n, decimals, smaller_is_better):
    """With one decimal many trials have the same score, also at the edge of the best tenth."""
    for seed in range(3):
        columns = columns_of(seed, n)
        scores = np.random.default_rng(seed + 100).normal(size=n).round(decimals).tolist()
        computed = shares(contents_of(columns, scores, smaller_is_better))
        expected = of_optuna(columns, scores, smaller_is_better)
        assert computed == pytest.approx(expected, abs=1e-9)
        assert list(computed.values()) == sorted(computed.values(), reverse=True)


def test_if_the_best_are_like_all_no_hyperparameter_stands_out():
    """All scores are equal, so the best tenth is all trials."""
    computed = shares(contents_of({"a": ["x", "y"] * 10, "b": ["1", "2"] * 10}, [1.0] * 20, True))
    assert computed == {"a": 0.5, "b": 0.5}


def test_a_hyperparameter_that_only_some_trials_have_is_left_out():
    columns = columns_of(0, 20) | {"optimizer.rho": ["0.9", ""] * 10}
    assert set(shares(contents_of(columns, [float(i) for i in range(20)], True))) == set(columns) - {"optimizer.rho"}


@pytest.mark.slow
def test_of_shuffled_scores_nothing_stands_out_in_19_of_20_sweeps():
    """Hyperparameters that do not matter: the largest share is a half all the same."""
    found, largest = 0, []
    for seed in range(200):
        scores = np.random.default_rng(seed + 1000).normal(size=112).tolist()
        of_sweep = importances(contents_of(columns_of(seed, 112), scores, True)).values()
        found += any(importance.stands_out for importance in of_sweep)
        largest.append(max(importance.share for importance in of_sweep))
    assert found / 200 < 0.05 + 0.04
    assert np.median(largest) > 0.45


def test_two_hyperparameters_that_matter_both_stand_out_and_others_do_not():
    columns = columns_of(1, 150)
    is_adam = np.array(columns["optimizer"]) == "adam"
    scores = 3 * is_adam - np.abs(np.log10(np.array(columns["optimizer.learning_rate"], float)) + 2)
    found = importances(contents_of(columns, scores.tolist(), False))
    assert {name for name, importance in found.items() if importance.stands_out} == {
        "optimizer",
        "optimizer.learning_rate",
    }
    assert sum(importance.share for importance in found.values()) == pytest.approx(1)
    assert found["network.depth"].share < found["network.depth"].shuffled
