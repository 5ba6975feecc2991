"""The order of the trials: the best, how certain that is, which trials tie with it, and the Pareto front."""

from collections.abc import Callable
from dataclasses import dataclass

from pipeline.engine.records import SweepRecords
from pipeline.engine.selection import SelectionSettings
from pipeline.engine.statistics import interval, pareto_front, repeats, simplest, tied
from pipeline.runs.records import TrialRecord, smaller_is_better


@dataclass(frozen=True)
class Ranking:
    """The trials that can be ranked, best first.

    Parameters
    ----------
    trials : list of TrialRecord
    intervals : list of dict of str to float
        By trial and metric, half the width of the 95 % confidence interval of the mean; {} for a single network.
    tied : list of bool or None
        Which trials cannot be distinguished from the best; None if there is nothing to test by.
    front : list of bool or None
        Which trials are on the Pareto front; None with one objective.
    champion : TrialRecord
        The best, or the simplest of the tied ones.
    """

    trials: list[TrialRecord]
    intervals: list[dict[str, float]]
    tied: list[bool] | None
    front: list[bool] | None
    champion: TrialRecord


def ranked(
    records: SweepRecords, select: SelectionSettings, correction: float, n_parameters: Callable[[str], int]
) -> Ranking | None:
    """Rank the trials.

    Parameters
    ----------
    records : SweepRecords
    select : SelectionSettings
    correction : float, >= 0
        How much the scores of the folds depend on each other; see `pipeline.engine.statistics`.
    n_parameters : callable
        From a trial's key, how many parameters each of its networks has.

    Returns
    -------
    Ranking or None
        None if no trial can be ranked.
    """
    trials = records.ranking()
    if not trials:
        return None
    n_folds = len({replicate.fold for replicate in records.replicates})
    scores = {
        name: [repeats([network.final_metrics[name] for network in trial.networks], n_folds) for trial in trials]
        for name in trials[0].mean
    }  # by metric, (trials, repeats)
    tests = tied(scores[records.metric], 0, correction)
    ties = None if tests is None else tests.tied.tolist()
    champion = trials[0]
    if select.simplest and ties:
        candidates = [rank for rank, is_tied in enumerate(ties) if is_tied]
        sizes = [(n_parameters(trials[rank].key), len(trials[rank].parameters), rank) for rank in candidates]
        champion = trials[candidates[simplest(sizes)]]
    intervals: list[dict[str, float]] = []
    for rank in range(len(trials)):
        halves = {name: interval(rows[rank].tolist(), correction) for name, rows in scores.items()}
        intervals.append({name: half for name, half in halves.items() if half is not None})
    front = None
    if select.tradeoffs:
        objectives = [
            [
                smaller_is_better(records.metric, trial.mean[records.metric]),
                *(
                    float(n_parameters(trial.key)) if name == "parameters" else trial.mean[f"validation/{name}"]
                    for name in select.tradeoffs
                ),
            ]
            for trial in trials
        ]
        front = pareto_front(objectives).tolist()
    return Ranking(trials, intervals, ties, front, champion)
