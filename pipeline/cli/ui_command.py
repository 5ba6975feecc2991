"""Serve MLflow's pages with the store of the runs, on this machine only, until Ctrl-C.

Usage: nnsweep ui [runs=runs] [port=5000] [uri=auto]

runs   the folder of runs
port   the port on this machine
uri    auto: mlflow.db in the folder of runs; or another store, such as sqlite:////absolute/path.db

Examples:
  nnsweep ui
  nnsweep ui runs=/data/runs port=5050

"""

import socket
import subprocess
import sys
from pathlib import Path

from pipeline.cli.arguments import no_words, read, tracking_uri
from pipeline.components.errors import SettingError
from pipeline.components.interrupts import deferred_signals
from pipeline.console.terminal import plain_console
from pipeline.tracking.process import server_command, server_environment


def run(arguments: list[str], began: float) -> None:
    """See the module."""
    words, settings = read(arguments, {"runs": "runs", "port": "5000", "uri": "auto"})
    no_words(words)
    uri = tracking_uri(Path(settings["runs"]), settings["uri"], "name another with runs=...")
    port = _free_port(settings["port"])
    plain_console().print(f"http://127.0.0.1:{port} is ready in about ten seconds; Ctrl-C ends it", soft_wrap=True)
    command = [sys.executable, *server_command(port)]
    with deferred_signals():
        server = subprocess.Popen(
            command, env=server_environment(uri), stdin=subprocess.PIPE, start_new_session=True
        )  # it ends when its standard input is closed, also if this process is killed
    try:
        code = server.wait()
    except KeyboardInterrupt:
        server.communicate()  # closes its standard input
        return
    if code:
        raise SettingError(f"uri={uri}: MLflow's server ended with code {code}; its last lines above say why")


def _free_port(port: str) -> int:
    """The port as a number. Raises SettingError if it is not a port, or is in use."""
    if not port.isdigit() or not 0 < int(port) < 65536:
        raise SettingError(f"port must be a number from 1 to 65535, but is {port}")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", int(port)))
        except OSError as error:
            raise SettingError(f"port={port} cannot be used ({error.strerror}); choose another with port=...") from None
    return int(port)
