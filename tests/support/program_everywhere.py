"""Lets every worker call a function that writes down its process and its parent's; prints what is found as JSON.

An argument is the address of a cluster; without one, two workers of a Ray of our own.
"""

import json
import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from pipeline.backends.ray import ClusterBackend, RayBackend


def main() -> None:
    execution = ClusterBackend(sys.argv[1], "none", 1) if len(sys.argv) > 1 else RayBackend(2, "none", 1)
    with TemporaryDirectory() as folder, execution.start() as executor:

        def note() -> None:
            Path(folder, f"{os.getpid()} {os.getppid()}").touch()
            time.sleep(3)  # meanwhile nobody can take the place of another

        executor.broadcast(note)
        deadline = time.monotonic() + 60
        while len(list(Path(folder).iterdir())) < executor.workers and time.monotonic() < deadline:
            time.sleep(0.05)
        found: dict[str, object] = {
            "workers": executor.workers,
            "called": [path.name.split() for path in Path(folder).iterdir()],
        }
        print(json.dumps(found))


if __name__ == "__main__":
    main()
