"""How the champion is selected: the metric by which trials are ranked, and what is computed of networks for it."""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated, Any, Literal, cast

import numpy as np
from pydantic import BeforeValidator
from pydantic.dataclasses import dataclass as settings_dataclass

from nncore.components import Component
from nncore.metrics import Metric
from pipeline.components.fields import STRICT, NonNegativeInt, Share
from pipeline.components.resolver import component
from pipeline.components.scores import (
    HEADLINE,
    LOSS,
    SHORT,
    TARGETS,
    RankingMetric,
    metric_names,
    metrics_of,
    ranking_metric,
)
from pipeline.components.types import Task

AUTO = "auto"
EXAMPLE_ROWS = 12
EVERY_EPOCH: dict[Task, tuple[str, ...]] = {  # what is computed of every network after every epoch, beside the loss
    "classification": ("accuracy",),
    "regression": HEADLINE["regression"],
    "multilabel": ("label_accuracy", "subset_accuracy"),
}
AT_THE_END: dict[Task, tuple[str, ...]] = {  # what is computed of the selected weights alone, as it takes longer
    "classification": ("roc_auc",),
    "regression": (),
    "multilabel": ("roc_auc",),
}


def metric_component(setting: Any) -> Component | str:
    """The metric that a setting names: auto, loss, a metric of nncore by its name, or {_target_: function, ...}.

    Raises
    ------
    ValueError
        Naming the value, the rule and what to write instead.
    """
    if setting in (AUTO, LOSS) or isinstance(setting, Component):
        return cast(Component | str, setting)
    if isinstance(setting, str):
        name = SHORT.get(setting, setting)
        if name not in metric_names() and name != "mean_pinball_loss":
            names = [AUTO, LOSS, *metric_names(), *SHORT]
            near = get_close_matches(setting, names, n=1)
            cure = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"
            raise ValueError(
                f"must be the name of a metric, or {{_target_: my_package.my_metric}}, but is {setting}; {cure}"
            )
        setting = {"_target_": _component(name).name}
    try:
        return component("metric", setting)
    except ValueError as error:
        if "must be given" not in str(error):
            raise
        raise ValueError(f"{error}: select.metric={{_target_: {setting['_target_']}, ...}}") from None


MetricSetting = Annotated[Component | str, BeforeValidator(metric_component)]


@settings_dataclass(frozen=True, config=STRICT)
class SelectionSettings:
    """Which trial becomes the champion: the one with the best validation metric; of equals, the first.

    Parameters
    ----------
    metric : Component or {"auto", "loss"}
        A metric of the task; auto is the root mean squared error of a single value, and the loss else.
    tradeoffs : tuple of {"parameters", "loss"}
        Further objectives, smaller is better: the number of a network's parameters, or the loss.
    simplest : bool
        Of the trials that cannot be distinguished from the best, take the simplest.
    ensemble : int, >= 0
        Networks in the ensemble, counted as often as they are taken, on each fold; by fewer than 1,000 rows, in each of
        the ten ensembles whose mean it is. 0 for no ensemble.
    publish : {"auto", "champion", "bag", "ensemble"}
        What becomes the model; auto: the best of them, see `pipeline.engine.publication`.
    refit : bool
        Train the networks of the model anew on all development rows, see `pipeline.driver.refit`.
    calibrate : {"auto", "always", "never"}
        Whether the model's probabilities are calibrated; auto: where that clearly lowers the log loss of validation
        rows that the calibration was not fitted to.
    threshold : {"auto", "fixed"}
        From which probability the second of two classes is predicted; auto: tuned where the metric depends on it and
        gains by it; fixed: 0.5.
    coverage : float, in (0, 1), or None
        Share of new rows whose value should be in the interval that a regression's model predicts; None: no intervals.
    """

    metric: MetricSetting
    tradeoffs: tuple[Literal["parameters", "loss"], ...]
    simplest: bool
    ensemble: NonNegativeInt
    publish: Literal["auto", "champion", "bag", "ensemble"]
    refit: bool
    calibrate: Literal["auto", "always", "never"]
    threshold: Literal["auto", "fixed"]
    coverage: Share | None

    def __post_init__(self) -> None:
        if len({self.metric, *self.tradeoffs}) < 1 + len(self.tradeoffs):
            raise ValueError(f"tradeoffs must differ from each other and from metric={self.metric}")
        if self.publish == "ensemble" and not self.ensemble:
            raise ValueError("ensemble must be at least 1 for publish=ensemble, but is 0")

    def check(self, task: Task) -> None:
        """Raise ValueError if the metric is not one for the task, or if it is already known to be a tradeoff, too."""
        if isinstance(self.metric, Component):
            check_metric(self.metric, task)
        elif task != "regression":  # there the number of targets decides
            self.objectives(ranking_metric(LOSS))

    def objectives(self, metric: RankingMetric) -> tuple[str, ...]:
        """What the search is told: the name of the metric that ranks the trials, then the tradeoffs.

        Raises ValueError if it is among these.
        """
        if metric.name in self.tradeoffs:
            raise ValueError(
                f"select.tradeoffs must differ from the metric, which is {metric.name} for these data; "
                "choose another metric with select.metric=..."
            )
        return metric.name, *self.tradeoffs


