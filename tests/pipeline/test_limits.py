"""Networks that do not fit into memory, and full disks: named, with the setting, before work is lost."""

import errno
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from running import FEW, QUICK, compose, nightly_after_first, read_summary, run_sweep
from samples import make_architecture
from sweeps import trial_network

from pipeline.backends.base import HostMemory, TaskMemoryError
from pipeline.backends.local import LocalExecutor
from pipeline.backends.memory import UNKNOWN, available_memory
from pipeline.cli.dispatch import dispatch
from pipeline.components.errors import SettingError, errors_as_lines
from pipeline.config.schema import Configuration
from pipeline.console.output import QuietOutput
from pipeline.driver import run as driver
from pipeline.driver.dry_run import show_plan
from pipeline.engine.packing.memory import MemoryNeeds
from pipeline.engine.packing.planner import PackingSettings, plan

GIGABYTES = 10**9
IRIS = (*FEW, "data=iris", "reduce=none", *QUICK)


def host(folder, group="/", limits=None, available=8_000_000):
    """The files of a host: what it has available in kB, and its control groups with their limits."""
    (folder / "proc/self").mkdir(parents=True)
    (folder / "proc/meminfo").write_text(f"MemTotal: 16000000 kB\nMemAvailable: {available} kB\n")
    (folder / "proc/self/cgroup").write_text(f"0::{group}\n")
    for path, (limit, used, cache) in (limits or {}).items():
        control_group = folder / "sys/fs/cgroup" / path
        control_group.mkdir(parents=True, exist_ok=True)
        (control_group / "memory.max").write_text(f"{limit}\n")
        (control_group / "memory.current").write_text(f"{used}\n")
        (control_group / "memory.stat").write_text(f"anon 5\ninactive_file {cache}\n")
    return folder


@pytest.mark.parametrize(
    ("group", "limits", "expected"),
    [
        ("/", {}, 8_192_000_000),
        ("/", {".": (2_000, 1_500, 300)}, 800),
        ("/a/b", {"a": (2_000, 1_500, 0), "a/b": ("max", 1_500, 0)}, 500),
        ("/a/b", {"a": ("max", 9, 0), "a/b": (1_000, 1_500, 0)}, 0),
    ],
)
def test_the_available_memory_is_the_least_of_host_and_control_groups(group, limits, expected, tmp_path):
    assert available_memory(host(tmp_path, group, limits)) == expected


def test_the_available_memory_of_old_control_groups_and_of_an_unknown_system(tmp_path):
    old = host(tmp_path / "old")
    (old / "proc/self/cgroup").write_text("11:cpu:/x\n4:memory:/docker/1\n")
    folder = old / "sys/fs/cgroup/memory/docker/1"
    folder.mkdir(parents=True)
    (folder / "memory.limit_in_bytes").write_text("5000\n")
    (folder / "memory.usage_in_bytes").write_text("4000\n")
    (folder / "memory.stat").write_text("total_inactive_file 100\n")
    assert available_memory(old) == 1_100
    assert available_memory(tmp_path / "other") == UNKNOWN


def test_the_limit_of_the_address_space_counts():
    program = "from pipeline.backends.memory import available_memory; print(available_memory())"
    limit = 900_000_000
    completed = subprocess.run(
        [sys.executable, "-c", program],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
        capture_output=True,
        text=True,
        check=True,
    )
    assert 0 < int(completed.stdout) < limit


SMALL, WIDE = make_architecture((8, 16, 3)), make_architecture((8, 4000, 4000, 3))  # 64 MB of parameters


