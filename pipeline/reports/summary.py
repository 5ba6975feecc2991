"""The contents of summary.json, the stable interface for scripts. null stands for what is not known."""

from typing import Any

from pipeline.sweep.planner import Plan
from pipeline.sweep.results import Result, Results

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
    widest = max(len(networks) for networks in plan.stacks)
    return {"stacks": len(plan.stacks), "widest_stack": widest, "cached_stages": 0, "resumed_networks": 0}


def sweep_summary(results: Results, seconds: float, steps_per_epoch: int) -> dict[str, Any]:
    """Counts, throughput and digest of a sweep that took so long, whether it came to its end or not."""
    everything = results.by_key.values()
    counts = {
        "planned": len(everything),
        "finished": sum(result.finished and result.stopped is None for result in everything),
        "stopped": sum(result.stopped is not None for result in everything),
        "diverged": sum(result.diverged is not None for result in everything),
    }
    epochs_per_s = results.epochs_trained / seconds
    return {
        "trials": counts,
        "networks": counts,  # one fold, one seed
        "throughput": {
            "trials_per_s": round(results.n_over / seconds, 2),
            "network_epochs_per_s": round(epochs_per_s, 1),
            "network_steps_per_s": round(epochs_per_s * steps_per_epoch, 1),
        },
        "digest": results.digest(),
    }


def best_summary(champion: Result, test: dict[str, float]) -> dict[str, Any]:
    """The champion: its parameters and scores. With one fold and one seed the deviation is zero."""
    scores = {name.removeprefix("validation/"): value for name, value in champion.final.items() if name != "train/loss"}
    return {
        "trial": champion.trial.key,
        "parameters": champion.trial.parameters,
        "validation": {name: {"mean": value, "std": 0.0} for name, value in scores.items()},
        "test": test,
    }
