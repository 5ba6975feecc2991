"""The data sets that scikit-learn includes."""

from typing import Literal

import numpy as np
from pydantic.dataclasses import dataclass

from nncore.inference.table import matrix_table
from pipeline.components.fields import STRICT
from pipeline.components.types import Dataset, RawRows, Task

# Task and number of columns, known before loading so that settings can be checked against them.
KNOWN: dict[str, tuple[Task, int]] = {
    "digits": ("classification", 64),
    "iris": ("classification", 4),
    "wine": ("classification", 13),
    "breast_cancer": ("classification", 30),
    "diabetes": ("regression", 10),
}


@dataclass(frozen=True, config=STRICT)
class Bundled:
    """One of scikit-learn's bundled data sets, by name."""

    name: Literal["digits", "iris", "wine", "breast_cancer", "diabetes"]

    @property
    def address(self) -> str:
        """Where the rows are from."""
        return f"sklearn.datasets.load_{self.name}"

    @property
    def task(self) -> Task:
        """What there is to predict."""
        return KNOWN[self.name][0]

    @property
    def n_columns(self) -> int:
        """How many columns a raw row has."""
        return KNOWN[self.name][1]

    def check(self) -> None:
        """Nothing to check: the data sets are part of scikit-learn."""

    def content(self) -> str:
        """See Source; the data sets only change with scikit-learn's version."""
        return ""

    def __call__(self) -> Dataset:
        """Load all rows; classes by their names where the set has them."""
        from sklearn import datasets  # slow to import, and the driver only needs the settings

        bunch = getattr(datasets, f"load_{self.name}")()
        if self.task == "classification":
            y = np.asarray(bunch.target_names)[bunch.target]
        else:
            y = bunch.target.astype(np.float64)[:, None]  # (N, 1)
        x = matrix_table(bunch.data.astype(np.float64, copy=False), tuple(map(str, bunch.feature_names)))
        return Dataset(self.task, ("target",), RawRows(x, y))
