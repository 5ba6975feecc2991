"""The journal: one writer, whole lines, and what a crash in mid-write leaves is healed."""

import json
import subprocess
import sys

import pytest

from pipeline.components.errors import SettingError
from pipeline.runs.journal import Journal, JournalReader, events, heal, last_event, last_session

WRITER = """
import sys
from pathlib import Path
from pipeline.components.errors import SettingError
from pipeline.runs.journal import Journal
try:
    journal = Journal(Path(sys.argv[1]))
except SettingError as error:
    sys.exit(str(error))
journal.append("run", who="the other")
print("begun", flush=True)
sys.stdin.read()
"""


def written(path, n=3):
    journal = Journal(path)
    for number in range(n):
        journal.append("stage", stage=str(number), seconds=0.1 + 0.2)
    journal.close()
    return path.read_bytes()


def other(path):
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
    journal.append("run", name="x")
    journal.append("slice", networks={"0": {"curves": {"loss": [0.1 + 0.2, 1e-30]}}})
    found = list(reader.events())
    assert [event["event"] for event in found] == ["run", "slice"]
    assert found[1]["networks"]["0"]["curves"]["loss"] == [0.1 + 0.2, 1e-30]  # to the last bit
    assert found[0]["time"] > 1.7e12
    with path.open("a") as file:
        file.write('{"event": "torn')
        file.flush()
        assert list(reader.events()) == []
        file.write('"}\n')
    assert [event["event"] for event in reader.events()] == ["torn"]
    journal.close()
    reader.close()


def test_law_5_a_last_line_that_is_torn_anywhere_is_cut_off(tmp_path):
    path = tmp_path / "journal.jsonl"
    content = written(path)
    begins = content[:-1].rindex(b"\n") + 1
    for end in range(begins, len(content)):
        path.write_bytes(content[:end])
        heal(path)
        assert path.read_bytes() == content[:begins], end
    path.write_bytes(content)
    heal(path)
    assert path.read_bytes() == content  # a whole one stays


def test_law_5_a_last_line_of_which_a_block_was_never_written_is_cut_off(tmp_path):
    """Some file systems leave zeros where the end of the line is there already."""
    path = tmp_path / "journal.jsonl"
    content = written(path)
    begins = content[:-1].rindex(b"\n") + 1
    path.write_bytes(content[:begins] + b"\0" * 20 + content[begins + 20 :])
    heal(path)
    assert path.read_bytes() == content[:begins]


def test_law_5_writing_goes_on_behind_what_was_healed(tmp_path):
    path = tmp_path / "journal.jsonl"
    path.write_bytes(written(path)[:-5])
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
    lines = written(path).split(b"\n")
    path.write_bytes(b"\n".join([lines[0], damage, *lines[2:]]))
    with pytest.raises(SettingError, match=f"^run={tmp_path.name}: line 2 of {path} is damaged \\(.+\\); give resume"):
        events(path)


def test_law_5_a_second_process_is_refused_and_the_lock_ends_with_its_process(tmp_path):
    path = tmp_path / "journal.jsonl"
    first = other(path)
    try:
        assert first.stdout.readline() == "begun\n"
        second = other(path)
        _, refused = second.communicate(timeout=30)
        assert second.returncode == 1
        assert refused.strip() == (
            f"run={tmp_path.name}: process {first.pid} is at work on it; wait for it, or give resume=never"
        )
        with pytest.raises(SettingError, match=f"process {first.pid} is at work on it"):
            Journal(path)
    finally:
        first.kill()
        first.communicate()
    journal = Journal(path)  # a killed process leaves no lock
    journal.close()
    assert [json.loads(line)["who"] for line in path.read_text().splitlines()] == ["the other"]


@pytest.mark.parametrize(
    "last",
    ["5", "[]", "null", '{"event": "end", "time": 1}', '{"event": "run", "time": 1}', "[" * 100_000, '{"event": "run"',
     '{"event": "run", "time": 1, "run_id": "x", "version": "", "code": "", "command": "", "settings": 5}'],
)  # fmt: skip
def test_a_damaged_last_line_of_another_run_is_in_nobodys_way(last, tmp_path):
    path = tmp_path / "journal.jsonl"
    path.write_text(f"{last}\n")
    assert last_event(path) == {"event": "", "time": 0}
    assert last_session(tmp_path)["settings"] == {}


@pytest.mark.parametrize(
    ("name", "value"),
    [("start", "0"), ("stack", "5"), ("until", True), ("stack", 10**30), ("time", 10**30), ("time", "1"), ("last", 1),
     ("file", "../x"), ("file", "00000-1" + "0" * 300), ("held", ["0" * 5000 + "/1/0"]), ("networks", {"../1/0": {}})],
)  # fmt: skip
def test_numbers_and_names_of_a_slice_are_what_they_have_to_be(name, value, tmp_path):
    good = {"event": "slice", "time": 1, "stack": 0, "start": 0, "until": 1, "last": False, "started": 1}
    good |= {"file": "00000-1", "sha256": "0", "held": [], "networks": {}}
    path = tmp_path / "journal.jsonl"
    path.write_text(json.dumps(good) + "\n")
    assert events(path) == [good]
    path.write_text(json.dumps(good | {name: value}) + "\n")
    with pytest.raises(SettingError, match=r"line 1 of .* is damaged"):
        events(path)
