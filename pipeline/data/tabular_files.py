"""Tables in files: what all formats have in common, and CSV."""

import codecs
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, ClassVar

import pyarrow as pa
import pyarrow.csv
from pydantic import AfterValidator, BeforeValidator, Field
from pydantic.dataclasses import dataclass

from nncore.inference.table import CODED, Column, ColumnKind
from pipeline.components.errors import Problems, SettingError
from pipeline.components.fields import STRICT, Name
from pipeline.components.types import Dataset, RowsToPredict
from pipeline.data.data_files import FORMATS, data_files, partition_columns
from pipeline.data.files import FileAddress, content_of, one_line, opened
from pipeline.data.parts import conflicting_columns, flattened, stacked
from pipeline.data.reader import RawTable, TableReader
from pipeline.data.roles import Roles, Value, did_you_mean
from pipeline.data.tables import dataset_of, feature_columns, require_columns

PROBED_BYTES = 4096
MAX_READ_TWICE = 1 << 26  # bytes of a file whose rows are read by `check`, too, if its header is wrong
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
    """A table in a file, or in several files with the same columns.

    Parameters
    ----------
    path : str or tuple of str
        A local path, relative to the current directory, or any address that fsspec knows: of a file, of a folder with
        all files below it, or a pattern such as data/*.csv. Folders named as by Hive, year=2020, add columns.
    test : str, tuple of str or None
        The same for a separate table with the official test rows.
    name : str
        Name of the data set.
    """

    path: FileAddress | tuple[FileAddress, ...]
    test: FileAddress | tuple[FileAddress, ...] | None
    name: Name

    endings: ClassVar[tuple[str, ...]] = ()  # of the names of such files
    infers_types: ClassVar[bool] = False  # whether the types of columns depend on the values of a file

    @property
    def address(self) -> str:
        """Where the table is."""
        return self.path if isinstance(self.path, str) else ", ".join(self.path)

    def check(self) -> None:
        """See Source; reads the headers, and the rows of small files if the headers are wrong: to say all at once."""
        problems = Problems()
        with problems.collected():
            with self._rows("data.path", self.path, only_header=True) as table:
                columns = feature_columns(table, self, problems)
            if self.test is not None:
                with self._rows("data.test", self.test, only_header=True) as test:
                    require_columns(columns, test, self, problems)
        if problems and isinstance(self.path, str) and _size_of_local_file(self.path) <= MAX_READ_TWICE:
            with problems.collected():
                self()
        problems.raise_all()

    def content(self) -> str | None:
        """See Source; the names of folders count where they give columns."""
        parts = {"data.path": self.path} | ({} if self.test is None else {"data.test": self.test})
        files = [file for setting, path in parts.items() for file in data_files(setting, path, self.endings)]
        content = content_of("data.path", *(file.path for file in files))
        partitions = [file.partitions for file in files]
        if content is None or not any(partitions):
            return content
        return sha256(repr((content, partitions)).encode()).hexdigest()

    def rows_for(
        self, columns: tuple[Column, ...], keep: tuple[str, ...] = (), targets: tuple[str, ...] = ()
    ) -> RowsToPredict:
        """Read all rows in the columns of a model.

        Parameters
        ----------
        columns : tuple of Column
            Those that the model reads.
        keep : tuple of str, default ()
            Columns whose values are returned as they are, too.
        targets : tuple of str, default ()
            The model's targets, which are read if the file has them all, and then data.weight, too.

        Raises
        ------
        SettingError
            With all that is wrong with the file.
        """
        roles = replace(self, target=(), keep=None, drop=(), where={}, weight=None, group=None, time=None)
        as_numbers = [column.name for column in columns if column.kind not in CODED]
        texts: dict[str, ColumnKind | tuple[Value, ...]] = {n: "categorical" for n in keep if n not in as_numbers}
        with replace(self, kinds={**self.kinds, **texts})._rows("data.path", self.path) as rows:
            names, problems = rows.schema.names, Problems()
            self._check_header(rows.label, names)
            wanted = {column.name: "the model reads" for column in columns} | dict.fromkeys(keep, "keep names")
            for name, reason in wanted.items():
                if name not in names:
                    problems.add(
                        f"{rows.label}: there is no column {name!r}, which {reason}{did_you_mean(name, names)}"
                    )
            problems.raise_all()
            reader = TableReader(rows, list(columns), roles, problems, is_training_data=False)
            problems.raise_all()
            read = RowsToPredict(reader.table, {name: reader.plain(name) for name in keep}, {})
            if not targets or not {*targets} <= {*names}:
                return read
            weight = self.weight if self.weight in names else None
            reader = TableReader(rows, [], replace(roles, target=targets, weight=weight), problems, False)
            weights = reader.special_column("weight")
            obstacle = ""
            try:
                problems.raise_all()
            except SettingError as error:
                obstacle = "; ".join(error.problems)
            return read._replace(targets=reader.targets, weights=weights, obstacle=obstacle)

    def __call__(self) -> Dataset:
        """Load all rows, in one pass."""
        with self._rows("data.path", self.path) as rows:
            if self.test is None:
                return dataset_of(rows, self)
            with self._rows("data.test", self.test, rows.schema) as test:
                return dataset_of(rows, self, test)

    @contextmanager
    def _rows(
        self, setting: str, path: str | tuple[str, ...], like: pa.Schema | None = None, only_header: bool = False
    ) -> Iterator[RawTable]:
        """A context in which the rows of all files can be read. Types that have to be inferred are those of `like`."""
        label = f"{setting}={path if isinstance(path, str) else ','.join(path)}"
        files = data_files(setting, path, self.endings)
        partitions = partition_columns(files)
        with ExitStack() as stack:

            def tables(like: pa.Schema | None) -> list[RawTable]:
                some = files[:1] if only_header else files
                return [stack.enter_context(self._table(setting, file.path, like, only_header)) for file in some]

            parts = tables(like)
            if self.infers_types and (names := conflicting_columns(parts)):  # texts in one file, numbers in another
                parts = tables(pa.schema([*(like or ()), *(pa.field(name, pa.string()) for name in names)]))
            first = {name: values[: len(parts)] for name, values in partitions.items()}
            rows = parts[0] if len(parts) == 1 and not first else stacked(label, parts, first)
            yield flattened(rows, self.drop)

    def _table(self, setting: str, path: str, like: pa.Schema | None = None, only_header: bool = False) -> Any:
        """A context in which the table in one file can be read."""
        raise NotImplementedError


