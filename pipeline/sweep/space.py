"""The space of trials: optimizers and regularizers, each with its own hyperparameters."""

from dataclasses import dataclass
from typing import Any

import pydantic.dataclasses

from nncore.members import Argument, Member
from pipeline.settings.members import OptimizerChoices, RegularizerChoices
from pipeline.settings.strict import STRICT


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

    @property
    def parameters(self) -> dict[str, Argument]:
        """Flat, with dotted names: {"optimizer": "adam", "optimizer.learning_rate": 0.001, ...}."""
        flat: dict[str, Any] = {"optimizer": self.optimizer_name}
        flat |= {f"optimizer.{name}": value for name, value in self.optimizer.arguments}
        flat["regularizer"] = self.regularizer_name
        flat |= {f"regularizer.{name}": value for name, value in self.regularizer.arguments}
        return flat

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
    """The name, its main hyperparameter as a bare number, the others with their names."""
    bare = ("learning_rate", "strength")
    shown = [f"{value}" if argument in bare else f"{argument}={value}" for argument, value in member.arguments]
    return " ".join([name, *shown])
