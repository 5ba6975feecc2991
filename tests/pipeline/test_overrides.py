"""Overrides that errors print are pasted into shells, and read as they were meant, whatever characters they have."""

import shutil
import subprocess

import pytest
from running import compose

from pipeline.components.errors import SettingError
from pipeline.components.overrides import entry, override
from pipeline.config.compose import configurations

NAMES = (
    "plain",
    "two words",
    "three  blanks here",
    "it's",
    'a "quoted" one',
    "Größe (m²)",
    "back\\slash",
    "ends with \\",
    "$HOME",
    "${seed}",
    "\\${seed}",
    "`id`",
    "a=b",
    "n#1",
    "# n",
    "~",
    "~/x",
    "a;b",
    "{a}",
    "[a]",
    "a,b",
    "a: b",
    "!1",
    "*",
    "?",
    "a&b|c<d>e",
    "50 %",
    "null",
    "True",
    "1e3",
    ".5",
    "@x",
    "日本",
    "no\u00a0break",
    "\ufeffmark",
    "tab\there",
    "line\nbreak",
    "'",
    '"',
    "",
)
SHELLS = [
    ["bash", "-c"],
    pytest.param(["zsh", "-c"], marks=pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")),
    pytest.param(
        ["zsh", "-o", "EXTENDED_GLOB", "-c"],
        marks=pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed"),
    ),
]
FILE = ("data=csv", "data.path=x.csv", "data.target=y")


@pytest.fixture
def any_file(monkeypatch):
    """Compose without reading the file."""
    monkeypatch.setattr("pipeline.data.tabular_files.TabularFile.check", lambda self: None)


def pasted(shell, line):
    """The arguments that a shell makes of a line, in the folder of this file."""
    printed = subprocess.run([*shell, f"printf '%s\\0' {line}"], capture_output=True, check=True).stdout
    return printed.decode().split("\0")[:-1]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_printed_override_is_pasted_as_one_word_and_read_as_the_same_value(shell, any_file):
    overrides = [entry("data.kinds", name, "categorical") for name in NAMES if name]
    assert all(line.isprintable() for line in overrides)
    settings, plain = compose(*FILE, *pasted(shell, " ".join(overrides)))
    assert dict(settings.data.kinds) == plain["data"]["kinds"] == dict.fromkeys(filter(None, NAMES), "categorical")
    (word,) = pasted(shell, override("data.drop", NAMES))
    settings, _ = compose(*FILE, word)
    assert settings.data.drop == NAMES
    texts = {"target": "it's ${seed}", "weight": "\\${seed}\\", "group": "no\u00a0break", "time": "null"}
    words = pasted(shell, " ".join(override(f"data.{role}", name) for role, name in texts.items()))
    settings, _ = compose(*FILE, *words)
    assert {role: getattr(settings.data, role) for role in texts} == texts


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("größe", "größe"),
        ("a=b", "a=b"),
        ("n#1", "n#1"),
        ("~x", "~x"),
        ("a;b", "a;b"),
        ("my (1).csv", "my (1).csv"),
        ('19" monitor', '19" monitor'),
        ("it's", "it's"),
        ("[größe,b c]", ("größe", "b c")),
        ("[\"größe, m\",'b']", ("größe, m", "b")),
    ],
)
def test_text_that_hydra_cannot_read_is_read_as_it_stands(value, read, any_file):
    settings, _ = compose(*FILE, f"data.target={value}")
    assert settings.data.target == read


def test_plain_values_in_yaml_are_those_of_hydra(any_file):
    """YAML alone would read yes as true, 010 as 8, 1:30 as 90 and 2020-01-31 as a date."""
    texts = ["yes", "off", "010", "1:30", "2020-01-31", "~", "1_000"]
    settings, _ = compose(*FILE, "+data.where={'größe': [" + ",".join(texts) + "]}")
    assert settings.data.where == {"größe": tuple(texts)}
    settings, _ = compose(*FILE, "+data.where={'größe': [1, -2.5, 1e3, true, nul]}")
    assert settings.data.where == {"größe": (1, -2.5, 1000.0, True, "nul")}


@pytest.mark.parametrize(
    ("wrong", "words", "cures"),
    [
        ("data.target='größe", ("stands in quotes",), ["'data.target=\"'\"'\"'größe\"'"]),
        ("data.target=größe,b", ("commas",), ["'data.target=\"größe,b\"'", "'data.target=[\"größe\",b]'"]),
        ("+data.kinds.größe=date", ("stands in quotes",), ['\'+data.kinds={"größe": "date"}\'']),
        ("data.drop=[größe", ("cannot be read as a list",), ["'data.drop=\"[größe\"'"]),
        ("data.größe=3", ("only letters, digits, _ and dots",), []),
        ("nonsense", ("is not name=value",), []),
    ],
)
def test_what_cannot_be_read_is_one_line_with_a_cure_that_is_read(wrong, words, cures, any_file):
    with pytest.raises(SettingError) as error:
        compose(*FILE, wrong)
    (line,) = str(error.value).splitlines()
    assert all(word in line for word in (*words, *cures)), line
    for cure in cures:
        (word,) = pasted(["bash", "-c"], cure)
        if "drop=" not in word:  # which must be a list
            compose(*FILE, word)


def test_mappings_are_read_in_a_multirun_and_shown(any_file, capsys):
    line = [*FILE, '+data.kinds={"größe": numeric}', "seed=0,1", "-m"]
    assert [config.settings.data.kinds for config in configurations(line)] == [{"größe": "numeric"}] * 2
    assert configurations([*FILE, '+data.kinds={"größe": numeric}', "--cfg", "job"]) == []
    assert "größe: numeric" in capsys.readouterr().out
    with pytest.raises(SettingError, match=r"data\.kindz.*did you mean data\.kinds"):
        compose(*FILE, 'data.kindz={"größe": numeric}')


def test_options_may_stand_anywhere():
    assert [config.settings.seed for config in configurations(["data=iris", "-m", "seed=0,1"])] == [0, 1]


BAD_YAML = {
    "a tab": ("seed: 1\ndata:\n\tname: x\n", "line 3"),
    "a duplicate key": ("seed: 1\nname: a\nname: b\n", "line 3"),
    "an unknown tag": ("seed: 1\nname: !!python/name:os.system x\n", "line 2"),
    "an open bracket": ("seed: [1\n", "line 2"),
    "a list": ("- 1\n- 2\n", "mine.yaml"),
    "bytes": (b"name: gr\xf6\xdfe\n", "mine.yaml"),
    "a control character": ("name: a\x01b\n", "mine.yaml"),
}


@pytest.mark.parametrize("case", BAD_YAML)
def test_a_broken_configuration_file_is_named_with_its_line(case, tmp_path):
    content, place = BAD_YAML[case]
    (tmp_path / "mine.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine.yaml").write_bytes((tmp_path / "mine.yaml").read_bytes())
    for line in (["--config-name", "mine"], ["data=mine"]):
        with pytest.raises(SettingError) as error:
            configurations(["--config-dir", str(tmp_path), *line])
        assert "mine.yaml" in str(error.value)
        assert place in str(error.value)
