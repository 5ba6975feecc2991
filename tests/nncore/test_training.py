"""Complete trainings: compared with torch's loss curves on real data, and the guarantees of training."""

import pickle
from dataclasses import replace
from functools import wraps

import numpy as np
import pytest
import sklearn.metrics as sk_metrics
from references import assert_close_to_reference, read_reference
from samples import (
    BATCH_NORM,
    RELU,
    SOFTMAX,
    SQUARED,
    TANH,
    make_architecture,
    make_component,
    make_data,
    make_network,
    train_reports,
)
from sklearn.datasets import load_digits

import nncore.optimizers.adam
from nncore.architecture import Architecture, ArraySlot, Layer, kind_of, layer_views
from nncore.components import Component
from nncore.inference.model import ValueDecoder
from nncore.inference.scaling import Affine
from nncore.inference.target_transforms import Logarithm
from nncore.metrics import accuracy, average_precision, mean_absolute_error, r2, roc_auc
from nncore.stack.data import Data, Rows
from nncore.stack.passes import predict
from nncore.stack.state import start
from nncore.stack.training import train

REFERENCE = read_reference("training")
GAUSSIAN = Component("nncore.losses.gaussian")
GELU = Component("nncore.activations.gelu")
LAYER_NORM = Component("nncore.normalisations.layer_norm")


def case(name):
    """The architecture and the network of a case."""
    rest = {"loss": SOFTMAX, "batch_size": REFERENCE["batch"], "dtype": "float64"}
    if name == "adam_relu_l2":
        layers = (Layer(32, RELU), Layer(10))
        network = make_network("it", 0, make_component("adam", learning_rate=1e-3), make_component("l2", strength=1e-3))
    elif name == "momentum_batch_norm_cosine":
        layers = (Layer(32, TANH, BATCH_NORM), Layer(10))
        cosine = make_component("cosine", epochs=REFERENCE["epochs"])
        network = make_network("it", 0, make_component("momentum", learning_rate=0.05), schedule=cosine)
    else:
        layers = (Layer(32, GELU, LAYER_NORM), Layer(32, GELU, LAYER_NORM, residual=True), Layer(10))
        network = make_network("it", 0, make_component("adamw", learning_rate=2e-3, weight_decay=0.05))
    return Architecture(64, layers, **rest), network


@pytest.mark.parametrize("name", REFERENCE["cases"])
def test_training_follows_torchs_loss_curve_on_digits(name):
    architecture, network = case(name)
    digits = load_digits()
    x, t = digits.data / 16, np.eye(10)[digits.target]
    watched = slice(0, REFERENCE["validation_rows"])
    _, reports = train(
        start(architecture, [network]), Data(Rows(x, t), Rows(x[watched], t[watched])), REFERENCE["epochs"], {}
    )
    curves = reports["it"].curves
    assert len(curves["train/loss"]) == 20
    assert_close_to_reference(curves["train/loss"], REFERENCE["cases"][name]["losses"], 1e-9)
    assert_close_to_reference(curves["validation/loss"], REFERENCE["cases"][name]["validation_losses"], 1e-9)


def test_weights_of_whole_numbers_equal_repeated_rows():
    architecture = make_architecture(dtype="float64", batch_size=1000)
    data, times = make_data(architecture), np.random.default_rng(0).integers(0, 4, size=37)
    weighted = data._replace(train=data.train._replace(weights=times.astype(float)))
    repeated = data._replace(train=Rows(*(array.repeat(times, axis=0) for array in data.train[:2])))
    network = make_network("it", 0, make_component("gradient_descent", learning_rate=0.3))
    ends = [
        train(start(architecture, [network]), rows_of_variant, 5, {})[0].parameters
        for rows_of_variant in (weighted, repeated)
    ]
    assert_close_to_reference(ends[0], ends[1], 1e-10)
    assert np.abs(ends[0] - train(start(architecture, [network]), data, 5, {})[0].parameters).max() > 1e-3


def test_only_the_ratios_of_weights_matter_and_metrics_are_weighted():
    architecture = make_architecture(dtype="float64")
    data = make_data(architecture, weighted=True)
    larger = Data(*(rows._replace(weights=rows.weights * 8) for rows in data))
    network = make_network()
    assert train_reports(architecture, [network], data=data) == train_reports(architecture, [network], data=larger)
    none = Data(*(rows._replace(weights=None) for rows in data))
    even = Data(*(rows._replace(weights=np.full(len(rows.x), 0.5)) for rows in data))
    for name, curve in train_reports(architecture, [network], data=none)["it"].curves.items():
        assert_close_to_reference(train_reports(architecture, [network], data=even)["it"].curves[name], curve)
        assert train_reports(architecture, [network], data=data)["it"].curves[name] != curve


