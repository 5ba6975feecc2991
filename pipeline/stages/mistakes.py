"""Where a model is wrong: the worst test rows, and the errors by class, by category of a column and by target value."""

from math import erfc, sqrt
from typing import Any, NamedTuple

import numpy as np

from nncore.inference.ensemble import Ensemble
from nncore.inference.model import ClassDecoder, LabelDecoder, Model, ValueDecoder
from nncore.inference.table import CODED, Column, Table
from nncore.kernels.backend import Array
from nncore.metrics import log_loss
from pipeline.components.scores import LOSS
from pipeline.components.types import RawRows

N_WORST = 10
N_VALUES = 60  # columns that are shown of a row
LONGEST_TEXT = 80
MIN_CATEGORY = 10  # rows of a category that is judged
MAX_LEVELS = 100  # of a column whose categories are judged
N_CATEGORIES = 10
LEVEL = 0.05  # at which a category stands out

Entry = dict[str, Any]  # of a list, in plain values


class Answered(NamedTuple):
    """The test rows with what the model answered.

    Parameters
    ----------
    loss : array (N,)
        Of each row.
    metric : str
        The score that is the mean of this loss.
    shown : list of dict
        Of the worst rows, the worst first: row, loss, true, predicted, and probability or error.
    by_class, by_tenth : list of dict
        See `mistakes`.
    """

    loss: Array
    metric: str
    shown: list[Entry]
    by_class: list[Entry]
    by_tenth: list[Entry]


def mistakes(model: Model | Ensemble, test: RawRows) -> Entry:
    """Describe where a model is wrong, in plain values; weights of rows do not count.

    Parameters
    ----------
    model : Model or Ensemble
    test : RawRows

    Returns
    -------
    dict
        - worst: the ten rows with the largest loss: row (its number among the test rows, from 1), loss, true,
          predicted, probability (of what is predicted) or error (predicted minus true value), values (by column, as
          texts)
        - by_class: of each class or label: label, n (rows of the class; of a label all rows), errors, share (of n),
          log_loss
        - by_category: the categories with the largest mean loss among those with ten rows: column, category, n,
          score, metric (name of the score), rest (the score of all other rows), stands_out (whether the losses of its
          rows are larger than those of other rows beyond chance: rank-sum test, Holm's correction, 5 %)
        - by_tenth: of each tenth of the rows by their true value: target, low, high, n, mean_absolute_error, bias
          (mean of predicted minus true value)
    """
    y = model.loss.predict(model.logits(test.x)[None])[0]  # (N, O)
    if isinstance(model.target_decoder, ClassDecoder):
        answered = _classes(model.target_decoder, y, test.y)
    elif isinstance(model.target_decoder, LabelDecoder):
        answered = _labels(model.target_decoder, y, test.y)
    else:
        answered = _values(model.target_decoder, y, test.y)
    for entry in answered.shown:
        at = entry["row"] - 1
        columns = test.x[at : at + 1].column_values[:N_VALUES]
        entry["values"] = {column.name: as_shown(column, values) for column, values in columns}
    return {
        "worst": answered.shown,
        "by_class": answered.by_class,
        "by_category": _by_category(test.x, answered),
        "by_tenth": answered.by_tenth,
    }


def _worst(loss: Array) -> Array:
    return np.argsort(-loss, kind="stable")[:N_WORST]


def _surprisal(y: Array, t: Array) -> Array:
    """The log loss of each row (N,)."""
    rows = log_loss().rows
    assert rows is not None
    return rows(y[None], t[None])[0]


def _classes(decoder: ClassDecoder, y: Array, true: Array) -> Answered:
    loss, probabilities = _surprisal(y, decoder.targets(true)), decoder.probabilities(y)
    positions = decoder.positions(probabilities)
    predicted = decoder.labels[positions]
    shown = [
        {
            "row": int(at) + 1,
            "loss": float(loss[at]),
            "true": str(true[at]),
            "predicted": str(predicted[at]),
            "probability": float(probabilities[at, positions[at]]),
        }
        for at in _worst(loss)
    ]
    by_class = [
        _class_entry(str(label), (predicted != true)[true == label], loss[true == label])
        for label in decoder.labels.tolist()
    ]
    return Answered(loss, "log_loss", shown, by_class, [])


def _class_entry(label: str, is_wrong: Array, loss: Array) -> Entry:
    n, errors = len(is_wrong), int(is_wrong.sum())
    share, mean = (errors / n, float(loss.mean())) if n else (None, None)
    return {"label": label, "n": n, "errors": errors, "share": share, "log_loss": mean}


