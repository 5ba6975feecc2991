"""Ensembles: several networks answer together, with the mean of their answers.

The mean is taken of probabilities and expected values, never of the outputs z. Where the loss predicts a deviation
too, the ensemble's is that of the mixture of its members' distributions: var = mean (d^2 + y^2) - (mean y)^2, so it
grows where they disagree.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property
from typing import Any

import numpy as np

from nncore.architecture import Architecture
from nncore.inference.model import ClassDecoder, LabelDecoder, Model, ValueDecoder, prediction_columns
from nncore.inference.preprocessing import Preprocessing
from nncore.inference.table import Column, Table, read_table
from nncore.kernels.backend import Array
from nncore.losses import Loss


def moments(loss: Loss, z: Array) -> Array:
    """What of the outputs z (K, N, outputs) may be averaged over networks, in float64.

    The answers (K, N, O); where the loss predicts deviations, behind them the mean squares d^2 + y^2: (K, N, 2 O).
    """
    z = z.astype(np.float64)
    y = loss.predict(z)
    return np.concatenate([y, loss.deviation(z) ** 2 + y**2], axis=2) if loss.deviation else y


def mixture_logits(loss: Loss, mean: Array) -> Array:
    """The output (K, N, outputs) that has these moments, a mean over networks; the other way of `moments`."""
    if not loss.deviation:
        return loss.to_logits(mean, None)
    y, square = np.split(mean, 2, axis=2)
    rounding = np.finfo(mean.dtype).eps * square  # less than that is left where the members agree on a tiny deviation
    return loss.to_logits(y, np.sqrt(np.maximum(square - y**2, rounding)))


def mixture_loss(loss: Loss) -> Callable[[Array, Array], Array]:
    """(moments (K, N, .), t (1, N, O)) -> the loss (K, N) of each row of who answers with these moments."""
    return lambda mean, t: loss.value(mixture_logits(loss, mean), t)


def greedy_selection(
    y: Array, t: Array, weights: Array | None, value: Callable[[Array, Array], Array], size: int
) -> Array:
    """How often each of M networks belongs in an ensemble, (M,): add who helps most, until nobody does.

    It begins with the best network. Each time, the one is added (again, perhaps) with which the loss of the mean on
    the validation rows is lowest; it ends when that is not lower than before, or with `size` networks.

    Shapes   y: (M, N, O), answers, or `moments` where the loss predicts deviations; t: (N, O); weights: (N,) or None;
             value: (mean (1, N, O), t (1, N, O)) -> the loss (1, N) of each row, such as `mixed_value(loss)`
    Dtype    y is summed in float64; t is cast to it
    Range    size >= 1; weights as in training: only their ratios matter. Of networks that help alike, the first
    Raises   ValueError if the arrays do not match, size is less than 1, or no network has a finite loss
    Source   Caruana et al. (2004), "Ensemble selection from libraries of models", sections 2.1 and 2.2
    Differs  from the paper, which goes on and takes the best ensemble on its way
    """
    if y.ndim != 3 or t.shape[:1] != y.shape[1:2] or 0 in y.shape:
        raise ValueError(f"y must be (M, N, O) and t (N, O), none of them empty, but are {y.shape} and {t.shape}")
    if type(size) is not int or size < 1:
        raise ValueError(f"size must be a whole number >= 1, but is {size!r}")
    target = t.astype(np.float64)[None]

    def mean_loss(mean: Array) -> float:
        found = float(np.average(value(mean[None], target)[0], weights=weights))
        return found if found == found else np.inf

    counts, total, best = np.zeros(len(y), np.int64), np.zeros(y.shape[1:]), np.inf
    for n_taken in range(1, size + 1):
        losses = [mean_loss((total + one) / n_taken) for one in y]
        chosen = int(np.argmin(losses))
        if not losses[chosen] < best:
            break
        best = losses[chosen]
        counts[chosen] += 1
        total += y[chosen]
    if not counts.any():
        raise ValueError(f"an ensemble needs a network with a finite loss, but of {len(y)} there is none")
    return counts


@dataclass(frozen=True)
class Ensemble:
    """Models that answer together, as one model does.

    models   they read the same columns, and their answers mean the same; values may be scaled otherwise in each
    counts   how much each says, whole numbers >= 1

    Raises   ValueError naming what does not fit
    """

    models: tuple[Model, ...]
    counts: tuple[int, ...]

    def __post_init__(self) -> None:
        if not self.models or len(self.counts) != len(self.models) or min(self.counts) < 1:
            raise ValueError(f"counts must be numbers >= 1 for {len(self.models)} models, but are {self.counts}")
        for index, model in enumerate(self.models):
            if _kind(model) != _kind(self.models[0]):
                raise ValueError(f"models must have the columns, loss and meaning of the first, but {index} has not")

    @property
    def preprocessing(self) -> Preprocessing:
        """The first model's, for its columns, which are those of all."""
        return self.models[0].preprocessing

    @property
    def target_decoder(self) -> ClassDecoder | LabelDecoder | ValueDecoder:
        """The first model's; values are answered in its scale."""
        return self.models[0].target_decoder

    @property
    def loss(self) -> Loss:
        """What the outputs mean and cost."""
        return self.models[0].loss

    def logits(self, table: Table) -> Array:
        """Outputs z (N, outputs) for raw rows that mean what the ensemble answers."""
        said: dict[int, Array] = {}
        for first in dict.fromkeys(self._ways):  # one after the other: what is seen may be large
            x = self.models[first].inputs(table)
            said |= {
                at: self.models[at].logits_from_inputs(x)[None] for at, way in enumerate(self._ways) if way == first
            }
        return self.combine([said[at] for at in range(len(self.models))])[0]

    @cached_property
    def _ways(self) -> list[int]:
        """For each model the first one that sees the same of all rows: to prepare and to reduce them takes longest."""
        ways: list[int] = []
        for at, model in enumerate(self.models):
            alike = (first for first in dict.fromkeys(ways) if _see_alike(model, self.models[first]))
            ways.append(next(alike, at))
        return ways

    def combine(self, each: Sequence[Array]) -> Array:
        """Outputs (1, N, outputs) that mean what the models answer together, from the outputs of each."""
        shares = np.array(self.counts) / sum(self.counts)
        mean = sum(
            (share * moments(self.loss, self._scaled(model, z)))
            for share, model, z in zip(shares.tolist(), self.models, each, strict=True)
        )
        return mixture_logits(self.loss, mean).astype(self.models[0].architecture.dtype)

    def predict(self, table: Table) -> Array:
        """The mean of the models' answers (N, O): probabilities, or values in the scale of `meaning`."""
        return self.loss.predict(self.logits(table)[None])[0]

    def predict_columns(self, rows: Mapping[str, Array] | Array) -> dict[str, Array]:
        """Columns by name for raw rows; see Model.answers."""
        return prediction_columns(
            self.target_decoder, self.loss, self.logits(read_table(self.preprocessing.columns, rows))
        )

    def _scaled(self, model: Model, z: Array) -> Array:
        """The outputs of a model as those of one that has the first model's scale."""
        if not (isinstance(model.target_decoder, ValueDecoder) and isinstance(self.target_decoder, ValueDecoder)):
            return z
        own, ours, z = model.target_decoder.scaling, self.target_decoder.scaling, z.astype(np.float64)
        y = ours(own.undo(self.loss.predict(z)))
        return self.loss.to_logits(y, self.loss.deviation(z) * own.scale / ours.scale if self.loss.deviation else None)


def _see_alike(model: Model, other: Model) -> bool:
    return _equal((model.preprocessing, model.transforms), (other.preprocessing, other.transforms))


def _equal(a: Any, b: Any) -> bool:
    """Whether two values are of one type and equal, array by array to the last bit."""
    if a is b or type(a) is not type(b):
        return a is b
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(_equal, a, b))
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if is_dataclass(a) and not isinstance(a, Column | Architecture):
        return all(_equal(getattr(a, each.name), getattr(b, each.name)) for each in fields(a))
    return bool(a == b)


def _kind(model: Model) -> tuple[object, ...]:
    """What the models of an ensemble share."""
    target_decoder = model.target_decoder
    said = tuple(target_decoder.labels.tolist()) if isinstance(target_decoder, ClassDecoder) else target_decoder.names
    return model.preprocessing.columns, model.architecture.loss, type(target_decoder), said
