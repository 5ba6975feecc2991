"""execution=cluster on a running Ray cluster: several nodes on this machine that join and leave."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import clusters
import pytest
import venom
from clusters import add_worker
from interrupted import count_slices
from running import FEW, QUICK, read_journal, read_summary, run_command, run_here, run_sweep

SETTINGS = ("tracking=none", "report=none", "baselines=none",
            "training.batch_size=256", "training.epochs=24", "stacks.width=7",
            "stacks.slice_seconds=0.001")  # 96 slices of 5 steps  # fmt: skip


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    folder = tmp_path_factory.mktemp("expected")
    run_command(folder, *venom.settings(folder), *SETTINGS, "execution=local")
    return read_summary(folder)


@pytest.fixture
def cluster(slow, request):
    """A cluster whose head has no CPUs, or as many as the parameter says; tests add workers."""
    nodes = clusters.start_cluster(num_cpus=getattr(request, "param", 0))
    yield nodes
    nodes.shutdown()


class ClusterRun:
    """The command on a cluster, while nodes join and leave."""

    def __init__(self, folder, cluster, *settings):
        self.folder = folder
        where = ("execution=cluster", f"execution.address={cluster.address}")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pipeline", *settings, *where],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_for_slices(self, n):
        """Wait until `n` more slices are in the journal."""
        goal = self.n_slices() + n
        self.wait_until(lambda: self.n_slices() >= goal)

    def wait_until(self, condition):
        deadline = time.monotonic() + 90
        while not condition():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def n_slices(self):
        return sum(map(count_slices, self.folder.glob("runs/digits/*/journal.jsonl")))

    def trained_by(self):
        """The process ids of the nodes that have trained."""
        return {raylet_of_worker(event["worker"]) for event in read_journal(self.folder) if event["event"] == "slice"}

    def end(self):
        """Wait for the end; return the exit code and standard error."""
        _, errors = self.process.communicate(timeout=180)
        return self.process.returncode, errors


def raylet_of_worker(worker):
    """The process id of the node that a worker, "host pid" in the journal, belongs to."""
    path = Path("/proc") / worker.split()[1] / "stat"
    return int(path.read_text().rpartition(")")[2].split()[1])


def raylet(node):
    (info,) = node.all_processes["raylet"]
    return info.process.pid


@pytest.mark.slow
@pytest.mark.parametrize("cluster", [1], indirect=True)
def test_nodes_can_join_and_leave_during_a_sweep(cluster, slow, expected, tmp_path):
    run = ClusterRun(tmp_path, cluster, *venom.settings(tmp_path), *SETTINGS)
    run.wait_for_slices(2)
    node = add_worker(cluster)
    run.wait_until(lambda: raylet(node) in run.trained_by())  # the new node trains
    assert run.trained_by() == {raylet(cluster.head_node), raylet(node)}
    cluster.remove_node(node, allow_graceful=False)
    run.wait_for_slices(4)
    slow.unlink()
    code, errors = run.end()
    assert code == 0, errors
    summary = read_summary(tmp_path)
    assert summary["digest"] == expected["digest"]
    assert summary["best"] == expected["best"]
    assert summary["trials"]["failed"] == 0


@pytest.mark.slow
def test_without_workers_the_sweep_waits_for_one(cluster, tmp_path):
    run = ClusterRun(tmp_path, cluster, *FEW, *QUICK[:-1])
    run.wait_until(lambda: list(tmp_path.glob("runs/digits/*/states/session-*")))
    time.sleep(2)
    assert run.n_slices() == 0
    add_worker(cluster)
    code, errors = run.end()
    assert code == 0, errors
    assert read_summary(tmp_path)["digest"] == run_sweep(tmp_path / "expected", *FEW)["digest"]


@pytest.mark.slow
@pytest.mark.parametrize("address", ["auto", "127.0.0.1:9"])
def test_without_a_cluster_one_line_tells_how_to_start_one(address, tmp_path, monkeypatch):
    """For auto, Ray has stored the address of the last cluster, which was killed."""
    (tmp_path / "temporary" / "ray").mkdir(parents=True)
    (tmp_path / "temporary" / "ray" / "ray_current_cluster").write_text("127.0.0.1:9")
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / "temporary"))
    start_time = time.monotonic()
    completed = run_command(tmp_path, "execution=cluster", f"execution.address={address}", "tracking=none", check=False)
    assert completed.returncode == 2
    (line,) = completed.stderr.splitlines()
    assert line.startswith(
        "nnsweep: execution.address=127.0.0.1:9: must be the address of a Ray cluster that includes this host"
    )
    assert "ray start --head" in line
    assert time.monotonic() - start_time < 30
    assert read_summary(tmp_path)["status"] == "failed"


@pytest.mark.parametrize(
    "address",
    ["head", *(pytest.param(a, marks=pytest.mark.slow) for a in ("", "ray://head:10001", "http://head:8265", "a b:1"))],
)
def test_an_address_is_auto_or_host_and_port(address, tmp_path):
    completed = run_here(tmp_path, "execution=cluster", f"execution.address='{address}'", check=False)
    assert completed.returncode == 2
    (line,) = completed.stderr.splitlines()
    assert "execution.address" in line
    assert list(tmp_path.iterdir()) == []


@pytest.mark.nightly
def test_when_the_head_dies_one_line_reports_it_and_the_run_resumes_in_another_cluster(
    cluster, slow, expected, tmp_path
):
    settings = (*venom.settings(tmp_path), *SETTINGS)
    add_worker(cluster)
    run = ClusterRun(tmp_path, cluster, *settings)
    run.wait_for_slices(4)
    (gcs,) = cluster.head_node.all_processes["gcs_server"]
    gcs.process.send_signal(signal.SIGSTOP)  # it no longer responds: Ray itself would wait and abort
    time.sleep(3)
    gcs.process.kill()
    code, errors = run.end()
    assert code == 2, errors
    assert "the cluster's head must respond, but has not for " in errors.splitlines()[-1]
    assert read_summary(tmp_path)["status"] == "failed"
    cluster.shutdown()
    slow.unlink()
    second_cluster = clusters.start_cluster(num_cpus=1)
    try:
        resumed = ClusterRun(tmp_path, second_cluster, *settings)
        code, errors = resumed.end()
    finally:
        second_cluster.shutdown()
    assert code == 0, errors
    summary = read_summary(tmp_path)
    assert summary["digest"] == expected["digest"]
    assert summary["work"]["resumed_networks"] > 0
