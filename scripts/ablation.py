"""Measure on real tables what each piece of preset=quick is worth, by taking out one at a time.

    .venv/bin/python scripts/ablation.py [--results FOLDER] [--tables NAME ...] [--splits 0 1] [VARIANT ...]

VARIANT is a name of those that `variants` returns, by default all; --list shows them with their settings. They are
overrides of the preset's own settings, whatever recipes it has. Tables are those of the set choose of tables.yaml, with
the splits of benchmark_tables.py. A sweep trains on one core with one BLAS thread.

The results folder holds a file for each table, split and variant below ablation/<commit>, the commit that last changed
what a sweep does. What is there is not run again, so that the command can be interrupted and repeated, and other
tables can be measured by another process at the same time. --show only shows what is there.

A piece's worth on a table is by how much the published model is worse on the test rows without it: 100 ln(log loss
without / with), 100 ln(RMSE without / with), in R2 100 times the difference. Shown are means over tables (of a table's
splits first) with 95 % intervals over resampled tables. "another seed" takes nothing out: it shows by how much results
differ by chance. What the champion, its bag and the ensemble answer is from the sweep with nothing taken out.
"""

import json
import shutil
import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterator
from datetime import date
from itertools import combinations, product
from math import inf, isfinite, log, sqrt
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from benchmark_tables import ROOT, SPLITS, UNTRACKED, commit, interval, path_of, seconds_of, tables, written
from choose_portfolio import candidates

WHOLE = "nothing"  # the preset as it is
METRICS = ("log_loss", "r2", "root_mean_squared_error")
FACTORS = ("biases", "normalisation", "scaling_layer", "embedding", "activation", "adapters")
TITLES = {"loss": "loss, %", "log_loss": "log loss, %", "root_mean_squared_error": "RMSE, %", "r2": "R2, hundredths"}
PLAIN = {"scaling": "standard", "optimizer": "adamw", "dropout": 0.15}  # in candidates.yaml; others: none
NEARLY = {"members 8 of [64, 64], for one of [128, 128]": [("medium_pieces", "members_standard")]}
Settings = dict[str, Any]


class Variant(NamedTuple):
    """A preset without one of its pieces.

    Attributes
    ----------
    overrides : list of str
        Added to the preset.
    needs : {"", "classes", "values", "categories"}
        Tables without it are left out: the piece does nothing there.
    extends : bool
        Whether the trained sweep as it is only has to be finished in another way.
    """

    overrides: list[str]
    needs: str = ""
    extends: bool = False


def variants(config: Settings) -> dict[str, Variant]:
    """The variants of a preset, by the piece that is taken out.

    Parameters
    ----------
    config : dict
        The preset's settings as plain values.

    Returns
    -------
    dict of str to Variant
        Without those that the preset does not have.
    """
    n_recipes = config["search"]["recipes"] or len(config["space"]["recipes"])
    recipes = dict(list(config["space"]["recipes"].items())[:n_recipes])  # those that are tried
    space = {"recipes": recipes, "blocks": {n: block for n, block in config["space"]["blocks"].items() if n in recipes}}

    def without(part: str, holds: str = "") -> list[str]:
        """Leave a part of the recipes that have it to the preset; `holds` is in its value."""
        return [
            f"~space.recipes.{name}.{part}"
            for name, recipe in recipes.items()
            if (value := at(recipe, part)) is not None and holds in str(value)
        ]

    def without_recipes(matches: Callable[[Settings], object]) -> list[str]:
        names = [name for name, recipe in recipes.items() if matches(recipe)]
        out = [f"~space.{part}.{name}" for part in space for name in names if name in space[part]]
        return [*out, f"search.recipes={len(recipes) - len(names)}"] if names else []

    grid = ["space=optimizers_by_regularization", "search=grid"]
    every = {
        WHOLE: Variant([]),
        "calibration": Variant(["select.calibrate=never"], "classes", extends=True),
        "no refit (select.refit=true)": Variant(["select.refit=true"], extends=True),
        "another seed": Variant(["seed=1"]),
        "embeddings": Variant(without("network.embedding")),
        "periodic embedding": Variant(without("network.embedding", "pbld")),
        "piecewise linear embedding": Variant(without("network.embedding", "piecewise_linear")),
        "scaling layer": Variant(without("network.scaling_layer")),
        "activations, for ReLU": Variant(without("network.activation")),
        "neural tangent parametrization": Variant(without_ntk(space)),
        "data-driven initial weights": Variant(without("network.initializer", "data_driven")),
        "learning rates by kind of parameter": Variant(
            [f"{name}=1" for name, _ in leaves(space, "space") if name.rpartition(".")[2] in FACTORS[:-1]]
        ),
        "coslog4, for the preset's schedule": Variant(without("training.schedule", "coslog4")),
        "schedules, for a constant rate": Variant(["schedule@training.schedule=constant"]),  # of all recipes
        "schedule of dropout": Variant(without("regularizer.dropout.schedule")),
        "best epoch (keep_best)": Variant(
            ["~training.regularizers.keep_best"] if "keep_best" in config["training"]["regularizers"] else []
        ),
        "robust_clip, for standard": Variant(without("prepare.scaling", "robust_clip")),
        "quantile_normal, for standard": Variant(without("prepare.scaling", "quantile_normal")),
        "TabM recipes": Variant(without_recipes(lambda recipe: at(recipe, "network.members"))),
        "recipes with PCA": Variant(without_recipes(lambda recipe: at(recipe, "reduce"))),
        "categories of 3 rows": Variant(["prepare.min_frequency=10", "prepare.max_categories=100"], "categories"),
        "targets as they are, for Yeo-Johnson": Variant(["prepare.target=yeo_johnson"], "values"),
        "bounded predictions": Variant(["prepare.bound_predictions=false"], "values"),
        "folds": Variant(["split.folds=1"]),
        "block of optimizers and regularizers": Variant(["~space.blocks"]),
        "random trials": Variant(["search.trials=0"] if config["search"]["trials"] else []),
        "batch_size=auto, for 32": Variant(["training.batch_size=32"]),
        "portfolio, for optimizers_by_regularization": Variant(grid),
    }
    return {piece: variant for piece, variant in every.items() if variant.overrides or piece == WHOLE}


