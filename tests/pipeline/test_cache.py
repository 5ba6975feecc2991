"""The stage cache: round trips, damage, size limit, clearing, concurrent writers; and what content hashes depend on."""

import csv
import multiprocessing
import os
import subprocess
import sys
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path

import numpy as np
import pytest
from running import compose, run_sweep

from nncore.components import Component
from pipeline.components.errors import SettingError
from pipeline.components.fingerprints import canonical, content_hash
from pipeline.data.card import data_card
from pipeline.data.files import content_of
from pipeline.stages.cache import FolderCache, NoCache, run_and_cache
from pipeline.stages.reduce import Identity, PcaReduction

NAMES = [f"{number:064x}" for number in range(20)]
MEGABYTE = np.zeros(125_000 - 40)  # including the header, about


@pytest.fixture
def cache(tmp_path):
    return FolderCache(tmp_path / "cache", 1, False)


def file_names(cache):
    return sorted(path.name for path in cache.folder.iterdir())


def flatten(value):
    """All arrays and plain values inside a nested value, in order."""
    if isinstance(value, np.ndarray):
        return [(value.dtype, value.shape, value.tobytes())]
    inside = [getattr(value, field.name) for field in fields(value)] if is_dataclass(value) else value
    if isinstance(inside, dict):
        inside = [*inside, *inside.values()]
    if isinstance(inside, list | tuple):
        return [type(value).__name__, *(leaf for item in inside for leaf in flatten(item))]
    return [value]


@pytest.mark.parametrize("data", ["iris", "diabetes", "moons"])
@pytest.mark.parametrize("reduce", ["pca", "autoencoder", "none"])
def test_every_stage_result_can_be_cached_and_read(data, reduce, cache):
    few = ["reduce.epochs=1"] if reduce == "autoencoder" else []
    settings, _ = compose(f"data={data}", f"reduce={reduce}", "prepare.scaling=quantile", *few)
    dataset = settings.data()
    development, test = settings.split(dataset)
    view = settings.reduce(settings.prepare(development, 0))
    for name, value in zip(NAMES, (dataset, data_card(dataset), development, test, 3, view), strict=False):
        assert cache.get(name) == (False, None)
        assert cache.put(name, value)
        hit, cached = cache.get(name)
        assert hit
        assert flatten(cached) == flatten(value)


def test_computed_and_cached_results_have_the_same_memory_layout(cache):
    """The memory layout is the same, on which the last bits of later results may depend."""
    array = np.asfortranarray(np.arange(12.0).reshape(3, 4))
    *values, was_cached = run_and_cache(cache, [NAMES[0], None], lambda: (array, (array[:, 1:3], np.float32(2))))
    assert not was_cached  # one of them has no content hash
    read = cache.get(NAMES[0])[1]
    assert values[0].flags.c_contiguous == read.flags.c_contiguous == values[1][0].flags.c_contiguous is True
    np.testing.assert_array_equal(read, array)
    np.testing.assert_array_equal(values[1][0], array[:, 1:3])
    assert run_and_cache(cache, [NAMES[1]], lambda value: value + 1, 2) == (3, True)
    assert run_and_cache(NoCache(), [NAMES[1]], lambda value: value + 1, 2) == (3, False)


@pytest.mark.parametrize("position", [0, 9, 40, -100, -1])
def test_a_damaged_file_is_deleted_and_ignored(position, cache):
    cache.put(NAMES[0], np.arange(100.0))
    (path,) = cache.folder.iterdir()
    content = bytearray(path.read_bytes())
    content[position] ^= 4
    path.write_bytes(content)
    assert cache.get(NAMES[0]) == (False, None)
    assert file_names(cache) == []
    path.write_bytes(content[:50])
    assert cache.get(NAMES[0]) == (False, None)
    assert file_names(cache) == []


def test_the_least_recently_used_results_are_deleted_beyond_the_limit(tmp_path):
    cache = FolderCache(tmp_path, 0.0035, False)  # three megabytes and a bit
    (tmp_path / "mine.txt").write_bytes(bytes(5_000_000))  # does not count, and is kept
    for index, name in enumerate(NAMES[:3]):
        assert cache.put(name, MEGABYTE)
        os.utime(cache.folder / f"{name}.stage", (index, index))
    assert cache.get(NAMES[0])[0]  # used just now
    assert cache.put(NAMES[3], MEGABYTE)
    assert file_names(cache) == [f"{NAMES[index]}.stage" for index in (0, 2, 3)] + ["mine.txt"]
    assert not cache.put(NAMES[4], np.zeros(10**6))  # larger than the limit
    assert file_names(cache) == ["mine.txt"]


def test_clear_deletes_only_files_of_the_cache(cache):
    cache.put(NAMES[0], 1)
    (cache.folder / f".{NAMES[1]}.stage.0a1b2c").write_bytes(b"half")  # of a writer that was killed
    other_files = {"mine.stage", f"{NAMES[1]}.npz", f"x{NAMES[2]}.stage"}
    for name in other_files:
        (cache.folder / name).write_bytes(b"")
    (cache.folder / f"{NAMES[3]}.stage").mkdir()
    cache.begin()
    assert cache.get(NAMES[0])[0]
    FolderCache(cache.folder, 1, True).begin()
    assert set(file_names(cache)) == other_files | {f"{NAMES[3]}.stage"}
    FolderCache(cache.folder / "none", 1, True).begin()


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path):
    (tmp_path / "file").write_text("no folder")
    cache = FolderCache(tmp_path / "file" / "cache", 1, False)
    cache.begin()
    assert run_and_cache(cache, [NAMES[0]], lambda: 5) == (5, False)
    assert cache.get(NAMES[0]) == (False, None)
    assert run_and_cache(FolderCache(tmp_path, 1, False), [NAMES[0]], lambda: {1: object()})[1] is False


