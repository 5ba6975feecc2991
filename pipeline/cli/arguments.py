"""The arguments of the commands that take few settings, and the runs that they name."""

import difflib
from collections.abc import Mapping
from pathlib import Path

from pipeline.components.errors import SettingError
from pipeline.components.secrets import masked
from pipeline.tracking.reachability import why_unusable


def read(arguments: list[str], defaults: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    """Separate words from settings.

    Parameters
    ----------
    arguments : list of str
        Words, and settings as name=value.
    defaults : mapping
        The settings of the command, with their defaults.

    Returns
    -------
    words : list of str
    settings : dict
        A value for every setting.

    Raises
    ------
    SettingError
        Naming a setting that the command does not have.
    """
    words, settings = [], dict(defaults)
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if not equals:
            words.append(argument)
        elif name in defaults:
            settings[name] = value
        else:
            near = difflib.get_close_matches(name, defaults, n=1)
            cure = f"did you mean {near[0]}?" if near else f"there are {', '.join(defaults)}"
            raise SettingError(f"this command has no setting {name}; {cure}")
    return words, settings


def no_words(words: list[str]) -> None:
    """Raise SettingError if there is a word where only settings are allowed."""
    if words:
        raise SettingError(f"{words[0]} is not name=value; --help shows examples")


def run_folders(runs: Path) -> list[Path]:
    """The folders of all runs below a folder, the oldest first."""
    return sorted((path.parent for path in runs.glob("*/*/journal.jsonl")), key=lambda folder: folder.name)


def find_run(runs: Path, run: str) -> Path:
    """The folder of a run by its id, or of the most recent run for "last". Raises SettingError if there is none."""
    folders = {folder.name: folder for folder in run_folders(runs)}
    if not folders:
        raise SettingError(f"runs={runs}: there is no run in this folder; name another with runs=...")
    if run == "last":
        return list(folders.values())[-1]
    if run not in folders:
        near = difflib.get_close_matches(run, folders, n=1, cutoff=0.3)
        hint = f"did you mean {near[0]}?" if near else "nnsweep runs list shows them"
        raise SettingError(f"run={run}: there is no such run below {runs}; {hint}")
    return folders[run]


def tracking_uri(runs: Path, uri: str, cure: str) -> str:
    """The URI of the MLflow store; auto: mlflow.db in the folder of runs. Raises SettingError if it cannot be used."""
    if uri != "auto":
        if problem := why_unusable(uri):
            raise SettingError(f"uri={masked(uri)} cannot be used: {problem}")
        return uri
    database = runs.absolute() / "mlflow.db"
    if not database.exists():
        raise SettingError(f"runs={runs}: there is no mlflow.db in this folder; {cure}")
    return f"sqlite:///{database}"
