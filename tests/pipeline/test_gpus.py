"""Declared GPUs in a sweep: a stand-in for CuPy computes with NumPy, so that digests are equal."""

import os
from pathlib import Path

import clusters
import pytest
from running import FEW, nightly_after_first, read_journal, read_summary, run_command, run_sweep
from test_cluster import ClusterRun

pytestmark = pytest.mark.slow
SUPPORT = Path(__file__).parents[1] / "support"
SETTINGS = ("training.epochs=10", "stacks.slice_seconds=0.05", "tracking=none", "report=none")


@pytest.fixture
def standin(monkeypatch):
    """Let workers import the stand-in instead of CuPy."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, (SUPPORT, SUPPORT / "standin_cupy"))))
    return monkeypatch


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    return run_sweep(tmp_path_factory.mktemp("expected"), *SETTINGS)


def widths(folder):
    """The widths of slices on GPUs and on cores."""
    slices = [event for event in read_journal(folder) if event["event"] == "slice"]
    return [
        [len(slice_event["networks"]) for slice_event in slices if slice_event["gpu"] == gpu] for gpu in (True, False)
    ]


@pytest.mark.parametrize("n_per_gpu", nightly_after_first([1, 2]))
def test_law_1_a_gpu_takes_wide_stacks_and_cores_narrow_ones_from_one_queue(n_per_gpu, standin, tmp_path):
    larger = ("network.hidden=[128,64]", "training.seeds=2")  # two dozen of these networks fill a core
    expected = run_sweep(tmp_path / "expected", *SETTINGS, *larger)
    (tmp_path / "here").mkdir()
    devices = (f"execution.cpus={n_per_gpu + 1}", "execution.gpus=1", f"execution.gpu_fraction={1 / n_per_gpu}")
    completed = run_command(tmp_path / "here", *SETTINGS, *larger, *devices)
    assert f"workers: 1 and {n_per_gpu} on GPUs" in completed.stdout
    on_gpus, on_cores = widths(tmp_path / "here")
    assert len(on_gpus) > 2
    assert len(on_cores) > 2
    assert max(on_gpus) > max(on_cores)
    summary = read_summary(tmp_path / "here")
    assert summary["digest"] == expected["digest"]
    assert summary["work"]["retried_slices"] == 0
    assert summary["work"]["widest_stack"] == max(on_gpus)


@pytest.mark.nightly
def test_the_memory_of_a_gpu_limits_the_width(standin, expected, tmp_path):
    standin.setenv("STANDIN_GPU_BYTES", str(6_000_000))
    run_command(tmp_path, *SETTINGS, "execution.cpus=2", "execution.gpus=1")
    on_gpus, _ = widths(tmp_path)
    assert 0 < max(on_gpus) < 15
    summary = read_summary(tmp_path)
    assert summary["work"]["retried_slices"] == 0
    assert summary["digest"] == expected["digest"]


@pytest.mark.parametrize(("room", "at_most"), nightly_after_first([(200_000, 40), (2_000, 0)]))
def test_a_gpu_without_enough_memory_gets_narrower_stacks_or_none(room, at_most, standin, expected, tmp_path):
    """A network has 1,226 parameters (4.9 kB): 40 of them fit, or not even the data do."""
    standin.setenv("STANDIN_GPU_ROOM", str(room))
    run_command(tmp_path, *SETTINGS, "execution.cpus=2", "execution.gpus=1", "reduce.n_components=8", "stacks.width=60")
    on_gpus, on_cores = widths(tmp_path)
    assert max(on_gpus, default=0) <= at_most
    assert (len(on_gpus) > 0) == (at_most > 0)
    assert len(on_cores) > 0
    summary = read_summary(tmp_path)
    assert summary["work"]["retried_slices"] >= 1
    assert summary["trials"]["finished"] == 112


@pytest.mark.nightly
def test_one_core_does_all_the_work_of_a_gpu_without_memory(standin, expected, tmp_path):
    standin.setenv("STANDIN_GPU_ROOM", "2000")
    run_command(tmp_path, *SETTINGS, "execution.gpus=1", "execution.cpus=1")
    summary = read_summary(tmp_path)
    assert summary["trials"]["finished"] == 112
    assert summary["digest"] == expected["digest"]


@pytest.mark.nightly
def test_cores_continue_when_the_host_with_the_only_gpu_leaves(standin, expected, tmp_path):
    cluster = clusters.start_cluster(num_cpus=1)
    try:
        host = clusters.add_worker(cluster, num_gpus=1)
        cluster.wait_for_nodes()
        run = ClusterRun(tmp_path, cluster, *SETTINGS, "training.epochs=60")
        run.wait_for_slices(1)
        run.wait_until(lambda: widths(tmp_path)[0])  # the GPU trains
        cluster.remove_node(host, allow_graceful=False)
        code, errors = run.end()
    finally:
        cluster.shutdown()
    assert code == 0, errors
    on_gpus, on_cores = widths(tmp_path)
    assert len(on_gpus) > 0
    assert len(on_cores) > 0
    summary = read_summary(tmp_path)
    assert (summary["trials"]["finished"], summary["trials"]["failed"]) == (112, 0)
    undisturbed = run_sweep(tmp_path / "undisturbed", *SETTINGS, "training.epochs=60")
    assert summary["digest"] == undisturbed["digest"]


def test_a_requested_gpu_that_cannot_be_used_ends_the_run_in_one_line(tmp_path):
    completed = run_command(tmp_path, *SETTINGS, "execution.cpus=1", "execution.gpus=1", check=False)
    assert completed.returncode == 2
    (line,) = completed.stderr.splitlines()
    assert line.startswith("nnsweep: execution.gpus=1: the GPU cannot be used (ModuleNotFoundError: No module")


def test_a_gpu_that_cannot_be_used_is_ignored_with_a_message(tmp_path):
    settings = (*FEW, *SETTINGS, "training.epochs=2")
    cluster = clusters.start_cluster(num_cpus=2, num_gpus=1)
    try:
        where = ("execution=cluster", f"execution.address={cluster.address}")
        completed = run_command(tmp_path, *settings, *where)
        assert (
            "workers: 2; the GPU cannot be used (ModuleNotFoundError: No module named 'cupy'); install CuPy"
            in completed.stdout
        )
        completed = run_command(tmp_path / "..", *settings, *where, "execution.gpus=none", "name=without")
        assert "GPU" not in completed.stdout
    finally:
        cluster.shutdown()
    assert widths(tmp_path)[0] == []
    assert read_summary(tmp_path)["digest"] == run_sweep(tmp_path / "expected", *settings)["digest"]
