"""Invalid data files, and what the error message must contain for each."""

import gzip
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet

N = 120


class Broken(NamedTuple):
    """A data set that is refused.

    Attributes
    ----------
    make : callable
        Writes the files into a folder.
    settings : tuple of str
        Overrides, with {} for the folder.
    words : tuple of str
        What the error message must contain.
    """

    make: Callable[[Path], Any]
    settings: tuple[str, ...]
    words: tuple[str, ...]


def valid_columns(n: int = N) -> dict[str, list[Any]]:
    """Columns of a valid table."""
    return {
        "age": [20 + i % 50 for i in range(n)],
        "income": [1000.5 + 7 * (i % 83) for i in range(n)],
        "city": ["Bonn" if i % 3 else "Ulm" for i in range(n)],
        "buys": ["yes" if i % 5 < 2 else "no" for i in range(n)],
    }


def columns_with_value(column: str, row: int, value: Any, n: int = N) -> dict[str, list[Any]]:
    """The valid columns with one value replaced; rows are counted from 1."""
    columns = valid_columns(n)
    columns[column][row - 1] = value
    return columns


def columns_with(**more: Any) -> dict[str, Any]:
    return valid_columns() | more


def as_csv(columns: dict[str, list[Any]], delimiter: str = ",") -> str:
    lines = [delimiter.join(columns)]
    lines += [delimiter.join("" if v is None else str(v) for v in row) for row in zip(*columns.values(), strict=True)]
    return "\n".join(lines) + "\n"


def broken_csv(
    content: str | bytes | dict[str, list[Any]], *settings: str, words: tuple[str, ...], name: str = "t.csv"
):
    if isinstance(content, dict):
        content = as_csv(content)
    data = content.encode() if isinstance(content, str) else content
    target = () if any(setting.startswith("data.target") for setting in settings) else ("data.target=buys",)
    return Broken(
        lambda folder: (folder / name).write_bytes(data),
        ("data=csv", f"data.path={{}}/{name}", *target, *settings),
        words,
    )


def broken_parquet(
    columns: dict[str, Any] | pa.Table,
    *settings: str,
    words: tuple[str, ...],
    cut: int | None = None,
    damage: int = 0,
):
    def write(folder: Path) -> None:
        path = folder / "t.parquet"
        pyarrow.parquet.write_table(columns if isinstance(columns, pa.Table) else pa.table(columns), path)
        data = path.read_bytes()[:cut]
        if damage:
            data = data[:damage] + bytes(255 - byte for byte in data[damage : damage + 40]) + data[damage + 40 :]
        path.write_bytes(data)

    target = () if any(byte.startswith("data.target") for byte in settings) else ("data.target=buys",)
    return Broken(write, ("data=parquet", "data.path={}/t.parquet", *target, *settings), words)


def broken(make: Callable[[Path], Any], *settings: str, words: tuple[str, ...]):
    return Broken(make, settings, words)


