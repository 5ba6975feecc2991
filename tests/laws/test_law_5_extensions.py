"""Law 5, run=<id>: a run that is extended by trials, epochs or seeds equals one that had them from the start."""

import json
import shutil

import pytest
from interrupted import count_trained_epochs
from running import FEW, run_here, run_sweep, slow_after_first

from pipeline.components.errors import SettingError
from pipeline.data.tabular_files import Csv

ONLY_ADAM = ("~space.network", *(f"~space.optimizer.{name}" for name in ("sgd", "momentum", "rmsprop")))
EXTENSIONS = {  # settings, and the total of network-epochs; before, there are 7 trials of 3 epochs
    "trials": ((*ONLY_ADAM, "space.optimizer.adam.learning_rate=[0.003,0.01]"), 14 * 3),
    "trials before the others": ((*ONLY_ADAM, "space.optimizer.adam.learning_rate=[0.001,0.003]"), 14 * 3),
    "epochs": ((*FEW, "training.epochs=5"), 7 * 5),
    "seeds": ((*FEW, "training.seeds=3"), 21 * 3),
    "all": ((*ONLY_ADAM, "space.optimizer.adam.learning_rate=[0.001,0.003]", "training.seeds=2", "training.epochs=4"),
            28 * 4),
}  # fmt: skip


HALVING = ("search=halving", "search@search.candidates=random", "search.candidates.trials=12")


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory):
    runs = tmp_path_factory.mktemp("small")
    return runs, run_sweep(runs, *FEW)["run_id"]


@pytest.fixture
def copied_run(finished_run, tmp_path):
    """A copy of the finished run: the folder of runs, the run's id, and its journal."""
    runs, name = finished_run
    shutil.copytree(runs, tmp_path / "runs")
    return tmp_path / "runs", name, tmp_path / "runs" / "digits" / name / "journal.jsonl"


@pytest.mark.parametrize("extension", slow_after_first([*reversed(EXTENSIONS)]))
def test_law_5_an_extended_run_equals_one_that_was_large_from_the_start(extension, copied_run, tmp_path):
    runs, name, journal = copied_run
    settings, n_epochs = EXTENSIONS[extension]
    expected = run_sweep(tmp_path / "at once", *settings)
    summary = run_sweep(runs, *settings, f"run={name}")
    assert summary["run_id"] == name
    assert (summary["digest"], summary["best"]) == (expected["digest"], expected["best"])
    assert (summary["trials"], summary["networks"]) == (expected["trials"], expected["networks"])
    assert summary["work"]["resumed_networks"] == 7
    counts = count_trained_epochs(journal)
    assert len(counts) == n_epochs
    assert set(counts.values()) == {1}


@pytest.mark.slow
def test_law_5_a_run_can_be_extended_several_times(copied_run, tmp_path):
    runs, name, journal = copied_run
    for settings, _ in (EXTENSIONS["epochs"], EXTENSIONS["seeds"]):
        run_sweep(runs, *settings, "training.epochs=5", f"run={name}")
    last = (*EXTENSIONS["trials"][0], "training.epochs=6", "training.seeds=3")
    summary = run_sweep(runs, *last, f"run={name}")
    assert summary["digest"] == run_sweep(tmp_path / "at once", *last)["digest"]
    assert len(count_trained_epochs(journal)) == 14 * 3 * 6
    assert set(count_trained_epochs(journal).values()) == {1}


def test_law_5_resuming_a_finished_run_trains_nothing(copied_run, finished_run):
    runs, name, journal = copied_run
    before = json.loads((journal.parent / "summary.json").read_text())
    summary = run_sweep(runs, *FEW, f"run={name}")
    assert (summary["digest"], summary["best"]) == (before["digest"], before["best"])
    assert (summary["work"]["slices"], summary["work"]["resumed_networks"]) == (0, 7)


@pytest.mark.parametrize("last", ["last", "'last~0'"])
def test_law_5_the_last_run_is_extended_by_that_name(last, copied_run):
    runs, name, _ = copied_run
    with pytest.raises(SettingError, match=r"split\.validation"):  # a run that fails on its data is not the last one
        run_sweep(runs, *FEW, "split.validation=0.0001", "resume=never")
    summary = run_sweep(runs, *FEW, "training.epochs=4", f"run={last}")
    assert (summary["run_id"], summary["work"]["resumed_networks"]) == (name, 7)


