"""Law 5, run=<id>: a run gets more trials, epochs and seeds, and is then as if it had had them from the start."""

import json
import shutil

import pytest
from interrupted import count_trained_epochs
from running import FEW, run_command, run_sweep, slow_after_first

from pipeline.components.errors import SettingError

ONLY_ADAM = tuple(f"~space.optimizer.{name}" for name in ("sgd", "momentum", "rmsprop"))
MORE = {  # settings, and the network-epochs that there are then: 7 trials of 3 epochs before
    "trials": ((*ONLY_ADAM, "space.optimizer.adam.learning_rate=[0.003,0.01]"), 14 * 3),
    "trials before the others": ((*ONLY_ADAM, "space.optimizer.adam.learning_rate=[0.001,0.003]"), 14 * 3),
    "epochs": ((*FEW, "training.epochs=5"), 7 * 5),
    "seeds": ((*FEW, "training.seeds=3"), 21 * 3),
    "all": ((*ONLY_ADAM, "space.optimizer.adam.learning_rate=[0.001,0.003]", "training.seeds=2", "training.epochs=4"),
            28 * 4),
}  # fmt: skip


HALVING = ("search=halving", "search@search.candidates=random", "search.candidates.trials=12")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    runs = tmp_path_factory.mktemp("small")
    return runs, run_sweep(runs, *FEW)["run_id"]


@pytest.fixture
def copied(small, tmp_path):
    """The folder of runs, the run's id, and its journal."""
    runs, name = small
    shutil.copytree(runs, tmp_path / "runs")
    return tmp_path / "runs", name, tmp_path / "runs" / "digits" / name / "journal.jsonl"


@pytest.mark.parametrize("more", slow_after_first([*reversed(MORE)]))
def test_law_5_a_run_that_grows_is_as_if_it_had_been_large_from_the_start(more, copied, tmp_path):
    runs, name, journal = copied
    settings, n_epochs = MORE[more]
    at_once = run_sweep(tmp_path / "at once", *settings)
    found = run_sweep(runs, *settings, f"run={name}")
    assert found["run_id"] == name
    assert (found["digest"], found["best"]) == (at_once["digest"], at_once["best"])
    assert (found["trials"], found["networks"]) == (at_once["trials"], at_once["networks"])
    assert found["work"]["resumed_networks"] == 7
    done = count_trained_epochs(journal)
    assert len(done) == n_epochs
    assert set(done.values()) == {1}


@pytest.mark.slow
def test_law_5_a_run_grows_step_by_step(copied, tmp_path):
    runs, name, journal = copied
    for settings, _ in (MORE["epochs"], MORE["seeds"]):
        run_sweep(runs, *settings, "training.epochs=5", f"run={name}")
    last = (*MORE["trials"][0], "training.epochs=6", "training.seeds=3")
    found = run_sweep(runs, *last, f"run={name}")
    assert found["digest"] == run_sweep(tmp_path / "at once", *last)["digest"]
    assert len(count_trained_epochs(journal)) == 14 * 3 * 6
    assert set(count_trained_epochs(journal).values()) == {1}


def test_law_5_a_finished_run_can_be_resumed_and_has_nothing_to_do(copied, small):
    runs, name, journal = copied
    before = json.loads((journal.parent / "summary.json").read_text())
    found = run_sweep(runs, *FEW, f"run={name}")
    assert (found["digest"], found["best"]) == (before["digest"], before["best"])
    assert (found["work"]["slices"], found["work"]["resumed_networks"]) == (0, 7)


def test_law_5_with_another_schedule_all_is_trained_anew(copied, tmp_path):
    """One that ends at the last epoch: what was learnt at other rates is of no use."""
    runs, name, _ = copied
    settings = (*FEW, "schedule@training.schedule=cosine")
    found = run_sweep(runs, *settings, f"run={name}")
    assert found["digest"] == run_sweep(tmp_path / "at once", *settings)["digest"]
    assert found["work"]["resumed_networks"] == 0


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("prepare.scaling=min_max", "prepare.scaling was standard, is min_max"),
        ("split.seed=4", "split.seed was 0, is 4"),
        ("training.loss_limit=10.0", "training.loss_limit was 1000000.0, is 10.0"),
    ],
)
def test_law_5_other_data_or_networks_are_refused(change, told, copied):
    runs, name, _ = copied
    with pytest.raises(SettingError, match=f"^run={name} cannot be resumed, .*: {told}; use the same settings"):
        run_sweep(runs, *FEW, change, f"run={name}")


