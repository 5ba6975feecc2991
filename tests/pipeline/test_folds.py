"""Several folds and seeds: a trial's means, deviations and intervals, the leaderboard, and MLflow."""

import csv
import json
from dataclasses import replace
from io import StringIO

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient
from rich.console import Console
from running import FEW, compose, read_journal, read_summary, run_command, run_sweep
from scipy import stats
from sweeps import add_slice, open_records, report

from nncore.stack.training import Report
from pipeline.console.leaderboard import print_leaderboard, write_leaderboard
from pipeline.console.progress import SweepProgress, describe
from pipeline.driver.summary import best_summary
from pipeline.engine.ranking import ranked
from pipeline.engine.records import RungProgress
from pipeline.runs.records import NetworkRecord, Replicate, TrialRecord
from pipeline.stages.answers import Answers
from pipeline.stages.assess import assess
from pipeline.tracking.mlflow_model import LONGEST_SCHEMA, data_set
from pipeline.tracking.trial_content import mlflow_status, trial_metrics, trial_tags

LOSSES = np.array([[0.5, 0.4, 0.9], [0.3, 0.35, 0.31], [0.6, 0.1, 0.2]])  # (trial, fold)
INF = (2, "train/loss was inf (limit 1e+06)")
SELECT = compose()[0].select


def trained_records(losses=LOSSES, **change):
    """Records after two epochs on three folds; the reports of some networks can be replaced."""
    records = open_records(len(losses), losses.shape[1])
    reports = {
        key: report(2 * loss, loss, selected_epoch=2)
        for key, loss in zip(records.networks, losses.ravel(), strict=True)
    }
    add_slice(
        records, reports | {key.replace("_", "/"): replacement for key, replacement in change.items()}, 0, 2, last=True
    )
    records.mark_finished(records.trials)
    return records


def answers_of(records, rows_per_fold=40):
    """Answers of networks whose losses by row differ, and have the means that the records hold."""
    random, trials = np.random.default_rng(0), records.ranking()
    folds = sorted({replicate.fold for replicate in records.replicates})
    seeds = sorted({replicate.seed for replicate in records.replicates})
    noise = random.normal(0, 0.5, (len(trials), len(seeds), len(folds), rows_per_fold))
    noise -= noise.mean(axis=3, keepdims=True)
    means = np.array([
        [[trial.networks[f * len(seeds) + s].final_metrics["validation/loss"] for f in range(len(folds))]
         for s in range(len(seeds))] for trial in trials
    ])  # fmt: skip
    loss = (means[..., None] + noise).reshape(len(trials), len(seeds), -1)
    n = loss.shape[2]
    y, t = random.random((*loss.shape, 1)), random.integers(2, size=(n, 1))
    keys = tuple(trial.key for trial in trials)
    return Answers(keys, y, loss, t, None, np.arange(n), np.repeat(folds, rows_per_fold))


def rank_records(records, **change):
    assessment = assess(answers_of(records, **change), "classification", None, True, {})
    return ranked(records, SELECT, assessment, lambda trial: 10)


def test_networks_go_trial_by_trial_and_fold_by_fold_with_the_seeds_inside():
    keys = list(open_records(2, 2, 2).networks)
    assert keys == [f"{trial}/{fold}/{seed}" for trial in ("0000", "0001") for fold in (1, 2) for seed in (0, 1)]


def test_a_trials_scores_are_means_and_sample_deviations():
    records = trained_records()
    for result, losses in zip(records.trials.values(), LOSSES, strict=True):
        assert result.mean["validation/loss"] == pytest.approx(np.mean(losses), rel=1e-14)
        assert result.std["validation/loss"] == pytest.approx(np.std(losses, ddof=1))
    best = best_summary(rank_records(records), [{"loss": 0.7}, {"loss": 0.5}, {"loss": 0.9}])
    assert best["trial"] == "0002"  # 0.3 on average; the best single network is another trial's fold
    assert best["validation"]["loss"]["mean"] == pytest.approx(0.3)
    assert best["validation"]["loss"]["std"] == pytest.approx(np.std([0.6, 0.1, 0.2], ddof=1))
    assert (best["networks"], best["test"]) == (3, {"loss": 0.7})
    assert best["test_networks"] == {"loss": {"mean": pytest.approx(0.7), "std": pytest.approx(0.2)}}


