"""Components (activations, losses, optimizers, ...) as data: the name of a function and its hyperparameters.

Configuration files, stacks and model files name the functions that build components; they never carry code. What may
be named is decided in this module: `resolve` looks a name up, `component_function` accepts only functions whose
annotated return type is a component. Both look inside `nncore` and inside the packages that `allow` (or the environment
variable NNCORE_ALLOW) lists, which belong to the user. No other function can be called by what is written in a file.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import import_module
from inspect import isfunction
from pkgutil import iter_modules
from types import UnionType
from typing import Any, Union, get_args, get_type_hints

import numpy as np

ALLOW = "NNCORE_ALLOW"  # packages, separated by commas; in the environment, so that worker processes inherit it

PLAIN = (float, int, str, bool)
KINDS = {  # kind: the type that a function of this kind returns; a union stands for each of its types
    "activation": "nncore.activations.Activation",
    "embedding": "nncore.embeddings.Embedding",
    "initializer": "nncore.initializers.Initializer",
    "loss": "nncore.losses.Loss",
    "metric": "nncore.metrics.Metric",
    "normalisation": "nncore.normalisations.Normalisation",
    "optimizer": "nncore.optimizers.base.Optimizer",
    "regularizer": "nncore.regularizers.base.Regularizer",
    "schedule": "nncore.schedules.Schedule",
}
Argument = Union[float, int, str, bool, "Component"]


@dataclass(frozen=True)
class Component:
    """A component as data: the function that builds it, and its hyperparameters.

    Parameters
    ----------
    name : str
        Full name of the function, such as "nncore.optimizers.adam.adam".
    arguments : tuple of (str, value) pairs, default ()
        Keyword arguments: numbers, strings, booleans, or further components (Lookahead wraps an optimizer, a warm-up
        is followed by a schedule).

    Examples
    --------
    >>> adam = Component("nncore.optimizers.adam.adam", (("learning_rate", 0.001),))
    >>> adam.short_name
    'adam'
    >>> adam.kind
    'nncore.optimizers.adam.adam(learning_rate=)'
    """

    name: str
    arguments: tuple[tuple[str, Argument], ...] = ()

    def build(self) -> Any:
        """Call the function; equal components are built once.

        Raises
        ------
        ValueError
            If the function may not be named, or an argument is not a plain value of the annotated type.
        """
        for name, value in self.arguments:
            if not isinstance(value, (*PLAIN, Component)):
                raise ValueError(
                    f"{name} must be a number, a string or a component, but is {value!r:.80} ({self.name})"
                )
        return _built(repr(self), tuple(allowed()), self)

    @property
    def short_name(self) -> str:
        """The function's name without its module."""
        return self.name.rpartition(".")[2]

    @property
    def kind(self) -> str:
        """What components must have in common to be computed together: all but the numbers that differ per network."""
        shared, kinds = shared_arguments(self.name), []
        for name, value in self.arguments:
            if isinstance(value, Component):
                kinds.append(f"{name}={value.kind}")
            else:
                kinds.append(f"{name}={value!r}" if name in shared else f"{name}=")
        return f"{self.name}({', '.join(kinds)})"


def build_stacked(components: Sequence[Component]) -> Any:
    """Build K components of one kind with one call, in which their numbers are arrays (K,).

    Parameters
    ----------
    components : sequence of Component
        Of the same `kind`.

    Raises
    ------
    ValueError
        If the function may not be named, or an argument is not of its annotated type.
    """
    shared = shared_arguments(components[0].name)
    built: dict[str, Any] = {}
    for column in zip(*(component.arguments for component in components), strict=True):
        name, values = column[0][0], [value for _, value in column]
        nested = [value for value in values if isinstance(value, Component)]
        built[name] = build_stacked(nested) if nested else values[0] if name in shared else np.array(values)
    return _call(components[0].name, built)


@lru_cache
def shared_arguments(name: str) -> dict[str, type]:
    """The arguments that all networks of a stack share (flags, strings and sizes), with their types."""
    return {argument: hint for argument, hint in _hints(name).items() if hint in (bool, int, str)}


@lru_cache
def _hints(name: str) -> dict[str, Any]:
    return {
        argument: hint for argument, hint in get_type_hints(component_function(name)).items() if argument != "return"
    }


