"""The champion without this package: in a Python that cannot import it, and served by MLflow."""

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
from running import FEW, read_summary, run_here
from servers import free_port

from nncore.inference import model_file

pytestmark = pytest.mark.slow
PROGRAM = """
import sys
from pathlib import Path
sys.path[:] = [path for path in sys.path if not Path(path, "nncore", "__init__.py").exists()]
from importlib.util import find_spec
assert find_spec("pipeline.driver") is None and find_spec("nncore") is None
import json, mlflow, pandas
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model("models:/wine@champion")
assert find_spec("pipeline.driver") is None
rows = pandas.DataFrame(json.loads(sys.stdin.read()))
print(model.predict(rows).to_json(orient="split", double_precision=15))
"""
NO_PICKLE = {"MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a run, its store, some raw rows, and their predictions by the model in the run's folder."""
    folder = tmp_path_factory.mktemp("wine")
    run_here(folder, "data=wine", *FEW, "execution=local", "report=none", "training.epochs=5")
    store, model_folder = f"sqlite:///{folder}/runs/mlflow.db", Path(read_summary(folder)["model"]["path"])
    rows = json.loads((model_folder.parent / "input_example.json").read_text())["rows"]
    predictions = model_file.load(model_folder).predict_columns(
        {name: np.array(values) for name, values in rows.items()}
    )
    return folder, store, rows, predictions


def assert_predictions(result, expected):
    """The same columns, and the same values up to the precision of JSON."""
    assert result["columns"] == list(expected)
    for name, values in zip(result["columns"], zip(*result["data"], strict=True), strict=True):
        if expected[name].dtype.kind == "f":
            assert np.allclose(np.array(values, expected[name].dtype), expected[name], rtol=1e-6, atol=0)
        else:
            assert list(values) == expected[name].tolist()


def test_the_model_predicts_where_the_package_cannot_be_imported(run, tmp_path):
    _, store, rows, expected = run
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | NO_PICKLE
    completed = subprocess.run(
        [sys.executable, "-P", "-c", PROGRAM, store],
        input=json.dumps(rows),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
        timeout=120,
    )
    assert completed.returncode == 0, completed.stderr
    assert_predictions(json.loads(completed.stdout.splitlines()[-1]), expected)


def post(port, content):
    """Post a request to the server and return its predictions."""
    body = json.dumps(content).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}/invocations", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)["predictions"]


@pytest.mark.nightly
def test_mlflows_server_predicts_rows_over_http(run, tmp_path):
    _, store, rows, expected = run
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
            predictions = post(port, content)
            assert_predictions(
                {"columns": list(predictions[0]), "data": [list(prediction.values()) for prediction in predictions]},
                expected,
            )
        missing = [{name: value for name, value in record.items() if name != next(iter(rows))} for record in records]
        with pytest.raises(urllib.error.HTTPError) as refused:
            post(port, {"dataframe_records": missing})
        assert refused.value.code == 400
        assert next(iter(rows)) in refused.value.read().decode()
        refused.value.close()
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