def at(settings: Settings, name: str) -> Any:
    """What stands below a dotted name; None if nothing does."""
    found: Any = settings
    for part in name.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def leaves(settings: Settings, prefix: str) -> Iterator[tuple[str, float]]:
    """The dotted names of all numbers, and these."""
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}.{name}")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{prefix}.{name}", value


def without_ntk(space: Settings) -> list[str]:
    """Standard parametrization at learning rates that fit: of weights 1 / sqrt(width) times, of all others the same."""
    overrides = []
    for name, recipe in space["recipes"].items():
        if at(recipe, "network.parametrization") != "ntk":
            continue
        overrides.append(f"~space.recipes.{name}.network.parametrization")
        root = sqrt(recipe["network"]["hidden"][0][0])
        optimizers = {f"space.{part}.{name}.optimizer": at(space, f"{part}.{name}.optimizer") or {} for part in space}
        for prefix, optimizer in optimizers.items():
            for leaf, value in leaves(optimizer, prefix):
                if ".learning_rate" in leaf:
                    overrides.append(f"{leaf}={value / root:.4g}")
                elif leaf.rpartition(".")[2] in FACTORS:
                    overrides.append(f"{leaf}={value * root:.4g}")
    return overrides


def applies(variant: Variant, table: Settings, rows: Path) -> bool:
    """Whether a piece does anything on a table."""
    if variant.needs == "categories":
        columns = pd.read_csv(rows / "train.csv").drop(columns=table["target"])
        return not columns.select_dtypes(["object", "string"]).empty
    return variant.needs in ("", "classes" if table["classes"] else "values")


def swept(overrides: list[str], table: Settings, rows: Path, folder: Path) -> Settings:
    """Sweep in a folder; the test scores of what is published and of the other models, and the seconds."""
    if not folder.exists():
        folder.mkdir()
        for file in ("train.csv", "test.csv"):
            shutil.copy(rows / file, folder)
    pipeline = [sys.executable, "-P", "-m", "pipeline", "train.csv", "data.test=test.csv", f"target={table['target']}"]
    settings = [*UNTRACKED, "execution=local", "baselines=none", *overrides]
    one_core = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    wall, cpu = seconds_of([*pipeline, *settings], folder, **one_core)
    (path,) = folder.glob("runs/*/*/summary.json")
    summary = json.loads(path.read_text())
    parts = {"champion": summary["best"], "bag": summary["bag"], "ensemble": summary["ensemble"]}
    return {
        "wall_s": wall,
        "cpu_s": cpu,
        "published": summary["published"]["kind"],
        "scores": summary["published"]["test"],
        "others": {kind: part["test"] for kind, part in parts.items() if part},
        "validation": summary["published"]["scores"],
        "trials": summary["trials"]["finished"],
        "ended_by": summary["ended_by"],
        "digest": summary["digest"],
    }


