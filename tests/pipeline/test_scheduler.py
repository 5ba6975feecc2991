"""The scheduler, in simulations with random durations in which networks end and workers become idle at any moment."""

import heapq
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sweeps import trial_network

from pipeline.engine.packing.planner import NetworkOrigin, PackingSettings, plan
from pipeline.engine.packing.scheduler import Scheduler, Slice


def plan_stacks(n_networks, width, epochs=10, epoch_seconds=0.1):
    stacks = plan(
        [trial_network(number, span=(0, epochs)) for number in range(n_networks)], 1, PackingSettings(width, 1.0, 0.0)
    )
    return [replace(stack, epoch_seconds=epoch_seconds) for stack in stacks]


@dataclass
class Simulation:
    """Workers that train the scheduler's slices; `duration_of` gives their durations."""

    scheduler: Scheduler
    workers: int
    duration_of: object
    last_epochs: object
    fate: object = lambda keys, one: None  # of a slice: None, "lost" or "out of memory"
    trained: dict = field(default_factory=dict)  # by network, its epochs in order
    given_up: dict = field(default_factory=dict)  # by network, in which epoch
    n_slices: int = 0
    n_lost: int = 0
    gpus: int = 0
    widths: dict = field(default_factory=lambda: {True: [], False: []})  # of slices on GPUs, and on cores

    def run(self):
        now, running = 0.0, []
        self.scheduler.resize(self.workers, self.gpus)
        while not self.scheduler.done:
            while chosen := self.next([running_slice for _, _, running_slice, _ in running]):
                assert chosen.stack not in {
                    running_slice.stack for _, _, running_slice, _ in running
                }  # no stack runs twice at the same time
                seconds = self.duration_of(chosen)
                heapq.heappush(running, (now + seconds, self.n_slices, chosen, seconds))
                self.n_slices += 1
                self.widths[chosen.gpu].append(len(self.continuing_keys(chosen)))
            now, _, finished, seconds = heapq.heappop(running)
            if fate := self.fate(self.keys(finished), finished):
                self.n_lost += 1
                if key := self.scheduler.lost(finished, fate == "out of memory"):
                    assert key not in self.given_up
                    self.given_up[key] = finished.until
            else:
                self.scheduler.finished(finished, self.train(finished), seconds)

    def next(self, running):
        """The next slice, for a GPU if one is idle."""
        n_on_gpus = sum(running_slice.gpu for running_slice in running)
        if n_on_gpus < self.gpus and (chosen := self.scheduler.next(gpu=True)):
            return chosen
        return self.scheduler.next() if len(running) - n_on_gpus < self.workers else None

    def continuing_keys(self, task: Slice):
        """The networks that a slice trains, without those that have ended."""
        return [key for key in self.keys(task) if self.last_epochs.get(key, 99) > task.start]

    def keys(self, task: Slice):
        """The networks that a slice trains."""
        keys = self.scheduler.stacks[task.stack].keys
        return [key for key in keys if len(self.trained.get(key, ())) == task.start]

    def train(self, task: Slice):
        """Train a slice; return the networks that continue. Divided or ended ones no longer belong to the stack."""
        stack = self.scheduler.stacks[task.stack]
        continuing = []
        for network in stack.networks:
            epochs = self.trained.setdefault(network.key, [])
            if self.last_epochs.get(network.key, 99) <= task.start:
                continue
            until = min(task.until, self.last_epochs.get(network.key, 99))
            assert len(epochs) == task.start  # the previous slice has ended
            epochs.extend(range(task.start + 1, until + 1))
            if until == task.until < self.last_epochs.get(network.key, 99):
                continuing.append(network.key)
        return continuing


@settings(max_examples=200)
@given(
    n_networks=st.integers(1, 30),
    width=st.integers(1, 12),
    epochs=st.integers(1, 15),
    workers=st.integers(1, 6),
    slice_seconds=st.sampled_from([1e-6, 0.5, 3.0, 100.0]),
    first=st.integers(0, 50),
    choices=st.randoms(use_true_random=False),
)
def test_every_network_is_trained_through_every_epoch_once(
    n_networks, width, epochs, workers, slice_seconds, first, choices
):
    stacks = plan_stacks(n_networks, width, epochs)
    scheduler = Scheduler(stacks, workers, slice_seconds, first=first)
    keys = [network.key for stack in stacks for network in stack.networks]
    last_epochs = {key: choices.randint(1, epochs) for key in keys if choices.random() < 0.3}
    simulation = Simulation(scheduler, workers, lambda _: choices.uniform(0.01, 3), last_epochs)
    simulation.run()
    assert {key: len(trained_epochs) for key, trained_epochs in simulation.trained.items()} == {
        key: last_epochs.get(key, epochs) for key in keys
    }
    assert all(
        trained_epochs == list(range(1, len(trained_epochs) + 1)) for trained_epochs in simulation.trained.values()
    )
    assert scheduler.next() is None
    assert set(scheduler.stacks) == set(range(first, first + len(scheduler.stacks)))  # consecutive numbers


