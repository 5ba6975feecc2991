"""Decide how the texts of a column are read: as numbers, dates, times of day, ordered ranges or categories.

The decision is made for the column as a whole, on its different texts. Texts that could be read in two ways are refused
with the setting that decides.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nncore.inference.spelling import (
    DASHES,
    DURATION,
    GROUP_SIGNS,
    MINUS,
    MISSING_WORDS,
    PLAIN,
    Spelling,
    day_share,
    seconds,
)
from nncore.inference.table import ColumnKind, as_text
from nncore.kernels.backend import Array
from pipeline.data.arrow_values import days_in_bulk, numbers_in_bulk

# the words that stand for signs in settings, as they need no quotes in a shell
SIGNS = {"comma": ",", "point": ".", "space": " ", "apostrophe": "'", "none": ""}
N_PROBED = 500  # texts that show whether a column can hold numbers, dates or ranges at all
MAX_RANGES = 100
MAX_WHOLE_LEVELS = 20  # whole numbers and a word may be levels: 4, 6 and 8 cylinders, or a rotary engine
FIRST_DAY, LAST_DAY = -172_000, 120_000  # from 1499 to 2298
FIRST_WHOLE_DATE, LAST_WHOLE_DATE = 19_000_101, 21_001_231  # of dates that are written as whole numbers
MIN_WHOLE_DATES, MIN_WHOLE_MONTHS = 3, 13  # different ones; with fewer it may be chance
LONGEST_UNIT = 20
MOST_DIGITS = 15  # of an integer that float64 holds exactly
CURRENCIES = re.compile(
    "(?:aed|ars|aud|bgn|brl|cad|chf|clp|cny|cop|czk|dkk|egp|eur|fr|gbp|hkd|huf|idr|ils|inr|isk|jpy|kr|krw|k\u010d|lei|mxn|myr|nok"
    "|nzd|pen|php|pkr|pln|rm|rmb|ron|rs|rub|sar|sek|sfr|sgd|thb|try|twd|uah|usd|vnd|z\u0142|zar)[.]?",
    re.IGNORECASE,
)
POWERS = {
    **dict.fromkeys(("k", "thousand"), 3),
    **dict.fromkeys(("m", "mm", "mn", "mio", "million", "millions"), 6),
    **dict.fromkeys(("b", "bn", "mrd", "billion", "billions"), 9),
    **dict.fromkeys(("t", "tn", "trillion"), 12),
}
FAMILIES = (  # of units that may stand in one column, with powers of ten
    {"b": 0, "byte": 0, "bytes": 0, "kb": 3, "mb": 6, "gb": 9, "tb": 12},
    {"mg": -3, "g": 0, "kg": 3, "t": 6},
    {"mm": -3, "cm": -2, "dm": -1, "m": 0, "km": 3},
    {"ml": -3, "cl": -2, "dl": -1, "l": 0},
    {"hz": 0, "khz": 3, "mhz": 6, "ghz": 9},
)
PERCENT = {"%": -2, "\uff05": -2, "\u2030": -3}
# before, the digits with their signs, after
SEPARATORS = "|".join(("[0-9.,]", GROUP_SIGNS["'"], GROUP_SIGNS[" "]))
NUMBER = (
    r"^\s*(?P<before>[^0-9.,]*?(?:[A-Za-z]\.\s*)?)"
    rf"(?P<core>[.,]?[0-9](?:(?:{SEPARATORS})*[0-9])?[.,]?(?:[eE][+-]?[0-9]+)?)"
    r"(?P<after>(?:[^0-9].*)?)$"
)
FIRST_DIGIT = r"^[^\pL]*[0-9]"
MONTH_AND_YEAR = r"^(0[1-9]|[1-9]|1[0-2])[.](19|20)[0-9]{2}$"
FISCAL_YEAR = re.compile(r"(?:FY ?)?(19[0-9]{2}|20[0-9]{2}) ?[-/\u2013] ?([0-9]{2})", re.IGNORECASE)
UNIT = re.compile(r"[^0-9:()]*[^0-9:()\s]|[a-z]{1,2}[23]|/ ?(5|10|100)", re.IGNORECASE)
FORMATS = (
    *("%Y/%m/%d", "%d/%m/%Y", "%m/%d/%Y", "%d/%m/%y", "%m/%d/%y", "%d %b %Y", "%b %d %Y", "%Y %b %d", "%d %b %y"),
    *("%b %Y", "%Y %b", "%b %y", "%m/%Y", "%Y/%m", "%Y Q%q", "Q%q %Y"),
)
AMOUNT = r"[+-]?(?:[0-9]+(?:[.,][0-9]{3})*(?:\.[0-9]+)?|\.[0-9]+)"
BOUND = rf"[$\u20ac\u00a3\u00a5]?\s*({AMOUNT})\s*([kKM]?)\s*[$\u20ac\u00a3\u00a5%]?"
WORDS = r"(?:\s*[A-Za-z.]{1,12}){0,2}"
RANGE = re.compile(
    rf"(?:[\[(]\s*{BOUND}\s*[,;]\s*{BOUND}\s*[\])]|{BOUND}{WORDS}\s*(?:-|\u2013|\u2014|\bto\b|\.\.)\s*{BOUND}{WORDS})"
)
BELOW = re.compile(
    rf"(?:(?:<=?|\u2264|under|below|less than|up to|fewer than)\s*{BOUND}{WORDS}"
    rf"|{BOUND}{WORDS}\s*(?:or|and) (?:less|under|below|younger|fewer))",
    re.IGNORECASE,
)
ABOVE = re.compile(
    rf"(?:(?:>=?|\u2265|over|above|more than|at least)\s*{BOUND}{WORDS}"
    rf"|{BOUND}(?:\s*\+{WORDS}|{WORDS}\s*(?:\+|plus|(?:or|and) (?:more|over|above|older|up))))",
    re.IGNORECASE,
)
SINGLE = re.compile(rf"{BOUND}{WORDS}")


class Hints(NamedTuple):
    """What settings say about the spelling of a table's texts.

    Attributes
    ----------
    decimal : str
        The decimal sign; "" if it is to be seen from the texts.
    thousands : str or None
        The sign between groups of digits where texts can be read in two ways; None if that is not known.
    date_format : str or None
        The format of dates that can be read in two ways.
    has_points : bool
        Whether other columns of the file have decimal points.
    """

    decimal: str = ""
    thousands: str | None = None
    date_format: str | None = None
    has_points: bool = False


class Reading(NamedTuple):
    """The kind of a column of texts, and how its texts are read; why so, if each could be read in another way."""

    kind: ColumnKind
    spelling: Spelling
    reason: str = ""


class AmbiguousError(ValueError):
    """Texts that can be read in two ways; the message is the rest of a sentence about the column."""


def reading_of(texts: pa.Array, hints: Hints, kind: ColumnKind | None = None) -> Reading | None:
    """Decide how the texts of a column are read.

    Parameters
    ----------
    texts : pyarrow.Array of strings, (L,)
        All different texts of the column.
    hints : Hints
    kind : str or None
        The kind that a setting declares.

    Returns
    -------
    Reading or None
        None: categories, or texts that the declared kind does not explain.

    Raises
    ------
    AmbiguousError
        If they can be read in two ways.
    """
    texts = without_missing_words(texts)
    if not len(texts):
        return None
    step = max(1, len(texts) // N_PROBED)
    probe = texts.take(pa.array(range(0, len(texts), step)))
    for reader in _readers(kind):
        if reader(probe, hints, False) and (reading := reader(texts, hints, True)):
            return reading
    return None


def notes_on(name: str, texts: pa.Array, counts: pa.Array, reading: Reading) -> list[str]:
    """What a reading makes of words for missing values and of negative numbers, as sentences."""
    notes = []
    is_word = pc.and_(_is_missing_word(texts), pc.not_equal(pc.utf8_trim_whitespace(texts), ""))
    words = texts.filter(is_word).to_pylist()
    if words:
        n_values = pc.sum(counts.filter(is_word)).as_py()
        listed = ", ".join(map(repr, words))
        notes.append(f"column {name!r}: {listed} read as missing in {n_values} {'row' if n_values == 1 else 'rows'}")
    is_odd = pc.match_substring_regex(texts, rf"[0-9][^0-9]*[){MINUS}]\s*$")
    if reading.kind == "numeric" and reading.spelling.format != DURATION and pc.any(is_odd).as_py():
        example = texts.filter(is_odd)[0].as_py()
        notes.append(f"column {name!r}: {example!r} read as {reading.spelling.number(example):.12g}")
    if reading.reason:
        example = texts.filter(pc.match_substring_regex(texts, r"[0-9][-., /][0-9]"))[0].as_py()
        number = f"{reading.spelling.number(example):.12g}" if reading.kind == "numeric" else ""
        value = number or np.datetime64(int(reading.spelling.days(example)), "D")
        notes.append(f"column {name!r}: {example!r} read as {value}, as {reading.reason}")
    return notes


class Mistake(NamedTuple):
    """What most values of a column are, a text that is not, and whether the values are so few that they are levels."""

    noun: str
    text: str
    among_levels: bool


def mistake_among(texts: pa.Array, counts: pa.Array, hints: Hints) -> Mistake | None:
    """A text among values of which more than half are numbers or dates; None if they are neither."""
    is_word = _is_missing_word(texts)
    words, numbers = texts.filter(pc.invert(is_word)).to_pylist(), counts.filter(pc.invert(is_word)).to_pylist()
    step = max(1, len(words) // N_PROBED)
    for noun, candidates in (("numbers", _number_candidates), ("dates", _date_candidates)):
        for convert in candidates(words[::step], numbers[::step], hints):
            probe = list(map(partial(_is_readable, convert), words[::step]))
            if 2 * np.dot(probe, numbers[::step]) <= sum(numbers[::step]):
                continue
            readable = list(map(partial(_is_readable, convert), words))
            if 2 * np.dot(readable, numbers) > sum(numbers) and not all(readable):
                are_whole = all(word.isdecimal() for word, is_read in zip(words, readable, strict=True) if is_read)
                among_levels = are_whole and len(words) <= MAX_WHOLE_LEVELS and sum(numbers) >= 5 * len(words)
                return Mistake(noun, words[readable.index(False)], among_levels)
    return None


def begin_with_digits(texts: pa.Array, counts: pa.Array) -> bool:
    """Whether more than half of the values begin with digits or signs, such as "877-00000" and "5 lb"."""
    n_digits = pc.sum(counts.filter(pc.match_substring_regex(texts, FIRST_DIGIT))).as_py() or 0
    return bool(2 * n_digits > (pc.sum(counts).as_py() or 0))


def differ_in_case(texts: pa.Array) -> tuple[str, str] | None:
    """Two texts that differ in capital letters only; truth values are one however they are written."""
    trimmed = pc.utf8_trim_whitespace(texts)
    first: dict[str, str] = {}
    if pc.count_distinct(pc.utf8_lower(trimmed)).as_py() < pc.count_distinct(trimmed).as_py():
        for text in trimmed.to_pylist():
            other = first.setdefault(text.lower(), text)
            if other != text and as_text(other) != as_text(text):
                return other, text
    return None


def format_of_whole_dates(numbers: Array) -> str | None:
    """The format of whole numbers that are all dates such as 20200131 ("") or months such as 202001; else None.

    Parameters
    ----------
    numbers : array (L,)
        All different numbers of a column, ascending.
    """
    for format_, n_least, scale in (("", MIN_WHOLE_DATES, 1), ("%Y%m", MIN_WHOLE_MONTHS, 100)):
        days = numbers.astype(np.int64) * scale + (scale > 1)
        if len(days) >= n_least and days[0] >= FIRST_WHOLE_DATE and days[-1] <= LAST_WHOLE_DATE:
            year, month, day = days // 10_000, days // 100 % 100, days % 100
            if ((month >= 1) & (month <= 12) & (day >= 1)).all():
                months = (year - 1970).astype("M8[Y]").astype("M8[M]") + (month - 1)
                n_days = ((months + 1).astype("M8[D]") - months.astype("M8[D]")).astype(np.int64)
                if (day <= n_days).all():
                    return format_
    return None


def without_missing_words(texts: pa.Array) -> pa.Array:
    """The texts that are neither blank nor in MISSING_WORDS."""
    return texts.filter(pc.invert(_is_missing_word(texts)))


def bounds_of(text: str) -> tuple[float, float] | None:
    """The bounds of a range such as "18-24", "<18" or "65+", or of a single number; None for other texts."""
    text = text.strip()
    if first_year := _first_fiscal_year(text):
        return first_year, first_year + 1
    for pattern, n_bounds in ((RANGE, 2), (BELOW, -1), (ABOVE, 1), (SINGLE, 0)):
        match = pattern.fullmatch(text)
        if match:
            given = [part for part in match.groups() if part is not None]
            values = [
                float(re.sub(r"[.,](?=[0-9]{3}(?![0-9]))", "", number) if "," in number else number)
                * {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6}[factor]
                for number, factor in zip(given[::2], given[1::2], strict=True)
            ]
            low, high = values[0], values[-1]
            return (low, high) if n_bounds in (0, 2) else (-np.inf, high) if n_bounds < 0 else (low, np.inf)
    return None


def _first_fiscal_year(text: str) -> int:
    """2019 of "2019/20"; 0 for texts that are no two years in a row."""
    match = FISCAL_YEAR.fullmatch(text.strip())
    return int(match[1]) if match and (int(match[1]) + 1) % 100 == int(match[2]) else 0


def _is_missing_word(texts: pa.Array) -> pa.Array:
    words = pc.utf8_lower(pc.utf8_trim_whitespace(texts))
    return pc.is_in(words, value_set=pa.array(["", *sorted(MISSING_WORDS)], words.type))


def _readers(kind: ColumnKind | None) -> Iterable[Callable[[pa.Array, Hints, bool], Reading | None]]:
    if kind is None:
        return _numbers, _times, _dates, _ranges
    return {"numeric": (_numbers, _durations), "date": (_dates,), "time": (_times,)}.get(kind, ())


def _numbers(texts: pa.Array, hints: Hints, decide: bool) -> Reading | None:
    """Numbers. Without `decide` an ambiguity is no error, as other texts of the column may decide."""
    parts = pc.extract_regex(texts, NUMBER)
    if parts.null_count:
        return None
    before, cores, after = (pc.struct_field(parts, name) for name in ("before", "core", "after"))
    has_zero = pc.match_substring_regex(cores, "^[0.,]+$")
    units = _units(before, after, has_zero)
    if units is None or (not units and _are_no_amounts(cores)):
        return None
    candidates = [pair for pair in _sign_candidates(cores, hints) if _all_match(cores, Spelling(pair[1], pair[0]))]
    if not candidates:
        return None
    (thousands, decimal), reason = candidates[0], ""
    if len(candidates) > 1:
        fronts = set(map(_bare_front, before.unique().to_pylist()))
        settled = _settled(candidates, cores, fronts, bool(units), hints)
        if settled is None and hints.has_points:
            settled = next((pair for pair in candidates if pair[0] == ","), None)
            reason = "other columns of the file have decimal points" if settled else ""
        if settled is None and decide:
            text = next(text for text in texts.to_pylist() if re.search(r"[.,]", text))
            raise AmbiguousError(_two_readings(text, candidates))
        thousands, decimal = settled or candidates[0]
    spelling = Spelling(decimal, thousands, units)
    if not _all_match(texts, spelling):
        return None
    signed = texts.filter(pc.match_substring_regex(texts, rf"[()+{MINUS}]"))  # two signs, or half a pair of brackets?
    return None if np.isnan(numbers_in_bulk(signed, spelling)).any() else Reading("numeric", spelling, reason)


def _are_no_amounts(cores: pa.Array) -> bool:
    """Whether digits are codes with leading zeros or of very many digits, or months and years such as 01.2020."""
    if pc.any(pc.match_substring_regex(cores, "^(0[0-9]+|[0-9]{16,})$")).as_py():
        return True
    are_months = pc.all(pc.match_substring_regex(cores, MONTH_AND_YEAR)).as_py()
    return bool(are_months and pc.any(pc.starts_with(cores, "0")).as_py())


def _sign_candidates(cores: pa.Array, hints: Hints) -> list[tuple[str, str]]:
    """Pairs of a thousands and a decimal sign that differ for these numbers."""
    with_exponent = cores.filter(pc.match_substring_regex(cores, "[eE]"))  # whose digits are not in groups
    occurring = [
        sign for sign in GROUP_SIGNS if sign and pc.any(pc.match_substring_regex(cores, GROUP_SIGNS[sign])).as_py()
    ]
    pairs: dict[tuple[str, str], tuple[str, str]] = {}
    for thousands in ("", *occurring):
        if thousands and pc.any(pc.match_substring_regex(with_exponent, GROUP_SIGNS[thousands])).as_py():
            continue
        for decimal in hints.decimal or ".,":
            if thousands != decimal:
                effective = (thousands, decimal if decimal in occurring else "")
                pairs.setdefault(effective, (thousands, decimal))
    return list(pairs.values())


def _all_match(cores: pa.Array, spelling: Spelling) -> bool:
    return bool(pc.all(pc.match_substring_regex(cores, spelling.number_pattern)).as_py())


def _settled(
    candidates: list[tuple[str, str]],
    cores: pa.Array,
    fronts: set[str],
    has_units: bool,
    hints: Hints,
) -> tuple[str, str] | None:
    """The pair of signs that the settings or the column as a whole show; None if nothing does."""
    if hints.thousands is not None:
        return next((pair for pair in candidates if pair[0] == hints.thousands), None)
    grouped = next((pair for pair in candidates if pair[0]), None)
    plain = next((pair for pair in candidates if not pair[0]), None)
    if len(candidates) != 2 or grouped is None or plain is None:
        return None
    sign = grouped[0]
    if sign == "." and not has_units:
        return plain  # a point is the decimal sign of every file unless something else is seen
    if sign == "," and any(map(_is_currency, fronts)):
        return grouped  # a price has no three decimals
    is_grouped = pc.match_substring(cores, sign)
    whole = cores.filter(pc.invert(is_grouped))
    ends_in_zero = pc.any(pc.ends_with(cores.filter(is_grouped), "0")).as_py()
    all_short = len(whole) and pc.all(pc.less_equal(pc.utf8_length(whole), 3)).as_py()
    # decimals that are cut after the last one do not end in 0, and those that are not cut stand in every number
    return grouped if ends_in_zero and all_short else None


def _two_readings(text: str, candidates: list[tuple[str, str]]) -> str:
    """The end of a message about a text, such as "1,234", that each pair of signs reads in another way."""
    words = {sign: word for word, sign in SIGNS.items()}
    match = re.search(NUMBER, text)
    digits = match["core"] if match else text
    readings = {thousands: Spelling(decimal, thousands).number(digits) for thousands, decimal in candidates}
    meanings = " or ".join(f"{number:.12g}" for number in readings.values())
    cures = ", or ".join(f"data.thousands={words[sign]} for {number:.12g}" for sign, number in readings.items())
    return f"could hold {meanings} where it has {text!r}, and no text of the column decides; set {cures}"


def _units(before: pa.Array, after: pa.Array, is_zero: pa.Array) -> tuple[tuple[str, int], ...] | None:
    """The units of a column with their powers of ten; None if they are not the same everywhere."""
    fronts = set(map(_bare_front, before.unique().to_pylist())) - {""}
    if not all(map(_is_currency, fronts)):
        return None
    backs = set(map(_bare, after.unique().to_pylist()))
    plain_rows = pc.and_(pc.invert(is_zero), pc.equal(pc.utf8_trim_whitespace(after), ""))
    some_plain = bool(pc.any(plain_rows).as_py())
    currencies = fronts | {back for back in backs if _is_currency(back)}
    powers = _power_units(backs - {""}, currencies, some_plain) or _family_units(backs - {""}, some_plain)
    rest = backs - {""} - currencies - set(powers)
    if len({name.casefold().rstrip(".") for name in currencies}) > 1:
        return None
    stems = {unit.casefold().rstrip(".").removesuffix("s") for unit in rest}
    if rest and (some_plain or currencies or powers or len(stems) > 1 or not all(map(_is_unit, rest))):
        return None
    named = dict.fromkeys(sorted(currencies), 0) | powers | {unit: PERCENT.get(unit, 0) for unit in sorted(rest)}
    return tuple(named.items())


def _power_units(backs: set[str], currencies: set[str], some_plain: bool) -> dict[str, int]:
    """Units such as K, M or "M €" with their powers of ten, if they differ or stand beside a currency."""
    powers = {}
    for back in backs:
        word, _, rest = back.partition(" ")
        is_power = word.casefold().rstrip(".") in POWERS and (not rest or _is_currency(rest))
        if is_power:
            powers[back] = POWERS[word.casefold().rstrip(".")]
    beside_others = len(set(powers.values())) > 1 or (some_plain and not powers.keys() <= {"m", "t", "b"})
    return dict(sorted(powers.items())) if currencies or beside_others else {}


def _family_units(backs: set[str], some_plain: bool) -> dict[str, int]:
    """Different units of one family, such as KB and MB, with their powers of ten."""
    if some_plain or len({back.casefold() for back in backs}) < 2:
        return {}
    families = [family for family in FAMILIES if all(back.casefold() in family for back in backs)]
    return {back: families[0][back.casefold()] for back in sorted(backs)} if families else {}


def _bare(text: str) -> str:
    """A unit behind a number without blanks, minus signs and brackets."""
    return text.strip().strip("()").strip().strip(DASHES).strip()


def _bare_front(text: str) -> str:
    """A unit before a number without blanks, signs and brackets."""
    return _bare(text).strip("+").strip()


def _is_unit(text: str) -> bool:
    return len(text) <= LONGEST_UNIT and bool(UNIT.fullmatch(text))


def _is_currency(text: str) -> bool:
    has_sign = len(text) <= 4 and any(unicodedata.category(character) == "Sc" for character in text)
    return has_sign or bool(CURRENCIES.fullmatch(text))


def _times(texts: pa.Array, hints: Hints, decide: bool) -> Reading | None:
    """Times of day, or lengths of time if one of them is no time of day."""
    if _all_readable(day_share, texts):
        return Reading("time", PLAIN)
    return _durations(texts, hints, decide)


def _durations(texts: pa.Array, hints: Hints, decide: bool) -> Reading | None:
    return Reading("numeric", Spelling(format=DURATION)) if _all_readable(seconds, texts) else None


def _dates(texts: pa.Array, hints: Hints, decide: bool) -> Reading | None:
    if len(texts) > 1 and all(map(_first_fiscal_year, texts.to_pylist())):
        return None
    formats = [hints.date_format] if hints.date_format is not None else []
    for format_ in (*formats, ""):
        if _all_readable(Spelling(format=format_).days, texts):
            return Reading("date", Spelling(format=format_))
    candidates, reason = [format_ for format_ in FORMATS if _all_recent(format_, texts)], ""
    if len(candidates) > 1 and decide:
        days = [[Spelling(format=format_).days(text) for text in texts.to_pylist()] for format_ in candidates]
        monthly = [format_ for format_, moments in zip(candidates, days, strict=True) if _are_first_days(moments)]
        if candidates[0].startswith("%d") and pc.all(pc.match_substring(texts, ".")).as_py():
            candidates = candidates[:1]  # only days stand before months with a point between them
        elif len(monthly) == 1:
            candidates, reason = monthly, "every date is then the first day of a month"
        elif any(other != days[0] for other in days[1:]):
            row = next(row for row, moments in enumerate(zip(*days, strict=True)) if len(set(moments)) > 1)
            meanings = " or ".join(str(np.datetime64(int(moments[row]), "D")) for moments in days)
            cures = " or ".join(f"data.date_format={format_}" for format_ in candidates)
            text = texts[row].as_py()
            raise AmbiguousError(
                f"could hold {meanings} where it has {text!r}, and no text of the column decides; set {cures}"
            )
    return Reading("date", Spelling(format=candidates[0]), reason) if candidates else None


def _are_first_days(days: list[float]) -> bool:
    """Whether dates are more than a year's first days of months; in another order, they are all in Januaries."""
    dates = np.array(days, np.int64).astype("datetime64[D]")
    return len(set(days)) > 12 and bool((dates == dates.astype("datetime64[M]")).all())


