"""The verdict on a run, and the rules of the advice: each fires, and does not fire just beside its border."""

import json
import math
import shlex
from array import array

import pytest
from running import FEW, compose, run_here

from pipeline.engine import conclusions
from pipeline.engine.conclusions import RULES, Facts, advice, verdict
from pipeline.runs.records import NetworkRecord, Replicate, TrialRecord
from pipeline.runs.summary import empty_summary
from pipeline.search.grammar import Choices, Range

RATE = "optimizer.adam.learning_rate"
FOLDS = "split.folds=5"
RATES = Choices((0.0003, 0.001, 0.003, 0.01))
CARD = {"task": "classification", "classes": {"no": 500, "yes": 500}, "targets": ["y"], "columns": [{}] * 5}
BEST = {"test": {"log_loss": 0.5, "loss": 0.5, "accuracy": 0.8}}


def trial(number, rate=0.003, train=(0.5, 0.4), validation=(0.5, 0.4), **parameters):
    """A trial of one network with these curves; its result is that of the last epoch."""
    curves = {"train/loss": array("d", train), "validation/loss": array("d", validation)}
    n = len(train)
    network = NetworkRecord(
        f"{number:04d}/1/0",
        Replicate(0, 0),
        "",
        curves,
        array("q", [0] * n),
        selected_epoch=n,
        epochs_trained=n,
        completed=True,
    )
    parameters = {"optimizer": "adam", "optimizer.learning_rate": rate, "regularizer": "none"} | parameters
    return TrialRecord(f"{number:04d}", ("adam", "none", ""), parameters, (network,))


def facts(**changed):
    """The facts of a run about which no rule has anything to say, with some changed."""
    trials = changed.pop("ranked", [trial(number) for number in range(8)])
    summary = empty_summary("run") | {"trials": {"planned": len(trials)}, "best": BEST} | changed.pop("summary", {})
    plain = {"ranked": trials, "tied": [True] + [False] * (len(trials) - 1), "diverged": [], "n_folds": 5, "n_seeds": 3}
    plain |= {"champion": trials[0], "decisions": {RATE: RATES}, "card": CARD, "summary": summary, "epochs": 50}
    return Facts(**plain | changed)


def with_rates(*rates, tied=None, decisions=RATES):
    """The trials ranked by their learning rates, the best first."""
    trials = [trial(number, rate) for number, rate in enumerate(rates)]
    return facts(ranked=trials, tied=tied, decisions={RATE: decisions})


def warned(*findings, **rest):
    return facts(summary={"data_findings": list(findings)}, **rest)


def baselines(low=0.01, high=0.5, model=0.1021, **scores):
    """Baselines with these log losses, beside that of the model."""
    compared = {"metric": "log_loss", "model": model, "low": low, "high": high, "n_rows": 100}
    return {
        name: {"label": name, "test": {"log_loss": score}, "comparison": compared | {"baseline": score}}
        for name, score in scores.items()
    }


def beaten(low=-0.5, high=-0.01, preset=None, **scores):
    return facts(summary={"baselines": baselines(low, high, 0.5, **scores)}, preset=preset)


def diverged(n, rates=(0.1,)):
    return facts(diverged=[trial(50 + i, rates[i % len(rates)]) for i in range(n)],
                 decisions={RATE: Choices((0.001, 0.003, 0.1))}, summary={"trials": {"planned": 10}})  # fmt: skip


def tied(n, **rest):
    return facts(tied=[True] * n + [False] * (8 - n), **rest)


def curves(train, validation, **rest):
    best = trial(0, train=train, validation=validation)
    return facts(ranked=[best, trial(1)], **{"epochs": len(train)} | rest)


def with_classes(**counts):
    return facts(card=CARD | {"classes": counts})


def ensemble(validation, test=0.3, networks=2, publish="champion", **rest):
    found = {"networks": dict.fromkeys(map(str, range(networks)), 1), "validation": {"loss": validation}}
    found_and_published = {"ensemble": found | {"test": {"loss": test}}, "published": {"kind": publish}}
    return facts(summary=found_and_published, **rest)


