"""What all plots share: a colour-blind safe palette, labels, and rendering to PNG."""

from io import BytesIO

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imsave
from matplotlib.ticker import LogFormatterSciNotation

# Okabe and Ito (2008), without yellow, which is too pale on white
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#7F7F7F")
SEQUENTIAL = "viridis"
DOTS_PER_INCH = 110


def canvas(width: float = 7.2, height: float = 3.8, columns: int = 1) -> tuple[Figure, list[Axes]]:
    """A figure of this size in inches, with `columns` plots side by side."""
    figure = Figure(figsize=(width, height), layout="constrained", dpi=DOTS_PER_INCH)
    axes = figure.subplots(1, columns, squeeze=False)[0]
    for panel in axes:
        panel.spines[["top", "right"]].set_visible(False)
        panel.tick_params(which="both", labelsize=9)
    return figure, list(axes)


def colour(number: int) -> str:
    """The colour of a line, by its number."""
    return COLOURS[number % len(COLOURS)]


def dash(number: int) -> str:
    """The style of a line, by its number: it changes when the colours repeat."""
    return ("-", "--", ":", "-.")[number // len(COLOURS) % 4]


def legend_beside(axes: Axes, title: str | None = None) -> None:
    """Draw a legend to the right of the plot, where it covers nothing."""
    axes.legend(title=title, fontsize=8, title_fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1.01, 1))


def short(text: str, longest: int = 28) -> str:
    """Shorten a text to fit beside a plot."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


def spoken(metric: str) -> str:
    """A metric's name in words."""
    return metric.replace("/", " ").replace("_", " ")


class PlainLog(LogFormatterSciNotation):
    """Labels of a logarithmic axis at the positions of its parent, as 0.2 instead of 2 x 10^-1."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        """The number at x."""
        return f"{x:g}" if super().__call__(x, pos) else ""


def png(figure: Figure) -> bytes:
    """The figure as a PNG file."""
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            if axis.get_scale() == "log":
                axis.set_major_formatter(PlainLog())
                axis.set_minor_formatter(PlainLog())
    drawn, file = FigureCanvasAgg(figure), BytesIO()
    drawn.draw()  # type: ignore[no-untyped-call]  # once; savefig would draw twice, first to find out where things are
    imsave(file, drawn.buffer_rgba(), format="png", dpi=DOTS_PER_INCH)  # type: ignore[no-untyped-call]
    return file.getvalue()
