"""What an executor can do, and what a task may ask for."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Annotated, Any, Protocol, runtime_checkable

from pydantic import Field, Strict
from pydantic.dataclasses import dataclass

from pipeline.settings.strict import STRICT, NonNegativeInt

Handle = Any  # of a result that may not be there yet; given to another task, it stands for the result


@dataclass(frozen=True, config=STRICT)
class TaskOptions:
    """What one task of a stage needs, and how often it is tried again when its worker dies."""

    cpus: Annotated[float, Strict(), Field(ge=0.01)]
    gpus: Annotated[float, Strict(), Field(ge=0)]
    retries: NonNegativeInt

    def __post_init__(self) -> None:
        if self.gpus > 1 and self.gpus % 1:
            raise ValueError(f"gpus must be a whole number if it is above 1, but is {self.gpus:g}")


class Executor(Protocol):
    """Runs functions as tasks."""

    workers: int

    def check(self, options: TaskOptions) -> None:
        """Raise ValueError if a task with these options could never run."""

    def submit(
        self, function: Callable[..., Any], *arguments: Any, options: TaskOptions, returns: int = 1
    ) -> tuple[Handle, ...]:
        """Start the function; one handle per returned value. Handles among the arguments are resolved."""

    def wait(self, handles: Sequence[Handle]) -> Handle:
        """Wait until one of the results is there, and return its handle."""

    def fetch(self, handle: Handle) -> Any:
        """The result itself; raises what the task raised."""


@runtime_checkable
class Execution(Protocol):
    """Settings that can start an executor."""

    def check(self, options: TaskOptions) -> None:
        """Raise ValueError if it is clear already that a task with these options could never run."""

    def start(self) -> AbstractContextManager[Executor]:
        """An executor that is stopped at the end of the `with` block."""
