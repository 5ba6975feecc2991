"""Networks as scikit-learn estimators, for its pipelines, searches and cross-validation.

NetworkClassifier and NetworkRegressor can replace MLPClassifier and MLPRegressor, and AutoencoderReducer can replace
PCA. Each trains one network, K = 1.
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
from sklearn.utils.validation import check_is_fitted

from nncore.architecture import Architecture
from nncore.components import Component
from nncore.inference.model import ClassDecoder
from nncore.inference.scaling import Affine
from nncore.kernels.backend import Array
from nncore.losses import mean_value
from nncore.metrics import Metric, accuracy, subset_accuracy
from nncore.reduction.autoencoder import Autoencoder, autoencoder_architecture
from nncore.sklearn.base import DTYPES, NetworkEstimator, on_one_thread
from nncore.stack.data import Rows
from nncore.stack.passes import predict


@dataclass(eq=False, repr=False)
class NetworkClassifier(ClassifierMixin, NetworkEstimator):  # type: ignore[misc]
    """A network that predicts the class of a row, or several labels of a row.

    Parameters
    ----------
    hidden_layer_sizes : int or sequence of int, default (100,)
        Number of outputs of each hidden layer.
    activation : str or Component, default "relu"
        Activation of the hidden layers.
    **parameters
        All other parameters are those of NetworkEstimator.

    Attributes
    ----------
    classes_ : array (C,)
        The sorted labels of y; for an indicator matrix its columns 0 to L - 1.

    Raises
    ------
    ValueError
        If y has only one class.

    Notes
    -----
    Two classes, and each label of an indicator matrix, have one output and the loss sigmoid_cross_entropy; more
    classes have one output each and the loss softmax_cross_entropy.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from nncore.sklearn.estimators import NetworkClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> network = NetworkClassifier((10,), solver="lbfgs", max_iter=50, random_state=0)
    >>> bool(make_pipeline(StandardScaler(), network).fit(X, y).score(X, y) > 0.95)
    True
    """

    hidden_layer_sizes: int | Sequence[int] = (100,)
    activation: str | Component = "relu"

    def fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> Self:
        """Train the network.

        Parameters
        ----------
        X : array (N, I)
        y : array (N,) or (N, L)
            Labels, or an indicator matrix of L labels.
        sample_weight : array (N,), >= 0, optional

        Returns
        -------
        NetworkClassifier
            The fitted estimator itself.
        """
        return self._fit(False, X, y, sample_weight)

    @available_if(lambda estimator: estimator.solver != "lbfgs")  # type: ignore[untyped-decorator]
    def partial_fit(
        self, X: Any, y: Any, sample_weight: ArrayLike | None = None, classes: ArrayLike | None = None
    ) -> Self:
        """Train for one more epoch on these rows; none of them is held out.

        Parameters and returns as in `fit`, and `classes` (C,): all labels, required in the first call.
        """
        if classes is None and not hasattr(self, "_stack"):
            raise ValueError("classes must be passed on the first call to partial_fit")
        return self._fit(True, X, y, sample_weight, classes)

    def _rows(self, fresh: bool, X: Any, y: Any, weights: ArrayLike | None, classes: ArrayLike | None = None) -> Rows:
        y = y.toarray() if hasattr(y, "toarray") else y  # an indicator matrix may be sparse
        x, y, weights = self._check_data(fresh, weights, X, y, multi_output=True)
        y = column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y
        check_classification_targets(y)
        multilabel = type_of_target(y) == "multilabel-indicator"
        if multilabel != (y.ndim == 2):
            raise ValueError("y must be labels (N,) or an indicator matrix (N, L), but has several classes in a column")
        present = np.arange(y.shape[1]) if multilabel else np.unique(y)
        if fresh:
            self.classes_ = present if multilabel or classes is None else np.unique(classes)
            self._multilabel = multilabel
        if classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(f"classes must stay {self.classes_}, but are {classes}")
        if multilabel != self._multilabel or not np.isin(present, self.classes_).all():
            raise ValueError(f"y must be of the classes {self.classes_}, but has {present}")
        if self.warm_start and (not fresh or classes is not None) and len(present) < len(self.classes_):
            raise ValueError(f"warm_start needs y to have the same classes, {self.classes_}, but it has {present}")
        if len(self.classes_) < 2 and not multilabel:
            raise ValueError(f"y must have more than one class, but all rows are of class {self.classes_[0]}")
        two_classes = len(self.classes_) == 2 and not multilabel
        if self.early_stopping and two_classes and np.unique(y, return_counts=True)[1].min() < 2:
            raise ValueError(
                "early_stopping holds out rows of both classes, but the least populated class in y has only 1 member"
            )
        t = y if multilabel else ClassDecoder(self.classes_).targets(y)
        return Rows(x, t.astype(x.dtype), weights)

    def _loss(self) -> Component:
        function = "sigmoid" if self._multilabel or len(self.classes_) == 2 else "softmax"
        return Component(f"nncore.losses.{function}_cross_entropy")

    def _metric(self) -> Metric:
        return subset_accuracy() if self._multilabel else accuracy()

    @on_one_thread
    def decision_function(self, X: Any) -> Array:
        """Return the logits (N, C) or (N, L); for two classes (N,), above 0 for the second class."""
        x = self._check_inputs(X)
        z = predict(self._parameters, self._stack.architecture, x)[0]
        return z[:, 0] if len(self.classes_) == 2 and not self._multilabel else z

    def predict_log_proba(self, X: Any) -> Array:
        """Return the logarithms of `predict_proba`, computed without loss of precision near probability 0."""
        z = self.decision_function(X)
        if self._multilabel:
            return -np.logaddexp(0, -z)
        if len(self.classes_) == 2:
            return -np.logaddexp(0, np.stack([z, -z], axis=1))
        return z - np.logaddexp.reduce(z, axis=1, keepdims=True)

    def predict_proba(self, X: Any) -> Array:
        """Return the probability of each class (N, C), or independently of each label (N, L)."""
        return np.exp(self.predict_log_proba(X))

    def predict(self, X: Any) -> Array:
        """Return the most probable label (N,), or an indicator matrix (N, L)."""
        z = self.decision_function(X)
        if self._multilabel:
            return (z > 0).astype(int)
        return self.classes_[(z > 0).astype(int) if z.ndim == 1 else z.argmax(axis=1)]

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


@dataclass(eq=False, repr=False)
class NetworkRegressor(MultiOutputMixin, RegressorMixin, NetworkEstimator):  # type: ignore[misc]
    """A network that predicts one or several values of a row.

    Parameters
    ----------
    loss : str or Component, default "squared_error"
        One of nncore.losses for "real" or "count" targets.
    hidden_layer_sizes : int or sequence of int, default (100,)
        Number of outputs of each hidden layer.
    activation : str or Component, default "relu"
        Activation of the hidden layers.
    scale_targets : bool, default True
        Whether the network learns each target minus its mean, divided by its standard deviation. Predictions are in
        the unit of y. Targets of a loss for counts, such as "poisson", are never scaled.
    **parameters
        All other parameters are those of NetworkEstimator.

    Attributes
    ----------
    target_mean_, target_scale_ : float64 array (O,)
        Mean and standard deviation of each target, weighted by sample_weight; 0 and 1 if targets are not scaled.

    Raises
    ------
    ValueError
        If the loss is for counts and y has a value below 0.

    Notes
    -----
    With scaled targets the losses of `loss_curve_` and the arguments of a loss (the delta of huber), too, are in units
    of a standard deviation. Mean and standard deviation are those of the training rows of the first call of fit or
    partial_fit; they stay the same with warm_start. X is not scaled: use ``StandardScaler``.
    """

    loss: str | Component = "squared_error"
    hidden_layer_sizes: int | Sequence[int] = (100,)
    activation: str | Component = "relu"
    scale_targets: bool = field(default=True, kw_only=True)

    def fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> Self:
        """Train the network.

        Parameters
        ----------
        X : array (N, I)
        y : array (N,) or (N, O)
        sample_weight : array (N,), >= 0, optional

        Returns
        -------
        NetworkRegressor
            The fitted estimator itself.
        """
        return self._fit(False, X, y, sample_weight)

    @available_if(lambda estimator: estimator.solver != "lbfgs")  # type: ignore[untyped-decorator]
    def partial_fit(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> Self:
        """Train for one more epoch on these rows, none of which is held out; parameters and returns as in `fit`."""
        return self._fit(True, X, y, sample_weight)

    def _rows(self, fresh: bool, X: Any, y: Any, weights: ArrayLike | None) -> Rows:
        x, y, weights = self._check_data(fresh, weights, X, y, multi_output=True, y_numeric=True)
        y = column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y
        if self._loss().build().targets == "count" and y.min() < 0:
            raise ValueError(f"y must be >= 0 for loss={self.loss!r}, but has {y.min()}")
        return Rows(x, y.reshape(len(y), -1).astype(np.float64), weights)

    def _fit_targets(self, rows: Rows) -> None:
        self.target_mean_, self.target_scale_ = np.zeros(rows.t.shape[1]), np.ones(rows.t.shape[1])
        if self.scale_targets and self._loss().build().targets == "real":
            varies = rows.t.min(axis=0) < rows.t.max(axis=0)
            self.target_mean_ = np.where(varies, np.average(rows.t, axis=0, weights=rows.weights), rows.t[0])
            deviation = rows.t - self.target_mean_
            largest = np.where(varies, np.abs(deviation).max(axis=0), 1)  # squares of the deviation may overflow
            variance = np.average((deviation / largest) ** 2, axis=0, weights=rows.weights)
            self.target_scale_ = np.where(varies, largest * np.sqrt(variance), 1)

    def _scaled(self, rows: Rows) -> Rows:
        return rows._replace(t=self._scaling(rows.t).astype(rows.x.dtype))

    @property
    def _scaling(self) -> Affine:
        return Affine(self.target_mean_, self.target_scale_)

    def _loss(self) -> Component:
        return self._loss_for("real", "count")

    def _metric(self) -> Metric:
        return Metric(_r2, ("values",), True)

    @on_one_thread
    def predict(self, X: Any, return_std: bool = False) -> Array | tuple[Array, Array]:
        """Predict the values of rows.

        Parameters
        ----------
        X : array (N, I)
        return_std : bool, default False
            Whether to return the standard deviations, too, which a loss such as "gaussian" predicts.

        Returns
        -------
        array (N,) or (N, O), or a tuple of two such arrays

        Raises
        ------
        ValueError
            If `return_std` is true, but the loss predicts no standard deviation.
        """
        x, architecture = self._check_inputs(X), self._stack.architecture
        loss, z = architecture.functions.loss, predict(self._parameters, architecture, x)
        values = self._scaling.undo(loss.predict(z)[0]).astype(z.dtype)  # (N, O)
        shape = values.shape if values.shape[1] > 1 else len(values)
        if not return_std:
            return values.reshape(shape)
        if loss.deviation is None:
            raise ValueError(f"return_std needs a loss with a deviation, such as gaussian, but loss is {self.loss!r}")
        deviation = (loss.deviation(z)[0] * self.target_scale_).astype(z.dtype)
        return values.reshape(shape), deviation.reshape(shape)


@dataclass(eq=False, repr=False)
class AutoencoderReducer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, NetworkEstimator):  # type: ignore[misc]
    """Dimension reduction by an autoencoder: a network that must reconstruct each row from a short code.

    Parameters
    ----------
    n_components : int, >= 1, default 2
        Length of the code.
    hidden_layer_sizes : int or sequence of int, default ()
        Hidden layers of the encoder; the decoder mirrors them.
    activation : str or Component, default "tanh"
        Activation of the hidden layers.
    tied : bool, default False
        Whether the decoder has the transposed weights of the encoder.
    noise : float, >= 0, default 0
        Standard deviation of the noise added to the rows in training, in units of the columns.
    sparsity : float, >= 0, default 0
        Strength of the penalty sparsity * sum |code|, a mean over the rows.
    loss : str or Component, default "squared_error"
        Loss of the reconstruction: "squared_error", or "sigmoid_cross_entropy" for X from 0 to 1.
    **parameters
        All other parameters are those of NetworkEstimator.

    Notes
    -----
    With squared_error and no hidden layer, sufficiently long training finds the subspace of PCA's components.
    """

    n_components: int = 2
    hidden_layer_sizes: int | Sequence[int] = field(default=(), kw_only=True)
    activation: str | Component = field(default="tanh", kw_only=True)
    tied: bool = field(default=False, kw_only=True)
    noise: float = field(default=0.0, kw_only=True)
    sparsity: float = field(default=0.0, kw_only=True)
    loss: str | Component = field(default="squared_error", kw_only=True)

    def fit(self, X: Any, y: None = None, sample_weight: ArrayLike | None = None) -> Self:
        """Train the autoencoder.

        Parameters
        ----------
        X : array (N, I)
        y : None
            Ignored.
        sample_weight : array (N,), >= 0, optional

        Returns
        -------
        AutoencoderReducer
            The fitted estimator itself.
        """
        return self._fit(False, X, sample_weight)

    @available_if(lambda estimator: estimator.solver != "lbfgs")  # type: ignore[untyped-decorator]
    def partial_fit(self, X: Any, y: None = None, sample_weight: ArrayLike | None = None) -> Self:
        """Train for one more epoch on these rows, none of which is held out; parameters and returns as in `fit`."""
        return self._fit(True, X, sample_weight)

    def _rows(self, fresh: bool, X: Any, weights: ArrayLike | None) -> Rows:
        x, weights = self._check_data(fresh, weights, X)
        if self._loss().short_name == "sigmoid_cross_entropy" and not (x.min() >= 0 and x.max() <= 1):
            raise ValueError(f"X must be from 0 to 1 for loss={self.loss!r}, but is from {x.min()} to {x.max()}")
        return Rows(x, x, weights)

    def _loss(self) -> Component:
        loss = self._loss_for("real", "count", "binary")
        if loss.build().outputs_per_target > 1:
            raise ValueError(f"loss must have one output per column, but is {self.loss!r}")
        return loss

    def _architecture(self, n_inputs: int, n_outputs: int) -> Architecture:
        sizes, activation, normalisation = self._hidden_layers()
        return autoencoder_architecture(
            n_inputs,
            sizes,
            int(self.n_components),
            activation,
            loss=self._loss(),
            normalisation=normalisation,
            tied=bool(self.tied),
        )

    @on_one_thread
    def transform(self, X: Any) -> Array:
        """Return the codes (N, n_components) of rows X (N, I)."""
        x = self._check_inputs(X)
        return Autoencoder(self._stack.architecture, self._parameters)(x)

    @on_one_thread
    def reconstruct(self, X: Any) -> Array:
        """Return the reconstructions (N, I) of rows X (N, I)."""
        x = self._check_inputs(X)
        return Autoencoder(self._stack.architecture, self._parameters).reconstruct(x)

    @on_one_thread
    def inverse_transform(self, X: Any) -> Array:
        """Return the rows (N, I) that the decoder makes of codes X (N, n_components)."""
        check_is_fitted(self)
        codes = check_array(X, dtype=self._stack.architecture.dtype)
        if codes.shape[1] != self._n_features_out:
            raise ValueError(f"X must have {self._n_features_out} columns, those of a code, but has {codes.shape[1]}")
        return Autoencoder(self._stack.architecture, self._parameters).decode(codes)

    @on_one_thread
    def score(self, X: Any, y: None = None) -> float:
        """Return minus the mean loss of the reconstructions of X (N, I): the higher, the better."""
        x, architecture = self._check_inputs(X), self._stack.architecture
        return -float(mean_value(architecture.functions.loss, predict(self._parameters, architecture, x), x[None])[0])

    @property
    def _n_features_out(self) -> int:
        return self._stack.architecture.sizes[len(self._stack.architecture.layers) // 2]

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = list(DTYPES.get(self.dtype, ()))
        return tags


def _r2(y: Array, t: Array, weights: Array | None) -> Array:
    """The R^2 of scikit-learn's regressors, (K,); NaN for a single row."""
    weights = None if weights is None else weights[0]
    return np.array([r2_score(t[0], values, sample_weight=weights) if len(values) > 1 else np.nan for values in y])
