"""What is said of the baselines: their scores, beside those of the model."""

from typing import Any

from pipeline.components.scores import number
from pipeline.engine.conclusions import compared_baselines


def baseline_lines(summary: dict[str, Any]) -> dict[str, str]:
    """The line "baselines" by its heading, the best of them first; none without baselines.

    Parameters
    ----------
    summary : dict
        Of a finished run, as in summary.json.
    """
    compared = compared_baselines(summary)
    if not compared:
        return {}
    scores = [f"{baseline.label} {number(baseline.metric, baseline.score)}" for baseline in compared]
    return {"baselines": f"test {compared[0].metric_label}: {', '.join(scores)}"}
