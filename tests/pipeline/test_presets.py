"""Presets: settings for any table that need no other."""

import csv
import json
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from running import compose, run_here, run_sweep

from pipeline.components.errors import SettingError
from pipeline.config.compose import configuration, configurations
from pipeline.driver.context import say_preset
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
    settings = compose("preset=quick", "data=iris")[0]
    assert isinstance(settings.space, Recipes)
    assert summary["trials"]["planned"] == settings.search.recipes + 9 + 2  # the block, and the random trials
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


def test_what_a_preset_sets_for_its_search_does_not_reach_another_search_named_beside_it():
    settings = compose("preset=quick", "data=iris", "search=random")[0]
    assert settings.search == compose("preset=none", "data=iris", "search=random")[0].search
    assert settings.split.folds == 5  # the rest of the preset stays
    assert compose("preset=quick", "data=iris", "search=random", "search.trials=7")[0].search.trials == 7
    assert compose("preset=quick", "data=iris", "space=ranges", "search=grid")[0].split.folds == 5  # as the cure says
    for override, words in (("search.keep=3", "no setting search.keep"), ("~search.keep", "no setting search.keep to")):
        with pytest.raises(SettingError, match=words):
            compose("preset=quick", "data=iris", "search=random", override)


@pytest.mark.parametrize(("preset", "seconds"), [("good", 120), ("best", 600)])
def test_other_presets_are_the_quick_one_with_a_clock(preset, seconds):
    settings, quick = (compose(f"preset={name}", "data=iris")[0] for name in (preset, "quick"))
    assert (settings.budget.seconds, settings.budget.teraflops) == (seconds, None)
    assert settings.training.epochs > quick.training.epochs
    assert settings.space.recipes.keys() == quick.space.recipes.keys()


@pytest.mark.slow
def test_the_clock_counts_from_the_command_and_leaves_time_for_the_model(table, tmp_path):
    summary = run_sweep(
        tmp_path,
        f"{table}",
        *("target=paid", "preset=good", "search.trials=100000", "budget.seconds=10", "tracking=none", "report=none"),
    )
    assert (summary["ended_by"], summary["status"]) == ("budget.seconds=10", "finished")
    assert summary["timings"]["sweep_s"] < 10
    assert summary["published"]["kind"]


def test_every_recipe_has_a_block_that_composes_with_every_task():
    for data in ("iris", "breast_cancer", "diabetes"):
        settings, _ = compose("preset=quick", f"data={data}")  # checks every trial that the space covers
        assert settings.space.blocks.keys() == settings.space.recipes.keys()


TABLE = ("data=csv", "data.path=x.csv", "data.target=y")


