"""Pictures as plain SVG: scales with ticks, a panel with two axes, and the marks in it.

Colours are CSS classes of plot.css, so that a picture follows the reader's colour scheme. The width of a text is
estimated, generously, as no font is at hand.
"""

import math
import unicodedata
from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise
from struct import pack
from typing import Protocol
from zlib import compress, crc32

import numpy as np

from nncore.kernels.backend import Array
from pipeline.components.printable import printable

WIDTH = 440  # of a picture, in pixels: two fit beside each other, and one on a telephone at 84 %
FONT = 12  # pixels
LINE = 17  # pixels from line to line
GAP = 8  # pixels between a tick and its label
NARROW, WIDE = frozenset("iljtfrI.,:;'|!()[]{}/ -"), frozenset("mwMW@%—…")
MOST_TITLES = 600  # points that have a title of their own; more are one path
SHAPES = {  # of a point, by the number of a style: a path around (0, 0)
    0: "M-3.6 0a3.6 3.6 0 1 0 7.2 0a3.6 3.6 0 1 0-7.2 0z",
    1: "M-3.2-3.2h6.4v6.4h-6.4z",
    2: "M0-4.4L4.2 3.2h-8.4z",
    3: "M0-4.8L4.8 0L0 4.8L-4.8 0z",
}
DASHES = ("", "7 3", "2 3", "9 3 2 3")


def text_width(text: str, size: float = FONT) -> float:
    """Estimate the width of a text in pixels."""
    ems = 0.0
    for character in text:
        if character in NARROW:
            ems += 0.42
        elif character in WIDE:
            ems += 1.0
        elif unicodedata.east_asian_width(character) in "WF":
            ems += 1.05
        else:
            ems += 0.74 if character.isupper() else 0.64
    return ems * size


def element(name: str, content: str = "", **attributes: str | float | None) -> str:
    """An element as markup.

    Parameters
    ----------
    name : str
    content : str
        Markup.
    **attributes : str, float or None
        Escaped; None is left out. Their names end in an underscore where Python reserves the word, and have underscores
        in place of hyphens.
    """
    parts = [name]
    for key, value in attributes.items():
        if value is not None:
            text = value if isinstance(value, str) else _pixels(value)
            parts.append(f'{key.rstrip("_").replace("_", "-")}="{escape(printable(text))}"')
    start = " ".join(parts)
    return f"<{start}>{content}</{name}>" if content else f"<{start}/>"


def title(text: str) -> str:
    """What is shown while the pointer is over a mark; "" for no text."""
    return f"<title>{escape(printable(text))}</title>" if text else ""


def _pixels(value: float) -> str:
    """A number with at most one decimal."""
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


class Scale(Protocol):
    """From values to a share of an axis: 0 at its beginning, 1 at its end."""

    def share(self, value: float) -> float:
        """Where a value lies."""

    def ticks(self, most: int) -> list[tuple[float, str]]:
        """At most so many values with their labels."""


@dataclass(frozen=True)
class Linear:
    """A linear scale from `low` to `high`."""

    low: float
    high: float

    @classmethod
    def around(cls, values: Iterable[float], margin: float = 0.05) -> "Linear":
        """A scale that shows all finite values, with a margin at both ends as a share of their range."""
        low, high = _ends(values, 0.0, 1.0)
        space = margin * (high - low) or 0.05 * abs(high) or 0.5
        return cls(low - space, high + space)

    def share(self, value: float) -> float:
        """See Scale."""
        return (value - self.low) / (self.high - self.low)

    def ticks(self, most: int) -> list[tuple[float, str]]:
        """See Scale. Their distance is 1, 2 or 5 times a power of ten."""
        rough = (self.high - self.low) / max(1, most)
        power = 10.0 ** math.floor(math.log10(rough))
        steps = [power * factor for factor in (0.5, 1, 2, 5, 10, 20)]
        place = next(place for place, step in enumerate(steps) if place and self._number(step) <= most)
        step = steps[place] if self._number(steps[place]) > 1 else steps[place - 1]
        numbers = range(math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9) + 1)
        return [(number * step, tick_label(number * step, step)) for number in numbers]

    def _number(self, step: float) -> int:
        return math.floor(self.high / step + 1e-9) - math.ceil(self.low / step - 1e-9) + 1


