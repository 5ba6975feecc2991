"""How a CSV file is laid out: encoding, delimiter, decimal sign, lines before the header, and the header itself.

What the settings leave open is seen from the beginning of the file.
"""

import codecs
import csv
import re
from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

from nncore.inference.spelling import PLAIN
from pipeline.components.errors import SettingError

AUTO = "auto"
SAMPLE_BYTES = 1 << 18
N_LINES = 100  # that are looked at
DELIMITERS = (",", ";", "\t", "|", " ")
RARE_DELIMITERS = ("~", "^", "\x01", ":")  # only where they show the names that settings name
DELIMITER_WORDS = {
    **{"comma": ",", "semicolon": ";", "tab": "\t", "\\t": "\t", "pipe": "|", "space": " "},
    **{"tilde": "~", "caret": "^", "ctrl_a": "\x01", "colon": ":"},
}
UNNAMED_COLUMN = re.compile(r"Unnamed: \d+(\.\d+)*")  # in pandas' words
DECIMAL_WORDS = {"point": ".", "comma": ","}
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
OTHER_FORMATS = (  # how files begin that are no CSV files, what they are, and what to do
    (rb"PK\x03\x04", "an Excel workbook or a zip archive", "read a workbook with data=excel, or unpack the archive"),
    (rb"PAR1", "a Parquet file", "read it with data=parquet"),
    (rb"ARROW1", "an Arrow file", "read it with data=arrow"),
    (rb"\x1f\x8b", "compressed with gzip", "let its name end with .csv.gz"),
    (rb"(?i)\s*<(!doctype|html|\?xml)", "a web page or XML", "download or export the table itself as CSV"),
    (rb"(?i)(\s*%[^\n]*\n)*\s*@relation\b", "an ARFF file", "save the table as CSV"),
    (rb"\s*(\{\s*\"|\[\s*[\[{])", "JSON", "save the table as CSV or Parquet, for example with pandas"),
)
COMMENT_SIGNS = ("#", "%")
COMMA_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,3}(?:\.[0-9]{3})+|[0-9]*),(?:[0-9]{1,2}|[0-9]{4,})")
POINT_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]*)\.(?:[0-9]{1,2}|[0-9]{4,})")
ZERO_NUMBER = re.compile(r"[+-]?0([.,])[0-9]+")


class CsvSettings(NamedTuple):
    """The settings of a CSV file; "auto" where the file shows it.

    Attributes
    ----------
    delimiter, decimal, encoding : str
    skip_rows : int or "auto"
    header : bool, tuple of str or "auto"
        Whether the first row names the columns, or their names.
    """

    delimiter: str
    decimal: str
    encoding: str
    skip_rows: int | str
    header: bool | tuple[str, ...] | str


class CsvLayout(NamedTuple):
    """How a CSV file is read.

    Attributes
    ----------
    encoding, delimiter, decimal : str
    skip_rows : int
        Lines before the header, or before the first row if there is no header.
    names : tuple of str or None
        The names of the columns if the file has no header.
    corrected_header : tuple of str or None
        The names of the columns if they are not those of the header, as some are equal, have blanks around them, or the
        rows have one value more.
    corrections : tuple of str
        A note on them, or none.
    is_aligned : bool
        Whether several blanks, or blanks at the beginning of a line, stand for one delimiter.
    """

    encoding: str
    delimiter: str
    decimal: str
    skip_rows: int
    names: tuple[str, ...] | None
    corrected_header: tuple[str, ...] | None
    corrections: tuple[str, ...]
    is_aligned: bool

    def notes(self, settings: CsvSettings) -> tuple[str, ...]:
        """What was seen from the file and is not what one would expect, as sentences."""
        seen = []
        if settings.encoding == AUTO and self.encoding not in ("utf-8", "utf-8-sig"):
            seen.append(f"data.encoding={self.encoding}")
        if settings.delimiter == AUTO and self.delimiter != ",":
            seen.append(f"data.delimiter={word_for(self.delimiter, DELIMITER_WORDS)}")
        if settings.decimal == AUTO and self.decimal != ".":
            seen.append(f"data.decimal={word_for(self.decimal, DECIMAL_WORDS)}")
        if settings.skip_rows == AUTO and self.skip_rows:
            seen.append(f"data.skip_rows={self.skip_rows}")
        if settings.header == AUTO and self.names is not None:
            seen.append("data.header=false")
        if not seen:
            return self.corrections
        named = (
            f"; its columns are {self.names[0]} to {self.names[-1]}"
            if self.names and seen[-1].endswith("false")
            else ""
        )
        return (f"the file is read with {' '.join(seen)}, as its beginning shows{named}", *self.corrections)


