"""Compare the answers on real tables with those of trees, linear models and other networks, and the seconds they take.

    .venv/bin/python scripts/benchmark_tables.py [--set choose|judge] [--results FOLDER] METHOD ...

METHOD is one of RIVALS, rivals for all of these, or ours: the settings of a sweep, such as preset=best or, with a name,
"bags: split.folds=5 select.publish=ensemble"; ours=default is a sweep without settings. Each method runs alone, in a
process of its own, on the same cores, on both splits of each table of scripts/tables.yaml. scripts/rivals/tables.py
writes the splits, and says what the others do with categories and missing values.

The results folder holds a file for each table, split and method; what is there is not run again, so that the command
can be interrupted and repeated. What ours answers with is the published model, applied by `predict` to the test rows;
champion and ensemble of the run are shown beside it with --others. Ours is known by its settings and by the commit that
changed it last. Without tracking and report, which the others do not write either. The set judge is scored by ours at
most twice: judged.jsonl in the results folder says by which commits, and a third is refused without --force.

Tables show means of the splits; ranks (1 is best) among the methods that have answered all tables, with 95 % intervals
over resampled tables; and differences to one method (--against). Seconds are those of the process from start to end.
Processor seconds of ours are known with --settings execution=local only: workers of Ray are not counted.
"""

import json
import os
import re
import resource
import shutil
import subprocess
import sys
import time
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Iterable
from datetime import date
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import yaml

ROOT = Path(__file__).parents[1]
RIVALS = (
    "HGB",
    "linear",
    "sklearn MLP",
    "random forest",
    "XGBoost",
    "LightGBM",
    "CatBoost",
    "RealMLP-TD",
    "TabM-D",
)
METRICS = {"log loss": False, "accuracy": True, "R2": True, "RMSE": False}  # whether greater is better
SUMMARY = {"log loss": "log_loss", "accuracy": "accuracy", "R2": "r2", "RMSE": "root_mean_squared_error"}
SPLITS = (0, 1)
MOST_TIMES_JUDGED = 2
UNTRACKED = ("tracking=none", "report=none", "resume=never", "cache=none", "output=quiet")
N_RESAMPLES = 10_000

Result = dict[str, Any]
Methods = dict[str, list[str] | None]  # settings by name, None of a rival


def tables(name: str) -> dict[str, dict[str, Any]]:
    """The tables of a set, by name."""
    sets: dict[str, dict[str, dict[str, Any]]] = yaml.safe_load((ROOT / "scripts" / "tables.yaml").read_text())
    return sets[name]


def scores(y: np.ndarray, answers: pd.DataFrame, classes: bool) -> dict[str, float]:
    """The scores of answers.

    Parameters
    ----------
    y : ndarray (N,) of str or float
        The target of the test rows.
    answers : DataFrame
        A column probability_<class> for each class, in any order, or prediction, in the unit of the target.
    classes : bool
        Whether the target is of classes.

    Returns
    -------
    dict of str to float
        log loss (natural logarithm, of probabilities that are at least 2.2e-16, as scikit-learn's) and accuracy, or R2
        and RMSE.
    """
    if classes:
        columns = [name for name in answers if name.startswith("probability_")]
        labels = np.array([name.removeprefix("probability_") for name in columns])
        p = answers[columns].to_numpy(float)
        p = np.clip(p / p.sum(1, keepdims=True), np.finfo(float).eps, 1)
        of_truth = np.where(y[:, None] == labels, p, 0).sum(1)
        of_truth = np.maximum(of_truth, np.finfo(float).eps)  # of a class that no training row has
        return {"log loss": -np.log(of_truth).mean(), "accuracy": (labels[p.argmax(1)] == y).mean()}
    squares = (y - answers["prediction"].to_numpy(float)) ** 2
    return {"R2": 1 - squares.sum() / ((y - y.mean()) ** 2).sum(), "RMSE": np.sqrt(squares.mean())}


def commit() -> str:
    """The last commit that changed what a sweep does, with + if the working tree differs from it."""
    what = ("--", "nncore", "pipeline", "conf")

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    return git("log", "-1", "--format=%h", *what) + ("+" if git("status", "--porcelain", *what) else "")


