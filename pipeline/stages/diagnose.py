"""Diagnose: what plots show of the champion: where it errs, how sure it may be, what it learnt from, its norms."""

from typing import Any

import numpy as np

from nncore.architecture import layer_views
from nncore.calibration import expected_calibration_error, reliability
from nncore.inference.model import ClassDecoder, Model, ValueDecoder
from nncore.kernels.backend import Array
from nncore.kernels.workspace import Workspace
from nncore.random_streams import generator
from nncore.reduction.autoencoder import Autoencoder
from nncore.reduction.pca import Pca
from nncore.stack.data import Rows
from nncore.stack.passes import gradient
from pipeline.components.types import PreparedView, RawRows

MOST_ROWS = 1000  # in a plot of rows
ROWS_OF_GRADIENT = 4096
N_BINS = 10
EXAMPLES = 6  # rows that are shown beside their reconstructions

Diagnosis = dict[str, Any]


def diagnose(model: Model, view: PreparedView, test: RawRows) -> Diagnosis:
    """Plain values: of the test rows, of the reduction, and of the network that is the champion's first."""
    return {
        "test": _classes(model, test) if isinstance(model.target_decoder, ClassDecoder) else _values(model, test),
        "reduction": _reduction(model, view, test),
        "norms": _norms(model, view.data.train),
    }


def _classes(model: Model, test: RawRows) -> Diagnosis:
    """Confusion (true class by predicted class, in rows), what follows from it per class, and reliability."""
    assert isinstance(model.target_decoder, ClassDecoder)
    z = model.logits(test.x)
    t, p = model.target_decoder.targets(test.y)[None], model.loss.predict(z[None])
    labels = model.target_decoder.labels
    true = (test.y[:, None] == labels).argmax(axis=1)
    predicted = model.target_decoder.probabilities(p[0]).argmax(axis=1)
    confusion = np.zeros((len(labels), len(labels)), np.int64)
    np.add.at(confusion, (true, predicted), 1)
    right, support, said = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    precision, recall = right / np.maximum(said, 1), right / np.maximum(support, 1)
    f1 = 2 * right / np.maximum(support + said, 1)
    bins = reliability(p, t, N_BINS)
    return {
        "labels": [str(label) for label in labels.tolist()],
        "confusion": confusion.tolist(),
        "per_class": {"precision": precision.tolist(), "recall": recall.tolist(), "f1": f1.tolist()},
        "support": support.tolist(),
        "reliability": {name: _numbers(values[0]) for name, values in bins._asdict().items()},
        "calibration_error": float(expected_calibration_error(p, t, N_BINS)[0]),
    }


def _values(model: Model, test: RawRows) -> Diagnosis:
    """By target: what is predicted and true of some test rows, in its own unit; of labels probabilities and 0 or 1."""
    y = model.loss.predict(model.logits(test.x)[None])[0]
    y = model.target_decoder.scaling.undo(y) if isinstance(model.target_decoder, ValueDecoder) else y
    assert not isinstance(model.target_decoder, ClassDecoder)
    rows = _some(len(y))
    return {
        "labels": None,
        "targets": {
            name: {"predicted": y[rows, at].tolist(), "true": test.y[rows, at].tolist()}
            for at, name in enumerate(model.target_decoder.names)
        },
        "has_values": isinstance(model.target_decoder, ValueDecoder),
    }


def _reduction(model: Model, view: PreparedView, test: RawRows) -> Diagnosis:
    """What the reduction keeps, and its first two components for some validation rows, with their class or value."""
    rows = _some(len(view.data.validation.x))
    x, t = view.data.validation.x[rows], view.data.validation.t[rows]
    classes = isinstance(view.target_decoder, ClassDecoder)
    colour = (t.argmax(axis=1) if t.shape[1] > 1 else t[:, 0]) if classes else t[:, 0]
    labels = (
        [str(one) for one in view.target_decoder.labels.tolist()]
        if isinstance(view.target_decoder, ClassDecoder)
        else None
    )
    found: Diagnosis = {"components": x[:, :2].tolist(), "colour": colour.tolist(), "labels": labels, "kind": "none"}
    for transform in view.transforms:
        if isinstance(transform, Pca):
            share = transform.explained_variance / (transform.total_variance or 1.0)
            found |= {"kind": "pca", "explained": share.tolist()}
        else:
            found |= {"kind": "autoencoder", "pairs": _pairs(transform, model.preprocessing(test.x[:EXAMPLES]))}
    return found


def _pairs(autoencoder: Autoencoder, x: Array) -> list[tuple[list[float], list[float]]]:
    """Some prepared rows, and what the autoencoder makes of them."""
    return [(given.tolist(), made.tolist()) for given, made in zip(x, autoencoder.reconstruct(x), strict=True)]


def _norms(model: Model, rows: Rows) -> Diagnosis:
    """By layer: the norm of the weights, and of the gradient of the loss on training rows at these weights."""
    at = layer_views(model.parameters.copy(), model.architecture)  # batch normalisation notes what it sees
    buffer = np.zeros_like(model.parameters)
    some = slice(0, ROWS_OF_GRADIENT)
    with np.errstate(all="ignore"):
        gradient(
            at,
            (d := layer_views(buffer, model.architecture)),
            model.architecture,
            rows.x[some][None],
            rows.t[some][None],
            Workspace(),
        )
    return {
        "layers": [f"{view.W.shape[1]} to {view.W.shape[2]}" for view in at],
        "weights": [float(np.linalg.norm(view.W)) for view in at],
        "gradients": [float(np.linalg.norm(view.W)) for view in d],
    }


def _some(n_rows: int) -> Array:
    """The numbers of at most MOST_ROWS rows, rising."""
    chosen = generator(0, "diagnosis").permutation(n_rows)[:MOST_ROWS]
    return np.sort(chosen)


def _numbers(values: Array) -> list[float | None]:
    """NaN, which JSON has not, as None."""
    return [None if value != value else float(value) for value in values]
