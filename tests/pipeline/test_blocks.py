"""Main effects of a block within a larger search: of its trials alone, on the rows that all of them were scored on."""

from dataclasses import replace
from itertools import product
from statistics import fmean

import numpy as np
import pytest
from report_page import ReportPage
from running import QUICK, compose, run_pipeline

from nncore.components import Component
from pipeline.driver.assessor import axes_of
from pipeline.runs.records import TrialRecord
from pipeline.runs.replay import replayed
from pipeline.search.base import TrainRequest
from pipeline.search.trial import Trial
from pipeline.stages.answers import Answers
from pipeline.stages.assess import PERTURBATIONS, Axis, assess

OPTIMIZERS = {"sgd": 0.1, "adam": 0.01}
REGULARIZERS = {"none": (), "l2": (("strength", 0.01),)}


def trial_of(number, optimizer, rate, regularizer):
    return Trial(
        number,
        optimizer,
        Component(f"nncore.optimizers.{optimizer}.{optimizer}", (("learning_rate", rate),)),
        regularizer,
        Component(f"nncore.regularizers.penalties.{regularizer}", REGULARIZERS[regularizer]),
        other_parameters=(("recipe", "plain"),),
    )


class FirstFoldBlock:
    """A search that is its own sampler: a trial on all folds, a block on the first fold, one of the block on all."""

    n_repeated = 0

    def begin(self, space, epochs, n_objectives):
        pairs = enumerate(product(OPTIMIZERS, REGULARIZERS), start=1)
        block = [trial_of(number, optimizer, OPTIMIZERS[optimizer], other) for number, (optimizer, other) in pairs]
        self.designed_trials = tuple(trial.key for trial in block)
        first = [TrainRequest(trial_of(0, "adam", 0.03, "none"), epochs)]
        self.rungs = [first, [TrainRequest(trial, epochs, validation_rows=1) for trial in block]]
        self.rungs.append([TrainRequest(block[3], epochs)])
        return self

    def ask(self):
        return self.rungs[0] if self.rungs else []

    def tell(self, scores):
        del self.rungs[0]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder and the summary of a run with a block on the first of three folds."""
    folder = tmp_path_factory.mktemp("block")
    overrides = (*(value for value in QUICK if value not in ("report=none", "baselines=none")), "split=k_fold")
    overrides += ("split.folds=3", "data=breast_cancer", "network.hidden=[8]", "reduce=none", f"runs={folder}")
    settings, config = compose(*overrides)
    summary = run_pipeline(replace(settings, search=FirstFoldBlock()), config)
    (path,) = folder.glob("*/*/journal.jsonl")
    return path.parent, summary


@pytest.mark.slow
def test_effects_of_a_block_are_the_means_of_its_trials_on_the_folds_that_all_of_them_have(run):
    """One trial of the block goes on to all folds; the trial beside the block shares its optimizer."""
    folder, summary = run
    trials, effects = replayed(folder).trials, summary["effects"]
    losses = {key: trial.networks[0].curves["validation/loss"][-1] for key, trial in trials.items() if key != "0000"}
    assert sorted(len(trial.networks) for trial in trials.values()) == [1, 1, 1, 3, 3]
    for axis in ("optimizer", "regularizer"):
        names = {trials[key].parameters[axis] for key in losses}
        means = {n: fmean(losses[key] for key in losses if trials[key].parameters[axis] == n) for n in names}
        assert {effect["value"]: effect["mean"] for effect in effects[axis]} == pytest.approx(means, rel=1e-5)
        assert [effect["n"] for effect in effects[axis]] == [2, 2]
        assert all(effect["low"] < effect["mean"] < effect["high"] for effect in effects[axis])
    assert {trial["trial"]: trial["value"] for trial in effects["trials"]} == pytest.approx(losses, rel=1e-5)
    assert [trial["trial"] for trial in effects["trials"]] == sorted(losses, key=losses.__getitem__)
    assert effects["around"] == "the recipe plain"
    n_development = 569 - summary["best"]["n_test_rows"]
    assert effects["n_rows"] in (n_development // 3, n_development // 3 + 1)


@pytest.mark.slow
def test_the_report_says_around_which_recipe_and_shows_the_blocks_pairs(run):
    folder, summary = run
    page = ReportPage((folder / "report.html").read_text())
    (text,) = [text for text in page.paragraphs if text.startswith("Main effects")]
    assert f"The trials are the 4 trials around the recipe plain, scored on {summary['effects']['n_rows']} rows" in text
    best = summary["effects"]["trials"][0]
    named = replayed(folder).trials[best["trial"]].parameters
    (heat_map,) = [p["aria-label"] for p in page.pictures if "has the best trial" in (p["aria-label"] or "")]
    start = f"{named['optimizer']} with {named['regularizer']} has the best trial around the recipe plain, "
    assert heat_map.startswith(f"{start}{best['value']:.3f}"[: len(start) + 4])


@pytest.mark.slow
def test_trials_of_fewer_folds_come_after_the_baselines_in_the_report(run):
    """Their scores are of other rows: a better one does not make them better."""
    page = ReportPage((run[0] / "report.html").read_text())
    best = next(table for table in page.tables if table[0][0] == "rank")
    ranks = [row[0].removesuffix(" =") for row in best[1:]]
    assert [rank for rank in ranks if rank] == ["1", "2", "3", "4", "5"]
    assert ranks[-3:] == ["3", "4", "5"]
    assert "3 trials of fewer folds come last, as they were scored on fewer rows." in page.paragraphs


def answers(n_trials, n_rows):
    random = np.random.default_rng(0)
    y, t = random.random((n_trials, 1, n_rows, 1)), random.integers(2, size=(n_rows, 1))
    loss = random.gamma(2, 0.1, (n_trials, 1, n_rows)).astype(np.float32)
    keys = tuple(f"{number:04d}" for number in range(n_trials))
    return Answers(keys, y, loss, t, None, np.arange(n_rows), np.zeros(n_rows, int))


def test_effects_are_those_of_the_block_and_not_of_the_other_trials():
    block, everything = answers(4, 60), answers(9, 200)
    axis = Axis(("a", "a", "b", "b"), (1, 2, 1, 2))
    assessment = assess(everything, "classification", None, True, {"optimizer": axis}, block)
    means = block.loss.mean(axis=(1, 2))
    effects = {effect.value: effect.mean for effect in assessment.effects["optimizer"]}
    assert effects == pytest.approx({"a": means[:2].mean(), "b": means[2:].mean()}, rel=1e-6)
    assert (assessment.n_rows, assessment.block.n_rows) == (200, 60)
    assert [estimate.value for estimate in assessment.block.estimates] == pytest.approx(means.tolist(), rel=1e-6)
    few = assess(everything, "classification", None, True, {"optimizer": axis}, answers(4, 40))  # too few for errors
    assert few.effects == {}
    assert (few.block.tied, few.block.estimates[0].interval) == (None, None)


def test_settings_that_vary_in_all_trials_are_compared_where_all_else_but_tuned_settings_is_equal():
    """A grid of optimizers x rates x sizes; one optimizer has a setting of its own, and all trials share another."""
    grid = list(product(("sgd", "adam"), (0.1, 0.3), ("[64]", "[128]")))
    parameters = [
        {"optimizer": optimizer, "optimizer.learning_rate": rate, "regularizer": "none", "network.hidden": size,
         "training.batch_size": 32} | ({"prepare.scaling": "robust"} if optimizer == "sgd" else {})
        for optimizer, rate, size in grid
    ]  # fmt: skip
    axes = axes_of([TrialRecord(f"{n:04d}", ("", "", ""), of_trial) for n, of_trial in enumerate(parameters)])
    assert list(axes) == ["optimizer", "regularizer", "network.hidden"]
    assert axes["network.hidden"].values == tuple(size for *_, size in grid)
    contexts = dict(zip(((o, size) for o, _, size in grid), axes["network.hidden"].contexts, strict=True))
    assert contexts["sgd", "[64]"] == contexts["sgd", "[128]"] != contexts["adam", "[64]"] == contexts["adam", "[128]"]
    assert len(set(axes["network.hidden"].contexts)) == 2  # rates are tuned


def test_law_9_no_effect_is_shown_if_only_the_best_trials_were_scored(monkeypatch):
    """How often a value is among the best trials is an outcome: to compare these alone would favour what is rarer."""
    metric = Component("nncore.metrics.roc_auc")  # no mean over rows: of many trials only the best are scored in time
    axis, scored = {"optimizer": Axis(("a", "a", "b") * 3, (0,) * 9)}, answers(9, 200)
    assert assess(scored, "classification", metric, True, axis).effects
    monkeypatch.setattr("pipeline.stages.assess.MOST_WORK", 8 * PERTURBATIONS * 200)
    assert assess(scored, "classification", metric, True, axis).effects == {}
