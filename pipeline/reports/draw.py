"""The process that draws a run's report: it loads what it needs at once, and draws when it is told to.

yes | python -m pipeline.tracking.subprocess 15 pipeline.reports.draw runs/<name>/<id> 50
"""

import sys
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

from pipeline.reports.contents import RunContents, completed, run_contents
from pipeline.reports.plotting import warm_up
from pipeline.reports.report import RenderedSection, swept, written


def main(folder: str, n_leaderboard: str) -> None:
    """Draw the report of the run in the folder, and print its path.

    One line comes in when the sweep is over, and one when all is in the folder.
    """
    warm_up()
    wait_for_line()
    found = run_contents(Path(folder))
    middle = _by_a_copy(found)
    wait_for_line()
    sys.stdout.write(f"{written(completed(found), int(n_leaderboard), middle)}\n")


def _by_a_copy(found: RunContents) -> Callable[[], list[RenderedSection]]:
    """Let a copy of this process, which has loaded all, draw what the sweep shows; what gives it when it is drawn."""
    fork = get_context("fork")
    here, there = fork.Pipe(duplex=False)
    fork.Process(target=_send, args=(here, there, found), daemon=True).start()
    there.close()  # only the copy has it now: if that dies, nobody waits for it

    def received() -> list[RenderedSection]:
        try:
            came: list[RenderedSection] | Exception = here.recv()
        except EOFError:
            raise RuntimeError("the process that draws the sweep died") from None
        if isinstance(came, Exception):
            raise came
        return came

    return received


def _send(here: Connection, there: Connection, found: RunContents) -> None:
    here.close()  # only the other has it now: if that dies, nobody can be told
    came: list[RenderedSection] | Exception
    try:
        came = swept(found)
    except Exception as error:
        came = error
    with suppress(BrokenPipeError):
        there.send(came)


def wait_for_line() -> None:
    """End the process if none comes: whoever wanted the report has ended."""
    if not sys.stdin.readline():
        sys.exit()
