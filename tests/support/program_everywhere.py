"""Broadcast a function to all workers that records its process id, its parent's, and its niceness; print them as JSON.

The optional argument is the address of a cluster; the default is a local Ray with two workers.
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

        def record_process() -> None:
            Path(folder, f"{os.getpid()} {os.getppid()} {os.nice(0)}").touch()
            time.sleep(3)  # so that each worker runs it once

        executor.broadcast(record_process)
        deadline = time.monotonic() + 60
        while len(list(Path(folder).iterdir())) < executor.workers and time.monotonic() < deadline:
            time.sleep(0.05)
        result: dict[str, object] = {
            "workers": executor.workers,
            "called": [path.name.split() for path in Path(folder).iterdir()],
        }
        print(json.dumps(result))


if __name__ == "__main__":
    main()
