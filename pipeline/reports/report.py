"""The report of a run: report.html, which needs nothing but itself, and its plots as SVG files."""

import shutil
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import jinja2

from pipeline.components.printable import printable
from pipeline.reports import model_sections, result_sections, sweep_sections
from pipeline.reports.contents import RunContents, run_contents
from pipeline.reports.parts import Section, pictures_of
from pipeline.reports.svg import standalone
from pipeline.reports.sweep_sections import style_of
from pipeline.reports.words import short

HERE = Path(__file__).parent
TEMPLATE, SCRIPT, STYLES = HERE / "report.html.j2", HERE / "report.js", (HERE / "plot.css", HERE / "report.css")
N_LEADERBOARD = 500  # of runs without a report


def write_report(folder: Path, n_leaderboard: int | None = None) -> Path:
    """Write the report of a run from the files in its folder.

    Parameters
    ----------
    folder : Path
        The run's folder. An earlier report in it is replaced.
    n_leaderboard : int, optional
        Trials in the table that unfolds below the best ten; by default as the run's settings say, or 500.

    Returns
    -------
    Path
        The page, report.html.

    Raises
    ------
    SettingError
        If the journal is damaged.
    """
    contents = run_contents(folder)
    if n_leaderboard is None:
        n_leaderboard = (contents.settings.get("report") or {}).get("leaderboard", N_LEADERBOARD)
    sections = list(report_sections(contents, n_leaderboard))
    _write_plots(folder / "plots", sections)
    script = SCRIPT.read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, finalize=_text)
    environment.filters |= {"short": short, "printable": printable}
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    page = template.render(
        title=folder.parent.name,
        run_id=folder.name,
        verdict=result_sections.verdict(contents),
        sections=sections,
        style_of=style_of,
        style="".join(path.read_text(encoding="utf-8") for path in STYLES),
        script=script,
        script_hash=b64encode(sha256(script.encode()).digest()).decode(),
    )
    path = folder / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


def report_sections(contents: RunContents, n_leaderboard: int) -> Iterator[Section]:
    """All sections that have something to show, in the page's order."""
    yield result_sections.result(contents)
    if contents.card:
        yield result_sections.data(contents)
    if contents.leaderboard:
        yield result_sections.leaderboard(contents, n_leaderboard)
    yield from model_sections.model_sections(contents)
    if contents.ranked_rows:
        yield from sweep_sections.sweep_sections(contents)
    yield from model_sections.network_sections(contents)
    yield sweep_sections.times(contents)
    if contents.summary.get("advice"):
        yield result_sections.advice(contents)
    yield result_sections.reproduce(contents)


def _write_plots(folder: Path, sections: list[Section]) -> None:
    """Replace the folder of plots: each picture as a file with its own style."""
    style = STYLES[0].read_text(encoding="utf-8")
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir()
    for section in sections:
        for picture in pictures_of(section.parts):
            (folder / f"{picture.name}.svg").write_text(standalone(picture.svg, style), encoding="utf-8")


def _text(value: object) -> object:
    """What a template writes of a value: texts without characters that a page must not have, and "95 %" in one line."""
    return printable(value).replace(" %", "\N{NO-BREAK SPACE}%") if type(value) is str else value