def test_law_5_a_different_schedule_trains_all_networks_from_scratch(copied_run, tmp_path):
    """The cosine schedule depends on the last epoch: weights trained at other rates cannot be used."""
    runs, name, _ = copied_run
    settings = (*FEW, "schedule@training.schedule=cosine")
    summary = run_sweep(runs, *settings, f"run={name}")
    assert summary["digest"] == run_sweep(tmp_path / "at once", *settings)["digest"]
    assert summary["work"]["resumed_networks"] == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("prepare.scaling=min_max", "prepare.scaling was standard, is min_max"),
        ("split.seed=4", "split.seed was 0, is 4"),
        ("training.loss_limit=10.0", "training.loss_limit was 1000000.0, is 10.0"),
    ],
)
def test_law_5_extending_with_other_data_or_networks_is_refused(change, message, copied_run):
    runs, name, _ = copied_run
    with pytest.raises(SettingError, match=f"^run={name} cannot be resumed, .*: {message}; use the same settings"):
        run_sweep(runs, *FEW, change, f"run={name}")


def write_flowers(path, *, last="2.0"):
    """A table of 60 rows in which the length tells two kinds apart."""
    rows = [f"{1 + number % 2 + number / 1000},{'ab'[number % 2]}" for number in range(59)]
    path.write_text("\n".join(["length,kind", *rows, f"{last},b", ""]))


FLOWERS = (
    *FEW[:3],
    "space.optimizer.adam.learning_rate=[0.01]",
    *FEW[-1:],
    "data=csv",
    "data.target=kind",
    "name=flowers",
)


def test_law_5_a_run_whose_file_has_changed_is_not_overwritten(tmp_path):
    """The file belongs to the identity of a run: with other rows it is another run."""
    path = tmp_path / "flowers.csv"
    settings = (*FLOWERS, f"data.path={path}")
    write_flowers(path)
    finished = run_sweep(tmp_path, *settings)
    folder = tmp_path / "flowers" / finished["run_id"]
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    write_flowers(path, last="2.5")
    with pytest.raises(
        SettingError, match=r"^run=\S+ cannot be resumed, .*: the content of the data was \w+, is \w+; "
    ):
        run_sweep(tmp_path, *settings, f"run={finished['run_id']}")
    assert {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()} == before
    write_flowers(path)
    assert run_sweep(tmp_path, *settings, f"run={finished['run_id']}")["digest"] == finished["digest"]


def test_law_5_an_interrupted_run_whose_file_has_changed_is_not_resumed(tmp_path):
    path = tmp_path / "flowers.csv"
    settings = (*FLOWERS, f"data.path={path}")
    write_flowers(path)
    interrupted_run = run_sweep(tmp_path, *settings)["run_id"]
    journal = tmp_path / "flowers" / interrupted_run / "journal.jsonl"
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:-2]))
    write_flowers(path, last="2.5")
    with pytest.raises(SettingError, match=rf"run {interrupted_run} was interrupted, .*: the content of the data was"):
        run_sweep(tmp_path, *settings, "resume=required")
    assert run_sweep(tmp_path, *settings)["run_id"] != interrupted_run
    write_flowers(path)
    assert run_sweep(tmp_path, *settings)["run_id"] == interrupted_run


def test_law_5_a_source_whose_content_is_not_known_is_compared_once_it_is_read(tmp_path, monkeypatch):
    path = tmp_path / "flowers.csv"
    settings = (*FLOWERS, f"data.path={path}", "cache=none")
    monkeypatch.setattr(Csv, "content", lambda _: None)
    write_flowers(path)
    finished = run_sweep(tmp_path, *settings)
    write_flowers(path, last="2.5")
    with pytest.raises(SettingError, match=r"cannot be resumed, as it was made with other data: the digest of .* was"):
        run_sweep(tmp_path, *settings, f"run={finished['run_id']}")
    summary = json.loads((tmp_path / "flowers" / finished["run_id"] / "summary.json").read_text())
    assert (summary["status"], summary["digest"]) == ("finished", finished["digest"])
    write_flowers(path)
    assert run_sweep(tmp_path, *settings, f"run={finished['run_id']}")["digest"] == finished["digest"]


