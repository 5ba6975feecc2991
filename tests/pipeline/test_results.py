"""Sweep records: how the reports of slices are joined, by network and by trial."""

import math
from dataclasses import replace
from itertools import permutations

import pytest
from sweeps import add_slice, checkpoint_ref, open_records, open_trial, report

from pipeline.engine.records import digest
from pipeline.runs.records import CheckpointRef, Replicate, replicates

INF = (7, "train/loss was inf (limit 1e+06)")


def test_networks_go_trial_by_trial_with_the_folds_and_the_seeds_inside():
    assert replicates(2, 5, 2) == [Replicate(0, 5), Replicate(0, 6), Replicate(1, 5), Replicate(1, 6)]
    assert list(open_records(2, 2, 2).networks) == [
        f"000{t}/{fold}/{seed}" for t in (0, 1) for fold in (1, 2) for seed in (0, 1)
    ]


def test_slices_are_counted_and_joined():
    records = open_records(4)
    first, second = list(records.networks)[:2]
    assert add_slice(records, {first: report(0.5, 0.6), second: report(0.4, 0.4)}, 0, 2) == [first, second]
    assert (records.n_finished, records.epochs_trained, records.n_slices, records.best) == (0, 4, 1, None)
    assert add_slice(records, {first: report(0.2), second: replace(report(), diverged=(3, "why"))}, 2, 3) == [first]
    assert (records.epochs_trained, records.n_slices) == (6, 2)
    assert list(records.networks[first].curves["validation/loss"]) == [0.5, 0.6, 0.2]
    assert records.networks[second].diverged == (3, "why")
    assert (records.networks[second].checkpoint, records.networks[second].ended) == (None, True)
    records.finish("0000")
    assert records.mark_finished(records.trials) == ["0000", "0001"]
    assert records.mark_finished(records.trials) == []  # each once
    assert (records.n_finished, records.best) == (2, records.trials["0000"])


def test_a_network_that_stops_early_is_finished_and_ranked_by_its_best_epoch():
    records = open_records(4)
    first, second = list(records.networks)[:2]
    early = report(0.5, 0.1, 0.4, 0.6, stopped=(4, "why"), selected_epoch=2)
    assert add_slice(records, {first: early, second: report(*[0.3] * 5, selected_epoch=5)}, 0, 5) == [second]
    assert (records.epochs_trained, records.networks[first].epochs_trained) == (9, 4)
    records.finish("0001")
    records.mark_finished(records.trials)
    assert records.best.mean["validation/loss"] == 0.1
    assert [trial.key for trial in records.ranking()] == ["0000", "0001"]
    assert (records.trials["0000"].stopped_early, records.trials["0001"].stopped_early) == (True, False)


@pytest.mark.parametrize("metric", ["loss", "accuracy"])
def test_the_ranking_is_by_the_metric_in_its_direction_and_then_by_trial(metric):
    records = open_records(4, metric=metric)
    for key, value in zip(records.networks, (0.5, 0.1, 0.5, 0.3), strict=True):
        add_slice(records, {key: report(value, selected_epoch=1)}, 0, 1, last=True)
    assert [trial.key for trial in records.ranking()] == ["0001", "0003", "0000", "0002"]
    records.mark_finished(records.trials)
    assert records.best.key == "0001"


def test_scores_at_an_epoch_are_those_of_the_epoch_selected_then():
    """With weight averaging or early stopping the selected epoch may be before the last of the slice."""
    records = open_records(1)
    (key,) = records.networks
    add_slice(records, {key: report(0.5, 0.2, 0.9, selected_epoch=2)}, 0, 3)
    add_slice(records, {key: report(0.8, 0.1, selected_epoch=5)}, 3, 5)
    network = records.networks[key]
    assert [network.result_known_at(epoch) for epoch in range(1, 7)] == [False, False, True, False, True, False]
    assert (network.metrics_at(3)["validation/loss"], network.metrics_at(5)["validation/loss"]) == (0.2, 0.1)
    assert network.final_metrics["validation/loss"] == 0.1
    add_slice(records, {key: replace(report(), diverged=INF)}, 5, 7)
    assert (network.result_known_at(40), network.diverged_by(6), network.diverged_by(7)) == (True, False, True)
    assert network.metrics_at(3)["validation/loss"] == 0.2  # an earlier rung still has its score


def test_training_again_from_the_first_epoch_replaces_earlier_results():
    records = open_records(1)
    (key,) = records.networks
    add_slice(records, {key: report(0.5, 0.4, 0.3, selected_epoch=3, fingerprint="old")}, 0, 3)
    add_slice(records, {key: report(0.2, 0.1, selected_epoch=5)}, 3, 5)
    add_slice(records, {key: report(0.6, 0.4, selected_epoch=2, fingerprint="new")}, 0, 2)
    network = records.networks[key]
    assert list(network.curves["validation/loss"]) == [0.6, 0.4]
    assert (network.epochs_trained, network.fingerprint) == (2, "new")
    assert [network.result_known_at(epoch) for epoch in (2, 3, 5)] == [True, False, False]


