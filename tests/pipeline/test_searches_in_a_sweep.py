"""Every search in a real sweep: what it trains, and that each network is trained with its own settings."""

import csv
import json
import re
import time
from dataclasses import replace

import numpy as np
import pytest
from running import FEW, QUICK, compose, requested_trials, run_pipeline, run_sweep, slow_after_first
from samples import METRICS

from nncore.inference import model_file
from nncore.stack.regroup import collect
from nncore.stack.state import start
from nncore.stack.training import train
from pipeline.cli.dispatch import dispatch
from pipeline.components.errors import SettingError
from pipeline.components.types import view_shape
from pipeline.config.schema import Configuration
from pipeline.config.variants import Variants
from pipeline.driver.networks import NetworkBuilder
from pipeline.runs.journal import events

ADAM = ("space=learning_rates", *(f"~space.optimizer.{name}" for name in ("sgd", "momentum", "rmsprop")))
IRIS = ("data=iris", "reduce=none", "network.hidden=[8]", "training.batch_size=16", "name=it")
RANGES = ("space=ranges", *IRIS)
SMALL = "{adam: {_target_: nncore.optimizers.adam.adam, learning_rate: %s}}"
PLAIN = "{none: {_target_: nncore.regularizers.penalties.none}}"
PORTFOLIO = (  # two recipes of two widths, and optimizers to compare around the wider one
    "space=portfolio",
    "split=k_fold",
    "split.folds=3",
    "data=iris",
    "reduce=none",
    "training.batch_size=16",
    "name=it",
    *("~space.recipes", "~space.blocks"),
    f"+space.recipes={{narrow: {{optimizer: {SMALL % '{low: 0.0001, high: 0.001}'}, regularizer: {PLAIN}, "
    f"network: {{hidden: [[2]]}}}}, wide: {{optimizer: {SMALL % '{low: 0.01, high: 0.1}'}, regularizer: {PLAIN}, "
    "network: {hidden: [[8]]}}}",
    f"+space.blocks={{wide: {{optimizer: {SMALL % '[0.02, 0.04]'}, regularizer: {PLAIN}}}}}",
    "search.keep=1",
    "search.first_rows=20",  # of 32 in each fold
)
SEARCHES = {
    "random": ("search=random", "search.trials=5", *RANGES),
    "sobol": ("search=sobol", "search.trials=4", *RANGES),
    "halving": ("search=halving", *ADAM, *IRIS, "training.epochs=9"),
    "hyperband": ("search=hyperband", *ADAM, *IRIS, "training.epochs=9"),
    "population": ("search=population", "search.size=6", "search.every=2", "training.epochs=6", *RANGES),
    "tpe": ("search=tpe", "search.trials=14", "search.batch_size=4", *RANGES),
    "cma_es": ("search=cma_es", "search.trials=8", "search.batch_size=4", *RANGES),
    "portfolio": ("search=portfolio", "search.trials=4", "search.batch_size=2", *PORTFOLIO),
}


def read_events(runs):
    (path,) = runs.glob("*/*/journal.jsonl")
    return events(path)


def read_networks(runs):
    """Read the curves and the last fingerprint of every network, by key, from the journal of the only run."""
    networks = {}
    for event in read_events(runs):
        for key, network_report in event["networks"].items() if event["event"] == "slice" else ():
            before = networks.get(key, ({}, ""))[0]
            curves = {
                name: before.get(name, [])[: event["start"]] + values
                for name, values in network_report["curves"].items()
            }
            networks[key] = curves, network_report["fingerprint"]
    return networks


def read_leaderboard(runs):
    (path,) = runs.glob("*/*/leaderboard.csv")
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("search", slow_after_first(SEARCHES))
def test_law_1_decisions_of_a_search_do_not_depend_on_packing(search, tmp_path):
    summaries = [
        run_sweep(tmp_path / name, *SEARCHES[search], *packing)
        for name, packing in {
            "wide": ("stacks.width=unlimited",),
            "narrow": ("stacks.width=2", "stacks.slice_seconds=0.001"),
        }.items()
    ]
    assert summaries[0]["digest"] == summaries[1]["digest"]
    assert summaries[0]["best"] == summaries[1]["best"]
    assert summaries[0]["trials"]["planned"] == len(read_leaderboard(tmp_path / "wide")) > 3
    assert (
        sum(summaries[0]["trials"][name] for name in ("finished", "stopped", "diverged"))
        == summaries[0]["trials"]["planned"]
    )


