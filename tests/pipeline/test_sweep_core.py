"""The pure parts of the sweep: planner, scheduler, results, journal. No Ray, no files but the journal's."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from running import composed
from samples import shape

from nncore.training import Report
from pipeline.journal import Journal, Reader
from pipeline.reports.summary import sweep_summary
from pipeline.sweep.planner import FoldWork, Plan, PlannedStack, Stacks, network_step_seconds, plan
from pipeline.sweep.results import Results
from pipeline.sweep.scheduler import Scheduler, Slice

SETTINGS = composed()[0]
TRIALS = SETTINGS.trials()
SHAPE = shape((32, 64, 10), batch_size=32)


def planned(width="auto", workers=2, of=SHAPE, epochs=30, seconds=1.0, n_folds=1, rows=1078):
    work = [FoldWork(SETTINGS.networks(TRIALS, fold, n_folds), of, rows + fold) for fold in range(n_folds)]
    return plan(work, epochs, workers, Stacks(width, seconds))


@pytest.mark.parametrize("n_folds", [1, 5, 50])
@pytest.mark.parametrize("workers", [1, 2, 7, 200])
@pytest.mark.parametrize("width", ["auto", "unlimited", 1, 7, 112, 1000])
def test_every_network_is_in_one_stack_of_its_fold(width, workers, n_folds):
    stacks = planned(width, workers, n_folds=n_folds).stacks
    found = sorted((stack.fold, network.key) for stack in stacks for network in stack.networks)
    assert found == [(fold, trial.network_key(fold, n_folds)) for fold in range(n_folds) for trial in TRIALS]
    for fold in range(n_folds):
        widths = [len(stack.networks) for stack in stacks if stack.fold == fold]
        assert max(widths) - min(widths) <= 1
        if isinstance(width, int):
            assert max(widths) <= width
            assert len(widths) == -(-112 // width)
        elif width == "unlimited":
            assert widths == [112]


def test_a_networks_key_is_its_trials_if_there_is_one_fold():
    assert [network.key for network in SETTINGS.networks(TRIALS[:2])] == ["0000", "0001"]
    assert [network.key for network in SETTINGS.networks(TRIALS[:2], 2, 3)] == ["0000/3", "0001/3"]


@pytest.mark.parametrize("n_folds", [2, 5, 10])
@pytest.mark.parametrize("workers", [1, 2, 5, 56])
def test_auto_feeds_every_worker_from_all_folds_together(workers, n_folds):
    """No round leaves a worker idle, and no more stacks are made than the workers need."""
    stacks = planned(workers=workers, n_folds=n_folds, of=shape((2, 2), batch_size=1)).stacks
    assert len(stacks) % workers == 0
    assert n_folds <= len(stacks) < n_folds + workers or len(stacks) == workers
    by_fold = [sum(stack.fold == fold for stack in stacks) for fold in range(n_folds)]
    assert max(by_fold) - min(by_fold) <= 1


def test_the_stacks_of_the_folds_take_turns():
    stacks = planned(7, n_folds=3).stacks
    assert [stack.fold for stack in stacks] == [0, 1, 2] * 16
    firsts = [[network.key.partition("/")[0] for network in stack.networks] for stack in stacks[:3]]
    assert firsts[0] == firsts[1] == firsts[2]  # so these trials come to their end together
    found = planned(7, n_folds=3)
    assert all(found.stack_of(network.key) == at for at, s in enumerate(stacks) for network in s.networks)


def test_the_steps_of_an_epoch_are_those_of_the_fold():
    assert planned(n_folds=3, rows=1087).steps_per_epoch == (34, 34, 35)


def test_networks_with_one_optimizer_stand_together():
    for _, networks in planned().stacks:
        names = [network.optimizer.name for network in networks]
        assert len({*names}) == 4
        assert names == sorted(names)


def test_auto_feeds_every_worker_and_small_networks_run_wider_than_large_ones():
    for workers in (1, 2, 5, 56):
        assert len(planned(workers=workers).stacks) % workers == 0
    widths = [
        len(planned(of=shape(sizes)).stacks[0].networks)
        for sizes in ((32, 64, 10), (64, 128, 64, 10), (784, 256, 128, 10))
    ]
    assert widths == sorted(widths, reverse=True)
    assert widths[0] > 10
    assert widths[-1] == 1


def test_slices_last_about_as_long_as_asked():
    for seconds in (1, 10, 100):
        found = planned("unlimited", seconds=seconds, epochs=10_000)
        predicted = found.epochs_per_slice * found.steps_per_epoch[0] * 112 * network_step_seconds(SHAPE)
        assert 0.7 * seconds < predicted < 1.3 * seconds
    assert planned(seconds=1e-9).epochs_per_slice == 1
    assert planned(seconds=3600).epochs_per_slice == 30


@given(
    n_stacks=st.integers(1, 9),
    epochs=st.integers(1, 12),
    per_slice=st.integers(1, 12),
    workers=st.integers(1, 5),
    choices=st.randoms(use_true_random=False),
)
def test_the_scheduler_trains_every_stack_to_its_end_in_order(n_stacks, epochs, per_slice, workers, choices):
    scheduler = Scheduler(Plan((PlannedStack(0, ()),) * n_stacks, epochs, (1,), min(per_slice, epochs)))
    running: list[Slice] = []
    reached: Counter[int] = Counter()
    while not scheduler.done:
        while len(running) < workers and (chosen := scheduler.next()):
            assert chosen.start == reached[chosen.stack]  # never before its predecessor came back
            assert chosen.stack not in {one.stack for one in running}
            running.append(chosen)
        done = running.pop(choices.randrange(len(running)))  # slices end in any order
        reached[done.stack] = done.until
        scheduler.finished(done, networks_left=1)
    assert reached == dict.fromkeys(range(n_stacks), epochs)
    assert scheduler.next() is None


def test_the_scheduler_drops_a_stack_without_networks_and_prefers_stacks_on_their_way():
    scheduler = Scheduler(Plan((PlannedStack(0, ()),) * 2, 10, (1,), 5))
    first = scheduler.next()
    scheduler.finished(first, networks_left=3)
    assert scheduler.next() == Slice(0, 5, 10)
    other = scheduler.next()
    assert other == Slice(1, 0, 5)
    scheduler.finished(other, networks_left=0)
    assert scheduler.next() is None
    assert not scheduler.done  # slice 5 to 10 of stack 0 is running
    scheduler.finished(Slice(0, 5, 10), networks_left=3)
    assert scheduler.done


def report(loss, fingerprint="f", diverged=None, epochs=5, stopped=None, epoch=10):
    curves = {"validation/loss": [loss] * epochs, "validation/accuracy": [1 - loss] * epochs}
    return Report(curves, diverged, stopped, epoch, fingerprint)


def results(metric="loss", n=4):
    return Results(TRIALS[:n], 1, 0, 10, metric)


def test_results_count_what_is_done_and_know_the_best():
    found = results()
    keys = list(found.by_key)
    assert found.add({keys[0]: report(0.5), keys[1]: report(0.4)}, 0, 5) == 2
    assert (found.n_over, found.epochs_trained, found.epochs_left, found.best) == (0, 10, 30, None)
    diverged = report(0.3, "", (7, "train/loss was inf (limit 1e+06)"), epochs=1)
    assert found.add({keys[0]: report(0.2), keys[1]: diverged}, 5, 10) == 1
    assert (found.n_over, found.epochs_trained, found.epochs_left) == (2, 17, 20)
    assert found.best is found.trials[0]
    assert found.by_key[keys[1]].diverged[0] == 7
    assert len(found.by_key[keys[0]].curves["validation/loss"]) == 10


def test_a_network_that_is_stopped_early_is_over_and_ranked_by_its_best_epoch():
    found = results()
    keys = list(found.by_key)
    early = Report({"validation/loss": [0.5, 0.1, 0.4, 0.6]}, None, (4, "why"), 2, "f")
    assert found.add({keys[0]: early, keys[1]: report(0.3, epoch=5)}, 0, 5) == 1
    assert (found.n_over, found.epochs_trained, found.epochs_left) == (1, 9, 25)
    assert found.best is found.trials[0]
    assert found.best.mean == {"validation/loss": 0.1}
    assert [result.trial.key for result in found.ranking()] == [keys[0]]
    counts = sweep_summary(found, 1.0, [1])["trials"]
    assert counts == {"planned": 4, "finished": 0, "stopped": 1, "diverged": 0}


@pytest.mark.parametrize(("metric", "best"), [("loss", 1), ("accuracy", 1)])
def test_the_ranking_is_by_the_metric_in_its_direction_and_then_by_trial(metric, best):
    found = results(metric)
    keys = list(found.by_key)
    values = (0.5, 0.1, 0.5, 0.3)
    found.add({key: report(value, epochs=10) for key, value in zip(keys, values, strict=True)}, 0, 10)
    assert [result.trial.key for result in found.ranking()] == [keys[1], keys[3], keys[0], keys[2]]
    assert found.best.trial.key == keys[best]


def test_the_digest_sees_every_part_of_a_result():
    def digest(**change):
        found = results(n=1)
        content = {"loss": 0.5, "fingerprint": "f", "epochs": 10} | change
        found.add({TRIALS[0].key: report(**content)}, 0, 10)
        return found.digest()

    digests = [digest(), digest(loss=0.5000001), digest(fingerprint="g"), digest(diverged=(1, "why"))]
    digests += [digest(stopped=(9, "why")), digest(epoch=8)]
    digests.append(Results(TRIALS[:1], 1, 1, 10, "loss").digest())
    digests.append(Results(TRIALS[1:2], 1, 0, 10, "loss").digest())
    assert len({*digests}) == len(digests)
    assert digest() == digests[0]


def test_the_digest_does_not_depend_on_the_order_in_which_slices_end():
    reports = {trial.key: report(trial.number / 10, epochs=10) for trial in TRIALS[:4]}
    digests = set()
    for order in ([0, 1, 2, 3], [3, 1, 0, 2]):
        found = results()
        for index in order:
            found.add({TRIALS[index].key: reports[TRIALS[index].key]}, 0, 10)
        digests.add(found.digest())
    assert len(digests) == 1


def test_the_journal_is_read_while_it_is_written(tmp_path):
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    reader = Reader(path)
    assert list(reader.events()) == []
    journal.append("run", name="x")
    journal.append("slice", networks={"0": {"curves": {"loss": [0.1 + 0.2, 1e-30]}}})
    events = list(reader.events())
    assert [event["event"] for event in events] == ["run", "slice"]
    assert events[1]["networks"]["0"]["curves"]["loss"] == [0.1 + 0.2, 1e-30]  # to the last bit
    assert events[0]["time"] > 1.7e12
    with path.open("a") as file:
        file.write('{"event": "torn')
        file.flush()
        assert list(reader.events()) == []
        file.write('"}\n')
    assert [event["event"] for event in reader.events()] == ["torn"]
    journal.close()
    reader.close()
    with pytest.raises(FileExistsError):
        Journal(path)
