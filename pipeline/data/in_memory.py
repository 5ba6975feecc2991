"""Tables in memory: data frames, Arrow tables, and matrices. They become files, which `data=arrow` reads.

A file, and not a reference to the memory: the data of a run are read again when it is resumed or extended, by a later
process or by workers, and whatever holds for files (hashes, the cache, cures in errors, the command that repeats a run)
then holds for data frames, too. A file is named for its content, so that a table is written once for all its runs.
"""

from collections.abc import Mapping, Sequence
from hashlib import file_digest
from pathlib import Path
from secrets import token_hex
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.components.errors import SettingError

NAME_LENGTH = 16  # hexadecimal digits of a file's name
KINDS = "a data frame of pandas or Polars, an Arrow table, a mapping of columns, or a matrix"


def table_of(data: Any, y: Any = None, target: Sequence[str] | None = None) -> tuple[pa.Table, list[str] | None]:
    """The table that data in memory hold.

    Parameters
    ----------
    data : data frame, Arrow table, mapping of str to sequence, or array (N, I)
        A data frame is one of pandas, of Polars, or any object with Arrow's stream interface. The columns of a matrix
        are named x0, x1, ...
    y : Series or array (N,) or (N, T), or data frame, optional
        The targets, unless they are columns of `data`.
    target : sequence of str, optional
        The names of the targets; by default those that y has, or "y", or y0, y1, ...

    Returns
    -------
    table : pyarrow.Table
    target : list of str or None

    Raises
    ------
    SettingError
        Naming what cannot be a table, or the column whose values cannot be read.
    """
    table = _table("data", data, "x")
    if y is None:
        return table, None if target is None else list(target)
    targets = _targets(y, target)
    if len(targets) != len(table):
        raise SettingError(f"y must have as many rows as the data, but has {len(targets):,}, and they {len(table):,}")
    for field, values in zip(targets.schema, targets.columns, strict=True):
        if field.name in table.schema.names:
            raise SettingError(
                f"y is named {field.name!r}, as a column of the data is; give it another name with target=..., or "
                "leave y out if it is that column"
            )
        table = table.append_column(field, values)
    return table, targets.schema.names


def stored(table: pa.Table, folder: Path) -> Path:
    """Write a table into a folder, as an Arrow file that is named for its content; return the path."""
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f".{token_hex(8)}"
    try:
        with pa.OSFile(str(unfinished), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table.combine_chunks())
        with unfinished.open("rb") as file:
            path = folder / f"{file_digest(file, 'sha256').hexdigest()[:NAME_LENGTH]}.arrow"
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path


def _targets(y: Any, target: Sequence[str] | None) -> pa.Table:
    """The targets as a table of their own."""
    if hasattr(y, "columns") or isinstance(y, pa.Table | Mapping):
        targets = _table("y", y, "y")
    else:
        values = np.asarray(y)
        targets = _table("y", values[:, None] if values.ndim == 1 else values, "y")
        own = getattr(y, "name", None)
        if targets.num_columns == 1:
            targets = targets.rename_columns([str(own) if own is not None else "y"])
    if target is None:
        return targets
    if len(target) != targets.num_columns:
        raise SettingError(f"target must name each of {targets.num_columns} targets in y, but has {len(target)} names")
    return targets.rename_columns(list(target))


def _table(what: str, data: Any, prefix: str) -> pa.Table:
    """The table; the columns of a matrix are named for the prefix."""
    try:
        if isinstance(data, pa.RecordBatch):
            return pa.Table.from_batches([data])
        if type(data).__module__.partition(".")[0] == "pandas":  # with its index, if that has a name
            return pa.Table.from_pandas(data)
        if not hasattr(data, "__arrow_c_stream__") and hasattr(data, "collect"):
            data = data.collect()  # a lazy frame
        if isinstance(data, pa.Table | Mapping) or hasattr(data, "__arrow_c_stream__"):
            return pa.table(dict(data) if isinstance(data, Mapping) else data)
        matrix = np.asarray(data)
        if matrix.ndim == 2:
            columns = {
                f"{prefix}{number}": pa.array(values, from_pandas=True) for number, values in enumerate(matrix.T)
            }
            return pa.table(columns)
    except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
        text = " ".join(" ".join(map(str, error.args)).split())
        raise SettingError(
            f"{what} cannot be read as a table ({text}); each column must hold one kind of value"
        ) from None
    raise SettingError(
        f"{what} must be {KINDS}, with one row for each example, but is {type(data).__name__} of shape {np.shape(data)}"
    )
