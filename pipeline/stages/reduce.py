"""Reduce: fewer columns that still tell the rows apart, fitted on the training rows alone."""

from dataclasses import replace
from typing import Literal

import numpy as np
from pydantic.dataclasses import dataclass

import nncore.reduction.autoencoder
import nncore.reduction.pca
from nncore.components import Component
from nncore.stack.data import Data
from nncore.stack.state import Network, check_networks
from pipeline.components.errors import SettingError
from pipeline.components.fields import STRICT, NonNegativeInt, PositiveFloat, PositiveInt
from pipeline.components.protocols import Reduction
from pipeline.components.resolver import ActivationSetting, LossSetting, RegularizerSetting
from pipeline.components.types import PreparedView, Transform

Components = PositiveInt | Literal["auto"]
MOST_COMPONENTS = 32  # that auto chooses
SHARED_COMPONENTS = 1024  # that PCA fits at once: they cost no more than a few, and all smaller numbers have a part


def _check_components(setting: Components, n_columns: int | None) -> None:
    if setting != "auto" and n_columns is not None and setting > n_columns:
        raise ValueError(f"reduce.n_components must be at most the number of columns, {n_columns}, but is {setting}")


@dataclass(frozen=True, config=STRICT)
class Identity:
    """No reduction: the networks see the prepared columns."""

    def check(self, n_columns: int | None) -> None:
        """See Reduction; any number can be kept."""

    @property
    def shared(self) -> None:
        """See Reduction."""
        return

    def fit(self, view: PreparedView) -> Transform:
        """See Reduction; never asked for."""
        raise NotImplementedError

    def narrowed(self, fitted: Transform, view: PreparedView) -> Transform:
        """See Reduction; never asked for."""
        raise NotImplementedError

    def __call__(self, view: PreparedView) -> PreparedView:
        """The same view."""
        return view


@dataclass(frozen=True, config=STRICT)
class PcaReduction:
    """Projection to the principal components with the most variance.

    n_components   a number, or auto: as many as there are columns, at most 32
    """

    n_components: Components

    def check(self, n_columns: int | None) -> None:
        """See Reduction."""
        _check_components(self.n_components, n_columns)

    @property
    def shared(self) -> "PcaReduction":
        """See Reduction; PCA with fewer components is the beginning of PCA with more."""
        return PcaReduction(
            SHARED_COMPONENTS if self.n_components == "auto" else max(SHARED_COMPONENTS, self.n_components)
        )

    def fit(self, view: PreparedView) -> nncore.reduction.pca.Pca:
        """See Reduction; as many components as the training rows allow, up to the setting."""
        x = view.data.train.x
        largest = min(len(x) - 1, x.shape[1])
        try:
            return nncore.reduction.pca.fit_pca(
                x, largest if self.n_components == "auto" else min(self.n_components, largest)
            )
        except ValueError as error:
            raise SettingError(f"reduce.{error}") from None

    def narrowed(self, fitted: Transform, view: PreparedView) -> nncore.reduction.pca.Pca:
        """See Reduction. The components are copied: a product's last bits may depend on how they lie in memory."""
        assert isinstance(fitted, nncore.reduction.pca.Pca)
        largest, (n_rows, n_columns) = len(fitted.components), view.data.train.x.shape
        n = min(MOST_COMPONENTS, largest) if self.n_components == "auto" else self.n_components
        if n > largest:
            raise SettingError(
                f"reduce.n_components must be from 1 to {largest} ({n_rows} rows, {n_columns} columns), but is {n}"
            )
        return replace(
            fitted,
            components=np.array(fitted.components[:n], order="C"),
            explained_variance=fitted.explained_variance[:n].copy(),
        )

    def __call__(self, view: PreparedView) -> PreparedView:
        """Fit on the training rows, apply to both parts."""
        return apply_reduction(self, view, self.shared.fit(view))


@dataclass(frozen=True, config=STRICT)
class AutoencoderReduction:
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
            raise ValueError(f"reduce.loss must be one for values, but is {self.loss.short_name}")
        try:
            check_networks([self._network()], loss)
        except ValueError as error:
            raise ValueError(f"reduce.regularizers: {error}") from None

    def _network(self) -> Network:
        adam = Component("nncore.optimizers.adam.adam", (("learning_rate", self.learning_rate),))
        return Network("autoencoder", self.seed, adam, tuple(self.regularizers.values()))

    @property
    def shared(self) -> "AutoencoderReduction":
        """See Reduction; a network of another width is another network."""
        return self

    def fit(self, view: PreparedView) -> nncore.reduction.autoencoder.Autoencoder:
        """See Reduction; with Adam."""
        x = view.data.train.x
        try:
            _check_components(self.n_components, x.shape[1])
        except ValueError as error:
            raise SettingError(str(error)) from None
        half = min(MOST_COMPONENTS, max(1, x.shape[1] // 2))
        n_code = half if self.n_components == "auto" else self.n_components
        architecture = nncore.reduction.autoencoder.autoencoder_architecture(
            x.shape[1], self.hidden, n_code, self.activation, loss=self.loss, tied=self.tied, batch_size=self.batch_size
        )
        try:
            trained, _ = nncore.reduction.autoencoder.train_autoencoder(architecture, self._network(), x, self.epochs)
        except ValueError as error:
            raise SettingError(f"reduce.learning_rate={self.learning_rate:g}: {error}") from None
        return trained

    def narrowed(self, fitted: Transform, view: PreparedView) -> Transform:
        """See Reduction."""
        return fitted

    def __call__(self, view: PreparedView) -> PreparedView:
        """Train on the training rows, apply to both parts."""
        return apply_reduction(self, view, self.fit(view))


def apply_reduction(reduction: Reduction, view: PreparedView, fitted: Transform) -> PreparedView:
    """The view as the reduction makes it, given what the shared one has fitted to it."""
    transform = reduction.narrowed(fitted, view)
    data = Data(*(rows._replace(x=np.ascontiguousarray(transform(rows.x))) for rows in view.data))
    return replace(view, transforms=(*view.transforms, transform), data=data)
