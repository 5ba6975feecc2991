"""A finished model: the whole way from a raw row to an answer."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from nncore.architecture import Architecture, check_parameters
from nncore.inference.preprocessing import Preprocessing
from nncore.inference.scaling import Affine
from nncore.inference.table import Table, read_table
from nncore.kernels.backend import Array
from nncore.losses import Loss
from nncore.reduction.autoencoder import Autoencoder
from nncore.reduction.pca import Pca
from nncore.stack.passes import predict


@dataclass(frozen=True)
class ClassDecoder:
    """What the outputs mean in classification: labels (C,), one output per class, or one for two classes."""

    labels: Array

    def targets(self, y: Array) -> Array:
        """Labels (N,) as float32 targets: one-hot (N, C), or (N, 1) with 1 for the second of two classes."""
        one_hot = (y[:, None] == self.labels).astype(np.float32)
        return np.ascontiguousarray(one_hot[:, 1:]) if len(self.labels) == 2 else one_hot

    def probabilities(self, answer: Array) -> Array:
        """The probability of each label (N, C), from the loss's answer (N, O)."""
        return np.concatenate([1 - answer, answer], axis=1) if len(self.labels) == 2 else answer

    def columns(self, answer: Array, deviation: Array | None = None) -> dict[str, Array]:
        """The most probable label, and the probability of each label, from the loss's answer (N, O)."""
        probabilities = self.probabilities(answer)
        each = {f"probability_{label}": probabilities[:, index] for index, label in enumerate(self.labels)}
        return {"prediction": self.labels[probabilities.argmax(axis=1)], **each}


@dataclass(frozen=True)
class LabelDecoder:
    """What the outputs mean where a row can have several labels: one output for each of the names (T)."""

    names: tuple[str, ...]

    def targets(self, y: Array) -> Array:
        """0 or 1 (N, T) as float32."""
        return np.ascontiguousarray(y, np.float32)

    def columns(self, answer: Array, deviation: Array | None = None) -> dict[str, Array]:
        """Whether a row has each label, 0 or 1, and how probable that is, from the loss's answer (N, T)."""
        said = {f"prediction_{name}": (answer[:, at] > 0.5).astype(np.int64) for at, name in enumerate(self.names)}
        return said | {f"probability_{name}": answer[:, at] for at, name in enumerate(self.names)}


@dataclass(frozen=True)
class ValueDecoder:
    """What the outputs mean in regression: the values (T) that have these names, scaled."""

    names: tuple[str, ...]
    scaling: Affine

    def targets(self, y: Array) -> Array:
        """Values (N, T) as scaled float32 targets."""
        return np.ascontiguousarray(self.scaling(y), np.float32)

    def columns(self, answer: Array, deviation: Array | None = None) -> dict[str, Array]:
        """The values, and the deviations if some are predicted, in their own unit, from the loss's answers (N, T).

        With one value the columns are "prediction" and "deviation", else their names end in "_<name>".
        """
        values = self._named("prediction", self.scaling.undo(answer))
        return values if deviation is None else values | self._named("deviation", deviation * self.scaling.scale)

    def _named(self, what: str, y: Array) -> dict[str, Array]:
        if len(self.names) == 1:
            return {what: y[:, 0]}
        return {f"{what}_{name}": y[:, at] for at, name in enumerate(self.names)}


@dataclass(frozen=True)
class Model:
    """Preparation, reduction, network and the meaning of its outputs.

    preprocessing from raw columns to numbers
    transforms    applied to these one after the other
    parameters    (1, buffer_size) of one network of `shape`
    target_decoder what its outputs stand for
    """

    preprocessing: Preprocessing
    transforms: tuple[Pca | Autoencoder, ...]
    architecture: Architecture
    parameters: Array
    target_decoder: ClassDecoder | LabelDecoder | ValueDecoder

    def __post_init__(self) -> None:
        check_parameters(self.parameters, self.architecture)

    @property
    def loss(self) -> Loss:
        """What the outputs mean and cost."""
        return self.architecture.functions.loss

    def logits(self, table: Table) -> Array:
        """The network's outputs z (N, outputs) for raw rows."""
        return self.logits_from_inputs(self.inputs(table))

    def inputs(self, table: Table) -> Array:
        """What the network sees of raw rows (N, I)."""
        x = self.preprocessing(table)
        for transform in self.transforms:
            x = transform(x)
        return x

    def logits_from_inputs(self, x: Array) -> Array:
        """The network's outputs z (N, outputs) for what it sees."""
        return predict(self.parameters, self.architecture, x)[0]

    def predict_columns(self, rows: Mapping[str, Array] | Array) -> dict[str, Array]:
        """Columns by name for raw rows: arrays (N,) by the column's name, in any order, or all columns (N, I).

        "prediction", for classes "probability_<label>" of each, and "deviation" where the loss predicts one;
        several values or labels have one of each. What is missing (NaN, None) and categories that were never seen are
        taken as the preparation has learnt to.

        Raises   ValueError naming a column that is missing, or the column, the row and the value that cannot be read
        """
        return prediction_columns(
            self.target_decoder, self.loss, self.logits(read_table(self.preprocessing.columns, rows))
        )


def prediction_columns(
    target_decoder: ClassDecoder | LabelDecoder | ValueDecoder, loss: Loss, z: Array
) -> dict[str, Array]:
    """Columns by name for the outputs z (N, outputs); see Model.answers."""
    z = z[None]  # (1, N, outputs)
    return target_decoder.columns(loss.predict(z)[0], loss.deviation(z)[0] if loss.deviation else None)
