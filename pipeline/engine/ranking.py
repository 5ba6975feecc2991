"""The order of the trials: the best, how certain that is, which trials tie with it, and the Pareto front."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from nncore.kernels.backend import Array
from pipeline.components.scores import label, number
from pipeline.engine.records import SweepRecords
from pipeline.engine.selection import SelectionSettings
from pipeline.engine.uncertainty.assessment import Assessment, Estimate
from pipeline.runs.records import TrialRecord


@dataclass(frozen=True)
class Ranking:
    """The trials that can be ranked, best first.

    Parameters
    ----------
    metric : str
        What they are ranked by, such as "validation/loss".
    trials : list of TrialRecord
    estimates : list of dict of str to Estimate
        By trial and metric, such as "validation/loss": the mean over the trial's networks, and its 95 % confidence
        interval where one is known.
    tied : list of (bool or None) or None
        Which trials cannot be told apart from the best; None if nothing can be said, and for trials that were not
        compared with it, such as those that were trained for fewer epochs or on fewer folds.
    front : list of bool or None
        Which trials are on the Pareto front; None with one objective.
    champion : TrialRecord
        The best, or the simplest of the tied ones.
    assessment : Assessment
        Of the trials that were trained to the end.
    n_networks : int
        Of a trial that is trained on all folds; others come after these, as their scores are of fewer rows.
    """

    metric: str
    trials: list[TrialRecord]
    estimates: list[dict[str, Estimate]]
    tied: list[bool | None] | None
    front: list[bool] | None
    champion: TrialRecord
    assessment: Assessment
    n_networks: int

    @property
    def n_partial(self) -> int:
        """The number of trials that were trained on fewer folds than the best, and come after the others."""
        return sum(len(trial.networks) < len(self.trials[0].networks) for trial in self.trials)


def ranked(
    records: SweepRecords, select: SelectionSettings, assessment: Assessment, n_parameters: Callable[[str], int]
) -> Ranking:
    """Rank the trials that have a result, of which there must be one.

    Parameters
    ----------
    records : SweepRecords
    select : SelectionSettings
    assessment : Assessment
        Of the best trials, in their order.
    n_parameters : callable
        From a trial's key, how many parameters each of its networks has.
    """
    trials = records.ranking()
    numbers = {key: number for number, key in enumerate(assessment.trials)}
    ties: list[bool | None] | None = None
    if assessment.comparison:
        compared = dict(zip(assessment.trials, map(bool, assessment.comparison.tied), strict=False))
        ties = [compared.get(trial.key) for trial in trials]
    champion = trials[0]
    if select.simplest and ties:
        candidates = [rank for rank, is_tied in enumerate(ties) if is_tied]
        sizes = [(n_parameters(trials[rank].key), len(trials[rank].parameters), rank) for rank in candidates]
        champion = trials[candidates[simplest(sizes)]]
    estimates = []
    for trial in trials:
        known = assessment.estimates[numbers[trial.key]] if trial.key in numbers else {}
        of_validation = {f"validation/{name}": estimate for name, estimate in known.items()}
        means = {name: Estimate(value) for name, value in trial.mean.items()}
        estimates.append(means | {n: e._replace(value=trial.mean.get(n, e.value)) for n, e in of_validation.items()})
    front = None
    if select.tradeoffs:
        objectives = [
            [
                records.cost(trial),
                *(
                    float(n_parameters(trial.key)) if name == "parameters" else trial.mean[f"validation/{name}"]
                    for name in select.tradeoffs
                ),
            ]
            for trial in trials
        ]
        front = pareto_front(objectives).tolist()
    return Ranking(records.metric, trials, estimates, ties, front, champion, assessment, len(records.replicates))


def count_ties(tied: Sequence[bool | None]) -> tuple[int, int]:
    """How many trials cannot be told apart from the best, and how many were compared with it, itself among both."""
    return sum(is_tied is True for is_tied in tied), sum(is_tied is not None for is_tied in tied)


def tie_sentence(ranking: Ranking) -> str | None:
    """Which trials cannot be told apart from the best, and what that means; None if nothing can be said."""
    comparison, n_rows = ranking.assessment.comparison, ranking.assessment.n_rows
    if comparison is None or ranking.tied is None:
        return None
    n_tied, n = count_ties(ranking.tied)
    how = f"(5 % level, paired on {n_rows:,} rows, corrected for the number of trials)"
    if n_others := len(ranking.tied) - n:
        trials = "1 other trial was" if n_others == 1 else f"{n_others:,} other trials were"
        how += f"; {trials} not compared: trained for fewer epochs or on fewer folds, or too far behind"
    if comparison.kind == "settings":
        return f"{n_tied:,} of {n:,} settings cannot be told apart from the best {how}"
    sentence = f"{n_tied:,} of {n:,} networks cannot be told apart from the best {how}"
    if ranking.n_networks > 1:
        return (
            f"{sentence}; each is of another trial, none of which was trained on all folds before the search ended: "
            "with a larger budget their settings are compared"
        )
    return (
        f"{sentence}; to compare their settings, train several networks of each, with training.seeds=3 or split.folds=5"
    )


def around(ranking: Ranking) -> str | None:
    """What the trials of a block have in common, such as "the recipe small"; None if the effects are of all trials."""
    block = ranking.assessment.block
    if block is None:
        return None
    trials = {trial.key: trial for trial in ranking.trials}
    parameters = [trials[key].parameters for key in block.trials]
    recipes = {str(of_trial["recipe"]) for of_trial in parameters if "recipe" in of_trial}
    return f"the recipe {recipes.pop()}" if len(recipes) == 1 else "equal other settings"


def effect_sentences(ranking: Ranking) -> list[str]:
    """Which optimizer and which regularizer is best, and which cannot be told apart from it."""
    name, where = ranking.metric.removeprefix("validation/"), around(ranking)
    sentences = []
    for axis, effects in ranking.assessment.effects.items():
        best, *others = effects
        tied, worse = ([effect for effect in others if effect.tied is is_tied] for is_tied in (True, False))
        best_value = f"{best.value} with a mean {label(name)} of {number(name, best.mean)}"
        parts = [f"best {axis}{f' around {where}' if where else ''}: {best_value}"]
        parts += [f"not told apart from it: {', '.join(effect.value for effect in tied)}"] if tied else []
        parts += [f"worse: {', '.join(f'{e.value} {number(name, e.mean)}' for e in worse)}"] if worse else []
        sentences.append("; ".join(parts))
    return sentences


def pareto_front(objectives: ArrayLike) -> Array:
    """Which trials no other trial dominates.

    Parameters
    ----------
    objectives : array (T, M), M >= 1
        Smaller is better.

    Returns
    -------
    bool array (T,)

    Notes
    -----
    A trial dominates another if it is nowhere worse and somewhere better; equal trials are in or out together. A trial
    with an objective that is not finite is never in.

    Examples
    --------
    >>> pareto_front([[0.1, 500], [0.2, 100], [0.3, 300]]).tolist()
    [True, True, False]
    """
    values = np.asarray(objectives, np.float64)
    on_front = np.all(np.isfinite(values), axis=1)
    distinct, indices = np.unique(values[on_front], axis=0, return_inverse=True)
    front, size = np.empty_like(distinct.T), 0  # (M, trials on the front so far)
    good = np.zeros(len(distinct), bool)
    for index, point in enumerate(distinct):  # by the first objective, then the next: only earlier ones can dominate
        if not (front[1:, :size] <= point[1:, None]).all(axis=0).any():
            front[:, size], good[index] = point, True
            size += 1
    on_front[on_front] = good[indices.reshape(-1)]
    return on_front


def simplest(candidates: Sequence[tuple[int, ...]]) -> int:
    """The place of the candidate to prefer among tied trials.

    Parameters
    ----------
    candidates : sequence of tuple of int
        For each, counts of which fewer are better, the most important first, such as (parameters of its network, its
        hyperparameters, its rank): the smallest network, of equals the one with the fewest settings, of equals the
        best.

    Raises
    ------
    ValueError
        If there is no candidate.
    """
    return min(range(len(candidates)), key=candidates.__getitem__)
