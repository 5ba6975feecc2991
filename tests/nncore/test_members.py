"""Networks with members (TabM), compared with the tabm package, with stacks, and with what their formulas say."""

import re
from dataclasses import replace

import numpy as np
import pytest
from discovery import NORMALISATIONS, short_name
from references import assert_close_to_reference, read_reference
from samples import (
    RELU,
    SOFTMAX,
    SQUARED,
    TANH,
    make_architecture,
    make_component,
    make_data,
    make_network,
)

from nncore.architecture import Architecture, Layer, initial_parameters, kind_of, layer_views
from nncore.components import Component
from nncore.kernels.workspace import Workspace
from nncore.losses import mean_value
from nncore.random_streams import RandomStreams
from nncore.stack.data import Data, Rows
from nncore.stack.hooks import DropoutHooks
from nncore.stack.passes import forward, gradient, predict
from nncore.stack.state import start
from nncore.stack.training import train

REFERENCE = read_reference("members")
ADAPTERS = ("mini", "full", "packed")
every_kind = pytest.mark.parametrize("adapters", ADAPTERS)
GAUSSIAN = Component("nncore.losses.gaussian")
PARAMETRIC = Component("nncore.activations.parametric", (("activation", TANH),))


ROWS_ARE_MULTIPLIED = {"batch_size": 2}  # rather than weights, which would be more numbers


def fill(numbers, layers, architecture):
    """Write the reference's arrays of each layer into a network's numbers (1, P)."""
    for slot in architecture.layout:
        getattr(layer_views(numbers, architecture)[slot.layer], slot.name)[0] = np.reshape(
            layers[slot.layer][slot.name], slot.dims
        )
    return numbers


def reference_case(adapters, **rest):
    """The case of the reference, and the architecture that it is of."""
    settings = {"members": REFERENCE["members"], "adapters": adapters, "dtype": "float64", **rest}
    return REFERENCE["cases"][adapters], make_architecture((5, 4, 4, 3), **settings)


@pytest.mark.parametrize("rest", [{}, ROWS_ARE_MULTIPLIED])
@every_kind
def test_predictions_and_gradient_equal_those_of_the_tabm_package(adapters, rest):
    case, architecture = reference_case(adapters, **rest)
    x, t = np.array(REFERENCE["x"]), np.eye(3)[REFERENCE["classes"]]
    empty = np.full((1, architecture.n_parameters), np.nan)
    parameters, expected = (fill(empty.copy(), case[name], architecture) for name in ("parameters", "gradient"))
    assert np.isfinite(parameters).all()
    probabilities = architecture.functions.loss.predict(predict(parameters, architecture, x))
    assert_close_to_reference(probabilities[0], case["probabilities"])
    views = layer_views(parameters, architecture), layer_views(g := empty.copy(), architecture)
    assert_close_to_reference(gradient(*views, architecture, x[None], t[None], Workspace()), [case["loss"]])
    assert_close_to_reference(g, expected)


@every_kind
def test_training_equals_that_of_the_tabm_package(adapters):
    case, architecture = reference_case(adapters)
    empty = np.empty((1, architecture.n_parameters))
    parameters, trained = (fill(empty.copy(), case[name], architecture) for name in ("parameters", "trained"))
    settings = {name: REFERENCE[name] for name in ("learning_rate", "weight_decay")}
    network = make_network("it", 0, make_component("adamw", **settings))
    rows = Rows(np.array(REFERENCE["x"]), np.eye(3)[REFERENCE["classes"]])
    stack, reports = train(start(architecture, [network], parameters), Data(rows, rows), REFERENCE["steps"], metrics={})
    assert_close_to_reference(reports["it"].curves["train/loss"], case["losses"])
    assert_close_to_reference(stack.parameters, trained, tolerance=1e-8)


