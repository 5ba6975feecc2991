"""Reduce: fewer columns that keep most of the information, fitted on the training rows of a fold alone."""

from dataclasses import replace
from typing import Literal

import numpy as np
from pydantic.dataclasses import dataclass

import nncore.reduction.autoencoder
import nncore.reduction.pca
from nncore.architecture import Architecture
from nncore.components import Component
from nncore.stack.data import Data
from nncore.stack.device import LEAST_PER_PARAMETER, network_bytes
from nncore.stack.state import Network, check_networks
from pipeline.backends.memory import available_memory
from pipeline.components.errors import SettingError
from pipeline.components.fields import STRICT, NonNegativeInt, PositiveFloat, PositiveInt, Share
from pipeline.components.protocols import Reduction
from pipeline.components.resolver import ActivationSetting, LossSetting, RegularizerSetting
from pipeline.components.types import PreparedView, Transform

Components = PositiveInt | Literal["auto"]
AUTO_COMPONENTS = 32  # the most that auto chooses
SHARED_COMPONENTS = 1024  # PCA fits this many at once, and smaller numbers take a part: a few cost just as much


def _check_components(setting: Components, n_columns: int | None) -> None:
    if setting != "auto" and n_columns is not None and setting > n_columns:
        raise ValueError(f"reduce.n_components must be at most the number of columns, {n_columns}, but is {setting}")


@dataclass(frozen=True, config=STRICT)
class Identity:
    """No reduction: the networks learn from the prepared columns."""

    def check(self, n_columns: int | None) -> None:
        """Accept any number of columns."""

    @property
    def shared(self) -> None:
        """None: there is nothing to fit."""
        return

    def fit(self, view: PreparedView) -> Transform:
        """Never called, as `shared` is None."""
        raise NotImplementedError

    def narrowed(self, fitted: Transform, view: PreparedView) -> Transform:
        """Never called, as `shared` is None."""
        raise NotImplementedError

    def __call__(self, view: PreparedView) -> PreparedView:
        """Return the view itself."""
        return view


@dataclass(frozen=True, config=STRICT)
class PcaReduction:
    """Projection to the principal components with the largest variance.

    Parameters
    ----------
    n_components : int, > 0, or float, in (0, 1), or "auto"
        A fraction: as many as explain this share of the variance of the training rows. auto: as many as there are
        columns, at most 32.
    """

    n_components: Components | Share

    def check(self, n_columns: int | None) -> None:
        """See Reduction.check."""
        if not isinstance(self.n_components, float):
            _check_components(self.n_components, n_columns)

    @property
    def shared(self) -> "PcaReduction":
        """A PCA with more components, whose first ones are those of this one."""
        is_number = isinstance(self.n_components, int)
        return PcaReduction(max(SHARED_COMPONENTS, self.n_components) if is_number else SHARED_COMPONENTS)

    def fit(self, view: PreparedView) -> nncore.reduction.pca.Pca:
        """Fit to the training rows: as many components as they allow, at most the setting."""
        x = view.data.train.x
        largest = min(len(x) - 1, x.shape[1])
        try:
            n_components = self.n_components if isinstance(self.n_components, int) else largest
            return nncore.reduction.pca.fit_pca(x, min(n_components, largest))
        except ValueError as error:
            if largest < 1:
                raise SettingError(f"reduce.{error}") from None
            raise SettingError(
                f"reduce=pca: after preparation, {error}; choose another prepare.scaling, or reduce=none"
            ) from None

    def narrowed(self, fitted: Transform, view: PreparedView) -> nncore.reduction.pca.Pca:
        """Return the first components, as a copy: the last bits of a product may depend on the order in memory."""
        assert isinstance(fitted, nncore.reduction.pca.Pca)
        largest, (n_rows, n_columns) = len(fitted.components), view.data.train.x.shape
        if isinstance(self.n_components, float):
            n = _n_explaining(self.n_components, fitted)
        else:
            n = min(AUTO_COMPONENTS, largest) if self.n_components == "auto" else self.n_components
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
        """Fit on the training rows, and apply to the training and the validation rows."""
        return apply_reduction(self, view, self.shared.fit(view))


