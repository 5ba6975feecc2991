"""The folder of a run that never was: its journal, leaderboard, summary, data card and diagnosis, of any size."""

import csv
import json
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.runs.events import FORMAT
from pipeline.runs.journal import Journal
from pipeline.runs.summary import empty_summary

OPTIMIZERS = ("adam", "sgd", "momentum", "rmsprop", "nesterov", "adamw", "nadam")
REGULARIZERS = ("none", "l1", "l2", "elastic_net")
RATES = (0.0003, 0.003, 0.03, 0.3)
EPOCHS = 12
LONG = "a_column_whose_name_goes_on_and_on_and_does_not_end_before_the_page_does_"


def synthetic_run(
    folder: Path,
    n_trials: int = 112,
    n_folds: int = 5,
    n_columns: int = 40,
    n_classes: int | None = 30,
    names: str = LONG,
    **summary: Any,
) -> Path:
    """Write a run.

    Parameters
    ----------
    folder : Path
        In which the run's folder is made.
    n_trials, n_folds, n_columns : int
    n_classes : int or None
        None for a regression.
    names : str
        How the names of columns, classes and categories begin.
    **summary
        Further keys of summary.json, which replace those that are made up.

    Returns
    -------
    Path
        The run's folder.
    """
    random = np.random.default_rng(0)
    run = folder / "made_up" / "20261130-120000-0000"
    run.mkdir(parents=True)
    settings = list(product(OPTIMIZERS, RATES, REGULARIZERS))
    trials = {
        f"{number:04}": (*settings[number % len(settings)], number // len(settings)) for number in range(n_trials)
    }
    quality = {key: _quality(trial, random) for key, trial in trials.items()}
    metric = "loss" if n_classes else "root_mean_squared_error"
    _write_journal(run, trials, quality, n_folds, metric)
    rows = _write_leaderboard(run, trials, quality, n_folds, metric)
    classes = [f"{names}class {number}" for number in range(n_classes)] if n_classes else None
    columns = [f"{names}{number}" for number in range(n_columns)]
    contents = {
        "data_card.json": _card(columns, classes, names),
        "diagnosis.json": _diagnosis(columns, classes, names, rows, metric, random),
        "summary.json": empty_summary(run.name) | _summary(rows, trials, n_folds, metric, columns) | summary,
    }
    for name, content in contents.items():
        (run / name).write_text(json.dumps(content))
    return run


def _quality(trial: tuple[str, float, str, int], random: np.random.Generator) -> float:
    optimizer, rate, regularizer, _ = trial
    away = abs(np.log10(rate) - (-2.5 if "ada" in optimizer or "nadam" in optimizer else -1.5))
    return float(0.1 + 0.05 * away + 0.004 * REGULARIZERS.index(regularizer) + random.uniform(0, 0.01))


def _write_journal(
    run: Path, trials: dict[str, tuple[str, float, str, int]], quality: dict[str, float], n_folds: int, metric: str
) -> None:
    journal = Journal(run / "journal.jsonl")
    config = {"select": {"metric": metric}, "report": {"leaderboard": 300}}
    journal.append(
        "run",
        format=FORMAT,
        run_id=run.name,
        version="0",
        code="0",
        command="nnsweep data=csv data.path='a b.csv'",
        settings=config,
        tracking=None,
    )
    keys = {trial: [f"{trial}/{fold}/0" for fold in range(1, n_folds + 1)] for trial in trials}
    described = {
        key: {
            "labels": [f"{optimizer} {rate:g}", regularizer, f"depth {depth}" if depth else ""],
            "parameters": {"optimizer": optimizer, "optimizer.learning_rate": rate, "regularizer": regularizer},
        }
        for key, (optimizer, rate, regularizer, depth) in trials.items()
    }
    networks = {key: [f"hash of {key}", None] for trial in trials for key in keys[trial]}
    journal.append("rung", number=1, trials=described, until=dict.fromkeys(trials, EPOCHS), networks=networks)
    reports = {
        key: {
            "content_hash": f"hash of {key}",
            "curves": {
                name: [start * (quality[trial] + 0.7**epoch) for epoch in range(EPOCHS)]
                for name, start in (("train/loss", 0.8), (f"validation/{metric}", 1.0), ("validation/loss", 1.0))
            },
            "diverged": [EPOCHS, "validation/loss was nan"] if _diverged(trials[trial]) else None,
            "stopped": None,
            "selected_epoch": EPOCHS,
            "fingerprint": "",
        }
        for trial in trials
        for key in keys[trial]
    }
    journal.append(
        "slice",
        stack=0,
        start=0,
        until=EPOCHS,
        gpu=False,
        last=True,
        started=0,
        worker="here/1",
        file="",
        sha256="",
        held={},
        networks=reports,
    )
    journal.append("finished", trials=[*trials], pruned={})
    journal.close()


def _diverged(trial: tuple[str, float, str, int]) -> bool:
    return trial[0] == "sgd" and trial[1] == RATES[-1]


def _write_leaderboard(
    run: Path, trials: dict[str, tuple[str, float, str, int]], quality: dict[str, float], n_folds: int, metric: str
) -> list[dict[str, Any]]:
    ranked = sorted((key for key in trials if not _diverged(trials[key])), key=quality.__getitem__)
    others = {"accuracy": 0.9, "roc_auc": 0.95} if metric == "loss" else {"mean_absolute_error": 0.08, "r2": 0.7}
    rows = []
    for rank, key in enumerate(ranked, start=1):
        optimizer, rate, regularizer, _ = trials[key]
        score = quality[key]
        scores = {"train/loss": 0.8 * score, f"validation/{metric}": score}
        scores |= {f"validation/{name}": value - score / 10 for name, value in others.items()}
        if n_folds > 1:
            scores |= {f"validation/{metric} std": 0.01}
            scores |= {f"validation/{metric} 95% low": score - 0.0123, f"validation/{metric} 95% high": score + 0.0123}
        rows.append(
            {
                "rank": rank,
                "trial": key,
                "optimizer": optimizer,
                "optimizer.learning_rate": rate,
                "regularizer": regularizer,
                "status": "finished",
                **scores,
                "tied": rank <= 9,
            }
        )
    rows += [
        {
            "rank": "",
            "trial": key,
            "optimizer": trials[key][0],
            "optimizer.learning_rate": trials[key][1],
            "regularizer": trials[key][2],
            "status": f"diverged in epoch {EPOCHS} of fold 1, seed 0: validation/loss was nan",
        }
        for key in trials
        if _diverged(trials[key])
    ]
    with (run / "leaderboard.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), restval="")
        writer.writeheader()
        writer.writerows(rows)
    return rows


def _card(columns: list[str], classes: list[str] | None, names: str) -> dict[str, Any]:
    kinds = ("numeric", "categorical", "date")
    statistics = {"mean": 10.2, "std": 5.1, "min": -3.0, "median": 9.7, "max": 81.25}
    return {
        "name": f"{names}data",
        "source": "nowhere",
        "task": "classification" if classes else "regression",
        "targets": [f"{names}target"],
        "n_rows": 1000,
        "n_test_rows": 0,
        "missing": 0.05,
        "columns": [
            {"name": name, "kind": kinds[place % 3], "missing": 0.1 * (place % 4 == 0), "reading": ""}
            for place, name in enumerate(columns)
        ],
        "classes": {label: 1000 // len(classes) for label in classes} if classes else None,
        "target_statistics": None if classes else {f"{names}target": statistics},
        "notes": [f"{names}9 is left out: it is constant"],
        "warnings": [f"{names}3 predicts the target nearly alone"],
    }


def _summary(
    rows: list[dict[str, Any]], trials: dict[str, Any], n_folds: int, metric: str, columns: list[str]
) -> dict[str, Any]:
    best, count = rows[0], len(trials)
    effects = {
        "metric": metric,
        "optimizer": [
            {
                "value": name,
                "mean": 0.12 + 0.004 * place,
                "low": 0.11 + 0.004 * place,
                "high": 0.13 + 0.004 * place,
                "n": 16,
                "tied": place < 3,
            }
            for place, name in enumerate(OPTIMIZERS)
        ],
        "regularizer": [
            {"value": name, "mean": 0.13 + 0.001 * place, "low": 0.12, "high": 0.14, "n": 28, "tied": True}
            for place, name in enumerate(REGULARIZERS)
        ],
    }
    metrics = [name.partition("/")[2] for name in best if name.startswith("validation/") and " " not in name]
    scores = {name: best[f"validation/{name}"] for name in metrics}
    lost = sum("diverged" in row["status"] for row in rows)
    return {
        "status": "finished",
        "trials": {"planned": count, "finished": count - lost, "stopped": 0, "diverged": lost, "failed": 0},
        "headline": metrics,
        "verdict": f"Validation picked {best['optimizer']} {best['optimizer.learning_rate']:g}; it is good.",
        "effects": effects,
        "metric": {
            "name": metric,
            "label": {"loss": "loss"}.get(metric, "RMSE"),
            "greater_is_better": False,
            "unit": "" if metric == "loss" else "target",
        },
        "best": {
            "trial": best["trial"],
            "parameters": {"optimizer": best["optimizer"], "optimizer.learning_rate": best["optimizer.learning_rate"]},
            "validation": {
                name: {"mean": value, "std": 0.01, "interval": 0.0123, "low": value - 0.0123, "high": value + 0.0123}
                for name, value in scores.items()
            },
            "test": {name: value + 0.01 for name, value in scores.items()},
            "networks": n_folds,
            "test_networks": {name: {"mean": value + 0.01, "std": 0.01} for name, value in scores.items()},
            "test_intervals": {name: [value - 0.01, value + 0.03] for name, value in scores.items()},
            "estimand": "setting" if n_folds > 1 else "networks",
            "tied": 9,
            "tied_sentence": "9 settings cannot be told apart from the best.",
            "corrected": {
                "metric": metric,
                "raw": scores[metric],
                "value": scores[metric] + 0.006,
                "method": "bootstrap",
            },
        },
        "ensemble": {
            "networks": {f"{best['trial']}/1/0": 2},
            "validation": {"loss": 0.1},
            "test": {name: value + 0.005 for name, value in scores.items()},
        },
        "baselines": {
            name: {"label": label, "validation": {metric: 0.1 + worse}, "test": {metric: 0.11 + worse}, "seconds": 0.1}
            for name, label, worse in (
                ("constant", "the mean", 0.9),
                ("linear", "linear model", 0.03),
                ("gradient_boosting", "gradient boosting", 0.01),
            )
        },
        "calibration": {
            "setting": "auto",
            "method": "temperature",
            "slope": 0.9,
            "intercept": 0.0,
            "applied": True,
            "log_loss_before": 0.113,
            "log_loss_after": 0.109,
            "calibration_error_before": 0.05,
            "calibration_error_after": 0.021,
            "expected_if_perfect": 0.018,
        }
        if metric == "loss"
        else None,
        "intervals": {
            "coverage": 0.9,
            "half_width": 8.4,
            "n_rows": 800,
            "exact": False,
            "relative_to_deviation": False,
            "notes": ["the best of 112 trials was chosen by the same rows"],
        }
        if metric != "loss"
        else None,
        "timings": {"startup_s": 1.2, "load_s": 0.3, "sweep_s": 12.5, "report_s": None, "total_s": 14.0},
        "throughput": {"trials_per_s": 9.0, "network_epochs_per_s": 900.0, "network_steps_per_s": 30000.0},
        "work": {"slices": 3, "stacks": 1, "widest_stack": 560},
        "model": {
            "name": "made_up",
            "version": "2",
            "alias": None,
            "alias_note": "the alias champion stays: it is better",
            "uri": "models:/made_up/2",
            "path": "/runs/model",
            "onnx": None,
        },
        "advice": [f"Look at {columns[0]}: it may be a leak.", "The best learning rate is at the edge of its range."],
        "digest": "0" * 64,
    }


def _diagnosis(
    columns: list[str],
    classes: list[str] | None,
    names: str,
    rows: list[dict[str, Any]],
    metric: str,
    random: np.random.Generator,
) -> dict[str, Any]:
    importance = [
        {
            "column": name,
            "mean": 0.2 / place**2 - 0.001,
            "low": 0.15 / place**2 - 0.004,
            "high": 0.25 / place**2 + 0.002,
            "repeats": 5,
        }
        for place, name in enumerate(columns, start=1)
    ]
    outputs = classes[:30] if classes else [f"{names}target"]
    dependence = []
    for place, name in enumerate(columns[:6]):
        kind = "category" if place % 3 == 1 else "numeric"
        x = (
            [f"{names}category {number}" for number in range(8)]
            if kind == "category"
            else np.linspace(-3, 1200, 20).tolist()
        )
        y = {output: random.uniform(0, 1, len(x)).tolist() for output in outputs}
        dependence.append({"column": name, "kind": kind, "x": x, "y": y, "counts": [5] * len(x)})
    values = {name: f"{names}value" if place % 3 else "1234.567891" for place, name in enumerate(columns)}
    worst = [
        {
            "row": 10 * place,
            "loss": 5.0 / (place + 1),
            "true": classes[0] if classes else 12.5,
            "predicted": classes[1] if classes else 3.25,
            **({"probability": 0.01} if classes else {"error": -9.25}),
            "values": values,
        }
        for place in range(10)
    ]
    mistakes: dict[str, Any] = {
        "worst": worst,
        "by_category": [
            {
                "column": columns[1],
                "category": f"{names}category {place}",
                "n": 12,
                "score": 0.5,
                "metric": metric,
                "rest": 0.1,
                "stands_out": place < 2,
            }
            for place in range(5)
        ],
    }
    points = random.normal(size=(200, 2))
    reduction = {
        "components": points.tolist(),
        "colour": [place % (len(classes) if classes else 7) for place in range(200)],
        "labels": classes,
        "kind": "autoencoder",
        "explained": (0.5 ** np.arange(1, 33)).tolist(),
        "pairs": [(random.normal(size=64).tolist(), random.normal(size=64).tolist()) for _ in range(6)],
    }
    diagnosis: dict[str, Any] = {
        "reduction": reduction,
        "mistakes": mistakes,
        "columns": {"importance": importance, "metric": metric, "n_rows": 800, "dependence": dependence},
        "norms": {"layers": ["40 to 64", "64 to 30"], "weights": [3.1, 2.2], "gradients": [0.01, 0.002]},
    }
    if not classes:
        true = random.normal(10, 5, 400)
        predicted = true + random.normal(0, 2 + np.abs(true) / 5)
        diagnosis["test"] = {
            "labels": None,
            "has_values": True,
            "targets": {f"{names}target": {"predicted": predicted.tolist(), "true": true.tolist()}},
        }
        ends = np.quantile(true, np.linspace(0, 1, 11)).tolist()
        mistakes["by_tenth"] = [
            {
                "target": f"{names}target",
                "low": low,
                "high": high,
                "n": 40,
                "mean_absolute_error": 1.5 + place / 9,
                "bias": 0.4 - place / 9,
            }
            for place, (low, high) in enumerate(pairwise(ends))
        ]
        return diagnosis
    n = len(classes)
    confusion = np.eye(n, dtype=int) * 17 + random.poisson(0.1, (n, n))
    bins = {
        "confidence": [None, *np.linspace(0.15, 0.95, 9).tolist()],
        "accuracy": [None, *np.linspace(0.1, 0.99, 9).tolist()],
        "counts": [0, *range(10, 100, 10)],
    }
    shares = random.uniform(0.5, 1, (3, n)).tolist()
    diagnosis["test"] = {
        "labels": classes,
        "confusion": confusion.tolist(),
        "support": confusion.sum(axis=1).tolist(),
        "per_class": dict(zip(("precision", "recall", "f1"), shares, strict=True)),
        "reliability": bins,
        "calibration_error": 0.04,
    }
    diagnosis["calibration"] = {
        "before": bins,
        "after": {**bins, "accuracy": bins["confidence"]},
        "method": "temperature",
    }
    mistakes["by_class"] = [
        {"label": label, "n": 30, "errors": place, "share": place / 30, "log_loss": 0.1 * place}
        for place, label in enumerate(classes)
    ]
    return diagnosis
