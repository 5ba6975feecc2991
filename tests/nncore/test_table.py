"""Raw values of every kind as numbers and codes."""

import datetime
import itertools

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from nncore.inference.table import Column, matrix_table, read_table

SIZE = Column("size", "ordinal", "string", ("S", "M", "L"))
CITY = Column("city", "categorical", "string", ("Bonn", "Ulm"))
ZIP = Column("zip", "categorical", "long", ("7", "80331"))
DAYS = Column("d", "categorical", "datetime", ("2020-01-31", "2020-02-01 06:00:00"))
AGE, MEMBER, BORN = Column("age"), Column("member", "boolean", "boolean"), Column("born", "date", "datetime")


def of(*values):
    return np.array(values, dtype=object)


@pytest.mark.parametrize(
    ("column", "values", "expected"),
    [
        (AGE, np.array([3, 4]), [3, 4]),
        (AGE, np.array([1.5, np.nan], np.float32), [1.5, np.nan]),
        (AGE, of("1.5", None, "", 2, float("nan")), [1.5, np.nan, np.nan, 2, np.nan]),
        (AGE, of(pd.NA, 3), [np.nan, 3]),
        (AGE, np.array([True, False]), [1, 0]),
        (MEMBER, np.array([True, False]), [1, 0]),
        (MEMBER, of("yes", "No", "T", "f", "1", 0, None, True, 1.0), [1, 0, 1, 0, 1, 0, np.nan, 1, 1]),
        (BORN, np.array(["1970-01-02", "NaT", "1969-12-31T12"], "M8[h]"), [1, np.nan, -0.5]),
        (BORN, of("1970-01-02", None, datetime.date(1970, 1, 3), "1970-01-01T06:00"), [1, np.nan, 2, 0.25]),
        (BORN, of("1970-01-01T06:00+06:00", pd.Timestamp("1970-01-05"), pd.NaT), [0, 4, np.nan]),
        (SIZE, of("L", "S", None, "XL", ""), [2, 0, -1, 3, -1]),
        (CITY, np.array(["Ulm", "Paris"]), [1, 2]),
        (ZIP, np.array([80331, 7, 8]), [1, 0, 2]),
        (ZIP, np.array([80331.0, np.nan, 7.5]), [1, -1, 2]),
        (ZIP, of("80331", 7), [1, 0]),
        (ZIP, of("080331.0", "7.00", "07", "x7"), [1, 0, 0, 2]),
        (Column("f", "categorical", "boolean", ("false", "true")), of("True", "FALSE", True, False), [1, 0, 1, 0]),
        (DAYS, np.array(["2020-01-31", "2020-02-01T06"], "M8[ns]"), [0, 1]),
        (DAYS, of("2020-01-31", datetime.date(2020, 1, 31), pd.Timestamp("2020-02-01 06:00")), [0, 0, 1]),
        (DAYS, of(datetime.datetime(2020, 2, 1, 7, tzinfo=datetime.timezone(datetime.timedelta(hours=1)))), [1]),
    ],
)
def test_raw_values_become_numbers_or_codes(column, values, expected):
    read = column.read(values)
    np.testing.assert_array_equal(read, expected)
    assert read.dtype == (np.int32 if column.levels else np.float64)


@pytest.mark.parametrize(
    ("column", "values", "words"),
    [
        (AGE, of("3", "abc"), "column 'age' is numeric, but row 1 has 'abc'"),
        (AGE, np.array([0, np.inf]), "column 'age' must be from -1e.30 to 1e.30, but row 1 has inf"),
        (AGE, of(1, "-inf"), "column 'age' must be from -1e.30 to 1e.30, but row 1 has -inf"),
        (MEMBER, of("yes", "perhaps"), "column 'member' is boolean, but row 1 has 'perhaps'"),
        (MEMBER, np.array([0, 2]), "column 'member' is boolean, but row 1 has 2"),
        (BORN, of("yesterday"), "column 'born' is date, but row 0 has 'yesterday'"),
        (AGE, np.array([1e200]), "row 0 has 1e.200"),
        (AGE, of(10**400), "column 'age' is numeric, but row 0 has 1000"),
        (AGE, of("1_000"), "column 'age' is numeric, but row 0 has '1_000'"),
        (AGE, np.array(["2020-01-01"], "M8[D]"), "column 'age' is numeric, but holds dates"),
        (BORN, of("0001-01-01T00:00+05:00"), "column 'born' is date, but row 0 has"),
        (BORN, of(7), "column 'born' is date, but row 0 has 7"),
    ],
)
def test_a_value_that_cannot_be_read_is_named(column, values, words):
    with pytest.raises(ValueError, match=words):
        column.read(values)