@dataclass(frozen=True)
class Log:
    """A logarithmic scale from `low` > 0 to `high`."""

    low: float
    high: float

    @classmethod
    def around(cls, values: Iterable[float], margin: float = 0.05) -> "Log":
        """A scale that shows all positive finite values, with a margin at both ends as a share of their range."""
        low, high = _ends((value for value in values if value > 0), 0.1, 1.0)
        factor = (high / low) ** margin if high > low else 1.3
        return cls(low / factor, high * factor)

    def share(self, value: float) -> float:
        """See Scale."""
        return math.log(max(value, 1e-300) / self.low) / math.log(self.high / self.low)

    def ticks(self, most: int) -> list[tuple[float, str]]:
        """See Scale. Powers of ten, with 2 and 5 times these where there are few; else linear ones."""
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        for factors in ((1, 2, 3, 5), (1, 2, 5), (1, 3), (1,)):
            values = [factor * 10.0**power for power in range(first, last + 1) for factor in factors]
            inside = [value for value in values if self.low <= value * (1 + 1e-9) and value <= self.high * (1 + 1e-9)]
            if 3 <= len(inside) <= most or (len(factors) == 1 and len(inside) >= 3):
                step = math.ceil(len(inside) / max(1, most))
                return [(value, tick_label(value, value)) for value in inside[::step]]
        return Linear(self.low, self.high).ticks(most)


@dataclass(frozen=True)
class Categories:
    """Names side by side, each with the same room. A value is the position of a name, from 0."""

    names: Sequence[str]

    def share(self, value: float) -> float:
        """See Scale."""
        return (value + 0.5) / len(self.names)

    def ticks(self, most: int) -> list[tuple[float, str]]:
        """See Scale."""
        step = math.ceil(len(self.names) / max(1, most))
        return [(number, self.names[number]) for number in range(0, len(self.names), step)]


def _ends(values: Iterable[float], low: float, high: float) -> tuple[float, float]:
    finite = [value for value in values if math.isfinite(value)]
    return (min(finite), max(finite)) if finite else (low, high)


def tick_label(value: float, step: float) -> str:
    """A tick's number, with as many decimals as its distance to the next tick asks for."""
    if value and (abs(value) >= 1e6 or abs(step) < 1e-5):
        return f"{value:.3g}".replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")
    decimals = max(0, -math.floor(math.log10(abs(step)) + 1e-9)) if step else 0
    text = f"{value:,.{decimals}f}"
    return text if float(text.replace(",", "")) else text.lstrip("-")


@dataclass(frozen=True)
class Key:
    """An entry of a legend: a mark (line, point, cross, bar or cell) with its classes and style, and what it means."""

    label: str
    classes: str = ""
    mark: str = "line"
    style: int = 0


