"""The last lines of a run: champion, scores, folder, and how to open MLflow."""

from pathlib import Path
from typing import Any

from rich.console import Console

from pipeline.tracking.view import view_address


def print_champion(console: Console, summary: dict[str, Any], folder: Path) -> None:
    """Print the champion, its scores and the run's folder."""
    _print(console, champion_lines(summary, folder))


def champion_lines(summary: dict[str, Any], folder: Path) -> dict[str, str]:
    """The texts of these lines by name."""
    best = summary["best"]
    validation = {name: value["mean"] for name, value in best["validation"].items()}
    parameters = ", ".join(f"{name}={value}" for name, value in best["parameters"].items())
    n, ensemble = best["networks"], summary["ensemble"]
    mean = f" (mean of {n} networks)" if n > 1 else ""
    lines = {"champion": f"trial {best['trial']}: {parameters}", "validation": in_words(validation) + mean}
    lines["test"] = in_words(best["test"]) + (f" (the first of {n} networks)" if n > 1 else "")
    if n > 1:
        means = {name: value["mean"] for name, value in best["test_networks"].items()}
        lines["tests"] = in_words(means) + mean
    if ensemble:
        n_members = len(ensemble["networks"])
        who = f"{n_members} networks" if n_members > 1 else "1 network"
        lines["ensemble"] = f"test {in_words(ensemble['test'])} ({who})"
    for number, warning in enumerate(summary["data_warnings"], start=1):
        lines[f"warning {number}"] = warning.partition("; ")[0]
    lines["folder"] = str(folder)
    return lines


def print_tracked(console: Console, summary: dict[str, Any], view_command: str | None) -> None:
    """Print how long the run took, and how to open it in MLflow if it was tracked."""
    timings, model, tracked = summary["timings"], summary["model"], summary["mlflow"]
    lines = {"time": f"{timings['total_s']:.1f} s in total, {timings['sweep_s']:.1f} s for the sweep"}
    if model["alias"]:
        lines["model"] = f"models:/{model['name']}@{model['alias']} (version {model['version']})"
    elif model["version"]:
        lines["model"] = f"models:/{model['name']}/{model['version']}; {model['alias_note']}"
    if tracked:
        if view_command:
            lines["MLflow UI"] = view_command
        server = "http://127.0.0.1:5000" if view_command else tracked["tracking_uri"].rstrip("/")
        experiment, view = tracked["experiment_id"], tracked["view"]
        address = view_address(server, experiment, view) if view else f"{server}/#/experiments/{experiment}/runs"
        lines["then open" if view_command else "MLflow UI"] = address
    _print(console, lines)


def _print(console: Console, lines: dict[str, str]) -> None:
    for name, text in lines.items():
        console.print(f"{name:<11}{text}", soft_wrap=True)


def in_words(scores: dict[str, float]) -> str:
    """Each metric's name and value in one line of text."""
    return ", ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in scores.items())
