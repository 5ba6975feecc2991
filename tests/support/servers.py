"""MLflow's servers of runs and of models as real processes, and a proxy that delays responses."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def free_port() -> int:
    """A free port of this machine."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Server:
    """MLflow's server with its store in a folder; it can be killed and restarted."""

    def __init__(self, folder: Path, uri: str | None = None) -> None:
        self.folder, self.port = folder, free_port()
        self.store = uri or f"sqlite:///{folder}/server.db"
        self.uri = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, seconds: float = 90) -> None:
        """Start the server if it is not running, and wait until it responds."""
        if self._process:
            return
        server = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", self.store, "--host", "127.0.0.1"]
        server += ["--port", str(self.port), "--workers", "1", "--artifacts-destination", str(self.folder / "served")]
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                server,
                cwd=self.folder,
                stdout=log,
                stderr=log,
                env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
                start_new_session=True,
            )
        deadline = time.monotonic() + seconds
        while True:
            with suppress(OSError), urllib.request.urlopen(f"{self.uri}/health", timeout=5):
                return
            assert self._process.poll() is None, "the server ended"
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.2)

    def kill(self) -> None:
        """Kill the server and its children."""
        if self._process:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


class ModelServer:
    """`mlflow models serve`, in this environment and for this machine only.

    Parameters
    ----------
    folder : Path
        For its log.
    store : str
        The tracking URI.
    model : str
        Such as models:/name@champion.
    """

    def __init__(self, folder: Path, store: str, model: str) -> None:
        self.uri = f"http://127.0.0.1:{(port := free_port())}"
        command = [sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", model, "--env-manager", "local"]
        command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
        self._log = folder / "model_server.log"
        with self._log.open("wb") as log:
            programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
            environment = {"MLFLOW_TRACKING_URI": store, "PATH": programs, "PYTHONPATH": ""}  # the model brings nncore
            self._process = subprocess.Popen(
                command, cwd=folder, stdout=log, stderr=log, env=os.environ | environment, start_new_session=True
            )

    def wait(self, seconds: float = 120) -> None:
        """Wait until it responds."""
        deadline = time.monotonic() + seconds
        while True:
            with suppress(OSError), urllib.request.urlopen(f"{self.uri}/ping", timeout=5):
                return
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.2)

    def post(self, content: str, kind: str = "application/json") -> tuple[int, str]:
        """The status and the text of its response to rows."""
        request = urllib.request.Request(f"{self.uri}/invocations", content.encode(), {"Content-Type": kind})
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def kill(self) -> None:
        """Kill the server and its children."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


@contextmanager
def delayed(port: int, seconds: float) -> Iterator[str]:
    """The address of a proxy to a local port that delays each response by `seconds`."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        threading.Thread(target=_accept, args=(listener, port, seconds), daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


def _accept(listener: socket.socket, port: int, seconds: float) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:  # the listener was closed
            return
        server = socket.create_connection(("127.0.0.1", port))
        threading.Thread(target=_pass_on, args=(client, server, 0.0), daemon=True).start()
        threading.Thread(target=_pass_on, args=(server, client, seconds), daemon=True).start()


def _pass_on(source: socket.socket, target: socket.socket, seconds: float) -> None:
    with suppress(OSError):
        while content := source.recv(65536):
            time.sleep(seconds)
            target.sendall(content)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
    source.close()
