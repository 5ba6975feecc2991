"""Whether a tracking store can be used is found out before the run: servers, databases and files, real ones."""

import os
import sqlite3
import sys
import threading
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from running import FEW, compose, nightly_after_first, run_command
from servers import free_port

from pipeline.cli.dispatch import dispatch
from pipeline.components.errors import SettingError
from pipeline.tracking import reachability
from pipeline.tracking.reachability import why_unusable


@contextmanager
def answering(status):
    """The address of a server that answers everything with this status."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(status)

        def log_message(self, *words):
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("status", [200, 401, 403, 404])
def test_a_server_that_answers_can_be_used(status):
    with answering(status) as uri:
        assert why_unusable(uri) == ""
        assert why_unusable(uri.replace("://", "://me:geheim@")) == ""


def test_a_proxy_without_its_server_is_told_from_a_server():
    with answering(503) as uri:
        assert why_unusable(uri) == "it answers 503 Service Unavailable; start the server, or correct the address"


def test_a_closed_port_and_a_silent_server_are_noticed(silent_server, monkeypatch):
    closed = f"http://user:geheim@127.0.0.1:{free_port()}"
    assert why_unusable(closed.replace("user:geheim@", "")).startswith("Connection refused; start the server")
    assert "geheim" not in why_unusable(closed)
    monkeypatch.setattr(reachability, "SECONDS", 0.3)
    assert why_unusable(silent_server).startswith("timed out; start the server")
    assert "; start the server, or correct the address" in why_unusable("http://no such host:1")


@pytest.mark.parametrize(
    ("uri", "module", "package"),
    [
        ("postgresql://user:geheim@127.0.0.1/mlflow", "psycopg", "psycopg[binary]"),
        ("postgresql+psycopg2://127.0.0.1/mlflow", "psycopg2", "psycopg2-binary"),
        ("mysql+pymysql://127.0.0.1/mlflow", "pymysql", "pymysql"),
        ("mysql://127.0.0.1/mlflow", "MySQLdb", "mysqlclient"),
    ],
)
def test_a_driver_that_is_not_installed_is_named_with_the_command_that_installs_it(uri, module, package, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)  # importing it raises ModuleNotFoundError
    problem = why_unusable(uri)
    assert problem.startswith(f"it needs the package {module}: {sys.executable} -m pip install ")
    assert problem.rpartition(" ")[2].strip("'") == package
    assert "geheim" not in problem


def test_a_database_that_cannot_be_reached_is_noticed():
    pytest.importorskip("psycopg")
    problem = why_unusable(f"postgresql://user:geheim@127.0.0.1:{free_port()}/mlflow")
    assert "Connection refused" in problem
    assert problem.endswith("; start the database, or correct the address")
    assert "geheim" not in problem


def test_an_unknown_driver_is_named():
    assert "sqlalchemy.dialects:postgresql.nix" in why_unusable("postgresql+nix://127.0.0.1/mlflow")


def test_a_file_is_a_database_or_can_be_created(tmp_path):
    def problem(name):
        return why_unusable(f"sqlite:///{tmp_path}/{name}")

    assert problem("new.db") == problem("a/b/c/new.db") == ""
    with closing(sqlite3.connect(tmp_path / "store.db", isolation_level=None)) as connection:
        connection.execute("CREATE TABLE runs (id)")
        assert problem("store.db") == ""
        connection.execute("BEGIN EXCLUSIVE")  # it will be free again
        assert problem("store.db") == ""
    (tmp_path / "text.db").write_text("this is no database" * 100)
    assert problem("text.db").startswith("file is not a database; ")
    assert problem("text.db/mlflow.db") == f"{tmp_path}/text.db is not a folder; name a file that can be written"
    (tmp_path / "folder").mkdir()
    assert problem("folder") == f"{tmp_path}/folder is not a file; name a file that can be written"
    assert not (tmp_path / "new.db").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_noticed(tmp_path):
    tmp_path.chmod(0o500)
    assert why_unusable(f"sqlite:///{tmp_path}/new.db").startswith(f"{tmp_path} is not writable")


def test_a_store_that_must_be_there_is_an_error_and_another_one_a_warning(tmp_path):
    uri = f"http://127.0.0.1:{free_port()}"
    settings, _ = compose(f"tracking.uri={uri}")
    warning = settings.tracking.check(tmp_path)
    assert warning.startswith(f"tracking.uri={uri} cannot be used: Connection refused; start the server")
    assert "nnsweep track" in warning
    settings, _ = compose(f"tracking.uri={uri}", "tracking.required=true")
    with pytest.raises(SettingError, match=rf"^tracking\.uri={uri} cannot be used: .*tracking.required=false"):
        settings.tracking.check(tmp_path)
    settings, _ = compose("tracking.required=true")
    assert settings.tracking.check(tmp_path) == ""


QUICK = (*FEW, "execution=local", "training.epochs=2", "report=none")


@pytest.mark.slow
@pytest.mark.parametrize(
    "uri",
    nightly_after_first(["http://user:geheim@127.0.0.1:{port}", "postgresql://user:geheim@127.0.0.1:{port}/mlflow"]),
)
def test_a_store_that_is_away_is_said_before_training_and_once_at_the_end_with_its_cause(uri, tmp_path, capsys):
    uri = uri.format(port=free_port())
    with pytest.raises(SystemExit, match="2"):
        dispatch([*QUICK, f"tracking.uri={uri}", "tracking.required=true", f"runs={tmp_path}/runs"], 0.0)
    assert capsys.readouterr().err.startswith("nnsweep: tracking.uri=")
    assert not list(tmp_path.glob("runs/digits/*"))

    completed = run_command(tmp_path, *QUICK, f"tracking.uri={uri}")
    lines = completed.stdout.splitlines()
    files = "".join(path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file())
    assert "geheim" not in completed.stdout + completed.stderr + files
    (before, after) = (number for number, line in enumerate(lines) if "warning: " in line)
    assert "cannot be used: " in lines[before]
    assert before < next(number for number, line in enumerate(lines) if " networks to epoch " in line)
    cause = lines[before].partition("cannot be used: ")[2].partition(". The sweep goes on")[0]
    assert "refused" in cause or "it needs the package psycopg: " in cause
    assert "warning: MLflow was not written to the end (" in lines[after]
    assert cause in lines[after]
    assert completed.stdout.count("waiting for MLflow") <= 2
