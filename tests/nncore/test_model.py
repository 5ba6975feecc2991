"""Models: from a raw row to a prediction, and round trips through files."""

import json
import os
import socket
import struct
import tracemalloc
import zipfile
from dataclasses import replace
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from samples import BATCH_NORM, RELU, SIGMOID, SOFTMAX, SQUARED, TANH, make_architecture, make_network

from nncore.architecture import initial_parameters
from nncore.calibration import Calibration
from nncore.components import Component
from nncore.inference import model_file
from nncore.inference.model import ClassDecoder, ConformalInterval, LabelDecoder, Model, ValueDecoder
from nncore.inference.preprocessing import Preprocessing
from nncore.inference.scaling import Affine, NormalQuantiles, Quantiles, SmoothClip
from nncore.inference.table import Column, matrix_table, read_table
from nncore.inference.target_transforms import Logarithm, YeoJohnson
from nncore.reduction.autoencoder import Autoencoder, autoencoder_architecture
from nncore.reduction.pca import fit_pca
from nncore.stack.state import start

X = np.random.default_rng(0).normal(size=(20, 6))
TABLE = matrix_table(X, tuple("abcdef"))
NUMBERS = Preprocessing(TABLE.columns, np.zeros(6), np.empty(0, int), Affine(X.mean(axis=0), X.std(axis=0)), (), ())
# the same columns as numbers, a category and an ordinal
MIXED = Preprocessing(
    (*TABLE.columns[:3], Column("d", "categorical", "string", ("x", "y")), Column("e", "ordinal", "long", ("1", "5"))),
    np.array([0.0, 1, 2, 0]),
    np.array([1]),
    Quantiles(np.linspace(0, 1, 20), np.sort(X[:, :4], axis=0)),
    (np.array([0, 1, np.nan, np.nan]),),
    (np.array([0, 1, -1, -1], np.int32),),
)
CLIPPED = replace(
    MIXED, scaling=SmoothClip(np.arange(4.0), np.array([1, 0, 2, 3.0])), binary=np.array([[0, -1, 1], [1, 0, 2.0]])
)
NORMAL = replace(MIXED, scaling=NormalQuantiles(MIXED.scaling.levels, MIXED.scaling.boundaries))
ROWS = {name: X[:, at] for at, name in enumerate("abc")} | {
    "d": np.array(["x", None, "y", "new"] * 5, dtype=object),
    "e": np.array([1.0, np.nan, 5, 7] * 5),
}


def model(reduction, target_decoder, n_outputs, loss=SOFTMAX, preprocessing=NUMBERS):
    transforms = () if reduction is None else (reduction,)
    architecture = make_architecture(
        (preprocessing.n_outputs if reduction is None else 3, 5, n_outputs), RELU, loss, BATCH_NORM
    )
    return Model(preprocessing, transforms, architecture, initial_parameters(architecture, 0)[None], target_decoder)


def one_row(*values):
    return {name: np.array([value]) for name, value in zip("abcde", values, strict=True)}


def rows_for(fitted):
    return ROWS if fitted.preprocessing.columns is MIXED.columns else X


def coder():
    architecture = autoencoder_architecture(6, (4,), 3, TANH, tied=True)
    return Autoencoder(architecture, start(architecture, [make_network("it", 1)]).selected_weights_of("it"))


GAUSSIAN = Component("nncore.losses.gaussian")
SCALING = Affine(np.array([100.0]), np.array([7.0]))
MODELS = {
    "classes": model(None, ClassDecoder(np.array([2, 5, 7])), 3),
    "pca, text labels": model(fit_pca(X, 3), ClassDecoder(np.array(["no", "yes", "zebra"])), 3),
    "two classes": model(coder(), ClassDecoder(np.array(["benign", "malignant"])), 1, SIGMOID),
    "values with deviations": model(
        None, ValueDecoder(("t",), Affine(np.array([100.0]), np.array([7.0]))), 1, GAUSSIAN
    ),
    "values": model(coder(), ValueDecoder(("t",), Affine(np.array([100.0]), np.array([7.0]))), 1, SQUARED),
    "two values": model(None, ValueDecoder(("u", "v"), Affine(np.array([100.0, 0]), np.array([7.0, 1]))), 2, GAUSSIAN),
    "two untransformed values": model(None, ValueDecoder(("u", "v"), Affine(np.zeros(2), np.ones(2))), 2, SQUARED),
    "labels, mixed columns": model(None, LabelDecoder(("red", "blue")), 2, SIGMOID, MIXED),
    "classes, mixed columns": model(None, ClassDecoder(np.array(["no", "yes"])), 1, SIGMOID, MIXED),
    "labels, clipped columns": model(None, LabelDecoder(("red", "blue")), 2, SIGMOID, CLIPPED),
    "labels, normal columns": model(None, LabelDecoder(("red", "blue")), 2, SIGMOID, NORMAL),
}


