"""Searches whose decisions can be calculated by hand: their requests, and how they use scores."""

from importlib import import_module
from itertools import pairwise
from math import inf
from pathlib import Path

import hydra
import pytest
from omegaconf import OmegaConf
from pydantic import TypeAdapter, ValidationError

from pipeline.search.base import Search
from pipeline.search.grid import MOST_TRIALS, Grid
from pipeline.search.halving import Halving, Hyperband
from pipeline.search.population import Population
from pipeline.search.random_search import Random, Sobol
from pipeline.search.space import Space

CONF = Path(__file__).parents[2] / "conf"
ADAM = "nncore.optimizers.adam.adam"
NONE, L2 = "nncore.regularizers.penalties.none", "nncore.regularizers.penalties.l2"


def space(learning_rate, **parts):
    """Adam with these learning rates, and no regularizer."""
    optimizer = {"adam": {"_target_": ADAM, "learning_rate": learning_rate}}
    return TypeAdapter(Space).validate_python(
        {"optimizer": optimizer, "regularizer": {"none": {"_target_": NONE}}} | parts
    )


def space_of(n):
    """A space of n trials."""
    return space([(i + 1) / 1000 for i in range(n)])


RATES = {"low": 1e-4, "high": 1e-1, "scale": "log"}
MIXED = space(
    RATES,
    regularizer={"none": {"_target_": NONE}, "l2": {"_target_": L2, "strength": {"low": 0.0, "high": 1.0}}},
    training={"batch_size": {"low": 8, "high": 64, "integer": True}},
    network={"hidden": [[16], [32], [64]]},
)


def run_search(sampler, score):
    """Run a search with the scores of `score`; return every rung as {trial number: until}."""
    rungs = []
    while requests := sampler.ask():
        rungs.append({request.trial.number: request.until for request in requests})
        sampler.tell({request.trial.key: (score(request.trial),) for request in reversed(requests)})
    return rungs


def score_by_number(trial):
    return float(trial.number)


@pytest.mark.parametrize("search", [Grid(), Random(4, 0), Sobol(4, 0)], ids=lambda search: type(search).__name__)
def test_one_rung_to_the_last_epoch(search):
    assert isinstance(search, Search)
    sampler = search.begin(space_of(4), 7, 3)
    designed = sampler.designed_trials
    assert designed == tuple(request.trial.key for request in sampler.ask())
    (rung,) = run_search(sampler, score_by_number)
    assert rung == dict.fromkeys(range(len(rung)), 7)
    assert sampler.designed_trials == designed


def composed_search(*overrides):
    """Compose the search of a command line."""
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        node = OmegaConf.to_container(hydra.compose("config", overrides=list(overrides)), resolve=True)["search"]
    module, _, name = node.pop("_target_").rpartition(".")
    return TypeAdapter(getattr(import_module(module), name)).validate_python(node)


