"""Ensembles: the selection of models, and their combined predictions."""

import itertools
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from discovery import LOSSES, short_name
from samples import RELU, SIGMOID, SOFTMAX, SQUARED, make_architecture, make_targets

from nncore.architecture import initial_parameters
from nncore.calibration import Calibration
from nncore.components import Component
from nncore.inference import model_file
from nncore.inference.ensemble import Ensemble, greedy_selection
from nncore.inference.model import ClassDecoder, LabelDecoder, Model, ValueDecoder
from nncore.inference.preprocessing import Preprocessing
from nncore.inference.scaling import Affine
from nncore.inference.table import matrix_table
from nncore.inference.target_transforms import Logarithm, YeoJohnson
from nncore.losses import mixture_logits, mixture_loss, moments
from nncore.reduction.pca import Pca

GAUSSIAN = Component("nncore.losses.gaussian")
X = np.random.default_rng(0).normal(size=(20, 6))
TABLE = matrix_table(X, tuple("abcdef"))


def cross_entropy(y, t):
    return -sum(b * math.log(a) for a, b in zip(y, t, strict=True) if b)


def binary_cross_entropy(y, t):
    return -sum(math.log(a if b else 1 - a) for a, b in zip(y, t, strict=True))


def half_square(y, t):
    return sum((a - b) ** 2 for a, b in zip(y, t, strict=True)) / 2


def distance(y, t):
    return sum(abs(a - b) for a, b in zip(y, t, strict=True))


def poisson_likelihood(y, t):
    return sum(a - b * math.log(a) for a, b in zip(y, t, strict=True))


def gaussian_likelihood(y, t):
    """Of a mean and a mean square."""
    half = len(t)
    variances = [square - mean**2 for mean, square in zip(y[:half], y[half:], strict=True)]
    return sum((math.log(v) + (b - a) ** 2 / v) / 2 for a, b, v in zip(y[:half], t, variances, strict=True))


ORACLES = {
    "softmax_cross_entropy": cross_entropy,
    "sigmoid_cross_entropy": binary_cross_entropy,
    "squared_error": half_square,
    "absolute_error": distance,
    "poisson": poisson_likelihood,
    "gaussian": gaussian_likelihood,
}


def by_brute_force(y, t, weights, value, size):
    """Greedy selection that recomputes the mean of each candidate ensemble."""
    weights = [1] * len(t) if weights is None else weights

    def loss(taken):
        total = 0
        for row, (target, weight) in enumerate(zip(t, weights, strict=True)):
            mean = [sum(y[m][row][o] for m in taken) / len(taken) for o in range(len(y[0][row]))]
            total += weight * value(mean, target)
        return total / sum(weights)

    taken, best = [], math.inf
    while len(taken) < size:
        after = [loss([*taken, m]) for m in range(len(y))]
        if min(after) >= best - 1e-12:
            break
        best = min(after)
        taken.append(after.index(best))
    return [taken.count(m) for m in range(len(y))]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", [component for component in LOSSES if component.short_name in ORACLES], ids=short_name)
def test_greedy_selection_equals_brute_force(loss, weighted):
    built, sizes = loss.build(), set()
    for seed in range(6):
        random = np.random.default_rng(seed)
        t = make_targets(loss, random, 15, 3)
        z = random.normal(size=(5, 15, 3 * built.outputs_per_target)).astype(np.float32)
        if loss.short_name not in ("poisson",):
            z[:, :, :3] += t.astype(np.float32)  # each network is better than chance, in a different way
        weights = random.uniform(0.1, 3, 15) if weighted else None
        y = moments(built, z)
        counts = greedy_selection(y, t.astype(np.float32), weights, mixture_loss(built), 12)
        plain_t = t.astype(np.float32).astype(float).tolist()
        plain_weights = None if weights is None else weights.tolist()
        assert counts.tolist() == by_brute_force(y.tolist(), plain_t, plain_weights, ORACLES[loss.short_name], 12)
        sizes.add(counts.sum())
    assert max(sizes) > 2