@dataclass
class Panel:
    """A rectangle with a horizontal and a vertical axis, and the marks in it.

    Parameters
    ----------
    x, y : Scale
        Values grow to the right and upwards; categories are listed from left to right and downwards.
    x_label, y_label : str
    height : float
        Of the rectangle, in pixels.
    width : float
        Of the whole picture, in pixels.
    notes : sequence of str
        By category of the vertical axis, a text at the right of the rectangle.
    keys : sequence of Key
        The legend, above the rectangle.
    grid : bool
        Whether the ticks of numeric axes have lines.
    """

    x: Scale
    y: Scale
    x_label: str = ""
    y_label: str = ""
    height: float = 220
    width: float = WIDTH
    notes: Sequence[str] = ()
    keys: Sequence[Key] = ()
    grid: bool = True
    _marks: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._y_ticks = self.y.ticks(max(2, int(self.height / (15 if isinstance(self.y, Categories) else 34))))
        widest = max((text_width(label) for _, label in self._y_ticks), default=0)
        self.left = widest + GAP + 4
        beside = max(map(text_width, self.notes), default=0) + GAP + 4
        if not self.notes:  # the last number below the axis is centred on its tick
            last = 0 if isinstance(self.x, Categories) else max(text_width(label) for _, label in self.x.ticks(4)) / 2
            beside = max(2.0, last)
        self.right = self.width - beside
        self._legend, self.top = self._keys()
        self.top += (LINE if self.y_label else 0) + 8
        self.bottom = self.top + self.height

    def px(self, value: float) -> float:
        """The horizontal position of a value, in pixels."""
        return self.left + self.x.share(value) * (self.right - self.left)

    def py(self, value: float) -> float:
        """The vertical position of a value, in pixels from the top."""
        share = self.y.share(value)
        return self.top + (share if isinstance(self.y, Categories) else 1 - share) * self.height

    def add(self, markup: str) -> None:
        """Draw an element."""
        self._marks.append(markup)

    def line(self, xs: Sequence[float], ys: Sequence[float], classes: str = "", style: int = 0, text: str = "") -> None:
        """Connect points; values that are not finite interrupt the line."""
        steps, pen = [], "M"
        for x, y in zip(xs, ys, strict=True):
            if math.isfinite(x) and math.isfinite(y):
                steps.append(f"{pen}{self.px(x):.1f} {self.py(y):.1f}")
                pen = "L"
            else:
                pen = "M"
        dash = DASHES[style % len(DASHES)] or None
        path = element("path", title(text), class_=f"line {classes}".strip(), d="".join(steps), stroke_dasharray=dash)
        self.add(path)

    def points(
        self,
        xs: Sequence[float],
        ys: Sequence[float],
        classes: str = "",
        style: int = 0,
        texts: Sequence[str] = (),
    ) -> None:
        """Draw a point at each place; with texts, one for each, they are titles."""
        places = [(self.px(x), self.py(y)) for x, y in zip(xs, ys, strict=True) if math.isfinite(x + y)]
        if not texts or len(places) > MOST_TITLES:
            path = "".join(f"M{x:.0f} {y:.0f}h0" for x, y in places)
            self.add(element("path", class_=f"dots {classes}".strip(), d=path))
            return
        for (x, y), text in zip(places, texts, strict=True):
            where = f"translate({x:.1f} {y:.1f})"
            shape = SHAPES[style % len(SHAPES)]
            self.add(element("path", title(text), class_=f"point {classes}".strip(), d=shape, transform=where))

    def interval(self, number: int, low: float, high: float, classes: str = "") -> None:
        """Draw a horizontal error bar in the row of a category."""
        x, end, y = self.px(low), self.px(high), self.py(number)
        path = f"M{x:.1f} {y - 4:.1f}v8M{x:.1f} {y:.1f}H{end:.1f}M{end:.1f} {y - 4:.1f}v8"
        self.add(element("path", class_=f"error {classes}".strip(), d=path))

    def upright_interval(self, place: float, low: float, high: float, classes: str = "") -> None:
        """Draw an upright error bar."""
        x, y, end = self.px(place), self.py(low), self.py(high)
        self.add(element("path", class_=f"error thin {classes}".strip(), d=f"M{x:.1f} {y:.1f}V{end:.1f}"))

    def bar(self, number: int, value: float, classes: str = "", text: str = "", thickness: float = 0.62) -> None:
        """Draw a horizontal bar from 0, or from the edge, in the row of a category."""
        assert isinstance(self.y, Categories)
        origin = min(max(self.px(0), self.left), self.right)
        size = thickness * self.height / len(self.y.names)
        begin, end = sorted((origin, self.px(value)))
        y, width = self.py(number) - size / 2, max(end - begin, 1)
        mark = element("rect", title(text), class_=f"bar {classes}".strip(), x=begin, y=y, width=width, height=size)
        self.add(mark)

    def column(self, low: float, high: float, value: float, classes: str = "", text: str = "") -> None:
        """Draw an upright bar of a histogram over the values from low to high."""
        x, y, width = self.px(low) + 0.5, self.py(value), self.px(high) - self.px(low) - 1
        if (height := self.py(0) - y) > 0:
            mark = element("rect", title(text), class_=f"bar {classes}".strip(), x=x, y=y, width=width, height=height)
            self.add(mark)

    def cell(self, row: int, column: int, classes: str, labels: Sequence[str] = (), text: str = "") -> None:
        """Fill the cell of two categories, with the first of the labels in it for which there is room."""
        assert isinstance(self.x, Categories)
        assert isinstance(self.y, Categories)
        width, height = (self.right - self.left) / len(self.x.names), self.height / len(self.y.names)
        gap = 1 if min(width, height) > 8 else 0
        x, y = self.px(column), self.py(row)
        mark = element("rect", title(text), class_="cell", x=x - width / 2, y=y - height / 2,
                       width=width - gap, height=height - gap)  # fmt: skip
        fits = [label for label in labels if text_width(label, 11) <= width - gap and height >= 11]
        mark += "".join(
            element("text", escape(label), class_="in", x=x - gap / 2, y=y - gap / 2, dy=4) for label in fits[:1]
        )
        self.add(element("g", mark, class_=classes))

    def svg(self, finding: str) -> str:
        """The whole picture.

        Parameters
        ----------
        finding : str
            What the picture shows, in a sentence: its alternative text.
        """
        x_ticks, rotated = self._x_ticks()
        parts = [element("desc", escape(printable(finding))), *self._legend]
        if self.y_label:
            parts.append(self._label(self.y_label, 0, self.top - 14, "start"))
        for value, label in self._y_ticks:
            y = self.py(value)
            if self.grid and not isinstance(self.y, Categories):
                parts.append(element("path", class_="grid", d=f"M{self.left:.1f} {y:.1f}H{self.right:.1f}"))
            parts.append(self._label(label, self.left - GAP, y + 4, "end"))
        for value, label in x_ticks:
            x = self.px(value)
            if self.grid and not isinstance(self.x, Categories):
                parts.append(element("path", class_="grid", d=f"M{x:.1f} {self.top:.1f}V{self.bottom:.1f}"))
            turn = f"rotate(-40 {x:.1f} {self.bottom + LINE:.1f})" if rotated else None
            place = self._label(label, x, self.bottom + LINE, "end" if rotated else "middle", turn)
            parts.append(place)
        if not (isinstance(self.x, Categories) and isinstance(self.y, Categories)):
            parts.append(element("path", class_="axis", d=f"M{self.left:.1f} {self.top:.1f}V{self.bottom:.1f}"))
        parts += self._marks
        for number, note in enumerate(self.notes):
            parts.append(self._label(note, self.width, self.py(number) + 4, "end", classes="note"))
        height = self.bottom + (rotated or (LINE if x_ticks else 0)) + 6
        if self.x_label:
            height += LINE - 2
            end = min(self.width, max(self.right, text_width(self.x_label) + 2))
            parts.append(self._label(self.x_label, end, height - 4, "end"))
        return picture("".join(parts), self.width, height, finding)

    def _x_ticks(self) -> tuple[list[tuple[float, str]], float]:
        """The ticks whose labels fit beside each other, and how deep they reach if they are turned, else 0."""
        length = self.right - self.left
        if isinstance(self.x, Categories):
            step = length / len(self.x.names)
            widest = max(map(text_width, self.x.names))
            if widest <= step - 4:
                return self.x.ticks(len(self.x.names)), 0
            if widest < 40 and all(name.isdigit() for name in self.x.names):
                return self.x.ticks(int(length / (widest + 6))), 0
            return self.x.ticks(int(length / 21)), LINE + 0.64 * widest
        for most in (8, 7, 6, 5, 4, 3, 2):
            ticks = self.x.ticks(most)
            if self._fit(ticks):
                return ticks, 0
        while not self._fit(ticks):
            ticks = ticks[::2]
        return ticks, 0

    def _fit(self, ticks: Sequence[tuple[float, str]]) -> bool:
        """Whether the labels of these ticks of the horizontal axis do not touch each other."""
        places = [(self.px(value), text_width(label) / 2 + 4) for value, label in ticks]
        return all(place + half <= after - other for (place, half), (after, other) in pairwise(places))

    def _keys(self) -> tuple[list[str], float]:
        """The legend's elements, line by line from the left, and its height."""
        x, y, parts = 0.0, 0.0, []
        for key in self.keys:
            width = 24 + text_width(key.label) + 14
            if x and x + width - 14 > self.width:
                x, y = 0.0, y + LINE
            parts += [_swatch(key, x, y + 8), self._label(key.label, x + 22, y + 12, "start", classes="key")]
            x += width
        return parts, y + LINE + 4 if self.keys else 0.0

    def _label(
        self, text: str, x: float, y: float, anchor: str, transform: str | None = None, classes: str = "tick"
    ) -> str:
        return element(
            "text", escape(printable(text)), class_=classes, x=x, y=y, text_anchor=anchor, transform=transform
        )


