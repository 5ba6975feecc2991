"""Choose the recipes of space=portfolio, and their order, on the tables of the set choose in tables.yaml.

    .venv/bin/python scripts/choose_portfolio.py train FOLDER [TABLE ...]
    .venv/bin/python scripts/choose_portfolio.py choose FOLDER

`train` sweeps all recipes of candidates.yaml on both splits of each table, and writes a small JSON file for each; what
is there is not trained again, so that the command can be interrupted and repeated, and several processes can share the
tables. FOLDER holds <table>/split <n>/train.csv, as benchmark_tables.py writes them. `choose` reads the files.

A candidate's score on a split of a table is (median - error) / (median - best), limited to 0 and 1, where error is its
log loss or root mean squared error on validation rows, as the mean over folds, and median and best are those of all
candidates; its score on a table is the mean of those on the splits. A set of candidates scores, on each table, as the
best of them. Recipes are chosen one by one: the next is the one that adds most to the mean score over tables, per cost
of training it. The cost is that of the arithmetic per row, plus a constant for what any recipe costs.
"""

import csv
import json
import sys
from itertools import pairwise
from pathlib import Path
from statistics import fmean, median
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from benchmark_tables import ROOT, UNTRACKED, seconds_of, tables

SWEEP = (
    "execution=local",
    "baselines=none",
    "search=grid",
    "reduce=none",
    "select.ensemble=0",
    "select.publish=champion",
)
LEARNING = ("training.epochs=48", "training.batch_size=auto", "prepare.min_frequency=3", "prepare.max_categories=200")
KEPT = ("+regularizer@training.regularizers.keep_best=keep_best", "schedule@training.schedule=flat_cosine")
FOLDS = {1000: 5, 2000: 3}  # by the largest number of rows; more rows: 2
N_CHOSEN = 16
SMALLEST_COST = 10_000  # weights
AUTOENCODER_COST = 4.0  # it is a network of its own, which is trained before


def candidates() -> dict[str, dict[str, Any]]:
    """The recipes among which is chosen, by name, in their short form."""
    short: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "scripts" / "candidates.yaml").read_text())
    return short


def recipe(hidden: list[int], scaling: str, optimizer: str, rate: float, **given: Any) -> dict[str, Any]:
    """The node of a recipe in a space, from the short form of candidates.yaml."""
    rule = "adamw.adamw" if optimizer == "adamw" else "adam.adam"
    adam: dict[str, Any] = {"_target_": f"nncore.optimizers.{rule}", "learning_rate": rate}
    network: dict[str, Any] = {"hidden": [hidden]}
    training: dict[str, Any] = {}
    dropout: dict[str, Any] = {"_target_": "nncore.regularizers.dropout.dropout", "rate": given.get("dropout", 0.0)}
    if optimizer == "adamw":
        adam["weight_decay"] = 0.03
    if optimizer == "realmlp":
        factors = {"biases": 0.1, "scaling_layer": 6, "embedding": 0.1, "activation": 0.1}
        target = "nncore.optimizers.parameter_factors.parameter_factors"
        adam = {"_target_": target, "optimizer": adam | {"beta2": 0.95}, **factors}
        mish = {"_target_": "nncore.activations.mish"}
        network["activation"] = {"_target_": "nncore.activations.parametric", "activation": mish}
        network |= {"parametrization": "ntk", "scaling_layer": True}
        network["initializer"] = {"_target_": "nncore.initializers.data_driven", "rows": 5}
        dropout["schedule"] = {"_target_": "nncore.schedules.flat_cosine", "epochs": "${training.epochs}"}
        training["schedule"] = {"_target_": "nncore.schedules.coslog4", "epochs": "${training.epochs}"}
    pieces = {"_target_": "nncore.embeddings.piecewise_linear", "bins": 16, "size": 8}
    periodic = {"_target_": "nncore.embeddings.pbld", "frequencies": 16, "size": 3, "deviation": 0.1}
    embeddings = {
        "pieces": pieces | {"edges": "quantile", "min_rows": 16},
        "tree": pieces | {"edges": "tree", "min_rows": 16},
        "periodic": periodic,
        "high": periodic | {"deviation": 1.0},
    }
    if "embedding" in given:
        network["embedding"] = embeddings[given["embedding"]]
    if "members" in given:
        network |= {"members": given["members"], "adapters": "mini"}
        network["initializer"] = {"_target_": "nncore.initializers.fan_in_uniform"}
    prepare = {"scaling": scaling, "target": given.get("target", "none")}
    if given.get("vectors"):
        prepare["max_one_hot"] = 8
    if "l2" in given:
        regularizer = {"l2": {"_target_": "nncore.regularizers.penalties.l2", "strength": given["l2"]}}
    else:
        regularizer = {"dropout": dropout}
    node = {"optimizer": {optimizer: adam}, "regularizer": regularizer, "prepare": prepare, "network": network}
    return node | ({"training": training} if training else {})


