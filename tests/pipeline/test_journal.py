"""The journal: one writer, complete lines, and repair after a crash while writing."""

import json
import os
import re
import signal
import subprocess
import sys
import zlib
from contextlib import closing
from dataclasses import fields

import pytest

from pipeline.components.errors import SettingError
from pipeline.runs.events import EVENTS, FORMAT, SliceReport, TrialDescription
from pipeline.runs.journal import Journal, JournalReader, events, heal, last_event, last_session
from pipeline.runs.sealed_lines import sealed, unsealed

SLICE = {"stack": 0, "start": 0, "until": 1, "gpu": False, "last": False, "started": 1, "worker": "host:1"}
SLICE |= {"file": "00000-1", "sha256": "0", "held": {}, "networks": {}}
FIRST = {"time": 1, "session": 1, "line": 1}  # what an event has that begins a journal
RUN = {"event": "run", **FIRST, "format": FORMAT, "run_id": "x", "version": "", "code": "", "command": ""}
RUN |= {"settings": {"a": 1}, "tracking": None}

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


def test_an_interrupt_while_a_line_is_written_does_not_leave_its_number_to_the_next_line(tmp_path, monkeypatch):
    """As Ctrl-C does when a slice is finished: the line `end` follows."""
    journal, fsync = Journal(tmp_path / "journal.jsonl"), os.fsync

    def interrupted(descriptor):
        fsync(descriptor)
        signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", interrupted)
        with pytest.raises(KeyboardInterrupt):
            journal.append("slice", **SLICE)
    journal.append("end", status="KILLED")
    journal.close()
    assert [(event["event"], event["line"]) for event in events(tmp_path / "journal.jsonl")] == [
        ("slice", 1),
        ("end", 2),
    ]


def test_the_journal_is_read_while_it_is_written(tmp_path):
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    reader = JournalReader(path)
    assert list(reader.events()) == []
    journal.append("report", file="x.html")
    report = {"curves": {"loss": [0.1 + 0.2, 1e-30]}, "diverged": None, "stopped": None, "selected_epoch": 2}
    report |= {"fingerprint": "", "content_hash": "h"}
    journal.append("slice", **SLICE | {"networks": {"0000/1/0": report}})
    read = list(reader.events())
    assert [event["event"] for event in read] == ["report", "slice"]
    assert read[1]["networks"]["0000/1/0"]["curves"]["loss"] == [0.1 + 0.2, 1e-30]  # to the last bit
    assert read[0]["time"] > 1.7e12
    end = {"event": "end", "time": 1, "session": 0, "line": 3, "status": "FINISHED"}
    with path.open("ab") as file:
        file.write(sealed(end)[:40])
        file.flush()
        assert list(reader.events()) == []
        file.write(sealed(end)[40:])
    assert list(reader.events()) == [end]
    with path.open("ab") as file:
        file.write(b'{"time": 1, "event": "end"}\n')
    assert list(reader.events()) == []
    with pytest.raises(SettingError, match=f"line 4 of {path} is damaged"):
        reader.check()
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
    [b"5", b"[]", b"null", b'{"event": "end", "time": 1}', b'{"event": "run", "time": 1}', b"[" * 100_000,
     b'{"event": "run"', sealed(RUN | {"settings": 5})[:-1], sealed(RUN)[:-1].replace(b'"line": 1', b'"line": 3')],
)  # fmt: skip
def test_a_damaged_last_line_of_another_run_is_ignored(last, tmp_path):
    path = tmp_path / "journal.jsonl"
    path.write_bytes(last + b"\n")
    assert last_event(path) == {"event": "", "time": 0, "session": 0, "line": 0}
    assert last_session(tmp_path)["settings"] == {}


@pytest.mark.parametrize(
    ("name", "value"),
    [("start", "0"), ("stack", "5"), ("until", True), ("stack", 10**30), ("time", 10**30), ("time", "1"), ("last", 1),
     ("file", "../x"), ("file", "00000-1" + "0" * 300), ("held", {"0" * 5000 + "/1/0": ""}),
     ("networks", {"../1/0": {}}), ("line", "1"), ("session", -1), ("session", None)],
)  # fmt: skip
def test_numbers_and_names_of_a_slice_are_validated(name, value, tmp_path):
    valid = {"event": "slice", "time": 1, "session": 0, "line": 1, **SLICE}
    path = tmp_path / "journal.jsonl"
    path.write_bytes(sealed(valid))
    assert events(path) == [valid]
    path.write_bytes(sealed(valid | {name: value}))
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


@pytest.mark.parametrize("change", [{"format": FORMAT - 1}, {"format": str(FORMAT)}, {"format": None}])
def test_a_journal_of_another_version_is_refused_with_a_sentence(change, tmp_path):
    path = tmp_path / "journal.jsonl"
    path.write_bytes(sealed(RUN))
    assert [event["format"] for event in events(path)] == [FORMAT]
    path.write_bytes(sealed(RUN | change))
    assert_is_of_another_version(path)


