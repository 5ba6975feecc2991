"""Processes that work beside the driver: each is the function `main` of a module of ours."""

import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import IO, Any

GENTLE = 10  # by how much they are nicer than the others: the cores are for training


def start_beside(
    module: str,
    *arguments: str,
    nicer: int = GENTLE,
    environment: Mapping[str, str] | None = None,
    stdout: int | IO[Any],
    stderr: int | IO[Any],
) -> subprocess.Popen[bytes]:
    """Call `main` of one of our modules in a gentle process of its own, which a Ctrl-C in the terminal does not end.

    Its standard input is a pipe: it closes when this process ends, however that ends.
    """
    ours = str(Path(__file__).parents[2])
    # without the current folder, where another pipeline.py may lie
    path = os.pathsep.join(filter(None, [ours, os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        [sys.executable, "-P", "-m", __name__, str(nicer), module, *arguments],
        env=os.environ | (environment or {}) | {"PYTHONPATH": path},
        stdin=subprocess.PIPE,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
    )


def _let_others_go_first(nicer: int) -> None:
    """Be nicer by so much, also as a session of our own.

    Linux, unless told otherwise, first divides the cores among sessions, and only then among the processes of each.
    Source: sched(7), "The autogroup feature"
    """
    os.nice(nicer)
    if os.getsid(0) == os.getpid():  # else it was started by hand, in the session of somebody's terminal
        with suppress(OSError):  # there is none, or too many ask at a time
            Path("/proc/self/autogroup").write_text(str(nicer))


def main(nicer: str, module: str, *arguments: str) -> None:
    """Be the process that was started beside the driver."""
    _let_others_go_first(int(nicer))
    import_module(module).main(*arguments)


if __name__ == "__main__":
    main(*sys.argv[1:])