def test_resuming_from_any_epoch_gives_the_same_bits():
    architecture = make_architecture(normalisation=BATCH_NORM)
    data = make_data(architecture)
    ema, plateau = make_component("ema", decay=0.9), make_component("reduce_on_plateau", patience=0)
    network = make_network("it", 0, make_component("adam", learning_rate=0.1), ema, schedule=plateau)
    straight, _ = train(start(architecture, [network]), data, 9, {})
    for epoch in range(9):
        half, _ = train(start(architecture, [network]), data, epoch, {})
        arrays = {name: np.array(array) for name, array in half.state.items()}  # as if read from a file
        again, _ = train(
            replace(start(architecture, [network]), epoch=epoch, parameters=half.parameters, state=arrays), data, 9, {}
        )
        np.testing.assert_array_equal(again.selected_weights_of("it"), straight.selected_weights_of("it"))


def test_a_batch_larger_than_the_data_is_one_batch():
    architecture = make_architecture(batch_size=1000)
    assert (
        len(train_reports(architecture, [make_network()], 2, make_data(architecture))["it"].curves["train/loss"]) == 2
    )


def test_every_epoch_uses_each_row_once_in_a_new_order():
    """With weights that hardly change, the mean loss of an epoch is that of all rows, in any order."""
    architecture = make_architecture((5, 3), loss=SQUARED, dtype="float64", batch_size=7)
    still = make_network("it", 0, make_component("sgd", learning_rate=1e-15))
    curve = train_reports(architecture, [still], 4)["it"].curves["train/loss"]
    assert_close_to_reference(curve, [curve[0]] * 4)
    moving = make_network("it", 0, make_component("sgd", learning_rate=0.01))
    large = make_architecture((5, 3), loss=SQUARED, dtype="float64", batch_size=37)
    assert train_reports(architecture, [moving], 1) != train_reports(architecture, [replace(moving, seed=1)], 1)
    assert train_reports(large, [moving], 1) != train_reports(architecture, [moving], 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layers": ()}, "sizes must be"),
        ({"layers": (Layer(0), Layer(3))}, "sizes must be"),
        ({"batch_size": 0}, "batch_size must be an integer >= 1"),
        ({"dtype": "float16"}, "dtype must be float32 or float64"),
        ({"batch_size": 8.0}, "batch_size must be an integer >= 1, but is 8.0"),
        ({"layers": (Layer(7, RELU, BATCH_NORM), Layer(3)), "batch_size": 1}, "must be >= 2 for batch normalisation"),
        (
            {"loss": Component("nncore.activations.relu")},
            "loss must be a component that makes Loss, but relu makes Activation",
        ),
        (
            {"layers": (Layer(3, SOFTMAX),)},
            "activation must be a component that makes Activation, but softmax_cross_entropy makes Loss",
        ),
        ({"loss": GAUSSIAN}, "gaussian needs 2 outputs for each target, but the last layer has 3"),
        ({"layers": (Layer(4, residual=True),)}, "as many outputs as inputs, but layer 0 has 5 inputs and 4 outputs"),
        ({"layers": (Layer(4, tied_to=0),)}, "tied_to must be the index of an earlier layer"),
        ({"layers": (Layer(4), Layer(5, tied_to=1))}, "tied_to must be the index of an earlier layer"),
        (
            {"layers": (Layer(4), Layer(6, tied_to=0))},
            "layer 1 must mirror layer 0 to be tied to it, but has 4 inputs and 6 outputs where",
        ),
    ],
)
def test_an_impossible_architecture_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(make_architecture(), **change)


def test_every_parameter_has_a_kind():
    architecture = make_architecture((5, 7, 7, 3), normalisation=BATCH_NORM)
    kinds = [kind_of(slot) for slot in architecture.layout if slot.stop <= architecture.n_parameters]
    assert kinds == ["first_layer", "weights", "weights", "biases", *["normalisation"] * 4]
    others = {
        "input_scale": "scaling_layer", "embedding_weights_out": "embedding", "category_12": "embedding",
        "alpha": "activation", "r": "adapters", "s": "adapters",
    }  # fmt: skip
    assert {name: kind_of(ArraySlot(0, name, 0, (1, 4))) for name in others} == others


