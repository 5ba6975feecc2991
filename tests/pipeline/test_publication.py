"""Which model is published: champion, bag or ensemble, or networks that are trained anew on all rows."""

import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from running import FEW, compose, run_sweep
from samples import RELU, SIGMOID, SQUARED, make_architecture
from scipy.special import expit
from sklearn.metrics import log_loss

from nncore.inference import model_file
from nncore.inference.ensemble import Ensemble
from nncore.inference.model import ClassDecoder, ValueDecoder
from nncore.inference.scaling import Affine
from pipeline.components.errors import SettingError
from pipeline.components.scores import ranking_metric
from pipeline.components.types import PreparedView
from pipeline.engine.publication import publication
from pipeline.engine.selection import SelectionSettings
from pipeline.runs.journal import JOURNAL
from pipeline.runs.replay import replayed
from pipeline.stages.answers import Answers
from pipeline.stages.ensemble import BAGGED_BELOW, Candidate, OutOfFold, fitting_parts
from pipeline.stages.publication import compare_with_ensemble

SELECT = SelectionSettings("loss", (), False, 40, "auto", False, "never", "fixed", None)
LABELS = ClassDecoder(np.array(["no", "yes"]))
VIEW = PreparedView(None, (), LABELS, None)  # of which the decoder alone is looked at
NETWORK = make_architecture((3, 2, 1), RELU, SIGMOID)


def choose(setting="auto", simplest=False, metric="loss", n_networks=(1, 5, 8), **scores):
    kinds = dict(zip(("champion", "bag", "ensemble"), n_networks, strict=False))
    by_kind = {kind: {metric: value} for kind, value in scores.items()}
    chosen = publication(setting, simplest, kinds, by_kind, ranking_metric(metric))
    return chosen.kind, chosen.reason


def test_the_best_score_is_published_and_of_equal_ones_the_bag():
    kind, reason = choose(champion=0.3, bag=0.3, ensemble=0.25)
    assert kind == "ensemble"
    assert reason == (
        "Published is the ensemble of 8 networks: on validation rows that nothing was fitted to, its loss is 0.2500, "
        "compared with 0.3000 for the bag of 5 networks and 0.3000 for the champion."
    )
    kind, reason = choose(champion=0.3, bag=0.3, ensemble=0.31)
    assert kind == "bag"
    assert "on average no worse than one" in reason
    assert choose(champion=0.2, bag=0.3, ensemble=0.31)[0] == "champion"
    assert choose(metric="roc_auc", champion=0.8, bag=0.7, ensemble=0.6)[0] == "champion"
    assert choose(metric="roc_auc", champion=np.nan, bag=np.nan, ensemble=0.6)[0] == "ensemble"
    assert choose(n_networks=(1,), champion=0.2)[1] == "Published is the champion."


def test_settings_decide_what_is_published():
    scores = {"champion": 0.2, "bag": 0.3, "ensemble": 0.1}
    for kind in scores:
        assert choose(kind, **scores)[0] == kind
    assert choose("bag", n_networks=(1,), champion=0.2) == (
        "champion",
        "Published is the champion, which is all that select.publish=bag has here.",
    )
    assert choose(simplest=True, **scores) == (
        "champion",
        "Published is the champion alone, as select.simplest=true asks for a small model.",
    )


