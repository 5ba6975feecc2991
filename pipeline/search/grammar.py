"""What a space is made of: nodes that are read from the configuration, and from which a chooser takes values.

A node of the configuration is read so:

    0.1                             fixed
    [0.01, 0.1]                     choices; a setting that is a list itself takes a list of lists
    {low: 1e-5, high: 1e-2, ...}    a range of numbers, see Range
    {adam: {_target_: ...}, ...}    branches: one is chosen, by its name, and brings nodes of its own
    {_target_: ..., ...}            a member of nncore or settings of a class; what stands beside it are nodes
    {hidden: ..., ...}              settings, by their names

Decisions have dotted names in which branches occur: "optimizer.adam.learning_rate". The names of parameters are those
of settings, without branches: "optimizer.learning_rate".
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
    """Decides. A decision has a name, the same in every trial in which it occurs, and no name occurs twice in one."""

    def index(self, name: str, n: int) -> int:
        """Which of n branches or choices, 0 to n - 1; there are two or more."""

    def number(self, name: str, numbers: "Range") -> float:
        """Which number of a range; an int if its numbers are."""


class Suggestion(NamedTuple):
    """What was chosen of a node: a plain value, and flat parameters for what was decided; "" names the node itself."""

    value: Any
    parameters: dict[str, Any]


@dataclass(frozen=True)
class Fixed:
    """A value that every trial has."""

    value: Any
    n_points = 1

    def choose(self, name: str, suggester: Suggester) -> Suggestion:
        """The value."""
        return Suggestion(self.value, {})

    def leaves(self, name: str) -> "Leaves":
        """Nothing is to be decided."""
        yield from ()


@dataclass(frozen=True)
class Choices:
    """Some values."""

    values: tuple[Any, ...]

    @property
    def n_points(self) -> int:
        """In a grid."""
        return len(self.values)

    def choose(self, name: str, suggester: Suggester) -> Suggestion:
        """One of the values."""
        return _plain(self.values[_index(name, self.n_points, suggester)])

    def leaves(self, name: str) -> "Leaves":
        """One decision, if there are two values or more."""
        yield from [(name, self)] * (self.n_points > 1)


@pydantic.dataclasses.dataclass(frozen=True, config=STRICT)
class Range:
    """All numbers from `low` to `high`, both included.

    scale     linear, or log: equal factors are equally likely; low is above 0
    integer   whole numbers only
    points    how many a grid takes, evenly on the scale; of whole numbers perhaps fewer, as none is taken twice
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
        return [self.clipped(self.low), self.clipped(self.high)]

    @property
    def grid(self) -> list[float]:
        """The points of a grid."""
        parts = [point / (self.points - 1) for point in range(self.points)]
        return list(dict.fromkeys(self.clipped(self._between(self.low, self.high, part)) for part in parts))

    @property
    def n_points(self) -> int:
        """In a grid."""
        return len(self.grid)

    def at(self, part: float) -> float:
        """The number below which this part of the scale lies, 0 <= part <= 1; all whole numbers have equal parts."""
        room = 0.5 if self.integer else 0.0
        return self.clipped(self._between(self.low - room, self.high + room, part))

    def clipped(self, number: float) -> float:
        """The nearest number of the range, with 12 digits: the last ones of a power differ between machines."""
        number = min(max(float(f"{number:.12g}"), self.low), self.high)
        return round(number) if self.integer else float(number)

    def _between(self, low: float, high: float, part: float) -> float:
        return float(low * (high / low) ** part if self.scale == "log" else low + (high - low) * part)

    def choose(self, name: str, suggester: Suggester) -> Suggestion:
        """One of the numbers."""
        return _plain(suggester.number(name, self))

    def leaves(self, name: str) -> "Leaves":
        """One decision."""
        yield name, self