def test_halving_prunes_the_worse_trials_and_records_the_cause(tmp_path):
    """9 learning rates: all for an epoch, 3 for three, 1 for nine."""
    summary = run_sweep(tmp_path, *SEARCHES["halving"])
    rungs = [event for event in read_events(tmp_path) if event["event"] == "rung"]
    assert [sorted(set(rung["until"].values())) for rung in rungs] == [[1], [3], [9]]
    assert [len(rung["until"]) for rung in rungs] == [9, 3, 1]
    curves = {
        key[:4]: network_curves["validation/loss"] for key, (network_curves, _) in read_networks(tmp_path).items()
    }
    best = sorted(curves, key=lambda key: curves[key][0])[:3]
    assert set(rungs[1]["until"]) == set(best)
    assert list(rungs[2]["until"]) == [min(best, key=lambda key: curves[key][2])]
    assert summary["trials"] == {"planned": 9, "finished": 1, "stopped": 8, "diverged": 0, "failed": 0}
    status = {row["trial"]: row["status"] for row in read_leaderboard(tmp_path)}
    for key, curve in curves.items():
        pruned = f"pruned after epoch {len(curve)}: the search left it out"
        assert status[key] == ("finished" if len(curve) == 9 else pruned)


@pytest.mark.slow
def test_a_portfolio_trains_the_best_on_all_folds_and_ranks_these_first(tmp_path):
    """The narrow recipe learns too slowly; two rates are compared around the wide one, then come random trials."""
    summary = run_sweep(tmp_path, *SEARCHES["portfolio"], "training.seeds=2")
    rungs = [event for event in read_events(tmp_path) if event["event"] == "rung"]
    n_networks = [[sum(key.startswith(trial) for key in rung["networks"]) for trial in rung["until"]] for rung in rungs]
    assert n_networks[:3] == [[2, 2], [2], [2, 2, 2]]  # the recipes, the better one, and that with its block
    assert set(n_networks[3]) == {6}
    assert list(rungs[1]["until"]) == ["0001"]
    assert [sorted(set(rung["until"].values())) for rung in rungs[:4]] == [[1], [3], [3], [3]]
    rows = read_leaderboard(tmp_path)
    losses = {trial: [] for trial in (row["trial"] for row in rows)}
    for key, (curves, _) in read_networks(tmp_path).items():
        losses[key[:4]].append(curves["validation/loss"][-1])
    order = sorted(losses, key=lambda trial: (-len(losses[trial]), np.mean(losses[trial])))
    assert [row["trial"] for row in rows] == order
    few = [row for row in rows if len(losses[row["trial"]]) == 2]
    cause = "the search left it out, without 4 of its 6 networks"
    assert {row["status"].partition(": ")[2] for row in few} == {cause}
    assert "0000" in {row["trial"] for row in few}
    compared = [row for row in rows if row["tied"]]
    assert {len(losses[row["trial"]]) for row in compared} == {6}
    best, n_tied = summary["best"], sum(row["tied"] == "True" for row in compared)
    assert (best["tied"], best["compared"]) == (n_tied, len(compared))
    assert best["tied_sentence"].startswith(f"{n_tied} of {len(compared)} settings ")
    assert f"; {len(rows) - len(compared)} other trials were not compared: " in best["tied_sentence"]
    assert summary["best"]["networks"] == 6
    assert summary["trials"]["stopped"] == len(few)


