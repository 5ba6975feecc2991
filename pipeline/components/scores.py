"""The metrics that fit a task, in the order in which people read them, and the scores of predictions by them."""

import inspect
import math
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from nncore import metrics
from nncore.components import Component, component_kind
from nncore.kernels.backend import Array
from nncore.metrics import Metric
from pipeline.components.types import Task

LOSS = "loss"  # the score of every task that is no metric: the mean of the loss that the networks minimise
SHORT = {  # other names of metrics in settings
    "rmse": "root_mean_squared_error",
    "mae": "mean_absolute_error",
    "mape": "mean_absolute_percentage_error",
    "mcc": "matthews_correlation",
    "brier": "brier_score",
    "ece": "calibration_error",
}
TARGETS: dict[Task, str] = {"classification": "classes", "regression": "values", "multilabel": "labels"}
HEADLINE: dict[Task, tuple[str, str, str]] = {
    "classification": ("log_loss", "accuracy", "roc_auc"),
    "regression": ("root_mean_squared_error", "mean_absolute_error", "r2"),
    "multilabel": (LOSS, "label_accuracy", "roc_auc"),
}
MOST_TARGETS = 4  # of which each is shown at first
OF_EACH_TARGET: dict[Task, tuple[str, ...]] = {  # scores that are given for each of several targets, too
    "classification": (),
    "regression": HEADLINE["regression"],
    "multilabel": ("accuracy", "f1", "roc_auc", "average_precision"),
}


class RankingMetric(NamedTuple):
    """The metric by which trials are ranked.

    Parameters
    ----------
    name : str
        Of the function that makes it, or "loss".
    label : str
        For people.
    greater_is_better : bool
    unit : {"", "target", "share"}
        See `nncore.metrics.Metric`.
    """

    name: str
    label: str
    greater_is_better: bool
    unit: str

    @property
    def curve(self) -> str:
        """The name of its curve, and of its column in the leaderboard."""
        return f"validation/{self.name}"

    def cost(self, value: float) -> float:
        """A value of the metric as a number of which smaller is better; infinite if it is not a number."""
        return math.inf if math.isnan(value) else -value if self.greater_is_better else value


def ranking_metric(name: str, metric: Metric | None = None) -> RankingMetric:
    """The metric of this name, of nncore unless it is given, or the loss."""
    if metric is None:
        metric = _built(name) if name in metric_names() else None
    if metric is None:
        return RankingMetric(name, label(name), False, "")
    return RankingMetric(name, metric.label or label(name), metric.greater_is_better, metric.unit)


@cache
def metric_names() -> tuple[str, ...]:
    """The names of all metrics of nncore that need no argument, in its order."""
    found = [(name, function) for name, function in vars(metrics).items() if component_kind(function) == "metric"]
    parameters = {name: inspect.signature(function).parameters.values() for name, function in found}
    return tuple(name for name, given in parameters.items() if all(p.default is not p.empty for p in given))


@cache
def metrics_of(task: Task, threshold: float = 0.5) -> dict[str, Metric]:
    """The metrics that fit a task, by name; the first ones are those of `HEADLINE`.

    Parameters
    ----------
    task : Task
    threshold : float, default 0.5
        A class or a label is predicted where its probability is greater.
    """
    names = dict.fromkeys(name for name in (*HEADLINE[task], *metric_names()) if name != LOSS)
    built = {name: _built(name, threshold) for name in names}
    return {name: metric for name, metric in built.items() if TARGETS[task] in metric.targets}


@cache
def _built(name: str, threshold: float = 0.5) -> Metric:
    function = getattr(metrics, name)
    takes_threshold = "threshold" in inspect.signature(function).parameters
    metric: Metric = function(threshold) if takes_threshold else function()
    return metric


def headline(task: Task, targets: Sequence[str], metric: str) -> list[str]:
    """The names of the scores that people look at first.

    Parameters
    ----------
    task : Task
    targets : sequence of str
        Names of the targets; of a few values, each has an error in its own unit.
    metric : str
        What the trials are ranked by; it comes first unless it is among the others.
    """
    names = [*HEADLINE[task]]
    if task == "regression" and 1 < len(targets) <= MOST_TARGETS:
        names += [f"{names[0]}_{target}" for target in targets]
    is_shown = metric in names or (metric == LOSS and task != "multilabel")  # which has a name of its own there
    return names if is_shown else [metric, *names]


def label(name: str) -> str:
    """A score's name for people: "ROC AUC" for roc_auc, "ROC AUC of sport" for roc_auc_sport."""
    metric, target = _parts(name)
    if not metric:
        return name.replace("_", " ")
    return _built(metric).label + (f" of {target}" if target else "")


def greater_is_better(name: str) -> bool:
    """Whether greater values of a score are better; for a loss and the metrics of nncore, also of one target."""
    metric, _ = _parts(name)
    return bool(metric) and _built(metric).greater_is_better


def unit(name: str) -> str:
    """The unit of a score: "target" for that of the target, "share", or ""."""
    metric, _ = _parts(name)
    return _built(metric).unit if metric else ""