@dataclass(frozen=True, config=STRICT)
class Csv(TabularFile):
    """A table in a CSV file, plain or compressed, with a header.

    Parameters
    ----------
    delimiter : str
        One character between values.
    decimal : str
        The decimal sign of numbers.
    encoding : str
        Of the text, such as utf-8 or latin-1.
    missing : tuple of str
        Texts that stand for a missing value.
    """

    delimiter: Character
    decimal: Character
    encoding: Annotated[str, AfterValidator(_codec)]
    missing: tuple[str, ...]

    endings: ClassVar[tuple[str, ...]] = FORMATS["csv"]
    infers_types: ClassVar[bool] = True

    @property
    def decimal_sign(self) -> str:
        """See Roles."""
        return self.decimal

    @contextmanager
    def _table(
        self, setting: str, path: str, like: pa.Schema | None = None, only_header: bool = False
    ) -> Iterator[RawTable]:
        label = f"{setting}={path}"
        with opened(setting, path, compression="infer") as file:
            if b"\0" in file.read(PROBED_BYTES) and not self.encoding.startswith(("utf-16", "utf-32")):
                raise SettingError(f"{label}: its text is not {self.encoding}; {self._encoding_cure}")
            file.seek(0)
            try:
                read = pyarrow.csv.open_csv if only_header else pyarrow.csv.read_csv
                table = read(file, *self._options(like))
                names = names_as_pandas(table.schema.names)
            except pa.ArrowInvalid as error:
                raise SettingError(f"{label}: {self._described(error)}") from None
            except UnicodeDecodeError:
                raise SettingError(f"{label}: its text is not {self.encoding}; {self._encoding_cure}") from None
            self._check_delimiter(label, names)
            if only_header:  # Arrow takes text that is not valid in the encoding for bytes; see _check_text
                types = [pa.string() if pa.types.is_binary(type_) else type_ for type_ in table.schema.types]
                yield RawTable(label, pa.schema(list(zip(names, types, strict=True))), 0, lambda name: ())
            else:
                table = table.rename_columns(names)
                self._check_text(label, table)

                def exact(name: str) -> Iterator[pa.Array]:
                    if not pa.types.is_floating(table.schema.field(name).type):
                        yield from table[name].chunks
                        return
                    as_texts = replace(self, kinds={**self.kinds, name: "categorical"})
                    with as_texts._table(setting, path, like) as again:
                        yield from again.chunks(name)

                yield RawTable(label, table.schema, table.num_rows, lambda name: table[name].chunks, exact=exact)

    def _options(self, like: pa.Schema | None) -> tuple[Any, ...]:
        types = {
            field.name: pa.float64() if _may_turn_out_fractional(field.type) else field.type for field in like or ()
        }
        types |= {name: pa.string() for name, kind in self.kinds.items() if kind != "numeric"}
        types |= {name: pa.string() for name in (self.group, self.time) if name}  # Arrow reads long ids as float64
        return (
            pyarrow.csv.ReadOptions(
                use_threads=False, encoding=self.encoding
            ),  # with one thread errors name the right row
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
                f"row {line - 1} has {found} values, but the header has {expected} columns; correct the row, or see "
                f"whether data.delimiter={self.delimiter!r} is right"
            )
        if "invalid UTF8" in text:
            return f"its text is not {self.encoding} ({text}); {self._encoding_cure}"
        return f"it cannot be read as a CSV file ({text}); see data.delimiter, data.encoding and data.decimal"

    def _check_delimiter(self, label: str, names: list[str]) -> None:
        others = [d for d in OTHER_DELIMITERS if d != self.delimiter and d in names[0]]
        if len(names) == 1 and others:
            raise SettingError(
                f"{label} has one column, {names[0][:60]!r}, with data.delimiter={self.delimiter!r}; "
                f"set data.delimiter={others[0]!r}"
            )

    def _check_text(self, label: str, table: pa.Table) -> None:
        """Raise SettingError unless every text is valid in the encoding."""
        for field in table.schema:
            if pa.types.is_binary(field.type):
                row, value = next(
                    (i, v) for i, v in enumerate(table[field.name].to_pylist(), 1) if v and not _is_utf8(v)
                )
                found = f"column {field.name!r} in row {row} is not {self.encoding} ({value[:20]!r})"
                raise SettingError(f"{label}: {found}; {self._encoding_cure}")

    @property
    def _encoding_cure(self) -> str:
        return "set data.encoding, such as latin-1 or utf-16"


def names_as_pandas(names: Sequence[str]) -> list[str]:
    """The names of columns, with those that pandas gives to columns without one: "Unnamed: 0" for the first column."""
    return [name or f"Unnamed: {number}" for number, name in enumerate(names)]


def _may_turn_out_fractional(arrow_type: pa.DataType) -> bool:
    """Whether the values are integers or all missing: another file of the table may hold fractions."""
    return bool(pa.types.is_integer(arrow_type) or pa.types.is_null(arrow_type))


def _size_of_local_file(path: str) -> float:
    """Its bytes, or infinity if there is no such file, or a folder."""
    try:
        return Path(path).stat().st_size if Path(path).is_file() else float("inf")
    except (OSError, ValueError):
        return float("inf")


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True
