"""How columns of texts are read: as numbers, dates, times of day, ordered ranges or categories."""

import datetime
import re
import shlex
import tempfile
from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from running import compose

from nncore.inference.spelling import Spelling
from nncore.inference.table import Column, read_table
from pipeline.components.errors import SettingError
from pipeline.data.arrow_values import days_in_bulk, numbers_in_bulk, numbers_of
from pipeline.data.card import data_card
from pipeline.data.spellings import FORMATS, AmbiguousError, Hints, reading_of

N = 60
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=N).round(3)


def dataset_with(folder, texts, *overrides, target="y", x=X):
    """The data set of a CSV file with a column of these texts, repeated."""
    frame = pd.DataFrame({"c": (list(texts) * N)[:N], "x": x, "y": np.where(X > 0, "yes", "no")})
    frame.to_csv(folder / "t.csv", index=False)
    if overrides:
        configured, _ = compose(
            "data=csv", f"data.path={folder}/t.csv", f"data.target={target}", "preset=none", *overrides
        )
        return configured.data()
    return replace(default_source(), path=f"{folder}/t.csv", target=target)()


@cache
def default_source():
    """Composing takes longer than reading a small file."""
    with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
        file.write("c,x,y\n1,2,3\n")
        file.flush()
        return compose("data=csv", f"data.path={file.name}", "data.target=y", "preset=none")[0].data


def column_with(folder, texts, *overrides):
    """That column, its values, and its reading in the data card; a model reads the same from pandas' frame."""
    dataset = dataset_with(folder, texts, *overrides)
    column, values = next(pair for pair in dataset.rows.x.column_values if pair[0].name == "c")
    for frame in (pd.read_csv(folder / "t.csv"), pd.read_csv(folder / "t.csv", dtype=str, keep_default_na=False)):
        table = read_table((column,), frame)
        np.testing.assert_array_equal(table.numbers[:, 0] if table.numbers.size else table.codes[:, 0], values)
    card = data_card(dataset)
    return column, values[: len(texts)], next(entry for entry in card["columns"] if entry["name"] == "c"), card["notes"]


def days(*parts):
    return (datetime.datetime(*parts) - datetime.datetime(1970, 1, 1)) / datetime.timedelta(days=1)


