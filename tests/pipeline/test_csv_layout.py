"""The layout of CSV files: delimiter, decimal sign, encoding, lines before the header, the header."""

import gzip
import io
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from running import compose

from nncore.inference.table import Column, read_table
from pipeline.components.errors import SettingError
from pipeline.data.card import data_card

N = 60
RANDOM = np.random.default_rng(1)
FRAME = pd.DataFrame(
    {
        "area": RANDOM.normal(90, 20, N).round(2),
        "rooms": RANDOM.integers(1, 9, N),
        "city": RANDOM.choice(["Bonn", "Köln", "Ulm, Donau"], N),
        "price": RANDOM.normal(500, 100, N).round(1),
    }
)


def written(**options):
    return FRAME.to_csv(index=False, **options)


def source(folder, content, *overrides, target="price", name="t.csv"):
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    configured, _ = compose(
        "data=csv", f"data.path={folder}/{name}", f"data.target={target}", "preset=none", *overrides
    )
    return configured.data


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    return source(tmp_path_factory.mktemp("plain"), written())()


def assert_same(dataset, expected):
    np.testing.assert_array_equal(dataset.rows.x.numbers, expected.rows.x.numbers)
    np.testing.assert_array_equal(dataset.rows.x.codes, expected.rows.x.codes)
    np.testing.assert_array_equal(dataset.rows.y, expected.rows.y)


PREAMBLE = "Report of sales\nprinted 2024-01-31, by Bo\n\n"
# the content of a file, and the note on it; "" for none
LAYOUTS = {
    "plain": (written(), ""),
    "semicolons": (written(sep=";"), "data.delimiter=semicolon"),
    "tabs": (written(sep="\t"), "data.delimiter=tab"),
    "bars": (written(sep="|"), "data.delimiter=pipe"),
    "semicolons and decimal commas": (written(sep=";", decimal=","), "data.delimiter=semicolon data.decimal=comma"),
    "tabs and decimal commas": (written(sep="\t", decimal=","), "data.delimiter=tab data.decimal=comma"),
    "Windows' encoding": (written().encode("cp1252"), "data.encoding=cp1252"),
    "UTF-8 with a mark": (written().encode("utf-8-sig"), ""),
    "UTF-16": (written().encode("utf-16"), "data.encoding=utf-16"),
    "UTF-16 without a mark": (written().encode("utf-16-le"), "data.encoding=utf-16-le"),
    "Excel in German": (
        written(sep=";", decimal=",").encode("cp1252"),
        "data.encoding=cp1252 data.delimiter=semicolon data.decimal=comma",
    ),
    "lines before the header": (PREAMBLE + written(), "data.skip_rows=3"),
    "lines with other delimiters": ("a;b;c;d;e\n" + written(), "data.skip_rows=1"),
    "comments": ("# made by hand\n#\n" + written(), "data.skip_rows=2"),
    "carriage returns": (written(lineterminator="\r\n"), ""),
}  # fmt: skip


def lines_of(content, ends=("", "", "")):
    """The lines of a file, each with these texts before, between and behind its values."""
    before, between, behind = ends
    return [before + between.join(line.split(",")) + behind for line in content.splitlines()]


PLAIN = written().replace('"Ulm, Donau"', "Ulm")  # without quotes
HEADER, *BODY = TABLE = PLAIN.splitlines()
FIRST, *OTHERS = lines_of(PLAIN, ("| ", " | ", " |"))
RULED = "|----|---|----|---|"


def file_of(*lines):
    return "\n".join([*lines, ""])


