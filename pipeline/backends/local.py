"""Run all tasks in this process, one after the other."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import pydantic.dataclasses

from pipeline.backends.base import NO_GPUS, Future, HostMemory, TaskOptions
from pipeline.backends.memory import available_memory
from pipeline.backends.tasks import run_task
from pipeline.components.fields import STRICT


@pydantic.dataclasses.dataclass(frozen=True, config=STRICT)
class LocalBackend:
    """Run every task in this process: nothing to start, one core."""

    def check(self, options: TaskOptions) -> None:
        """Accept any task: resources are not counted in one process."""

    @contextmanager
    def start(self) -> Iterator["LocalExecutor"]:
        """Return an executor; there is nothing to stop."""
        yield LocalExecutor()


@dataclass(eq=False)
class LocalTask:
    """A call that is made when its result is first fetched, and afterwards that result.

    Parameters
    ----------
    function : callable or None
        None after the call.
    arguments : tuple
        Tasks among them are replaced by their results; () after the call.
    result : Any, default None
    """

    function: Callable[..., Any] | None
    arguments: tuple[Any, ...]
    result: Any = None


class LocalExecutor:
    """Runs a task when its result is first fetched."""

    workers, gpus = 1, NO_GPUS

    @property
    def memory(self) -> HostMemory:
        """See Executor."""
        available = available_memory()
        return HostMemory(available, available)

    def check(self, options: TaskOptions) -> None:
        """Accept any task."""

    def submit(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        options: TaskOptions,
        returns: int = 1,
        driver_only: bool = True,
        gpu: bool = False,
    ) -> tuple[Future, ...]:
        """See Executor.submit; options, driver_only and gpu have no effect."""
        task = LocalTask(run_task, (function, *arguments))
        return (task,) if returns == 1 else tuple(LocalTask(itemgetter(index), (task,)) for index in range(returns))

    def broadcast(self, function: Callable[[], Any]) -> None:
        """Do nothing: the first task that needs the function's effect causes it anyway."""

    def wait(self, futures: Sequence[Future]) -> Sequence[Future]:
        """Return the first future; its task runs when it is fetched."""
        return futures[:1]

    def fetch(self, future: Future) -> Any:
        """Run the task if it has not run yet, and return its result."""
        if future.function is not None:
            arguments = [
                self.fetch(argument) if isinstance(argument, LocalTask) else argument for argument in future.arguments
            ]
            future.result = future.function(*arguments)
            future.function, future.arguments = None, ()  # frees the arguments
        return future.result
