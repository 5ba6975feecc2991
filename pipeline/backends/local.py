"""Run all tasks in this process, one after the other."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pydantic.dataclasses import dataclass

from pipeline.backends.base import NO_GPUS, Future, TaskOptions
from pipeline.backends.tasks import run_task
from pipeline.components.fields import STRICT


@dataclass(frozen=True, config=STRICT)
class LocalBackend:
    """Run every task in this process: nothing to start, one core."""

    def check(self, options: TaskOptions) -> None:
        """Accept any task: resources are not counted in one process."""

    @contextmanager
    def start(self) -> Iterator["LocalExecutor"]:
        """Return an executor; there is nothing to stop."""
        yield LocalExecutor()


class _LocalTask:
    """A call that is made when one of its results is first fetched."""

    def __init__(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self._call: tuple[Callable[..., Any], tuple[Any, ...]] | None = (function, arguments)
        self._result: Any = None

    def result(self) -> Any:
        if self._call is not None:
            function, arguments = self._call
            self._result = run_task(function, *(_resolve(argument) for argument in arguments))
            self._call = None  # frees the arguments
        return self._result


class _LocalFuture:
    """One of a task's returned values; index None: the only one."""

    def __init__(self, task: _LocalTask, index: int | None) -> None:
        self._task, self._index = task, index

    def get(self) -> Any:
        result = self._task.result()
        return result if self._index is None else result[self._index]


def _resolve(argument: Any) -> Any:
    return argument.get() if isinstance(argument, _LocalFuture) else argument


class LocalExecutor:
    """Runs a task when its result is first fetched."""

    workers, gpus = 1, NO_GPUS

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
        task = _LocalTask(function, arguments)
        return tuple(_LocalFuture(task, None if returns == 1 else index) for index in range(returns))

    def broadcast(self, function: Callable[[], Any]) -> None:
        """Do nothing: the first task that needs the function's effect causes it anyway."""

    def wait(self, futures: Sequence[Future]) -> Sequence[Future]:
        """Return the first future; its task runs when it is fetched."""
        return futures[:1]

    def fetch(self, future: Future) -> Any:
        """Run the task if it has not run yet, and return its result."""
        return _resolve(future)
