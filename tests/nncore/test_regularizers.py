"""The effect of each regularizer, measured."""

from dataclasses import replace

import numpy as np
import pytest
from samples import (
    BATCH_NORM,
    RELU,
    SIGMOID,
    SQUARED,
    TANH,
    make_architecture,
    make_component,
    make_data,
    make_network,
    make_step,
    train_reports,
)

from nncore.architecture import initial_parameters, kind_of, layer_views
from nncore.components import Component, build_stacked
from nncore.kernels.workspace import Workspace
from nncore.random_streams import RandomStreams
from nncore.reduction.autoencoder import autoencoder_architecture
from nncore.stack.data import Data, Rows
from nncore.stack.hooks import DropoutHooks
from nncore.stack.passes import gradient
from nncore.stack.state import start
from nncore.stack.training import train

EVERYONE = slice(None)


FALLING = make_component("flat_cosine", epochs=4)  # 1 until epoch 2, then 0.8536, 0.5, 0.1464 at every half epoch


def draw(seeds=(0,), step=0, epoch=0, n_steps=1):
    draws = RandomStreams(list(seeds), epoch, n_steps)
    for _ in range(step + 1):
        draws.next_step()
    return draws.of(EVERYONE)


def ends(architecture, *networks, epochs=4, data=None):
    """The parameters after training, per network."""
    stack, _ = train(start(architecture, networks), data or make_data(architecture), epochs, {})
    return stack.parameters


@pytest.mark.parametrize("name", ["l1", "l2", "elastic_net", "weight_decay"])
def test_biases_scales_and_shifts_are_not_penalised_by_default(name):
    """On rows of zeros only biases have a gradient: weights change by the penalty only."""
    architecture = make_architecture((5, 3), loss=SQUARED, dtype="float64")
    zeros = Rows(np.zeros((8, 5)), np.zeros((8, 3)))
    for biases in (False, True):
        network = make_network(
            "it", 0, make_component("sgd", learning_rate=0.1), make_component(name, strength=0.1, biases=biases)
        )
        stack = start(architecture, [network])
        stack.parameters[:, architecture.n_weights :] = 0.5
        after, _ = train(stack, Data(zeros, zeros), 1, {})
        plain, _ = train(replace(stack, networks=(make_network(),), state={}), Data(zeros, zeros), 1, {})
        moved = after.parameters != plain.parameters
        assert moved[:, : architecture.n_weights].all()
        assert moved[:, architecture.n_weights :].all() == biases == moved[:, architecture.n_weights :].any()


def test_weight_decay_and_adam_are_adamw():
    architecture, rate, amount = make_architecture(dtype="float64"), 0.01, 0.3
    adamw = make_network("a", 0, make_component("adamw", learning_rate=rate, weight_decay=amount))
    both = make_network(
        "b", 0, make_component("adam", learning_rate=rate), make_component("weight_decay", strength=rate * amount)
    )
    weights = ends(architecture, adamw, both)
    np.testing.assert_allclose(weights[0], weights[1], rtol=1e-12)
    assert (
        np.abs(weights[0] - ends(architecture, make_network("c", 0, make_component("adam", learning_rate=rate)))).max()
        > 1e-3
    )


def test_weight_decay_follows_its_schedule_and_has_factors_of_its_own():
    """On rows of zeros, in two epochs of four steps, beside the learning rate's schedule; for two networks."""
    architecture = make_architecture((5, 4, 3), loss=SQUARED, dtype="float64", batch_size=2)
    zeros = Rows(np.zeros((8, 5)), np.zeros((8, 3)))
    decay = make_component("weight_decay", strength=0.1, schedule=FALLING, first_layer=3.0)
    halved = make_component("weight_decay", strength=0.05, schedule=FALLING, first_layer=2.0)
    rate = make_component("exponential", gamma=0.25)
    networks = [make_network(f"{i}", 0, None, component, schedule=rate) for i, component in enumerate((decay, halved))]
    before = start(architecture, networks)
    after, _ = train(before, Data(zeros, zeros), 4, {})
    times = np.arange(16) / 4
    expected = 0.25**times * np.where(times < 2, 1, (1 + np.cos(np.pi * (times - 2) / 2)) / 2)
    for strength, first, network in ((0.1, 3, 0), (0.05, 2, 1)):
        kept = np.repeat([np.prod(1 - strength * first * expected), np.prod(1 - strength * expected)], [20, 12])
        moved = (after.parameters / np.where(before.parameters == 0, 1, before.parameters))[network]
        np.testing.assert_allclose(moved[: architecture.n_weights], kept, rtol=1e-12)


