"""Sources in other formats: IDX files, and the cache of openml.org that scikit-learn keeps."""

import gzip
import hashlib
import json
import struct
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import _openml

from pipeline.components.errors import SettingError
from pipeline.data.idx import Idx
from pipeline.data.openml import OpenMl

FASHION = Path("/usr/share/datasets/fashion-mnist")
NAMES = "T-shirt/top,Trouser,Pullover,Dress,Coat,Sandal,Shirt,Sneaker,Bag,Ankle boot"
IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
TEST_IMAGES, TEST_LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"


def idx(array):
    """Encode an array as the format's definition says."""
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def arrays():
    random = np.random.default_rng(0)
    return {
        IMAGES: random.integers(0, 256, (7, 2, 3)).astype(np.uint8),
        LABELS: np.array([0, 1, 2, 2, 1, 0, 1], np.uint8),
        TEST_IMAGES: random.integers(0, 256, (4, 2, 3)).astype(np.uint8),
        TEST_LABELS: np.array([2, 1, 0, 0], np.uint8),
    }


def write_files(folder, **files):
    """Write the four files; some can have other bytes, or None to leave them out."""
    folder.mkdir()
    for name, content in ({name: idx(array) for name, array in arrays().items()} | files).items():
        if content is not None:
            (folder / name).write_bytes(content)
    return folder


