"""Law 4, once: each distinct stage before the sweep is computed once per run and taken from the cache in later runs."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from running import compose, slow_after_first
from upstreams import CountedPrepare, CountedReduction, CountedSource, CountedSplit, data_pipeline, take_lines

from pipeline.config.compose import CONF
from pipeline.stages.reduce import Identity, PcaReduction

FOLDS = ("split.folds=2", "data=iris")
ROOT = CONF.parent


class CountedRun:
    """A run on iris whose stages log each computation."""

    def __init__(self, folder: Path, *overrides: str) -> None:
        self.folder, self.log, self.overrides = folder / "runs", folder / "log", (*FOLDS, *overrides)
        settings, _ = compose(*self.overrides)
        self.settings = settings
        self.data, self.split = CountedSource(settings.data, self.log), CountedSplit(settings.split, self.log)

    def prepare(self, scaling="standard"):
        return CountedPrepare(replace(self.settings.prepare, scaling=scaling), self.log)

    def reduce(self, n_components):
        return CountedReduction(PcaReduction(n_components), self.log)

    def run(self, *pairs, overrides=(), test=False):
        """The hashes and training inputs of all views, the computed stages, and the counts of cached and computed."""
        with data_pipeline(self.folder, *self.overrides, *overrides, data=self.data, split=self.split) as (
            data,
            context,
        ):
            views = data.views(pairs)
            if test:
                context.executor.fetch(data.test)
            rows = [
                [(view.content_hash, context.executor.fetch(view.data).data.train.x) for view in folds]
                for folds in views
            ]
            return rows, take_lines(self.log), data.n_cached, data.n_computed


def assert_equal_views(first, second):
    for folds, other_folds in zip(first, second, strict=True):
        for (content_hash, x), (other_hash, other_x) in zip(folds, other_folds, strict=True):
            assert content_hash == other_hash
            np.testing.assert_array_equal(x, other_x)


UNCACHED = ["load", "prepare standard 0", "prepare standard 1", "split"]


@pytest.mark.parametrize("cache", ["none", "folder"])
def test_law_4_each_distinct_stage_is_computed_once_by_whichever_call(tmp_path, cache):
    stages = CountedRun(tmp_path, f"cache={cache}")
    standard, again, robust = stages.prepare(), stages.prepare(), stages.prepare("robust")
    with data_pipeline(stages.folder, *stages.overrides, data=stages.data, split=stages.split) as (data, context):
        views = data.views([(standard, stages.reduce(2)), (again, stages.reduce(3)), (standard, Identity())] * 2)
        assert take_lines(stages.log) == sorted([*UNCACHED, *["fit 1024", "narrow 2", "narrow 3"] * 2])
        assert views[:3] == views[3:]
        assert data.n_computed == 2 + 2 + 2 + 4
        data.views([(standard, stages.reduce(2))])
        context.executor.fetch(data.test)
        context.executor.fetch(data.development)
        assert take_lines(stages.log) == []
        data.views([(robust, stages.reduce(2)), (again, stages.reduce(1)), (again, stages.reduce(2))])
        expected = ["prepare robust 0", "prepare robust 1", *["fit 1024", "narrow 1", "narrow 2"] * 2]
        assert take_lines(stages.log) == sorted(expected)
        assert (data.n_cached, data.n_computed) == (0, 10 + 2 + 2 + 4)
        text = context.output._console.file.getvalue()
        assert re.findall(r"^(\w+) +\d+\.\d s", text, re.M) == ["load", "split", "prepare", "reduce", "reduce"]
        assert "2 folds of 60 training and 60 validation rows, 4 columns, 3 reductions, 2 to 4 after reduction" in text


def test_law_4_a_later_run_takes_all_stages_from_the_cache_and_reads_only_what_it_needs(tmp_path):
    stages = CountedRun(tmp_path)
    pairs = [(stages.prepare(), stages.reduce(n)) for n in (2, 3)]
    first, computed, n_cached, n_computed = stages.run(*pairs)
    assert computed == sorted([*UNCACHED, *["fit 1024", "narrow 2", "narrow 3"] * 2])
    assert (n_cached, n_computed) == (0, 2 + 2 + 2 + 4)
    second, computed, n_cached, n_computed = stages.run(*pairs)
    assert_equal_views(first, second)
    assert computed == []
    assert (n_cached, n_computed) == (2 + 4, 0)  # the data card, the number of folds, the views
    third, computed, n_cached, n_computed = stages.run(*pairs, (stages.prepare(), stages.reduce(1)), test=True)
    assert_equal_views(first, third[:2])
    assert computed == ["narrow 1", "narrow 1"]
    assert (n_cached, n_computed) == (2 + 4 + 2 + 2 + 1, 2)  # also prepared rows, fits and test rows
    uncached, computed, *_ = stages.run(*pairs, overrides=["cache=none"])
    assert_equal_views(first, uncached)
    assert len(computed) == 10


@pytest.mark.parametrize(
    ("change", "expected"),
    slow_after_first(
        [
            (["seed=1"], ["prepare standard 0", "prepare standard 1", "split"]),
            (["split.test=0.3"], ["prepare standard 0", "prepare standard 1", "split"]),
            (["prepare.scaling=robust"], ["prepare robust 0", "prepare robust 1"]),
            (["cache.clear=true"], UNCACHED),
            (["training.epochs=7", "network.hidden=[3]", "name=other"], []),
        ]
    ),
)
def test_law_4_only_stages_that_depend_on_a_changed_setting_are_computed_again(tmp_path, change, expected):
    before = CountedRun(tmp_path)
    before.run((before.prepare(), before.reduce(2)))
    after = CountedRun(tmp_path, *change)
    _, computed, *_ = after.run((after.prepare(after.settings.prepare.scaling), after.reduce(2)))
    assert computed == sorted([*expected, *["fit 1024", "narrow 2"] * 2] if expected else [])


@pytest.mark.parametrize("files", slow_after_first(["prepared", "all", "development"]))
def test_law_4_a_damaged_result_is_computed_again(tmp_path, files):
    stages = CountedRun(tmp_path)
    pair = stages.prepare(), stages.reduce(2)
    first, *_ = stages.run(pair)
    paths = list((stages.folder / "cache").iterdir())
    for path in paths:
        content = path.read_bytes()
        damaged_class = {"all": b"", "prepared": b'"Preprocessing"', "development": b'"Development"'}[files]
        if damaged_class in content:
            path.write_bytes(content[:-40] + bytes([content[-40] ^ 1]) + content[-39:])
    second, computed, *_ = stages.run(pair)
    assert_equal_views(first, second)
    fits = [] if files == "prepared" else ["fit 1024"] * 2
    assert (
        computed
        == {
            "all": sorted([*UNCACHED, *fits, *["narrow 2"] * 2]),
            "prepared": [
                "narrow 2",
                "narrow 2",
                "prepare standard 0",
                "prepare standard 1",
            ],  # the fits are still cached
            "development": [],  # not needed
        }[files]
    )
    assert stages.run(pair)[1] == []


@pytest.mark.slow
def test_law_4_stages_are_computed_again_when_the_content_of_a_file_changes(tmp_path):
    random = np.random.default_rng(0)
    x, y = random.normal(size=(60, 3)), np.arange(60) % 2
    for path in (tmp_path / "a.npz", tmp_path / "b.npz"):
        np.savez(path, x=x, y=y)

    def run(path):
        data = (f"data.path={path}", "data.x=x", "data.y=y", "name=it", "data.name=it")
        stages = CountedRun(tmp_path, "data=npz", *data)
        return stages.run((stages.prepare(), stages.reduce(2)))

    all_stages = sorted([*UNCACHED, *["fit 1024", "narrow 2"] * 2])
    first, computed, *_ = run(tmp_path / "a.npz")
    assert computed == all_stages
    os.utime(tmp_path / "a.npz")
    assert run(tmp_path / "a.npz")[1] == []
    second, computed, *_ = run(tmp_path / "b.npz")
    assert computed == ["load"]  # a different file with the same rows
    assert_equal_views(first, second)
    x[0, 0] += 1
    np.savez(tmp_path / "a.npz", x=x, y=y)
    third, computed, *_ = run(tmp_path / "a.npz")
    assert computed == all_stages
    assert {view[0] for folds in third for view in folds}.isdisjoint(view[0] for folds in first for view in folds)


def run_program(root, code):
    environment = os.environ | {"PYTHONPATH": str(root)}
    completed = subprocess.run([sys.executable, "-c", code], cwd=root, env=environment, capture_output=True, text=True)
    assert completed.returncode == 0, completed.stderr
    return completed.stdout.split()


HASHES = """
from pipeline.components.fingerprints import content_hash
from pipeline.config.compose import configuration
from pipeline.driver.context import sweep_code
config = configuration()
split, prepare = config.settings.split, config.settings.prepare
print(content_hash("split", split), content_hash("prepare", prepare), sweep_code(config.plain))
"""


@pytest.mark.slow
def test_law_4_hashes_are_the_same_in_every_process_and_change_with_the_code(tmp_path):
    """Only code that the stages import counts; comments and docstrings do not."""
    for folder in ("nncore", "pipeline", "conf"):
        shutil.copytree(ROOT / folder, tmp_path / folder)

    def hashes(root):
        split, prepare, *sweep = run_program(root, HASHES)
        return split, prepare, sweep

    def edit(file, old, new):
        text = (tmp_path / file).read_text()
        assert old in text
        (tmp_path / file).write_text(text.replace(old, new))

    before = hashes(ROOT)
    edit("pipeline/reports/contents.py", "import", "no_matter = 1\nimport")
    edit("nncore/reduction/pca.py", "\n\n\n", "\n\n\n# It computes the same.\n")
    edit("pipeline/stages/reduce.py", '"""Reduce:', '"""Reduce the rows:')
    assert hashes(tmp_path) == before
    edit("pipeline/stages/strata.py", "import numpy as np", "import numpy as np\nother = 1")
    split, prepare, sweep = hashes(tmp_path)
    assert split != before[0]
    assert prepare == before[1]
    assert sweep != before[2]


@pytest.mark.slow
def test_law_4_holds_on_ray_as_in_this_process(tmp_path, monkeypatch):
    monkeypatch.setenv(
        "PYTHONPATH", f"{ROOT / 'tests' / 'support'}{os.pathsep}{ROOT}"
    )  # the workers import the stages of this test
    stages = CountedRun(tmp_path)
    pairs = [(stages.prepare(), stages.reduce(n)) for n in (2, 3)] + [(stages.prepare("robust"), Identity())]
    cache = f"cache.folder={tmp_path / 'of_ray'}"
    first, computed, *_ = stages.run(*pairs, overrides=["execution=ray", "execution.cpus=2", cache])
    robust = ["prepare robust 0", "prepare robust 1"]
    assert computed == sorted([*UNCACHED, *robust, *["fit 1024", "narrow 2", "narrow 3"] * 2])
    local, *_ = stages.run(*pairs)
    assert_equal_views(first, local)
    second, computed, n_cached, _ = stages.run(*pairs, overrides=[cache])  # this process takes all from Ray's cache
    assert_equal_views(first, second)
    assert (computed, n_cached) == ([], 2 + 6)
