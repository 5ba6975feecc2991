"""A finished model: everything from a raw row to a prediction."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from nncore.architecture import Architecture, check_parameters
from nncore.calibration import Calibration
from nncore.inference.preprocessing import Preprocessing
from nncore.inference.scaling import Affine
from nncore.inference.table import RowsLike, Table, read_table
from nncore.inference.target_transforms import TargetTransform
from nncore.kernels.backend import Array, as_array_like
from nncore.losses import Loss
from nncore.reduction.autoencoder import Autoencoder
from nncore.reduction.pca import Pca
from nncore.stack.passes import predict


@dataclass(frozen=True)
class ClassDecoder:
    """Classification: each row has one of several labels.

    Parameters
    ----------
    labels : array (C,)
        The labels. The network has one output per class, or one output for two classes.
    names : tuple of str (1,), or ()
        The name of the target, if it has one.
    threshold : float, in [0, 1), default 0.5
        With two classes, the second is predicted where its probability is larger; 0.5 with more classes, of which the
        most probable one is predicted.

    Raises
    ------
    ValueError
        If the threshold does not fit.
    """

    labels: Array
    names: tuple[str, ...] = ()
    threshold: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.threshold < 1 or (len(self.labels) != 2 and self.threshold != 0.5):
            raise ValueError(
                "threshold must be at least 0 and below 1, and 0.5 unless there are two classes, but is "
                f"{self.threshold} for {len(self.labels)}"
            )

    def targets(self, y: Array) -> Array:
        """Return labels (N,) as float32 targets: one-hot (N, C), or for two classes (N, 1), 1 for the second."""
        one_hot = (y[:, None] == self.labels).astype(np.float32)
        return np.ascontiguousarray(one_hot[:, 1:]) if len(self.labels) == 2 else one_hot

    def probabilities(self, prediction: Array) -> Array:
        """Return the probability of each label (N, C) from the loss's prediction (N, O)."""
        return np.concatenate([1 - prediction, prediction], axis=1) if len(self.labels) == 2 else prediction

    def positions(self, probabilities: Any) -> Any:
        """Return which label is predicted (N,), counted from 0, for the probability of each label (N, C)."""
        if len(self.labels) == 2:
            return (probabilities[:, 1] > self.threshold).astype(np.int64)
        return probabilities.argmax(axis=1)

    def columns(self, prediction: Array, deviation: Array | None = None) -> dict[str, Array]:
        """Return "prediction", the label, and "probability_<label>" from the loss's prediction (N, O)."""
        probabilities = self.probabilities(prediction)
        by_label = {f"probability_{label}": probabilities[:, index] for index, label in enumerate(self.labels)}
        return {"prediction": self.labels[self.positions(probabilities)], **by_label}


@dataclass(frozen=True)
class LabelDecoder:
    """Multilabel classification: each row has any of several labels.

    Parameters
    ----------
    names : tuple of str (T,)
        Names of the labels, one per output.
    """

    names: tuple[str, ...]

    def targets(self, y: Array) -> Array:
        """Return the indicators y (N, T), 0 or 1, as float32."""
        return np.ascontiguousarray(y, np.float32)

    def columns(self, prediction: Array, deviation: Array | None = None) -> dict[str, Array]:
        """Return "prediction_<name>", 0 or 1, and "probability_<name>" from the loss's prediction (N, T)."""
        labels = {
            f"prediction_{name}": (prediction[:, index] > 0.5).astype(np.int64) for index, name in enumerate(self.names)
        }
        return labels | {f"probability_{name}": prediction[:, index] for index, name in enumerate(self.names)}


@dataclass(frozen=True)
class ConformalInterval:
    """How far around a prediction the true value is expected.

    Parameters
    ----------
    half_width : float64 array (T,), >= 0
        For each target, in its own unit; if the loss predicts a standard deviation, in multiples of it; if targets are
        transformed, in the unit of their transformed values (before the scaling).
    coverage : float, in (0, 1)
        Share of new rows whose value is expected within the interval.

    Raises
    ------
    ValueError
        Naming argument, value and rule.
    """

    half_width: Array
    coverage: float

    def __post_init__(self) -> None:
        if self.half_width.ndim != 1 or not (self.half_width >= 0).all():
            raise ValueError(f"half_width must be (T,) and at least 0, but is {self.half_width}")
        if not 0 < self.coverage < 1:
            raise ValueError(f"coverage must be between 0 and 1, but is {self.coverage}")


