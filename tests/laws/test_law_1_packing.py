"""Law 1, packing: the result of a network is the same to the last bit however the work is packed."""

from dataclasses import replace

import numpy as np
import pytest
from discovery import (
    ACTIVATIONS,
    EMBEDDINGS,
    LOSSES,
    NORMALISATIONS,
    OPTIMIZERS,
    REGULARIZERS,
    SCHEDULED,
    SCHEDULES,
    short_name,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from running import slow_after_first
from samples import (
    BATCH_NORM,
    RELU,
    SOFTMAX,
    TANH,
    can_be_combined,
    make_architecture,
    make_component,
    make_data,
    make_network,
    mixed_networks,
    train_in_slices,
    train_reports,
)

from nncore import metrics
from nncore.activations import sigmoid
from nncore.components import Component, component_names
from nncore.losses import mean_value
from nncore.metrics import accuracy
from nncore.reduction.autoencoder import autoencoder_architecture
from nncore.stack.data import Data, Rows
from nncore.stack.parts import parts_in_cache
from nncore.stack.regroup import collect
from nncore.stack.state import start
from nncore.stack.training import train

LAYER_NORM = Component("nncore.normalisations.layer_norm")
DTYPES = ("float32", "float64")
both_types = pytest.mark.parametrize("dtype", slow_after_first(DTYPES))


def assert_independent_of_packing(architecture, networks, data=None, epochs=3, size=1):
    together = train_reports(architecture, networks, epochs, data)
    assert len({report.fingerprint for report in together.values()}) > len(networks) / 2
    for begin in range(0, len(networks), size):
        group = networks[begin : begin + size]
        assert train_reports(architecture, group, epochs, data) == {
            network.key: together[network.key] for network in group
        }


def assert_independent_of_position(network, architecture):
    neighbours = mixed_networks()
    alone = train_reports(architecture, [network])["it"]
    assert train_reports(architecture, [*neighbours[:3], network, *neighbours[3:]])["it"] == alone
    assert len(alone.fingerprint) == 64


@both_types
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=short_name)
def test_law_1_holds_for_every_optimizer(optimizer, dtype):
    assert_independent_of_position(make_network("it", 5, optimizer), make_architecture(dtype=dtype))


@both_types
@pytest.mark.parametrize("regularizer", [*REGULARIZERS, *SCHEDULED], ids=short_name)
def test_law_1_holds_for_every_regularizer(regularizer, dtype):
    adam = make_component("adam", learning_rate=0.01)
    assert_independent_of_position(
        make_network("it", 5, adam, regularizer), make_architecture((5, 7, 6, 3), dtype=dtype)
    )


@both_types
@pytest.mark.parametrize("schedule", SCHEDULES, ids=short_name)
def test_law_1_holds_for_every_schedule(schedule, dtype):
    assert_independent_of_position(make_network("it", 5, schedule=schedule), make_architecture(dtype=dtype))


@pytest.mark.slow
@both_types
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=short_name)
def test_law_1_holds_for_every_activation(activation, dtype):
    assert_independent_of_packing(make_architecture(activation=activation, dtype=dtype), mixed_networks())


@pytest.mark.slow
@both_types
@pytest.mark.parametrize("loss", LOSSES, ids=short_name)
def test_law_1_holds_for_every_loss(loss, dtype):
    assert_independent_of_packing(make_architecture(loss=loss, dtype=dtype), mixed_networks(loss=loss))


@pytest.mark.slow
@both_types
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("normalisation", NORMALISATIONS, ids=short_name)
def test_law_1_holds_for_every_normalisation(normalisation, residual, dtype):
    architecture = make_architecture((5, 7, 7, 3), normalisation=normalisation, residual=residual, dtype=dtype)
    assert_independent_of_packing(architecture, mixed_networks(), size=2)


@both_types
def test_law_1_holds_for_a_scaling_layer_and_the_neural_tangent_parametrization(dtype):
    parametric = Component("nncore.activations.parametric", (("activation", TANH),))
    architecture = make_architecture((5, 7, 7, 3), parametric, scaling_layer=True, parametrization="ntk", dtype=dtype)
    assert_independent_of_packing(architecture, mixed_networks(), size=4)


