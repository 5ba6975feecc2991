"""Processes that work beside the driver, each in a module of ours that is run by itself."""

import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

GENTLE = 10  # by how much they are nicer than the others: the cores are for training


def start_beside(
    module: str,
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    stdout: int | IO[Any],
    stderr: int | IO[Any],
) -> subprocess.Popen[bytes]:
    """Run one of our modules as a gentle process of its own, which a Ctrl-C in the terminal does not end.

    Its standard input is a pipe: it closes when this process ends, however that ends.
    """
    ours = str(Path(__file__).parents[1])
    # without the current folder, where another pipeline.py may lie
    path = os.pathsep.join(filter(None, [ours, os.environ.get("PYTHONPATH")]))
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", module, *arguments],
        env=os.environ | (environment or {}) | {"PYTHONPATH": path},
        stdin=subprocess.PIPE,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
    )
    _make_gentle(process.pid)
    return process


def _make_gentle(process: int) -> None:
    """Let the others go first.

    Linux, unless told otherwise, first divides the cores among sessions, and only then among the processes of each:
    there the session has to be nice, too. Source: sched(7), "The autogroup feature"
    """
    with suppress(OSError):  # it has ended already, or too many ask at a time
        os.setpriority(os.PRIO_PROCESS, process, os.getpriority(os.PRIO_PROCESS, process) + GENTLE)
        session = Path(f"/proc/{process}/autogroup")
        if session.exists():
            session.write_text(str(GENTLE))
