"""Write the report of a run again, from the files in its folder.

Usage: nnsweep report [run=last] [runs=runs]

run    the id of the run, or last
runs   the folder of runs

Examples:
  nnsweep report
  nnsweep report run=20261123-222301-54c4

"""

from pathlib import Path

from pipeline.cli.arguments import find_run, no_words, read
from pipeline.components.errors import SettingError
from pipeline.console.terminal import plain_console
from pipeline.runs.journal import not_in_use


def run(arguments: list[str], began: float) -> None:
    """See the module."""
    words, settings = read(arguments, {"run": "last", "runs": "runs"})
    no_words(words)
    folder = not_in_use(find_run(Path(settings["runs"]), settings["run"])).absolute()
    if not (folder / "summary.json").exists():
        raise SettingError(f"run={folder.name} was interrupted before its summary was written; resume it first")
    from pipeline.reports.report import write_report

    plain_console().print(str(write_report(folder)), soft_wrap=True)