# files in which other programs write lines that are no rows, and the note on each; "" for none
ODD_LINES = {
    "blanks behind commas": (PLAIN.replace(",", ", "), ""),
    "blanks around names": (file_of(HEADER.replace(",", " , "), *BODY), ""),
    "columns aligned by blanks": (
        file_of(*lines_of(PLAIN, (" ", "   ", " "))),
        "data.delimiter=space",
    ),
    "row names without a header": (
        file_of(HEADER, *(f'"{row}",{line}' for row, line in enumerate(BODY, 1))),
        "1 column (Unnamed: 0) left out",
    ),
    "a delimiter behind each row": (file_of(HEADER, *(f"{line}," for line in BODY)), "1 column (Unnamed: 4) left out"),
    "tildes": (written(sep="~"), "data.delimiter=tilde"),
    "carets": (written(sep="^"), "data.delimiter=caret"),
    "colons": (written(sep=":"), "data.delimiter=colon"),
    "Hive's delimiter": (written(sep="\1"), "data.delimiter=ctrl_a"),
    "a table of Markdown": (file_of(FIRST, RULED, *OTHERS), "row 1 left out, as it is a ruled line"),
    "a list of SAP": (
        file_of("Report", "", "-" * 20, FIRST, "-" * 20, *OTHERS, "-" * 20),
        "2 lines left out, as they have another number of values than the header, the first is '----",
    ),
    "comments at the end": (file_of(*TABLE, "# 60 rows", "# end"), "2 lines left out, as they have another number"),
    "a comment in the middle": (file_of(*TABLE[:9], "# restart", *TABLE[9:]), "1 line left out, as it has another"),
    "a source below": (file_of(*TABLE, "", "Source: Office, 2024"), "the first is 'Source: Office, 2024'"),
    "a source in quotes below": (file_of(*TABLE, '"Source: Office, 2024"'), "1 line left out"),
    "another table below": (file_of(*TABLE, "", "name,size", "a,1", "b,2"), "3 lines left out"),
    "DOS's end of file": (PLAIN + "\x1a", "1 line left out"),
    "the header twice": (file_of(*TABLE[:30], HEADER, *TABLE[30:]), "row 30 left out, as it repeats the header"),
    "units": (file_of(HEADER, "m2,-,text,EUR", *BODY), "row 1 left out, as it holds titles or units"),
    "questions and keys": (
        file_of(HEADER, "How large?,How many?,Where?,How much?", "{Q1},{Q2},{Q3},{Q4}", *BODY),
        "2 rows left out, the first is row 1, as they hold titles or units",
    ),
    "totals": (file_of(*TABLE, ",,,", "Total:,180,,9"), "row 62 left out, as it holds totals"),
    "the number of rows": (file_of(*TABLE, "60 rows selected,,,"), "row 61 left out, as it holds totals"),
    "a listing of PostgreSQL": (
        file_of(
            *lines_of(PLAIN, (" ", " | ", " "))[:1],
            "---+---+---+---",
            *lines_of(PLAIN, (" ", " | ", " "))[1:],
            "(60 rows)",
        ),
        "2 lines left out",
    ),
    "a header in a comment": (file_of(f"#{HEADER}", *BODY), ""),
    "NumPy's header": (file_of(*lines_of(f"#,{PLAIN}", ("", " ", ""))), "data.delimiter=space"),
    "totals in German": (file_of(*TABLE, "Gesamtsumme,180,,9"), "row 61 left out, as it holds totals"),
}


@pytest.mark.parametrize("case", ODD_LINES)
def test_lines_that_are_no_rows_are_left_out_and_said(case, expected, tmp_path):
    content, words = ODD_LINES[case]
    dataset = source(tmp_path, content)()
    assert [column.name for column in dataset.rows.x.columns] == ["area", "rooms", "city"]
    assert_same(dataset, expected)
    notes = [note for note in dataset.notes if "without a target" not in note]
    assert len(notes) >= bool(words)
    assert any(words in note for note in notes) == bool(words)


@pytest.mark.parametrize("case", ODD_LINES)
def test_lines_that_are_no_rows_are_left_out_of_a_test_file(case, expected, tmp_path):
    content = ODD_LINES[case][0]
    (tmp_path / "test.csv").write_text(content)
    dataset = source(tmp_path, written() if "Donau" in content else PLAIN, f"data.test={tmp_path}/test.csv")()
    assert_same(replace(dataset, rows=dataset.test), expected)


@pytest.mark.parametrize("case", [name for name, (_, words) in ODD_LINES.items() if "left out, as" in words])
def test_lines_that_are_no_rows_may_be_refused(case, tmp_path):
    with pytest.raises(SettingError, match=r"values, but the header has|holds numbers, but|must hold numbers"):
        source(tmp_path, ODD_LINES[case][0], "data.bad_lines=refuse", "data.task=regression")()


