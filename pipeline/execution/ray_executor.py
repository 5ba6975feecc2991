"""Tasks on Ray's workers. Imported when Ray has started."""

import os
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any

import ray
from ray import exceptions
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from nncore.backend import choose_gpu, gpu_bytes
from pipeline.errors import SettingError
from pipeline.execution.base import Gpus, Handle, TaskLostError, TaskMemoryError, TaskOptions
from pipeline.execution.gpus import GpuCount, Shares
from pipeline.execution.threads import on_one_thread

FRESH_S = 0.5  # for which the count of workers is good
ASK_S = 2.0  # after which a head that says nothing is asked whether it is there
PATIENCE_S = 30.0  # with a head that does not answer; Ray has 60
AT_ONCE = 4  # tasks at a time on this host, if Ray may use none of its cores


def _on_its_gpu(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call the function where Ray wants it. The process sees all GPUs, as it may get another one the next time."""
    (own,) = ray.get_runtime_context().get_accelerator_ids()["GPU"]
    visible = [one for one in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if one]
    choose_gpu(visible.index(own) if own in visible else int(own))
    return on_one_thread(function, *arguments)


class RayExecutor:
    """Runs every task on a worker process of Ray: on any host, or on this one.

    Files are read and written here only; to other hosts and back, arrays go through Ray's object store.

    gpus       how many may be used
    fraction   of a GPU for each task that needs one
    """

    def __init__(self, gpus: GpuCount, fraction: float) -> None:
        self._task, self._gpu_task = ray.remote(on_one_thread), ray.remote(_on_its_gpu)
        self._shares = Shares(gpus, fraction, self._free_on_a_gpu)
        self._id = ray.get_runtime_context().get_node_id()
        self._head, self._answered = ray.get_runtime_context().gcs_address, time.monotonic()
        self._seen = 0.0
        self._hosts: list[dict[str, float]] = []

    @property
    def workers(self) -> int:
        """See Executor; one at least, of either kind: Ray waits until there is a host again."""
        n_gpus = self.gpus.n
        return max(0 if n_gpus else 1, sum(int(host.get("CPU", 0)) for host in self._resources()) - n_gpus)

    @property
    def gpus(self) -> Gpus:
        """See Executor."""
        return self._shares.of(self._resources())

    def _free_on_a_gpu(self) -> int:
        (free,) = self.submit(gpu_bytes, options=TaskOptions(1, 0, 3), here=False, gpu=True)
        return int(self.fetch(free))

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
        here: bool = True,
        gpu: bool = False,
    ) -> tuple[Handle, ...]:
        """See Executor.submit."""
        how: dict[str, Any] = {
            "name": getattr(function, "__name__", type(function).__name__),
            "num_cpus": options.cpus,
            "num_gpus": self._shares.fraction if gpu else options.gpus,
            "max_retries": options.retries,
            "num_returns": returns,
        }
        task = self._gpu_task if gpu else self._task
        handles = task.options(**how | (self._only_here(options) if here else {})).remote(function, *arguments)
        return (handles,) if returns == 1 else tuple(handles)

    def wait(self, handles: Sequence[Handle]) -> Sequence[Handle]:
        """See Executor.wait; raises SettingError if the cluster's head is gone."""
        while True:
            ready, others = ray.wait(list(handles), num_returns=1, timeout=ASK_S, fetch_local=False)
            if ready and others:  # with thousands of workers to ask for one at a time would take longer than a slice
                ready += ray.wait(others, num_returns=len(others), timeout=0, fetch_local=False)[0]
            if ready:
                return ready
            self._head_answers()

    def fetch(self, handle: Handle) -> Any:
        """See Executor.fetch."""
        self.wait([handle])
        try:
            return ray.get(handle)
        except exceptions.OutOfMemoryError:
            raise TaskMemoryError("the host was out of memory and ended the worker") from None
        except exceptions.WorkerCrashedError:
            raise TaskLostError("the worker died") from None
        except exceptions.NodeDiedError:
            raise TaskLostError("the worker's host left") from None
        except exceptions.ObjectLostError:
            raise TaskLostError("what it needed went with its host") from None
        except exceptions.RayTaskError as error:
            raise error.cause from None

    def _only_here(self, options: TaskOptions) -> dict[str, Any]:
        """What keeps a task on this host."""
        alone, here = len(self._resources()) == 1, self._here
        bound = {} if alone else {"scheduling_strategy": NodeAffinitySchedulingStrategy(self._id, soft=False)}
        if here["Resources"].get("CPU", 0) >= options.cpus:
            return bound
        return bound | {"num_cpus": 0, "resources": {f"node:{here['NodeManagerAddress']}": 1 / AT_ONCE}}

    def _resources(self) -> list[dict[str, float]]:
        """Of each host that is there."""
        if time.monotonic() > self._seen + FRESH_S and self._head_answers():
            alive = [node for node in ray.nodes() if node["Alive"]]
            self._here = next(node for node in alive if node["NodeID"] == self._id)
            self._hosts, self._seen = [node["Resources"] for node in alive], time.monotonic()
        return self._hosts

    def _head_answers(self) -> bool:
        """Whether it does now. Raises SettingError if it has not for long: Ray would soon kill this process."""
        host, _, port = self._head.rpartition(":")
        try:
            socket.create_connection((host, int(port)), ASK_S).close()
        except OSError as error:
            silent = time.monotonic() - self._answered
            if silent > PATIENCE_S:
                raise SettingError(
                    f"execution.address={self._head}: the cluster's head must answer, but has not for {silent:.0f} s "
                    f"({error}); what is finished is kept: start a cluster and give the same command again"
                ) from None
            return False
        self._answered = time.monotonic()
        return True
