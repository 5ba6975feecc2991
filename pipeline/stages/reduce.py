"""Reduce: fewer columns that still tell the rows apart, fitted on the training rows alone."""

from dataclasses import replace
from typing import Literal

import numpy as np
from pydantic.dataclasses import dataclass

import nncore.autoencoder
import nncore.pca
from nncore.members import Member
from nncore.stack import Network, check_networks
from nncore.training import Data
from pipeline.artefacts import View
from pipeline.errors import SettingError
from pipeline.settings.members import ActivationSetting, LossSetting, RegularizerSetting
from pipeline.settings.strict import STRICT, NonNegativeInt, PositiveFloat, PositiveInt

Components = PositiveInt | Literal["auto"]


MOST_COMPONENTS = 32  # that auto chooses


def _check_components(setting: Components, n_columns: int | None) -> None:
    if setting != "auto" and n_columns is not None and setting > n_columns:
        raise ValueError(f"reduce.n_components must be at most the number of columns, {n_columns}, but is {setting}")


@dataclass(frozen=True, config=STRICT)
class Keep:
    """No reduction: the networks see the prepared columns."""

    def check(self, n_columns: int | None) -> None:
        """See Reduction; any number can be kept."""

    def __call__(self, view: View) -> View:
        """The same view."""
        return view


@dataclass(frozen=True, config=STRICT)
class Pca:
    """Projection to the principal components with the most variance.

    n_components   a number, or auto: as many as there are columns, at most 32
    """

    n_components: Components

    def check(self, n_columns: int | None) -> None:
        """See Reduction."""
        _check_components(self.n_components, n_columns)

    def __call__(self, view: View) -> View:
        """Fit on the training rows, apply to both parts."""
        x = view.data.train.x
        n = min(MOST_COMPONENTS, len(x) - 1, x.shape[1]) if self.n_components == "auto" else self.n_components
        try:
            return reduced(view, nncore.pca.fit_pca(x, n))
        except ValueError as error:
            raise SettingError(f"reduce.{error}") from None


@dataclass(frozen=True, config=STRICT)
class Autoencoder:
    """The code of an autoencoder, a network that must reproduce its input through n_components numbers.

    n_components   a number, or auto: half the columns, at least 1 and at most 32
    hidden         sizes of the layers before the code; the decoder mirrors them
    loss           what comes out against what went in
    tied           whether the decoder's weights are the encoder's, transposed
    seed           initial weights and the order of the rows
    regularizers   by name: input_noise makes it a denoising one, activity a sparse one
    """

    n_components: Components
    hidden: tuple[PositiveInt, ...]
    activation: ActivationSetting
    loss: LossSetting
    tied: bool
    learning_rate: PositiveFloat
    epochs: PositiveInt
    batch_size: PositiveInt
    seed: NonNegativeInt
    regularizers: dict[str, RegularizerSetting]

    def check(self, n_columns: int | None) -> None:
        """See Reduction."""
        _check_components(self.n_components, n_columns)
        loss = self.loss.build()
        if loss.targets not in ("real", "binary") or loss.outputs_per_target > 1:
            raise ValueError(f"reduce.loss must be one for values, but is {self.loss.short}")
        try:
            check_networks([self._network()], loss)
        except ValueError as error:
            raise ValueError(f"reduce.regularizers: {error}") from None

    def _network(self) -> Network:
        adam = Member("nncore.optimizers.adam.adam", (("learning_rate", self.learning_rate),))
        return Network("autoencoder", self.seed, adam, tuple(self.regularizers.values()))

    def __call__(self, view: View) -> View:
        """Train on the training rows with Adam, apply to both parts."""
        x = view.data.train.x
        try:
            _check_components(self.n_components, x.shape[1])
        except ValueError as error:
            raise SettingError(str(error)) from None
        half = min(MOST_COMPONENTS, max(1, x.shape[1] // 2))
        n_code = half if self.n_components == "auto" else self.n_components
        shape = nncore.autoencoder.autoencoder_shape(
            x.shape[1], self.hidden, n_code, self.activation, loss=self.loss, tied=self.tied, batch_size=self.batch_size
        )
        try:
            trained, _ = nncore.autoencoder.train_autoencoder(shape, self._network(), x, self.epochs)
        except ValueError as error:
            raise SettingError(f"reduce.learning_rate={self.learning_rate:g}: {error}") from None
        return reduced(view, trained)


def reduced(view: View, transform: nncore.pca.Pca | nncore.autoencoder.Autoencoder) -> View:
    """The view with one more transform."""
    data = Data(*(rows._replace(x=np.ascontiguousarray(transform(rows.x))) for rows in view.data))
    return replace(view, transforms=(*view.transforms, transform), data=data)
