"""Synthetic data sets of any size, whose best possible score is known."""

from typing import Annotated

import numpy as np
from pydantic import Field, Strict
from pydantic.dataclasses import dataclass

from nncore.inference.table import matrix_table
from nncore.kernels.backend import Array
from nncore.random_streams import generator
from pipeline.components.fields import STRICT, Name, NonNegativeInt, PositiveInt
from pipeline.components.types import Dataset, RawRows, Task

SPACING = 4.0  # between the centres of neighbouring blobs
TURNS, START = 1.5, 0.1  # of a spiral: turns around the centre, distance from it at the beginning

Noise = Annotated[float, Strict(), Field(ge=0)]
ClassCount = Annotated[int, Strict(), Field(ge=2)]


@dataclass(frozen=True, config=STRICT)
class _Synthetic:
    """What these data sets have in common.

    Parameters
    ----------
    n_rows : int, > 0
    noise : float, >= 0
        Standard deviation of the Gaussian noise that is added to each column, or to the target of a regression.
    seed : int, >= 0
    """

    name: Name
    n_rows: PositiveInt
    noise: Noise
    seed: NonNegativeInt

    @property
    def address(self) -> str:
        """The class that generates the rows."""
        return f"{type(self).__module__}.{type(self).__name__}"

    @property
    def task(self) -> Task:
        """What there is to predict."""
        return "classification"

    def check(self) -> None:
        """Nothing to check: nothing is read."""

    def content(self) -> str:
        """See Source; nothing is read."""
        return ""

    def _state(self) -> int:
        """A seed for scikit-learn, which takes 32 bits."""
        return int(generator(self.seed, self.name).integers(2**32))

    def _dataset(self, x: Array, y: Array) -> Dataset:
        names = tuple(f"x_{column}" for column in range(x.shape[1]))
        return Dataset(self.task, ("target",), RawRows(matrix_table(x, names), y))


@dataclass(frozen=True, config=STRICT)
class Moons(_Synthetic):
    """Two interleaving half circles of radius 1, around (0, 0) and (1, 0.5).

    Notes
    -----
    Without noise they are 0.5 apart. The best accuracy for noise 0.1, 0.2, 0.3 and 0.4 is 0.999, 0.970, 0.914 and
    0.861 (from the densities along the arcs).
    """

    @property
    def n_columns(self) -> int:
        """How many columns a raw row has."""
        return 2

    def __call__(self) -> Dataset:
        """Draw all rows, half of them from each class."""
        from sklearn.datasets import make_moons

        return self._dataset(*make_moons(self.n_rows, noise=self.noise, random_state=self._state()))


@dataclass(frozen=True, config=STRICT)
class Spirals(_Synthetic):
    """Spiral arms around one centre, one per class: r grows from START to 1 while the angle makes TURNS turns.

    Notes
    -----
    Along a radius the arms are 1 / (TURNS n_classes) apart. While the noise stays below a tenth of that, nearly every
    row can be classified correctly, but not by a linear model.
    """

    n_classes: ClassCount

    @property
    def n_columns(self) -> int:
        """How many columns a raw row has."""
        return 2

    def __call__(self) -> Dataset:
        """Draw all rows, the classes in turn."""
        random = generator(self.seed, self.name)
        y = np.arange(self.n_rows) % self.n_classes
        radius = random.uniform(START, 1, self.n_rows)
        angle = 2 * np.pi * (TURNS * radius + y / self.n_classes)
        x = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)  # (N, 2)
        return self._dataset(x + random.normal(0, self.noise, x.shape), y)


@dataclass(frozen=True, config=STRICT)
class Blobs(_Synthetic):
    """Isotropic Gaussian clusters, one per class, along the diagonal of all columns, SPACING from centre to centre.

    Notes
    -----
    Nearest centre is the best classifier. For C classes its error is 2 (C - 1) / C Phi(-SPACING / (2 noise)), whatever
    the number of columns: 3.0 % for 3 classes and noise 1.
    """

    n_columns: PositiveInt
    n_classes: ClassCount

    def __call__(self) -> Dataset:
        """Draw all rows, equally many from each class."""
        from sklearn.datasets import make_blobs

        along = SPACING * np.arange(self.n_classes) / np.sqrt(self.n_columns)
        centres = np.repeat(along[:, None], self.n_columns, axis=1)  # (C, n_columns)
        return self._dataset(
            *make_blobs(self.n_rows, centers=centres, cluster_std=self.noise, random_state=self._state())
        )


@dataclass(frozen=True, config=STRICT)
class Friedman(_Synthetic):
    """Friedman's first regression problem, of five columns in [0, 1); any further columns are irrelevant.

    Notes
    -----
    y = 10 sin(pi x_0 x_1) + 20 (x_2 - 0.5)^2 + 10 x_3 + 5 x_4 + noise

    The best root mean squared error is the noise; predicting the mean gives 4.9 without noise.

    References
    ----------
    Friedman (1991), "Multivariate adaptive regression splines".
    """

    n_columns: Annotated[int, Strict(), Field(ge=5)]

    @property
    def task(self) -> Task:
        """What there is to predict."""
        return "regression"

    def __call__(self) -> Dataset:
        """Draw all rows."""
        from sklearn.datasets import make_friedman1

        x, y = make_friedman1(self.n_rows, n_features=self.n_columns, noise=self.noise, random_state=self._state())
        return self._dataset(x, y[:, None])  # (N, 1)