@given(
    n=st.integers(1, 30),
    width=st.one_of(st.integers(1, 40), st.sampled_from(["auto", "unlimited"])),
    workers=st.integers(1, 5),
    megabytes=st.integers(1, 20_000),
)
def test_stacks_are_as_narrow_as_memory_requires_and_lose_no_network(n, width, workers, megabytes):
    networks = [trial_network(number, WIDE) for number in range(n)]
    memory = HostMemory(megabytes * 10**6 // workers, 20_000 * 10**6)
    needs = MemoryNeeds(networks, memory)
    before = plan(networks, workers, PackingSettings(width, 1.0, 0.0))
    planned = needs.narrowed(before)
    assert sorted(key for stack in planned for key in stack.keys) == sorted(network.key for network in networks)
    one_network = max(4 * 3 * WIDE.n_parameters, 1)  # parameters, a copy and the gradient at least
    for stack in planned:
        assert len(stack.networks) == 1 or len(stack.networks) * one_network <= memory.per_worker
    at_a_time = needs.workers(workers)
    assert 1 <= at_a_time <= workers
    assert at_a_time == 1 or at_a_time * one_network <= megabytes * 10**6
    roomy = MemoryNeeds(networks, HostMemory(UNKNOWN, UNKNOWN))
    assert roomy.narrowed(before) == before
    assert roomy.workers(workers) == workers


def test_a_network_that_fits_nowhere_is_refused_with_a_cure_that_fits():
    def refusal(architecture, available=GIGABYTES):
        with pytest.raises(SettingError) as refused:
            MemoryNeeds([trial_network(0, SMALL), trial_network(1, architecture)], HostMemory(available, available))
        return str(refused.value)

    text = refusal(make_architecture((8, 100_000, 100_000, 3)))
    assert text.startswith("network.hidden=[100000,100000]: to train one such network takes at least ")
    assert "but 1.0 GB are available; give 'network.hidden=[" in text
    narrower = json.loads(text.rpartition("network.hidden=")[2].rstrip("'"))
    MemoryNeeds([trial_network(0, make_architecture((8, *narrower, 3)))], HostMemory(GIGABYTES, GIGABYTES))

    many_rows = trial_network(0).fold.view_shape._replace(n_train=10**8)
    wide = make_architecture((8, 64, 3), batch_size=10**8)
    with pytest.raises(SettingError, match=r"^training.batch_size=100000000: .* give training.batch_size=\d+$"):
        MemoryNeeds([trial_network(0, wide, 0, many_rows)], HostMemory(GIGABYTES, GIGABYTES))
    MemoryNeeds([trial_network(0, wide)], HostMemory(GIGABYTES, GIGABYTES))  # as there are only few rows
    assert refusal(make_architecture((10**8, 3))).startswith("reduce.n_components: ")

    packed = {"adapters": "packed", "batch_size": 8}
    text = refusal(make_architecture((8, 2000, 2000, 3), members=64, **packed))
    assert text.startswith("network.members=64: to train one such network takes at least ")
    fewer = int(text.rpartition("give network.members=")[2])
    fitting = make_architecture((8, 2000, 2000, 3), members=fewer, **packed)
    MemoryNeeds([trial_network(0, fitting)], HostMemory(GIGABYTES, GIGABYTES))


def test_a_network_that_is_too_large_ends_the_command_before_training(tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        dispatch([*IRIS, "network.hidden=[1000000,1000000]", f"runs={tmp_path}/runs"], time.monotonic())
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("nnsweep: network.hidden=[1000000,1000000]: to train one such network takes at least ")
    assert '"event": "slice"' not in next(tmp_path.glob("runs/*/*/journal.jsonl")).read_text()
    too_large = Configuration(*compose(*IRIS, "network.hidden=[1000000,1000000]", f"runs={tmp_path}/plan"), "")
    with pytest.raises(SettingError) as refused:
        show_plan(too_large, QuietOutput(), 0.0)
    assert line.partition(" but ")[0] == "nnsweep: " + str(refused.value).partition(" but ")[0]


@pytest.mark.slow
def test_an_autoencoder_that_is_too_large_is_refused_with_a_cure_that_works(tmp_path):
    settings = (*FEW, "data=iris", "reduce=autoencoder", "reduce.epochs=1", *QUICK)
    with pytest.raises(SettingError) as refused:
        run_sweep(tmp_path, *settings, "reduce.hidden=[2000000,2000000]")
    line = str(refused.value)
    assert line.startswith("reduce.hidden=[2000000,2000000]: to train this autoencoder takes at least ")
    assert line.rpartition("give ")[2].startswith("'reduce.hidden=[")


def test_law_1_stacks_that_memory_narrows_give_the_same_digest(tmp_path, monkeypatch, capsys):
    expected = run_sweep(tmp_path / "wide", *IRIS, "stacks.width=unlimited")
    assert expected["work"]["widest_stack"] == 7
    monkeypatch.setattr(LocalExecutor, "memory", HostMemory(500_000, 500_000))
    narrow = run_sweep(tmp_path / "narrow", *IRIS, "stacks.width=unlimited")
    assert 1 <= narrow["work"]["widest_stack"] < 7
    assert narrow["digest"] == expected["digest"]
    assert narrow["work"]["retried_slices"] == 0


def test_law_2_lack_of_memory_is_not_called_divergence(tmp_path, monkeypatch):
    def no_memory(*_):
        raise MemoryError("Unable to allocate 5.00 GiB")

    monkeypatch.setattr("nncore.stack.trainer.StackTrainer.train_epoch", no_memory)
    with pytest.raises(SettingError) as refused:
        run_sweep(tmp_path, *IRIS)
    assert "of 7 trials 7 failed" in str(refused.value)
    assert "Unable to allocate 5.00 GiB" in str(refused.value)
    assert "network.hidden" in str(refused.value)
    assert "diverged" not in str(refused.value)
    summary = json.loads(next(tmp_path.glob("*/*/summary.json")).read_text())
    assert (summary["trials"]["failed"], summary["trials"]["diverged"]) == (7, 0)


@pytest.mark.parametrize("error", [MemoryError("Unable to\nallocate"), TaskMemoryError("the host"), MemoryError()])
def test_lack_of_memory_anywhere_ends_with_a_line_and_exit_code_2(error, capsys):
    with pytest.raises(SystemExit) as ended, errors_as_lines():
        raise error
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("nnsweep: out of memory (")


def into_full_device(folder, *arguments, output="/dev/full"):
    """Run a command whose standard output cannot be written to; the exit code and what it says."""
    with Path(output).open("w") as full:
        completed = subprocess.run(
            [sys.executable, "-m", "pipeline", *arguments], cwd=folder, stdout=full, stderr=subprocess.PIPE, text=True
        )
    return completed.returncode, completed.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        *nightly_after_first([*IRIS, f"output={mode}"] for mode in ("plain", "json", "quiet")),
        *(["--help"], ["--version"], ["completion", "bash"], ["runs", "list"]),
        pytest.param([*IRIS, "plan=true"], marks=pytest.mark.nightly),
    ],
    ids=lambda arguments: arguments[-1],
)
def test_full_standard_output_is_named_as_such(arguments, tmp_path):
    if arguments[0] == "runs":
        run_sweep(tmp_path / "runs", *IRIS)
    code, said = into_full_device(tmp_path, *arguments)
    assert code == 2
    (line,) = said.splitlines()
    assert line.startswith("nnsweep: standard output must take what the command prints, but does not: No space left")