@pytest.mark.parametrize(
    ("overrides", "preset"),
    [
        (TABLE, "quick"),
        ((*TABLE, "search.trials=4", "split.folds=3", "+data.kinds.size=[S,M]"), "quick"),
        (("data=openml", "data.id=3"), "quick"),
        ((*TABLE, "preset=best"), "best"),
        ((*TABLE, "preset=auto"), "quick"),
        ((*TABLE, "preset=none"), None),
        ((*TABLE, "preset=null"), None),
        ((*TABLE, "search=random", "space=ranges"), None),
        ((*TABLE, "space=optimizers_by_regularization"), None),
        ((*TABLE, "~space.optimizer.sgd"), None),
        ((*TABLE, "+optimizer@space.optimizer.lion=lion"), None),
        ((*TABLE, "experiment=iris", "data=csv"), None),
        (("data=iris",), None),
        ((), None),
    ],
)
def test_a_table_has_the_quick_preset_unless_the_command_plans_the_sweep(overrides, preset, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.csv").write_text("a,size,y\n1,S,2.5\n2,M,3.5\n3,S,4\n")
    settings, plain = compose(*overrides)
    assert (settings.preset, plain["preset"]) == (preset, preset)
    assert isinstance(settings.space, Recipes) == (preset is not None)


@pytest.mark.parametrize(
    ("override", "reason", "cure"),
    [
        ("search=random", "search=random is given", "preset=quick"),
        ("space=learning_rates", "space=learning_rates is given", "preset=quick search=grid"),
        ("space.optimizer.adam.learning_rate=0.01", None, None),
        ("~space.optimizer.adam", None, None),
        ("preset=none", "", ""),
        ("preset=auto", "", ""),
        ("search.trials=3", "", ""),
    ],
)
def test_a_table_without_its_default_preset_says_which_setting_leaves_it_out_and_what_keeps_it(
    override, reason, cure, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.csv").write_text("a,y\n1,2.5\n2,3.5\n3,4\n")
    composed, lines = configuration(*TABLE, override), []
    say_preset(composed, SimpleNamespace(say=lines.append))
    assert len(lines) == 1 or override == "preset=none"
    note = composed.note_on_preset
    if reason == "":
        assert note == ""
    elif reason:
        assert note.startswith(f"none, as {reason}; ")
        assert note.endswith(f" stay with {cure}")
        assert compose(*TABLE, override, *cure.split())[0].preset == "quick"
    else:
        assert note.startswith(f"none, as {override} is a setting of a space without recipes; ")
        kept = note.partition("such as ")[2]
        settings, _ = compose(*TABLE, kept)
        assert (settings.preset, type(settings.space)) == ("quick", Recipes)


@pytest.mark.slow
def test_a_file_of_the_user_and_a_multirun_have_the_preset_of_their_data(tmp_path):
    (tmp_path / "x.csv").write_text("a,y\n1,2.5\n2,3.5\n3,4\n")
    table = f"data: {{path: {tmp_path}/x.csv, target: y}}"
    (tmp_path / "mine.yaml").write_text(f"defaults: [config, override /data: csv, _self_]\n{table}\n")
    (tmp_path / "own.yaml").write_text(
        f"defaults: [config, override /data: csv, override /space: learning_rates, _self_]\n{table}\n"
    )

    def presets(*arguments):
        return [config.settings.preset for config in configurations([f"--config-dir={tmp_path}", *arguments])]

    assert presets("--config-name=mine") == ["quick"]
    assert presets("--config-name=mine", "preset=null") == [None]
    assert presets("--config-name=own") == [None]
    (own,) = configurations([f"--config-dir={tmp_path}", "--config-name=own"])
    assert own.note_on_preset.startswith("none, as space=learning_rates is given; ")
    table_or_iris = ("-m", "data=csv,iris", f"++data.path={tmp_path}/x.csv", "++data.target=y")
    with pytest.raises(SettingError, match="data"):  # bundled data has no path
        presets(*table_or_iris)
    assert presets("-m", f"{tmp_path}/x.csv", "target=y", "preset=none,good") == [None, "good"]
    assert presets("-m", f"{tmp_path}/x.csv", "target=y", "seed=0,1") == ["quick", "quick"]


def test_settings_of_the_command_line_hold_for_all_recipes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.csv").write_text("a,y\n1,2.5\n2,3.5\n3,4\n")
    given = ("network.hidden=[7]", "prepare.scaling=robust", "activation@network.activation=gelu", "reduce=pca")
    settings, _ = compose(*TABLE, *given, "training.epochs=11")
    assert settings.training.epochs == 11
    trials = settings.space.covering_trials()
    changed = {path for trial in trials for path, _ in trial.overrides}
    assert not any(path.startswith(("network.hidden", "prepare.scaling", "network.activation")) for path in changed)
    assert not any(path.startswith("reduce") for path in changed)
    assert "network.embedding" in changed
    run = run_here(tmp_path, *TABLE, *given, "--cfg", "job")
    shown = yaml.safe_load(run.stdout)
    assert shown["preset"] == "quick"
    assert "hidden" not in shown["space"]["recipes"]["small_quantile"].get("network", {})


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("reduce.n_components=2", "there is no setting reduce.n_components"),
        ("select.tradeoffs=[parameters]", "search=portfolio ranks trials by one metric"),
    ],
)
def test_what_only_the_default_preset_refuses_is_refused_with_the_way_without_it(override, words, tmp_path):
    (tmp_path / "x.csv").write_text("a,y\n1,2.5\n2,3.5\n3,4\n")
    table = (f"data.path={tmp_path}/x.csv", "data.target=y", override)
    with pytest.raises(SettingError, match=f"{words}.*; or give preset=none") as error:
        compose(*table)
    assert "\n" not in str(error.value)
    compose(*table, "preset=none")