@pytest.mark.parametrize("loss", LOSSES, ids=short_name)
def test_logits_of_moments_give_the_same_predictions_and_loss(loss):
    built, random = loss.build(), np.random.default_rng(0)
    t = make_targets(loss, random, 30, 4)[None]
    z = 3 * random.normal(size=(2, 30, 4 * built.outputs_per_target))
    again = mixture_logits(built, moments(built, z))
    np.testing.assert_allclose(built.predict(again), built.predict(z), rtol=1e-9)
    np.testing.assert_allclose(built.value(again, t), built.value(z, t), rtol=1e-6, atol=1e-9)
    if built.deviation:
        np.testing.assert_allclose(built.deviation(again), built.deviation(z), rtol=1e-6)


@pytest.mark.parametrize("loss", LOSSES, ids=short_name)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_certain_predictions_have_a_finite_loss(loss, dtype):
    built = loss.build()
    z = np.array([[[60.0, -60] * built.outputs_per_target]], dtype)
    t = np.array([[[0.0, 1]]])
    assert np.isfinite(mixture_loss(built)(moments(built, z), t)).all()
    assert np.isfinite(built.value(built.to_logits(built.predict(z), np.ones((1, 1, 2), dtype)), t)).all()


def test_of_two_equal_networks_the_first_is_selected_once():
    random = np.random.default_rng(0)
    alone = random.dirichlet(np.ones(3), size=9)
    t = np.eye(3)[random.integers(3, size=9)]
    value = mixture_loss(SOFTMAX.build())
    np.testing.assert_array_equal(greedy_selection(np.stack([alone, alone]), t, None, value, 10), [1, 0])
    perfect = np.stack([alone, t, t])
    np.testing.assert_array_equal(greedy_selection(perfect, t, None, value, 10), [0, 1, 0])


def test_the_selection_does_not_depend_on_networks_that_are_not_selected():
    """Networks without a finite loss are never selected; if no network has one, it is an error."""
    random = np.random.default_rng(0)
    t, y = random.normal(size=(9, 2)), random.normal(size=(4, 9, 2))
    value = mixture_loss(SQUARED.build())
    y[2] = np.nan
    counts = greedy_selection(y, t, None, value, 5)
    assert counts[2] == 0
    np.testing.assert_array_equal(counts[[0, 1, 3]], greedy_selection(y[[0, 1, 3]], t, None, value, 5))
    assert greedy_selection(y, t, None, value, 1).sum() == 1
    with pytest.raises(ValueError, match="a network with a finite loss, but none of the 1 networks has one"):
        greedy_selection(y[2:3], t, None, value, 5)
    with pytest.raises(ValueError, match="size must be an integer >= 1, but is 0"):
        greedy_selection(y, t, None, value, 0)
    with pytest.raises(ValueError, match=r"y must be .* but are \(4, 9, 2\) and \(8, 2\)"):
        greedy_selection(y, t[:8], None, value, 1)


def make_models(loss, target_decoder, n_outputs, scales=(1.0, 1, 1)):
    preprocessing = Preprocessing(
        TABLE.columns, np.zeros(6), np.empty(0, int), Affine(X.mean(axis=0), X.std(axis=0)), (), ()
    )
    result = []
    for seed, scale in enumerate(scales):
        architecture = make_architecture((6, 5 + seed, n_outputs), RELU, loss)
        decoder = target_decoder
        if isinstance(target_decoder, ValueDecoder):
            n_values = len(target_decoder.names)
            decoder = ValueDecoder(
                target_decoder.names, Affine(np.full(n_values, 10.0 * scale), np.full(n_values, scale))
            )
        result.append(Model(preprocessing, (), architecture, initial_parameters(architecture, seed)[None], decoder))
    return tuple(result)


def values(*names):
    return ValueDecoder(names, Affine(np.zeros(len(names)), np.ones(len(names))))


ENSEMBLES = {
    "classes": Ensemble(make_models(SOFTMAX, ClassDecoder(np.array(["no", "yes", "zebra"])), 3), (1, 2, 4)),
    "two classes": Ensemble(make_models(SIGMOID, ClassDecoder(np.array([3, 5])), 1), (1, 2, 4)),
    "labels": Ensemble(make_models(SIGMOID, LabelDecoder(("red", "blue")), 2), (1, 2, 4)),
    "values": Ensemble(make_models(SQUARED, values("u"), 1), (1, 2, 4)),
    "values of other scales": Ensemble(make_models(SQUARED, values("u", "v"), 2, (7.0, 0.5, 3)), (1, 2, 4)),
    "deviations": Ensemble(make_models(GAUSSIAN, values("u"), 1), (1, 2, 4)),
    "deviations of other scales": Ensemble(make_models(GAUSSIAN, values("u", "v"), 2, (7.0, 0.5, 3)), (1, 2, 4)),
}


