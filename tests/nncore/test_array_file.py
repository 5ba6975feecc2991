"""Files of values and arrays: round trips, and files that are refused."""

import json
import os
import time
import tracemalloc
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, NamedTuple

import numpy as np
import pytest

from nncore.serialization import array_file


@dataclass(frozen=True)
class Leaf:
    array: Any
    note: str = ""


class Pair(NamedTuple):
    left: Any
    right: Any = None


@dataclass
class Counted:
    at: int
    twice: int = field(init=False, default=0)

    def __post_init__(self):
        if self.at < 0:
            raise ValueError("at must be >= 0,\nbut is less")
        self.twice = 2 * self.at


KINDS = (Leaf, Pair, Counted)
DTYPES = ("<f4", "<f8", "<i8", "<i4", "|u1", "|b1", "<U5", "|S3", "<M8[us]", "<m8[D]", "<c16", ">f8")
ARRAYS = {
    **{dtype: np.arange(6).reshape(2, 3).astype(dtype) for dtype in DTYPES if dtype[1] not in "Mm"},
    "<M8[us]": np.array(["2020-01-31", "NaT"], "M8[us]"),
    "<m8[D]": np.array([3, -1], "m8[D]"),
    "empty": np.empty((0, 4), np.float32),
    "no axis": np.array(3.5),
    "Fortran order": np.asfortranarray(np.arange(12.0).reshape(3, 4)),
    "every other": np.arange(12.0)[::-2],
    "special": np.array([np.nan, np.inf, -0.0, 5e-324]),
    "texts": np.array(["", "é", "日本"]),
}
PLAIN = [
    None, True, 0, -(10**40), 0.1, -0.0, float("inf"), "", 'a"\n\ud7ff', (), (1, (2.0, "x")), [], [1, [None]], {},
    {"class": 1, "array": [2], "": ()}, Pair(1, [Pair((), {})]), Leaf((1,), "x"), Counted(3), (Leaf([Leaf(1)]),),
]  # fmt: skip


def round_trip(value, tmp_path, kinds=KINDS):
    digest = array_file.write(tmp_path / "it", value, kinds)
    assert digest == sha256((tmp_path / "it").read_bytes()).hexdigest()
    assert [path.name for path in tmp_path.iterdir()] == ["it"]
    return array_file.read(tmp_path / "it", kinds, digest)


@pytest.mark.parametrize("value", PLAIN, ids=repr)
def test_a_plain_value_comes_back_with_its_types(value, tmp_path):
    again = round_trip(value, tmp_path)
    assert repr(again) == repr(value)
    assert type(again) is type(value)


@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS)
def test_an_array_comes_back_to_the_last_bit(array, tmp_path):
    (again,) = round_trip((array,), tmp_path)
    assert (again.dtype, again.shape) == (array.dtype, array.shape)
    assert again.tobytes() == array.tobytes()
    assert not again.flags.writeable
    assert again.ctypes.data % 64 == 0 or not again.size


def test_many_arrays_inside_classes_come_back_in_their_fields(tmp_path):
    value = {name: Leaf(Pair(array, name), name) for name, array in ARRAYS.items()}
    for name, leaf in round_trip(value, tmp_path).items():
        assert leaf.note == leaf.array.right == name
        np.testing.assert_array_equal(leaf.array.left, ARRAYS[name])


def test_an_array_that_occurs_twice_is_stored_once(tmp_path):
    large = np.zeros(10_000)
    first, second = round_trip(Pair(large, large), tmp_path)
    assert first is second
    assert (tmp_path / "it").stat().st_size < 1.1 * large.nbytes


def test_equal_content_has_equal_bytes(tmp_path):
    """Whether equal arrays are one object or several, and in whatever order their elements are in memory."""
    array, other = np.arange(2000.0).reshape(40, 50), np.arange(2000.0).reshape(40, 50)
    other[-1, -2] += 1  # not in the sample that is compared first
    values = {
        "shared": [array, array, other, array],
        "copies": [array, array.copy(), other.copy(), array.copy()],
        "orders": [np.asfortranarray(array), array, np.asfortranarray(other), np.repeat(array, 2, axis=0)[::2]],
    }
    for name, value in values.items():
        array_file.write(tmp_path / name, value, ())
    contents = [(tmp_path / name).read_bytes() for name in values]
    assert contents[0] == contents[1] == contents[2]
    assert 2 * array.nbytes < len(contents[0]) < 2.1 * array.nbytes


