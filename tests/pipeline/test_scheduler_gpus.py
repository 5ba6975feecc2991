"""The scheduler with GPUs and cores: wide stacks for GPUs and narrow ones for cores, from one queue."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from sweeps import LARGE, SMALL, VIEW_SHAPE, trial_network
from test_scheduler import Simulation, plan_stacks

from pipeline.engine.packing.cost_model import gpu_width
from pipeline.engine.packing.planner import NetworkOrigin, PackingSettings, plan
from pipeline.engine.packing.scheduler import Scheduler, Slice


def with_gpus(stacks, workers, gpus, fits, slice_seconds=0.5, retries=1):
    scheduler = Scheduler(stacks, workers, slice_seconds, retries, fits=lambda _: fits)
    scheduler.resize(workers, gpus)
    return scheduler


@settings(max_examples=100)
@given(
    n_networks=st.integers(1, 40),
    width=st.integers(1, 12),
    epochs=st.integers(1, 8),
    workers=st.integers(0, 5),
    gpus=st.integers(1, 3),
    fits=st.integers(1, 50),
    slice_seconds=st.sampled_from([1e-6, 0.5, 100.0]),
    choices=st.randoms(use_true_random=False),
)
def test_every_network_is_trained_through_every_epoch_once_on_any_device(
    n_networks, width, epochs, workers, gpus, fits, slice_seconds, choices
):
    """Slices are lost, on GPUs also when out of memory; no network is given up."""
    stacks = plan_stacks(n_networks, width, epochs)
    scheduler = with_gpus(stacks, workers, gpus, fits, slice_seconds, retries=99)
    keys = [network.key for stack in stacks for network in stack.networks]
    last_epochs = {key: choices.randint(1, epochs) for key in keys if choices.random() < 0.2}

    def fate(_, task):
        return (
            choices.choice(["out of memory", "lost"]) if choices.random() < 0.1 and (workers or not task.gpu) else None
        )

    simulation = Simulation(scheduler, workers, lambda _: choices.uniform(0.01, 3), last_epochs, fate, gpus=gpus)
    simulation.run()
    assert simulation.given_up == {}
    for key in keys:
        assert simulation.trained[key] == list(range(1, min(last_epochs.get(key, epochs), epochs) + 1))
    assert max(simulation.widths[True], default=0) <= fits


@given(n_networks=st.integers(2, 60), workers=st.integers(1, 6), fits=st.integers(1, 99), width=st.integers(1, 9))
def test_at_the_start_a_gpu_takes_all_that_fits_but_leaves_a_stack_for_each_core(n_networks, workers, fits, width):
    stacks = plan_stacks(n_networks, width)
    scheduler = with_gpus(stacks, workers, 1, fits)
    wide = scheduler.next(gpu=True)
    narrow = [scheduler.next() for _ in range(workers)]
    n = len(scheduler.stacks[wide.stack].networks)
    assert n <= fits
    assert len([item for item in narrow if item]) >= min(workers, len(stacks) - 1)
    if len(stacks) > workers and fits >= n_networks:
        assert n == sum(len(stack.networks) for stack in stacks[: len(stacks) - workers])
    assert Counter(network.key for item in scheduler.stacks.values() for network in item.networks).keys() == {
        network.key for stack in stacks for network in stack.networks
    }


@given(n_networks=st.integers(1, 99), workers=st.integers(0, 4), gpus=st.integers(2, 5), width=st.integers(1, 9))
def test_several_gpus_begin_with_about_equally_many_networks(n_networks, workers, gpus, width):
    scheduler = with_gpus(plan_stacks(n_networks, width), workers, gpus, 1000)
    taken = [chosen for _ in range(gpus) if (chosen := scheduler.next(gpu=True))]
    widths = [len(scheduler.stacks[task.stack].networks) for task in taken]
    assert max(widths) <= n_networks / gpus + gpus * width  # stacks are not divided
    assert len(taken) == gpus or sum(widths) == n_networks
    if not workers and n_networks > 3 * gpus * width:
        assert min(widths) >= n_networks / gpus - 2 * width


def test_stacks_of_different_sorts_are_not_joined():
    networks = [trial_network(number, span=(0, 9)) for number in range(6)]
    networks += [trial_network(number, span=(3, 9), origin=NetworkOrigin(7, "x")) for number in range(6, 12)]
    networks += [trial_network(number, span=(0, 8)) for number in range(12, 18)] + [
        trial_network(19, LARGE, view_shape=VIEW_SHAPE)
    ]
    scheduler = with_gpus(plan(networks, 1, PackingSettings(1, 1.0, 0.0)), 0, 1, 100)
    sorts = []
    while chosen := scheduler.next(gpu=True):
        stack = scheduler.stacks[chosen.stack]
        sorts.append((stack.architecture.sizes, stack.start, stack.until, len(stack.networks), len(stack.origins)))
    assert sorted(sorts) == sorted(
        [(SMALL.sizes, 0, 9, 6, 0), (SMALL.sizes, 3, 9, 6, 6), (SMALL.sizes, 0, 8, 6, 0), (LARGE.sizes, 0, 10, 1, 0)]
    )


def test_stacks_that_have_begun_are_joined_from_their_current_epoch():
    scheduler = with_gpus(plan_stacks(4, 2, epoch_seconds=0.1), 2, 0, 100)
    keys = [scheduler.stacks[number].keys for number in (0, 1)]
    assert [scheduler.next(), scheduler.next()] == [Slice(0, 0, 5), Slice(1, 0, 5)]
    for number in (0, 1):
        scheduler.finished(Slice(number, 0, 5), keys[number][number:], 0.5)  # one of them has ended
    scheduler.resize(0, 1)
    wide = scheduler.next(gpu=True)
    assert (wide.start, wide.gpu) == (5, True)
    stack = scheduler.stacks[wide.stack]
    assert {(joined.key, origin) for joined, origin in zip(stack.networks, stack.origins, strict=True)} == {
        *((key, NetworkOrigin(0, key)) for key in keys[0]), *((key, NetworkOrigin(1, key)) for key in keys[1][1:])
    }  # fmt: skip
    assert scheduler.next() is None


def test_an_idle_core_gets_its_fair_share_of_a_wide_stack():
    """The GPU needs 0.1 s for an epoch of 60 networks, a core 2.4 s: a fair share of two cores is 2 networks each."""
    scheduler = with_gpus(plan_stacks(60, 60, epochs=100, epoch_seconds=2.4), 2, 1, 100)
    wide = scheduler.next(gpu=True)
    assert scheduler.next() is None
    keys = scheduler.stacks[wide.stack].keys
    scheduler.finished(wide, keys, 0.1 * (wide.until - wide.start))
    on_gpu, *on_cores = scheduler.next(gpu=True), scheduler.next(), scheduler.next()
    assert [len(scheduler.stacks[task.stack].networks) for task in (on_gpu, *on_cores)] == [56, 2, 2]
    assert [task.gpu for task in (on_gpu, *on_cores)] == [True, False, False]


def test_a_core_that_takes_over_a_wide_stack_divides_it():
    """As after the GPU's host has left the cluster."""
    scheduler = with_gpus(
        plan([trial_network(n, LARGE) for n in range(40)], 1, PackingSettings("unlimited", 1.0, 0.0)), 2, 1, 100
    )
    wide = scheduler.next(gpu=True)
    scheduler.resize(2, 0)
    assert scheduler.lost(wide) is None
    widths = []
    while chosen := scheduler.next():
        widths.append(len(scheduler.stacks[chosen.stack].networks))
    assert sum(widths) == 40
    assert set(widths) == {1}  # networks of 535,818 parameters fill a core's cache by themselves


