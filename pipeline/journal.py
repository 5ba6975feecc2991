"""The journal of a run: one JSON object per line, on disk before anyone is told."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class Journal:
    """Appends events to a file; the run's only writer to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("x", encoding="utf-8")

    def append(self, event: str, **content: Any) -> None:
        """Write one event with its time (milliseconds since 1970), and wait until it is on disk."""
        self._file.write(json.dumps({"event": event, "time": int(time.time() * 1000), **content}) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Write no more."""
        self._file.close()


class Reader:
    """Follows a journal that somebody else writes."""

    def __init__(self, path: Path) -> None:
        self._file = path.open(encoding="utf-8")
        self._rest = ""

    def events(self) -> Iterator[dict[str, Any]]:
        """The whole lines that were added since the last call."""
        lines = (self._rest + self._file.read()).split("\n")
        self._rest = lines.pop()
        for line in lines:
            yield json.loads(line)

    def close(self) -> None:
        """Read no more."""
        self._file.close()