@pytest.mark.parametrize("others", [(), ("budget.seconds=3600", "budget.teraflops=1")])
def test_a_budget_that_is_too_small_for_any_trial_is_named(others, tmp_path):
    words = "^budget.network_epochs=2 is used up before any trial was trained; increase it"
    with pytest.raises(SettingError, match=words):
        run_sweep(tmp_path, *IRIS, "budget.network_epochs=2", *others)


def test_a_clock_that_ends_before_any_trial_is_named_with_a_value_that_suffices_and_leaves_a_whole_folder(tmp_path):
    settings = (*IRIS, "budget.network_epochs=9999", "report=page")
    with pytest.raises(SettingError, match=r"^budget\.seconds=0\.0001: no trial has a result, .* time") as error:
        run_sweep(tmp_path, *settings, "budget.seconds=0.0001")
    (folder,) = tmp_path.glob("*/*/")
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["status"], summary["ended_by"], summary["best"]) == ("failed", "budget.seconds=0.0001", None)
    assert (folder / "report.html").exists()
    with (folder / "leaderboard.csv").open(newline="") as file:
        assert {row["rank"] for row in csv.DictReader(file)} == {""}
    cure = re.search(r"give (budget\.seconds=\d+), or budget\.seconds=null ", str(error.value))[1]
    assert run_sweep(tmp_path / "cured", *settings, cure)["published"]["kind"]


def test_a_budget_of_arithmetic_counts_the_matrix_products_of_a_plan(tmp_path):
    """Iris: 96 training rows in 6 batches of 16, layers of 4 x 8 and 8 x 3: 6 flops for each weight and row."""
    flops = 9 * 6 * 16 * 6 * (4 * 8 + 8 * 3)
    settings = ("search=grid", *ADAM, *IRIS, "training.epochs=9")
    for n_trials, share in ((3, 3.01), (2, 2.99)):
        summary = run_sweep(tmp_path / f"{share}", *settings, f"budget.teraflops={share * flops / 1e12}")
        assert summary["trials"]["planned"] == summary["trials"]["finished"] == n_trials
    with pytest.raises(SettingError, match=r"^budget\.teraflops=1e-09 is used up before any trial was trained"):
        run_sweep(tmp_path / "less", *settings, "budget.teraflops=1e-9")


def test_a_budget_of_arithmetic_builds_no_network_twice(tmp_path, monkeypatch):
    """A request is built to count its arithmetic, and then trained; changed copies of a population are built anew."""
    built, build = [], NetworkBuilder.build

    def counted(self, trial, variant, replicate, fold, **rest):
        built.append((trial, replicate))
        return build(self, trial, variant, replicate, fold, **rest)

    monkeypatch.setattr(NetworkBuilder, "build", counted)
    settings = ("data=iris", "reduce=none", "space=ranges", "budget.teraflops=9", "network.hidden=[8]")
    search = ("search=population", "search.size=4", "search.every=1", "training.epochs=2")
    assert run_sweep(tmp_path, *settings, *search)["trials"]["planned"] == 4
    assert len(built) == len({*built}) > 4  # some of the four were replaced by changed copies


def test_a_batch_size_of_auto_follows_the_number_of_training_rows(tmp_path):
    few = (*ADAM, "data=iris", "reduce=none", "network.hidden=[8]", "name=it")
    summaries = [run_sweep(tmp_path / size, *few, f"training.batch_size={size}") for size in ("auto", "64", "32")]
    assert summaries[0]["digest"] == summaries[1]["digest"] != summaries[2]["digest"]


def test_a_budget_of_network_epochs_is_not_exceeded(tmp_path):
    summary = run_sweep(tmp_path, *SEARCHES["halving"], "budget.network_epochs=12")
    assert sum(len(curves["validation/loss"]) for curves, _ in read_networks(tmp_path).values()) == 9 + 2
    status = [row["status"] for row in read_leaderboard(tmp_path)]
    assert sum("budget.network_epochs=12 is used up" in text for text in status) == 3
    assert summary["trials"]["stopped"] == 9


def view_of(settings):
    development, _ = settings.split(settings.data())
    return settings.reduce(settings.prepare(development, 0))


