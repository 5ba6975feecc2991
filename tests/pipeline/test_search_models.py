"""Model-based searches: they find good trials, and equal trials for equal scores."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from math import inf, log10
from pathlib import Path
from statistics import fmean

import pytest
from pydantic import TypeAdapter

from pipeline.search.optuna_samplers import CmaEs, GaussianProcess, OptunaSuggester, Tpe, _seed
from pipeline.search.random_search import Random
from pipeline.search.space import Space

ADAM = "nncore.optimizers.adam.adam"
NONE = {"none": {"_target_": "nncore.regularizers.penalties.none"}}
L2 = {"_target_": "nncore.regularizers.penalties.l2", "strength": {"low": 1e-6, "high": 1.0, "scale": "log"}}
RATE = {"low": 1e-5, "high": 1.0, "scale": "log"}
BETA = {"low": 0.0, "high": 0.9}


def space(optimizer, **parts):
    return TypeAdapter(Space).validate_python({"optimizer": optimizer, "regularizer": NONE} | parts)


NUMBERS = space({"adam": {"_target_": ADAM, "learning_rate": RATE, "beta1": BETA}})
BRANCHES = space(
    {
        "adam": {"_target_": ADAM, "learning_rate": RATE, "beta1": BETA},
        "sgd": {"_target_": "nncore.optimizers.sgd.sgd", "learning_rate": RATE},
    },
    regularizer=NONE | {"l2": L2},
    training={"batch_size": {"low": 8, "high": 64, "integer": True, "scale": "log"}},
    network={"hidden": [[16], [32], [64]]},
)


def valley(trial):
    """A score with its minimum, 0, at Adam, learning rate 1e-2, beta1 = 0.5 and hidden [32]."""
    parameters = trial.parameters
    distance = (log10(parameters["optimizer.learning_rate"]) + 2) ** 2 + (
        parameters.get("optimizer.beta1", 1.0) - 0.5
    ) ** 2
    return distance + (parameters["optimizer"] != "adam") + (parameters.get("network.hidden", "[32]") != "[32]")


def run_search(search, swept, score, n_objectives=1, backwards=False):
    """Run a search with the scores of `score`; return the trials of every batch."""
    sampler, batches = search.begin(swept, 5, n_objectives), []
    while requests := sampler.ask():
        assert {(request.until, request.origin) for request in requests} == {(5, None)}
        batches.append([request.trial for request in requests])
        scores = [(request.trial.key, score(request.trial)) for request in requests]
        sampler.tell(dict(reversed(scores) if backwards else scores))
    return batches


def single_score(trial):
    return (valley(trial),)


def flat(batches):
    return [trial for batch in batches for trial in batch]


@pytest.mark.parametrize("search", [Tpe(20, 8, 0), CmaEs(20, 8, 0)], ids=lambda search: type(search).__name__)
def test_batches_have_their_size_and_the_last_has_the_rest(search):
    batches = run_search(search, NUMBERS, single_score)
    assert [len(batch) for batch in batches] == [8, 8, 4]
    assert [trial.number for trial in flat(batches)] == list(range(20))
    assert search.begin(NUMBERS, 5, 1).ask()[0].trial.parameters["optimizer.learning_rate"] != 1e-5


@pytest.mark.parametrize(("make", "swept"), [(Tpe, BRANCHES), (CmaEs, NUMBERS)])
def test_law_1_equal_scores_give_equal_trials_in_any_order(make, swept):
    first = run_search(make(32, 8, 7), swept, single_score)
    assert run_search(make(32, 8, 7), swept, single_score, backwards=True) == first
    assert run_search(make(32, 8, 8), swept, single_score) != first


REPLAY = """
import json
import test_search_models as models
trials = models.flat(models.run_search(models.Tpe(32, 8, 7), models.BRANCHES, models.single_score))
print(json.dumps([trial.parameters for trial in trials]))
"""


@pytest.mark.slow
def test_law_5_equal_scores_give_equal_trials_in_a_new_process():
    expected = json.loads(json.dumps([t.parameters for t in flat(run_search(Tpe(32, 8, 7), BRANCHES, single_score))]))
    environment = os.environ | {
        "PYTHONHASHSEED": "12",
        "PYTHONPATH": os.pathsep.join([*sys.path, str(Path(__file__).parent)]),
    }
    completed = subprocess.run(
        [sys.executable, "-c", REPLAY], env=environment, capture_output=True, text=True, check=True
    )
    assert json.loads(completed.stdout) == expected
    assert completed.stderr == ""


@pytest.mark.parametrize("make", [Tpe, CmaEs])
def test_a_search_finds_better_trials_than_random_search(make):
    """Of 64 trials the last 16 are on average three times nearer to the minimum than random ones, over three seeds."""
    late = [
        valley(trial) for seed in range(3) for trial in flat(run_search(make(64, 8, seed), NUMBERS, single_score)[-2:])
    ]
    chance = [valley(trial) for seed in range(3) for trial in Random(64, seed).list_trials(NUMBERS)]
    assert fmean(late) < fmean(chance) / 3


def test_a_search_learns_which_branches_and_choices_are_good():
    last = flat(run_search(Tpe(80, 8, 0), BRANCHES, single_score)[-3:])
    assert sum(trial.optimizer_name == "adam" for trial in last) > 16
    assert sum(trial.parameters["network.hidden"] == "[32]" for trial in last) > 12
    assert {type(trial.parameters["training.batch_size"]) for trial in last} == {int}


def test_several_objectives():
    """Two minima, at learning rates 1e-4 and 1e-2: trials between them are Pareto optimal, others are not."""

    def two(trial):
        position = log10(trial.parameters["optimizer.learning_rate"])
        return (position + 4) ** 2, (position + 2) ** 2

    late = flat(run_search(Tpe(64, 8, 0), NUMBERS, two, n_objectives=2)[-2:])
    between = [1e-4 <= trial.parameters["optimizer.learning_rate"] <= 1e-2 for trial in late]
    assert sum(between) >= 12  # 6.4 by chance


@pytest.mark.parametrize(("make", "n"), [(Tpe, 1), (Tpe, 2), (CmaEs, 1)])
def test_diverged_trials_are_avoided_and_do_no_harm(make, n):
    def steep(trial):
        diverged = trial.parameters["optimizer.learning_rate"] > 10**-1.5
        return ((inf,) if diverged else single_score(trial)) * n

    late = [trial for seed in range(3) for trial in flat(run_search(make(64, 8, seed), NUMBERS, steep, n)[-2:])]
    assert sum(trial.parameters["optimizer.learning_rate"] > 10**-1.5 for trial in late) <= 7  # 14.4 by chance
    assert len(flat(run_search(make(16, 8, 0), NUMBERS, lambda trial: (inf,) * n, n))) == 16


def test_law_7_contradicting_settings_are_refused():
    with pytest.raises(ValueError, match="cma_es ranks trials by one metric, but there are 2"):
        CmaEs(8, 8, 0).begin(NUMBERS, 5, 2)
    with pytest.raises(ValueError, match=r"two ranges or more .* but the space has training.batch_size; use tpe"):
        CmaEs(8, 8, 0).begin(BRANCHES, 5, 1)
    if find_spec("torch") is None:
        with pytest.raises(ValueError, match=r"pip install 'nnsweep\[gp\]'"):
            GaussianProcess(8, 8, 0).begin(NUMBERS, 5, 1)


@pytest.mark.skipif(find_spec("torch") is None, reason="PyTorch is not installed")
def test_a_gaussian_process_finds_better_trials_than_random_search():
    late = [valley(trial) for trial in flat(run_search(GaussianProcess(24, 4, 0), NUMBERS, single_score)[-2:])]
    assert fmean(late) < fmean(valley(trial) for trial in Random(64, 0).list_trials(NUMBERS)) / 5


def test_optuna_is_not_loaded_before_it_is_needed():
    code = "import sys, pipeline.search.optuna_samplers; assert not {'optuna', 'scipy', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}, check=True)


FEW = space(
    {"adam": {"_target_": ADAM, "learning_rate": [0.1, 0.01, 0.001]}},
    training={"batch_size": [8, 64]},
)


def score_of_few(trial):
    return log10(trial.parameters["optimizer.learning_rate"]) ** 2 + trial.parameters["training.batch_size"] / 64


def study_of(sampler):
    """The scores of each combination in Optuna's study, as often as it was suggested."""
    told = {}
    for trial in sampler._study.trials:
        told.setdefault(tuple(trial.params.values()), []).append(trial.value)
    return told


