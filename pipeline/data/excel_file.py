"""Tables in Excel workbooks (.xlsx), read row by row with openpyxl."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta
from itertools import chain, islice
from typing import IO, Any, ClassVar
from xml.etree.ElementTree import ParseError

import pyarrow as pa
from pydantic.dataclasses import dataclass

from nncore.inference.table import as_text
from pipeline.components.errors import SettingError
from pipeline.components.fields import STRICT, NonNegativeInt, PositiveInt
from pipeline.components.file_words import FORMATS
from pipeline.data.csv_layout import names_as_pandas, note_on_names
from pipeline.data.files import one_line, opened
from pipeline.data.reader import RawTable
from pipeline.data.tabular_files import TabularFile

PROBED_ROWS = 50  # among which the header is searched
TYPES: tuple[tuple[tuple[type, ...], pa.DataType], ...] = (
    ((bool,), pa.bool_()), ((int,), pa.int64()), ((int, float), pa.float64()), ((datetime,), pa.timestamp("us")),
    ((date,), pa.date32()), ((time,), pa.time64("us")), ((timedelta,), pa.duration("us")),
)  # fmt: skip
Row = tuple[Any, ...]


@dataclass(frozen=True, config=STRICT)
class Excel(TabularFile):
    """A table in a sheet of an Excel workbook, or in several workbooks with the same columns.

    Parameters
    ----------
    sheet : str, int > 0, or None
        Name of the sheet, or its number, counted from 1; None: the first.
    skip_rows : int, >= 0, or None
        Number of rows above the header; None: up to the first row that is more than half filled.
    missing : tuple of str
        Texts that stand for a missing value.
    """

    sheet: str | PositiveInt | None
    skip_rows: NonNegativeInt | None
    missing: tuple[str, ...]

    endings: ClassVar[tuple[str, ...]] = FORMATS["excel"]
    infers_types: ClassVar[bool] = True

    @contextmanager
    def _table(
        self, setting: str, path: str, like: pa.Schema | None = None, only_header: bool = False
    ) -> Iterator[RawTable]:
        label = f"{setting}={path}"
        with opened(setting, path) as file, _workbook(label, file) as book:
            sheet, notes = self._sheet(label, book)
            sheet.reset_dimensions()  # those that the file states may be wrong
            rows = map(tuple, sheet.iter_rows(values_only=True))
            first = list(islice(rows, PROBED_ROWS))
            n_skipped = self._n_skipped(label, first)
            if n_skipped and self.skip_rows is None:
                notes.append(f"row {n_skipped + 1} of the sheet is the header; data.skip_rows={n_skipped}")
            header, *body = first[n_skipped:]
            columns, renamed = self._columns(header, body if only_header else list(chain(body, rows)))
            notes += renamed
        texts = [column.name for column in like or () if pa.types.is_string(column.type)]
        arrays = [_arrow_array(values, name in texts) for name, values in columns]
        table = pa.Table.from_arrays(arrays, names=[name for name, _ in columns])
        yield RawTable(label, table.schema, table.num_rows, lambda name: table[name].chunks, tuple(notes))

    def _sheet(self, label: str, book: Any) -> tuple[Any, list[str]]:
        """The sheet, and a note if there are others."""
        names = [sheet.title for sheet in book.worksheets]
        if not names:
            raise SettingError(f"{label} has no sheet with cells; name another file")
        if self.sheet is None:
            others = f"sheet {names[0]!r} of {len(names)} is read; data.sheet=... names another"
            return book.worksheets[0], [others] if len(names) > 1 else []
        if str(self.sheet) in names:
            return book[str(self.sheet)], []
        if isinstance(self.sheet, int) and self.sheet <= len(names):
            return book.worksheets[self.sheet - 1], []
        raise SettingError(f"{label} has no sheet {self.sheet!r}, which data.sheet names; it has {', '.join(names)}")

    def _n_skipped(self, label: str, rows: list[Row]) -> int:
        """The number of rows above the header."""
        filled = [sum(not _is_empty(cell) for cell in row) for row in rows]
        if not any(filled):
            raise SettingError(f"{label}: the first {PROBED_ROWS} rows of the sheet are empty; see data.sheet")
        if self.skip_rows is None:
            return next(row for row, n_cells in enumerate(filled) if n_cells > max(filled) / 2)
        if self.skip_rows >= len(rows):
            raise SettingError(f"data.skip_rows={self.skip_rows}: {label} has no row after these; choose fewer")
        return self.skip_rows

    def _columns(self, header: Row, rows: list[Row]) -> tuple[list[tuple[str, list[Any]]], tuple[str, ...]]:
        """Name and values of the columns without empty rows and empty columns that have no name; notes on names."""
        missing = {*self.missing, "#DIV/0!", "#NAME?", "#NULL!", "#NUM!", "#REF!", "#VALUE!"}
        rows = [row for row in rows if not all(map(_is_empty, row))]
        width = max(map(len, [header, *rows]))
        given = [*map(as_text, header), *[""] * (width - len(header))]
        names = names_as_pandas(given)
        columns = []
        for number, name in enumerate(names):
            cells = (row[number] if number < len(row) else None for row in rows)
            values = [None if isinstance(cell, str) and cell.strip() in missing else cell for cell in cells]
            is_named = number < len(header) and not _is_empty(header[number])
            if is_named or any(value is not None for value in values):
                columns.append((name, values))
        return columns, note_on_names(given, names)


@contextmanager
def _workbook(label: str, file: IO[bytes]) -> Iterator[Any]:
    try:
        import openpyxl
    except ImportError:
        raise SettingError(f"{label}: Excel files need the package openpyxl: pip install openpyxl") from None
    try:
        book = openpyxl.load_workbook(file, read_only=True, data_only=True)
        try:
            yield book
        finally:
            book.close()
    except (zipfile.BadZipFile, KeyError, ParseError, ValueError) as error:
        why = f"{label} is not a complete .xlsx file without a password ({one_line(error)})"
        raise SettingError(f"{why}; save it again, as .xlsx or as .csv") from None


def _is_empty(cell: Any) -> bool:
    return cell is None or (isinstance(cell, str) and not cell.strip())


def _arrow_array(values: list[Any], as_texts: bool) -> pa.Array:
    """The values in the type that all of them have, or as texts."""
    types = {type(value) for value in values if value is not None}
    if not types:
        return pa.array(values, pa.string() if as_texts else pa.null())
    for known, arrow_type in TYPES:
        if types <= {*known} and not as_texts:
            return pa.array(values, arrow_type)
    return pa.array([None if value is None else as_text(value) for value in values], pa.string())