def train_by_hand(rungs, settings, config, trials):
    """Train a population with nncore alone, each network and each copy in a stack of its own."""
    view, variants = view_of(settings), Variants(Configuration(settings, config, ""))
    shape = variants.of(settings.space.covering_trials()[0]).architecture(view_shape(view), "classification")
    stacks, addresses, copies = {}, {}, 0
    for number, rung in enumerate(rungs):
        before, holders = dict(stacks), {address: key for key, address in addresses.items()}
        for key, (address, origin) in rung["networks"].items():
            network = variants.of(trials[number][key[:4]]).build_network(
                trials[number][key[:4]], key, settings.training.seed
            )
            if key not in stacks:
                stack = start(shape, [network])
            elif origin is None:
                stack = before[key]
            else:
                copies, source = copies + 1, before[holders[origin]]
                stack = collect([network], [source.networks[0].key], [source])
            addresses[key] = address
            stacks[key], reports = train(stack, view.data, rung["until"][key[:4]], METRICS)
            yield number, key, reports[key]
    assert copies > 0


class RecordingSearch:
    """A search that records the trials that another asks for."""

    def __init__(self, search):
        self.search = search

    def begin(self, *terms):
        self.sampler, self.asked = self.search.begin(*terms), [{}]
        return self

    def ask(self):
        requests = self.sampler.ask()
        self.asked[-1] = {request.trial.key: request.trial for request in requests}  # a repeated request
        return requests

    def tell(self, scores):
        self.sampler.tell(scores)
        self.asked.append({})


@pytest.mark.slow
def test_law_1_a_population_equals_one_trained_by_hand(tmp_path):
    """The copies continue from the weights and the optimizer state of their origins, with their own rates."""
    settings, config = compose(*SEARCHES["population"], "execution=local", "tracking=none", f"runs={tmp_path}")
    recording = RecordingSearch(settings.search)
    run_pipeline(replace(settings, search=recording), config)
    rungs = [event for event in read_events(tmp_path) if event["event"] == "rung"]
    reported = {}
    number = -1
    for event in read_events(tmp_path):
        number += event["event"] == "rung"
        if event["event"] == "slice":
            for key, network_report in event["networks"].items():
                reported[number, key] = network_report["fingerprint"]
    expected = {
        (number, key): network_report.fingerprint
        for number, key, network_report in train_by_hand(rungs, settings, config, recording.asked)
    }
    assert expected == reported
    assert len(expected) == 3 * 6


SWEPT = {  # a setting of the space, the same as a setting of a run of its own, and values
    "reduce.n_components": ("+space.reduce.n_components=[2,3]", "reduce.n_components={}", [2, 3]),
    "prepare.scaling": ("+space.prepare.scaling=[standard,min_max]", "prepare.scaling={}", ["standard", "min_max"]),
    "network.hidden": ("+space.network.hidden=[[],[5],[6,4]]", "network.hidden={}", ["[]", "[5]", "[6,4]"]),
    "training.batch_size": ("+space.training.batch_size=[8,30]", "training.batch_size={}", [8, 30]),
    "training.schedule": (
        "+schedule@space.training.schedule.constant=constant +schedule@space.training.schedule.cosine=cosine",
        "schedule@training.schedule={}",
        ["constant", "cosine"],
    ),
}


@pytest.mark.parametrize("name", slow_after_first(SWEPT))
def test_law_1_a_swept_setting_gives_the_result_of_a_separate_run(name, tmp_path):
    swept, alone, values = SWEPT[name]
    few = ("space=learning_rates", *(f"~space.optimizer.{optimizer}" for optimizer in ("sgd", "momentum", "rmsprop")))
    few = (
        *few,
        "space.optimizer.adam.learning_rate=[0.01]",
        "data=iris",
        "network.hidden=[8]",
        "training.batch_size=16",
    )
    if name != "reduce.n_components":
        few = (*few, "reduce=none")
    summary = run_sweep(tmp_path / "swept", *few, *swept.split())
    together = read_networks(tmp_path / "swept")
    assert summary["trials"]["finished"] == len(together) == len(values)
    for number, value in enumerate(values):
        run_sweep(tmp_path / f"{number}", *few, alone.format(value))
        assert read_networks(tmp_path / f"{number}")["0000/1/0"] == together[f"{number:04d}/1/0"]
    assert len({fingerprint for _, fingerprint in together.values()}) == len(values)
    settings, _ = compose(*few, *swept.split())
    assert [str(trial.other_parameters[0][1]) for trial in requested_trials(settings)] == [
        str(value).replace(",", ", ") for value in values
    ]