@pytest.mark.parametrize("normalisation", NORMALISATIONS, ids=short_name)
@pytest.mark.parametrize(
    ("loss", "rest"),
    [(SOFTMAX, {}), (GAUSSIAN, {**ROWS_ARE_MULTIPLIED, "parametrization": "ntk", "scaling_layer": True})],
)
@every_kind
def test_gradient_is_the_derivative_of_the_loss(adapters, loss, rest, normalisation):
    """Of several networks with weighted rows, a residual first layer and parametric activations."""
    architecture = make_architecture(
        (4, 4, 6, 3), PARAMETRIC, loss, normalisation, True, members=3, adapters=adapters, dtype="float64", **rest
    )
    random, n = np.random.default_rng(0), architecture.n_parameters
    numbers = np.stack([initial_parameters(architecture, seed) for seed in range(2)])
    numbers[:, :n] += 0.3 * random.normal(size=(2, n))
    rows = make_data(architecture, 8, weighted=True).train
    x, t, weights = np.stack([rows.x, rows.x**2]), np.stack([rows.t, rows.t[::-1]]), np.stack([rows.weights] * 2)
    g, direction = np.empty((2, n)), np.zeros_like(numbers)
    direction[:, :n] = random.normal(size=(2, n))

    def loss_at(point, out):
        views = layer_views(point.copy(), architecture), layer_views(out, architecture)
        return gradient(*views, architecture, x, t, Workspace(), weights)

    loss_at(numbers, g)
    ahead, behind = (loss_at(numbers + step * direction, np.empty_like(g)) for step in (1e-6, -1e-6))
    np.testing.assert_allclose((g * direction[:, :n]).sum(axis=1), (ahead - behind) / 2e-6, rtol=2e-5, atol=1e-8)


def packed_as_a_stack(parameters, packed):
    """The members of one packed network as networks of their own, (k, P), and their architecture."""
    single = replace(packed, members=1, adapters="none")
    separate = np.empty((packed.members, single.buffer_size), packed.dtype)
    for view, of_members in zip(layer_views(separate, single), layer_views(parameters, packed), strict=True):
        for name, array, packed_array in zip(view._fields, view, of_members, strict=True):
            if name != "embedding" and array.size:
                array[...] = packed_array[0]
    return separate, single


@pytest.mark.parametrize("normalisation", NORMALISATIONS, ids=short_name)
def test_packed_members_are_the_networks_of_a_stack(normalisation):
    packed = make_architecture((5, 7, 3), normalisation=normalisation, members=4, adapters="packed")
    sgd, data = make_component("sgd", learning_rate=0.1), make_data(packed)
    begin = start(packed, [make_network("all", 0, make_component("sgd", learning_rate=0.4))])  # the mean of 4 losses
    separate, single = packed_as_a_stack(begin.parameters, packed)
    together, reports = train(begin, data, 3, {})
    alone, reports_alone = train(start(single, [make_network(f"{i}", 0, sgd) for i in range(4)], separate), data, 3, {})
    np.testing.assert_allclose(
        packed_as_a_stack(together.parameters, packed)[0], alone.parameters, rtol=2e-4, atol=1e-5
    )
    losses = np.mean([report.curves["train/loss"] for report in reports_alone.values()], axis=0)
    np.testing.assert_allclose(reports["all"].curves["train/loss"], losses, rtol=1e-5)

    p = packed.functions.loss.predict(predict(alone.parameters, single, data.validation.x)).mean(axis=0)
    loss_of_mean = -np.log((p * data.validation.t).sum(axis=1)).mean()
    np.testing.assert_allclose(reports["all"].curves["validation/loss"][-1], loss_of_mean, rtol=1e-4)


