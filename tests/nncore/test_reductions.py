"""PCA compared with scikit-learn; the autoencoder compared with PCA, and bounds on its errors."""

import re
import tracemalloc
from time import perf_counter

import numpy as np
import pytest
from running import slow_after_first
from samples import BATCH_NORM, RELU, SIGMOID, TANH, make_component, make_network
from scipy.linalg import subspace_angles
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from nncore.architecture import layer_views
from nncore.inference.scaling import Affine
from nncore.reduction.autoencoder import autoencoder_architecture, train_autoencoder
from nncore.reduction.pca import NUMBERS_AT_A_TIME, fit_pca

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def digits():
    return StandardScaler().fit_transform(load_digits().data)


@pytest.mark.parametrize("n_components", [1, 5, 32, 60])
def test_pca_is_sklearns(digits, n_components):
    ours, theirs = fit_pca(digits, n_components), PCA(n_components, svd_solver="full").fit(digits)
    signs = np.sign((ours.components * theirs.components_).sum(axis=1))[:, None]
    np.testing.assert_allclose(ours.components, signs * theirs.components_, atol=1e-8)
    np.testing.assert_allclose(ours.explained_variance, theirs.explained_variance_, rtol=1e-9)
    np.testing.assert_allclose(ours(digits), theirs.transform(digits) * signs.T, atol=1e-8)
    assert ours.explained_share == pytest.approx(theirs.explained_variance_ratio_.sum())


def test_pca_with_fewer_components_is_the_beginning_of_pca_with_more(digits):
    few, many = fit_pca(digits, 16), fit_pca(digits, 32)
    np.testing.assert_array_equal(few.components, many.components[:16])


def test_pca_keeps_float32(digits):
    x = digits.astype(np.float32)
    assert fit_pca(x, 3)(x).dtype == np.float32


@pytest.mark.parametrize("n_components", [0, 65])
def test_pca_refuses_an_impossible_number(digits, n_components):
    with pytest.raises(ValueError, match=f"n_components must be from 1 to 64 .*, but is {n_components}"):
        fit_pca(digits, n_components)


def with_deviations(n_rows, n_columns, deviations):
    """Rows that vary along orthonormal directions (in rows) with these deviations, in this order."""
    random, n = np.random.default_rng(0), len(deviations)
    scores = np.linalg.qr(np.column_stack([np.ones(n_rows), random.normal(size=(n_rows, n))]))[0][:, 1:]
    directions = np.linalg.qr(random.normal(size=(n_columns, n)))[0].T
    return scores * np.sqrt(n_rows - 1) * deviations @ directions + 3.0, directions


@pytest.mark.parametrize("svd_numbers", [0, 1 << 21])  # the largest table whose singular values are computed
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n_components", [1, 7, 35])
def test_pca_of_few_rows_and_many_columns_is_sklearns(n_components, dtype, svd_numbers, monkeypatch):
    monkeypatch.setattr("nncore.reduction.pca.SVD_NUMBERS", svd_numbers)
    monkeypatch.setattr("nncore.reduction.pca.NUMBERS_AT_A_TIME", 36 * 100)
    x = np.random.default_rng(0).normal(2.0, np.linspace(1, 3, 450), (36, 450)).astype(dtype)
    ours, theirs = fit_pca(x, n_components), PCA(n_components, svd_solver="full").fit(x.astype(np.float64))
    signs = np.sign((ours.components * theirs.components_).sum(axis=1))[:, None]
    atol = 1e-9 if dtype == "float64" else 1e-6
    np.testing.assert_allclose(ours.components, signs * theirs.components_, atol=atol)
    np.testing.assert_allclose(ours.explained_variance, theirs.explained_variance_, rtol=1e-9)
    np.testing.assert_allclose(ours(x), theirs.transform(x) * signs.T, atol=100 * atol)
    assert ours.explained_share == pytest.approx(theirs.explained_variance_ratio_.sum())
    assert ours.components.dtype == ours(x).dtype == np.dtype(dtype)
    assert (np.take_along_axis(ours.components, np.abs(ours.components).argmax(axis=1)[:, None], axis=1) > 0).all()


