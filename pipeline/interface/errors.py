"""Errors of the settings in Python's words."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.components.errors import SettingError

ARGUMENT = re.compile(r"(?<![\w.'])'?(?:data\.)?(target|preset|runs|name)=([\w.-]+)(?![\w=(\[])'?")
SETTING = re.compile(r"(?<![\w.])\+?[a-z_]+(?:[.@][a-z_0-9]+)*=\S")
HINT = "; in Python such settings are given as overrides=['name=value']"


class InvalidSettingError(SettingError, ValueError):
    """Invalid settings, or data that do not fit them; the text says what is wrong, and what to write instead."""


@contextmanager
def in_words_of_python(table: Path | None = None) -> Iterator[None]:
    """Raise the SettingErrors of the block as InvalidSettingErrors.

    Parameters
    ----------
    table : Path, optional
        The file of a table in memory, which people know as the data.
    """
    try:
        yield
    except InvalidSettingError:
        raise
    except SettingError as error:
        raise InvalidSettingError(*(_translated(problem, table) for problem in error.problems)) from None


def _translated(problem: str, table: Path | None) -> str:
    """A problem whose cures are arguments of the functions; those that are not are settings, which a hint explains."""
    if table is not None:
        problem = problem.replace(f"data.path={table}", "the data").replace(str(table), "the data")
    words = ARGUMENT.sub(lambda match: f'{match[1]}="{match[2]}"', problem).replace("target=...", 'target="..."')
    rest = re.sub(r"(target|preset|runs|name)=[\"'.]|data\.path=", "", words)
    return words + (HINT if SETTING.search(rest) else "")
