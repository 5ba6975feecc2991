"""What a run adds to its summary: counts, throughput, digest and champion. `pipeline.runs.summary` has the keys."""

import math
from collections.abc import Collection, Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from pipeline.components.types import DataCard
from pipeline.config.schema import Settings
from pipeline.engine.conclusions import Facts, advice, verdict
from pipeline.engine.ranking import Ranking, around, count_ties, tie_sentence
from pipeline.engine.records import SweepRecords, digest
from pipeline.engine.slices.trainer import RungTrainer
from pipeline.engine.uncertainty.correction import METHOD
from pipeline.runs.records import NetworkRecord, TrialRecord
from pipeline.search.base import Sampler


def sweep_summary(records: SweepRecords, trainer: RungTrainer, seconds: float) -> dict[str, Any]:
    """Counts, throughput and digest of a sweep that took so many seconds, whether it was finished or not."""
    return {
        "trials": _counts([*records.trials.values()]),
        "networks": _counts([*records.networks.values()]),
        "throughput": {
            "trials_per_s": round(records.n_finished / seconds, 2),
            "network_epochs_per_s": round(records.epochs_trained / seconds, 1),
            "network_steps_per_s": round(trainer.n_steps / seconds, 1),
        },
        "digest": digest(records),
    }


def work_summary(records: SweepRecords, trainer: RungTrainer) -> dict[str, int]:
    """The slices and stacks of a sweep."""
    return {
        "slices": records.n_slices,
        "stacks": trainer.n_stacks,
        "widest_stack": trainer.widest_stack,
        "retried_slices": trainer.n_retried,
        "resumed_networks": records.n_resumed,
    }


def ended_message(ended_by: str | None) -> str:
    """What people should know of a search that a budget has ended; "" if none has."""
    return f"the search ended because {ended_by} is used up" if ended_by else ""


def uncompared_message(sampler: Sampler, ended_by: str | None, effects: Mapping[str, Any] | None) -> str | None:
    """Why there are no main effects if a budget ended the search before it compared by design; else None."""
    if ended_by is None or effects or not getattr(sampler, "comparison_pending", False):  # a user's own may lack it
        return None
    name, _, value = ended_by.partition("=")
    larger = 2 * float(value)
    return (
        f"optimizers and regularizers were not compared around the best recipe, as {ended_by} ended the sweep before; "
        f"a larger budget leaves room for that, such as {name}={int(larger) if larger.is_integer() else larger}"
    )


def repeated_message(sampler: Sampler) -> str:
    """What people should know of trials that a search suggests more than once; "" if there are none."""
    n = getattr(sampler, "n_repeated", 0)  # a search of the user's own may not count them
    suggestions = "1 suggestion of the search equals" if n == 1 else f"{n} suggestions of the search equal"
    return f"{suggestions} an earlier trial: equal trials are trained and listed once" if n else ""


def costly_message(n_costly: int) -> str:
    """What people should know of so many trials that take more arithmetic than the search allows; "" for 0."""
    trials = "1 trial that takes" if n_costly == 1 else f"{n_costly} trials that take"
    message = f"search.teraflops left out {trials} more arithmetic; increase it to try larger networks"
    return message if n_costly else ""


def best_summary(ranking: Ranking, tests: list[dict[str, float]]) -> dict[str, Any]:
    """The champion: its parameters, its scores over its networks, and those on the test rows.

    Parameters
    ----------
    ranking : Ranking
    tests : list of dict
        By network of the champion, its metrics on the test rows. The first network is the model. Empty if there are no
        test rows.
    """
    champion, assessment = ranking.champion, ranking.assessment
    n_tied, n_compared = count_ties(ranking.tied) if ranking.tied else (None, None)
    std, estimates = champion.std, ranking.estimates[ranking.trials.index(champion)]
    scores = {
        name.removeprefix("validation/"): {
            "mean": value,
            "std": std.get(name),
            "interval": None if low is None or high is None else (high - low) / 2,
            "low": low,
            "high": high,
        }
        for name, (value, low, high) in estimates.items()
        if name != "train/loss"
    }
    return {
        "trial": champion.key,
        "parameters": champion.parameters,
        "validation": scores,
        "test": tests[0] if tests else None,
        "networks": len(champion.networks),
        "test_networks": means_and_deviations(tests) if tests else None,
        "tied": n_tied,
        "compared": n_compared,
        "tied_sentence": tie_sentence(ranking),
        "estimand": assessment.estimand,
        "n_rows": assessment.n_rows,
        "corrected": _corrected_summary(ranking),
    }


