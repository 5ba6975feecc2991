"""Lines of a CSV file that are no rows: comments, repeated headers, units, totals, and what follows the last row."""

import re
from typing import IO, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nncore.inference.spelling import is_missing_word
from nncore.kernels.backend import Array

MAX_LINES = 1000  # that are left out by themselves
MAX_TITLES = 2  # rows below the header
N_PROBED = 100
LONGEST_SHOWN = 40
COMMENT = re.compile(r"\s*(#|%|//)|[\W_]*$")  # also lines without letters and digits
BEGINS_WITH_NUMBER = r"^[^\pL\d]*\d"
NUMBER = re.compile(r"[+-]?[0-9.]+([eE][+-]?[0-9]+)?")
ROW_COUNT = re.compile(r"\(?[0-9.,]+ (rows?|records?|lines?)\b.*", re.IGNORECASE)
RULE, LONG_RULE = r"^[\s|:+=_-]*$", "[-=_]{3}"
TOTAL = re.compile(
    r"\W*((grand|sub|over)[ -]?)?(totals?|sums?|averages?|means?|summe|gesamt(summe)?|insgesamt|mittelwert|durchschnitt"
    r"|totale|suma|somme|moyenne|total g\w+ral)\W*",
    re.IGNORECASE,
)
BadLines = Literal["auto", "skip", "refuse"]


class OddLines:
    """Receives the lines whose number of values is not that of the header, and decides which are left out.

    Parameters
    ----------
    setting : {"auto", "skip", "refuse"}
        auto: comments, and what follows the last row.
    n_before : int
        Lines up to the header.
    """

    def __init__(self, setting: BadLines, n_before: int) -> None:
        self._setting, self._n_before = setting, n_before
        self.lines: list[Any] = []

    def __call__(self, line: Any) -> Literal["skip", "error"]:
        """Receive a line from Arrow."""
        self.lines.append(line)
        is_error = self._setting == "refuse" or (self._setting == "auto" and len(self.lines) > MAX_LINES)
        return "error" if is_error else "skip"

    def mistake(self, table: pa.Table | None) -> tuple[int, int] | None:
        """The row and the number of values of the first line that is a mistake; None without a table: every line."""
        is_footer = False
        for n_before, line in enumerate(self.lines if self._setting != "skip" else ()):
            row = line.number - self._n_before
            is_last = table is not None and row - 1 - n_before == table.num_rows > 0
            is_footer = is_footer or (is_last and _is_footer(line.text, table))
            if self._setting == "refuse" or not (COMMENT.match(line.text) or is_footer):
                return row, line.actual_columns
        return None

    def notes(self) -> tuple[str, ...]:
        """What was left out, as a sentence, or none."""
        if not self.lines:
            return ()
        n, text = len(self.lines), self.lines[0].text.strip()
        shown = text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."
        which = "1 line" if n == 1 else f"{n:,} lines"
        return (
            f"{which} left out, as {'it has' if n == 1 else 'they have'} another number of values than the header, the "
            f"first is {shown!r}; data.bad_lines=refuse makes {'it' if n == 1 else 'them'} an error",
        )


def without_odd_rows(table: pa.Table) -> tuple[pa.Table, tuple[str, ...]]:
    """Leave out rows that are no rows, as their texts show: repeated headers, ruled lines, units, totals.

    Parameters
    ----------
    table : pyarrow.Table
        In which a column of numbers with such a text holds texts.

    Returns
    -------
    table : pyarrow.Table
    notes : tuple of str
    """
    texts = [field.name for field in table.schema if pa.types.is_string(field.type)]
    others = [name for name in table.schema.names if name not in texts and not pa.types.is_null(table[name].type)]
    if not texts or not table.num_rows or len(set(table.schema.names)) < len(table.schema.names):
        return table, ()
    keep, notes = np.ones(table.num_rows, bool), []
    for it, they, is_odd in (
        ("it repeats the header", "they repeat the header", _repeats_of_the_header(table, texts, others)),
        ("it is a ruled line", "they are ruled lines", _rules(table, texts, others)),
        ("it holds titles or units", "they hold titles or units", _titles(table, texts, others)),
        ("it holds totals or the number of rows", "they hold totals", _totals(table, texts)),
    ):
        rows = np.flatnonzero(is_odd & keep) + 1
        keep &= ~is_odd
        if len(rows) == 1:
            notes.append(f"row {rows[0]} left out, as {it}; data.bad_lines=refuse keeps it")
        elif len(rows):
            which = f"{len(rows):,} rows left out, the first is row {rows[0]}, as {they}"
            notes.append(f"{which}; data.bad_lines=refuse keeps them")
    return (table.filter(pa.array(keep)), tuple(notes)) if notes else (table, ())