@both_types
@pytest.mark.parametrize("embedding", EMBEDDINGS, ids=short_name)
def test_law_1_holds_for_every_embedding_on_several_views(embedding, dtype):
    """The bins of an embedding are those of each network's own training rows."""
    columns = {"embedding": embedding, "n_numeric": 4, "levels": (11, 3), "category_size": 3, "scaling_layer": True}
    architecture = make_architecture((7, 6, 3), dtype=dtype, **columns)
    data = tuple(make_data(architecture, 101, seed=seed) for seed in range(2))
    networks = assign_views(networks_without_mixtures(), 2)
    _, together = train(start(architecture, networks, data=data), data, 2, {"accuracy": accuracy()})
    for network in networks[:6]:
        alone = train_reports(architecture, [replace(network, view=0)], 2, data[network.view])
        assert alone == {network.key: together[network.key]}


@pytest.mark.parametrize("learned", [{}, {"members": 3, "adapters": "full"}, {"members": 3, "adapters": "packed"}])
def test_law_1_holds_for_data_driven_weights_on_several_views(learned):
    initializer = Component("nncore.initializers.data_driven")
    architecture = make_architecture((5, 7, 6, 3), initializer=initializer, **learned)
    data = tuple(make_data(architecture, 101, seed=seed) for seed in range(2))
    networks = assign_views(mixed_networks()[:6], 2)
    _, together = train(start(architecture, networks, data=data), data, 2, {"accuracy": accuracy()})
    for network in networks:
        alone = train_reports(architecture, [replace(network, view=0)], 2, data[network.view])
        assert alone == {network.key: together[network.key]}


def networks_without_mixtures():
    """Mixed networks, without regularizers that mix rows: codes of categories cannot be mixed."""
    networks = mixed_networks()
    return [
        replace(network, regularizers=tuple(r for r in network.regularizers if r.short_name != "mixup"))
        for network in networks
    ]


@both_types
def test_law_1_holds_with_weighted_rows(dtype):
    architecture = make_architecture(dtype=dtype)
    assert_independent_of_packing(architecture, mixed_networks(), make_data(architecture, weighted=True), size=3)


@pytest.mark.parametrize(
    ("adapters", "normalisation", "dtype"),
    slow_after_first(
        [("full", BATCH_NORM, "float32"), ("mini", LAYER_NORM, "float32"), ("packed", BATCH_NORM, "float64")]
    ),
)
def test_law_1_holds_for_networks_with_members(adapters, normalisation, dtype):
    """Members are an inner axis of one network, which no other network of the stack changes."""
    architecture = make_architecture(
        (5, 7, 7, 3), normalisation=normalisation, residual=True, members=3, adapters=adapters, dtype=dtype
    )
    assert_independent_of_packing(architecture, mixed_networks(), size=4)


@pytest.mark.parametrize("adapters", ["full", "packed"])
def test_law_1_holds_when_gradients_are_computed_for_some_members_at_a_time(adapters):
    """As for large members, but not for a network in a stack with others that drop units."""
    architecture = make_architecture((5, 300, 3), members=4, adapters=adapters, batch_size=256)
    assert len(architecture.parts_of_members) == 2
    networks = mixed_networks(seeds=(3,))
    assert any("dropout" in regularizer.name for network in networks for regularizer in network.regularizers)
    assert_independent_of_packing(architecture, networks, make_data(architecture, n_train=300), epochs=2)


@pytest.mark.slow
@both_types
@pytest.mark.parametrize("tied", [False, True])
def test_law_1_holds_for_autoencoders(tied, dtype):
    architecture = autoencoder_architecture(
        6, (5,), 3, TANH, tied=tied, normalisation=BATCH_NORM, batch_size=8, dtype=dtype
    )
    x = np.random.default_rng(0).normal(size=(37, 6)).astype(dtype)
    assert_independent_of_packing(
        architecture, mixed_networks(loss=architecture.loss), Data(Rows(x, x), Rows(x, x)), size=2
    )


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [(1, 1), (5, 1), (64, 10), (3, 2, 1), (33, 65, 17, 10), (30, 15, 2)])
def test_law_1_holds_for_odd_sizes(sizes):
    architecture = make_architecture(sizes, batch_size=13, normalisation=BATCH_NORM)
    data = make_data(architecture, n_train=101, n_validation=1111)  # more rows than one evaluation batch has
    assert_independent_of_packing(architecture, mixed_networks(seeds=(3,)), data, epochs=2, size=4)


