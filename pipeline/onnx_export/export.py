"""From a model to its ONNX file, and whether the file says what the model says.

    inputs    numbers (rows, M) in double: the numeric columns, boolean ones as 0 or 1, dates as days since 1970-01-01,
              in their order; NaN where missing
              texts (rows, L): the categorical and ordinal columns, in their order; "" where missing
    outputs   prediction (rows,) for classes, else (rows, T); probabilities (rows, C or T); deviation (rows, T)

Which columns, labels and names these are stands in the file's metadata, as JSON.
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
from nncore.reduction.pca import Pca
from nncore.stack.passes import infer
from pipeline.onnx_export.graph import ML_DOMAIN, Graph
from pipeline.onnx_export.traced import Traced, TracedFunctions

TOLERANCE = 1e-5  # of probabilities, and of values in units of their scale or relative to themselves
EXAMPLE_ROWS = 3  # how many rows the trace pretends to have


def onnx_model(model: Model | Ensemble, table: Table) -> bytes:
    """The model as an ONNX file that answers these rows as the model does, within TOLERANCE.

    Raises   ArithmeticError if it does not; NotImplementedError naming what has no translation
    """
    content = translated(model)
    wanted, found = answers(model, table), run_onnx(content, table)
    for name, expected in wanted.items():
        worst = _difference(name, found[name], expected, wanted)
        if not worst <= TOLERANCE:
            raise ArithmeticError(f"the ONNX file's {name} differs from the model's by {worst:g} > {TOLERANCE:g}")
    return content


def translated(model: Model | Ensemble) -> bytes:
    """The model as an ONNX file, not compared with anything."""
    graph, columns = Graph(), model.preprocessing.columns
    table = _inputs(graph, columns)
    for name, value in _answers(model, _outputs(model, table)).items():
        graph.output(name, value.name, value.value)
    return graph.model(__doc__ or "", _metadata(model)).SerializeToString()


def run_onnx(content: bytes, table: Table) -> dict[str, Array]:
    """What onnxruntime says of the rows, by the name of the output."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    blocks = {"numbers": table.numbers.astype(np.float64), "texts": texts(table)}
    names = [output.name for output in session.get_outputs()]
    found = session.run(names, {one.name: blocks[one.name] for one in session.get_inputs()})
    return dict(zip(names, found, strict=True))


def answers(model: Model | Ensemble, table: Table) -> dict[str, Array]:
    """What the model says of the rows, as the file's outputs do."""
    return _answers(model, model.logits(table))


def texts(table: Table) -> Array:
    """The categorical and ordinal columns (N, L) as texts; one that is no level as a text that is none."""
    coded = [column for column in table.columns if column.kind in CODED]
    found = np.empty(table.codes.shape, object)
    for at, column in enumerate(coded):
        no_level = "?" * (1 + max(map(len, column.levels), default=0))
        found[:, at] = np.array([*column.levels, no_level, ""], object)[table.codes[:, at]]
    return found


def _inputs(graph: Graph, columns: tuple[Column, ...]) -> Any:
    """Traced rows; a block of a table that has no columns is no input."""
    coded = [column for column in columns if column.kind in CODED]
    numbers: Any = np.zeros((EXAMPLE_ROWS, len(columns) - len(coded)))
    codes: Any = np.zeros((EXAMPLE_ROWS, len(coded)), np.int64)
    if numbers.shape[1]:
        numbers = Traced(graph, graph.input("numbers", numbers), numbers)
    if coded:
        given = graph.input("texts", np.empty(codes.shape, object))
        found = [_codes(graph, given, at, column) for at, column in enumerate(coded)]
        codes = TracedFunctions.stack(found[0], found, 1)
    return Table(columns, numbers, codes)


def _codes(graph: Graph, given: str, at: int, column: Column) -> Traced:
    text = graph.node("Gather", given, graph.constant(np.array(at)), axis=1)
    code = graph.node(
        "LabelEncoder",
        text,
        domain=ML_DOMAIN,
        keys_strings=[*column.levels, ""],
        values_int64s=[*range(len(column.levels)), -1],
        default_int64=len(column.levels),
    )
    return Traced(graph, code, np.zeros(EXAMPLE_ROWS, np.int64))


def _outputs(model: Model | Ensemble, table: Table) -> Any:
    """The outputs z (N, outputs), traced."""
    if isinstance(model, Ensemble):
        return model.combine([_outputs(one, table)[None] for one in model.models])[0]
    x: Any = np.concatenate(list(model.preprocessing.blocks(table)), axis=1).astype(np.float32)
    for transform in model.transforms:
        x = _transformed(transform, x)
    return _through(layer_views(model.parameters, model.architecture), model.architecture, x)


def _transformed(transform: Pca | Autoencoder, x: Any) -> Any:
    return _through(*transform.encoder, x) if isinstance(transform, Autoencoder) else transform(x)


def _through(layers: list[LayerView], architecture: Architecture, x: Any) -> Any:
    """All rows at once through the layers; nothing is written down in place."""
    blank: Any = lambda name, like, dims=None: Traced(x.graph, "", np.empty(dims or like.shape, like.dtype))  # noqa: E731
    return infer(layers, architecture, x[None], blank)[0]


def _answers(model: Model | Ensemble, z: Any) -> dict[str, Any]:
    """The file's outputs for the outputs z (N, outputs) of the network, traced or not."""
    loss: Loss = model.loss
    answer = loss.predict(z[None])[0]
    match model.target_decoder:
        case ClassDecoder() as classes:
            probabilities = classes.probabilities(answer)
            labels = np.take_along_axis(classes.labels, probabilities.argmax(axis=1), axis=0)
            return {"prediction": labels, "probabilities": probabilities}
        case LabelDecoder():
            return {"prediction": (answer > 0.5).astype(np.int64), "probabilities": answer}
        case ValueDecoder(scaling=scaling):
            deviation = {"deviation": loss.deviation(z[None])[0] * scaling.scale} if loss.deviation else {}
            return {"prediction": scaling.undo(answer), **deviation}


def _difference(name: str, found: Array, expected: Array, wanted: Mapping[str, Array]) -> float:
    """How far the answers are from what is wanted, in the sense of TOLERANCE; inf for other shapes or classes."""
    if found.shape != expected.shape:
        return np.inf
    if "probabilities" in wanted and name == "prediction":  # a label that is as probable as another may take its place
        differs = found.astype(str) != expected.astype(str)
        p = np.sort(np.atleast_2d(wanted["probabilities"]), axis=1)
        margin = p[:, -1] - p[:, -2] if expected.ndim == 1 else 2 * np.abs(wanted["probabilities"] - 0.5)
        return float(np.max(margin[differs], initial=0))
    size = 1 if "probabilities" in wanted else np.maximum(np.abs(expected), expected.std(axis=0))
    return float(np.max(np.abs(found - expected) / np.where(size > 0, size, 1), initial=0))


def _metadata(model: Model | Ensemble) -> dict[str, str]:
    """What the columns of the inputs and the outputs are."""
    columns, target_decoder = model.preprocessing.columns, model.target_decoder
    said: dict[str, Any] = {
        "numbers": [{"name": one.name, "kind": one.kind} for one in columns if one.kind not in CODED],
        "texts": [{"name": one.name, "levels": one.levels} for one in columns if one.kind in CODED],
    }
    said |= (
        {"labels": target_decoder.labels.tolist()}
        if isinstance(target_decoder, ClassDecoder)
        else {"targets": target_decoder.names}
    )
    return {name: json.dumps(value) for name, value in said.items()}
