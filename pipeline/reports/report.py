"""The report of a run: report.html, which needs nothing but itself, and its plots as PNG files."""

import base64
import shutil
from pathlib import Path
from typing import Any

import jinja2

from pipeline.components.scores import in_words
from pipeline.reports.contents import RunContents, run_contents
from pipeline.reports.plotting import png
from pipeline.reports.sections import Section, report_sections

TEMPLATE = Path(__file__).with_name("report.html.j2")


def write_report(folder: Path, n_leaderboard: int = 50) -> Path:
    """Write the report of a run from the files in its folder.

    Parameters
    ----------
    folder : Path
        The run's folder. An earlier report in it is replaced.
    n_leaderboard : int, default 50
        Trials that the leaderboard lists.

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
    sections = [_rendered(section) for section in report_sections(contents, n_leaderboard)]
    plots = folder / "plots"
    if plots.exists():
        shutil.rmtree(plots)
    plots.mkdir()
    for section in sections:
        for plot in section["plots"]:
            (plots / f"{plot['name']}.png").write_bytes(base64.b64decode(plot["content"]))
    template = jinja2.Environment(autoescape=True, trim_blocks=True).from_string(TEMPLATE.read_text(encoding="utf-8"))
    title = f"{folder.parent.name} {folder.name}"
    path = folder / "report.html"
    path.write_text(template.render(title=title, subtitle=_subtitle(contents), sections=sections), encoding="utf-8")
    return path


def _rendered(section: Section) -> dict[str, Any]:
    plots = [
        {"name": name, "caption": caption, "content": base64.b64encode(png(figure)).decode()}
        for name, caption, figure in section.plots
    ]
    parts = {name: getattr(section, name) for name in ("title", "anchor", "texts", "tables", "code")}
    return {**parts, "plots": plots}


def _subtitle(contents: RunContents) -> str:
    best = contents.summary["best"]
    if not best:
        return f"{contents.summary['trials']['planned']:,} trials, no champion"
    scores = in_words(best["test"], contents.summary.get("headline"))
    return f"{contents.summary['trials']['planned']:,} trials; test scores of the champion: {scores}"
