"""Several folds: a trial's means and deviations, its status, the leaderboard, and what MLflow gets to see."""

import csv
import json
from io import StringIO

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient
from rich.console import Console
from running import FEW, command, composed, journal, summary, swept_here

from nncore.training import Report
from pipeline.reports.leaderboard import print_leaderboard, write_leaderboard
from pipeline.reports.progress import describe
from pipeline.reports.summary import best_summary, sweep_summary
from pipeline.sweep.results import Results
from pipeline.tracking.mlflow import LONGEST_SCHEMA, data_set
from pipeline.tracking.trial_run import TrialRun

TRIALS = composed()[0].trials()[:3]
LOSSES = np.array([[0.5, 0.4, 0.9], [0.3, 0.35, 0.31], [0.6, 0.1, 0.2]])  # (trial, fold)
INF = (2, "train/loss was inf (limit 1e+06)")


def report(loss, diverged=None, stopped=None, epoch=2, n=2):
    curves = {"train/loss": [loss / 2] * n, "validation/loss": [2 * loss] * (n - 1) + [loss]}
    return Report(curves | {"validation/accuracy": [1 - loss] * n}, diverged, stopped, 0 if diverged else epoch, "f")


def swept(change=None, losses=LOSSES):
    """Results after two epochs on three folds; some reports may be changed."""
    found = Results(TRIALS, losses.shape[1], 0, 2, "loss")
    reports = {key: report(loss) for key, loss in zip(found.by_key, losses.ravel(), strict=True)} | (change or {})
    for fold in range(losses.shape[1]):  # a stack per fold, as the planner makes them
        found.add({key: reports[key] for key in reports if key.endswith(f"/{fold + 1}")}, 0, 2)
    return found


def test_networks_go_trial_by_trial_with_the_folds_inside():
    assert list(swept().by_key)[:4] == ["0000/1", "0000/2", "0000/3", "0001/1"]
    assert list(Results(TRIALS, 1, 0, 2, "loss").by_key) == ["0000", "0001", "0002"]


def test_a_trials_scores_are_means_and_sample_deviations_over_the_folds():
    found = swept()
    for result, losses in zip(found.trials, LOSSES, strict=True):
        expected = {"train/loss": losses / 2, "validation/loss": losses, "validation/accuracy": 1 - losses}
        assert result.mean == pytest.approx({name: np.mean(values) for name, values in expected.items()}, rel=1e-14)
        assert result.std == pytest.approx({name: np.std(values, ddof=1) for name, values in expected.items()})
    best = best_summary(found.best, {"loss": 0.7})
    assert best["trial"] == "0002"  # 0.3 on average; the best single network is another trial's fold
    assert best["validation"]["loss"] == {
        "mean": pytest.approx(0.3),
        "std": pytest.approx(np.std([0.6, 0.1, 0.2], ddof=1)),
    }
    assert (best["folds"], best["model_fold"], best["test"]) == (3, 1, {"loss": 0.7})


def test_the_ranking_goes_by_the_mean():
    assert [result.trial.key for result in swept().ranking()] == ["0002", "0001", "0000"]


def test_with_one_fold_the_mean_is_the_value_to_the_last_bit_and_the_deviation_zero():
    found = Results(TRIALS[:1], 1, 0, 2, "loss")
    found.add({"0000": report(0.1 + 0.2)}, 0, 2)
    assert found.best.mean["validation/loss"] == 0.1 + 0.2
    best = best_summary(found.best, {})
    assert best["validation"]["loss"] == {"mean": 0.1 + 0.2, "std": 0.0}
    assert set(best) == {"trial", "parameters", "validation", "test"}


def test_a_trial_is_over_when_all_its_folds_are():
    found = Results(TRIALS, 2, 0, 2, "loss")
    found.add({trial.network_key(0, 2): report(0.5) for trial in TRIALS}, 0, 2)
    assert (found.n_over, found.best, found.epochs_left) == (0, None, 6)
    assert describe(found, 1.0).startswith("0 of 3 trials, 6 network-epochs/s, 1 s left")
    assert "best" not in describe(found, 1.0)
    found.add({TRIALS[1].network_key(1, 2): report(0.1)}, 0, 2)
    assert (found.n_over, found.best) == (1, found.trials[1])
    assert "1 of 3 trials" in describe(found, 1.0)
    assert "best validation loss 0.3000" in describe(found, 1.0)