HALF_WIDTHS = ConformalInterval(np.array([30.0, 2]), 0.9)
MODELS |= {
    "calibrated classes": replace(MODELS["classes"], calibration=Calibration(0.25)),
    "two classes with a threshold": replace(
        MODELS["two classes"],
        calibration=Calibration(2.5, -0.7),
        target_decoder=ClassDecoder(np.array(["benign", "malignant"]), threshold=0.2),
    ),
    "value with an interval": replace(
        MODELS["values"],
        target_decoder=replace(MODELS["values"].target_decoder, interval=ConformalInterval(np.array([30.0]), 0.9)),
    ),
    "a logarithm with bounds and an interval": replace(
        MODELS["values"],
        target_decoder=ValueDecoder(
            ("t",), SCALING, ConformalInterval(np.array([0.4]), 0.9), Logarithm(), np.array([[1.0], [1e40]])
        ),
    ),
    "powers of two values": replace(
        MODELS["two untransformed values"],
        target_decoder=ValueDecoder(
            ("u", "v"),
            Affine(np.array([1.0, 0]), np.array([7.0, 1])),
            HALF_WIDTHS,
            YeoJohnson(Affine(np.array([1.0, -3]), np.array([2.0, 9])), np.array([0, 1.7])),
        ),
    ),
    "values with intervals": replace(
        MODELS["two values"], target_decoder=replace(MODELS["two values"].target_decoder, interval=HALF_WIDTHS)
    ),
}


@pytest.mark.parametrize("fitted", MODELS.values(), ids=MODELS)
def test_a_loaded_model_gives_the_same_bits(fitted, tmp_path):
    model_file.save(fitted, tmp_path / "model")
    again = model_file.load(tmp_path / "model")
    assert model_file.load(str(tmp_path / "model")).architecture == again.architecture
    for name, column in fitted.predict_columns(rows_for(fitted)).items():
        np.testing.assert_array_equal(again.predict_columns(rows_for(fitted))[name], column)
    assert again.preprocessing.columns == fitted.preprocessing.columns
    assert again.architecture == fitted.architecture
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["arrays.npz", "model.json"]


def test_probabilities_belong_to_their_labels():
    predictions = MODELS["pca, text labels"].predict_columns(X)
    probabilities = np.stack([predictions[f"probability_{label}"] for label in ("no", "yes", "zebra")])
    np.testing.assert_allclose(probabilities.sum(axis=0), 1, rtol=1e-6)
    np.testing.assert_array_equal(
        predictions["prediction"], np.array(["no", "yes", "zebra"])[probabilities.argmax(axis=0)]
    )


def test_a_binary_output_is_the_logit_of_the_second_class():
    fitted = MODELS["two classes"]
    predictions, z = fitted.predict_columns(X), fitted.logits(TABLE)[:, 0]
    np.testing.assert_array_equal(predictions["prediction"] == "malignant", z > 0)
    np.testing.assert_allclose(predictions["probability_malignant"], 1 / (1 + np.exp(-z)), rtol=1e-5)
    np.testing.assert_array_equal(fitted.target_decoder.targets(np.array(["benign", "malignant"])), [[0], [1]])


def test_predicted_values_are_in_the_unit_of_the_targets():
    fitted = MODELS["values"]
    np.testing.assert_allclose(fitted.predict_columns(X)["prediction"], fitted.logits(TABLE)[:, 0] * 7 + 100, rtol=1e-6)


def test_predicted_deviations_are_in_the_unit_of_the_targets():
    fitted = MODELS["values with deviations"]
    predictions, z = fitted.predict_columns(X), fitted.logits(TABLE)
    np.testing.assert_allclose(predictions["prediction"], z[:, 0] * 7 + 100, rtol=1e-6)
    np.testing.assert_allclose(predictions["deviation"], np.exp(z[:, 1] / 2) * 7, rtol=1e-5)
    assert "deviation" not in MODELS["values"].predict_columns(X)


