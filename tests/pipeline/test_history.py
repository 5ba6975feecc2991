"""The history in the journal of earlier sessions: trained epochs of each network, and the duration of the sweep."""

from dataclasses import asdict, replace
from hashlib import sha256

import pytest
from sweeps import report

from nncore.stack.training import Report
from pipeline.runs.replay import history_of
from pipeline.runs.resume import known_networks

FIRST, SECOND = "0000/1/0", "0001/2/3"


HASHES = {FIRST: "a", SECOND: "b"}


def rung(*networks, time=0):
    return {
        "event": "rung",
        "time": time,
        "line": 1,
        "number": 1,
        "until": {},
        "trials": {key[:4]: {"labels": ["sgd", "none", ""], "parameters": {}} for key, _, _ in networks},
        "networks": {key: [content_hash, origin] for key, content_hash, origin in networks},
    }


class RunFolderStub:
    """A run's folder with checkpoint files, and the slice events that refer to them."""

    def __init__(self, path):
        self.path = path
        (path / "states").mkdir()

    def slice(self, start, until, held=(), stack=0, time=0, hashes=HASHES, **reports: Report):
        file = f"{stack:05d}-{until}"
        content = f"state {file}".encode()
        (self.path / "states" / file).write_bytes(content)
        keys = {"first": FIRST, "second": SECOND}
        networks = {
            keys[name]: {"content_hash": hashes[keys[name]], **asdict(network_report)}
            for name, network_report in reports.items()
        }
        event = {"event": "slice", "time": time, "line": 2, "stack": stack, "start": start, "until": until}
        event |= {"held": {key: hashes[key] for key in held}}
        return event | {"file": file, "sha256": sha256(content).hexdigest(), "networks": networks}


@pytest.fixture
def folder(tmp_path):
    return RunFolderStub(tmp_path)


def networks_after(folder, recorded):
    return known_networks(folder.path, history_of(recorded))


def history(*recorded):
    return history_of(recorded)


BEGIN = rung((FIRST, "a", None), (SECOND, "b", None))


def test_slices_of_a_network_are_joined(folder):
    recorded = [
        BEGIN,
        folder.slice(0, 2, first=report(0.5, 0.4, selected_epoch=2), second=report(0.9, 0.8, selected_epoch=2)),
        folder.slice(2, 3, first=report(0.3, selected_epoch=3), second=replace(report(), diverged=(3, "why"))),
    ]
    networks = networks_after(folder, recorded)
    assert list(networks["a"].curves["validation/loss"]) == [0.5, 0.4, 0.3]
    assert (networks["a"].key, networks["a"].replicate, networks["a"].epochs_trained) == (FIRST, (0, 0), 3)
    assert (networks["b"].replicate, networks["b"].diverged, networks["b"].checkpoint) == ((1, 3), (3, "why"), None)
    assert networks["a"].checkpoint == (recorded[2]["file"], recorded[2]["sha256"], FIRST)
    assert [networks["a"].result_known_at(epoch) for epoch in (1, 2, 3)] == [False, True, True]


def test_a_later_session_that_repeats_the_rung_changes_nothing(folder):
    slices = [folder.slice(0, 2, first=report(0.5, 0.4, selected_epoch=2))]
    once = networks_after(folder, [BEGIN, *slices])
    assert networks_after(folder, [BEGIN, *slices, {"event": "run", "time": 1}, BEGIN]) == once


def test_a_copy_has_the_history_of_its_origin(folder):
    recorded = [
        BEGIN,
        folder.slice(0, 1, first=report(0.5, selected_epoch=1), second=report(0.9, selected_epoch=1)),
        rung((FIRST, "a", None), (SECOND, "c", "a")),
        folder.slice(1, 2, stack=1, hashes=HASHES | {SECOND: "c"}, second=report(0.1, selected_epoch=2)),
    ]
    networks = networks_after(folder, recorded)
    assert list(networks["c"].curves["validation/loss"]) == [0.5, 0.1]
    assert list(networks["a"].curves["validation/loss"]) == [0.5]
    assert list(networks["b"].curves["validation/loss"]) == [0.9]
    assert (networks["c"].key, networks["c"].checkpoint.file) == (SECOND, "00001-2")


def test_the_latest_training_from_the_first_epoch_counts(folder):
    recorded = [
        BEGIN,
        folder.slice(0, 2, first=report(0.5, 0.4, selected_epoch=2)),
        folder.slice(0, 1, stack=1, first=report(0.5, selected_epoch=1)),
    ]
    networks = networks_after(folder, recorded)
    assert (list(networks["a"].curves["validation/loss"]), networks["a"].epochs_trained) == ([0.5], 1)


def test_a_stopped_network_is_found_in_the_last_file_of_its_stack(folder):
    recorded = [
        BEGIN,
        folder.slice(
            0, 1, first=report(0.5, selected_epoch=1, stopped=(1, "why")), second=report(0.9, selected_epoch=1)
        ),
        folder.slice(1, 2, held=[FIRST], second=report(0.8, selected_epoch=2)),
    ]
    (folder.path / "states" / "00000-1").unlink()
    networks = networks_after(folder, recorded)
    assert (networks["a"].checkpoint.file, networks["a"].stopped, networks["a"].epochs_trained) == (
        "00000-2",
        (1, "why"),
        1,
    )


@pytest.mark.parametrize("damage", ["changed", "cut", "gone"])
def test_law_5_a_damaged_checkpoint_is_ignored_but_its_epochs_count(damage, folder):
    recorded = [
        BEGIN,
        folder.slice(0, 1, first=report(0.5, selected_epoch=1)),
        folder.slice(0, 1, stack=1, second=report(0.9, selected_epoch=1)),
    ]
    path = folder.path / "states" / "00000-1"
    content = path.read_bytes()
    path.unlink()
    if damage != "gone":
        path.write_bytes(content[:-1] if damage == "cut" else b"S" + content[1:])
    networks = networks_after(folder, recorded)
    assert (networks["a"].checkpoint, networks["a"].epochs_trained) == (None, 1)
    assert networks["b"].checkpoint.file == "00001-1"


def test_stack_numbers_continue(folder):
    assert history().next_stack == 0
    assert history(BEGIN, folder.slice(0, 1, stack=7), folder.slice(1, 2, stack=3)).next_stack == 8


def test_elapsed_seconds_are_those_between_a_sessions_beginning_and_its_last_slice(folder):
    """The time between two sessions does not count."""
    run, end = {"event": "run", "time": 0}, {"event": "end", "time": 99_000}
    session = [
        run,
        rung(time=10_000),
        folder.slice(0, 1, time=12_000),
        rung(time=12_500),
        folder.slice(1, 2, time=15_000),
        end,
    ]
    later = [run | {"time": 500_000}, rung(time=503_000), folder.slice(2, 3, time=504_500)]
    assert history().elapsed_seconds == 0
    assert history(*session).elapsed_seconds == 15.0
    assert history(*session, *later).elapsed_seconds == 15 + 4.5
    assert history(run, folder.slice(0, 1, time=1000)).elapsed_seconds == 1.0