class SqueezedFile:
    """A file for Arrow to read in which columns are aligned by blanks: several become one, and none begins a line.

    Parameters
    ----------
    file : binary file
    """

    closed = False

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._rest = file, b""

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, up to the end of a line."""
        part = self._file.read(size)
        lines, newline, rest = (self._rest + part).rpartition(b"\n") if part else (self._rest, b"", b"")
        self._rest = rest
        squeezed = re.sub(rb"(?m)^ +| +(?=\r?$)", b"", lines + newline)
        squeezed = re.sub(b"  +", b" ", squeezed)
        return squeezed if squeezed or not part else self.read(size)


def _is_footer(text: str, table: pa.Table) -> bool:
    """Whether a line below the last row is a text, such as a source: one value, or letters where numbers should be."""
    values = [value.strip('" ') for value in re.split(r"[,;\t|]", text)]
    has_letters = any(map(str.isalpha, values[0])) and not NUMBER.fullmatch(values[0])
    return has_letters and (not any(values[1:]) or text.startswith('"') or not pa.types.is_string(table.schema[0].type))


def _repeats_of_the_header(table: pa.Table, texts: list[str], others: list[str]) -> Array:
    """(N,) whether each value of a row is the name of its column."""
    is_odd = np.full(table.num_rows, not others)
    for name in texts:
        if is_odd.any():
            is_odd &= _where(pc.equal(pc.utf8_trim_whitespace(table[name]), name))
    return is_odd


def _rules(table: pa.Table, texts: list[str], others: list[str]) -> Array:
    """(N,) whether a row has nothing but lines of three signs or more, as below the header of a printed table."""
    is_odd, is_long = np.ones(table.num_rows, bool), np.zeros(table.num_rows, bool)
    for name in texts:
        if is_odd.any():
            is_odd &= _where(pc.match_substring_regex(table[name], RULE).fill_null(True))
            is_long |= _where(pc.match_substring_regex(table[name], LONG_RULE))
    for name in others if is_odd.any() else ():
        is_odd &= _where(table[name].is_null())
    return is_odd & is_long


def _titles(table: pa.Table, texts: list[str], others: list[str]) -> Array:
    """(N,) whether the rows below the header have texts in two or more columns that else begin with numbers."""
    is_odd = np.zeros(table.num_rows, bool)
    top, below = table.slice(0, MAX_TITLES), table.slice(MAX_TITLES, N_PROBED)
    have_numbers = [
        name
        for name in texts
        if below.num_rows - below[name].null_count
        and pc.all(pc.match_substring_regex(below[name].drop_null(), BEGINS_WITH_NUMBER)).as_py()
    ]
    for row in range(min(MAX_TITLES, table.num_rows)):
        cells = {name: top[name][row].as_py() for name in (*texts, *others)}
        if any(cells[name] is not None for name in others):
            break
        titled = [name for name in have_numbers if cells[name] and not is_missing_word(cells[name].strip())]
        if len(titled) < 2 or any(cells[name] and re.match(r"[^\w]*\d", cells[name]) for name in texts):
            break
        is_odd[row] = True
    return is_odd


def _totals(table: pa.Table, texts: list[str]) -> Array:
    """(N,) whether a row is the last and holds totals or the number of rows, which no other row does."""
    is_odd = np.zeros(table.num_rows, bool)
    cells = {name: table[name][-1].as_py() for name in table.schema.names}
    given = {name: str(cell).strip() for name, cell in cells.items() if cell not in (None, "")}
    name = next((name for name in given), "")
    if name in texts and TOTAL.fullmatch(given[name]):
        is_odd[-1] = pc.sum(pc.equal(table[name], cells[name])).as_py() == 1
    is_odd[-1] |= bool(ROW_COUNT.fullmatch(" ".join(given.values())))
    return is_odd


def _where(mask: pa.ChunkedArray) -> Array:
    values: Array = mask.fill_null(False).to_numpy()
    return values