def seconds_of(command: list[Any], folder: Path, **environment: str) -> tuple[float, float]:
    """Run a command; its seconds from start to end, and of the processors."""

    def processor() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    start, before = time.perf_counter(), processor()
    done = subprocess.run(
        command, cwd=folder, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}\n{done.stdout[-500:]}{done.stderr[-3000:]}")
    return time.perf_counter() - start, processor() - before


def our_answer(settings: list[str], table: dict[str, Any], folder: Path) -> Result:
    """Sweep and predict; predictions.csv is written into the folder."""
    pipeline = [sys.executable, "-P", "-m", "pipeline"]
    target = f"target={table['target']}"
    sweep = [*pipeline, "train.csv", "data.test=test.csv", target, *UNTRACKED, *settings]
    wall, cpu = seconds_of(sweep, folder, PYTHONPATH=str(ROOT))
    predict = [*pipeline, "predict", "model=last", "data=csv", "data.path=test.csv", "out=predictions.csv"]
    predict_wall, _ = seconds_of(predict, folder, PYTHONPATH=str(ROOT))
    (path,) = folder.glob("runs/*/*/summary.json")
    summary = json.loads(path.read_text())
    others = {
        name: {metric: part["test"].get(key) for metric, key in SUMMARY.items() if part["test"].get(key) is not None}
        for name, part in (("champion", summary["best"]), ("ensemble", summary["ensemble"]))
        if part and part.get("test")
    }
    sizes = {"trials": summary["trials"], "sweep_s": summary["timings"]["sweep_s"], "digest": summary["digest"]}
    whole = "execution=local" in settings  # workers of Ray are not among the processes that are waited for
    cpu_s = cpu if whole else None
    return {"wall_s": wall, "cpu_s": cpu_s, "predict_s": predict_wall, "others": others, "run": sizes}


def written(name: str, table: dict[str, Any], split: int, arguments: Namespace) -> Path:
    """The folder with train.csv and test.csv of a split, which are written if they are not there."""
    folder: Path = arguments.results.absolute() / name / f"split {split}"
    if not (folder / "test.csv").exists():
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder) as temporary:
            seconds_of([*arguments.rival, "write", json.dumps(table), str(split), temporary], folder)
            for file in ("train.csv", "test.csv"):
                (Path(temporary) / file).rename(folder / file)
    return folder


def answered(
    method: str, settings: list[str] | None, table: dict[str, Any], rows: Path, arguments: Namespace
) -> Result:
    """Run a method, of ours if there are settings, on a split of a table; its scores and seconds."""
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for file in ("train.csv", "test.csv"):
            shutil.copy(rows / file, folder)
        if settings is None:
            threads = str(arguments.cores)
            command = [*arguments.rival, method, json.dumps(table), threads, folder]
            wall, cpu = seconds_of(command, folder, OMP_NUM_THREADS=threads, OPENBLAS_NUM_THREADS=threads)
            result: Result = {"wall_s": wall, "cpu_s": cpu}
        else:
            result = our_answer([*settings, *arguments.settings], table, folder)
        y = pd.read_csv(folder / "test.csv", dtype={table["target"]: str} if table["classes"] else None)[
            table["target"]
        ]
        result["scores"] = scores(y.to_numpy(), pd.read_csv(folder / "predictions.csv"), table["classes"])
    return result


def path_of(results: Path, name: str, split: int, method: str) -> Path:
    """The file of a result; long names end with their hash."""
    file = re.sub(r"[^-+@=.,\[\] \w]", "_", method)
    file = file if len(file) < 150 else f"{file[:150]}.{sha256(method.encode()).hexdigest()[:8]}"
    return results / name / f"{split} {file}.json"


