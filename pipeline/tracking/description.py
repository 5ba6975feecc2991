"""The parent run's description in MLflow: what ran and what won, in Markdown."""

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.components.scores import in_words, label
from pipeline.runs.summary import NO_TEST_ROWS, model_scores

BEST = 10  # trials in the table
MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#|~])")


def description(summary: Mapping[str, Any], leaderboard: Path, model: str = "") -> str:
    """What a run came to.

    Parameters
    ----------
    summary : mapping
        The contents of its summary.json.
    leaderboard : Path
        Its leaderboard.csv, which may not be there.
    model : str, default ""
        The address of its model in the registry, if it has one.
    """
    trials, best = summary["trials"], summary["best"]
    counts = ", ".join(f"{n:,} {name}" for name, n in trials.items() if n or name != "failed")
    verdict = summary.get("verdict")
    lines = [_escaped(verdict), ""] if verdict else []
    lines += [f"**{summary['run_id']}** {summary['status']}. Trials: {counts}."]
    if best:
        lines += [
            f"### Champion: trial {best['trial']}",
            _parameters(best),
            *(f"- {line}" for line in _score_lines(summary)),
        ]
    if model:
        lines.append(f"- model: {_code(model)}")
    if summary.get("advice"):
        lines += ["### What next", *(f"- {_escaped(sentence)}" for sentence in summary["advice"])]
    if leaderboard.exists():
        lines += ["### The best trials", *_table(leaderboard, ["loss", *(summary.get("headline") or ())])]
    seconds = {name.removesuffix("_s"): value for name, value in summary["timings"].items() if value is not None}
    if seconds:
        lines += ["### Seconds", ", ".join(f"{name} {value:.1f}" for name, value in seconds.items())]
    if summary["digest"]:
        lines.append(f"Digest {_code(summary['digest'])}: another run with this digest has bit-identical results.")
    return "\n".join(lines)


def version_description(summary: Mapping[str, Any], card: Mapping[str, Any], model: str) -> str:
    """What a registered model is: its data, task, scores, baselines and run, and how to load it.

    Parameters
    ----------
    summary : mapping
        The contents of the run's summary.json; `best` is there.
    card : mapping
        The data card.
    model : str
        The address of this version.
    """
    best, metric = summary["best"], summary.get("metric")
    ranked = f", by {label(metric['name'])}" if metric else ""
    lines = [
        f"- data: {_code(card['name'])}, {card['n_rows']:,} rows, {len(card['columns'])} columns, SHA-256 "
        f"{_code(card['digest'][:16])}",
        f"- task: {card['task']} of {', '.join(map(_code, card['targets']))}",
        f"- what: the {model_scores(summary).label} of a sweep of {summary['trials']['planned']:,} trials{ranked}",
        *(f"- {line}" for line in _score_lines(summary)),
        f"- champion: {_parameters(best)}",
        f"- run: {_code(summary['run_id'])}",
    ]
    load = {"Python": f'mlflow.pyfunc.load_model("{model}")', "a server": f"mlflow models serve -m {model}"}
    load["the command line"] = f"nnsweep predict model={model} new_rows.csv"
    lines += [f"- for {where}: {_code(command)}" for where, command in load.items()]
    verdict = summary.get("verdict")
    return "\n".join([*([_escaped(verdict), ""] if verdict else []), *lines])


def _score_lines(summary: Mapping[str, Any]) -> list[str]:
    """What is published and why, its scores, and those of what else could have been and of the baselines."""
    best, names, model = summary["best"], summary.get("headline"), model_scores(summary)
    validation = {name: value["mean"] for name, value in best["validation"].items()}
    scores = {"validation": in_words(validation, names)}
    scores["test"] = in_words(model.test, names, model.intervals) if model.test else NO_TEST_ROWS
    others = {"champion": best} | {
        f"{kind} of {len(summary[kind]['networks'])} network{'s' if len(summary[kind]['networks']) > 1 else ''}": (
            summary[kind]
        )
        for kind in ("bag", "ensemble")
        if summary.get(kind)
    }
    for label_of_other, other in others.items():
        if label_of_other != model.label and other["test"]:
            scores[f"{label_of_other}, test"] = in_words(other["test"], names, other.get("test_intervals"))
    for baseline in (summary.get("baselines") or {}).values():
        if baseline["test"]:
            scores[f"baseline {baseline['label']}, test"] = in_words(baseline["test"], names)
    published = summary.get("published")
    reason = [_escaped(published["reason"])] if published else []
    return [*reason, *(_escaped(f"{name}: {text}") for name, text in scores.items())]


def _parameters(best: Mapping[str, Any]) -> str:
    return ", ".join(f"{_code(name)} {_code(value)}" for name, value in best["parameters"].items())


def _table(leaderboard: Path, metrics: Sequence[str]) -> list[str]:
    """The best trials with these metrics; with all of them MLflow's page would be wider than a screen."""
    with leaderboard.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["rank"]][:BEST]
    if not rows:
        return ["No trial has a result."]
    left_out = {"trial", "status", *(name for name in rows[0] if "/" in name or " " in name)}
    left_out -= {f"validation/{metric}" for metric in metrics}
    shown = [name for name in rows[0] if any(row[name] for row in rows) and name not in left_out]
    lines = ["| " + " | ".join(_cell(name) for name in shown) + " |", "|" + " --- |" * len(shown)]
    return lines + ["| " + " | ".join(_cell(_short(row[name])) for name in shown) + " |" for row in rows]


def _short(value: str) -> str:
    try:
        return f"{float(value):.4g}"
    except ValueError:
        return value


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _escaped(text: str) -> str:
    """A sentence as it is, whatever Markdown makes of its characters."""
    return MARKDOWN.sub(r"\\\1", text.replace("\n", " "))


def _code(value: object) -> str:
    """As code, so that no character of a name or value is Markdown."""
    return f"`{str(value).replace('`', chr(39))}`"