def test_a_copy_continues_the_history_of_its_origin_without_changing_it():
    """As in population-based training: trial 1 continues from trial 0."""
    records = open_records(2)
    good, bad = records.networks
    add_slice(records, {good: report(0.3, 0.2, selected_epoch=2), bad: report(0.9, 0.8, selected_epoch=2)}, 0, 2)
    content_hash = "copy 0001/1/0"
    open_trial(records, 1, content_hash="copy ", origins={content_hash: records.networks[good]})
    copy = records.networks[bad]
    assert (copy.key, copy.content_hash, copy.epochs_trained, copy.checkpoint) == (
        bad,
        content_hash,
        2,
        checkpoint_ref(good, "00000-2"),
    )
    assert list(copy.curves["validation/loss"]) == [0.3, 0.2]
    add_slice(records, {bad: report(0.1, selected_epoch=3)}, 2, 3)
    assert list(records.networks[good].curves["validation/loss"]) == [0.3, 0.2]
    assert list(records.networks[bad].curves["validation/loss"]) == [0.3, 0.2, 0.1]
    assert list(records.known["hash of 0001/1/0"].curves["validation/loss"]) == [
        0.9,
        0.8,
    ]  # the record before the copy is kept
    assert records.n_resumed == 0


def test_results_of_earlier_sessions_are_kept_and_counted():
    before = open_records(2)
    add_slice(before, {"0000/1/0": report(0.3, 0.2, selected_epoch=2)}, 0, 2)
    records = open_records(
        3, known={content_hash: result for content_hash, result in before.known.items() if result.epochs_trained}
    )
    assert records.n_resumed == 1
    assert (records.networks["0000/1/0"].epochs_trained, records.epochs_trained) == (2, 0)
    open_trial(records, 0)  # the next rung
    assert records.n_resumed == 1


def test_a_checkpoint_also_refers_to_stopped_networks_in_its_file():
    records = open_records(2)
    stopped, running = records.networks
    add_slice(
        records,
        {stopped: report(0.3, selected_epoch=1, stopped=(1, "why")), running: report(0.4, selected_epoch=1)},
        0,
        1,
    )
    held = CheckpointRef("00000-2", "1" * 64, stopped)
    records.add(
        {running: report(0.4, selected_epoch=2)},
        1,
        2,
        {running: checkpoint_ref(running, "00000-2"), stopped: held},
        False,
    )
    assert records.networks[stopped].checkpoint == held


def test_a_pruned_trial_has_a_result_and_a_cause():
    records = open_records(2)
    add_slice(records, {"0000/1/0": report(0.3, selected_epoch=1)}, 0, 1)
    for key in records.trials:
        records.prune(key, "the budget is used up")
    assert records.networks["0000/1/0"].pruned == (1, "the budget is used up")
    assert [trial.rankable for trial in records.trials.values()] == [True, False]  # the second was never trained
    assert records.trials["0000"].status == "pruned after epoch 1: the budget is used up"
    records.finish("0000")
    records.prune("0000", "another cause")
    assert records.networks["0000/1/0"].pruned == (1, "the budget is used up")


def digest_with(change=None, **of):
    records = open_records(1, **of)
    content = (
        report(0.5, 0.4, selected_epoch=2) if change is None else replace(report(0.5, 0.4, selected_epoch=2), **change)
    )
    add_slice(records, dict.fromkeys(records.networks, content), 0, 2)
    return digest(records)


def test_the_digest_depends_on_every_part_of_a_result():
    curves = report(0.5, math.nextafter(0.4, 1)).curves
    digests = [
        digest_with(),
        digest_with({"curves": curves}),
        digest_with({"fingerprint": "g"}),
        digest_with({"diverged": (1, "why")}),
    ]
    digests += [
        digest_with({"stopped": (2, "why")}),
        digest_with({"stopped": (2, "other")}),
        digest_with({"selected_epoch": 1}),
    ]
    digests += [digest_with(n_folds=2), digest_with(n_seeds=2)]
    pruned_trial, other_trial, other_seed = open_records(1), open_records(0), open_records(0)
    open_trial(other_trial, 1)
    other_seed.replicates = (Replicate(0, 1),)
    open_trial(other_seed, 0)
    for records in (pruned_trial, other_trial, other_seed):
        add_slice(records, {key: report(0.5, 0.4, selected_epoch=2) for key in records.networks}, 0, 2)
    pruned_trial.prune("0000", "why")
    digests += [digest(records) for records in (pruned_trial, other_trial, other_seed)]
    assert len({*digests}) == len(digests)
    assert digest_with() == digests[0]


def test_the_digest_treats_all_nans_as_equal_and_all_other_numbers_as_different():
    """The sign and payload of a NaN depend on the processor, and a journal does not store them."""
    nan, other_nan, minus, plus = (
        digest_with({"curves": report(0.5, value).curves}) for value in (math.nan, -math.nan, -0.0, 0.0)
    )
    assert nan == other_nan
    assert len({nan, minus, plus}) == 3


def test_the_digest_does_not_depend_on_the_order_in_which_slices_end_or_on_where_states_are():
    digests = set()
    for order in permutations(range(3)):
        records = open_records(3)
        for number in order:
            key = f"{number:04d}/1/0"
            records.add(
                {key: report(number / 10, selected_epoch=1)}, 0, 1, {key: checkpoint_ref(key, f"{order}")}, True
            )
        digests.add(digest(records))
    assert len(digests) == 1
