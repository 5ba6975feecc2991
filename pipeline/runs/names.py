"""Runs by their names: an id, last, or last~N."""

import difflib
import os
import re
from collections.abc import Sequence
from pathlib import Path

from pipeline.components.errors import SettingError
from pipeline.runs.journal import JOURNAL, last_event

LAST = re.compile(r"last(?:~([0-9]+))?")


def run_folders(runs: Path, pattern: str = "*/*") -> list[Path]:
    """The folders of all runs below a folder that this user can read, the oldest first."""
    journals = (path for path in runs.glob(f"{pattern}/{JOURNAL}") if path.is_file() and os.access(path, os.R_OK))
    return sorted((path.parent for path in journals), key=lambda folder: folder.name)


def named_run(folders: Sequence[Path], run: str, where: str, setting: str = "run") -> Path:
    """The folder of a run.

    Parameters
    ----------
    folders : sequence of Path
        Of runs, the oldest first.
    run : str
        An id; last, the latest run that has trained something; last~1, the one before; and so on.
    where : str
        Where the folders are, and how to find out their names, for the error.
    setting : str, default "run"
        The setting that names the run, for the error.

    Raises
    ------
    SettingError
        If there is no such run.
    """
    if match := LAST.fullmatch(run):
        n_later = int(match[1] or 0)
        trained = [folder for folder in folders if not failed_before_training(folder)] or folders
        if n_later < len(trained):
            return trained[-1 - n_later]
        raise SettingError(f"{setting}={run}: there are only {len(trained)} runs {where}")
    ids = {folder.name: folder for folder in folders}
    if run not in ids:
        near = difflib.get_close_matches(run, ids, n=1, cutoff=0.3)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise SettingError(f"{setting}={run}: there is no such run {where}{hint}")
    return ids[run]


def failed_before_training(folder: Path) -> bool:
    """Whether a run has ended with an error before any network was trained, as one whose data cannot be read."""
    last = last_event(folder / JOURNAL)
    return bool(last["event"] == "end" and last["status"] == "FAILED" and not has_trained(folder))


def has_trained(folder: Path) -> bool:
    """Whether any network of a run was trained for some epochs."""
    with (folder / JOURNAL).open("rb") as journal:
        return any(b'"event": "slice"' in line for line in journal)


def is_ours(folder: Path) -> bool:
    """Whether this user can write to a run."""
    files = [path for path in (folder / JOURNAL, folder / "lock") if path.exists()]
    may_enter = os.access(folder, os.R_OK | os.W_OK | os.X_OK)
    return may_enter and all(path.is_file() and os.access(path, os.R_OK | os.W_OK) for path in files)
