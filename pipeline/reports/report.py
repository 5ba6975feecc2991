"""The report of a run: report.html, which needs nothing but itself, and its plots as PNG files."""

import base64
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import jinja2

from pipeline.console.closing import in_words
from pipeline.reports.contents import RunContents, run_contents
from pipeline.reports.plotting import png
from pipeline.reports.sections import Section, at_first, at_last, of_the_sweep

RenderedSection = dict[str, Any]  # of the page, with its plots

TEMPLATE = Path(__file__).with_name("report.html.j2")


def write_report(folder: Path, n_leaderboard: int = 50) -> Path:
    """Write the report of the run in the folder, from the files there; its path.

    n_leaderboard   trials that the leaderboard shows

    Raises   SettingError if the journal is damaged
    """
    found = run_contents(folder)
    return written(found, n_leaderboard, lambda: swept(found))


def swept(found: RunContents) -> list[RenderedSection]:
    """What the sweep alone shows; neither the run's summary nor its diagnosis is needed."""
    return drawn(of_the_sweep(found))


def written(found: RunContents, n_leaderboard: int, middle: Callable[[], list[RenderedSection]]) -> Path:
    """See write_report; `middle` gives what `swept` does."""
    folder, last = found.folder, drawn(at_last(found))
    parts = [*drawn(at_first(found, n_leaderboard)), *middle(), *last]
    plots = folder / "plots"
    if plots.exists():
        shutil.rmtree(plots)
    plots.mkdir()
    for part in parts:
        for plot in part["plots"]:
            (plots / f"{plot['name']}.png").write_bytes(base64.b64decode(plot["content"]))
    template = jinja2.Environment(autoescape=True, trim_blocks=True).from_string(TEMPLATE.read_text(encoding="utf-8"))
    page = template.render(title=f"{folder.parent.name} {folder.name}", subtitle=_subtitle(found), sections=parts)
    path = folder / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


def drawn(sections: Iterable[Section]) -> list[RenderedSection]:
    """The sections for the template."""
    return [*map(_drawn, sections)]


def _drawn(section: Section) -> RenderedSection:
    plots = [
        {"name": name, "caption": caption, "content": base64.b64encode(png(figure)).decode()}
        for name, caption, figure in section.plots
    ]
    parts = {name: getattr(section, name) for name in ("title", "anchor", "texts", "tables", "code")}
    return {**parts, "plots": plots}


def _subtitle(found: RunContents) -> str:
    best = found.summary["best"]
    if not best:
        return f"{found.summary['trials']['planned']:,} trials, no champion"
    return f"{found.summary['trials']['planned']:,} trials; the champion on the test rows: {in_words(best['test'])}"