@pytest.mark.parametrize(
    "content",
    [
        file_of(*TABLE[:9], "1,2", *TABLE[9:]),  # not at the end
        file_of(*TABLE, "1,2"),  # a file that is cut
        file_of(*TABLE, "1,2,3,4,5"),
        file_of(*TABLE[:9], "Source: Office", *TABLE[9:]),
    ],
)
def test_rows_with_another_number_of_values_are_refused_with_a_cure(content, expected, tmp_path):
    with pytest.raises(SettingError, match=r"row \d+ has \d values, but the header has 4 .* data.bad_lines=skip, or"):
        source(tmp_path, content)()
    dataset = source(tmp_path, content, "data.bad_lines=skip")()
    assert_same(dataset, expected)
    assert "1 line left out, as it has another number of values than the header" in dataset.notes[0]


def test_a_name_of_two_lines_is_one_name(expected, tmp_path):
    content = file_of('"area\n(m2)",rooms,city,price', *BODY)
    for preamble, words in (("", ""), ('Report,"of\nsales"\n', "data.skip_rows=2")):
        dataset = source(tmp_path, preamble + content)()
        assert [column.name for column in dataset.rows.x.columns] == ["area\n(m2)", "rooms", "city"]
        assert_same(dataset, expected)
        assert any(words in note for note in dataset.notes) == bool(words)


def test_a_header_that_fits_no_row_does_not_make_them_footers(tmp_path):
    content = file_of("a,b,c,d,price", *(f"{x:.3e},1,2" for x in FRAME.area))
    with pytest.raises(SettingError, match="row 1 has 3 values, but the header has 5 columns"):
        source(tmp_path, content)()


def test_rows_that_only_look_odd_are_kept(tmp_path):
    rows = [f"{name},{number},{number % 7}" for number, name in enumerate(["x", "Total", "low", "---", "total"] * 12)]
    assert len(source(tmp_path, file_of("name,size,price", *rows))().rows.y) == 60
    one_unit = file_of("name,size,price", "a,kg,1", *rows)  # a mistake rather than a row of units
    with pytest.raises(SettingError, match="'size' holds numbers, but 'kg' in row 1"):
        source(tmp_path, one_unit)()


def test_a_model_reads_frames_with_blanks_around_names(tmp_path):
    content = PLAIN.replace(",", ", ")
    dataset = source(tmp_path, content)()
    table = read_table(dataset.rows.x.columns, pd.read_csv(io.StringIO(content)))
    np.testing.assert_array_equal(table.numbers, dataset.rows.x.numbers)
    np.testing.assert_array_equal(table.codes, dataset.rows.x.codes)


def as_bytes(write):
    content = io.BytesIO()
    write(content)
    return content.getvalue()


OTHER_FORMATS = {
    "an Excel workbook": (lambda path: path.write_bytes(as_bytes(FRAME.to_excel)), "data=excel"),
    "a zip archive": (lambda path: FRAME.to_csv(path, compression="zip"), "unpack"),
    "a Parquet file": (lambda path: FRAME.to_parquet(path), "data=parquet"),
    "an Arrow file": (lambda path: FRAME.to_feather(path), "data=arrow"),
    "compressed with gzip": (lambda path: path.write_bytes(gzip.compress(written().encode())), ".csv.gz"),
    "a web page": (lambda path: path.write_text("\n<!DOCTYPE html>\n<html><body>a,b</body></html>"), "as CSV"),
    "XML": (lambda path: FRAME.to_xml(path, parser="etree"), "as CSV"),
    "JSON": (lambda path: FRAME.to_json(path, orient="records"), "as CSV or Parquet"),
}


@pytest.mark.parametrize("what", OTHER_FORMATS)
def test_a_file_of_another_format_is_named(what, tmp_path):
    write, cure = OTHER_FORMATS[what]
    write(tmp_path / "t.csv")
    content = (tmp_path / "t.csv").read_bytes()
    with pytest.raises(SettingError, match=rf"{what}.*, not a CSV file; .*{cure}"):
        source(tmp_path, content)()


def test_lines_of_json_are_named(tmp_path):
    with pytest.raises(SettingError, match="is JSON, not a CSV file"):
        source(tmp_path, FRAME.to_json(orient="records", lines=True))()


@pytest.mark.parametrize("ending", ["zip", "gz", "bz2", "xz"])
def test_a_file_that_is_compressed_by_name_only_is_refused(ending, tmp_path):
    with pytest.raises(SettingError, match=rf"t\.csv\.{ending}"):
        source(tmp_path, written(), name=f"t.csv.{ending}")()


