"""The default sweep, run once from the command line and observed from outside while it runs."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from tempfile import mkdtemp

from running import read_summary


class MainJob:
    """A finished run of the default sweep.

    Attributes
    ----------
    folder : Path
        The working directory of the command.
    output : str
        Standard output and standard error.
    seconds : float
        Wall time of the process.
    openers : dict of int to str
        By process id, the command lines of the processes that had the MLflow database open, without their
        children, which have it open between fork and exec.
    ray_folder : list of str
        What Ray has left behind in its folder of temporary files.
    workers : dict of int to str
        By process id, the memory map of each Ray worker: the compiled libraries that it had loaded.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._seen: dict[int, tuple[int, str]] = {}
        self.workers: dict[int, str] = {}
        self._others = set(Path("/proc").glob("[0-9]*"))  # processes that were there before
        temporary = Path(mkdtemp(prefix="nn"))  # the path of a Unix socket must be short
        start_time = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", "pipeline"],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1", "RAY_TMPDIR": str(temporary)},
        )
        while process.poll() is None:
            self._look()
            time.sleep(0.02)
        del self._others
        self.seconds = time.monotonic() - start_time
        self.output = process.stdout.read()
        process.stdout.close()
        assert process.returncode == 0, self.output
        self.ray_folder = [path.name for path in (temporary / "ray").iterdir()]
        shutil.rmtree(temporary)
        self.openers = {pid: line for pid, (parent, line) in self._seen.items() if parent not in self._seen}
        self.summary = read_summary(folder)
        (self.run_folder,) = folder.glob("runs/digits/*/")

    def _look(self) -> None:
        """Record which processes have the database open, and the memory maps of Ray's workers."""
        database = str(self.folder / "runs" / "mlflow.db")
        for path in set(Path("/proc").glob("[0-9]*")) - self._others:
            try:
                line = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
                if line.startswith("ray::"):
                    self.workers[int(path.name)] = (path / "maps").read_text()
                if any(str(fd.readlink()).startswith(database) for fd in (path / "fd").iterdir()):
                    parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
                    self._seen[int(path.name)] = parent, line
            except OSError:  # the process has ended
                continue