# texts of a column, their numbers, and a part of the reading in the data card
NUMBERS = {
    "currency": (["$4,100", "$64,178", "$51,428"], [4100, 64178, 51428], "$1,234.5"),
    "currency with cents": (["$4,100.25", "$12", "-$7.5"], [4100.25, 12, -7.5], "$1,234.5"),
    "currency behind": (["4.100,25 €", "12 €", "-7,5 €"], [4100.25, 12, -7.5], "€1.234,5"),
    "currency code": (["EUR 12.5", "EUR 1,000.25", "EUR 7"], [12.5, 1000.25, 7], "EUR"),
    "currency of several letters": (["Rs. 500", "Rs.1,500", "Rs 20.5"], [500, 1500, 20.5], ""),
    "percent": (["17.0%", "12.2%", "-5 %"], [0.17, 0.122, -0.05], "1% is 0.01"),
    "percent with a comma": (["17,0%", "12,25%", "0%"], [0.17, 0.1225, 0], "1% is 0.01"),
    "thousands": (["43,155", "15,050", "938"], [43155, 15050, 938], "1,234.5"),
    "millions": (["1,043,155", "15,051", "7,938"], [1043155, 15051, 7938], "1,234.5"),
    "thousands and decimals": (["1,234.5", "15,051", "7,938"], [1234.5, 15051, 7938], "1,234.5"),
    "points": (["1.043.155", "15.051", "7.938"], [1043155, 15051, 7938], "1.234,5"),
    "spaces": (["1 043 155", "15 051", "938"], [1043155, 15051, 938], "1 234.5"),
    "no-break spaces": (["1\u00a0043\u202f155,5", "15\u00a0051", "938"], [1043155.5, 15051, 938], "1 234,5"),
    "apostrophes": (["1'043'155", "15\u2019051", "938.5"], [1043155, 15051, 938.5], "1'234.5"),
    "lakhs": (["12,34,567", "1,000", "5"], [1234567, 1000, 5], "1,234.5"),
    "decimal comma": (["4,75", "3,20", "0,11"], [4.75, 3.2, 0.11], "1234,5"),
    "decimal comma below 1": (["0,751", "3,205", "1,111"], [0.751, 3.205, 1.111], "1234,5"),
    "brackets": (["(0.5)", "1.5", "(1,234.50)"], [-0.5, 1.5, -1234.5], "1,234.5"),
    "brackets and currency": (["($0.50)", "$1.50", "$(2)"], [-0.5, 1.5, -2], "$"),
    "minus behind": (["0.5-", "1.5", "2.5-"], [-0.5, 1.5, -2.5], ""),
    "minus sign": (["\u22120.5", "1.5", "2.5"], [-0.5, 1.5, 2.5], ""),
    "a unit": (["55 kg", "60.5 kg", "7kg"], [55, 60.5, 7], "12.5 kg"),
    "a unit with a digit": (["55 m2", "60.5 m2", "7 m2"], [55, 60.5, 7], "12.5 m2"),
    "a unit in the plural": (["1 year", "2 years", "10 years"], [1, 2, 10], "year"),
    "a unit of signs": (["55 km/h", "60.5 km/h", "7 km/h"], [55, 60.5, 7], "km/h"),
    "degrees": (["-5 °C", "20.5 °C", "7 °C"], [-5, 20.5, 7], "°C"),
    "out of ten": (["7/10", "8.5/10", "10/10"], [7, 8.5, 10], "/10"),
    "and more": (["1,000+", "10,000+", "500+"], [1000, 10000, 500], "+"),
    "decimal commas and exponents": (["1,177e-05", "2,866e+01", "1,582E2"], [1.177e-5, 28.66, 158.2], "1234,5"),
    "dashes for no cents": (["12,-", "1.234,--", "7,50"], [12, 1234, 7.5], "1.234,5"),
    "dashes for no cents, in Swiss francs": (["Fr. 1'234.\u2014", "Fr. 12.50"], [1234, 12.5], ""),
    "a minus behind whole numbers": (["12-", "1,234-", "7"], [-12, -1234, 7], ""),
    "sizes of files": (["1.2 MB", "300 KB", "12 B"], [1.2e6, 3e5, 12], "1MB is 1000000"),
    "weights": (["5 kg", "500 g", "2.5kg"], [5000, 500, 2500], "1kg is 1000"),
    "weeks and days": (["3 days", "2 weeks", "1 day"], [259200, 1209600, 86400], "seconds"),
    "thousands and millions in letters": (["$1.5M", "$20K", "$500"], [1.5e6, 2e4, 500], "1M is 1000000"),
    "question marks": (["?", "1", "2", "3.5"], [np.nan, 1, 2, 3.5], ""),
    "words for missing": (["unknown", "1", "-", "N.A."], [np.nan, 1, np.nan, np.nan], ""),
    "missing among prices": (["$1,500.5", "-", "$20"], [1500.5, np.nan, 20], "$1,234.5"),
    "lengths of time": (["36:10:00", "1:23:45", "0:00:30"], [130200, 5025, 30], "lengths of time, in seconds"),
    "days and times": (["1 days 02:00:00", "0 days 00:00:01", "2 days 00:00:00"], [93600, 1, 172800], "seconds"),
    "hours and minutes": (["1h 30m", "45m", "2h"], [5400, 2700, 7200], "seconds"),
}  # fmt: skip


@pytest.mark.parametrize("case", NUMBERS)
def test_texts_are_read_as_numbers(case, tmp_path):
    texts, numbers, reading = NUMBERS[case]
    column, values, entry, _ = column_with(tmp_path, texts)
    assert column.kind == "numeric"
    np.testing.assert_allclose(values, numbers, rtol=1e-15)
    assert reading in entry["reading"]