@pytest.mark.parametrize("case", LAYOUTS)
def test_the_layout_is_seen_and_said(case, expected, tmp_path):
    content, note = LAYOUTS[case]
    dataset = source(tmp_path, content)()
    assert_same(dataset, expected)
    notes = [text for text in data_card(dataset)["notes"] if "the file is read" in text]
    assert notes == ([f"the file is read with {note}, as its beginning shows"] if note else [])


@pytest.mark.parametrize(
    ("content", "overrides"),
    [
        (written(sep=";", decimal=","), ("data.delimiter=semicolon", "data.decimal=comma")),
        (written(sep=";", decimal=","), ("data.delimiter=';'", "data.decimal=','")),
        (written(sep="~"), ("data.delimiter='~'",)),
        (written().encode("cp1252"), ("data.encoding=latin-1",)),
        ("1,2,3,4\n" + written(), ("data.skip_rows=1",)),
        (written(header=False), ("data.header=[area,rooms,city,price]",)),
        ("a,b,c,d\n" + written(header=False), ("data.skip_rows=1", "data.header=[area,rooms,city,price]")),
    ],
)
def test_settings_say_what_cannot_be_seen(content, overrides, expected, tmp_path):
    assert_same(source(tmp_path, content, *overrides)(), expected)


@pytest.mark.parametrize("header", ["auto", "false"])
def test_a_file_without_a_header_has_numbered_columns(header, expected, tmp_path):
    dataset = source(tmp_path, written(header=False), f"data.header={header}", target="column_4")()
    assert [column.name for column in dataset.rows.x.columns] == ["column_1", "column_2", "column_3"]
    assert_same(dataset, expected)
    said = "the file is read with data.header=false, as its beginning shows; its columns are column_1 to column_4"
    assert (said in data_card(dataset)["notes"]) == (header == "auto")


NO_HEADER = {
    "flowers": "5.1,3.5,1.4,0.2,setosa\n4.9,3.0,1.3,0.1,virginica\n7.0,3.2,4.7,1.4,setosa\n",
    "people": "39,State-gov,77516,Bachelors\n50,Self,83311,Masters\n38,State-gov,21564,Bachelors\n",
    "whole numbers": "3,0,22,1\n1,1,38,0\n2,1,26,0\n",
}
HEADER = {
    "years": "country,2019,2020,2021\nDE,1,2,3\nFR,2,3,4\nIT,5,6,7\n",
    "numbered columns": "0,1,2,3\n5,6,1,2\n3,4,5,1\n7,1,2,9\n",
    "texts only": "a,b,c,d\nx,y,z,w\nx,z,z,w\ny,y,z,w\n",
}


@pytest.mark.parametrize("case", [*NO_HEADER, *HEADER])
def test_the_first_row_shows_whether_it_is_a_header(case, tmp_path):
    content = NO_HEADER.get(case) or HEADER[case]
    (tmp_path / "t.csv").write_text(content)
    first = content.split("\n")[0].split(",")
    names = [f"column_{number}" for number in range(1, len(first) + 1)] if case in NO_HEADER else first
    with pytest.raises(SettingError, match=f"it has {', '.join(names)}"):
        compose("data=csv", f"data.path={tmp_path}/t.csv", "data.target=none_of_them")


def test_the_target_shows_which_line_is_the_header(tmp_path):
    """The lines before it have as many values."""
    dataset = source(tmp_path, "x,y,z,w\n1,2,3,4\n" + written())()
    assert [column.name for column in dataset.rows.x.columns] == ["area", "rooms", "city"]


def test_rows_are_counted_from_the_header(tmp_path):
    lines = (PREAMBLE + written()).splitlines()
    lines[3 + 5] += ",1"  # row 5 below the header
    with pytest.raises(SettingError, match="row 5 has 5 values, but the header has 4 columns"):
        source(tmp_path, "\n".join(lines) + "\n")()
    lines = written(header=False).splitlines()
    lines[4] += ",1"
    with pytest.raises(SettingError, match="row 5 has 5 values"):
        source(tmp_path, "\n".join(lines) + "\n", "data.header=false", target="column_4")()


def test_a_nul_byte_is_named_with_its_row(tmp_path):
    content = written().encode().split(b"\n")
    content[7] = content[7].replace(b".", b"\0", 1)
    with pytest.raises(SettingError, match=r"row 7 \(line 8 of the file\) has a NUL byte"):
        source(tmp_path, b"\n".join(content))()


