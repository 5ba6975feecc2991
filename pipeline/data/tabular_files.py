"""Tables in files: what all formats have in common, and CSV."""

import codecs
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import IO, Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
from pydantic import AfterValidator, BeforeValidator, Field, Strict
from pydantic.dataclasses import dataclass

from nncore.inference.table import CODED, Column, ColumnKind
from pipeline.components.errors import Problems, SettingError
from pipeline.components.fields import STRICT, Name, NonNegativeInt
from pipeline.components.file_words import FORMATS
from pipeline.components.types import Dataset, RowsToPredict
from pipeline.data.csv_layout import (
    AUTO,
    DECIMAL_WORDS,
    DELIMITER_WORDS,
    DELIMITERS,
    SAMPLE_BYTES,
    CsvLayout,
    CsvSettings,
    check_format,
    layout_of,
    names_as_pandas,
    word_for,
)
from pipeline.data.csv_lines import BadLines, OddLines, SqueezedFile, without_odd_rows
from pipeline.data.data_files import data_files, partition_columns
from pipeline.data.files import FileAddress, content_of, one_line, opened
from pipeline.data.parts import conflicting_columns, flattened, stacked
from pipeline.data.reader import RawTable, TableReader
from pipeline.data.roles import Roles, Value, did_you_mean
from pipeline.data.spellings import MONTH_AND_YEAR
from pipeline.data.tables import dataset_of, feature_columns, require_columns

BLOCK_BYTES = 1 << 20  # of a CSV file that Arrow reads at once; the first block shows the types of the columns
MAX_READ_TWICE = 1 << 26  # bytes of a file whose rows are read by `check`, too, if its header is wrong
ENCODING_CURE = "set data.encoding, such as latin-1 or utf-16"
Delimiter = Annotated[
    Literal["auto"] | Annotated[str, Field(min_length=1, max_length=1)],
    BeforeValidator(lambda text: DELIMITER_WORDS.get(text, text)),
]
Decimal = Annotated[Literal["auto", ".", ","], BeforeValidator(lambda text: DECIMAL_WORDS.get(text, text))]


def _codec(name: str) -> str:
    if name == AUTO:
        return name
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
        named = (*(column.name for column in columns), *keep)  # they show which line is the header
        source = replace(self, target=(), keep=named, drop=(), where={}, kinds={**self.kinds, **texts})
        with source._rows("data.path", self.path) as rows:
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
            rows = parts[0] if len(parts) == 1 and not first else stacked(label, parts, first, self.drop)
            yield flattened(rows, self.drop)

    def _table(self, setting: str, path: str, like: pa.Schema | None = None, only_header: bool = False) -> Any:
        """A context in which the table in one file can be read."""
        raise NotImplementedError


