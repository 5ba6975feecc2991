"""Publish: the champion as files, from which tracking registers it."""

import json
import shutil
from pathlib import Path
from typing import Any

from nncore.inference import model_file
from nncore.inference.ensemble import Ensemble
from nncore.inference.model import Model
from pipeline.components.types import Development

EXAMPLE_ROWS = 3
CHECKED_ROWS = 2000  # that the ONNX file must answer as the model does


def example_rows(development: Development) -> dict[str, Any]:
    """A few raw training rows as plain values, with the names of their columns and what each may hold.

    That is double, string or boolean; "any" where several of Python's types are right: whole numbers come as fractions
    as soon as one is missing, dates also as texts.
    """
    rows = development.rows.x[development.folds[0].train[:EXAMPLE_ROWS]]
    sure = {("numeric", "double"), ("boolean", "boolean"), ("categorical", "string"), ("ordinal", "string")}
    types = {column.name: column.type if (column.kind, column.type) in sure else "any" for column in rows.columns}
    return {"types": types, "rows": {column.name: column.show(values) for column, values in rows.column_values}}


def onnx_file(model: Model | Ensemble, development: Development) -> bytes:
    """The model as an ONNX file, compared on training rows.

    Raises   ArithmeticError or NotImplementedError, see `onnx_model`
    """
    from pipeline.onnx_export.export import onnx_model  # an extra

    return onnx_model(model, development.rows.x[development.folds[0].train[:CHECKED_ROWS]])


def publish(model: Model | Ensemble, example: dict[str, Any], folder: Path) -> Path:
    """Write `model/` and `input_example.json` into the run's folder; the model's path."""
    path = folder / "model"
    if path.exists():  # of an earlier session of the run
        shutil.rmtree(path)
    model_file.save(model, path)
    (folder / "input_example.json").write_text(json.dumps(example), encoding="utf-8")
    return path
