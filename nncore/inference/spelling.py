"""How the texts of a column spell numbers, dates and times of day.

A `Spelling` is chosen for a column as a whole when its file is read (pipeline/data/spellings.py) and belongs to the
column of the model, so that a model reads raw texts as they were read for training.
"""

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from typing import Any

import numpy as np

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY_SECONDS = 86_400
DURATION = "duration"  # the format of lengths of time, in seconds
SPACE = "[ \\t\u00a0\u2009\u202f]"
MINUS = "\u2212\u2013-"  # the last one last, as it stands in character classes
DASHES = f"\u2014{MINUS}"  # in place of decimals: "12,-" is 12
GROUP_SIGNS = {"": "", ",": ",", ".": r"\.", "'": "['\u2019]", " ": SPACE}  # thousands sign, as a regular expression
# Texts that stand for a missing value where they are among numbers, dates or ordered categories; compared in lower case
MISSING_WORDS = frozenset(
    (
        *("?", ":", "-", "--", "---", "\u2013", "\u2014", ".", "..", "...", "*", "/"),
        *("n/a", "n/d", "n.a.", "n.d.", "na"),
        *("nan", "null", "none", "nil", "nd", "unk", "unknown", "undefined", "unspecified", "missing", "blank"),
        *("(blank)", "empty", "not available", "not applicable", "not reported", "not known", "no data", "no answer"),
        *("tbd", "tba", "k.a.", "#n/a", "#ref!", "#div/0!", "#value!", "#name?", "#null!", "#num!", "<na>", "nat"),
    )
)
MONTHS = (
    *("january", "february", "march", "april", "may", "june", "july"),
    *("august", "september", "october", "november", "december"),
)
ZONE = r"(?P<z>Z|(?:UTC|GMT)?[+-][0-9]{1,2}(?::?[0-9]{2})?|UTC|GMT)"
CLOCK = (
    r"(?P<H>[0-9]{1,2})(?::(?P<M>[0-5][0-9])(?::(?P<S>[0-5][0-9](?:[.,][0-9]+)?))?)?"
    rf" *(?P<p>[AaPp]\.?[Mm]\.?)? *{ZONE}?"
)
TIME_OF_DAY = re.compile(CLOCK + "(?: *(?:Uhr|h))?")
CODES = {
    "d": "(?P<d>[0-9]{1,2})",
    "m": "(?P<m>[0-9]{1,2})",
    "Y": "(?P<Y>[0-9]{4})",
    "y": "(?P<y>[0-9]{2})",
    "b": r"(?P<b>[A-Za-z]{3,9})\.?",
    "B": r"(?P<b>[A-Za-z]{3,9})\.?",
    "q": "(?P<q>[1-4])",
    "H": "(?P<H>[0-9]{1,2})",
    "I": "(?P<H>[0-9]{1,2})",
    "M": "(?P<M>[0-9]{1,2})",
    "S": "(?P<S>[0-9]{1,2}(?:[.,][0-9]+)?)",
    "p": r"(?P<p>[AaPp]\.?[Mm]\.?)",
    "z": ZONE,
}
WEEKDAY = "(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*[., ]+)?"
COLONS = re.compile(
    rf"(?P<sign>[{MINUS}])?(?:(?P<days>[0-9]+) *(?:days?|d),? *)?"
    r"(?:(?:(?P<hours>[0-9]+):)?(?P<minutes>[0-9]+):(?P<seconds>[0-9]{2}(?:[.,][0-9]+)?))"
)
AMOUNT = r"([0-9]+(?:\.[0-9]+)?) *"
LETTERS = re.compile(
    rf"([{MINUS}])?P?(?:{AMOUNT}w(?:eeks?)?)?[ ,]*(?:{AMOUNT}d(?:ays?)?)?"
    rf"[ ,T]*(?:{AMOUNT}h(?:(?:ou)?rs?)?)?[ ,]*(?:{AMOUNT}m(?:in(?:ute)?s?)?)?"
    rf"[ ,]*(?:{AMOUNT}s(?:ec(?:ond)?s?)?)?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Spelling:
    """How the texts of one column are written.

    Parameters
    ----------
    decimal : str, default "."
        The decimal sign of numbers.
    thousands : {"", ",", ".", "'", " "}
        The sign between groups of digits; a blank stands for every kind of space.
    units : tuple of (str, int)
        Currency signs, units and the like that may stand before or behind a number, each with a power of ten: "%"
        with -2, as 5% is 0.05; "kg" with 0.
    format : str
        Of dates: strftime's codes %d %m %Y %y %b %B %H %I %M %S %p %z, and %q for a quarter. A time of day may follow;
        dots, dashes, slashes, commas and blanks are alike; a number may lack its leading zero. "duration" for lengths
        of time. ISO 8601 is always understood.
    """

    decimal: str = "."
    thousands: str = ""
    units: tuple[tuple[str, int], ...] = ()
    format: str = ""

    @property
    def is_plain(self) -> bool:
        """Whether numbers are spelled as float() reads them and dates as ISO 8601."""
        return self == PLAIN

    @cached_property
    def number_pattern(self) -> str:
        """The regular expression of a whole number text, for Python's re and for RE2."""
        group, point = GROUP_SIGNS[self.thousands], re.escape(self.decimal)
        grouped = rf"[1-9][0-9]{{0,2}}(?:{group}[0-9]{{2,3}})*{group}[0-9]{{3}}|" if group else ""
        digits = rf"(?:{grouped}[0-9]+)(?:{point}(?:[0-9]+|[{DASHES}]{{1,2}})?)?|{point}[0-9]+"
        by_length = sorted(self.units, key=lambda unit: -len(unit[0]))
        names = "|".join(re.escape(name) for name, _ in by_length)
        unit = [rf"(?P<unit{place}>{names})?{SPACE}*" if names else "" for place in range(4)]
        sign = [rf"(?P<sign{place}>[+{MINUS}])?{SPACE}*" for place in range(3)]
        return (
            rf"^{SPACE}*{unit[0]}(?P<open>\()?{SPACE}*{sign[0]}{unit[1]}{sign[1]}"
            rf"(?P<digits>{digits})(?P<exponent>[eE][+-]?[0-9]+)?{SPACE}*{unit[2]}{unit[3]}{sign[2]}"
            rf"(?P<close>\))?{SPACE}*$"
        )

    @cached_property
    def _number(self) -> re.Pattern[str]:
        return re.compile(self.number_pattern)

    @cached_property
    def _date(self) -> re.Pattern[str]:
        return re.compile(date_pattern(self.format), re.IGNORECASE)

    def number(self, value: Any) -> float:
        """Return the number that a value is or spells.

        Parameters
        ----------
        value : object

        Returns
        -------
        float
            NaN if missing; a length of time in seconds.

        Raises
        ------
        ValueError
            If it spells none.
        """
        if isinstance(value, timedelta):
            return value.total_seconds()
        if not isinstance(value, str):
            return np.nan if is_missing(value) else float(value)
        text = value.strip()
        if is_missing_word(text):
            return np.nan
        if self.format == DURATION and (":" in text or not text[-1].isdigit()):
            return seconds(text)
        if (self.is_plain or self.format == DURATION) and "_" not in text:  # float() accepts 1_000
            with suppress(ValueError):
                return float(text)
        match = self._number.fullmatch(text)
        if not match:
            raise ValueError(f"{text!r} is not a number")
        return self._value(match.groupdict(default=""))

    def _value(self, parts: dict[str, str]) -> float:
        """The number of a text that matches `number_pattern`."""
        signs = "".join(parts[f"sign{place}"] for place in range(3))
        if len(signs) + len(parts["open"]) > 1 or bool(parts["open"]) != bool(parts["close"]):
            raise ValueError("its signs and brackets are not those of a number")
        powers = dict(self.units)
        power = sum(powers.get(parts.get(f"unit{place}", ""), 0) for place in range(4))
        power += int(parts["exponent"][1:] or 0)
        digits = re.sub(GROUP_SIGNS[self.thousands], "", parts["digits"]) if self.thousands else parts["digits"]
        size = float(f"{digits.replace(self.decimal, '.').rstrip(DASHES)}e{power}")
        return -size if parts["open"] or (signs and signs != "+") else size

    def days(self, value: Any) -> float:
        """Return the days since 1970-01-01 of a date or the text of one, in UTC if it has a time zone; NaN if missing.

        Parameters
        ----------
        value : object

        Returns
        -------
        float

        Raises
        ------
        ValueError
            If it is no date.
        """
        if is_missing(value):
            return np.nan
        if isinstance(value, date):
            moment = value
        else:
            text = str(value).strip()
            if isinstance(value, float):  # 20200131.0, an integer among missing ones; or 1.202, which was 01.2020
                text = str(int(value)) if value.is_integer() else f"{value:.4f}"
            if is_missing_word(text):
                return np.nan
            match = self._date.fullmatch(text) if self.format else None
            moment = _moment(match.groupdict()) if match else datetime.fromisoformat(text)
        if not isinstance(moment, datetime):
            moment = datetime(moment.year, moment.month, moment.day)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        return (moment - EPOCH) / timedelta(days=1)

    def write(self, number: float) -> str:
        """Return a text that `number` reads as this number."""
        return repr(number).replace(".", self.decimal)

    def describe(self) -> str:
        """Return in a few words how numbers or dates are written; empty if they are written plainly."""
        if self.format:
            return "lengths of time, in seconds" if self.format == DURATION else f"dates such as {self._example_date()}"
        if self.is_plain:
            return ""
        (name, power) = self.units[0] if self.units else ("", 0)
        number = f"1{self.thousands}234{self.decimal}5" if self.thousands or self.decimal != "." else "12.5"
        shown = f"{number} {name}".strip() if name[:1].isalpha() and power == 0 else number + name
        if name and any(character in "$\u20ac\u00a3\u00a5\u20b9" for character in name):
            shown = name + number
        powers = [f"1{name} is {float(f'1e{power}'):.12g}" for name, power in self.units if power]
        return f"numbers such as {shown}" + "".join(f", {text}" for text in powers)

    def _example_date(self) -> str:
        quarter = self.format.replace("%q", "4")
        return f"{datetime(2024, 12, 31, 18, 30, tzinfo=UTC).strftime(quarter)} ({self.format})"


PLAIN = Spelling()


def date_pattern(format_: str) -> str:
    """Return the regular expression of dates in a format.

    Parameters
    ----------
    format_ : str
        See Spelling.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        Naming a code that is not known, or that the format has no year.
    """
    parts, codes = [], []
    between = "[-/., ]*" if "%q" in format_ else "[-/., ]+"
    for code, separators, other in re.findall(r"%(.?)|([-/., ]+)|(.)", format_):
        if code not in ("", *CODES) or code in codes:
            raise ValueError(f"has %{code}, but may have each of %d %m %Y %y %b %H %I %M %S %p %z and %q once")
        codes += [code] if code else []
        parts.append(CODES[code] if code else between if separators else re.escape(other))
    if not {"Y", "y"} & set(codes) or not {"m", "b", "B", "q"} & set(codes):
        raise ValueError("must have a year, %Y or %y, and a month, %m or %b, such as %d/%m/%Y")
    clock = "" if {"H", "I"} & set(codes) else f"(?:[T, ]+{CLOCK})?"
    return WEEKDAY + "".join(parts) + clock


def day_share(value: Any) -> float:
    """Return the place of a time of day in its day, from 0 (midnight) to 1.

    Parameters
    ----------
    value : object
        A time, or a text such as "20:06", "20:06:30" or "8:06 PM".

    Returns
    -------
    float
        NaN if missing.

    Raises
    ------
    ValueError
        If it is no time of day.
    """
    if is_missing(value):
        return np.nan
    if isinstance(value, time):
        since_midnight = timedelta(
            hours=value.hour, minutes=value.minute, seconds=value.second, microseconds=value.microsecond
        )
        return since_midnight / timedelta(days=1)
    text = str(value).strip()
    if is_missing_word(text):
        return np.nan
    match = TIME_OF_DAY.fullmatch(text)
    if not match or match["z"] or not (match["M"] or match["p"]):
        raise ValueError(f"{text!r} is not a time of day")
    return _seconds_of_day(match.groupdict()) / DAY_SECONDS


def seconds(text: str) -> float:
    """Return the seconds of a length of time, such as "36:10:00", "1 days 02:00:00", "2 weeks", "1h 30m", "PT1H30M".

    Parameters
    ----------
    text : str
        Two numbers with a colon are minutes and seconds.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If it spells no length of time.
    """
    match = COLONS.fullmatch(text) or LETTERS.fullmatch(text)
    if not match or not any(match.groups()[1:]):
        raise ValueError(f"{text!r} is not a length of time")
    sign, *amounts = match.groups()
    factors = (7 * DAY_SECONDS, DAY_SECONDS, 3600, 60, 1)[-len(amounts) :]
    total = sum(
        float((amount or "0").replace(",", ".")) * factor for amount, factor in zip(amounts, factors, strict=True)
    )
    return -total if sign else total


def is_missing_word(text: str) -> bool:
    """Whether a text without blanks at its ends is empty, or stands for a missing value among numbers or dates."""
    return not text or text.lower() in MISSING_WORDS


def is_missing(value: Any) -> bool:
    """Whether a value is None, an empty text, NaN, NaT, or another value that does not equal itself (pandas' NA)."""
    try:
        return value is None or bool(value == "") or bool(value != value)
    except TypeError:
        return True


def month_number(name: str) -> int:
    """Return the number of the month with an English name, in full or cut to three letters or more.

    Parameters
    ----------
    name : str

    Returns
    -------
    int

    Raises
    ------
    ValueError
        If it is no month.
    """
    numbers = [number for number, month in enumerate(MONTHS, 1) if month.startswith(name.lower())]
    if len(numbers) != 1:
        raise ValueError(f"{name!r} is not a month")
    return numbers[0]


def _seconds_of_day(parts: dict[str, str | None]) -> float:
    hour, minute = int(parts.get("H") or 0), int(parts.get("M") or 0)
    half = (parts.get("p") or "").lower()[:1]
    second = float((parts.get("S") or "0").replace(",", "."))
    if half and not 1 <= hour <= 12:
        raise ValueError("its hours and minutes are not those of a time of day")
    hour = hour % 12 + 12 * (half == "p") if half else hour
    total = hour * 3600 + minute * 60 + second
    if minute > 59 or second >= 60 or total > DAY_SECONDS:
        raise ValueError("its hours and minutes are not those of a time of day")
    return total


def _moment(parts: dict[str, str | None]) -> datetime:
    """The moment that the parts of a date's text name."""
    year = int(parts.get("Y") or parts.get("y") or 0)
    if parts.get("y"):
        year += 1900 if year >= 69 else 2000  # as POSIX
    month = int(parts.get("m") or 1)
    if name := parts.get("b"):
        month = month_number(name)
    if quarter := parts.get("q"):
        month = 3 * int(quarter) - 2
    moment = datetime(year, month, int(parts.get("d") or 1)) + timedelta(seconds=_seconds_of_day(parts))
    zone = parts.get("z")
    if not zone:
        return moment
    digits = re.sub("[^0-9]", "", zone)
    hours, minutes = (digits[:-2], digits[-2:]) if len(digits) > 2 else (digits, "")
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    return moment.replace(tzinfo=UTC) + (offset if "-" in zone else -offset)
