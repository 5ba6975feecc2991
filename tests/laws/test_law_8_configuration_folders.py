"""Law 8, no code from data: configuration comes from folders, and its files name no code and reveal no secret."""

import itertools
import os
import sys
import time

import pytest
from running import compose, nightly_after_first

from pipeline.cli.dispatch import dispatch
from pipeline.components.errors import SettingError
from pipeline.config.compose import configurations


def error_line(arguments, monkeypatch, capsys):
    """The line that a command prints when it is refused."""
    monkeypatch.setattr(sys, "argv", ["nnsweep", *arguments])
    with pytest.raises(SystemExit) as exit_info:
        dispatch(sys.argv[1:], time.monotonic())
    assert exit_info.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The folder of a package with configuration files, which makes a folder when it is imported."""
    folder = tmp_path / "library" / "harmful_package"
    (folder / "space").mkdir(parents=True)
    (folder / "__init__.py").write_text(f"import os\nos.mkdir({str(tmp_path / 'exploded')!r})\n")
    (folder / "config.yaml").write_text("seed: 1\n")
    (folder / "space" / "tiny.yaml").write_text("# @package _global_\nnetwork: {hidden: [3]}\n")
    monkeypatch.syspath_prepend(tmp_path / "library")
    monkeypatch.chdir(tmp_path)
    yield folder
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("option", [(), ("--multirun",), ("--cfg", "job"), ("--info", "all"), ("--hydra-help",)])
@pytest.mark.parametrize(
    "source",
    [
        ("hydra.searchpath=[pkg://harmful_package]",),
        ("hydra.searchpath=[pkg://harmful_package/space]",),
        ("hydra.searchpath=[structured://harmful_package]",),
        ("--config-path", "pkg://harmful_package"),
        ("--config-dir", "pkg://harmful_package"),
        ("--config-path", "structured://harmful_package"),
        ("--config-path", "own"),
    ],
)
def test_law_8_no_package_is_imported_for_its_configuration(source, option, package, monkeypatch, capsys):
    """Named by a setting, by an option, or by the user's own configuration file."""
    (package.parents[1] / "own").mkdir()
    (package.parents[1] / "own" / "config.yaml").write_text("hydra: {searchpath: ['pkg://harmful_package']}\n")
    assert "must be a folder" in error_line([*source, "tracking.uri=wrong", *option], monkeypatch, capsys)
    assert "harmful_package" not in sys.modules


def test_law_8_the_completion_of_a_line_imports_no_package(package, monkeypatch):
    monkeypatch.setenv("COMP_LINE", "nnsweep hydra.searchpath=[pkg://harmful_package] tr")
    monkeypatch.setattr(sys, "argv", ["nnsweep", "-sc", "query=bash"])
    with pytest.raises(SystemExit):
        dispatch(sys.argv[1:], time.monotonic())
    assert "harmful_package" not in sys.modules


@pytest.mark.parametrize("folder", ["{}", "library/harmful_package", "file://{}"])
def test_law_8_a_folder_is_read_wherever_it_is(folder, package):
    folder = folder.format(package)
    (of_searchpath, _) = compose(f"hydra.searchpath=[{folder}]", "+space@_global_=tiny")
    (of_option,) = configurations(["--config-dir", folder, "+space@_global_=tiny"])
    assert of_searchpath.network.hidden == of_option.settings.network.hidden == (3,)
    with pytest.raises(SettingError, match=r"hydra\.searchpath must be a folder, but there is none at .*nowhere"):
        compose("hydra.searchpath=[nowhere]")


def test_law_8_a_primary_folder_is_relative_to_the_working_directory(package, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["nnsweep", "--config-path", "library/harmful_package", "--cfg", "job"])
    dispatch(sys.argv[1:], time.monotonic())
    assert capsys.readouterr().out == "seed: 1\n"


