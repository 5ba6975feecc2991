"""The boundary between NumPy and CuPy: the same code trains on host and device, without implicit transfers.

Where there is no GPU, a stand-in for CuPy is used, whose arrays refuse to be mixed with host arrays as CuPy's do.
"""

from dataclasses import replace

import numpy as np
import pytest
import standin_device
from discovery import ACTIVATIONS, LOSSES, NORMALISATIONS, OPTIMIZERS, REGULARIZERS, SCHEDULES, short_name
from samples import (
    BATCH_NORM,
    METRICS,
    RELU,
    SIGMOID,
    SOFTMAX,
    SQUARED,
    make_architecture,
    make_component,
    make_data,
    make_network,
    mixed_networks,
)

from nncore.components import Component, component_names
from nncore.inference.model import ValueDecoder
from nncore.inference.scaling import Affine
from nncore.inference.target_transforms import YeoJohnson
from nncore.kernels.backend import array_module, to_gpu, to_host
from nncore.stack import checkpoint as stack_file
from nncore.stack.device import to_device, views_to_device
from nncore.stack.regroup import collect, freeze
from nncore.stack.state import start
from nncore.stack.training import train


def assert_device_equals_host(architecture, networks, to_module, tolerance, weighted=False, epochs=3):
    """Train on the host and on the device; the results agree, and arrays of the device stay there."""
    data = tuple(
        make_data(architecture, weighted=weighted, seed=view) for view in sorted({network.view for network in networks})
    )
    metrics = METRICS if architecture.loss == SOFTMAX else {}
    host_stack, expected = train(start(architecture, networks), data, epochs, metrics)
    stack, device_views = to_device(start(architecture, networks), to_module), views_to_device(data, to_module)
    device_stack, reports = train(stack, device_views, epochs, metrics)
    assert type(device_stack.parameters) is type(stack.parameters)
    for network in networks:
        for name, curve in expected[network.key].curves.items():
            np.testing.assert_allclose(reports[network.key].curves[name], curve, rtol=tolerance, atol=tolerance)
        if network.key in {network.key for network in host_stack.networks} | set(host_stack.stopped):
            np.testing.assert_allclose(
                to_host(device_stack.selected_weights_of(network.key)),
                host_stack.selected_weights_of(network.key),
                rtol=tolerance,
                atol=tolerance,
            )


CASES = [
    *[(short_name(component), make_architecture(), [make_network("it", 0, component)]) for component in OPTIMIZERS],
    *[
        (short_name(component), make_architecture((5, 7, 6, 3)), [make_network("it", 0, None, component)])
        for component in REGULARIZERS
    ],
    *[
        (short_name(component), make_architecture(), [make_network("it", 0, schedule=component)])
        for component in SCHEDULES
    ],
    *[(short_name(component), make_architecture(activation=component), [make_network()]) for component in ACTIVATIONS],
    *[
        (
            short_name(component),
            make_architecture((5, 7, 4), loss=component),
            [make_network("it", 0, make_component("sgd", learning_rate=0.01))],
        )
        for component in LOSSES
    ],
    *[
        (
            short_name(component),
            make_architecture((5, 7, 7, 3), normalisation=component, residual=True),
            [make_network()],
        )
        for component in NORMALISATIONS
    ],
    ("mixed", make_architecture((5, 7, 7, 3), RELU, normalisation=BATCH_NORM), mixed_networks()),
    *[
        (
            f"members {adapters}",
            make_architecture(
                (20, 20, 3), normalisation=BATCH_NORM, members=3, adapters=adapters, batch_size=batch_size
            ),
            mixed_networks()[:8],
        )
        for adapters, batch_size in (("mini", 8), ("full", 8), ("full", 16), ("packed", 8))
    ],
    (
        "views",
        make_architecture((5, 7, 6, 3), RELU),
        [replace(network, view=index % 3) for index, network in enumerate(mixed_networks(seeds=(0, 0, 1)))],
    ),
]
every_case = pytest.mark.parametrize(("name", "architecture", "networks"), CASES, ids=[name for name, *_ in CASES])


