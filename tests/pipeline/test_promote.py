"""Which model is mine: the address that a run prints, and nnsweep promote, which moves the alias champion to it."""

import json
import shlex
import shutil

import pytest
from mlflow import MlflowClient
from running import FEW, run_here
from servers import Server

SWEEP = ("data=wine", *FEW, "execution=local", "report=none", "resume=never")


def champion(uri):
    return int(MlflowClient(uri).get_model_version_by_alias("wine", "champion").version)


def refused(folder, *arguments):
    """The message of a command that ends with exit code 2."""
    completed = run_here(folder, *arguments, check=False)
    assert completed.returncode == 2
    (line,) = completed.stderr.splitlines()
    return line.removeprefix("nnsweep: ")


def summaries(folder):
    return [json.loads(path.read_text()) for path in sorted(folder.glob("runs/wine/*/summary.json"))]


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory):
    """A folder with a good run and a worse one, and what the worse one printed."""
    folder = tmp_path_factory.mktemp("promote")
    run_here(folder, *SWEEP, "training.epochs=5")
    return folder, run_here(folder, *SWEEP, "training.epochs=1").stdout


@pytest.mark.slow
def test_the_command_that_a_run_prints_moves_the_alias_to_its_model(two_runs):
    folder, printed = two_runs
    uri = f"sqlite:///{folder}/runs/mlflow.db"
    (model,) = (line.split()[1] for line in printed.splitlines() if line.startswith("model "))
    (alias,) = (line for line in printed.splitlines() if line.startswith("alias "))
    reason, _, command = alias.partition("; to move it: nnsweep ")
    assert (model, command) == ("models:/wine/2", "promote run=last")
    assert "champion still points to version 1, whose validation_loss of" in reason
    assert champion(uri) == 1
    assert run_here(folder, *shlex.split(command)).stdout == (
        "model      models:/wine/2\nalias      champion points to version 2; before, it pointed to version 1\n"
    )
    assert champion(uri) == 2
    worse = summaries(folder)[-1]
    assert (worse["model"]["uri"], worse["model"]["alias"]) == ("models:/wine/2", "champion")
    assert MlflowClient(uri).get_model_version("wine", "2").tags["pipeline_run"] == worse["run_id"]
    assert "points to version 2 already" in run_here(folder, "promote").stdout
    run_here(folder, "promote", "run=last~1")
    assert champion(uri) == 1


@pytest.mark.slow
def test_mistakes_of_promote_name_a_cure(two_runs, tmp_path):
    shutil.copytree(two_runs[0] / "runs", tmp_path / "runs")
    runs, last = tmp_path / "runs", summaries(tmp_path)[-1]["run_id"]
    assert "there is no such run" in refused(tmp_path, "promote", "run=20200101-000000-abcd")
    assert "exclamation is not name=value" in refused(tmp_path, "promote", "exclamation")
    client = MlflowClient(f"sqlite:///{runs}/mlflow.db")
    for version in (1, 2):
        client.delete_model_version("wine", str(version))
    message = refused(tmp_path, "promote", f"uri=sqlite:///{runs}/mlflow.db")
    assert message.startswith(f"run={last} has no model in the registry of sqlite:///{runs}/mlflow.db; ")
    for path in runs.glob("wine/*/tracking.jsonl"):
        path.unlink()
    assert refused(tmp_path, "promote").startswith(f"run={last} is not in MLflow, so that no registry has its model")
    (runs / "mlflow.db").rename(tmp_path / "moved.db")
    message = refused(tmp_path, "promote", f"uri=sqlite:///{runs}/mlflow.db")
    assert message == f"run={last}: its store sqlite:///{runs}/mlflow.db is not there; name it with uri=..."
    (tmp_path / "text.db").write_text("no database" * 100)
    assert "text.db cannot be used: file is not a database" in refused(
        tmp_path, "promote", f"uri=sqlite:///{tmp_path}/text.db"
    )


@pytest.mark.slow
def test_a_run_that_was_not_tracked_is_registered_and_promoted_by_the_commands_that_are_named(tmp_path):
    run_here(tmp_path, *SWEEP, "training.epochs=1", "tracking=none")
    message = refused(tmp_path, "promote")
    command = message.partition("to register it: nnsweep ")[2]
    assert "model      models:/wine/1\n" in run_here(tmp_path, *shlex.split(command)).stdout
    assert "champion points to version 1" in run_here(tmp_path, "promote").stdout
    (summary,) = summaries(tmp_path)
    assert (summary["model"]["uri"], summary["model"]["alias"]) == ("models:/wine/1", "champion")


@pytest.mark.slow
def test_promote_works_on_a_server_that_the_run_was_tracked_to_later(two_runs, tmp_path):
    shutil.copytree(two_runs[0] / "runs", tmp_path / "runs")
    server = Server(tmp_path)
    server.start()
    try:
        for run in ("last~1", "last"):
            run_here(tmp_path, "track", f"run={run}", f"uri={server.uri}")
        assert champion(server.uri) == 1
        first, second = (summary["run_id"] for summary in summaries(tmp_path))
        assert "models:/wine/2" in run_here(tmp_path, "promote", f"run={second}").stdout
        assert champion(server.uri) == 2
        run_here(tmp_path, "promote", f"run={first}", f"uri={server.uri}")
        assert champion(server.uri) == 1
    finally:
        server.kill()
    message = refused(tmp_path, "promote")
    assert message.startswith(f"run={second}: uri={server.uri} cannot be used: ")  # refused, or reset while it ends
    assert "; start the server" in message
