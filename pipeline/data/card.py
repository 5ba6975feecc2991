"""The data card: a summary of a data set as plain values, for people and for MLflow."""

from hashlib import sha256
from typing import Any

import numpy as np
from rich.console import Console

from nncore.inference.table import CODED, MISSING, Column, Table
from nncore.kernels.backend import Array
from pipeline.components.types import DataCard, Dataset
from pipeline.data.spellings import bounds_of

MAX_LISTED = 12  # classes and targets in the terminal
BLOCK_BYTES = 1 << 20  # the digest copies one block at a time
BLOCK_NUMBERS = 1 << 18


def data_card(dataset: Dataset) -> DataCard:
    """Summarize a data set.

    Returns
    -------
    dict
        Plain values:

        - name, source: of the data set; added by the run, because only its settings know them
        - n_rows, n_test_rows: rows to split; rows of the official test part, 0 without one
        - columns: name, kind and share of missing values (0 to 1) of each; for texts the number of levels; the reading:
          how its texts are read, "" if they are read as they are
        - missing: share of missing values over all columns
        - classes: rows of each class, or rows with each label (multilabel); null for a regression
        - target_statistics: mean, standard deviation, minimum, median and maximum of each target; else null
        - notes: what was decided while reading, such as columns that were left out, as texts
        - warnings: what should make a person look twice; added by the run, when the rows are split and prepared
        - digest: SHA-256 of all rows, with the official test part: columns, values, targets, weights
    """
    rows = dataset.rows
    shares = _missing(rows.x)
    columns = [_column(column, share) for column, share in zip(rows.x.columns, shares, strict=True)]
    return {
        "task": dataset.task,
        "targets": list(dataset.targets),
        "n_rows": len(rows),
        "n_test_rows": len(dataset.test) if dataset.test else 0,
        "columns": columns,
        "missing": float(np.mean(shares)) if shares else 0.0,
        **_summary_of_targets(dataset),
        "weighted": rows.weights is not None,
        "n_groups": None if dataset.groups is None else len(np.unique(dataset.groups)),
        "notes": list(dataset.notes),
        "warnings": [],
        "digest": _digest(dataset),
    }


def print_card(console: Console, card: DataCard) -> None:
    """Print the data card in a few lines, and its notes."""
    official = f" and {card['n_test_rows']:,} official test rows" if card["n_test_rows"] else ""
    groups = f", {card['n_groups']:,} groups" if card["n_groups"] else ""
    kinds = [column["kind"] for column in card["columns"]]
    counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
    missing = f", {card['missing']:.1%} of the values missing" if card["missing"] else ""
    lines = [
        f"{card['n_rows']:,} rows{official}{groups}, {len(kinds)} columns: {counts}{missing}",
        f"{card['task']} of {_listed(card['targets'])}: {_targets(card)}",
        f"sha256 {card['digest'][:16]}",
    ]
    for heading, line in zip(("data", "", ""), lines, strict=True):
        console.print(f"{heading:<11}{line}", soft_wrap=True)
    names_of: dict[str, list[str]] = {}
    for column in card["columns"]:
        names_of.setdefault(column["reading"], []).append(column["name"])
    readings = [f"{_listed(names)} ({reading})" for reading, names in names_of.items() if reading]
    if readings:
        console.print(f"{'read as':<11}{'; '.join(readings)}", soft_wrap=True, markup=False)
    for note in card["notes"]:
        console.print(f"note: {note}", soft_wrap=True)


def _missing(table: Table) -> list[float]:
    """Share of missing values of each column, counted over blocks of rows, as they lie in memory."""
    block_rows = max(1, BLOCK_NUMBERS // len(table.columns))
    parts = [table[first : first + block_rows] for first in range(0, len(table), block_rows)]
    numbers = np.sum([np.isnan(part.numbers).sum(axis=0) for part in parts], axis=0)
    codes = np.sum([(part.codes == MISSING).sum(axis=0) for part in parts], axis=0)
    counted = Table(table.columns, numbers[None], codes[None])
    return [float(count[0]) / len(table) for _, count in counted.column_values]


def reading_of_column(column: Column) -> str:
    """How the texts of a column are read, in a few words; "" if they are read as they are."""
    if column.kind == "time":
        return "times of day"
    if column.kind == "ordinal" and all(map(bounds_of, column.levels)):
        return f"ordered: {' < '.join(column.levels[:MAX_LISTED])}" + (" < ..." if column.levels[MAX_LISTED:] else "")
    return "" if column.kind in (*CODED, "boolean") else column.spelling.describe()


def _column(column: Column, missing: float) -> dict[str, Any]:
    summary: dict[str, Any] = {"name": column.name, "kind": column.kind, "missing": missing}
    summary["reading"] = reading_of_column(column)
    return summary | ({"levels": len(column.levels)} if column.kind in CODED else {})


def _summary_of_targets(dataset: Dataset) -> dict[str, Any]:
    """See `data_card`: the classes, or the statistics of a regression."""
    y, classes, statistics = dataset.rows.y, None, None
    if dataset.task == "classification":
        classes = {str(label): int(count) for label, count in zip(*np.unique(y, return_counts=True), strict=True)}
    elif dataset.task == "multilabel":
        classes = {name: int(count) for name, count in zip(dataset.targets, y.sum(axis=0), strict=True)}
    else:
        statistics = {
            name: {
                "mean": float(values.mean()),
                "std": float(values.std()),
                "min": float(values.min()),
                "median": float(np.median(values)),
                "max": float(values.max()),
            }
            for name, values in zip(dataset.targets, y.T, strict=True)
        }
    return {"classes": classes, "target_statistics": statistics}


def _digest(dataset: Dataset) -> str:
    state = sha256(repr((dataset.task, dataset.targets)).encode())
    for rows in filter(None, (dataset.rows, dataset.test)):
        table: Table = rows.x
        state.update(repr(table.columns).encode())
        for array in (table.numbers, table.codes, rows.y, rows.weights):
            _add_array(state, array)
    for array in (dataset.groups, dataset.times):
        _add_array(state, array)
    return state.hexdigest()


def _add_array(state: Any, array: Array | None) -> None:
    """Hash the array's dtype, shape and values in row order, whatever its memory layout."""
    if array is None:
        state.update(b"none")
        return
    state.update(f"{array.dtype} {array.shape}".encode())
    block_rows = BLOCK_BYTES // max(1, array[:1].nbytes) + 1
    for first in range(0, len(array), block_rows):
        state.update(array[first : first + block_rows].tobytes())


def _targets(card: DataCard) -> str:
    if card["classes"]:
        shares = [f"{label} {count / card['n_rows']:.1%}" for label, count in card["classes"].items()]
        return f"{len(shares)} {'labels' if card['task'] == 'multilabel' else 'classes'}, {_listed(shares)}"
    return "; ".join(
        f"{values['mean']:.4g} +- {values['std']:.4g}, from {values['min']:.4g} to {values['max']:.4g}"
        for values in list(card["target_statistics"].values())[:MAX_LISTED]
    )


def _listed(texts: list[str]) -> str:
    more = f" and {len(texts) - MAX_LISTED} more" if len(texts) > MAX_LISTED else ""
    return ", ".join(texts[:MAX_LISTED]) + more
