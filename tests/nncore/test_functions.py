"""Activations, losses, normalisations, schedules, clipping and averages compared with torch's values."""

import numpy as np
import pytest
from discovery import ACTIVATIONS, LOSSES, NORMALISATIONS, SCHEDULES, short_name
from references import assert_close_to_reference, read_reference
from samples import make_component, make_step

from nncore.activations import parametric
from nncore.architecture import Architecture, Layer, LayerView, layer_views
from nncore.components import Component
from nncore.kernels.workspace import Workspace
from nncore.losses import mean_gradient, mean_value
from nncore.random_streams import RandomStreams

REFERENCE = read_reference("functions")


def cases(kind):
    return [(name, case) for name, several in REFERENCE[kind].items() for case in several]


def named(values):
    return [f"{name} {index}" for index, (name, _) in enumerate(values)]


@pytest.mark.parametrize(("name", "case"), cases("activations"), ids=named(cases("activations")))
def test_activation_is_torchs(name, case):
    f = Component(f"nncore.activations.{name}", tuple(case["arguments"].items())).build()
    z = np.array(case["z"]).reshape(1, -1, 3)
    slope, out = np.empty((2, *z.shape))
    parametric(f).with_slope(z, slope, out)  # every activation has a parametric form
    assert_close_to_reference(out.ravel(), case["y"], floor=1e-14)
    assert_close_to_reference(slope.ravel(), case["dy_dz"], floor=1e-14)
    y = f.forward(z, np.empty_like(z))
    assert_close_to_reference(y.ravel(), case["y"], floor=1e-14)
    assert_close_to_reference(f.backward(np.ones_like(z), z, y, np.empty_like(z)).ravel(), case["dy_dz"], floor=1e-14)


@pytest.mark.parametrize(
    "activation", [component for component in ACTIVATIONS if component.build().biased], ids=short_name
)
def test_biased_equals_the_activation_of_the_sum(activation):
    f, random = activation.build(), np.random.default_rng(0)
    z, b = random.normal(size=(3, 5, 4)), random.normal(size=(3, 1, 4))
    expected = f.forward(z + b, np.empty_like(z))
    np.testing.assert_array_equal(f.biased(z, b), expected)


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=short_name)
def test_an_activation_says_whether_it_keeps_its_inputs(activation):
    f, random = activation.build(), np.random.default_rng(0)
    z, dy = random.normal(size=(2, 3, 5, 4))
    given, given_dy = z.copy(), dy.copy()
    y = f.forward(given, np.empty_like(z)).copy()
    f.backward(given_dy, given, y, np.empty_like(z))
    kept = np.array_equal(given, z) and np.array_equal(given_dy, dy)
    assert kept or not f.keeps_inputs
    assert kept == f.keeps_inputs or activation.short_name == "identity"


@pytest.mark.parametrize(("name", "case"), cases("losses"), ids=named(cases("losses")))
def test_loss_is_torchs(name, case):
    loss = Component(f"nncore.losses.{name}", tuple(case["arguments"].items())).build()
    z, t = np.array(case["z"])[None], np.array(case["t"])[None]
    weights = None if case["weights"] is None else np.array(case["weights"])[None] / np.mean(case["weights"])
    value, dz = mean_gradient(loss, z, t, weights)
    assert_close_to_reference(value, [case["value"]])
    assert_close_to_reference(mean_value(loss, z, t, weights), [case["value"]])
    assert_close_to_reference(dz[0], case["dz"])


def test_label_smoothing_is_torchs():
    case = REFERENCE["label_smoothing"]
    z = np.array(case["z"])[None]
    t = np.eye(z.shape[2])[case["classes"]][None]
    make_component("label_smoothing", strength=case["smoothing"]).build().augment(
        None, t, "one-hot", RandomStreams([0], 0).of(slice(None))
    )
    value, dz = mean_gradient(Component("nncore.losses.softmax_cross_entropy").build(), z, t)
    assert_close_to_reference(value, [case["value"]])
    assert_close_to_reference(dz[0], case["dz"])


def test_class_weights_are_torchs():
    """As weights of rows: each row has the weight of its class."""
    case = REFERENCE["class_weights"]
    z = np.array(case["z"])[None]
    t = np.eye(z.shape[2])[case["classes"]][None]
    weights = np.array(case["weight"])[case["classes"]][None]
    value, dz = mean_gradient(Component("nncore.losses.softmax_cross_entropy").build(), z, t, weights / weights.mean())
    assert_close_to_reference(value, [case["value"]])
    assert_close_to_reference(dz[0], case["dz"])