def test_weight_decay_acts_on_the_kinds_that_it_is_told():
    parametric = Component("nncore.activations.parametric", (("activation", Component("nncore.activations.selu")),))
    inputs = {"scaling_layer": True, "embedding": Component("nncore.embeddings.pbld"), "n_numeric": 3, "levels": (4,)}
    members = {"members": 2, "adapters": "full"}
    architecture = make_architecture((5, 4, 3), parametric, normalisation=BATCH_NORM, **inputs, **members)
    cases = [({}, {"weights": 1, "first_layer": 1, "adapters": 1})]
    cases += [({"embedding": 2, "adapters": 0}, {"weights": 1, "first_layer": 1, "embedding": 2})]
    cases += [({"scaling_layer": 30, "activation": 0.5}, cases[0][1] | {"scaling_layer": 30, "activation": 0.5})]
    cases += [({"biases": True, "first_layer": 0}, cases[0][1] | {"first_layer": 0, "biases": 1, "normalisation": 1})]
    for arguments, factors in cases:
        W = np.ones((1, architecture.n_parameters))
        make_component("weight_decay", strength=0.02, **arguments).build().before(W, make_step(1, architecture))
        for slot in architecture.layout:
            if slot.stop <= architecture.n_parameters:
                left = 1 - 0.02 * factors.get(kind_of(slot), 0)
                np.testing.assert_allclose(W[0, slot.start : slot.stop], left, rtol=1e-12, err_msg=slot.name)
    W = np.ones((1, architecture.n_parameters))  # nothing shrinks to less than 0
    make_component("weight_decay", strength=0.5, first_layer=3).build().before(W, make_step(1, architecture))
    assert W.min() == 0


def test_max_norm_bounds_the_weights_into_each_unit_and_nothing_else():
    architecture = make_architecture((5, 7, 3), dtype="float64")
    weights = ends(
        architecture,
        make_network("it", 0, make_component("sgd", learning_rate=0.5), make_component("max_norm", limit=0.7)),
        epochs=6,
    )
    norms = [np.sqrt((layer.W**2).sum(axis=1)).ravel() for layer in layer_views(weights, architecture)]
    assert max(layer_norms.max() for layer_norms in norms) <= 0.7 + 1e-12
    assert np.isclose(np.concatenate(norms), 0.7).sum() >= 3
    assert np.concatenate(norms).min() < 0.69


def test_dropout_drops_its_share_and_keeps_the_mean():
    architecture = make_architecture((200, 300, 2))
    x = np.ones((1, 500, 300), np.float32)
    inside = DropoutHooks(
        2,
        architecture,
        Workspace(),
        [(slice(1, 2), make_component("dropout", rate=0.3).build())],
        [],
        RandomStreams([4, 5], 0),
    )
    dropped = inside.dropout(1, x)
    np.testing.assert_array_equal(dropped[0], 1)  # the neighbour has no dropout
    assert abs((dropped[1] == 0).mean() - 0.3) < 0.005
    assert abs(dropped[1].mean() - 1) < 0.01
    assert abs((dropped[1] == 0).mean(axis=0).std() - np.sqrt(0.21 / 500)) < 0.003  # independent from row to row
    dx = np.full((2, 500, 300), 2.0, np.float32)
    inside.dropout_backward(1, dx)
    np.testing.assert_array_equal(dx, 2 * dropped)
    assert inside.dropout(0, x) is x  # network inputs have their own rate


def test_dropout_and_label_smoothing_follow_a_schedule():
    """In the 3rd of 4 steps of epoch 3 the factor is 0.1464; a schedule that is 0 draws as at other times."""
    streams = RandomStreams([4], 3, 4)
    for _ in range(3):
        streams.next_step()
    dropout = make_component("dropout", rate=0.4, schedule=FALLING).build()
    inside = DropoutHooks(1, make_architecture((200, 300, 2)), Workspace(), [(EVERYONE, dropout)], [], streams)
    dropped = inside.dropout(1, np.ones((1, 500, 300), np.float32))
    assert abs((dropped == 0).mean() - 0.4 * 0.146447) < 0.002
    assert abs(dropped.mean() - 1) < 0.005
    t = np.eye(4)[None].copy()
    smoothing = make_component("label_smoothing", strength=0.2, schedule=FALLING).build()
    smoothing.augment(None, t, "one-hot", streams.of(EVERYONE))
    np.testing.assert_allclose([t[0, 0, 0], t[0, 1, 0]], [1 - 0.2 * 0.1464466 * 0.75, 0.2 * 0.1464466 / 4], rtol=1e-6)


