"""The champion where this package is not: in a Python that cannot import it, and behind MLflow's own server."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from running import FEW, read_summary, run_command
from servers import free_port

from nncore.inference import model_file

pytestmark = pytest.mark.slow
ELSEWHERE = """
import sys
from pathlib import Path
sys.path[:] = [path for path in sys.path if not Path(path, "nncore", "__init__.py").exists()]
from importlib.util import find_spec
assert find_spec("pipeline.driver.run") is None and find_spec("nncore") is None
import json, mlflow, pandas
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model("models:/wine@champion")
assert find_spec("pipeline.driver.run") is None
rows = pandas.DataFrame(json.loads(sys.stdin.read()))
print(model.predict(rows).to_json(orient="split", double_precision=15))
"""
NO_PICKLE = {"MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a run, its store, some raw rows, and what the model in the run's folder says of them."""
    folder = tmp_path_factory.mktemp("wine")
    run_command(folder, "data=wine", *FEW, "execution=local", "report=none", "training.epochs=5")
    store, found = f"sqlite:///{folder}/runs/mlflow.db", Path(read_summary(folder)["model"]["path"])
    rows = json.loads((found.parent / "input_example.json").read_text())["rows"]
    answers = model_file.load(found).predict_columns({name: np.array(values) for name, values in rows.items()})
    return folder, store, rows, answers


def is_as(split, answers):
    """The same columns, and the same bits as far as JSON keeps them."""
    assert split["columns"] == list(answers)
    for name, values in zip(split["columns"], zip(*split["data"], strict=True), strict=True):
        if answers[name].dtype.kind == "f":
            assert np.allclose(np.array(values, answers[name].dtype), answers[name], rtol=1e-6, atol=0)
        else:
            assert list(values) == answers[name].tolist()


def test_it_answers_where_the_package_cannot_be_imported(run, tmp_path):
    _, store, rows, answers = run
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | NO_PICKLE
    done = subprocess.run(
        [sys.executable, "-P", "-c", ELSEWHERE, store],
        input=json.dumps(rows),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    is_as(json.loads(done.stdout.splitlines()[-1]), answers)


def posted(port, content):
    """The answer of the server to a request."""
    body = json.dumps(content).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/invocations", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)["predictions"]


def test_mlflows_server_answers_rows_over_http(run, tmp_path):
    _, store, rows, answers = run
    port = free_port()
    arguments = ["models", "serve", "-m", "models:/wine@champion", "--env-manager", "local", "--host", "127.0.0.1"]
    environment = os.environ | NO_PICKLE | {"MLFLOW_TRACKING_URI": store}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *arguments, "--port", str(port)],
            stdout=log, stderr=log, cwd=tmp_path, env=environment, start_new_session=True,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 90
        while True:
            with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=5):
                break
            assert time.monotonic() < deadline, (tmp_path / "log").read_text()
            time.sleep(0.3)
        records = [dict(zip(rows, values, strict=True)) for values in zip(*rows.values(), strict=True)]
        split = {"columns": list(rows)[::-1], "data": [list(record.values())[::-1] for record in records]}
        for content in ({"dataframe_records": records}, {"dataframe_split": split}):
            said = posted(port, content)
            is_as({"columns": list(said[0]), "data": [list(one.values()) for one in said]}, answers)
        missing = [{name: value for name, value in record.items() if name != next(iter(rows))} for record in records]
        with pytest.raises(urllib.error.HTTPError) as refused:
            posted(port, {"dataframe_records": missing})
        assert refused.value.code == 400
        assert next(iter(rows)) in refused.value.read().decode()
        refused.value.close()
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
