"""Standard output that a full disk or a closed pipe ends with a message that says so."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from pipeline.components.errors import SettingError
from pipeline.components.interrupts import is_announced


class StandardOutput:
    """A text file whose first error is raised as a SettingError; what is written after it is dropped.

    The rest is dropped because a run that ends also says how it ends. All other attributes are those of the file.

    Parameters
    ----------
    file : text file
    """

    def __init__(self, file: TextIO) -> None:
        self._file, self._failed = file, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, text: str) -> int:
        """Write text; returns its length."""
        if not self._failed:
            with self._errors_named():
                self._file.write(text)
        return len(text)

    def flush(self) -> None:
        """Write what is buffered."""
        if not self._failed:
            with self._errors_named():
                self._file.flush()

    @contextmanager
    def _errors_named(self) -> Iterator[None]:
        try:
            yield
        except UnicodeError:  # a ValueError, too: the encoding lacks a character
            raise
        except (OSError, ValueError) as error:
            self._failed = True
            self._discard()
            if is_announced():  # a signal ends the command anyway; the terminal may be gone
                return
            reason = getattr(error, "strerror", None) or str(error)
            raise SettingError(
                f"standard output must take what the command prints, but does not: {reason}; finished work is kept: "
                "give the same command again, with output to another file, as in > output.txt"
            ) from None

    def _discard(self) -> None:
        """Let the file's descriptor lead nowhere: Python would write its buffer at the end, and fail once more."""
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._file.fileno())
            os.close(nowhere)


@contextmanager
def checked_standard_output() -> Iterator[None]:
    """Raise SettingError for errors of standard output within the block, also for those that its end brings out.

    Standard output that was closed before the command began is an error from the start: the next file that is opened
    would take its place, and receive what is printed.
    """
    before = sys.stdout
    _occupy_descriptors()
    if before is None:
        raise SettingError("standard output must be open, but is closed; to print nothing give > /dev/null")
    if isinstance(before, io.TextIOWrapper):
        before.reconfigure(errors="backslashreplace")  # for labels with characters that its encoding lacks
    checked = StandardOutput(before)
    sys.stdout = checked
    try:
        yield
        checked.flush()
    finally:
        with suppress(SettingError):
            checked.flush()
        sys.stdout = before


def _occupy_descriptors() -> None:
    """Open standard streams that are closed as /dev/null: a file would take their numbers, and receive other output."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