@pytest.mark.parametrize("shape", [(200, 6), (6000, 6), (7, 60)])
def test_directions_of_tiny_deviation_are_found(shape):
    deviations = np.array([1e3, 1.0, 1e-5, 1e-7, 1e-9])
    x, directions = with_deviations(*shape, deviations)
    pca = fit_pca(x - 3.0, 5)
    np.testing.assert_allclose(np.sqrt(pca.explained_variance), deviations, rtol=1e-3)
    np.testing.assert_allclose(np.abs((pca.components * directions).sum(axis=1)), 1, atol=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_directions_that_are_lost_are_orthogonal_to_the_others(dtype, monkeypatch):
    monkeypatch.setattr("nncore.reduction.pca.SVD_NUMBERS", 0)
    x, directions = with_deviations(40, 90, np.array([1e2, 1.0, 1e-3, 1e-4, 1e-9]))
    x = np.concatenate([x, x[:10]]).astype(dtype)  # 50 rows of rank 5
    components = fit_pca(x, 49).components.astype(np.float64)
    atol = 1e-12 if dtype == "float64" else 2e-6
    np.testing.assert_allclose(components @ components.T, np.eye(49), atol=atol)
    assert subspace_angles(components[:2].T, directions[:2].T).max() < 1e-4
    constant = fit_pca(np.full((5, 90), 0.1, dtype), 4).components.astype(np.float64)
    np.testing.assert_allclose(constant @ constant.T, np.eye(4), atol=atol)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "block", "n_components"),
    [
        ((400, 25_000), 1 << 17, 10),
        ((400, 25_000), 1 << 17, 399),
        pytest.param((1_000, 50_000), NUMBERS_AT_A_TIME, 10, marks=pytest.mark.nightly),
        pytest.param((1_000, 50_000), NUMBERS_AT_A_TIME, 999, marks=pytest.mark.nightly),
    ],
)
def test_pca_of_few_rows_and_very_many_columns_needs_little_memory(shape, block, n_components, monkeypatch):
    monkeypatch.setattr("nncore.reduction.pca.NUMBERS_AT_A_TIME", block)
    x = np.random.default_rng(0).random(shape, np.float32)
    tracemalloc.start()
    fit_pca(x, n_components)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.2 * x.nbytes


@pytest.mark.parametrize("n_columns", slow_after_first([5_000, 20_000]))
def test_the_time_of_pca_does_not_grow_with_a_power_of_the_columns(n_columns):
    x, start = np.random.default_rng(0).normal(size=(36, n_columns)), perf_counter()
    fit_pca(x, 35)
    assert perf_counter() - start < 10  # usually 0.2 s; by the covariance more than 30 s


@pytest.mark.parametrize("shape", [(9, 4), (4, 9)])
@pytest.mark.parametrize("value", [np.nan, np.inf, -1e160])
def test_pca_refuses_numbers_that_cannot_be_squared(value, shape):
    x = np.random.default_rng(0).normal(size=shape)
    x[2, 3] = value
    with pytest.raises(ValueError, match=rf"x must hold finite numbers .* {re.escape(str(value))} in row 2, column 3"):
        fit_pca(x, 2)
    x[2, 3] = -1e149
    assert np.abs(fit_pca(x, 2).components[0, 3]) == pytest.approx(1)


def test_constant_rows_have_no_variance_to_lose():
    assert fit_pca(np.ones((5, 3)), 2).explained_share == 1.0


@pytest.mark.slow
def test_a_linear_autoencoder_finds_the_subspace_of_pca(digits):
    x = digits[:400, digits.std(axis=0) > 0][:, :12]
    architecture = autoencoder_architecture(12, (), 3, RELU, batch_size=len(x), dtype="float64")
    network = make_network("it", 0, make_component("momentum", learning_rate=0.05))
    encoder, report = train_autoencoder(architecture, network, x, 3000)
    pca = fit_pca(x, 3)
    residual = ((x - x.mean(axis=0)) ** 2).sum(axis=1).mean() - pca.explained_variance.sum() * (len(x) - 1) / len(x)
    assert report.curves["train/loss"][-1] == pytest.approx(residual / 2, rel=1e-6)
    code = encoder(x) - encoder(np.zeros_like(x))
    assert subspace_angles(code, x @ pca.components.T).max() < 1e-3  # the subspace of the codes
    decoder = layer_views(encoder.parameters, architecture)[1].W[0]
    assert subspace_angles(decoder.T, pca.components.T).max() < 1e-3  # the subspace of the decoder


def test_an_autoencoder_with_hidden_layers_learns_to_reproduce(digits):
    x = digits.astype(np.float32)
    architecture = autoencoder_architecture(64, (32,), 8, TANH)
    assert architecture.sizes == (64, 32, 8, 32, 64)
    network = make_network("it", 0, make_component("adam", learning_rate=0.003))
    encoder, report = train_autoencoder(architecture, network, x, 10)
    losses = report.curves["validation/loss"]
    assert losses[-1] < 0.6 * losses[0]
    assert encoder(x).shape == (len(x), 8)
    assert encoder(x).dtype == np.float32