def write_space(path: Path, classes: bool) -> None:
    """Write all candidates that fit the task as a file of conf/space."""
    fitting = {name: short for name, short in candidates().items() if not (classes and "target" in short)}
    defaults = [
        {f"/reduce@recipes.{name}.reduce": short["reduce"]} for name, short in fitting.items() if "reduce" in short
    ]
    space = {
        "defaults": [*defaults, "_self_"],
        "_target_": "pipeline.search.recipes.Recipes",
        "recipes": {name: recipe(**short) for name, short in fitting.items()},
    }
    path.parent.mkdir(parents=True)
    path.write_text(yaml.safe_dump(space))


def train(table: dict[str, Any], rows: Path) -> dict[str, float]:
    """Sweep the candidates on the training rows of a split; by name, their errors, inf of those that diverged."""
    n_rows = len(rows.read_text().splitlines()) - 1
    folds = next((folds for most, folds in FOLDS.items() if n_rows <= most), 2)
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_space(folder / "conf" / "space" / "candidates.yaml", table["classes"])
        command = [sys.executable, "-P", "-m", "pipeline", str(rows), f"target={table['target']}"]
        command += ["--config-dir", str(folder / "conf"), "space=candidates"]
        command += [*UNTRACKED, *SWEEP, *LEARNING, *KEPT, f"split.folds={folds}"]
        seconds_of(command, folder)
        (path,) = folder.glob("runs/*/*/leaderboard.csv")
        metric = f"validation/{'log_loss' if table['classes'] else 'root_mean_squared_error'}"
        with path.open(newline="") as file:
            return {row["recipe"]: float(row.get(metric) or "inf") for row in csv.DictReader(file)}


def train_all(folder: Path, names: list[str]) -> None:
    """Train on both splits of these tables, of all if there are no names."""
    of_set = tables("choose")
    results = folder / "candidates"
    results.mkdir(exist_ok=True)
    for split in (0, 1):
        for name in names or of_set:
            result = results / f"{name} {split}.json"
            if not result.exists():
                errors = train(of_set[name], folder / name / f"split {split}" / "train.csv")
                result.write_text(json.dumps(errors, indent=1))
                print(name, split, flush=True)


def cost(hidden: list[int], **given: Any) -> float:
    """What a recipe costs: 1, plus the weights by which a row of 20 columns is multiplied, by SMALLEST_COST."""
    size = {"pieces": 8, "tree": 8, "periodic": 4, "high": 4}.get(given.get("embedding", ""), 1)
    widths = [20 * size, *hidden, 1]
    of_network = 1 + given.get("members", 1) * sum(a * b for a, b in pairwise(widths)) / SMALLEST_COST
    return of_network + (AUTOENCODER_COST if given.get("reduce") == "autoencoder" else 0)


def scores(folder: Path) -> dict[str, dict[str, float]]:
    """By table, the candidates' scores between 0 and 1, means over splits; what was not trained scores 0."""
    by_table: dict[str, list[dict[str, float]]] = {}
    for path in sorted((folder / "candidates").glob("*.json")):
        errors = json.loads(path.read_text())
        best, middle = min(errors.values()), median(errors.values())
        of_split = {name: min(1.0, max(0.0, (middle - error) / (middle - best))) for name, error in errors.items()}
        by_table.setdefault(path.stem.rpartition(" ")[0], []).append(of_split)
    return {
        table: {name: fmean(of_split[name] for of_split in of_splits) for name in of_splits[0]}
        for table, of_splits in by_table.items()
    }


def choose(folder: Path) -> None:
    """Print the recipes in the order in which they are chosen."""
    every, by_table = candidates(), scores(folder)
    reached = dict.fromkeys(by_table, 0.0)

    def with_it(name: str) -> dict[str, float]:
        return {table: max(reached[table], of.get(name, 0.0)) for table, of in by_table.items()}

    chosen: list[str] = []
    print(f"{len(by_table)} tables\nrecipe             cost  its own score  with those before")
    while len(chosen) < N_CHOSEN:
        before = fmean(reached.values())
        gains = {n: (fmean(with_it(n).values()) - before) / cost(**s) for n, s in every.items() if n not in chosen}
        name = max(gains, key=lambda name: gains[name])
        chosen.append(name)
        reached = with_it(name)
        own = fmean(of.get(name, 0.0) for of in by_table.values())
        print(f"{name:17} {cost(**every[name]):5.1f} {own:14.3f} {fmean(reached.values()):18.3f}")


if __name__ == "__main__":
    command, results, *names = sys.argv[1:]
    train_all(Path(results), names) if command == "train" else choose(Path(results))
