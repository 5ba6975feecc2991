"""The short form: nnsweep wage.csv target=wage."""

import json
import shutil
import sys
import time

import numpy as np
import pandas as pd
import pytest
from running import FEW, QUICK, compose

from pipeline.cli.dispatch import dispatch
from pipeline.components.errors import SettingError
from pipeline.components.file_words import names_file
from pipeline.config.compose import configurations, source
from pipeline.config.file_arguments import with_files

N = 60
FRAME = pd.DataFrame({
    "a": np.random.default_rng(0).normal(size=N).round(3), "g": np.arange(N) // 3, "wage": np.arange(N) / 2.0
})  # fmt: skip


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Wages in every format, and in folders, below the working folder."""
    FRAME.to_csv(tmp_path / "wage.csv", index=False)
    FRAME.to_csv(tmp_path / "wage.csv.gz", index=False)
    FRAME.to_csv(tmp_path / "wage.txt", index=False)
    FRAME.to_parquet(tmp_path / "wage.parquet")
    FRAME.to_feather(tmp_path / "wage.feather")
    FRAME.to_excel(tmp_path / "wage.xlsx", index=False)
    FRAME.to_json(tmp_path / "wage.json")
    np.savez(tmp_path / "wage.npz", x=FRAME[["a"]].to_numpy(), y=FRAME.wage.to_numpy())
    (tmp_path / "year=2020").mkdir()
    shutil.copy(tmp_path / "wage.csv", tmp_path / "year=2020" / "1.csv")
    (tmp_path / "parts").mkdir()
    for part in range(3):
        FRAME[20 * part : 20 * part + 20].to_csv(tmp_path / "parts" / f"{part}.csv", index=False)
    shutil.copy(tmp_path / "wage.csv", tmp_path / "my wages = größe, 'all' ${x}.csv")
    monkeypatch.chdir(tmp_path)
    return tmp_path


WORDS = {
    "wage.csv": "Csv", "wage.csv.gz": "Csv", "wage.txt": "Csv", "./wage.csv": "Csv", "wage.parquet": "Parquet",
    "wage.feather": "Arrow", "wage.xlsx": "Excel", "parts": "Csv", "parts/": "Csv", "parts/*.csv": "Csv",
    "parts/[0-2].csv": "Csv", "year=2020/1.csv": "Csv", "my wages = größe, 'all' ${x}.csv": "Csv",
    "memory://wages/wage.csv": "Csv", "memory://wages/*.csv": "Csv",
}  # fmt: skip


@pytest.mark.parametrize("word", WORDS)
def test_a_word_names_the_data(word, files):
    import fsspec

    with fsspec.open("memory://wages/wage.csv", "wb") as file:
        file.write((files / "wage.csv").read_bytes())
    (config,) = configurations([word, "target=wage"])
    data = config.settings.data
    assert type(data).__name__ == WORDS[word]
    np.testing.assert_array_equal(data().rows.y[:, 0], FRAME.wage)


def test_arrays_need_no_target(files):
    (config,) = configurations(["wage.npz"])
    assert type(config.settings.data).__name__ == "Npz"
    assert len(config.settings.data().rows) == N


def test_a_pattern_that_the_shell_has_expanded_is_several_words(files):
    (config,) = configurations(["parts/0.csv", "parts/1.csv", "target=wage", "parts/2.csv", "training.epochs=7"])
    np.testing.assert_array_equal(config.settings.data().rows.y[:, 0], FRAME.wage)
    assert config.settings.training.epochs == 7
    assert config.settings.name == "parts"


def test_settings_of_the_table_may_be_short(files):
    (config,) = configurations(
        ["wage.csv", "target=wage", "group=g", "split=grouped", "+kinds.a=numeric", "constant=refuse", "name=w"]
    )
    data = config.settings.data
    assert (data.target, data.group, data.kinds, data.constant) == ("wage", "g", {"a": "numeric"}, "refuse")
    assert config.settings.name == "w"


def test_the_long_forms_stay(files):
    for long in ("data=csv data.path=wage.csv data.target=wage", "data=csv data.path=wage.csv target=wage",
                 "data.path=wage.csv data.target=wage", "data.path=[wage.csv] target=wage",
                 "data.path='wage.csv' target=wage", "wage.txt data=csv target=wage"):  # fmt: skip
        settings, _ = compose(*long.split())
        np.testing.assert_array_equal(settings.data().rows.y[:, 0], FRAME.wage)
    assert with_files(["experiment=wine", "data.path=wage.csv"]) == ["experiment=wine", "data.path=wage.csv"]
    assert with_files(["training.epochs=3", "-m"]) == ["training.epochs=3", "-m"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["wage.xls", "target=wage"], "no such file"),
        (["other.csv", "target=wage"], "other.csv: there is no such file"),
        (["no/thing", "target=wage"], "there is no such file, folder or setting"),
        (["wage.json", "target=wage"], "the ending of its name does not tell the format"),
        (["wage.csv", "data.path=wage.txt"], "both name the data"),
        (["wage.csv"], "data.target must be given"),
        (["wage.csv", "target=wages"], "did you mean 'wage'"),
        (["target=wage"], "target"),
    ],
)
def test_mistakes_are_named(arguments, words, files):
    with pytest.raises(SettingError, match=words):
        configurations(arguments)


@pytest.mark.parametrize(
    ("word", "is_file"),
    [
        ("wage.csv", True), ("a/b", True), ("*.parquet", True), ("https://h/t.csv?raw=1&x=2", True), ("~/t.csv", True),
        ("target=wage", False), ("~space.optimizer.sgd", False), ("+data.kinds.a=date", False), ("--cfg", False),
        ("data.path=a/b.csv", False), ("loss@network.loss.binary=x", False), ("runs", False), ("", False),
        ("x\0", False), ("training.epochs", False),
    ],
)  # fmt: skip
def test_words_that_name_files(word, is_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert names_file(word) == is_file


def test_rows_to_predict_may_be_named_by_a_word(files):
    np.testing.assert_array_equal(source(["wage.csv"]).rows_for(()).table.numbers.shape, (N, 0))
    assert source(["wage.parquet"]).path == str(files / "wage.parquet")


def test_the_command_runs_and_predicts(files, monkeypatch, capsys):
    dispatch(["wage.csv", "target=wage", *FEW, *QUICK, "output=quiet"], time.monotonic())
    (path,) = files.glob("runs/wage/*/summary.json")
    assert json.loads(path.read_text())["status"] == "finished"
    dispatch(["predict", f"model={path.parent}", "wage.parquet", "out=p.csv"], time.monotonic())
    assert len(pd.read_csv("p.csv")) == N
    monkeypatch.setattr(sys, "argv", ["nnsweep", "wage.csv", "target=wage", "--cfg", "job"])
    capsys.readouterr()
    dispatch(sys.argv[1:], time.monotonic())
    assert "target: wage" in capsys.readouterr().out
