"""Law 1, packing: a network's result is the same to the last bit however the work was packed."""

from dataclasses import replace

import numpy as np
import pytest
from discovery import ACTIVATIONS, LOSSES, OPTIMIZERS, REGULARIZERS, short
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import data, in_slices, mixed_networks, shape, trained

from nncore.members import find
from nncore.metrics import accuracy, r2
from nncore.stack import Network, start
from nncore.training import train

DTYPES = ("float32", "float64")


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("regularizer", REGULARIZERS, ids=short)
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=short)
def test_law_1_a_network_alone_equals_itself_among_others(optimizer, regularizer, dtype):
    of = shape(dtype=dtype)
    network = Network("it", 5, optimizer, regularizer)
    others = mixed_networks()
    alone = trained(of, [network])["it"]
    for position in (0, 3, len(others)):
        stack = [*others[:position], network, *others[position:]]
        assert trained(of, stack)["it"] == alone
    assert len(alone.fingerprint) == 64


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", LOSSES, ids=short)
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=short)
def test_law_1_holds_for_every_activation_and_loss(activation, loss, dtype):
    of = shape(activation=activation, loss=loss, dtype=dtype)
    networks = mixed_networks()
    together = trained(of, networks)
    for network in networks:
        assert trained(of, [network]) == {network.key: together[network.key]}


@pytest.mark.parametrize("sizes", [(1, 1), (5, 1), (64, 10), (3, 2, 1), (33, 65, 17, 10), (30, 15, 2)])
def test_law_1_holds_for_odd_sizes(sizes):
    of = shape(sizes, batch_size=13)
    networks = mixed_networks(seeds=(3,))
    on = data(of, n_train=101, n_validation=1111)  # more rows than are evaluated at once
    together = trained(of, networks, 2, on)
    for first in range(0, len(networks), 3):
        some = networks[first : first + 3]
        assert trained(of, some, 2, on) == {network.key: together[network.key] for network in some}


@settings(max_examples=20, deadline=None)
@given(order=st.permutations(range(len(mixed_networks()))), cuts=st.sets(st.integers(1, 15), max_size=4))
def test_law_1_any_partition_in_any_order_gives_the_same_bits(order, cuts):
    networks, of = mixed_networks(), shape()
    whole = trained(of, networks)
    pieces = np.split(np.array(order), sorted(cuts))
    parts = [trained(of, [networks[index] for index in piece]) for piece in pieces if len(piece)]
    assert {key: report for part in parts for key, report in part.items()} == whole


@settings(max_examples=10, deadline=None)
@given(cuts=st.sets(st.integers(1, 5)))
def test_law_1_slices_of_any_length_give_the_same_bits(cuts):
    of = shape()
    fresh, on = start(of, mixed_networks()), data(of)
    assert in_slices(fresh, [*sorted(cuts), 6], on) == in_slices(fresh, [6], on)


def test_law_1_training_again_gives_the_same_bits_and_leaves_the_given_stack_alone():
    of = shape()
    on = data(of)
    stack, _ = train(start(of, mixed_networks()), on, 1, {})
    for array in (stack.parameters, *stack.optimizer_state.values()):
        array.flags.writeable = False  # as it is in a worker, where it lies in shared memory
    first, second = train(stack, on, 2, {}), train(stack, on, 2, {})
    assert first[1] == second[1]
    assert stack.epoch == 1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=short)
def test_law_1_a_scalar_hyperparameter_equals_one_copy_per_network(optimizer, dtype):
    g = np.random.default_rng(0).normal(size=(4, 5, 33)).astype(dtype)
    ends = []
    for rate in (0.03, np.full(5, 0.03)):
        W = np.ones((5, 33), dtype)
        rule = find(optimizer.name)(rate)
        state = rule.init(W)
        for step in range(4):
            rule.update(W, g[step], state, step + 1)
        ends.append(W)
    np.testing.assert_array_equal(*ends)


def test_law_1_another_seed_gives_other_bits():
    of = shape()
    network = Network("it", 0, OPTIMIZERS[0])
    assert trained(of, [network]) == trained(of, [network])
    assert trained(of, [network])["it"].fingerprint != trained(of, [replace(network, seed=1)])["it"].fingerprint


@pytest.mark.parametrize("dtype", DTYPES)
def test_law_1_metrics_are_bit_equal_with_many_rows(dtype):
    random = np.random.default_rng(0)
    z = random.normal(size=(7, 20_011, 3)).astype(dtype)
    t = np.eye(3, dtype=dtype)[random.integers(3, size=20_011)][None]
    for score in (accuracy, r2, *(loss.build().value for loss in LOSSES)):
        together = score(z, t)
        for index in range(len(z)):
            assert score(z[index : index + 1], t)[0] == together[index]
