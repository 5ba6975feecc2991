"""What is said of the baselines: their scores, and whether one of them is better than the model."""

from typing import Any

from pipeline.components.scores import greater_is_better, label, number


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
    baselines = [baseline for baseline in (summary["baselines"] or {}).values() if baseline["comparison"]]
    scored = [(baseline["label"], baseline["comparison"]) for baseline in baselines]
    scored = [(name, scores) for name, scores in scored if scores["baseline"] is not None]
    if not scored:
        return {}
    metric, ranking = scored[0][1]["metric"], summary["metric"]
    is_ranking = metric == ranking["name"]  # it may be a metric of the user's own
    shown = ranking["label"] if is_ranking else label(metric)
    sign = -1 if (ranking["greater_is_better"] if is_ranking else greater_is_better(metric)) else 1
    scored.sort(key=lambda of_baseline: sign * of_baseline[1]["baseline"])
    lines = {
        "baselines": f"test {shown}: "
        + ", ".join(f"{name} {number(metric, scores['baseline'])}" for name, scores in scored)
    }
    best, scores = scored[0]
    if scores["model"] is not None and sign * scores["baseline"] < sign * scores["model"]:
        against = f"{shown} {number(metric, scores['baseline'])} against {number(metric, scores['model'])}"
        lines["baseline"] = f"{best} is better on the test rows: {against}{_doubt(scores)}"
    return lines


def _doubt(scores: dict[str, Any]) -> str:
    if scores["low"] is None:
        return f"; on {scores['n_rows']} rows that may be chance"
    return "; the difference may be chance" if scores["low"] <= 0 <= scores["high"] else ""