LEAK = {"kind": "leak", "columns": ["a b"]}
IDENTIFIER = {"kind": "identifier", "columns": ["id"]}
NUMBERS = {"kind": "identifier", "columns": ["id", "it's"]}
LOG = Range(1e-4, 1e-2, scale="log")
FALLING = [1.0 - 0.5 * epoch / 30 for epoch in range(1, 31)]
LATE = [*FALLING[:-1], 0.55]
FLAT = [*FALLING[:27], 0.5503, 0.5502, 0.5501]
RISING = [0.6, 0.5, 0.4, 0.45, 0.47, 0.48, 0.5, 0.55]
LOW = [0.5, 0.4, 0.3, 0.2, 0.2, 0.2, 0.2, 0.2]
CASES = {  # by rule: where it fires, with the overrides; and where it does not, by a little
    "leak": [(warned(LEAK), "data.drop=[\"a b\"]"), (warned(IDENTIFIER), "")],
    "identifier": [
        (warned(IDENTIFIER), "data.drop=[id]"),
        (warned(NUMBERS, dropped=["x"]), 'data.drop=[x,id,"it\'s"]'),
        (warned(LEAK, IDENTIFIER), 'data.drop=["a b",id]'),  # pasted behind that of the leak, it is the one that counts
        (warned(LEAK), ""),
    ],
    "loses_to_baseline": [
        (beaten(linear=0.49, constant=2.0), "network.hidden=[]"),
        (beaten(linear=0.49, preset="quick"), "preset=best"),  # not the layers of all recipes
        (beaten(linear=0.49, preset="best"), "network.hidden=[]"),
        (beaten(gradient_boosting=0.48, linear=0.49), "network.hidden=[128,64] prepare.scaling=quantile"),
        (beaten(constant=0.49), "preset=none space=learning_rates training.epochs=100"),
        (beaten(linear=0.51), ""),
        (beaten(linear=0.49, high=0.01), ""),  # which may be chance
        (beaten(linear=0.49, low=None, high=None), ""),
    ],
    "many_diverged": [
        (diverged(3), f"space.{RATE}=[0.001,0.003]"),
        (diverged(3, rates=(0.003,)), "+regularizer@training.regularizers.clip_norm=clip_norm"),
        (diverged(2), ""),
    ],
    "few_rows": [
        (facts(n_folds=1, n_validation=199), "split.folds=5"),
        (facts(n_folds=1, n_validation=200), ""),
        (facts(n_folds=2, n_validation=199), ""),
        (facts(n_folds=1, n_validation=199, can_fold=False), ""),
    ],
    "no_winner": [
        (tied(5), "select.simplest=true"),
        (tied(5, n_seeds=1), "training.seeds=3"),
        (tied(5, n_seeds=1, n_folds=1), "split.folds=5"),
        (tied(4), ""),
        (facts(tied=[True] * 3 + [False] * 2 + [None] * 3), "select.simplest=true"),  # 3 of 5 that were compared
        (facts(tied=[True] * 4 + [None] * 4), ""),
        (facts(tied=None), ""),
    ],
    "at_the_edge": [
        (with_rates(0.01, 0.003, 0.001), f"space.{RATE}=[0.003,0.01,0.03,0.1]"),
        (with_rates(0.0003, 0.001, 0.003), f"space.{RATE}=[3e-05,0.0001,0.0003,0.001]"),
        (with_rates(0.01, 0.003, tied=[True, True]), ""),  # the next value may be as good
        (with_rates(0.003, 0.01, 0.001), ""),
        (with_rates(0.01, 0.003, decisions=Choices((0.003, 0.01))), ""),  # one of two values is always at an end
        (with_rates(0.0095, 0.003, decisions=LOG), f"space.{RATE}.high=0.1"),
        (with_rates(0.00011, 0.003, decisions=LOG), f"space.{RATE}.low=1e-05"),
        (with_rates(0.0075, 0.003, decisions=LOG), ""),
    ],
    "overfits": [
        (curves(LOW, RISING), "+regularizer@training.regularizers.early_stopping=early_stopping"),
        (curves(LOW, RISING, regularizers=["early_stopping"]),
         "+regularizer@training.regularizers.dropout=dropout +training.regularizers.dropout.rate=0.3"),
        (curves(LOW, RISING, regularizers=["early_stopping", "dropout"]), ""),
        (curves(LOW, RISING, regularizers=["keep_best", "dropout"]), ""),
        (curves([*LOW[:-1], 0.28], RISING), ""),  # not below half of it
        (curves(LOW, RISING, card=CARD | {"classes": {str(label): 1 for label in range(40)}}), ""),  # less than a tenth
    ],
    "ends_too_early": [
        (curves(FALLING, FALLING), "training.epochs=60"),
        (curves(FALLING, LATE), ""),  # the best epoch is the one before
        (curves(FALLING, FLAT), ""),  # by less than one percent
        (curves(FALLING, FALLING, schedule="cosine"), ""),
        (curves(FALLING, FALLING, epochs=31), ""),
    ],
    "rare_class": [
        (with_classes(no=960, yes=40), "select.metric=balanced_accuracy"),
        (with_classes(no=950, yes=50), ""),
        (facts(card=CARD | {"classes": {"no": 960, "yes": 40}}, balanced=True), ""),
        (facts(card=CARD | {"classes": {"no": 960, "yes": 40}}, metric="f1"), ""),
    ],
    "ensemble_is_better": [
        (ensemble(0.379), "select.publish=ensemble"),
        (ensemble(0.381), ""),
        (ensemble(0.379, test=0.5), ""),  # not on the test rows
        (ensemble(0.379, networks=1), ""),
        (ensemble(0.379, publish="ensemble"), ""),
    ],
    "one_network_each": [
        (facts(n_folds=1, n_seeds=1), "split.folds=5"),
        (facts(n_folds=1, n_seeds=2), ""),
    ],
}  # fmt: skip