@pytest.mark.parametrize(("kind", "name"), [("batch", "batch_norm"), ("layer", "layer_norm")])
def test_normalisation_is_torchs(kind, name):
    case = REFERENCE["normalisations"][kind]
    norm = Component(f"nncore.normalisations.{name}", tuple(case["arguments"].items())).build()
    scale, shift = (np.array(case[key])[None, None] for key in ("scale", "shift"))
    b = np.linspace(-1, 1, scale.size).reshape(scale.shape) if norm.has_bias else np.zeros_like(scale)
    none, scratch = np.empty(0), Workspace()
    layer = LayerView(none, b, scale, shift, np.zeros_like(scale), np.ones_like(scale))
    for batch in case["batches"]:
        y, added, cache = norm.train(np.array(batch["x"])[None] - b, layer, scratch)
        y = y + added
        d = LayerView(none, none, np.empty_like(scale), np.empty_like(shift))
        dz = norm.backward(np.array(batch["dy"])[None], cache, layer, d, scratch)
        assert_close_to_reference(y[0], batch["outputs"])
        assert_close_to_reference(dz[0], batch["dx"])
        assert_close_to_reference(d.scale.ravel(), batch["dscale"])
        assert_close_to_reference(d.shift.ravel(), batch["dshift"])
    if kind == "batch":
        assert_close_to_reference(layer.mean.ravel(), case["running_mean"])
        assert_close_to_reference(layer.variance.ravel(), case["running_variance"])
    assert_close_to_reference(
        np.add(*norm.infer(np.array(case["inference"]["x"])[None] - b, layer))[0], case["inference"]["outputs"]
    )


@pytest.mark.parametrize("component", NORMALISATIONS, ids=lambda component: component.short_name)
def test_a_layer_has_a_bias_exactly_where_it_matters(component):
    """A bias that the normalisation subtracts again would be moved by rounding errors alone."""
    norm, random = component.build(), np.random.default_rng(0)
    xW, shape = random.normal(size=(1, 8, 5)), (1, 1, 5)
    outputs = []
    for bias in (np.zeros(shape), random.normal(size=shape)):
        layer = LayerView(
            np.empty(0), np.zeros(shape), np.ones(shape), np.zeros(shape), np.zeros(shape), np.ones(shape)
        )
        y, shift, _ = norm.train(xW + bias, layer, Workspace())
        outputs.append(y + shift)
    assert norm.has_bias == (not np.allclose(*outputs))
    architecture = Architecture(
        5, (Layer(7, normalisation=component), Layer(3)), Component("nncore.losses.squared_error")
    )
    (first, last), biases = layer_views(np.zeros((1, architecture.buffer_size)), architecture), 7 * norm.has_bias + 3
    assert (first.b.size + last.b.size, last.b.shape) == (biases, (1, 1, 3))
    others = 2 * 7 * norm.has_scale_and_shift
    assert architecture.n_parameters == architecture.n_weights + biases + others
    assert architecture.n_weights == 5 * 7 + 7 * 3


def schedule(name, arguments):
    inner = {k: schedule(v["name"], v["arguments"]) if isinstance(v, dict) else v for k, v in arguments.items()}
    return make_component(name, **inner)


@pytest.mark.parametrize("case", REFERENCE["schedules"], ids=lambda case: case["schedule"])
def test_schedule_is_torchs(case):
    component = schedule(case["schedule"], case["arguments"]).build()
    state, factors = component.init(1), []
    if "losses" in case:
        for loss in case["losses"]:
            component.observe(np.array([loss]), state, 1)
            factors.append(float(component.factor(0, state)[0]))
    else:
        factors = [float(component.factor(epoch, state)[0]) for epoch in range(len(case["factors"]))]
    assert_close_to_reference(factors, case["factors"])
    assert len(set(case["factors"])) > 2


def test_a_constant_schedule_is_one():
    assert make_component("constant").build().factor(7.25, {}) == 1


def test_every_function_has_reference_values():
    assert set(REFERENCE["activations"]) == {component.short_name for component in ACTIVATIONS} - {"parametric"}
    assert set(REFERENCE["losses"]) == {component.short_name for component in LOSSES}
    assert {case["schedule"] for case in REFERENCE["schedules"]} == {
        component.short_name for component in SCHEDULES
    } - {"constant"}
    assert {f"{kind}_norm" for kind in REFERENCE["normalisations"]} == {
        component.short_name for component in NORMALISATIONS
    } - {"none"}


@pytest.mark.parametrize("case", REFERENCE["clipping"]["norm"])
def test_clipping_by_norm_is_torchs_except_for_its_epsilon(case):
    g = np.array([case["gradient"]])
    norm = np.sqrt((g**2).sum())
    make_component("clip_norm", limit=case["limit"]).build().clip(g)
    added = (norm + case["added_to_norm"]) / norm if norm > case["limit"] else 1
    assert_close_to_reference(g[0], np.array(case["clipped"]) * added)


@pytest.mark.parametrize("case", REFERENCE["clipping"]["value"])
def test_clipping_by_value_is_torchs(case):
    g = np.array([case["gradient"]])
    make_component("clip_value", limit=case["limit"]).build().clip(g)
    assert_close_to_reference(g[0], case["clipped"])


def averages_of(average):
    state, averages = average.init(np.zeros((1, len(REFERENCE["averages"]["sequence"][0])))), []
    for number, W in enumerate(REFERENCE["averages"]["sequence"], start=1):
        average.observe(np.array([W]), state, make_step(number, last=True), number)
        averages.append(average.average(np.array([W]), state)[0])
    return averages


@pytest.mark.parametrize("case", REFERENCE["averages"]["ema"])
def test_ema_is_torchs(case):
    assert_close_to_reference(averages_of(make_component("ema", decay=case["decay"]).build()), case["averaged"])


def test_swa_is_torchs():
    assert_close_to_reference(
        averages_of(make_component("swa", start=0).build()), REFERENCE["averages"]["swa"]["averaged"]
    )