def test_components_that_cannot_be_combined_are_refused():
    smoothing, drop = make_component("label_smoothing", strength=0.1), make_component("dropout")
    with pytest.raises(
        ValueError, match="label_smoothing requires one-hot or binary targets, but the targets of the loss are real"
    ):
        start(make_architecture(loss=SQUARED), [make_network("it", 0, None, smoothing)])
    with pytest.raises(
        ValueError, match="dropout changes the objective or the step, but lbfgs needs a fixed objective, in net"
    ):
        start(make_architecture(), [make_network(), make_network("b", 0, make_component("lbfgs"), drop)])
    with pytest.raises(
        ValueError,
        match="regularizers must be different, with at most one weight average, but are dropout, dropout, "
        "in network 1 of 2, 'b'",
    ):
        start(
            make_architecture(), [make_network(), make_network("b", 0, None, drop, make_component("dropout", rate=0.1))]
        )


def test_a_stack_can_be_pickled_after_it_was_trained():
    """As multiprocessing and Ray's channels do; nothing that comes from disk is ever unpickled."""
    stack, _ = train(start(make_architecture(), [make_network()]), make_data(make_architecture()), 1, {})
    again = pickle.loads(pickle.dumps(stack))
    assert again.architecture == stack.architecture
    assert (
        train(again, make_data(make_architecture()), 3, {})[1] == train(stack, make_data(make_architecture()), 3, {})[1]
    )


WRONG = make_component("sgd", learning_rate=-1.0)
X, T = np.zeros((9, 5), np.float32), np.zeros((9, 3), np.float32)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (Rows(X, T[:8]), "t of the train rows must be float32 of shape .N, 3., .* but is float32 of shape .8, 3."),
        (Rows(X, np.concatenate([T, T])), "t of the train rows"),
        (Rows(X, T[:, :1]), "t of the train rows .*shape .9, 1."),
        (Rows(X[:, :4], T), "x of the train rows must be float32 of shape .N, 5., .* but is float32 of shape .9, 4."),
        (Rows(X.astype(float), T), "x of the train rows must be float32 .* but is float64"),
        (Rows(X[:0], T[:0]), "x of the train rows .* N >= 1"),
        (Rows(X, T, np.ones(8)), "weights of the train rows must be 9 finite numbers >= 0"),
        (Rows(X, T, np.full(9, -1.0)), "weights of the train rows"),
        (Rows(X, T, np.zeros(9)), "must be 9 finite numbers >= 0, not all of them 0"),
        (Rows(X, T, np.full(9, np.nan)), "weights of the train rows"),
    ],
)
def test_rows_that_do_not_fit_are_refused(rows, message):
    with pytest.raises(ValueError, match=message):
        train(
            start(make_architecture(), [make_network()]), Data(rows, make_data(make_architecture()).validation), 1, {}
        )


@pytest.mark.parametrize(
    ("views", "message"),
    [
        ((), "network 'b' refers to view 1, but there are 0 views"),
        ((Data(Rows(X, T), Rows(X, T)),), "network 'b' refers to view 1, but there are 1 views"),
        (
            (Data(Rows(X, T), Rows(X, T)), Data(Rows(X[:8], T[:8]), Rows(X, T))),
            "must have the same number of train rows",
        ),
        (
            (Data(Rows(X, T), Rows(X[:8], T[:8])), Data(Rows(X, T), Rows(X, T))),
            "validation .* have 8 without weights, 9",
        ),
        ((Data(Rows(X, T), Rows(X, T, X[:, 0] + 1)), Data(Rows(X, T), Rows(X, T))), "9 with weights, 9 without weigh"),
        ((Data(Rows(X, T), Rows(X, T)), Data(Rows(X, T[:8]), Rows(X, T))), "t of the train rows must be"),
    ],
)
def test_views_that_do_not_fit_together_are_refused(views, message):
    with pytest.raises(ValueError, match=message):
        train(start(make_architecture(), [replace(make_network("b"), view=1)]), views, 1, {})


