"""Whether the head of a Ray cluster is there. Ray itself waits for it, and then kills the process without a word."""

import socket
import time

from pipeline.errors import SettingError

ASK_S = 2.0  # for an answer, and after which a cluster that says nothing is asked
PATIENCE_S = 30.0  # with a head that does not answer; Ray has 60


def unreachable(address: str, seconds: float) -> OSError | None:
    """Why nobody answers at host:port within so many seconds; None if somebody does."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port)), seconds).close()
    except OSError as error:
        return error
    return None


class Head:
    """The head at an address host:port."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._silent_since: float | None = None

    def answers(self) -> bool:
        """Whether it does now. Raises SettingError if it was asked again and again, and has not for long."""
        if error := unreachable(self._address, ASK_S):
            now = time.monotonic()
            self._silent_since = self._silent_since or now
            silent = now - self._silent_since
            if silent > PATIENCE_S:
                raise SettingError(
                    f"execution.address={self._address}: the cluster's head must answer, but has not for "
                    f"{silent:.0f} s ({error}); what is finished is kept: start a cluster and give the same command "
                    "again"
                )
            return False
        self._silent_since = None
        return True