@dataclass(frozen=True, config=STRICT)
class Csv(TabularFile):
    """A table in a CSV file, plain or compressed.

    Parameters
    ----------
    delimiter : str
        One character between values; "auto": seen from the file, as the other settings.
    decimal : {"auto", ".", ","}
        The decimal sign of numbers.
    encoding : str
        Of the text, such as utf-8 or latin-1; or "auto".
    skip_rows : int >= 0 or "auto"
        Lines before the header.
    header : bool, tuple of str or "auto"
        Whether the first row names the columns, or their names if the file does not have them.
    missing : tuple of str
        Texts that stand for a missing value.
    bad_lines : {"auto", "skip", "refuse"}
        What to do with lines that are no rows: comments, totals, repeated headers, ...; see csv_lines.py. skip: leave
        out also every line with another number of values than the header.
    """

    delimiter: Delimiter
    decimal: Decimal
    encoding: Annotated[str, AfterValidator(_codec)]
    skip_rows: Literal["auto"] | NonNegativeInt
    header: Literal["auto"] | Annotated[bool, Strict()] | tuple[str, ...]
    missing: tuple[str, ...]
    bad_lines: BadLines

    endings: ClassVar[tuple[str, ...]] = FORMATS["csv"]
    infers_types: ClassVar[bool] = True

    @property
    def decimal_sign(self) -> str:
        """See Roles."""
        return "" if self.decimal == AUTO else self.decimal

    @contextmanager
    def _table(
        self, setting: str, path: str, like: pa.Schema | None = None, only_header: bool = False
    ) -> Iterator[RawTable]:
        label = f"{setting}={path}"
        wanted = [*self.targets, *self.special.values(), *(self.keep or ())] if like is None else like.names
        with opened(setting, path, compression="infer") as file:
            parsed = self._parsed(label, file, wanted, like, only_header)
            table, names, layout = parsed.table, parsed.names, parsed.layout
            self._check_delimiter(label, names)
            decimal = layout.decimal if layout.decimal != "." else self.decimal_sign
            if only_header:  # Arrow takes text that is not valid in the encoding for bytes; see _check_text
                types = [pa.string() if pa.types.is_binary(type_) else type_ for type_ in table.schema.types]
                schema = pa.schema(list(zip(names, types, strict=True)))
                yield RawTable(label, schema, 0, lambda name: (), parsed.notes, decimal=decimal)
                return
            table, notes = table.rename_columns(names), parsed.notes
            self._check_lines(label, parsed.odd_lines, layout, table)
            self._check_text(label, table, layout.encoding)
            if self.bad_lines != "refuse" and not like:
                table, more = without_odd_rows(table)
                notes = (*notes, *more)
                table = self._inferred_again(table, layout, parsed.has_leading_zeros) if more else table

            def exact(name: str) -> Iterator[pa.Array]:
                if not pa.types.is_floating(table.schema.field(name).type):
                    yield from table[name].chunks
                    return
                as_texts = replace(self, kinds={**self.kinds, name: "categorical"})
                with as_texts._table(setting, path, like) as again:
                    yield from again.chunks(name)

            yield RawTable(
                *(label, table.schema, table.num_rows, lambda name: table[name].chunks, notes),
                exact=exact,
                decimal=decimal,
                has_points=layout.decimal == "." and any(map(pa.types.is_floating, table.schema.types)),
            )

    def _parsed(
        self, label: str, file: IO[bytes], wanted: Sequence[str], like: pa.Schema | None, only_header: bool
    ) -> "_ParsedFile":
        """Read a file. Raises SettingError if it is no text in its encoding, or no table."""
        sample = file.read(SAMPLE_BYTES)
        check_format(label, sample)
        given = CsvSettings(self.delimiter, self.decimal, self.encoding, self.skip_rows, self.header)
        layout = layout_of(sample, given, wanted)
        file.seek(0)
        scanned, odd_lines = ScannedFile(file, layout.delimiter), self._odd_lines(layout)
        odd_rows: tuple[str, ...] = ()
        try:
            try:
                table = self._read(scanned, layout, like, only_header, odd_lines=odd_lines)
            except pa.ArrowInvalid as error:
                table, odd_rows = self._read_without_odd_rows(file, layout, like, odd_lines, error)
            if self.encoding == AUTO and layout.encoding == "utf-8" and _has_bytes(table):
                file.seek(0)
                layout = layout._replace(encoding="cp1252")
                table = self._read(file, layout, like, only_header)
            texts = [] if like or only_header else self._misread_texts(table, scanned.has_leading_zeros)
            if texts:
                file.seek(0)
                table = self._with_texts(table, self._read(file, layout, like, False, texts), texts)
            names = names_as_pandas(table.schema.names)
        except pa.ArrowInvalid as error:
            scanned.check(label, layout.encoding)
            self._check_lines(label, odd_lines, layout, None)
            raise SettingError(f"{label}: {self._described(error, layout)}") from None
        except UnicodeDecodeError:
            scanned.check(label, layout.encoding)
            raise SettingError(f"{label}: its text is not {layout.encoding}; {ENCODING_CURE}") from None
        scanned.check(label, layout.encoding)
        notes = (*layout.notes(given), *odd_lines.notes(), *odd_rows)
        return _ParsedFile(table, names, layout, odd_lines, scanned.has_leading_zeros, notes)

    def _misread_texts(self, table: Any, has_leading_zeros: bool) -> list[str]:
        """Columns of which Arrow makes another thing than they may be.

        Codes with leading zeros, lengths of time, integers of so many digits that float64 loses some, and months such
        as 01.2020.
        """
        integers = [f.name for f in table.schema if pa.types.is_integer(f.type) and f.name not in self.kinds]
        lengths = [f.name for f in table.schema if pa.types.is_time(f.type) and self.kinds.get(f.name) == "numeric"]
        numbers = {*self.kinds, *(self.targets if self.task == "regression" else ())}
        floats = [f.name for f in table.schema if pa.types.is_floating(f.type) and f.name not in numbers]
        long_integers = [name for name in floats if _has_lost_digits(table[name])]
        months = [name for name in floats if has_leading_zeros and _may_be_months(table[name])]
        return [*(integers if has_leading_zeros else ()), *lengths, *long_integers, *months]

    def _with_texts(self, table: Any, texts: Any, names: list[str]) -> Any:
        """The table with those columns as texts that are what `_misread_texts` names."""
        matches = pyarrow.compute.match_substring_regex
        for name in names:
            values, type_ = texts[name], table.schema.field(name).type
            if pa.types.is_integer(type_):
                has_zeros = pyarrow.compute.any(matches(values, "^\\s*0[0-9]")).as_py()
                is_text = has_zeros and pyarrow.compute.count_distinct(values).as_py() <= self.max_levels
            else:
                is_text = pa.types.is_time(type_) or any(
                    pyarrow.compute.all(matches(pyarrow.compute.utf8_trim_whitespace(values), pattern)).as_py()
                    for pattern in ("^[0-9]+$", MONTH_AND_YEAR)
                )
            if is_text:
                table = table.set_column(table.schema.get_field_index(name), name, values)
        return table

    def _read_without_odd_rows(
        self, file: Any, layout: CsvLayout, like: pa.Schema | None, odd_lines: OddLines, error: pa.ArrowInvalid
    ) -> tuple[pa.Table, tuple[str, ...]]:
        """The table whose values do not have the types of another file, if rows that are no rows are the cause."""
        if like is None or self.bad_lines == "refuse":
            raise error
        file.seek(0)
        odd_lines.lines.clear()
        texts = pa.schema([pa.field(name, pa.string()) for name in like.names])
        table, notes = without_odd_rows(self._read(file, layout, texts, False, odd_lines=odd_lines))
        if not notes:
            raise error
        return self._inferred_again(table, layout, has_leading_zeros=True), notes

    def _inferred_again(self, table: pa.Table, layout: CsvLayout, has_leading_zeros: bool) -> pa.Table:
        """The table with the types that its columns of texts have without the rows that were left out."""
        names = [field.name for field in table.schema if pa.types.is_string(field.type)]
        texts, content = table.select(names), pa.BufferOutputStream()
        pyarrow.csv.write_csv(texts, content)
        inferred = pyarrow.csv.read_csv(
            pa.BufferReader(content.getvalue()),
            parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
            convert_options=self._conversion(layout, self._declared_types(), names),
        )
        inferred = self._with_texts(inferred, texts, self._misread_texts(inferred, has_leading_zeros))
        for name in names:
            table = table.set_column(table.schema.get_field_index(name), name, inferred[name])
        return table

    def _declared_types(self) -> dict[str, pa.DataType]:
        """The types of columns that settings name."""
        exact = [name for name in (self.group, self.time) if name]  # Arrow reads long ids as float64
        return dict.fromkeys((name for name, kind in self.kinds.items() if kind != "numeric"), pa.string()) | (
            dict.fromkeys(exact, pa.string())
        )

    def _conversion(
        self, layout: CsvLayout, types: dict[str, pa.DataType], names: Sequence[str]
    ) -> pyarrow.csv.ConvertOptions:
        return pyarrow.csv.ConvertOptions(
            column_types=types,
            include_columns=list(names) or None,
            null_values=list(self.missing),
            strings_can_be_null=True,
            decimal_point=layout.decimal,
        )

    def _read(
        self,
        file: Any,
        layout: CsvLayout,
        like: pa.Schema | None,
        only_header: bool,
        texts: Sequence[str] = (),
        odd_lines: OddLines | None = None,
    ) -> Any:
        """The whole table, or only its first rows; with some columns as texts, or only those."""
        file = SqueezedFile(file) if layout.is_aligned else file
        types = {
            field.name: pa.float64() if _may_turn_out_fractional(field.type) else field.type for field in like or ()
        }
        types |= self._declared_types() | dict.fromkeys(texts, pa.string())
        encoding = "utf8" if layout.encoding in ("utf-8", "utf-8-sig") else layout.encoding  # Arrow skips the mark
        read = pyarrow.csv.read_csv
        if only_header:  # Arrow reads ahead in threads, which must not call Python when the program ends
            read, file, encoding = pyarrow.csv.open_csv, _beginning(file, encoding), "utf8"
        return read(
            file,
            pyarrow.csv.ReadOptions(
                use_threads=False,  # with one thread errors name the right row
                encoding=encoding,
                skip_rows=layout.skip_rows + (layout.corrected_header is not None),
                column_names=layout.names or layout.corrected_header,
                block_size=BLOCK_BYTES,
            ),
            pyarrow.csv.ParseOptions(
                delimiter=layout.delimiter,
                newlines_in_values=True,
                invalid_row_handler=odd_lines or self._odd_lines(layout),
            ),
            self._conversion(layout, types, texts),
        )

    def _odd_lines(self, layout: CsvLayout) -> OddLines:
        return OddLines(self.bad_lines, layout.skip_rows + (layout.names is None))

    def _check_lines(self, label: str, odd_lines: OddLines, layout: CsvLayout, table: pa.Table | None) -> None:
        """Raise SettingError if a line has another number of values and is not left out."""
        if mistake := odd_lines.mistake(table):
            (row, found), expected = mistake, odd_lines.lines[0].expected_columns
            raise SettingError(
                f"{label}: row {row} has {found} values, but the header has {expected} columns; correct the row, leave "
                f"such rows out with data.bad_lines=skip, or see whether the delimiter, "
                f"{word_for(layout.delimiter, DELIMITER_WORDS)}, is right (data.delimiter)"
            )

    def _described(self, error: Exception, layout: CsvLayout) -> str:
        text = one_line(error)
        if "invalid UTF8" in text:
            return f"its text is not {layout.encoding} ({text}); {ENCODING_CURE}"
        return f"it cannot be read as a CSV file ({text}); see data.delimiter, data.encoding and data.decimal"

    def _check_delimiter(self, label: str, names: list[str]) -> None:
        others = [sign for sign in DELIMITERS if sign not in (self.delimiter, " ") and sign in names[0]]
        if len(names) == 1 and others and self.delimiter != AUTO:
            given, other = (word_for(sign, DELIMITER_WORDS) for sign in (self.delimiter, others[0]))
            raise SettingError(
                f"{label} has one column, {names[0][:60]!r}, with data.delimiter={given}; set data.delimiter={other}"
            )

    @staticmethod
    def _check_text(label: str, table: pa.Table, encoding: str) -> None:
        """Raise SettingError unless every text is valid in the encoding."""
        for field in table.schema:
            if pa.types.is_binary(field.type):
                row, value = next(
                    (i, v) for i, v in enumerate(table[field.name].to_pylist(), 1) if v and not _is_utf8(v)
                )
                found = f"column {field.name!r} in row {row} is not {encoding} ({value[:20]!r})"
                raise SettingError(f"{label}: {found}; {ENCODING_CURE}")


