"""How every task is called, on every backend. Each worker imports this module, so it imports little."""

from collections.abc import Callable
from typing import Any

from threadpoolctl import threadpool_limits


def run_task(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call the function with linear algebra limited to one thread.

    Workers already share the cores, and the number of threads of a product changes how it is rounded.
    """
    with threadpool_limits(1):
        return function(*arguments)
