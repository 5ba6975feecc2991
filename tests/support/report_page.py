"""The content of a report's page, as a parser of HTML reads it."""

from html.parser import HTMLParser


class ReportPage(HTMLParser):
    """Headings, texts, tables as lists of rows, pictures, links, scripts, and the names of all elements."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.headings: list[str] = []
        self.captions: list[str] = []
        self.paragraphs: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.pictures: list[dict[str, str | None]] = []
        self.addresses: list[str | None] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self._inside: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        values = dict(attributes)
        self.elements.append((tag, values))
        self.addresses += [values[name] for name in ("href", "src") if name in values]
        self._inside = [*self._inside, tag]
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        elif tag == "svg":
            self.pictures.append(values)
        elif tag in ("h2", "figcaption", "p"):
            self._texts(tag).append("")

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, text: str) -> None:
        text = text.replace("\N{NO-BREAK SPACE}", " ")
        for tag in ("h2", "figcaption", "p"):
            if tag in self._inside:
                self._texts(tag)[-1] += text
        if {"td", "th"} & {*self._inside}:
            self.tables[-1][-1][-1] += text

    def handle_endtag(self, tag: str) -> None:
        if tag in self._inside:  # elements without an end, such as meta, end with those around them
            self._inside = self._inside[: len(self._inside) - 1 - self._inside[::-1].index(tag)]

    def _texts(self, tag: str) -> list[str]:
        return {"h2": self.headings, "figcaption": self.captions, "p": self.paragraphs}[tag]
