"""Tables in files that hold their columns one by one and know their types: Parquet and Arrow (Feather)."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

import pyarrow as pa
import pyarrow.parquet
from pydantic.dataclasses import dataclass

from pipeline.components.errors import ColumnError, SettingError
from pipeline.components.fields import STRICT
from pipeline.components.file_words import FORMATS
from pipeline.data.files import one_line, opened
from pipeline.data.reader import RawTable
from pipeline.data.tabular_files import TabularFile

BATCH_ROWS = 65_536  # of a Parquet file
COLUMN_BUFFER_BYTES = 65_536
FILE_MAGIC, FEATHER_1_MAGIC = b"ARROW1", b"FEA1"
UNNAMED_INDEX = re.compile(r"__index_level_\d+__")


@dataclass(frozen=True, config=STRICT)
class Parquet(TabularFile):
    """A table in a Parquet file, or in several with the same columns."""

    endings: ClassVar[tuple[str, ...]] = FORMATS["parquet"]

    @contextmanager
    def _table(
        self, setting: str, path: str, like: pa.Schema | None = None, only_header: bool = False
    ) -> Iterator[RawTable]:
        label = f"{setting}={path}"

        def chunks(name: str) -> Iterator[pa.Array]:
            with opened(setting, path, was_checked=True) as file, _damage_reported(label, "Parquet", name, self.drop):
                table = pyarrow.parquet.ParquetFile(
                    file, metadata=metadata, pre_buffer=False, buffer_size=COLUMN_BUFFER_BYTES
                )
                for part in table.iter_batches(BATCH_ROWS, columns=[name], use_threads=False):
                    yield part[0]

        # A folder may have more files than can be open at the same time, so each is opened again for each column.
        with opened(setting, path) as file, _damage_reported(label, "Parquet"):
            table = pyarrow.parquet.ParquetFile(file)
            metadata, schema = table.metadata, table.schema_arrow
        yield _with_index(RawTable(label, schema, metadata.num_rows, chunks), keep_unnamed=self.index == "keep")


@dataclass(frozen=True, config=STRICT)
class Arrow(TabularFile):
    """A table in an Arrow file, which is also Feather's second version, or in several with the same columns."""

    endings: ClassVar[tuple[str, ...]] = FORMATS["arrow"]

    @contextmanager
    def _table(
        self, setting: str, path: str, like: pa.Schema | None = None, only_header: bool = False
    ) -> Iterator[RawTable]:
        label = f"{setting}={path}"

        def chunks(name: str) -> Iterator[pa.Array]:
            options = pa.ipc.IpcReadOptions(included_fields=[schema.get_field_index(name)])
            with opened(setting, path, was_checked=True) as file, _damage_reported(label, "Arrow"):
                table = pa.ipc.open_file(file, options=options)
                for number in range(table.num_record_batches):
                    yield table.get_batch(number).column(0)

        with opened(setting, path) as file, _damage_reported(label, "Arrow"):
            magic = file.read(len(FILE_MAGIC))
            file.seek(0)
            if magic.startswith(FEATHER_1_MAGIC):
                raise SettingError(f"{label} is a Feather file of version 1; write it again as version 2 or as Parquet")
            is_stream = magic != FILE_MAGIC  # it has to be read from its beginning to its end
            whole = pa.ipc.open_stream(file).read_all() if is_stream else None
            schema = pa.ipc.open_file(file).schema if whole is None else whole.schema
        if whole is not None:
            raw = RawTable(label, schema, whole.num_rows, lambda name: whole[name].chunks)
        else:
            n_rows = sum(map(len, chunks(schema.names[0]))) if schema.names else 0
            raw = RawTable(label, schema, n_rows, chunks)
        yield _with_index(raw, keep_unnamed=self.index == "keep")


@contextmanager
def _damage_reported(label: str, format_: str, column: str = "", dropped: tuple[str, ...] = ()) -> Iterator[None]:
    """Report errors of the block as a damaged file."""
    try:
        yield
    except pa.ArrowInvalid as error:
        if "Expected all lists to be of size" not in str(error):
            raise SettingError(_damaged(label, format_, error)) from None
        problem = (
            f"{label}: column {column!r} has a row without a list, which Arrow cannot read from Parquet files if the "
            "lists are declared as of fixed size; write it as lists, or leave it out with"
        )
        raise ColumnError(column, problem, dropped) from None
    except (pa.ArrowException, OSError) as error:
        raise SettingError(_damaged(label, format_, error)) from None


def _damaged(label: str, format_: str, error: Exception) -> str:
    return f"{label} is not a complete {format_} file ({one_line(error)}); write it again"


def _with_index(raw: RawTable, keep_unnamed: bool) -> RawTable:
    """The table with the index of pandas if that has a name; an index without a name only numbers the rows."""
    levels = (raw.schema.pandas_metadata or {}).get("index_columns", [])
    unnamed = [level for level in levels if isinstance(level, str) and UNNAMED_INDEX.fullmatch(level)]
    if unnamed and not keep_unnamed:
        note = "the index of pandas left out, as it has no name; data.index=keep learns from it"
        columns = [column for column in raw.schema if column.name not in unnamed]
        raw = raw._replace(schema=pa.schema(columns), notes=(*raw.notes, note))
    ranges = [level for level in levels if isinstance(level, dict) and level.get("name")]
    for level in ranges:  # numbers from a start to a stop, of which the file holds only these
        name, values = level["name"], pa.array(range(level["start"], level["stop"], level["step"]), pa.int64())
        if name not in raw.schema.names and len(values) == raw.n_rows:
            raw = _with_column(raw, name, values)
    return raw


def _with_column(raw: RawTable, added: str, values: pa.Array) -> RawTable:
    return raw._replace(
        schema=raw.schema.append(pa.field(added, values.type)),
        chunks=lambda name: [values] if name == added else raw.chunks(name),
    )