def test_a_trial_of_which_one_fold_diverged_has_diverged():
    change = {"0002/2": report(0.1, diverged=INF, n=1), "0000/3": report(0.9, stopped=(1, "why"), epoch=1, n=1)}
    found = swept(change | {"0002/3": report(0.2, stopped=(1, "why"), epoch=1, n=1)})
    assert [result.status for result in found.trials] == [
        "fold 3 stopped after epoch 1: why",
        "finished",
        "fold 2 diverged in epoch 2: train/loss was inf (limit 1e+06)",
    ]
    assert [result.trial.key for result in found.ranking()] == ["0001", "0000"]
    assert found.n_over == 3
    found_summary = sweep_summary(found, 2.0, [10, 10, 11])
    assert found_summary["trials"] == {"planned": 3, "finished": 1, "stopped": 1, "diverged": 1}
    assert found_summary["networks"] == {"planned": 9, "finished": 6, "stopped": 2, "diverged": 1}
    steps = 10 * 6 + 10 * 6 + 11 * (1 + 2 + 1)  # two epochs each, but one where a network was stopped
    assert found_summary["throughput"] == {
        "trials_per_s": 1.5,
        "network_epochs_per_s": 8.0,
        "network_steps_per_s": steps / 2,
    }


def test_the_digest_is_over_every_network():
    one, other = swept(), swept({"0001/2": report(0.35, epoch=1)})
    assert one.digest() == swept().digest() != other.digest()


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_leaderboard_has_one_line_per_trial_with_means_and_deviations(tmp_path):
    found = swept({"0002/2": report(0.1, diverged=INF, n=1)})
    write_leaderboard(tmp_path / "leaderboard.csv", found.ranking(), found.trials)
    rows = read(tmp_path / "leaderboard.csv")
    assert [(row["rank"], row["trial"]) for row in rows] == [("1", "0001"), ("2", "0000"), ("", "0002")]
    assert float(rows[0]["validation/loss"]) == pytest.approx(LOSSES[1].mean())
    assert float(rows[0]["validation/loss std"]) == pytest.approx(np.std(LOSSES[1], ddof=1))
    assert float(rows[1]["validation/accuracy std"]) == pytest.approx(np.std(LOSSES[0], ddof=1))
    names = [name for name in rows[0] if "/" in name]
    assert names[:2] == ["train/loss", "train/loss std"]
    assert (rows[2]["validation/loss"], rows[2]["validation/loss std"]) == ("", "")
    assert rows[2]["status"].startswith("fold 2 diverged in epoch 2: ")
    one = Results(TRIALS, 1, 0, 2, "loss")
    one.add({key: report(0.5) for key in one.by_key}, 0, 2)
    write_leaderboard(tmp_path / "one.csv", one.ranking(), one.trials)
    assert not [name for name in read(tmp_path / "one.csv")[0] if "std" in name]


def test_the_terminal_shows_means_and_deviations():
    console = Console(file=StringIO(), width=200)
    print_leaderboard(console, swept().ranking(), 3)
    text = console.file.getvalue()
    assert "The best 3 of 3 trials, mean +- standard deviation over 3 folds" in text
    assert "0.3200 +- 0.0265" in text  # trial 1: (0.3, 0.35, 0.31)


DESCRIPTION = {"label": "it", "parameters": {"optimizer": "sgd", "regularizer": "none"}}


def tracked(*reports, n_folds=2):
    run = TrialRun("0007", DESCRIPTION, n_folds, started=5)
    for fold, (content, time_ms) in enumerate(reports):
        last = len(content["curves"].get("loss", ())) == 3
        run.add(fold, {"diverged": None, "stopped": None, "epoch": 3} | content, time_ms, last)
    return run


def test_mlflow_sees_means_for_as_long_as_all_folds_go_on():
    stopped = {"curves": {"loss": [3.0, 4.0]}, "stopped": [2, "no better"], "epoch": 1}
    run = tracked(({"curves": {"loss": [1.0, 2.0, 6.0]}}, 10), (stopped, 20))
    assert (run.over, run.status, run.started, run.ended) == (True, "FINISHED", 5, 20)
    curve = [("loss", 2.0, 20, 1), ("loss", 3.0, 20, 2)]
    assert run.metrics() == [*curve, ("loss", 4.5, 20, 0), ("loss_std", np.std([6, 3], ddof=1), 20, 0)]
    assert run.tags()["stop_reason"] == "fold 2 stopped after epoch 2: no better"
    assert run.tags()["folds"] == "2"


def test_mlflow_sees_which_fold_diverged():
    fine = {"curves": {"loss": [1.0, 2.0, 6.0]}}
    run = tracked((fine, 10), ({"curves": {"loss": [3.0]}, "diverged": [2, "NaN"], "epoch": 0}, 20))
    assert (run.over, run.status) == (True, "FAILED")
    assert run.tags()["stop_reason"] == "fold 2 diverged in epoch 2: NaN"
    assert run.metrics()[0] == ("loss", 2.0, 20, 1)
    at_once = tracked((fine, 10), ({"curves": {}, "diverged": [1, "NaN"], "epoch": 0}, 20))
    assert at_once.metrics() == []


def test_a_trial_of_which_a_fold_is_missing_is_not_over():
    run = tracked(({"curves": {"loss": [1.0, 2.0, 6.0]}}, 10))
    assert (run.over, run.metrics()) == (False, [])
    assert not tracked(({"curves": {"loss": [1.0]}}, 10), ({"curves": {"loss": [1.0]}}, 10)).over


