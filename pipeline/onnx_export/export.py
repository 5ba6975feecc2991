"""Export a model to ONNX, and verify that the file predicts what the model predicts.

    inputs    numbers (rows, M), double: numeric columns, boolean columns as 0 or 1, dates as days since 1970-01-01, in
              their order; NaN where missing
              texts (rows, L): categorical and ordinal columns, in their order; "" where missing
    outputs   prediction (rows,) for classes, else (rows, T); probabilities (rows, C or T); deviation, prediction_lower
              and prediction_upper (rows, T)

The file's metadata holds, as JSON, which columns, labels and names these are.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime

from nncore.architecture import Architecture, LayerView, layer_views
from nncore.inference.ensemble import Ensemble
from nncore.inference.model import ClassDecoder, LabelDecoder, Model, ValueDecoder
from nncore.inference.table import CODED, Column, Table
from nncore.kernels.backend import Array
from nncore.losses import Loss
from nncore.reduction.autoencoder import Autoencoder
from nncore.stack.passes import infer
from pipeline.onnx_export.graph import ML_DOMAIN, Graph
from pipeline.onnx_export.traced import Traced, TracedFunctions

TOLERANCE = 1e-5  # of probabilities; of values relative to their scale or to themselves
EXAMPLE_ROWS = 3  # number of rows in the traced arrays


def onnx_model(model: Model | Ensemble, table: Table) -> bytes:
    """Export a model and verify the file on some rows.

    Parameters
    ----------
    model : Model or Ensemble
    table : Table
        Raw rows, for which the file must predict what the model predicts, within TOLERANCE.

    Returns
    -------
    bytes
        The content of the ONNX file.

    Raises
    ------
    ArithmeticError
        If the predictions differ.
    NotImplementedError
        Naming an operation that has no translation to ONNX.
    """
    content = export(model)
    expected, actual = predictions(model, table), run_onnx(content, table)
    for name in expected:
        difference = _difference(name, actual[name], expected, getattr(model.target_decoder, "threshold", 0.5))
        if not difference <= TOLERANCE:
            raise ArithmeticError(f"the ONNX file's {name} differs from the model's by {difference:g} > {TOLERANCE:g}")
    return content


def export(model: Model | Ensemble) -> bytes:
    """Export a model without verifying the file."""
    graph = Graph()
    z = _traced_logits(model, _traced_inputs(graph, model.preprocessing.columns))
    for name, value in _outputs(model, z).items():
        graph.output(name, value.name, value.value)
    return graph.model(__doc__ or "", _metadata(model)).SerializeToString()


def run_onnx(content: bytes, table: Table) -> dict[str, Array]:
    """Predictions of an ONNX file for raw rows by onnxruntime, by the name of the output."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    blocks = {"numbers": table.numbers.astype(np.float64), "texts": texts(table)}
    names = [output.name for output in session.get_outputs()]
    arrays = session.run(names, {block.name: blocks[block.name] for block in session.get_inputs()})
    return dict(zip(names, arrays, strict=True))


def predictions(model: Model | Ensemble, table: Table) -> dict[str, Array]:
    """Predictions of the model for raw rows, in the form of the file's outputs."""
    return _outputs(model, model.logits(table))


def texts(table: Table) -> Array:
    """The categorical and ordinal columns (N, L) as texts. An unknown text becomes one that no level equals."""
    coded = [column for column in table.columns if column.kind in CODED]
    words = np.empty(table.codes.shape, object)
    for index, column in enumerate(coded):
        unknown = "?" * (1 + max(map(len, column.levels), default=0))
        words[:, index] = np.array([*column.levels, unknown, ""], object)[table.codes[:, index]]
    return words


def _traced_inputs(graph: Graph, columns: tuple[Column, ...]) -> Any:
    """A table of traced values. A block without columns is no input."""
    coded = [column for column in columns if column.kind in CODED]
    numbers: Any = np.zeros((EXAMPLE_ROWS, len(columns) - len(coded)))
    codes: Any = np.zeros((EXAMPLE_ROWS, len(coded)), np.int64)
    if numbers.shape[1]:
        numbers = Traced(graph, graph.input("numbers", numbers), numbers)
    if coded:
        words = graph.input("texts", np.empty(codes.shape, object))
        traced = [_traced_codes(graph, words, index, column) for index, column in enumerate(coded)]
        codes = TracedFunctions.stack(traced[0], traced, 1)
    return Table(columns, numbers, codes)


