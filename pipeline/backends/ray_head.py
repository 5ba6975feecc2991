"""Whether the head of a Ray cluster is there. Ray itself waits for it, and then kills the process without a word."""

import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from pipeline.components.errors import SettingError

ASK_S = 2.0  # for an answer, and after which a cluster that says nothing is asked
PATIENCE_S = 30.0  # with a head that does not answer; Ray has 60

NodeInfo = dict[str, Any]


def unreachable(address: str, seconds: float) -> OSError | None:
    """Why nobody answers at host:port within so many seconds; None if somebody does."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), seconds).close()
    except OSError as error:
        return error
    return None


class Head:
    """The head at an address host:port; nodes is what asks it for its nodes, and may never return."""

    def __init__(self, address: str, nodes: Callable[[], list[NodeInfo]]) -> None:
        self._address, self._nodes = address, nodes
        self._asked: Future[list[NodeInfo]] = Future()
        self._asked.set_result([])
        self._silent_since: float | None = None

    def nodes(self) -> list[NodeInfo] | None:
        """Its nodes, None if it does not answer. Raises SettingError if it was asked again and again, for long."""
        error: Exception | None = unreachable(self._address, ASK_S)
        if not error:
            try:
                return self._answer()
            except TimeoutError:
                error = TimeoutError("it lets one in, but says nothing")
        now = time.monotonic()
        self._silent_since = self._silent_since or now
        silent = now - self._silent_since
        if silent > PATIENCE_S:
            raise SettingError(
                f"execution.address={self._address}: the cluster's head must answer, but has not for "
                f"{silent:.0f} s ({error}); what is finished is kept: start a cluster and give the same command again"
            )
        return None

    def _answer(self) -> list[NodeInfo]:
        """To a question in a thread of its own, as a head that dies at just this moment leaves it there."""
        if self._asked.done():
            self._asked = Future()
            threading.Thread(target=_answer_with, args=(self._asked, self._nodes), daemon=True).start()
        found = self._asked.result(ASK_S)
        self._silent_since = None
        return found


def _answer_with(future: Future[list[NodeInfo]], question: Callable[[], list[NodeInfo]]) -> None:
    try:
        future.set_result(question())
    except Exception as error:
        future.set_exception(error)
