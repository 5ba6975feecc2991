"""Options, hooks and fixtures of all tests: strict float arithmetic, the order of files, and the default sweep."""

import fcntl
import gc
import os
import pickle
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from main_job import MainJob
from running import close_children, end_processes
from threadpoolctl import threadpool_limits

# Each module is compiled once, and not again in each of the many processes that the tests start.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

gc.disable()  # while modules are imported and tests are collected

LONGEST = (  # these files run first, so that none of them is still running when the other workers have finished
    "test_interruption.py",
    "test_tracking_faults.py",
    "test_cluster.py",
    "test_law_5_nothing_lost.py",
    "test_gpus.py",
    "test_hosts.py",
    "test_commands.py",
    "test_law_1_digests.py",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --nightly, which also runs the tests marked nightly."""
    parser.addoption("--nightly", action="store_true", help="also run what takes long: simulations, soaks, versions")


def pytest_configure() -> None:
    """Restore the default signal handlers for the processes that tests start.

    A suite started in the background (`nohup ... &`, some CI runners) ignores SIGINT and SIGHUP, and child processes
    inherit that: they would ignore the Ctrl-C that a test sends.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect nightly tests unless --nightly is given, and sort the files; the order within a file is kept."""
    if not config.getoption("--nightly"):
        nightly = [item for item in items if item.get_closest_marker("nightly")]
        config.hook.pytest_deselected(items=nightly)
        items[:] = [item for item in items if not item.get_closest_marker("nightly")]
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


def pytest_collection_finish() -> None:
    """Take the imported modules and the tests out of garbage collection: each one would walk all their objects."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Iterator[None]:
    """Kill the processes that a failed test has started, so that they do not disturb or fail the next one."""
    start_time = time.clock_gettime(time.CLOCK_BOOTTIME)
    try:
        return (yield)
    except BaseException:
        end_processes(start_time)
        close_children()
        raise


@pytest.fixture(autouse=True)
def float_errors_raise() -> Iterator[None]:
    """Fail the test on overflow, division by zero and invalid operations. Underflow is allowed."""
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        yield


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Use one thread for products of matrices: small ones take longer on several."""
    with threadpool_limits(1):
        yield


@pytest.fixture
def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file: while it exists, the optimizer venom is slow, so that hosts and servers can come and go."""
    path = tmp_path / "slow"
    path.touch()
    monkeypatch.setenv("SLOW_WHILE_FILE_EXISTS", str(path))
    return path


@pytest.fixture
def gpu() -> None:
    """Skip the test where CuPy or a GPU is missing."""
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed: GPU code is not tested")
    if not cupy.cuda.is_available():
        pytest.skip("there is no GPU: GPU code is not tested")


@pytest.fixture
def silent_server() -> Iterator[str]:
    """A server that accepts connections and never responds."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(64)
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture(scope="session")
def main_job(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> MainJob:
    """The default sweep (`python -m pipeline`), run once and shared by all tests and all pytest processes."""
    own_folder = tmp_path_factory.getbasetemp()
    shared = own_folder if worker_id == "master" else own_folder.parent
    result_file = shared / "main_job.pickle"
    with (shared / "main_job.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the first process runs it; the others wait
        if not result_file.exists():
            (shared / "main_job").mkdir()
            result_file.write_bytes(pickle.dumps(MainJob(shared / "main_job")))
    return pickle.loads(result_file.read_bytes())
