"""The parent run's description in MLflow: what ran and what won, in Markdown."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

BEST = 10  # trials in the table


def description(summary: Mapping[str, Any], leaderboard: Path) -> str:
    """What a run came to, from the contents of its summary.json and its leaderboard.csv, which may not be there."""
    trials, best, ensemble = summary["trials"], summary["best"], summary["ensemble"]
    counts = ", ".join(f"{n:,} {name}" for name, n in trials.items() if n or name != "failed")
    lines = [f"**{summary['run_id']}** {summary['status']}. Trials: {counts}."]
    if best:
        parameters = ", ".join(f"{_code(name)} {_code(value)}" for name, value in best["parameters"].items())
        validation = _scores({name: value["mean"] for name, value in best["validation"].items()})
        lines += [
            f"### Champion: trial {best['trial']}",
            parameters,
            f"- validation: {validation}",
            f"- test: {_scores(best['test'])}",
        ]
    if ensemble:
        lines.append(f"- ensemble of {len(ensemble['networks'])} networks, test: {_scores(ensemble['test'])}")
    if leaderboard.exists():
        lines += ["### The best trials", *_table(leaderboard)]
    seconds = {name.removesuffix("_s"): value for name, value in summary["timings"].items() if value is not None}
    if seconds:
        lines += ["### Seconds", ", ".join(f"{name} {value:.1f}" for name, value in seconds.items())]
    if summary["digest"]:
        lines.append(f"Digest {_code(summary['digest'])}: another run with this digest has bit-identical results.")
    return "\n".join(lines)


def _table(leaderboard: Path) -> list[str]:
    with leaderboard.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["rank"]][:BEST]
    if not rows:
        return ["No trial has a result."]
    shown = [name for name in rows[0] if any(row[name] for row in rows) and name not in ("trial", "status")]
    lines = ["| " + " | ".join(_cell(name) for name in shown) + " |", "|" + " --- |" * len(shown)]
    return lines + ["| " + " | ".join(_cell(_short(row[name])) for name in shown) + " |" for row in rows]


def _short(value: str) -> str:
    try:
        return f"{float(value):.4g}"
    except ValueError:
        return value


def _scores(scores: Mapping[str, float]) -> str:
    return ", ".join(f"{_code(name)} {value:.4f}" for name, value in scores.items())


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _code(value: object) -> str:
    """As code, so that no character of a name or value is Markdown."""
    return f"`{str(value).replace('`', chr(39))}`"
