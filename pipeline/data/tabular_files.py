"""Tables in files: CSV and Parquet, read by Arrow."""

import codecs
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from pydantic import AfterValidator, BeforeValidator, Field
from pydantic.dataclasses import dataclass

from nncore.inference.table import Column, Table
from pipeline.components.errors import SettingError
from pipeline.components.fields import STRICT, Name
from pipeline.components.types import Dataset
from pipeline.data.files import FileAddress, content_of, one_line, opened
from pipeline.data.reader import RawTable, TableReader
from pipeline.data.roles import Roles, near
from pipeline.data.tables import dataset_of, feature_columns, require_columns

ROWS_AT_A_TIME = 65_536  # of a Parquet file
BUFFER = 65_536  # bytes of each column
LOOK_AT = 4096  # bytes
OTHER_DELIMITERS = (";", "\t", "|", ",")
Character = Annotated[
    str, BeforeValidator(lambda text: "\t" if text in ("\\t", "tab") else text), Field(min_length=1, max_length=1)
]


def _codec(name: str) -> str:
    try:
        return codecs.lookup(name).name
    except LookupError:
        raise ValueError(f"must be an encoding such as utf-8 or latin-1, but is {name}") from None


@dataclass(frozen=True, config=STRICT)
class TabularFile(Roles):
    """A table in a file.

    path   local, or an address that fsspec knows; a relative one starts where the user stands
    test   the same for a table of its own with the official test rows, or None
    name   of the data set
    """

    path: FileAddress
    test: FileAddress | None
    name: Name

    @property
    def address(self) -> str:
        """Where it is."""
        return self.path

    def check(self) -> None:
        """See Source; looks at the headers."""
        with self._table("data.path", self.path, only_header=True) as table:
            columns = feature_columns(table, self)
        if self.test is not None:
            with self._table("data.test", self.test, only_header=True) as test:
                require_columns(columns, test, self)

    def content(self) -> str | None:
        """See Source."""
        return content_of("data.path", *filter(None, [self.path, self.test]))

    def rows_for(self, columns: tuple[Column, ...]) -> Table:
        """All rows, as a model with these columns sees them; other columns are not read."""
        roles = replace(self, target=(), keep=None, drop=(), where={}, weight=None, group=None, time=None)
        with self._table("data.path", self.path) as rows:
            names = rows.schema.names
            for missing in (column.name for column in columns if column.name not in names):
                raise SettingError(
                    f"{rows.said} has no column {missing!r}, which the model reads{near(missing, names)}"
                )
            return TableReader(rows, list(columns), roles, grows=False).table

    def __call__(self) -> Dataset:
        """Load all rows, in one pass."""
        with self._table("data.path", self.path) as rows:
            if self.test is None:
                return dataset_of(rows, self)
            with self._table("data.test", self.test, rows.schema) as test:
                return dataset_of(rows, self, test)

    def _table(self, setting: str, path: str, like: pa.Schema | None = None, only_header: bool = False) -> Any:
        """A context in which the table can be read; where its types have to be guessed, they are those of `like`."""
        raise NotImplementedError