@pytest.mark.parametrize("ensemble", ENSEMBLES.values(), ids=ENSEMBLES)
def test_an_ensemble_predicts_the_weighted_mean_of_its_models(ensemble):
    predictions_of_models, together = (
        [model.predict_columns(X) for model in ensemble.models],
        ensemble.predict_columns(X),
    )
    assert together.keys() == predictions_of_models[0].keys()
    for name, column in together.items():
        columns = np.array([predictions[name] for predictions in predictions_of_models])
        if name.startswith("deviation"):
            means = np.array(
                [predictions[name.replace("deviation", "prediction")] for predictions in predictions_of_models]
            )
            between = np.average(
                (means - np.average(means, axis=0, weights=ensemble.counts)) ** 2, axis=0, weights=ensemble.counts
            )
            within = np.average(columns**2, axis=0, weights=ensemble.counts)
            np.testing.assert_allclose(column, np.sqrt(within + between), rtol=1e-5)
        elif name.startswith("probability") or isinstance(ensemble.target_decoder, ValueDecoder):
            np.testing.assert_allclose(
                column, np.average(columns, axis=0, weights=ensemble.counts), rtol=1e-5, atol=1e-5
            )
            assert column.dtype == predictions_of_models[0][name].dtype
    answers = [together[name] for name in together if name.startswith("prediction")]
    np.testing.assert_array_equal(ensemble.predict(X), answers[0] if len(answers) == 1 else np.stack(answers, axis=1))
    if isinstance(ensemble.target_decoder, ClassDecoder):
        probabilities = np.stack([together[f"probability_{label}"] for label in ensemble.target_decoder.labels])
        np.testing.assert_array_equal(
            together["prediction"], ensemble.target_decoder.labels[probabilities.argmax(axis=0)]
        )


@pytest.mark.parametrize("ensemble", ENSEMBLES.values(), ids=ENSEMBLES)
def test_a_loaded_ensemble_gives_the_same_bits(ensemble, tmp_path):
    model_file.save(ensemble, tmp_path / "model")
    again = model_file.load(tmp_path / "model")
    assert again.counts == ensemble.counts
    for name, column in ensemble.predict_columns(X).items():
        np.testing.assert_array_equal(again.predict_columns(X)[name], column, strict=True)


def test_models_with_different_transforms_and_bounds_are_averaged_in_the_unit_of_the_values():
    first, second, third = make_models(SQUARED, values("u"), 1)
    scaling = Affine(np.array([1.0]), np.array([0.5]))
    powers = YeoJohnson(Affine(np.array([4.0]), np.array([3.0])), np.array([0.3]))
    decoders = [
        ValueDecoder(("u",), scaling, None, Logarithm(), np.array([[2.0], [4]])),
        ValueDecoder(("u",), scaling, None, powers, np.array([[3.0], [6]])),
        ValueDecoder(("u",), scaling, None, None, np.array([[1.0], [1.5]])),
    ]
    models = [
        replace(model, target_decoder=decoder) for model, decoder in zip((first, second, third), decoders, strict=True)
    ]
    alone = [model.predict(X) for model in models]
    assert all(np.ptp(predictions) > 0 for predictions in alone)
    for order in itertools.permutations(range(3)):
        together = Ensemble(tuple(models[index] for index in order), (1, 2, 4))
        expected = np.average([alone[index] for index in order], axis=0, weights=(1, 2, 4))
        np.testing.assert_allclose(together.predict(X), expected, rtol=1e-6)
        np.testing.assert_array_equal(together.target_decoder.bounds, [[1], [6]])
    unbounded = replace(models[1], target_decoder=replace(decoders[1], bounds=None))
    assert Ensemble((models[0], unbounded), (1, 1)).target_decoder.bounds is None


