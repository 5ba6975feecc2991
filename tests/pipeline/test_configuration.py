"""The configuration tree: every file is composed and built, and its first line says how to select it."""

import re
import shlex
import sys
import time
from collections import Counter
from importlib.util import find_spec
from itertools import zip_longest
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.feather
import pyarrow.parquet
import pytest
import yaml
from discovery import ACTIVATIONS, INITIALIZERS, LOSSES, NORMALISATIONS, OPTIMIZERS, REGULARIZERS, SCHEDULES
from running import compose, requested_trials

from pipeline.cli.dispatch import dispatch, names
from pipeline.components.errors import SettingError
from pipeline.config.compose import CONF, configurations
from pipeline.config.schema import Configuration
from pipeline.config.variants import Variants

FILES = sorted(path for path in CONF.glob("*/*.yaml") if not path.stem.startswith("_"))  # others include _*
COMPONENTS = {"optimizer", "regularizer", "schedule", "activation", "normalisation", "initializer", "loss", "embedding"}


def identity(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


def selecting_overrides(path: Path) -> str:
    """The overrides at the end of a file's first line after Hydra's own: "# What it is: folder=file"."""
    first = next(line for line in path.read_text().splitlines() if not line.startswith("# @package"))
    text, _, pick = first.rpartition(": ")
    assert text.startswith("# ")
    assert len(text) > 5
    return pick


ADDED = [path for path in FILES if selecting_overrides(path).startswith("+")]  # these can be combined
EXCLUSIVE = [path for path in FILES if path not in ADDED]


def split_override(pick):
    """The folder, node and file of "+folder@node=file", or of the first of several overrides."""
    group, _, name = pick.split()[0].removeprefix("+").partition("=")
    return *group.partition("@")[::2], name


@pytest.fixture
def sample_files(tmp_path, monkeypatch):
    """Create the files that first lines and the documentation name in the working directory."""
    columns = {"column": list("ab") * 30, "price": [n % 7 + 0.5 for n in range(60)], "age": [*range(60)]}
    columns |= {"zip": ["01234", "04567"] * 30, "size": list("SML") * 20, "patient": [n // 3 for n in range(60)]}
    columns |= {
        "sold": [f"2020-01-{n % 28 + 1:02}" for n in range(60)],
        "row": [*range(60)],
        "country": ["DE", "AT"] * 30,
    }
    lines = [",".join(columns), *(",".join(map(str, row)) for row in zip(*columns.values(), strict=True))]
    (tmp_path / "sales").mkdir()
    months = ("january.csv", "february.csv", "sales/2020-01.csv", "sales/2020-02.csv")
    for name in ("file.csv", "houses.csv", "new_houses.csv", *months):
        (tmp_path / name).write_text("\n".join(lines))
    pyarrow.feather.write_feather(pyarrow.table(columns), tmp_path / "file.feather")
    for name in ("file", "houses"):
        pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / f"{name}.parquet")
        pd.DataFrame(columns).to_excel(tmp_path / f"{name}.xlsx", sheet_name="2020", index=False)
    np.savez(tmp_path / "file.npz", x=np.ones((9, 2)), y=np.arange(9))
    (tmp_path / "mypackage").mkdir()
    (tmp_path / "mypackage" / "__init__.py").write_text(
        "from numpy.typing import ArrayLike\nfrom nncore.metrics import Metric, accuracy\n"
        "from nncore.optimizers.base import Optimizer\n"
        "from nncore.optimizers.sgd import sgd\n"
        "from pipeline.components.types import Development, PreparedView, Task\n"
        "from pydantic.dataclasses import dataclass\n"
        "def mine(learning_rate: ArrayLike) -> Optimizer:\n    return sgd(learning_rate)\n"
        "def cost_of_errors(missed: float = 10.0) -> Metric:\n    return accuracy()\n"
        "@dataclass(frozen=True)\n"
        "class Prepare:\n"
        "    scaling: str\n"
        "    scale_targets: bool = True\n"
        "    def check(self, task: Task) -> None: ...\n"
        "    def __call__(self, development: Development, fold: int) -> PreparedView: ...\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)


FOLDERS = ("activation", "initializer", "loss", "normalisation", "schedule")  # a file of each can be composed together
TOGETHER = [
    [*filter(None, row)] for row in zip_longest(*([p for p in EXCLUSIVE if p.parent.name == f] for f in FOLDERS))
]
ALONE = [path for path in EXCLUSIVE if path.parent.name not in FOLDERS]
FIRST = {min(path.parent.glob("*.yaml")) for path in ALONE}  # one of each folder; the others are marked slow


def checked_name(path, config):
    """The name of the component that a file selects, which stands where its first line says."""
    folder, node_path, name = split_override(selecting_overrides(path))
    assert (folder, name) == (path.parent.name, path.stem)
    node = config
    for part in node_path.split("."):
        node = node[part]
    assert node["_target_"].endswith(f".{name}")
    return name


@pytest.mark.parametrize("paths", TOGETHER, ids=lambda paths: " ".join(map(identity, paths)))
def test_every_component_is_composed_and_built_as_its_first_line_says(paths):
    settings, config = compose(*map(selecting_overrides, paths))
    assert requested_trials(settings)
    for path in paths:
        checked_name(path, config)


@pytest.mark.parametrize(
    "path", [path if path in FIRST else pytest.param(path, marks=pytest.mark.slow) for path in ALONE], ids=identity
)
def test_every_file_is_composed_and_built_as_its_first_line_says(path, sample_files):
    folder, _, name = split_override(selecting_overrides(path))
    assert (folder, name) == (path.parent.name, path.stem)
    if name == "fashion_mnist" and not Path("/usr/share/datasets/fashion-mnist").exists():
        pytest.skip("the Debian package dataset-fashion-mnist is not installed")
    if path.stem == "gaussian_process" and not find_spec("torch"):
        with pytest.raises(SettingError, match=r"^search=gaussian_process needs PyTorch: pip install"):
            compose(*selecting_overrides(path).split())
        return
    settings, config = compose(*selecting_overrides(path).split())
    assert requested_trials(settings)
    assert path.parent.name in {*config, *COMPONENTS, "experiment", "preset"}


def other_regularizers(*names):
    """All additional regularizers but these: a network has one weight average, and one that selects the best epoch."""
    return [path for path in ADDED if path.parent.name == "regularizer" and path.stem not in names]


@pytest.mark.parametrize(
    "files",
    [
        [p for p in ADDED if p.parent.name == "optimizer"],
        other_regularizers("ema", "keep_best"),
        other_regularizers("swa", "early_stopping"),
    ],
)
def test_files_that_can_be_combined_are_composed_and_built_together(files):
    """All files of a folder together."""
    assert len(files) >= 10
    settings, config = compose(*(override for path in files for override in selecting_overrides(path).split()))
    labels = {trial.optimizer_name for trial in requested_trials(settings)} | {
        trial.regularizer_name for trial in requested_trials(settings)
    }
    for path in files:
        name = checked_name(path, config)
        assert name in labels or name in settings.training.regularizers


@pytest.mark.parametrize(
    ("folder", "components"),
    [
        ("optimizer", OPTIMIZERS),
        ("regularizer", REGULARIZERS),
        ("schedule", SCHEDULES),
        ("activation", ACTIVATIONS),
        ("normalisation", NORMALISATIONS),
        ("initializer", INITIALIZERS),
        ("loss", LOSSES),
    ],
)
def test_every_component_of_nncore_has_its_file(folder, components):
    named = {yaml.safe_load(path.read_text())["_target_"] for path in (CONF / folder).glob("*.yaml")}
    assert named == {component.name for component in components}


def test_the_default_space_has_112_trials():
    settings, _ = compose()
    trials = requested_trials(settings)
    assert len(trials) == 112
    assert {trial.optimizer_name for trial in trials} == {"sgd", "momentum", "rmsprop", "adam"}
    assert {trial.regularizer_name for trial in trials} == {"none", "l1", "l2", "dropout", "weight_decay"}
    assert Counter(dict(trial.overrides)["network.hidden"][0] for trial in trials) == {64: 56, 128: 56}
    assert settings.training.epochs == 30
    assert len({str(trial.parameters) for trial in trials}) == 112
    assert [trial.number for trial in trials] == list(range(112))


def test_the_space_can_be_changed_from_the_command_line():
    settings, _ = compose(
        "space.optimizer.adam.learning_rate=[1e-4,1e-2]",
        "+space.optimizer.adam.beta1=[0.8,0.9,0.95]",
        "~space.optimizer.sgd",
        "~space.optimizer.momentum",
        "~space.optimizer.rmsprop",
        "~space.regularizer.l1",
        "~space.regularizer.dropout",
        "~space.regularizer.weight_decay",
        "~space.network",
    )
    trials = requested_trials(settings)
    assert len(trials) == 2 * 3 * (1 + 2)
    assert trials[0].parameters == {
        "optimizer": "adam",
        "optimizer.learning_rate": 1e-4,
        "optimizer.beta1": 0.8,
        "regularizer": "none",
    }
    assert trials[-1].label == "adam 0.01 beta1=0.95, l2 0.01"


def test_the_loss_follows_the_task():
    from pipeline.components.types import ViewShape

    for data, n_outputs, loss in (
        ("digits", 10, "softmax_cross_entropy"),
        ("breast_cancer", 1, "sigmoid_cross_entropy"),
        ("diabetes", 1, "squared_error"),
    ):
        settings, config = compose(f"data={data}")
        variant = Variants(Configuration(settings, config, "")).of(requested_trials(settings)[0])
        shape = variant.architecture(ViewShape(5, n_outputs, 10, 10), settings.data.task)
        assert shape.loss.name == f"nncore.losses.{loss}"
        assert shape.sizes == (5, 64, n_outputs)


def test_cfg_job_prints_the_whole_configuration(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["nnsweep", "--cfg", "job", "data=diabetes", "training.epochs=7"])
    dispatch(sys.argv[1:], time.monotonic())
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["training"]["epochs"] == 7
    assert printed["data"]["name"] == "diabetes"
    assert set(compose()[1]) == set(printed)
    assert list(tmp_path.iterdir()) == []


def test_the_contents_page_names_every_folder():
    page = (CONF / "config.yaml").read_text()
    for folder in {path.parent.name for path in FILES} - {"optimizer", "regularizer"}:  # which the files of space/ take
        assert f"  - {folder}: " in page or f"  - {folder}@" in page


def test_a_folder_is_a_choice():
    """A folder has several files: the settings of a single file belong in config.yaml."""
    for folder in {path.parent for path in FILES}:
        assert len([path for path in FILES if path.parent == folder]) > 1, folder


def documented_commands():
    """The commands of README.md and the guides that run a sweep, as lists of overrides."""
    root = Path(__file__).parents[2]
    text = "".join(path.read_text() for path in [root / "README.md", *sorted((root / "docs").glob("**/*.md"))])
    blocks = re.findall(r"^```bash\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    blocks = [block.replace("\\\n", " ") for block in blocks]
    lines = [line for block in blocks for line in block.splitlines() if re.match(r"nnsweep\b(?!\[)", line)]
    commands = [shlex.split(line, comments=True)[1:] for line in lines]
    other_commands = {name for name in names() if name not in ("plan", "sweep")}
    settings = [[word for word in words if word not in ("-m", "plan")] for words in commands]
    return [words for words in settings if not other_commands & {*words[:1]}]


@pytest.mark.slow
@pytest.mark.parametrize("overrides", documented_commands(), ids=" ".join)
def test_every_command_of_the_documentation_is_valid(overrides, sample_files):
    for configuration in configurations(["--multirun", *overrides]):
        assert requested_trials(configuration.settings)


def test_the_documentation_has_commands():
    assert len(documented_commands()) >= 25


def test_files_that_were_merged_before_are_as_new():
    """Our files are merged once per process: overrides of one configuration do not show in the next."""
    first = compose("data=iris")[1]
    changed = compose("data=iris", "training.epochs=7", "~space.optimizer.sgd", "+space.optimizer.adam.beta1=[0.8]")[1]
    assert changed["training"]["epochs"] == 7
    assert set(first["space"]["optimizer"]) - set(changed["space"]["optimizer"]) == {"sgd"}
    assert compose("data=iris")[1] == first


def test_a_users_file_is_read_again(tmp_path):
    for epochs in (3, 4):
        (tmp_path / "short.yaml").write_text(f"defaults: [config, _self_]\ntraining: {{epochs: {epochs}}}\n")
        (configuration,) = configurations(["--config-dir", str(tmp_path), "--config-name", "short"])
        assert configuration.settings.training.epochs == epochs
