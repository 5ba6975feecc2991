"""A trial: one setting of the hyperparameters, and its names for people and for tables."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from nncore.components import Component

BARE = ("learning_rate", "strength", "rate", "patience", "limit", "alpha", "decay", "deviation")


@dataclass(frozen=True)
class Trial:
    """One setting of the hyperparameters.

    overrides   other settings that are swept: their dotted name in the configuration, and the plain value or the
                mapping with a _target_ that takes the place of what is there
    others      the same, flat, for people: ("reduce", "pca"), ("reduce.n_components", 16); lists are texts
    """

    number: int
    optimizer_name: str
    optimizer: Component
    regularizer_name: str
    regularizer: Component
    overrides: tuple[tuple[str, Any], ...] = field(default=(), hash=False)
    others: tuple[tuple[str, Any], ...] = ()

    @property
    def key(self) -> str:
        """Its name in journals and reports."""
        return f"{self.number:04d}"

    @property
    def parameters(self) -> dict[str, Any]:
        """Flat, with dotted names: {"optimizer": "adam", "optimizer.learning_rate": 0.001, ...}."""
        optimizer = _flat("optimizer", self.optimizer_name, self.optimizer)
        return optimizer | _flat("regularizer", self.regularizer_name, self.regularizer) | dict(self.others)

    @property
    def optimizer_label(self) -> str:
        """For people: "adam 0.001"."""
        return _label(self.optimizer_name, self.optimizer)

    @property
    def regularizer_label(self) -> str:
        """For people: "elastic_net 0.001 l1_ratio=0.5"."""
        return _label(self.regularizer_name, self.regularizer)

    @property
    def other_label(self) -> str:
        """For people: "n_components 16, hidden [128, 64]"; names are as short as they can be told apart."""
        last = Counter(name.rpartition(".")[2] for name, _ in self.others)
        short = {name: name.rpartition(".")[2] for name, _ in self.others}
        return ", ".join(
            f"{short[name] if last[short[name]] == 1 else name} {_text(value)}" for name, value in self.others
        )

    @property
    def label(self) -> str:
        """For people: "adam 0.001, l2 0.0001"."""
        return ", ".join(filter(None, [self.optimizer_label, self.regularizer_label, self.other_label]))


def _label(name: str, member: Component) -> str:
    """The name, its main hyperparameter as a bare number, the others with their names, members in brackets."""
    shown = []
    for argument, value in member.arguments:
        if isinstance(value, Component):
            shown.append(f"({_label(value.short_name, value)})")
        else:
            shown.append(_text(value) if argument in BARE else f"{argument}={_text(value)}")
    return " ".join([name, *shown])


def _text(value: Any) -> str:
    """A value for people: of a number drawn from a range, four digits."""
    return str(float(f"{value:.4g}")) if isinstance(value, float) else str(value)


def _flat(axis: str, name: str, member: Component) -> dict[str, Any]:
    """The member's name and hyperparameters, with dotted names below `axis`."""
    flat: dict[str, Any] = {axis: name}
    for argument, value in member.arguments:
        inner = f"{axis}.{argument}"
        flat |= _flat(inner, value.short_name, value) if isinstance(value, Component) else {inner: value}
    return flat
