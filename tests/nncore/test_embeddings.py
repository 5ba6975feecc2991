"""Embeddings and RealMLP's layers compared with pytabkit and rtdl_num_embeddings; bins, categories, what is refused."""

import numpy as np
import pytest
from references import assert_close_to_reference, read_reference
from samples import make_architecture, make_component, make_data, make_network
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from nncore import embeddings
from nncore.architecture import Architecture, Layer, initial_parameters, layer_views
from nncore.components import Component
from nncore.embeddings import _bins_between, piecewise_linear, tree_edges
from nncore.kernels.workspace import Workspace
from nncore.stack.passes import forward, gradient, predict
from nncore.stack.state import start

PIECEWISE = Component("nncore.embeddings.piecewise_linear", (("bins", 4), ("size", 2)))


REFERENCE = read_reference("layers")


def assert_embedding_is(embedding, case, arrays):
    """Outputs and gradients for one network, whose arrays have the reference's names."""
    x, dy = np.array(case["x"]).T[None], np.array(case["dy"]).transpose(1, 2, 0)[None]
    y, cache = embedding.forward(x, arrays, Workspace())
    assert_close_to_reference(y[0].transpose(2, 0, 1), case["y"])
    found = {name: np.empty_like(arrays[name]) for name in embedding.dims}
    embedding.backward(dy, cache, arrays, found, Workspace())
    for name, values in case["gradients"].items():
        assert_close_to_reference(found[name].ravel(), np.ravel(values))


def as_arrays(embedding, values, n_columns=3):
    return {name: np.reshape(values[name], (1, n_columns, *dims)) for name, dims in embedding.dims.items()}


@pytest.mark.parametrize("name", ["pbld", "pl", "plr"])
def test_periodic_embeddings_are_pytabkits(name):
    case = REFERENCE["periodic"][name]
    embedding = getattr(embeddings, name)(frequencies=4, size=2)
    assert_embedding_is(embedding, case, as_arrays(embedding, case["arrays"]))


@pytest.mark.parametrize("edges", ["quantile", "tree"])
def test_the_piecewise_linear_embedding_is_rtdl_num_embeddings(edges):
    case = REFERENCE["piecewise_linear"][edges]
    embedding = piecewise_linear(bins=5, size=2, edges=edges, min_rows=12)
    fitted = embedding.fit(np.array(case["train"], np.float32), np.array(case["target"])[:, None])
    for (lower, per_width), theirs in zip(fitted, case["bins"], strict=True):
        exists = per_width > 0
        np.testing.assert_allclose(lower[exists], theirs[:-1], rtol=1e-6)
        np.testing.assert_allclose(1 / per_width[exists], np.diff(theirs), rtol=1e-5)
    bins = np.stack([_bins_between(np.array(theirs), 5) for theirs in case["bins"]])[None]
    assert_embedding_is(embedding, case, as_arrays(embedding, case["arrays"]) | {"bins": bins})


@pytest.mark.parametrize("activation", ["selu", "mish"])
def test_a_whole_network_and_its_gradient_are_those_of_pytabkits_layers(activation):
    """PBLD, scaling layer, parametric activations, neural tangent parametrization; one gradient per parameter."""
    case = REFERENCE["networks"][activation]
    inner = Component("nncore.activations.parametric", (("activation", Component(f"nncore.activations.{activation}")),))
    architecture = Architecture(
        *(5, (Layer(5, inner), Layer(4, inner), Layer(3)), Component("nncore.losses.softmax_cross_entropy")),
        embedding=Component("nncore.embeddings.pbld", (("frequencies", 4), ("size", 2))),
        n_numeric=3,
        scaling_layer=True,
        parametrization="ntk",
        dtype="float64",
    )
    parameters, g, expected = (np.empty((1, architecture.n_parameters)) for _ in range(3))
    for slot in architecture.layout:
        name = slot.name if slot.name.startswith(("embedding", "input")) else f"{slot.name} {slot.layer}"
        for array, values in ((parameters, case["arrays"]), (expected, case["gradients"])):
            array[0, slot.start : slot.stop] = np.ravel(values[name])
    x, t = np.array(case["x"]), np.eye(3)[case["classes"]][None]
    assert_close_to_reference(predict(parameters, architecture, x)[0], case["z"])
    layers, gradients = layer_views(parameters, architecture), layer_views(g, architecture)
    assert_close_to_reference(gradient(layers, gradients, architecture, x[None], t, Workspace()), [case["loss"]])
    assert_close_to_reference(g, expected)


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
            embedding.forward(values[None, None], arrays | {"V": one[..., b : b + 1]}, Workspace())[0][0, 0, 0]
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