DATES = {
    "American": (["5/2/2019", "12/23/2011", "7/7/2016"], [(2019, 5, 2), (2011, 12, 23), (2016, 7, 7)]),
    "British": (["5/2/2019", "23/12/2011", "7/7/2016"], [(2019, 2, 5), (2011, 12, 23), (2016, 7, 7)]),
    "German": (["10.04.2012", "22.01.2014", "1.2.2013"], [(2012, 4, 10), (2014, 1, 22), (2013, 2, 1)]),
    "German, none above 12": (["10.04.2012", "02.01.2014"], [(2012, 4, 10), (2014, 1, 2)]),
    "two digits for the year": (["5/20/19", "12/23/68", "1/13/69"], [(2019, 5, 20), (2068, 12, 23), (1969, 1, 13)]),
    "the year first": (["2019/5/2", "2011/12/23"], [(2019, 5, 2), (2011, 12, 23)]),
    "names of months": (["5 May 2019", "23-Dec-2011"], [(2019, 5, 5), (2011, 12, 23)]),
    "names of months first": (["May 5, 2019", "December 23, 2011"], [(2019, 5, 5), (2011, 12, 23)]),
    "days of the week": (["Sunday, May 5, 2019", "Fri, Dec 23, 2011"], [(2019, 5, 5), (2011, 12, 23)]),
    "with times": (["5/22/2019 1:30 PM", "12/3/2011 00:15"], [(2019, 5, 22, 13, 30), (2011, 12, 3, 0, 15)]),
    "with time zones": (
        ["2019-05-22T13:30:00+02:00", "2011-12-03 00:15Z", "?"],
        [(2019, 5, 22, 11, 30), (2011, 12, 3, 0, 15), None],
    ),
    "Google's forms": (
        ["2023/01/31 1:05:06 PM GMT+1", "2023/07/31 1:05:06 PM GMT-5:30"],
        [(2023, 1, 31, 12, 5, 6), (2023, 7, 31, 18, 35, 6)],
    ),
    "years and months": (["2019-05", "2011-12"], [(2019, 5, 1), (2011, 12, 1)]),
    "months and years": (["05/2019", "12/2011"], [(2019, 5, 1), (2011, 12, 1)]),
    "months and years with points": (["05.2019", "12.2011"], [(2019, 5, 1), (2011, 12, 1)]),
    "whole numbers": (["20190522", "20111203", "20120229"], [(2019, 5, 22), (2011, 12, 3), (2012, 2, 29)]),
    "years and months as whole numbers": (
        [f"{year}{month:02}" for year in (2019, 2021) for month in range(1, 13)],
        [(year, month, 1) for year in (2019, 2021) for month in range(1, 13)],
    ),
    "months in letters": (["May-2019", "Dec-2011"], [(2019, 5, 1), (2011, 12, 1)]),
    "quarters": (["2019Q2", "2011Q4", "2011 Q1"], [(2019, 4, 1), (2011, 10, 1), (2011, 1, 1)]),
    "quarters first": (["Q2 2019", "Q4 2011"], [(2019, 4, 1), (2011, 10, 1)]),
    "with words for missing": (["2019-05-22", "unknown", "2011-12-03"], [(2019, 5, 22), None, (2011, 12, 3)]),
}  # fmt: skip


@pytest.mark.parametrize(
    "numbers",
    [
        [20190522, 20111203, 20120230],  # no such day
        [20190522, 20111203],  # too few
        range(200001, 200013),  # which may be numbers in order
        range(200001, 200030),
        [10100101, 10100102, 10100103],
    ],
)
def test_whole_numbers_that_are_not_all_dates_are_numbers(numbers, tmp_path):
    column, values, _, _ = column_with(tmp_path, numbers)
    assert (column.kind, values.tolist()) == ("numeric", [*numbers])


def test_whole_numbers_that_are_dates_are_noted_and_may_be_declared_numbers(tmp_path):
    dates = ["20190522", "20111203", "20120229"]
    assert column_with(tmp_path, dates)[3] == [
        "column 'c': 20111203 read as 2011-12-03; +data.kinds.c=numeric reads a number"
    ]
    column, values, _, notes = column_with(tmp_path, dates, "+data.kinds.c=numeric")
    assert (column.kind, values.tolist(), notes) == ("numeric", [*map(int, dates)], [])


def test_fractions_like_months_without_a_zero_in_front_are_numbers(tmp_path):
    assert column_with(tmp_path, ["1.2019", "2.2031", "7.1999"])[1].tolist() == [1.2019, 2.2031, 7.1999]


@pytest.mark.parametrize("case", DATES)
def test_texts_are_read_as_dates(case, tmp_path):
    texts, moments = DATES[case]
    column, values, _, _ = column_with(tmp_path, texts)
    assert column.kind == "date"
    np.testing.assert_array_equal(values, [days(*moment) if moment else np.nan for moment in moments])


