"""The sub-commands of nnsweep: their help, what they print, their errors, and completion in real shells."""

import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest
from running import FEW, nightly_after_first, processes, run_sweep, wait_until
from servers import free_port

import pipeline
from pipeline.cli import dispatch
from pipeline.cli.arguments import find_run, read
from pipeline.components.errors import SettingError
from pipeline.runs.names import run_folders

NNSWEEP = Path(sys.executable).with_name("nnsweep")
COMMANDS = ("completion", "plan", "runs", "sweep", "track", "ui")


def output_of(capsys, *arguments):
    """Run a command and return what it prints."""
    dispatch.dispatch(list(arguments), time.monotonic())
    return capsys.readouterr().out


def error_line(capsys, *arguments):
    """Run a command that is refused and return its one-line message."""
    with pytest.raises(SystemExit) as exit_info:
        dispatch.dispatch(list(arguments), time.monotonic())
    assert exit_info.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs with different epochs, and one with the settings of the first."""
    folder = tmp_path_factory.mktemp("runs")
    for epochs in (1, 2, 1):
        run_sweep(folder, *FEW, f"training.epochs={epochs}", "resume=never")
        time.sleep(1)  # ids start with the time in seconds
    return folder


def test_the_help_names_every_command_with_a_line(capsys):
    assert set(COMMANDS) <= set(dispatch.names())
    text = output_of(capsys, "--help")
    for name in dispatch.names():
        assert re.search(rf"^  {name} +\S.*\.$", text, re.MULTILINE)


@pytest.mark.parametrize("name", dispatch.names())
def test_each_command_has_a_help_with_usage_and_examples(name, capsys):
    text = output_of(capsys, name, "--help")
    assert f"Usage: nnsweep {'[sweep]' if name == 'sweep' else name}" in text
    examples = text.partition("Examples:\n")[2].splitlines()
    assert examples
    assert all("nnsweep" in line for line in examples)


def test_the_version_is_ours(capsys):
    expected = f"nnsweep {pipeline.__version__}\n"
    assert (
        output_of(capsys, "--version")
        == output_of(capsys, "sweep", "--version")
        == output_of(capsys, "training.epochs=1", "--version")
    )
    assert output_of(capsys, "--version") == expected


def test_an_unknown_command_is_named_with_the_nearest(capsys):
    assert error_line(capsys, "trakc") == "nnsweep: there is no command trakc; did you mean track?"
    assert "nnsweep --help lists them" in error_line(capsys, "xyz")


def test_settings_are_read_by_name():
    assert read(["show", "run=a=b"], {"run": "last", "runs": "runs"}) == (["show"], {"run": "a=b", "runs": "runs"})
    with pytest.raises(SettingError, match=r"^this command has no setting rnu; did you mean run\?$"):
        read(["rnu=1"], {"run": "last"})


def test_runs_are_found_by_id_or_by_last(runs):
    first, second, third = run_folders(runs)
    assert find_run(runs, "last") == third
    assert find_run(runs, second.name) == second
    assert [find_run(runs, f"last~{number}") for number in range(3)] == [third, second, first]
    with pytest.raises(
        SettingError, match=r"^run=last~3: there are only 3 runs below .*; nnsweep runs list shows them"
    ):
        find_run(runs, "last~3")
    with pytest.raises(SettingError, match=f"^run={first.name}x: there is no such run below .*; did you mean"):
        find_run(runs, first.name + "x")
    with pytest.raises(SettingError, match="there is no run in this folder; name another with runs="):
        find_run(runs / "nothing", "last")


def test_runs_list_has_a_line_for_each(runs, capsys):
    lines = output_of(capsys, "runs", f"runs={runs}").splitlines()
    for folder in run_folders(runs):
        summary = json.loads((folder / "summary.json").read_text())
        (line,) = (line for line in lines if folder.name in line)
        assert f"log loss {summary['published']['test']['log_loss']:#.4g}" in line
        assert "finished" in line


@pytest.mark.parametrize("columns", [20, 40, 80, 100])
@pytest.mark.parametrize("command", [("list",), ("compare", "last", "last~1", "last~2")])
def test_ids_are_not_wrapped_in_a_narrow_terminal(columns, command, runs, capsys, monkeypatch):
    monkeypatch.setattr("pipeline.console.terminal.WIDTH_OF_PIPES", columns)
    words = output_of(capsys, "runs", *command, f"runs={runs}").split()
    assert {folder.name for folder in run_folders(runs)} <= {*words}


def test_a_run_that_failed_on_its_data_is_not_the_last_one(runs, tmp_path, capsys):
    """Nor is it resumed, nor mentioned by the next run."""
    shutil.copytree(runs, tmp_path / "runs")
    last = run_folders(runs)[-1].name
    with pytest.raises(SettingError, match=r"split\.validation"):
        run_sweep(tmp_path / "runs", *FEW, "split.validation=0.0001", "training.epochs=1", "resume=never")
    failed = run_folders(tmp_path / "runs")[-1].name
    assert failed > last
    assert find_run(tmp_path / "runs", "last").name == last
    assert f"{failed}  digits" in re.sub(" +", "  ", output_of(capsys, "runs", f"runs={tmp_path / 'runs'}"))
    for _ in range(2):
        with pytest.raises(SettingError, match=r"split\.validation"):
            run_sweep(tmp_path / "runs", *FEW, "split.validation=0.0001", "training.epochs=1")
    assert len(run_folders(tmp_path / "runs")) == 6  # none of them was resumed
    command = ("execution=local", "tracking=none", "report=none", "training.epochs=4", f"runs={tmp_path / 'runs'}")
    assert failed not in output_of(capsys, *FEW, *command)


def test_an_interrupted_run_is_listed_as_such_with_the_counts_of_its_journal(runs, tmp_path, capsys):
    shutil.copytree(run_folders(runs)[0], tmp_path / "digits" / "20990101-000000-0000")
    (tmp_path / "digits" / "20990101-000000-0000" / "summary.json").unlink()
    assert "interrupted" in output_of(capsys, "runs", "list", f"runs={tmp_path}")
    text = output_of(capsys, "runs", "show", f"runs={tmp_path}")
    assert "interrupted" in text
    assert "7 planned, 7 finished, 0 stopped, 0 diverged, 0 failed" in text


def test_runs_show_prints_the_champion_and_the_best_trials(runs, capsys):
    folder = run_folders(runs)[1]
    summary = json.loads((folder / "summary.json").read_text())
    text = output_of(capsys, "runs", "show", f"run={folder.name}", f"runs={runs}")
    assert f"champion   trial {summary['best']['trial']}: " in text
    assert summary["digest"] in text
    assert f"test       log loss {summary['best']['test']['log_loss']:#.4g}, accuracy" in text


def test_runs_compare_shows_what_differs_and_whether_results_are_equal(runs, capsys):
    first, second, third = (folder.name for folder in run_folders(runs))
    text = output_of(capsys, "runs", "compare", first, second, f"runs={runs}")
    assert re.search(r"training\.epochs +1 +2 ", text)
    assert "training.batch_size" not in text
    assert "the results are not the same" in text
    assert "the results are equal to the last bit" in output_of(capsys, "runs", "compare", first, third, f"runs={runs}")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("runs", "sow"), "runs sow is not known; there are runs list, runs show and runs compare"),
        (("runs", "compare", "a"), "runs compare needs the ids of two runs or more; nnsweep runs list shows them"),
        (("runs", "runs=nowhere"), "runs=nowhere: there is no run in this folder; name another with runs=..."),
        (("track", "last"), "last is not name=value; --help shows examples"),
        (("track", "runs=nowhere"), "runs=nowhere: there is no run in this folder; name another with runs=..."),
        (("ui", "runs=nowhere"), "runs=nowhere: there is no mlflow.db in this folder; name another with runs=..."),
        (("ui", "uri=sqlite:////x.db", "port=0"), "port must be a number from 1 to 65535, but is 0"),
        (("completion", "tcsh"), "completion must be for bash or zsh: nnsweep completion bash"),
    ],
)
def test_mistakes_are_one_line(arguments, line, capsys):
    assert error_line(capsys, *arguments) == f"nnsweep: {line}"


def test_track_of_an_untracked_run_needs_a_store(runs, capsys):
    assert "was not tracked; name a store with uri=" in error_line(capsys, "track", f"runs={runs}")


@pytest.mark.slow
def test_track_writes_a_run_to_the_store_that_is_named(runs, tmp_path, capsys):
    uri = f"sqlite:///{tmp_path}/m.db"
    assert f"is in MLflow at {uri}" in output_of(capsys, "track", f"runs={runs}", f"uri={uri}")
    (tmp_path / "broken.db").write_text("no database" * 100)
    line = error_line(capsys, "track", f"runs={runs}", f"uri=sqlite:///{tmp_path}/broken.db")
    assert "broken.db cannot be used: file is not a database" in line


@pytest.mark.slow
def test_ui_serves_the_runs_to_this_machine_until_ctrl_c(main_job):
    port = free_port()
    arguments = [str(NNSWEEP), "ui", f"port={port}"]
    server = subprocess.Popen(
        arguments, cwd=main_job.folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert server.stdout.readline().startswith(f"http://127.0.0.1:{port} is ready in about ten seconds")
        deadline = time.monotonic() + 90
        while True:
            with suppress(OSError):
                address = f"http://127.0.0.1:{port}/api/2.0/mlflow/experiments/get-by-name?experiment_name=digits"
                with urllib.request.urlopen(address) as response:
                    assert json.load(response)["experiment"]["name"] == "digits"
                break
            assert time.monotonic() < deadline
            time.sleep(0.3)
        taken = subprocess.run(arguments, cwd=main_job.folder, capture_output=True, text=True, timeout=30)
        assert taken.returncode == 2
        assert f"port={port} cannot be used (Address already in use); choose another" in taken.stderr
    finally:
        server.send_signal(signal.SIGINT)
        assert server.wait(timeout=30) == 0
        server.stdout.close()
    assert processes("mlflow", str(port)) == {}


@pytest.mark.slow
@pytest.mark.parametrize("sent", nightly_after_first([signal.SIGKILL, signal.SIGTERM, signal.SIGHUP]))
def test_no_server_outlives_ui(sent, tmp_path):
    port = free_port()
    arguments = [str(NNSWEEP), "ui", f"port={port}", f"uri=sqlite:///{tmp_path}/store.db"]
    ui = subprocess.Popen(arguments, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: is_open(port), seconds=90)
    ui.send_signal(sent)
    sent_time = time.monotonic()
    _, errors = ui.communicate(timeout=30)
    assert time.monotonic() - sent_time < 20
    if sent != signal.SIGKILL:
        assert ui.returncode == 0
        assert "nnsweep: interrupted" in errors
    wait_until(lambda: not processes(str(port)), seconds=20)
    assert not is_open(port)


def is_open(port):
    """Whether a server accepts connections on a port of this machine."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_the_plan_command_trains_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    printed = output_of(capsys, "plan", *FEW, "execution=local", "tracking=none")
    assert re.search(r"^plan +7 trials, 7 networks, ", printed, re.MULTILINE)
    assert list(tmp_path.glob("runs/cache/*"))
    assert not list(tmp_path.glob("runs/*/*/journal.jsonl"))


