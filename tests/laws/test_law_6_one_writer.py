"""Law 6, one writer: one process per run talks to MLflow; workers never do, and training does not wait for it."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from running import FEW


@pytest.mark.slow
def test_law_6_only_the_writer_opens_the_store(main_job):
    assert len(main_job.openers) == 1
    (line,) = main_job.openers.values()
    assert "pipeline.tracking.mlflow_writer" in line


@pytest.mark.slow
def test_law_6_workers_never_load_mlflow(main_job):
    """MLflow imports SQLAlchemy, whose compiled libraries would be in the memory map of the process."""
    assert len(main_job.workers) >= 2
    assert any("numpy" in maps for maps in main_job.workers.values())
    assert not [maps for maps in main_job.workers.values() if "sqlalchemy" in maps or "libsqlite" in maps]


@pytest.mark.slow
def test_law_6_a_worker_that_trains_loads_neither_mlflow_nor_scikit_learn():
    program = Path(__file__).parents[1] / "support" / "program_worker_modules.py"
    completed = subprocess.run([sys.executable, str(program)], capture_output=True, text=True, check=True)
    before, modules = (set(json.loads(line)) for line in completed.stdout.splitlines()[-2:])
    assert {"nncore.stack.state", "numba", "numba.np.arrayobj"} <= before  # loaded while the worker was idle
    packages = {name.partition(".")[0] for name in modules}
    assert {"numpy", "nncore", "pipeline"} <= packages
    assert not packages & {"mlflow", "sklearn", "hydra", "pandas", "rich"}
    # Numba loads SciPy's linear algebra and nothing else of SciPy
    assert not modules & {f"scipy.{part}" for part in ("optimize", "sparse", "special", "stats")}
    assert find_spec("mlflow")  # MLflow is installed


@pytest.mark.slow
def test_law_6_the_driver_never_loads_mlflow(tmp_path):
    program = (
        "import sys; from pipeline.cli.dispatch import dispatch; import time\n"
        f"sys.argv = {['nnsweep', *FEW, 'execution=local', 'training.epochs=1', f'runs={tmp_path}']}\n"
        "dispatch(sys.argv[1:], time.monotonic())\n"
        "assert 'mlflow' not in sys.modules and 'ray' not in sys.modules\n"
        "print('clean')"
    )
    completed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert completed.stdout.endswith("clean\n")
    assert "MLflow UI" in completed.stdout
