"""The laws on a real GPU, within a tolerance, and the speed of a wide stack. Skipped without a GPU."""

import time
from dataclasses import replace

import numpy as np
import pytest
from samples import (
    BATCH_NORM,
    METRICS,
    RELU,
    make_architecture,
    make_component,
    make_data,
    make_network,
    mixed_networks,
    train_in_slices,
)
from sklearn.datasets import load_digits

from nncore.kernels.backend import probe_gpu, to_gpu, to_host, with_gpu_memory_limit
from nncore.stack.data import Data, Rows
from nncore.stack.device import network_bytes, to_device, views_to_device
from nncore.stack.state import start
from nncore.stack.training import train

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("gpu")]
TOLERANCE = 1e-6  # in float64, for losses and parameters after a few epochs
DOUBLE = replace(make_architecture((5, 7, 7, 3), RELU, normalisation=BATCH_NORM), dtype="float64")


def data(architecture):
    return views_to_device([make_data(architecture)], to_gpu)[0]


def trained(architecture, networks, epochs=3):
    """The selected weights and curves of trained networks, by key."""
    after, reports = train(to_device(start(architecture, networks), to_gpu), data(architecture), epochs, METRICS)
    surviving = {network.key for network in after.networks} | set(after.stopped)
    weights = {
        network.key: to_host(after.selected_weights_of(network.key)) for network in networks if network.key in surviving
    }
    return weights, {key: report.curves for key, report in reports.items()}


def assert_close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=TOLERANCE, atol=TOLERANCE)


def test_law_1_a_network_is_the_same_alone_and_in_a_stack():
    networks = mixed_networks()
    together, curves = trained(DOUBLE, networks)
    for network in networks:
        alone, curves_alone = trained(DOUBLE, [network])
        for name, curve in curves_alone[network.key].items():
            assert_close(curves[network.key][name], curve)
        if network.key in alone:
            assert_close(together[network.key], alone[network.key])


def test_law_1_slices_of_any_length_give_the_same_results():
    networks = [make_network(str(seed), seed, make_component("adam", learning_rate=0.01)) for seed in range(5)]
    _, unsliced = trained(DOUBLE, networks, 6)
    joined = train_in_slices(to_device(start(DOUBLE, networks), to_gpu), [1, 3, 6], data(DOUBLE))
    for key, curves in unsliced.items():
        for name, curve in curves.items():
            assert_close(joined[key].curves[name], curve)


def test_law_2_a_diverging_network_does_not_change_its_neighbours():
    wild = make_network("wild", 0, make_component("sgd", learning_rate=1e30))
    neighbours = [make_network(str(seed), seed, make_component("adam", learning_rate=0.01)) for seed in range(3)]
    together, _ = trained(DOUBLE, [neighbours[0], wild, *neighbours[1:]])
    alone, _ = trained(DOUBLE, neighbours)
    assert "wild" not in together
    for key, weights in alone.items():
        assert_close(together[key], weights)


def test_out_of_memory_raises_memory_error_and_all_memory_is_freed():
    before, _ = probe_gpu()

    def held(n):
        arrays = [to_gpu(np.zeros(n)) for _ in range(3)]
        return float(to_host(arrays[0]).sum())

    assert with_gpu_memory_limit(100_000_000, held, 1_000_000) == 0
    after, _ = probe_gpu()
    assert after > before - 20_000_000
    with pytest.raises(MemoryError, match="of a GPU were not enough"):
        with_gpu_memory_limit(100_000_000, held, 20_000_000)
    after, _ = probe_gpu()
    assert after > before - 20_000_000


def test_a_thousand_networks_on_digits_agree_with_the_cpu(capsys):
    """One stack wider than a core would train: Adam at 1,000 rates, 2 epochs; the median of 3 runs each."""
    bundle = load_digits()
    x, t = (bundle.data / 16).astype("float32"), np.eye(10, dtype="float32")[bundle.target]
    view = Data(Rows(x[:1400], t[:1400]), Rows(x[1400:], t[1400:]))
    architecture = make_architecture((64, 64, 10), RELU, batch_size=32)
    networks = [make_network(str(n), n % 5, make_component("adam", learning_rate=1e-4 * 1.004**n)) for n in range(1000)]
    seconds, curves = {}, {}

    def timed(name, to):
        stack, views = to_device(start(architecture, networks), to), views_to_device([view], to)
        train(stack, views, 1, METRICS)  # warm-up: kernels are compiled
        times = []
        for _ in range(3):
            began = time.perf_counter()
            _, reports = train(stack, views, 2, METRICS)
            times.append(time.perf_counter() - began)
        seconds[name], curves[name] = sorted(times)[1], [reports[network.key].curves for network in networks]

    timed("core", lambda array: array)
    limit = max(1000 * network_bytes(architecture, networks[0], 1400, 397), 10**9)
    with_gpu_memory_limit(limit, timed, "GPU", to_gpu)
    for on_core, on_gpu in zip(curves["core"], curves["GPU"], strict=True):
        np.testing.assert_allclose(on_gpu["train/loss"], on_core["train/loss"], rtol=1e-3)
        np.testing.assert_allclose(on_gpu["validation/accuracy"], on_core["validation/accuracy"], atol=0.02)
    with capsys.disabled():
        steps = 1000 * 2 * 44
        rates = {name: f"{steps / taken:,.0f} network-steps/s" for name, taken in seconds.items()}
        print(f"\n1,000 networks on digits: {rates}, ratio {seconds['core'] / seconds['GPU']:.1f}")
