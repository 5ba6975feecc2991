"""A finished model: the whole way from a raw row to an answer."""

from dataclasses import dataclass

import numpy as np

from nncore.autoencoder import Autoencoder
from nncore.backend import Array
from nncore.network import predict
from nncore.pca import Pca
from nncore.scaling import Standardise
from nncore.shape import Shape, check_parameters


@dataclass(frozen=True)
class Classes:
    """What the outputs mean in classification: labels (C,), one output per class, or one for two classes."""

    labels: Array

    def targets(self, y: Array) -> Array:
        """Labels (N,) as float32 targets: one-hot (N, C), or (N, 1) with 1 for the second of two classes."""
        one_hot = (y[:, None] == self.labels).astype(np.float32)
        return one_hot[:, 1:] if len(self.labels) == 2 else one_hot

    def columns(self, answer: Array, deviation: Array | None = None) -> dict[str, Array]:
        """The most probable label, and the probability of each label, from the loss's answer (N, O)."""
        probabilities = np.concatenate([1 - answer, answer], axis=1) if len(self.labels) == 2 else answer
        each = {f"probability_{label}": probabilities[:, index] for index, label in enumerate(self.labels)}
        return {"prediction": self.labels[probabilities.argmax(axis=1)], **each}


@dataclass(frozen=True)
class Values:
    """What the outputs mean in regression: standardised values."""

    scaling: Standardise

    def targets(self, y: Array) -> Array:
        """Values (N,) as standardised float32 targets (N, 1)."""
        return self.scaling(y[:, None])

    def columns(self, answer: Array, deviation: Array | None = None) -> dict[str, Array]:
        """The values, and the deviations if some are predicted, in their own unit, from the loss's answers (N, 1)."""
        values = {"prediction": self.scaling.undo(answer)[:, 0]}
        return values if deviation is None else values | {"deviation": (deviation * self.scaling.scale)[:, 0]}


@dataclass(frozen=True)
class Model:
    """Preparation, reduction, network and the meaning of its outputs.

    columns      names of the raw columns, in order
    transforms   applied to the raw rows one after the other
    parameters   (1, n_numbers) of one network of `shape`
    meaning      what its outputs stand for
    """

    columns: tuple[str, ...]
    transforms: tuple[Standardise | Pca | Autoencoder, ...]
    shape: Shape
    parameters: Array
    meaning: Classes | Values

    def __post_init__(self) -> None:
        check_parameters(self.parameters, self.shape)

    def outputs(self, x: Array) -> Array:
        """The network's outputs z (N, O) for raw rows (N, I).

        Raises   ValueError if the rows have another width, or hold what is not finite
        """
        if x.ndim != 2 or x.shape[1] != len(self.columns):
            raise ValueError(f"rows must have {len(self.columns)} columns, but have shape {x.shape}")
        if not np.isfinite(x).all():
            row, column = np.argwhere(~np.isfinite(x))[0]
            raise ValueError(f"row {row} has {x[row, column]} in column {self.columns[column]}, but must be finite")
        for transform in self.transforms:
            x = transform(x)
        return predict(self.parameters, self.shape, x)[0]

    def answers(self, x: Array) -> dict[str, Array]:
        """Columns by name for raw rows (N, I).

        "prediction", for classes "probability_<label>" of each, and "deviation" where the loss predicts one.
        """
        loss, z = self.shape.functions.loss, self.outputs(x)[None]  # (1, N, outputs)
        return self.meaning.columns(loss.answer(z)[0], loss.deviation(z)[0] if loss.deviation else None)
