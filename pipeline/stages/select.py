"""Select: the champion, by a validation metric."""

from typing import Literal

from pydantic.dataclasses import dataclass

from pipeline.artefacts import Task
from pipeline.settings.strict import STRICT
from pipeline.sweep.training import METRICS


@dataclass(frozen=True, config=STRICT)
class Best:
    """The trial with the best validation metric of the weights it answers with; of equals, the first."""

    metric: Literal["loss", "accuracy", "r2", "label_accuracy", "subset_accuracy"]

    def check(self, task: Task) -> None:
        """Raise ValueError if the task has no such metric."""
        names = ("loss", *METRICS[task])
        if self.metric not in names:
            raise ValueError(f"select.metric must be {' or '.join(names)} for {task}, but is {self.metric}")
