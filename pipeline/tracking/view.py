"""The view of one run's trials in MLflow's UI: filter, columns, order and charts.

The view is a tag of the experiment, in the undocumented format that the UI's "share" button writes (MLflow 3.17). A UI
that does not understand it says so and shows its default view; nothing else depends on it.
"""

import json
import zlib
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode

from pipeline.tracking.trial_content import LOGARITHMS

ALL, BEST = "All runs of the table", "The first 20 runs of the table"
FOLDED = ("train", "validation", "network", "seconds", "throughput", "Model metrics")  # charts that the UI adds
TAGS = ("status", "stop_reason", "rung")
PREFIX = "mlflow.sharedViewState."


def saved_view(
    pipeline_run: str,
    metric: str,
    trials: Iterable[Mapping[str, Any]],
    metrics: Sequence[str],
    greater_is_better: bool = False,
) -> tuple[str, str]:
    """Return the tag of the experiment that holds the view.

    Parameters
    ----------
    pipeline_run : str
        The run's id; the view shows its trials only.
    metric : str
        The final metric to order by, best first, such as validation_loss.
    trials : iterable of dict
        The parameters of each trial by name. Columns are those that differ, axes of charts those that all trials have.
    metrics : sequence of str
        Further final metrics that get a column.
    greater_is_better : bool, default False
        Of the metric.

    Returns
    -------
    name, value : str
        Views of equal content have equal names.
    """
    state = json.dumps(_state(pipeline_run, metric, list(trials), metrics, greater_is_better)).encode()
    return PREFIX + sha256(state).hexdigest()[:16], "deflate;" + b64encode(zlib.compress(state, 9)).decode()


def view_address(server: str, experiment_id: str, tag: str | None, pipeline_run: str) -> str:
    """Return the URL of the view that this tag holds; without one, of MLflow's own table of the run's trials."""
    which = {"viewStateShareKey": tag.removeprefix(PREFIX)} if tag else {"searchFilter": filter_of(pipeline_run)}
    query = urlencode(which | {"workflowType": "machine_learning"})
    return f"{server.rstrip('/')}/#/experiments/{experiment_id}/runs?{query}"


def filter_of(pipeline_run: str) -> str:
    """The search in MLflow that finds the trials of a run, and neither the run itself nor other runs."""
    return f"tags.pipeline_run = '{pipeline_run}' and tags.kind = 'trial'"


def _state(
    pipeline_run: str, metric: str, trials: list[Mapping[str, Any]], metrics: Sequence[str], greater_is_better: bool
) -> dict[str, Any]:
    names = dict.fromkeys(name for trial in trials for name in trial)
    swept = [name for name in names if name in ("optimizer", "regularizer") or _differs(name, trials)]
    columns = [
        *(f"metrics.`{name}`" for name in (metric, *metrics)),
        *(f"params.`{name}`" for name in swept),
        *(f"tags.`{name}`" for name in TAGS),
        "attributes.`Duration`",
    ]
    sections, charts = _charts(metric, trials, swept)
    return {
        "searchFilter": filter_of(pipeline_run),
        "orderByKey": f"metrics.`{metric}`",
        "orderByAsc": not greater_is_better,
        "selectedColumns": columns,
        "columnOrder": columns,
        "columnWidths": {column: 40 + 7 * len(column.split("`")[1]) for column in columns},
        "runsHiddenMode": "FIRST_20_RUNS",  # in all charts but those of all runs
        "compareRunSections": sections,
        "compareRunCharts": charts,
        "isAccordionReordered": True,  # else the UI sorts the sections by their names
    }


def _differs(name: str, trials: list[Mapping[str, Any]]) -> bool:
    return len({str(trial[name]) for trial in trials if name in trial}) > 1


def _charts(
    metric: str, trials: list[Mapping[str, Any]], swept: list[str]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The sections of the charts page, and the charts in them."""
    common = [name for name in swept if all(name in trial for trial in trials)]
    rest = [name for name in swept if name in LOGARITHMS and name not in common]
    scales = [LOGARITHMS[name] for name in swept if name in LOGARITHMS]
    curve = metric.replace("_", "/", 1)
    of_all = [_parallel(names, metric, trials) for names in (common, [*common, *rest])][: 2 if rest else 1]
    of_best = [
        _chart("LINE", metricKey=curve, selectedMetricKeys=[curve]),
        _chart("LINE", metricKey="train/loss", selectedMetricKeys=["train/loss"], scaleType="log"),
        *(_chart("SCATTER", xaxis=_axis(scale), yaxis=_axis(metric)) for scale in scales),
    ]
    sections = [_section(ALL, columns=len(of_all), cardHeight=400), _section(BEST, columns=2)]
    charts = [chart | {"metricSectionId": ALL} for chart in of_all]
    charts += [chart | {"metricSectionId": BEST} for chart in of_best]
    folded = [_section(name, display=False) for name in FOLDED]
    return [*sections, *folded], [chart | {"uuid": str(number)} for number, chart in enumerate(charts)]


def _section(name: str, **rest: Any) -> dict[str, Any]:
    plain = {"uuid": name, "name": name, "display": True, "isReordered": True, "deleted": False, "isGenerated": False}
    return plain | rest


def _parallel(names: list[str], metric: str, trials: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Parallel coordinates. The UI leaves out the runs that lack an axis, and cuts off long names at the first."""

    def width(name: str) -> int:
        return max(len(str(trial.get(name, ""))) for trial in trials)

    parameters = sorted((name for name in names if name not in LOGARITHMS), key=width)
    logarithms = [LOGARITHMS[name] for name in names if name in LOGARITHMS]
    return _chart("PARALLEL", selectedParams=parameters, selectedMetrics=[*logarithms, metric], showAllRuns=True)


def _chart(kind: str, **rest: Any) -> dict[str, Any]:
    return {"type": kind, "deleted": False, "isGenerated": False, **rest}


def _axis(metric: str) -> dict[str, str]:
    return {"key": metric, "type": "METRIC"}
