"""Embeddings: the bins of the piecewise linear one, what is refused, and how sums and lookups are done."""

import numpy as np
import pytest
from samples import make_architecture, make_component, make_data, make_network
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from nncore.architecture import initial_parameters, layer_views
from nncore.components import Component
from nncore.embeddings import piecewise_linear, tree_edges
from nncore.kernels.workspace import Workspace
from nncore.stack.passes import forward
from nncore.stack.state import start

PIECEWISE = Component("nncore.embeddings.piecewise_linear", (("bins", 4), ("size", 2)))


@pytest.mark.parametrize("n_leaves", [2, 7, 30])
@pytest.mark.parametrize("kind", ["regression", "classes"])
def test_the_edges_of_a_tree_are_scikit_learns(kind, n_leaves):
    random = np.random.default_rng(n_leaves)
    x = np.round(random.normal(size=400), 2)  # with ties
    y = np.sin(3 * x) + 0.3 * random.normal(size=400)
    limits = {"max_leaf_nodes": n_leaves, "min_samples_leaf": 9}
    if kind == "classes":
        y = np.digitize(y, [-0.5, 0.5])
        tree = DecisionTreeClassifier(**limits, random_state=0).fit(x[:, None], y).tree_
        t = np.eye(3)[y]
    else:
        tree, t = DecisionTreeRegressor(**limits, random_state=0).fit(x[:, None], y).tree_, y[:, None]
    expected = np.sort(tree.threshold[tree.children_left >= 0])
    np.testing.assert_allclose(tree_edges(x, t, n_leaves, 9), [x.min(), *expected, x.max()], rtol=1e-6)


def test_a_column_that_predicts_nothing_has_one_bin():
    x = np.arange(50.0)
    np.testing.assert_array_equal(tree_edges(x, np.full((50, 1), 0.3), 8, 1), [0, 49])


def encoded(values, training, bins):
    """e(x) of the embedding, (bins, N), for one column."""
    embedding = piecewise_linear(bins=bins, size=1)
    fitted = embedding.fit(training[:, None], training[:, None])
    zero, one = np.zeros((1, 1, 1, 1)), np.eye(bins)[None, None, :, :]
    arrays = {"bins": fitted[None], "w": zero, "c": zero}
    return np.stack(
        [
            embedding.forward(values[None, None], arrays | {"V": one[..., b : b + 1]}, Workspace())[0][0, 0, :, 0]
            for b in range(bins)
        ]
    )


def test_bins_are_between_quantiles_and_unlimited_at_the_ends():
    e = encoded(np.array([-1.0, 0, 1, 2.5, 4, 10]), np.linspace(0, 4, 101), 4)
    np.testing.assert_allclose(e[0], [-1, 0, 1, 1, 1, 1])
    np.testing.assert_allclose(e[2], [0, 0, 0, 0.5, 1, 1])
    np.testing.assert_allclose(e[3], [0, 0, 0, 0, 1, 7])


def test_equal_edges_are_one_and_a_constant_column_stays_zero():
    binary = np.repeat([0.0, 1.0], 50)
    assert np.count_nonzero(encoded(np.array([0.25]), binary, 4)) == 1
    assert not encoded(np.array([0.25, 3]), np.full(50, 0.25), 4).any()


def test_at_first_a_piecewise_linear_embedding_is_linear():
    architecture = make_architecture((3, 4, 2), embedding=PIECEWISE, n_numeric=3, dtype="float64")
    data = make_data(architecture)
    stack = start(architecture, [make_network()], data=data)
    x = np.stack([np.zeros(3), np.ones(3), 2 * np.ones(3)])[None]
    _, caches, _ = forward(layer_views(stack.parameters, architecture), architecture, x, Workspace())
    np.testing.assert_allclose(np.diff(caches[0].x[0], n=2, axis=0), 0, atol=1e-14)


def test_bins_need_training_rows():
    architecture = make_architecture((3, 4, 2), embedding=PIECEWISE, n_numeric=3)
    with pytest.raises(
        ValueError, match="data must be given, as piecewise_linear takes numbers from the training rows"
    ):
        start(architecture, [make_network()])


def test_codes_of_categories_select_their_vectors_and_are_not_mixed():
    architecture = make_architecture((4, 5, 2), levels=(3, 2), category_size=2, dtype="float64")
    numbers = initial_parameters(architecture, 0)[None]
    layers = layer_views(numbers, architecture)
    x = np.array([[[0.5, -1, 2, 0], [1, 2, 0, 1]]])
    _, caches, _ = forward(layers, architecture, x, Workspace())
    vectors = layers[0].category[0]
    np.testing.assert_array_equal(caches[0].x[0, 0], [0.5, -1, *vectors[2], *vectors[3]])
    np.testing.assert_array_equal(caches[0].x[0, 1], [1, 2, *vectors[0], *vectors[4]])
    assert abs(vectors.std() - 1) < 0.7
    with pytest.raises(ValueError, match="mixup mixes rows, but codes of categories cannot be mixed, in 'it'"):
        start(architecture, [make_network("it", 0, None, make_component("mixup", alpha=0.2))])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"n_numeric": 5}, "n_numeric must be from 0 to the 4 columns without the 0 of categories, but is 5"),
        ({"n_numeric": 3, "levels": (3, 3)}, "n_numeric must be from 0 to the 4 columns without the 2"),
        ({"levels": (0,)}, "levels and category_size must be integers >= 1, but are .0,. and 8"),
        ({"embedding": Component("nncore.activations.relu")}, "embedding must be a component that makes Embedding"),
    ],
)
def test_columns_that_do_not_fit_are_refused(columns, message):
    with pytest.raises(ValueError, match=message):
        make_architecture((4, 5, 2), **columns)