def error_message(act):
    with pytest.raises(SettingError) as error:
        act()
    message = str(error.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("packed", ["plain", "gzip with the ending", "gzip without it"])
def test_idx_files_are_read(tmp_path, packed):
    folder = tmp_path / "set"
    folder.mkdir()
    for name, array in arrays().items():
        content = idx(array) if packed == "plain" else gzip.compress(idx(array))
        (folder / (f"{name}.gz" if "with the" in packed else name)).write_bytes(content)
    source = Idx("mine", str(folder), ("a", "b", "c"))
    source.check()
    dataset = source()
    assert (dataset.task, dataset.targets, source.n_columns) == ("classification", ("label",), None)
    for rows, images, labels in ((dataset.rows, IMAGES, LABELS), (dataset.test, TEST_IMAGES, TEST_LABELS)):
        assert rows.x.numbers.dtype == np.uint8
        np.testing.assert_array_equal(rows.x.numbers, arrays()[images].reshape(-1, 6))
        assert rows.y.tolist() == ["abc"[label] for label in arrays()[labels]]
    assert [column.name for column in dataset.rows.x.columns] == [
        f"pixel_{row}_{column}" for row in range(2) for column in range(3)
    ]


def test_labels_stay_numbers_without_names(tmp_path):
    dataset = Idx("mine", str(write_files(tmp_path / "set")), ())()
    assert dataset.rows.y.tolist() == arrays()[LABELS].tolist()
    assert dataset.rows.y.dtype == np.int64


def test_a_relative_folder_and_an_address(tmp_path, monkeypatch):
    write_files(tmp_path / "set")
    monkeypatch.chdir(tmp_path)
    for path in ("set", f"file://{tmp_path}/set"):
        np.testing.assert_array_equal(Idx("m", path, ())().test.x.numbers, arrays()[TEST_IMAGES].reshape(4, 6))


WHOLE = idx(arrays()[IMAGES])
PACKED = gzip.compress(WHOLE)

# file, its bytes, words of the message, whether check() already detects it
BROKEN = {
    "missing": (IMAGES, None, (f"{IMAGES} is missing", "data.path=..."), True),
    "empty": (TEST_LABELS, b"", (TEST_LABELS, "empty"), True),
    "another type": (
        IMAGES,
        b"\0\0\x0d\3" + WHOLE[4:],
        ("magic number must be 00 00 08 03, but is 00 00 0d 03",),
        True,
    ),
    "labels for images": (TEST_IMAGES, idx(arrays()[TEST_LABELS]), (TEST_IMAGES, "but is 00 00 08 01"), True),
    "a picture": (IMAGES, b"\x89PNG....", ("00 00 08 03", "but is 89 50 4e 47"), True),
    "half a header": (IMAGES, WHOLE[:9], ("ends within its header, after 9 bytes",), True),
    "too short": (IMAGES, WHOLE[:-1], ("holds 41 values", "header says 7 x 2 x 3"), False),
    "too long": (LABELS, idx(arrays()[LABELS]) + b"\0", ("holds more than 7 values", "says 7"), False),
    "gzip cut short": (IMAGES, PACKED[:-12], (IMAGES, "cut short", "copy it again"), False),
    "gzip with a flipped bit": (IMAGES, PACKED[:-8] + bytes([PACKED[-8] ^ 1]) + PACKED[-7:], (IMAGES, "CRC"), False),
    "gzip in name only": (IMAGES, b"\x1f\x8b" + bytes(30), (IMAGES, "cannot be read"), True),
    "too few labels": (LABELS, idx(arrays()[LABELS][:-1]), ("holds 7 images", f"{LABELS} 6 labels"), True),
    "no images": (IMAGES, idx(np.empty((0, 2, 3), np.uint8)), ("holds no images", "0 x 2 x 3"), True),
    "no pixels": (IMAGES, idx(np.empty((7, 0, 3), np.uint8)), ("holds no images", "7 x 0 x 3"), True),
    "other images to test": (
        TEST_IMAGES,
        idx(np.empty((4, 3, 2), np.uint8)),
        ("3 x 2 pixels", "learn from 2 x 3"),
        True,
    ),
    "a label without a name": (
        TEST_LABELS,
        idx(np.array([0, 1, 3, 2], np.uint8)),
        ("data.classes", "3 names, for 0 to 2", "row 3 of", TEST_LABELS, "the label 3", "data.classes=[]"),
        False,
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_is_refused_in_one_line(tmp_path, case):
    file, content, words, at_once = BROKEN[case]
    source = Idx("mine", str(write_files(tmp_path / "set", **{file: content})), ("a", "b", "c"))
    message = error_message(source)
    assert [word for word in (*words, "data.", str(tmp_path / "set")) if word not in message] == []
    if at_once:
        assert error_message(source.check) == message


def test_all_that_is_wrong_with_idx_files_is_named_at_once(tmp_path):
    """Wrong headers, and where they can be read, wrong values; or only wrong values."""
    label = idx(np.array([0, 1, 9, 2], np.uint8))
    source = Idx(
        "mine", str(write_files(tmp_path / "set", **{IMAGES: None, LABELS: b"", TEST_LABELS: label})), ("a", "b")
    )
    for act in (source, source.check):
        with pytest.raises(SettingError) as error:
            act()
        expected = (f"{IMAGES} is missing", f"{LABELS} is empty", "row 3 of")
        assert [words in text for words, text in zip(expected, error.value.problems, strict=True)] == [True] * 3
    files = {IMAGES: WHOLE[:-1], TEST_LABELS: label}
    source = Idx("mine", str(write_files(tmp_path / "values", **files)), ("a", "b", "c"))
    with pytest.raises(SettingError, match=r"(?s)holds 41 values.*row 3 of"):
        source()


def test_a_header_with_too_large_sizes_allocates_no_memory(tmp_path):
    images = {name: idx(arrays()[name])[:8] + b"\xff" * 8 + b"....." for name in (IMAGES, TEST_IMAGES)}
    source = Idx("mine", str(write_files(tmp_path / "set", **images)), ())
    with pytest.raises(SettingError) as error:
        source()
    for name, n_images, problem in zip((IMAGES, TEST_IMAGES), (7, 4), error.value.problems, strict=True):
        assert f"{name} holds 5 values, but its header says {n_images} x 4294967295 x 4294967295" in problem


def test_a_path_that_is_not_a_file_or_folder_is_refused(tmp_path):
    folder = write_files(tmp_path / "set", **{IMAGES: None})
    source = Idx("mine", str(folder), ())
    (folder / IMAGES).mkdir()
    assert f"{IMAGES} is a folder" in error_message(source.check)
    (folder / IMAGES).rmdir()
    (folder / IMAGES).symlink_to("/proc/self/mem")  # can be opened, but not read, even by root
    message = error_message(source.check)
    assert IMAGES in message
    assert "there is no such folder; give the folder" in error_message(Idx("mine", str(tmp_path / "none"), ()).check)
    assert "there is no such folder" in error_message(Idx("mine", str(folder / LABELS), ()).check)
    assert "dataset-fashion-mnist" in error_message(Idx("fashion_mnist", str(tmp_path / "none"), ()).check)
    assert "nosuch" in error_message(Idx("mine", "nosuch://bucket/set", ()).check)


@pytest.mark.slow
@pytest.mark.skipif(not FASHION.is_dir(), reason=f"Debian's dataset-fashion-mnist is not in {FASHION}")
def test_fashion_mnist_has_its_published_properties():
    dataset = Idx("fashion_mnist", str(FASHION), tuple(NAMES.split(",")))()
    for rows, n_rows in ((dataset.rows, 60_000), (dataset.test, 10_000)):
        assert rows.x.numbers.shape == (n_rows, 784)
        assert rows.x.numbers.dtype == np.uint8
        names, counts = np.unique(rows.y, return_counts=True)
        assert set(names) == set(NAMES.split(","))
        assert set(counts) == {n_rows // 10}
    assert dataset.rows.y[:3].tolist() == ["Ankle boot", "T-shirt/top", "T-shirt/top"]
    # mean and deviation of the training pixels, as everyone normalises with: 0.2860 and 0.3530
    assert dataset.rows.x.numbers.mean() / 255 == pytest.approx(0.2860, abs=5e-5)
    assert dataset.rows.x.numbers.std() / 255 == pytest.approx(0.3530, abs=5e-5)


ROLES = {
    "target": "default-target",
    "task": "auto",
    "keep": None,
    "drop": (),
    "kinds": {},
    "where": {},
    "weight": None,
    "group": None,
    "time": None,
    "date_format": None,
    "thousands": None,
    "constant": "refuse",
    "index": "drop",
    "missing_target": "refuse",
    "rare_classes": "refuse",
    "min_class_rows": 3,
    "many_levels": "refuse",
    "max_classes": 1000,
    "max_levels": 1000,
}
ARFF = """@RELATION flowers
@ATTRIBUTE number NUMERIC
@ATTRIBUTE length REAL
@ATTRIBUTE plot {1,2}
@ATTRIBUTE kind {rose,'wild lily'}
@DATA
1,5.5,1,rose
2,?,2,'wild lily'
3,4.5,1,rose
4,1.5,2,'wild lily'
5,3.5,?,rose
6,2.5,1,'wild lily'
"""
COLUMNS = {"number": "numeric", "length": "numeric", "plot": "nominal", "kind": "nominal"}


@pytest.fixture
def no_network(monkeypatch):
    """Every download fails at once, as on a machine without a network."""

    def fail(*_, **__):
        raise _openml.URLError("Name or service not known")

    monkeypatch.setattr(_openml, "urlopen", fail)
    monkeypatch.setattr(_openml.time, "sleep", lambda _: None)


@pytest.fixture
def cache(tmp_path, no_network):
    """A cache with data set 7 in scikit-learn's layout."""
    url = "https://www.openml.org/data/v1/download/70/flowers.arff"
    checksum = hashlib.md5(ARFF.encode()).hexdigest()
    about = {"id": "7", "name": "flowers", "version": "1", "status": "active", "format": "ARFF", "description": "few"}
    features = [
        {
            "index": str(index),
            "name": name,
            "data_type": kind,
            "is_target": str(name == "kind").lower(),
            "is_ignore": "false",
            "is_row_identifier": str(name == "number").lower(),
            "number_of_missing_values": str(int(name in ("length", "plot"))),
        }
        for index, (name, kind) in enumerate(COLUMNS.items())
    ]
    api = "api/v1/json/data"
    files = {
        f"{api}/7": json.dumps({"data_set_description": about | {"url": url, "md5_checksum": checksum}}),
        f"{api}/features/7": json.dumps({"data_features": {"feature": features}}),
        f"{api}/qualities/7": json.dumps(
            {"data_qualities": {"quality": [{"name": "NumberOfInstances", "value": "6"}]}}
        ),
        "data/v1/download/70/flowers.arff": ARFF,
    }
    for name, content in files.items():
        path = tmp_path / "openml" / "openml.org" / f"{name}.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(content.encode()))
    return tmp_path


def test_a_set_of_openml_is_found_in_the_cache(cache):
    source = OpenMl(name="flowers", id=7, cache=cache, **ROLES)
    source.check()
    dataset = source()
    assert (dataset.task, dataset.targets) == ("classification", ("kind",))
    assert dataset.rows.y.tolist() == ["rose", "wild lily"] * 3
    columns = dataset.rows.x.column_values  # the row number is not an input
    assert [(column.name, column.kind) for column, _ in columns] == [("length", "numeric"), ("plot", "categorical")]
    np.testing.assert_array_equal(columns[0][1], [5.5, np.nan, 4.5, 1.5, 3.5, 2.5])
    assert columns[1][0].levels == ("1", "2")
    assert columns[1][1].tolist() == [0, 1, 0, 1, -1, 0]
    declared = OpenMl(name="flowers", id=7, cache=cache, **ROLES | {"kinds": {"plot": "numeric"}})()
    np.testing.assert_array_equal(declared.rows.x.numbers[:, 1], [1, 2, 1, 2, np.nan, 1])


def test_another_target_of_a_set_of_openml(cache):
    message = error_message(OpenMl(name="flowers", id=7, cache=cache, **ROLES | {"target": "petals"}))
    assert "data.id=7" in message
    assert "petals" in message
    message = error_message(OpenMl(name="flowers", id=7, cache=cache, **ROLES | {"target": "length"}))
    assert "data.id=7" in message
    assert "missing values" in message
    assert error_message(OpenMl(name="flowers", id=7, cache=cache, **ROLES | {"drop": ("age",)})).startswith(
        "data.id=7: there is no column 'age', which data.drop names"
    )


def test_without_a_network_only_the_cache_can_be_used(cache):
    message = error_message(OpenMl(name="others", id=8, cache=cache, **ROLES))
    assert [w for w in ("data.id=8", str(cache), "Name or service not known", "data.cache=") if w not in message] == []
    arff = cache / "openml" / "openml.org" / "data" / "v1" / "download" / "70" / "flowers.arff.gz"
    arff.write_bytes(gzip.compress(ARFF.replace("5.5", "6.5").encode()))  # a wrong checksum
    assert "data.id=7 is not in the cache" in error_message(OpenMl(name="flowers", id=7, cache=cache, **ROLES))


def test_a_cache_is_a_folder(cache):
    (cache / "file").write_text("")
    assert "is a file; name a folder" in error_message(
        OpenMl(name="flowers", id=7, cache=cache / "file", **ROLES).check
    )
