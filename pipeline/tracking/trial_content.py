"""The run in MLflow that shows one trial: means over its folds and seeds."""

import math
from collections.abc import Mapping
from statistics import fmean, stdev
from typing import Any

from pipeline.runs.records import TrialRecord
from pipeline.tracking.content import Point, RunContent, for_reading, run_content

# parameters whose logarithms are metrics, too: the axes of MLflow's charts are linear
LOGARITHMS = {"optimizer.learning_rate": "log10_learning_rate", "regularizer.strength": "log10_strength"}

STATUSES = {"diverged": "FAILED", "failed": "FAILED", "unfinished": "KILLED"}  # MLflow's, by outcome; else FINISHED


def mlflow_status(trial: TrialRecord) -> str:
    """MLflow's word for how a trial ended."""
    return STATUSES.get(trial.outcome, "FINISHED")


def trial_content(trial: TrialRecord, tags: Mapping[str, str], n_points: int) -> RunContent:
    """The nested run of a trial.

    Parameters
    ----------
    trial : TrialRecord
    tags : mapping of str to str
        Those that all trials of the run have.
    n_points : int
        At most so many points of each curve.
    """
    return run_content(
        trial.label,
        {**tags, **trial_tags(trial)},
        trial.parameters,
        trial_metrics(trial, n_points),
        mlflow_status(trial),
        trial.started,
        trial.ended,
    )


def trial_tags(trial: TrialRecord) -> dict[str, str]:
    """What to filter and group the trials by."""
    outcome = "killed" if trial.outcome == "unfinished" else trial.outcome
    tags = {"kind": "trial", "trial_key": trial.key, "status": outcome, "rung": str(trial.rung)}
    if len(trial.networks) > 1:
        tags["networks"] = str(len(trial.networks))
    for axis, tag in (("optimizer", "optimizer"), ("regularizer", "regularizer"), ("reduce", "reduction")):
        if axis in trial.parameters:
            tags[tag] = str(trial.parameters[axis])
    return tags | ({"stop_reason": trial.reason} if trial.reason else {})


def trial_metrics(trial: TrialRecord, n_points: int) -> list[Point]:
    """Curves of means over the networks by epoch, and under names of their own the scores of the selected weights.

    An epoch counts as long as all networks have it. The scores are rounded for reading. With several networks
    "<name>_std" is their sample standard deviation, and "network/<name>" each score, with its number as the step.
    """
    finals = trial.final_values
    points = [
        Point(name, point.value, point.time, point.epoch)
        for name in finals
        for point in trial.mean_curve(name, n_points)
    ]
    time = max((network.final_time for network in trial.networks), default=0) if finals else 0
    for name, values in finals.items():
        plain = name.replace("/", "_")
        points.append(Point(plain, for_reading(fmean(values)), time, 0))
        if len(values) > 1:
            points.append(Point(f"{plain}_std", for_reading(stdev(values)), time, 0))
            points += [Point(f"network/{plain}", value, time, number) for number, value in enumerate(values)]
    for name, metric in LOGARITHMS.items() if finals else ():
        value = trial.parameters.get(name)
        if isinstance(value, int | float) and value > 0:
            points.append(Point(metric, math.log10(value), trial.ended, 0))
    return points


def reduction(settings: Mapping[str, Any]) -> str:
    """The reduction of all trials that have none of their own: pca, autoencoder or identity."""
    return str(settings["reduce"]["_target_"]).rpartition(".")[2].removesuffix("Reduction").lower()