def test_what_is_suggested_again_is_told_its_score_and_not_trained_again():
    sampler, trained = Tpe(40, 4, 3).begin(FEW, 5, 1), []
    while requests := sampler.ask():
        assert sampler.ask() == requests
        trained += [request.trial for request in requests]
        sampler.tell({request.trial.key: (score_of_few(request.trial),) for request in requests})
    assert len({str(trial.parameters) for trial in trained}) == len(trained) <= 6
    assert [trial.key for trial in trained] == [f"{number:04d}" for number in range(len(trained))]
    assert sampler.n_repeated == 40 - len(trained)
    assert sampler.designed_trials == ()
    told = study_of(sampler)
    assert sum(map(len, told.values())) == 40
    assert {len(set(scores)) for scores in told.values()} == {1}
    assert {scores[0] for scores in told.values()} == {score_of_few(trial) for trial in trained}


def test_the_search_goes_on_as_if_every_suggestion_had_been_trained():
    """As a study that is asked and told by hand, without regard to equal suggestions."""
    sampler = Tpe(24, 4, 1).begin(FEW, 5, 1)
    while requests := sampler.ask():
        sampler.tell({request.trial.key: (score_of_few(request.trial),) for request in requests})
    import optuna

    by_hand = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=_seed(1)))
    for _ in range(6):
        batch = [by_hand.ask() for _ in range(4)]
        trials = [FEW.suggest(trial.number, OptunaSuggester(trial)) for trial in batch]
        for trial, suggested in zip(batch, trials, strict=True):
            by_hand.tell(trial, score_of_few(suggested))
    assert [trial.params for trial in by_hand.trials] == [trial.params for trial in sampler._study.trials]
    assert [trial.value for trial in by_hand.trials] == [trial.value for trial in sampler._study.trials]
