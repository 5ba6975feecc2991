"""Whether the head node of a Ray cluster responds. Ray itself waits for it, and then aborts the process."""

import socket
import threading
import time
from collections.abc import Callable
from concurrent import futures
from typing import Any

from pipeline.components.errors import SettingError

RESPONSE_S = 2.0  # time limit of one question, and the interval at which a waiting driver asks
GIVE_UP_S = 30.0  # without a response the run ends with an error; Ray aborts the process after 60 s

NodeInfo = dict[str, Any]


def connection_error(address: str, seconds: float) -> OSError | None:
    """Try to connect to host:port within the time limit; return the error, or None if a server accepts."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), seconds).close()
    except OSError as error:
        return error
    return None


class HeadMonitor:
    """Asks the head node which nodes the cluster has, with a time limit.

    Parameters
    ----------
    address : str
        host:port
    list_nodes : callable
        Ray's own question, which may never return.
    """

    def __init__(self, address: str, list_nodes: Callable[[], list[NodeInfo]]) -> None:
        self._address, self._list_nodes = address, list_nodes
        self._pending: futures.Future[list[NodeInfo]] = futures.Future()
        self._pending.set_result([])
        self._silent_since: float | None = None

    def nodes(self) -> list[NodeInfo] | None:
        """Return the nodes, or None if the head does not respond.

        Raises
        ------
        SettingError
            If the head has not responded to any question for GIVE_UP_S seconds.
        """
        error: Exception | None = connection_error(self._address, RESPONSE_S)
        if not error:
            try:
                return self._ask()
            except TimeoutError:
                error = TimeoutError("it accepts connections but does not respond")
        now = time.monotonic()
        self._silent_since = self._silent_since or now
        silent = now - self._silent_since
        if silent > GIVE_UP_S:
            raise SettingError(
                f"execution.address={self._address}: the cluster's head must respond, but has not for {silent:.0f} s "
                f"({error}); finished work is kept: start a cluster and give the same command again"
            )
        return None

    def _ask(self) -> list[NodeInfo]:
        """Ask in a thread of its own, which is abandoned if the head dies at just this moment."""
        if self._pending.done():
            self._pending = futures.Future()
            threading.Thread(target=_set_result, args=(self._pending, self._list_nodes), daemon=True).start()
        nodes = self._pending.result(RESPONSE_S)
        self._silent_since = None
        return nodes


def _set_result(future: futures.Future[list[NodeInfo]], function: Callable[[], list[NodeInfo]]) -> None:
    try:
        future.set_result(function())
    except Exception as error:
        future.set_exception(error)
