"""Numbers and names as people read them."""

import math
from collections.abc import Iterable, Sequence, Sized

from pipeline.components.printable import printable

LONGEST = 40  # characters of a cell of a table


def sentence(text: str) -> str:
    """The text with a capital letter."""
    return text[:1].upper() + text[1:]


def listed(names: Sequence[str], most: int = 6) -> str:
    """Names in a sentence: "a, b and c", or "a, b and 7 others"."""
    if len(names) > most:
        names = [*names[: most - 1], f"{len(names) - most + 1} others"]
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def short(text: str, longest: int = 28) -> str:
    """Shorten a name in its middle, as names often differ at their ends.

    Examples
    --------
    >>> short("a_very_long_name_of_a_column_17", 20)
    'a_very_long…olumn_17'
    """
    text = printable(text)
    end = longest * 2 // 5
    return text if len(text) <= longest else f"{text[: longest - 1 - end]}…{text[-end:]}"


def first_of(shown: Sized, everything: Sized, caption: str) -> str:
    """A caption that says how much of all there is a table shows."""
    return f"{caption}: the first {len(shown):,} of {len(everything):,}" if len(shown) < len(everything) else caption


def decimals(values: Iterable[float], noise: float | None = None) -> int:
    """How many decimals values deserve.

    Parameters
    ----------
    values : iterable of float
    noise : float, optional
        Half the width of an interval of these values.

    Returns
    -------
    int
        So many that the noise shows two digits, but the median of the values at most four.

    Examples
    --------
    >>> decimals([0.10139, 0.10241], 0.031), decimals([0.99919], 0.0007), decimals([0.10139]), decimals([1234.5])
    (3, 4, 4, 0)
    """
    sizes = sorted(abs(value) for value in values if math.isfinite(value) and value)
    most = min(6, 3 - max(-1, math.floor(math.log10(sizes[len(sizes) // 2])))) if sizes else 4
    if noise and math.isfinite(noise):
        most = min(most, 1 - math.floor(math.log10(noise)))
    return max(0, most)


def noise_of(value: float | None, ends: Sequence[float] | None) -> float | None:
    """How uncertain a value is: the distance to the nearer end of its interval; None if that is not known.

    Of a score near its limit, the other end is far away, and says less about the digits that count.
    """
    if value is None or ends is None:
        return None
    return min((abs(end - value) for end in ends if end != value), default=None)


def number(value: float | None, places: int = 4) -> str:
    """A number with so many decimals; "" for None, and a word where there is no number."""
    if value is None:
        return ""
    if not math.isfinite(value):
        return "not defined" if math.isnan(value) else "infinite"
    if abs(value) >= 1e7:
        return f"{value:.4g}"
    text = f"{value:,.{places}f}"
    return text if text.strip("-0.") else text.lstrip("-")


def span(ends: tuple[float, float] | None, places: int) -> str:
    """An interval: "0.081 to 0.122"; "" for None."""
    return f"{number(ends[0], places)} to {number(ends[1], places)}" if ends else ""


def counted(n: int, singular: str, plural: str = "") -> str:
    """A number and its noun: "1 row", "1,024 rows"."""
    return f"{n:,} {singular if n == 1 else plural or singular + 's'}"


def value_text(text: str) -> str:
    """A setting's value or a cell of a file, with at most four significant digits of a fraction."""
    try:
        return f"{float(text):.4g}" if "." in text or "e" in text else short(text, LONGEST)
    except ValueError:
        return short(text, LONGEST)
