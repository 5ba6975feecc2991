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
    plain = {"first_rows": 7, "keep": 2, "trials": 0, "batch_size": 4, "seed": 0}
    return Portfolio(**plain | changed)


def width_of(trial):
    return dict(trial.overrides)["network.hidden"][0]


def run(sampler, score):
    """The rungs as lists of (trial, folds)."""
    rungs = []
    while requests := sampler.ask():
        assert {request.until for request in requests} == {9}
        rungs.append([(request.trial, request.validation_rows) for request in requests])
        sampler.tell({request.trial.key: (score(request.trial, request.validation_rows),) for request in requests})
    return rungs


def by_width(trial, folds):
    return 1 / width_of(trial)


def test_each_recipe_is_tried_as_it_stands_and_the_best_on_all_folds():
    rungs = run(portfolio().begin(recipes(4, 16, 8), 9, 1), by_width)
    assert [[(trial.number, folds) for trial, folds in rung] for rung in rungs] == [
        [(0, 7), (1, 7), (2, 7)],
        [(1, None), (2, None)],
    ]
    first = rungs[0][0][0]
    assert first.parameters["optimizer.learning_rate"] == pytest.approx(0.01)  # the middle of a logarithmic range
    assert (first.parameters["recipe"], width_of(first)) == ("of 4", 4)  # the first of the choices


def test_around_the_best_recipe_all_its_optimizers_and_regularizers_are_compared():
    space = recipes(4, 16, blocks={"of 16": BLOCK, "of 4": BLOCK})
    _, _, block = run(portfolio().begin(space, 9, 1), by_width)
    chosen = [(t.optimizer_name, t.regularizer_name, t.parameters.get("regularizer.strength")) for t, _ in block]
    regularizers = [("none", None), ("l2", 0.1), ("l2", 0.2)]
    assert chosen == [(name, *regularizer) for name in ("adam", "sgd") for regularizer in regularizers]
    assert {(width_of(trial), trial.parameters["recipe"], folds) for trial, folds in block} == {(16, "of 16", None)}
    assert len({trial.key for rung in (block,) for trial, _ in rung}) == 6


def test_a_designed_comparison_is_the_block_without_a_trial_that_its_scores_have_chosen():
    """A trial of the block that equals the best recipe was selected: its score is too good to be compared."""
    space = recipes(4, 16, blocks={"of 16": BLOCK})
    sampler = portfolio().begin(space, 9, 1)
    assert sampler.designed_trials == ()
    _, _, block = run(sampler, by_width)
    assert sampler.designed_trials == tuple(trial.key for trial, _ in block)
    rates = BLOCK["optimizer"] | {"adam": {"_target_": ADAM, "learning_rate": 0.01}}
    sampler = portfolio().begin(recipes(4, 16, blocks={"of 16": BLOCK | {"optimizer": rates}}), 9, 1)
    first, _, block = run(sampler, by_width)
    assert first[1][0].key not in sampler.designed_trials
    assert len(block) == len(sampler.designed_trials) == 5


def test_the_block_follows_what_was_best_on_all_folds():
    """The wider recipe wins on the first fold, the narrower on all."""
    space = recipes(4, 16, blocks={"of 16": BLOCK, "of 4": BLOCK})
    rungs = run(portfolio().begin(space, 9, 1), lambda trial, folds: 1 / width_of(trial) if folds else width_of(trial))
    assert {width_of(trial) for trial, _ in rungs[2]} == {4}


def test_random_trials_that_beat_the_worst_recipe_kept_are_trained_on_all_folds():
    """Larger rates are better; the recipes have the middle of the range."""

    def score(trial, folds):
        return -trial.parameters["optimizer.learning_rate"]

    rungs = run(portfolio(trials=10, batch_size=4).begin(recipes(4, 16), 9, 1), score)
    drawn = [rung for rung in rungs[2:] if rung[0][1] == 7]
    assert [len(rung) for rung in drawn] == [4, 4, 2]
    assert len({trial.key for rung in drawn for trial, _ in rung}) == 10
    whole = {trial.key for rung in rungs[2:] for trial, folds in rung if folds is None}
    better = {trial.key for rung in drawn for trial, _ in rung if trial.parameters["optimizer.learning_rate"] > 0.01}
    assert whole == better
    assert 0 < len(better) < 10
    assert {trial.parameters["recipe"] for rung in drawn for trial, _ in rung} == {"of 4", "of 16"}


def test_the_same_scores_lead_to_the_same_trials():
    rungs = [run(portfolio(trials=6).begin(recipes(4, 16), 9, 1), by_width) for _ in range(2)]
    assert rungs[0] == rungs[1]
    other = run(portfolio(trials=6, seed=1).begin(recipes(4, 16), 9, 1), by_width)
    assert other[:2] == rungs[0][:2]
    assert other != rungs[0]


def test_diverged_recipes_are_left_out_and_nothing_follows_if_all_diverge():
    rungs = run(portfolio().begin(recipes(4, 16), 9, 1), lambda trial, folds: float("inf") if trial.number else 1.0)
    assert [[trial.number for trial, _ in rung] for rung in rungs] == [[0, 1], [0]]
    assert len(run(portfolio(trials=5).begin(recipes(4, 16), 9, 1), lambda trial, folds: float("inf"))) == 1


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