@pytest.mark.parametrize("extra", [("prepare.scaling=min_max",), ("resume=never",)])
def test_law_5_what_cannot_be_resumed_ends_with_exit_code_2(extra, copied):
    runs, name, _ = copied
    settings = (*FEW, "tracking=none", "execution=local", "training.epochs=3", f"runs={runs}", f"run={name}")
    done = run_command(runs.parent, *settings, *extra, check=False)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert extra[0].partition("=")[0] in done.stderr


SEARCHED = ("space=ranges", "select.ensemble=0", "stacks.slice_seconds=0.001", "training.epochs=9")
SEARCHES = {  # a small search, and what makes it larger
    "population": (("search=population", "search.size=6", "search.every=2"), ()),
    "population, more epochs": (("search=population", "search.size=6", "search.every=3"), ("training.epochs=12",)),
    "halving, more trials": (
        ("search=halving", "search@search.candidates=random", "search.candidates.trials=6"),
        ("search.candidates.trials=27",),
    ),
    "halving, more seeds": (("search=halving", "search@search.candidates=random"), ("training.seeds=2",)),
    "halving after all": (("search=random", "search.trials=12"), HALVING),
}


@pytest.mark.parametrize("search", slow_after_first(SEARCHES))
def test_law_5_a_search_that_grows_decides_as_if_it_had_been_large_from_the_start(search, tmp_path):
    """Also about trials that it lets go sooner than before: they show what they had learnt by then."""
    settings, more = SEARCHES[search]
    small = run_sweep(tmp_path, "data=iris", *SEARCHED, *settings)
    settings = more if more == HALVING else (*settings, *more)
    at_once = run_sweep(tmp_path / "at once", "data=iris", *SEARCHED, *settings)
    found = run_sweep(tmp_path, "data=iris", *SEARCHED, *settings, f"run={small['run_id']}")
    assert (found["digest"], found["best"]) == (at_once["digest"], at_once["best"])
    assert (found["trials"], found["networks"]) == (at_once["trials"], at_once["networks"])
    if not more:
        assert found["work"]["slices"] == 0


def test_law_5_a_lost_state_of_a_copy_is_said(tmp_path):
    """What a copied network has learnt before it was copied cannot be learnt anew by its own settings."""
    settings = ("data=iris", *SEARCHED, "search=population", "search.size=6", "search.every=2")
    folder = tmp_path / "iris" / run_sweep(tmp_path, *settings)["run_id"]
    lines = (folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "journal.jsonl").write_bytes(b"".join(lines[: int(0.7 * len(lines))]))
    shutil.rmtree(folder / "states")
    with pytest.raises(SettingError, match=r"no longer holds the state of trial \d{4}.*; begin a new run with resume"):
        run_sweep(tmp_path, *settings, "resume=required")


def test_law_5_what_was_learnt_is_not_unlearnt(copied):
    runs, name, _ = copied
    with pytest.raises(
        SettingError, match=f"^training.epochs=2 must be at least 3, .* run={name} are trained; or leave run="
    ):
        run_sweep(runs, *FEW, "training.epochs=2", f"run={name}")


def test_law_5_a_run_that_is_not_there_is_named(copied):
    runs, _, _ = copied
    with pytest.raises(
        SettingError, match=r"^run=nothing: there is no such run in .*/runs/digits; the names of its folders"
    ):
        run_sweep(runs, *FEW, "run=nothing")


def test_law_5_the_states_of_a_finished_run_need_not_be_there(copied, tmp_path):
    """Without them all is trained again, and comes to the same."""
    runs, name, journal = copied
    shutil.rmtree(journal.parent / "states")
    found = run_sweep(runs, *MORE["epochs"][0], f"run={name}")
    assert found["digest"] == run_sweep(tmp_path / "at once", *MORE["epochs"][0])["digest"]
