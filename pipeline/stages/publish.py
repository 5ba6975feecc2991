"""Publish: the champion as files, from which tracking registers it."""

import json
from pathlib import Path

from nncore import model_file
from nncore.backend import Array
from nncore.model import Model
from pipeline.artefacts import Development

EXAMPLE_ROWS = 3


def example_rows(development: Development) -> Array:
    """A few raw training rows, to show what the model takes."""
    return development.train.x[:EXAMPLE_ROWS]


def publish(model: Model, example: Array, folder: Path) -> Path:
    """Write `model/` and `input_example.json` (columns and rows) into the run's folder; the model's path."""
    path = folder / "model"
    model_file.save(model, path)
    content = {"columns": list(model.columns), "data": example.tolist()}
    (folder / "input_example.json").write_text(json.dumps(content), encoding="utf-8")
    return path
