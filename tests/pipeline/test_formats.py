"""Tables as other programs write them: Parquet, Arrow and Excel files, folders, patterns and lists of files."""

import datetime
import re
from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.compute
import pyarrow.feather
import pyarrow.parquet
import pytest
from running import compose

from nncore.inference.table import Column, read_table
from pipeline.components.errors import SettingError
from pipeline.components.file_words import ending_of
from pipeline.data.data_files import data_files

N = 60
RANDOM = np.random.default_rng(0)
A = RANDOM.normal(size=N).round(3)
Y = np.array(["yes", "no"])[np.arange(N) % 2]
TEXTS = np.array(["red", "green", "blue"])[np.arange(N) % 3]


def load(kind, path, *overrides):
    path = path if isinstance(path, str) else f"'{path}'"
    settings, _ = compose(f"data={kind}", f"data.path={path}", "data.target=y", *overrides)
    return settings.data()


def write(folder, **columns):
    """A Parquet file with these columns besides a and y."""
    path = folder / "t.parquet"
    pa.parquet.write_table(pa.table({"a": A, **columns, "y": Y}), path)
    return path


def values_of(dataset, name):
    """The values of a column as they were in the file: numbers, or texts."""
    ((column, values),) = (pair for pair in dataset.rows.x.column_values if pair[0].name == name)
    return column.show(values) if column.levels else values.tolist()


def names_of(dataset):
    return [column.name for column in dataset.rows.x.columns]


INDICES = [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()]


@pytest.mark.parametrize("index", INDICES, ids=str)
@pytest.mark.parametrize("texts", [pa.string(), pa.large_string(), pa.string_view()], ids=str)
def test_a_dictionary_of_any_index_type_is_categorical(index, texts, tmp_path):
    """Polars' Categorical is a dictionary with unsigned indices, and its Enum one with 8 bits."""
    indices = pa.array([None if row == 7 else row % 3 for row in range(N)], index)
    encoded = pa.DictionaryArray.from_arrays(indices, pa.array(["red", "green", "blue"], texts))
    path = tmp_path / "t.arrow"
    pa.feather.write_feather(pa.table({"a": A, "k": encoded, "y": Y}), str(path))
    dataset = load("arrow", path)
    assert dataset.rows.x.columns[1].kind == "categorical"
    assert values_of(dataset, "k") == [None if row == 7 else TEXTS[row] for row in range(N)]


def test_a_dictionary_of_unsigned_indices_in_a_parquet_file_is_categorical(tmp_path):
    encoded = pa.DictionaryArray.from_arrays(pa.array(np.arange(N) % 3, pa.uint32()), ["red", "green", "blue"])
    dataset = load("parquet", write(tmp_path, k=encoded))
    assert values_of(dataset, "k") == TEXTS.tolist()


@pytest.mark.parametrize("text_type", [pa.string_view(), pa.large_string(), pa.string()], ids=str)
def test_texts_of_every_type_may_be_features_targets_and_conditions(text_type, tmp_path):
    texts = pa.array(TEXTS).cast(text_type)
    path = tmp_path / "t.parquet"
    pa.parquet.write_table(pa.table({"a": A, "c": texts, "y": pa.array(Y).cast(text_type)}), path)
    dataset = load("parquet", path, "+data.where.c=[red,blue]", "data.constant=drop")
    wanted = TEXTS != "green"
    assert values_of(dataset, "c") == TEXTS[wanted].tolist()
    assert dataset.rows.y.tolist() == Y[wanted].tolist()