def test_with_one_fold_mlflow_sees_the_values_themselves():
    run = tracked(({"curves": {"loss": [0.1 + 0.2, 2.0]}, "stopped": [2, "so"], "epoch": 1}, 10), n_folds=1)
    values = [("loss", 0.1 + 0.2, 10, 1), ("loss", 2.0, 10, 2), ("loss", 0.1 + 0.2, 10, 0)]
    assert run.metrics() == values
    expected = {"kind": "trial", "trial_key": "0007", "optimizer": "sgd", "regularizer": "none"}
    assert run.tags() == expected | {"stop_reason": "stopped after epoch 2: so"}


def test_the_card_of_very_many_columns_is_cut():
    columns = [{"name": f"column {n}", "kind": "numeric", "missing": 0.0} for n in range(10_000)]
    card = {"name": "it", "source": "/a/x.npz", "columns": columns, "targets": ["y"], "digest": "0" * 64, "n_rows": 5}
    made = data_set(card)
    assert 0.9 * LONGEST_SCHEMA < len(made.schema) < 1.2 * LONGEST_SCHEMA
    assert len(made.digest) == 36
    assert json.loads(made.profile) == {"n_rows": 5, "n_columns": 10_000, "n_targets": 1}
    assert (made.name, made.source_type, json.loads(made.source)) == ("it", "local", {"uri": "/a/x.npz"})


def test_a_run_with_folds_and_a_trial_that_diverges(tmp_path):
    overrides = [f"~space.optimizer.{name}" for name in ("momentum", "rmsprop", "adam")]
    overrides += ["space.optimizer.sgd.learning_rate=[0.001,1e30]", "data=diabetes", "split=k_fold", "split.folds=3"]
    found = swept_here(tmp_path, *overrides)
    assert found["trials"] == {"planned": 14, "finished": 7, "stopped": 0, "diverged": 7}
    assert found["networks"] == {"planned": 42, "finished": 21, "stopped": 0, "diverged": 21}
    (path,) = tmp_path.glob("*/*/leaderboard.csv")
    assert [row["status"][:27] for row in read(path)[7:]] == ["fold 1 diverged in epoch 1: "[:27]] * 7


@pytest.mark.slow
def test_mlflow_has_one_nested_run_per_trial_and_the_data_card(tmp_path):
    command(tmp_path, *FEW, "split=k_fold", "split.folds=3", "execution=local", "training.epochs=3", "stacks.width=4")
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/runs/mlflow.db")
    client, where = MlflowClient(), summary(tmp_path)["mlflow"]
    runs = client.search_runs([where["experiment_id"]], max_results=100)
    children = {run.data.tags["trial_key"]: run for run in runs if run.data.tags["kind"] == "trial"}
    assert len(runs) == 8
    (path,) = tmp_path.glob("runs/*/*/leaderboard.csv")
    curves = {}
    for event in journal(tmp_path):
        for key, content in event.get("networks", {}).items():
            curves.setdefault(key, []).extend(content["curves"]["validation/loss"])
    for row in read(path):
        run = children[row["trial"]]
        assert (run.info.status, run.data.tags["folds"]) == ("FINISHED", "3")
        for name in ("train/loss", "validation/loss", "validation/accuracy"):
            assert run.data.metrics[name.replace("/", "_")] == float(row[name])
            assert run.data.metrics[name.replace("/", "_") + "_std"] == float(row[f"{name} std"])
        history = sorted(client.get_metric_history(run.info.run_id, "validation/loss"), key=lambda metric: metric.step)
        of_folds = [curves[f"{row['trial']}/{fold}"] for fold in (1, 2, 3)]
        assert [metric.step for metric in history] == [1, 2, 3]
        assert [metric.value for metric in history] == pytest.approx(np.mean(of_folds, axis=0), rel=1e-14)
    parent = client.get_run(where["run_id"])
    best = summary(tmp_path)["best"]
    assert parent.data.metrics["validation_loss"] == best["validation"]["loss"]["mean"]
    assert parent.data.metrics["validation_loss_std"] == best["validation"]["loss"]["std"] > 0
    (card_path,) = tmp_path.glob("runs/*/*/data_card.json")
    card = json.loads(card_path.read_text())
    assert parent.data.tags["data_hash"] == card["digest"]
    assert "data_card.json" in {artifact.path for artifact in client.list_artifacts(where["run_id"])}
    (logged,) = parent.inputs.dataset_inputs
    assert logged.dataset.name == "digits"
    assert card["digest"].startswith(logged.dataset.digest)
    assert len(json.loads(logged.dataset.schema)["mlflow_colspec"]) == 64
    assert json.loads(logged.dataset.profile)["n_rows"] == 1797
