"""How a task is called, wherever it is. Imported by every worker, so it imports little."""

from collections.abc import Callable
from typing import Any

from threadpoolctl import threadpool_limits


def perform(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call the function with linear algebra kept on one thread.

    Workers share the cores already, and how a product is divided among threads decides how it is rounded.
    """
    with threadpool_limits(1):
        return function(*arguments)
