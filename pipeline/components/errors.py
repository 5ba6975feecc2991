"""What goes wrong, in one line for people, and an exit code."""

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from pipeline.components.secrets import masked


class SettingError(Exception):
    """A setting that cannot be used. Its text is one line: the setting, its value, the rule, the cure."""

    def __init__(self, text: str) -> None:
        super().__init__(" ".join("".join(one if one.isprintable() else " " for one in text).split()))


@contextmanager
def errors_as_lines() -> Iterator[None]:
    """Turn exceptions into one line and an exit code: 2 for the user's mistakes, 1 for ours, 130 for Ctrl-C."""
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
        fail(f"{type(error).__name__}: {text} (a fault of ours; NNSWEEP_TRACEBACK=1 shows where)", 1)


def fail(message: str, code: int) -> NoReturn:
    """End the process with a line on standard error."""
    sys.stderr.write(f"nnsweep: {masked(message)}\n")
    sys.exit(code)
