"""The ONNX file gives the predictions of the model, for every component and every kind of column."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from discovery import ACTIVATIONS, EMBEDDINGS, LOSSES, NORMALISATIONS, short_name
from mlflow import MlflowClient
from running import FEW, compose, read_summary, run_here, run_pipeline
from samples import BATCH_NORM, RELU, SIGMOID, SOFTMAX, SQUARED

from nncore.architecture import IDENTITY, UNNORMALISED, Architecture, Layer
from nncore.calibration import Calibration
from nncore.components import Component
from nncore.inference import model_file
from nncore.inference.ensemble import Ensemble
from nncore.inference.model import ClassDecoder, ConformalInterval, LabelDecoder, Model, ValueDecoder
from nncore.inference.preprocessing import Preprocessing
from nncore.inference.scaling import Affine, NormalQuantiles, Quantiles, SmoothClip
from nncore.inference.table import Column, Table, matrix_table, read_table
from nncore.inference.target_transforms import Logarithm, YeoJohnson
from nncore.reduction.autoencoder import Autoencoder, autoencoder_architecture
from nncore.reduction.pca import fit_pca
from pipeline.components.errors import SettingError
from pipeline.onnx_export import export
from pipeline.onnx_export.export import onnx_model, predictions, run_onnx

N = 600  # more rows than one evaluation batch has
DRAWN = np.random.default_rng(0)
MATRIX = matrix_table(DRAWN.normal(size=(N, 6)), tuple("abcdef"))
GAUSSIAN = Component("nncore.losses.gaussian")


def standardising(n_columns):
    """Preprocessing that standardises a matrix."""
    scaling = Affine(np.full(n_columns, 0.1), np.full(n_columns, 1.3))
    columns = tuple(Column(name) for name in "abcdefghijk"[:n_columns])
    return Preprocessing(columns, np.zeros(n_columns), np.empty(0, np.int64), scaling, (), ())


def random_parameters(shape, seed=1):
    """Parameters of a network, none of which is zero or one."""
    drawn = np.random.default_rng(seed).normal(size=(1, shape.buffer_size)) * 0.3
    drawn[:, shape.n_parameters :] = np.abs(drawn[:, shape.n_parameters :]) + 0.5  # means and variances
    return drawn.astype(np.float32)


def network(inputs, outputs, loss, activation=RELU, normalisation=UNNORMALISED, **rest):
    hidden = Layer(7, activation, normalisation)
    return Architecture(inputs, (hidden, replace(hidden, residual=True), Layer(outputs, IDENTITY)), loss, **rest)


def decoder_for(loss, outputs=3):
    """A target decoder for the loss, with 3 targets."""
    built = loss.build()
    if built.targets == "one-hot":
        return ClassDecoder(np.array(["no", "maybe", "yes"])[:outputs])
    if built.targets == "binary":
        return LabelDecoder(("x", "y", "z")[:outputs])
    return ValueDecoder(
        ("x", "y", "z")[:outputs], Affine(np.array([1.0, -2, 30])[:outputs], np.array([2.0, 5, 0.1])[:outputs])
    )


def make_model(loss=SOFTMAX, preprocessing=None, transforms=(), n_inputs=6, seed=1, **members):
    shape = network(n_inputs, 3 * loss.build().outputs_per_target, loss, **members)
    return Model(
        preprocessing or standardising(6), transforms, shape, random_parameters(shape, seed), decoder_for(loss)
    )


def with_architecture(model, **fields):
    """The model with other fields of its architecture, and parameters that fit."""
    shape = replace(model.architecture, **fields)
    return replace(model, architecture=shape, parameters=random_parameters(shape))


def assert_same_predictions(model, table):
    """Assert that predictions agree within 1e-5, for any number of rows."""
    content = export.export(model)
    expected = predictions(model, table)
    outputs = run_onnx(content, table)
    assert list(outputs) == list(expected)
    for name, values in expected.items():
        assert outputs[name].shape == values.shape
        if values.dtype.kind in "US":
            assert outputs[name].tolist() == values.tolist()
        else:
            assert np.allclose(outputs[name], values, rtol=1e-5, atol=1e-5), name
    for rows in (slice(0, 1), slice(3, 4), slice(0, 0), slice(10, 27)):
        part = run_onnx(content, table[rows])
        assert all(np.allclose(part[name], expected[name][rows], rtol=1e-5, atol=1e-5) for name in expected
                   if expected[name].dtype.kind == "f")  # fmt: skip
    return content


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=short_name)
def test_every_activation(activation):
    assert_same_predictions(make_model(activation=activation), MATRIX)


@pytest.mark.parametrize("embedding", EMBEDDINGS, ids=short_name)
def test_every_embedding(embedding):
    learned = {"embedding": embedding, "n_numeric": 4, "scaling_layer": True, "parametrization": "ntk"}
    assert_same_predictions(with_architecture(make_model(), **learned), MATRIX)


def test_learned_vectors_of_categories():
    codes = matrix_table(
        np.concatenate([MATRIX.numbers[:, :4], DRAWN.integers(5, size=(N, 2))], axis=1), tuple("abcdef")
    )
    preprocessing = replace(standardising(6), scaling=Affine(np.zeros(6), np.ones(6)))
    assert_same_predictions(with_architecture(make_model(preprocessing=preprocessing), levels=(5, 6)), codes)


@pytest.mark.parametrize("normalisation", NORMALISATIONS, ids=short_name)
def test_every_normalisation(normalisation):
    assert_same_predictions(make_model(normalisation=normalisation), MATRIX)


@pytest.mark.parametrize("loss", LOSSES, ids=short_name)
def test_every_loss_alone_and_in_an_ensemble(loss):
    model = make_model(loss)
    assert_same_predictions(model, MATRIX)
    second = make_model(loss, seed=2)
    if isinstance(model.target_decoder, ValueDecoder):
        scaling = Affine(np.array([1.5, -1, 29]), np.array([3.0, 4, 0.2]))
        second = replace(second, target_decoder=replace(model.target_decoder, scaling=scaling))
    assert_same_predictions(Ensemble((model, second), (2, 1)), MATRIX)


@pytest.mark.parametrize("adapters", ["mini", "full", "packed"])
@pytest.mark.parametrize("loss", [SOFTMAX, GAUSSIAN], ids=short_name)
def test_members_of_a_network(loss, adapters):
    assert_same_predictions(make_model(loss, normalisation=BATCH_NORM, members=40, adapters=adapters), MATRIX)


def test_two_classes_have_one_output():
    shape = network(6, 1, SIGMOID)
    content = assert_same_predictions(
        Model(standardising(6), (), shape, random_parameters(shape), ClassDecoder(np.array([3, 8]))), MATRIX
    )
    outputs = run_onnx(content, MATRIX)
    assert set(outputs["prediction"].tolist()) == {3, 8}
    assert np.allclose(outputs["probabilities"].sum(axis=1), 1)


def test_calibrations_and_thresholds():
    shape = network(6, 1, SIGMOID)
    decoder = ClassDecoder(np.array(["no", "yes"]), threshold=0.35)
    members = [Model(standardising(6), (), shape, random_parameters(shape, seed), decoder) for seed in (1, 2)]
    alone = replace(members[0], calibration=Calibration(1.7, 0.4))
    together = Ensemble((alone, members[1]), (1, 2), replace(decoder, threshold=0.6), Calibration(0.5, -0.3))
    for model, threshold in ((alone, 0.35), (together, 0.6)):
        outputs = run_onnx(assert_same_predictions(model, MATRIX), MATRIX)
        assert (
            outputs["prediction"].tolist() == np.where(outputs["probabilities"][:, 1] > threshold, "yes", "no").tolist()
        )
        assert onnx_model(model, MATRIX)
    many = replace(make_model(), calibration=Calibration(0.2))
    before = run_onnx(export.export(make_model()), MATRIX)["probabilities"]
    powers = before**0.2
    after = run_onnx(assert_same_predictions(many, MATRIX), MATRIX)["probabilities"]
    assert np.allclose(after, powers / powers.sum(axis=1, keepdims=True), atol=1e-5)


def test_conformal_intervals():
    half_width = np.array([3.0, 1, 2])
    for loss in (SQUARED, GAUSSIAN):
        model = make_model(loss)
        decoder = replace(model.target_decoder, interval=ConformalInterval(half_width, 0.9))
        for published in (
            replace(model, target_decoder=decoder),
            Ensemble((model, make_model(loss, seed=2)), (2, 1), decoder),
        ):
            outputs = run_onnx(assert_same_predictions(published, MATRIX), MATRIX)
            expected = half_width * outputs.get("deviation", 1)
            assert np.allclose(outputs["prediction_upper"] - outputs["prediction"], expected, rtol=1e-4)
            assert np.allclose(outputs["prediction"] - outputs["prediction_lower"], expected, rtol=1e-4)


def test_transformed_targets_and_bounds_alone_and_in_an_ensemble_with_other_transforms():
    powers = YeoJohnson(Affine(np.array([1.0, -2, 30]), np.array([2.0, 5, 0.1])), np.array([0, 0.4, 2]))
    small = Affine(np.array([0.2, -0.2, 0.1]), np.array([0.5, 0.4, 0.3]))
    bounds = np.array([[0.5, -4, 29.9], [3, 1, 30.1]])
    half_width = ConformalInterval(np.array([0.2, 0.3, 0.5]), 0.9)
    plain = make_model(SQUARED)
    models = [
        replace(make_model(SQUARED, seed=seed), target_decoder=decoder)
        for seed, decoder in enumerate(
            [
                replace(plain.target_decoder, bounds=bounds),
                ValueDecoder(("x", "y", "z"), small, half_width, powers, bounds),
                ValueDecoder(("x", "y", "z"), small, half_width, Logarithm()),
            ]
        )
    ]
    for model in models:
        assert_same_predictions(model, MATRIX)
        prediction = run_onnx(export.export(model), MATRIX)["prediction"]
        assert model is models[2] or ((bounds[0] <= prediction) & (prediction <= bounds[1])).all()
    assert_same_predictions(Ensemble(tuple(models[:2]), (2, 1)), MATRIX)
    assert_same_predictions(Ensemble((models[1], models[0]), (2, 1)), MATRIX)
    positive = replace(models[0], target_decoder=replace(models[0].target_decoder, bounds=np.abs(bounds)[[1, 0]] + 40))
    assert_same_predictions(Ensemble((models[2], positive), (1, 1)), MATRIX)


def test_classes_can_be_texts_in_any_alphabet():
    model = replace(make_model(), target_decoder=ClassDecoder(np.array(["não", "да", "はい"])))
    assert set(run_onnx(export.export(model), MATRIX)["prediction"]) <= {"não", "да", "はい"}


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("normalisation", NORMALISATIONS, ids=short_name)
def test_the_autoencoder_and_pca_one_after_the_other(tied, normalisation):
    shape = autoencoder_architecture(
        6, (5,), 4, Component("nncore.activations.elu"), normalisation=normalisation, tied=tied
    )
    x = standardising(6)(MATRIX)
    encode = Autoencoder(shape, random_parameters(shape))
    assert_same_predictions(make_model(transforms=(encode,), n_inputs=4), MATRIX)
    both = (encode, fit_pca(encode(x), 3))
    assert_same_predictions(make_model(transforms=both, n_inputs=3), MATRIX)


COLUMNS = (
    Column("size"),
    Column("colour", "categorical", "string", ("blue", "red", "größe")),
    Column("when", "date", "datetime"),
    Column("grade", "ordinal", "long", ("1", "2", "3")),
    Column("new", "boolean", "boolean"),
    Column("kind", "categorical", "string", ("a", "b")),
)
MIXED = read_table(
    COLUMNS,
    {
        "size": np.array([1.0, np.nan, 3, 1e6, -5, 2, 2, 2]),
        "colour": np.array(["red", "blue", "größe", None, "green", "red", "red", ""], object),
        "when": np.array(["2026-11-24T10:30", "1969-12-31", None, "1970-01-01", *["2000-02-29"] * 4], object),
        "grade": np.array([1, 2, 3, None, 7, "2", 1, 1], object),
        "new": np.array([True, False, None, "yes", "no", True, True, False], object),
        "kind": np.array(["a", "b", "c", None, "a", "a", "b", "b"], object),
    },
)


@pytest.mark.parametrize("scaling", ["affine", "quantiles", "normal", "clip"])
def test_every_kind_of_column_with_missing_and_unknown_values(scaling):
    n_features = 1 + 7 + 1 + 1  # size, when, grade, new
    of_columns = np.linspace(0.5, 2, n_features)
    bounds = np.stack([np.sort(DRAWN.normal(size=5)) for _ in range(n_features)], axis=1)
    bounds[1:3, 0] = 2  # equal ones, and a row that is as large
    bounds[:, 0].sort()
    scalings = {
        "affine": Affine(of_columns, of_columns),
        "quantiles": Quantiles(np.linspace(0, 1, 5), bounds),
        "normal": NormalQuantiles(np.linspace(0, 1, 5), bounds),
        "clip": SmoothClip(of_columns, np.where(of_columns > 1.9, 0, of_columns)),
    }
    preprocessing = Preprocessing(
        COLUMNS,
        np.linspace(-1, 2, n_features),
        np.array([0, 8]),
        scalings[scaling],
        (np.array([0.1, 0.5, 0.9, 0.3, np.nan]),),
        (np.array([0, 1, -1, 2, 3]), np.array([1, 0, -1, -1])),
        np.linspace(-1, 2, 16).reshape(2, 8) if scaling == "clip" else None,
    )
    model = make_model(preprocessing=preprocessing, n_inputs=preprocessing.n_outputs)
    content = assert_same_predictions(model, MIXED)
    coded = replace(preprocessing, coded=(0,), binary=None)
    shape = replace(network(coded.n_outputs, 3, SOFTMAX), levels=coded.levels)
    assert_same_predictions(Model(coded, (), shape, random_parameters(shape), decoder_for(SOFTMAX)), MIXED)
    metadata = {entry.key: json.loads(entry.value) for entry in onnx.load_from_string(content).metadata_props}
    assert [entry["name"] for entry in metadata["numbers"]] == ["size", "when", "new"]
    assert metadata["texts"] == [
        {"name": "colour", "levels": ["blue", "red", "größe"]},
        {"name": "grade", "levels": ["1", "2", "3"]},
        {"name": "kind", "levels": ["a", "b"]},
    ]
    assert metadata["labels"] == ["no", "maybe", "yes"]


def test_texts_alone_are_the_only_input():
    columns = (Column("kind", "categorical", "string", ("a", "b")),)
    empty = Affine(np.empty(0), np.empty(0))
    preprocessing = Preprocessing(columns, np.empty(0), np.empty(0, np.int64), empty, (), (np.array([0, 1, -1, 2]),))
    table = Table(columns, np.empty((N, 0)), DRAWN.integers(-1, 3, size=(N, 1)).astype(np.int32))
    content = assert_same_predictions(make_model(preprocessing=preprocessing, n_inputs=3), table)
    assert [value.name for value in onnx.load_from_string(content).graph.input] == ["texts"]


def test_a_file_with_different_predictions_is_refused(monkeypatch):
    different_model = export.export(make_model(seed=2))
    monkeypatch.setattr(export, "export", lambda model: different_model)
    with pytest.raises(ArithmeticError, match=r"the ONNX file's \w+ differs from the model's by 0\.\d+ > 1e-05"):
        onnx_model(make_model(), MATRIX)


def test_a_function_without_an_onnx_translation_is_named(monkeypatch):
    monkeypatch.setattr("nncore.reduction.pca.Pca.__call__", lambda self, x: np.arctan(x))
    with pytest.raises(NotImplementedError, match=r"^numpy.arctan has no translation to ONNX$"):
        export.export(make_model(transforms=(fit_pca(MATRIX.numbers, 6),)))


def test_the_setting_needs_the_packages(monkeypatch):
    monkeypatch.setattr("pipeline.config.schema.find_spec", lambda name: None)
    with pytest.raises(SettingError, match=r"onnx=true needs the packages .*pip install onnx onnxruntime"):
        compose("onnx=true")


def test_a_run_continues_when_the_onnx_file_cannot_be_exported(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(export, "TOLERANCE", -1.0)
    summary = run_pipeline(*compose("data=wine", *FEW, "execution=local", "tracking=none", "report=none",
                               "training.epochs=2", "onnx=true", f"runs={tmp_path}"))  # fmt: skip
    assert summary["status"] == "finished"
    assert summary["model"]["onnx"] is None
    assert not list(tmp_path.glob("wine/*/model.onnx"))


PROGRAM = """
import json, sys
import numpy, onnxruntime
session = onnxruntime.InferenceSession(sys.argv[1])
(rows,) = session.get_inputs()
said = session.run(None, {rows.name: numpy.array(json.load(sys.stdin))})
print(json.dumps([one.tolist() for one in said]))
assert not {"nncore", "pipeline"} & set(sys.modules)
"""


@pytest.mark.slow
def test_a_run_writes_the_file_and_mlflow_has_it(tmp_path):
    run_here(tmp_path, "data=wine", *FEW, "execution=local", "report=none", "training.epochs=5", "onnx=true",
            "select.ensemble=3", "select.publish=ensemble")  # fmt: skip
    summary = read_summary(tmp_path)
    path = Path(summary["model"]["onnx"])
    client = MlflowClient(f"sqlite:///{tmp_path}/runs/mlflow.db")
    assert "model.onnx" in [file.path for file in client.list_artifacts(summary["mlflow"]["run_id"])]
    rows = json.loads((path.parent / "input_example.json").read_text())["rows"]
    raw = json.dumps(list(zip(*rows.values(), strict=True)))
    completed = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(path)], input=raw, capture_output=True, text=True, check=True
    )
    prediction, probabilities = json.loads(completed.stdout)
    model = model_file.load(path.with_name("model"))
    predictions = model.predict_columns({name: np.array(values) for name, values in rows.items()})
    assert prediction == predictions["prediction"].tolist()
    expected = np.stack([predictions[f"probability_{label}"] for label in model.target_decoder.labels], axis=1)
    assert np.allclose(probabilities, expected, rtol=0, atol=1e-5)