def test_the_interval_holds_the_score_and_is_that_of_its_setting():
    records = trained_records()
    best = best_summary(rank_records(records), [{"loss": 0.7}])
    loss = best["validation"]["loss"]
    assert loss["low"] < loss["mean"] < loss["high"]
    assert loss["interval"] == pytest.approx((loss["high"] - loss["low"]) / 2)
    assert loss["interval"] > 1.96 * 0.5 / np.sqrt(3 * 40)  # wider than the 120 rows alone explain: the folds differ
    assert best["estimand"] == "setting"
    assert best["corrected"]["raw"] == pytest.approx(0.3)


def test_the_ranking_goes_by_the_mean():
    assert [trial.key for trial in trained_records().ranking()] == ["0002", "0001", "0000"]


def test_of_one_network_the_interval_is_that_of_the_network_and_few_rows_have_none():
    records = trained_records(np.array([[0.1 + 0.2]]))
    assert records.best.mean["validation/loss"] == 0.1 + 0.2
    ranking = rank_records(records, rows_per_fold=100)
    best = best_summary(ranking, [{}])
    expected = stats.t(99).ppf(0.975) * answers_of(records, 100).loss.std(ddof=1) / 10
    assert best["validation"]["loss"]["interval"] == pytest.approx(expected, rel=0.05)
    assert (best["estimand"], best["corrected"], ranking.front) == ("networks", None, None)
    few = rank_records(records, rows_per_fold=20)
    best = best_summary(few, [{}])
    assert best["validation"]["loss"] == {"mean": 0.1 + 0.2, "std": 0.0, "interval": None, "low": None, "high": None}
    assert (few.tied, best["tied"], best["tied_sentence"]) == (None, None, None)


def test_a_trial_is_finished_when_all_its_networks_are():
    records = open_records(3, 2)
    records.rungs.append(RungProgress("4", 6, 18, 12))
    firsts = {key: report(0.5, 0.5, selected_epoch=2) for key in records.networks if key.endswith("/1/0")}
    add_slice(records, firsts, 0, 2, last=True)
    assert (records.mark_finished(records.trials), records.n_finished, records.best) == ([], 0, None)
    assert describe(SweepProgress(records, 1.0, 2, 2)).startswith("0 of 3 trials, 6 network-epochs/s, 2 s left")
    assert "best" not in describe(SweepProgress(records, 1.0, 2, 2))
    add_slice(records, {"0001/2/0": report(0.1, 0.1, selected_epoch=2)}, 0, 2, last=True)
    assert records.mark_finished(records.trials) == ["0001"]
    assert (records.n_finished, records.best) == (1, records.trials["0001"])
    assert "best validation loss 0.3000" in describe(SweepProgress(records, 1.0, 2, 2))


def test_a_trial_of_which_one_network_diverged_has_diverged():
    early = report(0.2, selected_epoch=1, stopped=(1, "why"))
    records = trained_records(**{"0002_2_0": report(0.1, diverged=INF), "0000_3_0": early, "0002_3_0": early})
    assert [result.status for result in records.trials.values()] == [
        "stopped after epoch 1 of fold 3, seed 0: why",
        "finished",
        "diverged in epoch 2 of fold 2, seed 0: train/loss was inf (limit 1e+06)",
    ]
    assert [trial.key for trial in records.ranking()] == ["0001", "0000"]
    assert records.n_finished == 3