RAW = {
    "city": of("Ulm", None, "Bonn"),
    "age": np.array([30, 40, 50]),
    "size": of("M", "S", "L"),
    "member": np.array([True, False, True]),
}
COLUMNS = (AGE, CITY, MEMBER, SIZE)


def test_a_table_has_a_block_of_numbers_and_one_of_codes():
    table = read_table(COLUMNS, RAW)
    np.testing.assert_array_equal(table.numbers, [[30, 1], [40, 0], [50, 1]])
    np.testing.assert_array_equal(table.codes, [[1, 1], [-1, 0], [0, 2]])
    assert [column.name for column, _ in table.column_values] == ["age", "city", "member", "size"]
    np.testing.assert_array_equal(table.column_values[1][1], [1, -1, 0])
    assert len(table) == 3
    np.testing.assert_array_equal(table[np.array([2, 0])].codes, [[0, 2], [1, 1]])


def test_the_order_of_columns_and_additional_columns_do_not_matter():
    table = read_table(COLUMNS, RAW)
    for names in itertools.permutations(RAW):
        again = read_table(COLUMNS, {"id": of(1, 2, 3)} | {name: RAW[name] for name in names})
        np.testing.assert_array_equal(again.numbers, table.numbers)
        np.testing.assert_array_equal(again.codes, table.codes)


def test_a_matrix_has_its_columns_in_order():
    matrix = np.array([[30, "Ulm", True, "M"], [40, None, False, "S"], [50, "Bonn", True, "L"]], dtype=object)
    table = read_table(COLUMNS, matrix)
    np.testing.assert_array_equal(table.numbers, read_table(COLUMNS, RAW).numbers)
    np.testing.assert_array_equal(table.codes, read_table(COLUMNS, RAW).codes)
    x = np.random.default_rng(0).normal(size=(4, 2))
    np.testing.assert_array_equal(read_table(matrix_table(x, ("a", "b")).columns, x).numbers, x)


FRAME = pd.DataFrame({name: values.tolist() for name, values in RAW.items()})


class ForeignFrame:
    """A frame of another library: names, columns by name, and `to_numpy` of a column."""

    columns = tuple(RAW)

    def __getitem__(self, name):
        return pd.Series(RAW[name])


@pytest.mark.parametrize(
    "rows",
    [
        FRAME,
        FRAME[["size", "member", "city", "age"]].assign(note="x"),
        FRAME.convert_dtypes(),
        FRAME.convert_dtypes(dtype_backend="pyarrow"),
        FRAME.astype("category"),
        FRAME.astype(object),
        FRAME.astype({"member": int, "age": float}),
        FRAME.set_index("size"),
        FRAME.set_index(["age", "city"]),
        FRAME.set_axis([7, 7, 7]),
        pa.Table.from_pandas(FRAME),
        pa.Table.from_pandas(FRAME.astype("category")),
        ForeignFrame(),
        FRAME.to_dict("list"),
        {name: FRAME[name] for name in FRAME},
        FRAME[["age", "city", "member", "size"]].to_numpy().tolist(),
    ],
)
def test_a_table_is_the_same_whatever_holds_its_rows(rows):
    table, expected = read_table(COLUMNS, rows), read_table(COLUMNS, RAW)
    np.testing.assert_array_equal(table.numbers, expected.numbers)
    np.testing.assert_array_equal(table.codes, expected.codes)