def layout_of(sample: bytes, settings: CsvSettings, wanted: Iterable[str]) -> CsvLayout:
    """See how a file is laid out.

    Parameters
    ----------
    sample : bytes
        The beginning of the file.
    settings : CsvSettings
    wanted : iterable of str
        Names of columns that settings name: the first line with all of them is the header.

    Returns
    -------
    CsvLayout
    """
    encoding = _encoding(sample) if settings.encoding == AUTO else settings.encoding
    text = codecs.getincrementaldecoder(encoding)("replace").decode(sample)
    lines = text.splitlines()
    if len(sample) >= SAMPLE_BYTES:
        lines = lines[:-1]  # it may be cut
    lines, names = lines[:N_LINES], {name for name in wanted if not UNNAMED_COLUMN.fullmatch(name)}
    delimiter = _delimiter(lines, names) if settings.delimiter == AUTO else settings.delimiter
    is_aligned = delimiter == " " and encoding[:6] not in ("utf-16", "utf-32") and list(map(_squeezed, lines)) != lines
    records = _records(list(map(_squeezed, lines)) if is_aligned else lines)
    rows = [_fields(record, delimiter) for record in records]
    if settings.skip_rows == AUTO:
        n_before = _n_before_header(rows, names)
        skip_rows = sum(record.count("\n") + 1 for record in records[:n_before])
    else:
        n_before = skip_rows = int(settings.skip_rows)
    body = [row for row in rows[n_before:] if row]
    decimal = _decimal(body, delimiter) if settings.decimal == AUTO else settings.decimal
    column_names = _names(body, settings.header, names)
    corrected, corrections = (
        _corrected_header(records[n_before:], body, delimiter) if column_names is None else (None, ())
    )
    return CsvLayout(encoding, delimiter, decimal, skip_rows, column_names, corrected, corrections, is_aligned)


def check_format(label: str, sample: bytes) -> None:
    """Raise SettingError if the beginning of a file is that of another format."""
    for beginning, what, cure in OTHER_FORMATS:
        if re.match(beginning, sample):
            raise SettingError(f"{label} is {what}, not a CSV file; {cure}")


def names_as_pandas(names: Iterable[str]) -> list[str]:
    """Tell the columns of a table apart as pandas does.

    Parameters
    ----------
    names : iterable of str
        As they are in the file.

    Returns
    -------
    list of str
        "Unnamed: 0" for the first column if it has none; "x.1" for the second of two with the name "x".
    """
    taken = set(filter(None, names := list(names)))
    unique: list[str] = []
    for position, name in enumerate(names):
        candidate, number = name or f"Unnamed: {position}", 0
        while candidate in unique or (number and candidate in taken):
            number += 1
            candidate = f"{name}.{number}"
        unique.append(candidate)
    return unique


def note_on_names(names: Iterable[str], unique: Iterable[str]) -> tuple[str, ...]:
    """Say which columns `names_as_pandas` has given another name because it occurs twice."""
    renamed = [new for name, new in zip(names, unique, strict=True) if name and name != new]
    if not renamed:
        return ()
    return (f"names of columns that occur twice are told apart by a number, as pandas does: {', '.join(renamed)}",)


def word_for(sign: str, words: dict[str, str]) -> str:
    """The word that stands for a sign in settings, as it needs no quotes in a shell."""
    return next((word for word, meaning in words.items() if meaning == sign), sign)


def _encoding(sample: bytes) -> str:
    for mark, name in BYTE_ORDER_MARKS:
        if sample.startswith(mark):
            return name
    if len(sample) > 1 and sample[1::2].count(0) > len(sample) // 4:
        return "utf-16-le"
    if len(sample) > 1 and sample[::2].count(0) > len(sample) // 4:
        return "utf-16-be"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(sample)  # the last character may be cut
    except UnicodeDecodeError:
        return single_byte_encoding(sample)
    return "utf-8"


def single_byte_encoding(sample: bytes) -> str:
    """The encoding of a text that is not UTF-8: Windows' Western European one, or latin-1 with what that lacks."""
    try:
        sample.decode("cp1252")
    except UnicodeDecodeError:
        return "latin-1"
    return "cp1252"


def _records(lines: list[str]) -> list[str]:
    """The lines of each record: those within quotes belong to one, such as a name of two lines."""
    records: list[str] = []
    is_open = False
    for line in lines:
        if is_open:
            records[-1] += f"\n{line}"
        else:
            records.append(line)
        is_open ^= line.count('"') % 2 == 1
    return lines if is_open else records  # a quote that stays open is none


def _fields(line: str, delimiter: str) -> list[str]:
    """The values of a record; one that is no valid CSV has one."""
    try:
        lines = line.splitlines(keepends=True)
        return [field.strip() for field in next(csv.reader(lines, delimiter=delimiter), [])]
    except csv.Error:
        return [line]


