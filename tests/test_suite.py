"""The test suite itself: signals of child processes, processes left after failures, nightly tests."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CONFTEST = f"""
import sys
sys.path.insert(0, {str(ROOT / "tests" / "support")!r})
exec(open({str(ROOT / "tests" / "conftest.py")!r}).read())
"""


def run_suite(folder: Path, tests: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a small suite with our conftest, in a process that ignores SIGINT as after `nohup ... &`."""
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_small.py").write_text(tests)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-c",
        os.devnull,
        "--rootdir",
        folder,
        *options,
        folder,
    ]
    return subprocess.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )


@pytest.mark.slow
def test_children_of_tests_get_the_default_signals(tmp_path):
    completed = run_suite(tmp_path, """
import signal, subprocess, sys
def test_a_child_is_interrupted():
    code = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "True\\n"
""")  # fmt: skip
    assert completed.returncode == 0, completed.stdout


@pytest.mark.slow
def test_a_test_that_fails_leaves_no_process_behind(tmp_path):
    completed = run_suite(tmp_path, """
import subprocess, sys
def test_fails():
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)  # left by a test"])
    assert False
""")  # fmt: skip
    assert completed.returncode == 1, completed.stdout
    lines = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    assert not [line for line in lines if b"left by a test" in line]


@pytest.mark.slow
def test_nightly_tests_run_only_with_nightly(tmp_path):
    tests = """
import pytest
@pytest.mark.filterwarnings("ignore")
@pytest.mark.nightly
def test_long():
    pass
def test_short():
    pass
"""
    assert "1 passed, 1 deselected" in run_suite(tmp_path, tests).stdout
    assert "2 passed" in run_suite(tmp_path, tests, "--nightly").stdout