def test_an_ensemble_of_one_model_predicts_as_that_model():
    for ensemble in ENSEMBLES.values():
        alone = Ensemble(ensemble.models[:1], (3,))
        for name, column in ensemble.models[0].predict_columns(X).items():
            if column.dtype.kind == "f":
                np.testing.assert_allclose(alone.predict_columns(X)[name], column, rtol=1e-5)


def test_models_with_equal_preprocessing_store_it_once(tmp_path):
    model_file.save(ENSEMBLES["classes"], tmp_path / "model")
    with np.load(tmp_path / "model" / "arrays.npz", allow_pickle=False) as archive:
        assert len(archive.files) == 4 + 1 + 3  # preprocessing, labels, the parameters of each model
    written = json.loads((tmp_path / "model" / "model.json").read_text())["model"]
    assert (written["class"], len(written["models"])) == ("Ensemble", 3)


def test_rows_are_preprocessed_once_per_distinct_preprocessing(tmp_path, monkeypatch):
    """Loaded from a file, equal preprocessings are distinct objects."""
    together = ENSEMBLES["classes"]
    model_file.save(together, tmp_path / "model")
    loaded = model_file.load(tmp_path / "model")
    moved = replace(loaded.models[1].preprocessing, scaling=Affine(X.mean(axis=0), X.std(axis=0) + np.arange(6) / 1e15))
    rotated = Pca(np.zeros(6, np.float32), np.eye(6, dtype=np.float32)[::-1].copy(), np.ones(6, np.float32), 6.0)
    changed = [replace(loaded.models[1], preprocessing=moved), replace(loaded.models[2], transforms=(rotated,))]
    mixed = Ensemble((*loaded.models, *changed, replace(changed[1])), (1, 2, 4, 1, 1, 1))
    expected = [model.logits(TABLE) for model in mixed.models]
    prepared, prepare = [], Preprocessing.__call__
    monkeypatch.setattr(
        Preprocessing,
        "__call__",
        lambda preprocessing, *rows: prepared.append(preprocessing) or prepare(preprocessing, *rows),
    )
    z = mixed.logits(TABLE)
    assert len(prepared) == 3
    np.testing.assert_array_equal(z, mixed.combine([z_of_model[None] for z_of_model in expected])[0], strict=True)


def test_an_ensemble_has_its_own_calibration_and_decoder(tmp_path):
    """The mean is that of the models' own probabilities: their calibrations are not applied."""
    plain = ENSEMBLES["two classes"]
    models = tuple(replace(model, calibration=Calibration(0.1, 2.0)) for model in plain.models)
    labels = plain.target_decoder.labels
    decoder = ClassDecoder(labels, threshold=0.3)
    together = Ensemble(models, plain.counts, decoder, Calibration(3.0, -0.5))
    np.testing.assert_allclose(together.logits(TABLE), 3 * plain.logits(TABLE).astype(float) - 0.5, rtol=1e-4)
    predictions = together.predict_columns(X)
    is_second = predictions[f"probability_{labels[1]}"] > 0.3
    assert 0 < is_second.sum() < len(X)
    np.testing.assert_array_equal(predictions["prediction"], labels[is_second.astype(int)])
    model_file.save(together, tmp_path / "model")
    for name, column in model_file.load(tmp_path / "model").predict_columns(X).items():
        np.testing.assert_array_equal(column, predictions[name], strict=True)


def test_models_with_different_targets_are_refused():
    first, second = ENSEMBLES["classes"].models[:2]
    columns = replace(first.preprocessing, columns=first.preprocessing.columns[::-1])
    for model in (
        ENSEMBLES["values"].models[0],
        ENSEMBLES["labels"].models[0],
        replace(first, target_decoder=ClassDecoder(np.array(["no", "yes", "other"]))),
        replace(first, preprocessing=columns),
    ):
        with pytest.raises(
            ValueError, match="the columns, the loss and the targets of the first model, but model 2 differs"
        ):
            Ensemble((first, second, model), (1, 1, 1))
    for make_models, counts in (((), ()), ((first,), (1, 1)), ((first, second), (1, 0))):
        with pytest.raises(
            ValueError, match=f"counts must be integers >= 1, one for each of {len(make_models)} models"
        ):
            Ensemble(make_models, counts)
