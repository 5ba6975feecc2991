"""Every override in every message about data is pasted into a shell, and then the message is gone; all come at once."""

import re
import subprocess

import numpy as np
import pandas as pd
import pytest
from broken_files import BROKEN
from running import compose, slow_after_first

from pipeline.components.errors import MAX_LISTED, SettingError
from pipeline.stages.load import split_dataset

QUOTED = r"\$?'\+?(?:data|split|prepare)\.[a-z_.]+=(?:[^']|'\"'\"')*'"
PLAIN = r"\+?(?:data|split|prepare)(?:\.\w+)*=(?:'[^']*'|[^\s,;)('])+"
CURES = re.compile(rf"(?<![\w=.'])(?:{QUOTED}|{PLAIN})(?: (?:{QUOTED}|{PLAIN}))*")
NO_CURE = re.compile(r"data\.(path|test|name)=|.*\.\.\.")


def problems(*settings):
    """What is wrong with the data of a command line, as a list of texts."""
    try:
        composed, _ = compose(*settings)
        split_dataset(composed.split, composed.data())
    except SettingError as error:
        return list(error.problems)
    return []


def pasted(line):
    """The arguments that bash makes of a line."""
    printed = subprocess.run(["bash", "-c", f"printf '%s\\0' {line}"], capture_output=True, check=True).stdout
    return printed.decode().split("\0")[:-1]


def cures_of(settings, problem):
    """The command lines with each cure that the problem's text offers."""
    for cure in CURES.findall(problem.rpartition(" does not fit the data: ")[2]):
        words = [] if NO_CURE.match(cure) or problem.startswith(cure) else pasted(cure)
        if set(words) <= {*settings}:  # the setting as it is
            continue
        names = {word.partition("=")[0] for word in words}
        yield cure, [*(setting for setting in settings if setting.partition("=")[0] not in names), *words]


@pytest.mark.slow
def test_the_cures_for_every_broken_file_work(tmp_path):
    n_cures = 0
    for number, broken in enumerate(BROKEN.values()):
        folder = tmp_path / str(number)
        folder.mkdir()
        broken.make(folder)
        settings = [setting.replace("{}", str(folder)) for setting in broken.settings]
        for problem in problems(*settings):
            for cure, cured in cures_of(settings, problem):
                assert problem not in problems(*cured), (cure, problem)
                n_cures += 1
    assert n_cures > 15


FEW_LEVELS = ("data.max_levels=50", "data.many_levels=refuse")
ODD_NAMES = ("two words", "it's", 'a "quoted" one', "größe", "$HOME", "back\\slash", "a=b", "n#1", "~", "a;b", "{a}",
             "[a]", "a,b", "three  blanks", "no\u00a0break", "${seed}", "*")  # fmt: skip


@pytest.mark.parametrize("name", slow_after_first(ODD_NAMES))
def test_cures_name_columns_of_any_name(name, tmp_path):
    frame = pd.DataFrame({
        name: [f"text {i}" for i in range(90)],
        "x": np.random.default_rng(0).normal(size=90),
        "y": ["a", "b"] * 45,
    })  # fmt: skip
    frame.to_parquet(tmp_path / "t.parquet")
    settings = [
        "data=parquet",
        f"data.path={tmp_path}/t.parquet",
        "data.target=y",
        "data.max_levels=50",
        "data.many_levels=refuse",
    ]
    (problem,) = problems(*settings)
    assert "has 90 different texts" in problem
    cures = list(cures_of(settings, problem))
    assert len(cures) == 2
    for cure, cured in cures:
        assert problems(*cured) == [], cure


@pytest.mark.slow
@pytest.mark.parametrize("name", ODD_NAMES)
def test_cures_declare_columns_of_any_name(name, tmp_path):
    texts = [str(i % 20) for i in range(90)]
    frame = pd.DataFrame({name: texts, "x": range(90), "y": ["a", "b"] * 45})
    frame.loc[7, name] = "often"
    frame.to_parquet(tmp_path / "t.parquet")
    settings = ["data=parquet", f"data.path={tmp_path}/t.parquet", "data.target=y"]
    (problem,) = problems(*settings)
    cures = list(cures_of(settings, problem))
    assert cures
    for cure, cured in cures:
        assert problems(*cured) == [], cure


def test_everything_that_is_wrong_is_said_at_once_and_all_cures_together_work(tmp_path):
    n = 90
    frame = pd.DataFrame({
        "gone": ["x"] * n,
        "free text": [f"text {i}" for i in range(n)],
        "number": [str(i % 20) for i in range(n - 1)] + ["much"],
        "fine": np.random.default_rng(0).normal(size=n),
        "weight": [-1.0] + [1.0] * (n - 1),
        "y": ["a", "b"] * (n // 2),
    })  # fmt: skip
    frame.to_parquet(tmp_path / "t.parquet")
    file = [
        "data=parquet",
        f"data.path={tmp_path}/t.parquet",
        "data.target=y",
        "data.max_levels=50",
        "data.many_levels=refuse",
    ]
    settings = [*file, "data.weight=weight", "data.constant=refuse", "data.drop=[gonne]", "+data.kinds.fin=numeric"]
    with pytest.raises(SettingError) as error:  # by composing: the header is wrong, and so the rows are read, too
        compose(*settings)
    heading, *lines = str(error.value).splitlines()
    assert heading == f"data.path={tmp_path}/t.parquet: {len(lines)} things are wrong:"
    expected = (
        "no column 'gonne'",
        "no column 'fin'",
        "'free text' has 90 different texts",
        "'number' holds numbers, but 'much' in row 90",
        "'gone' has the same value",
        "row 1 has -1",
    )
    for words in expected:
        assert sum(words in line for line in lines) == 1, words
    assert len(lines) == len(expected)
    settings = [*file, "data.weight=fine", "data.constant=refuse", "data.drop=[weight]"]
    frame.assign(fine=frame.fine.abs()).to_parquet(tmp_path / "t.parquet")
    found = problems(*settings)
    assert len(found) == 3
    for problem in found:
        cure = next(iter(cures_of(settings, problem)))[0]
        settings = [*settings, *pasted(cure)]
    assert problems(*settings) == []


def test_at_most_20_lines_are_shown():
    error = SettingError(*(f"data.path=t.csv: column {number} is wrong" for number in range(30)))
    lines = str(error).splitlines()
    assert lines[0] == "data.path=t.csv: 30 things are wrong:"
    assert lines[1] == "  column 0 is wrong"
    assert lines[-1] == "  and 10 more"
    assert len(lines) == 1 + MAX_LISTED + 1
