"""Bundled, generated and NumPy sources, compared with the known properties of their data sets."""

import zipfile
from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid

from pipeline.components.errors import SettingError
from pipeline.data.bundled import KNOWN, Bundled
from pipeline.data.npz import Npz
from pipeline.data.synthetic import Blobs, Friedman, Moons, Spirals

# rows, columns and rows per class, as the sets' own descriptions say
SETS = {
    "digits": (1797, 64, [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]),
    "iris": (150, 4, [50, 50, 50]),
    "wine": (178, 13, [59, 71, 48]),
    "breast_cancer": (569, 30, [357, 212]),  # benign, malignant
    "diabetes": (442, 10, None),
}


def refused(act):
    with pytest.raises(SettingError) as error:
        act()
    message = str(error.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("name", KNOWN)
def test_bundled_sets(name):
    source = Bundled(name)
    source.check()
    dataset = source()
    n_rows, n_columns, per_class = SETS[name]
    assert dataset.task == source.task == ("regression" if name == "diabetes" else "classification")
    assert dataset.rows.x.numbers.shape == (n_rows, n_columns)
    assert dataset.rows.x.numbers.dtype == np.float64
    assert len(dataset.rows.x.columns) == source.n_columns == n_columns
    if per_class is None:
        assert dataset.rows.y.shape == (n_rows, 1)
        assert (dataset.rows.y.dtype, dataset.rows.y.min(), dataset.rows.y.max()) == (np.float64, 25, 346)
    else:
        labels, counts = np.unique(dataset.rows.y, return_counts=True)
        assert counts.tolist() == per_class
        expected_labels = {"iris": ["setosa", "versicolor", "virginica"], "breast_cancer": ["benign", "malignant"]}
        assert labels.tolist() == expected_labels.get(name, labels.tolist())
    if name == "iris":  # its published first row
        assert dataset.rows.x.numbers[0].tolist() == [5.1, 3.5, 1.4, 0.2]
        assert dataset.rows.x.columns[0].name == "sepal length (cm)"


MADE = {
    "moons": Moons("moons", 1000, 0.2, 0),
    "spirals": Spirals("spirals", 1000, 0.02, 0, n_classes=2),
    "blobs": Blobs("blobs", 1000, 1.0, 0, n_columns=10, n_classes=3),
    "friedman": Friedman("friedman", 1000, 1.0, 0, n_columns=10),
}


@pytest.mark.parametrize("name", MADE)
def test_the_seed_determines_the_generated_rows(name):
    source = MADE[name]
    source.check()
    first, again, other_seed = (drawn_source() for drawn_source in (source, source, replace(source, seed=1)))
    np.testing.assert_array_equal(first.rows.x.numbers, again.rows.x.numbers)
    np.testing.assert_array_equal(first.rows.y, again.rows.y)
    assert not (first.rows.x.numbers == other_seed.rows.x.numbers).any()
    assert first.rows.x.numbers.shape == (1000, source.n_columns)
    assert first.task == source.task
    assert len(replace(source, n_rows=7, seed=2**63 - 1)().rows) == 7


def accuracies(source):
    """The accuracies of a linear model and of nearest neighbours on held-out rows."""
    rows = source().rows
    models = LogisticRegression(), KNeighborsClassifier(5)
    return [cross_val_score(model, rows.x.numbers, rows.y, cv=5).mean() for model in models]


@pytest.mark.parametrize(("n_classes", "turned_off"), [(2, 0.7), (3, 0.6)])
def test_spirals_are_not_linearly_separable(n_classes, turned_off):
    linear, near = accuracies(Spirals("spirals", 1500, 0.02, 0, n_classes))
    assert linear < turned_off
    assert near > 0.95


def test_moons_are_not_linearly_separable_and_have_the_documented_error():
    linear, near = accuracies(MADE["moons"])
    assert linear < 0.9
    assert near > 0.95
    along = np.linspace(0, np.pi, 500)
    arcs = [np.stack([np.cos(along), np.sin(along)]), np.stack([1 - np.cos(along), 0.5 - np.sin(along)])]
    for noise, best in ((0.1, 0.999), (0.2, 0.970), (0.3, 0.914), (0.4, 0.861)):
        rows = Moons("moons", 4000, noise, 0)().rows
        away = [((rows.x.numbers[:, :, None] - arc) ** 2).sum(axis=1) for arc in arcs]  # (N, 500)
        first, second = (np.exp(-squared / (2 * noise**2)).mean(axis=1) for squared in away)
        assert ((second > first) == rows.y).mean() == pytest.approx(best, abs=0.012)


@pytest.mark.parametrize("n_columns", [1, 10])
def test_blobs_have_the_documented_error(n_columns):
    """Phi(-2) = 0.0228 lies on either side of a border, and 3 classes have 4 such sides: 3.0 % are wrong."""
    rows = Blobs("blobs", 20_000, 1.0, 0, n_columns, 3)().rows
    accuracy = NearestCentroid().fit(rows.x.numbers, rows.y).score(rows.x.numbers, rows.y)
    assert accuracy == pytest.approx(1 - 4 / 3 * 0.02275, abs=0.004)
    assert np.bincount(rows.y).tolist() == [6667, 6667, 6666]


def test_friedman_is_the_published_formula():
    rows = Friedman("friedman", 500, 0, 3, n_columns=8)().rows
    x = rows.x.numbers.T
    formula = 10 * np.sin(np.pi * x[0] * x[1]) + 20 * (x[2] - 0.5) ** 2 + 10 * x[3] + 5 * x[4]
    assert rows.y.shape == (500, 1)
    np.testing.assert_allclose(rows.y[:, 0], formula, rtol=1e-12)
    noisy = Friedman("friedman", 20_000, 2.0, 3, n_columns=5)().rows
    x = noisy.x.numbers.T
    formula = 10 * np.sin(np.pi * x[0] * x[1]) + 20 * (x[2] - 0.5) ** 2 + 10 * x[3] + 5 * x[4]
    assert (noisy.y[:, 0] - formula).std() == pytest.approx(2, rel=0.03)
    assert formula.std() == pytest.approx(4.9, abs=0.1)


ROWS = np.arange(24.0).reshape(6, 2, 2)
WELL = {"x": ROWS, "y": np.array(["a", "b", "a", "b", "a", "b"])}
SETTINGS = {
    "name": "mine",
    "x": "x",
    "y": "y",
    "weights": None,
    "groups": None,
    "x_test": None,
    "y_test": None,
    "task": "auto",
    "max_classes": 1000,
}


def npz(folder, arrays, **settings):
    np.savez(folder / "rows.npz", **arrays)
    return Npz(path=str(folder / "rows.npz"), **SETTINGS | settings)


def test_npz_with_everything(tmp_path):
    x = ROWS.astype(np.float32)
    x[1, 0, 1] = np.nan  # missing
    extra = {"w": np.array([0, 1, 2, 1, 1, 3]), "g": np.array(["p", "q", "p", "r", "r", "q"])}
    test = {"x2": np.ones((2, 2, 2), np.float32), "y2": np.array(["b", "a"])}
    names = {"weights": "w", "groups": "g", "x_test": "x2", "y_test": "y2"}
    source = npz(tmp_path, WELL | extra | test | {"x": x}, **names)
    source.check()
    dataset = source()
    assert (dataset.task, dataset.targets, source.n_columns) == ("classification", ("y",), None)
    np.testing.assert_array_equal(dataset.rows.x.numbers, x.reshape(6, 4))
    assert dataset.rows.x.numbers.dtype == np.float32
    assert [column.name for column in dataset.rows.x.columns] == ["x_0", "x_1", "x_2", "x_3"]
    assert dataset.rows.y.tolist() == WELL["y"].tolist()
    assert dataset.rows.weights.tolist() == [0, 1, 2, 1, 1, 3]
    assert dataset.rows.weights.dtype == np.float64
    assert dataset.groups.tolist() == [0, 1, 0, 2, 2, 1]
    assert dataset.test.y.tolist() == ["b", "a"]
    assert dataset.test.x.numbers.shape == (2, 4)


VALUES = np.linspace(0, 1, 6)
BITS = np.array([[0, 1], [1, 0]] * 3)


@pytest.mark.parametrize(
    ("y", "setting", "task", "targets", "expected"),
    [
        (np.array([0, 1] * 3, np.uint8), "auto", "classification", ("y",), [0, 1] * 3),
        (np.array([[0.0], [1.0]] * 3), "auto", "classification", ("y",), [0, 1] * 3),
        (np.array([True, False] * 3), "auto", "classification", ("y",), [True, False] * 3),
        (VALUES, "auto", "regression", ("y",), VALUES[:, None].tolist()),
        (np.arange(6), "regression", "regression", ("y",), [[0], [1], [2], [3], [4], [5]]),
        (BITS, "auto", "multilabel", ("y_0", "y_1"), BITS.tolist()),
        (BITS, "regression", "regression", ("y_0", "y_1"), BITS.tolist()),
    ],
)
def test_npz_targets_determine_the_task(tmp_path, y, setting, task, targets, expected):
    dataset = npz(tmp_path, WELL | {"y": y}, task=setting)()
    assert (dataset.task, dataset.targets) == (task, targets)
    assert dataset.rows.y.tolist() == expected
    assert dataset.test is None
    if task != "classification":
        assert dataset.rows.y.dtype == np.float64


def with_inf():
    x = ROWS.copy()
    x[3, 1, 0] = -np.inf
    return x


NAMED = {"x_test": "x2", "y_test": "y2"}
TEST = {"x2": np.ones((2, 4)), "y2": np.array(["a", "b"])}

# the arrays that differ, the settings, what the message says
BAD_ARRAYS = {
    "no such array": ({}, {"y": "labels"}, ("no array 'labels'", "has x, y", "data.y=...")),
    "no such weights": ({}, {"weights": "w"}, ("no array 'w'", "data.weights=...")),
    "lengths": ({"y": np.array(["a", "b"])}, {}, ("'y' has 2 rows", "x has 6")),
    "texts in x": ({"x": np.full((6, 2), "a")}, {}, ("'x' must hold numbers", "<U1")),
    "complex x": ({"x": np.ones((6, 2), complex)}, {}, ("'x' must hold numbers", "complex128")),
    "inf in x": ({"x": with_inf()}, {}, ("'x' is -inf in row 4, column 2", "NaN for what is missing")),
    "objects in x": ({"x": np.array([[1, None]] * 6, object)}, {}, ("'x' holds Python objects", "unpickling")),
    "objects in y": ({"y": np.array(["a", None] * 3, object)}, {}, ("'y' holds Python objects", "unpickling")),
    "bytes in y": ({"y": np.array([b"a", b"b"] * 3)}, {}, ("'y' must hold numbers or texts", "|S1")),
    "nothing in y": ({"y": np.array(["a", "b", "", "b", "a", "b"])}, {}, ("'y' is empty in row 3",)),
    "NaN in y": ({"y": np.array([0.5, 1, np.nan, 1, 0, 2])}, {}, ("'y' is nan in row 3", "leave such rows out")),
    "a cube of targets": ({"y": np.ones((6, 2, 2))}, {}, ("'y' must have 2 dimension(s)", "(6, 2, 2)")),
    "no targets": ({"y": np.ones((6, 0))}, {}, ("'y'", "(6, 0)")),
    "one class": ({"y": np.full(6, "a")}, {}, ("'y'", "one class, a")),
    "many classes": ({"y": np.repeat([1, 2], 3)}, {"max_classes": 1}, ("2 classes", "data.max_classes is 1")),
    "0 rows": ({"x": ROWS[:0], "y": WELL["y"][:0]}, {}, ("'x' has shape (0, 2, 2)",)),
    "0 columns": ({"x": np.ones((6, 0))}, {}, ("'x' has shape (6, 0)",)),
    "one number": ({"x": np.array(3.0)}, {}, ("'x' is not an array with rows",)),
    "a negative weight": ({"w": np.array([1, 1, -2, 1, 1, 1])}, {"weights": "w"}, ("'w' is -2 in row 3", "0 or more")),
    "a NaN weight": ({"w": np.array([1, np.nan] * 3)}, {"weights": "w"}, ("'w' is nan in row 2",)),
    "an infinite weight": ({"w": np.array([1, np.inf] * 3)}, {"weights": "w"}, ("'w' is inf in row 2",)),
    "no weight at all": ({"w": np.zeros(6)}, {"weights": "w"}, ("'w' is 0 in every row",)),
    "weights as texts": ({"w": np.full(6, "1")}, {"weights": "w"}, ("'w' must hold numbers, but holds texts",)),
    "a group short": ({"g": np.arange(5)}, {"groups": "g"}, ("'g' has 5 rows",)),
    "columns to test": (TEST | {"x2": np.ones((2, 3))}, NAMED, ("'x2' has rows of shape (3,), but 'x' (4,)",)),
    "rows to test": (TEST | {"x2": np.ones((3, 4))}, NAMED, ("'y2' has 2 rows", "x has 3")),
    "types to test": (TEST | {"y2": np.array([1, 2])}, NAMED, ("'y2' holds int64, but 'y' <U1",)),
}


@pytest.mark.parametrize("case", BAD_ARRAYS)
def test_npz_refuses_arrays_that_are_not_fit(tmp_path, case):
    arrays, settings, words = BAD_ARRAYS[case]
    message = refused(npz(tmp_path, WELL | arrays, **settings))
    assert [word for word in (*words, f"data.path={tmp_path}/rows.npz") if word not in message] == []


def test_npz_names_all_that_is_wrong_at_once(tmp_path):
    arrays = {"x": with_inf(), "y": np.array(["a", "", "b"]), "w": np.array([1, -1, 1, 1, 1, 1]), "g": np.arange(5)}
    settings = {"weights": "w", "groups": "g", "x_test": "x2", "y_test": "y2"}
    source = npz(tmp_path, arrays | {"y2": np.array([b"a"])}, **settings)
    expected = [
        "the array 'x' is -inf in row 4",
        "has no array 'x2'",
        "the array 'y' is empty in row 2",
        "the array 'y2' must hold numbers or texts",
        "the array 'w' is -1 in row 2",
    ]
    for act in (source, source.check):
        with pytest.raises(SettingError) as error:
            act()
        assert [words in text for words, text in zip(expected, error.value.problems, strict=True)] == [True] * 5
    source = npz(tmp_path, WELL | arrays | {"x": ROWS, "y": np.array(["a", "", "a"])}, weights="w", groups="g")
    with pytest.raises(SettingError) as error:
        source()
    rows = ["'y' has 3 rows", "'y' is empty in row 2", "'w' is -1 in row 2", "'g' has 5 rows", "'y' has one class"]
    assert [words in text for words, text in zip(rows, error.value.problems, strict=False)] == [True] * 4
    source = npz(tmp_path, WELL | {"x": with_inf(), "y": np.full(6, "a")})
    with pytest.raises(SettingError, match=r"(?s)'x' is -inf.*'y' has one class"):
        source()


def test_npz_refuses_half_a_test_part():
    with pytest.raises(ValueError, match="x_test and y_test go together"):
        Npz(path="rows.npz", **SETTINGS | {"x_test": "x2"})


def damaged(content):
    """A file with a wrong byte within its first array."""
    position = content.index(b"NUMPY") + 130
    return content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :]