def test_a_calibration_is_a_line_through_the_logits():
    for name, calibrated in (("classes", "calibrated classes"), ("two classes", "two classes with a threshold")):
        slope, intercept = MODELS[calibrated].calibration.slope, MODELS[calibrated].calibration.intercept
        z = MODELS[name].logits(TABLE)
        np.testing.assert_allclose(MODELS[calibrated].logits(TABLE), slope * z + intercept, rtol=1e-6)
        assert MODELS[calibrated].logits(TABLE).dtype == z.dtype
    z = 2.5 * MODELS["two classes"].logits(TABLE)[:, 0].astype(float) - 0.7
    predictions = MODELS["two classes with a threshold"].predict_columns(X)
    np.testing.assert_allclose(predictions["probability_malignant"], 1 / (1 + np.exp(-z)), rtol=1e-5)
    for argument, value in (("slope", 0), ("slope", np.nan), ("slope", np.inf), ("intercept", np.inf)):
        with pytest.raises(ValueError, match=f"{argument} must be"):
            Calibration(**{"slope": 1.0, argument: value})


def test_the_label_follows_the_threshold():
    predictions = MODELS["two classes with a threshold"].predict_columns(X)
    is_second = predictions["probability_malignant"] > 0.2
    assert 0 < is_second.sum() < (predictions["probability_malignant"] > 0.1).sum() < len(X)
    np.testing.assert_array_equal(predictions["prediction"] == "malignant", is_second)
    for labels, threshold in ((["a", "b"], 1.0), (["a", "b"], -0.1), (["a", "b"], np.nan), (["a", "b", "c"], 0.4)):
        with pytest.raises(ValueError, match="threshold must be"):
            ClassDecoder(np.array(labels), threshold=threshold)


def test_intervals_are_in_the_unit_of_the_targets_and_follow_the_deviation():
    one, two = (MODELS[name].predict_columns(X) for name in ("value with an interval", "values with intervals"))
    assert list(one) == ["prediction", "prediction_lower", "prediction_upper"]
    np.testing.assert_allclose(one["prediction_upper"] - one["prediction"], 30, rtol=1e-12)
    np.testing.assert_allclose(one["prediction"] - one["prediction_lower"], 30, rtol=1e-12)
    for name, factor in (("u", 30), ("v", 2)):
        half_width = factor * two[f"deviation_{name}"]
        np.testing.assert_allclose(two[f"prediction_upper_{name}"], two[f"prediction_{name}"] + half_width, rtol=1e-6)
        np.testing.assert_allclose(two[f"prediction_lower_{name}"], two[f"prediction_{name}"] - half_width, rtol=1e-6)
    np.testing.assert_array_equal(
        MODELS["values with intervals"].predict(X), MODELS["two values"].predict(X), strict=True
    )
    for half_width, coverage in (([1.0, 1.0], 0.9), ([-1.0], 0.9), ([np.nan], 0.9), ([1.0], 1.0)):
        with pytest.raises(ValueError, match="must"):
            ValueDecoder(("t",), SCALING, ConformalInterval(np.array(half_width), coverage))


def test_rows_of_another_width_are_refused():
    with pytest.raises(ValueError, match=r"rows must have 6 columns, but have shape \(20, 5\)"):
        MODELS["classes"].predict_columns(X[:, :5])


def test_several_values_and_labels_have_a_column_each():
    two = MODELS["two values"]
    predictions, z = two.predict_columns(X), two.logits(TABLE)
    assert list(predictions) == ["prediction_u", "prediction_v", "deviation_u", "deviation_v"]
    np.testing.assert_allclose(predictions["prediction_u"], z[:, 0] * 7 + 100, rtol=1e-6)
    np.testing.assert_allclose(predictions["prediction_v"], z[:, 1], rtol=1e-6)
    np.testing.assert_allclose(predictions["deviation_u"], np.exp(z[:, 2] / 2) * 7, rtol=1e-5)
    labels = MODELS["labels, mixed columns"]
    predictions, z = labels.predict_columns(ROWS), labels.logits(read_table(MIXED.columns, ROWS))
    np.testing.assert_array_equal(predictions["prediction_blue"], z[:, 1] > 0)
    np.testing.assert_allclose(predictions["probability_red"], 1 / (1 + np.exp(-z[:, 0])), rtol=1e-5)


def test_predict_gives_labels_values_or_one_column_per_target():
    classes = MODELS["pca, text labels"]
    most_probable = classes.target_decoder.labels[classes.logits(TABLE).argmax(axis=1)]
    np.testing.assert_array_equal(classes.predict(X), most_probable, strict=True)
    values = MODELS["values"]
    np.testing.assert_allclose(values.predict(X), values.logits(TABLE)[:, 0] * 7 + 100, rtol=1e-6)
    two = MODELS["two values"]
    np.testing.assert_allclose(two.predict(X), two.logits(TABLE)[:, :2] * [7, 1] + [100, 0], rtol=1e-6)
    labels = MODELS["labels, mixed columns"]
    np.testing.assert_array_equal(labels.predict(ROWS), labels.logits(read_table(MIXED.columns, ROWS)) > 0)