def run(every: dict[str, Variant], names: list[str], arguments: Namespace) -> None:
    """Measure what has no result yet: each split of all tables before the next."""
    for split, (name, table) in product(arguments.splits, arguments.tables.items()):
        rows = written(name, table, split, arguments)
        with TemporaryDirectory() as temporary:
            whole = Path(temporary) / "whole"
            for number, piece in enumerate(names):
                variant, path = every[piece], path_of(arguments.folder, name, split, piece)
                if path.exists() or not applies(variant, table, rows):
                    continue
                overrides = [f"preset={arguments.preset}", *variant.overrides]
                folder = whole if variant.extends or piece == WHOLE else Path(temporary) / str(number)
                try:
                    if variant.extends:
                        overrides += ["resume=auto", "run=last"]
                        if not whole.exists():
                            swept([f"preset={arguments.preset}"], table, rows, whole)
                    result = swept(overrides, table, rows, folder)
                except RuntimeError as error:
                    print(f"{name} {split} without {piece}: failed\n{error}", file=sys.stderr, flush=True)
                    continue
                result |= {"cpu_s": None} if variant.extends else {}
                about = {"table": name, "split": split, "piece": piece, "overrides": variant.overrides}
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps(about | {"date": date.today().isoformat()} | result, indent=1) + "\n")
                print(f"{name} {split} without {piece}: {result['wall_s']:.0f} s", flush=True)


def read(folder: Path, arguments: Namespace) -> pd.DataFrame:
    """All results, one a row: table, split, piece, seconds (nan if not swept anew), METRICS (nan of other tasks)."""
    rows = []
    for path in sorted(folder.glob("*/*.json")):
        result = json.loads(path.read_text())
        if result["table"] not in arguments.tables or result["split"] not in arguments.splits:
            continue
        about = {"table": result["table"], "split": result["split"]}
        parts = {result["piece"]: (result["cpu_s"], result["scores"])}
        if result["piece"] == WHOLE:
            parts |= {f"publish=auto, for {kind}": (None, scores) for kind, scores in result["others"].items()}
        for piece, (seconds, scores) in parts.items():
            of_piece = {"piece": piece, "seconds": np.nan if seconds is None else seconds}
            rows.append(about | of_piece | {metric: scores.get(metric, np.nan) for metric in METRICS})
    return pd.DataFrame(rows, columns=["table", "split", "piece", "seconds", *METRICS])


def worth(results: pd.DataFrame) -> pd.DataFrame:
    """By how much each piece betters the answers.

    Parameters
    ----------
    results : DataFrame
        See `read`.

    Returns
    -------
    DataFrame
        By table, split and piece: log loss and RMSE in %, R2 in hundredths, "loss" the one of the first two that the
        table has, and seconds of the processor without the piece divided by those with it
        (nan if the sweep is the same).
    """
    by_run = results.set_index(["table", "split", "piece"])
    whole = results[results["piece"] == WHOLE].set_index(["table", "split"]).drop(columns="piece")
    whole = whole.reindex(by_run.index.droplevel("piece")).set_axis(by_run.index)
    losses = ["log_loss", "root_mean_squared_error"]
    found = 100 * np.log(by_run[losses] / whole[losses])
    found["r2"] = 100 * (whole["r2"] - by_run["r2"])
    found["loss"] = found["log_loss"].fillna(found["root_mean_squared_error"])
    found["seconds"] = by_run["seconds"] / whole["seconds"]
    is_piece = found.index.get_level_values("piece") != WHOLE
    return found[is_piece].dropna(subset="loss")


def pairs(recipes: dict[str, Settings]) -> dict[str, list[tuple[str, str]]]:
    """Recipes that differ in one piece.

    Parameters
    ----------
    recipes : dict
        As in candidates.yaml.

    Returns
    -------
    dict of str to list of (str, str)
        By the piece, the names of recipes without and with it: with what is in PLAIN (if neither is, with the one that
        comes first in the file), and with something else. A learning rate goes with its optimizer.
    """
    found: dict[str, list[tuple[str, str]]] = {}
    for pair in combinations(recipes, 2):
        differing = {piece for name in pair for piece in recipes[name]}
        differing = {piece for piece in differing if len({str(recipes[name].get(piece)) for name in pair}) == 2}
        differing -= {"rate"} if "optimizer" in differing else set()
        if len(differing) == 1:
            piece = differing.pop()
            plain = PLAIN.get(piece, "none")
            values = {name: recipes[name].get(piece, plain) for name in pair}
            without, having = sorted(pair, key=lambda name: values[name] != plain)
            found.setdefault(f"{piece} {values[having]}, for {values[without]}", []).append((without, having))
    return found | NEARLY


