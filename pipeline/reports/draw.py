"""The process that draws a run's report: it loads what it needs at once, and draws when it is told to.

echo | python -m pipeline.beside pipeline.reports.draw runs/<name>/<id> 50
"""

import sys
from pathlib import Path

from pipeline.reports.report import write_report


def main(folder: str, n_leaderboard: str) -> None:
    """Draw the report of the run in the folder as soon as a line comes in, and print its path."""
    if sys.stdin.readline():  # else whoever wanted it has ended
        sys.stdout.write(f"{write_report(Path(folder), int(n_leaderboard))}\n")
