"""Compare the seconds of SweepClassifier with those of GridSearchCV(MLPClassifier), on the same grid and folds.

    .venv/bin/python scripts/benchmark_estimator.py [--rounds 3] [--jobs 1 2]

The digits, 48 settings (6 learning rates x 8 penalties) x 5 folds: 64 hidden units, Adam, batches of 32, 30 epochs, and
then one model of all rows. Prints medians over the rounds, in which both have their turn, and the accuracy of the best
setting on the validation rows of the folds, where scikit-learn selects the last epoch, as ours does here.
"""

import time
import warnings
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from statistics import median
from typing import Any

from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from nnsweep import SweepClassifier

RATES = [0.0003, 0.001, 0.002, 0.004, 0.008, 0.016]
PENALTIES = [1e-6, 1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 1e-1]
EPOCHS, FOLDS, UNITS, ROWS = 30, 5, 64, 32


def theirs(n_jobs: int) -> Any:
    network = MLPClassifier((UNITS,), batch_size=ROWS, max_iter=EPOCHS, tol=0, n_iter_no_change=EPOCHS, random_state=0)
    grid = {"mlpclassifier__learning_rate_init": RATES, "mlpclassifier__alpha": PENALTIES}
    return GridSearchCV(make_pipeline(StandardScaler(), network), grid, cv=FOLDS, n_jobs=n_jobs)


def ours(n_jobs: int) -> Any:
    l2 = {"l2": {"strength": [alpha / ROWS for alpha in PENALTIES]}}
    space = {"optimizer": {"adam": {"learning_rate": RATES}}, "regularizer": l2}
    overrides = [f"training.epochs={EPOCHS}", f"training.batch_size={ROWS}", f"network.hidden=[{UNITS}]"]
    overrides += ["reduce=none", "baselines=none", "select.ensemble=0", "select.publish=champion", "select.refit=true"]
    return SweepClassifier(space, cv=FOLDS, n_jobs=n_jobs, metric="accuracy", overrides=overrides)


def main() -> None:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 2])
    arguments = parser.parse_args()
    X, y = load_digits(return_X_y=True)
    warnings.simplefilter("ignore", ConvergenceWarning)
    for n_jobs in arguments.jobs:
        seconds: dict[str, list[float]] = {"GridSearchCV": [], "SweepClassifier": []}
        for _ in range(arguments.rounds):
            for name, make in (("GridSearchCV", theirs), ("SweepClassifier", ours)):
                start = time.perf_counter()
                search = make(n_jobs).fit(X, y)
                seconds[name].append(time.perf_counter() - start)
                print(
                    f"n_jobs={n_jobs} {name}: {seconds[name][-1]:.1f} s, accuracy {search.best_score_:.4f}", flush=True
                )
        ratio = median(seconds["GridSearchCV"]) / median(seconds["SweepClassifier"])
        print(f"n_jobs={n_jobs}: GridSearchCV takes {ratio:.1f} times as long")


if __name__ == "__main__":
    main()