@pytest.mark.slow
@pytest.mark.parametrize("extra", [("prepare.scaling=min_max",), ("resume=never",)])
def test_law_5_a_run_that_cannot_be_continued_ends_with_exit_code_2(extra, copied_run):
    runs, name, _ = copied_run
    settings = (*FEW, "tracking=none", "execution=local", "training.epochs=3", f"runs={runs}", f"run={name}")
    completed = run_here(runs.parent, *settings, *extra, check=False)
    assert (completed.returncode, len(completed.stderr.splitlines())) == (2, 1)
    assert extra[0].partition("=")[0] in completed.stderr


SEARCHED = ("space=ranges", "select.ensemble=0", "stacks.slice_seconds=0.001", "training.epochs=9")
SEARCHES = {  # a small search, and settings that extend it
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
def test_law_5_an_extended_search_decides_as_one_that_was_large_from_the_start(search, tmp_path):
    """Also about trials that it prunes earlier than before: they are scored by the earlier epoch."""
    settings, extension = SEARCHES[search]
    finished_run = run_sweep(tmp_path, "data=iris", *SEARCHED, *settings)
    settings = extension if extension == HALVING else (*settings, *extension)
    expected = run_sweep(tmp_path / "at once", "data=iris", *SEARCHED, *settings)
    summary = run_sweep(tmp_path, "data=iris", *SEARCHED, *settings, f"run={finished_run['run_id']}")
    assert (summary["digest"], summary["best"]) == (expected["digest"], expected["best"])
    assert (summary["trials"], summary["networks"]) == (expected["trials"], expected["networks"])
    if not extension:
        assert summary["work"]["slices"] == 0


def test_law_5_a_copied_network_without_its_checkpoint_is_trained_again_with_its_origin(tmp_path):
    """It cannot be trained again from its own settings, since it was copied from another one."""
    settings = ("data=iris", *SEARCHED, "search=population", "search.size=6", "search.every=2")
    finished = run_sweep(tmp_path, *settings)
    folder = tmp_path / "iris" / finished["run_id"]
    lines = (folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "journal.jsonl").write_bytes(b"".join(lines[: int(0.7 * len(lines))]))
    shutil.rmtree(folder / "states")
    summary = run_sweep(tmp_path, *settings, "resume=required")
    assert (summary["run_id"], summary["digest"]) == (folder.name, finished["digest"])


def test_law_5_fewer_epochs_than_trained_are_refused(copied_run):
    runs, name, _ = copied_run
    with pytest.raises(
        SettingError, match=f"^training.epochs=2 must be at least 3, .* run={name} are trained; or leave run="
    ):
        run_sweep(runs, *FEW, "training.epochs=2", f"run={name}")


def test_law_5_a_run_id_that_does_not_exist_is_named(copied_run):
    runs, _, _ = copied_run
    with pytest.raises(
        SettingError, match=r"^run=nothing: there is no such run in .*/runs/digits; the names of its folders"
    ):
        run_sweep(runs, *FEW, "run=nothing")


def test_law_5_a_finished_run_can_be_extended_without_its_checkpoints(copied_run, tmp_path):
    """All networks are trained again, with the same digest."""
    runs, name, journal = copied_run
    shutil.rmtree(journal.parent / "states")
    summary = run_sweep(runs, *EXTENSIONS["epochs"][0], f"run={name}")
    assert summary["digest"] == run_sweep(tmp_path / "at once", *EXTENSIONS["epochs"][0])["digest"]


def test_law_5_a_run_can_be_extended_by_an_optimizer_whose_code_it_did_not_need(copied_run, tmp_path):
    """The code of a run is what its own settings need; further components do not make it another code."""
    runs, name, _ = copied_run
    settings = (*FEW, "+optimizer@space.optimizer.muon=muon")
    summary = run_sweep(runs, *settings, f"run={name}")
    assert summary["digest"] == run_sweep(tmp_path / "at once", *settings)["digest"]
    assert summary["work"]["resumed_networks"] == 7