@every_kind
def test_members_start_as_different_functions_of_the_same_kind(adapters):
    architecture = make_architecture((20, 30, 30, 3), members=8, adapters=adapters)
    first, second, last = layer_views(initial_parameters(architecture, 0)[None], architecture)
    if adapters != "packed":
        assert set(np.unique(first.r)) == {-1, 1}
        assert abs(first.r.mean()) < 4 / np.sqrt(first.r.size)
        assert first.W.shape == (1, 20, 30)
    if adapters == "full":
        assert (first.s == 1).all()
        assert (second.r == 1).all()
        assert (second.s == 1).all()
    assert first.b.shape == ((1, 1, 30) if adapters == "mini" else (1, 8, 1, 30))
    assert (last.b == 0).all()
    assert last.W.shape == (1, 8, 30, 3)
    assert len({W.tobytes() for W in last.W[0]}) == 8
    x = np.random.default_rng(0).normal(size=(1, 5, 20)).astype("float32")
    z, *_ = forward([first, second, last], architecture, x, Workspace())
    assert len({of_member.tobytes() for of_member in z.reshape(8, 5, 3)}) == 8


def test_with_an_embedding_all_inputs_of_a_column_start_with_the_same_factor():
    """Columns: two with three learned numbers each beside the number itself, one plain, one category of two numbers."""
    pbld = Component("nncore.embeddings.pbld")
    columns = {"embedding": pbld, "n_numeric": 2, "levels": (5,), "category_size": 2}
    architecture = make_architecture((4, 7, 3), members=400, adapters="mini", **columns)
    r = layer_views(initial_parameters(architecture, 0)[None], architecture)[0].r[0, :, 0]
    of_column = [0, 1, 2, 0, 0, 0, 1, 1, 1, 3, 3]
    assert r.shape == (400, len(of_column))
    np.testing.assert_array_equal(r, r[:, [0, 1, 2, 9]][:, of_column])
    assert abs(r.mean()) < 0.1
    assert abs(r.std() - 1) < 0.1
    assert abs(np.corrcoef(r[:, [0, 1, 2, 9]].T) - np.eye(4)).max() < 0.2


def test_adapters_decay_as_weights_do_and_have_a_kind_of_their_own():
    architecture = make_architecture(members=3, adapters="full")
    kinds = {kind_of(slot) for slot in architecture.layout if slot.stop <= architecture.n_weights}
    assert kinds == {"first_layer", "weights", "adapters"}
    assert {kind_of(slot) for slot in architecture.layout if slot.start >= architecture.n_weights} == {"biases"}


@every_kind
def test_each_member_has_its_own_dropout(adapters):
    architecture = make_architecture((50, 40, 3), members=6, adapters=adapters)
    streams = RandomStreams([0], 0)
    streams.next_step()
    dropout = make_component("dropout", rate=0.5, input_rate=0.5).build()
    hooks = DropoutHooks(1, architecture, Workspace(), [(slice(0, 1), dropout)], [], streams)
    layers = layer_views(initial_parameters(architecture, 0)[None], architecture)
    _, caches, _ = forward(layers, architecture, np.ones((1, 4, 50), "float32"), Workspace(), hooks)
    for cache in caches:
        dropped = (cache.x_in == 0).reshape(6, 4, -1)
        assert len({of_member.tobytes() for of_member in dropped}) == 6


def test_predictions_of_values_are_averaged_with_their_deviations():
    """The mixture of the members: var = mean(d^2 + y^2) - mean(y)^2."""
    architecture = make_architecture((5, 7, 1), TANH, GAUSSIAN, members=4, adapters="packed", dtype="float64")
    parameters = initial_parameters(architecture, 0)[None]
    x = np.random.default_rng(0).normal(size=(600, 5))  # more rows than are computed at a time
    separate, single = packed_as_a_stack(parameters, architecture)
    loss, z = single.functions.loss, predict(separate, single, x)
    y, d = loss.predict(z), loss.deviation(z)
    mean = predict(parameters, architecture, x)
    np.testing.assert_allclose(loss.predict(mean)[0], y.mean(axis=0))
    variance = (d**2 + y**2).mean(axis=0) - y.mean(axis=0) ** 2
    np.testing.assert_allclose(loss.deviation(mean)[0], np.sqrt(variance))


