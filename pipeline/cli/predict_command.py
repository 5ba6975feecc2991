"""Predict the rows of a table with a model.

Usage: nnsweep predict model=<model> data=<source> [data.path=<file>] [out=predictions.csv] [uri=auto] [runs=runs]

model   the folder of a run, a folder with model.json, or a model URI of MLflow such as models:/digits@champion
data    the source of the rows, as for a sweep; a target is not needed
out     the file to write, with the number of each row and its prediction
uri     the MLflow store; auto: mlflow.db in the folder of runs
runs    the folder of runs

Examples:
  nnsweep predict model=models:/houses@champion data=csv data.path=new_houses.csv
  nnsweep predict model=runs/digits/20261123-222301-54c4 data=digits out=digits.csv

"""

import csv
import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from nncore.inference import model_file
from nncore.inference.ensemble import Ensemble
from nncore.inference.model import Model, prediction_columns
from nncore.inference.table import Table
from pipeline.cli.arguments import no_words, tracking_uri
from pipeline.components.errors import SettingError
from pipeline.console.terminal import plain_console

OPTIONS = {"model": "", "out": "predictions.csv", "uri": "auto", "runs": "runs"}  # all else describes the source


def run(arguments: list[str], began: float) -> None:
    """See the module."""
    no_words([argument for argument in arguments if "=" not in argument])
    given = dict(argument.split("=", 1) for argument in arguments)
    options = OPTIONS | {name: value for name, value in given.items() if name in OPTIONS}
    out = Path(options["out"])
    if not options["model"]:
        raise SettingError("model must be given: model=models:/name@champion, or the folder of a run")
    if out.exists():
        raise SettingError(f"out={out} exists already; choose another file with out=..., or remove it")
    model = _model(options["model"], options["uri"], Path(options["runs"]))
    table = _rows(model, [argument for argument in arguments if argument.partition("=")[0] not in OPTIONS])
    predictions = prediction_columns(model.target_decoder, model.loss, model.logits(table))
    unfinished = out.with_name(f"{out.name}.{os.getpid()}")
    try:
        with unfinished.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["row", *predictions])
            columns = [values.tolist() for values in predictions.values()]
            writer.writerows([number, *row] for number, row in enumerate(zip(*columns, strict=True), start=1))
        unfinished.replace(out)
    except OSError as error:
        raise SettingError(f"out={out} cannot be written ({error.strerror}); choose another with out=...") from None
    finally:
        unfinished.unlink(missing_ok=True)
    seconds = time.monotonic() - began
    plain_console().print(f"{len(table):,} rows predicted in {seconds:.1f} s: {out.absolute()}", soft_wrap=True)


def _model(source: str, uri: str, runs: Path) -> Model | Ensemble:
    """The model in a folder or at a model URI of MLflow."""
    if ":/" in source:
        from pipeline.tracking.mlflow_model import download  # MLflow takes time to load

        store = tracking_uri(runs, uri, "name another, or a store with uri=...")
        with TemporaryDirectory() as temporary:
            return _loaded(download(source, store, Path(temporary)), source)
    for folder in (Path(source), Path(source) / "model"):
        if (folder / "model.json").is_file():
            return _loaded(folder, source)
    raise SettingError(f"model={source}: there is no model.json in this folder, nor in a folder model below it")


def _loaded(folder: Path, source: str) -> Model | Ensemble:
    try:
        return model_file.load(folder)
    except ValueError as error:
        raise SettingError(f"model={source}: {error}; publish it again") from None


def _rows(model: Model | Ensemble, overrides: list[str]) -> Table:
    """The rows of the source, in the columns of the model."""
    from pipeline.config.compose import source  # Hydra takes time to load
    from pipeline.data.tabular_files import TabularFile

    rows_source = source(overrides)
    columns = model.preprocessing.columns
    if isinstance(rows_source, TabularFile):
        return rows_source.rows_for(columns)
    table = rows_source().rows.x
    names = [column.name for column in columns]
    if [column.name for column in table.columns] != names:
        raise SettingError(
            f"data.name={rows_source.name}: its columns must be those of the model, {', '.join(names[:10])}"
            + (", ..." if len(names) > 10 else "")
        )
    return table
