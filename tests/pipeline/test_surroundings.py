"""What surrounds a run: folders that cannot be used, other users, long paths, Numba switched off, what is left."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from running import FEW, compose, processes, read_summary, run_command, run_here, run_sweep, wait_until

from pipeline.backends.ray import _remove_session
from pipeline.cli.dispatch import dispatch
from pipeline.components.errors import SettingError
from pipeline.runs import names
from pipeline.runs.names import run_folders

LOCAL = ("execution=local", "tracking=none", "report=none", "training.epochs=2")


@pytest.mark.parametrize("variable", ["TMPDIR", "RAY_TMPDIR"])
def test_a_temporary_folder_too_long_for_sockets_is_named_before_ray_starts(variable, tmp_path, monkeypatch):
    monkeypatch.setenv(variable, str(tmp_path / ("x" * 60)))
    settings, _ = compose("execution=ray")
    began = time.monotonic()
    message = rf"^{variable}=.*x: Ray's sockets need .*export {variable}=/tmp"
    with pytest.raises(SettingError, match=message), settings.execution.start():
        pass
    assert time.monotonic() - began < 1


def test_only_the_session_of_our_own_ray_is_removed(tmp_path):
    ours, other = tmp_path / "session_1", tmp_path / "session_2"
    for folder in (ours, other):
        (folder / "logs").mkdir(parents=True)
    latest = tmp_path / "session_latest"
    latest.symlink_to(other)
    _remove_session(ours)
    assert sorted(tmp_path.iterdir()) == [other, latest]
    _remove_session(other)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_ray_leaves_no_session_folder(main_job):
    assert [name for name in main_job.ray_folder if name.startswith("session")] == []


@pytest.mark.slow
def test_a_ray_that_does_not_start_in_time_is_one_line(tmp_path, monkeypatch):
    """Its head is given no time, as on a machine where other programs are busy."""
    monkeypatch.setenv("RAY_gcs_server_port_wait_time_s", "0")
    completed = run_command(tmp_path, *FEW, "execution=ray", "tracking=none", "report=none", check=False)
    assert completed.returncode == 2
    (line,) = completed.stderr.splitlines()
    assert line.startswith("nnsweep: execution=ray: Ray must start on this machine, but does not (")
    assert line.endswith("give the same command again when the machine is less busy, or execution=local")


@pytest.mark.slow
def test_the_store_is_closed_at_the_end(tmp_path):
    run_here(tmp_path, *FEW, *LOCAL, "tracking=mlflow")
    wait_until(lambda: not processes("pipeline.tracking.mlflow_writer", str(tmp_path)), seconds=60)
    assert (tmp_path / "runs" / "mlflow.db").exists()
    assert not (tmp_path / "runs" / "mlflow.db-wal").exists()


@pytest.mark.slow
def test_without_numbas_compiler_numpy_computes_the_same(tmp_path):
    command = [sys.executable, "-m", "pipeline", *FEW, *LOCAL]
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    completed = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=True
    )
    assert "NUMBA_DISABLE_JIT is set: NumPy computes all formulas" in completed.stdout
    expected = run_sweep(tmp_path / "compiled", *FEW, "training.epochs=2")
    assert read_summary(tmp_path)["digest"] == expected["digest"]


def test_a_run_of_another_user_is_not_resumed(tmp_path, monkeypatch):
    run_sweep(tmp_path, *FEW)
    (folder,) = run_folders(tmp_path)
    lines = (folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "journal.jsonl").write_bytes(b"".join(lines[:-1]))  # as if it were interrupted
    access = os.access
    monkeypatch.setattr(names.os, "access", lambda path, mode: Path(path) != folder and access(path, mode))
    with pytest.raises(SettingError, match=rf"^run={folder.name}: .* must be writable, but belongs to another user"):
        run_sweep(tmp_path, *FEW, f"run={folder.name}")
    assert run_sweep(tmp_path, *FEW)["run_id"] != folder.name


def test_a_folder_in_the_place_of_a_file_is_named(tmp_path):
    run_sweep(tmp_path, *FEW)
    (folder,) = run_folders(tmp_path)
    (folder / "leaderboard.csv").unlink()
    (folder / "leaderboard.csv").mkdir()
    with pytest.raises(SettingError, match=r"^runs=.*leaderboard\.csv cannot be used \(Is a directory\)"):
        run_sweep(tmp_path, *FEW, f"run={folder.name}")
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingError, match=r"runs must be a folder that can be written to"):
        run_sweep(tmp_path / "file", *FEW)
    journal = tmp_path / "digits" / "20990101-000000-0000" / "journal.jsonl"
    journal.mkdir(parents=True)
    assert run_folders(tmp_path) == [folder]
    assert run_sweep(tmp_path, *FEW, "training.epochs=4")["run_id"] != journal.parent.name


def test_a_deleted_working_folder_is_named(tmp_path, monkeypatch, capsys):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(SystemExit) as exit_info:
        dispatch(["training.epochs=1"], time.monotonic())
    assert exit_info.value.code == 2
    assert capsys.readouterr().err == (
        "nnsweep: the current folder was deleted; change to one that exists, such as: cd ~\n"
    )


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (("training.seeds=1000000000",), "training.seeds = 1000000000"),
        (("plan", "training.epochs=10000000"), "training.epochs=10000000: a plan can have at most 20,000,000"),
        (("plan", "training.seeds=1000000000"), "training.seeds = 1000000000"),
    ],
)
def test_numbers_far_too_large_are_refused_within_seconds(settings, words, tmp_path, capsys):
    began = time.monotonic()
    command = ["plan"] if settings[0] == "plan" else []
    with pytest.raises(SystemExit) as exit_info:
        dispatch([*command, *FEW, *LOCAL[:3], *settings[len(command) :], f"runs={tmp_path}"], time.monotonic())
    assert exit_info.value.code == 2
    assert words in capsys.readouterr().err
    assert time.monotonic() - began < 30
    assert json.dumps(sorted(path.name for path in tmp_path.iterdir())) in ("[]", '["cache"]')
