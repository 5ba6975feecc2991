"""Let a model answer the rows of a table.

Usage: nnsweep predict model=<model> data=<source> [data.path=<file>] [out=predictions.csv] [uri=auto] [runs=runs]

model   a run's folder, a folder with model.json, or an address in MLflow such as models:/digits@champion
data    where the rows come from, as for a sweep; a target is not needed
out     the file to write: the row's number, and what the model says of it
uri     the store of MLflow; auto: mlflow.db in the folder of runs

Examples:
  nnsweep predict model=models:/houses@champion data=csv data.path=new_houses.csv
  nnsweep predict model=runs/digits/20261123-222301-54c4 data=digits out=answers.csv

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
from pipeline.cli.arguments import no_words, store
from pipeline.components.errors import SettingError
from pipeline.console.terminal import plain_console

OURS = {"model": "", "out": "predictions.csv", "uri": "auto", "runs": "runs"}


def run(arguments: list[str], began: float) -> None:
    """See the module."""
    no_words([one for one in arguments if "=" not in one])
    pairs = [one.partition("=") for one in arguments]
    given = OURS | {name: value for name, _, value in pairs if name in OURS}
    out = Path(given["out"])
    if not given["model"]:
        raise SettingError("model must be given: model=models:/name@champion, or the folder of a run")
    if out.exists():
        raise SettingError(f"out={out} is there already; choose another file with out=..., or take it away")
    model = _model(given["model"], given["uri"], Path(given["runs"]))
    table = _rows(model, [one for one, (name, _, _) in zip(arguments, pairs, strict=True) if name not in OURS])
    answers = prediction_columns(model.target_decoder, model.loss, model.logits(table))
    fresh = out.with_name(f"{out.name}.{os.getpid()}")
    try:
        with fresh.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["row", *answers])
            columns = [values.tolist() for values in answers.values()]
            writer.writerows([at, *row] for at, row in enumerate(zip(*columns, strict=True), start=1))
        fresh.replace(out)
    except OSError as error:
        raise SettingError(f"out={out} cannot be written ({error.strerror}); choose another with out=...") from None
    finally:
        fresh.unlink(missing_ok=True)
    seconds = time.monotonic() - began
    plain_console().print(f"{len(table):,} rows answered in {seconds:.1f} s: {out.absolute()}", soft_wrap=True)


def _model(address: str, uri: str, runs: Path) -> Model | Ensemble:
    """The model at a folder or an address in MLflow."""
    if ":/" in address:
        from pipeline.tracking.mlflow_model import download  # MLflow takes its time to load

        there = store(runs, uri, "name another, or a store with uri=...")
        with TemporaryDirectory() as folder:
            return _loaded(download(address, there, Path(folder)), address)
    given = Path(address)
    found = [one for one in (given, given / "model") if (one / "model.json").is_file()]
    if not found:
        raise SettingError(f"model={address}: there is no model.json in this folder, nor in a folder model below it")
    return _loaded(found[0], address)


def _loaded(folder: Path, address: str) -> Model | Ensemble:
    try:
        return model_file.load(folder)
    except ValueError as error:
        raise SettingError(f"model={address}: {error}; publish it anew") from None


def _rows(model: Model | Ensemble, overrides: list[str]) -> Table:
    """The rows of the source, in the columns of the model."""
    from pipeline.config.compose import source  # Hydra, too
    from pipeline.data.tabular_files import TabularFile

    found = source(overrides)
    columns = model.preprocessing.columns
    if isinstance(found, TabularFile):
        return found.rows_for(columns)
    table = found().rows.x
    names = [column.name for column in table.columns]
    if names != [column.name for column in columns]:
        raise SettingError(f"data.name={found.name}: its columns are not those of the model, which are "
                           f"{', '.join(column.name for column in columns[:10])}")  # fmt: skip
    return table
