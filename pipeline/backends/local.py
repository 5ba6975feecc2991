"""In this process, one task after the other."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from pydantic.dataclasses import dataclass

from pipeline.backends.base import NO_GPUS, Future, TaskOptions
from pipeline.backends.tasks import perform
from pipeline.components.fields import STRICT


@dataclass(frozen=True, config=STRICT)
class LocalBackend:
    """Run every task in this process: nothing to start, one core."""

    def check(self, options: TaskOptions) -> None:
        """See Execution.check; here every task runs, whatever it asks for."""

    @contextmanager
    def start(self) -> Iterator["LocalExecutor"]:
        """An executor; there is nothing to stop."""
        yield LocalExecutor()


class _Task:
    """A call that is made when its result is first asked for."""

    def __init__(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        self._call: tuple[Callable[..., Any], tuple[Any, ...]] | None = (function, arguments)
        self._result: Any = None

    def result(self) -> Any:
        if self._call is not None:
            function, arguments = self._call
            self._result = perform(function, *(_resolve(argument) for argument in arguments))
            self._call = None  # frees the arguments
        return self._result


class _Value:
    """A future of one of a task's returned values."""

    def __init__(self, task: _Task, index: int | None) -> None:
        self._task, self._index = task, index

    def get(self) -> Any:
        result = self._task.result()
        return result if self._index is None else result[self._index]


class LocalExecutor:
    """Runs a task when somebody fetches its result."""

    workers, gpus = 1, NO_GPUS

    def check(self, options: TaskOptions) -> None:
        """See Executor.check; here every task runs."""

    def submit(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        options: TaskOptions,
        returns: int = 1,
        driver_only: bool = True,
        gpu: bool = False,
    ) -> tuple[Future, ...]:
        """See Executor.submit; the options have no meaning here."""
        task = _Task(function, arguments)
        return tuple(_Value(task, None if returns == 1 else index) for index in range(returns))

    def broadcast(self, function: Callable[[], Any]) -> None:
        """See Executor.everywhere; here what is to come does that by itself."""

    def wait(self, futures: Sequence[Future]) -> Sequence[Future]:
        """The first: it is run when it is fetched."""
        return futures[:1]

    def fetch(self, future: Future) -> Any:
        """See Executor.fetch."""
        return _resolve(future)


def _resolve(argument: Any) -> Any:
    return argument.get() if isinstance(argument, _Value) else argument
