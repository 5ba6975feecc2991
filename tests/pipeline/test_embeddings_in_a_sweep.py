"""Embeddings and data-driven initial weights in a sweep of a file over two folds."""

from pathlib import Path

import numpy as np
import pytest
from running import run_here, run_sweep

from nncore.inference import model_file

LEARNED = (
    "split=k_fold",
    "split.folds=2",
    "reduce=none",
    "prepare.max_one_hot=8",
    "network.category_size=4",
    "network.scaling_layer=true",
    "network.parametrization=ntk",
    "activation@network.activation=parametric",
    "initializer@network.initializer=data_driven",
    "training.epochs=12",
    "search=random",
    "search.trials=6",
    "select.ensemble=0",
)
NAMES = [f"city {number:02d}" for number in range(12)]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """The city, of which there are twelve, says the class; so does the distance of a number from 0."""
    random, path = np.random.default_rng(0), tmp_path_factory.mktemp("table") / "cities.csv"
    city, number = random.integers(12, size=600), random.normal(size=600)
    label = np.where((city % 2 == 0) ^ (np.abs(number) > 0.7), "yes", "no")
    rows = [f"{NAMES[c]},{n:.4f},{word}" for c, n, word in zip(city, number, label, strict=True)]
    path.write_text("\n".join(["city,number,label", *rows]))
    return path


@pytest.fixture(scope="module", params=["pbld", "piecewise_linear"])
def sweep(request, table, tmp_path_factory):
    learned = (*LEARNED, f"embedding@network.embedding={request.param}", "data=csv", f"data.path={table}")
    settings = (*learned, "data.target=label")
    return run_sweep(tmp_path_factory.mktemp("runs"), *settings), settings


@pytest.mark.slow
def test_law_1_bins_and_initial_weights_do_not_depend_on_packing(sweep, tmp_path):
    summary, settings = sweep
    again = run_sweep(tmp_path, *settings, "stacks.width=1", "stacks.slice_seconds=0.01")
    assert again["digest"] == summary["digest"]
    assert again["work"]["slices"] > summary["work"]["slices"]


@pytest.mark.slow
def test_the_model_has_codes_of_categories_and_predicts_unknown_and_missing_ones(sweep):
    summary, _ = sweep
    model = model_file.load(Path(summary["model"]["path"]))
    for single in getattr(model, "models", (model,)):  # a bag over the folds
        assert single.architecture.levels == (13,)
        assert single.architecture.n_numeric == 1
    rows = {"city": ["city 02", "city 03", "elsewhere", None], "number": [0.0, 0.0, 0.0, np.nan]}
    predicted = model.predict({name: np.array(values, object) for name, values in rows.items()})
    assert predicted[:2].tolist() == ["yes", "no"]
    assert set(predicted) == {"yes", "no"}
    assert summary["published"]["test"]["accuracy"] > 0.85


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["reduce=pca"], ["prepare.max_one_hot must be null if columns are reduced", "is 8", "choose reduce=none"]),
        (
            ["reduce=none", "+regularizer@space.regularizer.mixup=mixup"],
            ["mixup mixes rows, but codes of categories cannot be mixed"],
        ),
    ],
)
def test_law_7_codes_of_categories_are_not_reduced_or_mixed(overrides, words, tmp_path):
    completed = run_here(tmp_path, "data=iris", "prepare.max_one_hot=8", *overrides, check=False)
    assert completed.returncode == 2
    assert all(word in completed.stderr for word in words), completed.stderr
