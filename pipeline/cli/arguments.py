"""The arguments of the sub-commands that are not settings of a sweep."""

import difflib
from collections.abc import Mapping
from pathlib import Path

from pipeline.components.errors import SettingError


def read(arguments: list[str], known: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    """The words, and the values of the settings `name=value`; what is known of them are their defaults.

    Raises   SettingError naming a setting that is not known
    """
    words, settings = [], dict(known)
    for one in arguments:
        name, equals, value = one.partition("=")
        if not equals:
            words.append(one)
        elif name in known:
            settings[name] = value
        else:
            near = difflib.get_close_matches(name, known, n=1)
            cure = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
            raise SettingError(f"there is no setting {name} here; {cure}")
    return words, settings


def no_words(words: list[str]) -> None:
    """Raise SettingError if there is a word where only settings can be."""
    if words:
        raise SettingError(f"{words[0]} is not name=value; --help shows examples")


def run_folders(runs: Path) -> list[Path]:
    """The folders of all runs, the oldest first."""
    return sorted((path.parent for path in runs.glob("*/*/journal.jsonl")), key=lambda folder: folder.name)


def find_run(runs: Path, run: str) -> Path:
    """The folder of a run by its id; "last" is the youngest. Raises SettingError if there is none."""
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


def store(runs: Path, uri: str, cure: str) -> str:
    """The address of MLflow's store; auto: mlflow.db in the folder of runs. Raises SettingError if there is none."""
    if uri != "auto":
        return uri
    database = runs.absolute() / "mlflow.db"
    if not database.exists():
        raise SettingError(f"runs={runs}: there is no mlflow.db in this folder; {cure}")
    return f"sqlite:///{database}"
