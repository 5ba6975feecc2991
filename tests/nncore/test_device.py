"""The estimated memory of a stack, compared with what NumPy allocates."""

import gc
import tracemalloc

import pytest
from discovery import OPTIMIZERS, REGULARIZERS, short_name
from running import nightly_after_first
from samples import BATCH_NORM, METRICS, make_architecture, make_data, make_network

from nncore.kernels.elementwise import ElementwiseKernel
from nncore.stack.device import network_bytes
from nncore.stack.state import start
from nncore.stack.training import train

WIDTH = 12
SHAPES = {  # including validation rows
    "small": (make_architecture((32, 64, 10), batch_size=32), 300),
    "wide": (make_architecture((64, 256, 256, 10), batch_size=128), 300),
    "normalised": (make_architecture((32, 64, 64, 10), batch_size=32, normalisation=BATCH_NORM, residual=True), 300),
    "much to watch": (make_architecture((16, 8, 3), batch_size=16), 3000),
}


def peak_bytes(architecture, networks, data):
    """The peak memory of a stack and its training."""
    tracemalloc.start()
    stack = start(architecture, networks)
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
    estimated_bytes = WIDTH * network_bytes(architecture, networks[0], n_validation)
    assert estimated_bytes / 4 < peak_bytes(architecture, networks, data) < estimated_bytes
