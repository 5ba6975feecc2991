"""The protocol of an executor, and the resources that a task may ask for."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Annotated, Any, NamedTuple, Protocol, runtime_checkable

from pydantic import Field, Strict
from pydantic.dataclasses import dataclass

from pipeline.components.fields import STRICT, NonNegativeInt

Future = Any  # a reference to a result that may not be computed yet; as a task's argument it becomes the result


@dataclass(frozen=True, config=STRICT)
class TaskOptions:
    """Resources and retries of one task of a stage.

    Parameters
    ----------
    cpus : float, >= 0.01
    gpus : float, >= 0
        A fraction of a GPU, or a whole number of GPUs.
    retries : int, >= 0
        How often the task is retried if its worker dies.
    """

    cpus: Annotated[float, Strict(), Field(ge=0.01)]
    gpus: Annotated[float, Strict(), Field(ge=0)]
    retries: NonNegativeInt

    def __post_init__(self) -> None:
        if self.gpus > 1 and self.gpus % 1:
            raise ValueError(f"gpus must be a whole number if it is above 1, but is {self.gpus:g}")


class TaskLostError(Exception):
    """A task did not finish, and not because its function raised an exception; it may be retried.

    The text says what happened: the worker died, its host left the cluster, or memory ran out.
    """


class TaskMemoryError(TaskLostError, MemoryError):
    """The task ran out of memory; with less work per task it may succeed."""


class GpuCapacity(NamedTuple):
    """What the GPUs of the hosts can do at the moment.

    Parameters
    ----------
    n : int
        How many tasks that need a GPU, or a fraction of one, run at a time.
    memory : int
        Bytes of GPU memory for each of these tasks.
    problem : str, default ""
        Why there are none although a GPU is present, for people.
    """

    n: int
    memory: int
    problem: str = ""


NO_GPUS = GpuCapacity(0, 0)


class HostMemory(NamedTuple):
    """The memory of the hosts, in bytes.

    Parameters
    ----------
    per_worker : int
        What a worker can use if all workers train; on the host that has the least.
    largest : int
        What a single worker can use on the host that has the most.
    """

    per_worker: int
    largest: int


class Executor(Protocol):
    """Runs functions as tasks."""

    @property
    def workers(self) -> int:
        """Number of one-core tasks that run at a time. It may change, as hosts join and leave."""

    @property
    def gpus(self) -> GpuCapacity:
        """GPUs that run tasks in addition to the workers, at the moment.

        Raises
        ------
        SettingError
            If the settings ask for GPUs and these cannot be used.
        """

    @property
    def memory(self) -> HostMemory:
        """Memory that the workers can use, at the moment; meaningful while no task runs."""

    def check(self, options: TaskOptions) -> None:
        """Raise ValueError if no host has the resources for such a task."""

    def submit(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        options: TaskOptions,
        returns: int = 1,
        driver_only: bool = True,
        gpu: bool = False,
    ) -> tuple[Future, ...]:
        """Start a task.

        Parameters
        ----------
        function : callable
        *arguments : Any
            Futures among them are replaced by their results before the function is called.
        options : TaskOptions
        returns : int, default 1
            How many values the function returns.
        driver_only : bool, default True
            Run on the driver's host, which has the run's folder, the data files and the cache; False: on any host.
        gpu : bool, default False
            Run on one of `gpus`.

        Returns
        -------
        tuple of Future
            One for each returned value.
        """

    def broadcast(self, function: Callable[[], Any]) -> None:
        """Ask every worker of every host to call the function once, to warm up.

        The call does not wait, and a failure has no consequences.
        """

    def wait(self, futures: Sequence[Future]) -> Sequence[Future]:
        """Wait until at least one of the results is ready; return the futures of all that are."""

    def fetch(self, future: Future) -> Any:
        """Wait for a result and return it.

        Raises
        ------
        TaskLostError
            If the task was lost. An exception raised by the task itself is raised as it is.
        """


@runtime_checkable
class Backend(Protocol):
    """Settings from which an executor starts."""

    def check(self, options: TaskOptions) -> None:
        """Raise ValueError if the settings alone show that such a task can never run."""

    def start(self) -> AbstractContextManager[Executor]:
        """Start an executor, which is stopped at the end of the ``with`` block."""