def _delimiter(lines: list[str], wanted: set[str]) -> str:
    """The delimiter that gives most lines the same number of values, two at least."""
    best, best_score = ",", (False, 0.0, 0)
    for delimiter in (*DELIMITERS, *RARE_DELIMITERS):
        rows = [_fields(_squeezed(line) if delimiter == " " else line, delimiter) for line in lines]
        counts = Counter(len(row) for row in rows if row)
        if not counts:
            continue
        n_fields, n_lines = max(counts.items(), key=lambda item: (item[1], item[0]))
        if n_fields < 2 or (delimiter == " " and best_score[1] > 0):
            continue
        has_names = bool(wanted) and any(wanted <= set(row) for row in rows)
        if delimiter in RARE_DELIMITERS and (best_score[0] or not has_names):
            continue
        score = (has_names, n_lines / counts.total(), n_fields)
        if score > best_score:
            best, best_score = delimiter, score
    return best


def _squeezed(line: str) -> str:
    """A line whose values are aligned by blanks, with one blank between them."""
    return re.sub(" +", " ", line.strip(" "))


def _n_before_header(rows: list[list[str]], wanted: set[str]) -> int:
    """The number of lines before the first one that is like those that follow, or that has the wanted names."""
    named = [number for number, row in enumerate(rows) if wanted and wanted <= set(row)]
    if named:
        return named[0]
    counts = Counter(len(row) for row in rows if row)
    if not counts:
        return 0
    n_fields = max(counts.items(), key=lambda item: (item[1], item[0]))[0]
    first = next(number for number, row in enumerate(rows) if len(row) == n_fields)
    is_preamble = n_fields > 1 and all(len(row) < n_fields for row in rows[:first])
    return first if is_preamble else 0


def _decimal(rows: list[list[str]], delimiter: str) -> str:
    """The decimal sign of the file; a point if its numbers have both, as columns are then looked at one by one."""
    if delimiter == ",":
        return "."
    signs = set()
    for field in (field for row in rows for field in row):
        zero = ZERO_NUMBER.fullmatch(field)
        signs |= {zero[1]} if zero else set()
        signs |= {","} if COMMA_NUMBER.fullmatch(field) else set()
        signs |= {"."} if POINT_NUMBER.fullmatch(field) else set()
    return "," if signs == {","} else "."


def _names(rows: list[list[str]], header: bool | tuple[str, ...] | str, wanted: set[str]) -> tuple[str, ...] | None:
    """The names of the columns of a file without a header; None if the first of these rows names them."""
    if isinstance(header, tuple):
        return header
    first, *others = rows or [[]]
    numbered = tuple(f"column_{number}" for number in range(1, len(first) + 1))
    if header == AUTO:
        is_named = bool(wanted & set(first))
        header = is_named or not (wanted & set(numbered) or _is_data(first, others))
    return None if header else numbered


def _corrected_header(
    lines: list[str], rows: list[list[str]], delimiter: str
) -> tuple[tuple[str, ...] | None, tuple[str, ...]]:
    """The names in the first record, if they have to be changed, and a note on those that are equal.

    If all rows have one value more, it is the first, as R writes row names, or the last if it is empty everywhere.
    """
    try:
        header = next(csv.reader(lines[0].splitlines(keepends=True), delimiter=delimiter), []) if lines else []
    except csv.Error:
        return None, ()
    given, following = [name.strip() for name in header], [row for row in rows[1:] if any(row)]
    if given and given[0][:1] in COMMENT_SIGNS and not any(name[:1] in COMMENT_SIGNS for name in given[1:] if name):
        given[0] = given[0][1:].strip()  # a header within a comment, as NumPy writes it
        if not given[0] and following and all(len(row) == len(given) - 1 for row in following):
            del given[0]
    if following and all(len(row) == len(header) + 1 for row in following):
        given = ["", *given] if any(row[-1] for row in following) else [*given, ""]
    names = names_as_pandas(given)
    notes = note_on_names(given, names)
    is_complete = not following or len(given) in map(len, following)  # a name may have several lines
    is_changed = bool(notes) or given != header
    return (tuple(names) if is_changed and is_complete else None), notes


def _is_data(first: list[str], others: list[list[str]]) -> bool:
    """Whether a row has numbers where the others have them and is no list of years or the like."""
    numbers, has_known_text = [], False
    for position, value in enumerate(first):
        column = [row[position] for row in others if position < len(row) and row[position]]
        if column and all(map(_is_number, column)):
            if value and not _is_number(value):
                return False
            numbers += [value] if value else []
        else:
            has_known_text |= value in column
    if not numbers or len(others) < 2:
        return False
    if has_known_text or not all(map(str.isdigit, numbers)):
        return True
    steps = {int(following) - int(value) for value, following in pairwise(numbers)}
    return len(numbers) > 1 and not (len(steps) == 1 and min(steps) > 0)


def _is_number(text: str) -> bool:
    try:
        PLAIN.number(text.replace(",", "."))
    except ValueError:
        return False
    return True
