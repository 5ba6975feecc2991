"""What a run prints: a live table, plain lines, one line, or JSON."""

import io
import json
import os
import pty
import re
import subprocess
import sys
import time
from io import StringIO

import pytest
from rich.console import Console
from rich.table import Table
from rich.text import Text
from running import FEW, compose, read_summary, requested_trials
from sweeps import add_slice, open_records
from sweeps import report as reported

from pipeline.cli.dispatch import dispatch
from pipeline.config.schema import Configuration
from pipeline.console.json_lines import JsonOutput
from pipeline.console.live import LiveTable, picture
from pipeline.console.output import LineOutput, QuietOutput, output_of
from pipeline.console.progress import Pace, PlainProgress, SweepProgress, duration
from pipeline.console.standard_output import checked_standard_output
from pipeline.console.terminal import PlainConsole, plain_console
from pipeline.driver.run import run
from pipeline.engine.records import RungProgress

SETTINGS = ("data=wine", *FEW, "execution=local", "tracking=none", "report=none", "training.epochs=3")


def sample_records():
    """Records of 9 trials of which 3 continue in a second rung."""
    records = open_records(9)
    records.rungs.append(RungProgress("1", 9, 9, 0))
    losses = {key: reported(1.0 + number / 10, 1.0, selected_epoch=1) for number, key in enumerate(records.networks)}
    add_slice(records, losses, 0, 1)
    for key in list(records.trials)[3:]:
        records.prune(key, "the search left it out", 1)
    records.mark_finished(records.trials)
    records.rungs.append(RungProgress("3", 3, 6, 4))
    return records


def render(now, width=80, height=24):
    console = Console(file=StringIO(), width=width, height=height, legacy_windows=False)
    console.print(picture(now, width))
    return console.file.getvalue()


def test_the_live_table_shows_rungs_trials_optimizers_and_workers():
    text = render(SweepProgress(sample_records(), 2.0, 4, 3))
    assert re.search(r"rung 1  9 networks to epoch 1 +━+ +100%", text)
    assert re.search(r"rung 2  3 networks to epoch 3 +━+╸ +33% +1 s left", text)  # 9 epochs in 2 s, 4 to come
    assert "6 of 9 trials finished, 0 diverged, 3 of 4 workers busy, 4.5 network-epochs/s" in text
    best = text.splitlines()[text.splitlines().index(next(x for x in text.splitlines() if "best so far" in x)) + 1]
    assert best.split()[0] == "0000"
    assert best.split()[-2:] == ["1.000", "1"]


@pytest.mark.parametrize(
    "overrides",
    [(), ("search=halving",), ("space=everything", "search=random", "search.trials=200"), ("space=architectures",)],
)
def test_the_live_table_fits_into_80_columns_and_24_lines(overrides):
    settings, _ = compose(*overrides)
    trials = requested_trials(settings)
    records = open_records(0)
    for trial in trials:
        records.open(trial, {replicate: replicate.key(trial.key) for replicate in records.replicates}, {})
    records.rungs += [RungProgress(str(3**rung), 10**6, 10, 5 * (rung == 5)) for rung in range(6)]
    add_slice(records, {key: reported(123.4567, 1.0, selected_epoch=1) for key in records.networks}, 0, 1)
    lines = render(SweepProgress(records, 1e-3, 1000, 1000)).splitlines()
    assert len(lines) <= 23  # the cursor needs one line
    assert max(map(len, lines)) <= 80
    assert "validation loss  epoch" in "\n".join(lines)  # complete, even with long labels


def test_the_plain_progress_prints_a_line_at_intervals_and_at_the_end():
    lines = []
    progress = PlainProgress(lines.append)
    for _ in range(10):
        progress.show(SweepProgress(sample_records(), 2.0, 4, 3))
    assert len(lines) == 1
    progress.close(SweepProgress(sample_records(), 2.0, 4, 0))
    assert len(lines) == 2
    assert lines[-1].startswith("sweep: 6 of 9 trials, 4.5 network-epochs/s, 1 s left, best validation loss ")


