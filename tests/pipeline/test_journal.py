"""The journal: one writer, complete lines, and repair after a crash while writing."""

import json
import re
import subprocess
import sys
from dataclasses import fields

import pytest

from pipeline.components.errors import SettingError
from pipeline.runs.events import EVENTS, FORMAT, SliceReport, TrialDescription
from pipeline.runs.journal import Journal, JournalReader, events, heal, last_event, last_session

SLICE = {"stack": 0, "start": 0, "until": 1, "gpu": False, "last": False, "started": 1, "worker": "host:1"}
SLICE |= {"file": "00000-1", "sha256": "0", "held": [], "networks": {}}

WRITER = """
import sys
from pathlib import Path
from pipeline.components.errors import SettingError
from pipeline.runs.journal import Journal
try:
    journal = Journal(Path(sys.argv[1]))
except SettingError as error:
    sys.exit(str(error))
journal.append("report", file="other.html")
print("begun", flush=True)
sys.stdin.read()
"""


def write_journal(path, n=3):
    journal = Journal(path)
    for number in range(n):
        journal.append("stage", stage=str(number), seconds=0.1 + 0.2)
    journal.close()
    return path.read_bytes()


def start_other_writer(path):
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_journal_is_read_while_it_is_written(tmp_path):
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    reader = JournalReader(path)
    assert list(reader.events()) == []
    journal.append("report", file="x.html")
    report = {"curves": {"loss": [0.1 + 0.2, 1e-30]}, "diverged": None, "stopped": None, "selected_epoch": 2}
    journal.append("slice", **SLICE | {"networks": {"0000/1/0": report | {"fingerprint": ""}}})
    read = list(reader.events())
    assert [event["event"] for event in read] == ["report", "slice"]
    assert read[1]["networks"]["0000/1/0"]["curves"]["loss"] == [0.1 + 0.2, 1e-30]  # to the last bit
    assert read[0]["time"] > 1.7e12
    with path.open("a") as file:
        file.write('{"time": 1, "status": "FINISHED", "event": "e')
        file.flush()
        assert list(reader.events()) == []
        file.write('nd"}\n')
    assert [event["event"] for event in reader.events()] == ["end"]
    with path.open("a") as file:
        file.write('{"time": 1, "event": "end"}\n')
    with pytest.raises(SettingError, match=f"line 4 of {path} is damaged"):
        list(reader.events())
    journal.close()
    reader.close()


def test_law_5_a_torn_last_line_is_removed(tmp_path):
    path = tmp_path / "journal.jsonl"
    content = write_journal(path)
    begins = content[:-1].rindex(b"\n") + 1
    for end in range(begins, len(content)):
        path.write_bytes(content[:end])
        heal(path)
        assert path.read_bytes() == content[:begins], end
    path.write_bytes(content)
    heal(path)
    assert path.read_bytes() == content  # a complete line is kept


def test_law_5_a_last_line_with_a_block_of_zeros_is_removed(tmp_path):
    """Some file systems leave a block of zeros before the end of the line."""
    path = tmp_path / "journal.jsonl"
    content = write_journal(path)
    begins = content[:-1].rindex(b"\n") + 1
    path.write_bytes(content[:begins] + b"\0" * 20 + content[begins + 20 :])
    heal(path)
    assert path.read_bytes() == content[:begins]


def test_law_5_writing_continues_after_a_repair(tmp_path):
    path = tmp_path / "journal.jsonl"
    path.write_bytes(write_journal(path)[:-5])
    journal = Journal(path)
    journal.append("end", status="KILLED")
    journal.close()
    assert [event.get("stage", "-") for event in events(path)] == ["0", "1", "-"]


def test_a_journal_of_one_torn_line_is_empty(tmp_path):
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b'{"event": "r')
    heal(path)
    assert events(path) == []


@pytest.mark.parametrize(
    "damage", [b"{]", b"[1]", b'{"event": "run"}', b'{"event": "x", "time": 1}', b"", b"\xff\xfe", b"null"]
)
def test_a_damaged_line_in_the_middle_is_refused_with_its_number(damage, tmp_path):
    path = tmp_path / "journal.jsonl"
    lines = write_journal(path).split(b"\n")
    path.write_bytes(b"\n".join([lines[0], damage, *lines[2:]]))
    with pytest.raises(SettingError, match=f"^run={tmp_path.name}: line 2 of {path} is damaged \\(.+\\); start"):
        events(path)


