"""Write to MLflow what it lacks of a run, without doubles.

Usage: nnsweep track [run=last] [runs=runs] [uri=auto]

run    the run's id, or last
runs   the folder of runs
uri    auto: the store that the run was tracked in; or another: http://..., sqlite:////absolute/path.db

Examples:
  nnsweep track run=20261123-222301-54c4
  nnsweep track run=last uri=http://tracking.example:5000

"""

from pathlib import Path

from pipeline.cli.arguments import find_run, no_words, read
from pipeline.components.errors import SettingError
from pipeline.console.terminal import plain_console
from pipeline.tracking.process import bring_level


def run(arguments: list[str], began: float) -> None:
    """See the module."""
    words, given = read(arguments, {"run": "last", "runs": "runs", "uri": "auto"})
    no_words(words)
    folder, console = find_run(Path(given["runs"]), given["run"]), plain_console()
    warnings: list[str] = []
    uri = None if given["uri"] == "auto" else given["uri"]
    found = bring_level(folder.absolute(), warnings.append, uri)
    if found is None or any(line.startswith("warning") for line in warnings):
        raise SettingError(f"run={folder.name}: {warnings[-1].removeprefix('warning: ')}")
    console.print(f"run {folder.name} is in MLflow at {found['tracking_uri']}, run {found['run_id']}", soft_wrap=True)
