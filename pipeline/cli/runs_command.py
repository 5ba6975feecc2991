"""List, show and compare the runs of a folder.

Usage: nnsweep runs [list] [runs=runs]
       nnsweep runs show [run=last] [runs=runs]
       nnsweep runs compare <id> <id> [...] [runs=runs]

list      each run with its status, its trials and its scores
show      the results of one run, and its best trials
compare   the settings in which runs differ, and their scores; whether their results are equal to the last bit

A run is named by its id, or by last (the latest that has trained something), last~1 (the one before), and so on. It is
running, finished, interrupted (the same command resumes it) or failed.

Examples:
  nnsweep runs
  nnsweep runs show run=20261123-222301-54c4
  nnsweep runs compare 20261123-222301-54c4 20261124-071737-cb02
  nnsweep runs compare last~1 last

"""

import csv
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.table import Table

from pipeline.cli.arguments import find_run, no_words, read
from pipeline.components.errors import SettingError
from pipeline.components.scores import in_words
from pipeline.console.terminal import plain_console
from pipeline.runs.journal import last_session, process_at_work
from pipeline.runs.names import run_folders
from pipeline.runs.replay import salvaged
from pipeline.runs.resume import flat
from pipeline.runs.summary import NO_TEST_ROWS, empty_summary, model_scores

BEST = 10  # trials that are shown
ID_LENGTH = 20  # characters of a run's id, which can be copied as one word


def run(arguments: list[str], began: float) -> None:
    """See the module."""
    words, given = read(arguments, {"runs": "runs", "run": "last"})
    command, runs = words[0] if words else "list", Path(given["runs"])
    if command == "list":
        no_words(words[1:])
        _list(runs)
    elif command == "show":
        no_words(words[1:])
        _show(find_run(runs, given["run"]))
    elif command == "compare":
        if len(words) < 3:
            raise SettingError("runs compare needs the ids of two runs or more; nnsweep runs list shows them")
        _compare([find_run(runs, run_id) for run_id in words[1:]])
    else:
        raise SettingError(f"runs {command} is not known; there are runs list, runs show and runs compare")


def _list(runs: Path) -> None:
    folders = run_folders(runs)
    if not folders:
        raise SettingError(f"runs={runs}: there is no run in this folder; name another with runs=...")
    table = _table("run", "name", "status", "trials", "validation", "test", "seconds", whole=1)
    for folder in folders:
        summary = _summary(folder)
        best, names = summary["best"], summary.get("headline")
        test = model_scores(summary).test if best else {}
        table.add_row(
            folder.name,
            folder.parent.name,
            summary["status"],
            f"{summary['trials']['planned']:,}",
            in_words({name: value["mean"] for name, value in best["validation"].items()}, names) if best else "",
            NO_TEST_ROWS if best and not test else in_words(test, names),
            _number(summary["timings"]["total_s"], ".1f"),
        )
    plain_console().print(table, crop=False)


def _show(folder: Path) -> None:
    console, summary = plain_console(), _summary(folder)
    trials = ", ".join(f"{count:,} {name}" for name, count in summary["trials"].items())
    lines = {"run": f"{folder.name} of {folder.parent.name}, {summary['status']}", "trials": trials}
    if best := summary["best"]:
        parameters = ", ".join(f"{name}={value}" for name, value in best["parameters"].items())
        names = summary.get("headline")
        lines["champion"] = f"trial {best['trial']}: {parameters}"
        lines["validation"] = in_words({name: value["mean"] for name, value in best["validation"].items()}, names)
        model = model_scores(summary)
        test = in_words(model.test, names) + ("" if model.label == "champion" else f" ({model.label})")
        lines["test"] = test if model.test else NO_TEST_ROWS
    if uri := summary["model"].get("uri"):  # which older versions of nnsweep did not write
        lines["model"] = uri
    timings = {name.removesuffix("_s"): value for name, value in summary["timings"].items() if value is not None}
    lines["seconds"] = ", ".join(f"{name} {value:.1f}" for name, value in timings.items())
    lines["folder"], lines["digest"] = str(folder.absolute()), summary["digest"] or "none"
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
    table = _table("", *(folder.name for folder in folders), whole=len(folders) + 1)
    for name in dict.fromkeys(name for of_run in settings for name in of_run):
        values = [str(of_run.get(name, "absent")) for of_run in settings]
        if len(set(values)) > 1:
            table.add_row(name, *values)
    for part in ("validation", "test"):
        bests = [
            summary["best"] and (model_scores(summary).test if part == "test" else summary["best"][part])
            for summary in summaries
        ]
        for name in dict.fromkeys(name for best in bests if best for name in best):
            table.add_row(f"{part} {name}", *(_score(best, name) for best in bests))
    console.print(table, crop=False)
    digests = {summary["digest"] for summary in summaries}
    equal = len(digests) == 1 and None not in digests
    console.print("the results are equal to the last bit" if equal else "the results are not the same")


def _summary(folder: Path) -> dict[str, Any]:
    """A run's summary with its status now; before its session is over, the counts come from its journal."""
    path = folder / "summary.json"
    summary = json.loads(path.read_text(encoding="utf-8")) if path.exists() else empty_summary(folder.name)
    is_over = summary["status"] != "running"
    if process_at_work(folder):
        status, is_over = "running", False
    else:
        status = {"running": "interrupted", "killed": "interrupted"}.get(summary["status"], summary["status"])
    if not is_over:
        with suppress(SettingError):  # resuming the run says what is wrong with its journal
            trials = salvaged(folder).trials.values()
            summary["trials"] = {
                "planned": len(trials),
                "finished": sum(trial.outcome == "finished" for trial in trials),
                "stopped": sum(trial.outcome in ("stopped", "pruned") for trial in trials),
                "diverged": sum(trial.outcome == "diverged" for trial in trials),
                "failed": sum(trial.outcome == "failed" for trial in trials),
            }
    return summary | {"status": status}


def _table(*headings: str, whole: int = 0) -> Table:
    """A table; its first `whole` columns, which contain ids, are as wide as these in a narrow terminal, too."""
    table = Table(box=SIMPLE)
    for number, heading in enumerate(headings):
        table.add_column(heading, overflow="fold", min_width=ID_LENGTH if number < whole and heading else None)
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
