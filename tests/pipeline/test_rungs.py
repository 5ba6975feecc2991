"""Rungs: which requests of a search the budget allows, the scores it receives, and why trials are pruned."""

import math
from dataclasses import replace

import pytest
from sweeps import add_slice, open_records, open_trial, report, trial

from pipeline.engine.budget import Budget
from pipeline.engine.loop import Rungs
from pipeline.search.base import TrainRequest

NONE = {"trials": None, "network_epochs": None, "teraflops": None, "seconds": None}


def limited(**limits):
    return Budget(**NONE | limits)


UNLIMITED = limited()


class ScriptedSampler:
    """A sampler that requests the given rungs and records the scores."""

    def __init__(self, *rungs):
        self.rungs, self.told = [[TrainRequest(trial(number), until) for number, until in rung] for rung in rungs], []

    def ask(self):
        return self.rungs.pop(0) if self.rungs else []

    def tell(self, scores):
        self.told.append(dict(scores))


def train_rungs(
    script, budget=UNLIMITED, epochs=9, results=None, objectives=("loss",), losses=lambda number, epoch: 0.5
):
    """Train all requests. Returns {trial: epoch} for each rung, and the records."""
    results = open_records(0) if results is None else results
    teraflop, applies = (lambda request: 10**12), (lambda trial: True)
    rungs = Rungs(script, budget, epochs, results, objectives, lambda key: 100 + int(key), teraflop, applies)
    requested = []
    while requests := rungs.next():
        requested.append({request.trial.number: request.until for request in requests})
        for request in requests:
            open_trial(results, request.trial.number)
            for network in results.trials[request.trial.key].networks:
                losses_or_report = losses(request.trial.number, range(network.epochs_trained + 1, request.until + 1))
                network_report = (
                    losses_or_report
                    if not isinstance(losses_or_report, float)
                    else report(*[losses_or_report] * (request.until - network.epochs_trained))
                )
                network_report = (
                    network_report if network_report.diverged else replace(network_report, selected_epoch=request.until)
                )
                if not network.ended:
                    add_slice(
                        results,
                        {network.key: network_report},
                        network.epochs_trained,
                        request.until,
                        request.until == epochs,
                    )
        rungs.trained(requests)
    return requested, results


def test_without_a_budget_all_requests_are_trained():
    script = ScriptedSampler([(0, 1), (1, 1), (2, 1)], [(0, 3), (2, 3)], [(2, 9)])
    requested, results = train_rungs(script)
    assert requested == [{0: 1, 1: 1, 2: 1}, {0: 3, 2: 3}, {2: 9}]
    assert len(script.told) == 3
    assert [network.pruned for network in results.networks.values()] == [
        (3, "the search left it out"),
        (1, "the search left it out"),
        None,
    ]
    assert [record.completed for record in results.trials.values()] == [False, False, True]
    assert all(record.finished for record in results.trials.values())


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        (limited(trials=2), [{0: 1, 1: 1}]),
        (limited(trials=3), [{0: 1, 1: 1, 2: 1}, {0: 3, 2: 3}]),  # the fourth trial exceeds the budget
        (limited(network_epochs=2), [{0: 1, 1: 1}]),
        (limited(network_epochs=3), [{0: 1, 1: 1, 2: 1}]),
        (limited(network_epochs=6), [{0: 1, 1: 1, 2: 1}, {0: 3}]),  # 3 + 2, and 2 more would be 7
        (limited(network_epochs=7), [{0: 1, 1: 1, 2: 1}, {0: 3, 2: 3}]),
        (limited(network_epochs=21), [{0: 1, 1: 1, 2: 1}, {0: 3, 2: 3}]),  # 7 + 9 + 6 are 22
        (limited(network_epochs=22), [{0: 1, 1: 1, 2: 1}, {0: 3, 2: 3}, {3: 9, 2: 9}]),
        (limited(teraflops=6.0), [{0: 1, 1: 1, 2: 1}, {0: 3}]),  # each epoch of a trial takes one
        (limited(teraflops=7.0), [{0: 1, 1: 1, 2: 1}, {0: 3, 2: 3}]),
    ],
)
def test_a_budget_trains_the_first_requests_that_fit(budget, expected):
    script = ScriptedSampler([(0, 1), (1, 1), (2, 1)], [(0, 3), (2, 3)], [(3, 9), (2, 9)])
    requested, results = train_rungs(script, budget)
    if budget == limited(network_epochs=21):
        expected = [*expected, {3: 9}]
    assert requested == expected
    assert all(record.finished for record in results.trials.values())


def test_each_network_of_a_trial_counts_against_the_budget():
    script = ScriptedSampler([(0, 2), (1, 2)])
    assert train_rungs(script, limited(network_epochs=12), results=open_records(0, n_folds=3, n_seeds=2))[0] == [{0: 2}]