@pytest.mark.parametrize("name", ["dropout", "label_smoothing", "weight_decay"])
def test_a_regularizer_cannot_follow_the_validation_loss(name):
    required = {} if name == "dropout" else {"strength": 0.1}
    for schedule in ("reduce_on_plateau", "warm_up"):
        then = {"epochs": 2, "then": make_component("reduce_on_plateau")} if schedule == "warm_up" else {}
        component = make_component(name, schedule=make_component(schedule, **then), **required)
        with pytest.raises(ValueError, match=f"schedule must depend on time alone, .*{name}.; choose another"):
            component.build()


def test_dropout_differs_from_step_to_step_epoch_to_epoch_layer_to_layer_and_seed_to_seed():
    like, draws = np.empty((1, 50, 40)), RandomStreams([0], 0)
    draws.next_step()
    first = draws.of(EVERYONE).chances("dropout", like, 1)
    np.testing.assert_array_equal(first, draws.of(EVERYONE).chances("dropout", like, 1))  # the same within a step
    draws.next_step()
    other_draws = [draws.of(EVERYONE).chances("dropout", like, 1), draw(epoch=1).chances("dropout", like, 1)]
    other_draws += [draw().chances("dropout", like, 2), draw(seeds=(1,)).chances("dropout", like, 1)]
    for chances in other_draws:
        assert (first == chances).mean() < 0.01
    np.testing.assert_array_equal(first, draw().chances("dropout", like, 1))


def test_dropout_is_not_applied_in_predictions():
    architecture = make_architecture()
    data = make_data(architecture)
    stack, reports = train(
        start(architecture, [make_network("it", 0, None, make_component("dropout", rate=0.5))]), data, 2, {}
    )
    from nncore.losses import mean_value
    from nncore.stack.passes import predict

    z = predict(stack.parameters, architecture, data.validation.x)
    expected = mean_value(architecture.functions.loss, z, data.validation.t[None])[0]
    assert reports["it"].curves["validation/loss"][-1] == expected


def test_input_noise_has_its_deviation():
    x = np.zeros((2, 400, 50))
    make_component("input_noise", deviation=0.3).build().augment(x, None, "real", draw((0, 1)))
    assert abs(x.std() - 0.3) < 0.005
    assert abs(x.mean()) < 0.005
    assert abs(np.corrcoef(x[0].ravel(), x[1].ravel())[0, 1]) < 0.03


def test_mixup_mixes_rows_and_targets_alike():
    x = np.random.default_rng(0).normal(size=(1, 64, 3))
    t = x[:, :, :2] * 2 + 1  # a target that is linear in x stays linear in a mixture
    before = x.copy()
    make_component("mixup", alpha=0.4).build().augment(x, t, "real", draw())
    np.testing.assert_allclose(t, x[:, :, :2] * 2 + 1, rtol=1e-12)
    assert not np.allclose(x, before)
    np.testing.assert_allclose(x.mean(axis=1), before.mean(axis=1), rtol=1e-9)  # partners are a permutation


