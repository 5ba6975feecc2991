"""Let the alias champion point to the model of a run.

Usage: nnsweep promote [run=last] [runs=runs] [uri=auto]

run    the id of the run, last (the latest run), or last~1 (the one before)
runs   the folder of runs
uri    auto: the store that the run was tracked in; or the store, if it has moved or its address holds a password

What loads models:/<name>@champion gets this model from then on. A sweep moves the alias by itself if its model is
better than the present one by the same metric on the same data (tracking.promote).

Examples:
  nnsweep promote run=last
  nnsweep promote run=20261123-222301-54c4
  nnsweep promote run=last~1 uri=http://tracking.example:5000

"""

from pathlib import Path

from pipeline.cli.arguments import find_run, no_words, read
from pipeline.console.terminal import plain_console
from pipeline.runs.folder import record_model
from pipeline.runs.journal import not_in_use
from pipeline.tracking.process import store_of


def run(arguments: list[str], began: float) -> None:
    """See the module."""
    words, settings = read(arguments, {"run": "last", "runs": "runs", "uri": "auto"})
    no_words(words)
    folder = not_in_use(find_run(Path(settings["runs"]), settings["run"])).absolute()
    uri = store_of(folder, None if settings["uri"] == "auto" else settings["uri"])
    from pipeline.tracking.mlflow_model import promote  # MLflow takes time to load

    promoted = promote(uri, folder)
    record_model(folder, promoted)
    lines = {"model": promoted["uri"], "alias": promoted["alias_note"]}
    for name, text in lines.items():
        plain_console().print(f"{name:<11}{text}", soft_wrap=True)