@pytest.mark.parametrize(
    "others",
    [[np.zeros(4, np.float32)], [np.zeros((2, 2))], [np.zeros(4, np.int64)], [-np.zeros(4)], [np.zeros(4, ">f8")]],
    ids=repr,
)
def test_arrays_that_differ_in_type_shape_or_a_bit_are_not_merged(others, tmp_path):
    first, *rest = round_trip([np.zeros(4), *others], tmp_path)
    assert [(array.dtype.str, array.shape, array.tobytes()) for array in rest] == [
        (array.dtype.str, array.shape, array.tobytes()) for array in others
    ]
    assert first.tobytes() == bytes(32)


def test_many_alike_arrays_take_no_longer_than_as_many_others(tmp_path):
    """Columns that are mostly 0 differ in a few places: they are not compared with each other."""
    columns = [np.zeros(1000) for _ in range(4000)]
    for number, column in enumerate(columns):
        column[[number // 900 + 1, 500 + number % 450]] = 1.0 + number
    start = time.perf_counter()
    back = round_trip(columns, tmp_path)
    assert time.perf_counter() - start < 20  # a comparison of each pair takes minutes
    assert all(np.array_equal(a, b) for a, b in zip(back, columns, strict=True))


def test_numpy_scalars_become_numbers(tmp_path):
    value = (np.float32(0.1), np.int64(3), np.bool_(True), np.str_("x"), np.float64(0.3))
    assert repr(round_trip(value, tmp_path)) == repr((float(np.float32(0.1)), 3, True, "x", 0.3))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.array([None]), "cannot store an array of object"),
        (np.zeros(2, [("a", "f4")]), "cannot store an array of"),
        (np.datetime64("2020-01-01"), "cannot store a datetime64"),
        (np.datetime64("2020-01-01", "ns"), "cannot store a datetime64"),
        (np.complex64(1), "cannot store a complex64"),
        ({1: 2}, "cannot store a dict"),
        ({1, 2}, "cannot store a set"),
        (b"x", "cannot store a bytes"),
        (1j, "cannot store a complex"),
        (object, "cannot store a type"),
    ],
)
def test_unsupported_values_are_refused_and_leave_no_file(value, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        array_file.write(tmp_path / "it", (value,), KINDS)
    assert list(tmp_path.iterdir()) == []


def test_a_class_that_is_not_allowed_is_neither_written_nor_read(tmp_path):
    with pytest.raises(ValueError, match="cannot store a Leaf"):
        array_file.write(tmp_path / "it", Leaf(1), (Pair,))
    array_file.write(tmp_path / "it", Leaf(1), (Leaf,))
    with pytest.raises(ValueError, match="it cannot be read: unknown class 'Leaf'"):
        array_file.read(tmp_path / "it", (Pair,))
    other_class = dataclass(type("Leaf", (), {"__annotations__": {"array": Any}}))
    with pytest.raises(ValueError, match="unique names"):
        array_file.read(tmp_path / "it", (Leaf, other_class))


def test_every_changed_byte_and_every_truncation_is_detected(tmp_path):
    path = tmp_path / "it"
    array_file.write(path, Leaf(np.arange(5.0), "note"), KINDS)
    content = path.read_bytes()
    for position in range(len(content)):
        path.write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
        with pytest.raises(ValueError, match=f"{path} cannot be read: it"):
            array_file.read(path, KINDS)
        path.write_bytes(content[:position])
        with pytest.raises(ValueError, match=f"{path} cannot be read: it"):
            array_file.read(path, KINDS)
    path.write_bytes(content + b"\0")
    with pytest.raises(ValueError, match="cannot be read"):
        array_file.read(path, KINDS)


def test_an_old_version_of_the_format_is_refused_with_what_to_do(tmp_path):
    array_file.write(tmp_path / "it", 1, ())
    content = (tmp_path / "it").read_bytes()
    (tmp_path / "it").write_bytes(content[:7] + b"\1" + content[8:])
    with pytest.raises(ValueError, match="version 1 of the format and this program reads version 2; start a new run"):
        array_file.read(tmp_path / "it", ())


def test_a_file_of_another_kind_is_refused(tmp_path):
    first = array_file.write(tmp_path / "it", 1, ())
    second = array_file.write(tmp_path / "it", 2, ())
    assert array_file.read(tmp_path / "it", (), second) == 2
    with pytest.raises(ValueError, match=f"it is not the expected file: .*{second}"):
        array_file.read(tmp_path / "it", (), first)
    with pytest.raises(FileNotFoundError):
        array_file.read(tmp_path / "other", ())


def forge(path, header, length=None, content=bytes(64)):
    """A file with an arbitrary header and the right checksum."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    body = array_file.MAGIC + (len(text) if length is None else length).to_bytes(8, "little") + text + content
    path.write_bytes(body + sha256(body).digest())


def header(**changes):
    return {"value": {"array": 0}, "arrays": [{"dtype": "<f8", "shape": [8], "offset": 0} | changes]}


@pytest.mark.parametrize(
    "forged_header",
    [
        b"{", b"\xff", b"1", b"[" * 100_000, {}, {"value": 1}, {"value": {"array": 0}, "arrays": []},
        {"value": {"class": "os.system", "command": "true"}, "arrays": []},
        {"value": {"class": ["Leaf"]}, "arrays": []}, {"value": {"class": "Leaf"}, "arrays": []},
        {"value": {"class": "Leaf", "array": 1, "more": 2}, "arrays": []},
        {"value": {"class": "Counted", "at": -1}, "arrays": []}, {"value": {}, "arrays": []},
        {"value": {"list": 1}, "arrays": []}, {"value": {"dict": [1]}, "arrays": []},
        {"value": {"code": "x"}, "arrays": []}, header(dtype="|O"), header(dtype="O8"), header(dtype="f8,f8"),
        header(dtype="nonsense"), header(shape=[9]), header(shape=[-1]), header(shape=[-1, -8]),
        header(shape=[2**62, 4]), header(shape=[1.5]), header(shape="8"), header(offset=8),
        header(offset=-8), header(offset=10**30), header(more=1),
    ],
)  # fmt: skip
def test_forged_content_is_refused_in_one_line(forged_header, tmp_path):
    forge(tmp_path / "it", forged_header)
    with pytest.raises(ValueError, match=r"it cannot be read: [^\n]+$") as refused:
        array_file.read(tmp_path / "it", KINDS)
    assert "\n" not in str(refused.value)


def test_a_header_longer_than_the_file_is_refused(tmp_path):
    forge(tmp_path / "it", header())
    np.testing.assert_array_equal(array_file.read(tmp_path / "it", ()), np.zeros(8))
    for length in (200, 2**63, 2**64 - 1):
        forge(tmp_path / "it", header(), length)
        with pytest.raises(ValueError, match="header is longer than the file"):
            array_file.read(tmp_path / "it", ())


def test_a_file_is_replaced_atomically(tmp_path, monkeypatch):
    array_file.write(tmp_path / "it", "first", ())
    reader = (tmp_path / "it").open("rb")
    array_file.write(tmp_path / "it", "second", ())
    assert b"first" in reader.read()  # an open file keeps its old content
    reader.close()
    with pytest.raises(ValueError, match="cannot store a set"):
        array_file.write(tmp_path / "it", {1}, ())
    assert array_file.read(tmp_path / "it", ()) == "second"
    assert [path.name for path in tmp_path.iterdir()] == ["it"]


def test_law_8_only_regular_files_are_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")  # reading it would wait for a writer
    (tmp_path / "zero").symlink_to("/dev/zero")  # reading it would never end
    for name, kind in (("pipe", "a named pipe"), ("zero", "a device"), (".", "a folder")):
        with pytest.raises(ValueError, match=f"cannot be read: .* must be a regular file, but is {kind}$"):
            array_file.read(tmp_path / name, KINDS)
    digest = array_file.write(tmp_path / "it", 1, ())
    (tmp_path / "link").symlink_to("it")
    assert array_file.read(tmp_path / "link", (), digest) == 1


@pytest.mark.parametrize(
    "begins",
    [b"", array_file.MAGIC, array_file.MAGIC + (1 << 42).to_bytes(8, "little"), b"complete"],
    ids=["another format", "zeros", "a header of 4 TiB", "a complete file first"],
)
def test_a_huge_file_without_content_takes_no_memory(begins, tmp_path, monkeypatch):
    """A sparse file: 8 TiB of zeros that take no space on the disk."""
    monkeypatch.setattr(array_file, "LONGEST_HEADER", 100_000)
    array_file.write(tmp_path / "it", (np.arange(9),), ())
    with (tmp_path / "it").open("r+b") as file:
        file.write(b"" if begins == b"complete" else begins + bytes(200))
        try:
            file.truncate(1 << 43)
        except OSError:
            pytest.skip("the file system has no sparse files of this size")
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"it cannot be read: it (is not a file of|was changed|is longer)"):
        array_file.read(tmp_path / "it", ())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1e6


@pytest.mark.parametrize(
    ("dtype", "shape"),
    [
        *(("<f8", [2**63]), ("<f8", [2**62, 4]), ("<f8", [9]), ("<f8", [-1, -8]), ("<U1073741824", [1])),
        *(("<U0", [2**40]), ("|S0", [2**62, 2**62]), ("<f8", [0, 2**62])),
    ],
)
def test_sizes_that_the_file_does_not_have_take_no_memory(dtype, shape, tmp_path):
    forge(tmp_path / "it", header(dtype=dtype, shape=shape))
    tracemalloc.start()
    with pytest.raises(ValueError, match="it cannot be read: "):
        array_file.read(tmp_path / "it", ())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1e6
