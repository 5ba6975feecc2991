"""The model and its data set in MLflow: logging, registering, downloading, and the alias champion."""

import json
import os
import shlex
import sqlite3
from collections.abc import Mapping
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Dataset
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature

import nncore
from nncore.inference import model_file
from pipeline.components.errors import SettingError
from pipeline.components.secrets import masked
from pipeline.tracking import model_code
from pipeline.tracking.mlflow_client import open_store
from pipeline.tracking.model_code import predict_frame

ALIAS = "champion"
CHECKSUM, RUN = "model_sha256", "pipeline_run"  # tags of a version
DIGITS = ".6g"  # of the value by which versions are compared
LONGEST_DIGEST = 36
LONGEST_SCHEMA = 60_000


def logged_model(client: MlflowClient, folder: Path, run_id: str, name: str) -> str:
    """Log the model in `folder` under the run and register it, unless an earlier writer has; its version."""
    checksum = sha256((folder / "model.json").read_bytes()).hexdigest()  # it holds the checksum of the arrays
    for model_version in client.search_model_versions(f"name = '{name}'"):
        if model_version.run_id == run_id and model_version.tags.get(CHECKSUM) == checksum:
            return str(model_version.version)
    return _log_model(folder, run_id, name, checksum)


def _log_model(folder: Path, run_id: str, name: str, checksum: str) -> str:
    """The MLflow model contains the folder (arrays and JSON), nncore, and model_code.py: no pickle.

    Its signature has outputs only. With an input schema MLflow refuses frames that the model can read: integers where
    it has floats, columns without a value, pandas' nullable and category types, and, as soon as one column has the
    type "any", every request of text/csv.
    """
    example = pd.DataFrame(json.loads(folder.with_name("input_example.json").read_text(encoding="utf-8"))["rows"])
    model = model_file.load(folder)
    outputs = mlflow.models.infer_signature(example, predict_frame(model, example)).outputs
    with mlflow.start_run(run_id):
        info = mlflow.pyfunc.log_model(
            name="champion",
            python_model=model_code.__file__,
            artifacts={"model": str(folder)},
            code_paths=[str(Path(nncore.__file__).parent)],
            signature=ModelSignature(outputs=outputs),
            metadata={"columns": {column.name: column.kind for column in model.preprocessing.columns}},
            input_example=example,
            pip_requirements=_packages(),
            registered_model_name=name,
            tags={CHECKSUM: checksum},
        )
    return str(info.registered_model_version)


def _packages() -> list[str]:
    """The packages that the model needs besides nncore."""
    return [f"{package}=={version(package)}" for package in ("mlflow", "numpy", "pandas")]


def download(address: str, uri: str, folder: Path) -> Path:
    """Download a registered model, such as models:/name@champion.

    Returns
    -------
    Path
        The folder with its model.json.

    Raises
    ------
    SettingError
        If there is no such model.
    """
    mlflow.set_tracking_uri(uri)
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # of a file or two
    try:
        downloaded = mlflow.artifacts.download_artifacts(artifact_uri=address, dst_path=str(folder))
    except (MlflowException, OSError) as error:
        raise SettingError(f"model={address} cannot be loaded from {uri}: {' '.join(str(error).split())}") from None
    return Path(downloaded) / "artifacts" / "model"


def move_alias(client: MlflowClient, name: str, version: str, attributes: Mapping[str, str], promote: str) -> str:
    """Point the alias champion to a version, unless it has to stay with the present one.

    Parameters
    ----------
    client : MlflowClient
    name : str
        The registered model.
    version : str
        The new version.
    attributes : dict
        Of this version, stored as its tags: data_hash, metric, greater_is_better ("true" or "false") and value.
    promote : {"better", "always", "never"}
        better: only if the present version has the same data and metric, and a worse value.

    Returns
    -------
    str
        Why the alias was not moved; empty if it was.
    """
    for key, value in attributes.items():
        client.set_model_version_tag(name, version, key, value)
    holder = _holder(client, name)
    if holder and str(holder.version) != version and (reason := _reason_to_keep(holder, attributes, promote)):
        return f"{ALIAS} still points to version {holder.version}, {reason}"
    client.set_registered_model_alias(name, ALIAS, version)
    return ""


def promote(uri: str, folder: Path) -> dict[str, str]:
    """Point the alias champion to the model of a run, whatever it comes to.

    Parameters
    ----------
    uri : str
        The store in which the run was tracked.
    folder : Path
        The run's folder.

    Returns
    -------
    dict
        name, version, uri, alias, and what happened to the alias (alias_note).

    Raises
    ------
    SettingError
        If the store does not answer, or has no model of the run.
    """
    mlflow.set_tracking_uri(uri)
    try:
        client = open_store(uri)
        versions = client.search_model_versions(f"tags.{RUN} = '{folder.name}'")
    except (MlflowException, sqlite3.Error) as error:
        raise SettingError(
            f"run={folder.name}: uri={masked(uri)} cannot be used: {' '.join(str(error).split())}"
        ) from None
    if not versions:
        raise SettingError(
            f"run={folder.name} has no model in the registry of {masked(uri)}; where the run has ended, "
            f"nnsweep track run={folder.name} runs={shlex.quote(str(folder.parents[1]))} registers it"
        )
    model_json = folder / "model" / "model.json"
    checksum = sha256(model_json.read_bytes()).hexdigest() if model_json.exists() else ""
    version = max(versions, key=lambda version: (version.tags.get(CHECKSUM) == checksum, int(version.version)))
    holder = _holder(client, version.name)
    client.set_registered_model_alias(version.name, ALIAS, version.version)
    before = str(holder.version) if holder else ""
    note = {"": "", str(version.version): " already"}.get(before, f"; before, it pointed to version {before}")
    return {
        "name": version.name,
        "version": str(version.version),
        "uri": address_of(version.name, version.version),
        "alias": ALIAS,
        "alias_note": f"{ALIAS} points to version {version.version}{note}",
    }


def address_of(name: str, version: str | int) -> str:
    """The URI of one version of a registered model, which no alias can change."""
    return f"models:/{name}/{version}"


def _holder(client: MlflowClient, name: str) -> ModelVersion | None:
    """The version to which the alias champion points, if there is one."""
    try:
        return client.get_model_version_by_alias(name, ALIAS)
    except MlflowException:  # nobody holds it
        return None


def _reason_to_keep(holder: ModelVersion, attributes: Mapping[str, str], promote: str) -> str:
    """Why the alias stays with the present version, or ""."""
    if promote == "always":
        return ""
    if promote == "never":
        return "because of tracking.promote=never"
    for key, difference in (("data_hash", "trained on different data"), ("metric", "ranked by another metric")):
        if holder.tags.get(key) != attributes[key]:
            return f"which was {difference}"
    old, new = (float(f"{float(tags['value']):{DIGITS}}") for tags in (holder.tags, attributes))
    if new > old if attributes["greater_is_better"] == "true" else new < old:
        return ""
    shown, of_new = f"{old:.4f}", f"{new:.4f}"
    if shown == of_new:
        return f"whose {attributes['metric']} is the same, {shown}"
    return f"whose {attributes['metric']} of {shown} is better than {of_new}"


def data_set(card: dict[str, Any]) -> Dataset:
    """The data card as an MLflow data set; a schema that is too long for MLflow has the first columns only."""
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
