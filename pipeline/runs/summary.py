"""The contents of summary.json, the stable interface for scripts. null stands for what is not known."""

from collections.abc import Collection
from statistics import fmean, stdev
from typing import Any

from pipeline.engine.ranking import Ranking
from pipeline.engine.records import SweepRecords, TrialRecord, digest
from pipeline.engine.slices.trainer import RungTrainer
from pipeline.runs.network_record import NetworkRecord

TIMINGS = (
    "startup",
    "load",
    "split",
    "prepare",
    "reduce",
    "sweep",
    "select",
    "evaluate",
    "publish",
    "report",
    "tracking",
    "total",
)
WORK = ("slices", "stacks", "widest_stack", "cached_stages", "retried_slices", "resumed_networks", "driver_cpu_s")


def empty_summary(run_id: str) -> dict[str, Any]:
    """All keys of the summary, before anything is known."""
    counts = dict.fromkeys(("planned", "finished", "stopped", "diverged", "failed"), 0)
    return {
        "run_id": run_id,
        "status": "running",
        "trials": counts,
        "networks": counts,
        "best": None,
        "ensemble": None,
        "timings": dict.fromkeys(f"{stage}_s" for stage in TIMINGS),
        "throughput": dict.fromkeys(("trials_per_s", "network_epochs_per_s", "network_steps_per_s")),
        "work": dict.fromkeys(WORK),
        "mlflow": None,
        "model": dict.fromkeys(("name", "version", "alias", "said", "path", "onnx")),
        "digest": None,
    }


def sweep_summary(results: SweepRecords, trainer: RungTrainer, seconds: float) -> dict[str, Any]:
    """Counts, throughput and digest of a sweep that took so long, whether it came to its end or not."""
    return {
        "trials": _counts([*results.trials.values()]),
        "networks": _counts([*results.networks.values()]),
        "throughput": {
            "trials_per_s": round(results.n_finished / seconds, 2),
            "network_epochs_per_s": round(results.epochs_trained / seconds, 1),
            "network_steps_per_s": round(trainer.n_steps / seconds, 1),
        },
        "digest": digest(results),
    }


def work_summary(results: SweepRecords, trainer: RungTrainer) -> dict[str, int]:
    """What the sweep was made of; the run adds driver_cpu_s, of the driver while views are made, too."""
    return {
        "slices": results.n_slices,
        "stacks": trainer.n_stacks,
        "widest_stack": trainer.widest_stack,
        "retried_slices": trainer.n_retried,
        "resumed_networks": results.n_resumed,
    }


def _counts(results: Collection[NetworkRecord | TrialRecord]) -> dict[str, int]:
    """Of trials or networks; stopped are those that stopped early and those that were let go."""
    return {
        "planned": len(results),
        "finished": sum(result.completed and not result.stopped_early for result in results),
        "stopped": sum(result.stopped_early for result in results),
        "diverged": sum(bool(result.diverged) and not result.failed for result in results),
        "failed": sum(result.failed for result in results),
    }


def best_summary(ranking: Ranking, tests: list[dict[str, float]]) -> dict[str, Any]:
    """The champion: its parameters, its scores over its networks, and those on the test rows.

    test             of the model, which is the champion's first network
    test_networks    of all its networks, mean and sample standard deviation
    """
    champion = ranking.champion
    mean, std = champion.mean, champion.std
    intervals = ranking.intervals[ranking.trials.index(champion)]
    scores = {
        name.removeprefix("validation/"): {"mean": mean[name], "std": std[name], "interval": intervals.get(name)}
        for name in mean
        if name != "train/loss"
    }
    by_metric = {name: [test[name] for test in tests] for name in tests[0]}
    return {
        "trial": champion.key,
        "parameters": champion.trial.parameters,
        "validation": scores,
        "test": tests[0],
        "networks": len(champion.networks),
        "test_networks": {
            name: {"mean": fmean(values), "std": stdev(values) if len(values) > 1 else 0.0}
            for name, values in by_metric.items()
        },
        "tied": sum(ranking.tied) if ranking.tied else None,
    }
