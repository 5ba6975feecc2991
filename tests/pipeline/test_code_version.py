"""Which code counts: imported modules, without comments and docstrings, and the versions of libraries."""

import sys
from importlib import import_module, metadata

import pytest
from running import clear_code_version_caches, compose, slow_after_first

from nncore.components import Component
from pipeline.components.code_version import code_version
from pipeline.components.fingerprints import content_hash
from pipeline.driver.context import sweep_code

MODULES = {
    "__init__": "",
    "start": "import sounds.direct\n\ndef compute():\n    from sounds.later import two\n    return two\n",
    "direct": "from collections import deque\nfrom .base import Base\n\nclass Made(Base):\n    x = 1\n",
    "base": "class Base:\n    y = 1\n",
    "later": "two = 2\n",
    "named": "three = 3\n",
    "unused": "four = 4\n",
}


@pytest.fixture
def sounds(tmp_path, monkeypatch):
    """The folder of a package whose function `start.compute` imports some of its modules."""
    monkeypatch.syspath_prepend(tmp_path)
    folder = tmp_path / "sounds"
    folder.mkdir()
    for name, text in MODULES.items():
        (folder / f"{name}.py").write_text(text)
    clear_code_version_caches()
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == "sounds"]:
        del sys.modules[name]
    clear_code_version_caches()


def version(folder, **changed):
    """The version of the code of `compute`, with some modules changed."""
    for name, text in changed.items():
        (folder / f"{name}.py").write_text(text)
    clear_code_version_caches()
    return code_version(import_module("sounds.start").compute)


def test_comments_docstrings_and_blank_lines_do_not_count(sounds):
    before = version(sounds)
    documented = '''"""What a module has."""

# A comment.
class Base:
    """What a class has."""

    y = 1  # another
'''
    assert version(sounds, base=documented) == before
    assert version(sounds, base=documented.replace("1", "2")) != before


@pytest.mark.parametrize("module", slow_after_first(["base", "start", "direct", "later"]))
def test_a_change_in_any_module_that_is_imported_counts(module, sounds):
    """Directly or by another module, at the top or inside a function."""
    before = version(sounds)
    assert version(sounds, **{module: MODULES[module] + "z = 5\n"}) != before
    assert version(sounds, **{module: MODULES[module]}) == before


@pytest.mark.parametrize("module", slow_after_first(["unused", "named", "__init__"]))
def test_a_change_in_another_module_does_not_count(module, sounds):
    before = version(sounds)
    assert version(sounds, **{module: "z = 5\n"}) == before


def test_imports_for_type_checkers_do_not_count(sounds):
    text = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import sounds.unused\ntwo = 2\n"
    before = version(sounds, later=text)
    assert version(sounds, unused="four = 5\n") == before


def test_code_of_components_in_settings_counts():
    adam, sgd = (Component(f"nncore.optimizers.{name}.{name}") for name in ("adam", "sgd"))
    versions = [code_version(), code_version(adam), code_version(sgd), code_version(adam, sgd)]
    assert len(set(versions)) == 4
    assert code_version(adam) == code_version([{"optimizer": adam}]) == code_version("nncore.optimizers.adam.adam")
    assert code_version(1, 2.5, None, "adam", {"rate": 0.1}) == code_version()
    assert content_hash("x", adam) != content_hash("x", sgd)


def test_the_versions_of_imported_libraries_count():
    of_search = {name: sweep_code(compose(f"search={name}")[1]) for name in ("grid", "tpe")}
    for name in ("numpy", "scikit-learn"):
        assert all(f" {name} {metadata.version(name)}" in version for version in of_search.values())
    assert f" optuna {metadata.version('optuna')}" in of_search["tpe"]
    assert "optuna" not in of_search["grid"]
    assert not any(name in of_search["tpe"] for name in ("mlflow", "matplotlib", "ray", "hydra"))
    assert "scikit-learn" not in code_version("nncore.optimizers.adam.adam")


def test_settings_that_change_no_result_do_not_change_the_code_version():
    before = sweep_code(compose()[1])
    assert sweep_code(compose("tracking=none", "report=none", "execution=local", "cache=none")[1]) == before
    assert sweep_code(compose("split=time")[1]) == before  # of the same module