def test_a_data_frame_is_predicted_by_the_names_of_its_columns():
    fitted = MODELS["classes, mixed columns"]
    frame = pd.DataFrame(ROWS)[[*reversed(ROWS)]].assign(other="x")
    np.testing.assert_array_equal(fitted.predict(frame), fitted.predict(ROWS), strict=True)
    with pytest.raises(ValueError, match="columns 'a', 'd' are missing; there are 'e', 'c', 'b', 'other'"):
        fitted.predict(frame.drop(columns=["d", "a"]))


def test_reordered_columns_make_no_difference_and_missing_ones_are_named():
    fitted = MODELS["classes, mixed columns"]
    backwards = {name: ROWS[name] for name in reversed(ROWS)} | {"other": X[:, 0]}
    for name, column in fitted.predict_columns(ROWS).items():
        np.testing.assert_array_equal(fitted.predict_columns(backwards)[name], column)
    with pytest.raises(ValueError, match="column 'd' is missing; there are 'a', 'b', 'c', 'e'"):
        fitted.predict_columns({name: ROWS[name] for name in "abce"})


def test_unknown_categories_and_missing_values_get_a_prediction():
    """An unknown category has a zero in every column; a missing number is imputed, and marked."""
    fitted = MODELS["classes, mixed columns"]
    x = fitted.preprocessing(read_table(MIXED.columns, one_row(1, np.nan, 2, "new", 3)))
    np.testing.assert_array_equal(x[0, 4:], [1, 0, 0])
    prepared = fitted.preprocessing(read_table(MIXED.columns, one_row(1, 1, 2, "y", 1)))
    np.testing.assert_array_equal(prepared[0, :4], x[0, :4])
    np.testing.assert_array_equal(prepared[0, 4:], [0, 0, 1])


@pytest.fixture
def saved(tmp_path):
    model_file.save(MODELS["classes"], tmp_path / "model")
    return tmp_path / "model"


def edit(folder, change, sign=True):
    """Change model.json and correct its checksums, so that the content is what is refused."""
    document = json.loads((folder / "model.json").read_text())
    change(document)
    if sign:
        document["model_sha256"] = sha256(json.dumps(document["model"], sort_keys=True).encode()).hexdigest()
    (folder / "model.json").write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "model.json").unlink(), "No such file"),
        (lambda folder: (folder / "arrays.npz").unlink(), "No such file"),
        (lambda folder: (folder / "model.json").write_text('{"format": 1'), "Expecting"),
        (lambda folder: (folder / "arrays.npz").write_bytes((folder / "arrays.npz").read_bytes()[:99]), "truncated"),
        (
            lambda folder: edit(folder, lambda d: d.update(format=1)),
            "it has format 1 and this version reads format 8; publish the model again",
        ),
        (lambda folder: edit(folder, lambda d: d["model"].update({"class": "Architecture"})), "unexpected keyword"),
        (lambda folder: edit(folder, lambda d: d["model"].update({"class": "os.system"})), "os.system"),
        (
            lambda folder: edit(folder, lambda d: d["model"].update(calibration={"class": "Calibration", "slope": -1})),
            "slope must be > 0 and finite, but is -1",
        ),
        (lambda folder: edit(folder, lambda d: d["model"].update(parameters={"array": 99})), "out of range"),
        (
            lambda folder: edit(folder, lambda d: d["model"]["architecture"].update(batch_size=0)),
            "batch_size must be an integer >= 1",
        ),
        (
            lambda folder: edit(folder, lambda d: d["model"]["architecture"]["layers"][0].update(outputs=6)),
            "parameters must be",
        ),
        (
            lambda folder: edit(folder, lambda d: d["model"]["preprocessing"]["columns"].reverse(), sign=False),
            "model.json was",
        ),
        (
            lambda folder: edit(folder, lambda d: d.update(model=d["model"]["architecture"])),
            "does not describe a model",
        ),
    ],
)
def test_a_damaged_file_is_refused_with_its_folder_and_the_cause(saved, spoil, message):
    spoil(saved)
    with pytest.raises(ValueError, match=f"{saved} does not contain a readable model: .*{message}"):
        model_file.load(saved)


def sign_archive(folder):
    """Correct the checksum of arrays.npz, so that its content is what is refused."""
    document = json.loads((folder / "model.json").read_text())
    document["arrays_sha256"] = sha256((folder / "arrays.npz").read_bytes()).hexdigest()
    (folder / "model.json").write_text(json.dumps(document))


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


