"""Law 1 for sweeps: the digest does not depend on how a sweep is executed and packed."""

import pytest
from running import (
    FEW,
    compose,
    nightly_after_first,
    read_journal,
    read_summary,
    run_command,
    run_pipeline,
    run_sweep,
    slow_after_first,
)

SETTINGS = ("training.epochs=3", "tracking=none", "baselines=none")
ALL_EPOCHS = ("tracking=none", "report=none", "baselines=none")
PACKINGS = {
    "local": ("execution=local",),
    "local, width 1": ("execution=local", "stacks.width=1"),
    "local, width 7, short slices": ("execution=local", "stacks.width=7", "stacks.slice_seconds=0.01"),
    "local, unlimited width": ("execution=local", "stacks.width=unlimited"),
    "Ray, 1 CPU": ("execution=ray", "execution.cpus=1", "stacks.width=7"),
    "Ray, 2 CPUs": ("execution=ray", "execution.cpus=2"),
    "Ray, 2 CPUs, unlimited width, short slices": (
        "execution=ray",
        "execution.cpus=2",
        "stacks.width=unlimited",
        "stacks.slice_seconds=0.1",
    ),
}


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    return run_sweep(tmp_path_factory.mktemp("expected"), *SETTINGS)


@pytest.mark.parametrize(
    "packing", slow_after_first(sorted((name for name in PACKINGS if "Ray" not in name), reverse=True))
)
def test_law_1_digest_does_not_depend_on_packing(packing, expected, tmp_path):
    summary = run_sweep(tmp_path / "runs", *SETTINGS, *PACKINGS[packing])
    assert summary["digest"] == expected["digest"]
    assert summary["best"] == expected["best"]
    assert summary["trials"]["finished"] == 112
    if "width 7" in packing:
        assert summary["work"]["widest_stack"] == 7
        assert summary["work"]["slices"] > summary["work"]["stacks"] == 16
    if "unlimited" in packing:
        assert summary["work"]["stacks"] == 2  # one for each size


@pytest.mark.slow
def test_law_1_digest_of_the_main_job_is_that_of_a_local_run(main_job, tmp_path):
    """The main job ran on Ray with one CPU per core."""
    local = run_pipeline(
        *compose("execution=local", "tracking=none", "report=none", f"runs={tmp_path}", "stacks.width=unlimited")
    )
    assert local["digest"] == main_job.summary["digest"]
    assert local["best"] == main_job.summary["best"]
    slices = [event for event in read_journal(main_job.folder) if event["event"] == "slice"]
    assert main_job.summary["work"]["widest_stack"] == max(len(event["networks"]) for event in slices)


@pytest.mark.nightly
def test_law_1_digest_of_the_default_sweep_does_not_depend_on_packing(tmp_path):
    """With all epochs, unlike the other tests."""
    digests = {}
    for name in ("local", "Ray, 2 CPUs, unlimited width, short slices"):
        folder = tmp_path / name
        folder.mkdir()
        run_command(folder, *ALL_EPOCHS, *PACKINGS[name])
        digests[name] = read_summary(folder)["digest"]
        slices = [event for event in read_journal(folder) if event["event"] == "slice"]
        assert read_summary(folder)["work"]["widest_stack"] == max(len(event["networks"]) for event in slices)
    assert len(set(digests.values())) == 1, digests


@pytest.mark.slow
@pytest.mark.parametrize(
    "change", ["seed=1", "training.seed=1", "split.seed=1", "training.batch_size=31", "reduce=none"]
)
def test_law_1_digest_depends_on_what_is_computed(change, tmp_path):
    before, after = run_sweep(tmp_path, *SETTINGS, *FEW), run_sweep(tmp_path, *SETTINGS, *FEW, change)
    assert before["digest"] != after["digest"]


@pytest.mark.slow
@pytest.mark.parametrize("data", ["breast_cancer", "diabetes"])
def test_law_1_digest_of_other_tasks_and_the_autoencoder_does_not_depend_on_packing(data, tmp_path):
    settings = (*SETTINGS, f"data={data}", "reduce=autoencoder", "reduce.epochs=3")
    wide = run_sweep(tmp_path, *settings, "stacks.width=unlimited")
    narrow = run_sweep(tmp_path, *settings, "stacks.width=5", "stacks.slice_seconds=0.001")
    assert wide["digest"] == narrow["digest"]
    assert wide["work"]["slices"] < narrow["work"]["slices"]


FOLDS_AND_SEEDS = (
    "data=iris",
    "reduce=none",
    "network.hidden=[8]",
    "split=k_fold",
    "split.folds=3",
    "training.seeds=2",
)
ON_RAY = ("execution=ray", "execution.cpus=2", "stacks.slice_seconds=0.02", "stacks.width=3")


@pytest.fixture(scope="module")
def folds_and_seeds(tmp_path_factory):
    return run_sweep(tmp_path_factory.mktemp("many"), *SETTINGS, *FEW, *FOLDS_AND_SEEDS)


@pytest.mark.parametrize(
    "packing",
    [
        ("stacks.width=1", "stacks.slice_seconds=0.001"),
        ("stacks.width=7", "stacks.slice_seconds=0.01"),
        pytest.param(("stacks.width=unlimited",), marks=pytest.mark.slow),
        pytest.param(("execution=ray", "execution.cpus=1", "stacks.width=auto"), marks=pytest.mark.nightly),
        pytest.param(ON_RAY, marks=pytest.mark.slow),
    ],
    ids=" ".join,
)
def test_law_1_digest_of_folds_and_seeds_does_not_depend_on_packing(packing, folds_and_seeds, tmp_path):
    summary = run_sweep(tmp_path, *SETTINGS, *FEW, *FOLDS_AND_SEEDS, *packing)
    assert (summary["digest"], summary["best"]) == (folds_and_seeds["digest"], folds_and_seeds["best"])
    assert summary["networks"]["finished"] == 7 * 3 * 2
    if "stacks.width=unlimited" in packing:
        assert (summary["work"]["stacks"], summary["work"]["widest_stack"]) == (1, 42)
    if "stacks.width=1" in packing:
        assert summary["work"]["stacks"] == 42


SEARCHES = {
    "halving": ("search=halving", "space=learning_rates", "training.epochs=9"),
    "hyperband": ("search=hyperband", "space=learning_rates", "training.epochs=9"),
    "population": ("search=population", "space=ranges", "search.size=8", "search.every=2", "training.epochs=6"),
    "tpe": ("search=tpe", "space=ranges", "search.trials=16", "search.batch_size=4"),
}


@pytest.mark.slow
@pytest.mark.parametrize("search", nightly_after_first(SEARCHES))
def test_law_1_a_search_makes_the_same_decisions_on_any_number_of_workers(search, tmp_path):
    settings = (*SETTINGS, *FOLDS_AND_SEEDS, *SEARCHES[search])
    local, on_ray = run_sweep(tmp_path / "here", *settings), run_sweep(tmp_path / "Ray", *settings, *ON_RAY)
    assert (local["digest"], local["best"]) == (on_ray["digest"], on_ray["best"])
    assert local["trials"] == on_ray["trials"]


@pytest.mark.slow
def test_law_1_running_again_gives_the_same_digest(expected, tmp_path):
    settings, config = compose(*SETTINGS, "execution=local", f"runs={tmp_path}")
    assert run_pipeline(settings, config)["digest"] == expected["digest"]
