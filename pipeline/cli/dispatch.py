"""Finds the command that the command line names, and runs it; without one it is `sweep`.

A command is a module of this package whose name ends in `_command`. Its docstring is its help, and its function
`run(arguments, began)` does the work. Exit codes: 0 success; 1 internal error; 2 invalid setting or data; 130 Ctrl-C,
SIGTERM or SIGHUP.
"""

import difflib
import pkgutil
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

from pipeline.components.errors import SettingError, errors_as_lines
from pipeline.components.file_words import names_file
from pipeline.components.interrupts import handle_signals
from pipeline.components.version import __version__
from pipeline.console.standard_output import checked_standard_output

SUFFIX = "_command"
USAGE = """nnsweep: find the optimizer and the regularization that suit your data.

Usage: nnsweep [command] [file] [name=value ...]

{commands}

nnsweep <command> --help describes a command; without a command it is sweep.
nnsweep --version prints the version.
"""


def names() -> list[str]:
    """The names of all commands."""
    modules = (module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)]))
    return [name.removesuffix(SUFFIX) for name in modules if name.endswith(SUFFIX)]


def command(name: str) -> ModuleType:
    """The module of a command. Raises SettingError if there is no such command."""
    if name not in names():
        near = difflib.get_close_matches(name, names(), n=1)
        hint = f"did you mean {near[0]}?" if near else "nnsweep --help lists them, and settings are name=value"
        raise SettingError(f"there is no command {name}; {hint}")
    return import_module(f"pipeline.cli.{name}{SUFFIX}")


def dispatch(arguments: list[str], began: float) -> None:
    """Run the command that the arguments name.

    Parameters
    ----------
    arguments : list of str
        The command line without the program's name.
    began : float
        When the process started, on the monotonic clock.
    """
    handle_signals()
    with errors_as_lines(), checked_standard_output():
        _check_working_folder()
        first = arguments[0] if arguments else ""
        is_word = bool(first) and "=" not in first and first[0] not in "-+~"
        is_command = is_word and (first in names() or not names_file(first))
        name, rest = (first, arguments[1:]) if is_command else ("sweep", arguments)
        if "--version" in arguments:
            sys.stdout.write(f"nnsweep {__version__}\n")
        elif first in ("--help", "-h"):
            sys.stdout.write(USAGE.format(commands="\n".join(f"  {name:<11}{_summary(name)}" for name in names())))
        elif rest and rest[0] in ("--help", "-h"):
            sys.stdout.write(f"{(command(name).__doc__ or '').strip()}\n")
        else:
            command(name).run(rest, began)


def _check_working_folder() -> None:
    try:
        Path.cwd()
    except OSError:
        raise SettingError("the current folder was deleted; change to one that exists, such as: cd ~") from None


def _summary(name: str) -> str:
    return (command(name).__doc__ or "").strip().splitlines()[0]
