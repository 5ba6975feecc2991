"""A rival's sweep: `python sweeps.py tune|tasks|gridsearch FILE.npz N_TRIALS EPOCHS HIDDEN BATCH COMPONENTS`.

tune        Ray Tune as an expert writes it: reused actors, one report per trial, no loggers, no checkpoints
tasks       plain Ray tasks, one torch trial each
gridsearch  scikit-learn's GridSearchCV over MLPClassifier, with SGD and Adam only

On 2 CPUs: standardised columns, PCA, four optimizers x rates x penalties, torch's fused optimizers, one thread each.
Prints seconds of start-up and of the sweep, and the best validation accuracy, as JSON.
"""

import json
import os
import sys
import time
import warnings
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np

Data = tuple[np.ndarray, ...]
BEGAN = time.perf_counter()
RATES = (0.003, 0.01, 0.03)
PENALTIES = ((0.0, 0.0), (1e-4, 0.0), (0.0, 1e-4), (5e-5, 5e-5))  # of |W| and of W^2 / 2


def prepared(path: str, n_components: int) -> Data:
    from sklearn.decomposition import PCA
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import StandardScaler

    with np.load(path) as file:
        x, y = file["x"].astype(np.float32), file["y"].astype(np.int64)
    x, _, y, _ = train_test_split(x, y, test_size=0.2, random_state=0, stratify=y)
    rows, watched, labels, watched_labels = train_test_split(x, y, test_size=0.25, random_state=0, stratify=y)
    scaler = StandardScaler().fit(rows)
    pca = PCA(n_components, random_state=0).fit(scaler.transform(rows))
    rows, watched = (pca.transform(scaler.transform(part)).astype(np.float32) for part in (rows, watched))
    return rows, labels, watched, watched_labels


def trials(n: int) -> list[dict[str, Any]]:
    grid = list(product(("sgd", "momentum", "rmsprop", "adam"), RATES, PENALTIES))
    return [dict(zip(("optimizer", "rate", "penalty"), grid[at % len(grid)], strict=True)) for at in range(n)]


def torch_trial(config: dict[str, Any], data: Data, epochs: int, hidden: list[int], batch: int) -> float:
    """Train one network; the validation accuracy."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    rows, labels, watched, watched_labels = (torch.from_numpy(part.copy()) for part in data)
    sizes = [rows.shape[1], *hidden]
    layers: list[torch.nn.Module] = []
    for one, other in pairwise(sizes):
        layers += [torch.nn.Linear(one, other), torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers, torch.nn.Linear(sizes[-1], int(labels.max()) + 1))
    weights = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    rate, (l1, l2) = config["rate"], config["penalty"]
    everything = model.parameters()
    optimizer = {
        "sgd": lambda: torch.optim.SGD(everything, rate, weight_decay=l2, fused=True),
        "momentum": lambda: torch.optim.SGD(everything, rate, momentum=0.9, weight_decay=l2, fused=True),
        "rmsprop": lambda: torch.optim.RMSprop(everything, rate, weight_decay=l2, foreach=True),
        "adam": lambda: torch.optim.Adam(everything, rate, weight_decay=l2, fused=True),
    }[config["optimizer"]]()
    for _ in range(epochs):
        for index in torch.randperm(len(rows)).split(batch):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(rows[index]), labels[index])
            if l1:
                loss = loss + l1 * sum(W.abs().sum() for W in weights)
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            accuracy = (model(watched).argmax(1) == watched_labels).float().mean().item()
    return accuracy


def tune(data: Data, n: int, *how: Any) -> tuple[float, float]:
    os.environ |= {"TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1", "RAY_AIR_NEW_OUTPUT": "0"}
    import ray
    from ray import tune as ray_tune

    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    shared, started = ray.put(data), time.perf_counter()

    class Trial(ray_tune.Trainable):
        def setup(self, config: dict[str, Any]) -> None:
            self.trial = config["trial"]

        def reset_config(self, config: dict[str, Any]) -> bool:
            self.trial = config["trial"]
            return True

        def save_checkpoint(self, folder: str) -> dict[str, Any]:
            return {}

        def load_checkpoint(self, checkpoint: Any) -> None:
            pass

        def step(self) -> dict[str, Any]:
            return {"accuracy": torch_trial(self.trial, ray.get(shared), *how), "done": True}

    tuner = ray_tune.Tuner(
        ray_tune.with_resources(Trial, {"cpu": 1}),
        param_space={"trial": ray_tune.grid_search(trials(n))},
        tune_config=ray_tune.TuneConfig(reuse_actors=True),
        run_config=ray_tune.RunConfig(verbose=0, storage_path=str(Path("results").absolute())),
    )
    best = max(result.metrics["accuracy"] for result in tuner.fit())
    return started, best


def tasks(data: Data, n: int, *how: Any) -> tuple[float, float]:
    import ray

    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    shared, started, run = ray.put(data), time.perf_counter(), ray.remote(torch_trial)
    return started, max(ray.get([run.remote(trial, shared, *how) for trial in trials(n)]))


def gridsearch(data: Data, n: int, epochs: int, hidden: list[int], batch: int) -> tuple[float, float]:
    from sklearn.model_selection import GridSearchCV, PredefinedSplit
    from sklearn.neural_network import MLPClassifier

    warnings.simplefilter("ignore")
    os.environ |= {"PYTHONWARNINGS": "ignore"}
    rows, labels, watched, watched_labels = data
    fold = np.r_[np.full(len(rows), -1), np.zeros(len(watched), int)]
    grid = {
        "solver": ["sgd", "adam"],
        "learning_rate_init": np.geomspace(min(RATES), max(RATES), n // 8),
        "alpha": [0.0, 1e-5, 1e-4, 1e-3],
    }
    model = MLPClassifier(hidden, batch_size=batch, max_iter=epochs, tol=0, n_iter_no_change=epochs + 1, random_state=0)
    search = GridSearchCV(model, grid, cv=PredefinedSplit(fold), n_jobs=2, refit=False)
    started = time.perf_counter()
    search.fit(np.concatenate([rows, watched]), np.concatenate([labels, watched_labels]))
    return started, float(search.best_score_)


def main() -> None:
    rival, path = sys.argv[1:3]
    n, epochs, hidden, batch, components = (json.loads(argument) for argument in sys.argv[3:8])
    data = prepared(path, components)
    started, best = {"tune": tune, "tasks": tasks, "gridsearch": gridsearch}[rival](data, n, epochs, hidden, batch)
    ended = time.perf_counter()
    print(json.dumps({"startup": started - BEGAN, "sweep": ended - started, "accuracy": best}))


if __name__ == "__main__":
    main()
