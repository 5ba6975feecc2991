"""Networks as scikit-learn's estimators, for its pipelines, searches and cross-validation.

NetworkClassifier and NetworkRegressor can take the place of MLPClassifier and MLPRegressor, AutoencoderReducer that
of PCA. Each trains one network, K = 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import (
    ClassifierMixin,
    ClassNamePrefixFeaturesOutMixin,
    MultiOutputMixin,
    RegressorMixin,
    TransformerMixin,
)
from sklearn.metrics import r2_score
from sklearn.utils import Tags, check_array, column_or_1d
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted, validate_data

from nncore.architecture import Architecture, layer_views
from nncore.components import Component
from nncore.inference.model import ClassDecoder
from nncore.kernels.backend import Array
from nncore.losses import Loss, mean_value
from nncore.metrics import Metric, accuracy
from nncore.reduction.autoencoder import Autoencoder, autoencoder_architecture
from nncore.sklearn.base import DTYPES, NetworkEstimator
from nncore.stack.data import Rows
from nncore.stack.passes import predict


class FittedNetwork(NetworkEstimator):
    """Answering."""

    def _valid(self, X: Any) -> Array:
        """Rows, checked against those of fit."""
        check_is_fitted(self)
        return validate_data(self, X, dtype=self._stack.architecture.dtype, reset=False)

    def _loss_for(self, *targets: str) -> Component:
        """The loss that is named; ValueError if it is for none of these kinds of targets."""
        loss = self._named("loss", "losses", Loss, self.loss)
        if loss.build().targets not in targets:
            raise ValueError(f"loss must be for {' or '.join(targets)} targets, but is {self.loss!r}")
        return loss

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_stack")

    @property
    def coefs_(self) -> list[Array]:
        """W (I, O) of each layer."""
        return [view.W[0] for view in layer_views(self._parameters, self._stack.architecture)]

    @property
    def intercepts_(self) -> list[Array]:
        """b (O,) of each layer."""
        return [view.b[0, 0] for view in layer_views(self._parameters, self._stack.architecture)]


@dataclass(eq=False, repr=False)
class NetworkClassifier(ClassifierMixin, FittedNetwork):  # type: ignore[misc]
    """A network that says which class a row is of or, for y an indicator matrix (N, L), which of L labels it has.

    Two classes, and each label, have one output and sigmoid_cross_entropy; more classes have one output each and
    softmax_cross_entropy. NetworkArguments explains the arguments.

    Attributes  classes_: the labels (C,) of y, sorted; of an indicator matrix its columns 0 to L - 1
    Raises      ValueError if there is but one class
    """

    hidden_layer_sizes: int | Sequence[int] = (100,)
    activation: str | Component = "relu"

    def fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> Self:
        """Train on rows X (N, I) and y: labels (N,) or an indicator matrix (N, L)."""
        return self._learn(False, X, y, sample_weight)

    @available_if(lambda estimator: estimator.solver != "lbfgs")  # type: ignore[untyped-decorator]
    def partial_fit(
        self, X: Any, y: Any, sample_weight: ArrayLike | None = None, classes: ArrayLike | None = None
    ) -> Self:
        """One more epoch, on these rows, none held out; the first call must name all `classes` (C,)."""
        if classes is None and not hasattr(self, "_stack"):
            raise ValueError("classes must be passed on the first call to partial_fit")
        return self._learn(True, X, y, sample_weight, classes)

    def _rows(self, begins: bool, X: Any, y: Any, weights: ArrayLike | None, classes: ArrayLike | None = None) -> Rows:
        y = y.toarray() if hasattr(y, "toarray") else y  # an indicator matrix may be sparse
        x, y, weights = self._checked(begins, weights, X, y, multi_output=True)
        y = column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y
        check_classification_targets(y)
        many = type_of_target(y) == "multilabel-indicator"
        if many != (y.ndim == 2):
            raise ValueError("y must be labels (N,) or an indicator matrix (N, L), but has several classes in a column")
        found = np.arange(y.shape[1]) if many else np.unique(y)
        if begins:
            self.classes_, self._many = found if many or classes is None else np.unique(classes), many
        if classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(f"classes must stay {self.classes_}, but are {classes}")
        if many != self._many or not np.isin(found, self.classes_).all():
            raise ValueError(f"y must be of the classes {self.classes_}, but has {found}")
        if len(self.classes_) < 2 and not many:
            raise ValueError(f"y must have more than one class, but all rows are of class {self.classes_[0]}")
        t = y if many else ClassDecoder(self.classes_).targets(y)
        return Rows(x, t.astype(x.dtype), weights)

    def _loss(self) -> Component:
        name = "sigmoid" if self._many or len(self.classes_) == 2 else "softmax"
        return Component(f"nncore.losses.{name}_cross_entropy")

    def _metric(self) -> Metric:
        return _all_right if self._many else accuracy

    def decision_function(self, X: Any) -> Array:
        """The outputs z (N, C) or (N, L); for two classes (N,), above 0 for the second."""
        x = self._valid(X)
        z = predict(self._parameters, self._stack.architecture, x)[0]
        return z[:, 0] if len(self.classes_) == 2 and not self._many else z

    def predict_log_proba(self, X: Any) -> Array:
        """The logarithm of predict_proba, exact for probabilities near 0."""
        z = self.decision_function(X)
        if self._many:
            return -np.logaddexp(0, -z)
        if len(self.classes_) == 2:
            return -np.logaddexp(0, np.stack([z, -z], axis=1))
        return z - np.logaddexp.reduce(z, axis=1, keepdims=True)

    def predict_proba(self, X: Any) -> Array:
        """The probability of each class (N, C), or of each label (N, L) independently."""
        return np.exp(self.predict_log_proba(X))

    def predict(self, X: Any) -> Array:
        """The likeliest label (N,); for labels, an indicator matrix (N, L)."""
        z = self.decision_function(X)
        best = (z > 0).astype(int) if self._many or z.ndim == 1 else z.argmax(axis=1)
        return best if self._many else self.classes_[best]

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


@dataclass(eq=False, repr=False)
class NetworkRegressor(MultiOutputMixin, RegressorMixin, FittedNetwork):  # type: ignore[misc]
    """A network that says the value, or values, of a row.

    loss   squared_error, or another of nncore.losses for "real" or "count" targets. NetworkArguments explains the rest

    Targets are taken as they are: those far from 0, or from variance 1, are better scaled, by
    sklearn.compose.TransformedTargetRegressor(regressor, transformer=StandardScaler()), and X by StandardScaler.

    Raises   ValueError if a count is below 0
    """

    loss: str | Component = "squared_error"
    hidden_layer_sizes: int | Sequence[int] = (100,)
    activation: str | Component = "relu"

    def fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> Self:
        """Train on rows X (N, I) and values y, (N,) or (N, O)."""
        return self._learn(False, X, y, sample_weight)

    @available_if(lambda estimator: estimator.solver != "lbfgs")  # type: ignore[untyped-decorator]
    def partial_fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> Self:
        """One more epoch, on these rows, none held out."""
        return self._learn(True, X, y, sample_weight)

    def _rows(self, begins: bool, X: Any, y: Any, weights: ArrayLike | None) -> Rows:
        x, y, weights = self._checked(begins, weights, X, y, multi_output=True, y_numeric=True)
        y = column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y
        if self._loss().build().targets == "count" and y.min() < 0:
            raise ValueError(f"y must be >= 0 for loss={self.loss!r}, but has {y.min()}")
        return Rows(x, y.reshape(len(y), -1).astype(x.dtype), weights)

    def _loss(self) -> Component:
        return self._loss_for("real", "count")

    def _metric(self) -> Metric:
        return _r2

    def predict(self, X: Any, return_std: bool = False) -> Array | tuple[Array, Array]:
        """The values, (N,) or (N, O); with return_std also their deviations, as the loss gaussian predicts them."""
        x, architecture = self._valid(X), self._stack.architecture
        loss, z = architecture.functions.loss, predict(self._parameters, architecture, x)
        values = loss.predict(z)[0]
        dims = values.shape if values.shape[1] > 1 else len(values)
        if not return_std:
            return values.reshape(dims)
        if loss.deviation is None:
            raise ValueError(f"return_std needs a loss with a deviation, such as gaussian, but loss is {self.loss!r}")
        return values.reshape(dims), loss.deviation(z)[0].reshape(dims)


@dataclass(eq=False, repr=False)
class AutoencoderReducer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, FittedNetwork):  # type: ignore[misc]
    """Rows reduced to a code by a network that must bring them back.

    n_components         numbers in the code
    hidden_layer_sizes   between rows and code; the way back is their mirror image. NetworkArguments explains the rest
    tied                 whether the way back has the transposed weights of the way there
    noise                standard deviation of what is added to the rows in training, in units of the columns
    sparsity             penalty sparsity * sum |code|, a mean over the rows
    loss                 of what comes back: squared_error, or sigmoid_cross_entropy for X from 0 to 1

    With squared_error and no hidden layer the code spans what PCA's components do, if training is long enough.
    """

    n_components: int = 2
    hidden_layer_sizes: int | Sequence[int] = field(default=(), kw_only=True)
    activation: str | Component = field(default="tanh", kw_only=True)
    tied: bool = field(default=False, kw_only=True)
    noise: float = field(default=0.0, kw_only=True)
    sparsity: float = field(default=0.0, kw_only=True)
    loss: str | Component = field(default="squared_error", kw_only=True)

    def fit(self, X: Any, y: None = None, sample_weight: ArrayLike | None = None) -> Self:
        """Train on rows X (N, I)."""
        return self._learn(False, X, sample_weight)

    @available_if(lambda estimator: estimator.solver != "lbfgs")  # type: ignore[untyped-decorator]
    def partial_fit(self, X: Any, y: None = None, sample_weight: ArrayLike | None = None) -> Self:
        """One more epoch, on these rows, none held out."""
        return self._learn(True, X, sample_weight)

    def _rows(self, begins: bool, X: Any, weights: ArrayLike | None) -> Rows:
        x, weights = self._checked(begins, weights, X)
        if self._loss().short_name == "sigmoid_cross_entropy" and not (x.min() >= 0 and x.max() <= 1):
            raise ValueError(f"X must be from 0 to 1 for loss={self.loss!r}, but is from {x.min()} to {x.max()}")
        return Rows(x, x, weights)

    def _loss(self) -> Component:
        loss = self._loss_for("real", "count", "binary")
        if loss.build().outputs_per_target > 1:
            raise ValueError(f"loss must have one output per column, but is {self.loss!r}")
        return loss

    def _layers(self, inputs: int, outputs: int) -> Architecture:
        sizes, activation, normalisation = self._hidden()
        n, loss, tied = int(self.n_components), self._loss(), bool(self.tied)
        return autoencoder_architecture(inputs, sizes, n, activation, loss=loss, normalisation=normalisation, tied=tied)

    def transform(self, X: Any) -> Array:
        """The code (N, n_components) of rows X (N, I)."""
        x = self._valid(X)
        return Autoencoder(self._stack.architecture, self._parameters)(x)

    def reconstruct(self, X: Any) -> Array:
        """What comes back (N, I) of rows X (N, I)."""
        x = self._valid(X)
        return Autoencoder(self._stack.architecture, self._parameters).reconstruct(x)

    def inverse_transform(self, X: Any) -> Array:
        """Rows (N, I) for codes X (N, n_components)."""
        check_is_fitted(self)
        code = check_array(X, dtype=self._stack.architecture.dtype)
        if code.shape[1] != self._n_features_out:
            raise ValueError(f"X must have {self._n_features_out} columns, a code's, but has {code.shape[1]}")
        return Autoencoder(self._stack.architecture, self._parameters).decode(code)

    def score(self, X: Any, y: None = None) -> float:
        """Minus the mean loss of what comes back: the higher, the better."""
        x, architecture = self._valid(X), self._stack.architecture
        return -float(mean_value(architecture.functions.loss, predict(self._parameters, architecture, x), x[None])[0])

    @property
    def _n_features_out(self) -> int:
        return self._stack.architecture.sizes[len(self._stack.architecture.layers) // 2]

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = list(DTYPES.get(self.dtype, ()))
        return tags


def _all_right(y: Array, t: Array, weights: Array | None = None) -> Array:
    """Share of the rows with every label right."""
    right = ((y > 0.5) == (t > 0.5)).all(axis=2)
    return right.mean(axis=1) if weights is None else (right * weights).mean(axis=1)


def _r2(y: Array, t: Array, weights: Array | None = None) -> Array:
    """As scikit-learn scores regressors; NaN for a single row."""
    weights = None if weights is None else weights[0]
    return np.array([r2_score(t[0], one, sample_weight=weights) if len(one) > 1 else np.nan for one in y])
