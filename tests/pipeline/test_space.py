"""The grammar of spaces, their trials, and the errors."""

from pathlib import Path

import hydra
import numpy as np
import pytest
from omegaconf import OmegaConf
from pydantic import TypeAdapter, ValidationError

from pipeline.config.compose import configuration, configurations
from pipeline.search.grammar import Choices, Range, parse
from pipeline.search.grid import Grid
from pipeline.search.space import Space

CONF = Path(__file__).parents[2] / "conf"
ADAM, L2 = "nncore.optimizers.adam.adam", "nncore.regularizers.penalties.l2"
NONE = {"_target_": "nncore.regularizers.penalties.none"}
BASE = {
    "optimizer": {"adam": {"_target_": ADAM, "learning_rate": 0.01}},
    "regularizer": {"none": NONE},
}
PCA = {"_target_": "pipeline.stages.reduce.PcaReduction", "n_components": [8, 16]}
KEEP = {"_target_": "pipeline.stages.reduce.Identity"}
SLOPE = {"_target_": "nncore.activations.leaky_relu", "slope": [0.1, 0.2]}


def space(**parts):
    return TypeAdapter(Space).validate_python(BASE | parts)


def adam(**nodes):
    return {"adam": BASE["optimizer"]["adam"] | nodes}


def composed_space(*overrides):
    """The space of a command line."""
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        config = hydra.compose("config", overrides=list(overrides))
    node = OmegaConf.to_container(config, resolve=True)["space"]
    return TypeAdapter(Space).validate_python({key: value for key, value in node.items() if key != "_target_"})


def grid(space):
    return Grid().list_trials(space)


def test_a_grid_has_optimizers_outside_regularizers_inside_and_the_rest_innermost():
    l2 = {"_target_": L2, "strength": [0.1, 0.2]}
    trials = grid(space(optimizer=adam(beta1=[0.8, 0.9]), regularizer={"none": NONE, "l2": l2}, reduce={"n": [1, 2]}))
    assert [trial.number for trial in trials] == list(range(12))
    shown = [(dict(t.optimizer.arguments)["beta1"], t.regularizer_label, t.overrides) for t in trials]
    expected = [
        (beta1, regularizer, (("reduce.n", n),))
        for beta1 in (0.8, 0.9)
        for regularizer in ("none", "l2 0.1", "l2 0.2")
        for n in (1, 2)
    ]
    assert shown == expected


def test_branches_add_their_own_nodes():
    trials = grid(space(reduce={"pca": PCA, "none": KEEP}, network={"hidden": [[64], [128, 64]]}))
    assert [trial.other_label for trial in trials] == [
        "reduce pca, n_components 8, hidden [64]",
        "reduce pca, n_components 8, hidden [128, 64]",
        "reduce pca, n_components 16, hidden [64]",
        "reduce pca, n_components 16, hidden [128, 64]",
        "reduce none, hidden [64]",
        "reduce none, hidden [128, 64]",
    ]
    assert trials[3].overrides == (("reduce", PCA | {"n_components": 16}), ("network.hidden", [128, 64]))
    assert list(trials[3].parameters.items()) == [
        ("optimizer", "adam"),
        ("optimizer.learning_rate", 0.01),
        ("regularizer", "none"),
        ("reduce", "pca"),
        ("reduce.n_components", 16),
        ("network.hidden", "[128, 64]"),
    ]
    assert trials[3].key == "0003"
    assert trials[3].label == "adam 0.01, none, reduce pca, n_components 16, hidden [128, 64]"


def test_a_component_without_branches_and_settings_by_name():
    dropout = {"_target_": "nncore.regularizers.dropout.dropout", "rate": [0.1, 0.3]}
    trials = grid(space(network={"activation": SLOPE, "residual": True}, training={"regularizers": {"drop": dropout}}))
    assert [dict(trial.overrides) for trial in trials][1] == {
        "network.activation": SLOPE | {"slope": 0.1},
        "network.residual": True,
        "training.regularizers.drop": dropout | {"rate": 0.3},
    }
    assert trials[1].other_label == "slope 0.1, rate 0.3"


def test_a_single_component_is_not_a_branch():
    (first, _) = grid(space(network={"activation": SLOPE}))
    assert first.overrides == (("network.activation", SLOPE | {"slope": 0.1}),)


def test_names_with_equal_endings_are_shown_in_full():
    (trial,) = grid(space(reduce={"batch_size": [16]}, training={"batch_size": [32]}))
    assert trial.other_label == "reduce.batch_size 16, training.batch_size 32"