@pytest.mark.parametrize(
    ("networks", "message"),
    [
        (
            [make_network(), make_network()],
            "networks must be at least one, with unique keys, but the keys are .'it', 'it'.",
        ),
        ([], "networks must be at least one"),
        ([make_network(), make_network("b", -1)], "seed must be an integer >= 0, but is -1, in network 1 of 2, 'b'"),
        ([make_network("b", True)], "seed must be an integer"),
        ([make_network("b", view=-1)], "view must be an integer >= 0, but is -1"),
        ([make_network("b", 0, make_component("l2", strength=0.1))], "makes an Optimizer, but l2 makes Penalty"),
        ([make_network("b", 0, None, make_component("constant"))], "regularizer 0 .* but constant makes Schedule"),
        (
            [make_network("b", 0, None, make_component("ema"), make_component("swa"))],
            "at most one weight average, but are ema, swa",
        ),
        (
            [
                make_network("a"),
                make_network("b", 0, make_component("muon", learning_rate=0.1)),
                make_network("c", 0, WRONG),
            ],
            "learning_rate must be > 0, but is -1.0 .sgd., in network 2 of 3, 'c'",
        ),
        (
            [make_network("a", 0, None, make_component("l2", strength=0.1, biases=1))],
            "biases must be true or false, but is 1 .l2.",
        ),
        ([make_network("a", 0, make_component("lbfgs", memory=2.5))], "memory must be an integer, but is 2.5 .lbfgs."),
        ([make_network("a", 0, None, make_component("early_stopping", watch=3))], "watch must be a string, but is 3"),
        (
            [make_network("a", 0, make_component("lookahead", optimizer=make_component("constant")))],
            "optimizer must be an Optimizer",
        ),
        (
            [make_network("a", 0, make_component("lbfgs"), make_component("clip_norm", limit=0.1))],
            "clip_norm changes the objective or",
        ),
    ],
)
def test_networks_that_cannot_be_trained_are_refused_by_position(networks, message):
    with pytest.raises(ValueError, match=message):
        start(make_architecture(), networks)


def test_a_component_is_built_once_to_check_it_and_once_for_its_group(monkeypatch):
    """From `start` to the selected weights, in three slices, while another network stops."""
    built = []
    original = nncore.optimizers.adam.adam

    @wraps(original)
    def counted(*arguments, **keywords):
        built.append(keywords)
        return original(*arguments, **keywords)

    monkeypatch.setattr(nncore.optimizers.adam, "adam", counted)
    architecture = make_architecture()
    stack = start(architecture, [make_network("it", 0, make_component("adam", learning_rate=0.0123))])
    for until in (1, 2, 3):
        stack, reports = train(stack, make_data(architecture), until, {})
    stack.selected_weights_of("it")
    assert len(built) == 2
    assert reports["it"].fingerprint
    early = make_network(
        "early", 0, make_component("sgd", learning_rate=0.5), make_component("early_stopping", patience=1)
    )
    built.clear()
    stack, reports = train(
        start(architecture, [early, make_network("it", 0, make_component("adam", learning_rate=0.0321))]),
        make_data(architecture),
        9,
        {},
    )
    assert reports["early"].stopped
    assert len(built) == 2


def test_networks_with_different_array_sizes_are_in_different_groups():
    """An array size cannot differ within a group: networks with another memory are in another group."""
    architecture = make_architecture()
    networks = [make_network(f"{i}", 0, make_component("lbfgs", memory=memory)) for i, memory in enumerate((5, 5, 3))]
    together = train_reports(architecture, networks, 8)
    for network in networks:
        assert train_reports(architecture, [network], 8)[network.key] == together[network.key]
    assert together["0"].fingerprint == together["1"].fingerprint != together["2"].fingerprint


@pytest.mark.parametrize(
    "components",
    [
        (make_component("weight_decay", strength=0.05),),
        (make_component("clip_norm", limit=0.1), make_component("l2", strength=0.1)),
        (make_component("max_norm", limit=0.5),),
        (make_component("ema", decay=0.9),),
        (make_component("swa", start=1),),
    ],
)
def test_a_full_batch_step_does_not_depend_on_the_batch_size(components):
    """In batches of 8 with other networks, the result equals that of one batch of all rows up to rounding."""
    small, large = make_architecture(dtype="float64", batch_size=8), make_architecture(dtype="float64", batch_size=1000)
    data, gd = make_data(small), make_component("gradient_descent", learning_rate=0.3)
    for optimizer in (gd, make_component("lookahead", optimizer=gd, every=3)):
        network = make_network("it", 0, optimizer, *components, schedule=make_component("exponential", gamma=0.9))
        networks = [make_network("a", 1, None, *components), network, make_network("b", 2, None, *components)]
        stack, _ = train(start(small, networks), data, 10, {})
        expected, _ = train(start(large, [network]), data, 10, {})
        assert_close_to_reference(stack.selected_weights_of("it"), expected.selected_weights_of("it"), 1e-10)


