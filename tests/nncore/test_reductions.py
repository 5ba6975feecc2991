"""PCA against scikit-learn; the autoencoder against PCA and against common sense."""

import numpy as np
import pytest
from samples import RELU, TANH, member
from scipy.linalg import subspace_angles
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from nncore.autoencoder import autoencoder_shape, train_autoencoder
from nncore.pca import fit_pca
from nncore.scaling import Standardise
from nncore.stack import Network


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
    assert ours.kept == pytest.approx(theirs.explained_variance_ratio_.sum())


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


def test_constant_rows_have_no_variance_to_lose():
    assert fit_pca(np.ones((5, 3)), 2).kept == 1.0


def test_a_linear_autoencoder_finds_the_subspace_of_pca(digits):
    x = digits[:, digits.std(axis=0) > 0][:, :12]
    of = autoencoder_shape(12, (), 3, RELU, batch_size=len(x), dtype="float64")
    network = Network("it", 0, member("momentum", learning_rate=0.05))
    encoder, report = train_autoencoder(of, network, x, 3000)
    pca = fit_pca(x, 3)
    residual = ((x - x.mean(axis=0)) ** 2).sum(axis=1).mean() - pca.explained_variance.sum() * (len(x) - 1) / len(x)
    assert report.curves["train/loss"][-1] == pytest.approx(residual / 2, rel=1e-6)
    code = encoder(x) - encoder(np.zeros_like(x))
    assert np.rad2deg(subspace_angles(code, x @ pca.components.T)).max() < 0.1


def test_an_autoencoder_with_hidden_layers_learns_to_reproduce(digits):
    x = digits.astype(np.float32)
    of = autoencoder_shape(64, (32,), 8, TANH)
    assert of.sizes == (64, 32, 8, 32, 64)
    network = Network("it", 0, member("adam", learning_rate=0.003))
    encoder, report = train_autoencoder(of, network, x, 10)
    losses = report.curves["validation/loss"]
    assert losses[-1] < 0.6 * losses[0]
    assert encoder(x).shape == (len(x), 8)
    assert encoder(x).dtype == np.float32


def test_a_diverging_autoencoder_says_so(digits):
    of = autoencoder_shape(64, (32,), 8, RELU)
    network = Network("it", 0, member("sgd", learning_rate=1e6))
    x = digits.astype(np.float32)
    with pytest.raises(ValueError, match="the autoencoder diverged in epoch 1"):
        train_autoencoder(of, network, x, 10)


def test_standardise_and_back(digits):
    x = load_digits().data
    scaler = StandardScaler().fit(x)
    scaling = Standardise(scaler.mean_, scaler.scale_)
    np.testing.assert_allclose(scaling(x), scaler.transform(x), atol=1e-6)
    assert scaling(x).dtype == np.float32
    assert scaling(x).flags.c_contiguous
    np.testing.assert_allclose(scaling.undo(scaler.transform(x)), x, atol=1e-9)