def overrides_of(sentence):
    """The overrides at the end of a sentence, as a shell splits them."""
    return shlex.split(sentence.rpartition(": ")[2])


def test_every_rule_has_cases():
    assert set(CASES) == {rule.__name__ for rule in RULES}


@pytest.mark.parametrize("name", CASES)
def test_a_rule_fires_up_to_its_border(name):
    rule = getattr(conclusions, name)
    for number, (given, expected) in enumerate(CASES[name]):
        sentence = rule(given)
        assert " ".join(overrides_of(sentence)) == expected, f"{name} {number}: {sentence}"
        assert bool(sentence) == bool(expected)


@pytest.mark.slow
def test_all_overrides_of_the_advice_can_be_pasted(tmp_path):
    rows = ["a b,id,x,it's,z,y", *(f"{n},{n},{n},{n},{n % 3},{n % 2}" for n in range(9))]
    (tmp_path / "x.csv").write_text("\n".join(rows))
    table = ("data=csv", f"data.path={tmp_path}/x.csv", "data.target=y", "preset=none")
    sentences = [getattr(conclusions, name)(given) for name, cases in CASES.items() for given, _ in cases]
    of_ranges = [f"space.{RATE}={{low:1e-4,high:1e-2,scale:log}}"]
    for overrides in dict.fromkeys(tuple(overrides_of(sentence)) for sentence in sentences if sentence):
        is_of_range = overrides[0].startswith((f"space.{RATE}.high", f"space.{RATE}.low"))
        settings, _ = compose(*table, *(of_ranges if is_of_range else []), *overrides)
        assert settings.data.target == "y"


def test_hyperparameters_stay_where_they_may_be():
    """Nothing is weaker than the weakest penalty but none, no momentum is 1, and no component is without a column."""
    best = trial(
        0, **{"optimizer": "momentum", "optimizer.momentum": 0.99, "regularizer": "l2", "regularizer.strength": 0.1}
    )
    worse = trial(
        1, **{"optimizer": "momentum", "optimizer.momentum": 0.9, "regularizer": "l2", "regularizer.strength": 1.0}
    )
    momentum = {"optimizer.momentum.momentum": Choices((0.8, 0.9, 0.99))}
    assert conclusions.at_the_edge(facts(ranked=[best, worse], tied=None, decisions=momentum)) == ""
    strength = {"regularizer.l2.strength": Choices((0.1, 1.0, 10.0))}
    assert conclusions.at_the_edge(facts(ranked=[best, worse], tied=None, decisions=strength)) != ""
    none = strength | {"regularizer": Choices(("none", "l2"))}
    assert conclusions.at_the_edge(facts(ranked=[best, worse], tied=None, decisions=none)) == ""
    sizes = [
        trial(0, **{"reduce": "pca", "reduce.n_components": 4}),
        trial(1, **{"reduce": "pca", "reduce.n_components": 2}),
    ]
    for columns, more in ((7, False), (8, True)):
        card = CARD | {"columns": [{}] * columns}
        decisions = {"reduce.pca.n_components": Choices((1, 2, 4))}
        sentence = conclusions.at_the_edge(facts(ranked=sizes, tied=None, decisions=decisions, card=card))
        assert bool(sentence) == more
    assert "'space.reduce.pca.n_components=[2,4,8]'" in sentence


def test_advice_is_short_and_says_nothing_twice():
    assert advice(facts()) == []
    many = {"n_folds": 1, "n_seeds": 1, "n_validation": 50, "tied": [True] * 8}
    assert [overrides_of(sentence) for sentence in advice(warned(IDENTIFIER, **many))] == [["data.drop=[id]"], [FOLDS]]
    more = facts(
        **many | {"n_validation": 500},
        epochs=30,
        ranked=[trial(n, train=FALLING, validation=FALLING) for n in range(8)],
    )
    assert [overrides_of(sentence) for sentence in advice(more)] == [[FOLDS], ["training.epochs=60"]]
    leaking = advice(warned(LEAK, IDENTIFIER, **many))  # then nothing else counts
    assert [overrides_of(sentence) for sentence in leaking] == [['data.drop=["a b"]'], ['data.drop=["a b",id]']]


