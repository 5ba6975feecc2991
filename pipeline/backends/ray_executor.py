"""Tasks on Ray's workers. Imported when Ray has started."""

import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import ray
from ray import exceptions
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from nncore.kernels.backend import probe_gpu, select_gpu
from pipeline.backends.base import Future, GpuCapacity, TaskLostError, TaskMemoryError, TaskOptions
from pipeline.backends.gpu import GpuCount, GpuShares
from pipeline.backends.ray_head import ASK_S, Head
from pipeline.backends.tasks import perform

FRESH_S = 0.5  # for which the count of workers is good
LOOK_S = 60.0  # for a GPU to be free, CuPy to be imported and CUDA to begin
AT_ONCE = 4  # tasks at a time on this host, if Ray may use none of its cores


LOST: dict[type[Exception], str] = {  # what Ray says of a task that may be tried again, and what we say
    exceptions.OutOfMemoryError: "the host was out of memory and ended the worker",
    exceptions.WorkerCrashedError: "the worker died",
    exceptions.NodeDiedError: "the worker's host left",
    exceptions.RuntimeEnvSetupError: "its host could not get the code",
    exceptions.TaskCancelledError: "the last GPU left",
    exceptions.ObjectLostError: "what it needed went with its host",
}


def _lost(error: Exception) -> TaskLostError:
    said = next(text for kind, text in LOST.items() if isinstance(error, kind))
    return (TaskMemoryError if isinstance(error, exceptions.OutOfMemoryError) else TaskLostError)(said)


def _on_its_gpu(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call the function where Ray wants it. The process sees all GPUs, as it may get another one the next time."""
    (own,) = ray.get_runtime_context().get_accelerator_ids()["GPU"]
    visible = [one for one in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if one]
    try:
        select_gpu(visible.index(own) if own in visible else int(own))
        return perform(function, *arguments)
    except Exception as error:
        if type(error).__module__ == "builtins" and not isinstance(error, ImportError):
            raise
        # CuPy's errors cannot be read elsewhere; with less to do, in the end with nothing, the GPU may manage
        raise MemoryError(f"{type(error).__name__}: {error}") from None


class RayExecutor:
    """Runs every task on a worker process of Ray: on any host, or on this one.

    Files are read and written here only; to other hosts and back, arrays go through Ray's object store.

    gpus       how many may be used
    fraction   of a GPU for each task that needs one
    alone      there is no other host, and none can join
    """

    def __init__(self, gpus: GpuCount, fraction: float, alone: bool) -> None:
        self._task, self._gpu_task = ray.remote(perform), ray.remote(_on_its_gpu)
        self._shares = GpuShares(gpus, fraction, self._look_at_a_gpu)
        self._alone, self._id = alone, ray.get_runtime_context().get_node_id()
        self._head = Head(ray.get_runtime_context().gcs_address, ray.nodes)
        self._on_gpus: set[Future] = set()
        self._seen = 0.0
        self._hosts: list[dict[str, float]] = []

    @property
    def workers(self) -> int:
        """See Executor; one at least: it takes what GPUs have no room for, and waits with Ray for a host."""
        return max(1, sum(int(host.get("CPU", 0)) for host in self._resources()) - self.gpus.n)

    @property
    def gpus(self) -> GpuCapacity:
        """See Executor."""
        return self._shares.of(self._resources())

    def _look_at_a_gpu(self) -> tuple[int, int]:
        (found,) = self.submit(probe_gpu, options=TaskOptions(1, 0, 3), driver_only=False, gpu=True)
        if not ray.wait([found], timeout=LOOK_S)[0]:
            ray.cancel(found)
            self._on_gpus.discard(found)
            raise TimeoutError(f"none was free within {LOOK_S:.0f} s")
        view_shape: tuple[int, int] = self.fetch(found)
        return view_shape

    def check(self, options: TaskOptions) -> None:
        """See Executor.check; Ray itself would wait for ever. Before the first worker is there nobody can know."""
        hosts = [host for host in self._resources() if host.get("CPU")]
        for name, asked, kind in (("cpus", options.cpus, "CPU"), ("gpus", options.gpus, "GPU")) if hosts else ():
            there = max(host.get(kind, 0) for host in hosts)
            if asked > there:
                raise ValueError(f"{name} must be at most the {there:g} that a host of Ray's has, but is {asked:g}")

    def submit(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        options: TaskOptions,
        returns: int = 1,
        driver_only: bool = True,
        gpu: bool = False,
    ) -> tuple[Future, ...]:
        """See Executor.submit."""
        how: dict[str, Any] = {
            "name": getattr(function, "__name__", type(function).__name__),
            "num_cpus": options.cpus,
            "num_gpus": self._shares.fraction if gpu else options.gpus,
            "max_retries": options.retries,
            "num_returns": returns,
        }
        task = self._gpu_task if gpu else self._task
        futures = task.options(**how | (self._only_here(options) if driver_only else {})).remote(function, *arguments)
        futures = (futures,) if returns == 1 else tuple(futures)
        self._on_gpus |= set(futures[-1:]) if gpu else set()
        return futures

    def broadcast(self, function: Callable[[], Any]) -> None:
        """See Executor.everywhere."""
        task = self._task.options(name=function.__name__, num_cpus=1, max_retries=0, scheduling_strategy="SPREAD")
        for _ in range(self.workers):
            task.remote(function)

    def wait(self, futures: Sequence[Future]) -> Sequence[Future]:
        """See Executor.wait; raises SettingError if the cluster's head is gone."""
        while True:
            ready, others = ray.wait(list(futures), num_returns=1, timeout=ASK_S, fetch_local=False)
            if ready and others:  # with thousands of workers to ask for one at a time would take longer than a slice
                ready += ray.wait(others, num_returns=len(others), timeout=0, fetch_local=False)[0]
            if ready:
                return ready
            self._head.nodes()
            self._give_up_on_gpus()

    def fetch(self, future: Future) -> Any:
        """See Executor.fetch."""
        self.wait([future])
        self._on_gpus.discard(future)
        try:
            return ray.get(future)
        except exceptions.RayTaskError as error:
            raise error.cause from None
        except tuple(LOST) as error:
            raise _lost(error) from None

    def _only_here(self, options: TaskOptions) -> dict[str, Any]:
        """What keeps a task on this host."""
        self._resources()
        driver_only = self._here
        bound = {} if self._alone else {"scheduling_strategy": NodeAffinitySchedulingStrategy(self._id, soft=False)}
        if driver_only["Resources"].get("CPU", 0) >= options.cpus:
            return bound
        return bound | {"num_cpus": 0, "resources": {f"node:{driver_only['NodeManagerAddress']}": 1 / AT_ONCE}}

    def _resources(self) -> list[dict[str, float]]:
        """Of each host that is there."""
        if time.monotonic() > self._seen + FRESH_S and (nodes := self._head.nodes()):
            alive = [node for node in nodes if node["Alive"]]
            self._here = next(node for node in alive if node["NodeID"] == self._id)
            self._hosts, self._seen = [node["Resources"] for node in alive], time.monotonic()
        return self._hosts

    def _give_up_on_gpus(self) -> None:
        """Ray would let what waits for a GPU wait for ever when the last one has left."""
        if self._on_gpus and not any(host.get("GPU") for host in self._resources()):
            for future in self._on_gpus:
                ray.cancel(future)
            self._on_gpus = set()