def _swatch(key: Key, x: float, y: float) -> str:
    """The mark of a legend's entry."""
    if key.mark == "point":
        where = f"translate({x + 9:.1f} {y:.1f})"
        return element("path", class_=f"point {key.classes}", d=SHAPES[key.style % len(SHAPES)], transform=where)
    if key.mark == "cross":
        return element("path", class_=f"cross {key.classes}", d=f"M{x + 5:.1f} {y - 4:.1f}l8 8m0-8l-8 8")
    if key.mark in ("bar", "cell"):
        mark = element("rect", class_=key.mark, x=x + 2, y=y - 6, width=14, height=12)
        return element("g", mark, class_=key.classes)
    dash = DASHES[key.style % len(DASHES)] or None
    path = f"M{x:.1f} {y:.1f}h18"
    return element("path", class_=f"line {key.classes}", d=path, stroke_dasharray=dash)


def picture(content: str, width: float, height: float, finding: str) -> str:
    """Markup as a picture with an alternative text."""
    return element(
        "svg",
        content,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width:.0f} {math.ceil(height)}",
        width=f"{width:.0f}",
        height=f"{math.ceil(height)}",
        role="img",
        aria_label=finding,
        class_="plot",
    )


def standalone(svg: str, style: str) -> str:
    """A picture as a file of its own, with its style and a background."""
    head, _, rest = svg.partition(">")
    return f'{head}><style>{style}</style><rect class="paper" width="100%" height="100%"/>{rest}\n'


def grey_image(values: Array, x: float, y: float, size: float) -> str:
    """A matrix as an image of grey values, the smallest black and the largest white: an element.

    Parameters
    ----------
    values : array (rows, columns)
    x, y, size : float
        Where its corner is, and its width and height, in pixels.
    """
    low, high = float(np.min(values)), float(np.max(values))
    grey = np.round((values - low) / ((high - low) or 1) * 255).astype(np.uint8)
    lines = b"".join(b"\0" + row.tobytes() for row in grey)
    header = pack(">IIBBBBB", grey.shape[1], grey.shape[0], 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", compress(lines)), (b"IEND", b""))
    png = b"\x89PNG\r\n\x1a\n" + b"".join(
        pack(">I", len(data)) + name + data + pack(">I", crc32(name + data)) for name, data in chunks
    )
    address = f"data:image/png;base64,{b64encode(png).decode()}"
    return element("image", href=address, x=x, y=y, width=size, height=size, class_="pixels")