def _traced_codes(graph: Graph, words: str, index: int, column: Column) -> Traced:
    code = graph.node(
        "LabelEncoder",
        graph.node("Gather", words, graph.constant(np.array(index)), axis=1),
        domain=ML_DOMAIN,
        keys_strings=[*column.levels, ""],
        values_int64s=[*range(len(column.levels)), -1],
        default_int64=len(column.levels),
    )
    return Traced(graph, code, np.zeros(EXAMPLE_ROWS, np.int64))


def _traced_logits(model: Model | Ensemble, table: Table) -> Any:
    """The calibrated logits (N, outputs) for traced rows."""
    if isinstance(model, Ensemble):
        return model.combine([_traced_outputs(single, table)[None] for single in model.models])[0]
    z = _traced_outputs(model, table)
    return z if model.calibration is None else model.calibration(z)


def _traced_outputs(model: Model, table: Table) -> Any:
    """The network's outputs (N, outputs) for traced rows, before the calibration."""
    x: Any = np.concatenate(list(model.preprocessing.blocks(table)), axis=1).astype(np.float32)
    for transform in model.transforms:
        x = _apply_layers(*transform.encoder, x) if isinstance(transform, Autoencoder) else transform(x)
    return _apply_layers(layer_views(model.parameters, model.architecture), model.architecture, x)


def _apply_layers(layers: list[LayerView], architecture: Architecture, x: Any) -> Any:
    """All rows at once through the layers. Instead of a workspace, each layer gets a new traced value to write to."""
    new: Any = lambda name, like, dims=None: Traced(x.graph, "", np.empty(dims or like.shape, like.dtype))  # noqa: E731
    return infer(layers, architecture, x[None], new)[0]


def _outputs(model: Model | Ensemble, z: Any) -> dict[str, Any]:
    """The file's outputs for logits z (N, outputs), traced or not."""
    loss: Loss = model.loss
    y = loss.predict(z[None])[0]
    match model.target_decoder:
        case ClassDecoder() as classes:
            probabilities = classes.probabilities(y)
            labels = np.take_along_axis(classes.labels, classes.positions(probabilities), axis=0)
            return {"prediction": labels, "probabilities": probabilities}
        case LabelDecoder():
            return {"prediction": (y > 0.5).astype(np.int64), "probabilities": y}
        case ValueDecoder() as values:
            return values.blocks(y, loss.deviation(z[None])[0] if loss.deviation else None)


def _difference(name: str, actual: Array, all_expected: Mapping[str, Array], threshold: float) -> float:
    """Largest difference between predictions, in the sense of TOLERANCE; inf if shapes or classes differ."""
    expected, probabilities = all_expected[name], all_expected.get("probabilities")
    if actual.shape != expected.shape:
        return np.inf
    if probabilities is not None and name == "prediction":  # labels may differ where their probabilities are equal
        differs = actual.astype(str) != expected.astype(str)
        margin = 2 * np.abs(probabilities - 0.5)
        if expected.ndim == 1:
            p = np.sort(np.atleast_2d(probabilities), axis=1)
            is_binary = probabilities.shape[1] == 2
            margin = 2 * np.abs(probabilities[:, 1] - threshold) if is_binary else p[:, -1] - p[:, -2]
        return float(np.max(margin[differs], initial=0))
    size = 1 if probabilities is not None else np.maximum(np.abs(expected), expected.std(axis=0))
    return float(np.max(np.abs(actual - expected) / np.where(size > 0, size, 1), initial=0))


def _metadata(model: Model | Ensemble) -> dict[str, str]:
    """The columns of the inputs and the meaning of the outputs."""
    columns, decoder = model.preprocessing.columns, model.target_decoder
    metadata: dict[str, Any] = {
        "numbers": [{"name": column.name, "kind": column.kind} for column in columns if column.kind not in CODED],
        "texts": [{"name": column.name, "levels": column.levels} for column in columns if column.kind in CODED],
    }
    if isinstance(decoder, ClassDecoder):
        metadata["labels"] = decoder.labels.tolist()
    else:
        metadata["targets"] = decoder.names
    return {name: json.dumps(value) for name, value in metadata.items()}