def _ranges(texts: pa.Array, hints: Hints, decide: bool) -> Reading | None:
    """Ranges that do not overlap; single numbers may stand among them."""
    if len(texts) > MAX_RANGES or (decide and len(texts) < 2):
        return None
    bounds = [bounds_of(text) for text in texts.to_pylist()]
    if None in bounds:
        return None
    ordered = sorted(pair for pair in bounds if pair is not None)
    is_increasing = all(low <= high for low, high in ordered)
    overlaps = any(high > low for (_, high), (low, _) in pairwise(ordered))
    has_range = any(low < high for low, high in ordered)
    return Reading("ordinal", PLAIN) if is_increasing and has_range and not overlaps else None


def _number_candidates(texts: list[str], counts: list[int], hints: Hints) -> Iterable[Callable[[str], Any]]:
    """The reader of numbers that are plain, or have the most common currency or percent sign."""
    units_of = {text: _units_of(text) for text in texts}
    n_values: Counter[tuple[str, str] | None] = Counter()
    for text, count in zip(texts, counts, strict=True):
        n_values[units_of[text]] += count
    del n_values[None]
    commonest = max(n_values, key=lambda units: n_values[units], default=None)
    if commonest is None or not all(not unit or _is_currency(unit) or unit in PERCENT for unit in commonest):
        return
    similar = pa.array([text for text in texts if units_of[text] == commonest])
    cores = pc.struct_field(pc.extract_regex(similar, NUMBER), "core")
    matches = [
        pc.match_substring_regex(cores, Spelling(d, t).number_pattern) for t, d in _sign_candidates(cores, hints)
    ]
    reading = _numbers(similar.filter(max(matches, key=lambda mask: pc.sum(mask).as_py())), hints, False)
    if reading is None:
        return
    may_be_plain = not PERCENT.keys() & set(commonest)
    spelling = reading.spelling

    def number(text: str) -> float:
        units = _units_of(text)
        return spelling.number(text) if units == commonest or (may_be_plain and units == ("", "")) else np.nan

    yield number