def drawn_answers(seed, n_rows, n_trials, n_folds=1, skill=0.0, noise=1.0, weights=None):
    """Probabilities of two classes by trials that are equally good, each wrong in its own way."""
    random = np.random.default_rng(seed)
    signal = 1.5 * random.normal(size=n_rows)
    t = (random.random(n_rows) < expit(signal)).astype(np.float32)[:, None]
    z = skill * signal + noise * random.normal(size=(n_trials, 1, n_rows))
    y = expit(z)[..., None]
    loss = -np.log(np.where(t > 0, y, 1 - y))[..., 0].astype(np.float32)
    rows = np.arange(n_rows)
    keys = tuple(f"{number:04d}" for number in range(n_trials))
    return Answers(keys, y, loss, t, weights, rows, rows * n_folds // n_rows)


def compare(answers, select=SELECT, **rest):
    trials = list(range(len(answers.trials)))
    arguments = {"selected": None, "champion": int(answers.loss.mean(axis=(1, 2)).argmin()), "n_candidates": 60} | rest
    return compare_with_ensemble(answers, VIEW, NETWORK, "classification", select=select, trials=trials, **arguments)


@pytest.mark.parametrize("n_folds", [1, 5])
def test_law_3_no_row_has_a_part_in_the_choice_of_what_predicts_it(n_folds):
    """Of trials that know nothing, the chosen ones look better than chance on the rows by which they are chosen."""
    results = [compare(drawn_answers(seed, 150, 30, n_folds)) for seed in range(20)]
    scores = {kind: np.mean([result.scores[kind]["loss"] for result in results]) for kind in results[0].scores}
    raw_champion = np.mean([drawn_answers(seed, 150, 30).loss.mean(axis=(1, 2)).min() for seed in range(20)])
    of_noise = np.mean([drawn_answers(seed, 150, 30).loss.mean() for seed in range(20)])  # of any trial
    assert raw_champion < of_noise - 0.08
    assert scores["champion"] == pytest.approx(of_noise, abs=0.02)
    in_sample = np.mean([result.loss for result in results])
    assert in_sample < np.log(2) - 0.01 < np.log(2) < scores["ensemble"]


def test_the_scores_are_those_of_what_the_other_parts_choose():
    """By hand: for each fold, the best trial and the ensemble of the other folds."""
    answers = drawn_answers(0, 300, 8, n_folds=3, skill=1.0)
    result = compare(answers)
    out_of_fold = OutOfFold(answers, SIGMOID.build(), LABELS)
    candidates = [Candidate(trial, 0) for trial in range(8)]
    p, champion = np.empty((300, 1)), []
    for fold in range(3):
        others = answers.folds != fold
        (counts,) = out_of_fold.select(candidates, 40, [others])
        p[~others] = out_of_fold.mean(counts)[~others]
        best = answers.loss[:, 0, others].mean(axis=1).argmin()
        champion.append(answers.loss[best, 0, ~others].mean())
    assert result.scores["ensemble"]["loss"] == pytest.approx(log_loss(answers.t[:, 0], p[:, 0]), rel=1e-6)
    assert result.scores["champion"]["loss"] == result.scores["bag"]["loss"] == pytest.approx(np.mean(champion))
    assert sum(result.ensemble.values()) > 1


def test_law_3_the_rows_of_a_part_do_not_change_the_ensemble_of_the_others():
    answers = drawn_answers(1, 200, 12, skill=1.0)
    others = fitting_parts(answers) != 2
    flipped = replace(answers, t=np.where(others[:, None], answers.t, 1 - answers.t))
    candidates = [Candidate(trial, 0) for trial in range(12)]
    first, second = (OutOfFold(a, SIGMOID.build(), LABELS).select(candidates, 40, [others]) for a in (answers, flipped))
    assert first == second
    everywhere = [np.ones(200, bool)]
    assert OutOfFold(flipped, SIGMOID.build(), LABELS).select(candidates, 40, everywhere) != first


def test_rows_of_repeated_folds_are_in_one_part():
    answers = drawn_answers(0, 60, 2)
    twice = replace(answers, rows=np.tile(np.arange(30), 2), folds=np.repeat([0, 1], 30))
    parts = fitting_parts(twice)
    np.testing.assert_array_equal(parts[:30], parts[30:])
    assert len(np.unique(parts)) == 5
    assert fitting_parts(drawn_answers(0, 60, 2, n_folds=3)).tolist() == np.repeat([0, 1, 2], 20).tolist()


def test_an_ensemble_by_few_rows_is_better_on_new_rows_when_halves_of_the_candidates_are_averaged(monkeypatch):
    """60 trials of different qualities, 100 rows to choose by and 4,000 new ones."""
    losses = {True: [], False: []}
    for seed in range(12):
        answers = drawn_answers(seed, 4100, 60, skill=1.0, noise=1.5)
        few, candidates = np.arange(4100) < 100, [Candidate(trial, 0) for trial in range(60)]
        for bagged in losses:
            monkeypatch.setattr("pipeline.stages.ensemble.BAGGED_BELOW", BAGGED_BELOW if bagged else 0)
            out_of_fold = OutOfFold(answers, SIGMOID.build(), LABELS)
            (counts,) = out_of_fold.select(candidates, 40, [few])
            p = out_of_fold.mean(counts)[~few, 0]
            losses[bagged].append(log_loss(answers.t[~few, 0], p))
    assert np.mean(losses[True]) < np.mean(losses[False]) - 0.005


@pytest.mark.nightly
@pytest.mark.parametrize("n_folds", [1, 5])
def test_law_9_the_score_of_the_published_model_is_not_too_good(n_folds):
    """Shown minus true score of what is published, over many draws; the true one is on 20,000 new rows."""
    differences, raw = [], []
    for seed in range(150):
        answers = drawn_answers(seed, 20200, 40, skill=1.0, noise=1.5)
        known = np.arange(20200) < 200
        rows = np.flatnonzero(known)
        seen = replace(
            answers, y=answers.y[:, :, known], loss=answers.loss[:, :, known], t=answers.t[known], rows=rows,
            folds=rows * n_folds // 200,
        )  # fmt: skip
        result = compare(seen)
        kind = min(result.scores, key=lambda name: result.scores[name]["loss"])
        best = int(seen.loss.mean(axis=(1, 2)).argmin())
        counts = result.ensemble if kind == "ensemble" else {Candidate(best, 0): 1}
        p = OutOfFold(answers, SIGMOID.build(), LABELS).mean(counts)[~known, 0]
        true = log_loss(answers.t[~known, 0], p)
        differences.append(result.scores[kind]["loss"] - true)
        raw.append(seen.loss.mean(axis=(1, 2)).min() - answers.loss[best, 0, ~known].mean())
    error = np.std(differences) / np.sqrt(len(differences))
    assert np.mean(raw) < -0.03  # what the champion's own score promises too much
    assert np.mean(differences) > -2 * error - 0.005


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    folder, random = tmp_path_factory.mktemp("publication"), np.random.default_rng(0)
    x = random.normal(size=(240, 5)) * [1, 10, 1, 1, 1] + [0, 3, 0, 0, 0]
    y = np.where(x[:, 0] + 0.1 * x[:, 1] ** 2 / 10 + 1.2 * random.normal(size=240) > 0.8, "yes", "no")
    pd.DataFrame(x, columns=list("abcde")).assign(y=y).to_csv(folder / "t.csv", index=False)
    return (
        *FEW[:3], "space.optimizer.adam.learning_rate=[0.1]",
        "data=csv", f"data.path={folder}/t.csv", "data.target=y", "reduce=none", "training.epochs=12",
        "split=k_fold", "split.folds=3", "network.hidden=[32]", "baselines=none",
        "+regularizer@training.regularizers.keep_best=keep_best",
    )  # fmt: skip


@pytest.fixture(scope="module")
def refitted(table, tmp_path_factory):
    folder = tmp_path_factory.mktemp("refitted")
    return folder, run_sweep(folder, *table, "select.publish=bag", "select.refit=true", "training.seeds=2")


def test_refitted_networks_are_prepared_and_trained_by_all_development_rows_for_the_mean_epoch(table, refitted):
    folder, summary = refitted
    settings, _ = compose(*table)
    development, test = settings.split(settings.data())
    model = model_file.load(summary["model"]["path"])
    assert isinstance(model, Ensemble)
    assert len(model.models) == 6
    assert len({one.parameters.tobytes() for one in model.models}) == 6  # each with its own seed
    x = development.rows.x.numbers
    for one in model.models:
        np.testing.assert_allclose(one.preprocessing.scaling.centre, x.mean(axis=0), rtol=1e-9)
    history = replayed(folder / "t" / summary["run_id"])
    (trial,) = summary["published"]["refit"]["epochs"]
    assert trial == summary["best"]["trial"]
    selected = [network.selected_epoch for network in history.trials[trial].networks]
    assert len(selected) == 6
    assert min(selected) < 12
    expected = round(np.mean(selected))
    assert summary["published"]["refit"]["epochs"] == {trial: expected}
    assert summary["published"]["networks"] == {f"{trial}/4/{seed}": 1 for seed in range(6)}
    for key in summary["published"]["networks"]:
        network = history.networks[key]
        assert (network.epochs_trained, network.selected_epoch) == (expected, expected)
    predictions = model.predict_columns(test.x.numbers)
    assert summary["published"]["test"]["accuracy"] == np.mean(predictions["prediction"] == test.y)
    refit = summary["published"]["refit"]
    assert refit["test_before"] == summary["bag"]["test"] != summary["published"]["test"]
    alone = [np.mean(one.predict_columns(test.x.numbers)["prediction"] == test.y) for one in model.models]
    assert [refit["test_by_network"][f"{trial}/4/{seed}"]["accuracy"] for seed in range(6)] == alone
    assert refit["test_networks"]["accuracy"] == {
        "mean": pytest.approx(np.mean(alone)),
        "std": pytest.approx(np.std(alone, ddof=1)),
    }
    assert summary["published"]["reason"].endswith(
        f"Its networks were trained anew on all development rows, to epoch {expected}."
    )


def test_law_1_a_refit_has_the_same_bits_however_it_is_packed_and_law_5_after_an_interruption(
    table, refitted, tmp_path, capsys
):
    _, summary = refitted
    settings = (*table, "select.publish=bag", "select.refit=true", "training.seeds=2")
    narrow = run_sweep(tmp_path / "narrow", *settings, "stacks.width=1", "stacks.slice_seconds=0.001", "output=plain")
    (n_epochs,) = summary["published"]["refit"]["epochs"].values()
    shown = re.search(r"refit: (\d+) of (\d+) network-epochs, \d+ s left", capsys.readouterr().out)
    assert 0 < int(shown[1]) < int(shown[2]) == 6 * n_epochs
    run_sweep(tmp_path / "cut", *settings, "stacks.slice_seconds=0.001")
    (run,) = (tmp_path / "cut" / "t").iterdir()
    lines = (run / JOURNAL).read_text().splitlines(keepends=True)
    refit = next(number for number, line in enumerate(lines) if json.loads(line)["event"] == "refit")
    (run / JOURNAL).write_text("".join(lines[: refit + 2]))  # with the first slice
    resumed = run_sweep(tmp_path / "cut", *settings, "stacks.slice_seconds=0.001", "resume=required")
    events = [json.loads(line) for line in (run / JOURNAL).read_text().splitlines()][refit + 2 :]
    trained = {key for event in events if event["event"] == "slice" for key in event["networks"]}
    assert trained <= {*summary["published"]["networks"]}  # nothing of the sweep is trained again
    weights = [
        [one.parameters.tobytes() for one in model_file.load(each["model"]["path"]).models]
        for each in (summary, narrow, resumed)
    ]
    assert weights[0] == weights[1] == weights[2]
    assert summary["digest"] == narrow["digest"] == resumed["digest"]
    assert narrow["published"]["test"] == resumed["published"]["test"] == summary["published"]["test"]


def test_a_finished_run_gets_a_refit_that_trains_nothing_else(table, tmp_path):
    before = run_sweep(tmp_path, *table, "select.publish=champion")
    after = run_sweep(tmp_path, *table, "select.publish=champion", "select.refit=true", "run=last")
    assert after["digest"] == before["digest"]
    assert after["run_id"] == before["run_id"]
    assert after["work"]["slices"] == 0
    assert list(after["published"]["networks"]) == [f"{before['best']['trial']}/4/0"]
    assert after["best"]["test"] == before["best"]["test"]
    assert not isinstance(model_file.load(after["model"]["path"]), Ensemble)


def test_with_folds_the_ensemble_has_the_networks_of_all_folds(table, tmp_path):
    summary = run_sweep(tmp_path, *table, "select.publish=ensemble")
    networks = summary["ensemble"]["networks"]
    by_trial = {}
    for key, count in networks.items():
        trial, fold, seed = key.split("/")
        by_trial.setdefault((trial, seed, count), set()).add(fold)
    assert all(folds == {"1", "2", "3"} for folds in by_trial.values())
    assert set(summary["published"]["scores"]) == {"champion", "bag", "ensemble"}
    assert summary["published"]["test"] == summary["ensemble"]["test"]
    assert summary["calibration"] == summary["ensemble"]["calibration"]
    assert len(model_file.load(summary["model"]["path"]).models) == len(networks)


def test_values_are_averaged_in_their_own_unit():
    """Of two good and two bad trials, the mean of the good ones; its loss is in the scale of the decoder."""
    random = np.random.default_rng(3)
    t = 100 + 20 * random.normal(size=(1200, 1))
    y = t + np.array([5.0, 5, 30, 30]).reshape(4, 1, 1, 1) * random.normal(size=(4, 1, 1200, 1))
    rows = np.arange(1200)
    answers = Answers(("a", "b", "c", "d"), y, np.zeros((4, 1, 1200), np.float32), t, None, rows, rows % 2)
    decoder = ValueDecoder(("u",), Affine(np.array([100.0]), np.array([20.0])))
    out_of_fold = OutOfFold(answers, SQUARED.build(), decoder)
    (counts,) = out_of_fold.select([Candidate(trial, 0) for trial in range(4)], 40, [np.ones(1200, bool)])
    assert counts == {Candidate(0, 0): 1, Candidate(1, 0): 1}
    mean = y[:2, 0].mean(axis=0)
    np.testing.assert_allclose(out_of_fold.mean(counts), mean, rtol=1e-12)
    assert out_of_fold.mean_loss(counts) == pytest.approx(((mean - t) ** 2).mean() / 20**2 / 2)


@pytest.mark.slow
def test_a_run_with_a_clock_gets_its_refit_afterwards(table, tmp_path):
    """As the error for both at once says: the same command again, with run=last."""
    settings = (*table, "select.publish=bag", "budget.seconds=300")
    with pytest.raises(SettingError, match=r"run=last select\.refit=true"):
        run_sweep(tmp_path, *settings, "select.refit=true")
    before = run_sweep(tmp_path, *settings)
    after = run_sweep(tmp_path, *settings, "run=last", "select.refit=true")
    assert (before["run_id"], before["digest"]) == (after["run_id"], after["digest"])
    assert after["published"]["refit"]["test_before"] == before["published"]["test"]
    assert len(after["published"]["networks"]) == len(before["published"]["networks"])
