"""Errors as lines for people, and an exit code."""

import os
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

from pipeline.components.interrupts import announce
from pipeline.components.overrides import override
from pipeline.components.printable import printable
from pipeline.components.secrets import masked

MAX_LISTED = 20  # problems in one message
UNPRINTABLE = re.compile(r"\s*[^\S ]\s*")  # white space other than single blanks, as in texts of several lines
MEMORY_CURES = (
    "take fewer rows or columns (data.where, data.drop), smaller networks (network.hidden, training.batch_size), "
    "or fewer workers (execution.cpus)"
)


def type_and_message(error: Exception) -> str:
    """The type of an error and its message, in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


class SettingError(Exception):
    """Invalid settings, or data that do not fit them.

    Parameters
    ----------
    *problems : str
        One or more. Each is made one line of printable characters: the setting, its value, the rule, the cure.

    Attributes
    ----------
    problems : tuple of str
    """

    def __init__(self, *problems: str) -> None:
        self.problems = tuple(map(_one_line, problems))
        super().__init__(*self.problems)

    def __str__(self) -> str:
        """One line, or for several problems a heading and a line each, at most MAX_LISTED."""
        if len(self.problems) == 1:
            return self.problems[0]
        place = "".join(self.problems[0].partition(": ")[:2])  # the setting that all of them begin with
        place = place if all(problem.startswith(place) for problem in self.problems) else ""
        lines = [f"{place}{len(self.problems)} things are wrong:"]
        lines += [f"  {problem.removeprefix(place)}" for problem in self.problems[:MAX_LISTED]]
        n_more = len(self.problems) - MAX_LISTED
        return "\n".join([*lines, *([f"  and {n_more} more"] if n_more > 0 else [])])


class ColumnError(SettingError):
    """A column that cannot be read, with data.drop as the cure.

    Parameters
    ----------
    column : str
    problem : str
        The message up to the cure.
    dropped : iterable of str, default ()
        The columns that data.drop leaves out already.

    Attributes
    ----------
    column, problem : str
    """

    def __init__(self, column: str, problem: str, dropped: Iterable[str] = ()) -> None:
        self.column, self.problem = column, problem
        super().__init__(f"{problem} {override('data.drop', [*dropped, column])}")


class Problems:
    """Collects SettingErrors, so that all that is wrong is said at once.

    Parameters
    ----------
    dropped : iterable of str, default ()

    Attributes
    ----------
    dropped : list of str
        The columns that data.drop leaves out, and those that it should leave out by the cures of earlier problems.
    """

    def __init__(self, dropped: Iterable[str] = ()) -> None:
        self._texts: list[str] = []
        self.dropped: list[str] = list(dropped)

    def __bool__(self) -> bool:
        return bool(self._texts)

    @contextmanager
    def collected(self) -> Iterator[None]:
        """Collect the SettingError of the block, which ends there."""
        try:
            yield
        except ColumnError as error:
            self.add(f"{error.problem} {self.leave_out([error.column])}")
        except SettingError as error:
            self.add(*error.problems)

    def result_of(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """What a function returns, or None if it raises SettingError, which is collected."""
        with self.collected():
            return function(*arguments)

    def add(self, *problems: str) -> None:
        """Add problems."""
        self._texts += problems

    def leave_out(self, names: Iterable[str]) -> str:
        """The override that leaves out columns, and those of earlier problems: an override replaces the whole list."""
        self.dropped = list(dict.fromkeys([*self.dropped, *names]))
        return override("data.drop", self.dropped)

    def raise_all(self) -> None:
        """Raise one SettingError with all problems, each once, if there are any."""
        if self._texts:
            raise SettingError(*dict.fromkeys(self._texts))


@contextmanager
def errors_as_lines() -> Iterator[None]:
    """End the process on an exception, with a message on standard error and an exit code.

    2: invalid setting or data, or too little memory; 1: internal error; 130: Ctrl-C, SIGTERM or SIGHUP. With
    NNSWEEP_TRACEBACK=1 in the environment an internal error is printed with its traceback, too.
    """
    try:
        yield
    except SettingError as error:
        fail(str(error), 2)
    except MemoryError as error:
        fail(f"out of memory ({' '.join(str(error).split()) or 'no details'}); {MEMORY_CURES}", 2)
    except KeyboardInterrupt:
        announce()
        sys.exit(130)
    except Exception as error:
        if os.environ.get("NNSWEEP_TRACEBACK"):
            traceback.print_exc()
        text = " ".join(str(error).split())
        fail(f"{type(error).__name__}: {text} (internal error; set NNSWEEP_TRACEBACK=1 to see the traceback)", 1)


def fail(message: str, code: int) -> NoReturn:
    """End the process with a message on standard error."""
    with suppress(OSError, AttributeError):  # where standard error cannot be written to, the exit code says it alone
        sys.stderr.write(f"nnsweep: {printable(masked(message))}\n")
        sys.stderr.flush()
    sys.exit(code)


def _one_line(text: str) -> str:
    """The text without line breaks and control characters; blanks stay, as a name may have several of them."""
    line = UNPRINTABLE.sub(" ", text)
    return "".join(character if character.isprintable() else " " for character in line).strip()
