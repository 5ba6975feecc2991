"""How the champion is selected, by a validation metric."""

from typing import Literal

from pydantic.dataclasses import dataclass

from pipeline.components.fields import STRICT, NonNegativeInt, Share
from pipeline.components.types import Task
from pipeline.engine.slices.task import METRICS


@dataclass(frozen=True, config=STRICT)
class SelectionSettings:
    """Which trial becomes the champion: the one with the best validation metric; of equals, the first.

    Parameters
    ----------
    metric : str
        loss, accuracy, r2, label_accuracy or subset_accuracy, whichever the task has.
    tradeoffs : tuple of {"parameters", "loss"}
        Further objectives, smaller is better: the number of a network's parameters, or the loss.
    simplest : bool
        Of the trials that cannot be distinguished from the best, take the simplest.
    ensemble : int, >= 0
        Networks in the ensemble, counted as often as they are taken; 0 for no ensemble.
    publish : {"champion", "ensemble"}
        What becomes the model.
    calibrate : {"auto", "always", "never"}
        Whether the model's probabilities are calibrated; auto: where that clearly lowers the log loss of validation
        rows that the calibration was not fitted to.
    threshold : {"auto", "fixed"}
        From which probability the second of two classes is predicted; auto: tuned where the metric depends on it and
        gains by it; fixed: 0.5.
    coverage : float, in (0, 1), or None
        Share of new rows whose value should be in the interval that a regression's model predicts; None: no intervals.
    """

    metric: Literal["loss", "accuracy", "r2", "label_accuracy", "subset_accuracy"]
    tradeoffs: tuple[Literal["parameters", "loss"], ...]
    simplest: bool
    ensemble: NonNegativeInt
    publish: Literal["champion", "ensemble"]
    calibrate: Literal["auto", "always", "never"]
    threshold: Literal["auto", "fixed"]
    coverage: Share | None

    def __post_init__(self) -> None:
        if len({self.metric, *self.tradeoffs}) < 1 + len(self.tradeoffs):
            raise ValueError(f"tradeoffs must differ from each other and from metric={self.metric}")
        if self.publish == "ensemble" and not self.ensemble:
            raise ValueError("ensemble must be at least 1 for publish=ensemble, but is 0")

    def check(self, task: Task) -> None:
        """Raise ValueError if the task has no such metric."""
        names = ("loss", *METRICS[task])
        if self.metric not in names:
            raise ValueError(f"select.metric must be {' or '.join(names)} for {task}, but is {self.metric}")