MANY = (*ADAM, *IRIS, "split=k_fold", "split.folds=2", "training.seeds=2", "training.epochs=4")


def test_intervals_deviations_and_ties_are_in_the_leaderboard(tmp_path):
    summary = run_sweep(tmp_path, *MANY)
    rows = read_leaderboard(tmp_path)
    finals = {key: curves["validation/loss"][-1] for key, (curves, _) in read_networks(tmp_path).items()}
    assert len(finals) == 9 * 4
    for row in rows:
        values = [value for key, value in finals.items() if key.startswith(row["trial"])]
        assert float(row["validation/loss"]) == pytest.approx(np.mean(values))
        assert float(row["validation/loss std"]) == pytest.approx(np.std(values, ddof=1))
        assert float(row["validation/loss 95% low"]) < np.mean(values) < float(row["validation/loss 95% high"])
        # the log loss comes from the predictions for all rows, and the loss from the curves
        assert float(row["validation/log_loss"]) == pytest.approx(np.mean(values), rel=1e-5)
    assert rows[0]["tied"] == "True"
    assert summary["best"]["tied"] == sum(row["tied"] == "True" for row in rows)
    best = summary["best"]["validation"]["loss"]
    assert (best["low"], best["high"]) == tuple(float(rows[0][f"validation/loss 95% {end}"]) for end in ("low", "high"))
    assert summary["best"]["networks"] == 4


def test_the_champion_is_the_simplest_of_tied_trials(tmp_path):
    """Networks of several sizes on an easy task: those that cannot be distinguished tie."""
    few = (*MANY, "space.optimizer.adam.learning_rate=[0.03]", "+space.network.hidden=[[32],[8],[4]]")
    best = run_sweep(tmp_path / "best", *few)
    summary = run_sweep(tmp_path / "simplest", *few, "select.simplest=true")
    rows = read_leaderboard(tmp_path / "simplest")
    tied = [row for row in rows if row["tied"] == "True"]
    smallest = min(tied, key=lambda row: json.loads(row["network.hidden"]))
    assert len(tied) > 1
    assert summary["best"]["trial"] == smallest["trial"]
    assert best["best"]["trial"] == rows[0]["trial"]
    assert summary["digest"] == best["digest"]


def test_the_pareto_front_has_the_trials_that_none_dominates(tmp_path):
    few = ("space=learning_rates", *ADAM[1:], *IRIS, "space.optimizer.adam.learning_rate=[0.003,0.03]")
    run_sweep(
        tmp_path, *few, "+space.network.hidden=[[],[4],[16]]", "select.tradeoffs=[parameters]", "training.epochs=8"
    )
    rows = read_leaderboard(tmp_path)
    sizes = {"[]": 4 * 3 + 3, "[4]": 5 * 4 + 5 * 3, "[16]": 5 * 16 + 17 * 3}
    points = [(float(row["validation/loss"]), sizes[row["network.hidden"]]) for row in rows]
    for row, (loss, size) in zip(rows, points, strict=True):
        beaten = any(a <= loss and b <= size and (a, b) != (loss, size) for a, b in points)
        assert row["pareto"] == str(not beaten)


