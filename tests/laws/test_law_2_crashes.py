"""Law 2 for workers: other networks are bit-equal when one crashes its worker or needs too much memory."""

import csv
import json

import pytest
import venom
from running import nightly_after_first, read_journal, read_summary, run_command

SETTINGS = (
    "training.epochs=4",
    "training.batch_size=256",
    "tracking=none",
    "report=none",
    "baselines=none",
)  # 5 steps per epoch


def validation_losses(folder):
    """The validation losses of every network, by the label of its trial."""
    networks = {}
    for event in read_journal(folder):
        if event["event"] == "rung":
            labels = {key: ", ".join(filter(None, trial["labels"])) for key, trial in event["trials"].items()}
        elif event["event"] == "slice":
            for key, report in event["networks"].items():
                networks.setdefault(labels[key[:4]], []).extend(report["curves"].get("validation/loss", []))
    return networks


@pytest.fixture(scope="module")
def healthy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("healthy")
    run_command(folder, *venom.settings(folder), *SETTINGS, "execution=local")
    return read_summary(folder), validation_losses(folder)


@pytest.mark.slow
def test_law_2_a_trial_that_always_crashes_its_worker_fails_alone(healthy, tmp_path):
    """One learning rate crashes the worker in its third epoch; on Ray, so that only the worker dies."""
    poison = venom.settings(tmp_path, fatal_step="[0,12]", learning_rate="[0.1]")
    run_command(
        tmp_path,
        *poison,
        *SETTINGS,
        "~space.regularizer.l1",
        "~space.regularizer.l2",
        "~space.regularizer.weight_decay",
        "stages.sweep.retries=1",
    )
    summary = read_summary(tmp_path)
    assert summary["trials"] == {"planned": 6, "finished": 3, "stopped": 0, "diverged": 0, "failed": 3}
    assert summary["status"] == "finished"
    assert summary["work"]["retried_slices"] >= 3 * 2
    failed = [
        (key, report["diverged"])
        for event in read_journal(tmp_path)
        if event["event"] == "slice"
        for key, report in event["networks"].items()
        if report["diverged"]
    ]
    assert len(failed) == 3
    assert {tuple(divergence) for _, divergence in failed} == {
        (3, "its worker was lost again and again (the worker died)")
    }
    board = next(tmp_path.glob("runs/*/*/leaderboard.csv")).read_text()
    assert board.count("failed in epoch 3: its worker was lost again and again (the worker died)") == 3
    losses = [trial["validation/loss"] for trial in read_leaderboard(tmp_path) if trial["status"] == "finished"]
    undisturbed = [str(curve[-1]) for curve in healthy[1].values()]
    assert len(losses) == 3
    assert set(losses) <= set(undisturbed)


def read_leaderboard(folder):
    with next(folder.glob("runs/*/*/leaderboard.csv")).open() as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
@pytest.mark.parametrize("execution", nightly_after_first(["local", "ray"]))
def test_law_2_a_stack_without_enough_memory_is_halved_and_continues(execution, healthy, tmp_path):
    narrow = venom.settings(tmp_path, widest="3")
    run_command(tmp_path, *narrow, *SETTINGS, f"execution={execution}", "stacks.width=28")
    summary = read_summary(tmp_path)
    assert summary["trials"]["finished"] == 28
    assert summary["work"]["retried_slices"] >= 7
    assert sorted(validation_losses(tmp_path).values()) == sorted(healthy[1].values())


@pytest.mark.slow
def test_law_2_a_network_that_never_has_enough_memory_fails_alone(tmp_path):
    """Half of the networks do not fit into memory even in a stack of width 1."""
    poison = venom.settings(tmp_path, widest="[0,0.5]", learning_rate="[0.1]")
    run_command(tmp_path, *poison, *SETTINGS, "execution=local")
    summary = read_summary(tmp_path)
    assert summary["trials"] == {"planned": 14, "finished": 7, "stopped": 0, "diverged": 0, "failed": 7}
    assert "its worker was lost again and again (out of memory)" in json.dumps(read_journal(tmp_path))
