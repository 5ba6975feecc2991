"""Recipes and their portfolio: what is asked for, in which order, on how many folds."""

import re

import pytest
from pydantic import TypeAdapter, ValidationError

from pipeline.search.grid import Grid
from pipeline.search.portfolio import Portfolio
from pipeline.search.random_search import Random
from pipeline.search.recipes import Recipes
from pipeline.search.space import Space

ADAM, SGD = "nncore.optimizers.adam.adam", "nncore.optimizers.sgd.sgd"
NONE, L2 = "nncore.regularizers.penalties.none", "nncore.regularizers.penalties.l2"
RATES = {"low": 0.001, "high": 0.1, "scale": "log"}
PLAIN = {"none": {"_target_": NONE}}
BLOCK = {
    "optimizer": {"adam": {"_target_": ADAM, "learning_rate": 0.05}, "sgd": {"_target_": SGD, "learning_rate": 0.1}},
    "regularizer": PLAIN | {"l2": {"_target_": L2, "strength": [0.1, 0.2]}},
}


def recipe(width, rates=RATES):
    optimizer = {"adam": {"_target_": ADAM, "learning_rate": rates}}
    return {"optimizer": optimizer, "regularizer": PLAIN, "network": {"hidden": [[width], [2 * width]]}}


def recipes(*widths, **parts):
    node = {"recipes": {f"of {width}": recipe(width) for width in widths}} | parts
    return TypeAdapter(Recipes).validate_python(node)


def portfolio(**changed):
    plain = {"recipes": None, "first_rows": 7, "first_epochs": 0.2, "keep": 2, "trials": 0, "batch_size": 4}
    return Portfolio(**plain | {"teraflops": None, "seed": 0} | changed)


def width_of(trial):
    return dict(trial.overrides)["network.hidden"][0]


def run(sampler, score):
    """The rungs as lists of (trial, folds, epoch)."""
    rungs = []
    while requests := sampler.ask():
        rungs.append([(request.trial, request.validation_rows, request.until) for request in requests])
        sampler.tell({request.trial.key: (score(request.trial, request.validation_rows),) for request in requests})
    return rungs


def numbers(rungs):
    """The rungs as (numbers of trials, folds, epoch)."""
    return [([trial.number for trial, _, _ in rung], *rung[0][1:]) for rung in rungs]


def by_width(trial, folds):
    return 1 / width_of(trial)


def by_rate(trial, folds):
    return -trial.parameters["optimizer.learning_rate"]


def test_recipes_are_tried_for_few_epochs_the_better_half_for_all_and_the_best_on_all_folds():
    rungs = run(portfolio().begin(recipes(4, 16, 8, 6, 5, 7), 9, 1), by_width)
    assert numbers(rungs) == [
        ([0, 1, 2, 3, 4, 5], 7, 2),  # a fifth of 9 epochs, rounded up
        ([1, 2, 5], 7, 9),
        ([1, 2, 5], 7, 9),  # with a block, if there were one
        ([1, 2], None, 9),
    ]
    first = rungs[0][0][0]
    assert first.parameters["optimizer.learning_rate"] == pytest.approx(0.01)  # the middle of a logarithmic range
    assert (first.parameters["recipe"], width_of(first)) == ("of 4", 4)  # the first of the choices


def test_only_the_first_recipes_are_tried_and_for_all_epochs_at_once_if_that_is_set():
    rungs = run(portfolio(recipes=2, first_epochs=1.0, keep=1).begin(recipes(4, 16, 32), 9, 1), by_width)
    assert numbers(rungs) == [([0, 1], 7, 9), ([1, 0], 7, 9), ([1], None, 9)]


@pytest.mark.parametrize("trials", [0, 10])
def test_the_optimizers_and_regularizers_of_the_best_recipe_are_compared_on_the_same_folds(trials):
    space = recipes(4, 16, blocks={"of 16": BLOCK, "of 4": BLOCK})
    sampler = portfolio(trials=trials).begin(space, 9, 1)
    assert sampler.designed_trials == ()
    assert sampler.comparison_pending
    block = run(sampler, by_width)[2][2:]  # the first two are the recipes
    chosen = [(t.optimizer_name, t.regularizer_name, t.parameters.get("regularizer.strength")) for t, _, _ in block]
    regularizers = [("none", None), ("l2", 0.1), ("l2", 0.2)]
    assert chosen == [(name, *regularizer) for name in ("adam", "sgd") for regularizer in regularizers]
    assert {(width_of(trial), trial.parameters["recipe"], *how) for trial, *how in block} == {(16, "of 16", 7, 9)}
    assert sampler.designed_trials == tuple(trial.key for trial, _, _ in block)
    assert not sampler.comparison_pending
    assert len(set(sampler.designed_trials)) == 6


def test_a_recipe_that_equals_a_trial_of_its_block_is_not_trained_again_and_no_part_of_the_comparison():
    """It was chosen by its scores."""
    same = {"adam": {"_target_": ADAM, "learning_rate": 0.05}}
    node = {"recipes": {"a": recipe(4) | {"optimizer": same}}, "blocks": {"a": BLOCK}}
    sampler = portfolio().begin(TypeAdapter(Recipes).validate_python(node), 9, 1)
    rungs = run(sampler, by_width)
    assert len(rungs[2]) == 6
    assert len(sampler.designed_trials) == 5
    assert rungs[0][0][0].key not in sampler.designed_trials