@pytest.mark.parametrize(
    ("override", "cure"),
    [
        ("network.members=1", "network.adapters=none"),
        ("network.members=8", "network.adapters=mini"),
        ("network.adapters=mini", "network.members=32"),
        ("network.adapters=none", "network.members=1"),
    ],
)
def test_members_and_adapters_that_do_not_fit_a_recipe_are_refused_with_a_cure_for_all_recipes(override, cure):
    with pytest.raises(SettingError, match=f"give .*{cure}"):
        compose("data=iris", "preset=best", override)
    compose("data=iris", "preset=best", override, cure)


def test_a_misspelt_setting_is_not_taken_for_one_of_a_recipe_unless_it_names_recipes():
    with pytest.raises(SettingError, match=r"no setting optimizer\.adam\.learning_rate") as error:
        compose("data=iris", "preset=quick", "optimizer.adam.learning_rate=0.1")
    assert "space.blocks" not in str(error.value)
    with pytest.raises(SettingError, match=r"did you mean space\.recipes\.small_pieces\.network\.hidden"):
        compose("data=iris", "preset=quick", "space.recipes.small_piecs.network.hidden=[8]")


@pytest.mark.slow
def test_the_choice_is_printed_and_is_in_the_files_of_a_run_that_can_be_extended(table, tmp_path):
    few = ("training.epochs=1", "search.trials=0", "budget.trials=2", "tracking=none", "report=none", "baselines=none")
    command = (str(table), "target=paid", "execution=local", *few)
    run = run_here(tmp_path, *command)
    assert "\npreset     quick, " in run.stdout
    (folder,) = tmp_path.glob("runs/loans/*/")
    config, summary = (folder / "config.yaml").read_text(), (folder / "summary.json").read_text()
    assert yaml.safe_load(config)["preset"] == json.loads(summary)["preset"] == "quick"
    longer = run_here(tmp_path, *command, "training.epochs=2", "run=last")
    assert f"{folder.name} is resumed" in longer.stdout
    run_here(tmp_path, "report", "run=last")
    assert (folder / "report.html").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("target", "metric"), [("[y,z]", "r2"), ("y", "root_mean_squared_error"), ("kind", "loss")])
def test_recipes_with_transformed_targets_are_tried_where_there_are_values_and_left_out_where_there_are_classes(
    target, metric, tmp_path
):
    """Of several targets the loss would be in another unit for each recipe, so that R2 ranks them."""
    random = np.random.default_rng(0)
    x = random.normal(size=(80, 2))
    rows = [[a, b, np.exp(a + b / 9), a * b, "high" if a > b else "low"] for a, b in x]
    with (tmp_path / "x.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["a", "b", "y", "z", "kind"], *rows])
    settings = ("preset=good", "budget.seconds=null", "training.epochs=2", "search.trials=0", "split.folds=2")
    recipes = "space.recipes.wide.network.hidden=[[8]]"
    summary = run_sweep(
        tmp_path, f"{tmp_path}/x.csv", f"target={target}", *settings, recipes, "tracking=none", "report=none"
    )
    assert summary["metric"]["name"] == metric
    (path,) = tmp_path.glob("*/*/leaderboard.csv")
    with path.open(newline="") as file:
        tried = {row["recipe"] for row in csv.DictReader(file)}
    assert ("members_yeo_johnson" in tried) == (target != "kind")
    assert len(tried) == 15 + (target != "kind")


@pytest.mark.slow
def test_a_budget_that_ends_before_the_block_says_so_in_terminal_summary_and_report(table, tmp_path):
    command = (str(table), "target=paid", "preset=quick", "training.epochs=2", "execution=local", "tracking=none")
    run = run_here(tmp_path, *command, "budget.trials=8", "baselines=none")
    sentence = "were not compared around the best recipe, as budget.trials=8 ended the sweep before"
    assert f"{sentence}; a larger budget leaves room for that, such as budget.trials=16" in run.stdout
    (folder,) = tmp_path.glob("runs/loans/*/")
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["effects"] is None
    assert sentence in summary["effects_missing"]
    assert sentence in (folder / "report.html").read_text()
    longer = run_here(tmp_path, *command, "budget.trials=17", "baselines=none", "run=last")
    assert "were not compared around" not in longer.stdout
    assert "best optimizer around the recipe" in longer.stdout
