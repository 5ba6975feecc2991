"""The estimated memory of a stack, compared with what NumPy allocates."""

import gc
import tracemalloc

import pytest
from discovery import EMBEDDINGS, OPTIMIZERS, REGULARIZERS, short_name
from running import nightly_after_first
from samples import BATCH_NORM, METRICS, make_architecture, make_data, make_network

from nncore.kernels.elementwise import ElementwiseKernel
from nncore.stack.device import LEAST_PER_PARAMETER, network_bytes
from nncore.stack.state import start
from nncore.stack.training import train

WIDTH = 12
SHAPES = {  # including validation rows
    "small": (make_architecture((32, 64, 10), batch_size=32), 300),
    "wide": (make_architecture((64, 256, 256, 10), batch_size=128), 300),
    "normalised": (make_architecture((32, 64, 64, 10), batch_size=32, normalisation=BATCH_NORM, residual=True), 300),
    "much to watch": (make_architecture((16, 8, 3), batch_size=16), 3000),
    "members": (make_architecture((32, 64, 64, 10), batch_size=32, members=8, adapters="full"), 300),
    "members' weights": (make_architecture((32, 64, 10), batch_size=64, members=8, adapters="mini"), 300),
    "packed members": (make_architecture((32, 64, 10), batch_size=32, members=8, adapters="packed"), 300),
}


def peak_bytes(architecture, networks, data):
    """The peak memory of a stack and its training."""
    tracemalloc.start()
    stack = start(architecture, networks, data=data)
    train(stack, data, 1, METRICS)
    gc.collect()
    tracemalloc.reset_peak()
    without, _ = tracemalloc.get_traced_memory()
    train(stack, data, 2, METRICS)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most - without + stack.parameters.nbytes + sum(array.nbytes for array in stack.state.values())


@pytest.mark.slow
@pytest.mark.parametrize("size", nightly_after_first(SHAPES))
@pytest.mark.parametrize("component", [*OPTIMIZERS, *REGULARIZERS], ids=short_name)
def test_estimated_memory_is_a_close_upper_bound(component, size, monkeypatch):
    monkeypatch.setattr(ElementwiseKernel, "_run_compiled", lambda *_: False)  # as on a GPU: without compiled loops
    monkeypatch.setattr("nncore.kernels.elementwise.CHUNK_SIZE", 1 << 40)
    monkeypatch.setattr("nncore.stack.monitor.OUTPUTS_IN_CACHE", 1 << 40)
    architecture, n_validation = SHAPES[size]
    data = make_data(architecture, 260, n_validation)
    optimizer, *regularizers = [component] if component in OPTIMIZERS else [None, component]
    networks = [make_network(str(seed), seed, optimizer, *regularizers) for seed in range(WIDTH)]
    estimated_bytes = WIDTH * network_bytes(architecture, networks[0], 260, n_validation)
    assert estimated_bytes / 4 < peak_bytes(architecture, networks, data) < estimated_bytes


@pytest.mark.parametrize("component", nightly_after_first([*OPTIMIZERS, *REGULARIZERS]), ids=short_name)
def test_the_least_memory_is_not_more_than_a_core_takes(component):
    """A network is refused if it needs more, so the estimate must not exaggerate, nor be too low to refuse any."""
    architecture = make_architecture((50, 400, 400, 10), batch_size=16)
    optimizer, *regularizers = [component] if component in OPTIMIZERS else [None, component]
    network = make_network("", 0, optimizer, *regularizers)
    estimated_bytes = network_bytes(architecture, network, 64, 30, LEAST_PER_PARAMETER)
    measured_bytes = peak_bytes(architecture, [network], make_data(architecture, 64, 30))
    assert measured_bytes / 2 < estimated_bytes < 1.15 * measured_bytes


@pytest.mark.parametrize("embedding", nightly_after_first([e for e in EMBEDDINGS if e.build().size]), ids=short_name)
def test_the_memory_of_an_embedding_is_estimated_from_above(embedding):
    architecture = make_architecture((200, 16, 3), batch_size=128, embedding=embedding, n_numeric=200)
    data, network = make_data(architecture, 260, 300), make_network("", 0)
    estimated_bytes = network_bytes(architecture, network, 260, 300, LEAST_PER_PARAMETER)
    peak_bytes(architecture, [network], data)  # loads Numba, if no other test has
    assert estimated_bytes / 3 < peak_bytes(architecture, [network], data) < estimated_bytes


def test_estimating_the_memory_of_a_huge_network_takes_none():
    """4 TB of parameters."""
    architecture = make_architecture((10, 10**6, 10**6, 2))
    tracemalloc.start()
    estimated_bytes = network_bytes(architecture, make_network("", 0), 100, 100)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert estimated_bytes > 3 * 4e12
    assert peak < 1e6
