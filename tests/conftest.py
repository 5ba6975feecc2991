"""What all tests share: strict float arithmetic, small data, and ways to run the pipeline for real."""

import fcntl
import pickle
from collections.abc import Iterator

import numpy as np
import pytest
from main_job import MainJob

LONGEST = (  # files that begin first, so that no process is left with one of them when the others are done
    "test_tracking_faults.py",
    "test_law_5_nothing_lost.py",
    "test_interruption.py",
    "test_law_1_digests.py",
    "test_commands.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the files; the tests of each stay in their order."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


@pytest.fixture(autouse=True)
def float_errors_raise() -> Iterator[None]:
    """An overflow, a division by zero or a NaN out of nothing fails the test. exp may round to zero."""
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        yield


@pytest.fixture
def gpu() -> None:
    """A GPU and CuPy; elsewhere the test is skipped."""
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed: what computes on a GPU is not tested here")
    if not cupy.cuda.is_available():
        pytest.skip("there is no GPU: what computes on one is not tested here")


@pytest.fixture(scope="session")
def main_job(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> MainJob:
    """`python -m pipeline` with no argument, once for all tests and processes that look at what it leaves behind."""
    own = tmp_path_factory.getbasetemp()
    shared = own if worker_id == "master" else own.parent
    done = shared / "main_job.pickle"
    with (shared / "main_job.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # until the first has run it
        if not done.exists():
            (shared / "main_job").mkdir()
            done.write_bytes(pickle.dumps(MainJob(shared / "main_job")))
    return pickle.loads(done.read_bytes())