@pytest.mark.parametrize(
    "texts",
    [
        ["20:06 Uhr", "23:04 Uhr", "03:15 Uhr"],
        ["20:06", "23:04", "03:15"],
        ["8:06 PM", "11:04 pm", "3:15 am"],
        ["20:06:00", "23:04:00", "?"],
    ],
)
def test_times_of_day_are_their_place_in_the_day(texts, tmp_path):
    column, values, entry, _ = column_with(tmp_path, texts)
    assert (column.kind, entry["reading"]) == ("time", "times of day")
    np.testing.assert_allclose(values[:2] * 24, [20.1, 23 + 4 / 60])


RANGES = {
    "ages": ["18-24", "25-34", "45+", "35-44"],
    "ages with words": ["under 18", "18 to 24", "25 to 64", "65 and over"],
    "ages with zeros": ["00-04", "05-09", "10-14", "15+"],
    "intervals of pandas": ["(0, 10]", "(10, 20]", "(20, 30]", "(30.5, 100.0]"],
    "incomes": ["<$10,000", "$10,000 - $19,999", "$20,000-$49,999", "$50,000+"],
    "years": ["< 1 year", "1 - 2 years", "3 - 9 years", "10+ years"],
    "fiscal years": ["2009/10", "2010/11", "2011/12", "2012/13"],
    "fiscal years that could be months": ["2001-02", "2002-03", "2003-04", "2004-05"],
    "p-values": ["<.001", ".032 - .04", "0.5 - .6", ">.9"],
    "dashes": ["1\u20135", "6\u201310", "11\u201320", ">20"],
}


@pytest.mark.parametrize("case", RANGES)
def test_ranges_are_ordered_categories(case, tmp_path):
    """The codes follow the bounds; a word for a missing value among them is missing."""
    texts = RANGES[case]
    order = {"ages": [0, 1, 3, 2]}.get(case, [0, 1, 2, 3])
    column, codes, entry, _ = column_with(tmp_path, [*texts, "unknown"])
    assert column.kind == "ordinal"
    assert codes.tolist() == [*order, -1]
    assert entry["reading"].startswith(f"ordered: {texts[0]} < {texts[1]} < ")


TEXTS = {
    "ids": ["877-00000", "877-00001", "877-00002"],
    "letters": ["A12", "B13", "C14"],
    "codes with a letter in front": ["A12", "A13", "A14"],
    "two units": ["5 kg", "10 lb", "7 kg"],
    "overlapping ranges": ["18-24", "20-34", "35-44"],
    "scores": ["3-1", "0-2", "1-1"],
    "versions": ["1.2.3", "1.10.0", "2.0.1"],
    "addresses": ["10.0.0.1", "10.0.0.2", "192.168.0.1"],
    "ordinals": ["1st", "2nd", "3rd"],
    "leading zeros": ["007", "A70", "700"],
    "words": ["red", "green", "unknown"],
    "lists": ["1)", "2)", "3)"],
    "telephone numbers": ["555-1234", "555-9876", "444-1000"],
}


@pytest.mark.parametrize("case", TEXTS)
def test_other_texts_are_categories(case, tmp_path):
    column, codes, entry, _ = column_with(tmp_path, TEXTS[case])
    assert (column.kind, entry["reading"]) == ("categorical", "")
    assert sorted(codes) == [0, 1, 2]