def test_showing_progress_takes_a_small_share_of_the_time(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr("pipeline.console.progress.time.monotonic", lambda: clock[0])
    pace = Pace(1.0)
    assert (pace.due(), pace.due()) == (True, False)
    pace.cost(0.5)  # more than the time per second allows
    clock[0] += 9.9
    assert not pace.due()
    clock[0] += 0.2
    assert pace.due()


def test_durations_are_shown_in_suitable_units():
    assert [duration(seconds) for seconds in (0.4, 99, 100, 5000, 6000)] == ["0 s", "99 s", "2 min", "83 min", "1.7 h"]


def test_json_reports_the_progress_of_a_sweep():
    file = StringIO()
    output = JsonOutput(file, Pace())
    output.sweeping(SweepProgress(sample_records(), 2.0, 4, 3))
    output.sweeping(SweepProgress(sample_records(), 2.0, 4, 3))  # too soon
    output.say("warning: the disk is nearly full")
    progress, warning = map(json.loads, file.getvalue().splitlines())
    best = progress.pop("best")
    assert progress == {
        "event": "progress",
        "seconds": 2.0,
        "seconds_left": round(4 / 4.5, 3),
        "trials": 9,
        "trials_finished": 6,
        "network_epochs": 9,
        "network_epochs_per_s": 4.5,
        "rungs": [
            {"until": "1", "networks": 9, "network_epochs": 9, "network_epochs_left": 0},
            {"until": "3", "networks": 3, "network_epochs": 6, "network_epochs_left": 4},
        ],
        "workers": 4,
        "workers_busy": 3,
        "metric": "validation/loss",
    }
    assert best["trial"] == "0003"  # the best of the finished trials
    assert warning == {"event": "warning", "text": "the disk is nearly full"}


def test_json_is_all_that_a_run_prints(tmp_path, capsys):
    settings, config = compose(*SETTINGS, f"runs={tmp_path}/runs")
    run(Configuration(settings, config, ""), output_of("json"), time.monotonic())
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    kinds = [event["event"] for event in events]
    assert kinds[:2] == ["run", "stage"]
    assert kinds[-2:] == ["leaderboard", "summary"]
    assert {"data", "note", "progress"} <= {*kinds}
    stages = [event["name"] for event in events if event["event"] == "stage"]
    assert stages == ["startup", "load", "split", "prepare", "reduce"]
    assert {name: value for name, value in events[-1].items() if name != "event"} == read_summary(tmp_path)
    assert events[0]["run_id"] == events[-1]["run_id"]
    last = [event for event in events if event["event"] == "progress"][-1]
    assert (last["trials"], last["trials_finished"], last["network_epochs"]) == (7, 7, 21)
    board = next(event for event in events if event["event"] == "leaderboard")["trials"]
    assert board[0]["trial"] == events[-1]["best"]["trial"]
    assert [trial["rank"] for trial in board] == list(range(1, 8))
    assert [*board[0]["scores"]] == events[-1]["headline"] == ["log_loss", "accuracy", "roc_auc"]
    assert board[0]["scores"]["accuracy"] == events[-1]["best"]["validation"]["accuracy"]["mean"]


def test_quiet_is_one_line(tmp_path, capsys):
    settings, config = compose(*SETTINGS, f"runs={tmp_path}")
    summary = run(Configuration(settings, config, ""), QuietOutput(), 0.0)
    printed = capsys.readouterr()
    folder = next(tmp_path.glob("wine/*"))
    best = summary["best"]
    parameters = ", ".join(f"{name}={value}" for name, value in best["parameters"].items())
    test, label = summary["published"]["test"], summary["published"]["label"]
    scores = f"log loss {test['log_loss']:#.4g}, accuracy {test['accuracy']:.3f}, ROC AUC {test['roc_auc']:.3f}"
    scores += "" if label == "champion" else f" ({label})"
    assert printed.out == f"trial {best['trial']}: {parameters}; test {scores}; {folder}\n"
    assert not printed.err
    QuietOutput().say("warning: look out")
    QuietOutput().say("nothing to see")
    assert capsys.readouterr().err == "warning: look out\n"


ESCAPES = {  # texts of data or files, and what a terminal may show of them
    "\x1b[31mred": "\\x1b[31mred",
    "\x1b]0;title\x07": "\\x1b]0;title\\x07",
    "\x9b2J": "\\x9b2J",
    "one\rtwo": "one\\rtwo",
    "\u202egnp": "\\u202egnp",
    "\udc80": "\\udc80",
    "größe 🙂 [bold]": "größe 🙂 [bold]",
}


@pytest.mark.parametrize("text", ESCAPES)
@pytest.mark.parametrize("is_terminal", [True, False])
def test_no_escape_sequence_of_a_text_reaches_the_terminal(text, is_terminal):
    """In lines, cells, titles and headings, with and without styles."""
    console = PlainConsole(
        file=StringIO(), markup=False, highlight=False, force_terminal=is_terminal, width=60, legacy_windows=False
    )
    table = Table(title=text)
    table.add_column(text)
    table.add_row(text)
    table.add_row(Text(text))
    for renderable in (text, Text(text, style="red"), table):
        console.print(renderable)
    printed = re.sub("\x1b\\[[0-9;]*m", "", console.file.getvalue())
    assert printed.count(ESCAPES[text]) == (4 if "\x07" in text or "\r" in text else 6)  # which Text leaves out
    assert not {character for character in printed if not (character.isprintable() or character == "\n")}


def test_a_label_with_an_escape_sequence_is_shown_as_text(tmp_path, capsys):
    """As a class, a category and a column's name, in each mode."""
    evil = "\x1b[31mred"
    rows = [f"{number % 7},{evil if number % 2 else 'blue'},{evil if number % 3 else 'b'}" for number in range(90)]
    (tmp_path / "t.csv").write_text("\n".join([f"a,{evil}x,y", *rows]), encoding="utf-8")
    settings = ("data=csv", f"data.path={tmp_path}/t.csv", "data.target=y", *FEW, *SETTINGS[-4:], f"runs={tmp_path}")
    for mode in ("plain", "quiet"):
        dispatch([*settings, f"output={mode}", "resume=never"], time.monotonic())
    printed = "".join(capsys.readouterr())
    assert "\x1b" not in printed
    assert "\\x1b[31mred" in printed


def test_a_label_that_the_terminals_encoding_lacks_is_shown_as_text():
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", file)
        with checked_standard_output():
            plain_console().print("größe")
    assert file.buffer.getvalue() == b"gr\\xf6\\xdfe\n"


def test_a_plan_is_printed_in_each_mode(tmp_path, capsys):
    from pipeline.driver.dry_run import show_plan

    settings, config = compose(*SETTINGS, f"runs={tmp_path}", "plan=true")
    for output in (QuietOutput(), JsonOutput(sys.stdout, Pace())):
        show_plan(Configuration(settings, config, ""), output, 0.0)
        text = capsys.readouterr().out
        if isinstance(output, QuietOutput):
            assert text.startswith("plan       7 trials, 7 networks, 21 network-epochs")
        else:
            (plan,) = (event for event in map(json.loads, text.splitlines()) if event["event"] == "plan")
            assert (plan["trials"], plan["network_epochs"]) == (7, 21)


def test_each_mode_has_its_output():
    assert isinstance(output_of("quiet"), QuietOutput)
    assert isinstance(output_of("json"), JsonOutput)
    assert isinstance(output_of("live")._progress, LiveTable)
    for mode in ("plain", "auto"):  # the output is not a terminal
        output = output_of(mode)
        assert isinstance(output, LineOutput)
        assert isinstance(output._progress, PlainProgress)


@pytest.mark.slow
def test_in_a_terminal_progress_is_a_live_table(tmp_path):
    """In a pseudo-terminal of 80 columns."""
    terminal, other_end = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
    settings = ("execution=local", "tracking=none", "report=none", "search=halving", "training.epochs=200")
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", *settings, "stacks.width=16"],
        cwd=tmp_path,
        stdout=other_end,
        stderr=other_end,
        env=environment,
    )
    os.close(other_end)
    content = b""
    while True:
        try:
            chunk = os.read(terminal, 65536)
        except OSError:  # the other end is closed
            break
        content += chunk
    os.close(terminal)
    assert process.wait() == 0
    text = content.decode()
    assert "\x1b[" in text  # redrawn in place
    plain = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", text)
    finished_trials = [int(trials) for trials in re.findall(r"(\d+) of 112 trials finished, \d+ diverged", plain)]
    assert len(finished_trials) >= 3
    assert finished_trials == sorted(finished_trials)
    assert re.search(r"rung 2  \d+ networks to epoch \d+ +━", plain)
    assert "1 of 1 workers busy" in plain
    assert re.search(r"sweep: 112 of 112 trials, \d+ network-epochs/s", plain)
    assert "The best 10 of 112 trials" in plain
