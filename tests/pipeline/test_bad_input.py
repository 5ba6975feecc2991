"""Invalid data files: each ends in one line that names the file, the column or row, and the cure."""

import json
import sys
import time

import pytest
from broken_files import BROKEN
from running import compose

from pipeline.cli.dispatch import dispatch
from pipeline.components.errors import SettingError


def overrides(broken, folder):
    return [setting.replace("{}", str(folder)) for setting in broken.settings]


def test_there_are_enough_of_them():
    assert len(BROKEN) >= 60


FEW = list(BROKEN)[::6]  # the others are marked slow


@pytest.mark.parametrize("name", [n if n in FEW else pytest.param(n, marks=pytest.mark.slow) for n in BROKEN])
def test_a_broken_file_is_one_line_that_names_the_mistake(name, tmp_path, monkeypatch, capsys):
    """With the command; if the mistake is found only after reading the rows, the run folder is complete."""
    broken = BROKEN[name]
    files = tmp_path / "files"
    files.mkdir()
    broken.make(files)
    working_folder = tmp_path / "here"
    working_folder.mkdir()
    monkeypatch.chdir(working_folder)
    settings = [*overrides(broken, files), "execution=local", "tracking=none"]
    monkeypatch.setattr(sys, "argv", ["nnsweep", *settings])
    with pytest.raises(SystemExit) as exit_info:
        dispatch(sys.argv[1:], time.monotonic())
    printed = capsys.readouterr()
    assert exit_info.value.code == 2, printed
    (line,) = printed.err.splitlines()
    assert line.startswith("nnsweep: ")
    assert all(word in line for word in broken.words), line
    assert "sweep:" not in printed.out
    for path in working_folder.glob("runs/*/*/journal.jsonl"):
        folder = path.parent
        summary = json.loads((folder / "summary.json").read_text())
        assert summary["status"] == "failed"
        assert summary["timings"]["sweep_s"] is None
        last = json.loads((folder / "journal.jsonl").read_text().splitlines()[-1])
        assert (last["event"], last["status"]) == ("end", "FAILED")
        assert {path.name for path in folder.iterdir()} <= {
            "config.yaml", "data_card.json", "journal.jsonl", "lock", "summary.json",
        }  # fmt: skip


@pytest.mark.parametrize("name", ["no such file", "an empty file", "wrong delimiter", "no such column", "header only"])
def test_a_mistake_in_the_header_is_reported_before_a_run_starts(name, tmp_path):
    """The settings are refused: no folder is created, and neither Ray nor tracking is started."""
    broken = BROKEN[name]
    broken.make(tmp_path)
    if name == "header only":  # known only after reading the file
        settings, _ = compose(*overrides(broken, tmp_path))
        with pytest.raises(SettingError, match="no rows"):
            settings.data()
        return
    with pytest.raises(SettingError):
        compose(*overrides(broken, tmp_path))