def test_a_setting_that_is_a_list_itself_takes_a_list_of_lists():
    autoencoder = {"_target_": "pipeline.stages.reduce.AutoencoderReduction", "hidden": [64, 32], "regularizers": {}}
    (trial,) = grid(space(reduce={"auto": autoencoder}))
    assert trial.overrides == (("reduce", autoencoder),)
    two = grid(space(reduce={"auto": autoencoder | {"hidden": [[64, 32], []]}}))
    assert [dict(trial.overrides)["reduce"]["hidden"] for trial in two] == [[64, 32], []]


def test_optimizers_inside_optimizers_are_nodes_too():
    lookahead = {"_target_": "nncore.optimizers.lookahead.lookahead"}
    lookahead |= {"optimizer": {"adam": adam(beta1=[0.8, 0.9])["adam"], "sgd": {**adam()["adam"], "_target_": ADAM}}}
    trials = grid(space(optimizer={"ahead": lookahead}))
    assert [trial.optimizer_label for trial in trials] == [
        "ahead (adam 0.01 beta1=0.8)",
        "ahead (adam 0.01 beta1=0.9)",
        "ahead (adam 0.01)",
    ]


def test_labels_are_short_and_parameters_have_everything():
    """Of a schedule and of factors around an optimizer the label says only that they are there."""
    factors = {"_target_": "nncore.optimizers.parameter_factors.parameter_factors", "biases": 0.1, "embedding": 0.1}
    factors |= {"scaling_layer": 6, "optimizer": adam(learning_rate=0.04, beta2=0.95)["adam"]}
    schedule = {"_target_": "nncore.schedules.flat_cosine", "epochs": 40}
    dropout = {"dropout": {"_target_": "nncore.regularizers.dropout.dropout", "schedule": schedule, "rate": 0.15}}
    trials = grid(space(optimizer={"adam": factors, "mine": factors}, regularizer=dropout))
    assert [trial.labels for trial in trials] == [
        ("adam 0.04 beta2=0.95 (factors)", "dropout 0.15 flat_cosine", ""),
        ("mine (adam 0.04 beta2=0.95) ...", "dropout 0.15 flat_cosine", ""),
    ]
    assert trials[0].parameters["optimizer.scaling_layer"] == 6
    assert trials[0].parameters["regularizer.schedule.epochs"] == 40


def test_trials_can_be_compared_and_hashed():
    first, second = (grid(space(reduce={"pca": PCA})) for _ in range(2))
    assert first == second
    assert len({*first, *second}) == 2


@pytest.mark.parametrize(
    ("node", "points"),
    [
        ({"low": 0, "high": 1}, [0, 0.25, 0.5, 0.75, 1]),
        ({"low": 1e-5, "high": 1e-2, "scale": "log", "points": 4}, [1e-5, 1e-4, 1e-3, 1e-2]),
        ({"low": 1, "high": 3, "integer": True}, [1, 2, 3]),
        ({"low": 8, "high": 128, "integer": True, "scale": "log", "points": 3}, [8, 32, 128]),
    ],
)
def test_points_of_a_range_are_even_on_its_scale(node, points):
    grid_points = parse(node, "x").grid
    assert grid_points == points
    assert {type(number) for number in grid_points} == ({int} if node.get("integer") else {float})


def test_quantiles_of_a_range_are_shares_of_its_scale():
    linear, log = Range(2, 4), Range(1e-4, 1, scale="log")
    assert (linear.quantile(0), linear.quantile(0.25), linear.quantile(1)) == (2, 2.5, 4)
    assert (log.quantile(0), log.quantile(0.5), log.quantile(1)) == (1e-4, 1e-2, 1)
    drawn = [Range(1, 4, integer=True).quantile(part) for part in np.linspace(0, 1, 401)]
    assert {number: drawn.count(number) for number in (1, 2, 3, 4)} == pytest.approx(
        dict.fromkeys((1, 2, 3, 4), 100), abs=1
    )


def test_covering_trials_contain_every_choice_and_both_ends_of_every_range():
    swept = space(
        optimizer=adam(learning_rate={"low": 1e-4, "high": 1e-2}, beta1=[0.7, 0.8, 0.9]),
        regularizer={"none": NONE, "l2": {"_target_": L2, "strength": {"low": 0.1, "high": 0.2}}},
        reduce={"pca": PCA, "none": KEEP},
        network={"activation": {"leaky": SLOPE, "relu": {"_target_": "nncore.activations.relu"}}},
    )
    samples = swept.covering_trials()
    values = {(name, value) for trial in samples for name, value in trial.parameters.items()}
    assert values == {
        *(("optimizer", "adam"), ("optimizer.learning_rate", 1e-4), ("optimizer.learning_rate", 1e-2)),
        *(("optimizer.beta1", beta1) for beta1 in (0.7, 0.8, 0.9)),
        *(("regularizer", name) for name in ("none", "l2")),
        *(("regularizer.strength", strength) for strength in (0.1, 0.2)),
        *(("reduce", "pca"), ("reduce", "none"), ("reduce.n_components", 8), ("reduce.n_components", 16)),
        *(("network.activation", "leaky"), ("network.activation", "relu")),
        *(("network.activation.slope", 0.1), ("network.activation.slope", 0.2)),
    }
    assert len(samples) <= 4