def _n_explaining(share: float, fitted: nncore.reduction.pca.Pca) -> int:
    """How many components explain this share of the variance."""
    n_below = int((np.cumsum(fitted.explained_variance) < share * fitted.total_variance).sum())
    if n_below == len(fitted.components) == SHARED_COMPONENTS:
        raise SettingError(
            f"reduce.n_components={share:g}: {SHARED_COMPONENTS} components explain only {fitted.explained_share:.3f} "
            "of the variance; choose a smaller share, or a number of components"
        )
    return min(n_below + 1, len(fitted.components))


@dataclass(frozen=True, config=STRICT)
class AutoencoderReduction:
    """The code of an autoencoder: a network that reproduces its input from n_components numbers.

    Parameters
    ----------
    n_components : int, > 0, or "auto"
        auto: half the columns, at least 1 and at most 32.
    hidden : tuple of int, > 0
        Sizes of the layers before the code; the decoder mirrors them.
    activation : Component
    loss : Component
        Of the reconstruction against the input; one for real or binary targets.
    tied : bool
        Use the encoder's weights, transposed, in the decoder.
    learning_rate : float, > 0
        Of Adam.
    epochs, batch_size : int, > 0
    seed : int, >= 0
        Of the initial weights and of the order of the rows.
    regularizers : dict of str to Component
        input_noise makes it a denoising autoencoder, activity a sparse one.
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
        """See Reduction.check."""
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
        """The autoencoder itself: one with another width is another network."""
        return self

    def fit(self, view: PreparedView) -> nncore.reduction.autoencoder.Autoencoder:
        """Train on the training rows, with Adam."""
        x = view.data.train.x
        try:
            _check_components(self.n_components, x.shape[1])
        except ValueError as error:
            raise SettingError(str(error)) from None
        half = min(AUTO_COMPONENTS, max(1, x.shape[1] // 2))
        n_code = half if self.n_components == "auto" else self.n_components
        architecture = self._architecture(x.shape[1], self.hidden, n_code)
        self._check_memory(architecture, len(x))
        try:
            trained, _ = nncore.reduction.autoencoder.train_autoencoder(architecture, self._network(), x, self.epochs)
        except ValueError as error:
            raise SettingError(f"reduce.learning_rate={self.learning_rate:g}: {error}") from None
        return trained

    def _architecture(self, n_inputs: int, hidden: tuple[int, ...], n_code: int) -> Architecture:
        return nncore.reduction.autoencoder.autoencoder_architecture(
            n_inputs, hidden, n_code, self.activation, loss=self.loss, tied=self.tied, batch_size=self.batch_size
        )

    def _check_memory(self, architecture: Architecture, n_rows: int) -> None:
        """Refuse widths that do not fit into memory, with widths that do."""

        def needed(hidden: tuple[int, ...]) -> int:
            smaller = self._architecture(architecture.inputs, hidden, architecture.sizes[len(self.hidden) + 1])
            return network_bytes(smaller, self._network(), n_rows, n_rows, LEAST_PER_PARAMETER)

        available, hidden = available_memory(), self.hidden
        while needed(hidden) > available and max(hidden, default=1) > 1:
            hidden = tuple(max(1, width // 2) for width in hidden)
        if hidden != self.hidden:
            before, fitting = (f"reduce.hidden=[{','.join(map(str, widths))}]" for widths in (self.hidden, hidden))
            raise SettingError(
                f"{before}: to train this autoencoder takes at least {needed(self.hidden) / 1e9:,.1f} GB of memory, "
                f"but {available / 1e9:,.1f} GB are available; give '{fitting}'"
            )

    def narrowed(self, fitted: Transform, view: PreparedView) -> Transform:
        """Return the fit unchanged."""
        return fitted

    def __call__(self, view: PreparedView) -> PreparedView:
        """Train on the training rows, and apply to the training and the validation rows."""
        return apply_reduction(self, view, self.fit(view))


def apply_reduction(reduction: Reduction, view: PreparedView, fitted: Transform) -> PreparedView:
    """Apply a reduction to a view, given the fit of its shared reduction."""
    transform = reduction.narrowed(fitted, view)
    data = Data(*(rows._replace(x=np.ascontiguousarray(transform(rows.x))) for rows in view.data))
    return replace(view, transforms=(*view.transforms, transform), data=data)