def test_a_last_batch_of_one_row_leaves_the_running_statistics():
    architecture = make_architecture((5, 7, 3), normalisation=BATCH_NORM, dtype="float64", batch_size=36)  # 37 rows
    still = make_network("it", 0, make_component("sgd", learning_rate=1e-15))
    stack, _ = train(start(architecture, [still]), make_data(architecture), 60, {})
    (layer, _) = layer_views(stack.parameters, architecture)
    z = make_data(architecture).train.x @ layer.W[0]
    np.testing.assert_allclose(layer.variance.ravel(), z.var(axis=0, ddof=1), rtol=0.05)


def test_a_plateau_behind_a_warm_up_begins_with_it_and_may_be_negative():
    then = make_component("reduce_on_plateau", patience=1, factor=0.5)
    late, early = (make_component("warm_up", epochs=10, then=then).build(), then.build())
    states = late.init(1), early.init(1)
    for epoch in range(1, 11):
        late.observe(np.array([-1.0]), states[0], epoch)
        early.observe(np.array([-1.0]), states[1], epoch)
    assert late.factor(10, states[0]) == 1
    assert early.factor(10, states[1]) < 0.1
    rising = make_component("reduce_on_plateau", patience=1, factor=0.5, threshold=0.1).build()
    state = rising.init(1)
    for epoch in range(1, 9):
        rising.observe(np.array([-2.0 + epoch / 10]), state, epoch)
    assert rising.factor(9, state) < 1  # the loss only increased


def test_predictions_are_copies_and_empty_for_no_rows():
    architecture = make_architecture()
    stack, _ = train(start(architecture, [make_network("a"), make_network("b", 1)]), make_data(architecture), 2, {})
    before = stack.parameters.copy()
    stack.selected_weights()[:] = 0
    stack.selected_weights_of("a")[:] = 0
    np.testing.assert_array_equal(stack.parameters, before)
    assert predict(stack.parameters, architecture, np.empty((0, 5), np.float32)).shape == (2, 0, 3)
    assert stack.take([-1]).networks == stack.networks[1:]
    with pytest.raises(IndexError):
        stack.take([2])


def regression_data(n_targets=1, seed=0):
    """A view with targets that are scaled, and their unit."""
    random = np.random.default_rng(seed)
    architecture = make_architecture((5, 7, n_targets), loss=Component("nncore.losses.squared_error"))
    values = random.normal(100 * (1 + seed), 20, (60, n_targets))
    scaling = Affine(values.mean(axis=0), values.std(axis=0))
    unit = ValueDecoder(tuple("uvw"[:n_targets]), scaling)
    x, t = random.normal(size=(60, 5)).astype(np.float32), unit.targets(values)
    return architecture, Data(Rows(x[:40], t[:40]), Rows(x[40:], t[40:])), unit, values[40:]


@pytest.mark.parametrize("n_targets", [1, 3])
def test_metrics_are_in_the_unit_of_each_view(n_targets):
    """Two folds are scaled differently; the error of each is that of scikit-learn in the target's own unit."""
    parts = [regression_data(n_targets, seed) for seed in range(2)]
    architecture = parts[0][0]
    metrics = {"mean_absolute_error": mean_absolute_error(), "r2": r2()}
    networks = [replace(make_network(str(k), k), view=k % 2) for k in range(4)]
    views, units = tuple(part[1] for part in parts), [part[2] for part in parts]
    stack, reports = train(start(architecture, networks), views, 3, metrics, units=units)
    for network in networks:
        _, data, unit, values = parts[network.view]
        z = predict(stack.selected_weights_of(network.key), architecture, data.validation.x)
        errors = sk_metrics.mean_absolute_error(values, unit.undo(z)[0])
        curves = reports[network.key].curves
        assert curves["validation/mean_absolute_error"][-1] == pytest.approx(errors, rel=1e-6)
        assert errors > 5
        assert curves["validation/r2"][-1] == pytest.approx(sk_metrics.r2_score(values, unit.undo(z)[0]), rel=1e-5)


