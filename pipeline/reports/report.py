"""The report of a run: report.html, which needs nothing but itself, and its plots as PNG files."""

import base64
import shutil
from pathlib import Path

import jinja2

from pipeline.reports.drawing import png
from pipeline.reports.end import in_words
from pipeline.reports.findings import Findings, findings
from pipeline.reports.sections import Section, sections

TEMPLATE = Path(__file__).with_name("report.html.j2")


def write_report(folder: Path, n_leaderboard: int = 50) -> Path:
    """Write the report of the run in the folder, from the files there; its path.

    n_leaderboard   trials that the leaderboard shows

    Raises   SettingError if the journal is damaged
    """
    found = findings(folder)
    plots = folder / "plots"
    if plots.exists():
        shutil.rmtree(plots)
    plots.mkdir()
    parts = [_drawn(section, plots) for section in sections(found, n_leaderboard)]
    template = jinja2.Environment(autoescape=True, trim_blocks=True).from_string(TEMPLATE.read_text(encoding="utf-8"))
    page = template.render(title=f"{folder.parent.name} {folder.name}", subtitle=_subtitle(found), sections=parts)
    path = folder / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


def _drawn(section: Section, plots: Path) -> dict[str, object]:
    """The section for the template; its plots are files, too."""
    drawn = []
    for name, caption, figure in section.plots:
        content = png(figure)
        (plots / f"{name}.png").write_bytes(content)
        drawn.append({"caption": caption, "content": base64.b64encode(content).decode()})
    parts = {name: getattr(section, name) for name in ("title", "anchor", "texts", "tables", "code")}
    return {**parts, "plots": drawn}


def _subtitle(found: Findings) -> str:
    best = found.summary["best"]
    if not best:
        return f"{found.summary['trials']['planned']:,} trials, no champion"
    return f"{found.summary['trials']['planned']:,} trials; the champion on the test rows: {in_words(best['test'])}"