@settings(max_examples=8, deadline=None)
@given(order=st.permutations(range(len(mixed_networks()))), cuts=st.sets(st.integers(1, 17), max_size=4))
def test_law_1_any_partition_in_any_order_gives_the_same_bits(order, cuts):
    networks, architecture = mixed_networks(), make_architecture()
    together = train_reports(architecture, networks)
    pieces = np.split(np.array(order), sorted(cuts))
    parts = [train_reports(architecture, [networks[index] for index in piece]) for piece in pieces if len(piece)]
    assert {key: report for part in parts for key, report in part.items()} == together


@pytest.mark.parametrize("columns", [{}, {"members": 2, "adapters": "mini"}])
@pytest.mark.parametrize("seeds", [(0,), (0, 1)])  # one seed: all networks get the same batches
def test_law_1_holds_when_gradients_are_computed_for_parts_of_a_stack(monkeypatch, seeds, columns):
    """As for networks too large for a core's cache: here for one network, and for three at a time."""
    architecture, networks = make_architecture((5, 7, 6, 3), **columns), mixed_networks(seeds)
    whole = train_reports(architecture, networks)
    numbers = architecture.batch_size * architecture.members * 7  # of one network's widest layer
    for size in (1, 3):
        monkeypatch.setattr("nncore.stack.parts.NUMBERS_IN_CACHE", size * numbers)
        stack = start(architecture, networks)
        assert len(parts_in_cache(stack, stack.parameters)) == -(-len(networks) // size)
        assert train_reports(architecture, networks) == whole


@pytest.mark.slow
@settings(max_examples=4, deadline=None)
@given(cuts=st.sets(st.integers(1, 7)))
def test_law_1_slices_of_any_length_give_the_same_bits(cuts):
    architecture = make_architecture((5, 7, 6, 3), normalisation=BATCH_NORM)
    early = make_network(
        "early", 2, make_component("sgd", learning_rate=0.5), make_component("early_stopping", patience=1)
    )
    scheduled = [make_network(f"scheduled {i}", i, None, component) for i, component in enumerate(SCHEDULED)]
    fresh, data = start(architecture, [*mixed_networks(), early, *scheduled]), make_data(architecture)
    sliced, unsliced = train_in_slices(fresh, [*sorted(cuts), 8], data), train_in_slices(fresh, [8], data)
    assert sliced == unsliced
    assert unsliced["early"].stopped[0] < 8


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=short_name)
@pytest.mark.parametrize("regularizer", REGULARIZERS, ids=short_name)
@pytest.mark.nightly
def test_law_1_holds_for_every_pair_of_optimizer_and_regularizer(optimizer, regularizer):
    if can_be_combined(regularizer, optimizer, SOFTMAX):
        network, neighbours = make_network("it", 5, optimizer, regularizer), mixed_networks()[:3]
        assert (
            train_reports(make_architecture(), [network])["it"]
            == train_reports(make_architecture(), [neighbours[0], network, *neighbours[1:]])["it"]
        )


def test_law_1_training_again_gives_the_same_bits_and_does_not_modify_the_stack():
    architecture = make_architecture(normalisation=BATCH_NORM)
    data = make_data(architecture)
    early = make_network(
        "early", 2, make_component("sgd", learning_rate=0.5), make_component("early_stopping", patience=1)
    )
    stack, _ = train(start(architecture, [*mixed_networks(), early]), data, 1, {})
    for array in (stack.parameters, *stack.state.values()):
        array.flags.writeable = False  # as in a worker, where arrays are in shared memory
    first, second = train(stack, data, 9, {}), train(stack, data, 9, {})
    assert first[1] == second[1]
    assert stack.epoch == 1
    assert stack.stopped == {}
    assert "early" in first[0].stopped


def test_law_1_a_different_seed_gives_different_bits():
    architecture = make_architecture()
    network = make_network()
    assert train_reports(architecture, [network]) == train_reports(architecture, [network])
    assert (
        train_reports(architecture, [network])["it"].fingerprint
        != train_reports(architecture, [replace(network, seed=1)])["it"].fingerprint
    )


@both_types
def test_law_1_metrics_are_bit_equal_with_many_rows(dtype):
    random = np.random.default_rng(0)
    z = random.normal(size=(7, 20_011, 4)).astype(dtype)
    t = np.eye(4, dtype=dtype)[random.integers(4, size=20_011)][None]

    def value(loss):
        of_one_target = t if loss.outputs_per_target == 1 else t[:, :, :2]
        return lambda z, _: mean_value(loss, z, of_one_target)

    def metric(name):
        return lambda z, t: getattr(metrics, name)().value(sigmoid().forward(z, np.empty_like(z)), t, None)

    scores = [
        *map(metric, component_names("metrics") - {"mean_pinball_loss"}),
        *(value(loss.build()) for loss in LOSSES),
    ]
    for score in scores:
        together = score(z, t)
        for index in range(len(z)):
            assert score(z[index : index + 1], t)[0] == together[index]


