"""A member (an activation, loss, optimizer, ...) by its name and hyperparameters, as data.

Configuration files, stacks and model files name functions; they never carry code. Only functions that say that they
make a member can be named, inside `nncore` and inside the packages that the environment variable NNCORE_ALLOW names:
its user's own. No other function can be called by what stands in a file.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import import_module
from inspect import isfunction
from types import UnionType
from typing import Any, Union, get_args, get_type_hints

import numpy as np

ALLOW = "NNCORE_ALLOW"  # packages, separated by commas; in the environment, so that worker processes know them, too

PLAIN = (float, int, str, bool)
KINDS = {  # what a function that makes a member says that it returns
    "nncore.activations": ("Activation",),
    "nncore.initializers": ("Initializer",),
    "nncore.losses": ("Loss",),
    "nncore.normalisations": ("Normalisation",),
    "nncore.optimizers.base": ("Optimizer",),
    "nncore.regularizers.base": ("Regularizer",),
    "nncore.schedules": ("Schedule",),
}
Argument = Union[float, int, str, bool, "Component"]


@dataclass(frozen=True)
class Component:
    """The function `name`, such as "nncore.optimizers.adam.adam", and its keyword arguments.

    An argument may be a member itself: Lookahead wraps an optimizer, a warm-up is followed by a schedule.
    """

    name: str
    arguments: tuple[tuple[str, Argument], ...] = ()

    def build(self) -> Any:
        """Call the function. Raises ValueError if it may not be named, or an argument is no plain value."""
        for name, value in self.arguments:
            if not isinstance(value, (*PLAIN, Component)):
                raise ValueError(f"{name} must be a number, a text or a member, but is {value!r:.80} ({self.name})")
        return _call(self.name, {n: v.build() if isinstance(v, Component) else v for n, v in self.arguments})

    @property
    def short_name(self) -> str:
        """The function's own name."""
        return self.name.rpartition(".")[2]

    @property
    def kind(self) -> str:
        """What members must share to be computed together: everything but numbers of which each network has its own."""
        shared = shared_arguments(self.name)
        return f"{self.name}({', '.join(f'{name}={_kind(value, name in shared)}' for name, value in self.arguments)})"


def build_stacked(members: Sequence[Component]) -> Any:
    """One call for K members of one kind, whose numbers become arrays (K,)."""
    shared = shared_arguments(members[0].name)
    built: dict[str, Any] = {}
    for column in zip(*(member.arguments for member in members), strict=True):
        name, values = column[0][0], [value for _, value in column]
        nested = [value for value in values if isinstance(value, Component)]
        built[name] = build_stacked(nested) if nested else values[0] if name in shared else np.array(values)
    return _call(members[0].name, built)


def shared_arguments(name: str) -> dict[str, type]:
    """The arguments of this function that are one for all networks, a flag, a text or a size; and their types."""
    return {argument: hint for argument, hint in _hints(name).items() if hint in (bool, int, str)}


@lru_cache
def _hints(name: str) -> dict[str, Any]:
    return {argument: hint for argument, hint in get_type_hints(resolve(name)).items() if argument != "return"}


def _call(name: str, arguments: dict[str, Any]) -> Any:
    """Call the function. Raises ValueError naming what is not of the type that it asks for."""
    function, hints = resolve(name), _hints(name)
    for argument, value in arguments.items():
        hint = hints.get(argument)
        if isinstance(hint, type) and type(value) is not hint:
            what = {bool: "true or false", int: "a whole number", str: "a text"}.get(
                hint, f"a member that makes {hint}"
            )
            raise ValueError(f"{argument} must be {what}, but is {value!r} ({function.__name__})")
    return function(**arguments)


def _kind(value: Argument, shared: bool) -> str:
    if isinstance(value, Component):
        return value.kind
    return repr(value) if shared else ""


def allow(packages: Sequence[str]) -> None:
    """From now on functions inside these packages may be named, too, here and in the processes that this one starts."""
    os.environ[ALLOW] = ",".join(packages)


def allowed() -> list[str]:
    """The packages beside nncore whose functions may be named."""
    return [package for package in os.environ.get(ALLOW, "").split(",") if package]


def resolve(name: str) -> Any:
    """The public function of this full name that makes a member, inside nncore or an allowed package.

    Raises   ValueError if there is none
    """
    module, _, attribute = name.rpartition(".")
    parts, packages = name.split("."), ["nncore", *allowed()]
    if parts[0] not in packages or len(parts) < 2 or any(not p.isidentifier() or p.startswith("_") for p in parts):
        raise ValueError(f"{name!r} must be the full name of a public function inside {' or '.join(packages)}")
    try:
        function = getattr(import_module(module), attribute)
    except (ImportError, AttributeError):
        raise ValueError(f"{parts[0]} has no {name!r}") from None
    if getattr(function, "__module__", None) != module:
        raise ValueError(f"{name!r} is not defined in {module}")
    if not isfunction(function) or not _makes_a_member(function):
        raise ValueError(f"{name} does not make a member: it does not say that it returns an Optimizer, a Loss, ...")
    return function


@lru_cache
def _makes_a_member(function: Any) -> bool:
    return get_type_hints(function).get("return") in _kinds()


@cache
def _kinds() -> tuple[Any, ...]:
    """The types that stand for members; a union stands for each of its own."""
    named = [getattr(import_module(module), name) for module, names in KINDS.items() for name in names]
    return tuple(kind for one in named for kind in (get_args(one) if isinstance(one, UnionType) else (one,)))
