"""The process that draws a run's report: it loads what it needs at once, and draws when it is told to.

yes | python -m pipeline.beside 15 pipeline.reports.draw runs/<name>/<id> 50
"""

import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from pipeline.reports.drawing import warm_up
from pipeline.reports.findings import completed, findings
from pipeline.reports.report import swept, written


def main(folder: str, n_leaderboard: str) -> None:
    """Draw the report of the run in the folder, and print its path.

    One line comes in when the sweep is over, and one when all is in the folder.
    """
    warm_up()
    wait_for_line()
    found = findings(Path(folder))
    with ProcessPoolExecutor(1, get_context("fork")) as another:  # a copy of this process: it has loaded all, too
        middle = another.submit(swept, found)
        wait_for_line()
        sys.stdout.write(f"{written(completed(found), int(n_leaderboard), middle.result)}\n")


def wait_for_line() -> None:
    """End the process if none comes: whoever wanted the report has ended."""
    if not sys.stdin.readline():
        sys.exit()