@every_case
def test_the_same_source_trains_on_a_device(name, architecture, networks):
    """Bit for bit, because the stand-in computes with NumPy."""
    assert_device_equals_host(
        architecture, networks, standin_device.asarray, tolerance=0, weighted=name in ("mixed", "views")
    )


@pytest.mark.parametrize("targets", [1, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_cheap_metrics_are_computed_on_a_device_and_the_others_on_the_host(targets, weighted):
    """With one output and with several, in the unit of the values; the final scores are those of the host, too."""
    built = {
        name: Component(f"nncore.metrics.{name}").build() for name in component_names("metrics") - {"mean_pinball_loss"}
    }
    for loss, kind in ((SIGMOID, "labels"), (SOFTMAX if targets > 1 else SIGMOID, "classes"), (SQUARED, "values")):
        architecture = make_architecture((5, 7, targets), loss=loss)
        data = make_data(architecture, weighted=weighted)
        scaling = Affine(np.arange(targets) + 5.0, np.arange(targets) + 2.0)
        powers = YeoJohnson(Affine(np.zeros(targets), np.ones(targets)), np.linspace(0, 1, targets))
        bounds = np.array([[1.0], [9]]) + np.zeros(targets)
        unit = ValueDecoder(tuple("uvw"[:targets]), scaling, None, powers, bounds)
        fitting = {name: metric for name, metric in built.items() if kind in metric.targets}
        cheap = {name: metric for name, metric in fitting.items() if metric.every_epoch}
        rules = {"final_metrics": {name: metric for name, metric in fitting.items() if name not in cheap}}
        rules |= {"units": [unit]} if kind == "values" else {}
        reports = []
        for move in (lambda array: array, standin_device.asarray):
            stack = to_device(start(architecture, [make_network("a"), make_network("b", 1)]), move)
            reports.append(train(stack, views_to_device((data,), move), 2, cheap, **rules)[1])
        for key, report in reports[0].items():
            assert {f"validation/{name}" for name in fitting} <= report.curves.keys() | report.scores.keys()
            np.testing.assert_equal(vars(reports[1][key]), vars(report))


def test_networks_are_regrouped_and_saved_on_their_device(tmp_path):
    architecture = make_architecture(normalisation=BATCH_NORM)
    on_host, _ = train(start(architecture, mixed_networks()), make_data(architecture), 2, {})
    on_device = to_device(on_host, standin_device.asarray)
    keys = [network.key for network in on_host.networks[::-1]]
    for regroup in (lambda stack: collect(stack.networks[::-1], keys, [stack]), freeze):
        host_stack, device_stack = regroup(on_host), regroup(on_device)
        assert type(device_stack.parameters) is type(on_device.parameters)
        assert stack_file.save(host_stack, tmp_path / "here") == stack_file.save(device_stack, tmp_path / "there")


def test_the_stand_in_refuses_what_cupy_refuses():
    on_device, on_host = standin_device.asarray(np.ones(3)), np.ones(3)
    for mix in (
        lambda: on_device + on_host,
        lambda: np.add(on_host, on_device),
        lambda: np.concatenate([on_device, on_host]),
        lambda: on_host + on_device,
    ):
        with pytest.raises(TypeError, match="meets one of the device"):
            mix()
    for fetch in (lambda: float(on_device[0:1]), on_device.tobytes):
        with pytest.raises(TypeError, match=r"fetched from the device with get"):
            fetch()
    assert array_module(on_device) is standin_device
    assert array_module(on_host) is np
    np.testing.assert_array_equal((on_device * 2 + 1).get(), [3, 3, 3])


@pytest.mark.gpu
@every_case
def test_the_same_source_trains_on_a_gpu(name, architecture, networks, gpu):
    architecture = replace(architecture, dtype="float64")
    assert_device_equals_host(architecture, networks, to_gpu, tolerance=1e-6, weighted=name == "mixed")
