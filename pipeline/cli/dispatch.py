"""Finds the sub-command that is asked for; without one it is `sweep`."""

import difflib
import pkgutil
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

from pipeline.components.errors import SettingError, errors_as_lines

SUFFIX = "_command"  # of the modules that are commands
USAGE = """nnsweep: which optimizer and which regularization suit your data?

Usage: nnsweep [command] [name=value ...]

{commands}

nnsweep <command> --help says more. Without a command it is sweep.
"""


def names() -> list[str]:
    """The sub-commands."""
    modules = (found.name for found in pkgutil.iter_modules([str(Path(__file__).parent)]))
    return [name.removesuffix(SUFFIX) for name in modules if name.endswith(SUFFIX)]


def command(name: str) -> ModuleType:
    """The module of a sub-command. Raises SettingError if there is none of that name."""
    if name not in names():
        near = difflib.get_close_matches(name, names(), n=1)
        hint = f"did you mean {near[0]}?" if near else "nnsweep --help lists them, and settings are name=value"
        raise SettingError(f"there is no command {name}; {hint}")
    return import_module(f"pipeline.cli.{name}{SUFFIX}")


def dispatch(arguments: list[str], began: float) -> None:
    """Do what the command line says; `began` is the time on the monotonic clock when the process did."""
    with errors_as_lines():
        first = arguments[0] if arguments else ""
        if first in ("--help", "-h"):
            sys.stdout.write(USAGE.format(commands="\n".join(f"  {name:<11}{_summary(name)}" for name in names())))
            return
        is_command = bool(first) and "=" not in first and first[0] not in "-+~"
        name, rest = (first, arguments[1:]) if is_command else ("sweep", arguments)
        module = command(name)
        if rest and rest[0] in ("--help", "-h"):
            sys.stdout.write(f"{(module.__doc__ or '').strip()}\n")
        else:
            module.run(rest, began)


def _summary(name: str) -> str:
    return (command(name).__doc__ or "").strip().splitlines()[0]
