"""What all tests share: strict float arithmetic, small data, and ways to run the pipeline for real."""

import fcntl
import pickle
import signal
import time
from collections.abc import Iterator

import numpy as np
import pytest
from main_job import MainJob
from running import end_processes

LONGEST = (  # files that begin first, so that no process is left with one of them when the others are done
    "test_tracking_faults.py",
    "test_law_5_nothing_lost.py",
    "test_interruption.py",
    "test_law_1_digests.py",
    "test_commands.py",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """--nightly runs the tests with this mark, too."""
    parser.addoption("--nightly", action="store_true", help="also run what takes long: simulations, soaks, versions")


def pytest_configure() -> None:
    """Give the processes that tests start the default signals.

    A suite that is started in the background (`nohup ... &`, some CI runners) ignores SIGINT, and whatever it starts
    would inherit that: a Ctrl-C that a test sends would never come.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out nightly tests unless they are asked for, and order the files; the tests of each stay in their order."""
    if not config.getoption("--nightly"):
        nightly = [item for item in items if item.get_closest_marker("nightly")]
        config.hook.pytest_deselected(items=nightly)
        items[:] = [item for item in items if item not in nightly]
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Iterator[None]:
    """A test that fails leaves no process behind for the next one."""
    began = time.clock_gettime(time.CLOCK_BOOTTIME)
    try:
        return (yield)
    except BaseException:
        end_processes(began)
        raise


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