def test_law_1_holds_for_many_networks_with_the_same_optimizer():
    """More networks than a SIMD vector has elements: powers are computed for all networks at once."""
    architecture = make_architecture()
    networks = [
        make_network(f"{i}", 0, make_component("nadam", learning_rate=0.01, beta1=0.5 + i / 100)) for i in range(37)
    ]
    assert_independent_of_packing(architecture, networks, epochs=1, size=5)
    assert RELU in {layer.activation for layer in architecture.layers}


def assign_views(networks, n_views):
    return [replace(network, view=index * 2 % n_views) for index, network in enumerate(networks)]


@both_types
@pytest.mark.parametrize(("seeds", "weighted"), [((0, 1), False), ((3,), False), ((0, 1, 2), True)])
def test_law_1_networks_of_several_views_equal_those_trained_alone(seeds, weighted, dtype):
    """Networks of other folds and preparations change no bit, in any order; every kind of component occurs."""
    architecture = make_architecture((5, 7, 6, 3), normalisation=BATCH_NORM, dtype=dtype)
    data = tuple(make_data(architecture, n_validation=600, seed=seed, weighted=weighted) for seed in range(3))
    networks = assign_views(mixed_networks(seeds), 3)
    _, together = train(start(architecture, networks), data, 3, {"accuracy": accuracy()})
    for network in networks:
        assert train_reports(architecture, [replace(network, view=0)], 3, data[network.view]) == {
            network.key: together[network.key]
        }
    by_view = sorted(networks, key=lambda network: network.view)
    assert train(start(architecture, by_view), data, 3, {"accuracy": accuracy()})[1] == together


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=short_name)
def test_law_1_holds_for_every_optimizer_on_several_views(optimizer):
    architecture = make_architecture()
    data = tuple(make_data(architecture, seed=seed) for seed in range(5))
    networks = assign_views([make_network(f"{i}", i % 2, optimizer) for i in range(7)], 5)
    _, together = train(start(architecture, networks), data, 4, {"accuracy": accuracy()})
    assert len({report.fingerprint for report in together.values()}) > 1
    for network in networks[:4]:
        assert train_reports(architecture, [replace(network, view=0)], 4, data[network.view]) == {
            network.key: together[network.key]
        }


def regroup(stacks, random, n_stacks):
    """Distribute the networks of all stacks at random to new stacks."""
    networks = [network for stack in stacks for network in stack.networks]
    groups = np.array_split(random.permutation(len(networks)), n_stacks)
    return [
        collect(
            [networks[position] for position in positions], [networks[position].key for position in positions], stacks
        )
        for positions in groups
    ]


@pytest.mark.parametrize("n_views", [1, 3])
def test_law_1_regrouping_networks_changes_no_bit(n_views):
    """With every optimizer, regularizer and schedule; some networks stop early, before and after regrouping."""
    architecture, random = make_architecture((5, 7, 6, 3), normalisation=BATCH_NORM), np.random.default_rng(0)
    data = tuple(make_data(architecture, seed=seed) for seed in range(n_views))
    stopping = [
        make_network(
            f"early {i}", i, make_component("sgd", learning_rate=0.3), make_component("early_stopping", patience=i + 1)
        )
        for i in range(4)
    ]
    networks = assign_views([*mixed_networks(), *stopping], n_views)
    final_stack, expected = train(start(architecture, networks), data, 9, {})
    stacks, results = [start(architecture, networks[half::2]) for half in range(2)], {}
    for epoch, n_stacks in ((2, 3), (3, 2), (6, 1), (9, 1)):
        stacks, reports = zip(*(train(stack, data, epoch, {}) for stack in stacks), strict=True)
        results |= {key: report for reports_of_stack in reports for key, report in reports_of_stack.items()}
        stacks = regroup(stacks, random, n_stacks)
    assert results.keys() == expected.keys()
    for key, report in expected.items():
        assert (results[key].fingerprint, results[key].stopped) == (report.fingerprint, report.stopped)
    assert len({report.stopped and report.stopped[0] for report in expected.values()}) > 2
    for network in final_stack.networks:
        np.testing.assert_array_equal(
            stacks[0].selected_weights_of(network.key), final_stack.selected_weights_of(network.key)
        )
