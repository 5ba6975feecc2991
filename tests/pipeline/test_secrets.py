"""Passwords and tokens are used, and never stored; test_reachability has a store that is away."""

import os
import time
from pathlib import Path

import pytest
from running import FEW, compose, run_command
from servers import Server, free_port

from pipeline.components.errors import SettingError
from pipeline.components.secrets import is_masked, masked
from pipeline.config.schema import Configuration
from pipeline.driver.context import run_request
from pipeline.runs.folder import RunFolder
from pipeline.runs.resume import earlier_run
from pipeline.tracking.process import bring_level

SECRET = "geheim1"
QUICK = (*FEW, "data=wine", "execution=local", "training.epochs=1", "report=none")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://me:geheim1@host:5000/a", "http://me:...@host:5000/a"),
        ("postgresql+psycopg2://me:ge@heim1@host/db", "postgresql+psycopg2://me:...@host/db"),
        ("http://:geheim1@host", "http://:...@host"),
        ("mysql://host/db?user=me&password=geheim1&ssl=on", "mysql://host/db?user=me&password=...&ssl=on"),
        ("https://host/file.csv?access_token=geheim1", "https://host/file.csv?access_token=..."),
        ("cannot reach http://me:geheim1@host now", "cannot reach http://me:...@host now"),
        ("http://host:5000/a", "http://host:5000/a"),
        ("sqlite:////home/me/mlflow.db", "sqlite:////home/me/mlflow.db"),
        ("write to me@host: soon", "write to me@host: soon"),
    ],
)
def test_passwords_become_dots(text, shown):
    assert masked(text) == shown
    assert masked({"a": [text, 1, None], "b": {"c": text}}) == {"a": [shown, 1, None], "b": {"c": shown}}
    assert is_masked(shown) == (text != shown)


@pytest.mark.parametrize(
    "part", ["://a:", "://", "://a:b@", "?password=", "&token", "@", ":", "a", "http://a:b@c?key=x&"]
)
def test_masking_takes_time_in_proportion_to_the_length(part):
    began = time.monotonic()
    masked(part * 200_000)
    assert time.monotonic() - began < 5


def written(folder: Path) -> str:
    """The content of all files of a folder."""
    return "".join(path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file())


def test_a_run_with_a_password_in_a_url_can_be_resumed(tmp_path):
    """Settings are compared with their passwords masked."""
    settings, config = compose("data=wine", "tracking=none", f"runs={tmp_path}")
    config["data"]["path"] = f"https://me:{SECRET}@127.0.0.1/file.csv"
    request = run_request(Configuration(settings, config, ""), lambda _: "code")
    record = RunFolder(request, f"path: https://me:{SECRET}@127.0.0.1/file.csv\n", 0.0, settings.tracking)
    record.journal.append("rung", number=0, trials={}, until={}, networks={})
    record.journal.close()
    assert SECRET not in written(tmp_path)
    assert earlier_run(request).folder == record.folder


@pytest.mark.slow
def test_an_error_shows_no_password(tmp_path):
    completed = run_command(tmp_path, f"tracking.uri=ftp://me:{SECRET}@host", check=False)
    assert completed.returncode == 2
    assert "ftp://me:...@host" in completed.stderr
    assert SECRET not in completed.stdout + completed.stderr


@pytest.mark.slow
def test_only_the_server_gets_the_password(tmp_path):
    server, folder_of_runs = Server(tmp_path), tmp_path / "here"
    folder_of_runs.mkdir()
    address = f"http://me:{SECRET}@127.0.0.1:{server.port}"
    try:
        server.start()
        completed = run_command(folder_of_runs, *QUICK, f"tracking.uri={address}")
        assert "warning" not in completed.stdout
        assert SECRET not in completed.stdout + completed.stderr + written(tmp_path)
        (folder,) = folder_of_runs.glob("runs/wine/*/")
        with pytest.raises(SettingError, match=r"the password of http://me:\.\.\.@.* is not kept; give it with uri="):
            bring_level(folder, print)
        assert bring_level(folder, print, address)["model"]["version"] == "1"
    finally:
        server.kill()


@pytest.mark.slow
def test_the_writers_command_line_shows_no_password(tmp_path):
    from pipeline.tracking.process import MlflowTracking

    (tmp_path / "wine" / "it").mkdir(parents=True)
    journal = tmp_path / "wine" / "it" / "journal.jsonl"
    journal.write_text("")
    uri = f"http://me:{SECRET}@127.0.0.1:{free_port()}"
    how = {"curves": "all", "points": 9, "most_trials": 9, "promote": "never"}
    tracker = MlflowTracking(uri=uri, required=False, experiment="wine", model="wine", **how).start(journal)
    try:
        while not (command_line := Path(f"/proc/{tracker._process.pid}/cmdline").read_text()):
            time.sleep(0.01)  # created only now
        assert str(journal) in command_line
        assert SECRET not in command_line
    finally:
        tracker.close_input()
        os.kill(tracker._process.pid, 9)
        tracker._process.wait()