def test_of_the_block_those_better_than_the_recipe_are_trained_on_all_folds():
    """Stronger penalties are better, whatever the optimizer; the recipes have none."""

    def score(trial, folds):
        return -trial.parameters.get("regularizer.strength", 0) - (width_of(trial) == 16) / 1000

    space = recipes(4, 16, 8, blocks={"of 16": BLOCK})
    *_, kept = run(portfolio().begin(space, 9, 1), score)
    assert [(width_of(trial), trial.parameters.get("regularizer.strength")) for trial, *_ in kept] == [
        *((16, None), (4, None)),
        *((16, 0.2), (16, 0.2)),  # with adam and with sgd
    ]
    assert {(folds, until) for _, folds, until in kept} == {(None, 9)}


def test_the_better_half_of_random_trials_is_trained_for_all_epochs_and_promising_ones_on_all_folds():
    """Larger rates are better; the recipes have the middle of the range."""
    sampler = portfolio(trials=10, keep=1).begin(recipes(4, 16), 9, 1)
    rungs = run(sampler, by_rate)[4:]
    assert [len(rung) for rung in rungs if rung[0][2] == 2] == [4, 4, 2]
    drawn = {trial.key: trial for rung in rungs for trial, _, until in rung if until == 2}
    assert len(drawn) == 10
    assert {trial.parameters["recipe"] for trial in drawn.values()} == {"of 4"}
    assert [len(rung) for rung in rungs if rung[0][1:] == (7, 9)] == [2, 2, 1]
    whole = [trial.key for rung in rungs for trial, folds, _ in rung if folds is None]
    assert 0 < len(whole) <= 5
    assert all(drawn[key].parameters["optimizer.learning_rate"] > 0.01 for key in whole)


def test_the_same_scores_lead_to_the_same_trials():
    rungs = [run(portfolio(trials=6).begin(recipes(4, 16), 9, 1), by_width) for _ in range(2)]
    assert rungs[0] == rungs[1]
    other = run(portfolio(trials=6, seed=1).begin(recipes(4, 16), 9, 1), by_width)
    assert other[:4] == rungs[0][:4]
    assert other != rungs[0]


def test_diverged_recipes_are_left_out_and_nothing_follows_if_all_diverge():
    rungs = run(portfolio().begin(recipes(4, 16), 9, 1), lambda trial, folds: float("inf") if trial.number else 1.0)
    assert [chosen for chosen, *_ in numbers(rungs)] == [[0, 1], [0], [0], [0]]
    assert len(run(portfolio(trials=5).begin(recipes(4, 16), 9, 1), lambda trial, folds: float("inf"))) == 1


def test_the_arithmetic_of_recipes_and_random_trials_is_limited_but_not_that_of_the_block():
    sampler = portfolio(trials=4, teraflops=0.5).begin(recipes(4, blocks={"of 4": BLOCK}), 9, 1)
    limits = []
    while requests := sampler.ask():
        limits.append({request.teraflops for request in requests})
        sampler.tell({request.trial.key: (by_width(request.trial, None),) for request in requests})
    assert limits[:4] == [{0.5}, {None}, {None}, {None}]
    assert limits[4:6] == [{0.5}, {None}]


def test_other_searches_choose_among_recipes():
    space = recipes(4, 16)
    assert len(Grid().list_trials(space)) == space.grid_size == 2 * 2 * 5
    trials = Random(30, 0).list_trials(space)
    assert {width_of(trial) for trial in trials} == {4, 8, 16, 32}
    assert {trial.parameters["recipe"] for trial in trials} == {"of 4", "of 16"}
    names = {
        "recipe",
        *(f"recipe.of {n}.{d}" for n in (4, 16) for d in ("optimizer.adam.learning_rate", "network.hidden")),
    }
    assert set(space.decisions) == names
    assert set(space.unconditional) == {"recipe"}


def test_covering_trials_contain_every_choice_and_every_member_of_the_blocks():
    covering = recipes(4, 16, blocks={"of 4": BLOCK}).covering_trials()
    assert {width_of(trial) for trial in covering} == {4, 8, 16, 32}
    assert {trial.optimizer_name for trial in covering} == {"adam", "sgd"}
    assert {0.001, 0.1} <= {trial.parameters["optimizer.learning_rate"] for trial in covering}


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({"recipes": {}}, "must hold at least one recipe by its name, but is {}"),
        ({"recipes": {"a": {"optimizer": {}, "regularizer": PLAIN}}}, "a: optimizer must hold at least one"),
        ({"recipes": {"a": recipe(4) | {"epochs": 3}}}, "a.epochs is not a setting"),
        ({"recipes": {"a": recipe(4)}, "blocks": {"b": BLOCK}}, "blocks.b must be named as one of the recipes: a"),
    ],
)
def test_a_recipe_that_is_wrong_is_named(node, message):
    with pytest.raises(ValidationError, match=re.escape(message)):
        TypeAdapter(Recipes).validate_python(node)


def test_a_portfolio_needs_recipes_and_one_objective():
    plain = TypeAdapter(Space).validate_python(recipe(4))
    with pytest.raises(ValueError, match="search=portfolio needs a space of recipes, such as space=portfolio"):
        portfolio().begin(plain, 9, 1)
    with pytest.raises(ValueError, match="search=portfolio ranks trials by one metric, but there are 2"):
        portfolio().begin(recipes(4), 9, 2)
