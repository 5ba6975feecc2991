"""What a champion, its bag and the ensemble score on rows that nothing of them was fitted to.

Cross-fitting: the rows are divided into parts. For each part, the trial, the networks of the ensemble and the
calibration are chosen by the other parts; the scores are those of all parts together. So they estimate how good the
three ways to choose a model are, without the advantage of having been chosen by the same rows.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from nncore.architecture import Architecture
from nncore.calibration import choose_calibration, cross_fitting_parts
from nncore.components import Component
from nncore.inference.model import ClassDecoder, ValueDecoder
from nncore.kernels.backend import Array
from nncore.metrics import Metric
from pipeline.components.scores import HEADLINE, LOSS, metrics_of
from pipeline.components.types import PreparedView, Task
from pipeline.engine.selection import SelectionSettings
from pipeline.stages.answers import Answers
from pipeline.stages.assess import mean_scores
from pipeline.stages.calibrate import held_out
from pipeline.stages.ensemble import Candidate, Counts, OutOfFold, fitting_parts, values_and_deviation


class ModelComparison(NamedTuple):
    """The ensemble, and what it, the champion and its bag score.

    Attributes
    ----------
    ensemble : dict of Candidate to int
        How often each candidate is in it; empty if there is to be none.
    loss : float or None
        Of the ensemble, on the rows by which it was chosen.
    scores : dict of str to dict of str to float
        By "champion", "bag" and "ensemble", and by metric: on rows that nothing was fitted to.
    """

    ensemble: dict[Candidate, int]
    loss: float | None
    scores: dict[str, dict[str, float]]


def compare_with_ensemble(
    answers: Answers,
    view: PreparedView,
    architecture: Architecture,
    task: Task,
    selected: Component | None,
    select: SelectionSettings,
    champion: int,
    trials: Sequence[int],
    n_candidates: int,
) -> ModelComparison:
    """Select an ensemble, and compare it with the champion and with the champion's bag.

    Parameters
    ----------
    answers : Answers
    view : PreparedView
        Of the champion.
    architecture : Architecture
        Of the champion's networks.
    task : Task
    selected : Component or None
        The metric by which trials are ranked; None for the loss.
    select : SelectionSettings
    champion : int
        The champion's position among the trials.
    trials : sequence of int
        Positions of the trials whose predictions can be averaged with the champion's, best first.
    n_candidates : int
        The most candidates for the ensemble.
    """
    out_of_fold = OutOfFold(answers, architecture.functions.loss, view.target_decoder)
    n_seeds, parts = answers.y.shape[1], fitting_parts(answers)
    candidates = [Candidate(trial, seed) for trial in trials for seed in range(n_seeds)][:n_candidates]
    fitted = [parts != part for part in np.unique(parts)]  # by which rows is chosen what predicts the others
    everywhere = np.ones(len(parts), bool)
    ensembles = out_of_fold.select(candidates, select.ensemble, [everywhere, *fitted]) if select.ensemble else []
    metric = None if selected is None else selected.build()
    best = [champion for _ in fitted]
    if not select.simplest:  # else the champion is not the best by the metric
        best = [_best_trial(answers, metric, trials[:n_candidates], rows) for rows in fitted]
    scorer = _Scorer(out_of_fold, task, LOSS if selected is None else selected.short_name, metric, select)
    alone = [scorer.scores([{Candidate(trial, seed): 1} for trial in best], fitted) for seed in range(n_seeds)]
    scores = {"champion": {name: float(np.mean([of_seed[name] for of_seed in alone])) for name in alone[0]}}
    bags = [{Candidate(trial, seed): 1 for seed in range(n_seeds)} for trial in best]
    scores["bag"] = scorer.scores(bags, fitted) if n_seeds > 1 else scores["champion"]
    if not ensembles:
        return ModelComparison({}, None, scores)
    scores["ensemble"] = scorer.scores(ensembles[1:], fitted)
    return ModelComparison(ensembles[0], out_of_fold.mean_loss(ensembles[0]), scores)


def _best_trial(answers: Answers, metric: Metric | None, trials: Sequence[int], rows: Array) -> int:
    """The trial with the best mean score on these rows."""
    means = mean_scores(answers, metric, trials, rows)
    costs = np.where(np.isnan(means), np.inf, -means if metric is not None and metric.greater_is_better else means)
    return trials[int(np.argmin(costs))]


class _Scorer(NamedTuple):
    out_of_fold: OutOfFold
    task: Task
    name: str  # of the metric by which trials are ranked
    metric: Metric | None
    select: SelectionSettings

    def scores(self, chosen: Sequence[Counts], fitted: Sequence[Array]) -> dict[str, float]:
        """The scores of the networks chosen by the fitted rows, on the other rows."""
        answers, loss = self.out_of_fold.answers, self.out_of_fold.loss
        means, logits = np.empty(0), None
        for counts, rows in zip(chosen, fitted, strict=True):
            mean = self.out_of_fold.mean(counts)
            means = np.empty_like(mean) if not means.size else means
            means[~rows] = mean[~rows]
            if isinstance(self.out_of_fold.decoder, ClassDecoder):
                z = self._calibrated(mean, rows)
                logits = np.empty_like(z) if logits is None else logits
                logits[~rows] = z[~rows]
        z = self.out_of_fold.outputs(means[None]) if logits is None else logits[None]
        y = loss.predict(z)
        t = answers.t.astype(np.float64)[None]
        losses = self.out_of_fold.losses(means[None], t) if logits is None else loss.value(z, t)
        if isinstance(self.out_of_fold.decoder, ValueDecoder):
            y = values_and_deviation(loss, means)[0][None]
        metrics: dict[str, Metric | None] = {self.name: self.metric}
        metrics |= {name: metrics_of(self.task)[name] for name in HEADLINE[self.task] if name not in (LOSS, self.name)}
        with np.errstate(all="ignore"):
            return {name: _mean_score(answers, metric, y, losses) for name, metric in metrics.items()}

    def _calibrated(self, mean: Array, rows: Array) -> Array:
        """The logits (R, O), calibrated by some of the rows as the settings ask for."""
        z, answers = held_out(self.out_of_fold, mean).y[0], self.out_of_fold.answers
        if self.select.calibrate == "never" or not np.isfinite(z).all():
            return self.out_of_fold.outputs(mean[None])[0]
        weights = None if answers.weights is None else answers.weights[rows]
        parts, always = cross_fitting_parts(int(rows.sum()), answers.folds[rows]), self.select.calibrate == "always"
        choice = choose_calibration(z[rows], answers.t[rows], parts, weights, always=always)
        return z if choice.calibration is None else choice.calibration(z)


def _mean_score(answers: Answers, metric: Metric | None, y: Array, losses: Array) -> float:
    """The mean over the folds of a score of y (1, R, O), or of the losses (1, R)."""
    scores = []
    for fold in np.unique(answers.folds):
        rows = answers.folds == fold
        weights = None if answers.weights is None else answers.weights[None, rows]
        if metric is None:
            scores.append(np.average(losses[0, rows], weights=None if weights is None else weights[0]))
        else:
            scores.append(metric.value(y[:, rows], answers.t[None, rows], weights)[0])
    return float(np.mean(scores))
