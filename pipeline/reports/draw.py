"""The process that draws a run's report: it loads what it needs at once, and draws when it is told to.

yes | python -m pipeline.beside pipeline.reports.draw runs/<name>/<id> 50
"""

import sys
from pathlib import Path

from pipeline.reports.drawing import warm_up
from pipeline.reports.report import write_report


def main(folder: str, n_leaderboard: str) -> None:
    """Draw the report of the run in the folder, and print its path.

    One line comes in when the sweep is over, and one when all is in the folder.
    """
    warm_up()
    wait_for_line()
    sys.stdout.write(f"{write_report(Path(folder), int(n_leaderboard), wait_for_line)}\n")


def wait_for_line() -> None:
    """End the process if none comes: whoever wanted the report has ended."""
    if not sys.stdin.readline():
        sys.exit()
