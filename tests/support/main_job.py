"""The main job, run once as a user runs it, and watched from outside while it runs."""

import os
import subprocess
import sys
import time
from pathlib import Path

from running import read_summary


class MainJob:
    """A finished run of the defaults.

    folder      where it was started
    output      what it printed
    seconds     wall time of the whole process
    openers     command lines of the processes that were seen with the MLflow database open, by process id;
                without their children, which have it open for a moment between fork and exec
    workers     the files that each of Ray's workers had mapped: the compiled libraries it had loaded
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._seen: dict[int, tuple[int, str]] = {}
        self.workers: dict[int, str] = {}
        began = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "pipeline"],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )
        while process.poll() is None:
            self._look()
            time.sleep(0.02)
        self.seconds = time.monotonic() - began
        self.output = process.stdout.read()
        process.stdout.close()
        assert process.returncode == 0, self.output
        self.openers = {pid: line for pid, (parent, line) in self._seen.items() if parent not in self._seen}
        self.summary = read_summary(folder)
        (self.run_folder,) = folder.glob("runs/digits/*/")

    def _look(self) -> None:
        """Note who has the database open now, and what Ray's workers are."""
        database = str(self.folder / "runs" / "mlflow.db")
        for path in Path("/proc").glob("[0-9]*"):
            try:
                line = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
                if line.startswith("ray::"):
                    self.workers[int(path.name)] = (path / "maps").read_text()
                if any(str(fd.readlink()).startswith(database) for fd in (path / "fd").iterdir()):
                    parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
                    self._seen[int(path.name)] = parent, line
            except OSError:  # it has ended meanwhile
                continue
