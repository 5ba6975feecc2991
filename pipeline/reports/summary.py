"""The contents of summary.json, the stable interface for scripts. null stands for what is not known."""

from collections.abc import Collection, Sequence
from typing import Any

from pipeline.sweep.planner import Plan
from pipeline.sweep.results import MODEL_FOLD, Result, Results, TrialResult

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
    "tracking",
    "total",
)
WORK = ("slices", "stacks", "widest_stack", "cached_stages", "retried_slices", "resumed_networks")


def empty_summary(run_id: str) -> dict[str, Any]:
    """All keys, before anything is known."""
    counts = dict.fromkeys(("planned", "finished", "stopped", "diverged"))
    return {
        "run_id": run_id,
        "status": "running",
        "trials": counts,
        "networks": counts,
        "best": None,
        "timings": dict.fromkeys(f"{stage}_s" for stage in TIMINGS),
        "throughput": dict.fromkeys(("trials_per_s", "network_epochs_per_s", "network_steps_per_s")),
        "work": dict.fromkeys(WORK),
        "mlflow": None,
        "model": dict.fromkeys(("name", "version", "alias", "path")),
        "digest": None,
    }


def plan_summary(plan: Plan) -> dict[str, int]:
    """The work as it is planned. There is no cache of stages and no resume yet, so none is used."""
    widest = max(len(stack.networks) for stack in plan.stacks)
    return {"stacks": len(plan.stacks), "widest_stack": widest, "cached_stages": 0, "resumed_networks": 0}


def sweep_summary(results: Results, seconds: float, steps_per_epoch: Sequence[int]) -> dict[str, Any]:
    """Counts, throughput and digest of a sweep that took so long, whether it came to its end or not.

    steps_per_epoch   by fold
    """
    by_fold = zip(*(result.networks for result in results.trials), strict=True)
    steps = sum(n * network.trained for n, fold in zip(steps_per_epoch, by_fold, strict=True) for network in fold)
    return {
        "trials": _counts(results.trials),
        "networks": _counts(results.by_key.values()),
        "throughput": {
            "trials_per_s": round(results.n_over / seconds, 2),
            "network_epochs_per_s": round(results.epochs_trained / seconds, 1),
            "network_steps_per_s": round(steps / seconds, 1),
        },
        "digest": results.digest(),
    }


def _counts(results: Collection[Result | TrialResult]) -> dict[str, int]:
    return {
        "planned": len(results),
        "finished": sum(result.finished and not result.stopped for result in results),
        "stopped": sum(bool(result.stopped) for result in results),
        "diverged": sum(bool(result.diverged) for result in results),
    }


def best_summary(champion: TrialResult, test: dict[str, float]) -> dict[str, Any]:
    """The champion: its parameters, its scores over the folds, and the test's score of its model.

    With several folds "folds" is their number, and "model_fold" the one whose network is the model, counted from 1.
    """
    mean, std = champion.mean, champion.std
    scores = {name.removeprefix("validation/"): {"mean": mean[name], "std": std[name]} for name in mean}
    del scores["train/loss"]
    n_folds = len(champion.networks)
    return {
        "trial": champion.trial.key,
        "parameters": champion.trial.parameters,
        "validation": scores,
        "test": test,
        **({"folds": n_folds, "model_fold": MODEL_FOLD + 1} if n_folds > 1 else {}),
    }