def means_and_deviations(tests: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Return mean and standard deviation over networks of the metrics that all of them have."""
    common = [name for name in tests[0] if all(name in test for test in tests)]
    by_metric = {name: [test[name] for test in tests] for name in common}
    return {
        name: {"mean": fmean(values), "std": stdev(values) if len(values) > 1 else 0.0}
        for name, values in by_metric.items()
    }


def _corrected_summary(ranking: Ranking) -> dict[str, Any] | None:
    """The champion's score with the correction for having been chosen, if it is the best of all trials."""
    corrected = ranking.assessment.corrected
    if corrected is None or ranking.assessment.trials[corrected.best] != ranking.champion.key:
        return None
    interval = [corrected.low, corrected.high]
    low, high = interval if all(map(math.isfinite, interval)) else (None, None)
    return {
        "metric": ranking.metric.removeprefix("validation/"),
        "raw": corrected.raw,
        "value": corrected.value,
        "low": low,
        "high": high,
        "trials": len(ranking.assessment.trials),
        "method": METHOD,
    }


def effects_summary(ranking: Ranking) -> dict[str, Any] | None:
    """How good each optimizer and each regularizer is, best first; None where they cannot be compared.

    The trials of a block stand beside the effects that are theirs, as they may have been scored on fewer rows than the
    leaderboard's.
    """
    assessment = ranking.assessment
    effects = {axis: [effect._asdict() for effect in found] for axis, found in assessment.effects.items()}
    if not effects:
        return None
    block = assessment.block
    trials = block and [
        {"trial": key, **estimate._asdict(), "tied": block.tied and block.tied[number]}
        for number, (key, estimate) in enumerate(zip(block.trials, block.estimates, strict=True))
    ]
    common = {"metric": ranking.metric.removeprefix("validation/"), "around": around(ranking)}
    return common | {"n_rows": block.n_rows if block else assessment.n_rows, "trials": trials} | effects


def conclusions(
    settings: Settings, card: DataCard, n_folds: int, records: SweepRecords, ranking: Ranking, summary: dict[str, Any]
) -> dict[str, Any]:
    """The verdict on a run, and advice on what to try next; see `pipeline.engine.conclusions`.

    Parameters
    ----------
    settings : Settings
    card : DataCard
    n_folds : int
    records : SweepRecords
    ranking : Ranking
    summary : dict
        With the champion, the ensemble and the baselines.
    """
    training, champion = settings.training, ranking.champion
    facts = Facts(
        summary=summary,
        card=card,
        ranked=ranking.trials,
        tied=ranking.tied,
        diverged=[trial for trial in records.trials.values() if trial.diverged],
        champion=champion,
        decisions=settings.space.decisions,
        metric=ranking.metric.removeprefix("validation/"),
        n_folds=n_folds,
        n_seeds=training.seeds,
        n_validation=summary["best"]["n_rows"],
        can_fold=hasattr(settings.split, "folds"),
        epochs=training.epochs,
        schedule=champion.parameters.get("training.schedule", training.schedule.short_name),
        regularizers=[regularizer.short_name for regularizer in training.regularizers.values()],
        preset=settings.preset,
        dropped=getattr(settings.data, "drop", ()),
        balanced=getattr(settings.prepare, "class_weights", "none") != "none",
    )
    return {
        "verdict": verdict(summary, champion.labels, card["targets"]),
        "advice": advice(facts),
    }


def _counts(records: Collection[NetworkRecord | TrialRecord]) -> dict[str, int]:
    """Of trials or networks; stopped are those that stopped early and those that were pruned."""
    return {
        "planned": len(records),
        "finished": sum(record.completed and not record.stopped_early for record in records),
        "stopped": sum(record.stopped_early for record in records),
        "diverged": sum(bool(record.diverged) and not record.failed for record in records),
        "failed": sum(record.failed for record in records),
    }
