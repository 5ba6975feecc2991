"""The setting allow: users' packages, and no others."""

import json
import sys

import pytest
import venom
from running import QUICK, clear_code_version_caches, compose, read_journal, read_summary, run_command, run_sweep

from nncore.components import allow, component_function
from pipeline.components.code_version import code_version
from pipeline.components.errors import SettingError


@pytest.fixture
def importable(tmp_path, monkeypatch):
    """A folder on sys.path; modules imported from it are removed from sys.modules afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if (tmp_path / name.partition(".")[0]).exists()]:
        del sys.modules[name]
    allow([])


@pytest.mark.slow
def test_an_optimizer_of_a_users_package_is_swept(tmp_path):
    """The package is in the working directory of the command."""
    run_command(tmp_path, *venom.settings(tmp_path), *QUICK, "space.optimizer.venom.learning_rate=[0.1,0.3]")
    summary = read_summary(tmp_path)
    assert summary["trials"]["finished"] == 14
    assert summary["best"]["parameters"]["optimizer"] == "venom"
    model = json.loads(next(tmp_path.glob("runs/*/*/model/model.json")).read_text())
    assert "snake" not in json.dumps(model)  # a model does not need its optimizer


def test_a_users_optimizer_gives_the_results_of_the_same_formula_in_nncore(importable, tmp_path):
    custom = run_sweep(tmp_path / "a", *venom.settings(importable, learning_rate="[0.1]"))
    removed = ["~space.network", *(f"~space.optimizer.{name}" for name in ("momentum", "rmsprop", "adam"))]
    builtin = run_sweep(tmp_path / "b", *removed, "space.optimizer.sgd.learning_rate=[0.1]")
    assert custom["best"]["validation"] == builtin["best"]["validation"]


def test_a_package_that_is_not_allowed_is_not_imported(importable):
    overrides = [override for override in venom.settings(importable) if not override.startswith("allow")]
    with pytest.raises(
        SettingError, match="must be the full name of a public function or class inside nncore or pipeline; "
    ):
        compose(*overrides)
    with pytest.raises(SettingError, match="a package of your own has to be listed in allow"):
        compose("reduce._target_=snake.Pca")
    assert "snake" not in sys.modules


@pytest.mark.parametrize("package", ["snak", "snakes"])
def test_allowing_a_package_does_not_allow_one_with_a_similar_name(package, importable):
    (importable / package).mkdir()
    (importable / package / "__init__.py").touch()
    overrides = [override for override in venom.settings(importable) if not override.startswith("allow")]
    with pytest.raises(
        SettingError, match=r"must be the full name of a public function or class inside nncore or pipeline or snak.*;"
    ):
        compose(*overrides, f"allow=[{package}]")
    assert "snake" not in sys.modules


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("[no_such_package]", "allow: no_such_package must be a package"),
        ("[os]", "allow: os must be a package"),  # a module, not a package
        ("['../x']", "allow.0 = '../x'"),
        ("['a.b']", "allow.0 = 'a.b'"),
        ("[_hidden]", "allow.0 = '_hidden'"),
        ("snake", "allow = 'snake'"),
    ],
)
def test_only_packages_can_be_allowed(value, message):
    with pytest.raises(SettingError) as raised:
        compose(f"allow={value}")
    assert str(raised.value).startswith(message)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["snake.os.system", "snake.np.load", "snake.checked", "snake.sys", "snake.Optimizer"])
def test_what_an_allowed_package_imports_is_not_allowed(name, importable):
    venom.settings(importable)
    allow(["snake"])
    with pytest.raises(ValueError, match=f"'{name}' is not defined in|has no '{name}'"):
        component_function(name)


def test_a_changed_package_changes_the_code_version(importable):
    venom.settings(importable)
    without = code_version()
    allow(["snake"])
    before = code_version()
    clear_code_version_caches()
    assert code_version() == before
    clear_code_version_caches()
    (importable / "snake" / "more.py").write_text("x = 1")  # even a file that nothing imports
    assert len({without, before, code_version()}) == 3


@pytest.mark.slow
def test_ray_workers_can_import_an_allowed_package(tmp_path, monkeypatch):
    monkeypatch.setenv("SLOW_WHILE_FILE_EXISTS", str(tmp_path))  # so that both workers train, although one starts later
    settings = (*venom.settings(tmp_path), "training.epochs=2", "training.batch_size=512", "stacks.width=3")
    run_command(tmp_path, *settings, "tracking=none", "report=none", "execution=ray", "execution.cpus=2")
    assert read_summary(tmp_path)["trials"]["finished"] == 28
    assert len({event["worker"] for event in read_journal(tmp_path) if event["event"] == "slice"}) > 1