def test_the_cause_says_whether_the_search_or_the_budget_pruned_a_trial():
    script = ScriptedSampler([(0, 1), (1, 1), (2, 1), (3, 1)], [(0, 3), (2, 3), (3, 3)], [(0, 9)])
    _, results = train_rungs(script, limited(network_epochs=8))
    causes = {network.key[:4]: network.pruned for network in results.networks.values()}
    budget = "budget.network_epochs=8 is used up"
    assert causes["0001"] == (1, "the search left it out")
    assert causes["0002"] == (3, budget) or causes["0002"] == (1, budget)
    assert causes["0003"] == (1, budget)
    assert causes["0000"] == (3, budget)  # pruned by the budget, not by the search
    assert len(script.told) == 1  # no scores after a request that the budget refused


def test_scores_are_means_over_the_networks_and_smaller_is_better():
    script = ScriptedSampler([(0, 1), (1, 1)])
    results = open_records(0, n_folds=2)
    losses = iter([0.25, 0.75, 0.5, 0.25])
    train_rungs(
        script, epochs=1, results=results, objectives=("loss", "accuracy", "parameters"), losses=lambda *_: next(losses)
    )
    assert script.told == [{"0000": (0.5, -0.5, 100.0), "0001": (0.375, -0.625, 101.0)}]


def test_the_search_is_told_scores_without_curves_and_what_is_not_a_number_is_the_worst():
    script = ScriptedSampler([(0, 1), (1, 1), (2, 1)])
    results = open_records(0, metric="roc_auc")
    areas = iter([0.75, math.nan, 0.5])
    reports = lambda *_: report(0.1, scores={"validation/roc_auc": next(areas)})  # noqa: E731
    train_rungs(script, epochs=1, results=results, objectives=("roc_auc",), losses=reports)
    assert script.told == [{"0000": (-0.75,), "0001": (math.inf,), "0002": (-0.5,)}]
    assert [trial.key for trial in results.ranking()] == ["0000", "0002", "0001"]


def test_a_diverged_trial_scores_inf_only_from_that_epoch_on():
    """Later epochs that an earlier session has trained change no decision at an earlier rung."""
    results = open_records(1)
    add_slice(results, {"0000/1/0": report(0.4, 0.3, selected_epoch=2)}, 0, 2)
    add_slice(results, {"0000/1/0": replace(report(0.2), diverged=(4, "why"))}, 2, 5)
    script = ScriptedSampler([(0, 2)], [(0, 3)], [(0, 5)])
    rungs = Rungs(script, UNLIMITED, 9, results, ("loss",), lambda key: 1, lambda request: 1, lambda trial: True)
    while requests := rungs.next():
        rungs.trained(requests)
    assert [scores["0000"] for scores in script.told][::2] == [(0.3,), (math.inf,)]
    assert results.networks["0000/1/0"].pruned is None


def test_a_trial_of_which_one_network_diverged_scores_inf():
    script = ScriptedSampler([(0, 2)])
    reports = iter([0.5, replace(report(0.5), diverged=(2, "why"))])
    _, results = train_rungs(script, results=open_records(0, n_folds=2), losses=lambda *_: next(reports))
    assert script.told == [{"0000": (math.inf,)}]
    assert results.trials["0000"].diverged


def test_what_takes_too_much_arithmetic_or_does_not_apply_is_left_out_and_scores_inf():
    """Trial n takes n teraflops per epoch; trial 1 does not apply. If all take too much, the cheapest is trained."""
    script = ScriptedSampler([(3, 2), (0, 2), (1, 2), (2, 2)], [(1, 9)], [(6, 9), (5, 9)])
    script.rungs[0] = [
        request._replace(teraflops=limit) for request, limit in zip(script.rungs[0], (9, 9, 9, 18), strict=True)
    ]
    script.rungs[2] = [request._replace(teraflops=9) for request in script.rungs[2]]

    def flops(request):
        return request.trial.number * 10**12

    results = open_records(0)
    rungs = Rungs(script, UNLIMITED, 9, results, ("loss",), lambda key: 1, flops, lambda trial: trial.number != 1)
    trained = []
    while requests := rungs.next():
        trained.append([request.trial.number for request in requests])
        for request in requests:
            open_trial(results, request.trial.number)
            add_slice(results, {f"{request.trial.key}/1/0": report(*[0.5] * request.until)}, 0, request.until)
        rungs.trained(requests)
    assert trained == [[0, 2], [5]]
    inf = (math.inf,)
    assert script.told == [
        {"0000": (0.5,), "0002": (0.5,), "0001": inf, "0003": inf},
        {"0001": inf},
        {"0005": (0.5,), "0006": inf},
    ]
    assert rungs.n_costly == 2
