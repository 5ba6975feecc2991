"""The planner: which networks are trained in one stack."""

import math
import time
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import make_architecture, make_data, make_network
from sweeps import LARGE, SMALL, VIEW_SHAPE, trial_network

from nncore.stack.state import start
from nncore.stack.training import train
from pipeline.components.types import ViewShape
from pipeline.engine.packing.cost_model import (
    TASK_S,
    efficient_width,
    epoch_seconds,
    min_task_seconds,
    step_flops,
    steps_per_epoch,
)
from pipeline.engine.packing.planner import NetworkOrigin, PackingSettings, plan

OTHER = make_architecture((8, 9, 3), batch_size=32)
LONGER = VIEW_SHAPE._replace(n_train=400)


def packing(width):
    return PackingSettings(width, 1.0, 0.0)


@st.composite
def network_lists(draw):
    """Networks of two architectures and two sizes of data on several folds, some of which have begun."""
    networks = []
    for number in range(draw(st.integers(1, 40))):
        architecture, view_shape = draw(st.sampled_from([SMALL, OTHER])), draw(st.sampled_from([VIEW_SHAPE, LONGER]))
        start_at, until = draw(st.sampled_from([0, 3])), draw(st.sampled_from([5, 9]))
        origin = NetworkOrigin(draw(st.integers(0, 3)), f"from {number}") if start_at or draw(st.booleans()) else None
        view = draw(st.integers(0, 2)) + 3 * (view_shape == LONGER)
        networks.append(trial_network(number, architecture, view, view_shape, (start_at, until), origin))
    return networks


@given(
    networks=network_lists(),
    workers=st.integers(1, 9),
    width=st.one_of(st.sampled_from(["auto", "unlimited"]), st.integers(1, 50)),
)
def test_every_network_is_in_exactly_one_stack_of_compatible_networks(networks, workers, width):
    by_key = {network_plan.network.key: network_plan for network_plan in networks}
    stacks = plan(networks, workers, packing(width))
    assert Counter(network.key for stack in stacks for network in stack.networks) == Counter(by_key.keys())
    for stack in stacks:
        planned = [by_key[network.key] for network in stack.networks]
        assert stack.networks == tuple(planned)
        assert {
            (network_plan.architecture, network_plan.fold.view_shape, network_plan.start, network_plan.until)
            for network_plan in planned
        } == {(stack.architecture, stack.view_shape, stack.start, stack.until)}
        assert [network_plan.origin for network_plan in planned] in ([*stack.origins], [None] * len(planned))
        networks, folds = stack.with_views()
        assert [folds[network.view] for network in networks] == [network_plan.fold for network_plan in planned]
        assert len({fold.content_hash for fold in folds}) == len(folds)
        assert isinstance(width, str) or len(stack.networks) <= width
        kinds = [network.kinds for network in networks]
        assert kinds == sorted(kinds)  # networks with equal optimizers are adjacent


def test_networks_that_cannot_be_trained_together_are_in_different_stacks():
    """One difference at a time: architecture, size of the data, epochs, whether there is a checkpoint."""
    first = trial_network(0)
    different = [
        trial_network(1, OTHER),
        trial_network(1, view_shape=LONGER),
        trial_network(1, span=(0, 9)),
        trial_network(1, span=(2, 10), origin=NetworkOrigin(0, "x")),
        trial_network(1, origin=NetworkOrigin(0, "x")),
    ]
    for network in different:
        assert len(plan([first, network], 1, packing("unlimited"))) == 2
    for like in (trial_network(1), trial_network(1, view=1)):
        assert len(plan([first, like], 1, packing("unlimited"))) == 1


@pytest.mark.parametrize(("workers", "width", "n_rounds"), [(3, 8, 1), (2, 4, 3), (4, 3, 2), (2, 3, 4), (1, 8, 3)])
def test_the_stacks_of_a_round_get_equally_many_networks_of_each_kind(workers, width, n_rounds):
    networks = [trial_network(number) for number in range(24)]  # eight of each of the three optimizers
    stacks = plan(networks, workers, packing(width))
    assert len(stacks) == n_rounds * workers
    counts = [Counter(net.network.kinds for net in stack.networks) for stack in stacks]
    for begin in range(0, len(stacks), workers):
        at_a_time = counts[begin : begin + workers]
        for kinds in set().union(*at_a_time):
            numbers = [count[kinds] for count in at_a_time]
            assert max(numbers) - min(numbers) <= 1
    assert max(map(len, counts)) <= math.ceil(3 / n_rounds) + 1