@pytest.mark.slow
def test_a_run_whose_output_fails_is_resumed_by_the_same_command(tmp_path, monkeypatch, capsys):
    """The reader of a pipe ends when the sweep begins."""
    command = [sys.executable, "-m", "pipeline", *IRIS, "output=plain"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, cwd=tmp_path, text=True, **pipes) as process:
        while "networks to epoch" not in process.stdout.readline():
            assert process.poll() is None
        process.stdout.close()
        assert "standard output must take" in process.stderr.read()
    assert process.returncode == 2
    summary = json.loads(next(tmp_path.glob("runs/*/*/summary.json")).read_text())
    assert summary["status"] == "failed"
    monkeypatch.chdir(tmp_path)
    dispatch([*IRIS], time.monotonic())
    assert "is resumed" in capsys.readouterr().out
    resumed = read_summary(tmp_path)
    assert resumed["work"]["resumed_networks"] > 0
    assert resumed["digest"] == run_sweep(tmp_path / "undisturbed", *IRIS)["digest"]


@pytest.mark.slow
@pytest.mark.parametrize("mode", nightly_after_first(["plain", "json"]))
def test_a_closed_pipe_and_closed_standard_output_are_named(mode, tmp_path):
    command = [sys.executable, "-m", "pipeline", *IRIS, f"output={mode}"]
    reader, writer = os.pipe()
    os.close(reader)
    completed = subprocess.run(command, cwd=tmp_path, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert completed.returncode == 2
    (line,) = completed.stderr.splitlines()
    assert line.startswith("nnsweep: standard output must take what the command prints, but does not: Broken pipe")
    closed = subprocess.run(["sh", "-c", '"$@" >&-', "sh", *command], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    assert closed.returncode == 2
    assert closed.stderr.startswith("nnsweep: standard output must be open, but is closed")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize(
    ("filename", "free", "named"),
    [
        (None, {"runs": 0, "temporary": 5}, "runs="),
        (None, {"runs": 5, "temporary": 0}, "TMPDIR="),
        ("elsewhere/file", {"runs": 5, "temporary": 5}, "elsewhere/file: its disk"),
    ],
)
def test_a_full_disk_is_named_by_its_folder(number, filename, free, named, tmp_path, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(driver, "gettempdir", lambda: str(tmp_path / "temporary"))
    monkeypatch.setattr(driver, "_free_bytes", lambda path: free.get(path.name, 0))
    with pytest.raises(SettingError) as refused, driver._disk_errors_reported(tmp_path / "runs"):
        raise OSError(number, os.strerror(number), filename and str(tmp_path / filename))
    assert named in str(refused.value)
    assert "must have free space, but is full" in str(refused.value)
    with pytest.raises(PermissionError), driver._disk_errors_reported(tmp_path):
        raise PermissionError(errno.EACCES, "no")
