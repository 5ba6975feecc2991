"""The space of trials: optimizers and regularizers, each with its own hyperparameters, and any other settings."""

from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Annotated, Any

from pydantic import PlainValidator, model_validator
from pydantic.dataclasses import dataclass
from pydantic_core import ArgsKwargs

from nncore.components import Component, shared_arguments
from pipeline.components.fields import STRICT
from pipeline.components.resolver import component
from pipeline.search.grammar import (
    Branches,
    Choices,
    Node,
    Range,
    Struct,
    Suggester,
    Suggestion,
    by_name,
    parse,
    parse_target,
)
from pipeline.search.trial import Trial

NOT_SWEPT = {
    "epochs": "it is the same for all trials, and a search may stop some earlier",
    "seed": "every trial has the same; training.seeds repeats it",
    "seeds": "every trial has the same",
    "loss_limit": "it is the same for all trials",
}
COMPARED = "trials are compared on the same rows by the same measure; -m makes several runs"


def _axis(kind: str, node: Any) -> Struct:
    """An optimizer or a regularizer, with nodes for its hyperparameters; all choices and ends of ranges are tried."""
    if not isinstance(node, dict) or "_target_" not in node:
        raise ValueError(f"must be a mapping with a _target_, as the files in conf/{kind} hold, but is {node!r}")
    axis = parse_target(node, "")
    for suggester in _coverings():
        component(kind, axis.choose("", suggester).value)
    return axis


def _part(named: str, node: Any) -> Node:
    """Nodes for one part of the configuration, in which the setting `named` holds members by name, if it is there."""
    if not isinstance(node, dict):
        raise ValueError(f"must be a mapping of settings, but is {node!r}")
    part = parse(node)
    if isinstance(part, Branches) and any(str(one["_target_"]).startswith("nncore.") for one in node.values()):
        part = by_name(node, "")  # members are settings of a part; what can take its place is a class of the pipeline
    if isinstance(part, Struct) and isinstance(node.get(named), dict):
        part = Struct(part.target, part.nodes | {named: by_name(node[named], named)})
    _try_members(part, "")
    return part


def _training(node: Any) -> Node:
    for name in NOT_SWEPT if isinstance(node, dict) else ():
        if name in node:
            raise ValueError(f"{name} cannot be swept: {NOT_SWEPT[name]}")
    return _part("regularizers", node)


def _try_members(node: Node, path: str) -> None:
    """Build every member of nncore in a node. Raises ValueError naming where it is and what is wrong."""
    if isinstance(node, Struct) and node.target and node.target.startswith("nncore."):
        for suggester in _coverings():
            try:
                component(None, node.choose("", suggester).value)
            except ValueError as error:
                raise ValueError(f"{path.removeprefix('.')}: {error}".removeprefix(": ")) from None
    elif isinstance(node, Struct | Branches):
        for key, inner in (node.nodes if isinstance(node, Struct) else node.options).items():
            _try_members(inner, f"{path}.{key}")


EMPTY = Struct(None, {})
SpacePart = Annotated[Node, PlainValidator(partial(_part, "regularizers"))]