def test_a_journal_without_checksums_is_of_another_version(tmp_path):
    """Format 2 had neither checksums nor numbers."""
    run = {"event": "run", "time": 1, "format": 2, "run_id": "x", "version": "", "code": "", "command": ""}
    path = tmp_path / "journal.jsonl"
    path.write_text(json.dumps(run | {"settings": {"a": 1}, "tracking": None}) + "\n")
    assert_is_of_another_version(path)


def assert_is_of_another_version(path):
    with pytest.raises(SettingError) as refused:
        events(path)
    assert str(refused.value) == (
        f"run={path.parent.name}: its journal was written by another version of nnsweep; start a new run with "
        "resume=never"
    )
    assert last_session(path.parent)["settings"] == {}


def written_sessions(path, *n_events):
    """The lines of a journal with so many events in each session after the one that begins it."""
    journal = Journal(path)
    for n in n_events:
        journal.append("run", **{name: value for name, value in RUN.items() if name not in ("event", *FIRST)})
        for number in range(n):
            journal.append("stage", stage=str(number), seconds=0.5)
    journal.close()
    return path.read_bytes().splitlines(keepends=True)


def damage_of(path, lines):
    """What a reader notes of these lines, and the numbers of the events that it returns."""
    path.write_bytes(b"".join(lines))
    with closing(JournalReader(path)) as reader:
        numbers = [event["line"] for event in reader.events()]
        return reader.damage, numbers


def test_each_line_has_a_number_a_session_and_a_checksum(tmp_path):
    lines = written_sessions(tmp_path / "journal.jsonl", 2, 1)
    assert [(event["session"], event["line"]) for event in map(unsealed, (line[:-1] for line in lines))] == [
        (1, 1), (1, 2), (1, 3), (2, 4), (2, 5),
    ]  # fmt: skip
    content, mark, seal = lines[1].rpartition(b', "crc32": "')
    assert mark
    assert int(seal[:8], 16) == zlib.crc32(content)


def test_law_5_every_flipped_bit_of_a_line_is_noticed(tmp_path):
    path = tmp_path / "journal.jsonl"
    lines = written_sessions(path, 3)
    for index in range(len(lines[2])):
        for bit in range(8):
            changed = bytearray(lines[2])
            changed[index] ^= 1 << bit
            damage, numbers = damage_of(path, [*lines[:2], bytes(changed), lines[3]])
            assert damage, (index, bit)
            # the end of a line joins it to the next one
            assert numbers == ([1, 2] if index == len(lines[2]) - 1 else [1, 2, 4]), (index, bit)


def test_law_5_lost_doubled_swapped_and_old_lines_are_noticed(tmp_path):
    path = tmp_path / "journal.jsonl"
    a, b, c, d, e = written_sessions(path, 4)
    assert damage_of(path, [a, b, c, d, e]) == ([], [1, 2, 3, 4, 5])
    assert damage_of(path, [a, b, d, e]) == ([(3, "the line before it is missing")], [1, 2, 4, 5])
    assert damage_of(path, [a, e]) == ([(2, "3 lines before it are missing")], [1, 5])
    assert damage_of(path, [a, b, b, c, d, e]) == ([(3, "it is out of place")], [1, 2, 3, 4, 5])
    assert damage_of(path, [a, b, d, c, e])[0] == [(3, "the line before it is missing"), (4, "it is out of place")]
    assert damage_of(path, [a, b, c, d, a, e]) == ([(5, "it is out of place")], [1, 2, 3, 4, 5])
    assert damage_of(path, [a, b, b"\n", d, e]) == ([(3, "its checksum does not match its content")], [1, 2, 4, 5])


def test_law_5_damage_counts_until_a_later_session_begins(tmp_path):
    path = tmp_path / "journal.jsonl"
    lines = written_sessions(path, 2, 2)
    assert damage_of(path, [lines[0], *lines[2:]]) == ([], [1, 3, 4, 5, 6])
    assert damage_of(path, [*lines[:4], lines[5]])[0] == [(5, "the line before it is missing")]
    with pytest.raises(SettingError, match="that began session 2 is damaged or missing, so that its settings are not"):
        damage_of(path, [*lines[:3], *lines[4:]])
    with pytest.raises(SettingError, match="that began session 1 is damaged or missing"):
        damage_of(path, lines[1:])


def test_law_5_writing_continues_after_damaged_lines(tmp_path):
    """The numbers continue after the largest of an intact line, wherever it is."""
    path = tmp_path / "journal.jsonl"
    a, b, c, d = written_sessions(path, 3)
    for lines in ([a, b, d, c], [a, b, c[:-9] + b'0"}\n', d], [a, d]):
        path.write_bytes(b"".join(lines))
        assert written_sessions(path, 1)[: len(lines)] == lines
        damage, numbers = damage_of(path, path.read_bytes().splitlines(keepends=True))
        assert (damage, numbers[-2:]) == ([], [5, 6])


@pytest.mark.parametrize("kind", EVENTS)
def test_every_field_of_an_event_is_described(kind):
    for event in (EVENTS[kind], TrialDescription, SliceReport):
        described = re.findall(r"^    (\w.*) : ", event.__doc__, re.MULTILINE)
        assert [name for names in described for name in names.split(", ")] == [field.name for field in fields(event)]