def test_a_file_that_is_not_utf_8_after_its_beginning_is_read(tmp_path):
    """The first 256 kB have ASCII characters only."""
    long = pd.concat([FRAME.assign(city="Bonn")] * 400 + [FRAME])
    dataset = source(tmp_path, long.to_csv(index=False).encode("cp1252"))()
    assert {column.levels for column in dataset.rows.x.columns if column.levels} == {("Bonn", "Köln", "Ulm, Donau")}


def test_numbers_of_a_decimal_comma_file_and_texts_with_them_are_read_by_the_model(tmp_path):
    """Whatever pandas makes of the file."""
    content = written(sep=";", decimal=",")
    dataset = source(tmp_path, content)()
    area = next(column for column in dataset.rows.x.columns if column.name == "area")
    for frame in (pd.read_csv(io.StringIO(content), sep=";", decimal=","), pd.read_csv(io.StringIO(content), sep=";")):
        np.testing.assert_array_equal(area.read(frame.area.to_numpy(object)), FRAME.area)


def test_codes_with_leading_zeros_are_categories(tmp_path):
    zips = [f"{n:05}" for n in RANDOM.integers(400, 403, N)] + ["51000"] * N
    frame = pd.concat([FRAME, FRAME]).assign(zip=zips)
    dataset = source(tmp_path, frame.to_csv(index=False))()
    column = next(column for column in dataset.rows.x.columns if column.name == "zip")
    assert (column.kind, column.levels) == ("categorical", ("400", "401", "402", "51000"))
    assert column.read(np.array(["00402", 402, 51000.0], object)).tolist() == [2, 2, 3]
    assert any("'00" in note and "read as categories" in note for note in data_card(dataset)["notes"])
    ended = source(tmp_path, frame[::-1].to_csv(index=False))()  # the first code has no zero in front
    assert any("'00" in note and "read as categories" in note for note in ended.notes)
    rooms = next(column for column in dataset.rows.x.columns if column.name == "rooms")
    assert rooms == Column("rooms", "numeric", "long")
    declared = source(tmp_path, frame.to_csv(index=False), "+data.kinds.zip=numeric")()
    assert next(column.kind for column in declared.rows.x.columns if column.name == "zip") == "numeric"
    many = frame.assign(zip=[f"{n:05}" for n in range(2 * N)]).to_csv(index=False)
    numbers = source(tmp_path, many, "data.max_levels=10")()
    assert next(column.kind for column in numbers.rows.x.columns if column.name == "zip") == "numeric"


def test_integers_of_many_digits_are_told_apart(tmp_path):
    """They are no numbers of float64, in which 12345678901234567890 and ...891 are equal."""
    labels = ["12345678901234567890", "12345678901234567891", "12345678901234567892"]
    frame = FRAME.assign(price=(labels * N)[:N], code=(labels[::-1] * N)[:N])
    dataset = source(tmp_path, frame.to_csv(index=False))()
    assert dataset.task == "classification"
    assert dataset.rows.y[:3].tolist() == labels
    code = next(column for column in dataset.rows.x.columns if column.name == "code")
    assert (code.kind, code.levels) == ("categorical", tuple(labels))
    sizes = FRAME.assign(price=[f"{1 + n / 7}e20" for n in range(N)])
    assert source(tmp_path, sizes.to_csv(index=False))().rows.y[::7, 0].tolist() == [(1 + n) * 1e20 for n in range(9)]


def test_columns_with_one_name_are_told_apart_as_pandas_does(tmp_path):
    content = written(header=["area", "area.1", "area", "price"])
    dataset = source(tmp_path, content)()
    names = list(pd.read_csv(io.StringIO(content)).columns)
    assert names == ["area", "area.1", "area.2", "price"]
    assert [column.name for column in dataset.rows.x.columns] == names[:3]
    assert any(note.endswith("as pandas does: area.2") for note in data_card(dataset)["notes"])


def test_declared_lengths_of_time_are_seconds_however_arrow_reads_them(tmp_path):
    content = FRAME.assign(t=["01:30", "00:45"] * (N // 2)).to_csv(index=False)
    dataset = source(tmp_path, content, "+data.kinds.t=numeric")()
    values = next(values for column, values in dataset.rows.x.column_values if column.name == "t")
    assert values[:2].tolist() == [90, 45]
