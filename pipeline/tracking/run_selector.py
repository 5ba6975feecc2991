"""Which trials have runs of their own in MLflow: a store with a million runs helps nobody."""

from pipeline.engine.records import smaller_is_better
from pipeline.tracking.trial_run import TrialRun

TOP = 20  # the best trials: they always have a run, and have curves where only the best have


class RunSelector:
    """So many trials at first, and then those that are among the best by then. leaderboard.csv has them all.

    keys   of those that have a run
    """

    def __init__(self, most: float, metric: str) -> None:
        self._most, self._metric = most, metric
        self.keys: set[str] = set()
        self._best: dict[str, float] = {}

    def __call__(self, trial: TrialRun) -> bool:
        """Whether this one has, which is over."""
        if trial.status == "FINISHED" and trial.epochs:
            self._best[trial.key] = smaller_is_better(self._metric, trial.score(self._metric))
            if len(self._best) > TOP:
                del self._best[max(self._best, key=self._best.__getitem__)]
        if len(self.keys) < self._most or trial.key in self._best:
            self.keys.add(trial.key)
        return trial.key in self.keys
