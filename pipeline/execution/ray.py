"""On Ray's workers. The only file that imports ray, and only when Ray is to start."""

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from pydantic.dataclasses import dataclass

from pipeline.execution.base import Handle, TaskOptions
from pipeline.execution.threads import on_one_thread
from pipeline.settings.strict import STRICT, PositiveInt

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_IGNORE_UNHANDLED_ERRORS": "1",  # of a task's several results we ask one, and say its error ourselves
}


@dataclass(frozen=True, config=STRICT)
class Ray:
    """A Ray of our own on this machine, started for the run and stopped after it.

    cpus   how many tasks run at a time; auto: one per core
    """

    cpus: PositiveInt | Literal["auto"]

    def check(self, options: TaskOptions) -> None:
        """See Execution.check."""
        if self.cpus != "auto" and options.cpus > self.cpus:
            raise ValueError(f"cpus must be at most execution.cpus={self.cpus}, but is {options.cpus:g}")

    @contextmanager
    def start(self) -> Iterator["RayExecutor"]:
        """Start Ray, stop it at the end."""
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        with _signals_wait():  # half loaded it cannot end
            import ray  # takes half a second, and not every command needs it
        try:
            with _signals_wait():
                ray.init(
                    address="local",
                    num_cpus=None if self.cpus == "auto" else self.cpus,
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                )
            yield RayExecutor(ray.cluster_resources())
        finally:
            with _signals_wait(), _silent():
                ray.shutdown()


@contextmanager
def _signals_wait() -> Iterator[None]:
    """Keep a Ctrl-C waiting until the end of the block, and then act on it; leave the handlers as they were.

    Ray that is interrupted as it starts or stops leaves processes behind for a minute. As it starts it also puts
    its own handler of SIGTERM: one that comes in just these seconds still ends the process without a word.
    """
    if threading.current_thread() is not threading.main_thread():  # only there can handlers be set
        yield
        return
    came: list[int] = []
    before = {one: signal.signal(one, lambda number, _: came.append(number)) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
    if came:
        raise KeyboardInterrupt


@contextmanager
def _silent() -> Iterator[None]:
    """Let the native threads of Ray write nothing to the standard error stream during the block.

    A task that is cut off as Ray stops makes them report, now and then, that they could not report it.
    """
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


class RayExecutor:
    """Runs every task on a worker process of Ray."""

    def __init__(self, resources: dict[str, float]) -> None:
        import ray

        self.workers = int(resources["CPU"])
        self._gpus = resources.get("GPU", 0)
        self._task = ray.remote(on_one_thread)

    def check(self, options: TaskOptions) -> None:
        """See Executor.check; Ray itself would wait for ever."""
        for name, asked, there in (("cpus", options.cpus, self.workers), ("gpus", options.gpus, self._gpus)):
            if asked > there:
                raise ValueError(f"{name} must be at most the {there:g} that Ray has, but is {asked:g}")

    def submit(
        self, function: Callable[..., Any], *arguments: Any, options: TaskOptions, returns: int = 1
    ) -> tuple[Handle, ...]:
        """See Executor.submit."""
        task = self._task.options(
            name=getattr(function, "__name__", type(function).__name__),
            num_cpus=options.cpus,
            num_gpus=options.gpus,
            max_retries=options.retries,
            num_returns=returns,
        )
        handles = task.remote(function, *arguments)
        return (handles,) if returns == 1 else tuple(handles)

    def wait(self, handles: Sequence[Handle]) -> Handle:
        """See Executor.wait."""
        import ray

        ready, _ = ray.wait(list(handles), num_returns=1, fetch_local=False)
        return ready[0]

    def fetch(self, handle: Handle) -> Any:
        """See Executor.fetch."""
        import ray

        try:
            return ray.get(handle)
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None
