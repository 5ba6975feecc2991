"""Presets: settings for any table that need no other."""

import csv

import numpy as np
import pytest
from running import compose, run_sweep

from pipeline.search.recipes import Recipes

SMALL = ("preset=quick", "training.epochs=3", "search.trials=2", "search.first_rows=20", "tracking=none", "report=none")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Two classes that depend on a category and on a number; another number has gaps."""
    path, random = tmp_path_factory.mktemp("table") / "loans.csv", np.random.default_rng(0)
    rows = []
    for _ in range(120):
        city, income, age = random.choice(["Graz", "Linz", "Wien"]), random.normal(), random.integers(18, 80)
        odds = 2 * income + (city == "Wien")
        rows.append([city, f"{income:.3f}", "" if random.random() < 0.1 else age, "yes" if odds > 0.5 else "no"])
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([["city", "income", "age", "paid"], *rows])
    return path


@pytest.mark.slow
def test_law_1_the_quick_preset_comes_to_the_same_result_however_networks_are_packed(table, tmp_path):
    settings = (f"{table}", "target=paid", *SMALL)
    summary = run_sweep(tmp_path / "wide", *settings)
    narrow = run_sweep(tmp_path / "narrow", *settings, "stacks.width=3", "stacks.slice_seconds=0.001")
    assert summary["digest"] == narrow["digest"]
    assert summary["published"]["test"] == narrow["published"]["test"]
    recipes = compose("preset=quick", "data=iris")[0].space
    assert isinstance(recipes, Recipes)
    assert summary["trials"]["planned"] >= len(recipes.recipes)
    assert summary["published"]["kind"] in ("bag", "ensemble")


@pytest.mark.slow
def test_the_quick_preset_takes_regressions_and_what_is_set_beside_it(tmp_path):
    summary = run_sweep(
        tmp_path,
        "data=diabetes",
        *SMALL,
        "split.folds=2",
        "search.first_rows=999",
        "budget.trials=3",
        "select.publish=champion",
    )
    assert (summary["trials"]["planned"], summary["published"]["kind"]) == (3, "champion")
    assert summary["best"]["networks"] == 2


@pytest.mark.parametrize(("preset", "seconds"), [("good", 120), ("best", 600)])
def test_other_presets_are_the_quick_one_with_a_clock(preset, seconds):
    settings, quick = (compose(f"preset={name}", "data=iris")[0] for name in (preset, "quick"))
    assert (settings.budget.seconds, settings.budget.teraflops) == (seconds, None)
    assert settings.training.epochs > quick.training.epochs
    assert settings.space.recipes.keys() == quick.space.recipes.keys()


@pytest.mark.slow
def test_the_clock_counts_from_the_command_and_leaves_time_for_the_model(table, tmp_path):
    summary = run_sweep(
        tmp_path, f"{table}", "target=paid", "preset=good", "budget.seconds=10", "tracking=none", "report=none"
    )
    assert (summary["ended_by"], summary["status"]) == ("budget.seconds=10", "finished")
    assert summary["timings"]["sweep_s"] < 10
    assert summary["published"]["kind"]


def test_every_recipe_has_a_block_that_composes_with_every_task():
    for data in ("iris", "breast_cancer", "diabetes"):
        settings, _ = compose("preset=quick", f"data={data}")  # checks every trial that the space covers
        assert settings.space.blocks.keys() == settings.space.recipes.keys()
