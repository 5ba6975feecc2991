"""Predict the rows of a table with a model.

Usage: nnsweep predict model=<model> data=<source> [data.path=<file>] [out=predictions.csv] [keep=[id]]
                       [uri=auto] [runs=runs]

model   the folder of a run, its id, last (the latest run), last~1 (the one before), a folder with model.json, or a
        model URI of MLflow such as models:/digits/1; run=last is the same as model=last
data    the source of the rows, as for a sweep, or the name of a file; a target is not needed, but if there is one,
        the model is scored
out     the file to write, with the number of each row and its prediction
keep    columns of the source that are written beside the predictions: one, or [several,of,them]
uri     the MLflow store; auto: mlflow.db in the folder of runs
runs    the folder of runs

Rows without a target, or of a class that the model does not know, are predicted but not scored. With data.weight=...
the scores are weighted as in training.

Examples:
  nnsweep predict model=last new_houses.csv
  nnsweep predict model=models:/houses/1 new_houses.csv
  nnsweep predict model=models:/houses@champion data=csv data.path=sold_houses.csv 'keep=[id,street]'
  nnsweep predict model=runs/digits/20261123-222301-54c4 data=digits out=digits.csv

"""

import csv
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from nncore.inference import model_file
from nncore.inference.ensemble import Ensemble
from nncore.inference.model import Model, prediction_columns
from nncore.kernels.backend import Array
from pipeline.cli.arguments import find_run, no_words, tracking_uri
from pipeline.components.errors import SettingError
from pipeline.components.file_words import names_file
from pipeline.components.scores import in_words
from pipeline.components.types import RowsToPredict
from pipeline.console.terminal import plain_console

OPTIONS = {
    "model": "",
    "run": "",
    "out": "predictions.csv",
    "keep": "",
    "uri": "auto",
    "runs": "runs",
}  # all else describes the source


def run(arguments: list[str], began: float) -> None:
    """See the module."""
    no_words([argument for argument in arguments if "=" not in argument and not names_file(argument)])
    given = dict(argument.split("=", 1) for argument in arguments if not names_file(argument))
    options = OPTIONS | {name: value for name, value in given.items() if name in OPTIONS}
    out = Path(options["out"])
    if options["run"] and options["model"]:
        raise SettingError(
            f"run={options['run']} and model={options['model']} both name a model; leave one of them out"
        )
    source = options["model"] or options["run"]
    if not source:
        raise SettingError("model must be given: model=last, model=models:/name/1, or the folder of a run")
    if out.exists():
        raise SettingError(f"out={out} exists already; choose another file with out=..., or remove it")
    model = _model(source, options["uri"], Path(options["runs"]))
    keep = tuple(filter(None, (name.strip(" '\"") for name in options["keep"].strip(" []").split(","))))
    rows = _rows(model, keep, [argument for argument in arguments if argument.partition("=")[0] not in OPTIONS])
    logits = model.logits(rows.table)
    predictions = prediction_columns(model.target_decoder, model.loss, logits)
    for name in keep:
        if name in ("row", *predictions):
            raise SettingError(f"keep={options['keep']}: {name} is also a column of the predictions; leave it out")
    columns = rows.kept | {name: values.tolist() for name, values in predictions.items()}
    _write(out, {"row": range(1, len(rows.table) + 1), **columns})
    seconds, console = time.monotonic() - began, plain_console()
    console.print(f"{len(rows.table):,} rows predicted in {seconds:.1f} s: {out.absolute()}", soft_wrap=True)
    if rows.targets or rows.obstacle:
        console.print(f"scores     {_scored(model, logits, rows)}", soft_wrap=True)


def _write(out: Path, columns: Mapping[str, Iterable[Any]]) -> None:
    """Write a CSV file as a whole, or not at all."""
    unfinished = out.with_name(f"{out.name}.{os.getpid()}")
    try:
        with unfinished.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(columns)
            writer.writerows(zip(*columns.values(), strict=True))
        unfinished.replace(out)
    except OSError as error:
        raise SettingError(f"out={out} cannot be written ({error.strerror}); choose another with out=...") from None
    finally:
        unfinished.unlink(missing_ok=True)


def _scored(model: Model | Ensemble, logits: Array, rows: RowsToPredict) -> str:
    """The scores in words, with what they leave out; or why there are none."""
    from pipeline.stages.score import score  # scikit-learn and the like take time to load

    targets = ", ".join(rows.targets)
    if rows.obstacle:
        return f"none: {rows.obstacle}"
    try:
        scored = score(model, logits, rows)
    except ValueError as error:
        return f"none: {error}"
    left_out = {f"without {targets}": scored.n_missing, "of other classes": scored.n_unknown}
    skipped = "".join(f", without {n:,} rows {which}" for which, n in left_out.items() if n)
    return f"{in_words(scored.scores)} ({targets} of {scored.n_rows:,} rows{skipped})"


def _model(source: str, uri: str, runs: Path) -> Model | Ensemble:
    """The model of a run, in a folder, or at a model URI of MLflow."""
    if ":/" in source:
        from pipeline.tracking.mlflow_model import download  # MLflow takes time to load

        store = tracking_uri(runs, uri, "name another, or a store with uri=...")
        with TemporaryDirectory() as temporary:
            return _loaded(download(source, store, Path(temporary)), source)
    path = Path(source) if Path(source).is_dir() or "/" in source else find_run(runs, source, "model")
    for folder in (path, path / "model"):
        if (folder / "model.json").is_file():
            return _loaded(folder, source)
    raise SettingError(
        f"model={source}: there is no model.json in {path}, nor in a folder model below it; choose a run that has "
        "ended, which nnsweep runs shows"
    )


def _loaded(folder: Path, source: str) -> Model | Ensemble:
    try:
        return model_file.load(folder)
    except ValueError as error:
        raise SettingError(f"model={source}: {error}; publish it again") from None


def _rows(model: Model | Ensemble, keep: tuple[str, ...], overrides: list[str]) -> RowsToPredict:
    """The rows of the source, in the columns of the model, with the model's targets if the source has them."""
    from pipeline.config.compose import source  # Hydra takes time to load
    from pipeline.data.tabular_files import TabularFile

    rows_source = source(overrides)
    columns, targets = model.preprocessing.columns, model.target_decoder.names
    if isinstance(rows_source, TabularFile):
        return rows_source.rows_for(columns, keep, targets or rows_source.targets)
    if keep:
        raise SettingError(f"keep={','.join(keep)}: data.name={rows_source.name} has no other columns; leave it out")
    dataset = rows_source()
    table, y = dataset.rows.x, dataset.rows.y
    names = [column.name for column in columns]
    if [column.name for column in table.columns] != names:
        raise SettingError(
            f"data.name={rows_source.name}: its columns must be those of the model, {', '.join(names[:10])}"
            + (", ..." if len(names) > 10 else "")
        )
    if dataset.targets != targets:
        return RowsToPredict(table, {}, {})
    values = [y] if y.ndim == 1 else y.T
    return RowsToPredict(table, {}, dict(zip(targets, values, strict=True)), dataset.rows.weights)