def test_a_stack_is_divided_when_workers_are_idle():
    """A stack of 8 with 10 seconds per epoch: after the first slice four workers share it."""
    scheduler = Scheduler(plan_stacks(8, 8, epoch_seconds=10.0), 4, slice_seconds=10.0)
    keys = scheduler.stacks[0].keys
    first = scheduler.next()
    assert scheduler.next() is None
    assert first == Slice(0, 0, 1)
    scheduler.finished(first, keys, 10.0)
    parts = [scheduler.next() for _ in range(4)]
    assert [part.stack for part in parts] == [1, 2, 3, 4]
    assert scheduler.next() is None
    assert [part.start for part in parts] == [1] * 4
    divided = [scheduler.stacks[part.stack].keys for part in parts]
    assert divided == [keys[0:2], keys[2:4], keys[4:6], keys[6:8]]
    assert scheduler.stacks[3].origins == (NetworkOrigin(0, keys[4]), NetworkOrigin(0, keys[5]))
    assert parts[0].until - parts[0].start == 4  # a quarter of the networks: 2.5 s an epoch, 10 s a slice


@pytest.mark.parametrize(
    ("seconds", "n_continuing", "n_other_stacks", "why"),
    [
        (0.001, 8, 0, "the remaining epochs take no time"),
        (10.0, 1, 0, "a single network"),
        (10.0, 8, 1, "another stack waits"),
    ],
)
def test_a_stack_is_not_divided_needlessly(seconds, n_continuing, n_other_stacks, why):
    scheduler = Scheduler(plan_stacks(8 * (1 + n_other_stacks), 8, epoch_seconds=1.0), 2, slice_seconds=1.0)
    keys = scheduler.stacks[0].keys[:n_continuing]
    first = scheduler.next()
    scheduler.finished(first, keys, seconds * (first.until - first.start))
    assert len(scheduler.stacks) == 1 + n_other_stacks, why
    assert scheduler.next().stack == first.stack


def test_started_stacks_come_first_and_long_stacks_start_first():
    short, long = plan_stacks(2, 2, epochs=4, epoch_seconds=1.0), plan_stacks(2, 2, epochs=8, epoch_seconds=1.0)
    scheduler = Scheduler([*short, *long], 1, slice_seconds=1.0)
    assert scheduler.next() == Slice(1, 0, 1)
    scheduler.finished(Slice(1, 0, 1), ["0000/1/0"], 1.0)
    assert scheduler.next() == Slice(1, 1, 2)
    assert scheduler.next() == Slice(0, 0, 1)


def test_slices_last_about_as_long_as_requested():
    scheduler = Scheduler(plan_stacks(4, 4, epochs=1000), 1, slice_seconds=3.0)
    keys = scheduler.stacks[0].keys
    first = scheduler.next()
    scheduler.finished(first, keys, 0.25 * (first.until - first.start))  # a quarter of a second per epoch
    later = scheduler.next()
    assert later.until - later.start == 12
    scheduler.finished(later, keys, 12 * 5.0)  # now five seconds
    assert scheduler.next().until == later.until + 1


def test_a_stack_whose_networks_have_all_ended_is_dropped():
    scheduler = Scheduler(plan_stacks(4, 2, epochs=1000), 1, slice_seconds=1e-9)
    first = scheduler.next()
    scheduler.finished(first, [], 1.0)
    second = scheduler.next()
    assert second.stack != first.stack
    scheduler.finished(second, [], 1.0)
    assert scheduler.done
    assert scheduler.next() is None


@given(workers=st.integers(1, 5), n_stacks=st.integers(1, 12), choices=st.randoms(use_true_random=False))
def test_no_worker_is_idle_while_a_stack_is_ready(workers, n_stacks, choices):
    """As many slices run as there are workers, or unfinished stacks."""
    scheduler = Scheduler(plan_stacks(2 * n_stacks, 2, epochs=6), workers, slice_seconds=1e-6)
    running, finished_stacks = [], set()
    while not scheduler.done:
        while len(running) < workers and (chosen := scheduler.next()):
            running.append(chosen)
        divided = {origin.stack for stack in scheduler.stacks.values() for origin in stack.origins}
        assert len(running) == min(workers, len(set(scheduler.stacks) - finished_stacks - divided))
        task = running.pop(choices.randrange(len(running)))
        keys = scheduler.stacks[task.stack].keys
        scheduler.finished(task, keys, choices.uniform(0.1, 2))
        if task.until == 6:
            finished_stacks.add(task.stack)