def test_metrics_are_those_of_bounded_predictions_of_transformed_targets():
    """Networks learn logarithms; scikit-learn's scores of the bounded exponentials of what they say."""
    architecture, data, *_ = regression_data()
    values = np.exp(np.random.default_rng(0).normal(size=(60, 1)))
    logs = np.log(values)
    unit = ValueDecoder(
        ("t",), Affine(logs.mean(axis=0), logs.std(axis=0)), None, Logarithm(), np.array([[0.9], [1.1]])
    )
    parts = [rows._replace(t=unit.targets(y)) for rows, y in zip(data, (values[:40], values[40:]), strict=True)]
    metrics = {"mean_absolute_error": mean_absolute_error()}
    stack, reports = train(
        start(architecture, [make_network("a")]), Data(*parts), 2, metrics, final_metrics={"r2": r2()}, units=[unit]
    )
    z = predict(stack.parameters, architecture, parts[1].x)[0].astype(float)
    y = np.clip(np.exp(z * logs.std() + logs.mean()), 0.9, 1.1)
    assert 0 < np.isin(y, [0.9, 1.1]).sum() < len(y)
    expected = sk_metrics.mean_absolute_error(values[40:], y)
    assert reports["a"].curves["validation/mean_absolute_error"][-1] == pytest.approx(expected, rel=1e-5)
    assert reports["a"].scores["validation/r2"] == pytest.approx(sk_metrics.r2_score(values[40:], y), rel=1e-4)


def test_law_1_final_metrics_do_not_depend_on_slices_or_packing():
    """Networks stop at different epochs: each has the score of its selected weights, the same in any packing."""
    architecture = make_architecture()
    data = make_data(architecture, n_validation=50)
    rates = (0.01, 0.3, 0.9, 2.0)
    networks = [
        make_network(f"{rate}", 0, make_component("sgd", learning_rate=rate), make_component("early_stopping"))
        for rate in rates
    ]
    final, reports = {"roc_auc": roc_auc(), "average_precision": average_precision()}, {}
    stack, together = train(start(architecture, networks), data, 40, {}, final_metrics=final)
    stops = {key: report.stopped[0] for key, report in together.items() if report.stopped}
    assert len({*stops.values()}) > 1
    for network in networks:
        stack = start(architecture, [network])
        while stack.networks and stack.epoch < 40:
            stack, reports = train(stack, data, stack.epoch + 7 if stack.epoch < 35 else 40, {}, final_metrics=final)
            weights = stack.selected_weights_of(network.key)
        report = reports[network.key]
        assert report.scores == together[network.key].scores
        y = architecture.functions.loss.predict(predict(weights, architecture, data.validation.x))
        expected = sk_metrics.roc_auc_score(data.validation.t.argmax(axis=1), y[0], multi_class="ovr")
        assert report.scores["validation/roc_auc"] == pytest.approx(expected, rel=1e-6)


def test_early_stopping_looks_for_the_highest_value_of_a_score():
    architecture = make_architecture()
    stop = make_component("early_stopping", patience=3, watch="validation/accuracy")
    network = make_network("it", 0, make_component("sgd", learning_rate=0.5), stop)
    _, reports = train(start(architecture, [network]), make_data(architecture), 200, {"accuracy": accuracy()})
    report = reports["it"]
    curve = report.curves["validation/accuracy"]
    assert report.selected_epoch == 1 + curve.index(max(curve)) == len(curve) - 3
    assert report.stopped[1] == f"validation/accuracy was highest, {max(curve):.6g}, in epoch {report.selected_epoch}"


def test_early_stopping_refuses_a_curve_that_there_is_not():
    network = make_network("it", 0, None, make_component("early_stopping", watch="validation/f1"))
    architecture = make_architecture()
    with pytest.raises(ValueError, match=r"watch must be .*validation/accuracy, but is 'validation/f1'"):
        train(start(architecture, [network]), make_data(architecture), 1, {"accuracy": accuracy()})


def test_early_stopping_prefers_any_number_to_none():
    stop = make_component("early_stopping", patience=2).build()
    state = stop.init(np.zeros((2, 1)))
    curves = [[np.nan, 1.0], [3.0, np.nan], [np.nan, 0.5], [4.0, np.nan]]
    stops = [stop.observe(np.zeros((2, 1)), state, np.array(v), epoch).tolist() for epoch, v in enumerate(curves, 1)]
    assert stops == [[False, False], [False, False], [False, False], [True, False]]
    assert state["epoch"].tolist() == [2, 3]