class _ParsedFile(NamedTuple):
    """What Arrow made of a file: a table, or a reader that knows its columns; and what was seen on the way."""

    table: Any
    names: list[str]
    layout: CsvLayout
    odd_lines: OddLines
    has_leading_zeros: bool
    notes: tuple[str, ...]


class ScannedFile:
    """A file for Arrow to read that looks for bytes on which Arrow says nothing.

    Parameters
    ----------
    file : binary file

    Attributes
    ----------
    has_leading_zeros : bool
        Whether a value begins with a zero and another digit. Arrow reads 01234 as the number 1234.
    """

    closed = False

    def __init__(self, file: IO[bytes], delimiter: str) -> None:
        self._file, self._before = file, np.frombuffer(f'\n"{delimiter}'.encode(), np.uint8)
        self._n_read, self._nul = 0, -1
        self._end = b"\n"  # of the part before
        self.has_leading_zeros = False

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        part = self._file.read(size)
        if self._nul < 0 <= (position := part.find(b"\0")):
            self._nul = self._n_read + position
        self._n_read += len(part)
        if not self.has_leading_zeros and part:
            scanned = np.frombuffer(self._end + part, np.uint8)
            is_zero = (scanned[1:-1] == ord("0")) & (scanned[2:] >= ord("0")) & (scanned[2:] <= ord("9"))
            self.has_leading_zeros = bool(np.isin(scanned[:-2][is_zero], self._before).any())
            self._end = (self._end + part)[-2:]
        return part

    def check(self, label: str, encoding: str) -> None:
        """Raise SettingError if a text with one byte for most characters has a NUL byte."""
        if self._nul < 0 or encoding.startswith(("utf-16", "utf-32")):
            return
        self._file.seek(0)
        line = self._file.read(self._nul).count(b"\n") + 1
        row = f"row {line - 1}" if line > 1 else "the header"
        raise SettingError(
            f"{label}: {row} (line {line} of the file) has a NUL byte, which is no text; remove it, or set "
            "data.encoding=utf-16 if the file is UTF-16"
        )


