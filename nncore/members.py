"""A member (an activation, loss, optimizer, ...) by its name and hyperparameters, as data.

Configuration files, stacks and model files name functions; they never carry code. Only functions inside
`nncore` can be named.
"""

from dataclasses import dataclass
from importlib import import_module
from typing import Any

Argument = float | int | str | bool


@dataclass(frozen=True)
class Member:
    """The function `name`, such as "nncore.optimizers.adam.adam", and its keyword arguments."""

    name: str
    arguments: tuple[tuple[str, Argument], ...] = ()

    def build(self) -> Any:
        """Call the function. Raises ValueError if the name is not that of a function inside nncore."""
        return find(self.name)(**dict(self.arguments))


def find(name: str) -> Any:
    """The public function of this full name inside nncore; ValueError if there is none."""
    module, _, attribute = name.rpartition(".")
    parts = name.split(".")
    if parts[0] != "nncore" or len(parts) < 2 or any(not part.isidentifier() or part.startswith("_") for part in parts):
        raise ValueError(f"{name!r} must be the full name of a public function inside nncore")
    try:
        function = getattr(import_module(module), attribute)
    except (ImportError, AttributeError):
        raise ValueError(f"nncore has no {name!r}") from None
    if getattr(function, "__module__", None) != module:
        raise ValueError(f"{name!r} is not defined in {module}")
    return function