@dataclass(frozen=True)
class ValueDecoder:
    """Regression: each row has one or several values.

    Parameters
    ----------
    names : tuple of str (T,)
        Names of the values, one per target.
    scaling : Affine
        From the values, or their transformed values, to the network's targets.
    interval : ConformalInterval, optional
    transform : Logarithm or YeoJohnson, optional
        Applied to the values before they are scaled.
    bounds : float64 array (2, T), optional
        The smallest and the largest value that is predicted, such as those of the training rows.

    Raises
    ------
    ValueError
        If interval or bounds are not for as many targets.
    """

    names: tuple[str, ...]
    scaling: Affine
    interval: ConformalInterval | None = None
    transform: TargetTransform | None = None
    bounds: Array | None = None

    def __post_init__(self) -> None:
        if self.interval is not None and len(self.interval.half_width) != len(self.names):
            raise ValueError(
                f"interval must have one half-width for each of {len(self.names)} targets, but has "
                f"{len(self.interval.half_width)}"
            )
        if self.bounds is not None and self.bounds.shape != (2, len(self.names)):
            raise ValueError(f"bounds must have the shape (2, {len(self.names)}), but has {self.bounds.shape}")

    def targets(self, y: Array) -> Array:
        """Return values (N, T) as scaled float32 targets."""
        return np.ascontiguousarray(self.scaled(y), np.float32)

    def scaled(self, y: Array) -> Array:
        """Return values (..., T) as the network's targets, in float64; inverse of `undo`."""
        return self.scaling(self.transformed(y))

    def transformed(self, y: Array) -> Array:
        """Return transformed values (..., T), before they are scaled."""
        return self.transform(y) if self.transform else y

    def undo(self, t: Array) -> Array:
        """Return the values (..., T), in float64, for which the network's targets t stand, wherever these are."""
        return self._values(self.scaling.undo(t))

    def predicted(self, prediction: Array) -> Array:
        """Return the values (..., T), in float64 and within the bounds, for the loss's prediction, wherever it is."""
        return self._predicted(self._bounded(prediction))

    def blocks(self, prediction: Any, deviation: Any = None) -> dict[str, Any]:
        """Return the same as `columns`, by the name without "_<name>", each (N, T)."""
        u = self._bounded(prediction)
        blocks = {"prediction": self._predicted(u)}
        half_width: Any = None if self.interval is None else self.interval.half_width
        if deviation is not None:
            blocks["deviation"] = deviation * self.scaling.scale
            half_width = None if half_width is None else blocks["deviation"] * half_width
        if half_width is not None:
            blocks |= {
                "prediction_lower": self._values(u - half_width),
                "prediction_upper": self._values(u + half_width),
            }
        return blocks

    def _bounded(self, prediction: Array) -> Array:
        """The transformed values within the transformed bounds."""
        u = self.scaling.undo(prediction)
        return u if self.bounds is None else _limited(u, self.transformed(self.bounds))

    def _predicted(self, u: Array) -> Array:
        """The values for bounded transformed ones; the inverse of a transform may round beyond the bounds."""
        values = self._values(u)
        return values if self.bounds is None or self.transform is None else _limited(values, self.bounds)

    def _values(self, u: Array) -> Array:
        return self.transform.undo(u) if self.transform else u

    def columns(self, prediction: Array, deviation: Array | None = None) -> dict[str, Array]:
        """Return the values in their own unit, with their standard deviations and the interval if there are any.

        Parameters
        ----------
        prediction : array (N, T)
            The loss's prediction.
        deviation : array (N, T), optional
            The loss's standard deviation.

        Returns
        -------
        dict of array (N,)
            "prediction", "deviation", "prediction_lower" and "prediction_upper"; with several values
            "prediction_<name>" and so on.
        """
        suffixes = [f"_{name}" for name in self.names] if len(self.names) > 1 else [""]
        return {
            f"{block}{suffix}": values[:, index]
            for block, values in self.blocks(prediction, deviation).items()
            for index, suffix in enumerate(suffixes)
        }


TargetDecoder = ClassDecoder | LabelDecoder | ValueDecoder


def _limited(values: Array, bounds: Array) -> Array:
    low, high = as_array_like(bounds, values)
    return np.minimum(np.maximum(values, low), high)


