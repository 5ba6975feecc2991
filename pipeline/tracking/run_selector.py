"""Which trials have runs of their own in MLflow: a store with a million runs is of no use."""

from pipeline.runs.records import TrialRecord, smaller_is_better
from pipeline.tracking.trial_content import mlflow_status

TOP = 20  # the best trials: they always have a run, and have curves where only the best have


class RunSelector:
    """Selects the first trials, and of the later ones those that are among the best so far.

    leaderboard.csv has them all.

    Parameters
    ----------
    most : float
        How many trials are selected whatever they came to.
    metric : str
        By which they are compared, such as "loss".

    Attributes
    ----------
    keys : set of str
        The trials that were selected.
    """

    def __init__(self, most: float, metric: str) -> None:
        self._most, self._metric = most, metric
        self.keys: set[str] = set()
        self._best: dict[str, float] = {}

    def __call__(self, trial: TrialRecord) -> bool:
        """Whether a trial whose training is over has a run of its own."""
        if mlflow_status(trial) == "FINISHED" and trial.epochs:
            self._best[trial.key] = smaller_is_better(self._metric, trial.mean[f"validation/{self._metric}"])
            if len(self._best) > TOP:
                del self._best[max(self._best, key=self._best.__getitem__)]
        if len(self.keys) < self._most or trial.key in self._best:
            self.keys.add(trial.key)
        return trial.key in self.keys
