"""What a section of the report is made of: paragraphs, lists, tables, pictures, code, and parts that unfold."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, TypeAlias

from pipeline.reports.words import LONGEST


@dataclass(frozen=True)
class Paragraph:
    """A text; `quiet` ones explain how something was computed."""

    kind: ClassVar[str] = "paragraph"
    text: str
    quiet: bool = False


@dataclass(frozen=True)
class Items:
    """A list of texts. `classes` are of CSS."""

    kind: ClassVar[str] = "items"
    texts: Sequence[str]
    classes: str = ""


@dataclass(frozen=True)
class Code:
    """A line for a shell."""

    kind: ClassVar[str] = "code"
    text: str


@dataclass(frozen=True)
class ReportTable:
    """A table of texts.

    Parameters
    ----------
    caption : str
    headings : sequence of str
    rows : sequence of sequence of str
    numbers : collection of int
        Positions of the columns of numbers, which are aligned at the right.
    row_classes : sequence of str, optional
        CSS classes of each row.
    styled : int, optional
        Position of the column of optimizers, which have their colour beside them.
    filtered : bool
        Whether a field filters its rows.
    sortable : bool
        Whether its headings sort it.
    minor : collection of int
        Positions of the columns that a narrow page leaves out.
    further : collection of int
        Positions of the columns that narrow and printed pages leave out.
    longest : int
        Characters of a cell; longer texts are shortened, and are titles.
    """

    kind: ClassVar[str] = "table"
    caption: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: frozenset[int] = frozenset()
    row_classes: Sequence[str] = ()
    styled: int | None = None
    filtered: bool = False
    sortable: bool = True
    minor: frozenset[int] = frozenset()
    further: frozenset[int] = frozenset()
    longest: int = LONGEST

    def classes(self, place: int) -> str:
        """The CSS classes of a column."""
        kinds = {"number": self.numbers, "minor": self.minor, "further": self.further, "named": {self.styled}}
        return " ".join(name for name, places in kinds.items() if place in places)


@dataclass(frozen=True)
class Picture:
    """A picture.

    Parameters
    ----------
    name : str
        Of its file in the folder of plots, without a suffix.
    caption : str
        What it shows.
    finding : str
        What a reader sees in it, in a sentence: its alternative text.
    svg : str
    told : bool
        Whether the finding stands below it as well; not where the section's text has it.
    """

    name: str
    caption: str
    finding: str
    svg: str
    told: bool = True


@dataclass(frozen=True)
class Pictures:
    """Pictures that stand beside each other where there is room; small ones together take the room of one or two."""

    kind: ClassVar[str] = "pictures"
    pictures: Sequence[Picture]
    small: Sequence[Picture] = ()


@dataclass(frozen=True)
class Details:
    """Parts that unfold below their summary."""

    kind: ClassVar[str] = "details"
    summary: str
    parts: Sequence["Part"]


Part: TypeAlias = Paragraph | Items | Code | ReportTable | Pictures | Details


@dataclass
class Section:
    """A section of the report, with its title and its parts in their order."""

    title: str
    parts: list[Part] = field(default_factory=list)

    @property
    def anchor(self) -> str:
        """The target of links to the section."""
        return re.sub(r"\W+", "-", self.title.lower())


def pictures_of(parts: Sequence[Part]) -> list[Picture]:
    """All pictures among the parts, in their order."""
    found: list[Picture] = []
    for part in parts:
        if isinstance(part, Pictures):
            found += [*part.pictures, *part.small]
        elif isinstance(part, Details):
            found += pictures_of(part.parts)
    return found
