"""The last lines of a run: champion, scores, folder, and how to open MLflow."""

import shlex
from pathlib import Path
from typing import Any

from rich.console import Console

from pipeline.components.scores import in_words, label, number
from pipeline.console.baselines import baseline_lines
from pipeline.console.columns import columns_line
from pipeline.engine.conclusions import corrected_in_words
from pipeline.runs.names import run_folders
from pipeline.runs.summary import NO_TEST_ROWS, model_scores
from pipeline.tracking.view import view_address


def print_champion(console: Console, summary: dict[str, Any], folder: Path) -> None:
    """Print the champion, its scores and the run's folder."""
    _print(console, champion_lines(summary, folder))


def champion_lines(summary: dict[str, Any], folder: Path) -> dict[str, str]:
    """The texts of these lines by name."""
    best = summary["best"]
    validation = {name: value["mean"] for name, value in best["validation"].items()}
    parameters = ", ".join(f"{name}={value}" for name, value in best["parameters"].items())
    n = best["networks"]
    mean = f" (mean of {n} networks)" if n > 1 else ""
    names = summary["headline"]
    lines = {"verdict": summary["verdict"]} if summary["verdict"] else {}
    lines |= {"champion": f"trial {best['trial']}: {parameters}", "validation": in_words(validation, names) + mean}
    if corrected := corrected_in_words(best, names):
        lines["corrected"] = corrected
    if published := summary["published"]:
        lines["published"] = published["reason"].removeprefix("Published is ")
    lines |= _test_lines(summary) if best["test"] else {"test": NO_TEST_ROWS}
    lines |= baseline_lines(summary)
    if line := columns_line(summary):
        lines["columns"] = line
    lines |= _adjustment_lines(summary)
    for position, warning in enumerate(summary["data_warnings"], start=1):
        lines[f"warning {position}"] = warning.partition("; ")[0]
    lines["folder"] = str(folder)
    return lines


def _test_lines(summary: dict[str, Any]) -> dict[str, str]:
    """What the published model scores on the test rows, and what could have been published instead."""
    best, names, model = summary["best"], summary["headline"], model_scores(summary)
    n, published, lines = best["networks"], summary["published"], {}
    one, refit = f" (the first of {n} networks)" if n > 1 else "", (published or {}).get("refit")
    who = f" ({model.label}, trained anew on all rows)" if refit else f" ({model.label})"
    lines["test"] = in_words(model.test, names) + (one if model.label == "champion" and not refit else who)
    if refit:
        lines["unrefitted"] = f"test {in_words(refit['test_before'], names)} ({model.label}, without the refit)"
    if model.label != "champion":
        lines["alone"] = f"test {in_words(best['test'], names)}{one or ' (the champion)'}"
    if n > 1:
        means = {name: value["mean"] for name, value in best["test_networks"].items()}
        lines["networks"] = f"test {in_words(means, names)} (mean over the {n} networks, each alone)"
    for kind in ("bag", "ensemble"):
        if (other := summary[kind]) and not model.label.startswith(kind):
            who = f"{len(other['networks'])} network{'s' if len(other['networks']) > 1 else ''}"
            lines[kind] = f"test {in_words(other['test'], names)} ({who})"
    return lines


def _adjustment_lines(summary: dict[str, Any]) -> dict[str, str]:
    """What was fitted to validation rows after the training: calibration, threshold and intervals."""
    calibration, threshold, intervals = summary["calibration"], summary["threshold"], summary["intervals"]
    lines = {}
    if calibration and calibration["applied"]:
        name = "temperature" if calibration["method"] == "temperature" else "Platt"
        before, after = (number("log_loss", calibration[f"log_loss_{when}"]) for when in ("before", "after"))
        lines["calibration"] = f"{name} scaling: log loss {after} instead of {before} on validation rows"
    if threshold and threshold["value"] != 0.5:
        metric = threshold["metric"]
        before, after = (number(metric, threshold[f"score_{when}"]) for when in ("before", "after"))
        gain = f"{label(metric)} {after} instead of {before} on validation rows"
        lines["threshold"] = (
            f"{threshold['value']:.3f}: {gain}; the test scores are at it, the validation scores at 0.5"
        )
    if intervals and intervals["half_width"] is None:
        lines["intervals"] = f"none: {intervals['notes'][0]}"
    elif intervals:
        widths = intervals["half_width"]
        by_target = widths.items() if isinstance(widths, dict) else [("", widths)]
        texts = [f"{target} \u00b1 {width:.4g}".strip() for target, width in by_target]
        about = "" if intervals["exact"] else "about "
        is_typical = intervals["relative_to_deviation"] or intervals.get("transformed")
        typical = " in the median" if is_typical else ""
        lines["intervals"] = f"{about}{100 * intervals['coverage']:.4g} % of new values: {', '.join(texts)}{typical}"
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
    for place, sentence in enumerate(summary["advice"] or ()):
        _print(console, {"" if place else "next": sentence})


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
        console.print(f"{name:<10} {text}", soft_wrap=True)