def test_law_5_a_second_process_is_refused_and_the_lock_ends_with_its_process(tmp_path):
    path = tmp_path / "journal.jsonl"
    first = start_other_writer(path)
    try:
        assert first.stdout.readline() == "begun\n"
        second = start_other_writer(path)
        _, refused = second.communicate(timeout=30)
        assert second.returncode == 1
        assert refused.strip() == (
            f"run={tmp_path.name} is in use by process {first.pid}; wait until it ends, or start a new run with "
            "resume=never"
        )
        with pytest.raises(SettingError, match=f"is in use by process {first.pid}"):
            Journal(path)
    finally:
        first.kill()
        first.communicate()
    journal = Journal(path)  # a killed process leaves no lock
    journal.close()
    assert [json.loads(line)["file"] for line in path.read_text().splitlines()] == ["other.html"]


@pytest.mark.parametrize(
    "last",
    ["5", "[]", "null", '{"event": "end", "time": 1}', '{"event": "run", "time": 1}', "[" * 100_000, '{"event": "run"',
     '{"event": "run", "time": 1, "run_id": "x", "version": "", "code": "", "command": "", "settings": 5}'],
)  # fmt: skip
def test_a_damaged_last_line_of_another_run_is_ignored(last, tmp_path):
    path = tmp_path / "journal.jsonl"
    path.write_text(f"{last}\n")
    assert last_event(path) == {"event": "", "time": 0}
    assert last_session(tmp_path)["settings"] == {}


@pytest.mark.parametrize(
    ("name", "value"),
    [("start", "0"), ("stack", "5"), ("until", True), ("stack", 10**30), ("time", 10**30), ("time", "1"), ("last", 1),
     ("file", "../x"), ("file", "00000-1" + "0" * 300), ("held", ["0" * 5000 + "/1/0"]), ("networks", {"../1/0": {}})],
)  # fmt: skip
def test_numbers_and_names_of_a_slice_are_validated(name, value, tmp_path):
    valid = {"event": "slice", "time": 1, **SLICE}
    path = tmp_path / "journal.jsonl"
    path.write_text(json.dumps(valid) + "\n")
    assert events(path) == [valid]
    path.write_text(json.dumps(valid | {name: value}) + "\n")
    with pytest.raises(SettingError, match=r"line 1 of .* is damaged"):
        events(path)


@pytest.mark.parametrize(
    ("kind", "content"),
    [("begin", {}), ("stage", {"stage": "load"}), ("stage", {"stage": "load", "seconds": 1.0, "more": 1}),
     ("slice", SLICE | {"until": -1})],
)  # fmt: skip
def test_invalid_events_are_not_written(kind, content, tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    with pytest.raises(ValueError, match=r"begin|seconds|more|until"):
        journal.append(kind, **content)
    journal.close()
    assert journal.path.read_bytes() == b""


@pytest.mark.parametrize("change", [{}, {"format": FORMAT - 1}, {"format": str(FORMAT)}])
def test_a_journal_of_another_version_is_refused_with_a_sentence(change, tmp_path):
    run = {"event": "run", "time": 1, "run_id": "x", "version": "", "code": "", "command": "", "settings": {"a": 1}}
    path = tmp_path / "journal.jsonl"
    path.write_text(json.dumps(run | {"tracking": None, "format": FORMAT}) + "\n")
    assert [event["format"] for event in events(path)] == [FORMAT]
    path.write_text(json.dumps(run | {"tracking": None} | change) + "\n")
    with pytest.raises(SettingError) as refused:
        events(path)
    assert str(refused.value) == (
        f"run={tmp_path.name}: its journal was written by another version of nnsweep; start a new run with resume=never"
    )
    assert last_session(tmp_path)["settings"] == {}


@pytest.mark.parametrize("kind", EVENTS)
def test_every_field_of_an_event_is_described(kind):
    for event in (EVENTS[kind], TrialDescription, SliceReport):
        described = re.findall(r"^    (\w.*) : ", event.__doc__, re.MULTILINE)
        assert [name for names in described for name in names.split(", ")] == [field.name for field in fields(event)]