def test_a_full_disk_is_no_error(cache):
    cache.folder.mkdir()
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)); import signal; " \
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); import numpy as np; from pathlib import Path; " \
        f"from pipeline.stages.cache import FolderCache; print(FolderCache(Path({str(cache.folder)!r}), 1, False)" \
        f".put({NAMES[0]!r}, np.ones(10**5)))"  # fmt: skip
    completed = subprocess.run([sys.executable, "-c", limited], capture_output=True, text=True, check=True)
    assert completed.stdout.strip() == "False"
    assert file_names(cache) == []


def use_cache(folder, number, results):
    """Put and get results with the same hashes as other processes, concurrently, within a small limit."""
    cache = FolderCache(folder, 0.0035, False)
    for index in np.random.default_rng(number).integers(6, size=60).tolist():
        cache.put(NAMES[index], np.full(125_000 - 40, float(index)))
        hit, value = cache.get(NAMES[index])
        results.put(not hit or (value == index).all())


@pytest.mark.slow
def test_many_processes_may_write_and_delete_at_once(tmp_path):
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    workers = [context.Process(target=use_cache, args=(tmp_path, number, results)) for number in range(3)]
    for worker in workers:
        worker.start()
    assert all(results.get() for _ in range(180))
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 3_500_000
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_the_folder_is_absolute_and_cache_none_stores_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cache = compose()[0].cache
    assert (cache.folder, cache.gigabytes, cache.clear) == (tmp_path / "runs" / "cache", 2, False)
    assert compose("cache=none")[0].cache == NoCache()
    assert (NoCache().put(NAMES[0], 1), NoCache().get(NAMES[0])) == (False, (False, None))
    with pytest.raises(SettingError, match=r"cache\.gigabytes"):
        compose("cache.gigabytes=0")


@dataclass(frozen=True)
class Foreign:
    """Settings of a class outside nncore and pipeline."""

    x: float


@pytest.mark.slow
def test_different_settings_have_different_descriptions():
    settings = [
        None, 1, 1.0, True, "1", (1,), (1, 2), ((1,), 2), Path("1"), {"a": 1, "b": 2}, {"b": 2, "a": 1}, np.ones(2),
        np.ones(2, np.float32), PcaReduction(3), PcaReduction(4), PcaReduction("auto"), Identity(), Foreign(1.0),
        Foreign(2.0),
        Component("nncore.optimizers.adam.adam", (("learning_rate", 0.1),)), Component("nncore.optimizers.adam.adam"),
    ]  # fmt: skip
    assert (
        len({content_hash("stage", value) for value in settings})
        == len(settings)
        == len({repr(canonical(s)) for s in settings})
    )
    assert content_hash("stage", 1) != content_hash("other", 1) != content_hash("other", 1, 1)
    assert canonical(PcaReduction(3)) == {"class": "pipeline.stages.reduce.PcaReduction", "fields": {"n_components": 3}}
    assert canonical(data_card) == {"function": "pipeline.data.card.data_card"}
    with pytest.raises(TypeError, match="one is a function"):
        content_hash("stage", lambda: None)


def test_every_configured_setting_has_a_description():
    overrides = "data=moons", "split=time", "reduce=autoencoder"
    first, second = (compose(*overrides)[0] for _ in range(2))
    content_hashes = {content_hash("x", s.data, s.split, s.prepare, s.reduce) for s in (first, second)}
    assert len(content_hashes) == 1


def test_the_content_of_a_file_is_hashed_where_it_is_local(tmp_path):
    import fsspec

    first, second = tmp_path / "one", tmp_path / "other"
    for path in (first, second):
        path.write_bytes(b"equal")
    content = content_of("data.path", str(first))
    assert content == content_of("data.path", f"file://{second}") != content_of("data.path", str(first), str(second))
    os.utime(first, (1, 1))
    assert content_of("data.path", str(first)) == content
    second.write_bytes(b"aquel")
    assert content_of("data.path", str(second)) != content
    fsspec.filesystem("memory").pipe("/content/a", b"equal")
    assert content_of("data.path", "memory://content/a") is None
    with pytest.raises(SettingError, match=r"data\.path=.*there is no such file"):
        content_of("data.path", str(tmp_path / "three"))


@pytest.mark.slow
def test_law_1_a_published_ensemble_has_the_same_bytes_with_a_cold_and_a_warm_cache(tmp_path):
    """With a cold cache two reductions share the arrays of one preparation; read from the cache, they have copies."""
    others = (*(f"~space.optimizer.{name}" for name in ("sgd", "momentum", "adam")), "~space.regularizer.weight_decay")
    settings = (*others, "+space.reduce.n_components=[30,32]", "select.publish=ensemble", "select.ensemble=8")
    settings = (*settings, "resume=never", f"cache.folder={tmp_path}/cache", "training.epochs=3")
    runs = [run_sweep(tmp_path, *settings) for _ in range(2)]
    assert [run["work"]["cached_stages"] > 0 for run in runs] == [False, True]
    reductions = {reduction_of(tmp_path, runs[0], key) for key in runs[0]["ensemble"]["networks"]}
    assert len(reductions) == 2
    contents = [{path.name: path.read_bytes() for path in Path(run["model"]["path"]).iterdir()} for run in runs]
    assert contents[0] == contents[1]


def reduction_of(runs, summary, network):
    """How many components a network of the leaderboard has."""
    with (runs / "digits" / summary["run_id"] / "leaderboard.csv").open(newline="") as file:
        rows = {row["trial"]: row for row in csv.DictReader(file)}
    return rows[network[:4]]["reduce.n_components"]
