"""The grammar of spaces: nodes that are read from the configuration, whose values a suggester chooses.

A node of the configuration is read as follows:

    0.1                             fixed
    [0.01, 0.1]                     choices; a setting that is itself a list takes a list of lists
    {low: 1e-5, high: 1e-2, ...}    a range of numbers, see Range
    {adam: {_target_: ...}, ...}    branches: one of them is chosen by name, and adds its own nodes
    {_target_: ..., ...}            a component of nncore, or the settings of a class; the other keys are nodes
    {hidden: ..., ...}              settings by name

Decisions have dotted names that contain the branches: "optimizer.adam.learning_rate". Parameters are named as settings
are, without branches: "optimizer.learning_rate".
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Annotated, Any, Literal, NamedTuple, Protocol, get_origin, get_type_hints

import pydantic.dataclasses
from pydantic import Field, ValidationError

from pipeline.components.fields import STRICT, first_error
from pipeline.components.resolver import resolve_target


class Suggester(Protocol):
    """Chooses values. A decision has the same name in every trial in which it occurs, and occurs there once."""

    def index(self, name: str, n: int) -> int:
        """Which of n >= 2 branches or choices: 0 to n - 1."""

    def number(self, name: str, numbers: "Range") -> float:
        """A number of a range; an int if the range is of integers."""


class Suggestion(NamedTuple):
    """What was chosen for a node.

    Parameters
    ----------
    value : plain value
    parameters : dict of str to value
        What was decided, by the rest of its dotted name; "" is the node itself.
    """

    value: Any
    parameters: dict[str, Any]


@dataclass(frozen=True)
class Fixed:
    """A value that every trial has."""

    value: Any
    grid_size = 1

    def suggest(self, name: str, suggester: Suggester) -> Suggestion:
        """The value."""
        return Suggestion(self.value, {})

    def decisions(self, name: str) -> "Decisions":
        """None."""
        yield from ()


@dataclass(frozen=True)
class Choices:
    """A list of values."""

    values: tuple[Any, ...]

    @property
    def grid_size(self) -> int:
        """How many there are."""
        return len(self.values)

    def suggest(self, name: str, suggester: Suggester) -> Suggestion:
        """One of the values."""
        value = self.values[_index(name, len(self.values), suggester)]
        return Suggestion(value, {"": str(value) if isinstance(value, list) else value})

    def decisions(self, name: str) -> "Decisions":
        """One, if there are two values or more."""
        if len(self.values) > 1:
            yield name, self


@pydantic.dataclasses.dataclass(frozen=True, config=STRICT)
class Range:
    """All numbers from `low` to `high`, both included.

    Parameters
    ----------
    low, high : float
        low < high.
    scale : {"linear", "log"}, default "linear"
        On a log scale equal factors are equally likely, and low > 0.
    integer : bool, default False
        Integers only.
    points : int, >= 2, default 5
        How many a grid takes, evenly spaced on the scale; of integers perhaps fewer, as none is taken twice.

    Examples
    --------
    >>> Range(1e-4, 1e-2, scale="log", points=3).grid
    [0.0001, 0.001, 0.01]
    """

    low: float
    high: float
    scale: Literal["linear", "log"] = "linear"
    integer: Annotated[bool, Field(strict=True)] = False
    points: Annotated[int, Field(strict=True, ge=2)] = 5

    def __post_init__(self) -> None:
        for name in ("low", "high"):
            if self.integer and getattr(self, name) % 1:
                raise ValueError(f"{name} must be a whole number, as integer is true, but is {getattr(self, name)}")
        if not self.low < self.high:
            raise ValueError(f"low must be below high, {self.high}, but is {self.low}")
        if self.scale == "log" and self.low <= 0:
            raise ValueError(f"low must be > 0 on a log scale, but is {self.low}")

    @property
    def ends(self) -> list[float]:
        """The lowest and the highest number."""
        return [self.clip(self.low), self.clip(self.high)]

    @property
    def grid(self) -> list[float]:
        """The points of a grid."""
        shares = [point / (self.points - 1) for point in range(self.points)]
        return list(dict.fromkeys(self.clip(self._between(self.low, self.high, share)) for share in shares))

    @property
    def grid_size(self) -> int:
        """How many points a grid has."""
        return len(self.grid)

    def quantile(self, share: float) -> float:
        """The number below which this share of the scale lies; of integers, all have equal shares.

        Parameters
        ----------
        share : float in [0, 1]
        """
        margin = 0.5 if self.integer else 0.0
        return self.clip(self._between(self.low - margin, self.high + margin, share))

    def clip(self, number: float) -> float:
        """The nearest number of the range, rounded to 12 digits: the last digits of a power differ between machines."""
        number = min(max(float(f"{number:.12g}"), self.low), self.high)
        return round(number) if self.integer else float(number)

    def _between(self, low: float, high: float, share: float) -> float:
        return float(low * (high / low) ** share if self.scale == "log" else low + (high - low) * share)

    def suggest(self, name: str, suggester: Suggester) -> Suggestion:
        """One of the numbers."""
        number = suggester.number(name, self)
        return Suggestion(number, {"": number})

    def decisions(self, name: str) -> "Decisions":
        """One."""
        yield name, self


@dataclass(frozen=True)
class Branches:
    """Nodes of which one is chosen, by name."""

    options: dict[str, "Node"]

    @property
    def grid_size(self) -> int:
        """The sum over the options."""
        return sum(option.grid_size for option in self.options.values())

    def suggest(self, name: str, suggester: Suggester) -> Suggestion:
        """One of the options, and what is chosen in it."""
        option = list(self.options)[_index(name, len(self.options), suggester)]
        value, parameters = self.options[option].suggest(f"{name}.{option}", suggester)
        return Suggestion(value, {"": option} | parameters)

    def decisions(self, name: str) -> "Decisions":
        """The one between the options, if there are two or more, then those inside each option."""
        if len(self.options) > 1:
            yield name, Choices(tuple(self.options))
        for option, node in self.options.items():
            yield from node.decisions(f"{name}.{option}")


@dataclass(frozen=True)
class Struct:
    """Nodes by name; with a target, the arguments of the function or the class that it names."""

    target: str | None
    nodes: dict[str, "Node"]

    @property
    def grid_size(self) -> int:
        """The product over the nodes."""
        return prod(node.grid_size for node in self.nodes.values())

    def suggest(self, name: str, suggester: Suggester) -> Suggestion:
        """A mapping of what is chosen in every node."""
        value: dict[str, Any] = {"_target_": self.target} if self.target else {}
        parameters: dict[str, Any] = {}
        for key, node in self.nodes.items():
            value[key], inner = node.suggest(f"{name}.{key}", suggester)
            parameters |= {f".{key}{rest}": parameter for rest, parameter in inner.items()}
        return Suggestion(value, parameters)

    def decisions(self, name: str) -> "Decisions":
        """Those of every node."""
        for key, node in self.nodes.items():
            yield from node.decisions(f"{name}.{key}")


Node = Fixed | Choices | Range | Branches | Struct
Decisions = Iterator[tuple[str, Choices | Range]]  # by name


def _index(name: str, n: int, suggester: Suggester) -> int:
    return 0 if n == 1 else suggester.index(name, n)


def parse(node: Any, path: str = "") -> Node:
    """The node that a value of the configuration describes.

    Parameters
    ----------
    node : plain value
    path : str, default ""
        Its dotted name, for messages.

    Raises
    ------
    ValueError
        Naming what is wrong, and its dotted name.
    """
    if isinstance(node, list):
        if not node:
            raise ValueError(f"{path} must list at least one value, but is []")
        if any(isinstance(value, dict) for value in node):
            raise ValueError(f"{path} must list plain values; give mappings names, as in {{first: ..., second: ...}}")
        return Choices(tuple(node))
    if not isinstance(node, dict):
        return Fixed(node)
    if "_target_" in node:
        return parse_target(node, path)
    if "low" in node or "high" in node:
        return _parse_range(node, path)
    struct = parse_settings(node, path)
    is_choice = all(isinstance(inner, Struct) and inner.target for inner in struct.nodes.values())
    return Branches(struct.nodes) if struct.nodes and is_choice else struct


def parse_settings(node: dict[str, Any], path: str) -> Struct:
    """The node of a mapping all of whose entries are settings, none of them a branch."""
    return Struct(None, {str(key): parse(value, _below(path, key)) for key, value in node.items()})


def parse_target(node: dict[str, Any], path: str) -> Struct:
    """The node of a function or a class, whose annotations tell which arguments are themselves lists or mappings."""
    target = str(node["_target_"])
    try:
        hints = get_type_hints(resolve_target(target))
    except ValueError as error:
        raise ValueError(f"{_below(path, '_target_')}: {error}") from None
    nodes: dict[str, Node] = {}
    for key, value in node.items():
        kind, inner = get_origin(hints.get(key)), _below(path, key)
        if kind is tuple and isinstance(value, list) and not (value and all(isinstance(item, list) for item in value)):
            nodes[key] = Fixed(value)
        elif kind is dict and isinstance(value, dict):
            nodes[key] = parse_settings(value, inner)
        elif key != "_target_":
            nodes[key] = parse(value, inner)
    return Struct(target, nodes)


def _parse_range(node: dict[str, Any], path: str) -> Range:
    for name in ("low", "high"):
        if name not in node:
            raise ValueError(f"{path}.{name} must be given, as this is a range of numbers")
        if isinstance(node[name], bool) or not isinstance(node[name], int | float):
            raise ValueError(f"{path}.{name} must be a number, but is {node[name]!r}")
    known = get_type_hints(Range)
    for name in node:
        if name not in known:
            raise ValueError(f"{path}.{name} is not a setting of a range; it has {', '.join(known)}")
    try:
        return Range(**node)
    except ValidationError as error:
        raise ValueError(_below(path, first_error(error))) from None


def _below(path: str, key: str) -> str:
    return f"{path}.{key}" if path else str(key)
