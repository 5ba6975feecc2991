"""Write the report of a run anew, from the files in its folder.

Usage: nnsweep report [run=last] [runs=runs]

Examples:
  nnsweep report
  nnsweep report run=20261123-222301-54c4

"""

from pathlib import Path

from pipeline.cli.arguments import find_run, no_words, read
from pipeline.components.errors import SettingError
from pipeline.console.terminal import plain_console
from pipeline.runs.journal import at_rest


def run(arguments: list[str], began: float) -> None:
    """See the module."""
    words, given = read(arguments, {"run": "last", "runs": "runs"})
    no_words(words)
    folder = at_rest(find_run(Path(given["runs"]), given["run"])).absolute()
    if not (folder / "summary.json").exists():
        raise SettingError(f"run={folder.name} was cut off before it had a summary; go on with it first")
    from pipeline.reports.report import write_report  # matplotlib takes its time to load

    plain_console().print(str(write_report(folder)), soft_wrap=True)