# texts that can be read in two ways, and the numbers or days for each of the settings that the message names
AMBIGUOUS = {
    "groups or decimals": (
        ["1,234", "2,345"],
        {"data.thousands=none": [1.234, 2.345], "data.thousands=comma": [1234, 2345]},
    ),
    "prices behind": (
        ["1.234 €", "2.345 €"],
        {"data.thousands=none": [1.234, 2.345], "data.thousands=point": [1234, 2345]},
    ),
    "days or months": (
        ["01/02/2024", "03/04/2024"],
        {
            "data.date_format=%d/%m/%Y": [days(2024, 2, 1), days(2024, 4, 3)],
            "data.date_format=%m/%d/%Y": [days(2024, 1, 2), days(2024, 3, 4)],
        },
    ),
    "days or months, two digits": (
        ["1-2-24", "3-4-24"],
        {
            "data.date_format=%d/%m/%y": [days(2024, 2, 1), days(2024, 4, 3)],
            "data.date_format=%m/%d/%y": [days(2024, 1, 2), days(2024, 3, 4)],
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", AMBIGUOUS)
def test_texts_with_two_readings_are_refused_with_the_settings_that_decide(case, tmp_path):
    texts, cures = AMBIGUOUS[case]
    with pytest.raises(SettingError) as error:
        dataset_with(tmp_path, texts, x=range(N))  # decimal points would decide, too
    named = [word.strip(",") for word in shlex.split(str(error.value)) if word.startswith("data.") and "=" in word]
    assert named[1:] == list(cures)  # after data.path
    assert repr(texts[0]) in str(error.value)
    for cure, expected in cures.items():
        _, values, _, _ = column_with(tmp_path, texts, cure)
        np.testing.assert_array_equal(values, expected)


def test_decimal_points_of_other_columns_show_that_commas_separate_thousands(tmp_path):
    _, values, _, notes = column_with(tmp_path, ["1,234", "2,345"])
    assert values.tolist() == [1234, 2345]
    assert "column 'c': '1,234' read as 1234, as other columns of the file have decimal points" in notes
    assert column_with(tmp_path, ["1,2345", "2,3"])[1].tolist() == [1.2345, 2.3]  # this comma cannot


def test_first_days_of_months_over_years_show_the_order_of_day_and_month(tmp_path):
    texts = [f"{month:02}/01/{year}" for year in range(2001, 2006) for month in range(1, 13)]
    _, values, _, notes = column_with(tmp_path, texts)
    assert values[[0, 13]].tolist() == [days(2001, 1, 1), days(2002, 2, 1)]
    assert "column 'c': '01/01/2001' read as 2001-01-01, as every date is then the first day of a month" in notes
    with pytest.raises(SettingError, match="no text of the column decides"):
        dataset_with(tmp_path, texts[:12])  # may be days of one January


def test_a_word_among_few_whole_numbers_makes_them_categories(tmp_path):
    column, values, _, notes = column_with(tmp_path, ["4", "6", "8", "8", "rotary"])
    assert (column.kind, column.levels, values.tolist()) == ("categorical", ("4", "6", "8", "rotary"), [0, 1, 2, 2, 3])
    assert any("4 different values, numbers and 'rotary' in row 5, which are read as categories" in n for n in notes)


def test_a_target_of_numbers_with_another_text_is_refused(tmp_path):
    """Sixty classes of one row each are no classes."""
    texts = [*map(str, X[:-1]), "4.5*"]
    with pytest.raises(SettingError, match=r"target 'c' holds numbers, but '4\.5\*' in row 60; .* data\.task=class"):
        dataset_with(tmp_path, texts, target="c")
    few = dataset_with(tmp_path, ["1", "2", "x"], target="c")
    assert (few.task, sorted(set(few.rows.y))) == ("classification", ["1", "2", "x"])


def test_classes_that_differ_in_capital_letters_only_are_noted(tmp_path):
    dataset = dataset_with(tmp_path, ["yes", "no", "YES"], target="c")
    assert any("'yes' and 'YES', which are different classes" in note for note in dataset.notes)


def test_whole_numbers_of_too_many_digits_are_told_apart(tmp_path):
    """float64 has one number for all of them."""
    numbers = [10**17 + place for place in range(3)]
    column, codes, _, notes = column_with(tmp_path, numbers)
    assert (column.kind, column.levels, codes.tolist()) == ("categorical", tuple(map(str, numbers)), [0, 1, 2])
    assert "more digits than numbers keep" in notes[0]
    numeric = column_with(tmp_path, [k * 10**17 for k in (1, 2, 3)], "+data.kinds.c=numeric")[0]
    assert numeric.kind == "numeric"


def test_an_infinite_number_is_refused_with_a_cure(tmp_path):
    with pytest.raises(SettingError, match=r"column 'c' is numeric, but has inf in row 2; .* 'data\.drop=\[c\]'"):
        dataset_with(tmp_path, ["1.5", "inf", "2"])
    dataset_with(tmp_path, ["1.5", "inf", "2"], "data.drop=[c]")


def test_blanks_around_texts_do_not_count(tmp_path):
    column, codes, _, _ = column_with(tmp_path, ["red", " red", "green ", "green"])
    assert (column.levels, codes.tolist()) == (("green", "red"), [1, 1, 0, 0])
    classes = dataset_with(tmp_path, [" yes", "no ", "yes", "no"], target="c").rows.y
    assert classes[:4].tolist() == ["yes", "no", "yes", "no"]


def test_texts_that_differ_in_capital_letters_only_are_noted(tmp_path):
    *_, notes = column_with(tmp_path, ["ja", "nein", "Ja"])
    assert any("differ in capital letters only, such as 'ja' and 'Ja'" in note for note in notes)
    assert column_with(tmp_path, ["ja", "nein", "vielleicht"])[3] == []


def test_a_setting_decides_only_what_the_column_leaves_open(tmp_path):
    _, values, _, _ = column_with(tmp_path, ["4,75", "3,2"], "data.thousands=comma")
    np.testing.assert_array_equal(values, [4.75, 3.2])
    _, values, _, _ = column_with(tmp_path, ["5/22/2019", "12/23/2011"], "data.date_format=%d/%m/%Y")
    np.testing.assert_array_equal(values, [days(2019, 5, 22), days(2011, 12, 23)])


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("data.date_format=%d/%m", "must have a year"),
        ("data.date_format=%j/%Y", "has %j"),
        ("data.thousands=dot", "data.thousands = 'dot'"),
        ("data.decimal=';'", "data.decimal = ';'"),
        ("data.skip_rows=-1", "data.skip_rows = -1"),
        ("data.delimiter='::'", "data.delimiter = '::'"),
    ],
)
def test_settings_that_no_text_has_are_refused(override, words, tmp_path):
    with pytest.raises(SettingError) as error:
        dataset_with(tmp_path, ["a", "b"], override)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["$5", "$6", "$7", "cheap"], "holds numbers, but 'cheap' in row 4"),
        (["$5", "$6", "$7", "€8"], "holds numbers, but '€8' in row 4"),
        (["5%", "6%", "7%", "8"], "holds numbers, but '8' in row 4"),
        (["5/22/2019", "12/23/2011", "1/1/2011", "later"], "holds dates, but 'later' in row 4"),
        (["1.5", "2.5", "3", "?", "x"], "holds numbers, but 'x' in row 5"),
        ([*map(str, range(20)), "x"], "holds numbers, but 'x' in row 21"),
    ],
)
def test_a_text_among_numbers_is_a_mistake(texts, words, tmp_path):
    with pytest.raises(SettingError, match=r"set \+data.kinds.c=categorical") as error:
        dataset_with(tmp_path, texts)
    assert words in str(error.value)