def _parts(name: str) -> tuple[str, str]:
    """The metric of a score, "" if it is none of nncore's, and the target of which it is the score, or ""."""
    if name in metric_names():
        return name, ""
    by_length = sorted(metric_names(), key=len, reverse=True)
    metric = next((metric for metric in by_length if name.startswith(f"{metric}_")), "")
    return metric, name[len(metric) + 1 :] if metric else ""


def scores_by_name(
    y: Array, t: Array, weights: Array | None, task: Task, targets: tuple[str, ...] = (), threshold: float = 0.5
) -> dict[str, Array]:
    """All scores of K predictions by the metrics of the task.

    Parameters
    ----------
    y : array (K, N, O)
        Probabilities, or values in the targets' own units; see `nncore.metrics`.
    t : array (K or 1, N, O)
    weights : array (K or 1, N) or None
    task : Task
    targets : tuple of str, default ()
        Names of the targets; if there are several, some scores of each are added, under "<metric>_<target>".
    threshold : float, default 0.5

    Returns
    -------
    dict of str to array (K,)
        NaN where a score is not defined.
    """
    with np.errstate(all="ignore"):
        scores = {name: metric.value(y, t, weights) for name, metric in metrics_of(task, threshold).items()}
        for number, target in enumerate(targets if len(targets) > 1 else ()):
            part = slice(number, number + 1)
            for name in OF_EACH_TARGET[task]:
                scores[f"{name}_{target}"] = _built(name).value(y[:, :, part], t[:, :, part], weights)
    return scores


def comparable(selected: Component | None, task: Task, threshold: float = 0.5) -> tuple[str, Metric]:
    """The metric of the ranking; in the place of a loss, which has no meaning for other models, the nearest metric.

    Parameters
    ----------
    selected : Component or None
        The metric by which trials are ranked; None for the loss.
    task : Task
    threshold : float, default 0.5
        A class or a label is predicted where its probability is greater.

    Returns
    -------
    name : str
        Of the score; "loss" for the log loss summed over several labels.
    metric : Metric
    """
    if selected is None and task == "multilabel":
        return LOSS, SUMMED_LOG_LOSS
    known = metrics_of(task, threshold)
    if selected is not None and selected.short_name not in known:  # of the user's own
        return selected.short_name, selected.build()
    name = HEADLINE[task][0] if selected is None else selected.short_name
    return name, known[name]


def _surprisal_of_labels(y: Array, t: Array) -> Array:
    """The log loss of each row, (K, N), summed over its labels."""
    log_loss = metrics.log_loss().rows
    assert log_loss is not None
    return np.sum([log_loss(y[:, :, [label]], t[:, :, [label]]) for label in range(y.shape[2])], axis=0)


SUMMED_LOG_LOSS = Metric(
    lambda y, t, weights: np.average(
        _surprisal_of_labels(y, t), axis=1, weights=None if weights is None else np.broadcast_to(weights, y.shape[:2])
    ),
    ("labels",),
    False,
    "loss",
    rows=_surprisal_of_labels,
)


def in_words(
    scores: Mapping[str, float],
    names: Sequence[str] | None = None,
    intervals: Mapping[str, Sequence[float]] | None = None,
) -> str:
    """Scores in one line of text: "log loss 0.1023 (95 % interval 0.07 to 0.14), accuracy 0.972".

    Parameters
    ----------
    scores : mapping of str to float
    names : sequence of str, optional
        Which of them to show, see `present`; all by default.
    intervals : mapping of str to (float, float), optional
        The lower and the upper end of the 95 % interval of some of them, shown to two digits of its width.
    """
    shown = scores if names is None else present(names, scores)
    texts = {name: f"{label(name)} {number(name, scores[name])}" for name in shown}
    for name, (low, high) in (intervals or {}).items():
        if name in texts:
            texts[name] += f" (95 % interval {interval_in_words(low, high)})"
    return ", ".join(texts.values())


def interval_in_words(low: float, high: float, like: tuple[float, float] | None = None) -> str:
    """An interval to two digits of its width, or of that of another one: "0.071 to 0.138"."""
    width = like[1] - like[0] if like else high - low
    decimals = max(0, 1 - math.floor(math.log10(width))) if width > 0 else 4
    return f"{low:,.{decimals}f} to {high:,.{decimals}f}"


def present(names: Sequence[str], scores: Collection[str]) -> list[str]:
    """Those of the names of scores that are there; where there is no log loss, the loss stands for it."""
    wanted = [LOSS if name == "log_loss" and name not in scores else name for name in names]
    return [name for name in dict.fromkeys(wanted) if name in scores]


def number(name: str, value: Any, decimals: int = 3) -> str:
    """A score as text: with these decimals where 1 is best, else four significant digits."""
    metric, _ = _parts(name)
    if metric and _built(metric).greater_is_better:
        return f"{round(value, decimals) + 0:.{decimals}f}"  # -0 is 0
    text = f"{value:#.4g}".removesuffix(".")
    return f"{float(text):,.0f}" if "e+" in text and abs(value) < 1e15 else text
