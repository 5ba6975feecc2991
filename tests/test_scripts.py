"""The scripts for measurements: each can be imported, and the ones that can be made small run."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn import metrics

from pipeline.config.compose import configuration

ROOT = Path(__file__).parents[1]
SCRIPTS = ROOT / "scripts"
NOT_INSTALLED = {
    "torch",
    "jax",
    "optax",
    "pytabkit",
    "rtdl_num_embeddings",
    "tabm",
}  # libraries that the reference values are made with


@pytest.fixture
def paths(monkeypatch):
    for folder in (SCRIPTS, ROOT / "tests" / "nncore", ROOT / "tests" / "support"):
        monkeypatch.syspath_prepend(folder)


@pytest.mark.parametrize("name", sorted(path.stem for path in SCRIPTS.glob("*.py")))
def test_a_script_can_be_imported(name, paths):
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name not in NOT_INSTALLED:
            raise
        pytest.skip(f"{error.name} is not installed")
    assert module.__doc__


@pytest.mark.slow
def test_every_variant_of_the_training_benchmark_trains(paths):
    benchmark = importlib.import_module("benchmark_training")
    for variant in benchmark.VARIANTS.values():
        train_epoch = benchmark.trainer("A", 2, variant)
        assert benchmark.seconds_of(train_epoch) > 0
    assert benchmark.seconds_of(benchmark.products("A", 2)) > 0


@pytest.mark.slow
def test_the_cluster_is_simulated():
    command = [sys.executable, SCRIPTS / "simulate_cluster.py", "most_trials=1000"]
    completed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert completed.returncode == 0, completed.stderr
    assert "decisions" in completed.stdout


@pytest.mark.slow
def test_a_table_for_the_loading_benchmark_is_measured(tmp_path, paths, capsys):
    benchmark = importlib.import_module("benchmark_loading")
    benchmark.N_ROWS = 1000
    benchmark.write_table(tmp_path / "t.parquet", "float32", 500)
    benchmark.measure("data=parquet", f"data.path={tmp_path}/t.parquet", "data.target=y")
    assert '"rows": 1000' in capsys.readouterr().out


@pytest.fixture
def tables(paths):
    return importlib.import_module("benchmark_tables")


def test_answers_on_tables_are_scored_as_scikit_learn_does(tables):
    random = np.random.default_rng(0)
    classes = np.array(["a", "b", "c"])
    y, p = random.choice(classes, 50), random.dirichlet(np.ones(3), 50)
    p[0] = [1, 0, 0]
    y[0] = "b"  # a probability of zero
    mixed = pd.DataFrame(p, columns=[f"probability_{name}" for name in classes])[
        ["probability_c", "probability_a", "probability_b"]
    ]
    expected = {"log loss": metrics.log_loss(y, p), "accuracy": metrics.accuracy_score(y, classes[p.argmax(1)])}
    assert tables.scores(y, mixed, classes=True) == pytest.approx(expected)
    target, answers = random.normal(size=(2, 50))
    expected = {"R2": metrics.r2_score(target, answers), "RMSE": metrics.root_mean_squared_error(target, answers)}
    assert tables.scores(target, pd.DataFrame({"prediction": answers}), classes=False) == pytest.approx(expected)


def test_ranks_over_tables_are_those_of_scipy(tables):
    losses = pd.DataFrame(np.random.default_rng(0).normal(size=(6, 4)).round(1), columns=list("abcd"))
    found = tables.ranks(losses, greater_is_better=False)
    by_table = stats.rankdata(losses.to_numpy(), axis=1)
    assert found["rank"].to_dict() == pytest.approx(dict(zip("abcd", by_table.mean(0), strict=True)))
    assert found["rank"].is_monotonic_increasing
    of_means = stats.bootstrap((by_table,), np.mean, method="percentile", rng=0).confidence_interval
    assert found.loc[list("abcd"), "low"].to_numpy() == pytest.approx(of_means.low, abs=0.1)
    assert found.loc[list("abcd"), "high"].to_numpy() == pytest.approx(of_means.high, abs=0.1)
    won = tables.against(np.exp(losses), "log loss", "a").loc["b"]
    assert won["won"] == (losses["b"] < losses["a"]).sum()
    assert won["difference"] == pytest.approx(100 * (losses["b"] - losses["a"]).mean())


def test_a_method_that_has_not_answered_all_splits_is_not_ranked(tables, tmp_path):
    for method, splits in {"HGB": (0, 1), "CatBoost": (0,)}.items():
        for split in splits:
            path = tables.path_of(tmp_path, "fgl", split, method)
            path.parent.mkdir(exist_ok=True)
            scores = {"log loss": 0.5 + split, "accuracy": 0.7}
            about = {"table": "fgl", "split": split, "method": method, "scores": scores, "wall_s": 1, "cpu_s": 1}
            path.write_text(json.dumps(about))
    rows = tables.read(tmp_path, ["fgl", "ames"], (0, 1), others=False)
    assert tables.means(rows, "log loss", 2).to_dict() == {"HGB": {"fgl": 1.0}}
    assert tables.means(rows[rows["split"] == 0], "log loss", 1).to_dict() == {
        "CatBoost": {"fgl": 0.5},
        "HGB": {"fgl": 0.5},
    }


def test_ours_is_known_by_its_name_or_settings(tables, tmp_path):
    methods = tables.methods_of(["HGB", "ours=default", "preset=best", "bags: split.folds=5 seed=1"], "abc")
    of_ours = {"ours@abc": [], "ours@abc preset=best": ["preset=best"], "ours@abc bags": ["split.folds=5", "seed=1"]}
    assert methods == {"HGB": None, **of_ours}
    assert list(tables.methods_of(["rivals"], "abc")) == list(tables.RIVALS)
    path = tmp_path / "0 bags.json"
    assert not tables.is_there(path, ["split.folds=5"])
    path.write_text(json.dumps({"settings": ["split.folds=5"]}))
    assert tables.is_there(path, ["split.folds=5"])
    with pytest.raises(SystemExit, match="other settings"):
        tables.is_there(path, ["split.folds=3"])


def test_ours_is_judged_by_at_most_two_commits(tables, tmp_path):
    for version in ("aaa", "bbb", "aaa"):  # a repeated command resumes
        tables.note_judgement(tmp_path, version, {"ours": ["preset=best"]}, force=False)
    with pytest.raises(SystemExit, match="aaa and bbb"):
        tables.note_judgement(tmp_path, "ccc", {"ours": ["preset=best"]}, force=False)
    with pytest.raises(SystemExit, match="commit them"):
        tables.note_judgement(tmp_path, "bbb+", {"ours": ["preset=best"]}, force=False)
    tables.note_judgement(tmp_path, "ccc", {"ours": ["preset=best"]}, force=True)
    notes = [json.loads(line) for line in (tmp_path / "judged.jsonl").read_text().splitlines()]
    assert [note["commit"] for note in notes] == ["aaa", "bbb", "aaa", "ccc"]


def test_no_table_both_chooses_and_judges(tables):
    choose, judge = ({table["source"] for table in tables.tables(name).values()} for name in ("choose", "judge"))
    assert len(choose) == len(tables.tables("choose"))
    assert not choose & judge


@pytest.mark.slow
def test_the_published_model_answers_for_ours(tables, tmp_path):
    x = np.random.default_rng(0).normal(size=(160, 3))
    frame = pd.DataFrame(x, columns=list("abc")).assign(y=np.where(x[:, 0] + x[:, 1] > 0, "yes", "no"))
    frame[:120].to_csv(tmp_path / "train.csv", index=False)
    frame[120:].to_csv(tmp_path / "test.csv", index=False)
    few = ["execution=local", "budget.trials=4", "training.epochs=3", "baselines=none", "select.publish=ensemble"]
    result = tables.our_answer(few, {"target": "y", "classes": True}, tmp_path)
    answers = pd.read_csv(tmp_path / "predictions.csv")
    found = tables.scores(frame["y"][120:].to_numpy(), answers, classes=True)
    assert found == pytest.approx(result["others"]["ensemble"], abs=1e-5)
    assert result["wall_s"] > 0


@pytest.fixture
def ablation(paths):
    return importlib.import_module("ablation")


@pytest.mark.slow
def test_each_variant_of_the_ablation_takes_out_its_piece(ablation):
    whole = configuration("preset=quick").plain
    variants = ablation.variants(whole)
    taken_out = {
        "embeddings": "embeddings.",
        "activations, for ReLU": "activations.mish",
        "neural tangent parametrization": "ntk",
        "data-driven initial weights": "data_driven",
        "schedules, for a constant rate": "coslog4",
        "best epoch (keep_best)": "keep_best",
        "TabM recipes": "members",
    }
    assert taken_out.keys() <= variants.keys()

    def tried(config):
        recipes = [*config["space"]["recipes"].values()][: config["search"]["recipes"]]
        return str((recipes, config["training"]))

    for piece, variant in variants.items():
        if variant.needs != "values":  # of regressions: digits have classes
            config = configuration("preset=quick", *variant.overrides).plain
            assert (config == whole) == (piece == ablation.WHOLE)
            if name := taken_out.get(piece):
                assert [name in tried(settings) for settings in (whole, config)] == [True, False]


def test_the_worth_of_a_piece_is_the_mean_over_tables_of_what_is_lost_without_it(ablation):
    rows = [  # table, split, piece, seconds, log loss, R2, RMSE
        ("a", 0, "nothing", 10, 0.5, np.nan, np.nan),
        ("a", 1, "nothing", 10, 0.4, np.nan, np.nan),
        ("b", 0, "nothing", 20, np.nan, 0.8, 2.0),
        ("a", 0, "folds", 5, 0.5 * np.exp(0.02), np.nan, np.nan),
        ("a", 1, "folds", 5, 0.4 * np.exp(0.04), np.nan, np.nan),
        ("b", 0, "folds", 5, np.nan, 0.81, 2.0 * np.exp(-0.01)),
        ("c", 0, "folds", 5, 0.5, np.nan, np.nan),  # there is nothing to compare it with
    ]
    worth = ablation.worth(pd.DataFrame(rows, columns=["table", "split", "piece", "seconds", *ablation.METRICS]))
    assert worth["loss"].to_list() == pytest.approx([2, 4, -1])
    assert worth["r2"].to_list() == pytest.approx([np.nan, np.nan, -1], nan_ok=True)
    row = ablation.summarized(worth).loc["folds"]
    assert row["tables"] == "2"
    assert row["better with it"] == "1"
    assert row["loss, %"].startswith("1.0 ")  # (3 - 1) / 2
    assert row["log loss, %"] == "3.0"
    assert row["R2, hundredths"] == "-1.0"
    assert float(row["time without"]) == pytest.approx((0.5 + 0.25) / 2, abs=0.01)


def test_recipes_that_differ_in_one_piece_are_compared(ablation):
    plain = {"hidden": [64], "scaling": "standard", "optimizer": "adamw", "rate": 0.003}
    candidates = {
        "clip": plain | {"scaling": "robust_clip"},
        "plain": plain,
        "clip with pieces": plain | {"scaling": "robust_clip", "embedding": "pieces"},
        "pieces": plain | {"embedding": "pieces"},
        "like RealMLP": plain | {"optimizer": "realmlp", "rate": 0.04},
        "fast": plain | {"rate": 0.04},
    }
    found = ablation.pairs(candidates)
    assert {piece: sorted(found[piece]) for piece in found.keys() - ablation.NEARLY.keys()} == {
        "scaling robust_clip, for standard": [("pieces", "clip with pieces"), ("plain", "clip")],
        "embedding pieces, for none": [("clip", "clip with pieces"), ("plain", "pieces")],
        "optimizer realmlp, for adamw": [("fast", "like RealMLP"), ("plain", "like RealMLP")],
        "rate 0.04, for 0.003": [("plain", "fast")],
    }