@pytest.mark.parametrize("name", ["model.json", "arrays.npz"])
@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (os.mkfifo, "a named pipe"),
        (lambda path: path.symlink_to("/dev/zero"), "a device"),
        (lambda path: path.symlink_to("/dev/tty"), "a device"),
        (make_socket, "a socket"),
        (Path.mkdir, "a folder"),
    ],
    ids=["fifo", "zero", "tty", "socket", "folder"],
)
def test_law_8_only_regular_files_are_read(saved, name, make, kind, monkeypatch):
    (saved / name).unlink()
    monkeypatch.chdir(saved)  # the path of a socket is short
    make(Path(name))
    with pytest.raises(ValueError, match=f"{name} must be a regular file, but is {kind}$"):
        model_file.load(saved)


def test_links_to_regular_files_are_followed(saved, tmp_path):
    (tmp_path / "linked").mkdir()
    for name in ("model.json", "arrays.npz"):
        (tmp_path / "linked" / name).symlink_to(saved / name)
    np.testing.assert_array_equal(model_file.load(tmp_path / "linked").parameters, MODELS["classes"].parameters)


def announce(folder, header_shape, file_size=None):
    """Replace the archive by one array of 8 numbers whose header and directory announce other sizes."""
    array = BytesIO()
    np.lib.format.write_array_header_1_0(array, {"descr": "<f8", "fortran_order": False, "shape": header_shape})
    content = array.getvalue() + bytes(64)
    with zipfile.ZipFile(folder / "arrays.npz", "w") as archive:
        archive.writestr("arr_0.npy", content)
    if file_size is not None:  # both sizes in the central directory, and in the file's own header
        stored = (folder / "arrays.npz").read_bytes()
        stored = stored.replace(struct.pack("<II", len(content), len(content)), struct.pack("<II", *file_size))
        (folder / "arrays.npz").write_bytes(stored)
    sign_archive(folder)


LARGE = 1 << 31  # bytes; together with the header's 128 bytes


@pytest.mark.parametrize(
    ("shape", "file_size"),
    [
        ((LARGE // 8,), None),
        ((LARGE // 8,), (LARGE + 128, LARGE + 128)),
        ((LARGE // 8,), (192, LARGE + 128)),
        ((-1, -8), None),
        ((7,), None),
        ((), None),
    ],
    ids=["header", "directory", "size in the directory", "negative", "too small", "no axis"],
)
def test_sizes_that_the_archive_does_not_have_are_refused_before_memory_is_allocated(saved, shape, file_size):
    announce(saved, shape, file_size)
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"does not contain a readable model: .*arrays.npz (announces|does not have)"):
        model_file.load(saved)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1e6


def test_entries_that_share_their_bytes_are_refused(saved):
    """A small archive whose directory names the same large array a thousand times."""
    with zipfile.ZipFile(saved / "arrays.npz", "w") as archive:
        array = BytesIO()
        np.lib.format.write_array(array, np.zeros(100_000))
        archive.writestr("arr_0.npy", array.getvalue())
        archive.filelist *= 1000
    sign_archive(saved)
    with pytest.raises(ValueError, match="announces more bytes than it has"):
        model_file.load(saved)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused(saved, value):
    with np.load(saved / "arrays.npz", allow_pickle=False) as archive:
        arrays = [archive[name] for name in archive.files]
    for array in arrays:
        if array.dtype.kind == "f":
            before = array.flat[-1]
            array.flat[-1] = value
            np.savez(saved / "arrays.npz", *arrays)
            sign_archive(saved)
            with pytest.raises(ValueError, match="must hold finite numbers"):
                model_file.load(saved)
            array.flat[-1] = before
    np.savez(saved / "arrays.npz", *arrays)
    sign_archive(saved)
    model_file.load(saved)


def test_steps_of_a_model_that_do_not_fit_together_are_refused():
    """One-hot columns that no network reads would take any amount of memory when a row is prepared."""
    huge = replace(MIXED, slots=(np.array([0, 10**9, -1, -1]),))
    with pytest.raises(ValueError, match=r"have \[1000000006\] outputs for \[7\] inputs"):
        replace(MODELS["classes, mixed columns"], preprocessing=huge)
    with pytest.raises(ValueError, match="one shape"):
        Affine(np.zeros(3), np.ones((3, 1)))
    with pytest.raises(ValueError, match="a column for each"):
        replace(NUMBERS, fill=np.zeros(5))
