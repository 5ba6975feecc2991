"""Law 8, no code from data: nothing is unpickled, and configuration can name only what the packages define."""

import ast
import json
import os
import pickle
import subprocess
import sys
import time
import zipfile
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from running import compose, run_command, run_sweep

from nncore.components import Component, component_function
from nncore.inference import model_file
from pipeline.cli.dispatch import dispatch
from pipeline.components.errors import SettingError
from pipeline.components.resolver import resolve_target

ROOT = Path(__file__).parents[2]
SOURCES = [*ROOT.glob("nncore/**/*.py"), *ROOT.glob("pipeline/**/*.py")]
HARMFUL_MODULES = {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal", "code", "pty", "runpy"}
HARMFUL_CALLS = {"eval", "exec", "compile", "__import__", "breakpoint"}
HARMFUL_NAMES = {
    "read_pickle",
    "to_pickle",
    "unsafe_load",
    "full_load",
    "instantiate",
    "cloudpickle",
    "system",
    "popen",
}


def test_law_8_the_sources_neither_unpickle_nor_evaluate_code():
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
                assert not {name.split(".")[0] for name in names} & HARMFUL_MODULES, path
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                allowed = (
                    {"exec", "compile"} if path.name == "compiled.py" else set()
                )  # compiled.py executes loops that it generates
                assert called not in HARMFUL_CALLS - allowed, f"{path}:{node.lineno}"
                assert called.rpartition(".")[2] not in HARMFUL_NAMES, f"{path}:{node.lineno}"
                if called in ("np.load", "numpy.load"):
                    assert "allow_pickle=False" in ast.unparse(node), f"{path}:{node.lineno}"


class Bomb:
    """An object that creates a folder when it is unpickled."""

    def __reduce__(self):
        return (os.mkdir, (os.environ["BOMB"],))


@pytest.fixture
def bomb(tmp_path, monkeypatch):
    monkeypatch.setenv("BOMB", str(tmp_path / "exploded"))
    yield pickle.dumps(Bomb())
    assert not (tmp_path / "exploded").exists()


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    return Path(run_sweep(tmp_path_factory.mktemp("model"), "select.publish=champion")["model"]["path"])


def test_law_8_a_model_file_with_a_pickle_in_it_is_refused(model_folder, bomb, tmp_path):
    """The file is a pickle, or contains an array of objects; the checksum is right."""

    for kind in ("pickle", "object array"):
        folder = tmp_path / kind
        folder.mkdir()
        if kind == "pickle":
            (folder / "arrays.npz").write_bytes(bomb)
        else:
            np.savez(folder / "arrays.npz", np.array([Bomb()], dtype=object), allow_pickle=True)
            assert zipfile.is_zipfile(folder / "arrays.npz")
        document = json.loads((model_folder / "model.json").read_text())
        document["arrays_sha256"] = sha256((folder / "arrays.npz").read_bytes()).hexdigest()
        (folder / "model.json").write_text(json.dumps(document))
        with pytest.raises(ValueError, match="does not contain a readable model"):
            model_file.load(folder)


def test_law_8_a_model_file_cannot_name_functions_outside_nncore(model_folder, tmp_path):
    document = json.loads((model_folder / "model.json").read_text().replace("nncore.activations.relu", "os.getcwd"))
    document["model_sha256"] = sha256(json.dumps(document["model"], sort_keys=True).encode()).hexdigest()
    (tmp_path / "arrays.npz").write_bytes((model_folder / "arrays.npz").read_bytes())
    (tmp_path / "model.json").write_text(json.dumps(document))
    with pytest.raises(ValueError, match="inside nncore"):
        model_file.load(tmp_path)


def test_law_8_a_model_file_cannot_allow_more_packages(model_folder, tmp_path, monkeypatch):
    """The first layer's activation would allow a package, and the second layer's run a function of it."""
    monkeypatch.setenv("NNCORE_ALLOW", "")
    document = json.loads((model_folder / "model.json").read_text())
    bomb = tmp_path / "went off"
    names = (
        ("nncore.components.allow", {"packages": ["subprocess"]}),
        ("subprocess.getoutput", {"cmd": f"touch {bomb}"}),
    )
    for layer, (name, arguments) in zip(document["model"]["architecture"]["layers"], names, strict=True):
        layer["activation"] = {"class": "Component", "name": name, "arguments": [*map(list, arguments.items())]}
    document["model_sha256"] = sha256(json.dumps(document["model"], sort_keys=True).encode()).hexdigest()
    (tmp_path / "arrays.npz").write_bytes((model_folder / "arrays.npz").read_bytes())
    (tmp_path / "model.json").write_text(json.dumps(document))
    with pytest.raises(ValueError, match="does not contain a readable model"):
        model_file.load(tmp_path)
    assert os.environ["NNCORE_ALLOW"] == ""
    assert not bomb.exists()


@pytest.mark.parametrize("value", [["x"], ("x",), {"x": 1}, None, np.ones(2)])
def test_law_8_an_argument_is_a_plain_value(value):
    with pytest.raises(ValueError, match="learning_rate must be a number, a string or a component"):
        Component("nncore.optimizers.sgd.sgd", (("learning_rate", value),)).build()


@pytest.mark.parametrize(
    "name",
    [
        "nncore.components.allow",
        "nncore.inference.model_file.load",
        "nncore.stack.state.start",
        "nncore.components.Component",
        "nncore.architecture.Architecture",
    ],
)
def test_law_8_only_functions_that_return_a_component_can_be_named(name):
    with pytest.raises(ValueError, match=f"{name} does not return a component"):
        component_function(name)
    with pytest.raises(ValueError, match=f"{name} is neither a function that returns a component nor a settings class"):
        resolve_target(name)


@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "nncore",
        "nncore.components.import_module",
        "nncore._x.y",
        "nncore.activations.np",
        "nncore.x.y",
        "",
    ],
)
def test_law_8_components_are_built_by_public_functions_of_nncore(name):
    with pytest.raises(ValueError, match="nncore"):
        component_function(name)
    with pytest.raises(ValueError, match="nncore"):
        resolve_target(name)
    with pytest.raises(ValueError, match="nncore"):
        Component(name).build()


