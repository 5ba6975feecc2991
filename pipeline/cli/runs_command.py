"""List, show and compare the runs of a folder.

Usage: nnsweep runs [list] [runs=runs]
       nnsweep runs show [run=last] [runs=runs]
       nnsweep runs compare <id> <id> [...] [runs=runs]

list      each run with its status, its trials and its scores
show      what one run came to, and its best trials
compare   the settings in which runs differ, and their scores; whether their results are equal to the last bit

Examples:
  nnsweep runs
  nnsweep runs show run=20261123-222301-54c4
  nnsweep runs compare 20261123-222301-54c4 20261124-071737-cb02

"""

import csv
import json
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.table import Table

from pipeline.cli.arguments import find_run, no_words, read, run_folders
from pipeline.components.errors import SettingError
from pipeline.console.closing import in_words
from pipeline.console.terminal import plain_console
from pipeline.runs.journal import last_session, worker
from pipeline.runs.summary import empty_summary
from pipeline.tracking.trial_run import flat

BEST = 10  # trials that are shown


def run(arguments: list[str], began: float) -> None:
    """See the module."""
    words, given = read(arguments, {"runs": "runs", "run": "last"})
    what, runs = words[0] if words else "list", Path(given["runs"])
    if what == "list":
        no_words(words[1:])
        _list(runs)
    elif what == "show":
        no_words(words[1:])
        _show(find_run(runs, given["run"]))
    elif what == "compare":
        if len(words) < 3:
            raise SettingError("runs compare needs the ids of two runs or more; nnsweep runs list shows them")
        _compare([find_run(runs, one) for one in words[1:]])
    else:
        raise SettingError(f"runs {what} is not known; there are runs list, runs show and runs compare")


def _list(runs: Path) -> None:
    folders = run_folders(runs)
    if not folders:
        raise SettingError(f"runs={runs}: there is no run in this folder; name another with runs=...")
    table = _table("run", "name", "status", "trials", "validation", "test", "seconds")
    for folder in folders:
        found = _summary(folder)
        trials, best = found["trials"], found["best"]
        validation = in_words({name: value["mean"] for name, value in best["validation"].items()}) if best else ""
        table.add_row(
            folder.name,
            folder.parent.name,
            _status(folder, found),
            f"{trials['planned']:,}",
            validation,
            in_words(best["test"]) if best else "",
            _number(found["timings"]["total_s"], ".1f"),
        )
    plain_console().print(table)


def _show(folder: Path) -> None:
    console, found = plain_console(), _summary(folder)
    trials = ", ".join(f"{count:,} {name}" for name, count in found["trials"].items())
    lines = {"run": f"{folder.name} of {folder.parent.name}, {_status(folder, found)}", "trials": trials}
    if best := found["best"]:
        parameters = ", ".join(f"{name}={value}" for name, value in best["parameters"].items())
        lines["champion"] = f"trial {best['trial']}: {parameters}"
        lines["validation"] = in_words({name: value["mean"] for name, value in best["validation"].items()})
        lines["test"] = in_words(best["test"])
    timings = {name.removesuffix("_s"): value for name, value in found["timings"].items() if value is not None}
    lines["seconds"] = ", ".join(f"{name} {value:.1f}" for name, value in timings.items())
    lines["folder"], lines["digest"] = str(folder.absolute()), found["digest"] or "none"
    for name, text in lines.items():
        console.print(f"{name:<11}{text}", soft_wrap=True)
    leaderboard = folder / "leaderboard.csv"
    if leaderboard.exists():
        with leaderboard.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row["rank"]][:BEST]
        names = [name for name in rows[0] if any(row[name] for row in rows)] if rows else []
        table = _table(*names)
        for row in rows:
            table.add_row(*(_short(row[name]) for name in names))
        console.print(table)


def _compare(folders: list[Path]) -> None:
    console, summaries = plain_console(), [_summary(folder) for folder in folders]
    settings = [dict(flat(last_session(folder)["settings"])) for folder in folders]
    table = _table("", *(folder.name for folder in folders))
    for name in dict.fromkeys(name for one in settings for name in one):
        values = [one.get(name, "not there") for one in settings]
        if len(set(values)) > 1:
            table.add_row(name, *values)
    for part in ("validation", "test"):
        bests = [found["best"] and found["best"][part] for found in summaries]
        for name in dict.fromkeys(name for best in bests if best for name in best):
            table.add_row(f"{part} {name}", *(_score(best, name) for best in bests))
    console.print(table)
    digests = {found["digest"] for found in summaries}
    equal = len(digests) == 1 and None not in digests
    console.print("the results are equal to the last bit" if equal else "the results are not the same")


def _summary(folder: Path) -> dict[str, Any]:
    path = folder / "summary.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else empty_summary(folder.name)


def _status(folder: Path, found: dict[str, Any]) -> str:
    if worker(folder):
        return "at work"
    return "cut off" if found["status"] == "running" else str(found["status"])


def _table(*headings: str) -> Table:
    table = Table(box=SIMPLE)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _score(scores: dict[str, Any] | None, name: str) -> str:
    value = scores.get(name) if scores else None
    return _number(value["mean"] if isinstance(value, dict) else value, ".4f")


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _short(value: str) -> str:
    try:
        return f"{float(value):.4g}" if "." in value else value
    except ValueError:
        return value
