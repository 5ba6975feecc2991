"""Law 1 with folds: the result of a network depends on its fold and trial only."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from running import FEW, QUICK, compose, run_pipeline, run_sweep, slow_after_first
from samples import METRICS

from nncore.inference.table import Column, Table
from nncore.stack.state import start
from nncore.stack.training import train
from pipeline.backends.tasks import run_task
from pipeline.components.types import Dataset, RawRows, view_shape
from pipeline.config.schema import Configuration
from pipeline.config.variants import Variants
from pipeline.runs.journal import JournalReader
from pipeline.runs.records import Replicate

FOLDS = ("split=k_fold", "split.folds=3")
PACKINGS = {
    "width 1": ("stacks.width=1",),
    "width 7, short slices": ("stacks.width=7", "stacks.slice_seconds=0.001"),
    "width 3": ("stacks.width=3", "stacks.slice_seconds=0.01"),
    "unlimited width": ("stacks.width=unlimited",),
    "Ray, 2 CPUs": ("execution=ray", "execution.cpus=2", "stacks.width=5", "stacks.slice_seconds=0.1"),
}


@dataclass(frozen=True)
class NumbersAndTexts:
    """Two numeric columns and one of texts. Some texts occur in one row only, so folds have different categories."""

    name = address = "texts"
    task = property(lambda self: "classification")
    n_columns = property(lambda self: None)

    def check(self) -> None:
        pass

    def content(self) -> str:
        return ""

    def __call__(self) -> Dataset:
        random = np.random.default_rng(0)
        codes = np.array([*range(8), *random.integers(8, 11, size=142)], np.int32)[:, None]
        levels = tuple(f"level {code}" for code in range(11))
        columns = (Column("a"), Column("b"), Column("c", "categorical", "string", levels))
        numbers = random.normal(size=(150, 2))
        y = np.where(numbers[:, 0] + codes[:, 0] % 2 > 0.5, "yes", "no")
        return Dataset("classification", ("y",), RawRows(Table(columns, numbers, codes), y))


def read_networks(folder):
    """Read the joined curves and the last fingerprint of every network, by key, from the journal of the only run."""
    (path,) = folder.glob("*/*/journal.jsonl")
    reader = JournalReader(path)
    curves, fingerprints = {}, {}
    for event in reader.events():
        for key, report in event["networks"].items() if event["event"] == "slice" else ():
            of_network = curves.setdefault(key, {})
            for name, values in report["curves"].items():
                of_network.setdefault(name, []).extend(values)
            fingerprints[key] = report["fingerprint"]
    reader.close()
    return {key: (curves[key], fingerprints[key]) for key in curves}


def train_separately(settings, config, epochs):
    """Prepare, reduce and train each network on its fold without the others; return what `read_networks` returns.

    Runs on one thread, as a worker does: matrix products on several threads may round differently.
    """
    development, _ = settings.split(settings.data())
    variants, networks, inputs = Variants(Configuration(settings, config, "")), {}, set()
    for fold in range(len(development.folds)):
        one_fold = replace(development, folds=(development.folds[fold],))
        view = run_task(lambda of: settings.reduce(settings.prepare(of, 0)), one_fold)
        inputs.add(view_shape(view).n_inputs)
        for request in variants.sampler.ask():
            variant, key = variants.of(request.trial), f"{request.trial.key}/{fold + 1}/0"
            network = variant.build_network(request.trial, key, Replicate(fold, 0).network_seed)
            stack = start(variant.architecture(view_shape(view), "classification"), [network])
            _, reports = run_task(train, stack, view.data, epochs, METRICS)
            networks[key] = reports[key].curves, reports[key].fingerprint
    return networks, inputs


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    return run_sweep(tmp_path_factory.mktemp("expected"), *FEW, *FOLDS)


@pytest.mark.parametrize(
    "packing",
    [
        *slow_after_first(name for name in PACKINGS if "Ray" not in name),
        pytest.param("Ray, 2 CPUs", marks=pytest.mark.nightly),
    ],
)
def test_law_1_digest_of_folds_does_not_depend_on_packing(packing, expected, tmp_path):
    summary = run_sweep(tmp_path, *FEW, *FOLDS, *PACKINGS[packing])
    assert summary["digest"] == expected["digest"]
    assert summary["best"] == expected["best"]
    assert summary["trials"]["finished"] == 7
    assert summary["networks"]["finished"] == 21
    if packing == "width 1":
        assert summary["work"]["stacks"] == 21
    if packing == "unlimited width":
        # 1438 rows: one validation part of 480 and two of 479, and folds of equal sizes are trained together
        assert (summary["work"]["stacks"], summary["work"]["widest_stack"]) == (2, 14)
    if "short slices" in packing:
        assert summary["work"]["slices"] == 3 * summary["work"]["stacks"] == 9


def test_law_1_networks_of_a_fold_equal_those_trained_separately(tmp_path):
    settings, config = compose(*QUICK, *FEW, "split=k_fold", "split.folds=2", f"runs={tmp_path}")
    run_pipeline(settings, config)
    together, (alone, _) = read_networks(tmp_path), train_separately(settings, config, epochs=3)
    assert sorted(together) == sorted(alone) == [f"{trial:04d}/{fold}/0" for trial in range(7) for fold in (1, 2)]
    assert together == alone
    assert len({fingerprint for _, fingerprint in alone.values()}) == 14


@pytest.mark.slow
def test_law_1_folds_may_have_different_numbers_of_inputs(tmp_path):
    extra = ("reduce=none", "prepare.min_frequency=1", "split=k_fold", "split.folds=4")
    settings, config = compose(*QUICK, *FEW, *extra, f"runs={tmp_path}")
    settings = replace(settings, data=NumbersAndTexts())
    summary = run_pipeline(settings, config)
    alone, inputs = train_separately(settings, config, epochs=3)
    assert len(inputs) > 1
    assert read_networks(tmp_path) == alone
    assert summary["networks"]["finished"] == 28


def test_law_1_each_fold_trains_on_different_rows(tmp_path):
    run_sweep(tmp_path, *FEW, *FOLDS, "training.epochs=1")
    networks = read_networks(tmp_path)
    assert len({networks[f"0000/{fold}/0"][1] for fold in (1, 2, 3)}) == 3