@every_kind
@pytest.mark.parametrize("regularizer", ["l2", "activity"])
def test_the_objective_is_the_mean_loss_of_the_members_and_the_penalties(regularizer, adapters):
    architecture = make_architecture((5, 7, 6, 3), TANH, members=3, adapters=adapters, dtype="float64", batch_size=37)
    data = make_data(architecture)
    strength = make_component(regularizer, strength=0.01)
    stack = start(architecture, [make_network("it", 0, None, strength)])
    _, reports = train(stack, data, 1, {}, objective=True)
    layers = layer_views(stack.parameters, architecture)
    z, caches, _ = forward(layers, architecture, data.train.x[None], Workspace())
    of_members = mean_value(architecture.functions.loss, z.reshape(3, 37, 3), data.train.t[None])
    penalty = (
        0.01 / 2 * (stack.parameters[:, : architecture.n_weights] ** 2).sum()
        if regularizer == "l2"
        else 0.01 * sum(np.abs(cache.out).sum() for cache in caches[:-1]) / (3 * 37)
    )
    curves = reports["it"].curves
    np.testing.assert_allclose(curves["train/loss"], [of_members.mean()])
    np.testing.assert_allclose(curves["train/objective"], [of_members.mean() + penalty])


def test_lbfgs_lowers_the_mean_loss_of_the_members():
    architecture = make_architecture((5, 7, 1), TANH, SQUARED, members=3, adapters="full", dtype="float64")
    stack = start(architecture, [make_network("it", 0, make_component("lbfgs"), make_component("l2", strength=1e-3))])
    losses = train(stack, make_data(architecture), 30, {})[1]["it"].curves["train/loss"]
    assert losses[-1] < 0.3 * losses[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"members": 0}, "members must be an integer >= 1, but is 0"),
        ({"members": 2.0}, "members must be an integer >= 1, but is 2.0"),
        ({"members": 4}, "adapters must be mini, full or packed for members=4, but is none"),
        ({"adapters": "mini"}, "adapters must be none for members=1, but is mini"),
        ({"members": 4, "adapters": "tiny"}, "adapters must be none, mini, full or packed, but is 'tiny'"),
    ],
)
def test_members_and_adapters_must_fit_together(changes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make_architecture(**changes)


def test_tied_layers_have_no_members():
    layers = (Layer(3, RELU), Layer(5, tied_to=0))
    with pytest.raises(ValueError, match="members must be 1 for tied layers, but is 2"):
        Architecture(5, layers, SQUARED, members=2, adapters="mini")


@pytest.mark.parametrize("adapters", ["full", "packed"])
def test_gradient_of_members_in_parts_is_that_of_all_at_once(adapters):
    """With batches of 256 rows, two and three of five members are computed at a time; otherwise all five."""
    sizes, columns = (
        (6, 300, 200, 2),
        {"n_numeric": 3, "scaling_layer": True, "embedding": Component("nncore.embeddings.pbld")},
    )
    settings = {"members": 5, "adapters": adapters, "normalisation": NORMALISATIONS[0], "dtype": "float64", **columns}
    in_parts, whole = (make_architecture(sizes, PARAMETRIC, batch_size=size, **settings) for size in (256, 4))
    assert [part for part, _ in in_parts.parts_of_members] == [slice(0, 2), slice(2, 5)]
    assert len(whole.parts_of_members) == 1
    rows, results = make_data(whole, 8, weighted=True).train, []
    for architecture in (in_parts, whole):
        parameters = np.stack([initial_parameters(architecture, seed) for seed in range(2)])
        layers, g = layer_views(parameters, architecture), np.full((2, architecture.n_parameters), np.nan)
        arrays = (
            layer_views(g, architecture),
            architecture,
            rows.x[None],
            rows.t[None],
            Workspace(),
            rows.weights[None],
        )
        results.append((gradient(layers, *arrays), g, parameters))
    for of_parts, of_whole in zip(*results, strict=True):
        np.testing.assert_allclose(of_parts, of_whole, rtol=1e-9, atol=1e-14)
