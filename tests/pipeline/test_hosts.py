"""A sweep across three hosts that share no folder; one is disconnected, one loses power."""

import json
import re
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from secrets import token_hex

import pytest
from hosts import RAY, can_make_namespaces, start_hosts
from running import FEW, nightly_after_first, run_sweep

from nncore.kernels.compiled import user_cache

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not can_make_namespaces(), reason="network namespaces need root and the command ip"),
]
SETTINGS = ("training.epochs=12", "stacks.slice_seconds=0.3", "tracking=none", "report=none")
LONG = (*SETTINGS, "training.epochs=60")  # a host can leave meanwhile
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    return run_sweep(tmp_path_factory.mktemp("expected"), *SETTINGS)


@pytest.fixture(scope="module")
def expected_of_long(tmp_path_factory):
    return run_sweep(tmp_path_factory.mktemp("expected_of_long"), *LONG)


class Sweep:
    """A sweep, started on the head of a cluster, which alone has the run's folder."""

    def __init__(self, folder, hosts, *settings):
        self.folder, head = folder / "work", hosts[0]
        head.start_ray(None, 0)
        for host in hosts[1:]:
            host.start_ray(head, 1)
        command = [sys.executable, "-m", "pipeline", f"runs={self.folder}/runs", f"cache.folder={self.folder}/cache"]
        where = ["execution=cluster", f"execution.address={head.address}:6379"]
        self.process = head.start(*command, *settings, *where, hide=False)

    def slices(self):
        """The slice events in the journal."""
        paths = list(self.folder.glob("runs/*/*/journal.jsonl"))
        lines = paths[0].read_text().split("\n")[:-1] if paths else []
        return [event for event in map(json.loads, lines) if event["event"] == "slice"]

    def wait_for(self, condition, seconds=120):
        """Wait until the condition holds for the slices."""
        deadline = time.monotonic() + seconds
        while not condition(self.slices()):
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def summary(self, seconds=240):
        """Wait for the end of the run and return its summary."""
        output, _ = self.process.communicate(timeout=seconds)
        assert self.process.returncode == 0, output
        (path,) = self.folder.glob("runs/*/*/summary.json")
        return json.loads(path.read_text())


@pytest.fixture
def hosts(tmp_path):
    """Three hosts; only the first sees the folder `work` and our code."""
    (tmp_path / "work").mkdir()
    with start_hosts(tmp_path, 3, [tmp_path / "work", ROOT / "pipeline", ROOT / "nncore"]) as made:
        yield made


def trained_by(slices):
    return {event["worker"].split()[0] for event in slices}


def test_a_sweep_runs_across_hosts_that_share_no_folder(hosts, expected, tmp_path):
    sweep = Sweep(tmp_path, hosts, *SETTINGS)
    summary = sweep.summary()
    assert trained_by(sweep.slices()) == {hosts[1].name, hosts[2].name}
    assert all(re.fullmatch("[0-9a-f]{64}", event["sha256"]) for event in sweep.slices())
    assert summary["digest"] == expected["digest"]
    assert summary["best"] == expected["best"]
    assert summary["work"]["retried_slices"] == 0
    for host in hosts[1:]:
        assert list((host.folder / "instead").iterdir()) == []  # no other host has written files


@pytest.mark.skipif(not find_spec("aiohttp_cors"), reason="nnsweep[cluster] is not installed: there is no job server")
def test_a_job_is_submitted_to_a_cluster(expected, tmp_path):
    """As in the guide to clusters; the job finds its cluster automatically."""
    with start_hosts(tmp_path, 1, []) as (host,):
        host.start_ray(None, 2, takes_jobs=True)
        where = [f"runs={tmp_path}/runs", f"cache.folder={tmp_path}/cache", "execution=cluster"]
        job = [sys.executable, "-m", "pipeline", *SETTINGS, *where]
        submit = host.start(str(RAY), "job", "submit", "--address", "http://127.0.0.1:8265", "--", *job)
        output, _ = submit.communicate(timeout=180)
    assert submit.returncode == 0, output
    assert "succeeded" in output
    (path,) = tmp_path.glob("runs/*/*/summary.json")
    result = json.loads(path.read_text())
    assert (result["status"], result["digest"]) == ("finished", expected["digest"])


@pytest.mark.parametrize("address", nightly_after_first(["auto", "explicit"]))
def test_a_head_that_requires_the_users_token_gets_it(address, tmp_path):
    """As in the guide to clusters, after an earlier sweep: Ray has created a token and requires it."""
    home = tmp_path / "home"
    (home / ".ray").mkdir(parents=True)
    (home / ".ray" / "auth_token").write_text(token_hex(32))
    with start_hosts(tmp_path, 1, []) as (host,):
        as_a_user = [
            "env",
            "-u",
            "RAY_AUTH_MODE",
            "-u",
            "RAY_AUTH_TOKEN",
            f"HOME={home}",
            f"XDG_CACHE_HOME={user_cache().parent}",  # else all formulas are compiled again
            f"RAY_TMPDIR={host.temporary}",
        ]
        head = ["start", "--head", f"--node-ip-address={host.address}", "--num-cpus=1", "--include-dashboard=false"]
        process = host.start(*as_a_user, str(RAY), *head)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0, output
        assert "Token authentication is enabled" in output
        where = "auto" if address == "auto" else f"{host.address}:6379"
        command = [sys.executable, "-m", "pipeline", "data=iris", *FEW, *SETTINGS, f"runs={tmp_path}/runs"]
        sweep = host.start(*as_a_user, *command, "execution=cluster", f"execution.address={where}")
        output, _ = sweep.communicate(timeout=120)
    assert sweep.returncode == 0, output


@pytest.mark.nightly
def test_a_host_loses_power(hosts, expected_of_long, tmp_path):
    sweep = Sweep(tmp_path, hosts, *LONG)
    sweep.wait_for(lambda slices: slices and hosts[2].runs("ray::train_slice"))
    hosts[2].kill()
    summary = sweep.summary()
    assert summary["digest"] == expected_of_long["digest"]
    assert summary["work"]["retried_slices"] >= 1
    assert summary["trials"]["failed"] == 0


@pytest.mark.nightly
def test_a_host_is_disconnected_for_a_minute(hosts, expected_of_long, tmp_path):
    sweep = Sweep(tmp_path, hosts, *LONG)
    sweep.wait_for(lambda slices: slices and hosts[2].runs("ray::train_slice"))
    hosts[2].link("down")
    start_time = time.monotonic()
    summary = sweep.summary()
    assert time.monotonic() - start_time < 60
    hosts[2].link("up")
    assert summary["digest"] == expected_of_long["digest"]
    assert summary["trials"]["failed"] == 0