def _labels(decoder: LabelDecoder, y: Array, true: Array) -> Answered:
    names = np.array(decoder.names)
    losses = np.stack([_surprisal(y[:, [o]], true[:, [o]]) for o in range(len(names))], axis=1)  # (N, T)
    predicted = y > 0.5
    of_predicted = np.where(predicted, y, 1 - y).prod(axis=1)
    loss = losses.sum(axis=1)
    shown = [
        {
            "row": int(at) + 1,
            "loss": float(loss[at]),
            "true": ", ".join(names[true[at] > 0]) or "none",
            "predicted": ", ".join(names[predicted[at]]) or "none",
            "probability": float(of_predicted[at]),
        }
        for at in _worst(loss)
    ]
    is_wrong = predicted != (true > 0)
    by_class = [_class_entry(name, is_wrong[:, o], losses[:, o]) for o, name in enumerate(decoder.names)]
    return Answered(loss, LOSS, shown, by_class, [])


def _values(decoder: ValueDecoder, y: Array, true: Array) -> Answered:
    predicted, n_targets = decoder.predicted(y), len(decoder.names)
    errors = predicted - true  # (N, T)
    scale = (
        decoder.scaling.scale if decoder.transform is None else np.where(np.ptp(true, axis=0) > 0, true.std(axis=0), 1)
    )
    loss = np.abs(errors[:, 0]) if n_targets == 1 else np.abs(errors / scale).mean(axis=1)

    def shown_values(values: Array) -> Any:
        pairs = zip(decoder.names, values.tolist(), strict=True)
        return float(values[0]) if n_targets == 1 else ", ".join(f"{name} {value:.6g}" for name, value in pairs)

    shown = [
        {
            "row": int(at) + 1,
            "loss": float(loss[at]),
            "true": shown_values(true[at]),
            "predicted": shown_values(predicted[at]),
            "error": float(errors[at, 0]) if n_targets == 1 else shown_values(errors[at]),
        }
        for at in _worst(loss)
    ]
    by_tenth = []
    for number, name in enumerate(decoder.names):
        order = np.argsort(true[:, number], kind="stable")
        for rows in np.array_split(order, max(1, min(10, len(order) // 2))):
            of_rows = errors[rows, number]
            by_tenth.append(
                {
                    "target": name,
                    "low": float(true[rows[0], number]),
                    "high": float(true[rows[-1], number]),
                    "n": len(rows),
                    "mean_absolute_error": float(np.abs(of_rows).mean()),
                    "bias": float(of_rows.mean()),
                }
            )
    return Answered(loss, "mean_absolute_error" if n_targets == 1 else LOSS, shown, [], by_tenth)


def _by_category(table: Table, answered: Answered) -> list[Entry]:
    """The worst categories of all columns."""
    loss, n_rows = answered.loss, len(answered.loss)
    _, number, counts = np.unique(loss, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[number]  # equal losses share a rank
    entries: list[Entry] = []
    for column, values in table.column_values:
        if column.kind not in (*CODED, "boolean") or len(column.levels) > MAX_LEVELS:
            continue
        for value in np.unique(values[~np.isnan(values)]):
            rows = values == value
            n, n_others = int(rows.sum()), int((~rows).sum())
            if n >= MIN_CATEGORY and n_others:
                expected = n * (n_rows + 1) / 2
                z = (ranks[rows].sum() - expected) / sqrt(expected * n_others / 6)
                entries.append(
                    {
                        "column": column.name,
                        "category": as_shown(column, np.array([value])) or ("(missing)" if value < 0 else "(unknown)"),
                        "n": n,
                        "score": float(loss[rows].mean()),
                        "metric": answered.metric,
                        "rest": float(loss[~rows].mean()),
                        "stands_out": erfc(z / sqrt(2)) / 2,  # so far the probability of such ranks by chance
                    }
                )
    by_chance = sorted(entries, key=lambda entry: entry["stands_out"])
    all_before = True
    for rank, entry in enumerate(by_chance):
        all_before = entry["stands_out"] = all_before and entry["stands_out"] * (len(entries) - rank) < LEVEL
    return sorted(entries, key=lambda entry: -entry["score"])[:N_CATEGORIES]


def as_shown(column: Column, values: Array) -> str:
    """The only one of raw values (1,) as a text; "" if it is missing."""
    (value,) = column.show(values)
    text = "" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT - 3]}..."