def note_judgement(results: Path, version: str, methods: Methods, force: bool) -> None:
    """Write down that ours is scored on the tables that judge.

    Raises
    ------
    SystemExit
        If that was done for two other commits, or the tree has uncommitted changes.
    """
    path = results / "judged.jsonl"
    noted = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    earlier = list(dict.fromkeys(note["commit"] for note in noted if note["commit"] != version))
    if not force and version.endswith("+"):
        raise SystemExit(
            "the working tree has uncommitted changes: commit them before the tables that judge are scored"
        )
    if not force and len(earlier) >= MOST_TIMES_JUDGED:
        raise SystemExit(f"the tables that judge were scored by {' and '.join(earlier)}: choose on --set choose")
    results.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(json.dumps({"date": date.today().isoformat(), "commit": version, "methods": methods}) + "\n")


def is_there(path: Path, settings: list[str] | None) -> bool:
    """Whether there is a result. Raises SystemExit if it is of other settings."""
    if not path.exists():
        return False
    if (found := json.loads(path.read_text()).get("settings")) != settings:
        raise SystemExit(f"{path} is of other settings, {found}: choose another name, or remove it")
    return True


def run(methods: Methods, arguments: Namespace) -> None:
    """Run what has no result yet: each split of all tables before the next."""
    for split in arguments.splits:
        for name, table in arguments.tables.items():
            for called, settings in methods.items():
                path = path_of(arguments.results, name, split, called)
                if is_there(path, settings):
                    continue
                try:
                    result = answered(called, settings, table, written(name, table, split, arguments), arguments)
                except RuntimeError as error:
                    print(f"{name} {split} {called}: failed\n{error}", file=sys.stderr, flush=True)
                    continue
                about = {"table": name, "split": split, "method": called, "settings": settings}
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(
                    json.dumps(about | {"cores": arguments.cores, "date": date.today().isoformat()} | result, indent=1)
                    + "\n"
                )
                print(f"{name} {split} {called}: {shown(result['scores'])}, {result['wall_s']:.0f} s", flush=True)


def shown(of: dict[str, float]) -> str:
    return ", ".join(f"{metric} {value:.4g}" for metric, value in of.items())


def read(results: Path, names: Iterable[str], splits: Iterable[int], others: bool) -> pd.DataFrame:
    """All results of these tables, one score a row: table, split, method, metric, value, and seconds as metrics."""
    rows: list[tuple[str, int, str, str, float]] = []
    for path in sorted(path for name in names for path in (results / name).glob("*.json")):
        result = json.loads(path.read_text())
        if result["split"] not in splits:
            continue
        parts = {"": result["scores"] | {"seconds": result["wall_s"], "processor seconds": result["cpu_s"]}}
        if others:
            parts |= {f", {name}": part for name, part in result.get("others", {}).items()}
        for suffix, part in parts.items():
            key = (result["table"], result["split"], result["method"] + suffix)
            rows += [(*key, metric, value) for metric, value in part.items() if value is not None]
    return pd.DataFrame(rows, columns=["table", "split", "method", "metric", "value"])


def means(rows: pd.DataFrame, metric: str, n_splits: int) -> pd.DataFrame:
    """Of a metric the mean over the splits, by table and method; nan where a split is missing."""
    of_metric = rows[rows["metric"] == metric]
    grouped = of_metric.pivot_table("value", "table", "method", aggfunc=["mean", "count"])
    return grouped["mean"].where(grouped["count"] == n_splits).dropna(axis=1, how="all") if len(of_metric) else grouped


def interval(values: np.ndarray) -> np.ndarray:
    """The 95 % interval of a mean over tables (the first axis), from resampled tables."""
    chosen = np.random.default_rng(0).integers(0, len(values), (N_RESAMPLES, len(values)))
    return np.quantile(values[chosen].mean(1), [0.025, 0.975], axis=0)


def ranks(table: pd.DataFrame, greater_is_better: bool) -> pd.DataFrame:
    """Mean rank of each method over tables, with its interval and the number of tables won.

    Parameters
    ----------
    table : DataFrame
        Scores by table (rows) and method (columns), without missing values.
    greater_is_better : bool
        Of the scores.

    Returns
    -------
    DataFrame
        By method, best first: rank, low, high and first, the number of tables on which no method is better.
    """
    by_table = table.rank(axis=1, ascending=not greater_is_better)
    low, high = interval(by_table.to_numpy())
    first = (table.rank(axis=1, ascending=not greater_is_better, method="min") == 1).sum()
    found = pd.DataFrame({"rank": by_table.mean(), "low": low, "high": high, "first": first}, index=table.columns)
    return found.sort_values("rank", kind="stable")


