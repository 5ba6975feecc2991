"""The keys of summary.json, the stable interface for scripts: they are only ever added to."""

from collections.abc import Mapping
from typing import Any, NamedTuple

TIMINGS = (
    "startup",
    "load",
    "split",
    "prepare",
    "reduce",
    "sweep",
    "baselines",
    "select",
    "evaluate",
    "publish",
    "report",
    "tracking",
    "total",
)
WORK = ("slices", "stacks", "widest_stack", "cached_stages", "retried_slices", "resumed_networks", "driver_cpu_s")


NO_TEST_ROWS = "no test rows (split.test=0)"  # what stands in the place of test scores


class ModelScores(NamedTuple):
    """What the published model scores on the test rows, with intervals, and what it is: "champion", "bag of ...".

    There are no scores if there are no test rows.
    """

    test: dict[str, float]
    intervals: dict[str, list[float]]
    label: str


def model_scores(summary: Mapping[str, Any]) -> ModelScores:
    """Return the test scores of the published model of a run that has a champion.

    Summaries of older versions say nothing of what is published: then they are those of the champion.
    """
    shown = summary.get("published") or summary["best"] | {"label": "champion"}
    return ModelScores(shown["test"] or {}, shown.get("test_intervals") or {}, shown["label"])


def empty_summary(run_id: str) -> dict[str, Any]:
    """All keys of the summary of a run of which nothing is known yet; None stands for what is not known.

    Returns
    -------
    dict
        run_id : id of the run.
        status : running, finished, killed or failed.
        trials, networks : their numbers: planned; finished; stopped, early or pruned; diverged; failed.
        best : the champion; see `pipeline.driver.summary.best_summary`.
        bag : the mean of all networks of the champion: its networks and scores; None if it has only one.
        ensemble : the ensemble's networks and scores.
        published : which of champion, bag and ensemble is the model (kind, label), why (reason, a sentence), its
            networks, and its scores on the test rows; scores: of each kind on validation rows that nothing of it was
            fitted to.
        headline : names of the scores that people look at first.
        calibration : how the model's probabilities are calibrated, before and after.
        threshold : from which probability the second of two classes is predicted, if it was tuned.
        intervals : of a regression, the interval around each prediction.
        metric : what the trials are ranked by: its name, label, direction (greater_is_better) and unit.
        baselines : what simple models score on the same split, by name: constant, linear, gradient_boosting.
        effects : by optimizer and by regularizer, how good its trials are, as main effects with intervals, best first;
            of a block within a larger search also around what, and its trials; None where they cannot be compared.
        effects_missing : which budget ended the search before it compared optimizers and regularizers, and which would
            not, in a sentence; None if none did.
        importance : of the ten most important columns: column, mean, low, high, metric.
        verdict : what the run came to, in a sentence.
        advice : what to try next, as sentences that end with overrides.
        data_warnings : what about the data should make a person look twice, as texts.
        data_findings : the same for programs: the kind of each finding, and its columns.
        preset : the preset that the settings come from, by default or as given; None without one.
        ended_by : the budget that ended the search, such as "budget.seconds=600"; None if it came to its end.
        timings : seconds of each stage, and total_s.
        throughput : trials, network-epochs and network-steps per second of the sweep.
        work : what the sweep was made of, and driver_cpu_s, the CPU seconds of the driver.
        mlflow : where the run is tracked.
        model : the registered model: name, version, its address (uri), alias, why the alias did not move (alias_note),
            and its files.
        digest : SHA-256 over all results; equal digests mean equal results.
    """
    counts = dict.fromkeys(("planned", "finished", "stopped", "diverged", "failed"), 0)
    return {
        "run_id": run_id,
        "status": "running",
        "trials": counts,
        "networks": counts,
        "best": None,
        "bag": None,
        "ensemble": None,
        "published": None,
        "headline": None,
        "metric": None,
        "baselines": None,
        "importance": None,
        "calibration": None,
        "threshold": None,
        "intervals": None,
        "effects": None,
        "effects_missing": None,
        "verdict": None,
        "advice": None,
        "data_warnings": [],
        "data_findings": [],
        "preset": None,
        "ended_by": None,
        "timings": dict.fromkeys(f"{stage}_s" for stage in TIMINGS),
        "throughput": dict.fromkeys(("trials_per_s", "network_epochs_per_s", "network_steps_per_s")),
        "work": dict.fromkeys(WORK),
        "mlflow": None,
        "model": dict.fromkeys(("name", "version", "uri", "alias", "alias_note", "path", "onnx")),
        "digest": None,
    }