@lru_cache(maxsize=1024)
def _built(written: str, packages: tuple[str, ...], component: Component) -> Any:
    """What the component's function returns, as it is written (2 equals 2.0), while these packages are allowed."""
    arguments = {n: v.build() if isinstance(v, Component) else v for n, v in component.arguments}
    return _call(component.name, arguments)


def _call(name: str, arguments: dict[str, Any]) -> Any:
    """Call the function. Raises ValueError naming an argument that is not of its annotated type."""
    function, hints = component_function(name), _hints(name)
    for argument, value in arguments.items():
        hint = hints.get(argument)
        if hint is float and type(value) is int:  # 1 is a number, too
            arguments = arguments | {argument: float(value)}
        elif isinstance(hint, type) and type(value) is not hint:
            rules = {bool: "true or false", int: "an integer", str: "a string", float: "a number"}
            rule = rules.get(hint, f"an {hint.__name__}")
            raise ValueError(f"{argument} must be {rule}, but is {value!r} ({function.__name__})")
    return function(**arguments)


def allow(packages: Sequence[str]) -> None:
    """Allow what these packages define to be named too, in this process and in those that it starts.

    Parameters
    ----------
    packages : sequence of str
        Names of top-level packages; they replace those allowed before.
    """
    os.environ[ALLOW] = ",".join(packages)


def allowed() -> list[str]:
    """The packages that `allow` lists, besides nncore."""
    return [package for package in os.environ.get(ALLOW, "").split(",") if package]


def resolve(name: str, packages: Sequence[str]) -> Any:
    """Look up a public function or class by its full name.

    This is the only place that turns text from a file into an object of Python.

    Parameters
    ----------
    name : str
        Full dotted name, such as "nncore.optimizers.adam.adam".
    packages : sequence of str
        Top-level packages that it must be inside of. Nothing else is imported.

    Returns
    -------
    object
        What the module defines under this name; what it merely imports does not count.

    Raises
    ------
    ValueError
        If the name is private, outside of these packages, not there, or defined elsewhere.
    """
    module, _, attribute = name.rpartition(".")
    parts = name.split(".")
    if parts[0] not in packages or len(parts) < 2 or any(not p.isidentifier() or p.startswith("_") for p in parts):
        raise ValueError(
            f"{name!r} must be the full name of a public function or class inside {' or '.join(packages)}; "
            "a package of your own has to be listed in allow"
        )
    try:
        target = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{parts[0]} has no {name!r} ({error})") from None
    if getattr(target, "__module__", None) != module:
        raise ValueError(f"{name!r} is not defined in {module}")
    return target


def component_function(name: str) -> Any:
    """The function of this full name that builds a component, inside nncore or an allowed package.

    Raises
    ------
    ValueError
        If there is none, or the function's annotated return type is not a component.
    """
    function = resolve(name, ["nncore", *allowed()])
    if component_kind(function) is None:
        raise ValueError(f"{name} does not return a component; annotate it, such as -> Optimizer or -> Loss")
    return function


def component_names(package: str) -> set[str]:
    """The short names of all components of a module or package of nncore.

    Parameters
    ----------
    package : str
        Its name inside nncore, such as "activations" or "optimizers".

    Returns
    -------
    set of str
    """
    home = import_module(f"nncore.{package}")
    inner = [import_module(f"{home.__name__}.{module.name}") for module in iter_modules(getattr(home, "__path__", ()))]
    return {name for module in (home, *inner) for name, target in vars(module).items() if component_kind(target)}


def component_kind(target: Any) -> str | None:
    """The kind of component that a function returns by its annotation, one of KINDS; None if it returns none."""
    return kind_of_type(_return_type(target)) if isfunction(target) else None


def kind_of_type(hint: Any) -> str | None:
    """The kind of component that a type stands for, one of KINDS; None if it is not a component's type."""
    return next((kind for kind, types in _component_types().items() if hint in types), None)


@lru_cache
def _return_type(function: Any) -> Any:
    return get_type_hints(function).get("return")


@cache
def _component_types() -> dict[str, tuple[Any, ...]]:
    """The types by kind."""
    types: dict[str, tuple[Any, ...]] = {}
    for kind, name in KINDS.items():
        module, _, attribute = name.rpartition(".")
        made = getattr(import_module(module), attribute)
        types[kind] = get_args(made) if isinstance(made, UnionType) else (made,)
    return types
