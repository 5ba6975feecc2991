"""Compare the default sweep's champion with scikit-learn's multi-layer perceptrons, on the bundled sets.

scripts/compare_with_sklearn.py [file for the same numbers as JSON]

All scores are computed on the same test rows, which are used for nothing else; each seed gives another split. Our
champion is selected among 112 settings on the validation rows and trained on the training rows alone. scikit-learn's
MLPClassifier and MLPRegressor have their default settings and are fitted on training and validation rows together. Both
compute on one thread. Runs are kept in a temporary folder.
"""

import json
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from typing import Any

from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from pipeline.config.compose import configuration
from pipeline.config.schema import Configuration, Settings
from pipeline.console.output import QuietOutput
from pipeline.driver.run import run

SETS = ("digits", "iris", "wine", "breast_cancer", "diabetes")
SEEDS = (0, 1, 2)
METRICS = {"classification": "accuracy", "regression": "r2"}  # also what scikit-learn's `score` gives
COLUMNS = {  # the models, and the headings of their columns
    "ours": "our champion",
    "bare": "sklearn MLP",
    "scaled": "+ StandardScaler",
    "scaled_target": "+ scaled target",
}


def our_champion(configured: Configuration) -> dict[str, Any]:
    """Run the sweep in this process; return the champion and its score."""
    start = time.monotonic()
    summary = run(configured, QuietOutput(), start)
    best, metric = summary["best"], METRICS[configured.settings.data.task]
    return {
        "score": best["test"][metric],
        "seconds": time.monotonic() - start,
        "validation": best["validation"][metric]["mean"],
        "trials": summary["trials"]["planned"],
        "champion": best["parameters"],
    }


def their_models(task: str, seed: int) -> dict[str, Any]:
    """scikit-learn's networks with default settings, by column."""
    network = MLPClassifier if task == "classification" else MLPRegressor
    models: dict[str, Any] = {
        "bare": network(random_state=seed),
        "scaled": make_pipeline(StandardScaler(), network(random_state=seed)),
    }
    if task == "regression":
        scaled = make_pipeline(StandardScaler(), network(random_state=seed))
        models["scaled_target"] = TransformedTargetRegressor(scaled, transformer=StandardScaler())
    return models


def their_scores(settings: Settings) -> Iterator[tuple[str, dict[str, float]]]:
    """Column, score and seconds of each of scikit-learn's models on the split of these settings."""
    development, test = settings.split(settings.data())
    train = development.rows  # training and validation rows
    one_column = development.task == "regression"  # (N, 1) to (N,)
    y, t = (rows.y[:, 0] if one_column else rows.y for rows in (train, test))
    for name, model in their_models(development.task, settings.seed).items():
        start = time.monotonic()
        with warnings.catch_warnings(), threadpool_limits(1):
            warnings.simplefilter("ignore", ConvergenceWarning)
            score = float(model.fit(train.x.numbers, y).score(test.x.numbers, t))
        yield name, {"score": score, "seconds": time.monotonic() - start}


def compared(name: str, runs: Path) -> dict[str, Any]:
    """All scores on one set, in the order of the seeds."""
    result: dict[str, Any] = {"set": name, "seeds": SEEDS}
    scores: dict[str, list[dict[str, Any]]] = {}
    for seed in SEEDS:
        configured = configuration(f"data={name}", f"seed={seed}", f"runs={runs}", "execution=local", "tracking=none")
        settings = configured.settings
        development, test = settings.split(settings.data())
        train, validation = development.part(0)
        result["rows"] = {"train": len(train), "validation": len(validation), "test": len(test)}
        result["metric"] = METRICS[development.task]
        scores.setdefault("ours", []).append(our_champion(configured))
        for column, score in their_scores(settings):
            scores.setdefault(column, []).append(score)
    return result | {"scores": scores}


def line(result: dict[str, Any]) -> str:
    """The table's line of one set: mean (minimum to maximum) over the seeds, and mean seconds."""
    rows = "/".join(map(str, result["rows"].values()))
    text = f"{result['set']:<14}{rows:<14}{result['metric']:<9}"
    for column in COLUMNS:
        runs = result["scores"].get(column)
        if runs:
            scores, seconds = [run["score"] for run in runs], mean(run["seconds"] for run in runs)
            cell = f"{mean(scores):.3f} ({min(scores):.3f} to {max(scores):.3f}) {seconds:5.2f} s"
        else:
            cell = "-"
        text += f"{cell:>34}"
    return text


def main(report: Path | None) -> None:
    print(f"{'':<37}" + "".join(f"{title:>34}" for title in COLUMNS.values()))
    print(f"{'set':<14}{'rows':<14}{'metric':<9}" + f"{'mean (min to max) seconds':>34}" * len(COLUMNS))
    with tempfile.TemporaryDirectory() as runs:
        results = []
        for name in SETS:
            results.append(compared(name, Path(runs)))
            print(line(results[-1]), flush=True)
    trials = results[0]["scores"]["ours"][0]["trials"]
    print(f"\nrows: training/validation/test; test scores over the seeds {', '.join(map(str, SEEDS))}, mean seconds.")
    print(f"Ours: the best of {trials} settings on the validation rows; seconds are those of the whole run.")
    print("scikit-learn: one setting, its defaults, fitted on training and validation rows together.")
    if report:
        report.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
