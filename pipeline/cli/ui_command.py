"""Open MLflow's pages on the store of the runs, for this machine only, until Ctrl-C.

Usage: nnsweep ui [runs=runs] [port=5000] [uri=auto]

runs   the folder of runs
port   of this machine
uri    auto: mlflow.db in the folder of runs; or another store, such as sqlite:////absolute/path.db

Examples:
  nnsweep ui
  nnsweep ui runs=/data/runs port=5050

"""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from pipeline.cli.arguments import no_words, read, store
from pipeline.components.errors import SettingError
from pipeline.console.terminal import plain_console
from pipeline.tracking.process import server_command, server_environment


def run(arguments: list[str], began: float) -> None:
    """See the module."""
    words, given = read(arguments, {"runs": "runs", "port": "5000", "uri": "auto"})
    no_words(words)
    uri = store(Path(given["runs"]), given["uri"], "name another with runs=...")
    port = _free(given["port"])
    plain_console().print(f"http://127.0.0.1:{port} is ready in some ten seconds; Ctrl-C ends it", soft_wrap=True)
    arguments = [sys.executable, *server_command(port)]
    server = subprocess.Popen(arguments, env=server_environment(uri), start_new_session=True)
    try:
        code = server.wait()
    except KeyboardInterrupt:
        os.killpg(server.pid, signal.SIGTERM)  # its workers, too
        server.wait()
        return
    if code:
        raise SettingError(f"uri={uri}: MLflow's server ended with code {code}; its last lines above say why")


def _free(port: str) -> int:
    """The port, if nobody has it."""
    if not port.isdigit() or not 0 < int(port) < 65536:
        raise SettingError(f"port must be a number from 1 to 65535, but is {port}")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", int(port)))
        except OSError as error:
            raise SettingError(f"port={port} cannot be had ({error.strerror}); choose another with port=...") from None
    return int(port)
