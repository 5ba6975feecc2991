"""Run tasks on Ray's workers. Imported after Ray."""

import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import ray
from ray import exceptions
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from nncore.kernels.backend import probe_gpu, select_gpu
from pipeline.backends.base import Future, GpuCapacity, HostMemory, TaskLostError, TaskMemoryError, TaskOptions
from pipeline.backends.gpu import GpuCount, GpuShares
from pipeline.backends.memory import UNKNOWN, available_memory
from pipeline.backends.ray_head import RESPONSE_S, HeadMonitor, NodeInfo
from pipeline.backends.tasks import run_task

REFRESH_S = 0.5  # how long a list of the hosts is used
GPU_PROBE_S = 60.0  # for a GPU to become free, to import CuPy and to initialize CUDA
DRIVER_TASKS = 4  # at a time on the driver's host, if Ray may use none of its cores

LOST: dict[type[Exception], str] = {  # Ray's exceptions for tasks that may be retried, and what happened
    exceptions.OutOfMemoryError: "the host was out of memory and ended the worker",
    exceptions.WorkerCrashedError: "the worker died",
    exceptions.NodeDiedError: "the worker's host left",
    exceptions.RuntimeEnvSetupError: "its host could not get the code",
    exceptions.TaskCancelledError: "the last GPU left",
    exceptions.ObjectLostError: "one of its inputs was lost with its host",
}


def _run_on_gpu(function: Callable[..., Any], *arguments: Any) -> Any:
    """Run a task on the GPU that Ray has assigned. All GPUs are visible, as the next task may get another one."""
    (assigned,) = ray.get_runtime_context().get_accelerator_ids()["GPU"]
    visible = [device for device in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if device]
    try:
        select_gpu(visible.index(assigned) if assigned in visible else int(assigned))
        return run_task(function, *arguments)
    except Exception as error:
        if type(error).__module__ == "builtins" and not isinstance(error, ImportError):
            raise
        # The driver may lack CuPy and cannot unpickle its errors. With a smaller stack the task may succeed.
        raise MemoryError(f"{type(error).__name__}: {error}") from None


