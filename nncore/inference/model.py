"""A finished model: everything from a raw row to a prediction."""

from dataclasses import dataclass

import numpy as np

from nncore.architecture import Architecture, check_parameters
from nncore.inference.preprocessing import Preprocessing
from nncore.inference.scaling import Affine
from nncore.inference.table import RowsLike, Table, read_table
from nncore.kernels.backend import Array
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
    """

    labels: Array
    names: tuple[str, ...] = ()

    def targets(self, y: Array) -> Array:
        """Return labels (N,) as float32 targets: one-hot (N, C), or for two classes (N, 1), 1 for the second."""
        one_hot = (y[:, None] == self.labels).astype(np.float32)
        return np.ascontiguousarray(one_hot[:, 1:]) if len(self.labels) == 2 else one_hot

    def probabilities(self, prediction: Array) -> Array:
        """Return the probability of each label (N, C) from the loss's prediction (N, O)."""
        return np.concatenate([1 - prediction, prediction], axis=1) if len(self.labels) == 2 else prediction

    def columns(self, prediction: Array, deviation: Array | None = None) -> dict[str, Array]:
        """Return "prediction", the most probable label, and "probability_<label>" from the loss's prediction (N, O)."""
        probabilities = self.probabilities(prediction)
        by_label = {f"probability_{label}": probabilities[:, index] for index, label in enumerate(self.labels)}
        return {"prediction": self.labels[probabilities.argmax(axis=1)], **by_label}


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
class ValueDecoder:
    """Regression: each row has one or several values.

    Parameters
    ----------
    names : tuple of str (T,)
        Names of the values, one per target.
    scaling : Affine
        From the values to the network's targets.
    """

    names: tuple[str, ...]
    scaling: Affine

    def targets(self, y: Array) -> Array:
        """Return values (N, T) as scaled float32 targets."""
        return np.ascontiguousarray(self.scaling(y), np.float32)

    def columns(self, prediction: Array, deviation: Array | None = None) -> dict[str, Array]:
        """Return the values in their own unit, and their standard deviations if the loss predicts them.

        Parameters
        ----------
        prediction : array (N, T)
            The loss's prediction.
        deviation : array (N, T), optional
            The loss's standard deviation.

        Returns
        -------
        dict of array (N,)
            "prediction" and "deviation"; with several values "prediction_<name>" and "deviation_<name>".
        """
        values = self._named("prediction", self.scaling.undo(prediction))
        return values if deviation is None else values | self._named("deviation", deviation * self.scaling.scale)

    def _named(self, prefix: str, y: Array) -> dict[str, Array]:
        if len(self.names) == 1:
            return {prefix: y[:, 0]}
        return {f"{prefix}_{name}": y[:, index] for index, name in enumerate(self.names)}


TargetDecoder = ClassDecoder | LabelDecoder | ValueDecoder


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

    Raises
    ------
    ValueError
        If the parameters do not fit the architecture, or one step's outputs the inputs of the next.
    """

    preprocessing: Preprocessing
    transforms: tuple[Pca | Autoencoder, ...]
    architecture: Architecture
    parameters: Array
    target_decoder: TargetDecoder

    def __post_init__(self) -> None:
        check_parameters(self.parameters, self.architecture)
        given = [self.preprocessing.n_outputs, *(transform.n_outputs for transform in self.transforms)]
        wanted = [*(transform.n_inputs for transform in self.transforms), self.architecture.inputs]
        if given != wanted:
            raise ValueError(f"the steps of a model must fit together, but have {given} outputs for {wanted} inputs")

    @property
    def loss(self) -> Loss:
        """The loss, which defines the meaning of the outputs."""
        return self.architecture.functions.loss

    def logits(self, table: Table) -> Array:
        """Return the network's outputs z (N, outputs) for raw rows."""
        return self.logits_from_inputs(self.inputs(table))

    def inputs(self, table: Table) -> Array:
        """Return the network's inputs x (N, I) for raw rows."""
        x = self.preprocessing(table)
        for transform in self.transforms:
            x = transform(x)
        return x

    def logits_from_inputs(self, x: Array) -> Array:
        """Return the network's outputs z (N, outputs) for its inputs x (N, I)."""
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
            The most probable label, or the value, of each row; with several targets, 0 or 1 for each label, or the
            value of each target.

        Raises
        ------
        ValueError
            See `predict_columns`.
        """
        return predictions_in(self.predict_columns(rows))

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
            "prediction"; for classes also "probability_<label>" of each label, and "deviation" if the loss predicts
            one. Several values or labels have one such column each, whose name ends in "_<name>".

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


def predictions_in(columns: dict[str, Array]) -> Array:
    """Return the predictions (N,), or (N, T) of T targets, among predicted columns; see Model.predict."""
    predictions = [values for name, values in columns.items() if name.partition("_")[0] == "prediction"]
    return predictions[0] if len(predictions) == 1 else np.stack(predictions, axis=1)