@pytest.mark.parametrize(
    ("setting", "cure"),
    [
        ("hydra.run.dir=elsewhere", "runs=..."),
        ("hydra.sweep.dir=elsewhere", "runs=..."),
        ("hydra.sweep.subdir=elsewhere", "runs=..."),
        ("hydra.job.name=mine", "name=..."),
        ("hydra.mode=MULTIRUN", "give -m"),
        ("hydra.job.chdir=true", "leave it out"),
        ("hydra.output_subdir=null", "leave it out"),
        ("hydra.verbose=true", "leave it out"),
        ("+hydra.job.env_set.X=1", "leave it out"),
        ("hydra.job.env_copy=[NOWHERE]", "leave it out"),
        ("hydra/launcher=joblib", "leave it out"),
        ("hydra/job_logging=disabled", "leave it out"),
        ("~hydra.launcher", "leave it out"),
        ("++hydra.searchpath=[folder]", "hydra.searchpath=[folder]"),
    ],
)
def test_law_8_hydras_own_part_is_refused_not_ignored(setting, cure):
    with pytest.raises(SettingError) as error:
        compose(setting)
    name = setting.lstrip("+~").partition("=")[0]
    assert str(error.value).startswith(f"{name} must stay as it is")
    assert cure in str(error.value)


@pytest.mark.parametrize(
    "part",
    [
        "run: {dir: elsewhere}",
        "job: {name: mine}",
        "job: {env_copy: [NOWHERE]}",
        "callbacks: {x: {_target_: os.mkdir}}",
    ],
)
def test_law_8_hydras_own_part_is_refused_in_a_file_too(part, tmp_path):
    (tmp_path / "space").mkdir()
    (tmp_path / "space" / "mine.yaml").write_text(f"# @package _global_\nhydra: {{{part}}}\n")
    with pytest.raises(SettingError, match=rf"hydra\.{part.partition(':')[0]}\S* must stay as it is"):
        configurations(["--config-dir", str(tmp_path), "+space@_global_=mine"])


def bomb(values, entry):
    """YAML of few lines, in which each of 11 names stands for the one before nine times."""
    lines = [f"a: &a {values}"]
    for old, new in itertools.pairwise("abcdefghijkl"):
        aliases = ",".join([f"*{old}"] * 9)
        lines.append(f"{new}: &{new} {entry.format(aliases)}")
    return "\n".join(lines)


BOMBS = {
    "aliases": bomb("[1,1,1,1,1,1,1,1,1]", "[{}]"),
    "merged mappings": bomb("{x: 1}", "{{<<: [{}]}}"),
    "an alias inside itself": "a: &a [*a]\n",
    "depth": "a: " + "[" * 5000 + "]" * 5000,
    "length": "a: [" + "1," * 3_000_000 + "1]",
    "no YAML": "a: [1\nb: {",
    "text": "some words\n",
    "another encoding": "name: größe\n",
    "a long text with a reference": "x: ${seed}" + "a" * 1_000_000,
    "a reference without an end": "x: '${oc.create:{'",
}


@pytest.mark.parametrize("content", BOMBS)
def test_law_8_a_file_that_cannot_be_settings_is_named_within_seconds(content, tmp_path):
    (tmp_path / "space").mkdir()
    (tmp_path / "space" / "mine.yaml").write_text(BOMBS[content], encoding="latin-1")
    began = time.monotonic()
    with pytest.raises(SettingError, match=r"mine\.yaml(, line \d+:| must | cannot be read)"):
        configurations(["--config-dir", str(tmp_path), "space=mine"])
    assert time.monotonic() - began < 10


def doubling(first, line):
    """Settings of which each of 30 stands for the one before it twice."""
    return [f"x0: {first}", *(line.format(f"x{number + 1}", f"x{number}") for number in range(30))]


REFERENCES = {
    "texts": doubling("ab", "{0}: ${{{1}}}${{{1}}}"),
    "the last one first": doubling("ab", "{0}: ${{{1}}}${{{1}}}")[::-1],
    "mappings": doubling("{a: 1}", "{0}: {{a: '${{{1}}}', b: '${{{1}}}'}}"),
    "selected texts": doubling("ab", "{0}: ${{oc.select:{1}}}${{oc.select:{1}}}"),
    "decoded texts": doubling("ab", "{0}: \"${{oc.decode:'${{{1}}}${{{1}}}'}}\""),
    "values of mappings": doubling("{a: 1}", "{0}: {{a: '${{oc.dict.values:{1}}}', b: '${{oc.dict.values:{1}}}'}}"),
    "names in names": doubling(
        "{y: ab, next: y}", "{0}: {{y: '${{{1}.${{{1}.next}}}}${{{1}.${{{1}.next}}}}', next: y}}"
    ),
    "names of the same mapping": [
        "x:",
        "  l0: ab",
        *(f"  l{n + 1}: ${{x.${{k{n}}}}}${{x.${{k{n}}}}}" for n in range(30)),
        *(f"k{n}: l{n}" for n in range(30)),
    ],
    "decoded names of the same mapping": [
        "x:",
        "  l0: ab",
        *(f"  l{n + 1}: ${{x.${{oc.decode:l{n}}}}}${{x.${{oc.decode:l{n}}}}}" for n in range(30)),
    ],
    "one text very often": ["x0: " + "a" * 100_000, "x1: '" + "${x0}" * 10_000 + "'"],
    "one list very often": [f"x0: {[1] * 10_000}", f"x1: {['${x0}'] * 9_000}"],
}


