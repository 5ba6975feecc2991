"""Which trials have runs of their own in MLflow: a store with a million runs is of no use."""

from pipeline.components.scores import RankingMetric
from pipeline.runs.records import TrialRecord
from pipeline.tracking.trial_content import mlflow_status

TOP = 20  # the best trials: they always have a run, and have curves where only the best have


class RunSelector:
    """Selects the first trials, and of the later ones those that are among the best so far.

    leaderboard.csv has them all.

    Parameters
    ----------
    most : float
        How many trials are selected whatever they came to.

    Attributes
    ----------
    keys : set of str
        The trials that were selected.
    """

    def __init__(self, most: float) -> None:
        self._most = most
        self.keys: set[str] = set()
        self._best: dict[str, float] = {}

    def __call__(self, trial: TrialRecord, metric: RankingMetric) -> bool:
        """Whether a trial whose training is over has a run of its own; the metric is that of the ranking."""
        if mlflow_status(trial) == "FINISHED" and trial.epochs:
            self._best[trial.key] = metric.cost(trial.mean[metric.curve])
            if len(self._best) > TOP:
                del self._best[max(self._best, key=self._best.__getitem__)]
        if len(self.keys) < self._most or trial.key in self._best:
            self.keys.add(trial.key)
        return trial.key in self.keys
