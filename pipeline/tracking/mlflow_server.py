"""MLflow's server, which ends with the process that starts it: python -m pipeline.tracking.mlflow_server ARGUMENTS.

It is the leader of a process group, which contains the processes that serve. Its standard input is a pipe from the
process that starts it.
"""

import os
import signal
import sys
import threading
import time
from contextlib import suppress

SECONDS_TO_END = 3.0  # after SIGTERM, before SIGKILL


def end_with_parent() -> None:
    """Wait until standard input is closed, also by a parent that was killed; then end the process group."""
    with suppress(OSError):
        while os.read(0, 1024):
            pass
    os.killpg(os.getpgrp(), signal.SIGTERM)
    time.sleep(SECONDS_TO_END)
    os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    threading.Thread(target=end_with_parent, daemon=True).start()
    from mlflow.cli import cli  # takes seconds, in which the parent may end

    cli.main(["server", *sys.argv[1:]])
