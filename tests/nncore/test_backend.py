"""The seam between NumPy and CuPy: the same source trains where the arrays lie, and brings nothing back unasked.

On a GPU the arrays are CuPy's; everywhere else a stand-in that refuses to mix with the host's arrays as CuPy's do.
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
    SOFTMAX,
    make_architecture,
    make_component,
    make_data,
    make_network,
    mixed_networks,
)

from nncore.kernels.backend import array_module, to_gpu, to_host
from nncore.stack import checkpoint as stack_file
from nncore.stack.device import to_device, views_to_device
from nncore.stack.regroup import collect, freeze
from nncore.stack.state import start
from nncore.stack.training import train


def both_ways(architecture, networks, to, tolerance, weighted=False, epochs=3):
    """Train here and there; the results agree, and there they lie there."""
    data = tuple(
        make_data(architecture, weighted=weighted, seed=view) for view in sorted({network.view for network in networks})
    )
    metrics = METRICS if architecture.loss == SOFTMAX else {}
    here, expected = train(start(architecture, networks), data, epochs, metrics)
    stack, there = to_device(start(architecture, networks), to), views_to_device(data, to)
    after, found = train(stack, there, epochs, metrics)
    assert type(after.parameters) is type(stack.parameters)
    for network in networks:
        for name, curve in expected[network.key].curves.items():
            np.testing.assert_allclose(found[network.key].curves[name], curve, rtol=tolerance, atol=tolerance)
        if network.key in {network.key for network in here.networks} | set(here.stopped):
            np.testing.assert_allclose(
                to_host(after.selected_weights_of(network.key)),
                here.selected_weights_of(network.key),
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
    (
        "views",
        make_architecture((5, 7, 6, 3), RELU),
        [replace(network, view=index % 3) for index, network in enumerate(mixed_networks(seeds=(0, 0, 1)))],
    ),
]
every_case = pytest.mark.parametrize(("name", "architecture", "networks"), CASES, ids=[name for name, *_ in CASES])


@every_case
def test_the_same_source_trains_on_a_device(name, architecture, networks):
    """Bit for bit, because the stand-in computes as the host does."""
    both_ways(architecture, networks, standin_device.asarray, tolerance=0, weighted=name in ("mixed", "views"))


def test_networks_are_regrouped_where_they_lie_and_saved_from_there(tmp_path):
    architecture = make_architecture(normalisation=BATCH_NORM)
    here, _ = train(start(architecture, mixed_networks()), make_data(architecture), 2, {})
    there = to_device(here, standin_device.asarray)
    keys = [network.key for network in here.networks[::-1]]
    for regroup in (lambda stack: collect(stack.networks[::-1], keys, [stack]), freeze):
        mine, theirs = regroup(here), regroup(there)
        assert type(theirs.parameters) is type(there.parameters)
        assert stack_file.save(mine, tmp_path / "here") == stack_file.save(theirs, tmp_path / "there")


def test_the_stand_in_refuses_what_cupy_refuses():
    there, here = standin_device.asarray(np.ones(3)), np.ones(3)
    for mix in (
        lambda: there + here,
        lambda: np.add(here, there),
        lambda: np.concatenate([there, here]),
        lambda: here + there,
    ):
        with pytest.raises(TypeError, match="meets one of the device"):
            mix()
    for fetch in (lambda: float(there[0:1]), there.tobytes):
        with pytest.raises(TypeError, match=r"fetched from the device with get"):
            fetch()
    assert array_module(there) is standin_device
    assert array_module(here) is np
    np.testing.assert_array_equal((there * 2 + 1).get(), [3, 3, 3])


@pytest.mark.gpu
@every_case
def test_the_same_source_trains_on_a_gpu(name, architecture, networks, gpu):
    architecture = replace(architecture, dtype="float64")
    both_ways(architecture, networks, to_gpu, tolerance=1e-6, weighted=name == "mixed")