@pytest.mark.parametrize("path", sorted((CONF / "search").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_file_of_a_search_is_composed_and_built(path):
    assert isinstance(composed_search(f"search={path.stem}", "seed=3"), Search)
    assert f": search={path.stem}" in path.read_text().splitlines()[0]


def test_the_candidates_can_be_changed_on_the_command_line():
    drawn = composed_search("search=hyperband", "search@search.candidates=random", "search.candidates.trials=9")
    assert drawn == Hyperband(Random(9, 0), 3, 1)
    assert composed_search("search=halving") == Halving(Grid(), 3, 1)


def test_too_large_a_grid_is_refused():
    with pytest.raises(ValueError, match=f"at most {MOST_TRIALS} trials, but the space has 100001"):
        Grid().begin(space({"low": 1.0, "high": 2.0, "points": MOST_TRIALS + 1}), 5, 1)


@pytest.mark.parametrize("search", [Random, Sobol])
def test_a_drawn_search_can_be_extended_and_depends_on_its_seed(search):
    few, many = (search(trials, 3).list_trials(MIXED) for trials in (16, 50))
    assert many[:16] == few
    assert search(16, 4).list_trials(MIXED) != few
    assert [trial.number for trial in many] == list(range(50))


@pytest.mark.parametrize("search", [Random, Sobol])
def test_drawn_trials_are_spread_evenly_over_a_space(search):
    """Shares of decisions and mean positions on their scales, within four standard deviations of 512 random draws."""
    trials = search(512, 0).list_trials(MIXED)
    parameters = [trial.parameters for trial in trials]
    assert sum(values["optimizer.learning_rate"] < 10**-2.5 for values in parameters) == pytest.approx(256, abs=46)
    assert sum(values["regularizer"] == "l2" for values in parameters) == pytest.approx(256, abs=46)
    assert sum(values["network.hidden"] == "[32]" for values in parameters) == pytest.approx(512 / 3, abs=43)
    assert sum(values["training.batch_size"] for values in parameters) / 512 == pytest.approx(36, abs=3)
    assert {type(values["training.batch_size"]) for values in parameters} == {int}
    assert all(1e-4 <= values["optimizer.learning_rate"] <= 1e-1 for values in parameters)


@pytest.mark.parametrize("search", [Random, Sobol])
def test_no_trial_is_drawn_twice_and_a_small_space_ends_early(search):
    trials = search(256, 0).list_trials(space_of(12))
    assert sorted(trial.parameters["optimizer.learning_rate"] for trial in trials) == [
        (i + 1) / 1000 for i in range(12)
    ]


def test_equal_choices_give_equal_parameters_in_all_searches():
    made = [search.list_trials(space_of(3)) for search in (Grid(), Random(9, 0), Sobol(64, 0))]
    assert [{str(trial.parameters) for trial in trials} for trials in made] == [
        {str(t.parameters) for t in made[0]}
    ] * 3


def test_halving_of_nine_by_three():
    """9 trials for 1 epoch, 3 for 3, 1 for 9: Jamieson & Talwalkar (2016) with eta = 3."""
    rungs = run_search(Halving(Grid(), 3, 1).begin(space_of(9), 9, 1), lambda trial: -trial.number)
    assert rungs == [dict.fromkeys(range(9), 1), dict.fromkeys((6, 7, 8), 3), {8: 9}]


@pytest.mark.parametrize("search", [Halving(Grid(), 3, 1), Population(4, 3, 0.5, 1.2, 0)], ids=repr)
def test_a_search_that_learns_from_scores_makes_no_designed_comparison(search):
    sampler = search.begin(space_of(9), 9, 1)
    run_search(sampler, score_by_number)
    assert sampler.designed_trials == ()


def test_halving_rounds_up_and_ends_at_the_last_epoch():
    """112 trials and 30 epochs: ceil(112 / 3) = 38, ceil(38 / 3) = 13, ceil(13 / 3) = 5; 27 epochs become 30."""
    rungs = run_search(Halving(Grid(), 3, 1).begin(space_of(112), 30, 1), score_by_number)
    assert [(len(rung), set(rung.values())) for rung in rungs] == [(112, {1}), (38, {3}), (13, {9}), (5, {30})]
    assert list(rungs[-1]) == [0, 1, 2, 3, 4]


def test_of_equal_trials_the_first_are_kept_and_diverged_ones_never():
    search = Halving(Grid(), 2, 1)
    assert run_search(search.begin(space_of(6), 2, 1), lambda trial: 1.0)[1] == {0: 2, 1: 2, 2: 2}
    rungs = run_search(search.begin(space_of(6), 2, 1), lambda trial: inf if trial.number < 5 else 1.0)
    assert rungs[1] == {5: 2}
    assert len(run_search(search.begin(space_of(6), 2, 1), lambda trial: inf)) == 1


def test_halving_takes_the_trials_of_another_search():
    settings = TypeAdapter(Halving).validate_python(
        {
            "candidates": {"_target_": "pipeline.search.random_search.Random", "trials": 9, "seed": 5},
            "factor": 3,
            "first": 1,
        }
    )
    assert [request.trial for request in settings.begin(MIXED, 9, 1).ask()] == Random(9, 5).list_trials(MIXED)


def sizes(rungs):
    """By bracket, the sizes of its rungs: brackets are distinguished by their trials, rungs by their epochs."""
    brackets = {}
    for rung in rungs:
        for number, until in rung.items():
            first = next(first[number] for first in rungs if number in first)
            brackets.setdefault(first, {}).setdefault(until, []).append(number)
    return {
        first: {until: len(numbers) for until, numbers in rung_numbers.items()}
        for first, rung_numbers in brackets.items()
    }


def test_hyperband_has_the_brackets_of_the_paper():
    """Li et al. (2018), R = 81, eta = 3: n_i by r_i, of which the paper prints every bracket; 143 trials in all."""
    rungs = run_search(Hyperband(Grid(), 3, 1).begin(space_of(81 + 34 + 15 + 8 + 5), 81, 1), score_by_number)
    assert sizes(rungs) == {
        1: {1: 81, 3: 27, 9: 9, 27: 3, 81: 1},
        3: {3: 34, 9: 11, 27: 3, 81: 1},
        9: {9: 15, 27: 5, 81: 1},
        27: {27: 8, 81: 2},
        81: {81: 5},
    }
    assert len(rungs) == 5


def test_hyperband_has_the_brackets_of_another_program():
    """R = 8, eta = 2, as the manual of mlr3hyperband prints them."""
    rungs = run_search(Hyperband(Grid(), 2, 1).begin(space_of(8 + 6 + 4 + 4), 8, 1), score_by_number)
    assert sizes(rungs) == {1: {1: 8, 2: 4, 4: 2, 8: 1}, 2: {2: 6, 4: 3, 8: 1}, 4: {4: 4, 8: 2}, 8: {8: 4}}


def test_hyperband_deals_out_any_number_of_candidates_in_proportion():
    """112 trials by 27 : 12 : 6 : 4 of 49, to a trial or two, and each bracket has some early and late ones."""
    first, *rest = run_search(Hyperband(Grid(), 3, 1).begin(space_of(112), 30, 1), score_by_number)
    dealt = {until: [n for n, request in first.items() if request == until] for until in (1, 3, 9, 30)}
    for until, share in ((1, 27), (3, 12), (9, 6), (30, 4)):
        assert len(dealt[until]) == pytest.approx(112 * share / 49, abs=2)
        assert min(dealt[until]) < 20 < 90 < max(dealt[until])
    assert sorted(number for hand in dealt.values() for number in hand) == list(range(112))
    assert 0 in rest[-1]


def test_a_few_candidates_leave_brackets_out():
    rungs = run_search(Hyperband(Grid(), 3, 1).begin(space_of(1), 9, 1), score_by_number)
    assert rungs == [{0: 1}, {0: 3}, {0: 9}]


POPULATION = Population(size=8, every=2, share=0.25, factor=1.25, seed=0)


def generations(search, swept, epochs, score):
    """The requests of every generation."""
    sampler, batches = search.begin(swept, epochs, 1), []
    while requests := sampler.ask():
        batches.append(requests)
        sampler.tell({request.trial.key: (score(request.trial),) for request in requests})
    return batches


def test_the_worst_become_changed_copies_of_the_best():
    first, second, third = generations(POPULATION, MIXED, 5, score_by_number)
    assert [{request.until for request in requests} for requests in (first, second, third)] == [{2}, {4}, {5}]
    assert [request.origin for request in first] == [None] * 8
    for before, requests in ((first, second), (second, third)):
        assert [request.trial.number for request in requests] == list(range(8))
        assert [request.trial for request in requests[:6]] == [request.trial for request in before[:6]]
        assert [request.origin for request in requests[:6]] == [None] * 6
        for request in requests[6:]:
            assert request.origin in ("0000", "0001")
            old, new = before[int(request.origin)].trial.parameters, request.trial.parameters
            assert {name for name in old if old[name] != new[name]} <= {
                "optimizer.learning_rate",
                "regularizer.strength",
            }
            ratio = new["optimizer.learning_rate"] / old["optimizer.learning_rate"]
            assert min(abs(ratio - 1.25), abs(ratio - 0.8)) < 1e-9 or new["optimizer.learning_rate"] in (1e-4, 1e-1)


def test_numbers_stay_in_their_ranges_and_lists_move_to_neighbours():
    search = Population(size=4, every=1, share=0.5, factor=10.0, seed=1)
    values = [0.3, 0.1, 0.2, 0.4]
    swept = space({"low": 0.01, "high": 0.02}, regularizer={"l2": {"_target_": L2, "strength": values}})
    requests = generations(search, swept, 60, lambda trial: -dict(trial.optimizer.arguments)["learning_rate"])
    moves = set()
    for before, after in pairwise(requests):
        for request in after:
            assert 0.01 <= dict(request.trial.optimizer.arguments)["learning_rate"] <= 0.02
            if request.origin is not None:
                old, new = (
                    moved_trial.regularizer.arguments[0][1]
                    for moved_trial in (before[int(request.origin)].trial, request.trial)
                )
                assert abs(sorted(values).index(old) - sorted(values).index(new)) <= 1
                moves.add((old, new))
    assert len(moves) > 4


def test_diverged_trials_are_replaced_even_if_they_are_more_than_the_share():
    _, second = generations(POPULATION, MIXED, 4, lambda trial: inf if trial.number > 2 else score_by_number(trial))
    assert [request.origin is None for request in second] == [True] * 3 + [False] * 5
    assert {request.origin for request in second[3:]} <= {"0000", "0001"}
    assert len(generations(POPULATION, MIXED, 4, lambda trial: inf)) == 1


def test_a_population_is_the_same_for_its_seed():
    first, second = (generations(POPULATION, MIXED, 9, score_by_number) for _ in range(2))
    assert first == second
    other_seed = Population(size=8, every=2, share=0.25, factor=1.25, seed=1)
    assert generations(other_seed, MIXED, 9, score_by_number) != first


FIRST = {"candidates": {"_target_": "pipeline.search.grid.Grid"}, "factor": 3, "first": 1}


@pytest.mark.parametrize(
    ("begin", "message"),
    [
        (
            lambda: Halving(Grid(), 3, 9).begin(space_of(3), 8, 1),
            "search.first must be at most training.epochs, 8, but is 9",
        ),
        (lambda: Halving(Grid(), 3, 1).begin(space_of(3), 8, 2), "halving ranks trials by one metric, but there are 2"),
        (lambda: Hyperband(Grid(), 3, 1).begin(space_of(3), 8, 2), "hyperband ranks trials by one metric"),
        (lambda: POPULATION.begin(space_of(3), 8, 2), "population ranks trials by one metric"),
        (lambda: POPULATION.begin(space_of(3), 2, 1), "search.every must be below training.epochs, 2, but is 2"),
        (lambda: POPULATION.begin(space_of(1), 8, 1), "changes numbers .* but space has none"),
    ],
)
def test_law_7_a_search_that_contradicts_other_settings_is_refused(begin, message):
    with pytest.raises(ValueError, match=message):
        begin()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (FIRST | {"factor": 1}, "greater than or equal to 2"),
        (FIRST | {"candidates": "grid"}, "must be a mapping with the _target_ of a search"),
        (FIRST | {"candidates": {"_target_": "os.system"}}, "'os.system' must be the full name of a public"),
        (
            FIRST | {"candidates": {"_target_": "pipeline.search.random_search.generator"}},
            "'pipeline.search.random_search.generator' is not defined in pipeline.search.random_search",
        ),
        (
            FIRST | {"candidates": {"_target_": "pipeline.search.optuna_samplers.Tpe"}},
            "lists its trials in advance: grid, random or sobol; but is pipeline.search.optuna_samplers.Tpe",
        ),
        (
            FIRST | {"candidates": {"_target_": "pipeline.search.grid.Gird"}},
            "pipeline has no 'pipeline.search.grid.Gird'",
        ),
        (FIRST | {"candidates": FIRST["candidates"] | {"trials": 3}}, "candidates\n.*trials is not a setting"),
    ],
)
def test_law_7_wrong_settings_are_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        TypeAdapter(Halving).validate_python(settings)


REPEATED = space([0.01, 0.01, 1e-2, 1, 1.0, 0.02])


@pytest.mark.parametrize("search", [Grid(), Halving(Grid(), 3, 1), Hyperband(Grid(), 3, 1)], ids=repr)
def test_equal_combinations_of_a_grid_are_trained_once(search):
    sampler = search.begin(REPEATED, 9, 1)
    trials = [request.trial for request in sampler.ask()]
    assert sorted(trial.parameters["optimizer.learning_rate"] for trial in trials) == [0.01, 0.02, 1]
    assert sorted(trial.number for trial in trials) == [0, 1, 2]
    assert sampler.n_repeated == 3


def test_settings_of_different_meaning_are_not_equal():
    """1 component is not 100 % of the variance."""
    swept = space([0.01], reduce={"n_components": [1, 1.0, 1]})
    assert [
        trial.parameters["reduce.n_components"] for trial in (r.trial for r in Grid().begin(swept, 9, 1).ask())
    ] == [
        1,
        1.0,
    ]
