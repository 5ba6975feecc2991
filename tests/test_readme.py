"""The README's Python runs as it stands."""

import re
import subprocess
import sys
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
        "draws",
        "backend",
        "scratch",
        "members",
        "hyperparameters",
        "randomness",
        "batches",
    }
    plumbing |= {"watch", "model", "model_file", "array_file", "stack_file", "codec", "estimators", "estimator_base"}
    for path in folder.glob("**/*.py"):
        if path.stem not in plumbing:
            assert f"({path.relative_to(folder.parent)})" in README, path
