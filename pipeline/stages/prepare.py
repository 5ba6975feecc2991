"""Prepare: raw rows to numbers that a network learns well from, fitted on the training rows alone."""

import numpy as np
from pydantic.dataclasses import dataclass

from nncore.backend import Array
from nncore.model import Classes, Values
from nncore.scaling import Standardise
from nncore.training import Data, Rows
from pipeline.artefacts import Development, View
from pipeline.settings.strict import STRICT


@dataclass(frozen=True, config=STRICT)
class Standard:
    """Every column to mean 0 and standard deviation 1 (constant columns to 0).

    scale_targets   whether a regression's target is scaled so, too
    """

    scale_targets: bool

    def __call__(self, development: Development) -> View:
        """Fit on the training rows, apply to the training and validation rows."""
        scaling = _fit(development.train.x)
        meaning: Classes | Values
        if development.labels is None:
            as_it_is = Standardise(np.zeros(1), np.ones(1))
            meaning = Values(_fit(development.train.y[:, None]) if self.scale_targets else as_it_is)
        else:
            meaning = Classes(development.labels)
        parts = (development.train, development.validation)
        data = Data(*(Rows(scaling(part.x), np.ascontiguousarray(meaning.targets(part.y))) for part in parts))
        return View(development.columns, (scaling,), meaning, data)


def _fit(x: Array) -> Standardise:
    """Mean and standard deviation of the columns."""
    from sklearn.preprocessing import StandardScaler  # not at the top: the driver only needs the settings

    scaler = StandardScaler().fit(x)
    return Standardise(np.asarray(scaler.mean_), np.asarray(scaler.scale_))
