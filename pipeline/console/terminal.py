"""The console that everything is printed to."""

from rich.console import Console

WIDTH_OF_PIPES = 160  # columns of a table that goes to no terminal


def plain_console() -> Console:
    """Standard output, where brackets and colons in names mean nothing."""
    console = Console(markup=False, highlight=False)
    return console if console.is_terminal else Console(markup=False, highlight=False, width=WIDTH_OF_PIPES)
