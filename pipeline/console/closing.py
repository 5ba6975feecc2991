"""The last lines of a run: champion, scores, folder, and how to open MLflow."""

import shlex
from pathlib import Path
from typing import Any

from rich.console import Console

from pipeline.components.scores import in_words
from pipeline.runs.names import run_folders
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
    names = summary["headline"]
    lines = {"champion": f"trial {best['trial']}: {parameters}", "validation": in_words(validation, names) + mean}
    lines["test"] = in_words(best["test"], names) + (f" (the first of {n} networks)" if n > 1 else "")
    if n > 1:
        means = {name: value["mean"] for name, value in best["test_networks"].items()}
        lines["tests"] = in_words(means, names) + mean
    if ensemble:
        n_members = len(ensemble["networks"])
        who = f"{n_members} networks" if n_members > 1 else "1 network"
        lines["ensemble"] = f"test {in_words(ensemble['test'], names)} ({who})"
    for number, warning in enumerate(summary["data_warnings"], start=1):
        lines[f"warning {number}"] = warning.partition("; ")[0]
    lines["folder"] = str(folder)
    return lines


def print_tracked(console: Console, summary: dict[str, Any], view_command: str | None) -> None:
    """Print how long the run took, and how to open it in MLflow if it was tracked."""
    timings, model, tracked = summary["timings"], summary["model"], summary["mlflow"]
    lines = {"time": f"{timings['total_s']:.1f} s in total, {timings['sweep_s']:.1f} s for the sweep"}
    lines |= model_lines(model, Path(model["path"]).parent)
    if tracked:
        if view_command:
            lines["MLflow UI"] = view_command
        server = "http://127.0.0.1:5000" if view_command else tracked["tracking_uri"].rstrip("/")
        address = view_address(server, tracked["experiment_id"], tracked["view"], summary["run_id"])
        lines["then open" if view_command else "MLflow UI"] = address
    _print(console, lines)


def print_model(console: Console, model: dict[str, Any], folder: Path) -> None:
    """Print the address of a run's model."""
    _print(console, model_lines(model, folder))


def model_lines(model: dict[str, Any], folder: Path) -> dict[str, str]:
    """The address of a run's model, and whether the alias champion points to it, with the command that moves it.

    Parameters
    ----------
    model : dict
        The part `model` of the run's summary.
    folder : Path
        The run's folder.
    """
    if not model["version"]:
        return {"model": str(folder / "model")}
    if model["alias"]:
        return {"model": model["uri"], "alias": f"{model['alias']} points to it"}
    runs = folder.parents[1]
    run = "last" if folder == run_folders(runs)[-1] else folder.name
    where = "" if runs == Path.cwd() / "runs" else f" runs={shlex.quote(str(runs))}"
    return {"model": model["uri"], "alias": f"{model['alias_note']}; to move it: nnsweep promote run={run}{where}"}


def _print(console: Console, lines: dict[str, str]) -> None:
    for name, text in lines.items():
        console.print(f"{name:<11}{text}", soft_wrap=True)