def test_notes_say_what_became_of_signs_and_words(tmp_path):
    _, _, _, notes = column_with(tmp_path, ["(5)", "?", "7", "-"])
    assert "column 'c': '(5)' read as -5" in notes
    assert "column 'c': '?', '-' read as missing in 30 rows" in notes
    _, _, _, notes = column_with(tmp_path, ["877-00000", "877-00001"])
    assert "column 'c' holds texts such as '877-00000', which are read as categories" in notes


@pytest.mark.parametrize(
    ("kind", "texts", "numbers"),
    [
        ("numeric", ["1:30", "0:45"], [90, 45]),
        ("numeric", ["$5", "$6"], [5, 6]),
        ("date", ["5/22/2019", "12/23/2011"], [days(2019, 5, 22), days(2011, 12, 23)]),
        ("date", ["20190522", "20111223"], [days(2019, 5, 22), days(2011, 12, 23)]),
        ("time", ["06:00", "18:00"], [0.25, 0.75]),
    ],
)
def test_a_declared_kind_has_the_spelling_of_its_texts(kind, texts, numbers, tmp_path):
    column, values, _, _ = column_with(tmp_path, texts, f"+data.kinds.c={kind}")
    assert column.kind == kind
    np.testing.assert_array_equal(values, numbers)


@pytest.mark.parametrize(
    ("texts", "task", "targets"),
    [
        ([f"${n},{n}00" for n in range(1, 10)] * 3 + [f"$9{n}" for n in range(30)], "regression", None),
        ([f"{n},5" for n in range(60)], "regression", [n + 0.5 for n in range(60)]),
        (["18-24", "25-34"], "classification", None),
        (["5%", "10%"], "classification", None),
        (["1:2", "2:1"], "classification", None),
    ],
)  # fmt: skip
def test_targets_of_many_numbers_are_numbers(texts, task, targets, tmp_path):
    dataset = dataset_with(tmp_path, texts, target="c")
    assert dataset.task == task
    if targets:
        np.testing.assert_allclose(dataset.rows.y[:, 0], targets)