def test_per_network_decisions_are_numbers_that_may_differ_within_a_stack():
    l2 = {"_target_": L2, "strength": [0.1, 0.2], "biases": [True, False]}
    lbfgs = {"_target_": "nncore.optimizers.lbfgs.lbfgs", "memory": [5, 10], "learning_rate": {"low": 0.5, "high": 1}}
    swept = space(optimizer=adam(beta1=0.9) | {"lbfgs": lbfgs}, regularizer={"l2": l2}, training={"batch_size": [8, 9]})
    assert set(swept.per_network) == {"optimizer.lbfgs.learning_rate", "regularizer.l2.strength"}


WRONG = {
    "not a mapping": ({"reduce": [1]}, ("reduce",), "must be a mapping of settings"),
    "no choice": ({"network": {"hidden": []}}, ("network",), "hidden must list at least one value"),
    "mappings in a list": ({"reduce": {"x": [KEEP]}}, ("reduce",), "x must list plain values"),
    "choice out of range": ({"optimizer": adam(beta1=[0.9, 1.5])}, ("optimizer", "adam"), "beta1 must be < 1.*1.5"),
    "low end out of range": ({"optimizer": adam(beta1={"low": -1, "high": 0.5})}, ("optimizer", "adam"), "beta1.*-1"),
    "high end out of range": ({"optimizer": adam(beta1={"low": 0, "high": 2})}, ("optimizer", "adam"), "beta1.*2"),
    "half a range": ({"training": {"batch_size": {"low": 1}}}, ("training",), "batch_size.high must be given"),
    "no numbers": ({"training": {"x": {"low": "a", "high": 2}}}, ("training",), "x.low must be a number, but is 'a'"),
    "true": ({"training": {"x": {"low": True, "high": 2}}}, ("training",), "x.low must be a number, but is True"),
    "upside down": ({"training": {"x": {"low": 2, "high": 1}}}, ("training",), "x.low must be below high, 1.0"),
    "log of zero": ({"training": {"x": {"low": 0, "high": 1, "scale": "log"}}}, ("training",), "x.low must be > 0"),
    "scale": ({"training": {"x": {"low": 0, "high": 1, "scale": "ln"}}}, ("training",), "x.scale = 'ln': .*'log'"),
    "one point": ({"training": {"x": {"low": 0, "high": 1, "points": 1}}}, ("training",), "x.points = 1"),
    "half a number": (
        {"training": {"x": {"low": 0.5, "high": 2, "integer": True}}},
        ("training",),
        "x.low must be a wh",
    ),
    "step": ({"training": {"x": {"low": 0, "high": 1, "step": 1}}}, ("training",), "x.step is not .* it has low, high"),
    "nested": (
        {"network": {"activation": {"leaky": SLOPE | {"slope": ["x"]}}}},
        ("network",),
        "activation.leaky: slope must be a number",
    ),
    "not a component": (
        {"network": {"activation": {"_target_": "nncore.components.resolve", "name": "x"}}},
        ("network",),
        "activation._target_: nncore.components.resolve is neither a function that returns a component nor a settings",
    ),
    "not ours": ({"reduce": {"x": {"_target_": "os.system"}}}, ("reduce",), "x._target_: 'os.system'.*inside nncore"),
    "no class of settings": (
        {"reduce": {"x": {"_target_": "pipeline.search.grammar.parse"}}},
        ("reduce",),
        "pipeline.search.grammar.parse is neither a function that returns a component nor a settings class",
    ),
    "no such class": ({"reduce": {"x": {"_target_": "pipeline.x.Y"}}}, ("reduce",), "pipeline has no 'pipeline.x.Y'"),
    "wrong kind": ({"optimizer": {"x": NONE}}, ("optimizer", "x"), "none does not return an optimizer"),
    "a number's kind": (
        {"optimizer": {"x": {"_target_": "nncore.optimizers.lbfgs.lbfgs", "memory": {"low": 5, "high": 9}}}},
        ("optimizer", "x"),
        "memory must be an integer, but is 5.0",
    ),
    **{
        f"training.{name}": ({"training": {name: [1]}}, ("training",), f"{name} cannot be swept: ")
        for name in ("epochs", "seed", "seeds", "loss_limit")
    },
    **{name: ({name: {}}, (), f"{name} cannot be swept: .* -m makes") for name in ("data", "split", "stacks")},
    "no optimizer": ({"optimizer": {}}, (), "optimizer must hold at least one optimizer"),
}


