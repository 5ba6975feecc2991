"""The console that text is printed to."""

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from pipeline.components.printable import printable

WIDTH_OF_PIPES = 160  # characters per line if the output is not a terminal


class PlainConsole(Console):
    """A console that prints what texts contain: no markup, and no escape sequence but its own."""

    def render_str(self, text: str, **options: Any) -> Text:
        """See rich; also table cells are made of strings here."""
        return super().render_str(printable(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """See rich; what is not a string, such as Text, ends here, too."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(printable(segment.text), segment.style)


def plain_console() -> Console:
    """Standard output, without rich's markup: brackets and colons in names are printed as they are."""
    console = PlainConsole(markup=False, highlight=False)
    return console if console.is_terminal else PlainConsole(markup=False, highlight=False, width=WIDTH_OF_PIPES)
