"""Law 2 for workers: a network that takes its worker along, or needs too much memory, leaves the others bit-equal."""

import csv
import json

import pytest
import venom
from running import read_journal, read_summary, run_command

SETTINGS = ("training.epochs=4", "training.batch_size=256", "tracking=none", "report=none")  # 5 steps an epoch


def results(folder):
    """What came of every network, by its trial's learning rate and regularizer."""
    networks = {}
    for event in read_journal(folder):
        if event["event"] == "rung":
            labels = {key: one["label"] for key, one in event["trials"].items()}
        elif event["event"] == "slice":
            for key, report in event["networks"].items():
                networks.setdefault(labels[key[:4]], []).extend(report["curves"].get("validation/loss", []))
    return networks


@pytest.fixture(scope="module")
def healthy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("healthy")
    run_command(folder, *venom.settings(folder), *SETTINGS, "execution=local")
    return read_summary(folder), results(folder)


@pytest.mark.slow
def test_law_2_a_trial_that_crashes_its_worker_each_time_is_found_and_failed(healthy, tmp_path):
    """One learning rate is deadly in its third epoch; on Ray, where it dies alone."""
    poison = venom.settings(tmp_path, fatal_step="[0,12]", learning_rate="[0.03,0.1]")
    run_command(
        tmp_path, *poison, *SETTINGS, "~space.regularizer.l1", "~space.regularizer.l2", "stages.sweep.retries=1"
    )
    found = read_summary(tmp_path)
    assert found["trials"] == {"planned": 12, "finished": 6, "stopped": 0, "diverged": 0, "failed": 6}
    assert found["status"] == "finished"
    assert found["work"]["retried_slices"] >= 6 * 2
    given_up = [
        (key, report["diverged"])
        for event in read_journal(tmp_path)
        if event["event"] == "slice"
        for key, report in event["networks"].items()
        if report["diverged"]
    ]
    assert len(given_up) == 6
    assert {tuple(ended) for _, ended in given_up} == {(3, "its worker was lost again and again (the worker died)")}
    board = next(tmp_path.glob("runs/*/*/leaderboard.csv")).read_text()
    assert board.count("failed in epoch 3: its worker was lost again and again (the worker died)") == 6
    fine = [trial["validation/loss"] for trial in read_board(tmp_path) if trial["status"] == "finished"]
    undisturbed = [trial["validation/loss"] for trial in read_board_of(healthy)]
    assert len(fine) == 6
    assert set(fine) <= set(undisturbed)


def read_board(folder):
    with next(folder.glob("runs/*/*/leaderboard.csv")).open() as file:
        return list(csv.DictReader(file))


def read_board_of(healthy):
    return [{"validation/loss": str(losses[-1])} for losses in healthy[1].values()]


@pytest.mark.slow
@pytest.mark.parametrize("execution", ["local", "ray"])
def test_a_stack_without_enough_memory_is_halved_and_goes_on(execution, healthy, tmp_path):
    narrow = venom.settings(tmp_path, widest="3")
    run_command(tmp_path, *narrow, *SETTINGS, f"execution={execution}", "stacks.width=28")
    found = read_summary(tmp_path)
    assert found["trials"]["finished"] == 28
    assert found["work"]["retried_slices"] >= 7
    assert sorted(results(tmp_path).values()) == sorted(healthy[1].values())


@pytest.mark.slow
def test_a_network_that_never_has_enough_memory_fails_alone(tmp_path):
    """Width 1 does not fit, either, for half of them: a tenth of a network is too wide."""
    greedy = venom.settings(tmp_path, widest="[0,0.5]", learning_rate="[0.1]")
    run_command(tmp_path, *greedy, *SETTINGS, "execution=local")
    found = read_summary(tmp_path)
    assert found["trials"] == {"planned": 14, "finished": 7, "stopped": 0, "diverged": 0, "failed": 7}
    assert "its worker was lost again and again (out of memory)" in json.dumps(read_journal(tmp_path))
