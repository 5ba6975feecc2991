"""The order of the trials: who is best, how sure that is, who cannot be told apart, who is on the Pareto front."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pipeline.engine.records import SweepRecords, TrialRecord, smaller_is_better
from pipeline.engine.selection import SelectionSettings
from pipeline.engine.statistics import interval, pareto_front, repeats, simplest, tied


@dataclass(frozen=True)
class Ranking:
    """The trials that have an answer, best first.

    intervals   by trial and metric, half the width of the 95 % confidence interval of the mean; none for one network
    tied        whether a trial cannot be told apart from the best; None if there is nothing to test by
    front       whether no other trial is better in one objective and nowhere worse; None with one objective
    champion    the best, or the simplest of the tied ones
    """

    trials: list[TrialRecord]
    intervals: list[dict[str, float]]
    tied: list[bool] | None
    front: list[bool] | None
    champion: TrialRecord


def ranked(
    results: SweepRecords, select: SelectionSettings, correction: float, size: Callable[[str], int]
) -> Ranking | None:
    """Rank the trials; None if none has an answer.

    correction   see statistics.py
    size         how many numbers the networks of a trial learn, by its key
    """
    trials = results.ranking()
    if not trials:
        return None
    n_folds = len({repeat.fold for repeat in results.replicates})
    by_metric = {name: [_values(trial, name) for trial in trials] for name in trials[0].mean}
    found = tied(repeats(by_metric[results.metric], n_folds), 0, correction)
    ties = None if found is None else found.tied.tolist()
    champion = trials[0]
    if select.simplest and ties:
        among = [at for at, is_tied in enumerate(ties) if is_tied]
        orders = [(size(trials[at].key), len(trials[at].trial.parameters), at) for at in among]
        champion = trials[among[simplest(orders)]]
    intervals = [
        {
            name: half
            for name, rows in by_metric.items()
            if (half := _interval(rows[at], n_folds, correction)) is not None
        }
        for at in range(len(trials))
    ]
    return Ranking(trials, intervals, ties, _front(trials, results.metric, select.tradeoffs, size), champion)


def _values(trial: TrialRecord, metric: str) -> list[float]:
    return [network.final_metrics[metric] for network in trial.networks]


def _interval(values: list[float], n_folds: int, correction: float) -> float | None:
    return interval(repeats(values, n_folds).tolist(), correction)


def _front(
    trials: list[TrialRecord], metric: str, tradeoffs: Sequence[str], size: Callable[[str], int]
) -> list[bool] | None:
    """Whether each trial is on the Pareto front of the metric and what else counts."""
    if not tradeoffs:
        return None
    rows = [
        [smaller_is_better(metric, trial.mean[metric])]
        + [float(size(trial.key)) if name == "parameters" else trial.mean[f"validation/{name}"] for name in tradeoffs]
        for trial in trials
    ]
    return list(pareto_front(rows).tolist())
