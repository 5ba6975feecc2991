"""The space of trials: optimizers and regularizers with their hyperparameters, and any other settings."""

from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Annotated, Any, Protocol

from pydantic import PlainValidator, model_validator
from pydantic.dataclasses import dataclass
from pydantic_core import ArgsKwargs

from nncore.components import Component, shared_arguments
from pipeline.components.fields import STRICT
from pipeline.components.resolver import component
from pipeline.search.grammar import (
    Branches,
    Choices,
    Decisions,
    Node,
    Range,
    Struct,
    Suggester,
    Suggestion,
    parse,
    parse_settings,
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
    """The node of an optimizer or a regularizer. Every choice and both ends of every range are tried."""
    if not isinstance(node, dict) or "_target_" not in node:
        raise ValueError(f"must be a mapping with a _target_, as the files in conf/{kind} hold, but is {node!r}")
    axis = parse_target(node, "")
    for suggester in _covering_suggesters():
        component(kind, axis.suggest("", suggester).value)
    return axis


def _part(named: str, node: Any) -> Node:
    """The node of one part of the configuration, in which the setting `named`, if given, holds components by name."""
    if not isinstance(node, dict):
        raise ValueError(f"must be a mapping of settings, but is {node!r}")
    part = parse(node)
    if isinstance(part, Branches) and any(str(inner["_target_"]).startswith("nncore.") for inner in node.values()):
        part = parse_settings(node, "")  # components are settings of a part; only a class of the pipeline replaces it
    if isinstance(part, Struct) and isinstance(node.get(named), dict):
        part = Struct(part.target, part.nodes | {named: parse_settings(node[named], named)})
    _check_components(part, "")
    return part


def _training(node: Any) -> Node:
    for name in NOT_SWEPT if isinstance(node, dict) else ():
        if name in node:
            raise ValueError(f"{name} cannot be swept: {NOT_SWEPT[name]}")
    return _part("regularizers", node)


def _check_components(node: Node, path: str) -> None:
    """Build every component of nncore in a node. Raises ValueError naming where it is and what is wrong."""
    if isinstance(node, Struct) and node.target and node.target.startswith("nncore."):
        for suggester in _covering_suggesters():
            try:
                component(None, node.suggest("", suggester).value)
            except ValueError as error:
                raise ValueError(f"{path.removeprefix('.')}: {error}".removeprefix(": ")) from None
    elif isinstance(node, Struct | Branches):
        for key, inner in _children(node):
            _check_components(inner, f"{path}.{key}")


class TrialSpace(Protocol):
    """What a search chooses trials from."""

    def suggest(self, number: int, suggester: Suggester) -> Trial:
        """The trial of this number whose values a suggester chooses."""

    def covering_trials(self) -> list[Trial]:
        """A few trials in which every choice, and both ends of every range, occur."""

    @property
    def grid_size(self) -> int:
        """How many trials a grid has."""

    @property
    def decisions(self) -> dict[str, Choices | Range]:
        """All decisions by name, those inside branches after the one between them."""

    @property
    def per_network(self) -> dict[str, Choices | Range]:
        """Of the decisions, those on numbers that may differ between the networks of a stack, and while they train."""

    @property
    def unconditional(self) -> dict[str, Choices | Range]:
        """Of the decisions, those of every trial: they are not inside one of several branches."""


EMPTY = Struct(None, {})
SpacePart = Annotated[Node, PlainValidator(partial(_part, "regularizers"))]


@dataclass(frozen=True, config=STRICT)
class Space:
    """The trials that a search may choose from; see `pipeline.search.grammar` for how nodes are written.

    Parameters
    ----------
    optimizer, regularizer : mapping of str to node
        By name, the components to try.
    prepare, reduce, network, training : node, default empty
        Settings of these parts of the configuration in which trials differ.
    """

    optimizer: dict[str, Annotated[Struct, PlainValidator(partial(_axis, "optimizer"))]]
    regularizer: dict[str, Annotated[Struct, PlainValidator(partial(_axis, "regularizer"))]]
    prepare: SpacePart = EMPTY
    reduce: SpacePart = EMPTY
    network: Annotated[Node, PlainValidator(partial(_part, "loss"))] = EMPTY
    training: Annotated[Node, PlainValidator(_training)] = EMPTY

    @model_validator(mode="before")
    @classmethod
    def _refuse_other_parts(cls, given: Any) -> Any:
        """Refuse parts of the configuration that cannot be swept, with the reason."""
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
        """The nodes in the order in which their values are chosen."""
        axes = {"optimizer": Branches(dict(self.optimizer)), "regularizer": Branches(dict(self.regularizer))}
        return axes | {name: getattr(self, name) for name in ("prepare", "reduce", "network", "training")}

    def suggest(self, number: int, suggester: Suggester) -> Trial:
        """The trial whose values a suggester chooses: first the optimizer, then the regularizer, then the rest."""
        parts = self._parts
        optimizer = parts.pop("optimizer").suggest("optimizer", suggester)
        regularizer = parts.pop("regularizer").suggest("regularizer", suggester)
        overrides = [item for name, node in parts.items() for item in _overrides(name, node, suggester)]
        others = [(f"{path}{rest}", value) for path, chosen in overrides for rest, value in chosen.parameters.items()]
        return Trial(
            number,
            optimizer.parameters[""],
            _checked_component(optimizer.value),
            regularizer.parameters[""],
            _checked_component(regularizer.value),
            tuple((path, chosen.value) for path, chosen in overrides),
            tuple(others),
        )

    @property
    def grid_size(self) -> int:
        """How many trials a grid has."""
        return Struct(None, self._parts).grid_size

    @property
    def decisions(self) -> dict[str, Choices | Range]:
        """All decisions by name, those inside branches after the one between them."""
        return {name: leaf for part, node in self._parts.items() for name, leaf in node.decisions(part)}

    @property
    def per_network(self) -> dict[str, Choices | Range]:
        """Of the decisions, those on numbers that may differ between the networks of a stack, and while they train."""
        axes = [(name, self._parts[name]) for name in ("optimizer", "regularizer")]
        return {name: leaf for axis, node in axes for name, leaf in _per_network(axis, node)}

    @property
    def unconditional(self) -> dict[str, Choices | Range]:
        """Of the decisions, those of every trial: they are not inside one of several branches."""
        return {name: leaf for part, node in self._parts.items() for name, leaf in _unconditional(part, node)}

    def covering_trials(self) -> list[Trial]:
        """A few trials in which every choice, and both ends of every range, occur."""
        return [self.suggest(number, suggester) for number, suggester in enumerate(_covering_suggesters())]


class CoveringSuggester:
    """Takes branches, choices and ends of ranges in turn, until each has been taken."""

    def __init__(self) -> None:
        self._n_taken: Counter[str] = Counter()
        self._n: dict[str, int] = {}

    @property
    def done(self) -> bool:
        """Whether each has been taken."""
        return all(self._n_taken[name] >= n for name, n in self._n.items())

    def index(self, name: str, n: int) -> int:
        """See `Suggester`."""
        self._n[name] = n
        self._n_taken[name] += 1
        return (self._n_taken[name] - 1) % n

    def number(self, name: str, numbers: Range) -> float:
        """See `Suggester`."""
        return numbers.ends[self.index(name, 2)]


def _covering_suggesters() -> Iterator[CoveringSuggester]:
    """One suggester, as often as it must be used to cover a node."""
    suggester = CoveringSuggester()
    yield suggester
    while not suggester.done:
        yield suggester


def _overrides(path: str, node: Node, suggester: Suggester) -> Iterator[tuple[str, Suggestion]]:
    """What is chosen for every setting, by its dotted name in the configuration."""
    if isinstance(node, Struct) and not node.target:
        for key, inner in node.nodes.items():
            yield from _overrides(f"{path}.{key}", inner, suggester)
    else:
        yield path, node.suggest(path, suggester)


def _per_network(name: str, node: Node) -> Decisions:
    """See `Space.per_network`."""
    if isinstance(node, Branches | Struct):
        shared = shared_arguments(node.target) if isinstance(node, Struct) and node.target else {}
        for key, inner in _children(node):
            if key not in shared:
                yield from _per_network(f"{name}.{key}", inner)
    elif isinstance(node, Range) or (isinstance(node, Choices) and all(_is_number(value) for value in node.values)):
        yield from node.decisions(name)


def _unconditional(name: str, node: Node) -> Decisions:
    """See `Space.unconditional`."""
    if isinstance(node, Branches) and len(node.options) > 1:
        yield name, Choices(tuple(node.options))
    elif isinstance(node, Branches | Struct):
        for key, inner in _children(node):
            yield from _unconditional(f"{name}.{key}", inner)
    else:
        yield from node.decisions(name)


def _children(node: Branches | Struct) -> Iterator[tuple[str, Node]]:
    yield from (node.options if isinstance(node, Branches) else node.nodes).items()


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _checked_component(value: dict[str, Any]) -> Component:
    """The component of a mapping that has been checked."""
    arguments = {
        key: _checked_component(inner) if isinstance(inner, dict) else inner
        for key, inner in value.items()
        if key != "_target_"
    }
    return Component(value["_target_"], tuple(arguments.items()))