def complete_in_shell(shell, typed, patterns, folder):
    """The completions that an interactive shell shows when Tab is pressed after `typed`.

    Reads until all patterns have matched, or for some seconds.
    """
    terminal, other_end = pty.openpty()
    start = {"bash": ["bash", "--norc", "-i"], "zsh": ["zsh", "-f", "-i"]}[shell]
    environment = os.environ | {"PATH": f"{NNSWEEP.parent}:{os.environ['PATH']}", "TERM": "dumb", "PS1": "$ "}
    process = subprocess.Popen(
        start, stdin=other_end, stdout=other_end, stderr=other_end, cwd=folder, env=environment, start_new_session=True
    )
    os.close(other_end)

    def read_until(expected_patterns, seconds):
        screen, deadline = "", time.monotonic() + seconds
        while not all(re.search(pattern, screen) for pattern in expected_patterns) and time.monotonic() < deadline:
            if select.select([terminal], [], [], 0.1)[0]:
                screen += os.read(terminal, 65536).decode(errors="replace")
        return screen

    try:
        prepare = "autoload -Uz compinit; compinit -u -D; " if shell == "zsh" else ""
        os.write(terminal, f'{prepare}eval "$(nnsweep completion {shell})"; echo rea""dy\n'.encode())
        assert "ready" in read_until([r"\bready\b"], 30)
        os.write(terminal, typed.encode() + b"\t\t")
        return read_until(patterns, 20)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        os.close(terminal)


COMPLETIONS = [
    ("nnsweep tr", ["track"]),
    ("nnsweep plan reduce=", ["reduce=autoencoder", "reduce=none", "reduce=pca"]),
    ("nnsweep runs co", ["compare"]),
    ("nnsweep training.ep", ["training.epochs="]),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shell", "typed", "expected"),
    [
        *(("bash", *completion) for completion in COMPLETIONS),
        *(("zsh", *completion) for completion in COMPLETIONS[:2]),
        *(pytest.param("zsh", *completion, marks=pytest.mark.nightly) for completion in COMPLETIONS[2:]),
    ],
)
def test_tab_completes_commands_and_settings(shell, typed, expected, tmp_path):
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    word = typed.rpartition(" ")[2]
    patterns = [f"{re.escape(candidate)}|{re.escape(typed + candidate.removeprefix(word))}" for candidate in expected]
    screen = complete_in_shell(shell, typed, patterns, tmp_path)
    assert all(re.search(candidate, screen) for candidate in patterns), screen
