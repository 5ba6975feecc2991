"""The space of trials: optimizers and regularizers, each with its own hyperparameters."""

from dataclasses import dataclass
from typing import Any

import pydantic.dataclasses

from nncore.members import Member
from pipeline.settings.members import OptimizerChoices, RegularizerChoices
from pipeline.settings.strict import STRICT

BARE = ("learning_rate", "strength", "rate", "patience", "limit", "alpha", "decay", "deviation")


@pydantic.dataclasses.dataclass(frozen=True, config=STRICT)
class Space:
    """By name, the optimizers and the regularizers to try; a list of values stands for each in turn."""

    optimizer: dict[str, OptimizerChoices]
    regularizer: dict[str, RegularizerChoices]

    def __post_init__(self) -> None:
        for axis in ("optimizer", "regularizer"):
            if not getattr(self, axis):
                raise ValueError(f"{axis} must hold at least one {axis}, but is empty")


@dataclass(frozen=True)
class Trial:
    """One setting of the hyperparameters."""

    number: int
    optimizer_name: str
    optimizer: Member
    regularizer_name: str
    regularizer: Member

    @property
    def key(self) -> str:
        """Its name in journals and reports."""
        return f"{self.number:04d}"

    def network_key(self, fold: int, n_folds: int) -> str:
        """The name of its network of a fold: its own if there is one fold, else "0007/1", "0007/2", ..."""
        return self.key if n_folds == 1 else f"{self.key}/{fold + 1}"

    @property
    def parameters(self) -> dict[str, Any]:
        """Flat, with dotted names: {"optimizer": "adam", "optimizer.learning_rate": 0.001, ...}."""
        optimizer = _flat("optimizer", self.optimizer_name, self.optimizer)
        return optimizer | _flat("regularizer", self.regularizer_name, self.regularizer)

    @property
    def optimizer_label(self) -> str:
        """For people: "adam 0.001"."""
        return _label(self.optimizer_name, self.optimizer)

    @property
    def regularizer_label(self) -> str:
        """For people: "elastic_net 0.001 l1_ratio=0.5"."""
        return _label(self.regularizer_name, self.regularizer)

    @property
    def label(self) -> str:
        """For people: "adam 0.001, l2 0.0001"."""
        return f"{self.optimizer_label}, {self.regularizer_label}"


def _label(name: str, member: Member) -> str:
    """The name, its main hyperparameter as a bare number, the others with their names, members in brackets."""
    shown = []
    for argument, value in member.arguments:
        if isinstance(value, Member):
            shown.append(f"({_label(value.short, value)})")
        else:
            shown.append(f"{value}" if argument in BARE else f"{argument}={value}")
    return " ".join([name, *shown])


def _flat(axis: str, name: str, member: Member) -> dict[str, Any]:
    """The member's name and hyperparameters, with dotted names below `axis`."""
    flat: dict[str, Any] = {axis: name}
    for argument, value in member.arguments:
        inner = f"{axis}.{argument}"
        flat |= _flat(inner, value.short, value) if isinstance(value, Member) else {inner: value}
    return flat
