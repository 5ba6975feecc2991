"""The short form of a command line: nnsweep wage.csv target=wage, for data=csv data.path=wage.csv data.target=wage."""

import dataclasses
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pipeline.components.errors import SettingError
from pipeline.components.file_words import FORMATS, PATTERN, format_of, names_file
from pipeline.components.overrides import expression
from pipeline.data.roles import Roles

OF_FILES = ("test", "bad_lines", "delimiter", "decimal", "encoding", "header", "skip_rows", "sheet", "missing")
SHORT_NAME = re.compile(
    rf"(\+{{0,2}}|~)({'|'.join((*(field.name for field in dataclasses.fields(Roles)), *OF_FILES))})\b"
)
DATA_PATH = re.compile(r"\+{0,2}data\.path=[\"'\[ ]*(.*?)[\"'\] ]*", re.DOTALL)


def with_files(overrides: Sequence[str]) -> list[str]:
    """Overrides in which files and the settings of their columns have their full names.

    Parameters
    ----------
    overrides : sequence of str
        May contain names of files and folders, patterns and addresses, and settings of a table without the data. before
        them, such as target=wage.

    Returns
    -------
    list of str
        With data=... as the names of the files tell the format, unless data=... or experiment=... chooses it.

    Raises
    ------
    SettingError
        If the format of a file is not known.
    """
    files = [text for text in overrides if names_file(text)]
    settings = [text for text in overrides if not names_file(text)]
    has_choice = any(re.match(r"\+?data=", text) for text in settings)
    paths = [match[1] for text in settings if (match := DATA_PATH.fullmatch(text))]
    if files and paths:
        raise SettingError(f"{files[0]} and data.path={paths[0]} both name the data; leave one of them out")
    if not (files or paths or has_choice):
        return settings
    settings = [SHORT_NAME.sub(r"\1data.\2", text, count=1) if SHORT_NAME.match(text) else text for text in settings]
    if files:
        chosen = [] if has_choice else [f"data={_format(files[0])}"]
        return [*chosen, f"data.path={expression(files[0] if len(files) == 1 else files)}", *settings]
    if has_choice or any(text.startswith("experiment=") for text in settings):
        return settings
    choice = format_of(paths[0])
    return settings if choice is None else [f"data={choice}", *settings]


def _format(path: str) -> str:
    """The format of a file, or of most files in a folder. Raises SettingError if it is not known."""
    if choice := format_of(path):
        return choice
    from pipeline.data.data_files import data_files  # not at the top: reading folders takes time to load
    from pipeline.data.files import absolute

    endings = [ending for endings in FORMATS.values() for ending in endings]
    files = data_files("data.path", absolute(path), endings)
    known = Counter(filter(None, (format_of(file.path) for file in files)))
    if not known:
        is_one = len(files) == 1 and not PATTERN.search(path)
        if is_one and "://" not in path and not Path(files[0].path).exists():
            raise SettingError(f"{path}: there is no such file, folder or setting; settings are given as name=value")
        what = "the ending of its name does" if is_one else "the names of its files do"
        raise SettingError(
            f"{path}: {what} not tell the format ({', '.join(endings)}); choose it with data=..., such as data=csv, or "
            "save the table in one of these"
        )
    return known.most_common(1)[0][0]