def test_weights_and_times_have_their_spelling(tmp_path):
    texts = ["5/22/2019", "12/23/2011", "1/1/2012"]
    dataset = dataset_with(tmp_path, texts, "data.time=c", "split=time")
    assert dataset.times[:3].tolist() == [2, 0, 1]
    dataset = dataset_with(tmp_path, ["50%", "100%", "25%"], "data.weight=c")
    np.testing.assert_array_equal(dataset.rows.weights[:3], [0.5, 1, 0.25])


def test_a_test_file_is_read_with_the_spelling_of_the_development_rows(tmp_path):
    """Its texts alone could be read in two ways."""
    test = pd.DataFrame({"c": ["1/2/2020", "3/4/2020"], "x": [1, 2], "y": ["yes", "no"]})
    test.to_csv(tmp_path / "test.csv", index=False)
    dataset = dataset_with(tmp_path, ["5/22/2019", "12/23/2011"], f"data.test={tmp_path}/test.csv")
    numbers = dict(zip([c.name for c in dataset.test.x.columns], dataset.test.x.numbers.T, strict=True))
    np.testing.assert_array_equal(numbers["c"], [days(2020, 1, 2), days(2020, 3, 4)])


SPELLINGS = st.builds(
    Spelling,
    st.just("."),
    st.sampled_from(["", ",", "'", " "]),
    st.sampled_from([(), (("$", 0),), (("%", -2),), (("kg", 0),)]),
) | st.builds(Spelling, st.just(","), st.sampled_from(["", ".", " "]), st.sampled_from([(), (("€", 0),)]))


@settings(max_examples=60, deadline=None)
@given(SPELLINGS, st.lists(st.integers(-(10**8), 10**8), min_size=30, max_size=60, unique=True), st.integers(1, 2))
def test_random_numbers_in_every_spelling_are_read_or_asked_about(spelling, wholes, n_decimals):
    """With one or two decimals nothing is ambiguous, and no number is read as another."""
    numbers = [whole / 100 for whole in wholes]
    texts = [spelled(number, spelling, n_decimals) for number in numbers]
    reading = reading_of(pa.array(texts), Hints())
    factor = 0.01 if ("%", -2) in spelling.units else 1
    expected = [round(number, n_decimals) * factor for number in numbers]
    assert reading.kind == "numeric"
    np.testing.assert_allclose([reading.spelling.number(text) for text in texts], expected, rtol=1e-14)


@settings(max_examples=60, deadline=None)
@given(SPELLINGS, st.lists(st.integers(-(10**6), 10**6), min_size=2, max_size=60, unique=True))
def test_whole_numbers_are_read_or_refused(spelling, wholes):
    texts = [spelled(whole, spelling, 0) for whole in wholes]
    try:
        reading = reading_of(pa.array(texts), Hints())
    except AmbiguousError:
        assert spelling.thousands in (",", ".")
        reading = reading_of(pa.array(texts), Hints(thousands=spelling.thousands))
    factor = 0.01 if ("%", -2) in spelling.units else 1
    if spelling.thousands == "." and not spelling.units:
        return  # 1.234 in all rows is a decimal number in every file
    np.testing.assert_allclose([reading.spelling.number(text) for text in texts], np.array(wholes) * factor, rtol=1e-14)


@settings(max_examples=30, deadline=None)
@given(SPELLINGS, st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=40))
def test_many_texts_are_read_as_each_alone(spelling, numbers):
    from pipeline.data import arrow_values

    texts = [spelled(number, spelling, 3) for number in numbers] + ["?", None, "(5)", "5-", "1e3", ""]
    column = Column("c", spelling=spelling)
    one_by_one = numbers_of(pa.array(texts), column)
    before, arrow_values.MANY_TEXTS = arrow_values.MANY_TEXTS, 0
    try:
        np.testing.assert_array_equal(numbers_of(pa.array(texts), column), one_by_one)
    finally:
        arrow_values.MANY_TEXTS = before


