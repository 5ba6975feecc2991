"""A member (an activation, loss, optimizer, ...) by its name and hyperparameters, as data.

Configuration files, stacks and model files name functions; they never carry code. Only functions inside
`nncore` can be named.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Union

import numpy as np

Argument = Union[float, int, str, bool, "Member"]


@dataclass(frozen=True)
class Member:
    """The function `name`, such as "nncore.optimizers.adam.adam", and its keyword arguments.

    An argument may be a member itself: Lookahead wraps an optimizer, a warm-up is followed by a schedule.
    """

    name: str
    arguments: tuple[tuple[str, Argument], ...] = ()

    def build(self) -> Any:
        """Call the function. Raises ValueError if the name is not that of a function inside nncore."""
        built = {name: value.build() if isinstance(value, Member) else value for name, value in self.arguments}
        return find(self.name)(**built)

    @property
    def short(self) -> str:
        """The function's own name."""
        return self.name.rpartition(".")[2]

    @property
    def kind(self) -> str:
        """What members must share to be computed together: everything but the values of their numbers."""
        return f"{self.name}({', '.join(f'{name}={_kind(value)}' for name, value in self.arguments)})"


def build_together(members: Sequence[Member]) -> Any:
    """One call for K members of one kind, whose numbers become arrays (K,)."""
    columns = zip(*(member.arguments for member in members), strict=True)
    return find(members[0].name)(**{column[0][0]: _together([value for _, value in column]) for column in columns})


def _together(values: list[Argument]) -> Any:
    nested = [value for value in values if isinstance(value, Member)]
    if nested:
        return build_together(nested)
    return np.array(values) if _is_number(values[0]) else values[0]


def _kind(value: Argument) -> str:
    if isinstance(value, Member):
        return value.kind
    return "" if _is_number(value) else repr(value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


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