@dataclass(frozen=True, config=STRICT)
class Space:
    """By name, the optimizers and the regularizers to try, and what else is swept; see pipeline.search.grammar.

    prepare, reduce, network, training   settings of these parts of the configuration that trials differ in
    """

    optimizer: dict[str, Annotated[Struct, PlainValidator(partial(_axis, "optimizer"))]]
    regularizer: dict[str, Annotated[Struct, PlainValidator(partial(_axis, "regularizer"))]]
    prepare: SpacePart = EMPTY
    reduce: SpacePart = EMPTY
    network: Annotated[Node, PlainValidator(partial(_part, "loss"))] = EMPTY
    training: Annotated[Node, PlainValidator(_training)] = EMPTY

    @model_validator(mode="before")
    @classmethod
    def _only_what_may_be_swept(cls, given: Any) -> Any:
        """Refuse other parts of the configuration, with the reason."""
        named = given.kwargs if isinstance(given, ArgsKwargs) else given
        for name in ("data", "split", "search", "select", "stacks", "execution", "stages", "tracking", "seed", "name"):
            if isinstance(named, dict) and name in named:
                raise ValueError(f"{name} cannot be swept: {COMPARED}")
        return given

    def __post_init__(self) -> None:
        for axis in ("optimizer", "regularizer"):
            if not getattr(self, axis):
                raise ValueError(f"{axis} must hold at least one {axis}, but is empty")

    @property
    def _parts(self) -> dict[str, Node]:
        """The nodes in the order in which they are decided on."""
        axes = {"optimizer": Branches(dict(self.optimizer)), "regularizer": Branches(dict(self.regularizer))}
        return axes | {name: getattr(self, name) for name in ("prepare", "reduce", "network", "training")}

    def walk(self, number: int, suggester: Suggester) -> Trial:
        """The trial of a chooser, who decides on the optimizer first, then on the regularizer, then on the rest."""
        (_, optimizer), (_, regularizer), *rest = self._parts.items()
        optimized, regularized = optimizer.choose("optimizer", suggester), regularizer.choose("regularizer", suggester)
        found = [one for name, node in rest for one in _overrides(name, node, suggester)]
        others = [(f"{path}{inner}", value) for path, one in found for inner, value in one.parameters.items()]
        return Trial(
            number,
            optimized.parameters[""],
            _member(optimized.value),
            regularized.parameters[""],
            _member(regularized.value),
            tuple((path, one.value) for path, one in found),
            tuple(others),
        )

    @property
    def n_points(self) -> int:
        """How many trials a grid has."""
        return Struct(None, self._parts).n_points

    @property
    def decisions(self) -> dict[str, Choices | Range]:
        """All decisions by name, those inside branches after that between them."""
        return {name: leaf for part, node in self._parts.items() for name, leaf in node.leaves(part)}

    @property
    def own(self) -> dict[str, Choices | Range]:
        """Of the decisions, those on numbers of which each network of a stack has its own."""
        axes = [(name, self._parts[name]) for name in ("optimizer", "regularizer")]
        return {name: leaf for axis, node in axes for name, leaf in _own(axis, node)}

    @property
    def always(self) -> dict[str, Choices | Range]:
        """Of the decisions, those that every trial has: they are not inside one of several branches."""
        return {name: leaf for part, node in self._parts.items() for name, leaf in _always(part, node)}

    def samples(self) -> list[Trial]:
        """A few trials in which every choice, and both ends of every range, occur."""
        return [self.walk(number, suggester) for number, suggester in enumerate(_coverings())]


class _Covering:
    """Takes the branches, the choices and the ends of ranges in turn, until all of them have had theirs."""

    def __init__(self) -> None:
        self._visits: Counter[str] = Counter()
        self._n: dict[str, int] = {}

    @property
    def left(self) -> bool:
        return any(self._visits[name] < n for name, n in self._n.items())

    def index(self, name: str, n: int) -> int:
        self._n[name] = n
        self._visits[name] += 1
        return (self._visits[name] - 1) % n

    def number(self, name: str, numbers: Range) -> float:
        return numbers.ends[self.index(name, 2)]


def _coverings() -> Iterator[_Covering]:
    """A chooser, as often as it takes to cover what is walked with it."""
    suggester = _Covering()
    yield suggester
    while suggester.left:
        yield suggester


def _overrides(path: str, node: Node, suggester: Suggester) -> Iterator[tuple[str, Suggestion]]:
    """What is chosen for every setting, by its dotted name in the configuration."""
    if isinstance(node, Struct) and not node.target:
        for key, inner in node.nodes.items():
            yield from _overrides(f"{path}.{key}", inner, suggester)
    else:
        yield path, node.choose(path, suggester)


def _own(name: str, node: Node) -> Iterator[tuple[str, Choices | Range]]:
    """See Space.own."""
    if isinstance(node, Branches):
        for option, inner in node.options.items():
            yield from _own(f"{name}.{option}", inner)
    elif isinstance(node, Struct):
        shared = shared_arguments(node.target or "")
        for key, inner in node.nodes.items():
            yield from () if key in shared else _own(f"{name}.{key}", inner)
    elif isinstance(node, Range) or (isinstance(node, Choices) and all(_is_number(value) for value in node.values)):
        yield from node.leaves(name)


def _always(name: str, node: Node) -> Iterator[tuple[str, Choices | Range]]:
    """See Space.always."""
    if isinstance(node, Branches) and len(node.options) > 1:
        yield name, Choices(tuple(node.options))
    elif isinstance(node, Branches | Struct):
        for key, inner in (node.options if isinstance(node, Branches) else node.nodes).items():
            yield from _always(f"{name}.{key}", inner)
    else:
        yield from node.leaves(name)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _member(value: dict[str, Any]) -> Component:
    """The member of a mapping that has been checked."""
    arguments = {key: _member(one) if isinstance(one, dict) else one for key, one in value.items() if key != "_target_"}
    return Component(value["_target_"], tuple(arguments.items()))