@dataclass(frozen=True)
class TrainingMetrics:
    """The metrics that are computed of networks in training, by name.

    Parameters
    ----------
    ranking : RankingMetric
    selected : Component or None
        That makes the metric of the ranking; None if this is the loss.
    every_epoch : tuple of (str, Component)
        Those of all networks after every epoch.
    final : tuple of (str, Component)
        Those of the selected weights, when training pauses and where a network stops.
    extra : tuple of (str, Component)
        Those of both kinds that not every sweep of the task has: a network without them has to be trained again.
    """

    ranking: RankingMetric
    selected: Component | None
    every_epoch: tuple[tuple[str, Component], ...]
    final: tuple[tuple[str, Component], ...]
    extra: tuple[tuple[str, Component], ...]

    @property
    def curve(self) -> str:
        """The curve of the ranking's metric if it is computed after every epoch, else the validation loss."""
        is_computed = self.ranking.name in dict(self.every_epoch)
        return f"validation/{self.ranking.name if is_computed else LOSS}"


def training_metrics(
    task: Task, selected: Component | str, n_targets: int, watched: Iterable[str] = ()
) -> TrainingMetrics:
    """The metrics of a sweep.

    Parameters
    ----------
    task : Task
    selected : Component or {"auto", "loss"}
        The metric that ranks the trials. auto: the root mean squared error of a single value, else the loss.
    n_targets : int
    watched : iterable of str
        Names of the metrics that early stopping watches, which are computed after every epoch, too.

    Raises
    ------
    ValueError
        If the metric is not one for the task.
    """
    if selected == AUTO and task == "regression" and n_targets == 1:
        selected = _component(HEADLINE[task][0])
    standard = {name: _component(name) for name in EVERY_EPOCH[task]}
    watched = {*watched}
    every_epoch = standard | {name: _component(name) for name in sorted(watched) if name in metric_names()}
    final = {name: _component(name) for name in AT_THE_END[task] if name not in every_epoch}
    standard = standard | final
    ranking = ranking_metric(LOSS)
    if isinstance(selected, Component):
        check_metric(selected, task)
        metric: Metric = selected.build()
        ranking = ranking_metric(selected.short_name, metric)
        every_epoch.pop(ranking.name, None)
        final.pop(ranking.name, None)
        has_curve = metric.every_epoch or ranking.name in watched
        (every_epoch if has_curve else final)[ranking.name] = selected
    extra = [(name, made) for name, made in (every_epoch | final).items() if standard.get(name) != made]
    chosen = selected if isinstance(selected, Component) else None
    return TrainingMetrics(ranking, chosen, tuple(every_epoch.items()), tuple(final.items()), tuple(extra))


def _component(name: str) -> Component:
    return Component(f"nncore.metrics.{name}")


def check_metric(selected: Component, task: Task) -> None:
    """Raise ValueError unless a metric is one for the task."""
    if selected.short_name == LOSS:
        raise ValueError(
            f"select.metric must not have the name {LOSS}, which another score has; rename {selected.name}"
        )
    if TARGETS[task] not in selected.build().targets:
        names = [LOSS, *metrics_of(task)]
        raise ValueError(
            f"select.metric must be a metric for {task}, but is {selected.short_name}; there are {', '.join(names)}"
        )


def check_computed(selected: Component, task: Task, n_outputs: int) -> None:
    """Compute a metric of a user's package for a few rows of two networks.

    Raises
    ------
    ValueError
        If it fails, or does not return a number for each network.
    """
    t = np.resize(np.eye(max(2, n_outputs), dtype=np.float32)[:, -n_outputs:], (1, EXAMPLE_ROWS, n_outputs))
    y = np.full((2, EXAMPLE_ROWS, n_outputs), 1 / max(2, n_outputs), np.float32)
    for weights in (None, np.ones((1, EXAMPLE_ROWS), np.float32)):
        try:
            with np.errstate(all="ignore"):
                scores = np.asarray(selected.build().value(y, t, weights), np.float64)
        except Exception as error:
            given = f"y {y.shape}, t {t.shape}, weights {None if weights is None else weights.shape}"
            raise ValueError(
                f"select.metric={selected.short_name} must be defined for {given}, "
                f"but raises {type(error).__name__}: {error}; correct {selected.name}"
            ) from None
        if scores.shape != (2,):
            raise ValueError(
                f"select.metric={selected.short_name} must return a number for each network, shape (2,) for y of shape "
                f"{y.shape}, but returns the shape {scores.shape}; correct {selected.name}"
            )


def check_watched(watch: str, task: Task | None, selected: Component | str) -> None:
    """Check that early stopping watches a curve that there will be.

    Parameters
    ----------
    watch : str
        The curve.
    task : Task or None
        None if it is not yet known.
    selected : Component or str
        The metric that ranks the trials.

    Raises
    ------
    ValueError
        Naming the rule and what to write instead.
    """
    names = [LOSS, *(name for known in ([task] if task else TARGETS) for name in metrics_of(known))]
    allowed = list(dict.fromkeys([*names, *([selected.short_name] if isinstance(selected, Component) else [])]))
    part, _, name = watch.partition("/")
    if part != "validation" or name in allowed:
        return
    near = get_close_matches(name, allowed, n=1)
    cure = f"did you mean validation/{near[0]}?" if near else f"choose validation/{LOSS}"
    rule = f"watch must be validation/ with {', '.join(allowed[:-1])} or {allowed[-1]}"
    raise ValueError(f"{rule}{f' for {task}' if task else ''}, but is {watch}; {cure}")
