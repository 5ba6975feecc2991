"""What MLflow is to know of the model and of the data that it learnt from."""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.entities import Dataset
from mlflow.models import ModelSignature
from mlflow.types.schema import AnyType, ColSpec, DataType, Schema

import nncore
from nncore import model_file
from pipeline.tracking import model_code
from pipeline.tracking.model_code import answer

LONGEST_DIGEST = 36
LONGEST_SCHEMA = 60_000


def log_model(folder: Path, run_id: str, name: str) -> str:
    """Log the model in `folder` under the run and register it; returns its version.

    The MLflow model carries the folder (arrays and JSON), nncore, and model_code.py: no pickle.
    """
    content = json.loads(folder.with_name("input_example.json").read_text(encoding="utf-8"))
    example = pd.DataFrame(content["rows"])
    any_type = AnyType()  # type: ignore[no-untyped-call]
    types = {name: any_type if kind == "any" else DataType[kind] for name, kind in content["types"].items()}
    inputs = Schema([ColSpec(type_, name) for name, type_ in types.items()])
    outputs = mlflow.models.infer_signature(example, answer(model_file.load(folder), example)).outputs
    signature = ModelSignature(inputs, outputs)
    packages = [f"{package}=={version(package)}" for package in ("mlflow", "numpy", "pandas")]
    with mlflow.start_run(run_id):
        info = mlflow.pyfunc.log_model(
            name="champion",
            python_model=model_code.__file__,
            artifacts={"model": str(folder)},
            code_paths=[str(Path(nncore.__file__).parent)],
            signature=signature,
            input_example=example,
            pip_requirements=packages,
            registered_model_name=name,
        )
    return str(info.registered_model_version)


def data_set(card: dict[str, Any]) -> Dataset:
    """The data card as MLflow shows data sets; of very many columns the first."""
    schema: list[dict[str, Any]] = []
    length = 0
    for column in card["columns"]:
        kind = "string" if "levels" in column else "double"
        schema.append({"type": kind, "name": column["name"], "required": column["missing"] == 0})
        length += len(json.dumps(schema[-1]))
        if length > LONGEST_SCHEMA:
            schema.pop()
            break
    profile = {
        name: value for name, value in card.items() if name not in ("name", "source", "columns", "targets", "digest")
    }
    profile |= {"n_columns": len(card["columns"]), "n_targets": len(card["targets"])}
    return Dataset(
        name=card["name"],
        digest=card["digest"][:LONGEST_DIGEST],
        source_type="local" if card["source"].startswith("/") else "code",
        source=json.dumps({"uri": card["source"]}),
        schema=json.dumps({"mlflow_colspec": schema}),
        profile=json.dumps(profile),
    )