@dataclass(frozen=True, config=STRICT)
class Csv(TabularFile):
    """A table in a CSV file, plain or compressed, with a header.

    delimiter   between values
    decimal     the point in numbers
    encoding    of its text
    missing     texts that stand for a missing value
    """

    delimiter: Character
    decimal: Character
    encoding: Annotated[str, AfterValidator(_codec)]
    missing: tuple[str, ...]

    @property
    def point(self) -> str:
        """See Roles."""
        return self.decimal

    @contextmanager
    def _table(
        self, setting: str, path: str, like: pa.Schema | None = None, only_header: bool = False
    ) -> Iterator[RawTable]:
        said = f"{setting}={path}"
        with opened(setting, path, compression="infer") as file:
            if b"\0" in file.read(LOOK_AT) and not self.encoding.startswith(("utf-16", "utf-32")):
                raise SettingError(f"{said}: its text is not {self.encoding}; {self._other_encoding}")
            file.seek(0)
            try:
                read = pyarrow.csv.open_csv if only_header else pyarrow.csv.read_csv
                table = read(file, *self._options(like))
                names = table.schema.names
            except pa.ArrowInvalid as error:
                raise SettingError(f"{said}: {self._described(error)}") from None
            except UnicodeDecodeError:
                raise SettingError(f"{said}: its text is not {self.encoding}; {self._other_encoding}") from None
            self._check_header(said, names)
            if only_header:  # Arrow takes text that is not valid in the encoding for bytes; see _check_text
                texts = [f.with_type(pa.string()) if pa.types.is_binary(f.type) else f for f in table.schema]
                yield RawTable(said, pa.schema(texts), 0, lambda name: ())
            else:
                self._check_text(said, table)
                yield RawTable(said, table.schema, table.num_rows, lambda name: table[name].chunks)

    def _options(self, like: pa.Schema | None) -> tuple[Any, ...]:
        types = {field.name: pa.float64() if _counts(field.type) else field.type for field in like or ()}
        types |= {name: pa.string() for name, kind in self.kinds.items() if kind != "numeric"}
        return (
            pyarrow.csv.ReadOptions(use_threads=False, encoding=self.encoding),  # one thread knows the rows' numbers
            pyarrow.csv.ParseOptions(delimiter=self.delimiter, newlines_in_values=True),
            pyarrow.csv.ConvertOptions(
                column_types=types,
                null_values=list(self.missing),
                strings_can_be_null=True,
                decimal_point=self.decimal,
            ),
        )

    def _described(self, error: Exception) -> str:
        text = one_line(error)
        ragged = re.search(r"Row #(\d+): Expected (\d+) columns, got (\d+)", text)
        if ragged:
            line, expected, found = map(int, ragged.groups())
            return (
                f"row {line - 1} has {found} values, but the header has {expected} columns; mend the row, or see "
                f"whether data.delimiter={self.delimiter!r} is right"
            )
        if "invalid UTF8" in text:
            return f"its text is not {self.encoding} ({text}); {self._other_encoding}"
        return f"it is no CSV file that can be read ({text}); see data.delimiter, data.encoding and data.decimal"

    def _check_header(self, said: str, names: list[str]) -> None:
        others = [d for d in OTHER_DELIMITERS if d != self.delimiter and d in names[0]]
        if len(names) == 1 and others:
            raise SettingError(
                f"{said} has one column, {names[0][:60]!r}, with data.delimiter={self.delimiter!r}; "
                f"set data.delimiter={others[0]!r}"
            )
        super()._check_header(said, names)

    def _check_text(self, said: str, table: pa.Table) -> None:
        """Every text is valid in the encoding."""
        for field in table.schema:
            if pa.types.is_binary(field.type):
                row, value = next((i, v) for i, v in enumerate(table[field.name].to_pylist(), 1) if v and not _valid(v))
                found = f"column {field.name!r} in row {row} is not {self.encoding} ({value[:20]!r})"
                raise SettingError(f"{said}: {found}; {self._other_encoding}")

    @property
    def _other_encoding(self) -> str:
        return "set data.encoding, such as latin-1 or utf-16"


@dataclass(frozen=True, config=STRICT)
class Parquet(TabularFile):
    """A table in a Parquet file."""

    @contextmanager
    def _table(
        self, setting: str, path: str, like: pa.Schema | None = None, only_header: bool = False
    ) -> Iterator[RawTable]:
        said = f"{setting}={path}"
        with opened(setting, path) as file:
            with _whole(said):
                table = pyarrow.parquet.ParquetFile(file, pre_buffer=False, buffer_size=BUFFER)
                schema = _without_index(table.schema_arrow)

            def chunks(name: str) -> Iterator[pa.Array]:
                parts = table.iter_batches(ROWS_AT_A_TIME, columns=[name], use_threads=False)
                while True:
                    with _whole(said):
                        part = next(parts, None)
                    if part is None:
                        return
                    yield part[0]

            yield RawTable(said, schema, table.metadata.num_rows, chunks)


@contextmanager
def _whole(said: str) -> Iterator[None]:
    """Say of what goes wrong in the block that the Parquet file is at fault."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise SettingError(f"{said} is no whole Parquet file ({one_line(error)}); write it again") from None


def _without_index(schema: pa.Schema) -> pa.Schema:
    """Without the columns that are a pandas index: it numbers the rows, and comes back as no column."""
    index = (schema.pandas_metadata or {}).get("index_columns", [])
    return pa.schema([field for field in schema if field.name not in [name for name in index if isinstance(name, str)]])


def _counts(kind: pa.DataType) -> bool:
    """Whether the values are whole numbers, or nothing: in another part of the table there may be fractions."""
    return bool(pa.types.is_integer(kind) or pa.types.is_null(kind))


def _valid(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True