SUMMARY = {
    "best": {
        "test": {"log_loss": 0.1021, "accuracy": 0.9722, "roc_auc": 0.9981},
        "test_intervals": {"log_loss": (0.0712, 0.1409), "accuracy": (0.95, 0.99)},
        "n_test_rows": 1360,
    },
    "headline": ["log_loss", "accuracy", "roc_auc"],
    "metric": None,
    "baselines": baselines(constant=2.3026, gradient_boosting=0.1208),
}
FIRST = "Validation picked adam 0.003 with l2 0.001; on 1,360 test rows its log loss is 0.1021"


def test_the_verdict_has_units_baselines_and_intervals():
    labels = ("adam 0.003", "l2 0.001", "")
    assert verdict(SUMMARY, labels, ["y"]) == (
        f"{FIRST} (95 % interval 0.071 to 0.141), accuracy 0.972; for comparison: always answering the "
        "constant 2.303, gradient_boosting 0.1208."
    )
    published = {"label": "ensemble of 2 networks", "test": {"log_loss": 0.0852}, "test_intervals": {}}
    text = verdict(SUMMARY | {"published": published}, labels, ["y"])
    assert "on 1,360 test rows the log loss of the published ensemble of 2 networks is 0.08520; for" in text
    bare = SUMMARY | {"baselines": None, "best": {"test": SUMMARY["best"]["test"]}}
    assert verdict(bare, ("adam 0.003", "none", "hidden [64]"), ["y"]) == (
        "Validation picked adam 0.003 (hidden [64]); on the test rows its log loss is 0.1021, accuracy 0.972."
    )
    wage = {"root_mean_squared_error": 4.3123, "mean_absolute_error": 3.0}
    of_values = bare | {"best": {"test": wage}, "headline": [*wage]}
    assert verdict(of_values, labels, ["wage"]).endswith("its RMSE is 4.312 in the unit of wage, MAE 3.000.")


def test_the_verdict_says_first_that_a_baseline_scores_better():
    labels, better = ("adam 0.003", "l2 0.001", ""), SUMMARY | {"baselines": baselines(-0.5, -0.01, linear=0.0991)}
    text = verdict(better, labels, ["y"])
    assert text.startswith(f"Linear scores better on the test rows, log loss 0.09910 against 0.1021. {FIRST}")
    chance = SUMMARY | {"baselines": baselines(-0.5, 0.01, linear=0.0991)}
    assert "against 0.1021; the difference may be chance. V" in verdict(chance, labels, ["y"])
    few = SUMMARY | {"baselines": baselines(None, None, linear=0.0991)}
    assert "against 0.1021; on 100 rows that may be chance. V" in verdict(few, labels, ["y"])


@pytest.mark.slow
def test_the_overrides_that_a_run_prints_do_what_they_say(tmp_path):
    """Networks that are trained too shortly; with the overrides the loss is lower, and the advice is another."""
    command = ("data=wine", *FEW, "execution=local", "report=none", "tracking=none", "training.epochs=3")
    printed = run_here(tmp_path, *command).stdout.splitlines()
    start = next(number for number, line in enumerate(printed) if line.startswith("next       "))
    assert printed[start - 1].startswith("model      ")
    sentences = [line[11:] for line in printed[start:]]
    first = json.loads(next(tmp_path.glob("runs/*/*/summary.json")).read_text())
    assert first["advice"] == sentences
    assert f"verdict    {first['verdict']}" in printed
    longer = next(sentence for sentence in sentences if "still improving in its last epoch, 3" in sentence)
    assert overrides_of(longer) == ["training.epochs=6"]
    run_here(tmp_path, *command, *overrides_of(longer), "resume=never")
    *_, path = sorted(tmp_path.glob("runs/*/*/summary.json"))
    second = json.loads(path.read_text())
    assert second["best"]["validation"]["loss"]["mean"] < first["best"]["validation"]["loss"]["mean"]
    assert math.isfinite(second["best"]["test"]["log_loss"])


def test_several_columns_that_predict_the_target_are_named_together():
    first, *_ = advice(warned({"kind": "leak", "columns": ["u"]}, {"kind": "leak", "columns": ["v"]}))
    assert first.startswith("Look at columns u, v first, each of which alone predicts the target: ")
    assert advice(warned(LEAK))[0].startswith("Look at column a b first, which alone predicts the target: ")