def read_csv(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_leaderboard_has_one_line_per_trial_with_means_deviations_and_intervals(tmp_path):
    records = trained_records(**{"0002_2_0": report(0.1, diverged=INF)})
    write_leaderboard(tmp_path / "leaderboard.csv", rank_records(records), list(records.trials.values()))
    rows = read_csv(tmp_path / "leaderboard.csv")
    assert [(row["rank"], row["trial"]) for row in rows] == [("1", "0001"), ("2", "0000"), ("", "0002")]
    assert float(rows[0]["validation/loss"]) == pytest.approx(LOSSES[1].mean())
    assert float(rows[0]["validation/loss std"]) == pytest.approx(np.std(LOSSES[1], ddof=1))
    assert float(rows[0]["validation/loss 95% low"]) < LOSSES[1].mean() < float(rows[0]["validation/loss 95% high"])
    assert [row["tied"] for row in rows] == ["True", "False", ""]
    assert (rows[2]["validation/loss"], rows[2]["validation/loss std"]) == ("", "")
    assert rows[2]["status"].startswith("diverged in epoch 2 of fold 2, seed 0: ")
    single_fold = trained_records(LOSSES[:, :1])
    ranking = rank_records(single_fold, rows_per_fold=30)
    write_leaderboard(tmp_path / "one.csv", ranking, list(single_fold.trials.values()))
    assert not [name for name in read_csv(tmp_path / "one.csv")[0] if "std" in name or "95" in name or name == "tied"]


def test_the_terminal_shows_means_intervals_and_ties():
    console = Console(file=StringIO(), width=200)
    print_leaderboard(console, rank_records(trained_records()), 3, {})
    text = console.file.getvalue()
    assert "The best 3 of 3 trials on the validation rows, means over 3 networks with 95 % intervals" in text
    low, high = rank_records(trained_records()).estimates[1]["validation/loss"][1:]
    assert f"0.3200 ({low:.2f} to {high:.2f})" in text  # trial 1: (0.3, 0.35, 0.31)
    assert "= 3 of 3 settings cannot be told apart from the best (5 % level, paired on 120 rows, corrected" in text
    console = Console(file=StringIO(), width=200)
    print_leaderboard(console, rank_records(trained_records(LOSSES[:, :1]), rows_per_fold=100), 3, {})
    assert "networks cannot be told apart from the best" in console.file.getvalue()
    assert "train several networks of each, with training.seeds=3 or split.folds=5" in console.file.getvalue()


def cut_records(n_whole):
    """The ranking of three trials on three folds of which only the best are whole, and what the terminal shows."""
    records = trained_records()
    complete, trials = answers_of(records, 100), records.ranking()
    for trial in trials[n_whole:]:
        trial.networks = trial.networks[:1]
    n_assessed = n_whole or 3
    kept = complete.folds < (3 if n_whole else 1)
    fields = {"y": complete.y[:n_assessed, :, kept], "loss": complete.loss[:n_assessed, :, kept]}
    fields |= {name: getattr(complete, name)[kept] for name in ("t", "rows", "folds")}
    answers = replace(complete, trials=tuple(trial.key for trial in trials[:n_assessed]), **fields)
    ranking = ranked(records, SELECT, assess(answers, "classification", None, True, {}), lambda trial: 10)
    console = Console(file=StringIO(), width=200)
    print_leaderboard(console, ranking, 3, {}, ["log_loss"])
    return ranking, console.file.getvalue()


def test_trials_of_fewer_folds_are_last_with_a_note():
    ranking, shown = cut_records(n_whole=1)
    (rank, *_, loss) = next(line.split() for line in shown.splitlines() if line.split()[:1] == ["3"])
    assert (rank, loss) == ("3", f"{ranking.trials[2].mean['validation/loss']:.4f}")
    assert "ranks 2 to 3 were trained on fewer folds (less than 3 networks): scored on fewer rows, so last" in shown


def test_networks_of_a_search_that_ended_on_the_first_fold_are_not_advised_to_have_folds():
    _, shown = cut_records(n_whole=0)
    assert "none of which was trained on all folds before the search ended: with a larger budget" in shown
    assert "split.folds" not in shown
    assert "fewer folds" not in shown


PARAMETERS = {"optimizer": "sgd", "regularizer": "none"}


def make_trial_record(*reports):
    """The record of a trial with one network per fold, each from the content and time of one slice."""
    networks = []
    for fold, (content, time) in enumerate(reports):
        network = NetworkRecord(f"0007/{fold + 1}/0", Replicate(fold, 0), f"hash {fold}")
        if content:
            report = Report(**{"selected_epoch": 3} | content)
            network.add(report, 0, len(report.curves.get("loss", ())), None, True, time)
        networks.append(network)
    return TrialRecord("0007", ("sgd", "none", ""), PARAMETERS, tuple(networks), started=5)


@pytest.mark.parametrize(
    ("width", "is_merged", "has_interval"),
    [(70, True, False), (100, True, True), (130, False, False), (170, False, True)],
)
def test_the_leaderboard_fits_into_a_terminal_and_no_score_is_cut_off(width, is_merged, has_interval):
    """With long labels the intervals are left out, or what describes a trial becomes one column."""
    records, console = trained_records(), Console(file=StringIO(), width=width)
    labels = ("adam 0.07743 beta2=0.95 (factors)", "dropout 0.1098 flat_cosine", "recipe wide, hidden [256, 256, 256]")
    for trial in records.trials.values():
        trial.labels = labels
    baselines = {"linear": {"label": "logistic regression", "validation": {"loss": 0.7654321}}}
    print_leaderboard(console, rank_records(records), 3, baselines)
    shown = console.file.getvalue()
    table = [line for line in shown.splitlines()[1:] if not line.startswith("=")]
    assert max(map(len, table)) <= width
    assert "\N{HORIZONTAL ELLIPSIS}" not in shown
    assert all(f"{mean:.4f}" in shown for mean in [*LOSSES.mean(axis=1), 0.7654321])
    assert ("regularizer" in shown, " to 0." in shown) == (not is_merged, has_interval)
    assert ("95 %" in shown) == has_interval


def test_mlflow_has_means_until_the_first_network_stops():
    stopped = {"curves": {"loss": [3.0, 4.0]}, "stopped": (2, "no better"), "selected_epoch": 1}
    run = make_trial_record(({"curves": {"loss": [1.0, 2.0, 6.0]}}, 10), (stopped, 20))
    assert (mlflow_status(run), run.started, run.ended) == ("FINISHED", 5, 20)
    curve = [("loss", 2.0, 20, 1), ("loss", 3.0, 20, 2)]
    per_network = [("network/loss", 6.0, 20, 0), ("network/loss", 3.0, 20, 1)]
    assert trial_metrics(run, 100) == [
        *curve,
        ("loss", 4.5, 20, 0),
        ("loss_std", round(np.std([6, 3], ddof=1), 4), 20, 0),
        *per_network,
    ]
    assert trial_tags(run)["stop_reason"] == "stopped after epoch 2 of fold 2, seed 0: no better"
    assert trial_tags(run)["networks"] == "2"


def test_mlflow_names_the_network_that_diverged():
    fine = {"curves": {"loss": [1.0, 2.0, 6.0]}}
    run = make_trial_record((fine, 10), ({"curves": {"loss": [3.0]}, "diverged": (2, "NaN"), "selected_epoch": 0}, 20))
    assert mlflow_status(run) == "FAILED"
    assert trial_tags(run)["stop_reason"] == "diverged in epoch 2 of fold 2, seed 0: NaN"
    assert trial_metrics(run, 100)[0] == ("loss", 2.0, 20, 1)
    at_once = make_trial_record((fine, 10), ({"curves": {}, "diverged": (1, "NaN"), "selected_epoch": 0}, 20))
    assert trial_metrics(at_once, 100) == []


def test_a_trial_with_an_untrained_network_has_no_means():
    run = make_trial_record(({"curves": {"loss": [1.0, 2.0, 6.0]}}, 10), (None, 0))
    assert trial_metrics(run, 100) == []


def test_mlflow_has_the_values_of_a_single_network():
    run = make_trial_record(({"curves": {"loss": [0.1 + 0.2, 2.0]}, "stopped": (2, "so"), "selected_epoch": 1}, 10))
    values = [("loss", 0.1 + 0.2, 10, 1), ("loss", 2.0, 10, 2), ("loss", 0.3, 10, 0)]  # the last one is rounded
    assert trial_metrics(run, 100)[:3] == values
    expected = {"kind": "trial", "trial_key": "0007", "optimizer": "sgd", "regularizer": "none"}
    assert trial_tags(run) == expected | {"stop_reason": "stopped after epoch 2: so", "status": "stopped", "rung": "0"}


def test_the_data_card_of_very_many_columns_is_truncated():
    columns = [{"name": f"column {n}", "kind": "numeric", "missing": 0.0} for n in range(10_000)]
    card = {"name": "it", "source": "/a/x.npz", "columns": columns, "targets": ["y"], "digest": "0" * 64, "n_rows": 5}
    dataset = data_set(card)
    assert 0.9 * LONGEST_SCHEMA < len(dataset.schema) < 1.2 * LONGEST_SCHEMA
    assert len(dataset.digest) == 36
    assert json.loads(dataset.profile) == {"n_rows": 5, "n_columns": 10_000, "n_targets": 1}
    assert (dataset.name, dataset.source_type, json.loads(dataset.source)) == ("it", "local", {"uri": "/a/x.npz"})


def test_a_run_with_folds_and_a_trial_that_diverges(tmp_path):
    overrides = ["~space.network", *(f"~space.optimizer.{name}" for name in ("momentum", "rmsprop", "adam"))]
    overrides += ["space.optimizer.sgd.learning_rate=[0.001,1e30]", "data=diabetes", "split=k_fold", "split.folds=3"]
    summary = run_sweep(tmp_path, *overrides)
    assert summary["trials"] == {"planned": 14, "finished": 7, "stopped": 0, "diverged": 7, "failed": 0}
    assert summary["networks"] == {"planned": 42, "finished": 21, "stopped": 0, "diverged": 21, "failed": 0}
    (path,) = tmp_path.glob("*/*/leaderboard.csv")
    expected = "diverged in epoch 1 of fold 1, seed 0: "
    assert [row["status"][: len(expected)] for row in read_csv(path)[7:]] == [expected] * 7


@pytest.mark.nightly  # test_tracked_runs has a run with two folds
def test_mlflow_has_one_nested_run_per_trial_and_the_data_card(tmp_path):
    folds = ("split=k_fold", "split.folds=3", "stacks.width=4")
    run_command(tmp_path, *FEW, *folds, "execution=local", "training.epochs=3", "report=none")
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/runs/mlflow.db")
    client, where = MlflowClient(), read_summary(tmp_path)["mlflow"]
    runs = client.search_runs([where["experiment_id"]], max_results=100)
    children = {run.data.tags["trial_key"]: run for run in runs if run.data.tags["kind"] == "trial"}
    assert len(runs) == 8
    (path,) = tmp_path.glob("runs/*/*/leaderboard.csv")
    curves = {}
    for event in read_journal(tmp_path):
        for key, content in event["networks"].items() if event["event"] == "slice" else ():
            curves.setdefault(key, []).extend(content["curves"]["validation/loss"])
    for row in read_csv(path):
        run = children[row["trial"]]
        assert (run.info.status, run.data.tags["networks"]) == ("FINISHED", "3")
        for name in ("train/loss", "validation/loss", "validation/accuracy"):
            plain = name.replace("/", "_")
            assert run.data.metrics[plain] == float(f"{float(row[name]):.5g}")
            assert run.data.metrics[f"{plain}_std"] == float(f"{float(row[f'{name} std']):.5g}")
        history = sorted(client.get_metric_history(run.info.run_id, "validation/loss"), key=lambda metric: metric.step)
        of_folds = [curves[f"{row['trial']}/{fold}/0"] for fold in (1, 2, 3)]
        assert [metric.step for metric in history] == [1, 2, 3]
        assert [metric.value for metric in history] == pytest.approx(np.mean(of_folds, axis=0), rel=1e-14)
    parent = client.get_run(where["run_id"])
    best = read_summary(tmp_path)["best"]
    assert parent.data.metrics["validation_loss"] == pytest.approx(best["validation"]["loss"]["mean"], rel=1e-4)
    deviation = pytest.approx(best["validation"]["loss"]["std"], rel=1e-4)
    assert parent.data.metrics["validation_loss_std"] == deviation
    assert best["validation"]["loss"]["std"] > 0
    (card_path,) = tmp_path.glob("runs/*/*/data_card.json")
    card = json.loads(card_path.read_text())
    assert parent.data.tags["data_hash"] == card["digest"]
    assert "data_card.json" in {artifact.path for artifact in client.list_artifacts(where["run_id"])}
    (logged,) = parent.inputs.dataset_inputs
    assert logged.dataset.name == "digits"
    assert card["digest"].startswith(logged.dataset.digest)
    assert len(json.loads(logged.dataset.schema)["mlflow_colspec"]) == 64
    assert json.loads(logged.dataset.profile)["n_rows"] == 1797
