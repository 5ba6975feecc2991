"""Models: from raw row to answer, and through a file and back."""

import json
from hashlib import sha256

import numpy as np
import pytest
from samples import BATCH_NORM, RELU, SIGMOID, SOFTMAX, SQUARED, TANH, network, shape

from nncore import model_file
from nncore.autoencoder import Autoencoder, autoencoder_shape
from nncore.members import Member
from nncore.model import Classes, Model, Values
from nncore.pca import fit_pca
from nncore.scaling import Standardise
from nncore.shape import initial_numbers
from nncore.stack import start

X = np.random.default_rng(0).normal(size=(20, 6))
SCALING = Standardise(X.mean(axis=0), X.std(axis=0))


def model(reduction, meaning, n_outputs, loss=SOFTMAX):
    transforms = (SCALING,) if reduction is None else (SCALING, reduction)
    of = shape((6 if reduction is None else 3, 5, n_outputs), RELU, loss, BATCH_NORM)
    return Model(tuple("abcdef"), transforms, of, initial_numbers(of, 0)[None], meaning)


def coder():
    of = autoencoder_shape(6, (4,), 3, TANH, tied=True)
    return Autoencoder(of, start(of, [network("it", 1)]).answer("it"))


GAUSSIAN = Member("nncore.losses.gaussian")
MODELS = {
    "classes": model(None, Classes(np.array([2, 5, 7])), 3),
    "pca, text labels": model(fit_pca(X, 3), Classes(np.array(["no", "yes", "zebra"])), 3),
    "two classes": model(coder(), Classes(np.array(["benign", "malignant"])), 1, SIGMOID),
    "values with deviations": model(None, Values(Standardise(np.array([100.0]), np.array([7.0]))), 1, GAUSSIAN),
    "values": model(coder(), Values(Standardise(np.array([100.0]), np.array([7.0]))), 1, SQUARED),
}


@pytest.mark.parametrize("one", MODELS.values(), ids=MODELS)
def test_saved_and_loaded_it_answers_the_same_bits(one, tmp_path):
    model_file.save(one, tmp_path / "model")
    again = model_file.load(tmp_path / "model")
    for name, column in one.answers(X).items():
        np.testing.assert_array_equal(again.answers(X)[name], column)
    assert again.columns == one.columns
    assert again.shape == one.shape
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["arrays.npz", "model.json"]


def test_probabilities_belong_to_their_labels():
    answers = MODELS["pca, text labels"].answers(X)
    probabilities = np.stack([answers[f"probability_{label}"] for label in ("no", "yes", "zebra")])
    np.testing.assert_allclose(probabilities.sum(axis=0), 1, rtol=1e-6)
    np.testing.assert_array_equal(answers["prediction"], np.array(["no", "yes", "zebra"])[probabilities.argmax(axis=0)])


def test_of_two_classes_the_output_speaks_for_the_second():
    one = MODELS["two classes"]
    answers, z = one.answers(X), one.outputs(X)[:, 0]
    np.testing.assert_array_equal(answers["prediction"] == "malignant", z > 0)
    np.testing.assert_allclose(answers["probability_malignant"], 1 / (1 + np.exp(-z)), rtol=1e-5)
    np.testing.assert_array_equal(one.meaning.targets(np.array(["benign", "malignant"])), [[0], [1]])


def test_values_come_in_their_own_unit():
    one = MODELS["values"]
    np.testing.assert_allclose(one.answers(X)["prediction"], one.outputs(X)[:, 0] * 7 + 100, rtol=1e-6)


def test_predicted_deviations_come_in_their_own_unit_too():
    one = MODELS["values with deviations"]
    answers, z = one.answers(X), one.outputs(X)
    np.testing.assert_allclose(answers["prediction"], z[:, 0] * 7 + 100, rtol=1e-6)
    np.testing.assert_allclose(answers["deviation"], np.exp(z[:, 1] / 2) * 7, rtol=1e-5)
    assert "deviation" not in MODELS["values"].answers(X)


def test_rows_of_another_width_are_refused():
    with pytest.raises(ValueError, match=r"rows must have 6 columns, but have shape \(20, 5\)"):
        MODELS["classes"].outputs(X[:, :5])


@pytest.fixture
def saved(tmp_path):
    model_file.save(MODELS["classes"], tmp_path / "model")
    return tmp_path / "model"


def edit(folder, change, sign=True):
    """Change model.json, and its checksums too: then it is the content that is refused."""
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
        (lambda folder: (folder / "arrays.npz").write_bytes((folder / "arrays.npz").read_bytes()[:99]), "cut short"),
        (lambda folder: edit(folder, lambda d: d.update(format=1)), "format is 1, this version reads 2"),
        (lambda folder: edit(folder, lambda d: d["model"].update(kind="Shape")), "unexpected keyword"),
        (lambda folder: edit(folder, lambda d: d["model"].update(kind="os.system")), "os.system"),
        (lambda folder: edit(folder, lambda d: d["model"].update(parameters={"array": 99})), "out of range"),
        (
            lambda folder: edit(folder, lambda d: d["model"]["shape"].update(batch_size=0)),
            "whole number >= 1",
        ),
        (
            lambda folder: edit(folder, lambda d: d["model"]["shape"]["layers"][0].update(outputs=6)),
            "parameters must be",
        ),
        (
            lambda folder: edit(folder, lambda d: d["model"].update(columns=list("fedcba")), sign=False),
            "model.json was",
        ),
        (lambda folder: edit(folder, lambda d: d.update(model=d["model"]["shape"])), "something else"),
    ],
)
def test_a_spoilt_file_is_refused_with_its_folder_and_the_cause(saved, spoil, message):
    spoil(saved)
    with pytest.raises(ValueError, match=f"{saved} does not hold a model that can be read: .*{message}"):
        model_file.load(saved)