def _units_of(text: str) -> tuple[str, str] | None:
    """The bare units before and behind the number in a text; None without a number."""
    match = re.search(NUMBER, text)
    return (_bare_front(match["before"]), _bare(match["after"])) if match else None


def _date_candidates(texts: list[str], counts: list[int], hints: Hints) -> Iterable[Callable[[str], Any]]:
    return [PLAIN.days, *map(_recent_days, FORMATS)]


def _recent_days(format_: str) -> Callable[[str], float]:
    """The reader of dates of a format whose year is none of those that are rather other numbers."""

    def days(text: str) -> float:
        value = Spelling(format=format_).days(text)
        return value if FIRST_DAY < value < LAST_DAY else np.nan

    return days


def _all_recent(format_: str, texts: pa.Array) -> bool:
    """Whether all texts are dates of this format from FIRST_DAY to LAST_DAY."""
    recent_days = _recent_days(format_)
    if not _all_readable(recent_days, texts[:N_PROBED]):
        return False
    rest = texts[N_PROBED:]
    days = days_in_bulk(rest, Spelling(format=format_))
    are_recent = (days > FIRST_DAY) & (days < LAST_DAY)
    return _all_readable(recent_days, rest.filter(pa.array(~are_recent)))


def _all_readable(convert: Callable[[str], Any], texts: pa.Array) -> bool:
    return all(_is_readable(convert, text) for text in texts.to_pylist())


def _is_readable(convert: Callable[[str], Any], text: str) -> bool:
    try:
        return bool(np.isfinite(convert(text)))
    except (ValueError, OverflowError):
        return False
