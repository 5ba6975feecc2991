"""How many tasks get a GPU or a share of one, and the messages about unusable GPUs."""

import pytest

from pipeline.backends.base import NO_GPUS, GpuCapacity, TaskLostError
from pipeline.backends.gpu import GpuShares
from pipeline.components.errors import SettingError

ONE_GPU, TWO_GPUS = {"CPU": 8.0, "GPU": 1.0}, {"CPU": 16.0, "GPU": 2.0}


def shares(most, fraction=1.0, probe=lambda: (1000, 2)):
    return GpuShares(most, fraction, probe)


@pytest.mark.parametrize(
    ("most", "fraction", "hosts", "n", "memory"),
    [
        ("auto", 1.0, [ONE_GPU, TWO_GPUS, {"CPU": 4.0}], 3, 1000),
        ("auto", 0.5, [ONE_GPU, TWO_GPUS], 6, 500),
        ("auto", 0.3, [ONE_GPU], 3, 300),
        ("auto", 0.1, [ONE_GPU], 8, 100),  # each also takes a core
        (2, 1.0, [ONE_GPU, TWO_GPUS], 2, 1000),
        (1, 0.25, [ONE_GPU, TWO_GPUS], 4, 250),
        (9, 1.0, [TWO_GPUS], 2, 1000),
    ],
)
def test_shares_are_counted_on_every_host(most, fraction, hosts, n, memory):
    assert shares(most, fraction).capacity(hosts) == GpuCapacity(n, memory)


def test_a_gpu_that_is_missing_or_not_requested_is_not_probed():
    def probe():
        raise AssertionError

    assert shares("none", probe=probe).capacity([ONE_GPU]) == NO_GPUS
    assert shares("auto", probe=probe).capacity([{"CPU": 2.0}]) == NO_GPUS
    assert shares(2, probe=probe).capacity([{"CPU": 2.0}]) == GpuCapacity(
        0, 0, "execution.gpus=2, but there is none yet"
    )


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ImportError("No module named 'cupy'"), "No module named 'cupy'"),
        (RuntimeError("two\nlines"), "two lines"),
        (MemoryError("CUDARuntimeError: no device"), "CUDARuntimeError: no device"),
        (TimeoutError("none was free within 60 s"), "none was free within 60 s"),
    ],
)
def test_a_gpu_that_cannot_be_used_is_ignored_or_is_an_error_if_it_was_requested(error, message):
    probes = []

    def probe():
        probes.append(1)
        raise error

    auto = shares("auto", probe=probe)
    for _ in range(3):
        capacity = auto.capacity([ONE_GPU])
        assert (capacity.n, capacity.memory) == (0, 0)
        assert capacity.problem.startswith(f"the GPU cannot be used ({message}); install CuPy")
    assert len(probes) == 1
    with pytest.raises(SettingError, match=r"^execution\.gpus=1: the GPU cannot be used"):
        shares(1, probe=probe).capacity([ONE_GPU])


def test_a_host_with_fewer_gpus_than_declared_is_reported():
    with pytest.raises(SettingError, match="there are 1, not 2"):
        shares(2, probe=lambda: (1000, 1)).capacity([TWO_GPUS])


def test_a_host_that_leaves_while_it_is_probed_is_ignored():
    results = iter([TaskLostError("the worker's host left"), (1000, 1)])

    def probe():
        result = next(results)
        if isinstance(result, Exception):
            raise result
        return result

    auto = shares("auto", probe=probe)
    assert auto.capacity([ONE_GPU]) == NO_GPUS
    assert auto.capacity([ONE_GPU]) == GpuCapacity(1, 1000)