@pytest.mark.slow
@pytest.mark.parametrize("content", REFERENCES)
def test_law_8_references_that_stand_for_too_much_are_refused_within_seconds(content, tmp_path):
    (tmp_path / "space").mkdir()
    (tmp_path / "space" / "mine.yaml").write_text("\n".join(["# @package _global_", *REFERENCES[content]]))
    began = time.process_time()
    with pytest.raises(SettingError, match=r"^[\w.]+: what references \(\$\{name\}\) stand for must have at most"):
        configurations(["--config-dir", str(tmp_path), "+space@_global_=mine"])
    assert time.process_time() - began < 10


@pytest.mark.slow
@pytest.mark.parametrize(
    "option", nightly_after_first([(), (("--cfg", "job", "--resolve"),), (("--multirun", "seed=1,2"),)])
)
def test_law_8_references_on_the_command_line_are_limited(option, monkeypatch, capsys):
    line = [f"+x{number + 1}=${{x{number}}}${{x{number}}}" for number in range(30)]
    assert "what references (${name}) stand for" in error_line(["+x0=ab", *line, *option], monkeypatch, capsys)


def test_law_8_a_mapping_may_name_its_own_entries():
    """As paths of several kinds, of which another setting chooses one."""
    entries = [f"+data.kinds.c{number}=${{data.kinds.${{split.chosen}}}}" for number in range(50)]
    with pytest.raises(SettingError, match="chosen"):  # this is all that is wrong
        compose("data=csv", "data.path=x.csv", "data.target=y", "+data.kinds.c=numeric", "+split.chosen=c", *entries)


def test_law_8_ordinary_references_are_resolved(tmp_path):
    names = [f"c{number}" for number in range(500)]
    (tmp_path / "x.csv").write_text(f"{','.join(names)},y\n" + "1," * 500 + "2\n")
    kinds = (f"+data.kinds.{name}=${{data.kinds.c0}}" for name in names[1:])
    settings, _ = compose(f"data.path={tmp_path / 'x.csv'}", "data.target=y", "+data.kinds.c0=numeric", *kinds)
    assert settings.data.kinds == dict.fromkeys(names, "numeric")


@pytest.fixture
def file_of_another_user(tmp_path, monkeypatch):
    """A file of settings that belongs to someone else; the name is what the file says."""
    monkeypatch.setenv("SECRET", "geheim")
    (tmp_path / "space").mkdir()
    file, user = tmp_path / "space" / "mine.yaml", os.getuid()
    file.touch()
    if user == 0:
        os.chown(file, 65534, -1)
    else:
        monkeypatch.setattr(os, "getuid", lambda: user + 1)
    return file


@pytest.mark.parametrize("reference", ["${oc.env:SECRET}", "${oc.${x}:SECRET}", "${oc.decode:'${oc.env:SECRET}'}"])
def test_law_8_a_file_of_another_user_reads_no_environment_variable(reference, file_of_another_user):
    file = file_of_another_user
    file.write_text(f'# @package _global_\nx: env\nname: "{reference}"\n')
    with pytest.raises(
        SettingError, match=r"^\S+: \$\{oc\.env.* is refused, because .*mine\.yaml belongs to another user"
    ):
        configurations(["--config-dir", str(file.parents[1]), "+space@_global_=mine"])
    assert compose("name=${oc.env:SECRET}")[0].name == "geheim"  # the user's own words


def test_law_8_a_file_of_another_user_without_variables_is_read(file_of_another_user):
    file = file_of_another_user
    file.write_text("# @package _global_\nname: mine\n")
    (config,) = configurations(["--config-dir", str(file.parents[1]), "+space@_global_=mine"])
    assert config.settings.name == "mine"