def test_encoding_and_decoding_is_reconstructing(digits):
    x = digits.astype(np.float32)
    for tied in (False, True):
        architecture = autoencoder_architecture(64, (32, 16), 5, TANH, tied=tied, normalisation=BATCH_NORM)
        trained, _ = train_autoencoder(
            architecture, make_network("it", 0, make_component("adam", learning_rate=0.003)), x, 3
        )
        np.testing.assert_allclose(trained.decode(trained(x)), trained.reconstruct(x), rtol=1e-6)
        assert trained(x).shape == (len(x), 5)
        assert ((trained.reconstruct(x) - x) ** 2).mean() < (x**2).mean()


@pytest.mark.slow
def test_a_tied_autoencoder_has_half_the_weights_and_finds_the_subspace_too(digits):
    x = digits[:400, digits.std(axis=0) > 0][:, :12]
    untied, tied = (
        autoencoder_architecture(12, (), 3, RELU, tied=tied, batch_size=len(x), dtype="float64")
        for tied in (False, True)
    )
    assert tied.n_weights * 2 == untied.n_weights
    trained, _ = train_autoencoder(tied, make_network("it", 0, make_component("momentum", learning_rate=0.05)), x, 3000)
    encoder, decoder = layer_views(trained.parameters, tied)
    np.testing.assert_array_equal(encoder.W, decoder.W.swapaxes(1, 2))
    pca = fit_pca(x, 3)
    assert subspace_angles(encoder.W[0], pca.components.T).max() < 1e-3


@pytest.mark.slow
def test_a_denoising_autoencoder_removes_noise(digits):
    x = digits.astype(np.float32)
    noisy = x + np.random.default_rng(1).normal(scale=0.7, size=x.shape).astype(np.float32)
    errors = {}
    for deviation in (0.0, 0.7):
        network = make_network(
            "it", 0, make_component("adam", learning_rate=0.003), make_component("input_noise", deviation=deviation)
        )
        trained, _ = train_autoencoder(autoencoder_architecture(64, (48,), 32, TANH), network, x, 15)
        errors[deviation] = ((trained.reconstruct(noisy) - x) ** 2).mean()
    assert errors[0.7] < 0.9 * errors[0.0]


def test_an_activity_penalty_makes_the_code_sparse(digits):
    x = digits.astype(np.float32)
    sizes = {}
    for strength in (0.0, 0.3):
        network = make_network(
            "it", 0, make_component("adam", learning_rate=0.003), make_component("activity", strength=strength)
        )
        trained, _ = train_autoencoder(autoencoder_architecture(64, (32,), 8, TANH), network, x, 10)
        sizes[strength] = np.abs(trained(x)).mean()
    assert sizes[0.3] < 0.6 * sizes[0.0]


def test_an_autoencoder_of_shares_returns_shares(digits):
    x = (load_digits().data / 16).astype(np.float32)
    architecture = autoencoder_architecture(64, (32,), 8, RELU, loss=SIGMOID)
    trained, report = train_autoencoder(
        architecture, make_network("it", 0, make_component("adam", learning_rate=0.003)), x, 10
    )
    again = trained.reconstruct(x)
    assert again.min() >= 0
    assert again.max() <= 1
    assert ((again - x) ** 2).mean() < 0.5 * x.var(axis=0).mean()
    assert report.curves["train/loss"][-1] < report.curves["train/loss"][0]


def test_a_diverging_autoencoder_is_an_error(digits):
    architecture = autoencoder_architecture(64, (32,), 8, RELU)
    network = make_network("it", 0, make_component("sgd", learning_rate=1e6))
    x = digits.astype(np.float32)
    with pytest.raises(ValueError, match="the autoencoder diverged in epoch 1"):
        train_autoencoder(architecture, network, x, 10)


def test_standardising_can_be_inverted(digits):
    x = load_digits().data
    scaler = StandardScaler().fit(x)
    scaling = Affine(scaler.mean_, scaler.scale_)
    np.testing.assert_allclose(scaling(x), scaler.transform(x), atol=1e-6)
    assert scaling(x).dtype == np.float64
    assert scaling(x).flags.c_contiguous
    np.testing.assert_allclose(scaling.undo(scaler.transform(x)), x, atol=1e-9)


def test_fitting_pca_in_blocks_of_rows_gives_the_same_components(monkeypatch):
    x = np.random.default_rng(0).normal(3, [5, 2, 1, 0.5], (1000, 4)).astype("f4")
    expected = fit_pca(x, 3)
    monkeypatch.setattr("nncore.reduction.pca.ROWS_AT_A_TIME", 7)
    in_blocks = fit_pca(x, 3)
    for name in ("mean", "components", "explained_variance", "total_variance"):
        np.testing.assert_allclose(getattr(in_blocks, name), getattr(expected, name), rtol=1e-9, atol=1e-12)
