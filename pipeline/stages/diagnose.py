"""Diagnose: data for plots of the published model: its errors, its calibration, the reduction, and norms by layer."""

from typing import Any

import numpy as np

from nncore.architecture import layer_views
from nncore.calibration import debiased_calibration_error, expected_calibration_error, reliability
from nncore.inference.ensemble import Ensemble
from nncore.inference.model import ClassDecoder, Model, ValueDecoder
from nncore.kernels.backend import Array
from nncore.kernels.workspace import Workspace
from nncore.random_streams import generator
from nncore.reduction.autoencoder import Autoencoder
from nncore.reduction.pca import Pca
from nncore.stack.data import Rows
from nncore.stack.passes import gradient
from pipeline.components.types import PreparedView, RawRows

MAX_ROWS = 1000  # in a plot of rows
GRADIENT_ROWS = 4096
N_BINS = 10
N_EXAMPLES = 6  # rows that are shown with their reconstructions

Diagnosis = dict[str, Any]


def diagnose(model: Model | Ensemble, view: PreparedView, test: RawRows) -> Diagnosis:
    """Describe a model in plain values, for plots.

    Parameters
    ----------
    model : Model or Ensemble
        Of several networks, the first one's reduction and norms are shown.
    view : PreparedView
        What its first network was trained on.
    test : RawRows
        May be empty.

    Returns
    -------
    dict
        "test" (None without test rows), "reduction" and "norms".
    """
    tested = _classes if isinstance(model.target_decoder, ClassDecoder) else _values
    return {
        "test": tested(model, test) if len(test) else None,
        "reduction": _reduction(view, test),
        "norms": _norms(model.models[0] if isinstance(model, Ensemble) else model, view.data.train),
    }


def _classes(model: Model | Ensemble, test: RawRows) -> Diagnosis:
    """Confusion matrix (rows: true classes, columns: predicted ones), scores per class, and reliability."""
    assert isinstance(model.target_decoder, ClassDecoder)
    z = model.logits(test.x)
    t, p = model.target_decoder.targets(test.y)[None], model.loss.predict(z[None])
    labels = model.target_decoder.labels
    true = (test.y[:, None] == labels).argmax(axis=1)
    predicted = model.target_decoder.positions(model.target_decoder.probabilities(p[0]))
    confusion = np.zeros((len(labels), len(labels)), np.int64)
    np.add.at(confusion, (true, predicted), 1)
    correct, support, n_predicted = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    precision, recall = correct / np.maximum(n_predicted, 1), correct / np.maximum(support, 1)
    f1 = 2 * correct / np.maximum(support + n_predicted, 1)
    bins = reliability(p, t, N_BINS)
    return {
        "labels": [str(label) for label in labels.tolist()],
        "confusion": confusion.tolist(),
        "per_class": {"precision": precision.tolist(), "recall": recall.tolist(), "f1": f1.tolist()},
        "support": support.tolist(),
        "reliability": {name: _numbers(values[0]) for name, values in bins._asdict().items()},
        "calibration_error": float(expected_calibration_error(p, t, N_BINS)[0]),
        "calibration_error_debiased": debiased_calibration_error(p[0], t[0], N_BINS),
    }


def _values(model: Model | Ensemble, test: RawRows) -> Diagnosis:
    """By target, predicted and true values of some test rows, in its unit; of labels probabilities and 0 or 1."""
    y = model.loss.predict(model.logits(test.x)[None])[0]
    y = model.target_decoder.predicted(y) if isinstance(model.target_decoder, ValueDecoder) else y
    assert not isinstance(model.target_decoder, ClassDecoder)
    rows = _sample(len(y))
    return {
        "labels": None,
        "targets": {
            name: {"predicted": y[rows, column].tolist(), "true": test.y[rows, column].tolist()}
            for column, name in enumerate(model.target_decoder.names)
        },
        "has_values": isinstance(model.target_decoder, ValueDecoder),
    }


def _reduction(view: PreparedView, test: RawRows) -> Diagnosis:
    """What the reduction keeps, and the first two components of some validation rows with their class or target."""
    rows = _sample(len(view.data.validation.x))
    x, t = view.data.validation.x[rows], view.data.validation.t[rows]
    colour, labels = t[:, 0], None
    if isinstance(view.target_decoder, ClassDecoder):
        colour = t.argmax(axis=1) if t.shape[1] > 1 else t[:, 0]
        labels = [str(label) for label in view.target_decoder.labels.tolist()]
    shown: Diagnosis = {"components": x[:, :2].tolist(), "colour": colour.tolist(), "labels": labels, "kind": "none"}
    for transform in view.transforms:
        if isinstance(transform, Pca):
            share = transform.explained_variance / (transform.total_variance or 1.0)
            shown |= {"kind": "pca", "explained": share.tolist()}
        else:
            shown["kind"] = "autoencoder"
            if len(test):
                shown["pairs"] = _pairs(transform, view.preprocessing(test.x[:N_EXAMPLES]))
    return shown


def _pairs(autoencoder: Autoencoder, x: Array) -> list[tuple[list[float], list[float]]]:
    """Prepared rows and their reconstructions."""
    return [(row.tolist(), copy.tolist()) for row, copy in zip(x, autoencoder.reconstruct(x), strict=True)]


def _norms(model: Model, rows: Rows) -> Diagnosis:
    """By layer, the norm of the weights, and of the gradient of the loss on training rows at these weights."""
    weights = layer_views(model.parameters.copy(), model.architecture)  # batch normalisation updates its statistics
    gradients = layer_views(np.zeros_like(model.parameters), model.architecture)
    x, t = rows.x[:GRADIENT_ROWS][None], rows.t[:GRADIENT_ROWS][None]
    with np.errstate(all="ignore"):
        gradient(weights, gradients, model.architecture, x, t, Workspace())
    return {
        "layers": [f"{view.W.shape[-2]} to {view.W.shape[-1]}" for view in weights],
        "weights": [float(np.linalg.norm(view.W)) for view in weights],
        "gradients": [float(np.linalg.norm(view.W)) for view in gradients],
    }


def _sample(n_rows: int) -> Array:
    """The numbers of at most MAX_ROWS rows, in increasing order."""
    chosen = generator(0, "diagnosis").permutation(n_rows)[:MAX_ROWS]
    return np.sort(chosen)


def _numbers(values: Array) -> list[float | None]:
    """Replace NaN, which JSON lacks, by None."""
    return [None if value != value else float(value) for value in values]