@pytest.mark.parametrize(("parts", "where", "message"), WRONG.values(), ids=WRONG)
def test_law_7_a_wrong_space_is_refused_with_the_setting_and_the_rule(parts, where, message):
    with pytest.raises(ValidationError, match=message) as caught:
        space(**parts)
    assert caught.value.errors()[0]["loc"] == where


def test_a_space_can_be_given_on_the_command_line():
    rate = "space.optimizer.adam.learning_rate"
    few = [f"~space.optimizer.{name}" for name in ("sgd", "momentum", "rmsprop")]
    few += [f"~space.regularizer.{name}" for name in ("l1", "l2", "dropout", "weight_decay")]
    few += ["~space.network"]
    assert composed_space(*few, f"{rate}=[1e-4,1e-2]").grid_size == 2
    ranged = composed_space(*few, f"~{rate}", f"+{rate}={{low:1e-4,high:1e-2,scale:log}}")
    assert ranged.per_network == {"optimizer.adam.learning_rate": Range(1e-4, 1e-2, scale="log")}
    swept = composed_space(
        *few,
        "+optimizer@space.optimizer.adamw=adamw",
        "space.optimizer.adamw.learning_rate={low:1e-4,high:1e-2,scale:log}",
        "+space.network.hidden=[[64],[128,64]]",
        "+reduce@space.reduce.pca=pca",
        "space.reduce.pca.n_components=[4,8]",
        "+reduce@space.reduce.coded=autoencoder",
        "+space.prepare.scaling=[standard,quantile]",
        "+regularizer@space.training.regularizers.drop=dropout",
        "+schedule@space.training.schedule.cosine=cosine",
    )
    assert set(swept.decisions) == {
        *("optimizer", "optimizer.adam.learning_rate", "optimizer.adamw.learning_rate", "network.hidden"),
        *("reduce", "reduce.pca.n_components", "prepare.scaling"),
    }
    overrides = dict(swept.covering_trials()[0].overrides)
    assert overrides["training.schedule"] == {"_target_": "nncore.schedules.cosine", "epochs": 30}
    assert overrides["training.regularizers.drop"] == {"_target_": "nncore.regularizers.dropout.dropout"}
    second = composed_space("~space.network", "+space.reduce.n_components=[16,32]").covering_trials()[1]
    assert dict(second.other_parameters) == {"reduce.n_components": 32}


@pytest.mark.parametrize(
    ("overrides", "sizes"),
    [
        ((), ([64], [128])),
        (("network.hidden=[32]",), None),
        (("training.batch_size=16",), ([64], [128])),
        (("experiment=iris",), None),  # it sets network.hidden
        (("experiment=breast_cancer",), ([64], [128])),
        (("space.network.hidden=[[8],[9]]",), ([8], [9])),
        (("network.hidden=[32]", "space.network.hidden=[[8],[9]]"), ([8], [9])),
        (("experiment=iris", "space.network.hidden=[[8],[9]]"), ([8], [9])),
    ],
)
def test_a_setting_that_is_given_is_not_varied(overrides, sizes):
    decisions = configuration(*overrides).settings.space.decisions
    assert decisions.get("network.hidden") == (None if sizes is None else Choices(sizes))


def test_a_command_line_wins_over_what_an_experiment_varies(tmp_path):
    (tmp_path / "experiment").mkdir()
    varied = "{prepare: {scaling: [standard, robust]}, training: {batch_size: {low: 8, high: 64, integer: true}}}"
    (tmp_path / "experiment" / "own.yaml").write_text(f"# @package _global_\nspace: {varied}\n")
    line = (f"--config-dir={tmp_path}", "experiment=own")
    (in_file,), (given,) = (configurations([*line, *more]) for more in ((), ("training.batch_size=16",)))
    decisions = set(in_file.settings.space.decisions)
    assert {"training.batch_size", "prepare.scaling", "network.hidden"} <= decisions
    assert decisions - set(given.settings.space.decisions) == {"training.batch_size"}


def test_an_end_of_a_range_can_be_changed_alone():
    ranged = composed_space("space=ranges", "space.optimizer.adamw.learning_rate.low=0.001")
    assert ranged.per_network["optimizer.adamw.learning_rate"] == Range(0.001, 0.03, scale="log")


@pytest.mark.parametrize(
    ("name", "n"),
    [("learning_rates", 36), ("architectures", 72), ("reductions", 14), ("optimizers_by_regularization", 112)],
)
def test_ready_spaces_have_the_trials_that_their_first_lines_promise(name, n):
    swept = composed_space(f"space={name}")
    assert swept.grid_size == len(grid(swept)) == n
    assert f" {n} trials" in (CONF / "space" / f"{name}.yaml").read_text().splitlines()[0]
