"""Errors as one line for people, and an exit code."""

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from pipeline.components.secrets import masked


class SettingError(Exception):
    """An invalid setting, or data that do not fit it.

    The text is made one line of printable characters: the setting, its value, the rule, the cure.
    """

    def __init__(self, text: str) -> None:
        printable = "".join(character if character.isprintable() else " " for character in text)
        super().__init__(" ".join(printable.split()))


@contextmanager
def errors_as_lines() -> Iterator[None]:
    """End the process on an exception, with one line on standard error and an exit code.

    2: invalid setting or data; 1: internal error; 130: Ctrl-C. With NNSWEEP_TRACEBACK=1 in the environment an internal
    error is printed with its traceback, too.
    """
    try:
        yield
    except SettingError as error:
        fail(str(error), 2)
    except KeyboardInterrupt:
        fail("interrupted; what is finished is kept", 130)
    except Exception as error:
        if os.environ.get("NNSWEEP_TRACEBACK"):
            traceback.print_exc()
        text = " ".join(str(error).split())
        fail(f"{type(error).__name__}: {text} (internal error; set NNSWEEP_TRACEBACK=1 to see the traceback)", 1)


def fail(message: str, code: int) -> NoReturn:
    """End the process with a line on standard error."""
    sys.stderr.write(f"nnsweep: {masked(message)}\n")
    sys.exit(code)