def spelled(number, spelling, n_decimals):
    """A number with the signs of a spelling and so many decimals."""
    text = f"{abs(number):,.{n_decimals}f}"
    text = text.replace(",", "\0").replace(".", spelling.decimal).replace("\0", spelling.thousands)
    sign = "-" if text.strip("0.,' ") and number < 0 else ""
    for unit, _ in spelling.units:
        text = unit + text if unit == "$" else f"{text} {unit}"
    return sign + text


DAY_TEXTS = ("1", "01", "31", "29", "0", "32", "7")
MONTH_TEXTS = ("1", "02", "12", "13", "0")
NAMES = ("Jan", "march", "MAY", "Sept.", "decem", "ju", "Foo")
YEARS = ("2020", "1900", "0000", "0001", "1600", "9999", "2100", "99", "05")
CLOCKS = (
    "",
    " 10:30",
    "T23:59:59",
    " 24:00",
    " 25:00",
    " 1:05 PM",
    " 12 am",
    " 13 pm",
    " 7:61",
    " 10:00:00.5",
    " 08:00Z",
    " 09:00+02",
)
DAYS = ("", "Fri, ", "Friday ")


def one_by_one(convert, texts):
    """What a reader of single texts returns, NaN for what it refuses."""
    values = []
    for text in texts:
        try:
            values.append(convert(text))
        except (ValueError, OverflowError):
            values.append(np.nan)
    return np.array(values)


@pytest.mark.parametrize(
    "format_",
    [*FORMATS, "%d.%m.%Y %H:%M", "%m/%d/%Y %I:%M:%S %p", "%Y%m%d", "%Y%m", "%d %B %Y %H:%M%z"],
)
def test_dates_in_bulk_are_those_that_are_read_one_by_one(format_):
    draw = np.random.default_rng(0)
    texts = []
    for _ in range(800):
        values = {
            "%d": draw.choice(DAY_TEXTS), "%m": draw.choice(MONTH_TEXTS),
            "%b": draw.choice(NAMES), "%B": draw.choice(NAMES),
            "%Y": draw.choice(YEARS), "%y": draw.choice(YEARS), "%q": draw.choice(["1", "4", "5"]),
            "%H": draw.choice(["7", "07", "24", "25"]), "%I": draw.choice(["12", "13", "0"]),
            "%M": draw.choice(["0", "59", "60"]), "%S": draw.choice(["00", "59", "60", "1.5"]),
            "%p": draw.choice(["am", "P.M."]), "%z": draw.choice(["Z", "+0200"]),
        }  # fmt: skip
        text = format_
        for code, value in values.items():
            text = text.replace(code, str(value))
        texts.append(f"{draw.choice(DAYS)}{text}{draw.choice(CLOCKS)}")
    texts += ["", "n/a", "2020-01-31", "1. Mai 2020", "x", " 1/2/2020 "]
    spelling = Spelling(format=format_)
    expected, got = one_by_one(spelling.days, texts), days_in_bulk(pa.array(texts), spelling)
    is_read = ~np.isnan(got)
    np.testing.assert_array_equal(got[is_read], expected[is_read])
    left = [text for text, value in zip(texts, got - expected, strict=True) if np.isnan(value)]
    left = [text for text, value in zip(left, one_by_one(spelling.days, left), strict=True) if not np.isnan(value)]
    only_one_by_one = re.compile(r"Q|q|:[0-9]{1,2}\.[0-9]|Z$|\+02(00)?( |T|$)|9999|2020-01-31")
    assert [text for text in left if not only_one_by_one.search(text)] == []
    assert is_read.any() == ("Q" not in format_ and "z" not in format_)


def test_prices_in_bulk_are_those_that_are_read_one_by_one():
    draw = np.random.default_rng(0)
    numbers = draw.uniform(-1e9, 1e9, 5000).round(draw.integers(0, 9))
    texts = [f"{draw.choice(['', '-', '('])}{draw.choice(['$', '', 'USD '])}{abs(number):,}" for number in numbers]
    texts = [text + ")" * text.startswith("(") for text in texts] + ["--$1", "$", "1,23", "(5", "$1e3", "n/a"]
    spelling = Spelling(thousands=",", units=(("$", 0), ("USD", 0)))
    got = numbers_in_bulk(pa.array(texts), spelling)
    np.testing.assert_array_equal(got, one_by_one(spelling.number, texts))
    assert np.isfinite(got[:5000]).all()
