"""The console that text is printed to."""

from rich.console import Console

WIDTH_OF_PIPES = 160  # characters per line if the output is not a terminal


def plain_console() -> Console:
    """Standard output, without rich's markup: brackets and colons in names are printed as they are."""
    console = Console(markup=False, highlight=False)
    return console if console.is_terminal else Console(markup=False, highlight=False, width=WIDTH_OF_PIPES)