@pytest.mark.parametrize(
    "name",
    [
        "pipeline.components.fields.Name",
        "pipeline.config.compose.OmegaConf",
        "pipeline.data.npz.RawRows",
        "pipeline.stages.reduce._Missing",
        "pipeline.driver.run.run",
    ],
)
def test_law_8_a_target_is_a_settings_class_where_it_is_defined(name):
    with pytest.raises(ValueError, match=r"public|has no|is not defined in|is neither a function"):
        resolve_target(name)


def test_law_8_names_are_looked_up_in_one_place():
    """Only nncore.components imports by a name from data; other importers use names in their own source."""
    lazy = {"nncore/__init__.py", "pipeline/__init__.py"}
    own_modules = {*lazy, "pipeline/cli/dispatch.py", "pipeline/tracking/subprocess.py"}
    importers = {str(p.relative_to(ROOT)) for p in SOURCES if "import_module" in p.read_text()}
    assert importers - own_modules == {"nncore/components.py"}


@pytest.mark.parametrize(
    "override",
    [
        "data._target_=os.getcwd",
        "reduce._target_=subprocess.Popen",
        "reduce._target_=pipeline.stages.reduce.Member",
        "reduce._target_=pipeline.driver.run.time.sleep",
        "tracking._target_=pipeline.tracking.process.subprocess.Popen",
        "space.optimizer.adam._target_=os.system",
        "network.activation._target_=builtins.print",
        "network.loss.binary._target_=pipeline.driver.run.run",
    ],
)
def test_law_8_targets_outside_the_packages_are_refused(override):
    path = override.partition("._target_")[0]
    with pytest.raises(SettingError, match=path):
        compose(override)


