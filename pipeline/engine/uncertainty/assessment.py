"""What is known of the trials of a sweep: their scores, and how certain these are."""

from dataclasses import dataclass
from typing import NamedTuple

from pipeline.engine.uncertainty.comparison import Comparison
from pipeline.engine.uncertainty.correction import Corrected
from pipeline.engine.uncertainty.effects import Effect
from pipeline.engine.uncertainty.scores import Estimand


class Estimate(NamedTuple):
    """A score and its 95 % confidence interval; None where nothing can be said."""

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Both ends."""
        return None if self.low is None or self.high is None else (self.low, self.high)


class ComparedBlock(NamedTuple):
    """What is known of trials that a larger search compares by design, on the rows that all of them were scored on.

    Parameters
    ----------
    trials : tuple of str (T,)
        Keys of the trials, best first.
    estimates : list of Estimate
        By trial, the score by which trials are ranked.
    tied : list of bool or None
        Which of them cannot be told apart from the best of them; None if nothing can be said.
    n_rows : int
        Rows that were scored.
    """

    trials: tuple[str, ...]
    estimates: list[Estimate]
    tied: list[bool] | None
    n_rows: int


@dataclass(frozen=True)
class Assessment:
    """What is known of the trials whose answers there are.

    Parameters
    ----------
    trials : tuple of str (T,)
        Keys of the trials, best first.
    estimates : list of dict of str to Estimate
        By trial and metric; of the best trials by every metric of the task.
    estimand : {"networks", "setting"}
        What the scores estimate; see `pipeline.engine.uncertainty.scores.Scores`.
    n_rows : int
        Rows that were scored.
    comparison : Comparison or None
    corrected : Corrected or None
        None if there are fewer than two trials, or the answers of some are missing.
    effects : dict of str to list of Effect
        By axis; the best value first.
    block : ComparedBlock or None
        The trials that the effects are of; None if they are of all trials.
    """

    trials: tuple[str, ...]
    estimates: list[dict[str, Estimate]]
    estimand: Estimand
    n_rows: int
    comparison: Comparison | None
    corrected: Corrected | None
    effects: dict[str, list[Effect]]
    block: ComparedBlock | None = None