def test_without_memory_the_width_is_halved_for_the_whole_sort_until_only_cores_train_it():
    scheduler = with_gpus(plan_stacks(8, 1), 0, 1, 100)
    widths = []
    while chosen := scheduler.next(gpu=True):
        widths.append(len(scheduler.stacks[chosen.stack].networks))
        assert scheduler.lost(chosen, out_of_memory=True) is None
    assert widths == [8, 4, 2, 1]
    scheduler.resize(1, 1)
    simulation = Simulation(scheduler, 1, lambda _: 0.2, {}, gpus=1)
    simulation.run()
    assert (simulation.given_up, simulation.widths[True]) == ({}, [])
    assert sum(map(len, simulation.trained.values())) == 80


def test_the_memory_of_a_gpu_bounds_the_width():
    small, large = (
        plan([trial_network(n, of) for n in range(4)], 1, PackingSettings(4, 1.0, 0.0))[0] for of in (SMALL, LARGE)
    )

    def width(stack, memory):
        return gpu_width(stack.architecture, stack.with_views()[0], stack.view_shape, 1, memory)

    assert width(small, 10**9) > 10_000
    assert 20 < width(large, 10**9) < 100
    assert 1.9 < width(large, 2 * 10**9) / width(large, 10**9) < 2.1
    assert width(large, 1000) == 1  # the estimate may be too high