def against(table: pd.DataFrame, metric: str, other: str) -> pd.DataFrame:
    """Each method beside another: tables won, and the mean difference (of losses in per cent) with its interval."""
    sign = 1 if METRICS[metric] else -1
    gains = table.sub(table[other], axis=0) if METRICS[metric] else 100 * np.log(table.div(table[other], axis=0))
    low, high = interval(gains.to_numpy())
    won = (sign * gains > 0).sum()
    return pd.DataFrame({"won": won, "difference": gains.mean(), "low": low, "high": high}).drop(index=other)


def show(rows: pd.DataFrame, arguments: Namespace) -> None:
    """Print scores, ranks, differences and seconds."""
    with pd.option_context("display.width", 300, "display.max_columns", 40, "display.max_colwidth", 90):
        for metric in (*METRICS, "seconds", "processor seconds"):
            table = means(rows, metric, len(arguments.splits))
            if table.empty:
                continue
            kept = [name for name in table if not arguments.only_complete or not table[name].isna().any()]
            digits = 1 if "seconds" in metric else 4
            print(f"\n{metric} (mean of splits {', '.join(map(str, arguments.splits))})")
            print(table[kept].T.round(digits).to_string(na_rep="", float_format=lambda x: f"{x:.5g}"))
            whole = table.dropna(axis=1)
            if metric not in METRICS or len(whole.columns) < 2:
                continue
            print(f"\nmean rank in {metric} over {len(whole)} tables, of methods that answered all")
            print(ranks(whole, METRICS[metric]).round(2).to_string())
            if arguments.against in whole:
                unit = "" if METRICS[metric] else " in %"
                print(f"\n{metric} beside {arguments.against}: tables won of {len(whole)}, and mean difference{unit}")
                print(against(whole, metric, arguments.against).round(4).to_string())


def methods_of(texts: list[str], version: str) -> Methods:
    """The methods by name, and the settings of those that are ours."""
    methods: Methods = {}
    for text in texts:
        if text in ("rivals", *RIVALS):
            methods |= dict.fromkeys(RIVALS if text == "rivals" else [text])
        else:
            name, _, settings = text.rpartition(": ")
            settings = "" if settings == "ours=default" else settings
            methods[f"ours@{version} {name or settings}".strip()] = settings.split()
    return methods


def main() -> None:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="*", metavar="METHOD", help="none: only show the results that are there")
    parser.add_argument("--set", choices=["choose", "judge"], default="choose")
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--tables", nargs="+", help="only these of the set")
    parser.add_argument("--splits", nargs="+", type=int, default=SPLITS, choices=SPLITS)
    parser.add_argument("--settings", nargs="+", default=[], help="of all of ours, such as execution=local")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--against", default="CatBoost", help="show differences to this method")
    parser.add_argument("--others", action="store_true", help="also show the champion and the ensemble of ours")
    parser.add_argument("--only-complete", action="store_true", help="show only methods that answered all tables")
    parser.add_argument("--rivals", type=Path, default=ROOT / ".rivals-tables", help="environment of the others")
    parser.add_argument("--force", action="store_true", help="let ours be judged once more")
    arguments = parser.parse_args()
    of_set = tables(arguments.set)
    arguments.tables = {name: of_set[name] for name in arguments.tables or of_set}
    script = ROOT / "scripts" / "rivals" / "tables.py"
    arguments.rival = [arguments.rivals.absolute() / "bin" / "python", script]
    version = commit()
    methods = methods_of(arguments.methods, version)
    ours = {name: settings for name, settings in methods.items() if settings is not None}
    if arguments.set == "judge" and ours:
        note_judgement(arguments.results, version, ours, arguments.force)
    if methods:
        subprocess.run([ROOT / "scripts" / "rivals" / "install", arguments.rivals, "tables"], check=True)
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: arguments.cores])
        run(methods, arguments)
    show(read(arguments.results, arguments.tables, arguments.splits, arguments.others), arguments)


if __name__ == "__main__":
    main()
