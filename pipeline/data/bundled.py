"""The data sets that scikit-learn brings along."""

from typing import Literal

import numpy as np
from pydantic.dataclasses import dataclass

from pipeline.artefacts import Dataset, RawRows, Task
from pipeline.settings.strict import STRICT

# What is known before loading, so that settings can be checked against it.
KNOWN: dict[str, tuple[Task, int]] = {
    "digits": ("classification", 64),
    "breast_cancer": ("classification", 30),
    "diabetes": ("regression", 10),
}


@dataclass(frozen=True, config=STRICT)
class Bundled:
    """One of scikit-learn's bundled sets, by name."""

    name: Literal["digits", "breast_cancer", "diabetes"]

    @property
    def task(self) -> Task:
        """What there is to predict."""
        return KNOWN[self.name][0]

    @property
    def n_columns(self) -> int:
        """How many columns a raw row has."""
        return KNOWN[self.name][1]

    def __call__(self) -> Dataset:
        """Load all rows; classes by their names where the set has them."""
        from sklearn import datasets  # not at the top: the driver only needs the settings

        bunch = getattr(datasets, f"load_{self.name}")()
        y = bunch.target
        if self.task == "classification":
            y = np.asarray(bunch.target_names)[bunch.target]
        return Dataset(self.task, tuple(map(str, bunch.feature_names)), RawRows(bunch.data.astype(np.float64), y))