BAD_FILES = {
    "empty": (lambda content: b"", "empty"),
    "text": (lambda content: b"a,b\n1,2\n", "is not an .npz file"),
    "pickle": (lambda content: b"\x80\x04]\x94.", "is not an .npz file"),
    "cut short": (lambda content: content[:-30], "damaged or cut short"),
    "damaged": (damaged, "'x' cannot be read (Bad CRC-32"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_npz_refuses_broken_files(tmp_path, case):
    spoil, words = BAD_FILES[case]
    source = npz(tmp_path, WELL)
    file = tmp_path / "rows.npz"
    file.write_bytes(spoil(file.read_bytes()))
    message = refused(source)
    assert words in message
    assert str(file) in message
    if case != "damaged":
        assert refused(source.check) == message


def test_npz_refuses_a_path_that_is_not_a_file(tmp_path):
    assert "no such file" in refused(Npz(path=str(tmp_path / "none.npz"), **SETTINGS).check)
    assert "is a folder" in refused(Npz(path=str(tmp_path), **SETTINGS).check)
    with zipfile.ZipFile(tmp_path / "other.npz", "w") as archive:
        archive.writestr("x", "no array")
        archive.writestr("y", "none either")
    with pytest.raises(SettingError, match=r"(?s)'x' is not an array with rows.*'y' is not an array with rows"):
        Npz(path=str(tmp_path / "other.npz"), **SETTINGS)()


def test_npz_is_read_from_any_address(tmp_path):
    npz(tmp_path, WELL)
    source = Npz(path=f"file://{tmp_path}/rows.npz", **SETTINGS)
    np.testing.assert_array_equal(source().rows.x.numbers, ROWS.reshape(6, 4))
