"""What an executor can do, and what a task may ask for."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Annotated, Any, NamedTuple, Protocol, runtime_checkable

from pydantic import Field, Strict
from pydantic.dataclasses import dataclass

from pipeline.components.fields import STRICT, NonNegativeInt

Future = Any  # of a result that may not be there yet; given to another task, it stands for the result


@dataclass(frozen=True, config=STRICT)
class TaskOptions:
    """What one task of a stage needs, and how often it is tried again when its worker dies."""

    cpus: Annotated[float, Strict(), Field(ge=0.01)]
    gpus: Annotated[float, Strict(), Field(ge=0)]
    retries: NonNegativeInt

    def __post_init__(self) -> None:
        if self.gpus > 1 and self.gpus % 1:
            raise ValueError(f"gpus must be a whole number if it is above 1, but is {self.gpus:g}")


class TaskLostError(Exception):
    """A task did not come to its end, and its function did not say why: it may be tried again.

    The text says what happened: the worker died, its host left, or there was not enough memory.
    """


class TaskMemoryError(TaskLostError):
    """There was not enough memory for the task: with less to do at a time it may come to its end."""


class GpuCapacity(NamedTuple):
    """How many tasks that need a GPU, or a share of one, run at a time, and how many bytes of it each may take.

    said   for people: why there are none although a GPU is there; else ""
    """

    n: int
    memory: int
    said: str = ""


NO_GPUS = GpuCapacity(0, 0)


class Executor(Protocol):
    """Runs functions as tasks."""

    @property
    def workers(self) -> int:
        """How many tasks that need one core run at a time, at this moment: hosts may come and go."""

    @property
    def gpus(self) -> GpuCapacity:
        """Those that train beside the workers, at this moment. Raises SettingError if asked for and not usable."""

    def check(self, options: TaskOptions) -> None:
        """Raise ValueError if a task with these options could never run."""

    def submit(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        options: TaskOptions,
        returns: int = 1,
        driver_only: bool = True,
        gpu: bool = False,
    ) -> tuple[Future, ...]:
        """Start the function; one future per returned value. Handles among the arguments are resolved.

        here   on this host, where the run's folder, the data's files and the cache are; else on any
        gpu    where it has one of `gpus`
        """

    def broadcast(self, function: Callable[[], Any]) -> None:
        """Let all workers of every host call the function as soon as they can: to get ready for what is to come.

        Nobody waits for it, and it need not succeed.
        """

    def wait(self, futures: Sequence[Future]) -> Sequence[Future]:
        """Wait until one of the results is there; the futures of all that are."""

    def fetch(self, future: Future) -> Any:
        """The result itself; raises what the task raised, or TaskLostError."""


@runtime_checkable
class Backend(Protocol):
    """Settings that can start an executor."""

    def check(self, options: TaskOptions) -> None:
        """Raise ValueError if it is clear already that a task with these options could never run."""

    def start(self) -> AbstractContextManager[Executor]:
        """An executor that is stopped at the end of the `with` block."""
