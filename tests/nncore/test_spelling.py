"""How texts spell numbers, dates, times of day and lengths of time."""

import datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nncore.inference.spelling import DURATION, PLAIN, Spelling, date_pattern, day_share, seconds
from nncore.inference.table import Column

GERMAN = Spelling(",", ".", (("\u20ac", 0), ("%", -2), ("Mio", 6)))


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1.234,50 \u20ac", 1234.5), ("\u20ac 5", 5.0), ("(5,5)", -5.5), ("-\u20ac5", -5.0), ("\u20ac-5", -5.0),
        ("5-", -5.0),
        ("(\u20ac5)", -5.0), ("\u20ac(5)", -5.0), ("\u22125", -5.0),
        ("57%", 0.57), ("29 %", 0.29), ("1e3", 1000.0),
        ("2,5 Mio \u20ac", 2.5e6), ("12.345.678,9", 12345678.9), ("+7", 7.0),
        (",5", 0.5), ("5,", 5.0), ("1234", 1234.0),
    ],
)  # fmt: skip
def test_signs_stand_before_and_behind_numbers(text, number):
    assert GERMAN.number(text) == number


@pytest.mark.parametrize(
    "text", ["1.23", "0.123", "--5", "-(5)", "(5", "5)", "5 $", "1.2345", "1,2,3", "1_000", "-5-", "x"]
)
def test_what_the_spelling_does_not_have_is_refused(text):
    with pytest.raises(ValueError, match=r"not a|not those|isoformat|must be|out of range"):
        GERMAN.number(text)


@pytest.mark.parametrize("text", ["?", "-", " N/A ", "unknown", "", "\u2014", "#DIV/0!", None, float("nan")])
def test_words_for_a_missing_value_are_missing_in_every_spelling(text):
    assert np.isnan(GERMAN.number(text))
    assert np.isnan(PLAIN.number(text))
    assert np.isnan(PLAIN.days(text))
    assert np.isnan(day_share(text))


@given(
    st.floats(-1e15, 1e15), st.sampled_from([PLAIN, GERMAN, Spelling(".", ","), Spelling(",", " "), Spelling(".", "'")])
)
def test_a_number_is_read_as_it_is_written(number, spelling):
    assert spelling.number(spelling.write(number)) == number


@given(st.integers(-(10**12), 10**12), st.integers(0, 4), st.sampled_from([",", ".", "'", " "]))
def test_groups_of_digits_and_a_decimal_sign_are_read(whole, n_decimals, thousands):
    decimal = "," if thousands in ". " else "."
    text = f"{whole / 7:,.{n_decimals}f}".replace(",", "\0").replace(".", decimal).replace("\0", thousands)
    assert Spelling(decimal, thousands).number(text) == float(f"{whole / 7:.{n_decimals}f}")


DAY = datetime.datetime(2024, 2, 1)


@pytest.mark.parametrize(
    ("format_", "text", "moment"),
    [
        ("%d/%m/%Y", "1/2/2024", DAY),
        ("%m/%d/%Y", "02/01/2024", DAY),
        ("%d/%m/%Y", "1.2.2024 10:30 PM", DAY + datetime.timedelta(hours=22, minutes=30)),
        ("%b %d %Y", "Thursday, February 1, 2024", DAY),
        ("%b %d %Y", "Feb. 1 2024 12:05 am", DAY + datetime.timedelta(minutes=5)),
        ("%d %b %y", "1-FEB-24", DAY),
        ("%d %b %y", "1-Feb-69", datetime.datetime(1969, 2, 1)),
        ("%d %b %Y", "01 Feb 2024 01:00:00.5 +0100", DAY + datetime.timedelta(seconds=0.5)),
        ("%m/%Y", "02-2024", DAY),
        ("%b %Y", "Feb-2024", DAY),
        ("%Y Q%q", "2024Q3", datetime.datetime(2024, 7, 1)),
        ("Q%q %Y", "Q1 2024", datetime.datetime(2024, 1, 1)),
        ("%d.%m.%Y %H:%M", "01.02.2024 07:05", DAY + datetime.timedelta(hours=7, minutes=5)),
        ("%d/%m/%Y", "2024-02-01T00:00:00Z", DAY),
    ],
)
def test_dates_in_many_formats(format_, text, moment):
    assert Spelling(format=format_).days(text) == (moment - datetime.datetime(1970, 1, 1)) / datetime.timedelta(days=1)


@pytest.mark.parametrize(
    ("format_", "text"),
    [
        ("%d/%m/%Y", "1/13/2024"),
        ("%d/%m/%Y", "30/2/2024"),
        ("%b %d %Y", "Ma 5 2024"),
        ("%d/%m/%Y", "1/2/24"),
        ("", "x"),
    ],
)
def test_what_is_no_date_is_refused(format_, text):
    with pytest.raises(ValueError, match=r"not a|not those|isoformat|must be|out of range"):
        Spelling(format=format_).days(text)


@pytest.mark.parametrize("format_", ["%d/%m", "%Y", "%d/%d/%Y", "%j/%Y", "%"])
def test_formats_without_a_month_or_a_year_are_refused(format_):
    with pytest.raises(ValueError, match=r"%d|must have a year"):
        date_pattern(format_)


@pytest.mark.parametrize(
    ("text", "hours"),
    [("20:06", 20.1), ("8:06 PM", 20.1), ("12 am", 0), ("24:00", 24), ("00:00:36", 0.01), (datetime.time(6, 30), 6.5)],
)
def test_a_time_of_day_is_its_share_of_the_day(text, hours):
    assert day_share(text) * 24 == pytest.approx(hours)


@pytest.mark.parametrize("text", ["25:00", "12:60", "13:00 pm", "12", "10:30Z", "x"])
def test_what_is_no_time_of_day_is_refused(text):
    with pytest.raises(ValueError, match=r"not a|not those|isoformat|must be|out of range"):
        day_share(text)


@pytest.mark.parametrize(
    ("text", "total"),
    [
        ("36:10:00", 130_200), ("4:05.2", 245.2), ("1 days 02:00:00", 93_600), ("1 day, 2:00:00", 93_600),
        ("-0:30", -30),
        ("1h 30m", 5400), ("PT1H30M", 5400), ("90 min", 5400), ("2 hours", 7200), ("0 days 00:00:00.25", 0.25),
    ],
)  # fmt: skip
def test_lengths_of_time_are_seconds(text, total):
    assert seconds(text) == total
    assert Spelling(format=DURATION).number(text) == total


def test_a_column_reads_times_and_shows_them():
    column = Column("t", "time", "string")
    values = column.read(np.array(["20:06", datetime.time(3, 15), None, "?"], object))
    np.testing.assert_allclose(values * 24, [20.1, 3.25, np.nan, np.nan])
    assert column.show(values) == ["20:06:00", "03:15:00", None, None]


def test_a_column_shows_numbers_as_its_spelling_reads_them():
    column = Column("x", type="string", spelling=GERMAN)
    numbers = np.array([1234.5, 0.123, -2.0, np.nan])
    np.testing.assert_array_equal(column.read(np.array(column.show(numbers), object)), numbers)


def test_an_ordinal_column_reads_a_word_for_a_missing_value():
    column = Column("age", "ordinal", "string", ("18-24", "25-34"))
    assert column.read(np.array(["25-34", "unknown", "99+", None], object)).tolist() == [1, -1, 2, -1]