HARMFUL_SETTINGS = {
    "callback": "+hydra.callbacks.x={_target_: os.mkdir, path: exploded}",
    "launcher": "hydra.launcher._target_=os.mkdir",
    "job logging": "+hydra.job_logging.handlers.x={class: os.mkdir, path: exploded}",
    "hydra logging": "+hydra.hydra_logging.handlers.x={class: os.mkdir, path: exploded}",
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("harmful", "option"),
    [
        ("callback", ()),
        ("callback", ("--multirun",)),
        ("callback", ("--cfg", "job")),
        ("launcher", ("--multirun",)),
        ("job logging", ()),
        ("job logging", ("--info", "all")),
        ("hydra logging", ()),
        ("hydra logging", ("--help",)),
        ("hydra logging", ("--hydra-help",)),
    ],
)
def test_law_8_hydras_own_settings_run_no_code(harmful, option, tmp_path, monkeypatch, capsys):
    """Hydra would call what these settings name, from the command line or from a file of a group."""
    setting = HARMFUL_SETTINGS[harmful]
    path, _, value = setting.partition("=")
    folder = tmp_path / "conf" / "space"
    folder.mkdir(parents=True)
    nested = "".join("  " * depth + f"{name}:\n" for depth, name in enumerate(path.lstrip("+").split(".")[:-1]))
    last = "  " * (path.count(".")) + f"{path.rpartition('.')[2]}: {value}\n"
    (folder / "mine.yaml").write_text(f"# @package _global_\n{nested}{last}")
    monkeypatch.chdir(tmp_path)
    for arguments in ([setting], ["--config-dir", "conf", "+space@_global_=mine"]):
        monkeypatch.setattr(
            sys, "argv", ["nnsweep", *arguments, "tracking.uri=wrong", *option]
        )  # a run would end at this invalid setting
        with pytest.raises(SystemExit) as exit_info:
            dispatch(sys.argv[1:], time.monotonic())
        assert exit_info.value.code == 2
        assert not (tmp_path / "exploded").exists()
        assert "must stay as it is" in capsys.readouterr().err


@pytest.mark.slow
def test_law_8_hydras_option_that_unpickles_is_not_offered(bomb, tmp_path):
    (tmp_path / "config.pickle").write_bytes(bomb)
    for option in (
        ["--experimental-rerun", "config.pickle"],
        ["--experimental-rerun=config.pickle"],
        ["--exp", "config.pickle"],  # argparse accepts abbreviations
        ["--e=config.pickle", "--cfg", "job"],
    ):
        completed = run_command(tmp_path, *option, check=False)
        assert completed.returncode == 2
        assert "unpickles" in completed.stderr


@pytest.mark.slow
def test_law_8_the_logged_model_has_no_pickle_and_loads_where_pickle_is_forbidden(main_job, tmp_path):
    (logged,) = main_job.folder.glob("runs/artifacts/digits/models/*/artifacts")
    files = [path for path in logged.rglob("*") if path.is_file()]
    assert not [path for path in files if path.suffix in (".pkl", ".pickle", ".joblib")]
    assert {path.suffix for path in files if not {"nncore", "__pycache__"} & {*path.parts}} <= {
        ".py",
        ".json",
        ".npz",
        ".yaml",
        ".txt",
        "",
    }
    program = (
        "import sys, json, mlflow, pandas as pd\n"
        "class Block:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] == 'pipeline': raise ImportError('our package is not installed here')\n"
        "sys.meta_path.insert(0, Block())\n"
        f"mlflow.set_tracking_uri('sqlite:///{main_job.folder}/runs/mlflow.db')\n"
        "model = mlflow.pyfunc.load_model('models:/digits@champion')\n"
        "import nncore; print(nncore.__file__)\n"
    )
    environment = os.environ | {"MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}
    completed = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, cwd=tmp_path, check=True
    )
    assert Path(completed.stdout.splitlines()[-1]).is_relative_to(logged)  # the model contains the code that it needs