def test_the_shares_of_mixup_are_of_the_beta_distribution():
    from scipy.stats import beta, kstest

    shares = []
    for step in range(600):
        x = np.eye(2)[None].repeat(1, axis=0)  # two rows: the partner is the row itself or the other
        make_component("mixup", alpha=0.5).build().augment(x, np.zeros((1, 2, 1)), "real", draw(step=step))
        if x[0, 0, 1] > 0:
            shares.append(x[0, 0, 0])
    assert 200 < len(shares) < 400
    assert kstest(shares, beta(0.5, 0.5).cdf).pvalue > 0.01
    x = np.random.default_rng(0).normal(size=(1, 9, 2))
    before = x.copy()
    make_component("mixup", alpha=0.0).build().augment(x, np.zeros((1, 9, 1)), "real", draw())
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize(
    ("kind", "n", "expected"),
    [("one-hot", 4, [0.925, 0.025]), ("binary", 1, [0.95, 0.05]), ("binary", 4, [0.95, 0.05])],
)
def test_label_smoothing_gives_every_class_its_share(kind, n, expected):
    t = np.eye(4)[None, :2, :n].copy()
    make_component("label_smoothing", strength=0.1).build().augment(None, t, kind, draw())
    np.testing.assert_allclose([t[0, 0, 0], t[0, 1, 0]], expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_clipping_by_norm_keeps_the_direction(dtype):
    g = np.random.default_rng(0).normal(size=(5, 100)).astype(dtype) * np.array([[0.001], [0.1], [1], [10], [0]], dtype)
    before = g.copy()
    make_component("clip_norm", limit=2.0).build().clip(g)
    norms = np.sqrt((g.astype(float) ** 2).sum(axis=1))
    np.testing.assert_array_equal(g[:2], before[:2])
    np.testing.assert_allclose(norms[2:4], 2, rtol=1e-6)
    np.testing.assert_allclose(g[3] / before[3], np.full(100, norms[3] / np.sqrt((before[3] ** 2).sum())), rtol=1e-5)
    assert not g[4].any()


def test_clipping_sees_the_penalty_too():
    """With a gradient that is almost only penalty, the length of a step is the limit."""
    architecture = make_architecture((5, 3), loss=SQUARED, dtype="float64")
    zeros = Rows(np.zeros((8, 5)), np.zeros((8, 3)))
    clipped = make_network(
        "it",
        0,
        make_component("sgd", learning_rate=1.0),
        make_component("l2", strength=5.0),
        make_component("clip_norm", limit=0.1),
    )
    before = start(architecture, [clipped])
    after, _ = train(before, Data(zeros, zeros), 1, {})
    assert np.sqrt(((after.parameters - before.parameters) ** 2).sum()) == pytest.approx(0.1)


def test_early_stopping_stops_and_restores_the_best_weights():
    architecture = make_architecture(dtype="float64")
    data = make_data(architecture)
    free = train_reports(architecture, [make_network("it", 0, make_component("sgd", learning_rate=0.8))], 40, data)[
        "it"
    ]
    curve = free.curves["validation/loss"]
    best = int(np.argmin(curve)) + 1
    early = make_network(
        "it", 0, make_component("sgd", learning_rate=0.8), make_component("early_stopping", patience=6)
    )
    stack, reports = train(start(architecture, [early]), data, 40, {})
    report = reports["it"]
    first_wait = next(e for e in range(7, 41) if min(curve[e - 6 : e]) >= min(curve[: e - 6]))
    assert report.stopped[0] == first_wait < 40
    assert report.curves["validation/loss"] == curve[:first_wait]
    assert report.selected_epoch == int(np.argmin(curve[:first_wait])) + 1
    assert f"in epoch {report.selected_epoch}" in report.stopped[1]
    at_best, _ = train(
        start(architecture, [make_network("it", 0, make_component("sgd", learning_rate=0.8))]),
        data,
        report.selected_epoch,
        {},
    )
    np.testing.assert_array_equal(stack.selected_weights_of("it"), at_best.parameters)
    assert stack.networks == ()
    patient = make_network(
        "it", 0, make_component("sgd", learning_rate=0.8), make_component("early_stopping", patience=1000)
    )
    unstopped, reports = train(start(architecture, [patient]), data, 40, {})
    assert reports["it"].stopped is None
    assert reports["it"].selected_epoch == best < 40  # not stopped, but its best epoch is selected
    with pytest.raises(KeyError):
        unstopped.selected_weights_of("nobody")


def test_the_best_epoch_is_kept_without_stopping():
    architecture = make_architecture(dtype="float64")
    data = make_data(architecture)
    sgd = make_component("sgd", learning_rate=0.8)
    networks = [make_network("it", 0, sgd, make_component("keep_best")), make_network("free", 0, sgd)]
    stack, reports = train(start(architecture, networks), data, 40, {})
    curve = reports["free"].curves["validation/loss"]
    assert reports["it"].curves["validation/loss"] == curve
    assert reports["it"].stopped is None
    assert reports["it"].selected_epoch == int(np.argmin(curve)) + 1 < 40
    at_best, _ = train(start(architecture, networks[1:]), data, reports["it"].selected_epoch, {})
    np.testing.assert_array_equal(stack.selected_weights_of("it"), at_best.parameters)


def test_of_equal_epochs_the_last_is_kept_and_any_number_is_better_than_none():
    keep = make_component("keep_best").build()
    state = keep.init(np.zeros((3, 1)))
    curves = [[2, np.nan, np.nan], [1, 4, np.nan], [1, 5, np.nan], [3, np.nan, np.nan]]
    for epoch, values in enumerate(curves, 1):
        assert not keep.observe(np.full((3, 1), epoch), state, np.array(values), epoch).any()
    assert state["epoch"].tolist() == state["weights"][:, 0].tolist() == [3, 2, 4]
    assert state["best"].tolist() == [1, 4, np.inf]


def test_patience_grows_with_the_epochs_that_training_took():
    """Stopped are networks at epoch > improvement + patience + share of it, each with its own numbers."""
    names = ("patience", "share")
    stops = [make_component("early_stopping", restore=False, **dict(zip(names, pair, strict=True)))
             for pair in ((4, 2.0), (4, 0.5), (2, 0.0))]  # fmt: skip
    for improvement in (3, 10):
        stop = build_stacked(stops)
        state, first = stop.init(np.zeros((3, 1))), {}
        for epoch in range(1, 60):
            value = np.full(3, -float(min(epoch, improvement)))
            for network in np.flatnonzero(stop.observe(None, state, value, epoch)):
                first.setdefault(int(network), epoch)
        expected = [improvement + 4 + 2 * improvement, improvement + 4 + -(-improvement // 2), improvement + 2]
        assert [first[network] for network in range(3)] == expected


def test_only_one_regularizer_selects_the_best_epoch():
    both = make_component("keep_best"), make_component("early_stopping")
    with pytest.raises(ValueError, match=r"restore must be false for early_stopping beside keep_best"):
        start(make_architecture(), [make_network("it", 0, None, *both)])
    stop = make_component("early_stopping", patience=2, restore=False)
    report = train_reports(
        make_architecture(), [make_network("it", 0, make_component("sgd", learning_rate=0.8), both[0], stop)], 60
    )["it"]
    assert report.selected_epoch < report.stopped[0] < 60


def test_early_stopping_without_restoring_and_by_the_training_loss():
    architecture = make_architecture(dtype="float64")
    stop = make_component("early_stopping", patience=2, min_delta=0.05, watch="train/loss", restore=False)
    report = train_reports(architecture, [make_network("it", 0, make_component("sgd", learning_rate=0.05), stop)], 100)[
        "it"
    ]
    curve = report.curves["train/loss"]
    assert report.stopped[0] == report.selected_epoch == len(curve) < 100
    assert curve[-3] - min(curve[-2:]) < 0.05
    with pytest.raises(ValueError, match=r"watch must be validation/loss, .*, but is 'loss'"):
        make_component("early_stopping", watch="loss").build()


@pytest.mark.parametrize("batch_size", [5, 13, 37])
def test_the_objective_is_the_loss_with_its_penalties(batch_size):
    """At weights that hardly move, every batch has the same penalty."""
    architecture = make_architecture(dtype="float64", batch_size=batch_size)
    penalties = make_component("l2", strength=0.3), make_component("l1", strength=0.2, biases=True)
    rates = {"sgd": "sgd", "full batch": "gradient_descent"}
    networks = [
        make_network(key, 0, make_component(name, learning_rate=1e-30), *penalties) for key, name in rates.items()
    ]
    networks.append(make_network("free", 0, make_component("sgd", learning_rate=1e-30)))
    stack = start(architecture, networks)
    stack.parameters[...] += 0.01  # biases
    W, P = stack.parameters[0, : architecture.n_weights], stack.parameters[0, : architecture.n_parameters]
    _, reports = train(stack, make_data(architecture), 2, {}, objective=True)
    for key, penalty in {key: 0.15 * (W**2).sum() + 0.2 * np.abs(P).sum() for key in rates}.items() | {("free", 0.0)}:
        curves = reports[key].curves
        assert np.subtract(curves["train/objective"], curves["train/loss"]) == pytest.approx([penalty] * 2)


def test_early_stopping_by_the_objective_outlasts_a_rising_loss_and_leaves_others_alone():
    architecture, how = make_architecture(dtype="float64"), {"patience": 2, "min_delta": 1e-3, "restore": False}
    sgd, penalty = make_component("sgd", learning_rate=0.01), make_component("l2", strength=2.0)
    networks = [
        make_network(watch, 0, sgd, penalty, make_component("early_stopping", watch=watch, **how))
        for watch in ("train/loss", "train/objective")
    ]
    networks.append(make_network("free", 1, sgd))
    reports = train_reports(architecture, networks, 60)
    early, late = (reports[network.key].stopped[0] for network in networks[:2])
    assert early < late < 60  # the penalty shrinks weights that reduce the loss
    for network in networks:
        assert train_reports(architecture, [network], 60)[network.key] == reports[network.key]
        assert set(reports[network.key].curves) == set(reports["free"].curves)


def test_a_relative_improvement_is_a_fraction_of_the_curve():
    stop = make_component("early_stopping", patience=1, min_delta=0.1, relative=True, restore=False).build()
    state = stop.init(np.zeros((2, 1)))
    curves = [[100, 1e-3], [89, 8.9e-4], [81, 8e-4]]
    stops = [stop.observe(None, state, np.array(values), epoch).tolist() for epoch, values in enumerate(curves, 1)]
    assert stops == [[False, False], [False, False], [True, False]]


def test_each_network_stops_at_its_own_epoch():
    architecture = make_architecture()
    networks = [
        make_network(
            f"{rate}", 0, make_component("sgd", learning_rate=rate), make_component("early_stopping", patience=2)
        )
        for rate in (0.01, 0.3, 0.9, 2.0)
    ]
    reports = train_reports(architecture, networks, 30)
    last_epochs = {report.stopped[0] if report.stopped else 30 for report in reports.values()}
    assert len(last_epochs) >= 3


def test_averaged_weights_are_validated_and_selected():
    architecture = make_architecture((5, 7, 3), normalisation=BATCH_NORM, dtype="float64")
    data = make_data(architecture)
    plain = [train(start(architecture, [make_network()]), data, epoch, {})[0].parameters for epoch in range(1, 7)]
    stack, reports = train(
        start(architecture, [make_network("it", 0, None, make_component("swa", start=2))]), data, 6, {}
    )
    np.testing.assert_allclose(stack.selected_weights_of("it"), np.mean(plain[2:], axis=0), rtol=1e-10)
    np.testing.assert_array_equal(stack.parameters, plain[-1])  # training itself does not change
    curve, free = reports["it"].curves, train_reports(architecture, [make_network()], 6, data)["it"].curves
    assert curve["train/loss"] == free["train/loss"]
    assert curve["validation/loss"][:3] == free["validation/loss"][:3]
    assert curve["validation/loss"][3:] != free["validation/loss"][3:]


def test_the_activity_penalty_adds_its_gradient():
    """strength times the sum of |y| of the code, as a mean over the rows, against the directional derivative."""
    architecture = autoencoder_architecture(6, (5,), 3, TANH, dtype="float64", batch_size=9)
    random, strength, h = np.random.default_rng(0), 0.7, 1e-6
    x = random.normal(size=(1, 9, 6))
    p = np.stack([initial_parameters(architecture, 0)])
    direction, g = random.normal(size=p.shape), np.empty_like(p)
    activity = make_component("activity", strength=strength).build()
    inside = DropoutHooks(1, architecture, Workspace(), [], [(EVERYONE, activity)], RandomStreams([0], 0))
    gradient(layer_views(p, architecture), layer_views(g, architecture), architecture, x, x, Workspace(), None, inside)

    def objective(p):
        layers = layer_views(p, architecture)
        code = np.tanh(x @ layers[0].W + layers[0].b) @ layers[1].W + layers[1].b
        z = np.tanh(code @ layers[2].W + layers[2].b) @ layers[3].W + layers[3].b
        return ((z - x) ** 2).sum() / 2 / 9 + strength * np.abs(code).sum() / 9

    expected = (objective(p + h * direction) - objective(p - h * direction)) / (2 * h)
    assert (g * direction).sum() == pytest.approx(expected, rel=1e-7)


def test_every_kind_of_regularizer_can_be_combined_in_one_network():
    regularizers = [
        make_component("l1", strength=1e-4),
        make_component("l2", strength=1e-4),
        make_component("elastic_net", strength=1e-4),
        make_component("weight_decay", strength=1e-4),
        make_component("max_norm", limit=3.0),
        make_component("dropout", rate=0.1),
        make_component("activity", strength=1e-3),
        make_component("input_noise", deviation=0.1),
        make_component("mixup", alpha=0.2),
        make_component("label_smoothing", strength=0.1),
        make_component("clip_norm", limit=1.0),
        make_component("clip_value", limit=1.0),
        make_component("early_stopping", patience=3),
        make_component("ema", decay=0.9),
    ]
    architecture = make_architecture((5, 7, 7, 1), RELU, SIGMOID, BATCH_NORM, residual=True)
    report = train_reports(
        architecture, [make_network("it", 0, make_component("adam", learning_rate=0.01), *regularizers)], 5
    )["it"]
    assert report.diverged is None
    assert len(report.curves["validation/loss"]) >= 4
