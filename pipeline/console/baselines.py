"""What is said of the baselines: their scores, and whether one of them is better than the model."""

from typing import Any

from pipeline.components.scores import LOSS, greater_is_better, label, number


def baseline_lines(summary: dict[str, Any]) -> dict[str, str]:
    """The lines about the baselines by their headings; none without baselines.

    Parameters
    ----------
    summary : dict
        Of a finished run, as in summary.json.

    Returns
    -------
    dict
        "baseline", if one has a better test score than the model, and "baselines".
    """
    baselines = [baseline for baseline in (summary["baselines"] or {}).values() if baseline["test"]]
    name = _compared(summary, baselines[0]["test"]) if baselines else ""
    if not name:
        return {}
    sign = -1 if greater_is_better(name) else 1
    scores = sorted((sign * baseline["test"][name], baseline["label"]) for baseline in baselines)
    shown = ", ".join(f"{other} {number(name, sign * score)}" for score, other in scores)
    lines = {"baselines": f"test {label(name)}: {shown}"}
    (score, best), own = scores[0], summary["best"]["test"][name]
    if score < sign * own:
        against = f"{label(name)} {number(name, sign * score)} against {number(name, own)}"
        lines["baseline"] = f"{best} is better on the test rows: {against}"
    return lines


def _compared(summary: dict[str, Any], of_baseline: dict[str, float]) -> str:
    """The metric by which the model and the baselines are compared: that of the ranking, if both have it."""
    ranking = (summary["metric"] or {}).get("name", LOSS)
    names = ["log_loss" if ranking == LOSS else ranking, ranking, *(summary["headline"] or ())]
    return next((name for name in names if name in summary["best"]["test"] and name in of_baseline), "")
