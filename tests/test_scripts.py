"""The scripts for measurements: each can be imported, and the ones that can be made small run."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = ROOT / "scripts"
NOT_INSTALLED = {"torch", "jax", "optax"}  # libraries that the reference values are made with


@pytest.fixture
def paths(monkeypatch):
    for folder in (SCRIPTS, ROOT / "tests" / "nncore", ROOT / "tests" / "support"):
        monkeypatch.syspath_prepend(folder)


@pytest.mark.parametrize("name", sorted(path.stem for path in SCRIPTS.glob("*.py")))
def test_a_script_can_be_imported(name, paths):
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name not in NOT_INSTALLED:
            raise
        pytest.skip(f"{error.name} is not installed")
    assert module.__doc__


@pytest.mark.slow
def test_every_variant_of_the_training_benchmark_trains(paths):
    benchmark = importlib.import_module("benchmark_training")
    for variant in benchmark.VARIANTS.values():
        train_epoch = benchmark.trainer("A", 2, variant)
        assert benchmark.seconds_of(train_epoch) > 0
    assert benchmark.seconds_of(benchmark.products("A", 2)) > 0


@pytest.mark.slow
def test_the_cluster_is_simulated():
    command = [sys.executable, SCRIPTS / "simulate_cluster.py", "most_trials=1000"]
    completed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert completed.returncode == 0, completed.stderr
    assert "decisions" in completed.stdout


@pytest.mark.slow
def test_a_table_for_the_loading_benchmark_is_measured(tmp_path, paths, capsys):
    benchmark = importlib.import_module("benchmark_loading")
    benchmark.N_ROWS = 1000
    benchmark.write_table(tmp_path / "t.parquet", "float32", 500)
    benchmark.measure("data=parquet", f"data.path={tmp_path}/t.parquet", "data.target=y")
    assert '"rows": 1000' in capsys.readouterr().out