CSV_SETTINGS = ("data=csv", "data.target=buys")
BROKEN = {
    # the file itself
    "no such file": broken(
        Path.exists, *CSV_SETTINGS, "data.path={}/no.csv", words=("data.path", "no.csv", "no such file")
    ),
    "no such Parquet file": broken(
        Path.exists, "data=parquet", "data.target=buys", "data.path={}/no.parquet", words=("no.parquet", "no such file")
    ),
    "a folder instead of a file": broken(
        lambda folder: (folder / "t.csv").mkdir(),
        *CSV_SETTINGS,
        "data.path={}/t.csv",
        words=("t.csv", "is a folder without files"),
    ),
    "a folder instead of a Parquet file": broken(
        lambda folder: (folder / "t.parquet").mkdir(),
        "data=parquet",
        "data.target=buys",
        "data.path={}/t.parquet",
        words=("t.parquet", "is a folder without files"),
    ),
    "a link to itself": broken(
        lambda folder: (folder / "loop").symlink_to("loop"),
        *CSV_SETTINGS,
        "data.path={}/loop",
        words=("data.path", "loop"),
    ),
    "a name that is too long": broken(
        Path.exists, *CSV_SETTINGS, "data.path={}/" + "x" * 300, words=("data.path", "no such file")
    ),
    "a path that no one may read": broken(
        lambda folder: os.mkfifo(folder / "pipe"),
        *CSV_SETTINGS,
        "data.path={}/pipe",
        words=("data.path", "pipe", "is not a regular file"),
    ),
    "an unknown kind of address": broken(
        Path.exists, *CSV_SETTINGS, "data.path=nowhere://x/t.csv", words=("nowhere://", "data.path")
    ),
    "an empty path": broken(Path.exists, *CSV_SETTINGS, "data.path=''", words=("data.path", "empty")),
    "no path": broken(Path.exists, *CSV_SETTINGS, words=("data.path",)),
    "an empty file": broken_csv("", words=("t.csv", "0 bytes")),
    "an empty Parquet file": broken(
        lambda folder: (folder / "t.parquet").write_bytes(b""),
        "data=parquet",
        "data.target=buys",
        "data.path={}/t.parquet",
        words=("t.parquet", "0 bytes"),
    ),
    "blank lines only": broken_csv("\n\n\n", words=("t.csv", "cannot be read as a CSV file")),
    "header only": broken_csv("age,income,city,buys\n", words=("t.csv", "no rows")),
    "a Parquet file without rows": broken_parquet(
        {"age": pa.array([], pa.int64()), "buys": pa.array([], pa.string())}, words=("no rows",)
    ),
    "truncated gzip": broken_csv(
        gzip.compress(as_csv(valid_columns(5000)).encode())[:-800], name="t.csv.gz", words=("t.csv.gz", "cut short")
    ),
    "gzip by name only": broken_csv(valid_columns(), name="t.csv.gz", words=("t.csv.gz", "Not a gzipped file")),
    "damaged gzip": broken_csv(
        gzip.compress(as_csv(valid_columns(5000)).encode())[:300] + b"\0" * 900,
        name="t.csv.gz",
        words=("t.csv.gz", "damaged"),
    ),
    "a Parquet file cut short": broken_parquet(
        valid_columns(), cut=-20, words=("t.parquet", "not a complete Parquet file")
    ),
    "a Parquet file cut to its beginning": broken_parquet(
        valid_columns(), cut=30, words=("t.parquet", "not a complete Parquet file")
    ),
    "a Parquet file with damaged pages": broken_parquet(
        valid_columns(5000), damage=60, words=("t.parquet", "not a complete Parquet file")
    ),
    "text instead of Parquet": broken(
        lambda folder: (folder / "t.parquet").write_text(as_csv(valid_columns())),
        "data=parquet",
        "data.target=buys",
        "data.path={}/t.parquet",
        words=("t.parquet", "not a complete Parquet file"),
    ),
    "bytes instead of CSV": broken_csv(bytes(range(256)) * 20, words=("t.csv", "NUL byte", "data.encoding")),
    # the text of the file
    "wrong delimiter": broken_csv(
        as_csv(valid_columns(), ";"), "data.delimiter=comma", words=("one column", "set data.delimiter=semicolon")
    ),
    "tabs": broken_csv(
        as_csv(valid_columns(), "\t"), "data.delimiter=semicolon", words=("one column", "set data.delimiter=tab")
    ),
    "a delimiter of two characters": broken_csv(
        valid_columns(), "data.delimiter='::'", words=("data.delimiter", "at most 1")
    ),
    "ragged rows": broken_csv(
        as_csv(valid_columns()).replace("\n21,", "\n21,5,", 1), words=("row 2 has 5 values", "4 columns")
    ),
    "a row too short": broken_csv(as_csv(valid_columns()) + "7,8\n", words=(f"row {N + 1} has 2 values", "4 columns")),
    "wrong encoding": broken_csv(
        as_csv(columns_with_value("city", 7, "Köln")).encode("latin-1"),
        "data.encoding=utf-8",
        words=("'city' in row 7", "data.encoding"),
    ),
    "wrong encoding in the header": broken_csv(
        as_csv({"größe": [1, 2] * 60} | valid_columns()).encode("latin-1"),
        "data.encoding=utf-8",
        words=("not utf-8", "data.encoding"),
    ),
    "UTF-16": broken_csv(
        as_csv(valid_columns()).encode("utf-16"), "data.encoding=utf-8", words=("NUL byte", "data.encoding=utf-16")
    ),
    "a NUL byte": broken_csv(
        as_csv(columns_with_value("city", 7, "Bo\0nn")), words=("row 7 (line 8 of the file) has a NUL byte",)
    ),
    "an unknown encoding": broken_csv(valid_columns(), "data.encoding=klingon", words=("data.encoding", "klingon")),
    # the columns
    "no such column": broken_csv(
        valid_columns(), "data.target=bought", words=("no column 'bought'", "it has age, income, city, buys")
    ),
    "no such column to drop": broken_csv(
        valid_columns(), "data.drop=[ages]", words=("no column 'ages'", "data.drop", "'age'")
    ),
    "no such column to keep": broken_csv(
        valid_columns(), "data.keep=[foo]", words=("no column 'foo'", "data.keep", "it has age")
    ),
    "no such column for weights": broken_csv(valid_columns(), "data.weight=w", words=("no column 'w'", "data.weight")),
    "no such column in a condition": broken_csv(
        valid_columns(), "+data.where.land=DE", words=("no column 'land'", "data.where")
    ),
    "a target that is also kept": broken_csv(valid_columns(), "data.keep=[age,buys]", words=("data.keep", "'buys'")),
    "no column left": broken_csv(valid_columns(), "data.drop=[age,income,city]", words=("no column left", "buys")),
    "duplicate column names": broken_parquet(
        pa.Table.from_arrays([[1, 2] * N, [3, 4] * N, ["yes", "no"] * N], ["a", "a", "buys"]),
        words=("2 columns with the name 'a'",),
    ),
    "an all-missing column": broken_csv(
        columns_with(x=[None] * N), "data.constant=refuse", words=("column 'x' has no value", "data.drop=[x]")
    ),
    "an all-missing Parquet column": broken_parquet(
        columns_with(x=pa.nulls(N)), "data.constant=refuse", words=("column 'x' has no value",)
    ),
    "a constant column": broken_csv(
        columns_with(x=[3] * N),
        "data.constant=refuse",
        words=("column 'x' has the same value", "data.constant=drop"),
    ),
    "a constant text": broken_csv(
        columns_with(x=["so"] * N), "data.constant=refuse", words=("column 'x' has the same value",)
    ),
    "constant columns only": broken_csv(
        {"x": [1] * N, "y": [2] * N, "buys": valid_columns()["buys"]}, words=("every column",)
    ),
    "text in a numeric column": broken_csv(
        columns_with_value("age", 17, "abc"), words=("column 'age'", "'abc' in row 17", "data.kinds.age")
    ),
    "text where numbers are declared": broken_csv(
        columns_with_value("city", 1, "x"),
        "+data.kinds.city=numeric",
        words=("column 'city' is numeric", "'x' in row 1"),
    ),
    "text in a numeric Parquet column": broken_parquet(
        columns_with(age=[str(a) for a in valid_columns()["age"][:-1]] + ["old"]), words=("'age'", f"'old' in row {N}")
    ),
    "numbers that can be read in two ways": broken_parquet(
        columns_with(age=[f"{a},000" for a in valid_columns()["age"]]),
        words=("'age'", "data.thousands=comma for 20000"),
    ),
    "infinity in a column": broken_csv(
        columns_with_value("income", 9, "inf"), words=("column 'income'", "inf in row 9")
    ),
    "a placeholder": broken_csv(columns_with_value("income", 9, 1e35), words=("column 'income'", "1e+35 in row 9")),
    "no such date": broken_csv(
        columns_with(born=["2020-02-30"] * N), "+data.kinds.born=date", words=("'born' is date", "row 1")
    ),
    "no truth value": broken_csv(
        valid_columns(), "+data.kinds.city=boolean", words=("'city' is boolean", "'Ulm' in row 1")
    ),
    "a value that the order lacks": broken_csv(
        valid_columns(), "+data.kinds.city=[Bonn,Berlin]", words=("'Ulm' in row 1", "data.kinds, Bonn, Berlin")
    ),
    "an unknown kind": broken_csv(valid_columns(), "+data.kinds.age=number", words=("data.kinds.age", "numeric")),
    "100,000 levels": broken_csv(
        {"id": [f"u{i}" for i in range(100_000)], "buys": ["yes", "no"] * 50_000},
        words=("column 'id' has 100000 different texts", "data.max_levels is 1000", "data.drop=[id]"),
    ),
    "bytes in a column": broken_parquet(
        columns_with(x=[b"\0"] * N), words=("column 'x' holds binary", "data.drop=[x]")
    ),
    "lists of different lengths": broken_parquet(
        columns_with(x=[[1, 2]] * (N - 1) + [[3]]), words=("column 'x' holds lists", f"1 in row {N}", "data.drop=[x]")
    ),
    # the target
    "a target with one class": broken_csv(columns_with(buys=["yes"] * N), words=("'buys' has one class, yes",)),
    "a class with one row": broken_csv(
        columns_with_value("buys", 5, "maybe"), "data.rare_classes=refuse", words=("'buys'", "class maybe", "7 rows")
    ),
    "10,000 classes": broken_csv(
        {"a": list(range(20_000)), "buys": [f"c{i % 10_000}" for i in range(20_000)]},
        words=("'buys' has 10000 classes", "data.max_classes is 1000"),
    ),
    "a missing target": broken_csv(
        columns_with_value("buys", 4, None), "data.missing_target=refuse", words=("'buys' has no value in row 4",)
    ),
    "no target in any row": broken_csv(columns_with(buys=[None] * N), words=("'buys' has no value in any row",)),
    "NaN in the target": broken_csv(
        columns_with_value("income", 8, "NaN"),
        "data.target=income",
        "data.missing_target=refuse",
        words=("'income' has no value in row 8",),
    ),
    "infinity in the target": broken_csv(
        columns_with_value("income", 8, "-inf"), "data.target=income", words=("'income' is -inf in row 8",)
    ),
    "a constant target": broken_csv(
        columns_with(y=[1.5] * N), "data.target=y", "data.task=regression", words=("'y' is 1.5 in every row",)
    ),
    "texts for a regression": broken_csv(
        valid_columns(), "data.task=regression", words=("'buys' must hold numbers", "row 1 has 'yes'")
    ),
    "two targets of classes": broken_csv(
        valid_columns(),
        "data.target=[buys,city]",
        "data.task=classification",
        words=("data.target must name one column", "buys, city"),
    ),
    "labels that are not 0 or 1": broken_csv(
        valid_columns(),
        "data.target=[age,income]",
        "data.task=multilabel",
        words=("'age' must hold 0 and 1", "data.task=multilabel"),
    ),
    "a date to predict": broken_csv(
        columns_with(day=["2020-01-01"] * N), "data.target=day", words=("column 'day' holds date32",)
    ),
    "no target": broken_csv(valid_columns(), "data.target=[]", words=("data.target must name at least one column",)),
    # weights, groups, times, rows
    "negative weights": broken_csv(
        columns_with(w=[1.0] * 6 + [-2.0] + [1.0] * (N - 7)),
        "data.weight=w",
        words=("'w', data.weight", "row 7 has -2"),
    ),
    "a missing weight": broken_csv(
        columns_with(w=[1.0] * 6 + [None] + [2.0] * (N - 7)),
        "data.weight=w",
        words=("'w', data.weight", "row 7 has none"),
    ),
    "weights of nothing": broken_csv(columns_with(w=[0.0] * N), "data.weight=w", words=("'w', data.weight", "above 0")),
    "text for a weight": broken_csv(columns_with(w=["much"] * N), "data.weight=w", words=("'w'", "'much' in row 1")),
    "a missing group": broken_csv(
        columns_with(g=["a", None] * (N // 2)),
        "data.group=g",
        "split=grouped",
        words=("'g', data.group", "row 2 has none"),
    ),
    "a missing time": broken_csv(
        columns_with(t=[1, None, 3] * (N // 3)), "data.time=t", "split=time", words=("'t', data.time", "row 2 has none")
    ),
    "0 rows after filtering": broken_csv(
        valid_columns(), "+data.where.city=Paris", words=("data.where", "selects none of 120 rows")
    ),
    # what the split refuses
    "groups and a split that divides them": broken_csv(
        columns_with(g=[i // 4 for i in range(N)]), "data.group=g", words=("split=grouped",)
    ),
    "no groups": broken_csv(valid_columns(), "split=grouped", words=("split=grouped needs data.group",)),
    "fewer rows than folds": broken_csv(
        valid_columns(12), "split=k_fold", "split.folds=11", words=("split.folds=11", "cannot be divided")
    ),
    "too few rows": broken_csv(valid_columns(7), words=("split.test", "does not fit")),
    "a test file without a column": Broken(
        lambda folder: [
            (folder / "t.csv").write_text(as_csv(valid_columns())),
            (folder / "test.csv").write_text(as_csv({k: v for k, v in valid_columns().items() if k != "age"})),
        ],
        (*CSV_SETTINGS, "data.path={}/t.csv", "data.test={}/test.csv"),
        ("test.csv", "'age'"),
    ),
    "a test file without the target": Broken(
        lambda folder: [
            (folder / "t.csv").write_text(as_csv(valid_columns())),
            (folder / "test.csv").write_text(as_csv({k: v for k, v in valid_columns().items() if k != "buys"})),
        ],
        (*CSV_SETTINGS, "data.path={}/t.csv", "data.test={}/test.csv"),
        ("test.csv", "no column 'buys'"),
    ),
    "a test file with a class of its own": Broken(
        lambda folder: [
            (folder / "t.csv").write_text(as_csv(valid_columns())),
            (folder / "test.csv").write_text(as_csv(columns_with(buys=["perhaps", "no"] * (N // 2)))),
        ],
        (*CSV_SETTINGS, "data.path={}/t.csv", "data.test={}/test.csv"),
        ("the test part has class perhaps",),
    ),
    "an array file with a pickle in it": broken(
        lambda folder: np.savez(folder / "t.npz", x=np.array([{}] * 40, dtype=object), y=[0, 1] * 20),
        "data=npz",
        "data.path={}/t.npz",
        words=("t.npz", "x"),
    ),
}
