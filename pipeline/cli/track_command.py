"""Write to MLflow what it does not yet contain of a run; nothing is written twice.

Usage: nnsweep track [run=last] [runs=runs] [uri=auto]

run    the id of the run, or last
runs   the folder of runs
uri    auto: the store that the run was tracked in; or another store: http://..., sqlite:////absolute/path.db

Examples:
  nnsweep track run=20261123-222301-54c4
  nnsweep track run=last uri=http://tracking.example:5000

"""

from pathlib import Path

from pipeline.cli.arguments import find_run, no_words, read
from pipeline.components.errors import SettingError
from pipeline.console.closing import print_model
from pipeline.console.terminal import plain_console
from pipeline.runs.folder import record_model
from pipeline.tracking.process import bring_level


def run(arguments: list[str], began: float) -> None:
    """See the module."""
    words, settings = read(arguments, {"run": "last", "runs": "runs", "uri": "auto"})
    no_words(words)
    folder = find_run(Path(settings["runs"]), settings["run"])
    messages: list[str] = []
    tracked = bring_level(folder.absolute(), messages.append, None if settings["uri"] == "auto" else settings["uri"])
    if tracked is None or any(message.startswith("warning") for message in messages):
        raise SettingError(f"run={folder.name}: {messages[-1].removeprefix('warning: ')}")
    text = f"run {folder.name} is in MLflow at {tracked['tracking_uri']}, run {tracked['run_id']}"
    plain_console().print(text, soft_wrap=True)
    if tracked["model"]:
        record_model(folder, tracked["model"])
        print_model(plain_console(), tracked["model"], folder)