def test_neighbours_of_one_kind_are_put_into_different_stacks_of_a_round():
    stacks = plan([trial_network(3 * number) for number in range(12)], 3, packing(4))  # one optimizer
    numbers = [[int(network.key[:4]) // 3 for network in stack.networks] for stack in stacks]
    assert numbers == [[0, 3, 6, 9], [1, 4, 7, 10], [2, 5, 8, 11]]


def test_where_workers_have_several_stacks_networks_of_one_kind_are_in_as_few_as_possible():
    networks = [trial_network(number) for number in range(24)]  # eight of each of the three optimizers
    n_each = Counter(planned_network.network.kinds for planned_network in networks)
    stacks = plan(networks, 1, packing(4))
    assert [len(stack.networks) for stack in stacks] == [4] * 6
    stacks_of = Counter(kinds for stack in stacks for kinds in {net.network.kinds for net in stack.networks})
    assert stacks_of.keys() == n_each.keys()
    assert all(stacks_of[kinds] <= math.ceil(n / 4) + 1 for kinds, n in n_each.items())
    assert sum(stacks_of.values()) <= len(stacks) + len(n_each) - 1  # each border is between two kinds, or within one


def test_the_folds_of_a_trial_may_be_in_one_stack_and_keep_their_data():
    networks = [trial_network(number, view=view) for number in range(2) for view in (5, 2, 9)]
    (stack,) = plan(networks, 1, packing("unlimited"))
    networks, folds = stack.with_views()
    views = [int(fold.content_hash) for fold in folds]
    assert views == [2, 5, 9]
    assert {(network.key[5], views[network.view] + 1) for network in networks} == {
        ("3", 3),
        ("6", 6),
        ("1", 10),
    }
    assert [network.view for network in networks] == [0, 1, 2, 0, 1, 2]  # runs of one view inside each optimizer


@pytest.mark.parametrize("workers", [1, 2, 3, 7, 56])
@pytest.mark.parametrize("n_networks", [1, 5, 56, 112])
def test_auto_makes_a_multiple_of_the_workers_as_far_as_there_are_networks(workers, n_networks):
    """There is enough work for all workers: 5 networks take a minute."""
    networks = [trial_network(number, [SMALL, OTHER][number % 2], span=(0, 100_000)) for number in range(n_networks)]
    stacks = plan(networks, workers, packing("auto"))
    assert len(stacks) % workers == 0 or {len(stack.networks) for stack in stacks} == {1}
    widths = [len(stack.networks) for stack in stacks if stack.architecture == SMALL]
    assert max(widths) - min(widths) <= 1


def test_no_more_tasks_are_planned_than_the_driver_can_start_in_the_time_that_they_take():
    """Small networks of 10 epochs, 1.7 s for 10,000 of them; and a thousand workers."""
    stacks = plan([trial_network(number) for number in range(10_000)], 1000, packing("auto"))
    total_seconds = sum(stack.seconds for stack in stacks)
    taken = len(stacks) * TASK_S + total_seconds / len(stacks)
    assert taken == pytest.approx(2 * math.sqrt(total_seconds * TASK_S), rel=0.1)  # the minimum
    assert len(stacks) * TASK_S < 0.6 * taken


@pytest.mark.slow
def test_with_many_workers_stacks_are_wider_so_that_the_driver_can_feed_them():
    architecture, view_shape = make_architecture((32, 64, 10), batch_size=32), ViewShape(32, 10, 1079, 359)
    networks = [trial_network(number, architecture, 0, view_shape, (0, 30)) for number in range(33_000)]
    few, many = (plan(networks, workers, packing("auto")) for workers in (2, 200))
    assert len(many) % 200 == 0
    assert min(stack.seconds for stack in many) > 0.7 * min_task_seconds(200)
    assert max(len(stack.networks) for stack in many) > max(len(stack.networks) for stack in few)


def test_large_networks_are_in_narrow_stacks_and_small_ones_in_wide_ones():
    middle = make_architecture((64, 128, 64, 10), batch_size=32)
    widths = [
        max(
            len(stack.networks)
            for stack in plan([trial_network(n, architecture) for n in range(200)], 1, packing("auto"))
        )
        for architecture in (SMALL, middle, LARGE)
    ]
    assert widths == sorted(widths, reverse=True)
    assert widths[0] > 50
    assert widths[2] == efficient_width(LARGE) == 1


@pytest.mark.parametrize(("width", "expected"), [("unlimited", [10]), (4, [4, 3, 3]), (1, [1] * 10), (99, [10])])
def test_a_width_is_the_largest_number_of_networks_in_a_stack(width, expected):
    stacks = plan([trial_network(number) for number in range(10)], 4, packing(width))
    assert [len(stack.networks) for stack in stacks] == expected


def test_the_rest_of_a_stack_continues_from_its_state():
    (stack,) = plan([trial_network(number, view=number % 2) for number in range(6)], 1, packing("unlimited"))
    keys = stack.keys[1:4]
    rest = stack.continued(keys, number=8, epoch=4)
    assert [net.network for net in rest.networks] == [net.network for net in stack.networks[1:4]]
    assert rest.origins == tuple(NetworkOrigin(8, key) for key in keys)
    assert (rest.start, rest.until, len(rest.with_views()[1])) == (4, 10, 2)
    assert rest.seconds == pytest.approx(stack.seconds / 2 * 6 / 10)


def test_steps_and_arithmetic_are_counted_by_hand():
    """Batches of 32: 320 rows are 10, 321 are 11. Two products of a layer's size forward, twice as many backward."""
    assert [steps_per_epoch(SMALL, ViewShape(8, 3, rows, 80)) for rows in (1, 32, 320, 321)] == [1, 1, 10, 11]
    assert step_flops(SMALL) == 3 * 2 * 32 * (8 * 6 + 6 * 3)
    for adapters in ("mini", "full", "packed"):  # each member's rows are multiplied
        members = make_architecture((8, 6, 3), batch_size=32, members=5, adapters=adapters)
        assert step_flops(members) == 5 * step_flops(SMALL)


def test_an_epoch_takes_about_as_long_as_estimated():
    """Within a factor of ten, whatever the machine: the order of stacks and the first slices depend on it."""
    architecture = make_architecture((32, 64, 10), batch_size=32)
    stack = start(architecture, [make_network(f"{number}") for number in range(20)])
    data = make_data(architecture, 1000, 200)
    train(stack, data, 1, {})
    start_time = time.perf_counter()
    with np.errstate(all="ignore"):
        train(stack, data, 3, {})
    taken = (time.perf_counter() - start_time) / 3
    assert 0.1 < taken / epoch_seconds(architecture, ViewShape(32, 10, 1000, 200), 20) < 10
