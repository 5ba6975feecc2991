"""The README's Python runs as it stands."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, metadata
from itertools import chain
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text()
TUTORIALS = [block for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "from nncore" in block]


@pytest.mark.slow
@pytest.mark.parametrize("code", TUTORIALS, ids=["nncore", "scikit-learn"])
def test_the_tutorial_runs_and_learns(code, tmp_path):
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert float(done.stdout.split()[-1]) > 0.9
    assert done.stderr == ""


def test_every_file_that_the_readme_names_is_there():
    for path in re.findall(r"\]\((nncore/[^)]*|tests/[^)]*)\)", README):
        assert (Path(__file__).parents[1] / path).exists(), path


def test_the_mathematics_table_leads_to_every_file_of_mathematics():
    folder = Path(__file__).parents[1] / "nncore"
    plumbing = {
        "__init__",
        "base",
        "random_streams",
        "backend",
        "device",
        "elementwise",
        "compiled",
        "workspace",
        "components",
        "hyperparameters",
        "batches",
        "monitor",
        "model",
        "model_file",
        "array_file",
        "checkpoint",
        "codec",
        "estimators",
        "hooks",
    }
    for path in folder.glob("**/*.py"):
        if path.stem not in plumbing:
            assert f"({path.relative_to(folder.parent)})" in README, path


def test_the_licence_of_every_direct_dependency_is_named_and_is_what_its_package_says():
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *chain(*project["optional-dependencies"].values())]
    direct = {re.match(r"[\w-]+", one)[0] for one in wanted} - {"nnsweep"}
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", README.partition("## Licences")[2], re.MULTILINE)
    named = {one.partition(" ")[0]: licence for licence, packages in rows[1:] for one in packages.split(", ")}
    named.pop("---", None)
    assert set(named) == direct
    for package, licence in named.items():
        try:
            about = metadata(package)
        except PackageNotFoundError:
            continue  # an extra that is not installed here
        kinds = [kind.rpartition(" :: ")[2] for kind in about.get_all("Classifier", []) if kind.startswith("License")]
        said = " ".join([about.get("License-Expression", ""), (about.get("License") or "")[:40], *kinds])
        words = {"Apache-2.0": "Apache", "PSF (its own, of that kind)": "Python Software Foundation"}
        assert words.get(licence, licence) in said, package