def worth_in_recipes(folder: Path) -> pd.DataFrame:
    """By how much pieces better single recipes: log loss and RMSE of validation rows in %, by table and piece."""
    of_pieces = pairs(candidates())
    of_set, rows = tables("choose"), []
    for path in sorted(folder.glob("*.json")):
        errors, table = json.loads(path.read_text()), path.stem.rpartition(" ")[0]
        metric = "log_loss" if of_set[table]["classes"] else "root_mean_squared_error"
        for piece, of_piece in of_pieces.items():
            both = [(errors.get(without, inf), errors.get(having, inf)) for without, having in of_piece]
            gains = [100 * log(without / having) for without, having in both if isfinite(without + having)]
            if gains:
                rows.append({"table": table, "piece": piece, metric: fmean(gains), "loss": fmean(gains)})
    return pd.DataFrame(rows).set_index(["piece", "table"])


def summarized(of_runs: pd.DataFrame) -> pd.DataFrame:
    """By piece the means over tables with their intervals, the number of tables, and on how many of them it helps."""
    by_table = of_runs.groupby(["piece", "table"], sort=False).mean(numeric_only=True)
    rows = {}
    for piece, of_piece in by_table.groupby("piece", sort=False):
        row = {"tables": str(len(of_piece)), "better with it": str((of_piece["loss"] > 0).sum())}
        row |= {title: shown(of_piece[name].dropna().to_numpy()) for name, title in TITLES.items() if name in of_piece}
        if "seconds" in of_piece:
            times = of_piece["seconds"].dropna()
            row["time without"] = f"{times.mean():.2f}" if len(times) else ""
        rows[str(piece)] = row
    return pd.DataFrame.from_dict(rows, orient="index")


def shown(values: np.ndarray) -> str:
    """A mean and its interval."""
    if len(values) < 2:
        return f"{values[0]:.1f}" if len(values) else ""
    low, high = interval(values)
    return f"{values.mean():.1f} ({low:.1f} to {high:.1f})"


def markdown(table: pd.DataFrame, first: str) -> str:
    lines = [[first, *table.columns], ["---"] * (len(table.columns) + 1)]
    lines += [[str(name), *row] for name, row in zip(table.index, table.to_numpy(), strict=True)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("variants", nargs="*", metavar="VARIANT")
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--tables", nargs="+", help="only these of the set")
    parser.add_argument("--splits", nargs="+", type=int, default=SPLITS, choices=SPLITS)
    parser.add_argument("--commit", default=commit(), help="whose results are shown and continued")
    parser.add_argument("--rivals", type=Path, default=ROOT / ".rivals-tables", help="environment that has the tables")
    parser.add_argument("--show", action="store_true", help="run nothing")
    parser.add_argument("--recipes", type=Path, metavar="FOLDER", help="compare single recipes, and run nothing")
    parser.add_argument("--list", action="store_true", help="print the variants")
    arguments = parser.parse_args()
    if arguments.recipes:
        print(markdown(summarized(worth_in_recipes(arguments.recipes / "candidates")), "piece"))
        return
    of_set = tables("choose")
    arguments.tables = {name: of_set[name] for name in arguments.tables or of_set}
    arguments.rival = [arguments.rivals.absolute() / "bin" / "python", ROOT / "scripts" / "rivals" / "tables.py"]
    arguments.folder = arguments.results.absolute() / "ablation" / f"{arguments.commit} {arguments.preset}"
    from pipeline.config.compose import configuration

    every = variants(configuration(f"preset={arguments.preset}").plain)
    if unknown := [piece for piece in arguments.variants if piece not in every]:
        raise SystemExit(f"{unknown[0]} is no variant; there are: {', '.join(every)}")
    names = arguments.variants or list(every)
    if arguments.list:
        print("\n".join(f"{piece}: {' '.join(every[piece].overrides)}" for piece in names))
        return
    if not arguments.show:
        run(every, names, arguments)
    results = read(arguments.folder, arguments)
    of_runs = worth(results)
    if of_runs.empty:
        return
    with pd.option_context("display.width", 300, "display.max_rows", None, "display.max_columns", None):
        print(of_runs["loss"].unstack("piece").T.round(1).to_string(na_rep=""))
    order = [piece for piece in (*every, *of_runs.index.unique("piece")) if piece in of_runs.index.unique("piece")]
    print("\n" + markdown(summarized(of_runs).loc[list(dict.fromkeys(order))], "piece"))


if __name__ == "__main__":
    main()