def test_the_ensemble_is_in_the_summary_and_can_be_published(tmp_path):
    few = (*ADAM, *IRIS, "training.epochs=6")
    champion = run_sweep(tmp_path / "champion", *few, "select.publish=champion")
    published = run_sweep(tmp_path / "ensemble", *few, "select.publish=ensemble", "select.ensemble=5")
    counts = published["ensemble"]["networks"]
    assert 10 <= sum(counts.values()) <= 5 * 10  # by so few rows it is the mean of ten ensembles
    assert set(counts) <= {f"{number:04d}/1/0" for number in range(9)}
    alone = {row["trial"]: float(row["validation/loss"]) for row in read_leaderboard(tmp_path / "ensemble")}
    mean = np.average([alone[key[:4]] for key in counts], weights=list(counts.values()))
    assert published["ensemble"]["validation"]["loss"] < mean  # the log loss is convex
    settings, _ = compose(*few)
    _, test = settings.split(settings.data())
    kinds = [(summary["published"]["kind"], summary["published"]["test"]) for summary in (champion, published)]
    assert kinds == [("champion", champion["best"]["test"]), ("ensemble", published["ensemble"]["test"])]
    for summary, (_, expected) in zip((champion, published), kinds, strict=True):
        model = model_file.load(tmp_path.joinpath(summary["model"]["path"]))
        predictions = model.predict_columns(test.x.numbers)
        assert np.mean(predictions["prediction"] == test.y) == pytest.approx(expected["accuracy"])
        p = np.stack([predictions[f"probability_{label}"] for label in sorted({*test.y})], axis=1)
        probability = p[np.arange(len(p)), np.searchsorted(sorted({*test.y}), test.y)]
        assert -np.log(probability).mean() == pytest.approx(expected["loss"], rel=1e-4)
    assert len(getattr(model, "models", [model])) == len(counts)


def test_without_an_ensemble_there_is_none_in_the_summary(tmp_path):
    assert run_sweep(tmp_path, *ADAM, *IRIS, "select.ensemble=0")["ensemble"] is None


def test_law_2_a_diverged_trial_is_dropped_by_the_search(tmp_path):
    wild = (*SEARCHES["halving"], "space.optimizer.adam.learning_rate=[0.001,0.01,1000.0]", "training.loss_limit=20.0")
    summary = run_sweep(tmp_path, *wild)
    rungs = [event for event in read_events(tmp_path) if event["event"] == "rung"]
    lost = {row["trial"] for row in read_leaderboard(tmp_path) if row["status"].startswith("diverged in epoch 1")}
    assert lost == {"0002"}
    assert summary["trials"]["diverged"] == 1
    assert len(rungs[1]["until"]) == 1
    assert "0002" not in rungs[1]["until"]


REPEATS = {
    "grid": ("space.optimizer.adam.learning_rate=[0.01,0.01,1e-2]",),
    "tpe": ("space.optimizer.adam.learning_rate=[0.01,0.003]", "search=tpe", "search.trials=30", "search.batch_size=4"),
}


@pytest.mark.parametrize("search", REPEATS)
def test_law_5_equal_trials_are_trained_and_listed_once(search, tmp_path):
    """Also when the run is resumed."""
    settings = (*IRIS, *FEW[:3], *REPEATS[search], "~space.regularizer.weight_decay")
    summary = run_sweep(tmp_path, *settings)
    n = len(read_leaderboard(tmp_path))
    rungs = [event for event in read_events(tmp_path) if event["event"] == "rung"]
    hashes = {key: content_hash for rung in rungs for key, (content_hash, _) in rung["networks"].items()}
    assert len(hashes) == len({*hashes.values()}) == n == summary["trials"]["planned"] == summary["trials"]["finished"]
    again = run_sweep(tmp_path, *settings, f"run={summary['run_id']}")
    assert (again["digest"], again["work"]["slices"]) == (summary["digest"], 0)


def test_equal_trials_are_named_in_the_output(tmp_path, capsys):
    settings = (*IRIS, *FEW[:3], *REPEATS["grid"], *QUICK, f"runs={tmp_path}")
    expected = "14 suggestions of the search equal an earlier trial: equal trials are trained and listed once"
    for command in (["plan"], []):
        dispatch([*command, *settings], time.monotonic())
        assert expected in capsys.readouterr().out