def test_run_length_encoded_columns_are_read(tmp_path):
    path = tmp_path / "t.arrow"
    encoded = pa.compute.run_end_encode(pa.array(np.arange(N) // 10))
    with pa.ipc.new_file(path, pa.schema([("a", pa.float64()), ("r", encoded.type), ("y", pa.string())])) as file:
        file.write_batch(pa.record_batch([pa.array(A), encoded, pa.array(Y)], names=["a", "r", "y"]))
    assert values_of(load("arrow", path), "r") == (np.arange(N) // 10).tolist()


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_times_of_day_and_lengths_of_time_are_read_in_every_unit(unit, tmp_path):
    seconds = np.arange(N) * 1000
    clock = pa.time32(unit) if unit in ("s", "ms") else pa.time64(unit)
    per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    whole = pa.array(seconds * per_second, pa.int64())
    times = (whole.cast(pa.int32()) if unit in ("s", "ms") else whole).cast(clock)
    path = tmp_path / "t.arrow"  # Parquet has no unit of seconds
    pa.feather.write_feather(pa.table({"a": A, "t": times, "d": whole.cast(pa.duration(unit)), "y": Y}), str(path))
    dataset = load("arrow", path)
    assert [column.kind for column in dataset.rows.x.columns] == ["numeric", "time", "numeric"]
    np.testing.assert_allclose(values_of(dataset, "t"), seconds / 86_400)
    np.testing.assert_array_equal(values_of(dataset, "d"), seconds)


# the index of pandas


def test_a_named_index_of_pandas_is_a_column_for_every_role(tmp_path):
    days = pd.date_range("2020-01-01", periods=N)
    frame = pd.DataFrame(
        {"a": A, "y": Y}, index=pd.MultiIndex.from_arrays([days, np.arange(N) // 6], names=["day", "g"])
    )
    frame.to_parquet(tmp_path / "t.parquet")
    dataset = load("parquet", tmp_path / "t.parquet", "data.time=day", "data.drop=[g]", "split=time")
    assert np.argsort(dataset.times).tolist() == list(range(N))
    dataset = load("parquet", tmp_path / "t.parquet", "data.group=g", "split=grouped")
    assert names_of(dataset) == ["a", "day"]
    assert len(np.unique(dataset.groups)) == N // 6
    assert dataset.notes == ()


def test_a_named_index_of_pandas_may_be_the_target(tmp_path):
    pd.DataFrame({"a": A, "c": TEXTS}, index=pd.Index(Y, name="y")).to_parquet(tmp_path / "t.parquet")
    assert load("parquet", tmp_path / "t.parquet").rows.y.tolist() == Y.tolist()


def test_a_named_range_index_of_pandas_is_a_column(tmp_path):
    frame = pd.DataFrame({"a": A, "y": Y}, index=pd.RangeIndex(100, 100 + 3 * N, 3, name="mileage"))
    frame.to_parquet(tmp_path / "t.parquet")
    assert values_of(load("parquet", tmp_path / "t.parquet"), "mileage") == list(range(100, 100 + 3 * N, 3))


def test_an_unnamed_index_of_pandas_is_left_out_with_a_note(tmp_path):
    pd.DataFrame({"a": A, "y": Y}, index=np.arange(N)[::-1] * 7).to_parquet(tmp_path / "t.parquet")
    dataset = load("parquet", tmp_path / "t.parquet")
    assert names_of(dataset) == ["a"]
    assert dataset.notes == ("the index of pandas left out, as it has no name; data.index=keep learns from it",)
    assert len(names_of(load("parquet", tmp_path / "t.parquet", "data.index=keep"))) == 2
    pd.DataFrame({"a": A, "y": Y}).to_parquet(tmp_path / "t.parquet")
    assert load("parquet", tmp_path / "t.parquet").notes == ()


@pytest.mark.parametrize(
    "index", [range(N), RANDOM.permutation(N), np.arange(N) * 3 + 7, [f"car {n}" for n in range(N)]]
)
@pytest.mark.parametrize("header", ["", "Unnamed: 0", "Unnamed: 0.1"])
def test_an_unnamed_index_in_a_csv_file_is_left_out_with_a_note(index, header, tmp_path):
    frame = pd.DataFrame({"a": A, "c": TEXTS, "y": Y}, index=index)
    frame.to_csv(tmp_path / "t.csv", index_label=header or None)
    dataset = load("csv", tmp_path / "t.csv")
    assert names_of(dataset) == ["a", "c"]
    what = "names" if index[0] == "car 0" else "numbers"
    assert dataset.notes[0].startswith(f"1 column ({header or 'Unnamed: 0'}) left out: it {what} the rows")
    kept = load("csv", tmp_path / "t.csv", "data.index=keep", "data.max_levels=1000")
    assert names_of(kept) == [header or "Unnamed: 0", "a", "c"]


@pytest.mark.parametrize(("name", "values", "is_left_out"), [
    ("rownames", np.arange(1, N + 1), True),
    ("rownames", [f"car {n}" for n in range(N)], True),
    ("index", np.arange(N), True),
    ("index", RANDOM.normal(size=N), False),
    ("index", np.arange(N) ** 2, False),  # numbers, but not those of the rows
    ("a1", np.arange(N), False),
    ("Unnamed: 0", np.arange(N) // 2, False),
    ("Unnamed: 0", RANDOM.normal(size=N), False),
])  # fmt: skip
def test_only_row_numbers_are_left_out(name, values, is_left_out, tmp_path):
    pd.DataFrame({name: values, "a": A, "y": Y}).to_csv(tmp_path / "t.csv", index=False)
    assert (name not in names_of(load("csv", tmp_path / "t.csv"))) == is_left_out
    assert name in names_of(load("csv", tmp_path / "t.csv", f"data.keep=['{name}',a]"))


def test_row_numbers_alone_are_nothing_to_learn_from(tmp_path):
    pd.DataFrame({"y": Y}).to_csv(tmp_path / "t.csv")
    with pytest.raises(SettingError, match="no column left to learn from besides row numbers"):
        load("csv", tmp_path / "t.csv")


def test_an_empty_column_without_a_name_is_left_out(tmp_path):
    """As a delimiter at the end of each line makes it."""
    (tmp_path / "t.csv").write_text("a,y,\n" + "".join(f"{a},{y},\n" for a, y in zip(A, Y, strict=True)))
    dataset = load("csv", tmp_path / "t.csv")
    assert names_of(dataset) == ["a"]
    assert dataset.notes[0].startswith("1 column (Unnamed: 2) left out: no value in all rows")


# lists and structs


def test_lists_of_one_length_are_several_columns(tmp_path):
    numbers = RANDOM.normal(size=(N, 3))
    for list_type in (pa.list_(pa.float64()), pa.large_list(pa.float64()), pa.list_(pa.float64(), 3)):
        lists = pa.array([None if row == 4 else numbers[row].tolist() for row in range(N)], list_type)
        if pa.types.is_fixed_size_list(list_type):
            pa.feather.write_feather(pa.table({"a": A, "v": lists, "y": Y}), str(tmp_path / "t.arrow"))
            dataset = load("arrow", tmp_path / "t.arrow")
        else:
            dataset = load("parquet", write(tmp_path, v=lists))
        assert names_of(dataset) == ["a", "v_0", "v_1", "v_2"]
        read = np.array([values_of(dataset, f"v_{place}") for place in range(3)]).T
        np.testing.assert_array_equal(read, np.where(np.arange(N)[:, None] == 4, np.nan, numbers))


def test_lists_that_arrow_cannot_read_are_named(tmp_path):
    """A missing list among lists of fixed size, in a Parquet file."""
    lists = pa.array([None if row == 4 else [0.0, row] for row in range(N)], pa.list_(pa.float64(), 2))
    with pytest.raises(SettingError, match=r"'v' has a row without a list, .* leave it out with 'data.drop=\[v\]'"):
        load("parquet", write(tmp_path, v=lists))


def test_lists_in_lists_and_structs_and_tensors_are_columns(tmp_path):
    images = RANDOM.normal(size=(N, 2, 2)).astype(np.float32)
    tensors = pa.FixedShapeTensorArray.from_numpy_ndarray(images)
    structs = pa.array([{"p": row, "q": {"r": row % 7, "l": [row % 5, row % 3]}} for row in range(N)])
    dataset = load("parquet", write(tmp_path, t=tensors, m=pa.array(images.tolist()), s=structs))
    flat = [f"t_{place}" for place in range(4)]
    matrix = [f"m_{row}_{column}" for row in range(2) for column in range(2)]
    assert names_of(dataset) == ["a", *flat, *matrix, "s.p", "s.q.r", "s.q.l_0", "s.q.l_1"]
    np.testing.assert_array_equal(np.array([values_of(dataset, name) for name in flat]).T, images.reshape(N, 4))
    np.testing.assert_array_equal(np.array([values_of(dataset, name) for name in matrix]).T, images.reshape(N, 4))
    assert values_of(dataset, "s.q.l_1") == [row % 3 for row in range(N)]


def test_a_column_of_lists_is_kept_and_dropped_by_its_name(tmp_path):
    path = write(tmp_path, v=pa.array([[row % 2, row % 3] for row in range(N)]))
    assert names_of(load("parquet", path, "data.keep=[v]")) == ["v_0", "v_1"]
    assert names_of(load("parquet", path, "data.drop=[v]")) == ["a"]
    assert names_of(load("parquet", path, "data.drop=[v_1]")) == ["a", "v_0"]


def test_lists_of_different_lengths_are_refused_with_the_row(tmp_path):
    path = write(tmp_path, v=pa.array([[1] * (2 + (row == 40)) for row in range(N)]))
    with pytest.raises(SettingError, match=r"'v' holds lists of different lengths, 3 in row 41 .* 'data.drop=\[v\]'"):
        load("parquet", path)
    assert names_of(load("parquet", path, "data.drop=[v]")) == ["a"]


def test_the_cures_of_several_unreadable_columns_leave_all_of_them_out(tmp_path):
    def ragged(long_row):
        return pa.array([[1] * (2 + (row == long_row)) for row in range(N)])

    path = write(tmp_path, u=ragged(3), v=ragged(40), w=ragged(9))
    with pytest.raises(SettingError) as refused:
        load("parquet", path, "data.drop=[u]")
    assert len(refused.value.problems) == 2
    assert refused.value.problems[-1].endswith("'data.drop=[u,v,w]'")
    assert names_of(load("parquet", path, "data.drop=[u,v,w]")) == ["a"]


def test_columns_of_several_types_are_all_named_and_can_be_left_out(tmp_path):
    for part, values in enumerate([[1.5] * N, ["x"] * N]):
        table = pa.table({"a": A, "b": values, "c": values, "d": values, "y": Y})
        pa.parquet.write_table(table, tmp_path / f"{part}.parquet")
    with pytest.raises(SettingError) as refused:
        load("parquet", tmp_path, "data.drop=[b]")
    assert len(refused.value.problems) == 2
    assert refused.value.problems[-1].endswith("'data.drop=[b,c,d]'")
    assert names_of(load("parquet", tmp_path, "data.drop=[b,c,d]")) == ["a"]


def test_a_model_reads_lists_and_structs_from_frames_as_from_files(tmp_path):
    lists = [None if row == 4 else [row % 7, row / 2] for row in range(N)]
    structs = [None if row == 5 else {"p": row, "p.q": row % 3, "l": [row % 5, None]} for row in range(N)]
    dataset = load("parquet", write(tmp_path, v=pa.array(lists), s=pa.array(structs)), "data.drop=[s.l_1]")
    columns = dataset.rows.x.columns
    assert names_of(dataset) == ["a", "v_0", "v_1", "s.p", "s.p.q", "s.l_0"]
    frame = pd.read_parquet(tmp_path / "t.parquet")
    arrow_types = pd.read_parquet(tmp_path / "t.parquet", dtype_backend="pyarrow")
    by_name = {"a": A, "v": lists, "s": structs}
    for rows in (frame, arrow_types, pa.parquet.read_table(tmp_path / "t.parquet"), by_name):
        np.testing.assert_array_equal(read_table(columns, rows).numbers, dataset.rows.x.numbers)
    arrays = {"a": A[:2], "v": np.array([[0, 0], [1, 0.5]]), "s": structs[:2]}
    np.testing.assert_array_equal(read_table(columns, arrays).numbers, dataset.rows.x.numbers[:2])


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ({"v": [[1, 2], [3]]}, "column 'v' has no value 'v_1' in row 1, but [3]"),
        ({"v": [1.5, None]}, "columns 'v_0', 'v_1' are missing; there are 'v'"),
        ({"v": [None, None]}, "columns 'v_0', 'v_1' are missing"),
        ({"v_": [[1, 2], [3, 4]]}, "columns 'v_0', 'v_1' are missing"),
    ],
)
def test_a_frame_whose_lists_are_too_short_or_no_lists_is_refused(rows, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        read_table((Column("v_0"), Column("v_1")), rows)


def test_an_array_may_be_the_target_of_a_regression(tmp_path):
    numbers = RANDOM.normal(size=(N, 2))
    path = write(tmp_path, v=pa.array(numbers.tolist()))
    dataset = load("parquet", path, "data.target=[v_0,v_1]", "data.drop=[y]")
    np.testing.assert_array_equal(dataset.rows.y, numbers)


# several files


def frame_of(rows):
    return pd.DataFrame({"a": A, "c": TEXTS, "y": Y}).iloc[rows]


def assert_all_rows(dataset):
    assert values_of(dataset, "a") == A.tolist()
    assert values_of(dataset, "c") == TEXTS.tolist()
    assert dataset.rows.y.tolist() == Y.tolist()


def write_parts(folder, kind):
    """Three files of one table, as Spark writes them."""
    folder.mkdir()
    ending = {"csv": "csv.gz", "parquet": "snappy.parquet", "arrow": "arrow", "excel": "xlsx"}[kind]
    for part in range(3):
        frame, path = frame_of(slice(20 * part, 20 * part + 20)), folder / f"part-0000{part}.{ending}"
        if kind == "csv":
            frame.to_csv(path, index=False)
        elif kind == "parquet":
            frame.to_parquet(path, index=False)
        elif kind == "arrow":
            frame.reset_index(drop=True).to_feather(path)
        else:
            frame.to_excel(path, index=False)
        (folder / f".{path.name}.crc").write_bytes(b"\0\1")
    (folder / "_SUCCESS").touch()
    (folder / "_temporary").mkdir()
    (folder / "_temporary" / path.name).write_bytes(b"half a file")
    (folder / "readme.md").write_text("not data")
    return folder


@pytest.mark.parametrize("kind", ["csv", "parquet", "arrow", "excel"])
def test_a_folder_a_pattern_and_a_list_name_all_files(kind, tmp_path):
    folder = write_parts(tmp_path / "sales", kind)
    assert_all_rows(load(kind, folder))
    files = sorted(folder.glob("part*"))
    pattern = f"{folder}/part-0000?.{files[0].name.split('.', 1)[1]}"
    assert_all_rows(load(kind, f"'{pattern}'"))
    assert_all_rows(load(kind, "[" + ",".join(f"'{file}'" for file in files) + "]"))
    settings, _ = compose(f"data={kind}", f"data.path={folder}", "data.target=y")
    assert settings.name == "sales"


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_the_folders_of_hive_are_columns(kind, tmp_path):
    frame = frame_of(slice(None)).assign(
        year=2019 + np.arange(N) // 20, day=[f"2020-01-0{1 + row % 2}" for row in range(N)], place="St. Gallen"
    )
    frame.loc[frame.year == 2020, "place"] = None
    for keys, part in frame.groupby(["year", "day", "place"], dropna=False):
        year, day, place = keys
        place = "__HIVE_DEFAULT_PARTITION__" if pd.isna(place) else "St%2E Gallen"
        folder = tmp_path / "t" / f"year={year}" / f"day={day}" / f"place={place}"
        folder.mkdir(parents=True)
        rest = part.drop(columns=["year", "day", "place"])
        rest.to_csv(folder / "0.csv", index=False) if kind == "csv" else rest.to_parquet(folder / "0.parquet")
    dataset = load(kind, tmp_path / "t", "+data.where.year=[2020,2021]")
    kinds = {column.name: column.kind for column in dataset.rows.x.columns}
    assert kinds == {"a": "numeric", "c": "categorical", "year": "numeric", "day": "date", "place": "categorical"}
    rows = frame[frame.year > 2019].sort_values(["year", "day"], kind="stable")
    assert values_of(dataset, "a") == rows.a.tolist()
    assert values_of(dataset, "year") == rows.year.tolist()
    assert values_of(dataset, "day") == [18262 + row % 2 for row in rows.index]  # 2020-01-01 is day 18262
    assert values_of(dataset, "place") == [None if pd.isna(place) else place for place in rows.place]


def test_law_4_the_content_hash_covers_all_files_and_the_names_of_folders(tmp_path):
    def content():
        settings, _ = compose("data=csv", f"data.path={tmp_path}/t", "data.target=y")
        return settings.data.content()

    for year in (2019, 2020):
        folder = tmp_path / "t" / f"year={year}"
        folder.mkdir(parents=True)
        frame_of(slice(30)).to_csv(folder / "part.csv", index=False)
    hashes = [content()]
    (tmp_path / "t" / "year=2020").rename(tmp_path / "t" / "year=2021")
    hashes.append(content())
    frame_of(slice(29)).to_csv(tmp_path / "t" / "year=2021" / "part.csv", index=False)
    hashes.append(content())
    frame_of(slice(5)).to_csv(tmp_path / "t" / "year=2019" / "more.csv", index=False)
    hashes.append(content())
    assert len(set(hashes)) == 4
    assert content() == hashes[-1]


def test_parts_may_differ_in_the_types_that_their_values_suggest(tmp_path):
    """A column is whole numbers in one file, fractions in another, empty in a third, and texts in the last."""
    parts = [[1, 2], [0.5, 1.5], [None, None], ["x", "1"]]
    for number, values in enumerate(parts):
        whole = pd.DataFrame({"b": [1, 2] if number else [0.5, None], "c": values, "y": ["p", "q"]})
        whole.to_csv(tmp_path / f"{number}.csv", index=False)
    dataset = load("csv", f"'{tmp_path}/*.csv'", "+data.kinds.c=categorical")
    assert values_of(dataset, "c") == ["1", "2", "0.5", "1.5", None, None, "x", "1"]
    np.testing.assert_array_equal(values_of(dataset, "b"), [0.5, np.nan, 1, 2, 1, 2, 1, 2])


def test_files_of_different_tables_are_refused(tmp_path):
    frame_of(slice(30)).to_parquet(tmp_path / "1.parquet")
    frame_of(slice(30)).drop(columns="c").to_parquet(tmp_path / "2.parquet")
    with pytest.raises(SettingError, match=r"2.parquet lacks 1 column \(c\), compared with .*1.parquet"):
        load("parquet", tmp_path)
    frame_of(slice(30)).assign(a="text").to_parquet(tmp_path / "2.parquet")
    with pytest.raises(SettingError, match=r"'a' holds double in .*1.parquet, but .*string in .*2.parquet"):
        load("parquet", tmp_path)


@pytest.mark.parametrize(("path", "words"), [("empty", "is a folder without files"), ("*.csv", "matches no file")])
def test_a_folder_or_pattern_without_files_is_refused(path, words, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(SettingError, match=words):
        load("csv", f"'{tmp_path}/{path}'")


def test_a_file_whose_name_has_the_signs_of_a_pattern_is_read(tmp_path):
    frame_of(slice(None)).to_csv(tmp_path / "t[1].csv", index=False)
    assert_all_rows(load("csv", f"'{tmp_path}/t[1].csv'"))


def test_files_of_another_file_system_are_listed():
    import fsspec

    for part in range(3):
        with fsspec.open(f"memory://parts/{part}.csv", "w") as file:
            frame_of(slice(20 * part, 20 * part + 20)).to_csv(file, index=False)
    assert_all_rows(load("csv", "'memory://parts'"))
    assert_all_rows(load("csv", "'memory://parts/*.csv'"))


@pytest.mark.parametrize(("path", "ending"), [
    ("data/A.CSV", ".csv"), ("a.csv.gz", ".csv"), ("x.snappy.parquet", ".parquet"), ("https://h/t.csv?raw=1#x", ".csv"),
    ("folder", ""), ("a.tar", ".tar"),
])  # fmt: skip
def test_the_ending_of_a_name(path, ending):
    assert ending_of(path) == ending


def test_an_address_with_a_question_mark_is_no_pattern():
    (file,) = data_files("data.path", "https://example.org/t.csv?version=2", (".csv",))
    assert file.path == "https://example.org/t.csv?version=2"


# Excel


def workbook(path, rows, *sheets):
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    for name in sheets:
        book.create_sheet(name).append(["other"])
    book.save(path)
    return path


def test_an_excel_sheet_is_read_as_the_frame_that_wrote_it(tmp_path):
    frame = frame_of(slice(None)).assign(
        n=np.arange(N) % 4,
        day=pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(N), "D"),
        truth=np.arange(N) % 3 == 0,
        gaps=[None if row % 5 == 0 else row / 2 for row in range(N)],
    )
    frame.to_excel(tmp_path / "t.xlsx", index=False)
    frame.to_parquet(tmp_path / "t.parquet", index=False)
    ours, expected = load("excel", tmp_path / "t.xlsx"), load("parquet", tmp_path / "t.parquet")
    assert ours.rows.x.columns == expected.rows.x.columns
    np.testing.assert_array_equal(ours.rows.x.numbers, expected.rows.x.numbers)
    np.testing.assert_array_equal(ours.rows.x.codes, expected.rows.x.codes)
    assert ours.rows.y.tolist() == Y.tolist()
    assert ours.notes == ()


def test_a_sheet_as_people_write_it(tmp_path):
    """A title, an empty row, a margin, error values, mixed cells, a row of notes below, an index without a name."""
    rows = [[None, "Sales of the year"], [], [None, None, "size", "price", 2019, "when", "y", None]]
    for row in range(N):
        price = "#DIV/0!" if row == 3 else "N/A" if row == 4 else 1.5 * row
        rows.append([None, row, "S" if row % 2 else 7, price, row % 5, datetime.time(row % 24, 30), Y[row]])
    rows += [[], []]
    dataset = load("excel", workbook(tmp_path / "t.xlsx", rows, "notes"))
    assert names_of(dataset)[:3] == ["size", "price", "2019"]
    assert values_of(dataset, "size") == ["S" if row % 2 else "7" for row in range(N)]
    np.testing.assert_array_equal(
        values_of(dataset, "price"), [np.nan if row in (3, 4) else 1.5 * row for row in range(N)]
    )
    notes = "\n".join(dataset.notes)
    assert "sheet 'Sheet' of 2 is read" in notes
    assert "row 3 of the sheet is the header" in notes
    assert "(Unnamed: 1) left out: it numbers the rows" in notes


def test_a_sheet_is_named_or_numbered(tmp_path):
    path = tmp_path / "t.xlsx"
    with pd.ExcelWriter(path) as writer:
        pd.DataFrame({"x": [1]}).to_excel(writer, sheet_name="about", index=False)
        frame_of(slice(None)).to_excel(writer, sheet_name="2020", index=False)
    for sheet in ("'2020'", "2020", "2"):
        assert_all_rows(load("excel", path, f"data.sheet={sheet}"))
    with pytest.raises(SettingError, match=r"no sheet 'data', which data.sheet names; it has about, 2020"):
        load("excel", path, "data.sheet=data")


@pytest.mark.parametrize("content", [b"PK\3\4 no archive", b"a,y\n1,2\n", b"\xd0\xcf\x11\xe0 an old workbook"])
def test_a_damaged_workbook_is_refused_in_one_line(content, tmp_path):
    (tmp_path / "t.xlsx").write_bytes(content)
    with pytest.raises(SettingError, match=r"t.xlsx is not a complete .xlsx file"):
        load("excel", tmp_path / "t.xlsx")


# Arrow files


@pytest.mark.parametrize("compression", ["uncompressed", "lz4", "zstd"])
def test_feather_files_are_read(compression, tmp_path):
    frame_of(slice(None)).to_feather(tmp_path / "t.feather", compression=compression)
    assert_all_rows(load("arrow", tmp_path / "t.feather"))


def test_a_stream_of_arrow_batches_is_read(tmp_path):
    table = pa.Table.from_pandas(frame_of(slice(None)), preserve_index=False)
    with pa.ipc.new_stream(tmp_path / "t.arrows", table.schema) as file:
        file.write_table(table, max_chunksize=7)
    assert_all_rows(load("arrow", tmp_path / "t.arrows"))


@pytest.mark.parametrize("content", [b"ARROW1\0\0 and no more", b"text,y\n", b"FEA1" + bytes(100)])
def test_a_damaged_arrow_file_is_refused_in_one_line(content, tmp_path):
    (tmp_path / "t.feather").write_bytes(content)
    with pytest.raises(SettingError, match=r"t.feather is (not a complete Arrow file|a Feather file of version 1)"):
        load("arrow", tmp_path / "t.feather")


def test_many_more_files_than_can_be_open_are_read(tmp_path):
    import resource

    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    for part in range(N):
        frame_of(slice(part, part + 1)).to_parquet(tmp_path / f"{part:03}.parquet", index=False)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(list(Path("/proc/self/fd").iterdir())) + 30, limit[1]))
    try:
        assert_all_rows(load("parquet", tmp_path))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limit)