class RayExecutor:
    """Runs tasks on Ray's worker processes, on any host or on the driver's.

    Files are read and written on the driver's host only; arrays travel through Ray's object store.

    Parameters
    ----------
    gpus : int, "auto" or "none"
        How many GPUs may be used.
    gpu_fraction : float, in (0, 1]
        Fraction of a GPU for each task that needs one.
    single_host : bool
        There is no other host, and none can join.
    """

    def __init__(self, gpus: GpuCount, gpu_fraction: float, single_host: bool) -> None:
        self._cpu_task, self._gpu_task = ray.remote(run_task), ray.remote(_run_on_gpu)
        self._shares = GpuShares(gpus, gpu_fraction, self._probe_gpu)
        context = ray.get_runtime_context()
        self._single_host, self._driver_node_id = single_host, context.get_node_id()
        self._head = HeadMonitor(context.gcs_address, ray.nodes)
        self._gpu_futures: set[Future] = set()
        self._refreshed = 0.0  # when the nodes were last listed
        self._nodes: list[NodeInfo] = []

    @property
    def workers(self) -> int:
        """See Executor. At least 1: it takes what does not fit on a GPU, and Ray keeps its tasks until a host joins."""
        return max(1, sum(int(host.get("CPU", 0)) for host in self._hosts()) - self.gpus.n)

    @property
    def gpus(self) -> GpuCapacity:
        """See Executor."""
        return self._shares.capacity(self._hosts())

    @property
    def memory(self) -> HostMemory:
        """See Executor. Of a cluster's hosts, what Ray may give to tasks."""
        if self._single_host:
            available = available_memory()
            return HostMemory(available // self.workers, available)
        hosts = [host for host in self._hosts() if host.get("CPU", 0) >= 1]
        return HostMemory(
            min((int(host.get("memory", UNKNOWN) / host["CPU"]) for host in hosts), default=UNKNOWN),
            max((int(host.get("memory", UNKNOWN)) for host in hosts), default=UNKNOWN),
        )

    def check(self, options: TaskOptions) -> None:
        """Raise ValueError if no host has the resources; Ray would wait forever. No hosts yet: accept any task."""
        hosts = [host for host in self._hosts() if host.get("CPU")]
        for name, requested, kind in (("cpus", options.cpus, "CPU"), ("gpus", options.gpus, "GPU")):
            largest = max((host.get(kind, 0) for host in hosts), default=requested)
            if requested > largest:
                raise ValueError(f"{name} must be at most {largest:g}, the most that a host has, but is {requested:g}")

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
        ray_options: dict[str, Any] = {
            "name": getattr(function, "__name__", type(function).__name__),
            "num_cpus": options.cpus,
            "num_gpus": self._shares.fraction if gpu else options.gpus,
            "max_retries": options.retries,
            "num_returns": returns,
        }
        if driver_only:
            ray_options |= self._driver_affinity(options)
        task = self._gpu_task if gpu else self._cpu_task
        futures = task.options(**ray_options).remote(function, *arguments)
        futures = (futures,) if returns == 1 else tuple(futures)
        if gpu:
            self._gpu_futures.add(futures[-1])
        return futures

    def broadcast(self, function: Callable[[], Any]) -> None:
        """See Executor.broadcast."""
        task = self._cpu_task.options(name=function.__name__, num_cpus=1, max_retries=0, scheduling_strategy="SPREAD")
        for _ in range(self.workers):
            task.remote(function)

    def wait(self, futures: Sequence[Future]) -> Sequence[Future]:
        """See Executor.wait. Raises SettingError if the cluster's head is gone."""
        while True:
            ready, others = ray.wait(list(futures), num_returns=1, timeout=RESPONSE_S, fetch_local=False)
            if ready and others:  # with thousands of workers, one result per call would take longer than a slice
                ready += ray.wait(others, num_returns=len(others), timeout=0, fetch_local=False)[0]
            if ready:
                return ready
            self._head.nodes()
            self._cancel_gpu_tasks_without_gpu()

    def fetch(self, future: Future) -> Any:
        """See Executor.fetch."""
        self.wait([future])
        self._gpu_futures.discard(future)
        try:
            return ray.get(future)
        except exceptions.RayTaskError as error:
            raise error.cause from None
        except exceptions.OutOfMemoryError:
            raise TaskMemoryError(LOST[exceptions.OutOfMemoryError]) from None
        except tuple(LOST) as error:
            raise TaskLostError(next(text for kind, text in LOST.items() if isinstance(error, kind))) from None

    def _probe_gpu(self) -> tuple[int, int]:
        """The free bytes of a GPU, and the number of GPUs on its host."""
        (future,) = self.submit(probe_gpu, options=TaskOptions(1, 0, 3), driver_only=False, gpu=True)
        if not ray.wait([future], timeout=GPU_PROBE_S)[0]:
            ray.cancel(future)
            self._gpu_futures.discard(future)
            raise TimeoutError(f"none was free within {GPU_PROBE_S:.0f} s")
        free_and_count: tuple[int, int] = self.fetch(future)
        return free_and_count

    def _driver_affinity(self, options: TaskOptions) -> dict[str, Any]:
        """Ray's options that keep a task on the driver's host."""
        self._hosts()
        affinity = NodeAffinitySchedulingStrategy(self._driver_node_id, soft=False)
        ray_options = {} if self._single_host else {"scheduling_strategy": affinity}
        driver_node = next(node for node in self._nodes if node["NodeID"] == self._driver_node_id)
        if driver_node["Resources"].get("CPU", 0) >= options.cpus:
            return ray_options
        resources = {f"node:{driver_node['NodeManagerAddress']}": 1 / DRIVER_TASKS}
        return ray_options | {"num_cpus": 0, "resources": resources}

    def _hosts(self) -> list[dict[str, float]]:
        """The resources of each host that is alive."""
        if time.monotonic() > self._refreshed + REFRESH_S and (nodes := self._head.nodes()):
            self._nodes = [node for node in nodes if node["Alive"]]
            self._refreshed = time.monotonic()
        return [node["Resources"] for node in self._nodes]

    def _cancel_gpu_tasks_without_gpu(self) -> None:
        """When the last GPU has left, Ray would let the tasks that wait for one wait forever."""
        if self._gpu_futures and not any(host.get("GPU") for host in self._hosts()):
            for future in self._gpu_futures:
                ray.cancel(future)
            self._gpu_futures = set()
