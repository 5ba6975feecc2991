"""The interface of tracking."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, runtime_checkable


class Tracker(Protocol):
    """Tracks one run while it works."""

    def finish(self, say: Callable[[str], None], interrupted: bool = False) -> dict[str, Any] | None:
        """Wait until everything is written; called after the journal's last event.

        Parameters
        ----------
        say : callable
            Receives messages while the caller waits for more than 2 s, and a warning if something is not written.
        interrupted : bool, default False
            Whether the command ends by a signal, and waits for some seconds at most.

        Returns
        -------
        dict or None
            tracking_uri, experiment_id and run_id of the parent run, the tag of the saved view, and the registered
            model (name, version, uri, alias, alias_note) or None. None if there is no parent run.
        """


@runtime_checkable
class Tracking(Protocol):
    """Settings that can start a tracker."""

    def describe(self, runs: Path) -> dict[str, Any] | None:
        """Return what the tracker must know, as plain values for the journal's first event."""

    def check(self, runs: Path) -> str:
        """Return a warning if the store cannot be used now, or "". Raises SettingError if the run must be tracked."""

    def start(self, journal: Path) -> Tracker:
        """Begin to follow the journal, whose first event has been written."""

    def view_command(self, runs: Path) -> str | None:
        """Return the command that starts MLflow's UI at http://127.0.0.1:5000; None if none is needed."""