@dataclass(frozen=True)
class Model:
    """A network with the preprocessing of its inputs and the meaning of its outputs.

    Parameters
    ----------
    preprocessing : Preprocessing
        From raw columns to numbers.
    transforms : tuple of Pca or Autoencoder
        Dimension reductions, applied one after the other.
    architecture : Architecture
        Architecture of the network.
    parameters : array (1, buffer_size)
        Its parameters and running statistics.
    target_decoder : ClassDecoder, LabelDecoder or ValueDecoder
        From the loss's predictions to columns.
    calibration : Calibration, optional
        Applied to the network's outputs, for classes.

    Raises
    ------
    ValueError
        If the parameters do not fit the architecture, or one step's outputs the inputs of the next, or the loss
        predicts the deviation of transformed values.
    """

    preprocessing: Preprocessing
    transforms: tuple[Pca | Autoencoder, ...]
    architecture: Architecture
    parameters: Array
    target_decoder: TargetDecoder
    calibration: Calibration | None = None

    def __post_init__(self) -> None:
        check_parameters(self.parameters, self.architecture)
        given = [self.preprocessing.n_outputs, *(transform.n_outputs for transform in self.transforms)]
        wanted = [*(transform.n_inputs for transform in self.transforms), self.architecture.inputs]
        if given != wanted:
            raise ValueError(f"the steps of a model must fit together, but have {given} outputs for {wanted} inputs")
        if self.loss.deviation and isinstance(self.target_decoder, ValueDecoder) and self.target_decoder.transform:
            raise ValueError("a loss that predicts a deviation must predict untransformed values, but has a transform")

    @property
    def loss(self) -> Loss:
        """The loss, which defines the meaning of the outputs."""
        return self.architecture.functions.loss

    def logits(self, table: Table) -> Array:
        """Return the calibrated outputs z (N, outputs) for raw rows."""
        return self.logits_from_prepared(lambda preprocessing: preprocessing(table))

    def logits_from_prepared(self, prepared: Callable[[Preprocessing], Array]) -> Array:
        """Return the calibrated outputs z (N, outputs) for the rows (N, P) that the preprocessing prepares."""
        z = self.logits_from_inputs(self.transformed(prepared(self.preprocessing)))
        return z if self.calibration is None else self.calibration(z)

    def inputs(self, table: Table) -> Array:
        """Return the network's inputs x (N, I) for raw rows."""
        return self.transformed(self.preprocessing(table))

    def transformed(self, x: Array) -> Array:
        """Return the network's inputs (N, I) for prepared rows x (N, P)."""
        for transform in self.transforms:
            x = transform(x)
        return x

    def logits_from_inputs(self, x: Array) -> Array:
        """Return the network's outputs z (N, outputs) for its inputs x (N, I), before the calibration."""
        return predict(self.parameters, self.architecture, x)[0]

    def predict(self, rows: RowsLike) -> Array:
        """Predict raw rows.

        Parameters
        ----------
        rows : data frame, mapping of str to array (N,), or array (N, I)
            See `predict_columns`.

        Returns
        -------
        array (N,) or (N, T)
            The label, which follows the decoder's threshold, or the value, of each row; with several targets, 0 or 1
            for each label, or the value of each target.

        Raises
        ------
        ValueError
            See `predict_columns`.
        """
        return predictions_in(self.predict_columns(rows), self.target_decoder)

    def predict_columns(self, rows: RowsLike) -> dict[str, Array]:
        """Predict columns for raw rows.

        Parameters
        ----------
        rows : data frame, mapping of str to array (N,), or array (N, I)
            A data frame (of pandas, Polars or Arrow) or arrays by the name of their column, in any order and possibly
            with others; or a matrix with all columns in the order of the preprocessing. Missing values (NaN, None, NA)
            and unknown categories are allowed; they are treated as the preprocessing was fitted to.

        Returns
        -------
        dict of array (N,)
            "prediction"; for classes also "probability_<label>" of each label; for values "deviation" if the loss
            predicts one, and "prediction_lower" and "prediction_upper" if the decoder has an interval. Several values
            or labels have one such column each, whose name ends in "_<name>".

        Raises
        ------
        ValueError
            Naming the columns that are missing, or the column, the row and the value that cannot be read.
        """
        z = self.logits(read_table(self.preprocessing.columns, rows))
        return prediction_columns(self.target_decoder, self.loss, z)


def prediction_columns(target_decoder: TargetDecoder, loss: Loss, z: Array) -> dict[str, Array]:
    """Return the columns that outputs z (N, outputs) predict; see Model.predict_columns."""
    z = z[None]  # (1, N, outputs)
    return target_decoder.columns(loss.predict(z)[0], loss.deviation(z)[0] if loss.deviation else None)


def predictions_in(columns: dict[str, Array], target_decoder: TargetDecoder) -> Array:
    """Return the predictions (N,), or (N, T) of T targets, among predicted columns; see Model.predict."""
    if "prediction" in columns:
        return columns["prediction"]
    predictions = [columns[f"prediction_{name}"] for name in target_decoder.names]
    return predictions[0] if len(predictions) == 1 else np.stack(predictions, axis=1)
