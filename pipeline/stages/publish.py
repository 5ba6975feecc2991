"""Publish: write the model into the run's folder, from where tracking registers it."""

import json
import shutil
from pathlib import Path
from typing import Any

from nncore.inference import model_file
from nncore.inference.ensemble import Ensemble
from nncore.inference.model import Model
from pipeline.components.types import Development

EXAMPLE_ROWS = 3
CHECKED_ROWS = 2000  # on which the ONNX file must predict what the model predicts


def example_rows(development: Development) -> dict[str, Any]:
    """Return a few raw training rows as plain values: {"rows": the values by column}."""
    rows = development.rows.x[development.folds[0].train[:EXAMPLE_ROWS]]
    return {"rows": {column.name: column.show(values) for column, values in rows.column_values}}


def onnx_file(model: Model | Ensemble, development: Development) -> bytes:
    """Convert the model to ONNX, and compare their predictions on training rows.

    Raises
    ------
    ArithmeticError, NotImplementedError
        See `onnx_model`.
    """
    from pipeline.onnx_export.export import onnx_model  # an extra

    return onnx_model(model, development.rows.x[development.folds[0].train[:CHECKED_ROWS]])


def publish(model: Model | Ensemble, example: dict[str, Any], folder: Path) -> Path:
    """Write `model/` and `input_example.json` into the run's folder; return the path of the model."""
    path = folder / "model"
    if path.exists():  # of an earlier session of the run
        shutil.rmtree(path)
    model_file.save(model, path)
    (folder / "input_example.json").write_text(json.dumps(example), encoding="utf-8")
    return path
