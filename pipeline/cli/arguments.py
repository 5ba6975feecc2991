"""The arguments of the commands that take few settings, and the runs that they name."""

import difflib
from collections.abc import Mapping
from pathlib import Path

from pipeline.components.errors import SettingError
from pipeline.components.secrets import masked
from pipeline.runs.names import named_run, run_folders
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


def find_run(runs: Path, run: str, setting: str = "run") -> Path:
    """The folder of a run below a folder, by its id, last or last~N. Raises SettingError if there is none."""
    folders = run_folders(runs)
    if not folders:
        raise SettingError(f"runs={runs}: there is no run in this folder; name another with runs=...")
    return named_run(folders, run, f"below {runs}; nnsweep runs list shows them", setting)


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
