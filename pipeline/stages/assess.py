"""Assess: what the answers of the trials' networks say: scores with intervals, ties, the cost of choosing, effects."""

from collections.abc import Hashable, Mapping, Sequence
from itertools import zip_longest
from typing import NamedTuple

import numpy as np

from nncore.components import Component
from nncore.kernels.backend import Array
from nncore.metrics import Metric
from pipeline.components.scores import HEADLINE, LOSS, metrics_of
from pipeline.components.types import Task
from pipeline.engine.uncertainty.assessment import Assessment, ComparedBlock, Estimate
from pipeline.engine.uncertainty.comparison import compare
from pipeline.engine.uncertainty.correction import corrected
from pipeline.engine.uncertainty.effects import Effect, main_effects
from pipeline.engine.uncertainty.intervals import score_intervals
from pipeline.engine.uncertainty.scores import PERTURBATIONS, Estimand, Scores, measured
from pipeline.stages.answers import Answers

DETAILED = 10  # trials, the best, that are scored by every metric of the task
MOST_WORK = 1 << 25  # numbers that a metric which is no mean over rows may look at, to say how uncertain it is


class Axis(NamedTuple):
    """A hyperparameter whose values are compared.

    Parameters
    ----------
    values : tuple of str (T,)
        The value of each trial.
    contexts : tuple of hashable (T,)
        What else must be equal for a comparison.
    """

    values: tuple[str, ...]
    contexts: tuple[Hashable, ...]


def assess(
    answers: Answers,
    task: Task,
    selected: Component | None,
    is_complete: bool,
    axes: Mapping[str, Axis],
    block: Answers | None = None,
) -> Assessment:
    """Assess the trials.

    Parameters
    ----------
    answers : Answers
    task : Task
    selected : Component or None
        The metric that the trials are ranked by; None for the loss.
    is_complete : bool
        Whether the answers are those of all trials among which the best was chosen.
    axes : mapping of str to Axis
        Hyperparameters whose values are to be compared, by the trials of the block, or by all if there is none.
    block : Answers, optional
        Of the trials of a designed comparison within a larger search.
    """
    name = LOSS if selected is None else selected.short_name
    metrics: dict[str, Metric | None] = {LOSS: None, **metrics_of(task)}
    if selected is not None:
        metrics[name] = selected.build()
    estimates: list[dict[str, Estimate]] = [{} for _ in answers.trials]
    with np.errstate(all="ignore"):
        ranking = _measured(answers, metrics[name], len(answers.trials))
        for metric_name, metric in metrics.items():
            n = len(answers.trials) if metric_name in (LOSS, name, *HEADLINE[task]) else DETAILED
            n = min(n, len(answers.trials))
            known = ranking if metric_name == name else _measured(answers, metric, DETAILED)
            intervals = [] if known is None else score_intervals(known).tolist()
            for number, value in enumerate(mean_scores(answers, metric, range(n)).tolist()):
                ends = intervals[number] if number < len(intervals) else []
                if np.isfinite(value):
                    estimates[number][metric_name] = Estimate(value, *(ends if np.isfinite(ends).all() else ()))
        estimand: Estimand = "networks" if len(np.unique(answers.folds)) * answers.y.shape[1] == 1 else "setting"
        n_rows = len(np.unique(answers.rows))
        designed = ranking if block is None else _measured(block, metrics[name], len(block.trials))
        return Assessment(
            answers.trials,
            estimates,
            estimand,
            n_rows,
            None if ranking is None else compare(ranking),
            corrected(ranking) if ranking and is_complete and len(ranking.means) == len(answers.trials) else None,
            _effects(designed, axes),
            None if block is None else _compared_block(block, metrics[name], designed),
        )


def _effects(scores: Scores | None, axes: Mapping[str, Axis]) -> dict[str, list[Effect]]:
    """The effects that are known. If only the best trials were scored, how often a value is among them is no design."""
    if scores is None:
        return {}
    whole = {name: axis for name, axis in axes.items() if len(axis.values) == len(scores.means)}
    effects = {name: main_effects(scores, axis.values, axis.contexts) for name, axis in whole.items()}
    return {name: effect for name, effect in effects.items() if effect}


def _compared_block(block: Answers, metric: Metric | None, scores: Scores | None) -> ComparedBlock:
    """The scores of the trials of a block, and which cannot be told apart from the best of them."""
    values = mean_scores(block, metric, range(len(block.trials))).tolist()
    intervals = [] if scores is None else score_intervals(scores).tolist()
    estimates = [
        Estimate(value, *(ends if ends and np.isfinite(ends).all() else ()))
        for value, ends in zip_longest(values, intervals)
    ]
    comparison = None if scores is None or len(scores.means) < len(values) else compare(scores)
    tied = None if comparison is None else [bool(is_tied) for is_tied in comparison.tied]
    return ComparedBlock(block.trials, estimates, tied, len(np.unique(block.rows)))


def _measured(answers: Answers, metric: Metric | None, n_trials: int) -> Scores | None:
    """The scores of the best trials, as many as wanted and as there is time for."""
    metric, y, t = _inputs(answers, metric)
    if metric.rows is None:
        n_trials = min(n_trials, max(1, MOST_WORK // (PERTURBATIONS * y[0].size)))
    return measured(metric, y[:n_trials], t, answers.folds, answers.weights, answers.rows)


def _inputs(answers: Answers, metric: Metric | None) -> tuple[Metric, Array, Array]:
    """The metric with what it looks at, y and t; the loss of each row stands for the metric None."""
    if metric is not None:
        return metric, answers.y, answers.t
    return Metric(_mean_loss, (), False, rows=_loss_of_rows), answers.loss[..., None], answers.loss[0, 0, :, None]


def _loss_of_rows(y: Array, t: Array) -> Array:
    return y[:, :, 0]


def _mean_loss(y: Array, t: Array, weights: Array | None) -> Array:
    return np.average(y[:, :, 0].astype(np.float64), axis=1, weights=None if weights is None else weights[0])


def mean_scores(answers: Answers, metric: Metric | None, trials: Sequence[int], among: Array | None = None) -> Array:
    """Return the scores of trials: the means over their networks.

    Parameters
    ----------
    answers : Answers
    metric : Metric or None
        None for the loss.
    trials : sequence of int
        Positions of the trials.
    among : bool array (R,), optional
        The rows that count; by default all.
    """
    metric, y, t = _inputs(answers, metric)
    chosen = np.ones(len(t), bool) if among is None else among
    scores: Sequence[Array] = [
        metric.value(
            np.take(y[list(trials)], part, axis=2).reshape(-1, len(part), y.shape[3]),
            t[None, part],
            None if answers.weights is None else answers.weights[None, part],
        )
        for part in (np.flatnonzero((answers.folds == fold) & chosen) for fold in np.unique(answers.folds[chosen]))
    ]
    means: Array = np.mean([score.reshape(len(trials), -1).mean(axis=1) for score in scores], axis=0)
    return means