@pytest.mark.slow
@settings(max_examples=200)
@given(
    n_networks=st.integers(1, 30),
    width=st.integers(1, 12),
    workers=st.integers(1, 6),
    retries=st.integers(0, 3),
    slice_seconds=st.sampled_from([1e-6, 0.5, 100.0]),
    choices=st.randoms(use_true_random=False),
)
def test_only_networks_that_kill_their_workers_are_given_up(
    n_networks, width, workers, retries, slice_seconds, choices
):
    """From some epoch on, each slice that contains a poisoned network is lost; the others are trained to the end."""
    epochs = 9
    scheduler = Scheduler(plan_stacks(n_networks, width, epochs), workers, slice_seconds, retries)
    keys = [network.key for stack in scheduler.stacks.values() for network in stack.networks]
    poisoned = {key: choices.randint(1, epochs) for key in keys if choices.random() < 0.15}

    def fate(keys, task):
        return "lost" if any(poisoned.get(key, 99) <= task.until for key in keys) else None

    simulation = Simulation(scheduler, workers, lambda _: choices.uniform(0.01, 3), {}, fate)
    simulation.run()
    assert simulation.given_up == poisoned  # at exactly this epoch
    assert {key: len(simulation.trained.get(key, ())) for key in keys} == {
        key: poisoned.get(key, epochs + 1) - 1 for key in keys
    }
    assert simulation.n_lost <= len(poisoned) * (width + retries + 3)


@given(
    n_networks=st.integers(1, 20),
    width=st.integers(1, 12),
    loss=st.sampled_from(["lost", "out of memory"]),
    choices=st.randoms(use_true_random=False),
)
def test_slices_that_are_lost_occasionally_are_trained_to_the_end(n_networks, width, loss, choices):
    """Every slice is lost once; no network is given up, and no epoch is skipped or trained twice."""
    lost = set()

    def fate(keys, task):
        if (keys[0], task.start) in lost:
            return None
        lost.update((key, task.start) for key in keys)
        return loss

    simulation = Simulation(Scheduler(plan_stacks(n_networks, width), 3, 0.5, 1), 3, lambda _: 0.2, {}, fate)
    simulation.run()
    assert simulation.given_up == {}
    assert len(simulation.trained) == n_networks
    assert all(trained_epochs == list(range(1, 11)) for trained_epochs in simulation.trained.values())


@given(n_networks=st.integers(1, 40), fits=st.integers(1, 9))
def test_a_stack_that_is_too_wide_for_the_memory_is_halved_until_it_fits(n_networks, fits):
    def fate(keys, _):
        return "out of memory" if len(keys) > fits else None

    simulation = Simulation(Scheduler(plan_stacks(n_networks, 40), 2, 0.5, 0), 2, lambda _: 0.2, {}, fate)
    simulation.run()
    assert (len(simulation.trained), simulation.given_up) == (n_networks, {})
    assert simulation.n_lost <= 2 * n_networks / fits  # by halving, not by single networks


def test_a_lost_slice_is_repeated_epoch_by_epoch_and_then_halved():
    scheduler = Scheduler(plan_stacks(4, 4, epochs=10, epoch_seconds=0.1), 1, 0.5, 1)
    keys = scheduler.stacks[0].keys
    assert scheduler.next() == Slice(0, 0, 5)
    assert scheduler.lost(Slice(0, 0, 5)) is None
    assert scheduler.next() == Slice(0, 0, 1)
    scheduler.finished(Slice(0, 0, 1), keys[:3], 0.1)
    assert scheduler.next() == Slice(0, 1, 2)
    assert scheduler.lost(Slice(0, 1, 2)) is None
    assert scheduler.next() == Slice(0, 1, 2)
    assert scheduler.lost(Slice(0, 1, 2)) is None
    assert [scheduler.next(), scheduler.next(), scheduler.next()] == [Slice(1, 1, 2), Slice(2, 1, 2), None]
    halves = [scheduler.stacks[number] for number in (1, 2)]
    assert [half.keys for half in halves] == [keys[:2], keys[2:3]]
    assert halves[1].origins == (NetworkOrigin(0, keys[2]),)
