"""Split: which rows are for learning, for choosing and for the final judgement."""

import numpy as np
from pydantic.dataclasses import dataclass

from nncore.backend import Array
from nncore.randomness import generator
from pipeline.artefacts import Dataset, Development, RawRows
from pipeline.errors import SettingError
from pipeline.settings.strict import STRICT, NonNegativeInt, Share


@dataclass(frozen=True, config=STRICT)
class Holdout:
    """One validation and one test part, drawn at random; every class in proportion (classification).

    validation, test   shares of all rows, above 0; together below 1
    seed               the draw comes from generator(seed, "split")
    """

    validation: Share
    test: Share
    seed: NonNegativeInt

    def __post_init__(self) -> None:
        if self.validation + self.test >= 1:
            raise ValueError(
                f"validation + test must be below 1 to leave training rows, but is {self.validation + self.test:g}"
            )

    def __call__(self, dataset: Dataset) -> tuple[Development, RawRows]:
        """The development rows, and apart from them the test rows."""
        classes = dataset.rows.y if dataset.task == "classification" else None
        try:
            parts = self._parts(len(dataset.rows.y), classes)
        except ValueError as error:
            message = f"split.validation={self.validation:g} and split.test={self.test:g} do not fit the data: {error}"
            raise SettingError(message) from None
        train, validation, test = (RawRows(dataset.rows.x[part], dataset.rows.y[part]) for part in parts)
        if classes is None and min(np.ptp(part.y) for part in (train, validation, test)) == 0:
            raise SettingError(
                f"split.validation={self.validation:g} and split.test={self.test:g} leave a part in which all targets "
                "are equal: choose larger shares"
            )
        labels = None if classes is None else np.unique(classes)
        return Development(dataset.columns, labels, train, validation), test

    def _parts(self, n_rows: int, classes: Array | None) -> tuple[Array, Array, Array]:
        """Row numbers of the training, validation and test part, each rising."""
        from sklearn.model_selection import train_test_split  # not at the top: the driver only needs the settings

        draws = generator(self.seed, "split").integers(2**32, size=2)
        rows, test = train_test_split(
            np.arange(n_rows), test_size=self.test, stratify=classes, random_state=int(draws[0])
        )
        train, validation = train_test_split(
            rows,
            test_size=round(n_rows * self.validation),
            stratify=None if classes is None else classes[rows],
            random_state=int(draws[1]),
        )
        return np.sort(train), np.sort(validation), np.sort(test)