def _beginning(file: IO[bytes], encoding: str) -> pa.BufferReader:
    """The first block of a CSV file and what follows up to the next one, as UTF-8."""
    beginning = file.read(2 * BLOCK_BYTES)
    if encoding != "utf8":
        beginning = codecs.getincrementaldecoder(encoding)().decode(beginning).encode()
    return pa.BufferReader(beginning)


def _has_lost_digits(values: pa.ChunkedArray) -> bool:
    """Whether all values are so large that float64 does not tell an integer from the next one."""
    smallest = pyarrow.compute.min(pyarrow.compute.abs(values)).as_py()
    return smallest is not None and smallest >= 2**53


def _may_be_months(values: pa.ChunkedArray) -> bool:
    """Whether all values are months and years such as 1.2020, by their numbers."""
    bounds = pyarrow.compute.min_max(values)
    low, high = bounds["min"].as_py(), bounds["max"].as_py()
    return low is not None and low >= 1.19 and high < 12.21


def _may_turn_out_fractional(arrow_type: pa.DataType) -> bool:
    """Whether the values are integers or all missing: another file of the table may hold fractions."""
    return bool(pa.types.is_integer(arrow_type) or pa.types.is_null(arrow_type))


def _size_of_local_file(path: str) -> float:
    """Its bytes, or infinity if there is no such file, or a folder."""
    try:
        return Path(path).stat().st_size if Path(path).is_file() else float("inf")
    except (OSError, ValueError):
        return float("inf")


def _has_bytes(table: Any) -> bool:
    """Whether a column of texts is not valid in the encoding: Arrow takes it for bytes."""
    return any(pa.types.is_binary(field.type) for field in table.schema)


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True
