"""The sweeps of conf/experiment: each is composed, checked and run at a small size."""

import gzip

import numpy as np
import pytest
from running import compose, run_pipeline

from pipeline.config.compose import CONF

READY = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))
SMALL = ("training.epochs=6", "training.seeds=1", "budget.trials=2", "tracking=none", "report=none", "execution=local")


def fashion(folder):
    """A folder like Fashion-MNIST's with few images; those of a class are similar."""
    draws, folder = np.random.default_rng(0), folder / "pictures"
    folder.mkdir()
    looks = draws.integers(0, 200, (10, 28, 28))
    for part, n in (("train", 600), ("t10k", 100)):
        labels = (np.arange(n) % 10).astype(np.uint8)
        pictures = (looks[labels] + draws.integers(0, 55, (n, 28, 28))).astype(np.uint8)
        for name, array in ((f"{part}-images-idx3-ubyte", pictures), (f"{part}-labels-idx1-ubyte", labels)):
            header = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
            (folder / f"{name}.gz").write_bytes(gzip.compress(header + array.tobytes(), 1))
    return f"data.path={folder}"


def test_every_bundled_and_generated_set_has_an_experiment():
    sets = {path.stem for path in (CONF / "data").glob("*.yaml")}
    assert set(READY) == sets - {"csv", "parquet", "arrow", "excel", "npz", "openml", "_table"}


@pytest.mark.slow
@pytest.mark.parametrize("name", READY)
def test_a_ready_sweep_runs(name, tmp_path):
    changes = [fashion(tmp_path), "network.hidden=[64]"] if name == "fashion_mnist" else []
    summary = run_pipeline(*compose(f"experiment={name}", *SMALL, f"runs={tmp_path / 'runs'}", *changes))
    assert summary["status"] == "finished"
    assert summary["trials"]["planned"] == 2
    assert summary["networks"]["diverged"] == 0
    assert np.isfinite(summary["published"]["test"]["loss"])
    assert (tmp_path / "runs" / name / summary["run_id"] / "model" / "model.json").is_file()
