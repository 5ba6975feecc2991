"""Score a model on the rows of a new file that has the target."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from nncore.inference.ensemble import Ensemble
from nncore.inference.model import ClassDecoder, LabelDecoder, Model, TargetDecoder
from nncore.inference.spelling import is_missing
from nncore.inference.table import Column, as_text
from nncore.kernels.backend import Array
from pipeline.components.types import RawRows, RowsToPredict, Task
from pipeline.stages.evaluate import scores_of


class Scored(NamedTuple):
    """What a model scored.

    Attributes
    ----------
    scores : dict of str to float
        As `evaluate` returns them.
    n_rows : int
        Rows that were scored.
    n_missing : int
        Rows without a target, which were left out.
    n_unknown : int
        Rows of classes that the model does not know, which were left out.
    """

    scores: dict[str, float]
    n_rows: int
    n_missing: int
    n_unknown: int


def score(model: Model | Ensemble, logits: Array, rows: RowsToPredict) -> Scored:
    """Score the outputs (N, O) of a model for rows that have its targets, as the test rows of a run are scored.

    Raises
    ------
    ValueError
        If no row can be scored, or a target cannot be read.
    """
    missing, known, y = _readable_targets(model.target_decoder, rows.targets)
    if not known.any():
        raise ValueError("no row has a target that the model knows")
    weights = None if rows.weights is None else rows.weights[known]
    test = RawRows(rows.table[:0], y, weights)  # the columns are in the outputs already
    scores = scores_of(model, logits[known], test, _task(model.target_decoder))
    return Scored(scores, int(known.sum()), int(missing.sum()), int((~known & ~missing).sum()))


def _readable_targets(decoder: TargetDecoder, targets: Mapping[str, Array]) -> tuple[Array, Array, Array]:
    """Whether the target of each row is missing and whether it is known, and the known ones as `RawRows.y`."""
    if not isinstance(decoder, ClassDecoder):
        numbers = np.stack([Column(name).read(values) for name, values in targets.items()], axis=1)  # (N, T)
        missing = np.isnan(numbers).any(axis=1)
        return missing, ~missing, numbers[~missing]
    (values,) = targets.values()
    labels = decoder.labels.tolist()
    # texts that spell the same number are one class, unless they are different classes of the model
    position_of = {as_text(label): position for position, label in enumerate(labels)}
    position_of |= {label: position for position, label in enumerate(labels) if isinstance(label, str)}
    positions = np.array([position_of.get(_name(value, position_of), -1) for value in values.tolist()])
    missing = np.array([is_missing(value) for value in values.tolist()]) & (positions < 0)
    return missing, positions >= 0, decoder.labels[positions[positions >= 0]]


def _name(value: object, known: Mapping[str, int]) -> str:
    return value if isinstance(value, str) and value in known else as_text(value)


def _task(decoder: TargetDecoder) -> Task:
    if isinstance(decoder, ClassDecoder):
        return "classification"
    return "multilabel" if isinstance(decoder, LabelDecoder) else "regression"