@dataclass(frozen=True)
class Branches:
    """Nodes of which one is chosen, by name."""

    options: dict[str, "Node"]

    @property
    def n_points(self) -> int:
        """In a grid."""
        return sum(option.n_points for option in self.options.values())

    def choose(self, name: str, suggester: Suggester) -> Suggestion:
        """One of the options, and what is chosen in it."""
        option = list(self.options)[_index(name, len(self.options), suggester)]
        value, parameters = self.options[option].choose(f"{name}.{option}", suggester)
        return Suggestion(value, {"": option} | parameters)

    def leaves(self, name: str) -> "Leaves":
        """Those of every option, after the decision between them."""
        if len(self.options) > 1:
            yield name, Choices(tuple(self.options))
        for option, node in self.options.items():
            yield from node.leaves(f"{name}.{option}")


@dataclass(frozen=True)
class Struct:
    """Nodes by name; with a target, those of the function or the class that it names."""

    target: str | None
    nodes: dict[str, "Node"]

    @property
    def n_points(self) -> int:
        """In a grid."""
        return prod(node.n_points for node in self.nodes.values())

    def choose(self, name: str, suggester: Suggester) -> Suggestion:
        """A mapping of what is chosen in every node."""
        value: dict[str, Any] = {"_target_": self.target} if self.target else {}
        parameters: dict[str, Any] = {}
        for key, node in self.nodes.items():
            value[key], inner = node.choose(f"{name}.{key}", suggester)
            parameters |= {f".{key}{rest}": text for rest, text in inner.items()}
        return Suggestion(value, parameters)

    def leaves(self, name: str) -> "Leaves":
        """Those of every node."""
        for key, node in self.nodes.items():
            yield from node.leaves(f"{name}.{key}")


Node = Fixed | Choices | Range | Branches | Struct
Leaves = Iterator[tuple[str, Choices | Range]]  # decisions, by name


def _index(name: str, n: int, suggester: Suggester) -> int:
    return 0 if n == 1 else suggester.index(name, n)


def _plain(value: Any) -> Suggestion:
    """A value, whose parameter is a text if it is a list."""
    return Suggestion(value, {"": str(value) if isinstance(value, list) else value})


def parse(node: Any, path: str = "") -> Node:
    """The node that a value of the configuration describes. Raises ValueError naming what is wrong, below `path`."""
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
        return _range(node, path)
    named = by_name(node, path)
    is_one_of = all(isinstance(inner, Struct) and inner.target for inner in named.nodes.values())
    return Branches(named.nodes) if named.nodes and is_one_of else named


def by_name(node: dict[str, Any], path: str) -> Struct:
    """The nodes of a mapping, all of them at once: they are no branches."""
    return Struct(None, {str(key): parse(value, _below(path, key)) for key, value in node.items()})


def _below(path: str, key: str) -> str:
    return f"{path}.{key}" if path else str(key)


def _range(node: dict[str, Any], path: str) -> Range:
    for name in ("low", "high"):
        if name not in node:
            raise ValueError(f"{path}.{name} must be given, as this is a range of numbers")
        if isinstance(node[name], bool) or not isinstance(node[name], int | float):
            raise ValueError(f"{path}.{name} must be a number, but is {node[name]!r}")
    for name in node:
        if name not in (known := get_type_hints(Range)):
            raise ValueError(f"{path}.{name} is not a setting of a range; it has {', '.join(known)}")
    try:
        return Range(**node)
    except ValidationError as error:
        raise ValueError(_below(path, first_error(error))) from None


def parse_target(node: dict[str, Any], path: str) -> Struct:
    """The group of a function or a class, whose hints say which of them are lists and mappings themselves."""
    target = str(node["_target_"])
    try:
        hints = get_type_hints(resolve_target(target))
    except ValueError as error:
        raise ValueError(f"{_below(path, '_target_')}: {error}") from None
    nodes: dict[str, Node] = {}
    for key, value in node.items():
        kind, inner = get_origin(hints.get(key)), _below(path, key)
        if kind is tuple and isinstance(value, list) and not (value and all(isinstance(one, list) for one in value)):
            nodes[key] = Fixed(value)
        elif kind is dict and isinstance(value, dict):
            nodes[key] = by_name(value, inner)
        elif key != "_target_":
            nodes[key] = parse(value, inner)
    return Struct(target, nodes)