@pytest.mark.parametrize("empty", [np.nan, None, pd.NA, ""])
@pytest.mark.parametrize("dtype", [object, "category"])
def test_a_column_without_any_value_is_missing_whatever_its_kind(empty, dtype):
    frame = pd.DataFrame({column.name: pd.Series([empty] * 3, dtype=dtype) for column in (*COLUMNS, BORN, ZIP)})
    table = read_table((*COLUMNS, BORN, ZIP), frame)
    assert np.isnan(table.numbers).all()
    assert (table.codes == -1).all()


def test_dates_of_a_frame_are_read_whatever_their_type():
    days = pd.Series(pd.to_datetime(["2020-01-31 12:00", None]))
    expected = [18292.5, np.nan]
    for values in (
        days,
        days.dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo"),
        days.astype("M8[s]"),
        days.astype(object),
        days.astype("category"),
        days.convert_dtypes(dtype_backend="pyarrow"),
        days.astype(str),
    ):
        np.testing.assert_array_equal(read_table((BORN,), pd.DataFrame({"born": values})).numbers[:, 0], expected)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_lengths_of_time_are_read_whatever_their_unit(unit):
    values = pd.DataFrame({"age": pd.to_timedelta(["01:00:00", None]).astype(f"m8[{unit}]")})
    np.testing.assert_array_equal(read_table((AGE,), values).numbers[:, 0], [3600, np.nan])
    time = read_table((Column("age", "time"),), values).numbers[:, 0]
    np.testing.assert_allclose(time, [1 / 24, np.nan])


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (FRAME[["city", "age", "member"]], "column 'size' is missing; there are 'city', 'age', 'member'$"),
        (FRAME[["age"]], "columns 'city', 'member', 'size' are missing; there are 'age'$"),
        ({}, "columns 'age', 'city', 'member', 'size' are missing; there are none$"),
        (np.zeros((2, 3)), r"rows must have 4 columns, but have shape \(2, 3\)"),
        (np.zeros(4), r"rows must have 4 columns, but have shape \(4,\)"),
        (pd.concat([FRAME, FRAME[["city"]]], axis=1), r"'city' must be one column of one value per row, but .* shape"),
        (RAW | {"age": 3}, r"'age' must be one column of one value per row, but has shape \(\)"),
        (RAW | {"member": [True]}, "columns must have one length, but 'age' has 3 rows and 'member' 1"),
        (
            FRAME.assign(age=["x", "y", 3], member=[0, 1, 2]),
            "column 'age' is numeric, but row 0 has 'x'; column 'member' is boolean, but row 2 has 2$",
        ),
    ],
)
def test_whatever_is_wrong_with_rows_is_said_at_once(rows, words):
    with pytest.raises(ValueError, match=words):
        read_table(COLUMNS, rows)


def test_a_long_list_of_missing_columns_is_cut():
    columns = tuple(Column(f"c{number}") for number in range(50))
    with pytest.raises(ValueError, match=r"'c0', .*'c19' and 30 more are missing; there are 'age'$"):
        read_table(columns, FRAME[["age"]])


@pytest.mark.parametrize(
    ("column", "values", "shown"),
    [
        (AGE, np.array([1.5, np.nan]), [1.5, None]),
        (Column("n", "numeric", "long"), np.array([3.0, np.nan]), [3, None]),
        (Column("n", "numeric", "string"), np.array([1.5]), ["1.5"]),
        (MEMBER, np.array([1.0, 0.0, np.nan]), [True, False, None]),
        (Column("m", "boolean", "string"), np.array([1.0]), ["true"]),
        (BORN, np.array([0.25]), ["1970-01-01T06:00:00"]),
        (BORN, np.array([-719162.0]), ["0001-01-01T00:00:00"]),
        (Column("born", "date", "date"), np.array([1.0]), ["1970-01-02"]),
        (SIZE, np.array([2, -1]), ["L", None]),
        (ZIP, np.array([1]), [80331]),
    ],
)
def test_values_can_be_shown_and_read_again(column, values, shown):
    assert column.show(values) == shown
    assert [type(item) for item in column.show(values)] == [type(item) for item in shown]
    np.testing.assert_array_equal(column.read(of(*shown)), values)
